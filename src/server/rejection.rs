//! The answers to requests that the web policy rejects.

use std::time::Duration;

use bytes::Bytes;
use hyper::{
    Response, StatusCode,
    header::{
        CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
    },
};

/// `WWW-Authenticate` (RFC 7617). The realm is the name of the program.
const CHALLENGE: &str = concat!("Basic realm=\"", env!("CARGO_PKG_NAME"), "\", charset=\"UTF-8\"");

/// Why a request is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rejection {
    /// No header `Host`, or several (RFC 9112, 3.2).
    BadHost,
    /// No user, an unknown user, or a wrong password.
    Unauthorized,
    /// Too many requests. The next one is possible after this time.
    TooManyRequests(Duration),
}

impl Rejection {
    pub fn response<B: From<Bytes>>(self) -> Response<B> {
        let (status, text, header) = match self {
            Rejection::BadHost => (StatusCode::BAD_REQUEST, "A request needs one header Host.\n", None),
            Rejection::Unauthorized => {
                let challenge = HeaderValue::from_static(CHALLENGE);
                (StatusCode::UNAUTHORIZED, "Unauthorized.\n", Some((WWW_AUTHENTICATE, challenge)))
            }
            Rejection::TooManyRequests(wait) => {
                let seconds = HeaderValue::from(wait.as_secs().saturating_add(1));
                (StatusCode::TOO_MANY_REQUESTS, "Too many requests.\n", Some((RETRY_AFTER, seconds)))
            }
        };
        let mut response = Response::new(Bytes::from_static(text.as_bytes()).into());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        // Set explicitly, because an answer to HEAD has this length but no body.
        headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.extend(header);
        // A rejected client must not occupy a connection that others need. Over HTTP/2, the connection sends GOAWAY
        // instead.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        response
    }
}
