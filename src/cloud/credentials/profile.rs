//! Source: the credentials file of the official SDK.

use super::Identity;
use crate::config::{
    Profile,
    profile::{ProfileError, ProfileKeys},
};

/// Reads the keys from the file.
///
/// # Errors
/// What is wrong with the file.
pub(super) async fn fetch(profile: &Profile) -> Result<Identity, ProfileError> {
    let ProfileKeys { access_key, secret_key, security_token } = profile.read().await?;
    Ok(Identity::Keys { access_key, secret_key, security_token })
}
