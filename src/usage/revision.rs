//! Changes of the usage of a day after it has ended.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use rust_decimal::Decimal;

/// A day has settled once its usage has not changed for this long.
pub const SETTLED_AFTER: TimeDelta = TimeDelta::days(7);

/// The changes of days after they had ended, as far as they were seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settling {
    /// Number of changes of all known days.
    pub revisions: u64,
    /// The time at which the last change was seen.
    pub last_revision: Option<DateTime<Utc>>,
    /// The longest time from the end of a day to a change of its usage. Only days since the beginning of the last month
    /// count.
    pub longest: Option<TimeDelta>,
    /// The time up to which all days since the beginning of the last month have [settled](SETTLED_AFTER). A day whose
    /// first request came at least a week after its end has settled, too.
    pub settled_until: Option<DateTime<Utc>>,
    /// The last known day, and the time from its end or its last change to the last answer of the cloud.
    pub latest: Option<(NaiveDate, TimeDelta)>,
}

/// A change of a day that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// The local day.
    pub day: NaiveDate,
    /// Its minutes before and after, of all series together; `None` if one lacks a value.
    pub minutes: [Option<Decimal>; 2],
}
