//! SDK-HMAC-SHA256, the signature of Huawei Cloud's API gateway. Pure: the time is an argument.
//!
//! Source: contract, section 3 (the signing guide `api-sign-algorithm-001` to `-004` and the official SDK).

use std::fmt::Write;

use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest, Sha256};

const ALGORITHM: &str = "SDK-HMAC-SHA256";

/// All characters but `A-Z a-z 0-9 - _ . ~` are encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A request to be signed.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The HTTP method.
    pub method: &'a str,
    /// The path on the wire.
    pub path: &'a str,
    /// The query as [`canonical_query`] wrote it, which is also the query on the wire.
    pub query: &'a str,
    /// The headers to sign, including `Host` and `X-Sdk-Date`. Names with `_` are not signed, because gateways drop
    /// them.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body on the wire; empty for a GET.
    pub body: &'a [u8],
}

/// The value of the header `Authorization`.
///
/// `date` is the value of the header `X-Sdk-Date`: UTC, `YYYYMMDD'T'HHMMSS'Z'`. The gateway refuses a request whose
/// date differs from its own clock by more than 15 minutes.
///
/// ```
/// use metastudio_exporter::cloud::transport::signing::{Request, authorization, canonical_query};
///
/// let date = "20251108T093000Z";
/// let request = Request {
///     method: "GET",
///     path: "/v1/0123456789abcdef0123456789abcdef/data-analysis",
///     query: &canonical_query(&[]),
///     headers: &[("Host", "metastudio.cn-north-4.myhuaweicloud.com"), ("X-Sdk-Date", date)],
///     body: b"",
/// };
/// assert_eq!(
///     authorization("EXAMPLEAK0000000001X", "ExampleSecretKey/NotReal+0000000000000001", date, &request),
///     "SDK-HMAC-SHA256 Access=EXAMPLEAK0000000001X, SignedHeaders=host;x-sdk-date, \
///      Signature=8f618ae06aebe1bb0308b1e21838ed1d5e835604f861eebf58954b76177e81d3"
/// );
/// ```
pub fn authorization(access_key: &str, secret_key: &str, date: &str, request: &Request<'_>) -> String {
    let signature = hmac_hex(secret_key.as_bytes(), string_to_sign(date, request).as_bytes());
    let headers = signed_headers(request);
    format!("{ALGORITHM} Access={access_key}, SignedHeaders={headers}, Signature={signature}")
}

/// The query, sorted and encoded. Send exactly this text: the gateway signs the query that it received.
pub fn canonical_query(pairs: &[(&str, &str)]) -> String {
    let mut sorted = pairs.to_vec();
    sorted.sort_unstable();
    let encoded: Vec<String> = sorted.iter().map(|(key, value)| format!("{}={}", encode(key), encode(value))).collect();
    encoded.join("&")
}

fn string_to_sign(date: &str, request: &Request<'_>) -> String {
    format!("{ALGORITHM}\n{date}\n{}", hex(&Sha256::digest(canonical_request(request))))
}

fn canonical_request(request: &Request<'_>) -> String {
    let headers = canonical_headers(request);
    let mut lines = String::new();
    for (name, value) in &headers {
        // Writing to a String cannot fail.
        let _ = writeln!(lines, "{name}:{value}");
    }
    let payload = hex(&Sha256::digest(request.body));
    format!(
        "{}\n{}\n{}\n{lines}\n{}\n{payload}",
        request.method.to_ascii_uppercase(),
        canonical_path(request.path),
        request.query,
        signed_headers(request),
    )
}

/// Decodes the path once and encodes it again part by part. The slash at the end is only for signing.
fn canonical_path(path: &str) -> String {
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    let parts: Vec<String> = decoded.split('/').map(encode).collect();
    let mut canonical = parts.join("/");
    if !canonical.ends_with('/') {
        canonical.push('/');
    }
    canonical
}

fn canonical_headers<'a>(request: &Request<'a>) -> Vec<(String, &'a str)> {
    let mut headers: Vec<(String, &str)> = request
        .headers
        .iter()
        .filter(|(name, _)| !name.contains('_'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim()))
        .collect();
    headers.sort_unstable();
    headers
}

fn signed_headers(request: &Request<'_>) -> String {
    let names: Vec<String> = canonical_headers(request).into_iter().map(|(name, _)| name).collect();
    names.join(";")
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

fn hmac_hex(key: &[u8], message: &[u8]) -> String {
    // HMAC takes keys of any length (RFC 2104, section 2), so the error cannot happen. The gateway would refuse an
    // empty signature.
    Hmac::<Sha256>::new_from_slice(key)
        .map(|mac| hex(&mac.chain_update(message).finalize().into_bytes()))
        .unwrap_or_default()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// `tests/data/signing-vectors.json`: made by running the official SDK (huaweicloudsdkcore 3.1.219).
    fn vectors() -> Vec<Value> {
        let file: Value = serde_json::from_str(include_str!("../../../tests/data/signing-vectors.json")).unwrap();
        let vectors = file["vectors"].as_array().unwrap();
        vectors.iter().filter(|v| v["algorithm"] == ALGORITHM).cloned().collect()
    }

    fn text(value: &Value) -> String {
        value.as_str().map_or_else(|| value.to_string(), str::to_owned)
    }

    /// The vector's query as pairs: the SDK takes numbers, booleans and lists too.
    fn query(input: &Value) -> Vec<(String, String)> {
        let pairs = input["query"].as_array().unwrap();
        pairs
            .iter()
            .flat_map(|pair| {
                let values = pair[1].as_array().cloned().unwrap_or_else(|| vec![pair[1].clone()]);
                values.into_iter().map(|value| (text(&pair[0]), text(&value))).collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn agrees_with_every_vector_of_the_official_sdk() {
        let vectors = vectors();
        assert_eq!(vectors.len(), 25);
        let mut checked = 0;
        for vector in vectors {
            let (name, input, output) = (&vector["name"], &vector["input"], &vector["output"]);
            let mut headers: Vec<(String, String)> = input["headers"]
                .as_array()
                .unwrap()
                .iter()
                .map(|header| (text(&header[0]), text(&header[1])))
                .collect();
            headers.push(("Host".to_owned(), text(&input["host"])));

            // The Python SDK does not sign the body of a content type that it does not know (contract, 3.8). The
            // exporter always signs it.
            let content_type = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
            let known = |value: &str| value.starts_with("application/json") || value.starts_with("application/bson");
            let unsigned = content_type.is_some_and(|(_, value)| !known(value));
            if unsigned {
                headers.push(("X-Sdk-Content-Sha256".to_owned(), "UNSIGNED-PAYLOAD".to_owned()));
            }
            let body = text(&input["body"]);
            if unsigned && !body.is_empty() {
                continue;
            }
            checked += 1;

            let pairs = query(input);
            let pairs: Vec<(&str, &str)> = pairs.iter().map(|(key, value)| (&**key, &**value)).collect();
            let query = canonical_query(&pairs);
            let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
            let path = text(&input["path"]);
            let (method, body) = (text(&input["method"]), body.as_bytes());
            let request = Request { method: &method, path: &path, query: &query, headers: &headers, body };
            let date = text(&input["date"]);
            assert_eq!(canonical_request(&request), text(&output["canonical_request"]), "{name}");
            assert_eq!(string_to_sign(&date, &request), text(&output["string_to_sign"]), "{name}");
            let authorization = authorization(&text(&input["ak"]), &text(&input["sk"]), &date, &request);
            assert_eq!(authorization, text(&output["authorization"]), "{name}");
        }
        assert_eq!(checked, 24, "one has an unsigned body");
    }

    proptest! {
        #[test]
        fn the_order_of_parameters_and_headers_does_not_matter(
            pairs in prop::collection::vec((".{0,8}", ".{0,8}"), 0..8),
            seed in any::<prop::sample::Index>(),
        ) {
            let mut pairs: Vec<(&str, &str)> = pairs.iter().map(|(key, value)| (&**key, &**value)).collect();
            let mut headers = vec![("Host", "h"), ("X-Sdk-Date", "20251108T093000Z"), ("X-Project-Id", "p")];
            let sign = |pairs: &[(&str, &str)], headers: &[(&str, &str)]| {
                let query = canonical_query(pairs);
                let request = Request { method: "GET", path: "/v1/p", query: &query, headers, body: b"" };
                authorization("ak", "sk", "20251108T093000Z", &request)
            };
            let signed = sign(&pairs, &headers);
            if !pairs.is_empty() {
                let middle = seed.index(pairs.len());
                pairs.rotate_left(middle);
            }
            pairs.reverse();
            headers.rotate_left(seed.index(3));
            prop_assert_eq!(sign(&pairs, &headers), signed);
        }
    }
}
