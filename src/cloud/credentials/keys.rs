//! Source: an access key and a secret key that somebody else issued, with a security token if they are temporary.

use super::Identity;
use crate::config::{Environment, KeyPair, SecretError};

/// Reads the keys from where the configuration says.
///
/// # Errors
/// The first of the values that is missing.
pub async fn fetch(keys: &KeyPair, environment: &Environment) -> Result<Identity, SecretError> {
    let security_token = match &keys.security_token {
        Some(token) => Some(token.read(environment).await?),
        None => None,
    };
    Ok(Identity::Keys {
        access_key: keys.access_key.read(environment).await?,
        secret_key: keys.secret_key.read(environment).await?,
        security_token,
    })
}
