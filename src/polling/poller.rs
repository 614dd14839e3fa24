//! One project's poll: all of its windows, or nothing.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use chrono::{DateTime, SubsecRound, Utc};
use tokio::time::{Instant, timeout_at};

use crate::{
    cloud::{
        Client, Error, UsageQuery,
        usage_api::{self, Doubt, timestamp},
    },
    config::Project,
    snapshot::{Attempt, Failure, Target, WindowUsage},
    usage::{Clock, Counters, DaySums, IgnoredRows, Tally, Window, Zone},
};

/// Polls one project.
#[derive(Debug)]
pub struct Poller {
    client: Client,
    project: Project,
    timezone: Zone,
    timeout: std::time::Duration,
    clock: Clock,
    /// What has been warned of, so that it is said once. A plain mutex: held to compare, never across an await.
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

/// What a poll gathers on its way; kept where it fails.
#[derive(Default)]
struct Gathered {
    counters: Counters,
    doubts: BTreeSet<Doubt>,
    /// What is being asked, to be said with an error. The id comes first.
    query: String,
}

impl Poller {
    /// A poller for `project`, with `timeout` for each poll.
    pub fn new(client: Client, project: Project, timezone: Zone, timeout: std::time::Duration, clock: Clock) -> Self {
        Poller { client, project, timezone, timeout, clock, doubts: Mutex::default() }
    }

    /// The project's configuration; after a reload, how it looks may be out of date.
    pub fn project(&self) -> &Project {
        &self.project
    }

    /// Polls once. Takes no longer than the timeout, and never fails: a failure is an attempt's result.
    pub async fn poll(&self) -> Attempt {
        let at = (self.clock)();
        let start = Instant::now();
        let deadline = start + self.timeout;
        let query = format!("id of the project in region {}", self.project.region);
        let mut gathered = Gathered { query, ..Gathered::default() };
        let result = timeout_at(deadline, self.windows(deadline, &mut gathered)).await;
        let result = result.unwrap_or_else(|_| {
            Err(Error::Timeout(format!(
                "the poll was not complete after {:?} and {} requests; raise poll.timeout or api.requests_per_second, \
                 or poll fewer windows and users",
                self.timeout,
                gathered.counters.requests(),
            )))
        });
        if result.is_ok() {
            self.warn_of(gathered.doubts);
        } else {
            // Nothing of a failed poll is summed, so nothing is left out of sums either.
            (gathered.counters.ignored, gathered.counters.dropped_values) = (IgnoredRows::default(), 0);
        }
        let failure =
            |error: Error| Failure { reason: error.reason(), message: format!("{}: {error}", gathered.query) };
        let result = result.map_err(failure);
        Attempt {
            counters: gathered.counters,
            project_id: self.client.known_project_id(),
            credentials_expiry: self.client.credentials_expiry(),
            ..Attempt::new(at, start.elapsed(), result)
        }
    }

    async fn windows(&self, deadline: Instant, gathered: &mut Gathered) -> Result<Vec<WindowUsage>, Error> {
        // All windows are seen from the same instant, in the API's whole seconds.
        let now = (self.clock)().trunc_subsecs(0);
        let project_id = self.client.project_id(deadline, &mut gathered.counters).await?;
        let mut windows = Vec::with_capacity(self.project.windows.len());
        for &window in &self.project.windows {
            windows.push(self.window(&project_id, window, now, deadline, gathered).await?);
        }
        Ok(windows)
    }

    async fn window(
        &self,
        project_id: &str,
        window: Window,
        now: DateTime<Utc>,
        deadline: Instant,
        gathered: &mut Gathered,
    ) -> Result<WindowUsage, Error> {
        let bounds = window.bounds(now, &self.timezone);
        let range = bounds.elapsed(now);
        let everybody = [None];
        let users: Vec<Option<&str>> = self.project.user_ids.iter().map(|id| Some(id.as_str())).collect();
        let mut tally = Tally::default();
        let mut days = (window == Window::ThisMonth).then(|| DaySums::new(range, self.timezone.clone()));
        for &user_id in if users.is_empty() { &everybody[..] } else { &users } {
            let of_user = user_id.map_or_else(String::new, |id| format!(" of user {id}"));
            gathered.query =
                format!("window {window} ({} to {}){of_user}", timestamp(range.start), timestamp(range.end));
            let query = UsageQuery { project_id, range, user_id, app_user_id: self.project.app_user_id.as_deref() };
            let answer = usage_api::fetch(&self.client, &query, deadline, &mut gathered.counters).await?;
            gathered.counters.ignored.sub_resource += answer.sub_resource_rows;
            gathered.counters.ignored.duplicate += answer.duplicate_rows;
            gathered.counters.dropped_values += answer.dropped_values;
            gathered.doubts.extend(answer.doubts);
            for row in &answer.rows {
                let wants = |list: &[String], value: &String| list.is_empty() || list.contains(value);
                if wants(&self.project.resource_types, &row.key.resource_type)
                    && wants(&self.project.business_types, &row.key.business_type)
                {
                    tally.add(row, user_id).map_err(|overflow| Error::Malformed(overflow.to_string()))?;
                    days.iter_mut().for_each(|days| days.add(row));
                } else {
                    gathered.counters.ignored.filtered += 1;
                }
            }
        }
        Ok(WindowUsage { window, bounds, tally, days: days.and_then(DaySums::finish) })
    }

    /// Says what is new among the doubts; what lasts is not repeated at every poll.
    fn warn_of(&self, doubts: BTreeSet<Doubt>) {
        let mut known = self.doubts.lock().unwrap_or_else(PoisonError::into_inner);
        for doubt in doubts.difference(&known) {
            tracing::warn!(project = self.project.name, "{}", doubt.explanation());
        }
        *known = doubts;
    }
}
