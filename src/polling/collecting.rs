//! The runs of one collector of a project, beside the polls of its usage, or of an account.

mod billing;
mod packages;
mod sessions;
mod source;
mod sub_users;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use self::{billing::Billing, source::Source};
use crate::{
    cloud::{Client, Error, project_api},
    config::{Account, Config, Project},
    snapshot::{CollectorOutcome, Failure, Found, Moment},
    usage::{Collector, Counters, Reason},
};

/// The least time until an operation that the service refuses is tried again.
pub(super) const AFTER_REFUSAL: Duration = Duration::from_secs(60 * 60);

/// A collector of one project or account.
#[derive(Debug)]
pub struct Collecting {
    client: Client,
    /// The name of the project or account.
    owner: String,
    collector: Collector,
    /// Of an account.
    billing: Option<Billing>,
    interval: Duration,
    timeout: Duration,
}

impl Collecting {
    /// The configured collectors of a project.
    pub fn of(client: &Client, project: &Project, config: &Config) -> Vec<Arc<Self>> {
        let one = |collector: &Collector| Arc::new(Self::new(client.clone(), project, config, *collector));
        project.collect.keys().map(one).collect()
    }

    /// A collector of a project, configured or not.
    pub fn new(client: Client, project: &Project, config: &Config, collector: Collector) -> Self {
        Collecting {
            client,
            owner: project.name.clone(),
            collector,
            billing: None,
            interval: config.collectors.interval(collector),
            timeout: config.poll.timeout,
        }
    }

    /// The collector of the packages of an account.
    pub fn of_account(client: Client, account: &Account, config: &Config) -> Self {
        let collector = Collector::Billing;
        Collecting {
            client,
            owner: account.name.clone(),
            collector,
            billing: Some(Billing::new(account.clone())),
            interval: config.collectors.interval(collector),
            timeout: config.poll.timeout,
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

    /// Runs once, as of `now`, in a separate task, so that a panic fails this run only. The run ends within the timeout.
    pub async fn run(self: Arc<Self>, now: Moment) -> CollectorOutcome {
        let (start, collector) = (Instant::now(), self.collector);
        let task = AbortOnDropHandle::new(tokio::spawn(async move { self.collect(now.utc).await }));
        let (result, is_refused, counters) = task.await.unwrap_or_else(|error| {
            let message = format!("a defect of the exporter, please report it: {error}");
            (Err(Failure { reason: Reason::Internal, message }), false, Counters::default())
        });
        CollectorOutcome { collector, at: now, duration: start.elapsed(), result, is_refused, counters }
    }

    async fn collect(&self, now: DateTime<Utc>) -> (Result<Found, Failure>, bool, Counters) {
        let (deadline, mut counters) = (Instant::now() + self.timeout, Counters::default());
        let result = timeout_at(deadline, self.found(now, deadline, &mut counters)).await;
        let result = result.unwrap_or_else(|_| {
            let (collector, timeout, requests) = (self.collector, self.timeout, counters.requests());
            Err(Error::Timeout(format!("{collector} were not complete after {timeout:?} and {requests} requests")))
        });
        let is_refused = matches!(
            &result,
            Err(Error::Refused(refusal)) if matches!(refusal.status, 403 | 404) && refusal.reason() != Reason::Throttled
        );
        let failure = |error: Error| Failure { reason: error.reason(), message: error.report() };
        (result.map_err(failure), is_refused, counters)
    }

    async fn found(&self, now: DateTime<Utc>, deadline: Instant, counters: &mut Counters) -> Result<Found, Error> {
        let project_id = &*project_api::project_id(&self.client, deadline, counters).await?;
        let source = Source { client: &self.client, project_id, now, deadline, counters };
        match (self.collector, &self.billing) {
            (Collector::Packages, _) => packages::collect(source).await.map(Found::Packages),
            (Collector::SubUsers, _) => sub_users::collect(source).await.map(Found::SubUsers),
            (Collector::Sessions, _) => sessions::collect(source).await.map(Found::Sessions),
            (Collector::Billing, Some(billing)) => billing.collect(source).await.map(Found::Packages),
            // The configuration of a project cannot name it.
            (Collector::Billing, None) => Err(Error::NoAccount("only an account has billing".to_owned())),
        }
    }

    /// Logs a run. A failure is logged each time, but an operation that the service refuses only once. Returns the failure,
    /// if there is one.
    pub(super) fn log(&self, outcome: &CollectorOutcome, before: Option<LastFailure>) -> Option<LastFailure> {
        let (project, account) = match self.collector {
            Collector::Billing => (None, Some(self.owner.as_str())),
            _ => (Some(self.owner.as_str()), None),
        };
        let collector = self.collector.as_str();
        let (requests, duration) = (outcome.counters.requests(), outcome.duration.as_secs_f64());
        let Failure { reason, message } = match &outcome.result {
            Ok(_) if before.is_some() => {
                tracing::info!(project, account, collector, requests, duration, "collector succeeded again");
                return None;
            }
            Ok(_) => {
                tracing::debug!(project, account, collector, requests, duration, "collector succeeded");
                return None;
            }
            Err(failure) => failure,
        };
        let failure = LastFailure { reason: *reason, is_refused: outcome.is_refused };
        let (reason, error) = (reason.as_str(), message);
        if outcome.is_refused && before == Some(failure) {
            tracing::debug!(project, account, collector, reason, requests, duration, error, "collector failed");
        } else {
            tracing::warn!(project, account, collector, reason, requests, duration, error, "collector failed");
        }
        Some(failure)
    }
}

/// How the last run of a collector failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LastFailure {
    reason: Reason,
    is_refused: bool,
}
