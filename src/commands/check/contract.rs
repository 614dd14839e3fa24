//! `check --online --contract`: asks what the documentation of the API leaves open (contract, 1.5). The report contains
//! no usage, names or ids.
//!
//! [`probes`] sends the requests, [`questions`] chooses them, [`paging`], [`times`] and [`values`] conclude from the
//! answers, and [`report`] holds the conclusions. [`lists`] does all of this for packages, sub-users, live sessions and
//! videos.

mod findings;
mod lists;
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
    lists::ListProbes,
    probes::Probes,
    report::{AccountReport, ContractReport, ProjectReport},
};
use crate::{
    commands::{check::online::Answered, print},
    config::Config,
    history::ledger::Ledger,
    polling::past::PastDays,
};

/// Asks one project or account after the other. Prints a report for each, and writes all reports to `output`.
/// `storage` is the directory of an exporter: its ledger tells for how long days still changed after they ended.
pub(super) async fn run(
    config: &Config,
    Answered { projects, accounts }: &Answered<'_>,
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
        // The test of the project has looked the id up.
        let Some(project_id) = client.known_project_id() else { continue };
        let mut probes = Probes::new(client, project, &project_id, config.poll.timeout);
        probes.list_users(client).await;
        let mut findings = questions::ask_all(&mut probes, Utc::now().trunc_subsecs(0), &config.timezone).await;
        let past = PastDays::new(client.clone(), project, config, ledger.clone());
        findings.last_change = match &ledger {
            Some(_) => times::last_change(&past.known(&project_id).await?, today).into(),
            None => Finding::Unknown(Unknown::NoDays),
        };
        let mut of_lists = ListProbes::new(client, &project_id, config.poll.timeout, probes.stop());
        let lists = of_lists.ask_all(Utc::now()).await;
        let requests = probes.requests() + of_lists.counters.requests();
        let report = ProjectReport { project: number, requests, stopped: of_lists.stop, findings, lists };
        print(&format!("\ncontract report of project {number}, {}\n{}", project.name, report.lines()))?;
        reports.push(report);
    }
    let mut of_accounts = Vec::new();
    for (account, client) in accounts {
        let number = config.accounts.iter().take_while(|other| other.name != account.name).count() + 1;
        let Some(account_id) = client.known_project_id() else { continue };
        let mut probes = ListProbes::new(client, &account_id, config.poll.timeout, None);
        let findings = probes.ask_account().await;
        let (requests, stopped) = (probes.counters.requests(), probes.stop);
        let report = AccountReport { account: number, requests, stopped, findings };
        print(&format!("\ncontract report of account {number}, {}\n{}", account.name, report.lines()))?;
        of_accounts.push(report);
    }
    match output {
        _ if reports.is_empty() && of_accounts.is_empty() => {
            print("\nno contract report, because no project answers\n")
        }
        Some(path) => {
            ContractReport::new(reports, of_accounts).write(path).await?;
            print(&format!("\nwrote the contract report to {}\n", path.display()))
        }
        None => Ok(()),
    }
}
