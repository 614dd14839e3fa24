//! The subcommands. Each wires the parts it needs; what several need is here.

mod check;
mod demo;
mod once;
mod serve;
mod simulate;

use std::{collections::BTreeMap, io::Write, path::Path, process::ExitCode, sync::Arc};

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use crate::{
    cli::{Check, Cli, Command, Serve},
    cloud::{Client, Connector, credentials::Credentials},
    config::{self, Config, Environment, Loaded, Project},
    exposition::BuildInfo,
    polling::Poller,
};

/// Which build this is.
pub const BUILD: BuildInfo = BuildInfo {
    version: env!("CARGO_PKG_VERSION"),
    revision: env!("BUILD_REVISION"),
    date: env!("BUILD_DATE"),
    rustc: env!("BUILD_RUSTC"),
};

/// Runs a command line.
///
/// # Errors
/// What is to be logged before the program ends with exit code 1.
pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let environment = Environment::of_process();
    match cli.command {
        None => serve_or_check(cli.serve, environment).await,
        Some(Command::Serve(flags)) => serve_or_check(flags, environment).await,
        Some(Command::Check(flags)) => check::run(&flags, &environment).await,
        Some(Command::Once(flags)) => once::run(&flags, environment).await,
        Some(Command::Simulate(flags)) => simulate::run(&flags).await,
        Some(Command::Demo(flags)) => demo::run(&flags, environment).await,
    }
}

async fn serve_or_check(flags: Serve, environment: Environment) -> anyhow::Result<ExitCode> {
    if flags.check {
        let flags = Check { config: flags.config, print: false, online: false, log: flags.log };
        check::run(&flags, &environment).await
    } else {
        serve::run(&flags, environment).await
    }
}

/// Writes to standard output; a reader that has gone is an error, not a panic.
fn print(text: &str) -> anyhow::Result<()> {
    std::io::stdout().write_all(text.as_bytes()).context("cannot write to standard output")
}

/// A configuration in force.
struct InForce {
    config: Config,
    /// Changes with the file's text; 48 bits, so that a float holds it.
    hash: u64,
    loaded: DateTime<Utc>,
}

/// Loads the configuration file and logs what is wrong with it.
async fn load(path: &Path, environment: &Environment) -> anyhow::Result<InForce> {
    in_force(config::load(path, environment).await)
}

fn in_force(loaded: Loaded) -> anyhow::Result<InForce> {
    for problem in &loaded.problems {
        if problem.is_warning {
            tracing::warn!("{problem}");
        } else {
            tracing::error!("{problem}");
        }
    }
    let Some(config) = loaded.config else { bail!("the configuration is not valid") };
    let hash = Sha256::digest(&loaded.text).iter().take(6).fold(0, |hash, byte| hash << 8 | u64::from(*byte));
    Ok(InForce { config, hash, loaded: Utc::now() })
}

/// A poller for each project, all over one connector.
fn pollers(config: &Config, environment: &Environment) -> anyhow::Result<Vec<Poller>> {
    let connector = Connector::new(config.api.clone(), Utc::now)?;
    let poller = |(project, client): (&Project, _)| {
        Poller::new(client, project.clone(), config.timezone, config.poll.timeout, Utc::now)
    };
    Ok(clients(&connector, config, environment)?.into_iter().map(poller).collect())
}

/// A client for each project; projects that name the same credentials share them.
fn clients<'a>(
    connector: &Connector,
    config: &'a Config,
    environment: &Environment,
) -> anyhow::Result<Vec<(&'a Project, Client)>> {
    let credentials: BTreeMap<&str, Arc<Credentials>> = config
        .credentials
        .iter()
        .map(|(name, source)| (name.as_str(), connector.credentials(name, source.clone(), environment.clone())))
        .collect();
    let client = |project: &'a Project| {
        let credentials = credentials.get(project.credentials.as_str()).context("no such credentials")?;
        Ok((project, connector.client(project, Arc::clone(credentials))))
    };
    config.projects.iter().map(client).collect()
}
