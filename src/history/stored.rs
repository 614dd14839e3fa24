//! The JSON form of sums in the ledger.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::usage::{Doubt, Doubts, Measure, Series, Tally};

/// A series: usage in a unit, or the API's `number`.
#[derive(Deserialize, Serialize)]
pub(super) struct StoredSeries {
    /// `MIN`, another unit, or absent for the API's `number`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unit: Option<String>,
    resource_type: String,
    business_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
}

/// A series with its sum.
#[derive(Deserialize, Serialize)]
pub(super) struct StoredSum {
    #[serde(flatten)]
    series: StoredSeries,
    /// An exact decimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sum: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    lacks_value: bool,
}

const MINUTES: &str = "MIN";

impl From<&Series> for StoredSeries {
    fn from(series: &Series) -> Self {
        StoredSeries {
            unit: match &series.measure {
                Measure::Minutes => Some(MINUTES.to_owned()),
                Measure::Other(unit) => Some(unit.clone()),
                Measure::Number => None,
            },
            resource_type: series.resource_type.clone(),
            business_type: series.business_type.clone(),
            user_id: series.user_id.clone(),
        }
    }
}

impl From<StoredSeries> for Series {
    fn from(StoredSeries { unit, resource_type, business_type, user_id }: StoredSeries) -> Self {
        let measure = match unit {
            None => Measure::Number,
            Some(unit) if unit == MINUTES => Measure::Minutes,
            Some(unit) => Measure::Other(unit),
        };
        Series { measure, resource_type, business_type, user_id }
    }
}

/// The sums of a tally.
pub(super) fn store(tally: &Tally) -> Vec<StoredSum> {
    let stored = |(series, sum, lacks_value): (&Series, Option<Decimal>, bool)| StoredSum {
        series: series.into(),
        sum: sum.map(|sum| sum.to_string()),
        lacks_value,
    };
    tally.parts().map(stored).collect()
}

/// A tally of these sums; `None` if one is not valid.
pub(super) fn restore(stored: Vec<StoredSum>) -> Option<Tally> {
    let mut tally = Tally::default();
    for StoredSum { series, sum, lacks_value } in stored {
        let sum = match sum {
            Some(text) => Some(text.parse().ok()?),
            None => None,
        };
        tally.add_part(series.into(), sum, lacks_value);
    }
    Some(tally)
}

/// The doubts by name, each with what was seen.
pub(super) fn store_doubts(doubts: &Doubts) -> BTreeMap<String, String> {
    doubts.iter().map(|(doubt, seen)| (doubt.as_str().to_owned(), seen.clone())).collect()
}

/// The doubts with these names; `None` if there is no such doubt.
pub(super) fn restore_doubts(stored: BTreeMap<String, String>) -> Option<Doubts> {
    let doubt =
        |(name, seen): (String, String)| Some((Doubt::ALL.into_iter().find(|doubt| doubt.as_str() == name)?, seen));
    stored.into_iter().map(doubt).collect()
}
