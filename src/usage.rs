//! The domain: windows of time, rows of usage, and their sums. Pure: time is an argument, and nothing here reads files
//! or the network.
//!
//! ```
//! use metastudio_exporter::usage::{Measure, Row, RowKey, Series, Tally, Unit};
//!
//! let key = RowKey { business_type: "VIDEO_2D".to_owned(), unit: Unit::Hours, ..RowKey::default() };
//! let mut tally = Tally::default();
//! tally.add(&Row { key, usage: Some("1.5".parse()?), number: None }, None)?;
//! let series = tally.series().next().ok_or("no series")?;
//! assert_eq!((&series.measure, tally.value(series)), (&Measure::Minutes, Some(90.0)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod budget;
mod collector;
mod collector_doubt;
mod counters;
mod days;
mod doubt;
mod pace;
mod package;
mod project_query;
mod reason;
mod reconciliation;
mod revision;
mod row;
mod session;
mod sub_user;
mod tally;
mod window;
mod zone;

pub use budget::{Budget, SharedBudget};
pub use collector::{Collector, requests_a_day};
pub use collector_doubt::{CollectorDoubt, CollectorDoubts};
pub use counters::{Counters, Histogram, Operation, RequestCounters, RowCounters};
pub use days::{DaySums, Days};
pub use doubt::{Doubt, Doubts};
pub use pace::Readings;
pub use package::{Package, PackageKind, PackageSums, package_doubts, package_sums};
pub use project_query::ProjectQuery;
pub use reason::Reason;
pub use reconciliation::{
    Against, Comparison, Estimate, Job, JobMinutes, NotComparable, UsedReadings, live_minutes, minutes_by_business,
    video_minutes,
};
pub use revision::{Revision, SETTLED_AFTER, Settling};
pub use row::{Overflow, Row, RowKey, Unit};
pub use session::{ChargingMode, JobState, ListedJobs, LiveSession, Sessions, Video};
pub use sub_user::{Quota, QuotaType, SubUser, sub_user_doubts, used_by_all};
pub use tally::{MAX_SERIES, Measure, Series, SeriesType, Tally, nearest};
pub use window::{Bounds, CalendarWindow, NotAWindow, Window, first_of_month};
pub use zone::{NotAZone, Zone};

/// Whether a text has the form of a project's id: 32 hexadecimal digits (contract, 1.1).
pub fn is_project_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A time in UTC and without a fraction, such as `2025-11-08T09:30:00Z`. The API pages show no other form, and some
/// operations allow only 20 characters (contract, 1.2 and 14).
pub fn timestamp(instant: chrono::DateTime<chrono::Utc>) -> String {
    instant.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// The largest number that divides both.
pub fn greatest_common_divisor(a: i64, b: i64) -> i64 {
    if b == 0 { a.abs() } else { greatest_common_divisor(b, a % b) }
}

/// A source of the current time: `Utc::now`, or a test's own function.
pub type Clock = fn() -> chrono::DateTime<chrono::Utc>;
