//! The configured part of a project's state.

use std::{collections::BTreeMap, time::Duration};

use crate::usage::{Budget, Collector, SharedBudget, Zone};

/// The configuration of a project, as far as metrics and pages show it.
#[derive(Clone, Debug)]
pub struct Target {
    /// The label `project`; empty for an account.
    pub name: String,
    /// The label `account`; empty for a project.
    pub account: String,
    /// The configured project id; `None` if the exporter looks it up.
    pub project_id: Option<String>,
    /// The region; empty where only an endpoint is configured.
    pub region: String,
    /// Scheme and host of the service.
    pub endpoint: String,
    /// Labels of every series of the project, sorted by name. All projects have the same names; a value may be empty.
    pub labels: Vec<(String, String)>,
    /// The time between two polls.
    pub interval: Duration,
    /// Usage is no longer exported after this time without a complete poll.
    pub stale_after: Duration,
    /// The time within which the next complete poll is expected: the interval plus the time limit of a poll.
    pub renewed_within: Duration,
    /// Name of its credentials.
    pub credentials: String,
    /// Configured budgets.
    pub budgets: Vec<Budget>,
    /// Configured budgets that this project shares with others.
    pub shared_budgets: Vec<SharedBudget>,
    /// The collectors, each with the time between two runs.
    pub collect: BTreeMap<Collector, Duration>,
    /// Whether the configuration asks for all collectors, and names none.
    pub collects_all: bool,
    /// Number of packages with series of their own.
    pub package_series: usize,
    /// Number of sub-users with series of their own.
    pub user_series: usize,
    /// Whether `user_ids: all` is configured: series without a user then have the usage that no sub-user accounts for.
    pub has_rest: bool,
    /// How long a live session may run.
    pub max_session: Duration,
    /// The time zone of the calendar windows.
    pub timezone: Zone,
    /// The text of the configured query; kept usage is restored only for the same query. `None` if the project id is
    /// looked up, because the same configuration may find another project after a restart.
    pub query: Option<String>,
}

impl Target {
    /// The collector that finds packages. A project and an account have different ones.
    pub fn package_collector(&self) -> Collector {
        if self.account.is_empty() { Collector::Packages } else { Collector::Billing }
    }

    /// The labels that have a value.
    pub fn set_labels(&self) -> impl Iterator<Item = &(String, String)> {
        self.labels.iter().filter(|(_, value)| !value.is_empty())
    }

    /// The findings of a collector are no longer exported after this time without a complete run: three times the time
    /// between two runs.
    pub fn collected_stale_after(&self, collector: Collector) -> Duration {
        self.collect.get(&collector).map_or(Duration::ZERO, |interval| Self::stale_after_runs(*interval))
    }

    /// Findings of a collector with this interval count as old when they reach this age.
    pub fn stale_after_runs(interval: Duration) -> Duration {
        3 * interval
    }

    /// A target with a name only; its usage never becomes stale.
    pub fn new(name: impl Into<String>) -> Self {
        Target {
            name: name.into(),
            account: String::new(),
            project_id: None,
            region: String::new(),
            endpoint: String::new(),
            labels: Vec::new(),
            interval: Duration::ZERO,
            stale_after: Duration::MAX,
            renewed_within: Duration::MAX,
            credentials: String::new(),
            budgets: Vec::new(),
            shared_budgets: Vec::new(),
            collect: BTreeMap::new(),
            collects_all: false,
            package_series: 0,
            user_series: 0,
            has_rest: false,
            max_session: Duration::MAX,
            timezone: Zone::shanghai(),
            query: None,
        }
    }
}
