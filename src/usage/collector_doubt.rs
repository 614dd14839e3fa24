//! The doubts about the findings of collectors: all values of the label `doubt` of `metastudio_collector_doubts`.

use std::{collections::BTreeMap, fmt};

use super::Collector;

/// A way in which the values of a collector may be wrong, although its answers are complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CollectorDoubt {
    /// A value is absent, so a package, live session or video is left out of some metrics.
    ValueMissing,
    /// An amount has no unit, or a unit that is not in the service's list of units.
    UnknownUnit,
    /// Another project of the account lists the same package.
    ListedTwice,
    /// An amount is negative where it cannot be; it is summed as it is.
    Negative,
    /// The account has packages, but none of them belongs to a configured service.
    FilterMatchesNothing,
    /// The service has sent rows that were not asked for.
    FilterIgnored,
    /// Usage and the minutes of live sessions, videos or packages contradict each other.
    UsageDiffers,
}

/// The doubts of a run, each with what was seen.
pub type CollectorDoubts = BTreeMap<CollectorDoubt, String>;

impl CollectorDoubt {
    /// The doubts that a collector can have, in the order in which they are exported. `Days` has none, because each day
    /// is kept with its own [`Doubts`](super::Doubts).
    pub fn of(collector: Collector) -> &'static [CollectorDoubt] {
        match collector {
            Collector::Packages => &[
                CollectorDoubt::ValueMissing,
                CollectorDoubt::UnknownUnit,
                CollectorDoubt::ListedTwice,
                CollectorDoubt::Negative,
            ],
            Collector::SubUsers => &[CollectorDoubt::Negative],
            Collector::Sessions => &[CollectorDoubt::ValueMissing, CollectorDoubt::FilterIgnored],
            Collector::Reconciliation => &[CollectorDoubt::ValueMissing, CollectorDoubt::UsageDiffers],
            Collector::Days => &[],
            // A row without an amount fails the run.
            Collector::Billing => {
                &[CollectorDoubt::UnknownUnit, CollectorDoubt::Negative, CollectorDoubt::FilterMatchesNothing]
            }
        }
    }

    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            CollectorDoubt::ValueMissing => "value_missing",
            CollectorDoubt::UnknownUnit => "unknown_unit",
            CollectorDoubt::ListedTwice => "listed_twice",
            CollectorDoubt::Negative => "negative",
            CollectorDoubt::FilterMatchesNothing => "filter_matches_nothing",
            CollectorDoubt::FilterIgnored => "filter_ignored",
            CollectorDoubt::UsageDiffers => "usage_differs",
        }
    }

    /// What the doubt means for the numbers, and what to do.
    pub fn advice(self) -> &'static str {
        match self {
            CollectorDoubt::ValueMissing => "alerts cannot take it into account: compare with the console",
            CollectorDoubt::UnknownUnit => "its amounts are not counted as minutes: compare with the console",
            CollectorDoubt::ListedTwice => {
                "sums over both projects count it twice: collect packages in one of them only"
            }
            CollectorDoubt::Negative => "it is summed as it is: compare with the console",
            CollectorDoubt::FilterMatchesNothing => {
                "no package is exported: set service_types of the account to the code of MetaStudio"
            }
            CollectorDoubt::FilterIgnored => {
                "they are not counted, but each run asks for more pages than it needs: please report it"
            }
            CollectorDoubt::UsageDiffers => "compare both with the console",
        }
    }
}

impl fmt::Display for CollectorDoubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
