//! Source: the agent of a CCE node, which issues temporary keys. They belong to the agency of the pod's service
//! account.
//!
//! Source of the facts: contract, 7.4.

use std::time::Duration;

use reqwest::{
    StatusCode, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue},
};
use secrecy::ExposeSecret;
use tokio::time::Instant;

use super::{context::Context, identity::Issued, temporary};
use crate::{
    cloud::{
        error::{Error, Refusal},
        transport::exchange::{BodyLimit, exchange},
    },
    config::PodIdentity,
};

/// The agent is on the same node, or within the cluster.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Fetches keys. The token is read each time, because the platform renews it.
///
/// # Errors
/// If there is no token, or the agent sends no keys.
pub(super) async fn fetch(pod: &PodIdentity, context: &Context) -> Result<Issued, Error> {
    let token = pod.token.read(&context.environment).await.map_err(|error| Error::Credentials(error.into()))?;
    let unusable = || Error::Credentials("the token of the service account cannot be sent as a header".into());
    // The token is sent without a scheme such as Bearer.
    let mut authorization = HeaderValue::from_str(token.expose_secret()).map_err(|_| unusable())?;
    authorization.set_sensitive(true);
    // The agent is on the same node, or within the cluster: no proxy could reach it.
    let request = context
        .http
        .direct
        .post(&pod.url)
        .header(AUTHORIZATION, authorization)
        .header(CONTENT_TYPE, "application/json")
        .body("{}");
    let host = Url::parse(&pod.url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    let response =
        exchange(request, &host, Instant::now() + TIMEOUT, [&token].into_iter().collect(), BodyLimit::Small).await?;
    let now = (context.clock)();
    if response.status != StatusCode::OK {
        return Err(response.error(StatusCode::OK, now, advice));
    }
    temporary::parse(&response.body?, "the agent of this node", now)
}

fn advice(_: &Refusal) -> Option<&'static str> {
    Some("Check that the service account of this pod is associated with an agency, and that the cluster has the add-on")
}
