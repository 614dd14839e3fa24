//! Source: STS, which issues temporary keys of an agency for a token of an OpenID Connect provider.
//!
//! Source of the facts: contract, 7.3. The request is not signed.

use std::time::Duration;

use reqwest::{StatusCode, header::CONTENT_TYPE};
use secrecy::ExposeSecret;
use serde::Serialize;
use tokio::time::Instant;

use super::{
    context::Context,
    identity::{Issued, Scope},
    temporary,
};
use crate::{
    cloud::{
        error::{Error, Refusal},
        transport::exchange::{BodyLimit, exchange},
    },
    config::{Endpoint, Oidc},
    usage::Reason,
};

const TIMEOUT: Duration = Duration::from_secs(10);

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

/// Fetches keys from the configured STS, or from the STS of the region. The token is read each time, because it is
/// short-lived.
///
/// # Errors
/// If there is no token, or STS sends no keys.
pub(super) async fn fetch(oidc: &Oidc, context: &Context, scope: &Scope) -> Result<Issued, Error> {
    let id_token = oidc.id_token.read(&context.environment).await;
    let id_token = id_token.map_err(|error| Error::Credentials(error.into()))?;
    let endpoint = oidc.endpoint.clone().unwrap_or_else(|| Endpoint::of_sts(&scope.region));
    let request = AssumeAgency {
        provider_urn: &oidc.provider_urn,
        agency_urn: &oidc.agency_urn,
        agency_session_name: &oidc.session_name,
        id_token: id_token.expose_secret(),
        duration_seconds: oidc.duration.as_secs(),
        policy: oidc.policy.as_deref(),
        policy_ids: &oidc.policy_ids,
    };
    let unwritable = |_| Error::Credentials("the request to STS cannot be written".into());
    let body = serde_json::to_vec(&request).map_err(unwritable)?;
    let request = context
        .http
        .to(&endpoint)
        .post(format!("{endpoint}/v5/agencies/assume-with-oidc"))
        .header(CONTENT_TYPE, "application/json")
        .body(body);
    let response = exchange(
        request,
        &endpoint.host,
        Instant::now() + TIMEOUT,
        [&id_token].into_iter().collect(),
        BodyLimit::Small,
    )
    .await?;
    let now = (context.clock)();
    if response.status != StatusCode::OK {
        return Err(response.error(StatusCode::OK, now, advice));
    }
    temporary::parse(&response.body?, "STS", now)
}

fn advice(refusal: &Refusal) -> Option<&'static str> {
    match refusal.reason() {
        Reason::Auth | Reason::BadRequest | Reason::Forbidden => Some(
            "Check the URNs of provider and agency, that the agency trusts this token, and that the token is fresh",
        ),
        _ => None,
    }
}
