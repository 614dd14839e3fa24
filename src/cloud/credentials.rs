//! Who the exporter is to the cloud. A source only fetches an [`Identity`]; how long it is kept and who renews it is up
//! to the cache alone, and whether it may be used up to [`lockout`].

mod cache;
mod ecs_agency;
mod iam_user;
mod keys;
pub mod lockout;
mod oidc;
mod pod_identity;
mod profile;
pub(super) mod project_id;
mod temporary;
mod token;

use std::{
    collections::HashMap,
    fmt::Display,
    sync::{Arc, Mutex, PoisonError},
};

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};

use self::{
    cache::{Cache, Fetched},
    iam_user::TokenIssuer,
    lockout::{Fingerprint, Lockout},
    project_id::ProjectId,
};
use super::{error::Error, transport::exchange::Http};
use crate::{
    config::{CredentialsSource, EcsAgency, Environment, KeyPair, Oidc, PodIdentity, Profile, Secret},
    usage::Clock,
};

/// What a request is signed or marked with. `Debug` shows nothing of it.
#[derive(Clone, Debug)]
pub enum Identity {
    /// A key pair that signs (contract, section 3).
    Keys {
        /// The access key (AK). Not secret, but nobody's business.
        access_key: SecretString,
        /// The secret key (SK).
        secret_key: SecretString,
        /// The token that belongs to temporary keys.
        security_token: Option<SecretString>,
    },
    /// A token that is sent along (contract, section 5).
    Token(SecretString),
}

impl Identity {
    /// Which key this is. A token is the token of one project in one region, so the host is a part of it; a key is
    /// locked wherever it is used.
    pub fn fingerprint(&self, host: &str) -> Fingerprint {
        match self {
            Identity::Keys { access_key, secret_key, security_token } => Fingerprint::of([
                access_key.expose_secret(),
                secret_key.expose_secret(),
                security_token.as_ref().map_or("", |token| token.expose_secret()),
            ]),
            Identity::Token(token) => Fingerprint::of([token.expose_secret(), host]),
        }
    }

    /// Takes everything secret out of a text that somebody else wrote.
    pub fn redact(&self, text: &str) -> String {
        let secrets = match self {
            Identity::Keys { access_key, secret_key, security_token } => {
                [Some(access_key), Some(secret_key), security_token.as_ref()]
            }
            Identity::Token(token) => [Some(token), None, None],
        };
        let mut secrets: Vec<&SecretString> = secrets.into_iter().flatten().collect();
        // One may be a part of another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.expose_secret().len()));
        secrets.into_iter().fold(text.to_owned(), |text, secret| redact(&text, Some(secret.expose_secret())))
    }
}

/// Which project an identity is for: a token is issued for one.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The project's id; `None` is the project that bears the region's name.
    pub project_id: Option<&'a str>,
    /// Its region; empty where only an endpoint is configured.
    pub region: &'a str,
}

/// One entry of the section `credentials`, shared by the projects that name it.
#[derive(Debug)]
pub struct Credentials {
    /// Its name.
    pub name: String,
    source: Source,
    environment: Environment,
    clock: Clock,
    /// The ids of the projects that bear their regions' names. A plain mutex: held to look one up, never across an
    /// await.
    projects: Mutex<HashMap<String, Arc<ProjectId>>>,
}

/// A source and what it keeps.
#[derive(Debug)]
enum Source {
    /// Read anew each time: whoever rotates it writes it.
    Keys(KeyPair),
    /// Read anew each time.
    Token(Secret),
    /// Read anew each time.
    Profile(Profile),
    /// Keys that are the same for all projects.
    Temporary { issuer: KeyIssuer, http: Http, cache: Arc<Cache> },
    /// A token for each project. A plain mutex: held to look a cache up, never across an await.
    IamUser { issuer: Arc<TokenIssuer>, caches: Mutex<HashMap<String, Arc<Cache>>> },
}

/// Who gives temporary keys.
#[derive(Clone, Debug)]
enum KeyIssuer {
    EcsAgency(EcsAgency),
    Oidc(Oidc),
    PodIdentity(PodIdentity),
}

impl Credentials {
    /// Credentials from `source`.
    pub(super) fn new(
        name: &str,
        source: CredentialsSource,
        environment: Environment,
        clock: Clock,
        http: Http,
        keys: Arc<Lockout>,
    ) -> Self {
        let temporary = |issuer, http| Source::Temporary { issuer, http, cache: Cache::new(temporary::MARGIN) };
        let source = match source {
            CredentialsSource::Keys(keys) => Source::Keys(keys),
            CredentialsSource::Token(token) => Source::Token(token),
            CredentialsSource::Profile(profile) => Source::Profile(profile),
            CredentialsSource::EcsAgency(agency) => temporary(KeyIssuer::EcsAgency(agency), http),
            CredentialsSource::Oidc(oidc) => temporary(KeyIssuer::Oidc(oidc), http),
            CredentialsSource::PodIdentity(pod) => temporary(KeyIssuer::PodIdentity(pod), http),
            CredentialsSource::IamUser(user) => {
                let issuer = TokenIssuer::new(user, environment.clone(), http, clock, keys);
                Source::IamUser { issuer, caches: Mutex::default() }
            }
        };
        Credentials { name: name.to_owned(), source, environment, clock, projects: Mutex::default() }
    }

    /// The id of the project that bears the region's name, for all who need it.
    pub(super) fn project_of(&self, region: &str) -> Arc<ProjectId> {
        let mut projects = self.projects.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(projects.entry(region.to_owned()).or_insert_with(ProjectId::new))
    }

    /// The identity in force now, fetched or renewed if need be.
    ///
    /// # Errors
    /// [`Error::Unavailable`], with the name of these credentials, where a variable or file is missing or the source gives
    /// nothing.
    pub async fn identity(&self, scope: Scope<'_>) -> Result<Identity, Error> {
        let identity = match &self.source {
            Source::Keys(keys) => keys::fetch(keys, &self.environment).await.map_err(unreadable),
            Source::Token(token) => token::fetch(token, &self.environment).await.map_err(unreadable),
            Source::Profile(profile) => profile::fetch(profile).await.map_err(unreadable),
            Source::Temporary { issuer, http, cache } => {
                let (environment, region) = (self.environment.clone(), scope.region.to_owned());
                cache.get(issuer.clone().fetch(environment, http.clone(), region, self.clock)).await
            }
            Source::IamUser { issuer, caches } => {
                let (project_id, region) = (scope.project_id.map(str::to_owned), scope.region.to_owned());
                cache_of(caches, scope).get(Arc::clone(issuer).fetch(project_id, region)).await
            }
        };
        identity.map_err(|error| Error::Unavailable { name: self.name.clone(), error })
    }

    /// The project that the identity in force of this scope is for, where the source says so.
    pub fn project_id(&self, scope: Scope<'_>) -> Option<Arc<str>> {
        self.cache(scope)?.project_id()
    }

    /// Another identity than the one that the service has just refused, if the source has one.
    pub async fn another(&self, refused: &Identity, host: &str, scope: Scope<'_>) -> Option<Identity> {
        if let Some(cache) = self.cache(scope) {
            cache.reject();
        }
        match self.identity(scope).await {
            Ok(identity) => (identity.fingerprint(host) != refused.fingerprint(host)).then_some(identity),
            Err(error) => {
                tracing::warn!(%error, "the service refused the credentials, and there are no others");
                None
            }
        }
    }

    /// When the identity of this scope expires, if that is known.
    pub fn expiry(&self, scope: Scope<'_>) -> Option<DateTime<Utc>> {
        self.cache(scope)?.expires()
    }

    fn cache(&self, scope: Scope<'_>) -> Option<Arc<Cache>> {
        match &self.source {
            Source::Keys(_) | Source::Token(_) | Source::Profile(_) => None,
            Source::Temporary { cache, .. } => Some(Arc::clone(cache)),
            Source::IamUser { caches, .. } => Some(cache_of(caches, scope)),
        }
    }
}

impl KeyIssuer {
    async fn fetch(self, environment: Environment, http: Http, region: String, clock: Clock) -> Result<Fetched, Error> {
        match self {
            // A link-local address.
            KeyIssuer::EcsAgency(agency) => ecs_agency::fetch(agency, http.direct, clock).await,
            KeyIssuer::Oidc(oidc) => oidc::fetch(oidc, environment, http, region, clock).await,
            // On the same node, or within the cluster.
            KeyIssuer::PodIdentity(pod) => pod_identity::fetch(pod, environment, http.direct, clock).await,
        }
    }
}

fn unreadable(error: impl Display) -> Arc<Error> {
    Arc::new(Error::Credentials(error.to_string()))
}

fn cache_of(caches: &Mutex<HashMap<String, Arc<Cache>>>, scope: Scope<'_>) -> Arc<Cache> {
    let mut caches = caches.lock().unwrap_or_else(PoisonError::into_inner);
    let key = scope.project_id.unwrap_or(scope.region).to_owned();
    Arc::clone(caches.entry(key).or_insert_with(|| Cache::new(iam_user::MARGIN)))
}

/// Takes a secret out of a text that somebody else wrote, as it is and as JSON writes it.
fn redact(text: &str, secret: Option<&str>) -> String {
    let Some(secret) = secret.filter(|secret| !secret.is_empty()) else { return text.to_owned() };
    let quoted = serde_json::Value::from(secret).to_string();
    text.replace(secret, "<secret>").replace(quoted.trim_matches('"'), "<secret>")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(access_key: &str, secret_key: &str, security_token: Option<&str>) -> Identity {
        Identity::Keys {
            access_key: access_key.into(),
            secret_key: secret_key.into(),
            security_token: security_token.map(Into::into),
        }
    }

    #[test]
    fn every_part_counts_for_the_fingerprint() {
        let base = keys("a", "s", None).fingerprint("h");
        assert_eq!(keys("a", "s", None).fingerprint("other"), base, "a key is the same key everywhere");
        for other in [keys("as", "", None), keys("a", "t", None), keys("a", "s", Some("t"))] {
            assert_ne!(other.fingerprint("h"), base);
        }
        let token = Identity::Token("t".into());
        assert_ne!(token.fingerprint("h"), token.fingerprint("other"), "a token belongs to its region");
    }

    #[test]
    fn nothing_secret_is_shown() {
        let identity = keys("AKAK", "SKSK", Some("TOKEN"));
        let shown = format!("{identity:?} {}", identity.redact("AK: AKAK, SK: SKSK, x-security-token:TOKEN"));
        for secret in ["AKAK", "SKSK", "TOKEN"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        let nested = keys("AKAK", "AKAKSKSK", None).redact("AKAK AKAKSKSK");
        assert_eq!(nested, "<secret> <secret>");
    }
}
