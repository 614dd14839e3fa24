//! Temporary keys, as the metadata service, STS and a node's agent write them down.
//!
//! Source of the spellings: contract, section 7. The time is any of RFC 3339, where the SDK insists on a fraction.

use std::time::Duration;

use chrono::{DateTime, FixedOffset};
use serde::Deserialize;

use super::{Identity, cache::Fetched};
use crate::{cloud::error::Error, usage::Clock};

/// How long before their end keys are renewed. The metadata service has new ones from then on (contract, 7.1); the
/// SDK's 40 minutes make it ask most of the time.
pub(super) const MARGIN: Duration = Duration::from_secs(10 * 60);

#[derive(Deserialize)]
#[serde(untagged)]
enum Document {
    Wrapped {
        #[serde(alias = "credentials")]
        credential: Keys,
    },
    Bare(Keys),
}

#[derive(Deserialize)]
struct Keys {
    #[serde(alias = "accessKeyId", alias = "access_key_id")]
    access: String,
    #[serde(alias = "secretAccessKey", alias = "secret_access_key")]
    secret: String,
    #[serde(alias = "securityToken", alias = "security_token")]
    securitytoken: String,
    #[serde(alias = "expiration")]
    expires_at: DateTime<FixedOffset>,
}

/// Reads the keys in an answer of `whose`.
///
/// # Errors
/// [`Error::Malformed`], which shows nothing of the answer: half of it may be right, and secret.
pub(super) fn parse(body: &[u8], whose: &str, clock: Clock) -> Result<Fetched, Error> {
    let unreadable = || Error::Malformed(format!("{whose} sent no temporary keys that can be read"));
    let keys = match serde_json::from_slice(body).map_err(|_| unreadable())? {
        Document::Wrapped { credential: keys } | Document::Bare(keys) => keys,
    };
    if keys.access.is_empty() || keys.secret.is_empty() || keys.securitytoken.is_empty() {
        return Err(unreadable());
    }
    let expires = keys.expires_at.to_utc();
    let identity = Identity::Keys {
        access_key: keys.access.into(),
        secret_key: keys.secret.into(),
        security_token: Some(keys.securitytoken.into()),
    };
    Ok(Fetched { identity, expires, lifetime: (expires - clock()).to_std().unwrap_or_default(), project_id: None })
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn keys_in_every_spelling() {
        for text in [
            r#"{"credential":{"access":"A","secret":"S","securitytoken":"T","expires_at":"2099-11-08T10:30:00.000000Z"}}"#,
            r#"{"credentials":{"accessKeyId":"A","secretAccessKey":"S","securityToken":"T","expiration":"2099-11-08T10:30:00Z"},"x":1}"#,
            r#"{"credentials":{"access_key_id":"A","secret_access_key":"S","security_token":"T","expiration":"2099-11-08T18:30:00+08:00"}}"#,
            r#"{"access":"A","secret":"S","securitytoken":"T","expires_at":"2099-11-08T10:30:00.5Z","assumed_agency":{}}"#,
        ] {
            let fetched = parse(text.as_bytes(), "x", Utc::now).unwrap();
            let Identity::Keys { access_key, secret_key, security_token } = &fetched.identity else { panic!("keys") };
            let token = security_token.as_ref().unwrap().expose_secret();
            assert_eq!([access_key.expose_secret(), secret_key.expose_secret(), token], ["A", "S", "T"], "{text}");
            assert_eq!(fetched.expires.format("%F %R").to_string(), "2099-11-08 10:30", "{text}");
        }
    }

    #[test]
    fn half_a_document_is_none_and_is_not_shown() {
        for text in [
            "",
            "[]",
            r#"{"credential":null}"#,
            r#"{"credential":{"access":"hunter2","secret":"hunter2","securitytoken":"","expires_at":"2099-11-08T10:30:00Z"}}"#,
            r#"{"access":"hunter2","secret":"hunter2","securitytoken":"hunter2","expires_at":"soon"}"#,
        ] {
            let error = parse(text.as_bytes(), "STS", Utc::now).unwrap_err().to_string();
            assert!(error.contains("STS sent no temporary keys") && !error.contains("hunter2"), "{error}");
        }
    }
}
