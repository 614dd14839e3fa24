//! What the collectors of a project have found, and how their runs ended.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::{moment::Moment, outcome::Failure};
use crate::usage::{Collector, Counters, Package, PackageKind, PackageSums, QuotaType, Reason, Sessions, SubUser};

/// One run of a collector.
#[derive(Clone, Debug)]
pub struct CollectorOutcome {
    /// The collector.
    pub collector: Collector,
    /// Start of the run.
    pub at: Moment,
    /// Duration of the run.
    pub duration: Duration,
    /// What it has found, complete, or the reason for the failure.
    pub result: Result<Found, Failure>,
    /// Whether the service refuses this operation (HTTP 403 or 404), so that another try soon is of no use.
    pub is_refused: bool,
    /// Requests of the run.
    pub counters: Counters,
}

/// What a collector has found in one complete run.
#[derive(Clone, Debug)]
pub enum Found {
    /// By [`Collector::Packages`].
    Packages(Packages),
    /// By [`Collector::SubUsers`].
    SubUsers(SubUsers),
    /// By [`Collector::Sessions`].
    Sessions(Sessions),
}

/// The sub-users of a project, from one complete answer.
#[derive(Clone, Debug, Default)]
pub struct SubUsers {
    /// All sub-users. Those who have used the largest part of a quota come first.
    pub list: Vec<SubUser>,
    /// What all of them have used, by type.
    pub used: BTreeMap<QuotaType, Decimal>,
}

/// The packages of a project, from one complete answer.
#[derive(Clone, Debug, Default)]
pub struct Packages {
    /// All packages. Those that can be used come first, and of these the one that ends first.
    pub list: Vec<Package>,
    /// Their sums by kind.
    pub sums: BTreeMap<PackageKind, PackageSums>,
}

/// The state of a collector of a project.
#[derive(Clone, Debug, Default)]
pub struct CollectorStatus {
    /// The last run; `None` before the first.
    pub last: Option<LastRun>,
    /// Runs, failed ones included.
    pub runs: u64,
    /// Failed runs by reason.
    pub failures: BTreeMap<Reason, u64>,
    /// What the last complete run found, and its start.
    pub found: Option<(Moment, Arc<Found>)>,
}

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
    /// Records a run. A failed run changes nothing that was found.
    pub(super) fn record(&mut self, at: Moment, duration: Duration, result: Result<Found, Failure>, is_refused: bool) {
        self.runs += 1;
        let failure = match result {
            Ok(found) => {
                self.found = Some((at, Arc::new(found)));
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
