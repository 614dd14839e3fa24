//! The parameters of ShowUsageData (contract, 1.2).

use std::collections::HashMap;

use chrono::{DateTime, Duration, Utc};
use percent_encoding::percent_decode_str;

/// The parameters of a request.
pub(super) struct Parameters {
    pub limit: usize,
    pub offset: usize,
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
    values: HashMap<String, String>,
}

impl Parameters {
    /// Reads a query.
    ///
    /// # Errors
    /// The name of the first parameter that is not valid.
    pub fn parse(query: &str) -> Result<Self, String> {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let values: HashMap<String, String> = pairs.map(|(key, value)| (decode(key), decode(value))).collect();
        let number = |name: &str, default: usize, least: usize, most: usize| {
            let value = values.get(name).map_or(Ok(default), |text| text.parse::<usize>());
            value.ok().filter(|value| (least..=most).contains(value)).ok_or(name.to_owned())
        };
        let limit = number("limit", 10, 1, 1000)?;
        let offset = number("offset", 0, 0, i32::MAX as usize)?;
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
