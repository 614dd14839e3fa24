//! Who may come in, and how: the web configuration in force.
//!
//! The files are looked at again when somebody comes, at most once a second, so that new certificates, keys and users
//! count from then on. What is wrong, or half written, is said once and the old state stays. Some things cannot change
//! while the exporter runs: whether there is TLS at all, because clients would be met by something else than they
//! speak; and that users or verified client certificates are asked for, because a file that was cut off would open the
//! door.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use hyper::{
    HeaderMap,
    header::{AUTHORIZATION, HeaderName, HeaderValue},
};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::{
    basic_auth::BasicAuth,
    config::{LoadedWeb, WebConfig, load_web},
    rate_limit::Bucket,
    tls,
};
use crate::config::Problem;

/// How often the files are looked at, at the most.
const PAUSE: Duration = Duration::from_secs(1);
/// How long somebody who comes waits for that.
const PATIENCE: Duration = Duration::from_secs(1);

/// Paths that probes ask for.
const HEALTH: [&str; 2] = ["/-/healthy", "/-/ready"];

/// Stands before the site.
#[derive(Debug)]
pub struct WebPolicy {
    path: Option<PathBuf>,
    /// Whether the paths of [`HEALTH`] are for everybody.
    health_for_all: bool,
    gate: BasicAuth,
    state: ArcSwap<State>,
    /// What the files held when last looked at, and when that was. A plain mutex: held to compare, never across an
    /// await.
    looked: Mutex<Looked>,
    /// Held by the one who looks.
    looking: Arc<Semaphore>,
}

#[derive(Debug)]
struct Looked {
    at: Instant,
    fingerprint: [u8; 32],
}

/// What is in force.
struct State {
    config: WebConfig,
    acceptor: Option<TlsAcceptor>,
    headers: HeaderMap,
    bucket: Option<Arc<Bucket>>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// No user, or a wrong password.
    Unauthorized,
    /// Too many requests; how long to wait.
    TooMany(Duration),
}

impl WebPolicy {
    /// Reads the web configuration; without a file everybody comes in.
    ///
    /// # Errors
    /// Everything that is wrong with the file.
    pub async fn new(path: Option<PathBuf>, health_for_all: bool) -> Result<Arc<Self>, Vec<Problem>> {
        let gate = BasicAuth::new().map_err(|error| vec![Problem::error("basic_auth_users", error.to_string())])?;
        let loaded = match &path {
            Some(path) => load_web(path).await,
            None => LoadedWeb { config: Some(WebConfig::default()), problems: Vec::new(), fingerprint: [0; 32] },
        };
        let fingerprint = loaded.fingerprint;
        let state = ArcSwap::from_pointee(State::of(loaded)?);
        let looked = Mutex::new(Looked { at: Instant::now(), fingerprint });
        Ok(Arc::new(WebPolicy { path, health_for_all, gate, state, looked, looking: Arc::new(Semaphore::new(1)) }))
    }

    /// Whether TLS is spoken.
    pub fn speaks_tls(&self) -> bool {
        self.state.load().acceptor.is_some()
    }

    /// What a new connection is met with: TLS, or nothing of the kind.
    pub(super) async fn acceptor(self: &Arc<Self>) -> Option<TlsAcceptor> {
        self.look().await;
        self.state.load().acceptor.clone()
    }

    /// Whether a request may go on.
    pub(super) async fn admit(self: &Arc<Self>, path: &str, headers: &HeaderMap) -> Result<(), Denied> {
        if self.health_for_all && HEALTH.contains(&path) {
            return Ok(());
        }
        self.look().await;
        let state = self.state.load_full();
        if let Some(bucket) = &state.bucket {
            bucket.take(Instant::now()).map_err(Denied::TooMany)?;
        }
        let users = &state.config.users;
        let authorization = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        if users.is_empty() || self.gate.admits(users, authorization).await {
            Ok(())
        } else {
            Err(Denied::Unauthorized)
        }
    }

    /// Sets the headers of every answer.
    pub(super) fn dress(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.state.load().headers {
            headers.insert(name.clone(), value.clone());
        }
    }

    /// Looks at the files, unless somebody does or has a moment ago.
    async fn look(self: &Arc<Self>) {
        let Some(path) = self.path.clone() else { return };
        let is_due = || self.looked().at.elapsed() >= PAUSE;
        if !is_due() {
            return;
        }
        // Who comes while somebody looks waits for what comes of it.
        let permit = timeout(PATIENCE, Arc::clone(&self.looking).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else { return };
        if !is_due() {
            return;
        }
        let guard = Arc::clone(self);
        let look = tokio::spawn(async move {
            let loaded = load_web(&path).await;
            let is_news = {
                let mut looked = guard.looked();
                looked.at = Instant::now();
                std::mem::replace(&mut looked.fingerprint, loaded.fingerprint) != loaded.fingerprint
            };
            if is_news {
                guard.take(loaded);
            }
            drop(permit);
        });
        // It goes on all the same; a file on a dead mount holds nobody up for longer, and is said to be unreadable.
        let _ = timeout(PATIENCE, look).await;
    }

    fn take(&self, loaded: LoadedWeb) {
        let state = State::of(loaded).and_then(|mut state| {
            let before = self.state.load_full();
            if state.acceptor.is_some() != before.acceptor.is_some() {
                return Err(vec![Problem::error("tls_server_config", "TLS is switched on or off by a restart only")]);
            }
            if state.config.users.is_empty() && !before.config.users.is_empty() {
                let text = "there are no users any more; that everybody may come in takes a restart";
                return Err(vec![Problem::error("basic_auth_users", text)]);
            }
            if state.config.tls.as_ref().is_some_and(|tls| tls.asks_less_than(before.config.tls.as_ref())) {
                let text = "client certificates are verified; that less is asked of them takes a restart";
                return Err(vec![Problem::error("tls_server_config.client_auth_type", text)]);
            }
            if state.config.rate_limit == before.config.rate_limit {
                state.bucket.clone_from(&before.bucket);
            }
            Ok(state)
        });
        match state {
            Ok(state) => {
                self.state.store(Arc::new(state));
                tracing::info!("the web configuration, or a file that it names, has changed and is in force");
            }
            Err(problems) => {
                for problem in problems {
                    tracing::warn!("web configuration, the old one stays in force: {problem}");
                }
            }
        }
    }

    fn looked(&self) -> MutexGuard<'_, Looked> {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn of(loaded: LoadedWeb) -> Result<Self, Vec<Problem>> {
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
        let bucket = config.rate_limit.map(|limit| Arc::new(Bucket::new(limit)));
        Ok(State { config, acceptor, headers, bucket })
    }
}
