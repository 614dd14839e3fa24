//! `once`: poll every project once and print the metrics.

use std::process::ExitCode;

use chrono::Utc;

use super::{load, pollers, print};
use crate::{
    cli::{Once, OutputFormat},
    config::Environment,
    exposition::{Exposition, Format},
    polling::{Poller, schedule},
    snapshot,
};

/// Prints the metrics of the projects alone: those of the process would clash with the node exporter's own. Exit
/// code 1 where a project failed.
pub(super) async fn run(flags: &Once, environment: Environment) -> anyhow::Result<ExitCode> {
    let in_force = load(&flags.config.file, &environment).await?;
    let pollers = pollers(&in_force.config, &environment)?;
    let (writer, reader) = snapshot::channel(pollers.iter().map(Poller::target).collect());
    let succeeded = schedule::run_once(pollers, in_force.config.poll.concurrency, writer, Utc::now).await;
    let format = match flags.format {
        OutputFormat::Openmetrics => Format::OpenMetrics,
        OutputFormat::Text => Format::Text,
    };
    let text = Exposition::of_projects(reader, Utc::now).render(format);
    print(&text)?;
    Ok(if succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
