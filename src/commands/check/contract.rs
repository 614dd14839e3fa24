//! `check --online --contract`: asks what the documentation of the API leaves open (contract, 1.5). The report contains
//! no usage, names or ids.
//!
//! [`probes`] sends the requests, [`questions`] chooses them, [`paging`], [`times`] and [`values`] conclude from the
//! answers, and [`report`] holds the conclusions.

mod findings;
mod paging;
mod probes;
mod questions;
mod report;
mod times;
mod values;

use std::path::{Path, PathBuf};

use chrono::{SubsecRound, Utc};
use tokio::task::spawn_blocking;

use self::{
    findings::{Finding, Unknown},
    probes::Probes,
    report::{ProjectReport, Report},
};
use crate::{
    cloud::Client,
    commands::print,
    config::{Config, Project},
    history::ledger::Ledger,
    polling::past::PastDays,
};

/// Asks the projects one after the other. Prints a report for each, and writes all of them to `output`. The directory of
/// an exporter tells when days still changed after their end.
pub(super) async fn run(
    config: &Config,
    projects: &[(&Project, Client)],
    output: Option<&Path>,
    storage: Option<PathBuf>,
) -> anyhow::Result<()> {
    let today = config.timezone.local(Utc::now()).date_naive();
    let ledger = match storage {
        Some(directory) => spawn_blocking(move || Ledger::existing(&directory)).await??,
        None => None,
    };
    let mut reports = Vec::new();
    for (project, client) in projects {
        let number = config.projects.iter().take_while(|other| other.name != project.name).count() + 1;
        // The test of the project has looked it up.
        let Some(project_id) = client.known_project_id() else { continue };
        let mut probes = Probes::new(client, project, &project_id, config.poll.timeout);
        let mut findings = questions::ask_all(&mut probes, Utc::now().trunc_subsecs(0), &config.timezone).await;
        let past = PastDays::new(client.clone(), project, config, ledger.clone());
        findings.last_change = match &ledger {
            Some(_) => times::last_change(&past.known(&project_id).await?, today).into(),
            None => Finding::Unknown(Unknown::NoDays),
        };
        let (requests, stopped) = (probes.requests(), probes.stop());
        let report = ProjectReport { project: number, requests, stopped, findings };
        print(&format!("\ncontract report of project {number}, {}\n{}", project.name, report.lines()))?;
        reports.push(report);
    }
    match output {
        _ if reports.is_empty() => print("\nno contract report, because no project answers\n"),
        Some(path) => {
            Report::new(reports).write(path).await?;
            print(&format!("\nwrote the contract report to {}\n", path.display()))
        }
        None => Ok(()),
    }
}
