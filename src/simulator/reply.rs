//! The reply to a request, and how it is sent.

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    Response, StatusCode,
    body::{Body, Frame},
    header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue},
};
use serde_json::{Value, json};

/// The reply to a request.
pub(super) enum Reply {
    Complete(Response<String>),
    /// The connection breaks after half of the body.
    Truncated(Response<String>),
    /// The connection is closed without an answer.
    Disconnect,
    /// No answer is ever sent.
    Hang,
}

impl Reply {
    pub fn text(status: StatusCode, content_type: &'static str, body: impl Into<String>) -> Self {
        let mut response = Response::new(body.into());
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        Reply::Complete(response)
    }

    pub fn json(status: StatusCode, body: &Value) -> Self {
        Self::text(status, "application/json", body.to_string())
    }

    /// An error in the form of the gateway and of MetaStudio (contract, 2.1).
    pub fn error(status: StatusCode, code: &str, message: &str) -> Self {
        Self::json(status, &json!({"error_code": code, "error_msg": message}))
    }

    pub fn with_header(mut self, name: HeaderName, value: &str) -> Self {
        if let (Reply::Complete(response), Ok(value)) = (&mut self, HeaderValue::from_str(value)) {
            response.headers_mut().insert(name, value);
        }
        self
    }

    pub fn truncated(self) -> Self {
        match self {
            Reply::Complete(response) => Reply::Truncated(response),
            other => other,
        }
    }

    pub fn status(&self) -> Option<u16> {
        match self {
            Reply::Complete(response) | Reply::Truncated(response) => Some(response.status().as_u16()),
            Reply::Disconnect | Reply::Hang => None,
        }
    }

    /// The response for hyper.
    ///
    /// # Errors
    /// The reply is `Disconnect`: the error makes hyper close the connection.
    pub async fn into_response(self, request_id: &str) -> io::Result<Response<UnsyncBoxBody<Bytes, io::Error>>> {
        let mut response = match self {
            Reply::Complete(response) => response
                .map(|text| Full::new(Bytes::from(text)).map_err(|never: Infallible| match never {}).boxed_unsync()),
            Reply::Truncated(response) => {
                let length = response.body().len();
                let half = |text: String| Bytes::from(text).slice(..length / 2);
                let mut response = response.map(|text| BrokenBody(Some(half(text))).boxed_unsync());
                response.headers_mut().insert(CONTENT_LENGTH, length.into());
                response
            }
            Reply::Disconnect => return Err(io::ErrorKind::ConnectionReset.into()),
            Reply::Hang => return std::future::pending().await,
        };
        if let Ok(id) = HeaderValue::from_str(request_id) {
            response.headers_mut().insert("x-request-id", id);
        }
        Ok(response)
    }
}

/// A body that fails after its first frame.
struct BrokenBody(Option<Bytes>);

impl Body for BrokenBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let next = self.0.take().map(Frame::data).ok_or_else(|| io::ErrorKind::ConnectionReset.into());
        Poll::Ready(Some(next))
    }
}
