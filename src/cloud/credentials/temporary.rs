//! Temporary keys in the forms that the metadata service, STS and the agent of a node send.
//!
//! Source of the forms: contract, section 7. Times may have any form of RFC 3339; the SDK requires a fraction of
//! a second.

use std::time::Duration;

use chrono::{DateTime, FixedOffset, Utc};
use serde::Deserialize;

use super::identity::{Identity, Issued};
use crate::cloud::error::Error;

/// Keys are renewed this long before they expire. The metadata service has new ones from then on (contract, 7.1). The
/// SDK renews them 40 minutes before they expire, when there are no new ones yet.
pub(super) const MARGIN: Duration = Duration::from_secs(10 * 60);

#[derive(Deserialize)]
#[serde(untagged)]
enum KeysJson {
    Wrapped {
        #[serde(alias = "credentials")]
        credential: TemporaryKeys,
    },
    Bare(TemporaryKeys),
}

#[derive(Deserialize)]
struct TemporaryKeys {
    #[serde(alias = "accessKeyId", alias = "access_key_id")]
    access: String,
    #[serde(alias = "secretAccessKey", alias = "secret_access_key")]
    secret: String,
    #[serde(alias = "securityToken", alias = "security_token")]
    securitytoken: String,
    #[serde(alias = "expiration")]
    expires_at: DateTime<FixedOffset>,
}

/// Reads the keys that `sender` sent.
///
/// # Errors
/// - [`Error::Malformed`], which quotes nothing of the body: a part of it may be a valid secret.
/// - [`Error::Credentials`] if the keys have expired.
pub(super) fn parse(body: &[u8], sender: &str, now: DateTime<Utc>) -> Result<Issued, Error> {
    let unreadable = || Error::Malformed(format!("{sender} sent no temporary keys that can be read"));
    let keys = match serde_json::from_slice(body).map_err(|_| unreadable())? {
        KeysJson::Wrapped { credential: keys } | KeysJson::Bare(keys) => keys,
    };
    if keys.access.is_empty() || keys.secret.is_empty() || keys.securitytoken.is_empty() {
        return Err(unreadable());
    }
    let identity = Identity::Keys {
        access_key: keys.access.into(),
        secret_key: keys.secret.into(),
        security_token: Some(keys.securitytoken.into()),
    };
    Issued::until(identity, keys.expires_at.to_utc(), now)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn keys_are_read_in_every_spelling() {
        for text in [
            r#"{"credential":{"access":"A","secret":"S","securitytoken":"T","expires_at":"2099-11-08T10:30:00.000000Z"}}"#,
            r#"{"credentials":{"accessKeyId":"A","secretAccessKey":"S","securityToken":"T","expiration":"2099-11-08T10:30:00Z"},"x":1}"#,
            r#"{"credentials":{"access_key_id":"A","secret_access_key":"S","security_token":"T","expiration":"2099-11-08T18:30:00+08:00"}}"#,
            r#"{"access":"A","secret":"S","securitytoken":"T","expires_at":"2099-11-08T10:30:00.5Z","assumed_agency":{}}"#,
        ] {
            let issued = parse(text.as_bytes(), "x", Utc::now()).unwrap();
            let Identity::Keys { access_key, secret_key, security_token } = &issued.identity else { panic!("keys") };
            let token = security_token.as_ref().unwrap().expose_secret();
            assert_eq!([access_key.expose_secret(), secret_key.expose_secret(), token], ["A", "S", "T"], "{text}");
            assert_eq!(issued.expires.unwrap().format("%F %R").to_string(), "2099-11-08 10:30", "{text}");
        }
    }

    #[test]
    fn an_incomplete_document_is_an_error_that_does_not_quote_it() {
        for text in [
            "",
            "[]",
            r#"{"credential":null}"#,
            r#"{"credential":{"access":"hunter2","secret":"hunter2","securitytoken":"","expires_at":"2099-11-08T10:30:00Z"}}"#,
            r#"{"access":"hunter2","secret":"hunter2","securitytoken":"hunter2","expires_at":"soon"}"#,
        ] {
            let error = parse(text.as_bytes(), "STS", Utc::now()).unwrap_err().to_string();
            assert!(error.contains("STS sent no temporary keys") && !error.contains("hunter2"), "{error}");
        }
    }
}
