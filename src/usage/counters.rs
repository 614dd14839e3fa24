//! The counters of a project: its requests by operation of the cloud, and the rows of its polls.
//!
//! Each poll and each run of a collector fills its own [`Counters`], and the health of the project adds them up. A new
//! counter is a field here: if the sum leaves it out, the code does not compile.

use std::{collections::BTreeMap, ops::AddAssign, time::Duration};

/// An operation of the cloud's API: the label `api` of the request metrics, in the order in which they are exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Usage by resource type and business type (contract, 1).
    ShowUsageData,
    /// IAM's list of projects, which gives a project's id (contract, 6).
    ListProjects,
    /// Packages that were bought or allocated (contract, 12).
    ListTenantResources,
    /// Sub-users with their quotas (contract, 13).
    ListUserQuotas,
    /// Live sessions (contract, 14).
    ListSmartLiveJobs,
    /// Videos (contract, 15).
    ListDigitalHumanVideo,
    /// Whether sub-account isolation is on (contract, 16).
    ShowTenantServiceConfigs,
    /// Pay-per-use packages of an account, from the billing service (contract, 17).
    ListFreeResourceInfos,
    /// Units of the billing service (contract, 17).
    ListMeasureUnits,
    /// IAM's list of accounts, which gives an account's id (contract, 6).
    KeystoneListAuthDomains,
}

impl Operation {
    /// The label value: the operation's name in the API's documentation.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::ShowUsageData => "ShowUsageData",
            Operation::ListProjects => "ListProjects",
            Operation::ListTenantResources => "ListTenantResources",
            Operation::ListUserQuotas => "ListUserQuotas",
            Operation::ListSmartLiveJobs => "ListSmartLiveJobs",
            Operation::ListDigitalHumanVideo => "ListDigitalHumanVideo",
            Operation::ShowTenantServiceConfigs => "ShowTenantServiceConfigs",
            Operation::ListFreeResourceInfos => "ListFreeResourceInfos",
            Operation::ListMeasureUnits => "ListMeasureUnits",
            Operation::KeystoneListAuthDomains => "KeystoneListAuthDomains",
        }
    }
}

/// Everything that is counted for one project.
///
/// ```
/// use std::time::Duration;
///
/// use metastudio_exporter::usage::{Counters, Operation};
///
/// let mut poll = Counters::default();
/// poll.count_request(Operation::ShowUsageData, Some(200), Duration::from_millis(80));
/// poll.count_retry(Operation::ShowUsageData);
/// let mut total = Counters::default();
/// total += poll.clone();
/// total += poll;
/// assert_eq!((total.requests(), total.retries()), (2, 2));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Counters {
    apis: BTreeMap<Operation, RequestCounters>,
    /// Rows of complete polls.
    pub rows: RowCounters,
}

impl Counters {
    /// The requests of an operation; `None` if there were none.
    pub fn api(&self, operation: Operation) -> Option<&RequestCounters> {
        self.apis.get(&operation)
    }

    /// The operations that have been used. `ShowUsageData` is always there, so that its counters are exported from 0
    /// on.
    pub fn apis(&self) -> impl Iterator<Item = (Operation, &RequestCounters)> {
        const NONE: &RequestCounters = &RequestCounters::NONE;
        let usage = Operation::ShowUsageData;
        let unused = (!self.apis.contains_key(&usage)).then_some((usage, NONE));
        unused.into_iter().chain(self.apis.iter().map(|(operation, counters)| (*operation, counters)))
    }

    /// Counts one HTTP request by its status and by its duration, including the body. The status is `None` if no answer
    /// came.
    pub fn count_request(&mut self, operation: Operation, status: Option<u16>, duration: Duration) {
        let counters = self.apis.entry(operation).or_default();
        *counters.by_status.entry(status).or_default() += 1;
        counters.durations.observe(duration);
    }

    /// Counts one retry.
    pub fn count_retry(&mut self, operation: Operation) {
        self.apis.entry(operation).or_default().retries += 1;
    }

    /// HTTP requests of all operations, retries included.
    pub fn requests(&self) -> u64 {
        self.apis().flat_map(|(_, counters)| counters.by_status.values()).sum()
    }

    /// Retries of all operations.
    pub fn retries(&self) -> u64 {
        self.apis().map(|(_, counters)| counters.retries).sum()
    }
}

// Every field is named in these sums, so that a new one cannot be forgotten.

impl AddAssign for Counters {
    fn add_assign(&mut self, Counters { apis, rows }: Self) {
        for (operation, counters) in apis {
            *self.apis.entry(operation).or_default() += counters;
        }
        self.rows += rows;
    }
}

/// Requests of one operation.
#[derive(Clone, Debug, Default)]
pub struct RequestCounters {
    /// Requests by HTTP status; `None` if no answer came.
    pub by_status: BTreeMap<Option<u16>, u64>,
    /// Requests after the first one of a call.
    pub retries: u64,
    /// Durations of the requests.
    pub durations: Histogram,
}

impl RequestCounters {
    const NONE: Self = RequestCounters {
        by_status: BTreeMap::new(),
        retries: 0,
        durations: Histogram { counts: [0; Histogram::BOUNDS.len() + 1], sum: 0.0 },
    };
}

impl AddAssign for RequestCounters {
    fn add_assign(&mut self, RequestCounters { by_status, retries, durations }: Self) {
        for (status, count) in by_status {
            *self.by_status.entry(status).or_default() += count;
        }
        self.retries += retries;
        self.durations += durations;
    }
}

/// Rows of an answer: those in the sums, and the others by reason. The same struct goes from each answer to the
/// metrics, so that no step can forget a counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowCounters {
    /// Rows in the sums.
    pub kept: u64,
    /// Parts of a bundle: the parent row already holds their usage.
    pub sub_resource: u64,
    /// Rows of buckets that begin outside of the range that was asked for.
    pub outside: u64,
    /// Rows of types that the configuration leaves out.
    pub filtered: u64,
}

impl RowCounters {
    /// All rows.
    pub fn all(&self) -> u64 {
        let RowCounters { kept, sub_resource, outside, filtered } = self;
        kept + sub_resource + outside + filtered
    }
}

impl AddAssign for RowCounters {
    fn add_assign(&mut self, RowCounters { kept, sub_resource, outside, filtered }: Self) {
        self.kept += kept;
        self.sub_resource += sub_resource;
        self.outside += outside;
        self.filtered += filtered;
    }
}

/// Durations, counted in buckets with upper bounds.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    /// Observations in each bucket of [`Histogram::BOUNDS`], then those above the last bound.
    pub counts: [u64; Histogram::BOUNDS.len() + 1],
    /// Sum of all observations, in seconds.
    pub sum: f64,
}

impl Histogram {
    /// Upper bounds in seconds: from a fast page to the default of `api.request_timeout`.
    pub const BOUNDS: [f64; 8] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

    /// Counts one duration.
    pub fn observe(&mut self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = Self::BOUNDS.iter().position(|&bound| seconds <= bound).unwrap_or(Self::BOUNDS.len());
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.sum += seconds;
    }
}

impl AddAssign for Histogram {
    fn add_assign(&mut self, Histogram { counts, sum }: Self) {
        for (total, count) in self.counts.iter_mut().zip(counts) {
            *total += count;
        }
        self.sum += sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_counted_up_to_their_bound() {
        let mut histogram = Histogram::default();
        histogram.observe(Duration::from_millis(50));
        histogram.observe(Duration::from_secs(60));
        histogram += histogram.clone();
        assert_eq!(histogram.counts, [2, 0, 0, 0, 0, 0, 0, 0, 2]);
        assert_eq!(histogram.sum, 120.1);
    }

    #[test]
    fn operations_are_counted_separately() {
        let mut total = Counters::default();
        let rows = RowCounters { kept: 4, sub_resource: 1, outside: 2, filtered: 3 };
        let mut poll = Counters { rows, ..Counters::default() };
        poll.count_request(Operation::ShowUsageData, Some(429), Duration::ZERO);
        poll.count_retry(Operation::ShowUsageData);
        poll.count_request(Operation::ShowUsageData, None, Duration::ZERO);
        poll.count_request(Operation::ListProjects, Some(200), Duration::ZERO);
        total += poll.clone();
        total += poll;
        let [usage, projects] =
            [Operation::ShowUsageData, Operation::ListProjects].map(|operation| total.api(operation).unwrap());
        assert_eq!(usage.by_status, BTreeMap::from([(None, 2), (Some(429), 2)]));
        assert_eq!(projects.by_status, BTreeMap::from([(Some(200), 2)]));
        assert_eq!((usage.retries, projects.retries), (2, 0));
        assert_eq!((total.requests(), total.retries()), (6, 2));
        assert_eq!(total.rows.all(), 20);
        assert_eq!(total.rows, RowCounters { kept: 8, sub_resource: 2, outside: 4, filtered: 6 });
    }
}
