//! The state of one project: its target, its health, its usage. An account has the same state, but is never polled.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};

use super::{
    collected::{CollectorOutcome, CollectorStatus, Found},
    moment::Moment,
    outcome::{Failure, PollOutcome},
    target::Target,
    usage::{Usage, WindowValues},
};
use crate::usage::{Collector, CollectorDoubt, CollectorDoubts, Counters, MAX_SERIES, Reason};

/// The state of one project, or of an account, which has collectors only.
#[derive(Clone, Debug)]
pub struct ProjectStatus {
    /// Its configuration.
    pub target: Arc<Target>,
    /// Its polls since the start.
    pub health: Health,
    /// Its usage, once a poll has been complete.
    pub usage: Option<Usage>,
    /// The configured collectors that have run.
    pub collectors: BTreeMap<Collector, CollectorStatus>,
}

/// The polls of a project since the start.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// The last poll; `None` before the first.
    pub last: Option<LastPoll>,
    /// Polls, failed ones included.
    pub polls: u64,
    /// Failed polls by reason.
    pub failures: BTreeMap<Reason, u64>,
    /// Requests of all polls and of all runs of collectors, and rows of all polls.
    pub counters: Counters,
}

/// The last poll of a project.
#[derive(Clone, Debug)]
pub struct LastPoll {
    /// Start of the poll.
    pub at: DateTime<Utc>,
    /// Duration of the poll.
    pub duration: Duration,
    /// The reason why it failed, if it did.
    pub failure: Option<Failure>,
    /// The project's id, configured or looked up, if it was known.
    pub project_id: Option<Arc<str>>,
    /// Expiry of the credentials used last, if they expire.
    pub credentials_expiry: Option<DateTime<Utc>>,
    /// Start of the next poll, if one is planned.
    pub next_at: Option<DateTime<Utc>>,
}

impl ProjectStatus {
    /// A project before its first poll.
    pub(super) fn new(target: Target) -> Self {
        ProjectStatus { target: Arc::new(target), health: Health::default(), usage: None, collectors: BTreeMap::new() }
    }

    /// The same project or account after a reload. Its counters continue. `keeps_known` says whether the known usage
    /// and the findings of its collectors still answer the configured query.
    pub(super) fn reloaded(&self, target: Target, keeps_known: bool) -> Self {
        let mut health = self.health.clone();
        if let Some(last) = &mut health.last
            && !(keeps_known && self.target.credentials == target.credentials)
        {
            // The old values were found with other credentials, or belong to another project.
            (last.project_id, last.credentials_expiry) = (None, None);
        }
        let mut collectors = self.collectors.clone();
        collectors.retain(|collector, _| target.collect.contains_key(collector));
        if !keeps_known {
            collectors.values_mut().for_each(CollectorStatus::forget);
        }
        let usage = self.usage.clone().filter(|_| keeps_known);
        ProjectStatus { target: Arc::new(target), health, usage, collectors }
    }

    /// The project's id, configured or looked up; `None` until it is known.
    pub fn project_id(&self) -> Option<&str> {
        let looked_up = || self.health.last.as_ref()?.project_id.as_deref();
        self.target.project_id.as_deref().or_else(looked_up)
    }

    /// The usage, unless it is stale at `now`.
    pub fn usage_at(&self, now: Moment) -> Option<&Usage> {
        self.usage.as_ref().filter(|usage| usage.age(now) <= self.target.stale_after)
    }

    /// The windows of the usage at `now`. A calendar window that has ended is left out once the next poll is overdue:
    /// yesterday's usage must not stay the usage of `today`.
    pub fn windows_at(&self, now: Moment) -> impl Iterator<Item = &WindowValues> {
        self.usage_at(now).into_iter().flat_map(move |usage| {
            let is_overdue = usage.age(now) > self.target.renewed_within;
            let has_ended = move |window: &WindowValues| window.changes_at.is_some_and(|change| change <= now.utc);
            usage.windows.iter().filter(move |window| !(is_overdue && has_ended(window)))
        })
    }

    /// The findings of a collector, unless they are stale at `now`.
    pub fn found_at(&self, collector: Collector, now: Moment) -> Option<&Found> {
        let (at, found) = self.collectors.get(&collector)?.found.as_ref()?;
        (now.since(*at) <= self.target.collected_stale_after(collector)).then_some(found)
    }

    /// The doubts about the findings of a collector; `None` if there are no findings yet, or if they are stale at
    /// `now`.
    pub fn doubts_at(&self, collector: Collector, now: Moment) -> Option<&CollectorDoubts> {
        let status = self.collectors.get(&collector)?;
        self.found_at(collector, now).map(|_| &status.doubts)
    }

    /// The collectors with doubts at `now`, each with the doubt and what was seen.
    pub fn collector_doubts_at(&self, now: Moment) -> impl Iterator<Item = (Collector, CollectorDoubt, &str)> {
        self.collectors.keys().flat_map(move |collector| {
            let doubts = self.doubts_at(*collector, now).into_iter().flatten();
            doubts.map(|(doubt, seen)| (*collector, *doubt, seen.as_str()))
        })
    }

    /// Records a run of a collector. Apart from the state of the collector, it changes only the counters of requests.
    pub(super) fn record_collector(&mut self, outcome: CollectorOutcome) {
        self.health.counters += outcome.counters.clone();
        self.collectors.entry(outcome.collector).or_default().record(outcome);
    }

    /// Records a poll. A failed poll changes the health only, unless it finds another project id.
    pub(super) fn record(&mut self, outcome: PollOutcome, next_at: Option<DateTime<Utc>>) {
        // Every field is named, so that a new one cannot be forgotten.
        let PollOutcome { at, duration, result, doubts, sub_users, counters, project_id, credentials_expiry } = outcome;
        if let (Some(known), Some(polled)) = (self.project_id(), project_id.as_deref())
            && known != polled
        {
            // The looked-up id has changed, so everything that is known belongs to another project.
            self.usage = None;
            self.collectors.values_mut().for_each(CollectorStatus::forget);
        }
        self.health.polls += 1;
        self.health.counters += counters;
        let failure = match result {
            Ok(windows) => {
                let before = match (self.usage.take(), &sub_users) {
                    (Some(usage), Some(sub_users)) => Some(usage.without_other_users(sub_users)),
                    (usage, _) => usage,
                };
                let had_forgotten = before.as_ref().is_some_and(|usage| usage.has_forgotten);
                let usage = Usage::new(at, windows, doubts, before);
                if usage.has_forgotten && !had_forgotten {
                    let project = &self.target.name;
                    tracing::warn!(
                        project,
                        "the project has more than {MAX_SERIES} types of series; those without usage for the longest time \
                         are no longer exported"
                    );
                }
                self.usage = Some(usage);
                None
            }
            Err(failure) => {
                *self.health.failures.entry(failure.reason).or_default() += 1;
                Some(failure)
            }
        };
        self.health.last = Some(LastPoll { at: at.utc, duration, failure, project_id, credentials_expiry, next_at });
    }
}
