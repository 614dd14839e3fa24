//! Source: the agent of a CCE node, which gives temporary keys of the agency of a pod's service account.
//!
//! Source of the facts: contract, 7.4.

use std::time::Duration;

use reqwest::{
    StatusCode, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue},
};
use secrecy::ExposeSecret;
use tokio::time::Instant;

use super::{cache::Fetched, redact, temporary};
use crate::{
    cloud::{
        error::{Error, Service},
        transport::exchange::exchange,
    },
    config::{Environment, PodIdentity},
    usage::Clock,
};

/// The agent is on the same node.
const PATIENCE: Duration = Duration::from_secs(5);

/// Fetches keys. The token is read anew: the platform renews it.
///
/// # Errors
/// What the agent answered, if not keys; or that there is no token.
pub(super) async fn fetch(
    pod: PodIdentity,
    environment: Environment,
    http: reqwest::Client,
    clock: Clock,
) -> Result<Fetched, Error> {
    let token = pod.token.read(&environment).await.map_err(|error| Error::Credentials(error.to_string()))?;
    let unusable = || Error::Credentials("the token of the service account cannot be sent as a header".to_owned());
    // No word such as Bearer before it.
    let mut authorization = HeaderValue::from_str(token.expose_secret()).map_err(|_| unusable())?;
    authorization.set_sensitive(true);
    let request =
        http.post(&pod.url).header(AUTHORIZATION, authorization).header(CONTENT_TYPE, "application/json").body("{}");
    let host = Url::parse(&pod.url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    let answer = exchange(request, &host, Instant::now() + PATIENCE).await?;
    if answer.status != StatusCode::OK {
        let redact = |text: &str| redact(text, Some(token.expose_secret()));
        return Err(answer.error(Service::PodIdentity, StatusCode::OK, clock(), redact));
    }
    temporary::parse(&answer.body?, "the agent of this node", clock)
}
