//! The runs of one collector. A collector belongs to a project, where it runs beside the polls, or to an account.

mod billing;
mod days;
mod owners;
mod packages;
mod past_days;
mod reconciliation;
mod sessions;
mod source;
mod sub_users;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

pub use self::owners::PackageOwners;
use self::{billing::Billing, past_days::AskedDays, reconciliation::Reconciling, source::Source};
use super::past::{PastDays, PastError};
use crate::{
    cloud::{Call, Client, Error, project_api},
    config::{Account, Config, Project},
    history::ledger::Ledger,
    snapshot::{CollectorOutcome, Failure, Found, Moment},
    usage::{Collector, CollectorDoubt, CollectorDoubts, Counters, Reason},
};

/// The time limit of a run that asks for days that have ended. There may be some dozens, each with a separate query.
/// Days that are complete by then are kept.
const DAYS_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// A collector of one project or account.
#[derive(Debug)]
pub struct Collecting {
    client: Client,
    /// The name of the project or account.
    owner: String,
    collector: Collector,
    interval: Duration,
    timeout: Duration,
    work: Work,
    /// The doubts of the last complete run. A doubt is logged when it is new, not at every run.
    doubts: Mutex<CollectorDoubts>,
    /// How the last run failed; `None` if it succeeded.
    last_failure: Mutex<Option<LastFailure>>,
}

/// The requests of a collector, with the state that it keeps between runs.
#[derive(Debug)]
enum Work {
    Packages(Arc<PackageOwners>),
    SubUsers,
    Sessions,
    Reconciliation(Box<Reconciling>),
    Days(Box<AskedDays>),
    Billing(Box<Billing>),
}

impl Collecting {
    /// The configured collectors of a project, and with a ledger also the collector of days.
    pub fn of(
        client: &Client,
        project: &Project,
        config: &Config,
        ledger: Option<&Ledger>,
        owners: &Arc<PackageOwners>,
    ) -> Vec<Arc<Self>> {
        let days = ledger.map(|_| &Collector::Days);
        let one =
            |collector: &Collector| Self::new(client.clone(), project, config, *collector, ledger.cloned(), owners);
        project.collect.keys().chain(days).map(one).map(Arc::new).collect()
    }

    /// A collector of a project, configured or not.
    pub fn new(
        client: Client,
        project: &Project,
        config: &Config,
        collector: Collector,
        ledger: Option<Ledger>,
        owners: &Arc<PackageOwners>,
    ) -> Self {
        let mut timeout = config.poll.timeout;
        let work = match collector {
            // The configuration of a project cannot name `Billing`, because the billing service knows no projects.
            Collector::Packages | Collector::Billing => Work::Packages(Arc::clone(owners)),
            Collector::SubUsers => Work::SubUsers,
            Collector::Sessions => Work::Sessions,
            Collector::Reconciliation => {
                timeout = DAYS_TIMEOUT;
                Work::Reconciliation(Box::new(Reconciling::new(&client, project, config, ledger)))
            }
            Collector::Days => {
                timeout = DAYS_TIMEOUT;
                Work::Days(Box::new(AskedDays::new(PastDays::new(client.clone(), project, config, ledger))))
            }
        };
        Self::with(client, &project.name, config, collector, timeout, work)
    }

    /// The collector of the packages of an account.
    pub fn of_account(client: Client, account: &Account, config: &Config) -> Self {
        let work = Work::Billing(Box::new(Billing::new(account.clone())));
        Self::with(client, &account.name, config, Collector::Billing, config.poll.timeout, work)
    }

    fn with(client: Client, owner: &str, config: &Config, collector: Collector, timeout: Duration, work: Work) -> Self {
        Collecting {
            client,
            owner: owner.to_owned(),
            collector,
            interval: config.collectors.interval(collector),
            timeout,
            work,
            doubts: Mutex::default(),
            last_failure: Mutex::default(),
        }
    }

    /// The collector.
    pub fn collector(&self) -> Collector {
        self.collector
    }

    /// The time between two runs.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// Runs once, as of `now`, in a separate task, so that a panic fails this run only. The run ends within the
    /// timeout.
    pub async fn run(self: Arc<Self>, now: Moment) -> CollectorOutcome {
        let (start, collector) = (Instant::now(), self.collector);
        let task = AbortOnDropHandle::new(tokio::spawn(async move { self.collect(now.utc).await }));
        let (result, is_refused, counters) = task.await.unwrap_or_else(|error| {
            let message = format!("a defect of the exporter, please report it: {error}");
            (Err(Failure { reason: Reason::Internal, message }), false, Counters::default())
        });
        let (result, doubts) = match result {
            Ok((found, doubts)) => (Ok(found), doubts),
            Err(failure) => (Err(failure), CollectorDoubts::new()),
        };
        CollectorOutcome { collector, at: now, duration: start.elapsed(), result, doubts, is_refused, counters }
    }

    async fn collect(&self, now: DateTime<Utc>) -> (Result<(Found, CollectorDoubts), Failure>, bool, Counters) {
        let (deadline, mut counters) = (Instant::now() + self.timeout, Counters::default());
        let result = timeout_at(deadline, self.found(now, deadline, &mut counters)).await;
        let result = result.unwrap_or_else(|_| {
            let (collector, timeout, requests) = (self.collector, self.timeout, counters.requests());
            let text = format!("the run of {collector} was not complete after {timeout:?} and {requests} requests");
            Err(PastError::Cloud(Error::Timeout(text)))
        });
        let refusal = result.as_ref().err().and_then(PastError::cloud);
        let is_refused = refusal.is_some_and(Error::is_operation_refused);
        let failure = |error: PastError| Failure {
            reason: error.cloud().map_or(Reason::Storage, Error::reason),
            message: error.to_string(),
        };
        if let Ok((_, doubts)) = &result {
            self.log_new_doubts(doubts);
        }
        (result.map_err(failure), is_refused, counters)
    }

    async fn found(
        &self,
        now: DateTime<Utc>,
        deadline: Instant,
        counters: &mut Counters,
    ) -> Result<(Found, CollectorDoubts), PastError> {
        let mut call = Call { client: &self.client, deadline, counters };
        let project_id = &*project_api::project_id(&mut call).await?;
        let source = Source { call, project_id, now };
        Ok(match &self.work {
            Work::Packages(owners) => {
                let (found, mut doubts) = packages::collect(source).await?;
                if let Some((id, other)) = owners.note(&self.owner, &found.list, now, self.interval) {
                    let seen = format!("the package {id} is in the list of the project {other}, too");
                    doubts.insert(CollectorDoubt::ListedTwice, seen);
                }
                (Found::Packages(found), doubts)
            }
            Work::SubUsers => {
                sub_users::collect(source).await.map(|(found, doubts)| (Found::SubUsers(found), doubts))?
            }
            Work::Sessions => {
                sessions::collect(source).await.map(|(found, doubts)| (Found::Sessions(found), doubts))?
            }
            Work::Billing(billing) => {
                billing.collect(source).await.map(|(found, doubts)| (Found::Packages(found), doubts))?
            }
            Work::Reconciliation(reconciling) => {
                reconciling.collect(source).await.map(|(found, doubts)| (Found::Reconciliation(found), doubts))?
            }
            Work::Days(asked) => {
                (Found::Days(days::collect(asked, now, source.call.counters).await?), CollectorDoubts::new())
            }
        })
    }

    fn log_new_doubts(&self, doubts: &CollectorDoubts) {
        let (project, account) = self.log_owner();
        let collector = self.collector.as_str();
        let mut known = self.doubts.lock();
        for (doubt, seen) in doubts.iter().filter(|(doubt, _)| !known.contains_key(doubt)) {
            tracing::warn!(project, account, collector, %doubt, "{seen}: {}", doubt.advice());
        }
        known.clone_from(doubts);
    }

    /// The fields `project` and `account` of a line of the log.
    fn log_owner(&self) -> (Option<&str>, Option<&str>) {
        match self.collector {
            Collector::Billing => (None, Some(self.owner.as_str())),
            _ => (Some(self.owner.as_str()), None),
        }
    }

    /// Logs a run. A failure is a warning each time. But if the service refuses the operation again, this is logged at
    /// level debug only.
    pub(super) fn log(&self, outcome: &CollectorOutcome) {
        let (project, account) = self.log_owner();
        let collector = self.collector.as_str();
        let (requests, duration) = (outcome.counters.requests(), outcome.duration.as_secs_f64());
        let of_failure = |failure: &Failure| LastFailure { reason: failure.reason, is_refused: outcome.is_refused };
        let last_failure = outcome.result.as_ref().err().map(of_failure);
        let before = std::mem::replace(&mut *self.last_failure.lock(), last_failure);
        match &outcome.result {
            Ok(_) if before.is_some() => {
                tracing::info!(project, account, collector, requests, duration, "collector succeeded again");
            }
            Ok(_) => tracing::debug!(project, account, collector, requests, duration, "collector succeeded"),
            Err(Failure { reason, message }) => {
                let (reason, error) = (reason.as_str(), message);
                if outcome.is_refused && before == last_failure {
                    tracing::debug!(project, account, collector, reason, requests, duration, error, "collector failed");
                } else {
                    tracing::warn!(project, account, collector, reason, requests, duration, error, "collector failed");
                }
            }
        }
    }
}

/// How the last run of a collector failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LastFailure {
    reason: Reason,
    is_refused: bool,
}
