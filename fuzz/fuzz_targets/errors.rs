//! Errors of the cloud: the report of each is one line of limited length, and shows no secret of the request.
#![no_main]

use hyper::{HeaderMap, StatusCode, header::HeaderValue};
use libfuzzer_sys::{Corpus, fuzz_target};
use metastudio_exporter::{cloud::fuzzing::refusal, usage::Reason};

const SECRET: &str = "canary\"4f7c";
const SECRET_IN_JSON: &str = "canary\\\"4f7c";

// The input is the status, four headers and the body, one on each line. The body may have more lines.
fuzz_target!(|input: &[u8]| -> Corpus {
    let mut lines = input.splitn(6, |byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let Ok(status) = StatusCode::from_bytes(line()) else { return Corpus::Reject };
    let mut headers = HeaderMap::new();
    for name in ["x-request-id", "x-iam-trace-id", "retry-after", "date"] {
        let Ok(value) = HeaderValue::from_bytes(line()) else { return Corpus::Reject };
        headers.insert(name, value);
    }
    let body = line();
    let error = refusal(status, headers, body.to_vec(), SECRET);
    let report = error.report();
    assert!(!report.contains(SECRET) && !report.contains(SECRET_IN_JSON), "{report}");
    assert!(!report.contains(char::is_control), "{report}");
    assert!(report.chars().count() <= 4 * 257 * "<secret>".len(), "{report}");
    let expected = match status.as_u16() {
        401 => &[Reason::Auth][..],
        400 => &[Reason::BadRequest, Reason::Auth],
        403 => &[Reason::Forbidden, Reason::Auth],
        408 => &[Reason::Timeout],
        429 => &[Reason::Throttled],
        402..=499 => &[Reason::BadRequest],
        500..=599 => &[Reason::Server],
        _ => &[Reason::Malformed],
    };
    assert!(expected.contains(&error.reason()), "{report}");
    Corpus::Keep
});
