//! The metrics of the exporter itself.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder, registry::Unit};

use super::descriptor::Descriptor;

/// The labels of `metastudio_exporter_build_info`.
#[derive(Clone, Copy, Debug)]
pub struct BuildInfo {
    /// Version of the crate.
    pub version: &'static str,
    /// Git revision; `unknown` outside a checkout.
    pub revision: &'static str,
    /// Version of the compiler.
    pub rustc: &'static str,
}

/// The source of the exporter's own metrics, which a scrape reads.
pub struct ExporterStatus {
    /// The running build.
    pub build: BuildInfo,
    /// Index of this shard, from 0, and number of shards.
    pub shard: (u32, u32),
    /// Shared with the code that reloads the configuration.
    pub config: Arc<ConfigStatus>,
    /// Shared with the routes, which count the requests.
    pub requests: Arc<HttpRequests>,
    /// Number of log lines that were dropped. Shared with the log.
    pub log_lines_dropped: Arc<AtomicU64>,
    /// Reads the connections of the server.
    pub connections: Box<dyn Fn() -> ConnectionStatus + Send + Sync>,
}

/// Numbers of connections of the server.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionStatus {
    /// Maximum number of open connections.
    pub limit: usize,
    /// Open connections without a request.
    pub idle: usize,
    /// Open connections with a request.
    pub active: usize,
    /// Connections that were closed because there were too many.
    pub closed: u64,
}

impl fmt::Debug for ExporterStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExporterStatus").field("build", &self.build).field("shard", &self.shard).finish_non_exhaustive()
    }
}

/// The configuration in use, and whether the last attempt to load one succeeded.
#[derive(Debug)]
pub struct ConfigStatus {
    /// Locked as a whole, so that a scrape sees hash and time of the same configuration.
    state: Mutex<ConfigState>,
}

#[derive(Clone, Copy, Debug)]
struct ConfigState {
    hash: u64,
    loaded: DateTime<Utc>,
    succeeded: bool,
}

impl ConfigStatus {
    /// The status after the start. `hash` changes with the text of the file.
    pub fn new(hash: u64, loaded: DateTime<Utc>) -> Self {
        ConfigStatus { state: Mutex::new(ConfigState { hash, loaded, succeeded: true }) }
    }

    /// Records that another configuration is in use.
    pub fn succeeded(&self, hash: u64, loaded: DateTime<Utc>) {
        *self.state.lock() = ConfigState { hash, loaded, succeeded: true };
    }

    /// If the last reload failed, the time at which the old configuration, which stays in use, was loaded.
    pub fn old_config_loaded_at(&self) -> Option<DateTime<Utc>> {
        let state = *self.state.lock();
        (!state.succeeded).then_some(state.loaded)
    }

    /// Records that a configuration could not be loaded and the old one stays in use.
    pub fn failed(&self) {
        self.state.lock().succeeded = false;
    }
}

/// Answered HTTP requests by handler and status.
#[derive(Debug, Default)]
pub struct HttpRequests {
    counts: Mutex<BTreeMap<(&'static str, u16), u64>>,
}

impl HttpRequests {
    /// Counts one request. `handler` names a route and not the path of the request, so the number of series is bounded.
    pub fn count(&self, handler: &'static str, status: u16) {
        let mut counts = self.counts.lock();
        *counts.entry((handler, status)).or_default() += 1;
    }
}

impl Collector for ExporterStatus {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        let build = [("version", self.build.version), ("revision", self.build.revision), ("rustc", self.build.rustc)];
        Descriptor::new("metastudio_exporter_build", "Version, revision and compiler of this exporter.")
            .info(encoder, &build)?;
        let (shard, shards) = self.shard;
        Descriptor::new(
            "metastudio_exporter_shard",
            "Index of this exporter's shard of the projects, from 0, and number of shards.",
        )
        .info(encoder, &[("shard", shard), ("shards", shards)])?;
        let config = *self.config.state.lock();
        Descriptor::new(
            "metastudio_exporter_config_last_reload_successful",
            "Whether the last attempt to load the configuration succeeded.",
        )
        .gauge(encoder, f64::from(u8::from(config.succeeded)))?;
        Descriptor::new(
            "metastudio_exporter_config_last_reload_success_timestamp",
            "Unix time at which the current configuration was loaded.",
        )
        .unit(&Unit::Seconds)
        .gauge(encoder, config.loaded.timestamp_millis() as f64 / 1e3)?;
        Descriptor::new("metastudio_exporter_config_hash", "Hash of the configuration file: it changes with the text.")
            .gauge(encoder, config.hash as f64)?;
        let dropped = self.log_lines_dropped.load(Ordering::Relaxed);
        Descriptor::new(
            "metastudio_exporter_log_lines_dropped",
            "Log lines that were dropped because standard error was not read, or could not be written.",
        )
        .counter(encoder, dropped)?;
        (self.connections)().encode(encoder)?;
        let counts = self.counts();
        Descriptor::new(
            "metastudio_exporter_http_requests",
            "HTTP requests answered by this exporter, by handler and status code.",
        )
        .counters(
            encoder,
            counts.into_iter().map(|((handler, code), count)| (([("handler", handler)], [("code", code)]), count)),
        )
    }
}

impl ConnectionStatus {
    fn encode(self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        Descriptor::new(
            "metastudio_exporter_connections",
            "Open connections by state: active ones have a request, idle ones have none.",
        )
        .gauges(encoder, [([("state", "active")], self.active), ([("state", "idle")], self.idle)])?;
        Descriptor::new("metastudio_exporter_max_connections", "Maximum number of open connections, on all listeners.")
            .gauge(encoder, self.limit as f64)?;
        Descriptor::new(
            "metastudio_exporter_connections_closed",
            "Idle connections that were closed because there were too many connections.",
        )
        .counter(encoder, self.closed)
    }
}

impl ExporterStatus {
    fn counts(&self) -> BTreeMap<(&'static str, u16), u64> {
        self.requests.counts.lock().clone()
    }
}
