//! The tables of months to which the status page links. They come from the days in the ledger, without requests to the
//! cloud.

use std::sync::Arc;

use chrono::NaiveDate;
use tokio::{sync::mpsc, task::spawn_blocking};

use crate::{
    history::{
        days::next_month,
        ledger::{Ledger, LedgerError},
        report::{ReportProject, csv, rows},
    },
    site::TableRequest,
    snapshot::{Found, KeptDays, ProjectStatus, Reader},
    usage::Collector,
};

/// Answers requests, one after the other.
pub(super) async fn run(ledger: Ledger, reader: Reader, mut requests: mpsc::Receiver<TableRequest>) {
    while let Some(TableRequest { project, month, answer }) = requests.recv().await {
        let snapshot = reader.load();
        let project = snapshot.projects.iter().find(|known| known.target.name == project).map(Arc::clone);
        let ledger = ledger.clone();
        let table = spawn_blocking(move || project.and_then(|project| table(&ledger, &project, month)));
        let table = table.await.unwrap_or_else(|error| Some(Err(format!("a defect of the exporter: {error}"))));
        // The client may have closed its connection.
        let _ = answer.send(table);
    }
}

/// The table of a month; `None` if the days of the project are not known yet.
fn table(ledger: &Ledger, project: &ProjectStatus, month: NaiveDate) -> Option<Result<String, String>> {
    let (_, found) = project.collectors.get(&Collector::Days)?.found.as_ref()?;
    let Found::Days(KeptDays { identity, .. }) = &**found else { return None };
    let target = &project.target;
    let written = || -> Result<String, LedgerError> {
        let known = ledger.known(identity, &target.timezone)?;
        let labels = target.labels.iter().cloned().collect();
        let project = ReportProject {
            name: &target.name,
            project_id: project.project_id().unwrap_or_default(),
            region: &target.region,
            labels: &labels,
            known: &known,
            has_rest: target.has_rest,
        };
        Ok(csv(&rows(&[project], month, next_month(month))))
    };
    Some(written().map_err(|error| error.to_string()))
}
