//! Source: an access key and a secret key, with a security token if they are temporary.

use super::{
    context::Context,
    identity::{Identity, Issued},
};
use crate::{
    cloud::error::Error,
    config::{KeyPair, SecretError},
};

/// Reads the keys from the places that the configuration names.
///
/// # Errors
/// If a value is missing.
pub(super) async fn fetch(keys: &KeyPair, context: &Context) -> Result<Issued, Error> {
    read(keys, context).await.map(Issued::from).map_err(|error| Error::Credentials(error.into()))
}

async fn read(keys: &KeyPair, context: &Context) -> Result<Identity, SecretError> {
    let security_token = match &keys.security_token {
        Some(token) => Some(token.read(&context.environment).await?),
        None => None,
    };
    Ok(Identity::Keys {
        access_key: keys.access_key.read(&context.environment).await?,
        secret_key: keys.secret_key.read(&context.environment).await?,
        security_token,
    })
}
