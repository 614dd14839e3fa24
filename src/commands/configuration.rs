//! The flags of the configuration, and how a command loads it.

use std::path::PathBuf;

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use clap::Args;
use sha2::{Digest, Sha256};

use crate::config::{self, Config, Environment, Loaded, Shard};

/// The flags of all commands that read the configuration file.
#[derive(Args, Debug)]
pub(crate) struct ConfigFlags {
    /// Path of the configuration file
    #[arg(long = "config.file", value_name = "PATH", default_value = "config.yaml")]
    pub file: PathBuf,
    /// Poll only shard INDEX (from 0) of TOTAL shards of the projects. With auto/TOTAL, INDEX is the number at the end
    /// of the host name, as in a pod of a StatefulSet
    #[arg(long, value_name = "INDEX/TOTAL", default_value = "0/1", value_parser = parse_shard)]
    shard: ShardFlag,
}

/// The value of `--shard`.
#[derive(Clone, Copy, Debug)]
struct ShardFlag {
    /// `None` is `auto`: the host name gives the index.
    index: Option<u32>,
    total: u32,
}

fn parse_shard(text: &str) -> Result<ShardFlag, String> {
    let expected = "expected INDEX/TOTAL with INDEX less than TOTAL, such as 0/3, or auto/TOTAL; TOTAL is 1000 at most";
    let (index, total) = text.split_once('/').ok_or(expected)?;
    let total = total.parse().ok().filter(|total| (1..=1000).contains(total)).ok_or(expected)?;
    let index = match index {
        "auto" => None,
        index => Some(index.parse().ok().filter(|index| *index < total).ok_or(expected)?),
    };
    Ok(ShardFlag { index, total })
}

impl ShardFlag {
    fn resolve(self, environment: &Environment) -> anyhow::Result<Shard> {
        let ShardFlag { index, total } = self;
        if let Some(index) = index {
            return Ok(Shard { index, total });
        }
        // In a pod, the variable and the file give the same name.
        let host_name = match environment.get("HOSTNAME") {
            Some(name) => name.to_owned(),
            None => std::fs::read_to_string("/proc/sys/kernel/hostname").context("cannot read the host name")?,
        };
        let host_name = host_name.trim();
        let index = Shard::ordinal(host_name).filter(|index| *index < total);
        let index = index.with_context(|| {
            format!(
                "--shard auto/{total}: the host name {host_name} does not end in -0 to -{}: run one pod of a StatefulSet \
                 for each shard, or write the index instead of auto",
                total - 1
            )
        })?;
        Ok(Shard { index, total })
    }
}

/// The source of a configuration. Each load reads it again.
pub(super) enum ConfigSource {
    File {
        path: PathBuf,
        /// The projects of other shards are left out.
        shard: Shard,
    },
    /// A text without a file; problems are reported under `name`.
    Text { text: String, name: PathBuf },
}

impl ConfigSource {
    /// The file that the flags name.
    ///
    /// # Errors
    /// The flag is `--shard auto/TOTAL`, but the host name does not end in an index below TOTAL, or cannot be read.
    pub fn of(flags: &ConfigFlags, environment: &Environment) -> anyhow::Result<Self> {
        Ok(ConfigSource::File { path: flags.file.clone(), shard: flags.shard.resolve(environment)? })
    }

    pub fn shard(&self) -> Shard {
        match self {
            ConfigSource::File { shard, .. } => *shard,
            ConfigSource::Text { .. } => Shard::ALL,
        }
    }

    pub async fn load(&self, environment: &Environment) -> Loaded {
        match self {
            ConfigSource::File { path, shard } => config::load(path, environment, *shard).await,
            ConfigSource::Text { text, name } => config::load_text(text.clone(), name, environment).await,
        }
    }
}

/// A configuration without errors.
pub(super) struct ValidConfig {
    pub config: Config,
    /// Hash of the file's text. 48 bits, so that an `f64` holds it exactly.
    pub hash: u64,
    pub loaded: DateTime<Utc>,
}

impl ValidConfig {
    /// Logs all problems of a configuration.
    ///
    /// # Errors
    /// One of the problems is an error.
    pub fn new(loaded: Loaded) -> anyhow::Result<Self> {
        for problem in &loaded.problems {
            if problem.is_warning {
                tracing::warn!("{problem}");
            } else {
                tracing::error!("{problem}");
            }
        }
        let Some(config) = loaded.config else { bail!("the configuration is not valid") };
        let hash = Sha256::digest(&loaded.text).iter().take(6).fold(0, |hash, byte| hash << 8 | u64::from(*byte));
        Ok(ValidConfig { config, hash, loaded: Utc::now() })
    }
}
