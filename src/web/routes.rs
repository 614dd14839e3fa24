//! What is at which path.

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    header::{
        ACCEPT, ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
        HeaderName, HeaderValue, VARY, X_CONTENT_TYPE_OPTIONS,
    },
};

use super::{negotiate, page};
use crate::{
    exposition::{Exposition, HttpRequests},
    snapshot::{Clock, Reader},
};

const PLAIN: &str = "text/plain; charset=utf-8";

/// Everything the server answers from.
#[derive(Debug)]
pub struct Site {
    /// The metrics.
    pub exposition: Exposition,
    /// What is known, for the page and for readiness.
    pub reader: Reader,
    /// Where the metrics are.
    pub telemetry_path: String,
    /// Counts what is answered.
    pub requests: Arc<HttpRequests>,
    /// Whether the exporter is shutting down. Relaxed: a flag that nothing else hangs on.
    pub stopping: AtomicBool,
    /// Tells the page the time.
    pub clock: Clock,
}

/// An answer before it is dressed in headers.
struct Answer {
    status: StatusCode,
    content_type: &'static str,
    body: Vec<u8>,
    headers: Vec<(HeaderName, &'static str)>,
}

impl Answer {
    fn plain(status: StatusCode, text: &str) -> Self {
        Answer { status, content_type: PLAIN, body: text.into(), headers: Vec::new() }
    }
}

impl Site {
    /// Answers a request. Its body is not read.
    pub fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        let (handler, answer) = match path {
            _ if path == self.telemetry_path => ("metrics", Some(Self::metrics as fn(&Self, &Request<B>) -> Answer)),
            "/" => ("/", Some(Self::page as _)),
            "/-/healthy" => ("/-/healthy", Some(Self::healthy as _)),
            "/-/ready" => ("/-/ready", Some(Self::ready as _)),
            _ => ("other", None),
        };
        let answer = match answer {
            None => Answer::plain(StatusCode::NOT_FOUND, "Not found. The metrics are at the path that / names.\n"),
            Some(_) if request.method() != Method::GET && request.method() != Method::HEAD => Answer {
                headers: vec![(ALLOW, "GET, HEAD")],
                ..Answer::plain(StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD.\n")
            },
            Some(answer) => answer(self, request),
        };
        self.requests.count(handler, answer.status.as_u16());
        respond(answer)
    }

    fn metrics<B>(&self, request: &Request<B>) -> Answer {
        // Several lines of one name are one list (RFC 9110, 5.3).
        let header = |name| {
            let values = request.headers().get_all(name).iter();
            values.filter_map(|value| value.to_str().ok()).collect::<Vec<_>>().join(",")
        };
        let format = negotiate::format(&header(ACCEPT));
        let text = self.exposition.render(format).into_bytes();
        let vary = (VARY, "Accept, Accept-Encoding");
        let (body, headers) = match negotiate::gzip(&header(ACCEPT_ENCODING)).then(|| gzip(&text)).flatten() {
            Some(compressed) => (compressed, vec![vary, (CONTENT_ENCODING, "gzip")]),
            None => (text, vec![vary]),
        };
        Answer { status: StatusCode::OK, content_type: format.content_type(), body, headers }
    }

    fn page<B>(&self, _: &Request<B>) -> Answer {
        let html = page::render(&self.reader.load(), &self.telemetry_path, (self.clock)());
        Answer {
            status: StatusCode::OK,
            content_type: "text/html; charset=utf-8",
            body: html.into_bytes(),
            headers: vec![(CONTENT_SECURITY_POLICY, page::CONTENT_SECURITY_POLICY)],
        }
    }

    fn healthy<B>(&self, _: &Request<B>) -> Answer {
        Answer::plain(StatusCode::OK, "Healthy.\n")
    }

    fn ready<B>(&self, _: &Request<B>) -> Answer {
        if self.stopping.load(Ordering::Relaxed) {
            return Answer::plain(StatusCode::SERVICE_UNAVAILABLE, "Shutting down.\n");
        }
        let snapshot = self.reader.load();
        let tried = snapshot.projects.iter().filter(|project| project.health.last.is_some()).count();
        if snapshot.is_ready() {
            Answer::plain(StatusCode::OK, "Ready.\n")
        } else {
            let text = format!("Not ready: {tried} of {} projects have been polled.\n", snapshot.projects.len());
            Answer::plain(StatusCode::SERVICE_UNAVAILABLE, &text)
        }
    }
}

fn respond(answer: Answer) -> Response<Full<Bytes>> {
    let length = HeaderValue::from(answer.body.len());
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    // Said here, because HEAD has the length and no body.
    headers.insert(CONTENT_LENGTH, length);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.extend(answer.headers.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value))));
    response
}

fn gzip(text: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 8), Compression::default());
    encoder.write_all(text).ok()?;
    encoder.finish().ok()
}
