//! Builds the clients of all projects and accounts, with the state that they share.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;

use super::{
    client::Client,
    credentials::{Credentials, context::Context, identity::Scope, lockout::Lockout},
    error::SetupError,
    memory::LargeAnswers,
    transport::{
        http::HttpClients,
        reach::{self, ReachStep},
        throttle::Throttle,
    },
};
use crate::{
    config::{Account, ApiSettings, CredentialsSource, Endpoint, Environment, Project},
    usage::Clock,
};

/// The state that all clients share: connections, the state of the keys, the throttle of each credentials entry and host,
/// and the turn of large answers.
#[derive(Debug)]
pub struct Connector {
    settings: ApiSettings,
    http: HttpClients,
    clock: Clock,
    lockout: Arc<Lockout>,
    throttles: Arc<Throttles>,
    large_answers: LargeAnswers,
}

/// The throttles in use, by name of credentials and host.
type Throttles = Mutex<HashMap<(String, String), Arc<Throttle>>>;

impl Connector {
    /// Sets up the connections.
    ///
    /// # Errors
    /// If the CA file or the proxy of the configuration cannot be used.
    pub fn new(settings: ApiSettings, clock: Clock, lockout: Arc<Lockout>) -> Result<Self, SetupError> {
        Self::with(settings, clock, lockout, Arc::default(), LargeAnswers::default())
    }

    /// A connector for changed settings; `None` if they are the same. The new one keeps the state of the keys, so that
    /// a key on hold is not tried. It keeps the throttles if the rate stays the same.
    ///
    /// # Errors
    /// As for [`Connector::new`].
    pub fn renewed(&self, settings: &ApiSettings) -> Result<Option<Self>, SetupError> {
        if *settings == self.settings {
            return Ok(None);
        }
        let is_same_rate = settings.requests_per_second == self.settings.requests_per_second;
        let throttles = if is_same_rate { Arc::clone(&self.throttles) } else { Arc::default() };
        let (lockout, large_answers) = (Arc::clone(&self.lockout), self.large_answers.clone());
        Self::with(settings.clone(), self.clock, lockout, throttles, large_answers).map(Some)
    }

    fn with(
        settings: ApiSettings,
        clock: Clock,
        lockout: Arc<Lockout>,
        throttles: Arc<Throttles>,
        large_answers: LargeAnswers,
    ) -> Result<Self, SetupError> {
        let http = HttpClients::new(&settings)?;
        Ok(Connector { settings, http, clock, lockout, throttles, large_answers })
    }

    /// Credentials that several projects may share.
    pub fn credentials(&self, name: &str, mut source: CredentialsSource, environment: Environment) -> Arc<Credentials> {
        if let CredentialsSource::IamUser(user) = &mut source {
            user.endpoint = user.endpoint.take().or_else(|| self.settings.iam_endpoint.clone());
        }
        let (http, clock, lockout) = (self.http.clone(), self.clock, Arc::clone(&self.lockout));
        Arc::new(Credentials::new(name, source, Context { environment, http, clock, lockout }))
    }

    /// The client of a project. Projects with the same credentials and host share a throttle.
    pub fn client(&self, project: &Project, credentials: Arc<Credentials>) -> Client {
        let scope = Scope {
            project_id: project.project_id.as_deref().map(Arc::from),
            region: project.region.as_str().into(),
            is_account: false,
        };
        let iam_endpoint = self.settings.iam(&project.region);
        self.client_of(project.name.as_str().into(), project.endpoint.clone(), iam_endpoint, scope, credentials)
    }

    /// The client of an account, for the billing service. `region` is the region of a project with the same
    /// credentials, or empty. Temporary keys come from that region, and the account and the project share them.
    pub fn account_client(&self, account: &Account, region: &str, credentials: Arc<Credentials>) -> Client {
        let scope =
            Scope { project_id: account.domain_id.as_deref().map(Arc::from), region: region.into(), is_account: true };
        let iam_endpoint = account.iam_endpoint(&self.settings);
        let name = format!("account {}", account.name).into();
        self.client_of(name, account.endpoint.clone(), iam_endpoint, scope, credentials)
    }

    fn client_of(
        &self,
        name: Arc<str>,
        endpoint: Endpoint,
        iam_endpoint: Endpoint,
        scope: Scope,
        credentials: Arc<Credentials>,
    ) -> Client {
        Client {
            http: self.http.clone(),
            project: name,
            project_id: credentials.project_id_in(if scope.is_account { Scope::ACCOUNT } else { &scope.region }),
            throttle: self.throttle(credentials.name(), &endpoint.host),
            endpoint,
            iam_endpoint,
            scope,
            large_answers: self.large_answers.clone(),
            lockout: Arc::clone(&self.lockout),
            credentials,
            request_timeout: self.settings.request_timeout,
            max_retries: self.settings.max_retries,
            max_rows: self.settings.max_rows,
            clock: self.clock,
        }
    }

    /// Tests step by step whether an endpoint can be reached. No key is used.
    pub async fn reach(&self, endpoint: &Endpoint) -> Vec<ReachStep> {
        reach::reach(&self.http, &self.settings, self.clock, endpoint).await
    }

    fn throttle(&self, credentials: &str, host: &str) -> Arc<Throttle> {
        let mut throttles = self.throttles.lock();
        let key = (credentials.to_owned(), host.to_owned());
        if !throttles.contains_key(&key) {
            // Otherwise, the throttles of removed projects would pile up.
            throttles.retain(|_, throttle| Arc::strong_count(throttle) > 1);
        }
        let new = || Arc::new(Throttle::new(self.settings.requests_per_second));
        Arc::clone(throttles.entry(key).or_insert_with(new))
    }
}
