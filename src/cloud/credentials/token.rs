//! Source: an IAM token that somebody else obtains and renews.

use super::Identity;
use crate::config::{Environment, Secret, SecretError};

/// Reads the token from where the configuration says.
///
/// # Errors
/// If it is missing.
pub async fn fetch(token: &Secret, environment: &Environment) -> Result<Identity, SecretError> {
    Ok(Identity::Token(token.read(environment).await?))
}
