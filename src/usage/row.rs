//! One row of usage, as typed as its source allows.

use std::sync::Arc;

use rust_decimal::Decimal;

use super::tally::Overflow;

/// The unit of a row's `usage`.
///
/// The API page lists `MIN` and `HOUR`; sibling APIs of the same service know `NUM`, `CHANNEL`, `GB` and others
/// (contract, 1.4), so the set is open.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// `MIN`.
    Minutes,
    /// `HOUR`, 60 minutes.
    Hours,
    /// Anything else, as the API gave it; `unknown` where it gave none.
    Other(String),
}

impl Unit {
    /// The unit named by the API's text; absent or empty is `unknown`. Names are matched exactly.
    pub fn from_api(text: Option<&str>) -> Self {
        match text {
            Some("MIN") => Unit::Minutes,
            Some("HOUR") => Unit::Hours,
            None | Some("") => Unit::Other("unknown".to_owned()),
            Some(other) => Unit::Other(other.to_owned()),
        }
    }
}

/// What makes two rows the same row when it is met on two pages (contract, 1.5, "duplicate row keys").
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RowKey {
    /// The bucket's `time`, as it came; shared by the rows of a bucket.
    pub time: Option<Arc<str>>,
    /// Type of resource; empty where absent.
    pub resource_type: String,
    /// Type of business; empty where absent.
    pub business_type: String,
    /// The unit of the row's usage.
    pub unit: Unit,
    /// Sibling APIs split rows by these three; ShowUsageData does not document them.
    pub sub_resource_type: String,
    /// See `sub_resource_type`.
    pub charging_mode: String,
    /// See `sub_resource_type`.
    pub resource_source: String,
    /// Whether the row describes a part of a bundle, whose usage its parent row already holds.
    pub is_sub_resource: bool,
}

impl RowKey {
    /// Of a bucket without a time, and of usage that is not split further nor a part of a bundle.
    pub fn new(resource_type: &str, business_type: &str, unit: Unit) -> Self {
        RowKey {
            time: None,
            resource_type: resource_type.to_owned(),
            business_type: business_type.to_owned(),
            unit,
            sub_resource_type: String::new(),
            charging_mode: String::new(),
            resource_source: String::new(),
            is_sub_resource: false,
        }
    }
}

/// One row of usage: of one bucket of time, one resource type and one business type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What the row is about.
    pub key: RowKey,
    /// The API's `usage`, in the key's unit. `None` where it is absent or unreadable, which is not 0.
    pub usage: Option<Decimal>,
    /// The API's `number`: videos produced, live sessions held. `None` where absent or unreadable.
    pub number: Option<i64>,
}

impl Row {
    /// The usage in minutes; `None` where the row has none or its unit is not a time.
    ///
    /// # Errors
    /// [`Overflow`] where it leaves the range of decimal arithmetic.
    pub fn minutes(&self) -> Option<Result<Decimal, Overflow>> {
        let usage = self.usage?;
        match self.key.unit {
            Unit::Minutes => Some(Ok(usage)),
            Unit::Hours => Some(usage.checked_mul(Decimal::from(60)).ok_or(Overflow)),
            Unit::Other(_) => None,
        }
    }
}
