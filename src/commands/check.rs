//! `check`: every problem of the configuration, or what it will cost; and whether it works.

mod online;

use std::{path::Path, process::ExitCode};

use super::Origin;
use crate::{
    cli::Check,
    config::{self, Config, Environment, effective},
    server::WebPolicy,
};

/// Prints to standard output, and gives exit code 0 where the configuration is valid, and works if that is asked; else 1.
pub(super) async fn run(flags: &Check, environment: &Environment) -> anyhow::Result<ExitCode> {
    let path = &flags.config.file;
    let loaded = Origin::of(&flags.config, environment)?.load(environment).await;
    // What is printed as a configuration stays one.
    let comment = if flags.print && loaded.config.is_some() { "# " } else { "" };
    let mut text = String::new();
    for problem in &loaded.problems {
        text += &format!("{comment}{}: {problem}\n", if problem.is_warning { "warning" } else { "error" });
    }
    text += &match &loaded.config {
        Some(config) if flags.print => effective::to_yaml(config),
        Some(config) => summary(path, config),
        None => {
            let errors = loaded.errors().count();
            format!("{}: not valid, errors: {errors}\n", path.display())
        }
    };
    super::print(&text)?;
    let mut web_is_valid = true;
    if let Some(path) = &flags.web_config_file
        && let Err(problems) = WebPolicy::new(Some(path.clone()), false).await
    {
        for problem in &problems {
            super::print(&format!("error: web configuration: {problem}\n"))?;
        }
        super::print(&format!("{}: not valid, errors: {}\n", path.display(), problems.len()))?;
        web_is_valid = false;
    }
    let works = match &loaded.config {
        Some(config) if flags.online => online::run(config, environment).await?,
        loaded => loaded.is_some(),
    };
    Ok(if works && web_is_valid { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn summary(path: &Path, config: &Config) -> String {
    let mut text = format!("{}: valid. API requests a day, where each answer fits on one page:\n", path.display());
    let width = config.projects.iter().map(|project| project.name.chars().count()).max().unwrap_or_default();
    for project in &config.projects {
        let users = match project.user_ids.len() {
            0 => String::new(),
            users => format!(" x {users} users"),
        };
        text += &format!(
            "  {:width$}  {:>8.0}: {} windows{users} every {}\n",
            project.name,
            project.requests_a_day(),
            project.windows.len(),
            humantime::format_duration(project.interval),
        );
    }
    let total: f64 = config.projects.iter().map(config::Project::requests_a_day).sum();
    text + &format!("  {:width$}  {total:>8.0}\n", "total")
}
