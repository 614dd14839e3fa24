//! Source: an IAM user with a password, for whom IAM issues tokens of one project each.
//!
//! Source of the facts: contract, section 5. A token lives 24 hours; a new one does not end the old ones. IAM locks a
//! user after wrong passwords, so they are kept as keys are, and more carefully ([`Lockout`]).

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::DateTime;
use reqwest::{StatusCode, header::CONTENT_TYPE};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::{
    Identity,
    cache::{Fetched, PAUSE},
    lockout::{Fingerprint, Lockout},
    redact,
};
use crate::{
    cloud::{
        error::{Error, Service},
        transport::exchange::{Http, exchange},
    },
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
    environment: Environment,
    http: Http,
    clock: Clock,
    /// Passwords are kept from being locked as keys are.
    keys: Arc<Lockout>,
    /// When IAM last gave no verdict on a password, and why. A plain mutex: held to read or change these few words,
    /// never across an await.
    failed: Mutex<Option<(Instant, Arc<Error>)>>,
}

#[derive(Deserialize)]
struct Document {
    token: Token,
}

#[derive(Deserialize)]
struct Token {
    expires_at: DateTime<chrono::FixedOffset>,
    #[serde(default)]
    project: Option<Project>,
}

#[derive(Deserialize)]
struct Project {
    id: String,
}

impl TokenIssuer {
    pub fn new(user: IamUser, environment: Environment, http: Http, clock: Clock, keys: Arc<Lockout>) -> Arc<Self> {
        Arc::new(TokenIssuer { user, environment, http, clock, keys, failed: Mutex::default() })
    }

    /// Obtains a token for a project: the one with this id, or the one that bears the region's name.
    ///
    /// # Errors
    /// What IAM answered; or that it is not asked, because it has refused this password, or failed a moment ago.
    pub async fn fetch(self: Arc<Self>, project_id: Option<String>, region: String) -> Result<Fetched, Error> {
        let password = self.user.password.read_password(&self.environment).await;
        let password = password.map_err(|error| Error::Credentials(error.to_string()))?;
        let fingerprint = Fingerprint::of([&self.user.domain, &self.user.user, password.expose_secret()]);
        let endpoint = self.user.endpoint.clone().unwrap_or_else(|| Endpoint::of_iam(&region));
        let scope = format!("{} at {endpoint}", project_id.as_deref().unwrap_or(&region));
        let pass = self.keys.admit_password(fingerprint, &scope).await?;
        match &*self.lock() {
            Some((at, error)) if at.elapsed() < PAUSE && !pass.has_worked() => {
                return Err(Error::Source(Arc::clone(error)));
            }
            _ => {}
        }
        match self.ask(&endpoint, &password, project_id, &region).await {
            Ok(fetched) => {
                pass.accepted();
                *self.lock() = None;
                Ok(fetched)
            }
            Err(Error::Refused(refusal)) if refusal.status == 401 => {
                pass.refused();
                Err(Error::Refused(refusal))
            }
            // About this project, and none of the others.
            Err(Error::Refused(refusal)) if refusal.status < 500 => Err(Error::Refused(refusal)),
            Err(error) => {
                if matches!(error, Error::Timeout(_)) {
                    pass.unanswered();
                }
                let error = Arc::new(error);
                *self.lock() = Some((Instant::now(), Arc::clone(&error)));
                Err(Error::Source(error))
            }
        }
    }

    async fn ask(
        &self,
        endpoint: &Endpoint,
        password: &SecretString,
        project_id: Option<String>,
        region: &str,
    ) -> Result<Fetched, Error> {
        let project = match &project_id {
            Some(id) => json!({"id": id}),
            None => json!({"name": region}),
        };
        let body = json!({"auth": {
            "identity": {
                "methods": ["password"],
                "password": {"user": {
                    "name": self.user.user,
                    "password": password.expose_secret(),
                    "domain": {"name": self.user.domain},
                }},
            },
            "scope": {"project": project},
        }});
        let request = self
            .http
            .to(endpoint)
            .post(format!("{endpoint}/v3/auth/tokens?nocatalog=true"))
            .header(CONTENT_TYPE, "application/json;charset=utf8")
            .body(body.to_string());
        let answer = exchange(request, &endpoint.host, Instant::now() + PATIENCE).await?;
        let now = (self.clock)();
        if answer.status != StatusCode::CREATED {
            let redact = |text: &str| redact(text, Some(password.expose_secret()));
            return Err(answer.error(Service::Iam, StatusCode::CREATED, now, redact));
        }
        let unreadable = |what: &str| Error::Malformed(format!("IAM sent no {what}"));
        let token = answer.headers.get("x-subject-token").and_then(|token| token.to_str().ok());
        let token = token.filter(|token| !token.is_empty()).ok_or_else(|| unreadable("token"))?.into();
        let document: Result<Document, _> = serde_json::from_slice(&answer.body?);
        let document = document.map_err(|_| unreadable("time at which the token expires that can be read"))?;
        let expires = document.token.expires_at.to_utc();
        let lifetime = (expires - now).to_std().unwrap_or_default();
        let issued_for = document.token.project.map(|project| project.id.into());
        if project_id.is_none() && issued_for.is_none() {
            return Err(unreadable("id of the project that the token is for; set project_id"));
        }
        Ok(Fetched { identity: Identity::Token(token), expires, lifetime, project_id: issued_for })
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Instant, Arc<Error>)>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
