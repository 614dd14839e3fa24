//! Responses with their common headers.

use std::io::Write;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use hyper::{
    Response, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS},
};

use crate::exposition::Body;

pub(super) const PLAIN: &str = "text/plain; charset=utf-8";
pub(super) const HTML: &str = "text/html; charset=utf-8";

/// A response with status 200.
pub(super) fn ok(content_type: &'static str, body: Body) -> Response<Body> {
    let length = HeaderValue::from(body.length());
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    // Set explicitly, because an answer to HEAD has this length but no body.
    headers.insert(CONTENT_LENGTH, length);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A response of plain text.
pub(super) fn plain(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = ok(PLAIN, Bytes::copy_from_slice(text.as_bytes()).into());
    *response.status_mut() = status;
    response
}

/// A response with status 200. `gzip` says whether its body is compressed.
pub(super) fn encoded(content_type: &'static str, body: Body, gzip: bool) -> Response<Body> {
    let mut response = ok(content_type, body);
    if gzip {
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// A text as gzip.
pub(super) fn compress(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 8), Compression::default());
    // Writing to a Vec cannot fail.
    let _ = encoder.write_all(text.as_bytes());
    encoder.finish().unwrap_or_default()
}
