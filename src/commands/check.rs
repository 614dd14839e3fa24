//! `check`: every problem of the configuration, or what it will cost.

use std::{path::Path, process::ExitCode};

use crate::config::{self, Config, Environment, effective};

/// Prints to standard output, and gives exit code 0 where the configuration is valid, else 1.
pub(super) async fn run(path: &Path, print: bool, environment: &Environment) -> ExitCode {
    let loaded = config::load(path, environment).await;
    for problem in &loaded.problems {
        println!("{}: {problem}", if problem.is_warning { "warning" } else { "error" });
    }
    let Some(config) = loaded.config else {
        let errors = loaded.problems.iter().filter(|problem| !problem.is_warning).count();
        println!("{}: not valid, errors: {errors}", path.display());
        return ExitCode::FAILURE;
    };
    if print {
        print!("{}", effective::to_yaml(&config));
    } else {
        print!("{}", summary(path, &config));
    }
    ExitCode::SUCCESS
}

fn summary(path: &Path, config: &Config) -> String {
    let mut text = format!("{}: valid. API requests a day, where each answer fits on one page:\n", path.display());
    let width = config.projects.iter().map(|project| project.name.chars().count()).max().unwrap_or_default();
    for project in &config.projects {
        text += &format!(
            "  {:width$}  {:>8.0} = {} windows x {} queries each, every {}\n",
            project.name,
            project.requests_a_day(),
            project.windows.len(),
            project.user_ids.len().max(1),
            humantime::format_duration(project.interval),
        );
    }
    let total: f64 = config.projects.iter().map(config::Project::requests_a_day).sum();
    text + &format!("  {:width$}  {total:>8.0}\n", "total")
}
