//! Keeps the last complete usage of each project over restarts. A new process shows it at once, with its age, until it
//! is stale.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    history::{
        latest,
        ledger::{Ledger, LedgerError},
    },
    snapshot::{Moment, Reader, Snapshot, Writer},
};

/// The time between two checks for new usage. A process that is killed loses at most the usage of this time.
const PERIOD: Duration = Duration::from_secs(10);

/// The time limit for reading and for the last write: the directory may be on a mount that hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Keeps the last complete usage.
#[derive(Debug)]
pub(super) struct Memory {
    ledger: Ledger,
    reader: Reader,
    /// The start of the poll whose usage is kept, by project.
    kept: KeptPolls,
    has_failed: bool,
}

type KeptPolls = BTreeMap<String, DateTime<Utc>>;

impl Memory {
    /// Shows the usage that was kept before the restart, for each project whose query is the same as then.
    pub async fn restore(ledger: Ledger, reader: Reader, writer: &mut Writer, now: Moment) -> Self {
        let (mut kept, mut has_failed) = (KeptPolls::new(), false);
        match timeout(PATIENCE, ledger.run(Ledger::latest)).await {
            Ok(Ok(texts)) => {
                // The first save removes usage that is not shown.
                kept = texts.keys().map(|name| (name.clone(), DateTime::UNIX_EPOCH)).collect();
                let mut projects = 0;
                for (index, project) in reader.load().projects.iter().enumerate() {
                    let target = &project.target;
                    let text = texts.get(&target.name).zip(target.query.as_deref());
                    if let Some(usage) = text.and_then(|(text, query)| latest::read(text, query, now)) {
                        kept.insert(target.name.clone(), usage.at.utc);
                        writer.restore(index, usage);
                        projects += 1;
                    }
                }
                if projects > 0 {
                    tracing::info!(projects, "the last usage before the restart is known");
                }
            }
            failed => {
                has_failed = true;
                let reason = match failed {
                    Ok(Err(error)) => error.to_string(),
                    _ => "the directory of --storage.path does not answer; check its mount".to_owned(),
                };
                tracing::warn!("the usage before the restart is not known: {reason}");
            }
        }
        Memory { ledger, reader, kept, has_failed }
    }

    /// Keeps new usage until the daemon stops, and once more when it stops.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut ticks = interval(PERIOD);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            self.save().await;
        }
        let _ = timeout(PATIENCE, self.save()).await;
    }

    /// Keeps the usage that is new. Only the first of several failures in a row is logged.
    async fn save(&mut self) {
        let (snapshot, before) = (self.reader.load(), self.kept.clone());
        // Not in this thread: with many projects it takes milliseconds, and a scrape must not wait for that.
        match self.ledger.run(move |ledger| keep(ledger, &snapshot, &before)).await {
            Ok(kept) => {
                self.kept = kept;
                if self.has_failed {
                    tracing::info!("the last usage is kept again");
                }
                self.has_failed = false;
            }
            Err(error) => {
                if !self.has_failed {
                    tracing::warn!("the last usage cannot be kept for the next restart, and polling goes on: {error}");
                }
                self.has_failed = true;
            }
        }
    }
}

/// Keeps the usage that is newer than `before`, and removes the usage of projects that have none any more.
fn keep(ledger: &Ledger, snapshot: &Snapshot, before: &KeptPolls) -> Result<KeptPolls, LedgerError> {
    let (mut kept, mut changes) = (KeptPolls::new(), BTreeMap::new());
    for project in &snapshot.projects {
        let Some((usage, query)) = project.usage.as_ref().zip(project.target.query.as_deref()) else { continue };
        let (name, at) = (&project.target.name, usage.at.utc);
        if before.get(name) != Some(&at) {
            changes.insert(name.clone(), Some(latest::write(usage, query)));
        }
        kept.insert(name.clone(), at);
    }
    changes.extend(before.keys().filter(|name| !kept.contains_key(*name)).map(|name| (name.clone(), None)));
    if !changes.is_empty() {
        ledger.keep_latest(&changes)?;
    }
    Ok(kept)
}
