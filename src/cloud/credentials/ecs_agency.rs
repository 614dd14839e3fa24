//! Source: the metadata service of an ECS instance with an agency, which gives temporary keys.
//!
//! Source of the facts: contract, 7.1. Keys live an hour and are replaced ten minutes before they expire.

use std::time::Duration;

use reqwest::{RequestBuilder, StatusCode};
use tokio::time::Instant;

use super::{cache::Fetched, redact, temporary};
use crate::{
    cloud::{
        error::{Error, Service},
        transport::exchange::{Answer, exchange},
    },
    config::EcsAgency,
    usage::Clock,
};

/// The service is a hop away or not there at all.
const PATIENCE: Duration = Duration::from_secs(3);
const TOKEN_PATH: &str = "/meta-data/latest/api/token";
const KEY_PATH: &str = "/openstack/latest/securitykey";

/// Fetches keys. `http` must not go through a proxy: the address is link-local.
///
/// # Errors
/// What the service answered, if not keys.
pub(super) async fn fetch(agency: EcsAgency, http: reqwest::Client, clock: Clock) -> Result<Fetched, Error> {
    let host = &agency.endpoint.host;
    let ask = async |request: RequestBuilder| exchange(request, host, Instant::now() + PATIENCE).await;
    let new_token = async || {
        let request = http.put(format!("{}{TOKEN_PATH}", agency.endpoint));
        ask(request.header("X-Metadata-Token-Ttl-Seconds", "21600")).await
    };
    let keys = async |token: Option<&str>| {
        let mut request = http.get(format!("{}{KEY_PATH}", agency.endpoint));
        if let Some(token) = token {
            request = request.header("X-Metadata-Token", token);
        }
        ask(request).await
    };

    let answer = new_token().await?;
    let mut token = match answer.status.as_u16() {
        200 => Some(text(answer)?),
        // No token service here.
        404 | 405 | 503 => None,
        _ => return Err(error(&answer, None, clock)),
    };
    let mut answer = keys(token.as_deref()).await?;
    if answer.status == StatusCode::UNAUTHORIZED && !speaks_of_agency(&answer) {
        let renewed = new_token().await?;
        if renewed.status != StatusCode::OK {
            return Err(error(&renewed, None, clock));
        }
        token = Some(text(renewed)?);
        answer = keys(token.as_deref()).await?;
    }
    if answer.status != StatusCode::OK {
        return Err(error(&answer, token.as_deref(), clock));
    }
    temporary::parse(&answer.body?, "the metadata service", clock)
}

fn text(answer: Answer) -> Result<String, Error> {
    let text = String::from_utf8(answer.body?).unwrap_or_default();
    Ok(text.trim().to_owned())
}

fn speaks_of_agency(answer: &Answer) -> bool {
    let body = answer.body.as_deref().unwrap_or_default();
    String::from_utf8_lossy(body).contains("Please configure Cloud Service Agency first")
}

fn error(answer: &Answer, token: Option<&str>, clock: Clock) -> Error {
    answer.error(Service::Metadata, StatusCode::OK, clock(), |text| redact(text, token))
}
