//! Changes of the usage of a day after it has ended.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use rust_decimal::Decimal;

/// A day has settled once it has stood still for so long.
pub const SETTLED_AFTER: TimeDelta = TimeDelta::days(7);

/// The changes of days after they had ended, as far as they were seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settling {
    /// Number of changes of all known days.
    pub revisions: u64,
    /// The time at which the last change was seen.
    pub last_revision: Option<DateTime<Utc>>,
    /// The longest time from the end of a day to a change of it, since the beginning of the last month.
    pub longest: Option<TimeDelta>,
    /// The end of the days that have [settled](SETTLED_AFTER), one after the other, since the beginning of the last month. A
    /// day that was asked for so long after its end, and not before, has settled, too.
    pub settled_until: Option<DateTime<Utc>>,
    /// The last known day, and for how long the cloud has given the same usage since its end or its last change.
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
