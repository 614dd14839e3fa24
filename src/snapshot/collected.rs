//! What the collectors of a project have found, and how their runs ended.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};

use super::{moment::Moment, outcome::Failure};
use crate::usage::{Collector, Counters, Package, PackageKind, PackageSums, Reason};

/// One run of a collector.
#[derive(Clone, Debug)]
pub struct CollectorOutcome {
    /// The collector.
    pub collector: Collector,
    /// Start of the run.
    pub at: Moment,
    /// Duration of the run.
    pub duration: Duration,
    /// The complete packages, or the reason for the failure.
    pub result: Result<Packages, Failure>,
    /// Whether the service refuses this operation (HTTP 403 or 404), so that another try soon is of no use.
    pub is_refused: bool,
    /// Requests of the run.
    pub counters: Counters,
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
    pub found: Option<(Moment, Arc<Packages>)>,
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
}

impl CollectorStatus {
    /// Records a run. A failed run changes nothing that was found.
    pub(super) fn record(&mut self, at: Moment, duration: Duration, result: Result<Packages, Failure>) {
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
        self.last = Some(LastRun { at: at.utc, duration, failure });
    }
}
