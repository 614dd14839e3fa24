//! The collectors, which ask the cloud for more than the usage: all values of the label `collector`.

use std::{fmt, time::Duration};

use super::counters::Operation;

/// A collector of a project, or of an account. A failed run never changes the usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Collector {
    /// Packages by ListTenantResources.
    Packages,
    /// Sub-users and their quotas by ListUserQuotas.
    SubUsers,
    /// Live sessions and videos by ListSmartLiveJobs and ListDigitalHumanVideo.
    Sessions,
    /// Comparison of the usage with live sessions, videos and packages, by ShowUsageData and the operations that list
    /// these.
    Reconciliation,
    /// Days that have ended, by ShowUsageData. This collector runs if the exporter has a directory for the days, so the
    /// configuration does not name it.
    Days,
    /// Pay-per-use packages of an account by ListFreeResourceInfos. This collector runs for accounts, never for
    /// projects.
    Billing,
}

impl Collector {
    /// Every collector that the configuration of a project can name, in the order in which they are exported.
    pub const CONFIGURABLE: [Collector; 4] =
        [Collector::Packages, Collector::SubUsers, Collector::Sessions, Collector::Reconciliation];

    /// The key of the configuration, and the label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Collector::Packages => "packages",
            Collector::SubUsers => "sub_users",
            Collector::Sessions => "sessions",
            Collector::Reconciliation => "reconciliation",
            Collector::Days => "days",
            Collector::Billing => "billing",
        }
    }

    /// The requests of one run, if each list fits on one page.
    pub fn requests(self) -> u32 {
        match self {
            // Reconciliation asks only for the packages in each run, and for everything else once a day.
            Collector::Packages
            | Collector::SubUsers
            | Collector::Reconciliation
            | Collector::Days
            | Collector::Billing => 1,
            // The sessions that run, the videos in the queue, and the videos that failed.
            Collector::Sessions => 3,
        }
    }

    /// The requests that it sends once a day, if each list fits on one page.
    pub fn daily_requests(self) -> u32 {
        match self {
            // The usage of a day, whether there was usage before the day, its live sessions, and its videos.
            Collector::Reconciliation => 4,
            // The units.
            Collector::Billing => 1,
            Collector::Packages | Collector::SubUsers | Collector::Sessions | Collector::Days => 0,
        }
    }

    /// The operations of the requests that it sends once a day.
    pub fn daily_operations(self) -> &'static [Operation] {
        match self {
            Collector::Reconciliation => {
                &[Operation::ShowUsageData, Operation::ListSmartLiveJobs, Operation::ListDigitalHumanVideo]
            }
            Collector::Billing => &[Operation::ListMeasureUnits],
            Collector::Packages | Collector::SubUsers | Collector::Sessions | Collector::Days => &[],
        }
    }
}

/// The number of requests a day: some in each run, with this interval between two runs, and some once a day.
pub fn requests_a_day(in_each_run: f64, once: f64, interval: Duration) -> f64 {
    in_each_run * 86_400.0 / interval.as_secs_f64() + once
}

impl fmt::Display for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
