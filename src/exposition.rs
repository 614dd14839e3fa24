//! From what is known to the bytes on the wire.
//!
//! Usage changes when a poll completes, not when somebody scrapes. So what is said of the projects (`projects`) is
//! rendered when it has changed (`rendering`), compressed in segments (`gzip`), and shared by all scrapes until it
//! changes again. What is always fresh, about the exporter and its process, is described to prometheus-client, whose
//! registry encodes it as OpenMetrics, and `text` makes the text format of it. It comes first: so it is written to the
//! network together with the first chunk of the rest. Nothing here waits for the cloud: a scrape only reads.

mod body;
pub mod exporter;
mod family;
mod gzip;
mod lines;
#[cfg(target_os = "linux")]
mod process;
mod projects;
mod rendering;
mod text;

use std::{
    future::pending,
    panic::resume_unwind,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use prometheus_client::{encoding, registry::Registry};
use tokio::{
    sync::Mutex,
    task::{JoinError, spawn_blocking},
};

pub use self::{
    body::Body,
    exporter::{BuildInfo, ConfigStatus, ExporterStatus, HttpRequests},
};
use self::{
    exporter::ConfigState,
    gzip::{HEADER, end, store},
    rendering::{Encoding, Rendering},
};
use crate::snapshot::{Clock, Reader};

/// How samples are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// Prometheus' text format 0.0.4.
    Text,
}

impl Format {
    /// The header `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Everything that is exposed.
#[derive(Debug)]
pub struct Exposition {
    /// What is written down anew for each scrape.
    registry: Registry,
    /// Part of that.
    config: Option<Arc<ConfigStatus>>,
    reader: Reader,
    clock: Clock,
    kept: [Arc<Kept>; 4],
}

/// After so long without a scrape, a format and an encoding are forgotten.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// How long an answer is given again if neither the projects nor the configuration have changed: what else it says, of
/// the process and of requests, is fresh enough. Reading that from `/proc` costs more than all else of a scrape, and no
/// Prometheus comes back so soon.
const FRESH: Duration = Duration::from_millis(100);

/// The last of a format and an encoding, once it has been asked for.
#[derive(Debug, Default)]
struct Kept {
    rendering: ArcSwapOption<Rendering>,
    last: ArcSwapOption<Given>,
    /// Held by the one who renders, to its end, even if the scrape that it is for gives up: the others wait for what
    /// comes of it.
    renewing: Arc<Mutex<()>>,
}

/// What a scrape was answered with, and what was so then.
#[derive(Debug)]
struct Given {
    at: Instant,
    config: Option<ConfigState>,
    body: Body,
}

impl Exposition {
    /// The metrics of the projects alone.
    pub fn of_projects(reader: Reader, clock: Clock) -> Self {
        Exposition { registry: Registry::default(), config: None, reader, clock, kept: Default::default() }
    }

    /// Adds the metrics of the exporter and of its process.
    pub fn and_exporter(mut self, status: ExporterStatus) -> Self {
        self.config = Some(Arc::clone(&status.config));
        self.registry.register_collector(Box::new(status));
        #[cfg(target_os = "linux")]
        self.registry.register_collector(Box::new(process::ProcessCollector));
        self
    }

    /// Everything, for a scrape; with `gzip` as one member of that.
    pub async fn scrape(&self, format: Format, gzip: bool) -> Body {
        let encoding = if gzip { Encoding::Deflate } else { Encoding::Identity };
        let kept = self.kept(format, encoding);
        let shared = self.rendering(kept, format, encoding).await;
        let config = self.config.as_ref().map(|config| config.now());
        if let Some(last) = &*kept.last.load()
            && last.at.elapsed() < FRESH
            && last.config == config
            && last.body.shares(&shared)
        {
            return last.body.clone();
        }
        let at = Instant::now();
        let body = self.body(format, encoding, shared);
        kept.last.store(Some(Arc::new(Given { at, config, body: body.clone() })));
        body
    }

    fn kept(&self, format: Format, encoding: Encoding) -> &Arc<Kept> {
        let [identity_openmetrics, identity_text, deflate_openmetrics, deflate_text] = &self.kept;
        match (encoding, format) {
            (Encoding::Identity, Format::OpenMetrics) => identity_openmetrics,
            (Encoding::Identity, Format::Text) => identity_text,
            (Encoding::Deflate, Format::OpenMetrics) => deflate_openmetrics,
            (Encoding::Deflate, Format::Text) => deflate_text,
        }
    }

    /// What is fresh, and then what is shared.
    fn body(&self, format: Format, encoding: Encoding, shared: Arc<Rendering>) -> Body {
        let fresh = self.fresh(format);
        match encoding {
            Encoding::Identity => Body::new(fresh.into_bytes(), shared, Vec::new()),
            Encoding::Deflate => {
                let mut first = Vec::with_capacity(HEADER.len() + fresh.len() + 16);
                first.extend_from_slice(&HEADER);
                let sum = store(fresh.as_bytes(), &mut first).and(shared.sum);
                Body::new(first, shared, end(sum).to_vec())
            }
        }
    }

    /// The rendering of what is known now: the last one, or, where something has changed, a new one, made where it
    /// keeps nobody else waiting.
    async fn rendering(&self, kept: &Arc<Kept>, format: Format, encoding: Encoding) -> Arc<Rendering> {
        let current = || {
            let (snapshot, now) = (self.reader.load(), (self.clock)());
            let kept = kept.rendering.load_full();
            match kept {
                Some(kept) if kept.shows(&snapshot, now) => Ok(kept),
                before => Err((before, snapshot, now)),
            }
        };
        if let Ok(rendering) = current() {
            return rendering;
        }
        let renewing = Arc::clone(&kept.renewing).lock_owned().await;
        let (before, snapshot, now) = match current() {
            Ok(rendering) => return rendering,
            Err(changed) => changed,
        };
        self.forget_what_nobody_asks_for();
        let kept = Arc::clone(kept);
        let rendering = spawn_blocking(move || {
            let rendering = Arc::new(Rendering::new((format, encoding), before.as_deref(), snapshot, now));
            kept.rendering.store(Some(Arc::clone(&rendering)));
            drop(renewing);
            rendering
        });
        match rendering.await.map_err(JoinError::try_into_panic) {
            Ok(rendering) => rendering,
            Err(Ok(panic)) => resume_unwind(panic),
            // The process is ending.
            Err(Err(_)) => pending().await,
        }
    }

    /// It would hold the snapshot of its time.
    fn forget_what_nobody_asks_for(&self) {
        for kept in &self.kept {
            if kept.last.load().as_ref().is_some_and(|last| last.at.elapsed() > FORGOTTEN) {
                kept.last.store(None);
                kept.rendering.store(None);
            }
        }
    }

    /// Everything, as one text.
    pub fn render(&self, format: Format) -> String {
        let snapshot = self.reader.load();
        let rendering = Rendering::new((format, Encoding::Identity), None, snapshot, (self.clock)());
        let mut body = self.body(format, Encoding::Identity, Arc::new(rendering));
        let mut bytes = Vec::with_capacity(body.length());
        while let Some(piece) = body.take() {
            bytes.extend_from_slice(&piece);
        }
        // All of it is made of strings.
        String::from_utf8(bytes).unwrap_or_default()
    }

    /// What is written down for each scrape.
    fn fresh(&self, format: Format) -> String {
        let mut openmetrics = String::new();
        // Writing to a String cannot fail, and the collectors have no errors of their own.
        if encoding::text::encode_registry(&mut openmetrics, &self.registry).is_err() {
            tracing::error!("a metric could not be encoded; the exposition is cut short");
        }
        match format {
            Format::OpenMetrics => openmetrics,
            Format::Text => text::from_openmetrics(&openmetrics),
        }
    }
}
