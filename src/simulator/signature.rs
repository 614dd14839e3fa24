//! Checks the signature of a request, by the steps of the signing guide (contract, section 3).

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use hyper::Request;
use percent_encoding::percent_decode_str;
use sha2::{Digest, Sha256};

/// The clocks of client and gateway must differ by less than this.
const TOLERANCE_MINUTES: i64 = 15;

/// The header `Authorization`.
struct Authorization {
    access_key: String,
    signed_headers: Vec<String>,
    signature: Vec<u8>,
}

/// The access key of a signed request.
pub(super) fn access_key<B>(request: &Request<B>) -> Option<String> {
    Some(parse(request)?.access_key)
}

/// Checks that a request is signed with this secret key, and carries this security token.
pub(super) fn verify<B>(
    request: &Request<B>,
    secret_key: &str,
    security_token: Option<&str>,
    now: DateTime<Utc>,
) -> Result<(), String> {
    let authorization = parse(request).ok_or("the Authorization header is malformed")?;
    let date = header(request, "x-sdk-date").ok_or("x-sdk-date not found")?;
    let sent = NaiveDateTime::parse_from_str(&date, "%Y%m%dT%H%M%SZ").map_err(|_| "x-sdk-date is malformed")?;
    if (now - sent.and_utc()).num_minutes().abs() >= TOLERANCE_MINUTES {
        return Err("the time of x-sdk-date is out of range".to_owned());
    }
    for must in ["host", "x-sdk-date"] {
        if !authorization.signed_headers.iter().any(|name| name == must) {
            return Err(format!("{must} is not signed"));
        }
    }
    if header(request, "x-security-token").as_deref() != security_token {
        return Err("the security token is wrong".to_owned());
    }
    if let Some(token) = security_token
        && !authorization.signed_headers.iter().any(|name| name == "x-security-token")
    {
        return Err(format!("a security token of {} characters is not signed", token.len()));
    }

    let mut canonical = request.method().as_str().to_uppercase();
    canonical.push('\n');
    canonical.push_str(&path(request.uri().path()));
    canonical.push('\n');
    canonical.push_str(&query(request.uri().query().unwrap_or_default()));
    canonical.push('\n');
    for name in &authorization.signed_headers {
        let value = header(request, name).ok_or_else(|| format!("{name} is signed but missing"))?;
        canonical.push_str(&format!("{name}:{value}\n"));
    }
    canonical.push('\n');
    canonical.push_str(&authorization.signed_headers.join(";"));
    canonical.push('\n');
    // The digest of an empty body: only GET requests are signed.
    canonical.push_str("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");

    let digest: String = Sha256::digest(canonical.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let message = format!("SDK-HMAC-SHA256\n{date}\n{digest}");
    let mac = Hmac::<Sha256>::new_from_slice(secret_key.as_bytes()).map_err(|error| error.to_string())?;
    let verdict = mac.chain_update(message.as_bytes()).verify_slice(&authorization.signature);
    verdict.map_err(|_| "verify aksk signature fail".to_owned())
}

fn parse<B>(request: &Request<B>) -> Option<Authorization> {
    let value = header(request, "authorization")?;
    let parts = value.strip_prefix("SDK-HMAC-SHA256 ")?;
    let fields: BTreeMap<&str, &str> = parts.split(", ").filter_map(|part| part.split_once('=')).collect();
    let signature = fields.get("Signature")?;
    let signature: Option<Vec<u8>> =
        (0..signature.len()).step_by(2).map(|at| u8::from_str_radix(signature.get(at..at + 2)?, 16).ok()).collect();
    let signed_headers: Vec<String> = fields.get("SignedHeaders")?.split(';').map(str::to_owned).collect();
    let is_sorted = signed_headers.is_sorted() && signed_headers.iter().all(|name| *name == name.to_lowercase());
    is_sorted.then_some(Authorization {
        access_key: (*fields.get("Access")?).to_owned(),
        signed_headers,
        signature: signature?,
    })
}

fn header<B>(request: &Request<B>, name: &str) -> Option<String> {
    let value = request.headers().get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).trim().to_owned())
}

fn path(path: &str) -> String {
    let decoded = percent_decode_str(path).decode_utf8_lossy().into_owned();
    let mut canonical: String = decoded.split('/').map(encode).collect::<Vec<_>>().join("/");
    if !canonical.ends_with('/') {
        canonical += "/";
    }
    canonical
}

fn query(query: &str) -> String {
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key), decode(value))
        })
        .collect();
    pairs.sort();
    pairs.iter().map(|(key, value)| format!("{}={}", encode(key), encode(value))).collect::<Vec<_>>().join("&")
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}
