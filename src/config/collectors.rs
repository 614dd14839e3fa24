//! The section `collectors`: how often collectors ask the cloud, and the series that they may have.

use std::time::Duration;

use super::{
    fields::{Field, Fields},
    poll_settings::INTERVALS,
    read::{Node, Section},
};
use crate::usage::Collector;

/// Maximum number of packages of a project with series of their own.
const SERIES: std::ops::RangeInclusive<usize> = 0..=1000;

/// The section `collectors`.
#[derive(Clone, Debug, PartialEq)]
pub struct CollectorSettings {
    /// Section `packages`.
    pub packages: PackagesSettings,
}

/// The settings of the collector of packages.
#[derive(Clone, Debug, PartialEq)]
pub struct PackagesSettings {
    /// The time between two requests for the packages of a project. The deduction is delayed (contract, 12), so asking
    /// more often shows little.
    pub interval: Duration,
    /// The number of packages of a project with series of their own; the sums have all packages.
    pub series: usize,
}

impl Default for CollectorSettings {
    fn default() -> Self {
        let packages = PackagesSettings { interval: Duration::from_secs(30 * 60), series: 100 };
        CollectorSettings { packages }
    }
}

impl CollectorSettings {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let CollectorSettings { packages: default } = CollectorSettings::default();
        let mut packages = section.section(Collector::Packages.as_str());
        let interval = packages.get("interval").and_then(|node| node.duration(INTERVALS));
        let series = packages.get("series").and_then(|node| node.integer(SERIES));
        packages.finish();
        section.finish();
        let packages = PackagesSettings {
            interval: interval.unwrap_or(default.interval),
            series: series.unwrap_or(default.series),
        };
        CollectorSettings { packages }
    }

    /// The time between two runs of a collector.
    pub fn interval(&self, collector: Collector) -> Duration {
        match collector {
            Collector::Packages => self.packages.interval,
        }
    }

    pub(super) fn fields(&self) -> Fields<'_> {
        let CollectorSettings { packages: PackagesSettings { interval, series } } = self;
        let packages = vec![("interval", Field::Duration(*interval)), ("series", Field::Integer(*series))];
        vec![(Collector::Packages.as_str(), Field::Section(packages))]
    }
}

/// Reads a list of names of collectors.
pub(super) fn names(node: &Node<'_>) -> Vec<Collector> {
    let names: Vec<&str> = Collector::ALL.iter().map(|collector| collector.as_str()).collect();
    let expected = format!("one of {}", names.join(", "));
    node.set(|node| node.parse(&expected, |text| Collector::ALL.into_iter().find(|one| one.as_str() == text))).values
}
