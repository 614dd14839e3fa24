//! The poll of one project: all of its windows, or none.

use std::{collections::BTreeSet, time::Duration};

use chrono::{DateTime, SubsecRound, Utc};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};

use super::range::{Progress, RangeQuery, RangeUsage};
use crate::{
    cloud::{Client, Error, project_api, usage_api::Doubt},
    config::{Config, Project},
    snapshot::{Failure, PollOutcome, Target, WindowUsage},
    usage::{RowCounters, Window, Zone},
};

/// Polls one project.
#[derive(Debug)]
pub struct Poller {
    client: Client,
    project: Project,
    page_size: usize,
    timezone: Zone,
    timeout: Duration,
    /// The doubts of the last complete poll. A doubt is logged when it is new, not at every poll.
    doubts: Mutex<BTreeSet<Doubt>>,
}

impl From<&Project> for Target {
    fn from(project: &Project) -> Self {
        Target {
            name: project.name.clone(),
            project_id: project.project_id.clone(),
            region: project.region.clone(),
            endpoint: project.endpoint.to_string(),
            labels: project.labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            stale_after: project.stale_after,
            credentials: project.credentials.clone(),
            budgets: project.budgets.clone(),
        }
    }
}

/// The outcome of a complete poll.
#[derive(Default)]
struct Complete {
    windows: Vec<WindowUsage>,
    rows: RowCounters,
    doubts: BTreeSet<Doubt>,
}

impl Poller {
    /// A poller for a project of `config`.
    pub(super) fn new(client: Client, project: &Project, config: &Config) -> Self {
        Poller {
            client,
            project: project.clone(),
            page_size: config.api.page_size,
            timezone: config.timezone.clone(),
            timeout: config.poll.timeout,
            doubts: Mutex::default(),
        }
    }

    /// The project's configuration. After a reload, fields that do not affect the poll may be outdated.
    pub fn project(&self) -> &Project {
        &self.project
    }

    /// Polls once, as of `now`. The poll ends within the timeout. A failure is the outcome's result.
    pub async fn poll(&self, now: DateTime<Utc>) -> PollOutcome {
        let start = Instant::now();
        let deadline = start + self.timeout;
        let query = format!("id of the project in region {}", self.project.region);
        let mut progress = Progress { query, ..Progress::default() };
        let result = timeout_at(deadline, self.windows(now, deadline, &mut progress)).await;
        let Progress { mut counters, query } = progress;
        let result = result.unwrap_or_else(|_| Err(self.timeout_error(counters.requests())));
        let result = match result {
            Ok(complete) => {
                counters.rows = complete.rows;
                self.log_new_doubts(complete.doubts);
                Ok(complete.windows)
            }
            Err(error) => Err(Failure { reason: error.reason(), message: format!("{query}: {}", error.report()) }),
        };
        PollOutcome {
            counters,
            project_id: self.client.known_project_id(),
            credentials_expiry: self.client.credentials_expiry(),
            ..PollOutcome::new(now, start.elapsed(), result)
        }
    }

    async fn windows(&self, now: DateTime<Utc>, deadline: Instant, progress: &mut Progress) -> Result<Complete, Error> {
        // The API takes whole seconds. All windows of a poll end at the same instant.
        let now = now.trunc_subsecs(0);
        let project_id = &*project_api::project_id(&self.client, deadline, &mut progress.counters).await?;
        let query = RangeQuery {
            client: &self.client,
            project: &self.project,
            project_id,
            page_size: self.page_size,
            deadline,
        };
        let mut complete = Complete::default();
        for &window in &self.project.windows {
            let bounds = window.bounds(now, &self.timezone);
            let zone_of_days = (window == Window::ThisMonth).then_some(&self.timezone);
            let usage = query.sum(bounds.elapsed(now), zone_of_days, &format!("window {window}"), progress).await?;
            let RangeUsage { tally, days, rows, doubts } = usage;
            complete.windows.push(WindowUsage { window, bounds, tally, days });
            complete.rows += rows;
            complete.doubts.extend(doubts);
        }
        Ok(complete)
    }

    fn timeout_error(&self, requests: u64) -> Error {
        Error::Timeout(format!(
            "the poll was not complete after {:?} and {requests} requests; raise poll.timeout or api.requests_per_second, \
             or poll fewer windows and users",
            self.timeout,
        ))
    }

    fn log_new_doubts(&self, doubts: BTreeSet<Doubt>) {
        let mut known = self.doubts.lock();
        for doubt in doubts.difference(&known) {
            tracing::warn!(project = self.project.name, "{}", doubt.explanation());
        }
        *known = doubts;
    }
}
