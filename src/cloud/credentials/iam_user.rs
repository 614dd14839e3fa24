//! Source: an IAM user with a password, for whom IAM issues tokens of one project each.
//!
//! Source of the facts: contract, section 5. A token lives 24 hours; a new one does not end the old ones.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use chrono::DateTime;
use reqwest::{StatusCode, header::CONTENT_TYPE};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::{sync::Semaphore, time::Instant};

use super::{Identity, Scope, cache::Fetched};
use crate::{
    cloud::{error::Error, exchange::exchange},
    config::{Endpoint, Environment, IamUser},
    usage::Clock,
};

/// How long before its end a token is renewed.
pub(super) const MARGIN: Duration = Duration::from_secs(60 * 60);
const PATIENCE: Duration = Duration::from_secs(10);

/// One user, for all of its projects.
#[derive(Debug)]
pub(super) struct TokenIssuer {
    user: IamUser,
    /// One request at a time, so that a wrong password is found out by one of them.
    turn: Semaphore,
    /// A digest of the password that IAM refused. It is not tried again, since failures lock the user. A plain mutex:
    /// held to compare, never across an await.
    refused: Mutex<Option<[u8; 32]>>,
}

#[derive(Deserialize)]
struct Document {
    token: Token,
}

#[derive(Deserialize)]
struct Token {
    expires_at: DateTime<chrono::FixedOffset>,
}

impl TokenIssuer {
    pub fn new(user: IamUser) -> Self {
        TokenIssuer { user, turn: Semaphore::new(1), refused: Mutex::default() }
    }

    /// Obtains a token for a project.
    ///
    /// # Errors
    /// What IAM answered; or that it is not asked, because it has refused this password.
    pub async fn fetch(
        &self,
        scope: Scope<'_>,
        environment: &Environment,
        http: &reqwest::Client,
        clock: Clock,
    ) -> Result<Fetched, Error> {
        let _turn = self.turn.acquire().await;
        let password =
            self.user.password.read(environment).await.map_err(|error| Error::Credentials(error.to_string()))?;
        let digest: [u8; 32] = Sha256::digest(password.expose_secret()).into();
        if *self.refused.lock().unwrap_or_else(PoisonError::into_inner) == Some(digest) {
            return Err(Error::Credentials(format!(
                "not asked: IAM refused this password of user {}, and more failures would lock the user; \
                 it is tried again when it changes, or after a restart",
                self.user.user
            )));
        }
        let endpoint = self.user.endpoint.clone().unwrap_or_else(|| Endpoint::of_iam(scope.region));
        let body = json!({"auth": {
            "identity": {
                "methods": ["password"],
                "password": {"user": {
                    "name": self.user.user,
                    "password": password.expose_secret(),
                    "domain": {"name": self.user.domain},
                }},
            },
            "scope": {"project": {"id": scope.project_id}},
        }});
        let request = http
            .post(format!("{endpoint}/v3/auth/tokens?nocatalog=true"))
            .header(CONTENT_TYPE, "application/json;charset=utf8")
            .body(body.to_string());
        let answer = exchange(request, &endpoint.host, Instant::now() + PATIENCE).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(digest);
        }
        if answer.status != StatusCode::CREATED {
            let redact = |text: &str| text.replace(password.expose_secret(), "<secret>");
            return Err(answer.error(StatusCode::CREATED, clock(), redact));
        }
        let token = answer.headers.get("x-subject-token").and_then(|token| token.to_str().ok());
        let unreadable = |what: &str| Error::Malformed(format!("IAM sent {what}"));
        let token = token.ok_or_else(|| unreadable("no token"))?.into();
        let document: Document = serde_json::from_slice(&answer.body?)
            .map_err(|_| unreadable("no time at which the token expires that can be read"))?;
        let lifetime = (document.token.expires_at.to_utc() - clock()).to_std().unwrap_or_default();
        Ok(Fetched { identity: Identity::Token(token), lifetime })
    }
}
