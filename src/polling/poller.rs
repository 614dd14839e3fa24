//! The poll of one project: all of its windows, or none.

use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};

use super::{
    answer::{Answer, common_minutes, misalignment, without_effect},
    proofs::Proofs,
    range::{Progress, RangeQuery, RangeUsage},
};
use crate::{
    cloud::{Client, Error, project_api},
    config::{Config, Project},
    snapshot::{Failure, PollOutcome, WindowUsage},
    usage::{Bounds, Doubt, Doubts, RowCounters, Series, Tally, Window, Zone},
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
    doubts: Mutex<Doubts>,
    /// Taken by a poll and put back at its end: polls of one project do not overlap.
    proofs: Mutex<Proofs>,
}

/// The outcome of a complete poll.
#[derive(Default)]
struct Complete {
    windows: Vec<WindowUsage>,
    rows: RowCounters,
    doubts: Doubts,
}

impl Poller {
    /// A poller for a project of `config`.
    pub fn new(client: Client, project: &Project, config: &Config) -> Self {
        Poller {
            client,
            project: project.clone(),
            page_size: config.api.page_size,
            timezone: config.timezone.clone(),
            timeout: config.poll.timeout,
            doubts: Mutex::default(),
            proofs: Mutex::default(),
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
        let mut progress = Progress { query, proofs: self.proofs.lock().clone(), ..Progress::default() };
        progress.proofs.renew(now);
        let result = timeout_at(deadline, self.windows(now, deadline, &mut progress)).await;
        let Progress { mut counters, query, proofs } = progress;
        let result = result.unwrap_or_else(|_| Err(self.timeout_error(counters.requests())));
        let is_inconsistent = matches!(result, Err(Error::Inconsistent(_)));
        // After a contradiction nothing is left of what was proven.
        *self.proofs.lock() = if is_inconsistent { Proofs::default() } else { proofs };
        let mut doubts = Doubts::new();
        let result = match result {
            Ok(complete) => {
                counters.rows = complete.rows;
                doubts = complete.doubts;
                self.log_new_doubts(&doubts);
                Ok(complete.windows)
            }
            Err(error) => Err(Failure { reason: error.reason(), message: format!("{query}: {}", error.report()) }),
        };
        PollOutcome {
            doubts,
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
        let mut answers = Vec::with_capacity(self.project.windows.len());
        for &window in &self.project.windows {
            let bounds = window.bounds(now, &self.timezone);
            let zone_of_days = (window == Window::ThisMonth).then_some(&self.timezone);
            let range = bounds.elapsed(now);
            let usage = query.sum(range, zone_of_days, &format!("window {window}"), progress).await?;
            answers.push(Answer { window, bounds, range, usage });
        }
        if !progress.proofs.halves_agree {
            progress.proofs.halves_agree = self.halves_agree(&query, &answers, progress).await?;
        }
        let mut doubts = without_effect(&self.project, &answers);
        if let Some(seen) = misalignment(&mut progress.proofs.alignment, &answers) {
            doubts.insert(Doubt::Misaligned, seen);
        } else if let Some(seen) = self.disagreement(&query, &answers, progress).await? {
            doubts.insert(Doubt::WindowsDisagree, seen);
        }
        let mut complete = Complete { doubts, ..Complete::default() };
        for Answer { window, bounds, usage, .. } in answers {
            let RangeUsage { tally, days, rows, doubts, .. } = usage;
            let changes_at = window.changes_at(now, &self.timezone);
            complete.windows.push(WindowUsage { window, bounds, changes_at, tally, days });
            complete.rows += rows;
            complete.doubts.extend(doubts);
        }
        Ok(complete)
    }

    /// Asks for the longest window in two parts, too. A service that looks back less far than the window, and does not
    /// say so, sends more for the parts than for the whole. Returns whether this is proven for now: a window without usage
    /// proves nothing.
    async fn halves_agree(
        &self,
        query: &RangeQuery<'_>,
        answers: &[Answer],
        progress: &mut Progress,
    ) -> Result<bool, Error> {
        let length = |answer: &&Answer| answer.range.end - answer.range.start;
        let Some(longest) = answers.iter().max_by_key(length) else { return Ok(true) };
        let Answer { window, range, usage, .. } = longest;
        let middle = Window::Today.bounds(range.start + (range.end - range.start) / 2, &self.timezone).start;
        if middle <= range.start {
            return Ok(true);
        }
        if usage.tally.series().next().is_none() {
            return Ok(false);
        }
        let mut together = Tally::default();
        for half in [Bounds { end: middle, ..*range }, Bounds { start: middle, ..*range }] {
            let part = query.sum(half, None, &format!("half of window {window}"), progress).await?;
            together.merge(&part.tally).map_err(|overflow| Error::Malformed(overflow.to_string()))?;
        }
        if together.larger_than(&usage.tally).is_some() {
            // Usage may have grown meanwhile, so the whole is asked for once more.
            let again = query.sum(*range, None, &format!("window {window}"), progress).await?;
            if let Some(series) = together.larger_than(&again.tally) {
                let Series { resource_type, business_type, .. } = series;
                let [halves, whole] = [&together, &again.tally].map(|tally| tally.value(series).unwrap_or_default());
                return Err(Error::Inconsistent(format!(
                    "the two halves of window {window} have more {business_type} {resource_type} ({halves}) than the whole \
                     ({whole}): the service seems to look back less far. Use shorter windows"
                )));
            }
        }
        Ok(true)
    }

    /// Compares windows that overlap. If they differ, the earlier one is asked for once more, because usage may have
    /// grown between both requests.
    async fn disagreement(
        &self,
        query: &RangeQuery<'_>,
        answers: &[Answer],
        progress: &mut Progress,
    ) -> Result<Option<String>, Error> {
        for (index, later) in answers.iter().enumerate() {
            for earlier in answers.iter().take(index) {
                let Some((before, after)) = common_minutes(&progress.proofs.alignment, earlier, later) else {
                    continue;
                };
                if before == after {
                    continue;
                }
                let &Answer { window, bounds, range, .. } = earlier;
                if before < after {
                    let usage = query.sum(range, None, &format!("window {window}"), progress).await?;
                    let again = Answer { window, bounds, range, usage };
                    let common = common_minutes(&progress.proofs.alignment, &again, later);
                    if common.is_none_or(|(again, _)| again >= after) {
                        continue;
                    }
                }
                return Ok(Some(format!(
                    "in the range that both cover, window {window} has {before} min and window {} has {after} min",
                    later.window
                )));
            }
        }
        Ok(None)
    }

    fn timeout_error(&self, requests: u64) -> Error {
        Error::Timeout(format!(
            "the poll was not complete after {:?} and {requests} requests; raise poll.timeout or api.requests_per_second, \
             or poll fewer windows and users",
            self.timeout,
        ))
    }

    fn log_new_doubts(&self, doubts: &Doubts) {
        let mut known = self.doubts.lock();
        for (doubt, seen) in doubts.iter().filter(|(doubt, _)| !known.contains_key(doubt)) {
            tracing::warn!(project = self.project.name, %doubt, "{seen}: {}", doubt.advice());
        }
        known.clone_from(doubts);
    }
}
