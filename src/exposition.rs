//! From what is known to the bytes on the wire.
//!
//! `projects` and [`exporter`] describe the metrics to prometheus-client, whose registry encodes them as
//! OpenMetrics; `text` turns that into the text format. Nothing here waits or asks anybody: a scrape only reads.

pub mod exporter;
mod family;
#[cfg(target_os = "linux")]
mod process;
mod projects;
mod text;

use prometheus_client::{encoding, registry::Registry};

pub use exporter::{BuildInfo, ConfigStatus, ExporterStatus, HttpRequests};

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
    registry: Registry,
}

impl Exposition {
    /// The metrics of the projects alone.
    pub fn of_projects(reader: Reader, clock: Clock) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(projects::ProjectsCollector { reader, clock }));
        Exposition { registry }
    }

    /// Adds the metrics of the exporter and of its process.
    pub fn and_exporter(mut self, status: ExporterStatus) -> Self {
        self.registry.register_collector(Box::new(status));
        #[cfg(target_os = "linux")]
        self.registry.register_collector(Box::new(process::ProcessCollector));
        self
    }

    /// Writes everything down.
    pub fn render(&self, format: Format) -> String {
        let mut openmetrics = String::new();
        // Writing to a String cannot fail, and the collectors have no errors of their own.
        if encoding::text::encode(&mut openmetrics, &self.registry).is_err() {
            tracing::error!("a metric could not be encoded; the exposition is cut short");
        }
        match format {
            Format::OpenMetrics => openmetrics,
            Format::Text => text::from_openmetrics(&openmetrics),
        }
    }
}
