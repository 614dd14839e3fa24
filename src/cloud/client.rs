//! The HTTP client: one GET with everything that makes it safe to send.
//!
//! Each attempt waits for its turn ([`Throttle`]) and for leave to use the key ([`Keys`]), is signed afresh, and is
//! bounded in time and size. Redirects are not followed.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use reqwest::{
    Certificate, Proxy, StatusCode,
    header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue},
    redirect, tls,
};
use secrecy::ExposeSecret;
use thiserror::Error;
use tokio::time::{Instant, sleep};

use super::{
    credentials::{Credentials, Identity, Scope},
    error::{Error, Service},
    exchange::{Answer, chain, excerpt, exchange, in_parentheses},
    lockout::Keys,
    retry::Retries,
    signing::{self, Payload},
    throttle::Throttle,
    wire::Unreadable,
};
use crate::{
    config::{Api, CredentialsSource, Endpoint, Environment, Project},
    usage::Clock,
};

/// What all clients share: connections, the state of the keys, and the pace of each account and region.
#[derive(Debug)]
pub struct Connector {
    http: reqwest::Client,
    /// For endpoints on this machine, which no proxy could reach.
    direct: reqwest::Client,
    api: Api,
    clock: Clock,
    keys: Arc<Keys>,
    /// By name of credentials and host. A plain mutex: held to look up, never across an await.
    throttles: Mutex<HashMap<(String, String), Arc<Throttle>>>,
}

/// The client of one project.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    endpoint: Endpoint,
    /// Whose name stands in the logs and in the lock-out's books.
    project: String,
    credentials: Arc<Credentials>,
    project_id: String,
    region: String,
    keys: Arc<Keys>,
    throttle: Arc<Throttle>,
    api: Api,
    clock: Clock,
}

/// What a poll's requests cost, for the metrics.
#[derive(Clone, Debug, Default)]
pub struct RequestLog {
    /// Requests by HTTP status; `None` where no status came back.
    pub codes: BTreeMap<Option<u16>, u64>,
    /// Attempts after the first.
    pub retries: u64,
    /// How long each request took, body included.
    pub durations: Vec<Duration>,
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
    /// The CA file cannot be read.
    #[error("api.ca_file: {0}")]
    CaFile(#[from] std::io::Error),
    /// The certificates in it or the proxy cannot be used.
    #[error("api.ca_file or api.proxy: {}", chain(.0))]
    Client(#[from] reqwest::Error),
}

impl Connector {
    /// Builds the connections' common part.
    ///
    /// # Errors
    /// If the CA file or the proxy of the configuration cannot be used.
    pub fn new(api: Api, clock: Clock) -> Result<Self, SetupError> {
        let certificates = match &api.ca_file {
            Some(path) => {
                let pem = std::fs::read(path)?;
                Certificate::from_pem_bundle(&pem)?
            }
            None => Vec::new(),
        };
        let builder = || {
            reqwest::Client::builder()
                .user_agent(concat!("metastudio-exporter/", env!("CARGO_PKG_VERSION")))
                .redirect(redirect::Policy::none())
                // The signature covers the Host header as HTTP/1.1 sends it (contract, 3.7).
                .http1_only()
                .tls_version_min(tls::Version::TLS_1_2)
                .tls_certs_merge(certificates.clone())
                .connect_timeout(api.request_timeout)
        };
        let direct = builder().no_proxy().build()?;
        let http = match &api.proxy {
            Some(url) => builder().proxy(Proxy::all(url.expose_secret())?).build()?,
            None => builder().build()?,
        };
        Ok(Connector { http, direct, api, clock, keys: Arc::default(), throttles: Mutex::default() })
    }

    /// Credentials that several projects may share.
    pub fn credentials(&self, name: &str, source: CredentialsSource, environment: Environment) -> Arc<Credentials> {
        let (http, direct) = (self.http.clone(), self.direct.clone());
        Arc::new(Credentials::new(name, source, environment, self.clock, http, direct))
    }

    /// The client of a project. Projects with the same credentials and host share a pace.
    pub fn client(&self, project: &Project, credentials: Arc<Credentials>) -> Client {
        let endpoint = &project.endpoint;
        let throttle = {
            let mut throttles = self.throttles.lock().unwrap_or_else(PoisonError::into_inner);
            let throttle = throttles
                .entry((credentials.name.clone(), endpoint.host.clone()))
                .or_insert_with(|| Arc::new(Throttle::new(self.api.requests_per_second)));
            Arc::clone(throttle)
        };
        Client {
            http: if endpoint.is_loopback { self.direct.clone() } else { self.http.clone() },
            endpoint: endpoint.clone(),
            project: project.name.clone(),
            credentials,
            project_id: project.project_id.clone(),
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
        Scope { project_id: &self.project_id, region: &self.region }
    }

    /// Gets `path` with a query, retrying what is worth it until `deadline`.
    ///
    /// # Errors
    /// The last attempt's error.
    pub async fn get(
        &self,
        path: &str,
        query: &[(&str, &str)],
        headers: &[(&str, &str)],
        deadline: Instant,
        log: &mut RequestLog,
    ) -> Result<Response, Error> {
        let query = signing::canonical_query(query);
        let mut retries = Retries::new(self.api.max_retries, deadline);
        let mut identity = self.credentials.identity(self.scope()).await?;
        let mut renewed = false;
        loop {
            let error = match self.attempt(path, &query, headers, &identity, deadline, log).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            if error.is_key_refused() && !renewed {
                // A secret may have been rotated a moment ago, a token may have ended early: another one gets its
                // own, single try.
                renewed = true;
                if let Some(another) = self.credentials.another(&identity, &self.endpoint.host, self.scope()).await {
                    tracing::info!(project = self.project, "the key or token was refused: trying the one in force now");
                    identity = another;
                    log.retries += 1;
                    continue;
                }
            }
            let Some(wait) = retries.after(&error) else { return Err(error) };
            tracing::debug!(project = self.project, %error, wait = ?wait, "request failed, will retry");
            sleep(wait).await;
            log.retries += 1;
        }
    }

    async fn attempt(
        &self,
        path: &str,
        query: &str,
        headers: &[(&str, &str)],
        identity: &Identity,
        deadline: Instant,
        log: &mut RequestLog,
    ) -> Result<Response, Error> {
        let pass = self.keys.admit(identity.fingerprint(&self.endpoint.host), &self.project).await?;
        self.throttle.turn().await;
        pass.check()?;

        let headers = self.headers(path, query, headers, identity)?;
        let url = format!("{}{path}?{query}", self.endpoint);
        let start = Instant::now();
        let last = (start + self.api.request_timeout).min(deadline);
        let answer = exchange(self.http.get(url).headers(headers), &self.endpoint.host, last).await;
        let status = answer.as_ref().ok().map(|answer| answer.status.as_u16());
        let result = answer.and_then(|answer| self.judge(answer, identity));
        *log.codes.entry(status).or_default() += 1;
        log.durations.push(start.elapsed());
        match &result {
            Ok(_) => pass.accepted(),
            Err(error) if error.is_key_refused() => pass.refused(),
            // Known, but not allowed.
            Err(Error::Refused(refusal)) if refusal.status == 403 => pass.accepted(),
            Err(_) => {}
        }
        result
    }

    fn headers(
        &self,
        path: &str,
        query: &str,
        given: &[(&str, &str)],
        identity: &Identity,
    ) -> Result<HeaderMap, Error> {
        let date = (self.clock)().format("%Y%m%dT%H%M%SZ").to_string();
        let mut headers = given.to_vec();
        headers.push(("host", &self.endpoint.host));
        let authorization;
        match identity {
            Identity::Token(token) => headers.push(("x-auth-token", token.expose_secret())),
            Identity::Keys { access_key, secret_key, security_token } => {
                headers.push(("x-sdk-date", &date));
                headers.extend(security_token.iter().map(|token| ("x-security-token", token.expose_secret())));
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

    /// Judges an answer, its status first.
    fn judge(&self, answer: Answer, identity: &Identity) -> Result<Response, Error> {
        if answer.status != StatusCode::OK {
            return Err(answer.error(Service::MetaStudio, StatusCode::OK, (self.clock)(), |text| identity.redact(text)));
        }
        let request_id = answer.request_id();
        Ok(Response { body: answer.body?, request_id, identity: identity.clone() })
    }
}
