//! `once`: poll every project once and print the metrics.

use std::process::ExitCode;

use chrono::Utc;
use clap::{Args, ValueEnum};

use super::{
    configuration::{ConfigFlags, ConfigSource, ValidConfig},
    print,
};
use crate::{
    config::Environment,
    exposition::{Exposition, Format},
    polling::{Fleet, once},
    snapshot::{self, Moment},
};

/// Flags of `once`.
#[derive(Args, Debug)]
pub(crate) struct Once {
    #[command(flatten)]
    config: ConfigFlags,
    /// Format of the metrics; the textfile collector needs text
    #[arg(id = "output_format", long = "format", value_name = "FORMAT", value_enum, default_value_t = OutputFormat::Text)]
    format: OutputFormat,
}

/// The value of `--format`.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum OutputFormat {
    /// OpenMetrics 1.0.0
    Openmetrics,
    /// Prometheus text format 0.0.4
    Text,
}

impl Once {
    /// Prints the metrics of the projects only: the metrics of the process would clash with those of the node exporter.
    /// The exit code is 1 if a project failed.
    pub async fn run(self, environment: Environment) -> anyhow::Result<ExitCode> {
        let source = ConfigSource::of(&self.config, &environment)?;
        let config = ValidConfig::new(source.load(&environment).await)?.config;
        let concurrency = config.poll.concurrency;
        let fleet = Fleet::new(config, &environment, Utc::now)?;
        let (mut writer, reader) = snapshot::channel(fleet.targets());
        let (pollers, accounts) = fleet.plan().show(&mut writer);
        let succeeded = once::run(pollers, accounts, concurrency, writer, Moment::now).await;
        let format = match self.format {
            OutputFormat::Openmetrics => Format::OpenMetrics,
            OutputFormat::Text => Format::Text,
        };
        let text = Exposition::of_projects(reader, Moment::now).render(format);
        print(&text)?;
        Ok(if succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
