//! Source: an IAM token that another program obtains and renews.

use super::{
    context::Context,
    identity::{Identity, Issued},
};
use crate::{cloud::error::Error, config::Secret};

/// Reads the token from the place that the configuration names.
///
/// # Errors
/// If it is missing.
pub(super) async fn fetch(token: &Secret, context: &Context) -> Result<Issued, Error> {
    let token = token.read(&context.environment).await.map_err(|error| Error::Credentials(error.into()))?;
    Ok(Identity::Token(token).into())
}
