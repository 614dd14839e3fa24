//! The section `collectors`: how often collectors ask the cloud, and the series that they may have. The key `collect`:
//! which of them run.

use std::{ops::RangeInclusive, time::Duration};

use super::{
    fields::{Field, Fields},
    poll_settings::INTERVALS,
    read::{Node, Section},
};
use crate::usage::Collector;

/// Maximum number of packages of a project or account, or of sub-users of a project, with series of their own.
const SERIES: RangeInclusive<usize> = 0..=1000;

/// The values that `max_duration` may have.
const SESSIONS: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(30 * 24 * 60 * 60);

/// The time between two runs of the collector of days that have ended. A run costs few requests, usually one for all
/// days.
const DAYS: Duration = Duration::from_secs(6 * 60 * 60);

/// Which collectors run.
#[derive(Clone, Debug, PartialEq)]
pub enum Collect {
    /// All collectors. If the service refuses a collector, no alert fires.
    All,
    /// These.
    Named(Vec<Collector>),
}

/// The section `collectors`.
#[derive(Clone, Debug, PartialEq)]
pub struct CollectorSettings {
    /// Section `packages`.
    pub packages: ListSettings,
    /// Section `sub_users`.
    pub sub_users: ListSettings,
    /// Section `sessions`.
    pub sessions: SessionsSettings,
    /// Section `reconciliation`.
    pub reconciliation: ReconciliationSettings,
    /// Section `billing`: packages of accounts.
    pub billing: ListSettings,
}

/// The settings of a collector of packages or sub-users.
#[derive(Clone, Debug, PartialEq)]
pub struct ListSettings {
    /// The time between two runs. Usage is deducted from packages with a delay (contract, 12), so asking more often
    /// shows little.
    pub interval: Duration,
    /// The number of packages or sub-users of a project, or of packages of an account, with series of their own. The
    /// sums have all of them.
    pub series: usize,
}

/// The settings of the collector that compares usage with live sessions, videos and packages.
#[derive(Clone, Debug, PartialEq)]
pub struct ReconciliationSettings {
    /// The time between two runs. A day is compared once, but each run reads how much of the packages is used.
    pub interval: Duration,
}

/// The settings of the collector of live sessions and videos.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionsSettings {
    /// The time between two runs.
    pub interval: Duration,
    /// How long a live session may run, for the alert.
    pub max_duration: Duration,
}

impl Default for CollectorSettings {
    fn default() -> Self {
        let list = ListSettings { interval: Duration::from_secs(30 * 60), series: 100 };
        let sessions = SessionsSettings {
            interval: Duration::from_secs(10 * 60),
            max_duration: Duration::from_secs(24 * 60 * 60),
        };
        let reconciliation = ReconciliationSettings { interval: Duration::from_secs(6 * 60 * 60) };
        CollectorSettings { packages: list.clone(), sub_users: list.clone(), sessions, reconciliation, billing: list }
    }
}

impl ListSettings {
    fn read(mut section: Section<'_>, default: Self) -> Self {
        let interval = section.get("interval").and_then(|node| node.duration(INTERVALS));
        let series = section.get("series").and_then(|node| node.integer(SERIES));
        section.finish();
        ListSettings { interval: interval.unwrap_or(default.interval), series: series.unwrap_or(default.series) }
    }

    fn fields(&self) -> Field<'_> {
        let ListSettings { interval, series } = self;
        Field::Section(vec![("interval", Field::Duration(*interval)), ("series", Field::Integer(*series))])
    }
}

impl ReconciliationSettings {
    fn read(mut section: Section<'_>, default: Self) -> Self {
        let interval = section.get("interval").and_then(|node| node.duration(INTERVALS));
        section.finish();
        ReconciliationSettings { interval: interval.unwrap_or(default.interval) }
    }

    fn fields(&self) -> Field<'_> {
        Field::Section(vec![("interval", Field::Duration(self.interval))])
    }
}

impl SessionsSettings {
    fn read(mut section: Section<'_>, default: Self) -> Self {
        let interval = section.get("interval").and_then(|node| node.duration(INTERVALS));
        let max_duration = section.get("max_duration").and_then(|node| node.duration(SESSIONS));
        section.finish();
        SessionsSettings {
            interval: interval.unwrap_or(default.interval),
            max_duration: max_duration.unwrap_or(default.max_duration),
        }
    }

    fn fields(&self) -> Field<'_> {
        let SessionsSettings { interval, max_duration } = self;
        let fields = [("interval", interval), ("max_duration", max_duration)];
        Field::Section(fields.map(|(key, duration)| (key, Field::Duration(*duration))).into())
    }
}

impl CollectorSettings {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let CollectorSettings { packages, sub_users, sessions, reconciliation, billing } = CollectorSettings::default();
        let settings = CollectorSettings {
            packages: ListSettings::read(section.section(Collector::Packages.as_str()), packages),
            sub_users: ListSettings::read(section.section(Collector::SubUsers.as_str()), sub_users),
            sessions: SessionsSettings::read(section.section(Collector::Sessions.as_str()), sessions),
            reconciliation: ReconciliationSettings::read(
                section.section(Collector::Reconciliation.as_str()),
                reconciliation,
            ),
            billing: ListSettings::read(section.section(Collector::Billing.as_str()), billing),
        };
        section.finish();
        settings
    }

    /// The time between two runs of a collector.
    pub fn interval(&self, collector: Collector) -> Duration {
        match collector {
            Collector::Packages => self.packages.interval,
            Collector::SubUsers => self.sub_users.interval,
            Collector::Sessions => self.sessions.interval,
            Collector::Reconciliation => self.reconciliation.interval,
            Collector::Billing => self.billing.interval,
            Collector::Days => DAYS,
        }
    }

    /// The collectors that have other settings than the defaults.
    pub(super) fn changed(&self) -> impl Iterator<Item = Collector> {
        let CollectorSettings { packages, sub_users, sessions, reconciliation, billing } = CollectorSettings::default();
        let changed = [
            (Collector::Packages, self.packages != packages),
            (Collector::SubUsers, self.sub_users != sub_users),
            (Collector::Sessions, self.sessions != sessions),
            (Collector::Reconciliation, self.reconciliation != reconciliation),
            (Collector::Billing, self.billing != billing),
        ];
        changed.into_iter().filter(|(_, is_changed)| *is_changed).map(|(collector, _)| collector)
    }

    pub(super) fn fields(&self) -> Fields<'_> {
        let CollectorSettings { packages, sub_users, sessions, reconciliation, billing } = self;
        vec![
            (Collector::Packages.as_str(), packages.fields()),
            (Collector::SubUsers.as_str(), sub_users.fields()),
            (Collector::Sessions.as_str(), sessions.fields()),
            (Collector::Reconciliation.as_str(), reconciliation.fields()),
            (Collector::Billing.as_str(), billing.fields()),
        ]
    }
}

impl Default for Collect {
    fn default() -> Self {
        Collect::Named(Vec::new())
    }
}

impl Collect {
    /// The value that means all collectors.
    pub(super) const ALL: &'static str = "all";

    /// Reads `all`, or a list of names.
    pub(super) fn read(node: &Node<'_>) -> Self {
        if node.as_str() == Some(Self::ALL) {
            return Collect::All;
        }
        let names: Vec<&str> = Collector::CONFIGURABLE.iter().map(|collector| collector.as_str()).collect();
        let expected = format!("one of {}", names.join(", "));
        if node.length().is_none() {
            node.problem(format!("{} or a list with {expected}", Self::ALL));
            return Collect::default();
        }
        let named = |text: &str| Collector::CONFIGURABLE.into_iter().find(|collector| collector.as_str() == text);
        Collect::Named(node.set(|node| node.parse(&expected, named)).values)
    }

    /// The collectors that run.
    pub fn collectors(&self) -> &[Collector] {
        match self {
            Collect::All => &Collector::CONFIGURABLE,
            Collect::Named(collectors) => collectors,
        }
    }

    pub(super) fn field(&self) -> Field<'static> {
        match self {
            Collect::All => Field::text(Self::ALL),
            Collect::Named(collectors) => Field::list(collectors),
        }
    }
}
