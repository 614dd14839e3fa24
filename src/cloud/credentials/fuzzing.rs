//! The private reader of temporary keys, for the targets in `fuzz`.

use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;

use super::{identity::Identity, temporary};
use crate::cloud::error::Error;

/// Temporary keys, and when they expire.
///
/// # Errors
/// As `temporary::parse`.
pub fn temporary_keys(body: &[u8], now: DateTime<Utc>) -> Result<(Vec<String>, Option<DateTime<Utc>>), Error> {
    let issued = temporary::parse(body, "the service", now)?;
    let keys = match &issued.identity {
        Identity::Keys { access_key, secret_key, security_token } => {
            [access_key, secret_key].into_iter().chain(security_token).collect()
        }
        Identity::Token(token) => vec![token],
    };
    Ok((keys.into_iter().map(|key| key.expose_secret().to_owned()).collect(), issued.expires))
}
