//! The web policy: which connections and requests the server accepts, according to the current web configuration.
//!
//! A connection or a request checks the files for changes, at most once a second, and reloads changed ones. So new
//! certificates, keys and users take effect without a restart. If the new files are invalid, each problem is logged
//! once, as a warning, and the old files stay in use. Some changes need a restart:
//!
//! - switching TLS on or off, because a client speaks either HTTP or HTTPS;
//! - removing all users, or checking client certificates less strictly, because a file that is only half written looks
//!   like such a change.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use chrono::Utc;
use hyper::{
    HeaderMap,
    header::{AUTHORIZATION, HeaderName, HeaderValue},
};
use parking_lot::Mutex;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::{
    basic_auth::BasicAuth,
    config::{LoadedWeb, WebConfig, load_web},
    rate_limit::TokenBucket,
    rejection::Rejection,
    tls,
};
use crate::config::Problem;

/// Minimum time between two checks of the files.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum time that a connection or a request waits for a check. A slower check continues in the background.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// The current web configuration, and the rules for its replacement.
#[derive(Debug)]
pub struct WebPolicy {
    path: Option<PathBuf>,
    /// Paths without authentication and rate limit.
    exempt: Vec<String>,
    basic_auth: BasicAuth,
    active: ArcSwap<ActiveConfig>,
    last_check: Mutex<LastCheck>,
    /// Held during a check, so that checks do not overlap.
    checking: Arc<Semaphore>,
}

#[derive(Debug)]
struct LastCheck {
    at: Instant,
    fingerprint: [u8; 32],
}

/// A valid configuration, and the objects that are built from it.
struct ActiveConfig {
    config: WebConfig,
    acceptor: Option<TlsAcceptor>,
    headers: HeaderMap,
    bucket: Option<Arc<TokenBucket>>,
}

impl std::fmt::Debug for ActiveConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ActiveConfig").field("config", &self.config).finish_non_exhaustive()
    }
}

impl WebPolicy {
    /// Reads a web configuration file. Without a file, the server speaks plain HTTP and accepts every request.
    ///
    /// # Errors
    /// All problems of the file.
    pub async fn load(path: Option<PathBuf>) -> Result<Self, Vec<Problem>> {
        let basic_auth =
            BasicAuth::new().map_err(|error| vec![Problem::error("basic_auth_users", error.to_string())])?;
        let loaded = match &path {
            Some(path) => load_web(path).await,
            None => LoadedWeb { config: Some(WebConfig::default()), problems: Vec::new(), fingerprint: [0; 32] },
        };
        let last_check = Mutex::new(LastCheck { at: Instant::now(), fingerprint: loaded.fingerprint });
        let active = ArcSwap::from_pointee(ActiveConfig::new(loaded)?);
        let checking = Arc::new(Semaphore::new(1));
        Ok(WebPolicy { path, exempt: Vec::new(), basic_auth, active, last_check, checking })
    }

    /// Accepts requests for these paths without a user and outside the rate limit. Client certificates still apply,
    /// because they belong to the connection.
    pub fn exempt(mut self, paths: &[&str]) -> Self {
        self.exempt.extend(paths.iter().map(|path| (*path).to_owned()));
        self
    }

    /// Warnings of the active configuration: certificates that are not valid now. The configuration is used
    /// nevertheless.
    pub fn warnings(&self) -> Vec<Problem> {
        let active = self.active.load();
        let found = active.config.tls.iter().flat_map(|tls| tls::warnings(tls, Utc::now()));
        match &self.path {
            Some(path) => found.map(|warning| warning.in_file(path)).collect(),
            None => found.collect(),
        }
    }

    /// Whether the server speaks TLS.
    pub fn speaks_tls(&self) -> bool {
        self.active.load().acceptor.is_some()
    }

    /// The TLS acceptor for a new connection; `None` is plain HTTP.
    pub(super) async fn acceptor(self: &Arc<Self>) -> Option<TlsAcceptor> {
        self.reload_if_changed().await;
        self.active.load().acceptor.clone()
    }

    /// Checks the rate limit and the user of a request.
    pub(super) async fn admit(
        self: &Arc<Self>,
        path: &str,
        headers: &HeaderMap,
        client: IpAddr,
    ) -> Result<(), Rejection> {
        if self.exempt.iter().any(|exempt| exempt == path) {
            return Ok(());
        }
        self.reload_if_changed().await;
        let active = self.active.load_full();
        if let Some(bucket) = &active.bucket {
            bucket.take(Instant::now()).map_err(Rejection::TooManyRequests)?;
        }
        let users = &active.config.users;
        if users.is_empty() {
            return Ok(());
        }
        let authorization = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        self.basic_auth.check(users, authorization, client).await
    }

    /// Sets the configured headers of an answer.
    pub(super) fn add_headers(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.active.load().headers {
            headers.insert(name.clone(), value.clone());
        }
    }

    /// Checks the files, if no check was made in the last second.
    async fn reload_if_changed(self: &Arc<Self>) {
        let Some(path) = self.path.clone() else { return };
        let needs_check = || self.last_check.lock().at.elapsed() >= CHECK_INTERVAL;
        if !needs_check() {
            return;
        }
        // A request that arrives during a check waits for the result.
        let permit = timeout(CHECK_TIMEOUT, Arc::clone(&self.checking).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else { return };
        if !needs_check() {
            return;
        }
        let policy = Arc::clone(self);
        let check = tokio::spawn(async move {
            policy.check(&path).await;
            drop(permit);
        });
        // A file on a hanging mount delays requests by no more than the timeout. The check continues, and reports that
        // the file cannot be read.
        let _ = timeout(CHECK_TIMEOUT, check).await;
    }

    async fn check(&self, path: &Path) {
        let loaded = load_web(path).await;
        let has_changed = {
            let mut last_check = self.last_check.lock();
            last_check.at = Instant::now();
            std::mem::replace(&mut last_check.fingerprint, loaded.fingerprint) != loaded.fingerprint
        };
        if !has_changed {
            return;
        }
        match self.successor(loaded) {
            Ok(active) => {
                self.active.store(Arc::new(active));
                tracing::info!("web configuration reloaded");
                for warning in self.warnings() {
                    tracing::warn!("web configuration: {warning}");
                }
            }
            Err(problems) => {
                for problem in problems {
                    tracing::warn!("web configuration not reloaded, the old one stays in use: {problem}");
                }
            }
        }
    }

    /// Builds the configuration that replaces the active one.
    ///
    /// # Errors
    /// If the configuration is invalid, or the change needs a restart.
    fn successor(&self, loaded: LoadedWeb) -> Result<ActiveConfig, Vec<Problem>> {
        let refused = |path: &str, text: &str| Err(vec![Problem::error(path, text)]);
        let mut new = ActiveConfig::new(loaded)?;
        let old = self.active.load_full();
        if new.acceptor.is_some() != old.acceptor.is_some() {
            return refused("tls_server_config", "TLS cannot be switched on or off without a restart");
        }
        if new.config.users.is_empty() && !old.config.users.is_empty() {
            return refused(
                "basic_auth_users",
                "there are no users any more; restart the exporter to allow all clients",
            );
        }
        if let (Some(new), Some(old)) = (&new.config.tls, &old.config.tls)
            && new.is_less_strict_than(old)
        {
            let text = "client certificates are checked less strictly than before; restart the exporter to allow this";
            return refused("tls_server_config.client_auth_type", text);
        }
        if new.config.rate_limit == old.config.rate_limit {
            new.bucket.clone_from(&old.bucket);
        }
        Ok(new)
    }
}

impl ActiveConfig {
    fn new(loaded: LoadedWeb) -> Result<Self, Vec<Problem>> {
        let config = loaded.config.ok_or(loaded.problems)?;
        let acceptor = match &config.tls {
            Some(tls) => {
                let server_config = tls::server_config(tls, config.http2).map_err(|problem| vec![problem])?;
                Some(TlsAcceptor::from(Arc::new(server_config)))
            }
            None => None,
        };
        let header = |(name, value): &(&'static str, String)| {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            Some((name, HeaderValue::from_str(value).ok()?))
        };
        let headers = config.headers.iter().filter_map(header).collect();
        let bucket = config.rate_limit.map(|limit| Arc::new(TokenBucket::new(limit)));
        Ok(ActiveConfig { config, acceptor, headers, bucket })
    }
}
