//! `check`: print every problem of the configuration, or the number of API requests a day if it is valid. `--online`
//! also tests it against the cloud, and `--contract` reports what the documentation of the API leaves open.

mod contract;
mod online;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;

use super::{
    configuration::{ConfigFlags, ConfigSource},
    print,
};
use crate::{
    config::{Config, Environment, Loaded, Project, Users, effective, schema},
    server::WebPolicy,
    usage::Collector,
};

/// The commented configuration with every key.
const EXAMPLE: &str = include_str!("../../config.example.yaml");

/// Flags of `check`.
#[derive(Args, Debug)]
pub(crate) struct Check {
    #[command(flatten)]
    pub config: ConfigFlags,
    /// Also validate this web configuration
    #[arg(long = "web.config.file", value_name = "PATH")]
    pub web_config_file: Option<PathBuf>,
    /// Print the effective configuration, secrets redacted
    #[arg(long, conflicts_with = "online")]
    pub print: bool,
    /// Print a commented configuration to start from
    #[arg(long, exclusive = true)]
    pub example: bool,
    /// Print the JSON schema of the configuration file, for editors
    #[arg(long, exclusive = true)]
    pub schema: bool,
    /// Test every endpoint and every key, and poll every project once. Run it at most once every 5 minutes: more
    /// frequent attempts with a wrong key can get the key locked
    #[arg(long)]
    pub online: bool,
    /// Also ask the API what its documentation leaves open, with at most 50 requests for each project, and print the
    /// answers
    #[arg(long, requires = "online")]
    pub contract: bool,
    /// Write the answers of --contract to this file as JSON, for an issue. They contain no usage, names or ids
    #[arg(long, value_name = "FILE", requires = "contract")]
    pub output: Option<PathBuf>,
    /// With --contract: read the days that an exporter keeps in this directory, to report for how long days still
    /// changed after they ended
    #[arg(long = "storage.path", value_name = "DIR", requires = "contract")]
    pub storage: Option<PathBuf>,
}

impl Check {
    /// Only validates.
    pub fn offline(config: ConfigFlags, web_config_file: Option<PathBuf>) -> Self {
        Check {
            config,
            web_config_file,
            print: false,
            example: false,
            schema: false,
            online: false,
            contract: false,
            output: None,
            storage: None,
        }
    }

    /// The exit code is 0 if the configuration and the web configuration are valid and, with `--online`, all tests
    /// against the cloud pass.
    pub async fn run(self, environment: &Environment) -> anyhow::Result<ExitCode> {
        if self.example {
            print(EXAMPLE)?;
            return Ok(ExitCode::SUCCESS);
        }
        if self.schema {
            print(&schema::json())?;
            return Ok(ExitCode::SUCCESS);
        }
        let loaded = ConfigSource::of(&self.config, environment)?.load(environment).await;
        print(&self.report(&loaded))?;
        let web_is_valid = match &self.web_config_file {
            Some(path) => check_web_config(path).await?,
            None => true,
        };
        let works = match &loaded.config {
            Some(config) if self.online => {
                let (passed, answered) = online::run(config, environment).await?;
                if self.contract {
                    contract::run(config, &answered, self.output.as_deref(), self.storage).await?;
                }
                passed
            }
            config => config.is_some(),
        };
        Ok(if works && web_is_valid { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn report(&self, loaded: &Loaded) -> String {
        // The output of `--print` can be used as a configuration: the warnings in it are comments.
        let comment = if self.print && loaded.config.is_some() { "# " } else { "" };
        let mut text = String::new();
        for problem in &loaded.problems {
            text += &format!("{comment}{}: {problem}\n", if problem.is_warning { "warning" } else { "error" });
        }
        let path = &self.config.file;
        text + &match &loaded.config {
            Some(config) if self.print => effective::to_yaml(config),
            Some(config) => costs(path, config),
            None => format!("{}: not valid, errors: {}\n", path.display(), loaded.errors().count()),
        }
    }
}

/// Prints the problems of a web configuration, and returns whether it is valid.
async fn check_web_config(path: &Path) -> anyhow::Result<bool> {
    let problems = match WebPolicy::load(Some(path.to_owned())).await {
        Ok(policy) => {
            for warning in policy.warnings() {
                print(&format!("warning: web configuration: {warning}\n"))?;
            }
            return Ok(true);
        }
        Err(problems) => problems,
    };
    for problem in &problems {
        print(&format!("error: web configuration: {problem}\n"))?;
    }
    print(&format!("{}: not valid, errors: {}\n", path.display(), problems.len()))?;
    Ok(false)
}

/// The collectors of a project, each with its interval.
fn collectors(project: &Project) -> String {
    let collectors = project.collect.iter();
    let texts = collectors.map(|(name, interval)| format!(", {name} every {}", humantime::format_duration(*interval)));
    texts.collect()
}

/// The API requests a day of each project and account.
fn costs(path: &Path, config: &Config) -> String {
    let mut text = format!("{}: valid. API requests a day, if each answer fits on one page:\n", path.display());
    let names = config.projects.iter().map(|project| &project.name);
    let names = names.chain(config.accounts.iter().map(|account| &account.name));
    let width = names.map(|name| name.chars().count()).max().unwrap_or_default();
    for project in &config.projects {
        let users = match &project.user_ids {
            Users::Listed(ids) if ids.is_empty() => String::new(),
            Users::Listed(ids) => format!(" x {} users", ids.len()),
            Users::All(_) => format!(" x up to {} queries for all sub-users", project.user_ids.queries()),
        };
        text += &format!(
            "  {:width$}  {:>8.0}: {} windows{users} every {}{}\n",
            project.name,
            project.requests_a_day(),
            project.windows.len(),
            humantime::format_duration(project.interval),
            collectors(project),
        );
    }
    let mut total: f64 = config.projects.iter().map(Project::requests_a_day).sum();
    for account in &config.accounts {
        let interval = config.collectors.interval(Collector::Billing);
        let requests = account.requests_a_day(interval);
        total += requests;
        let lists = match account.enterprise_project_ids.len() {
            0 => String::new(),
            projects => format!(", {projects} enterprise projects"),
        };
        text += &format!(
            "  {:width$}  {requests:>8.0}: account, billing every {}{lists}\n",
            account.name,
            humantime::format_duration(interval),
        );
    }
    text + &format!("  {:width$}  {total:>8.0}\n", "total")
}
