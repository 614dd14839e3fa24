//! `once`: poll every project once and print the metrics.

use std::process::ExitCode;

use chrono::Utc;

use super::{Origin, print, valid};
use crate::{
    cli::{Once, OutputFormat},
    config::Environment,
    exposition::{Exposition, Format},
    polling::{Fleet, once},
    snapshot,
};

/// Prints the metrics of the projects alone: those of the process would clash with the node exporter's own. Exit
/// code 1 where a project failed.
pub(super) async fn run(flags: &Once, environment: Environment) -> anyhow::Result<ExitCode> {
    let config = valid(Origin::of(&flags.config, &environment)?.load(&environment).await)?.config;
    let concurrency = config.poll.concurrency;
    let fleet = Fleet::new(config, &environment, Utc::now)?;
    let (writer, reader) = snapshot::channel(fleet.targets());
    let succeeded = once::run(fleet.pollers().to_vec(), concurrency, writer, Utc::now).await;
    let format = match flags.format {
        OutputFormat::Openmetrics => Format::OpenMetrics,
        OutputFormat::Text => Format::Text,
    };
    let text = Exposition::of_projects(reader, Utc::now).render(format);
    print(&text)?;
    Ok(if succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
