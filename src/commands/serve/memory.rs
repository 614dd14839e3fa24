//! The last complete usage of each project, over restarts: it is shown at once, with its age, until it is stale.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use tokio::{task::spawn_blocking, time::interval};
use tokio_util::sync::CancellationToken;

use crate::{
    history::{
        latest,
        ledger::{Ledger, LedgerError},
    },
    snapshot::{Moment, Reader, Writer},
};

/// The time between two looks for new usage. A process that is killed loses no more.
const PERIOD: Duration = Duration::from_secs(10);

/// Keeps the last complete usage.
#[derive(Debug)]
pub(super) struct Memory {
    ledger: Ledger,
    reader: Reader,
    /// The start of the poll whose usage is kept, by project.
    kept: BTreeMap<String, DateTime<Utc>>,
    has_failed: bool,
}

impl Memory {
    /// Shows the usage that was kept before the restart, if it answers the configured query.
    pub async fn restore(ledger: Ledger, reader: Reader, writer: &mut Writer, now: Moment) -> Self {
        let (mut kept, mut has_failed) = (BTreeMap::new(), false);
        let snapshot = reader.load();
        match blocking(&ledger, Ledger::latest).await {
            Ok(texts) => {
                for (index, project) in snapshot.projects.iter().enumerate() {
                    let target = &project.target;
                    let text = texts.get(&target.name).zip(target.query.as_deref());
                    if let Some(usage) = text.and_then(|(text, query)| latest::read(text, query, now)) {
                        kept.insert(target.name.clone(), usage.at.utc);
                        writer.restore(index, usage);
                    }
                }
                tracing::info!(projects = kept.len(), "the usage before the restart is shown until the first poll");
            }
            Err(error) => {
                has_failed = true;
                tracing::warn!("the usage before the restart is not known: {error}");
            }
        }
        Memory { ledger, reader, kept, has_failed }
    }

    /// Keeps new usage until the daemon stops, and once more then.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut ticks = interval(PERIOD);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            self.save().await;
        }
        self.save().await;
    }

    /// Keeps the usage that is new. A failure is logged once, until it works again.
    async fn save(&mut self) {
        let snapshot = self.reader.load();
        let mut changes: BTreeMap<String, Option<String>> = BTreeMap::new();
        let mut kept = BTreeMap::new();
        for project in &snapshot.projects {
            let Some((usage, query)) = project.usage.as_ref().zip(project.target.query.as_deref()) else { continue };
            let name = &project.target.name;
            if self.kept.get(name) != Some(&usage.at.utc) {
                changes.insert(name.clone(), Some(latest::write(usage, query)));
            }
            kept.insert(name.clone(), usage.at.utc);
        }
        changes.extend(self.kept.keys().filter(|name| !kept.contains_key(*name)).map(|name| (name.clone(), None)));
        if changes.is_empty() {
            return;
        }
        match blocking(&self.ledger, move |ledger| ledger.keep_latest(&changes)).await {
            Ok(()) if self.has_failed => {
                tracing::info!("the last usage is kept again");
                self.has_failed = false;
            }
            Ok(()) => {}
            Err(error) => {
                if !self.has_failed {
                    tracing::warn!("the last usage cannot be kept for the next restart, and polling goes on: {error}");
                }
                self.has_failed = true;
                return;
            }
        }
        self.kept = kept;
    }
}

async fn blocking<T: Send + 'static>(
    ledger: &Ledger,
    work: impl FnOnce(&Ledger) -> Result<T, LedgerError> + Send + 'static,
) -> Result<T, LedgerError> {
    let ledger = ledger.clone();
    match spawn_blocking(move || work(&ledger)).await {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
