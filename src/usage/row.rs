//! One row of usage.

use std::sync::Arc;

use rust_decimal::Decimal;
use thiserror::Error;

/// The unit of a row's `usage`.
///
/// The API page lists `MIN` and `HOUR`; other APIs of the same service use `NUM`, `CHANNEL`, `GB` and others
/// (contract, 1.4), so any text is accepted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// `MIN`.
    Minutes,
    /// `HOUR`, 60 minutes.
    Hours,
    /// Any other unit, as the API gave it; [`Unit::UNKNOWN`] if it gave none.
    Other(String),
}

/// The name of a unit with an unknown id begins with this.
const UNKNOWN_ID: &str = "measure_";

/// The unit of a row without a unit.
impl Default for Unit {
    fn default() -> Self {
        Unit::Other(Unit::UNKNOWN.to_owned())
    }
}

impl Unit {
    /// The name of the unit of a row without a unit.
    pub const UNKNOWN: &str = "unknown";

    /// The unit for an id that is not in the billing service's list of units.
    pub fn of_unknown_id(id: i64) -> Self {
        Unit::Other(format!("{UNKNOWN_ID}{id}"))
    }

    /// Whether the unit is not known.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Unit::Other(name) if name == Unit::UNKNOWN || name.starts_with(UNKNOWN_ID))
    }

    /// The unit named by the API's text; absent or empty is `unknown`. Names are matched exactly.
    pub fn from_api(text: Option<&str>) -> Self {
        match text {
            Some("MIN") => Unit::Minutes,
            Some("HOUR") => Unit::Hours,
            None | Some("") => Unit::default(),
            Some(other) => Unit::Other(other.to_owned()),
        }
    }
}

/// All fields of a row except its values. Rows of one bucket may have the same key; then each of them counts, as
/// "Paging" in `docs/numbers.md` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RowKey {
    /// The bucket's `time`, as the API gave it; the rows of a bucket share it.
    pub time: Option<Arc<str>>,
    /// Type of resource; empty if absent.
    pub resource_type: String,
    /// Type of business; empty if absent.
    pub business_type: String,
    /// The unit of the row's usage.
    pub unit: Unit,
    /// Other APIs of the service split rows by this and the next two fields; ShowUsageData does not document them.
    pub sub_resource_type: String,
    /// See `sub_resource_type`.
    pub charging_mode: String,
    /// See `sub_resource_type`.
    pub resource_source: String,
    /// Whether the row is a part of a bundle: its parent row already holds its usage.
    pub is_sub_resource: bool,
}

impl RowKey {
    /// The number of bytes of its texts. The time is left out, because the rows of a bucket share it.
    pub fn text_bytes(&self) -> usize {
        let texts = [
            &self.resource_type,
            &self.business_type,
            &self.sub_resource_type,
            &self.charging_mode,
            &self.resource_source,
        ];
        let unit = if let Unit::Other(unit) = &self.unit { unit.len() } else { 0 };
        texts.iter().map(|text| text.len()).sum::<usize>() + unit
    }
}

/// A value or sum beyond the range of decimal arithmetic (7.9 × 10^28): no plausible usage is that large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the sum of the usage values is beyond any sensible range")]
pub struct Overflow;

/// Usage of one resource type and one business type in one bucket of time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Row {
    /// All fields except the values.
    pub key: RowKey,
    /// The API's `usage`, in the key's unit. `None` if absent, which is not 0.
    pub usage: Option<Decimal>,
    /// The API's `number`: videos produced, live sessions held. `None` if absent.
    pub number: Option<i64>,
}

impl Row {
    /// The usage in minutes; `None` if the row has no usage or its unit is not a time.
    ///
    /// # Errors
    /// [`Overflow`] if the minutes exceed the range of decimal arithmetic.
    pub fn minutes(&self) -> Option<Result<Decimal, Overflow>> {
        let usage = self.usage?;
        match self.key.unit {
            Unit::Minutes => Some(Ok(usage)),
            Unit::Hours => Some(usage.checked_mul(Decimal::from(60)).ok_or(Overflow)),
            Unit::Other(_) => None,
        }
    }
}
