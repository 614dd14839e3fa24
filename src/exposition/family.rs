//! A metric family of the projects, and the view of a project from which its samples are written.

use chrono::{DateTime, Utc};

use super::lines::{Kind, Lines, Metadata};
use crate::{
    snapshot::{Found, LastPoll, Moment, ProjectStatus, Usage, WindowValues},
    usage::{Collector, CollectorDoubts, Operation, RequestCounters},
};

/// A metric family of the projects. Its name has no suffix such as `_total`.
pub(super) struct Family {
    pub metadata: Metadata<'static>,
    pub write: WriteSamples,
    /// Whether accounts have samples of this family, too. If so, all its samples have the label `account`; for a
    /// project, this label is empty.
    pub is_of_accounts: bool,
}

/// Writes the samples of one project.
type WriteSamples = fn(&mut Lines<'_>, &ProjectView<'_>);

pub(super) const fn counter(name: &'static str, help: &'static str, write: WriteSamples) -> Family {
    Family::new(Metadata::new(Kind::Counter, name, help), write)
}

pub(super) const fn gauge(name: &'static str, help: &'static str, write: WriteSamples) -> Family {
    Family::new(Metadata::new(Kind::Gauge, name, help), write)
}

pub(super) const fn histogram(name: &'static str, help: &'static str, write: WriteSamples) -> Family {
    Family::new(Metadata::new(Kind::Histogram, name, help), write)
}

pub(super) const fn info(name: &'static str, help: &'static str, write: WriteSamples) -> Family {
    Family::new(Metadata::new(Kind::Info, name, help), write)
}

impl Family {
    pub const fn new(metadata: Metadata<'static>, write: WriteSamples) -> Self {
        Family { metadata, write, is_of_accounts: false }
    }

    pub const fn unit(self, unit: &'static str) -> Self {
        Family { metadata: self.metadata.unit(unit), write: self.write, is_of_accounts: self.is_of_accounts }
    }

    /// Lets accounts have samples of this family, too.
    pub const fn of_accounts(self) -> Self {
        Family { metadata: self.metadata, write: self.write, is_of_accounts: true }
    }
}

/// A project at one moment, without stale usage and without windows that [`ProjectStatus::windows_at`] hides.
pub(super) struct ProjectView<'a> {
    pub project: &'a ProjectStatus,
    now: Moment,
    pub current_usage: Option<&'a Usage>,
}

impl<'a> ProjectView<'a> {
    pub fn at(now: Moment, project: &'a ProjectStatus) -> Self {
        ProjectView { project, now, current_usage: project.usage_at(now) }
    }

    /// Whether anything other than the usage is asked for.
    pub fn has_collectors(&self) -> bool {
        !self.project.target.collect.is_empty() || !self.project.collectors.is_empty()
    }

    pub fn last(&self) -> Option<&'a LastPoll> {
        self.project.health.last.as_ref()
    }

    /// The requests by operation. An account has no usage, so `ShowUsageData` is left out for it.
    pub fn apis(&self) -> impl Iterator<Item = (Operation, &'a RequestCounters)> {
        let is_project = self.project.target.account.is_empty();
        let apis = self.project.health.counters.apis();
        apis.filter(move |(operation, _)| is_project || *operation != Operation::ShowUsageData)
    }

    /// The windows, each with its name.
    pub fn windows(&self) -> impl Iterator<Item = (String, &'a WindowValues)> {
        self.project.windows_at(self.now).map(|window| (window.window.to_string(), window))
    }

    /// The findings of a collector, unless they are stale.
    pub fn found(&self, collector: Collector) -> Option<&'a Found> {
        self.project.found_at(collector, self.now)
    }

    /// The doubts about the findings of a collector, unless the findings are stale.
    pub fn doubts(&self, collector: Collector) -> Option<&'a CollectorDoubts> {
        self.project.doubts_at(collector, self.now)
    }
}

/// Unix time. A float is exact to the microsecond for centuries.
pub(super) fn seconds(instant: DateTime<Utc>) -> f64 {
    instant.timestamp_micros() as f64 / 1e6
}
