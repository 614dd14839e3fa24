//! The past days of one project: those that are known, and those for which the cloud is asked.
//!
//! Each part that is complete is kept in the ledger at once, so that a process that is killed loses nothing of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{BuildHasher, Hasher, RandomState},
    ops::Range,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use thiserror::Error;
use tokio::time::Instant;

use super::{
    asking::{DaysQuery, Learnt, Step},
    range::Split,
    sub_users::{self, PolledSubUsers},
};
use crate::{
    cloud::{Call, Client, Error as CloudError, project_api},
    config::{Config, Project},
    history::{
        days::{ChangedDays, KnownDays, UsedBefore, happened},
        ledger::{self, Ledger, LedgerError},
    },
    usage::{Doubt, Reason, Revision, Zone, first_of_month},
};

/// A run ends when this many [`parts`] in a row have failed.
const MOST_FAILURES: usize = 3;

/// The time limit for looking a project id up, and the time limit of the list of sub-users.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The past of one project.
#[derive(Debug)]
pub struct PastDays {
    client: Client,
    project: Project,
    zone: Zone,
    page_size: usize,
    ledger: Option<Ledger>,
    /// Whether the ledger is only read.
    only_reads: bool,
}

/// The result of a run: the known days of a project, and the missing ones.
#[derive(Debug)]
pub struct Known {
    /// The project's id, configured or looked up.
    pub project_id: String,
    /// The key of its days in the ledger.
    pub identity: String,
    /// Its days.
    pub days: KnownDays,
    /// The due days without an answer of the cloud.
    pub missing: BTreeSet<NaiveDate>,
    /// Why they are missing.
    pub failure: Option<FailedQuery>,
    /// The service refuses this day, so this day and all days before it are too far back.
    pub too_far_back: Option<NaiveDate>,
}

/// A query that failed.
#[derive(Debug, Error)]
#[error("{query}: {}", error.report())]
pub struct FailedQuery {
    /// What it asked for: days, or the list of sub-users.
    pub query: String,
    /// The reason.
    pub error: CloudError,
}

/// A run that has failed.
#[derive(Debug, Error)]
pub enum PastError {
    /// A request to the cloud failed.
    #[error("{}", .0.report())]
    Cloud(#[from] CloudError),
    /// A query failed, so days are missing.
    #[error(transparent)]
    Query(FailedQuery),
    /// The ledger cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl PastError {
    /// The error of the cloud; `None` if the ledger cannot be used.
    pub fn cloud(&self) -> Option<&CloudError> {
        match self {
            PastError::Cloud(error) | PastError::Query(FailedQuery { error, .. }) => Some(error),
            PastError::Ledger(_) => None,
        }
    }
}

/// The progress of the runs of all projects.
#[derive(Debug, Default)]
pub struct Meter {
    /// Days to ask for.
    pub total: AtomicUsize,
    /// Days that are complete.
    pub done: AtomicUsize,
    /// Requests.
    pub requests: AtomicU64,
}

/// One run.
struct Run<'a> {
    past: &'a PastDays,
    now: DateTime<Utc>,
    range: Range<NaiveDate>,
    learnt: &'a mut Learnt,
    meter: &'a Meter,
    known: Known,
    /// Why the sub-users are not known, if they are needed.
    not_listed: Option<String>,
}

impl PastDays {
    /// The past of a project of `config`. Without a ledger nothing is kept.
    pub fn new(client: Client, project: &Project, config: &Config, ledger: Option<Ledger>) -> Self {
        PastDays {
            client,
            project: project.clone(),
            zone: config.timezone.clone(),
            page_size: config.api.page_size,
            ledger,
            only_reads: false,
        }
    }

    /// The same past, but its runs only read the ledger. Another collector writes the days of the project.
    #[must_use]
    pub fn only_reading(self) -> Self {
        PastDays { only_reads: true, ..self }
    }

    /// The project's configuration.
    pub fn project(&self) -> &Project {
        &self.project
    }

    /// The zone of the days.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// Asks for the days of a range that are `due`, as of `now`, the newest month first. Queries that fail are logged.
    ///
    /// # Errors
    /// [`PastError::Cloud`] and [`PastError::Ledger`]. The days of a query that fails are [missing](Known::missing).
    pub async fn run(
        &self,
        now: DateTime<Utc>,
        range: Range<NaiveDate>,
        due: impl Fn(&KnownDays, NaiveDate) -> bool,
        learnt: &mut Learnt,
        meter: &Meter,
    ) -> Result<Known, PastError> {
        let deadline = Instant::now() + TIMEOUT;
        let mut call = Call { client: &self.client, deadline, counters: &mut learnt.progress.counters };
        let project_id = project_api::project_id(&mut call).await?;
        let identity = self.identity(&project_id);
        let days = self.load(&identity).await?;
        let missing: BTreeSet<_> =
            happened(range.start, range.end, &self.zone).filter(|day| due(&days, *day)).collect();
        meter.total.fetch_add(missing.len(), Ordering::Relaxed);
        let project_id = project_id.to_string();
        let known = Known { project_id, identity, days, missing, failure: None, too_far_back: None };
        let mut run = Run { past: self, now, range, learnt, meter, known, not_listed: None };
        run.ask().await?;
        Ok(run.known)
    }

    /// The days that are kept. The cloud is not asked.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn known(&self, project_id: &str) -> Result<KnownDays, LedgerError> {
        self.load(&self.identity(project_id)).await
    }

    /// No days at all.
    pub fn nothing_known(&self) -> KnownDays {
        KnownDays::new(self.zone.clone(), BTreeMap::new(), UsedBefore::new())
    }

    fn identity(&self, project_id: &str) -> String {
        ledger::key(&self.project.query(), project_id, &self.zone)
    }

    async fn load(&self, identity: &str) -> Result<KnownDays, LedgerError> {
        let Some(ledger) = &self.ledger else { return Ok(self.nothing_known()) };
        let (identity, zone) = (identity.to_owned(), self.zone.clone());
        ledger.run(move |ledger| ledger.known(&identity, &zone)).await
    }
}

impl Run<'_> {
    async fn ask(&mut self) -> Result<(), LedgerError> {
        let past = self.past;
        let project_id = self.known.project_id.clone();
        let sub_users = if self.known.missing.is_empty() {
            Ok(PolledSubUsers::default())
        } else {
            let (deadline, counters) = (Instant::now() + TIMEOUT, &mut self.learnt.progress.counters);
            let mut call = Call { client: &past.client, deadline, counters };
            sub_users::for_past_days(&past.project.user_ids, &project_id, &mut call).await
        };
        let ids = match sub_users {
            Ok(PolledSubUsers { ids, not_listed }) => {
                self.not_listed = not_listed;
                ids
            }
            Err(error) => {
                let failed = FailedQuery { query: sub_users::QUERY.to_owned(), error };
                tracing::warn!(project = past.project.name, "{failed}");
                self.known.failure = Some(failed);
                return Ok(());
            }
        };
        let query = DaysQuery {
            source: &past.client,
            project: &past.project,
            split: Split::of(&past.project.user_ids, &ids),
            project_id: &project_id,
            page_size: past.page_size,
            zone: &past.zone,
            seed: RandomState::new().build_hasher().finish(),
        };
        let mut failures = 0;
        for part in parts(&self.known.missing, &past.zone) {
            match self.ask_part(&query, &part).await? {
                None => failures = 0,
                Some(Step::TooFarBack(day)) => {
                    // Neither this day nor the days before it are missing: the service does not have them.
                    self.known.missing.retain(|missing| *missing > day);
                    self.known.too_far_back = Some(day);
                    break;
                }
                Some(Step::Failed(error)) => {
                    failures += 1;
                    let reason = error.reason();
                    let failed = FailedQuery { query: self.learnt.progress.query.clone(), error };
                    tracing::warn!(project = past.project.name, "{failed}");
                    self.known.failure = Some(failed);
                    if matches!(reason, Reason::Auth | Reason::Forbidden) || failures == MOST_FAILURES {
                        return Ok(());
                    }
                }
                Some(Step::Complete(_)) => {}
            }
        }
        self.ask_before(&query).await
    }

    /// Asks for consecutive days. Returns the last step, if they are not all complete.
    async fn ask_part(
        &mut self,
        query: &DaysQuery<'_, Client>,
        part: &[NaiveDate],
    ) -> Result<Option<Step>, LedgerError> {
        let requests = |learnt: &Learnt| learnt.progress.counters.requests();
        let mut asking = query.begin(part, self.now, self.learnt);
        loop {
            let before = requests(self.learnt);
            let step = asking.next(self.learnt).await;
            self.meter.requests.fetch_add(requests(self.learnt) - before, Ordering::Relaxed);
            let Some(Step::Complete(mut days)) = step else { return Ok(step) };
            for day in days.values_mut() {
                day.doubts.extend(self.not_listed.clone().map(|seen| (Doubt::UsersNotListed, seen)));
            }
            self.meter.done.fetch_add(days.len(), Ordering::Relaxed);
            self.known.missing.retain(|day| !days.contains_key(day));
            let changes = self.known.days.extend(days);
            self.keep(changes, None).await?;
        }
    }

    /// If a day is not known to be whole, asks whether there is usage before it.
    async fn ask_before(&mut self, query: &DaysQuery<'_, Client>) -> Result<(), LedgerError> {
        let days = &self.known.days;
        let is_partial = |day: &NaiveDate| days.get(*day).is_some() && !days.is_whole(*day);
        let partial = happened(self.range.start, self.range.end, &self.past.zone).find(is_partial);
        let unknown = partial.filter(|day| self.learnt.nothing_before != Some(*day));
        let Some(day) = unknown.or_else(|| days.first_unproven()) else { return Ok(()) };
        match query.has_usage_before(day, self.learnt).await {
            Ok(true) => {
                let changes = self.known.days.note_used_before(day, self.now);
                self.keep(changes, Some(day)).await?;
            }
            Ok(false) => self.learnt.nothing_before = Some(day),
            Err(error) => tracing::warn!(
                project = self.past.project.name,
                "{day} may be partial, because it is not known whether there is usage before it: {}",
                error.report()
            ),
        }
        Ok(())
    }

    /// Keeps the days, and the fact that there was usage before one of them.
    async fn keep(&self, changes: ChangedDays, used_before: Option<NaiveDate>) -> Result<(), LedgerError> {
        let ChangedDays { days, revisions } = changes;
        if self.past.only_reads {
            return Ok(());
        }
        if let Some(ledger) = &self.past.ledger
            && !(days.is_empty() && used_before.is_none())
        {
            let (identity, now) = (self.known.identity.clone(), self.now);
            ledger.run(move |ledger| ledger.keep(&identity, &days, used_before.map(|day| (day, now)))).await?;
        }
        revisions.iter().for_each(|revision| log_revision(&self.past.project.name, revision));
        Ok(())
    }
}

fn log_revision(project: &str, revision: &Revision) {
    let Revision { day, minutes: [before, after] } = revision;
    let text =
        |minutes: &Option<Decimal>| minutes.map_or_else(|| "unknown".to_owned(), |sum| sum.normalize().to_string());
    if before == after {
        tracing::info!(project, %day, "{day} has changed after its end, but its sum of minutes has not");
    } else {
        tracing::info!(project, %day, "{day} moved from {} to {} minutes", text(before), text(after));
    }
}

/// The days in parts: each has consecutive days of one month. The newest part comes first.
fn parts(days: &BTreeSet<NaiveDate>, zone: &Zone) -> Vec<Vec<NaiveDate>> {
    let mut parts: Vec<Vec<NaiveDate>> = Vec::new();
    for day in days {
        match parts.last_mut() {
            Some(part)
                if part.last().is_some_and(|last| {
                    first_of_month(*last) == first_of_month(*day) && happened(*last, *day, zone).count() == 1
                }) =>
            {
                part.push(*day);
            }
            _ => parts.push(vec![*day]),
        }
    }
    parts.reverse();
    parts
}
