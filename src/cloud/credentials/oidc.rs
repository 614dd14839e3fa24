//! Source: STS, which gives temporary keys of an agency for a token of an OpenID Connect provider.
//!
//! Source of the facts: contract, 7.3. The request is not signed.

use std::time::Duration;

use reqwest::{StatusCode, header::CONTENT_TYPE};
use secrecy::ExposeSecret;
use serde::Serialize;
use tokio::time::Instant;

use super::{cache::Fetched, redact, temporary};
use crate::{
    cloud::{
        error::{Error, Service},
        transport::exchange::{Http, exchange},
    },
    config::{Endpoint, Environment, Oidc},
    usage::Clock,
};

const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Serialize)]
struct AssumeAgency<'a> {
    provider_urn: &'a str,
    agency_urn: &'a str,
    agency_session_name: &'a str,
    id_token: &'a str,
    duration_seconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    policy_ids: &'a [String],
}

/// Fetches keys at the STS of `region`, unless the configuration names another one. The token is read anew: it
/// lives shorter than the exporter.
///
/// # Errors
/// What STS answered, if not keys; or that there is no token.
pub(super) async fn fetch(
    oidc: Oidc,
    environment: Environment,
    http: Http,
    region: String,
    clock: Clock,
) -> Result<Fetched, Error> {
    let id_token = oidc.id_token.read(&environment).await.map_err(|error| Error::Credentials(error.to_string()))?;
    let endpoint = oidc.endpoint.clone().unwrap_or_else(|| Endpoint::of_sts(&region));
    let request = AssumeAgency {
        provider_urn: &oidc.provider_urn,
        agency_urn: &oidc.agency_urn,
        agency_session_name: &oidc.session_name,
        id_token: id_token.expose_secret(),
        duration_seconds: oidc.duration.as_secs(),
        policy: oidc.policy.as_deref(),
        policy_ids: &oidc.policy_ids,
    };
    let unwritable = |_| Error::Credentials("the request to STS cannot be written".to_owned());
    let body = serde_json::to_vec(&request).map_err(unwritable)?;
    let request = http
        .to(&endpoint)
        .post(format!("{endpoint}/v5/agencies/assume-with-oidc"))
        .header(CONTENT_TYPE, "application/json")
        .body(body);
    let answer = exchange(request, &endpoint.host, Instant::now() + PATIENCE).await?;
    if answer.status != StatusCode::OK {
        let redact = |text: &str| redact(text, Some(id_token.expose_secret()));
        return Err(answer.error(Service::Sts, StatusCode::OK, clock(), redact));
    }
    temporary::parse(&answer.body?, "STS", clock)
}
