//! The documentation of this version. `build.rs` renders and compresses it; see `build/docs.rs`.

use std::{io::Read, sync::OnceLock};

use bytes::Bytes;
use flate2::read::GzDecoder;
use hyper::{
    HeaderMap, Response, StatusCode,
    header::{CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, HeaderValue, LOCATION, VARY},
};

use super::{
    negotiate::{self, Language},
    response::{HTML, PLAIN, encoded, plain},
};
use crate::exposition::Body;

const CSS: &str = "text/css; charset=utf-8";

/// As strict as the policy of the status page. The style sheet is a document of its own, because all pages share it.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

// The array `DOCUMENTS`.
include!(concat!(env!("OUT_DIR"), "/documents.rs"));

/// A page, or a file that pages link to.
struct ServedFile {
    /// Below `/docs/`.
    address: &'static str,
    /// `None` for files without a language.
    language: Option<Language>,
    content_type: &'static str,
    gzip: &'static [u8],
    /// Decompressed for the first client that does not accept gzip; all such clients share it.
    identity: OnceLock<Bytes>,
}

impl ServedFile {
    const fn new(
        address: &'static str,
        language: Option<Language>,
        content_type: &'static str,
        gzip: &'static [u8],
    ) -> Self {
        ServedFile { address, language, content_type, gzip, identity: OnceLock::new() }
    }

    fn bytes(&self, gzip: bool) -> Bytes {
        let decompress = || {
            let mut bytes = Vec::new();
            // The program contains the bytes, so they are complete.
            let _ = GzDecoder::new(self.gzip).read_to_end(&mut bytes);
            bytes.into()
        };
        if gzip { Bytes::from_static(self.gzip) } else { self.identity.get_or_init(decompress).clone() }
    }
}

/// The answer for `/docs` and all paths below it. `/docs/` is the README in the language of the client.
pub(super) fn answer(path: &str, headers: &HeaderMap) -> Response<Body> {
    let (language, gzip) = negotiate::page(headers);
    let (address, vary) = match path.strip_prefix("/docs").unwrap_or(path).strip_prefix('/') {
        // Relative, because a proxy may add a prefix to the path. The links of the pages are relative, too.
        None => return redirect("docs/"),
        Some("") if language == Language::Chinese => ("README.zh-CN", negotiate::PAGE_VARY),
        Some("") => ("README", negotiate::PAGE_VARY),
        Some(address) => (address, "Accept-Encoding"),
    };
    let Some(document) = DOCUMENTS.iter().find(|document| document.address == address) else {
        return plain(StatusCode::NOT_FOUND, "Not found. The page at /docs/ lists all pages.\n");
    };
    let mut response = encoded(document.content_type, document.bytes(gzip).into(), gzip);
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static(vary));
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    if let Some(language) = document.language {
        headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static(language.tag()));
    }
    response
}

fn redirect(location: &'static str) -> Response<Body> {
    let mut response = plain(StatusCode::TEMPORARY_REDIRECT, "The documentation is at /docs/.\n");
    response.headers_mut().insert(LOCATION, HeaderValue::from_static(location));
    response
}
