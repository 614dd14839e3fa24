//! The subcommands. Each wires the parts it needs; what several need is here.

mod check;
mod demo;
mod once;
mod serve;
mod simulate;

use std::{io::Write, path::PathBuf, process::ExitCode};

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use crate::{
    cli::{Check, Cli, Command, ConfigFile, Serve, ShardArg},
    config::{self, Config, Environment, Loaded, Shard},
    exposition::BuildInfo,
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
        Some(Command::Demo(flags)) => demo::run(&flags).await,
    }
}

async fn serve_or_check(flags: Serve, environment: Environment) -> anyhow::Result<ExitCode> {
    if flags.check {
        let (config, web_config_file) = (flags.config, flags.web.config_file);
        let flags = Check { config, web_config_file, print: false, online: false, log: flags.log };
        check::run(&flags, &environment).await
    } else {
        serve::run(&flags, environment).await
    }
}

/// Writes to standard output; a reader that has gone is an error, not a panic.
fn print(text: &str) -> anyhow::Result<()> {
    std::io::stdout().write_all(text.as_bytes()).context("cannot write to standard output")
}

/// Where a configuration comes from, each time it is loaded.
enum Origin {
    /// A file, and which of its projects count.
    File(PathBuf, Shard),
    /// The text of a file that does not exist, of this name.
    Text { text: String, name: PathBuf },
}

impl Origin {
    fn of(flags: &ConfigFile, environment: &Environment) -> anyhow::Result<Self> {
        Ok(Origin::File(flags.file.clone(), shard(flags.shard, environment)?))
    }

    fn shard(&self) -> Shard {
        match self {
            Origin::File(_, shard) => *shard,
            Origin::Text { .. } => Shard::ALL,
        }
    }

    async fn load(&self, environment: &Environment) -> Loaded {
        match self {
            Origin::File(path, shard) => config::load(path, environment, *shard).await,
            Origin::Text { text, name } => config::load_text(text.clone(), name, environment).await,
        }
    }
}

/// The shard that is named, or that the host name says: in a pod, the variable HOSTNAME and the kernel agree.
fn shard(flag: ShardArg, environment: &Environment) -> anyhow::Result<Shard> {
    let ShardArg { index, total } = flag;
    if let Some(index) = index {
        return Ok(Shard { index, total });
    }
    let host_name = match environment.get("HOSTNAME") {
        Some(name) => name.to_owned(),
        None => std::fs::read_to_string("/proc/sys/kernel/hostname").context("cannot read the host name")?,
    };
    let host_name = host_name.trim();
    let index = Shard::ordinal(host_name).filter(|index| *index < total);
    let index = index.with_context(|| {
        format!(
            "--shard auto/{total}: the host name {host_name} does not end in -0 to -{}: run one pod of a StatefulSet for \
             each shard, or name INDEX",
            total - 1
        )
    })?;
    Ok(Shard { index, total })
}

/// A configuration that can be put in force.
struct Valid {
    config: Config,
    /// Changes with the file's text; 48 bits, so that a float holds it.
    hash: u64,
    loaded: DateTime<Utc>,
}

/// Logs what is wrong with a configuration.
///
/// # Errors
/// If it cannot be put in force.
fn valid(loaded: Loaded) -> anyhow::Result<Valid> {
    for problem in &loaded.problems {
        if problem.is_warning {
            tracing::warn!("{problem}");
        } else {
            tracing::error!("{problem}");
        }
    }
    let Some(config) = loaded.config else { bail!("the configuration is not valid") };
    let hash = Sha256::digest(&loaded.text).iter().take(6).fold(0, |hash, byte| hash << 8 | u64::from(*byte));
    Ok(Valid { config, hash, loaded: Utc::now() })
}
