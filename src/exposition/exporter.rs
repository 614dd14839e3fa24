//! The metrics of the exporter itself.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, Utc};
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder, registry::Unit};

use super::family::Family;

/// Which build this is.
#[derive(Clone, Copy, Debug)]
pub struct BuildInfo {
    /// The crate's version.
    pub version: &'static str,
    /// The git revision; `unknown` outside a checkout.
    pub revision: &'static str,
    /// The compiler.
    pub rustc: &'static str,
}

/// What the exporter knows of itself.
#[derive(Debug)]
pub struct ExporterStatus {
    /// Which build this is.
    pub build: BuildInfo,
    /// Which part of the projects it polls, from 0, and of how many.
    pub shard: (u32, u32),
    /// The configuration in force.
    pub config: Arc<ConfigStatus>,
    /// Requests answered so far.
    pub requests: Arc<HttpRequests>,
}

/// Which configuration is in force, and whether the last attempt to load one succeeded.
#[derive(Debug)]
pub struct ConfigStatus {
    /// A plain mutex: held to copy or change these few words together, never across an await.
    state: Mutex<ConfigState>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ConfigState {
    hash: u64,
    loaded: DateTime<Utc>,
    succeeded: bool,
}

impl ConfigStatus {
    /// A configuration has been loaded. `hash` changes with the text of its file.
    pub fn new(hash: u64, loaded: DateTime<Utc>) -> Self {
        ConfigStatus { state: Mutex::new(ConfigState { hash, loaded, succeeded: true }) }
    }

    /// Another one is in force.
    pub fn succeeded(&self, hash: u64, loaded: DateTime<Utc>) {
        *self.lock() = ConfigState { hash, loaded, succeeded: true };
    }

    /// Another one could not be loaded; the old one is still in force.
    pub fn failed(&self) {
        self.lock().succeeded = false;
    }

    pub(super) fn now(&self) -> ConfigState {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, ConfigState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Requests answered, by handler and status.
#[derive(Debug, Default)]
pub struct HttpRequests {
    /// A plain mutex: held for one addition, or while a scrape reads these few numbers.
    counts: Mutex<BTreeMap<(&'static str, u16), u64>>,
}

impl HttpRequests {
    /// Counts one request. `handler` is a path the server knows, never one a client made up.
    pub fn count(&self, handler: &'static str, status: u16) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((handler, status)).or_default() += 1;
    }
}

impl Collector for ExporterStatus {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        let build = [("version", self.build.version), ("revision", self.build.revision), ("rustc", self.build.rustc)];
        Family::new("metastudio_exporter_build", "The build of this exporter.")
            .infos(encoder, [build.map(|(name, value)| (name, value.to_owned())).to_vec()])?;
        let (shard, shards) = self.shard;
        Family::new("metastudio_exporter_shard", "Which part of the projects this exporter polls, and of how many.")
            .infos(encoder, [vec![("shard", shard.to_string()), ("shards", shards.to_string())]])?;
        let config = self.config.now();
        Family::new(
            "metastudio_exporter_config_last_reload_successful",
            "Whether the last attempt to load the configuration succeeded.",
        )
        .gauges(encoder, [(vec![], f64::from(u8::from(config.succeeded)))])?;
        Family::new(
            "metastudio_exporter_config_last_reload_success_timestamp",
            "Unix time at which the configuration in force was loaded.",
        )
        .unit(&Unit::Seconds)
        .gauges(encoder, [(vec![], config.loaded.timestamp_millis() as f64 / 1e3)])?;
        Family::new(
            "metastudio_exporter_config_hash",
            "A number that changes with the text of the configuration file.",
        )
        .gauges(encoder, [(vec![], config.hash as f64)])?;
        let counts = self.counts();
        Family::new("metastudio_exporter_http_requests", "HTTP requests answered by this exporter.").counters(
            encoder,
            counts.into_iter().map(|((handler, code), count)| {
                (vec![("handler", handler.to_owned()), ("code", code.to_string())], count)
            }),
        )
    }
}

impl ExporterStatus {
    fn counts(&self) -> BTreeMap<(&'static str, u16), u64> {
        self.requests.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
