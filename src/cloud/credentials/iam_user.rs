//! Source: an IAM user with a password, for whom IAM issues tokens of one project each.
//!
//! Source of the facts: contract, section 5. A token lives 24 hours; a new one does not end the old ones. IAM locks a
//! user after wrong passwords, so one that never worked is tried once, by one project; one that has worked rests
//! after a refusal as a key does ([`Keys`]).

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
    redact,
};
use crate::{
    cloud::{
        error::{Error, Service},
        exchange::exchange,
        lockout::{Fingerprint, Keys},
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
    http: reqwest::Client,
    clock: Clock,
    /// Passwords are kept from being locked as keys are.
    passwords: Keys,
    /// A plain mutex: held to read or change these few words, never across an await.
    known: Mutex<Known>,
}

/// What is known of the user's passwords, by their fingerprints.
#[derive(Debug, Default)]
struct Known {
    worked: Option<Fingerprint>,
    /// Refused, and it never worked: not tried again.
    wrong: Option<Fingerprint>,
    /// When IAM last gave no verdict on a password, and why.
    failed: Option<(Instant, Arc<Error>)>,
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
    pub fn new(user: IamUser, environment: Environment, http: reqwest::Client, clock: Clock) -> Arc<Self> {
        let (passwords, known) = (Keys::default(), Mutex::default());
        Arc::new(TokenIssuer { user, environment, http, clock, passwords, known })
    }

    /// Obtains a token for a project.
    ///
    /// # Errors
    /// What IAM answered; or that it is not asked, because it has refused this password, or failed a moment ago.
    pub async fn fetch(self: Arc<Self>, project_id: String, region: String) -> Result<Fetched, Error> {
        let password = self.user.password.read_password(&self.environment).await;
        let password = password.map_err(|error| Error::Credentials(error.to_string()))?;
        let fingerprint = Fingerprint::of([&self.user.domain, &self.user.user, password.expose_secret()]);
        let pass = self.passwords.admit(fingerprint, &project_id).await?;
        self.check(fingerprint)?;

        let result = self.ask(&password, &project_id, &region).await;
        let mut known = self.lock();
        match &result {
            Ok(_) => {
                pass.accepted();
                *known = Known { worked: Some(fingerprint), ..Known::default() };
            }
            Err(Error::Refused(refusal)) if refusal.status == 401 => {
                pass.refused();
                if known.worked != Some(fingerprint) {
                    known.wrong = Some(fingerprint);
                }
            }
            Err(error) => known.failed = Some((Instant::now(), Arc::new(Error::Credentials(error.to_string())))),
        }
        result
    }

    fn check(&self, fingerprint: Fingerprint) -> Result<(), Error> {
        let known = self.lock();
        if known.wrong == Some(fingerprint) {
            return Err(Error::Credentials(format!(
                "not asked: IAM refused this password of user {}, and more failures would lock the user; \
                 it is tried again when it changes, or after a restart",
                self.user.user
            )));
        }
        match &known.failed {
            Some((at, error)) if at.elapsed() < PAUSE && known.worked != Some(fingerprint) => {
                Err(Error::Source(Arc::clone(error)))
            }
            _ => Ok(()),
        }
    }

    async fn ask(&self, password: &SecretString, project_id: &str, region: &str) -> Result<Fetched, Error> {
        let endpoint = self.user.endpoint.clone().unwrap_or_else(|| Endpoint::of_iam(region));
        let body = json!({"auth": {
            "identity": {
                "methods": ["password"],
                "password": {"user": {
                    "name": self.user.user,
                    "password": password.expose_secret(),
                    "domain": {"name": self.user.domain},
                }},
            },
            "scope": {"project": {"id": project_id}},
        }});
        let request = self
            .http
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
        Ok(Fetched { identity: Identity::Token(token), expires, lifetime })
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
