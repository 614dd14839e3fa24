//! Source: the credentials file of the official SDK.

use super::identity::{Identity, Issued};
use crate::{
    cloud::error::Error,
    config::{Profile, profile::ProfileKeys},
};

/// Reads the keys from the file.
///
/// # Errors
/// If the file is unusable.
pub(super) async fn fetch(profile: &Profile) -> Result<Issued, Error> {
    let keys = profile.read().await.map_err(|error| Error::Credentials(error.into()))?;
    let ProfileKeys { access_key, secret_key, security_token } = keys;
    Ok(Identity::Keys { access_key, secret_key, security_token }.into())
}
