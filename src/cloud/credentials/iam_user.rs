//! Source: an IAM user with a password. IAM issues a token for each project, and one for the account.
//!
//! Source of the facts: contract, section 5. A token is valid for 24 hours, even after a new one was issued. IAM locks
//! a user after wrong passwords, so passwords go through the [lock-out](super::lockout), too.

use std::{sync::Arc, time::Duration};

use chrono::DateTime;
use reqwest::{StatusCode, header::CONTENT_TYPE};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::{
    context::Context,
    identity::{Identity, Issued, Scope},
    lockout::Fingerprint,
};
use crate::{
    cloud::{
        error::{Error, Refusal},
        transport::exchange::{BodyLimit, exchange},
    },
    config::{Endpoint, IamUser},
    usage::{Reason, is_project_id},
};

/// A token is renewed this long before it expires.
pub(super) const MARGIN: Duration = Duration::from_secs(60 * 60);
const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
struct TokenJson {
    token: TokenDetails,
}

#[derive(Deserialize)]
struct TokenDetails {
    expires_at: DateTime<chrono::FixedOffset>,
    #[serde(default)]
    project: Option<TokenScope>,
    /// The account that the token is for.
    #[serde(default)]
    domain: Option<TokenScope>,
}

#[derive(Deserialize)]
struct TokenScope {
    id: String,
}

/// Obtains a token for a project or an account.
///
/// # Errors
/// If IAM gives no token, or if the exporter does not ask, because IAM refused this password before or failed a moment
/// ago.
pub(super) async fn fetch(user: &IamUser, context: &Context, scope: &Scope) -> Result<Issued, Error> {
    let password = user.password.read_password(&context.environment).await;
    let password = password.map_err(|error| Error::Credentials(error.into()))?;
    let fingerprint = Fingerprint::of([&user.domain, &user.user, password.expose_secret()]);
    let endpoint = user.endpoint.clone().unwrap_or_else(|| Endpoint::of_iam(&scope.region));
    let project = format!("{} at {endpoint}", scope.project());
    let permit = context.lockout.admit_password(fingerprint, &project).await?;
    permit.prepare().await?;
    match request(user, &password, &endpoint, context, scope).await {
        Ok((token, TokenDetails { expires_at, project, domain })) => {
            permit.accepted();
            let issued = Issued::until(Identity::Token(token), expires_at.to_utc(), (context.clock)())?;
            let issued_for = if scope.is_account { domain } else { project };
            Ok(Issued { project_id: issued_for.map(|scope| scope.id.into()), ..issued })
        }
        Err(Error::Refused(refusal)) if refusal.status == 401 => {
            permit.refused();
            Err(Error::Refused(refusal))
        }
        // The refusal does not concern the password, so the other projects may ask at once.
        Err(Error::Refused(refusal)) if refusal.status < 500 => Err(Error::Refused(refusal)),
        Err(error) => {
            let error = Arc::new(error);
            permit.failed(&error);
            Err(Error::Shared(error))
        }
    }
}

async fn request(
    user: &IamUser,
    password: &SecretString,
    endpoint: &Endpoint,
    context: &Context,
    scope: &Scope,
) -> Result<(SecretString, TokenDetails), Error> {
    let token_scope = match scope.project_id.as_deref() {
        // The user belongs to one account, whose id may not be known yet.
        _ if scope.is_account => json!({"domain": {"name": user.domain}}),
        Some(id) => json!({"project": {"id": id}}),
        None => json!({"project": {"name": &*scope.region}}),
    };
    let body = json!({"auth": {
        "identity": {
            "methods": ["password"],
            "password": {"user": {
                "name": user.user,
                "password": password.expose_secret(),
                "domain": {"name": user.domain},
            }},
        },
        "scope": token_scope,
    }});
    let request = context
        .http
        .to(endpoint)
        .post(format!("{endpoint}/v3/auth/tokens?nocatalog=true"))
        .header(CONTENT_TYPE, "application/json;charset=utf8")
        .body(body.to_string());
    let response =
        exchange(request, &endpoint.host, Instant::now() + TIMEOUT, [password].into_iter().collect(), BodyLimit::Small)
            .await?;
    if response.status != StatusCode::CREATED {
        return Err(response.error(StatusCode::CREATED, (context.clock)(), advice));
    }
    let unreadable = |what: &str| Error::Malformed(format!("IAM sent no {what}"));
    let token = response.headers.get("x-subject-token").and_then(|token| token.to_str().ok());
    let token = token.filter(|token| !token.is_empty()).ok_or_else(|| unreadable("token"))?.into();
    let json: Result<TokenJson, _> = serde_json::from_slice(&response.body?);
    let details = json.map_err(|_| unreadable("readable expiry time of the token"))?.token;
    if scope.project_id.is_none()
        && !scope.is_account
        && !details.project.as_ref().is_some_and(|project| is_project_id(&project.id))
    {
        return Err(unreadable("id of the project that the token is for; set project_id"));
    }
    Ok((token, details))
}

fn advice(refusal: &Refusal) -> Option<&'static str> {
    match refusal.reason() {
        Reason::Auth | Reason::BadRequest | Reason::Forbidden => {
            Some("Check the domain, user and password, that the user may log in without MFA, and the project id")
        }
        _ => None,
    }
}
