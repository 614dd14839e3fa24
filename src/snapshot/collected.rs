//! The findings of the collectors of a project or account, and the outcomes of their runs.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::{moment::Moment, outcome::Failure};
use crate::usage::{
    Collector, CollectorDoubts, Comparison, Counters, Package, PackageKind, PackageSums, QuotaType, Readings, Reason,
    Sessions, Settling, SubUser,
};

/// One run of a collector.
#[derive(Clone, Debug)]
pub struct CollectorOutcome {
    /// The collector.
    pub collector: Collector,
    /// Start of the run.
    pub at: Moment,
    /// Duration of the run.
    pub duration: Duration,
    /// The complete findings, or the reason for the failure.
    pub result: Result<Found, Failure>,
    /// The doubts about the findings; none if the run failed.
    pub doubts: CollectorDoubts,
    /// Whether the service refuses this operation (HTTP 403 or 404), so that an early retry would fail, too.
    pub is_refused: bool,
    /// Requests of the run.
    pub counters: Counters,
}

/// The findings of a collector in one complete run.
#[derive(Clone, Debug)]
pub enum Found {
    /// By [`Collector::Packages`] and [`Collector::Billing`].
    Packages(Packages),
    /// By [`Collector::SubUsers`].
    SubUsers(SubUsers),
    /// By [`Collector::Sessions`].
    Sessions(Sessions),
    /// By [`Collector::Reconciliation`].
    Reconciliation(Vec<Comparison>),
    /// By [`Collector::Days`].
    Days(KeptDays),
}

/// The days of a project that are kept.
#[derive(Clone, Debug, Default)]
pub struct KeptDays {
    /// Their key in the ledger.
    pub identity: String,
    /// Their changes after they had ended.
    pub settling: Settling,
}

/// The sub-users of a project, from one complete answer.
#[derive(Clone, Debug, Default)]
pub struct SubUsers {
    /// All sub-users. Those who have used the largest part of a quota come first.
    pub list: Vec<SubUser>,
    /// The used amounts of all sub-users together, by type.
    pub used: BTreeMap<QuotaType, Decimal>,
}

/// The packages of a project or account, from one complete answer.
#[derive(Clone, Debug, Default)]
pub struct Packages {
    /// All packages. Those that end in the future come first, the earliest end first.
    pub list: Vec<Package>,
    /// Their sums by kind.
    pub sums: BTreeMap<PackageKind, PackageSums>,
}

/// The state of a collector.
#[derive(Clone, Debug, Default)]
pub struct CollectorStatus {
    /// The last run; `None` before the first.
    pub last: Option<LastRun>,
    /// Runs, failed ones included.
    pub runs: u64,
    /// Failed runs by reason.
    pub failures: BTreeMap<Reason, u64>,
    /// The findings of the last complete run, with the start of that run.
    pub found: Option<(Moment, Arc<Found>)>,
    /// The doubts about these findings, each with what was seen.
    pub doubts: CollectorDoubts,
    /// Readings of the used amount of each package in the last week, by id and kind.
    pub readings: Arc<PackageReadings>,
}

/// Readings of the used amount of each package, by its id and kind.
pub type PackageReadings = BTreeMap<(String, PackageKind), Readings>;

/// The last run of a collector.
#[derive(Clone, Debug)]
pub struct LastRun {
    /// Start of the run.
    pub at: DateTime<Utc>,
    /// Duration of the run.
    pub duration: Duration,
    /// The reason why it failed, if it did.
    pub failure: Option<Failure>,
    /// Whether the service refuses the operation.
    pub is_refused: bool,
}

impl CollectorStatus {
    /// Forgets the findings, because they belong to another project or account.
    pub(super) fn forget(&mut self) {
        (self.found, self.doubts, self.readings) = (None, CollectorDoubts::new(), Arc::default());
    }

    /// Records a run. A failed run does not change the findings.
    pub(super) fn record(&mut self, outcome: CollectorOutcome) {
        // Every field is named, so that a new one cannot be forgotten.
        let CollectorOutcome { collector: _, at, duration, result, doubts, is_refused, counters: _ } = outcome;
        self.runs += 1;
        let failure = match result {
            Ok(found) => {
                if let Found::Packages(packages) = &found {
                    self.readings = Arc::new(readings(packages, at.utc, &self.readings));
                }
                (self.found, self.doubts) = (Some((at, Arc::new(found))), doubts);
                None
            }
            Err(failure) => {
                *self.failures.entry(failure.reason).or_default() += 1;
                Some(failure)
            }
        };
        self.last = Some(LastRun { at: at.utc, duration, failure, is_refused });
    }
}

/// The readings of the packages in this run, added to their earlier readings. A package that becomes full again has no
/// pace, so it has no readings.
fn readings(packages: &Packages, at: DateTime<Utc>, before: &PackageReadings) -> PackageReadings {
    let mut readings = PackageReadings::new();
    for package in packages.list.iter().filter(|package| !package.is_part && !package.is_resettable) {
        if let Some(used) = package.used {
            let key = (package.id.clone(), package.kind.clone());
            let mut of_package = before.get(&key).cloned().unwrap_or_default();
            of_package.add(at, used);
            readings.insert(key, of_package);
        }
    }
    readings
}
