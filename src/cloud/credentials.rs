//! The credentials of the exporter. A source only fetches an identity. The [cache] keeps and renews it, and the
//! [lock-out](lockout) decides whether it may be used.

pub(super) mod cache;
pub(super) mod context;
mod ecs_agency;
#[cfg(fuzzing)]
pub(super) mod fuzzing;
mod iam_user;
pub(super) mod identity;
mod keys;
pub(super) mod lockout;
mod oidc;
mod pod_identity;
mod profile;
mod temporary;
mod token;

use std::{collections::HashMap, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;

use self::{
    cache::Cache,
    context::Context,
    identity::{Identity, Issued, Scope},
};
use super::error::Error;
use crate::{config::CredentialsSource, usage::Reason};

/// One entry of the section `credentials`, shared by the projects and accounts that name it.
#[derive(Debug)]
pub struct Credentials {
    name: String,
    source: Arc<CredentialsSource>,
    context: Context,
    /// The identities that expire: one for each project, or one under the empty name for all projects.
    identities: Mutex<HashMap<String, Arc<Cache<Issued>>>>,
    /// For each region, the id of the project with its name. For an account, its id, under [`Scope::ACCOUNT`].
    project_ids: Mutex<HashMap<String, Arc<Cache<Arc<str>>>>>,
}

impl Credentials {
    pub(super) fn new(name: &str, source: CredentialsSource, context: Context) -> Self {
        Credentials {
            name: name.to_owned(),
            source: Arc::new(source),
            context,
            identities: Mutex::default(),
            project_ids: Mutex::default(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The cached id of the project with the name of the region, or of the account. All clients that need it share it.
    pub(super) fn project_id_in(&self, region: &str) -> Arc<Cache<Arc<str>>> {
        let mut ids = self.project_ids.lock();
        // A refusal of the key is not kept, because the key may have been replaced when the next project asks.
        let new = || Cache::new(Duration::ZERO, |error| error.reason() != Reason::Auth);
        Arc::clone(ids.entry(region.to_owned()).or_insert_with(new))
    }

    /// The valid identity, fetched or renewed if necessary.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if a variable or file is missing, or the source gives no identity.
    pub(super) async fn identity(&self, scope: &Scope) -> Result<Identity, Error> {
        let issued = match self.cache(scope) {
            Some(cache) => {
                let fetch = || {
                    let (source, context, scope) = (Arc::clone(&self.source), self.context.clone(), scope.clone());
                    async move {
                        let issued = fetch(&source, &context, &scope).await?;
                        let lifetime = issued.lifetime;
                        Ok((issued, lifetime))
                    }
                };
                cache.get(fetch).await
            }
            None => fetch(&self.source, &self.context, scope).await.map_err(Arc::new),
        };
        let issued = issued.map_err(|source| Error::Unavailable { name: self.name.clone(), source })?;
        Ok(issued.identity)
    }

    /// The id of the project that the last identity of this scope is for, if the source tells it.
    pub(super) fn project_id(&self, scope: &Scope) -> Option<Arc<str>> {
        self.cache(scope)?.last()?.project_id
    }

    /// When the last identity of this scope expires, if that is known.
    pub(super) fn expiry(&self, scope: &Scope) -> Option<DateTime<Utc>> {
        self.cache(scope)?.last()?.expires
    }

    /// Another identity than the one that the service has just refused, if the source has one.
    pub(super) async fn another(&self, refused: &Identity, host: &str, scope: &Scope) -> Option<Identity> {
        if let Some(cache) = self.cache(scope) {
            cache.reject();
        }
        match self.identity(scope).await {
            Ok(identity) => (identity.fingerprint(host) != refused.fingerprint(host)).then_some(identity),
            Err(error) => {
                let error = error.report();
                tracing::warn!(error, "the service refused the credentials, and the source gave no new ones");
                None
            }
        }
    }

    /// The cache of the identity for this scope; `None` if the source is read for each request.
    fn cache(&self, scope: &Scope) -> Option<Arc<Cache<Issued>>> {
        let (key, margin) = match &*self.source {
            CredentialsSource::Keys(_) | CredentialsSource::Token(_) | CredentialsSource::Profile(_) => return None,
            CredentialsSource::EcsAgency(_) | CredentialsSource::Oidc(_) | CredentialsSource::PodIdentity(_) => {
                ("", temporary::MARGIN)
            }
            CredentialsSource::IamUser(_) => (scope.project(), iam_user::MARGIN),
        };
        let mut identities = self.identities.lock();
        let cache = identities.entry(key.to_owned()).or_insert_with(|| Cache::new(margin, |_| true));
        Some(Arc::clone(cache))
    }
}

/// Fetches an identity from its source.
async fn fetch(source: &CredentialsSource, context: &Context, scope: &Scope) -> Result<Issued, Error> {
    match source {
        CredentialsSource::Keys(keys) => keys::fetch(keys, context).await,
        CredentialsSource::Token(token) => token::fetch(token, context).await,
        CredentialsSource::Profile(profile) => profile::fetch(profile).await,
        CredentialsSource::IamUser(user) => iam_user::fetch(user, context, scope).await,
        CredentialsSource::EcsAgency(agency) => ecs_agency::fetch(agency, context).await,
        CredentialsSource::Oidc(oidc) => oidc::fetch(oidc, context, scope).await,
        CredentialsSource::PodIdentity(pod) => pod_identity::fetch(pod, context).await,
    }
}
