//! The units of the billing service, by their ids.
//!
//! Only the list of the service tells the meaning of an id: two ids can have the same name, such as GB (contract, 17).

use std::{cell::Cell, collections::BTreeMap, marker::PhantomData};

use rust_decimal::Decimal;
use serde::de::{IgnoredAny, MapAccess};

use crate::{
    cloud::{
        json::{self, Entries, JsonFields, Raw, Unreadable, field, integer, json_object, once, string},
        secrets::Secrets,
    },
    usage::Unit,
};

/// Maximum number of units. The service has about a hundred.
const MAX_UNITS: usize = 5_000;

/// The names of units of time. The service sends names in the language that is asked for, and abbreviations in English.
const TIMES: [(MeasureUnit, &[&str]); 3] = [
    (MeasureUnit::Seconds, &["second", "seconds", "sec", "s", "秒"]),
    (MeasureUnit::Minutes, &["minute", "minutes", "min", "mins", "分钟"]),
    (MeasureUnit::Hours, &["hour", "hours", "h", "hr", "小时"]),
];

/// The units of the billing service.
#[derive(Clone, Debug, Default)]
pub struct Measures(BTreeMap<i64, MeasureUnit>);

#[derive(Clone, Debug)]
enum MeasureUnit {
    Seconds,
    Minutes,
    Hours,
    Other(String),
}

impl Measures {
    pub(crate) fn parse(body: &[u8], secrets: &Secrets) -> Result<Self, Unreadable> {
        let free = Cell::new(MAX_UNITS + 1);
        let UnitsJson { measure_units } = json::read(body, &free)?;
        let rows = measure_units.flatten().ok_or_else(|| Unreadable("it has no measure_units".to_owned()))?;
        let mut measures = BTreeMap::new();
        for row in rows {
            let id = field("measure_id", row.measure_id, integer)?;
            let id = id.ok_or_else(|| Unreadable("a unit has no measure_id".to_owned()))?;
            let text = |name, raw| -> Result<String, Unreadable> {
                Ok(field(name, raw, string)?.map_or_else(String::new, |text| secrets.label(text).into_owned()))
            };
            let names = [text("measure_name", row.measure_name)?, text("abbreviation", row.abbreviation)?];
            let is_sent = |known: &&str| names.iter().any(|name| name.trim().to_lowercase() == *known);
            let time = TIMES.iter().find(|(_, known)| known.iter().any(is_sent));
            let measure = match time {
                Some((time, _)) => Some(time.clone()),
                None => names.into_iter().find(|name| !name.trim().is_empty()).map(MeasureUnit::Other),
            };
            measures.extend(measure.map(|measure| (id, measure)));
        }
        Ok(Measures(measures))
    }

    /// The unit with an id. Seconds, minutes and hours become minutes. An id that is not in the list becomes
    /// `measure_ID`.
    pub(super) fn unit(&self, id: i64) -> Unit {
        match self.0.get(&id) {
            Some(MeasureUnit::Seconds | MeasureUnit::Minutes | MeasureUnit::Hours) => Unit::Minutes,
            Some(MeasureUnit::Other(name)) => Unit::Other(name.clone()),
            None => Unit::of_unknown_id(id),
        }
    }

    /// An amount in the unit of [`Self::unit`]; `None` if it is beyond the range of decimals.
    pub(super) fn amount(&self, id: i64, amount: Decimal) -> Option<Decimal> {
        match self.0.get(&id) {
            Some(MeasureUnit::Seconds) => amount.checked_div(60.into()),
            Some(MeasureUnit::Hours) => amount.checked_mul(60.into()),
            Some(MeasureUnit::Minutes | MeasureUnit::Other(_)) | None => Some(amount),
        }
    }
}

#[derive(Default)]
struct UnitsJson<'a> {
    measure_units: Option<Option<Vec<UnitJson<'a>>>>,
}

impl<'de> JsonFields<'de> for UnitsJson<'de> {
    fn read<A: MapAccess<'de>>(mut object: A, free: &Cell<usize>) -> Result<Self, A::Error> {
        let mut measure_units = None;
        while let Some(name) = object.next_key::<String>()? {
            match name.as_str() {
                "measure_units" => once(&mut measure_units, object.next_value_seed(Entries(free, PhantomData))?)?,
                _ => drop(object.next_value::<IgnoredAny>()?),
            }
        }
        Ok(UnitsJson { measure_units })
    }
}

json_object! {
    struct UnitJson<'a> {
        measure_id: Raw<'a>,
        measure_name: Raw<'a>,
        abbreviation: Raw<'a>,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(list: &str) -> Result<Measures, Unreadable> {
        Measures::parse(format!(r#"{{"measure_units":{list}}}"#).as_bytes(), &Secrets::default())
    }

    #[test]
    fn only_seconds_minutes_and_hours_become_minutes() {
        let measures = parse(
            r#"[{"measure_id":0,"measure_name":"Day","abbreviation":"d","measure_type":2},
                {"measure_id":4,"measure_name":"Hour","abbreviation":"h","measure_type":2},
                {"measure_id":"5","measure_name":"Minute","abbreviation":"","measure_type":22},
                {"measure_id":6,"measure_name":"秒","abbreviation":null},
                {"measure_id":10,"measure_name":"GB","abbreviation":"G","measure_type":3},
                {"measure_id":17,"measure_name":"GB","measure_type":7},
                {"measure_id":18,"measure_name":"1,000 minutes","abbreviation":"min/time"},
                {"measure_id":19}]"#,
        )
        .unwrap();
        let converted = |id: i64, amount: &str| {
            let unit = match measures.unit(id) {
                Unit::Other(name) => name,
                unit => format!("{unit:?}"),
            };
            (unit, measures.amount(id, amount.parse().unwrap()).unwrap().to_string())
        };
        for (id, unit, amount) in [
            (0, "Day", "1.5"),
            (4, "Minutes", "90.0"),
            (5, "Minutes", "1.5"),
            (6, "Minutes", "0.025"),
            (10, "GB", "1.5"),
            (17, "GB", "1.5"),
            (18, "1,000 minutes", "1.5"),
            (19, "measure_19", "1.5"),
            (99, "measure_99", "1.5"),
        ] {
            assert_eq!(converted(id, "1.5"), (unit.to_owned(), amount.to_owned()), "{id}");
        }
        assert_eq!(measures.amount(4, Decimal::MAX), None);
    }

    #[test]
    fn a_list_that_cannot_be_read_is_an_error() {
        let error = |list: &str| parse(list).unwrap_err().to_string();
        assert_eq!(error("null"), "it has no measure_units");
        assert_eq!(error(r#"[{"measure_name":"Hour"}]"#), "a unit has no measure_id");
        assert_eq!(error(r#"[{"measure_id":"x"}]"#), "measure_id has a value that cannot be read");
        assert_eq!(Measures::parse(b"{}", &Secrets::default()).unwrap_err().to_string(), "it has no measure_units");
        let many = format!("[{}]", ["{}"; MAX_UNITS + 1].join(","));
        assert!(parse(&many).is_err(), "bounded");
    }

    #[test]
    fn names_show_no_secret() {
        let secrets: Secrets = [&secrecy::SecretString::from("hunter2".to_owned())].into_iter().collect();
        let body = br#"{"measure_units":[{"measure_id":1,"measure_name":"hunter2"}]}"#;
        let measures = Measures::parse(body, &secrets).unwrap();
        assert!(!format!("{measures:?}").contains("hunter2"), "{measures:?}");
    }
}
