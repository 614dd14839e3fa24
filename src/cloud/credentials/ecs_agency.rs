//! Source: the metadata service of an ECS instance with an agency, which issues temporary keys.
//!
//! Source of the facts: contract, 7.1. Keys are valid for an hour. The service has new ones ten minutes before the
//! old ones expire.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::{RequestBuilder, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use super::{context::Context, identity::Issued, temporary};
use crate::{
    cloud::{
        error::{Error, Refusal},
        transport::exchange::{BodyLimit, Response, exchange},
    },
    config::EcsAgency,
};

/// The service is one hop away.
const TIMEOUT: Duration = Duration::from_secs(3);
const TOKEN_PATH: &str = "/meta-data/latest/api/token";
const KEY_PATH: &str = "/openstack/latest/securitykey";

/// Fetches keys.
///
/// # Errors
/// If the service sends no keys.
pub(super) async fn fetch(agency: &EcsAgency, context: &Context) -> Result<Issued, Error> {
    // The address is link-local: no proxy could reach it.
    let http = &context.http.direct;
    let now = || (context.clock)();
    let host = &agency.endpoint.host;
    let ask = async |request: RequestBuilder, token: Option<&SecretString>| {
        let secrets = token.into_iter().collect();
        exchange(request, host, Instant::now() + TIMEOUT, secrets, BodyLimit::Small).await
    };
    let new_token = async || {
        let request = http.put(format!("{}{TOKEN_PATH}", agency.endpoint));
        ask(request.header("X-Metadata-Token-Ttl-Seconds", "21600"), None).await
    };
    let keys = async |token: Option<&SecretString>| {
        let mut request = http.get(format!("{}{KEY_PATH}", agency.endpoint));
        if let Some(token) = token {
            request = request.header("X-Metadata-Token", token.expose_secret());
        }
        ask(request, token).await
    };

    let response = new_token().await?;
    let mut token = match response.status.as_u16() {
        200 => Some(text(response)?),
        // This instance has no token service.
        404 | 405 | 503 => None,
        _ => return Err(error(&response, now())),
    };
    let mut response = keys(token.as_ref()).await?;
    if response.status == StatusCode::UNAUTHORIZED && !is_agency_missing(&response) {
        let renewed = new_token().await?;
        if renewed.status != StatusCode::OK {
            return Err(error(&renewed, now()));
        }
        token = Some(text(renewed)?);
        response = keys(token.as_ref()).await?;
    }
    if response.status != StatusCode::OK {
        return Err(error(&response, now()));
    }
    temporary::parse(&response.body?, "the metadata service", now())
}

fn text(response: Response) -> Result<SecretString, Error> {
    let text = String::from_utf8(response.body?).unwrap_or_default();
    Ok(text.trim().into())
}

fn is_agency_missing(response: &Response) -> bool {
    let body = response.body.as_deref().unwrap_or_default();
    String::from_utf8_lossy(body).contains("Please configure Cloud Service Agency first")
}

fn error(response: &Response, now: DateTime<Utc>) -> Error {
    response.error(StatusCode::OK, now, advice)
}

fn advice(_: &Refusal) -> Option<&'static str> {
    Some("Check that this is an ECS instance and has an agency")
}
