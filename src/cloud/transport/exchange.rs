//! One HTTP exchange, bounded in time and size, and the error for a response with an unexpected status.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::{
    RequestBuilder, StatusCode,
    header::{DATE, HeaderMap, RETRY_AFTER},
};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::cloud::{
    error::{Advice, Error, NetworkError, Refusal, in_parentheses},
    memory::AnswerMemory,
    secrets::Secrets,
};

/// Maximum size of the answer of an API. This is about 400 bytes for each of the 20,000 rows that a page may have.
const MAX_BODY: usize = 8 << 20;
/// Maximum size of an error, and of an answer with keys or a token. The largest known ones have a few kilobytes.
const MAX_SMALL_BODY: usize = 64 << 10;
/// At most this much memory is reserved for an announced length.
const MAX_RESERVED: usize = 1 << 20;
/// The gateway refuses a signature if the clocks differ by more than 15 minutes. This is one minute less.
const CLOCK_TOLERANCE_SECONDS: i64 = 14 * 60;

/// How much is read of the body of a successful response. Of an error, at most 64 KiB are read.
pub(crate) enum BodyLimit {
    /// 64 KiB: an answer with keys or a token.
    Small,
    /// 8 MiB: the answer of an API, which counts towards this memory.
    Api(AnswerMemory),
}

/// The response to a request. Not `Debug`: it may hold keys.
pub(crate) struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// The body, or why it is not complete.
    pub body: Result<Vec<u8>, Error>,
    /// The secrets of the request.
    pub secrets: Secrets,
}

/// Sends a request and waits until `deadline` for the whole response. No message about the response shows `secrets`. A
/// body beyond its limit is not read to its end.
///
/// # Errors
/// [`Error::Timeout`] or [`Error::Network`] if no response head came. The URL is in no message: it may hold a secret.
pub(crate) async fn exchange(
    request: RequestBuilder,
    host: &str,
    deadline: Instant,
    secrets: Secrets,
    limit: BodyLimit,
) -> Result<Response, Error> {
    let patience = deadline - Instant::now();
    let sent = timeout_at(deadline, request.send()).await.map_err(|_| no_answer(host, patience))?;
    let network = |error| Error::Network(NetworkError::new(host, error));
    let mut response = sent.map_err(network)?;
    let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
    let (max_body, memory) = match limit {
        BodyLimit::Api(memory) if status.is_success() => (MAX_BODY, memory),
        _ => (MAX_SMALL_BODY, AnswerMemory::default()),
    };
    let length = response.content_length().and_then(|length| usize::try_from(length).ok());
    let mut body = Vec::with_capacity(length.unwrap_or_default().min(MAX_RESERVED));
    let body = loop {
        let chunk = match timeout_at(deadline, response.chunk()).await {
            Ok(Ok(Some(chunk))) => chunk,
            Ok(Ok(None)) => break Ok(body),
            Ok(Err(error)) => break Err(network(error)),
            Err(_) => break Err(not_whole(host, patience)),
        };
        if body.len() + chunk.len() > max_body {
            break Err(Error::Malformed(format!("a body of more than {} KiB", max_body >> 10)));
        }
        if !memory.has_room(&chunk) {
            break Err(Error::LargeAnswer);
        }
        body.extend_from_slice(&chunk);
    };
    Ok(Response { status, headers, body, secrets })
}

/// The error for an answer whose end did not come.
fn not_whole(host: &str, patience: Duration) -> Error {
    let seconds = patience.as_secs_f64();
    Error::Timeout(format!("the whole answer did not come from {host} within {seconds:.1}s"))
}

/// The error for a request without an answer.
pub(crate) fn no_answer(host: &str, patience: Duration) -> Error {
    Error::Timeout(format!("no answer came from {host} within {:.1}s", patience.as_secs_f64()))
}

impl Response {
    /// The request id: IAM uses another header for it than MetaStudio and the gateway (contract, 2.1).
    pub fn request_id(&self) -> Option<String> {
        let id = header(&self.headers, "x-request-id").or_else(|| header(&self.headers, "x-iam-trace-id"));
        id.map(|id| self.secrets.shown(id))
    }

    /// The error for a status other than `expected`. A 4xx or 5xx is a refusal even if its body is not complete.
    pub fn error(&self, expected: StatusCode, now: DateTime<Utc>, advice: Advice) -> Error {
        let status = self.status;
        if !status.is_client_error() && !status.is_server_error() {
            let id = in_parentheses(self.request_id().as_deref());
            return Error::Malformed(format!("HTTP {status}, expected {}{id}", expected.as_u16()));
        }
        let shown = |text: String| self.secrets.shown(&text);
        let report = match &self.body {
            Ok(body) if body.is_empty() => ErrorBody::of("no message"),
            Ok(body) => ErrorBody::parse(body),
            Err(error) => ErrorBody::of(error),
        };
        Error::Refused(Box::new(Refusal {
            status: status.as_u16(),
            code: report.code.map_or_else(|| status.as_u16().to_string(), shown),
            message: shown(report.message),
            request_id: self.request_id().or(report.request_id.map(shown)),
            retry_after: retry_after(&self.headers, now),
            clock_ahead: clock_ahead(&self.headers, now).filter(|_| status == StatusCode::UNAUTHORIZED),
            advice,
        }))
    }
}

/// A header's value, unless it is empty.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim).filter(|value| !value.is_empty())
}

/// The wait that `Retry-After` asks for, in seconds or as an HTTP date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let value = header(headers, RETRY_AFTER.as_str())?;
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date: DateTime<Utc> = httpdate::parse_http_date(value).ok()?.into();
    (date - now).to_std().ok()
}

/// Seconds that the local clock is ahead of the `Date` header, if the gateway refuses such a difference.
fn clock_ahead(headers: &HeaderMap, now: DateTime<Utc>) -> Option<i64> {
    let date: DateTime<Utc> = httpdate::parse_http_date(header(headers, DATE.as_str())?).ok()?.into();
    let ahead = (now - date).num_seconds();
    (ahead.abs() > CLOCK_TOLERANCE_SECONDS).then_some(ahead)
}

/// The body of an error (contract, 2.1).
#[derive(Debug, Default, PartialEq)]
struct ErrorBody {
    code: Option<String>,
    /// The cloud's message, or the raw body.
    message: String,
    request_id: Option<String>,
}

impl ErrorBody {
    fn of(message: impl ToString) -> Self {
        ErrorBody { message: message.to_string(), ..ErrorBody::default() }
    }

    fn parse(body: &[u8]) -> Self {
        let raw = || String::from_utf8_lossy(body).into_owned();
        let Ok(json @ Value::Object(_)) = serde_json::from_slice::<Value>(body) else {
            return ErrorBody::of(raw());
        };
        let (code, message) = Self::find(&json).unwrap_or_default();
        ErrorBody {
            code,
            message: message.unwrap_or_else(raw),
            request_id: json.get("request_id").and_then(Value::as_str).map(str::to_owned),
        }
    }

    /// The pair of code and message at the top, or in the last nested object that has one.
    fn find(json: &Value) -> Option<(Option<String>, Option<String>)> {
        let text = |value: &Value| match value {
            Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let object = json.as_object()?;
        for (code, message) in [("error_code", "error_msg"), ("errorCode", "errorMsg"), ("code", "message")] {
            if let (Some(code), Some(message)) = (object.get(code), object.get(message)) {
                return Some((text(code), text(message)));
            }
        }
        object.values().filter_map(Self::find).next_back()
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    fn body(code: &str, message: &str) -> ErrorBody {
        ErrorBody { code: Some(code.to_owned()), message: message.to_owned(), request_id: None }
    }

    #[test]
    fn error_bodies_in_every_spelling() {
        let parse = |text: &str| ErrorBody::parse(text.as_bytes());
        assert_eq!(parse(r#"{"error_code":"MSS.00000003","error_msg":"Invalid"}"#), body("MSS.00000003", "Invalid"));
        assert_eq!(parse(r#"{"errorCode":"E","errorMsg":"M"}"#), body("E", "M"));
        assert_eq!(parse(r#"{"error":{"code":401,"message":"M","title":"T"}}"#), body("401", "M"));
        let gateway = parse(r#"{"error_msg":"M","error_code":"APIGW.0301","request_id":"r"}"#);
        assert_eq!(gateway.request_id.as_deref(), Some("r"));
        let html = parse("<html>no</html>");
        assert_eq!((html.code, html.message.as_str()), (None, "<html>no</html>"));
        let half = parse(r#"{"error_code":"E"}"#);
        assert_eq!((half.code, half.message.as_str()), (None, r#"{"error_code":"E"}"#));
        assert_eq!(parse("[1]").message, "[1]");
    }

    #[test]
    fn retry_after_in_both_forms_and_clock_skew() {
        let now = DateTime::parse_from_rfc3339("2025-11-08T09:30:00Z").unwrap().to_utc();
        let headers = |name: &'static str, value: &str| {
            HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())])
        };
        let retry = |value: &str| retry_after(&headers("retry-after", value), now).map(|wait| wait.as_secs());
        assert_eq!(retry("7"), Some(7));
        assert_eq!(retry("Sat, 08 Nov 2025 09:30:30 GMT"), Some(30));
        assert_eq!(retry("Sat, 08 Nov 2025 09:29:30 GMT"), None, "in the past");
        assert_eq!(retry("soon"), None);
        let ahead = |value: &str| clock_ahead(&headers("date", value), now);
        assert_eq!(ahead("Sat, 08 Nov 2025 09:00:00 GMT"), Some(1800));
        assert_eq!(ahead("Sat, 08 Nov 2025 09:31:00 GMT"), None);
    }
}
