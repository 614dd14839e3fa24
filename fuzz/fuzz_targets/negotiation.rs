//! Requests for metrics and pages: the headers of the request allow the format, encoding and language of the answer,
//! and its body can be read.
#![no_main]

use std::{
    io::Read,
    sync::{Arc, LazyLock},
};

use chrono::DateTime;
use flate2::read::GzDecoder;
use http_body_util::BodyExt;
use hyper::{HeaderMap, Request, Response, header::HeaderValue};
use libfuzzer_sys::{Corpus, fuzz_target};
use metastudio_exporter::{
    exposition::Exposition,
    site::Routes,
    snapshot::{self, Target},
};
use metastudio_exporter_fuzz::block_on;

static ROUTES: LazyLock<Arc<Routes>> = LazyLock::new(|| {
    let (writer, reader) = snapshot::channel(vec![Target::new("studio")]);
    // The writer lives as long as the process.
    std::mem::forget(writer);
    let exposition = Exposition::of_projects(reader.clone(), || DateTime::UNIX_EPOCH.into());
    Arc::new(Routes::new(exposition, reader, || DateTime::UNIX_EPOCH.into()))
});

// The first line of the input is the path. Each further line is the value of a header: the three headers take turns.
fuzz_target!(|input: &[u8]| -> Corpus {
    let mut lines = input.split(|byte| *byte == b'\n');
    let path = lines.next().and_then(|path| std::str::from_utf8(path).ok()).unwrap_or_default();
    let Ok(mut request) = Request::get(path).body(()) else { return Corpus::Reject };
    let names = ["accept", "accept-encoding", "accept-language"];
    for (index, line) in lines.enumerate().take(9) {
        let Ok(value) = HeaderValue::from_bytes(line) else { return Corpus::Reject };
        request.headers_mut().append(names[index % 3], value);
    }
    let response = block_on(ROUTES.answer(&request));
    check(&request, response);
    Corpus::Keep
});

fn check<B>(request: &Request<()>, response: Response<B>)
where
    B: hyper::body::Body,
    B::Error: std::fmt::Debug,
{
    let asked = request.headers();
    let (head, body) = response.into_parts();
    let header = |name: &str| head.headers.get(name).map_or("", |value| value.to_str().unwrap());
    if header("content-type").starts_with("application/openmetrics-text") {
        assert!(allows(asked, "accept", |name| name == "application/openmetrics-text"));
    }
    // A page whose path ends in .zh-CN is Chinese for every client.
    if header("content-language") == "zh-CN" && !request.uri().path().ends_with(".zh-CN") {
        assert!(allows(asked, "accept-language", |name| name == "zh" || name.starts_with("zh-")));
    }
    let bytes = block_on(body.collect()).unwrap().to_bytes();
    assert_eq!(header("content-length"), bytes.len().to_string());
    let text = match header("content-encoding") {
        "" => String::from_utf8(bytes.to_vec()).unwrap(),
        encoding => {
            assert_eq!(encoding, "gzip");
            assert!(allows(asked, "accept-encoding", |name| ["gzip", "x-gzip", "*"].contains(&name)));
            let mut text = String::new();
            GzDecoder::new(&*bytes).read_to_string(&mut text).unwrap();
            text
        }
    };
    assert!(!text.is_empty());
    assert_eq!(text.ends_with("# EOF\n"), header("content-type").starts_with("application/openmetrics-text"));
}

/// Whether an element of a list has such a name, and no weight of 0.
fn allows(headers: &HeaderMap, list: &str, is_name: impl Fn(&str) -> bool) -> bool {
    let values = headers.get_all(list).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|element| {
        let element = element.to_ascii_lowercase();
        let mut parts = element.split(';').map(str::trim);
        let is_refused = |part: &str| part.replace(' ', "").strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0));
        parts.next().is_some_and(&is_name) && !parts.any(is_refused)
    })
}
