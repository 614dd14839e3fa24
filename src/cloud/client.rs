//! The HTTP client: one GET with everything that makes it safe to send.
//!
//! Each attempt waits for its turn ([`Throttle`]) and for leave to use the key ([`Lockout`]), is signed afresh, and is
//! bounded in time and size. Redirects are not followed.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use reqwest::{
    Proxy, StatusCode,
    header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue},
    redirect,
};
use secrecy::ExposeSecret;
use thiserror::Error;
use tokio::time::{Instant, sleep};

use super::{
    credentials::{
        Credentials, Identity, Scope,
        lockout::Lockout,
        project_id::{self, ProjectId},
    },
    error::{Error, Service},
    transport::{
        exchange::{Answer, Http, chain, excerpt, exchange, in_parentheses},
        retry::Retries,
        signing::{self, Payload},
        task::run_to_end,
        throttle::Throttle,
        tls,
    },
    usage_api::wire::Unreadable,
};
use crate::{
    config::{ApiSettings, CredentialsSource, Endpoint, Environment, Project},
    usage::{Clock, Counters, Operation},
};

/// What all clients share: connections, the state of the keys, and the pace of each account and region.
#[derive(Debug)]
pub struct Connector {
    http: Http,
    api: ApiSettings,
    clock: Clock,
    keys: Arc<Lockout>,
    throttles: Arc<Throttles>,
}

/// The throttles in use, by name of credentials and host.
type Throttles = Mutex<HashMap<(String, String), Arc<Throttle>>>;

/// The client of one project.
#[derive(Debug)]
pub struct Client {
    http: Http,
    endpoint: Endpoint,
    /// Where ids of projects are looked up.
    iam: Endpoint,
    /// Whose name stands in the logs and in the lock-out's books.
    project: String,
    credentials: Arc<Credentials>,
    /// The configured id.
    project_id: Option<Arc<str>>,
    /// The id of the project that bears the region's name, shared with all who need it.
    of_region: Arc<ProjectId>,
    region: String,
    keys: Arc<Lockout>,
    throttle: Arc<Throttle>,
    api: ApiSettings,
    clock: Clock,
}

/// What is asked, by as many attempts as it takes.
struct Call<'a> {
    service: Service,
    endpoint: &'a Endpoint,
    path: &'a str,
    /// As it is signed.
    query: String,
    headers: &'a [(&'a str, &'a str)],
}

impl Call<'_> {
    fn operation(&self) -> Operation {
        if self.service == Service::MetaStudio { Operation::ShowUsageData } else { Operation::ListProjects }
    }
}

/// A 200 and its body.
#[derive(Debug)]
pub struct Response {
    /// The body, at most 32 MiB.
    pub body: Vec<u8>,
    request_id: Option<String>,
    /// What must not be shown of the body.
    identity: Identity,
}

impl Response {
    /// The error for a body that is not what it should be.
    pub fn malformed(&self, cause: &Unreadable) -> Error {
        // Redacted as a whole, then cut: half a token would not be recognised.
        let beginning = excerpt(&self.identity.redact(&String::from_utf8_lossy(&self.body)), 80);
        let excerpt = if beginning.is_empty() { "it is empty" } else { &format!("it begins with {beginning:?}") };
        let id = in_parentheses(self.request_id.as_deref());
        Error::Malformed(format!("HTTP 200 with a body that is not usage data: {cause}; {excerpt}{id}"))
    }
}

/// The connections to the cloud cannot be set up as configured.
#[derive(Debug, Error)]
pub enum SetupError {
    /// What is wrong with the certificates.
    #[error("api.ca_file: {0}")]
    Ca(String),
    /// What is wrong with the rest, which leaves the proxy.
    #[error("api.proxy: {}", chain(.0))]
    Proxy(#[from] reqwest::Error),
}

impl Connector {
    /// Builds the connections' common part.
    ///
    /// # Errors
    /// If the CA file or the proxy of the configuration cannot be used.
    pub fn new(api: ApiSettings, clock: Clock) -> Result<Self, SetupError> {
        Self::with(api, clock, Arc::default(), Arc::default())
    }

    /// The connector for another `api`; `None` where this one will do. They share what must outlast a change: the state
    /// of the keys, lest one that rests be tried, and the paces where the rate stays.
    ///
    /// # Errors
    /// As [`Connector::new`].
    pub fn renewed(&self, api: &ApiSettings) -> Result<Option<Self>, SetupError> {
        if *api == self.api {
            return Ok(None);
        }
        let is_same_rate = api.requests_per_second == self.api.requests_per_second;
        let throttles = if is_same_rate { Arc::clone(&self.throttles) } else { Arc::default() };
        Self::with(api.clone(), self.clock, Arc::clone(&self.keys), throttles).map(Some)
    }

    fn with(api: ApiSettings, clock: Clock, keys: Arc<Lockout>, throttles: Arc<Throttles>) -> Result<Self, SetupError> {
        let tls = tls::client_config(&api.ca)?;
        let builder = || {
            reqwest::Client::builder()
                .user_agent(concat!("metastudio-exporter/", env!("CARGO_PKG_VERSION")))
                .redirect(redirect::Policy::none())
                // The signature covers the Host header as HTTP/1.1 sends it (contract, 3.7).
                .http1_only()
                .tls_backend_preconfigured(tls.clone())
                .connect_timeout(api.request_timeout)
        };
        let direct = builder().no_proxy().build()?;
        let proxied = match &api.proxy {
            Some(url) => builder().proxy(Proxy::all(url.expose_secret())?).build()?,
            None => builder().build()?,
        };
        Ok(Connector { http: Http { proxied, direct }, api, clock, keys, throttles })
    }

    pub(super) fn api(&self) -> &ApiSettings {
        &self.api
    }

    pub(super) fn clock(&self) -> Clock {
        self.clock
    }

    pub(super) fn http(&self) -> &Http {
        &self.http
    }

    /// Credentials that several projects may share.
    pub fn credentials(&self, name: &str, mut source: CredentialsSource, environment: Environment) -> Arc<Credentials> {
        if let CredentialsSource::IamUser(user) = &mut source {
            user.endpoint = user.endpoint.take().or_else(|| self.api.iam_endpoint.clone());
        }
        let (http, keys) = (self.http.clone(), Arc::clone(&self.keys));
        Arc::new(Credentials::new(name, source, environment, self.clock, http, keys))
    }

    /// The client of a project. Projects with the same credentials and host share a pace.
    pub fn client(&self, project: &Project, credentials: Arc<Credentials>) -> Client {
        let throttle = {
            let mut throttles = self.throttles.lock();
            let group = (credentials.name.clone(), project.endpoint.host.clone());
            if !throttles.contains_key(&group) {
                // Those of projects that have gone must not pile up.
                throttles.retain(|_, throttle| Arc::strong_count(throttle) > 1);
            }
            let throttle =
                throttles.entry(group).or_insert_with(|| Arc::new(Throttle::new(self.api.requests_per_second)));
            Arc::clone(throttle)
        };
        let of_region = credentials.project_of(&project.region);
        Client {
            http: self.http.clone(),
            endpoint: project.endpoint.clone(),
            iam: self.api.iam(&project.region),
            project: project.name.clone(),
            credentials,
            project_id: project.project_id.as_deref().map(Arc::from),
            of_region,
            region: project.region.clone(),
            keys: Arc::clone(&self.keys),
            throttle,
            api: self.api.clone(),
            clock: self.clock,
        }
    }
}

impl Client {
    /// Entries a page, for the API's `limit`.
    pub fn page_size(&self) -> usize {
        self.api.page_size
    }

    /// When the identity of this client's project expires, if that is known.
    pub fn credentials_expiry(&self) -> Option<DateTime<Utc>> {
        self.credentials.expiry(self.scope())
    }

    fn scope(&self) -> Scope<'_> {
        Scope { project_id: self.project_id.as_deref(), region: &self.region }
    }

    /// The project's id, as far as it is known.
    pub fn known_project_id(&self) -> Option<Arc<str>> {
        self.project_id.clone().or_else(|| self.credentials.project_id(self.scope())).or_else(|| self.of_region.known())
    }

    /// The project's id: the configured one, or else that of the project that bears the region's name. That one
    /// comes with the token where there is one for the project, and is looked up once where there is not.
    ///
    /// # Errors
    /// Why it could not be looked up.
    pub async fn project_id(&self, deadline: Instant, counters: &mut Counters) -> Result<Arc<str>, Error> {
        if let Some(id) = self.project_id.clone().or_else(|| self.of_region.known()) {
            return Ok(id);
        }
        self.credentials.identity(self.scope()).await?;
        if let Some(id) = self.credentials.project_id(self.scope()) {
            return Ok(id);
        }
        let look_up = async {
            let query = [("name", &*self.region)];
            let response = self.get(Service::Projects, "/v3/projects", &query, &[], deadline, counters).await?;
            project_id::of_region(&response.body, &self.region)
        };
        self.of_region.get(look_up).await
    }

    fn endpoint(&self, service: Service) -> &Endpoint {
        if service == Service::MetaStudio { &self.endpoint } else { &self.iam }
    }

    /// Gets `path` of MetaStudio, or of IAM, with a query, retrying what is worth it until `deadline`.
    ///
    /// # Errors
    /// The last attempt's error.
    pub async fn get(
        &self,
        service: Service,
        path: &str,
        query: &[(&str, &str)],
        headers: &[(&str, &str)],
        deadline: Instant,
        counters: &mut Counters,
    ) -> Result<Response, Error> {
        let call =
            Call { endpoint: self.endpoint(service), service, path, query: signing::canonical_query(query), headers };
        let mut retries = Retries::new(self.api.max_retries, deadline);
        let mut identity = self.credentials.identity(self.scope()).await?;
        let mut renewed = false;
        loop {
            let error = match self.attempt(&call, &identity, deadline, counters).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            if error.is_key_refused() && !renewed {
                // A secret may have been rotated a moment ago, a token may have ended early: another one gets its
                // own, single try.
                renewed = true;
                if let Some(another) = self.credentials.another(&identity, &call.endpoint.host, self.scope()).await {
                    tracing::info!(project = self.project, "the key or token was refused: trying the one in force now");
                    identity = another;
                    counters.count_retry(call.operation());
                    continue;
                }
            }
            if error.is_foreign_project() {
                self.of_region.forget();
            }
            let Some(wait) = retries.after(&error) else { return Err(error) };
            tracing::debug!(project = self.project, %error, wait = ?wait, "request failed, will retry");
            sleep(wait).await;
            counters.count_retry(call.operation());
        }
    }

    async fn attempt(
        &self,
        call: &Call<'_>,
        identity: &Identity,
        deadline: Instant,
        counters: &mut Counters,
    ) -> Result<Response, Error> {
        let Call { endpoint, path, query, .. } = call;
        let pass = self.keys.admit(identity.fingerprint(&endpoint.host), &self.project).await?;
        self.throttle.turn().await;
        pass.check()?;

        let headers = self.headers(call, identity)?;
        let url = format!("{endpoint}{path}?{query}");
        let start = Instant::now();
        let last = (start + self.api.request_timeout).min(deadline);
        let request = self.http.to(endpoint).get(url).headers(headers);
        let (service, host, identity, clock) = (call.service, endpoint.host.clone(), identity.clone(), self.clock);
        // What the service says of the key is known even if the poll is ended meanwhile, by a reload. Otherwise reload
        // after reload could send a wrong key without ever learning that it is one.
        let sent = run_to_end(async move {
            let answer = exchange(request, &host, last).await;
            let status = answer.as_ref().ok().map(|answer| answer.status.as_u16());
            let result = answer.and_then(|answer| judge(service, answer, identity, clock));
            match &result {
                Ok(_) => pass.accepted(),
                Err(error) if error.is_key_refused() => pass.refused(),
                // Known, but not allowed.
                Err(Error::Refused(refusal)) if refusal.status == 403 => pass.accepted(),
                // A status without its body says neither yes nor no.
                Err(Error::Timeout(_)) if status.is_none() => pass.unanswered(),
                Err(_) => {}
            }
            (status, result)
        });
        let (status, result) = sent.await;
        counters.count_request(call.operation(), status, start.elapsed());
        result
    }

    fn headers(&self, call: &Call<'_>, identity: &Identity) -> Result<HeaderMap, Error> {
        let date = (self.clock)().format("%Y%m%dT%H%M%SZ").to_string();
        let mut headers = call.headers.to_vec();
        headers.push(("host", &call.endpoint.host));
        let authorization;
        match identity {
            Identity::Token(token) => headers.push(("x-auth-token", token.expose_secret())),
            Identity::Keys { access_key, secret_key, security_token } => {
                headers.push(("x-sdk-date", &date));
                headers.extend(security_token.iter().map(|token| ("x-security-token", token.expose_secret())));
                let Call { path, query, .. } = call;
                let request =
                    signing::Request { method: "GET", path, query, headers: &headers, payload: Payload::Signed(b"") };
                authorization =
                    signing::authorization(access_key.expose_secret(), secret_key.expose_secret(), &date, &request);
                headers.push((AUTHORIZATION.as_str(), &authorization));
            }
        }
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let invalid = || Error::Credentials(format!("the value of the header {name} cannot be sent"));
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
            let mut value = HeaderValue::from_str(value).map_err(|_| invalid())?;
            value.set_sensitive(name != HOST);
            map.insert(name, value);
        }
        Ok(map)
    }
}

/// Judges an answer, its status first.
fn judge(service: Service, answer: Answer, identity: Identity, clock: Clock) -> Result<Response, Error> {
    if answer.status != StatusCode::OK {
        return Err(answer.error(service, StatusCode::OK, clock(), |text| identity.redact(text)));
    }
    let request_id = answer.request_id();
    Ok(Response { body: answer.body?, request_id, identity })
}
