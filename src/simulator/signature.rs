//! Checks the signature of a request, by the steps of the signing guide (contract, section 3).

use std::collections::BTreeMap;

use bytes::Bytes;
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
pub(super) fn access_key(request: &Request<Bytes>) -> Option<String> {
    Some(parse(request)?.access_key)
}

/// Checks that a request is signed with this secret key, and carries this security token.
pub(super) fn verify(
    request: &Request<Bytes>,
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
    // The host need not be signed: the Go SDK does not sign it (contract, section 3, 6).
    if !authorization.signed_headers.iter().any(|name| name == "x-sdk-date") {
        return Err("x-sdk-date is not signed".to_owned());
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
    canonical.push_str(&digest(request.body()));

    let message = format!("SDK-HMAC-SHA256\n{date}\n{}", digest(canonical.as_bytes()));
    let mac = Hmac::<Sha256>::new_from_slice(secret_key.as_bytes()).map_err(|error| error.to_string())?;
    let verdict = mac.chain_update(message.as_bytes()).verify_slice(&authorization.signature);
    verdict.map_err(|_| "verify aksk signature fail".to_owned())
}

fn parse(request: &Request<Bytes>) -> Option<Authorization> {
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

fn header(request: &Request<Bytes>, name: &str) -> Option<String> {
    let value = request.headers().get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).trim().to_owned())
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const SECRET_KEY: &str = "ExampleSecretKey/NotReal+0000000000000001";
    const TOKEN: &str = "a/token+of==many.parts";

    /// A request that an SDK has sent.
    #[derive(Clone, serde::Deserialize)]
    struct Recorded {
        sdk: String,
        method: String,
        target: String,
        headers: BTreeMap<String, String>,
        body: String,
    }

    impl Recorded {
        /// Checks the request as of the time `now`.
        fn check(&self, now: DateTime<Utc>) -> Result<(), String> {
            let mut request = Request::builder().method(self.method.as_str()).uri(&self.target);
            for (name, value) in &self.headers {
                request = request.header(name, value);
            }
            let request = request.body(Bytes::from(self.body.clone())).map_err(|error| error.to_string())?;
            if access_key(&request).as_deref() != Some("EXAMPLEAK0000000001X") {
                return Err("ak not exist".to_owned());
            }
            verify(&request, SECRET_KEY, self.headers.contains_key("x-security-token").then_some(TOKEN), now)
        }

        fn date(&self) -> DateTime<Utc> {
            NaiveDateTime::parse_from_str(&self.headers["x-sdk-date"], "%Y%m%dT%H%M%SZ").unwrap().and_utc()
        }

        fn is_host_signed(&self) -> bool {
            self.headers["authorization"].contains("SignedHeaders=host;")
                || self.headers["authorization"].contains(";host;")
        }

        /// The request with each character of its signed parts changed, one at a time.
        fn changed(&self) -> Vec<Recorded> {
            let mut all = Vec::new();
            all.extend(changed(&self.method).map(|method| Recorded { method, ..self.clone() }));
            all.extend(changed(&self.target).map(|target| Recorded { target, ..self.clone() }));
            all.extend(changed(&self.body).map(|body| Recorded { body, ..self.clone() }));
            for (name, value) in self.headers.iter().filter(|(name, _)| *name != "host" || self.is_host_signed()) {
                all.extend(changed(value).map(|value| {
                    let mut other = self.clone();
                    other.headers.insert(name.clone(), value);
                    other
                }));
            }
            all
        }
    }

    /// The text with one character changed, once for each character.
    fn changed(text: &str) -> impl Iterator<Item = String> {
        text.char_indices().map(|(at, old)| {
            let (before, rest) = text.split_at(at);
            let (_, after) = rest.split_at(old.len_utf8());
            [before, if old == '0' { "1" } else { "0" }, after].concat()
        })
    }

    /// The requests that `tests/data/sdk-requests/record` has recorded.
    fn recorded() -> Vec<Recorded> {
        serde_json::from_str(include_str!("../../tests/data/sdk-requests.json")).unwrap()
    }

    #[test]
    fn requests_of_the_go_node_and_java_sdks_are_accepted() {
        let recorded = recorded();
        for sdk in ["Go", "Node", "Java"] {
            let of_sdk: Vec<&Recorded> = recorded.iter().filter(|request| request.sdk.starts_with(sdk)).collect();
            assert_eq!(of_sdk.len(), 4, "{sdk}");
            for request in of_sdk {
                assert_eq!(request.check(request.date()), Ok(()), "{sdk} {} {}", request.method, request.target);
                assert_eq!(request.is_host_signed(), sdk != "Go");
            }
        }
    }

    #[test]
    fn a_request_with_any_character_changed_is_refused() {
        for request in recorded() {
            for changed in request.changed() {
                let Recorded { method, target, headers, body, .. } = &changed;
                assert!(changed.check(request.date()).is_err(), "{method} {target} {headers:?} {body}");
            }
        }
    }

    #[test]
    fn the_date_must_be_signed_and_recent() {
        for request in recorded() {
            let late = request.date() + chrono::Duration::minutes(TOLERANCE_MINUTES);
            assert_eq!(request.check(late), Err("the time of x-sdk-date is out of range".to_owned()));
            let mut unsigned = request.clone();
            let authorization = unsigned.headers.get_mut("authorization").unwrap();
            *authorization = authorization.replace(";x-sdk-date", "");
            assert_eq!(unsigned.check(request.date()), Err("x-sdk-date is not signed".to_owned()));
        }
    }
}
