//! Writes the snapshot and the exporter's own metrics as an exposition. A scrape only reads and never calls the cloud.
//!
//! Usage changes when a poll completes, not when a scrape comes. So the metrics of the projects are rendered and
//! compressed after a change, and all scrapes share them until the next change:
//!
//! - `projects`, `collectors`, and one module for each collector hold the tables of metric families, and `lines` writes
//!   their samples and metadata;
//! - `block` and `rendering` cache the bytes;
//! - `past` writes the usage families with timestamps, for a backfill;
//! - `gzip` makes one gzip member of segments that were compressed at different times.
//!
//! The crate prometheus-client writes the metrics of the exporter and its process, because these metrics are few and
//! change at each scrape. `exporter` and `process` are collectors in its registry. The crate writes only OpenMetrics,
//! so `text` converts its output to the text format. The projects' samples do not go through the crate, because it
//! would format all of them for each scrape.

mod batch;
mod being_read;
mod block;
mod body;
mod collectors;
mod days;
mod descriptor;
mod encoding;
mod exporter;
mod families;
mod family;
mod format;
mod gzip;
mod lines;
mod packages;
mod past;
mod pieces;
#[cfg(target_os = "linux")]
mod process;
mod projects;
mod reconciliation;
mod rendering;
mod sessions;
mod sub_users;
mod text;

use std::{future::pending, panic::resume_unwind, sync::Arc};

use bytes::BufMut;
use prometheus_client::{encoding::text::encode_registry, registry::Registry};
use tokio::{sync::Mutex, task::spawn_blocking};

pub use self::{
    being_read::AnswersBeingRead,
    body::{Body, CutOff},
    exporter::{BuildInfo, ConfigStatus, ConnectionStatus, ExporterStatus, HttpRequests},
    format::Format,
    past::{PastProject, PastSeries, RECORDED_WINDOWS, Timeline, WrittenSamples, write_past},
};
use self::{
    encoding::Encoding,
    gzip::{HEADER, end, store},
    pieces::Pieces,
    rendering::Rendering,
};
use crate::snapshot::{Moment, Reader};

/// More bytes than the metrics of the exporter and its process usually take, so that the buffer need not grow.
const OWN_METRICS: usize = 8 << 10;

/// All metrics that the exporter serves.
///
/// ```
/// use chrono::DateTime;
/// use metastudio_exporter::{
///     exposition::{Exposition, Format},
///     snapshot::{self, Target},
/// };
///
/// let (_writer, reader) = snapshot::channel(vec![Target::new("studio")]);
/// let exposition = Exposition::of_projects(reader, || DateTime::UNIX_EPOCH.into());
/// let polls = "\
/// ## HELP metastudio_polls_total Polls, including failed ones.
/// ## TYPE metastudio_polls_total counter
/// metastudio_polls_total{project=\"studio\"} 0
/// ";
/// assert!(exposition.render(Format::Text).contains(polls));
/// ```
#[derive(Debug)]
pub struct Exposition {
    /// Metrics that are written for each scrape.
    registry: Registry,
    reader: Reader,
    clock: fn() -> Moment,
    /// Locked while the projects are rendered, so that one scrape renders and the others wait for its result.
    rendering: Arc<Mutex<Rendering>>,
}

impl Exposition {
    /// The metrics of the projects only.
    pub fn of_projects(reader: Reader, clock: fn() -> Moment) -> Self {
        Exposition { registry: Registry::default(), reader, clock, rendering: Arc::default() }
    }

    /// Adds the metrics of the exporter and its process.
    pub fn and_exporter(mut self, status: ExporterStatus) -> Self {
        self.registry.register_collector(Box::new(status));
        #[cfg(target_os = "linux")]
        self.registry.register_collector(Box::new(process::ProcessCollector::new()));
        self
    }

    /// The response body of a scrape. With `gzip`, it is one gzip member.
    pub async fn scrape(&self, format: Format, gzip: bool) -> Body {
        let encoding = if gzip { Encoding::Deflate } else { Encoding::Identity };
        let projects = self.projects(format, encoding).await;
        self.body(format, encoding, projects)
    }

    /// The whole exposition as text, rendered without the cache.
    pub fn render(&self, format: Format) -> String {
        let projects = Rendering::default().render(format, Encoding::Identity, &self.reader.load(), (self.clock)());
        let mut body = self.body(format, Encoding::Identity, projects);
        let mut bytes = Vec::with_capacity(body.length());
        while let Some(batch) = body.take() {
            bytes.put(batch);
        }
        // The bytes are UTF-8, because they were written from strings.
        String::from_utf8(bytes).unwrap_or_default()
    }

    /// The current metrics of the projects. If they have changed, they are rendered on a thread for blocking work, so
    /// that other requests are answered meanwhile.
    async fn projects(&self, format: Format, encoding: Encoding) -> Arc<Pieces> {
        let mut rendering = Arc::clone(&self.rendering).lock_owned().await;
        let (snapshot, now) = (self.reader.load(), (self.clock)());
        if let Some(pieces) = rendering.get(format, encoding, &snapshot, now) {
            return pieces;
        }
        // The task holds the lock to its end, even if this scrape is cancelled.
        let task = spawn_blocking(move || rendering.render(format, encoding, &snapshot, now));
        match task.await {
            Ok(pieces) => pieces,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // The runtime cancels blocking tasks only when it shuts down.
                Err(_) => pending().await,
            },
        }
    }

    /// The metrics of the registry come first, so that they are sent together with the first piece of the projects'
    /// metrics.
    fn body(&self, format: Format, encoding: Encoding, projects: Arc<Pieces>) -> Body {
        let own = self.own_metrics(format);
        match encoding {
            Encoding::Identity => Body::new(own.into_bytes(), projects, Vec::new()),
            Encoding::Deflate => {
                let mut first = Vec::with_capacity(HEADER.len() + own.len() + 16);
                first.extend_from_slice(&HEADER);
                let crc = projects.digest.crc_after(store(own.as_bytes(), &mut first));
                let trailer = end(crc, own.len() + projects.digest.text_length);
                Body::new(first, projects, trailer.to_vec())
            }
        }
    }

    fn own_metrics(&self, format: Format) -> String {
        let mut openmetrics = String::with_capacity(OWN_METRICS);
        // Writing to a String cannot fail, and the collectors return no errors of their own.
        if encode_registry(&mut openmetrics, &self.registry).is_err() {
            tracing::error!("a metric could not be encoded; the exposition is incomplete");
        }
        match format {
            Format::OpenMetrics => openmetrics,
            Format::Text => text::from_openmetrics(&openmetrics),
        }
    }
}
