//! The domain: windows of time, rows of usage and their sums. Pure: no clock, no network, no files.

pub mod budget;
pub mod counters;
pub mod days;
pub mod failure;
pub mod row;
pub mod tally;
pub mod window;
pub mod zone;

pub use budget::Budget;
pub use counters::{Counters, Histogram, IgnoredRows, Operation};
pub use days::{DaySums, Days};
pub use failure::Reason;
pub use row::{Row, Unit};
pub use tally::{Measure, Series, Tally};
pub use window::{Bounds, Window};
pub use zone::Zone;

/// Tells the time: `Utc::now`, or what a test says.
pub type Clock = fn() -> chrono::DateTime<chrono::Utc>;
