//! The parameters of ShowUsageData (contract, 1.2).

use std::{collections::HashMap, ops::RangeInclusive};

use chrono::{DateTime, Duration, Utc};
use percent_encoding::percent_decode_str;

/// The values of a query by their names.
pub(super) struct Values(HashMap<String, String>);

impl Values {
    pub fn parse(query: &str) -> Self {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        Values(pairs.map(|(key, value)| (decode(key), decode(value))).collect())
    }

    pub fn get(&self, name: &str) -> Option<&String> {
        self.0.get(name)
    }

    /// A number in a range; the default if it is absent.
    ///
    /// # Errors
    /// The name, if the value is not valid.
    pub fn number(&self, name: &str, default: usize, range: RangeInclusive<usize>) -> Result<usize, String> {
        let value = self.get(name).map_or(Ok(default), |text| text.parse::<usize>());
        value.ok().filter(|value| range.contains(value)).ok_or(name.to_owned())
    }
}

/// The parameters of a request.
pub(super) struct Parameters {
    pub limit: usize,
    pub offset: usize,
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
    values: Values,
}

impl Parameters {
    /// Reads a query.
    ///
    /// # Errors
    /// The name of the first parameter that is not valid.
    pub fn parse(query: &str) -> Result<Self, String> {
        let values = Values::parse(query);
        let limit = values.number("limit", 10, 1..=1000)?;
        let offset = values.number("offset", 0, 0..=i32::MAX as usize)?;
        let instant = |name: &str| {
            let text = values.get(name).ok_or(name.to_owned())?;
            DateTime::parse_from_rfc3339(text).map(|time| time.to_utc()).map_err(|_| name.to_owned())
        };
        let (start, end) = (instant("start_time")?, instant("end_time")?);
        if start >= end || end - start > Duration::days(400) {
            return Err("end_time".to_owned());
        }
        Ok(Parameters { limit, offset, start, end, values })
    }

    /// Whether the filter `name` is absent, or wants this value.
    pub fn want(&self, name: &str, value: &str) -> bool {
        self.values.get(name).is_none_or(|wanted| wanted == value)
    }
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}
