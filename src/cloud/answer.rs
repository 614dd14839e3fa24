//! What an answer says besides its data: why it refuses, when to ask again, what time it is.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use serde_json::Value;

/// The gateway refuses 15 minutes of difference between the clocks.
const CLOCK_TOLERANCE_SECONDS: i64 = 14 * 60;

/// A header's value, unless it is empty.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim).filter(|value| !value.is_empty())
}

/// Seconds or an HTTP date (RFC 9110, 10.2.3).
pub(super) fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let value = header(headers, RETRY_AFTER.as_str())?;
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date: DateTime<Utc> = httpdate::parse_http_date(value).ok()?.into();
    (date - now).to_std().ok()
}

/// How far the local clock is ahead of the answer's `Date`, where that is far enough to be refused.
pub(super) fn clock_ahead(headers: &HeaderMap, now: DateTime<Utc>) -> Option<i64> {
    let date: DateTime<Utc> = httpdate::parse_http_date(header(headers, DATE.as_str())?).ok()?.into();
    let ahead = (now - date).num_seconds();
    (ahead.abs() > CLOCK_TOLERANCE_SECONDS).then_some(ahead)
}

/// A text from outside, in one line and cut short.
pub(super) fn excerpt(text: &str, length: usize) -> String {
    let line: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(length).collect();
    if text.trim().chars().count() > length { format!("{line}…") } else { line }
}

/// What an error's body says (contract, 2.1).
#[derive(Debug, Default, PartialEq)]
pub(super) struct ErrorBody {
    /// The cloud's code.
    pub code: Option<String>,
    /// The cloud's message, or the raw body.
    pub message: String,
    /// The request's id, where the body has it.
    pub request_id: Option<String>,
}

impl ErrorBody {
    pub fn parse(body: &[u8]) -> Self {
        let raw = || String::from_utf8_lossy(body).into_owned();
        let Ok(json @ Value::Object(_)) = serde_json::from_slice::<Value>(body) else {
            return ErrorBody { message: raw(), ..ErrorBody::default() };
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
    fn texts_from_outside_are_one_short_line() {
        assert_eq!(excerpt(" a\nb\u{1b}[31m ", 80), "a b [31m");
        assert_eq!(excerpt("abc", 2), "ab…");
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
