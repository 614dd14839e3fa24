//! Time zones: the start and end of local days.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveTime, Offset, Utc};
use jiff::{
    Timestamp, civil,
    tz::{TimeZone, TimeZoneDatabase},
};
use thiserror::Error;

/// A time zone of the IANA database. The database is compiled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone(TimeZone);

/// A text that is not the name of a time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{}", Zone::EXPECTED)]
pub struct NotAZone;

impl Zone {
    /// The valid names, for messages.
    pub const EXPECTED: &'static str = "a time zone by its IANA name, such as Asia/Shanghai or UTC";

    /// The zone of Beijing time, `Asia/Shanghai`.
    pub fn shanghai() -> Self {
        // A test makes sure that the name is in the database.
        "Asia/Shanghai".parse().unwrap_or(Zone(TimeZone::UTC))
    }

    /// The zone without an offset.
    pub fn utc() -> Self {
        Zone(TimeZone::UTC)
    }

    /// The local time of an instant.
    pub fn local(&self, instant: DateTime<Utc>) -> DateTime<FixedOffset> {
        let timestamp = Timestamp::from_second(instant.timestamp()).unwrap_or_default();
        let offset = FixedOffset::east_opt(self.0.to_offset(timestamp).seconds());
        instant.with_timezone(&offset.unwrap_or_else(|| Utc.fix()))
    }

    /// Start of a local day. If midnight occurs twice, the first one counts. If a clock change skips midnight, the day
    /// starts later by the length of the change.
    pub fn midnight(&self, date: NaiveDate) -> DateTime<Utc> {
        let timestamp = civil_date(date).and_then(|date| self.0.to_timestamp(date.into()).ok());
        let instant = timestamp.and_then(|timestamp| DateTime::from_timestamp(timestamp.as_second(), 0));
        // For dates that jiff does not support: before the year -9999, or after the year 9999.
        instant.unwrap_or_else(|| date.and_time(NaiveTime::MIN).and_utc())
    }
}

fn civil_date(date: NaiveDate) -> Option<civil::Date> {
    let (year, month, day) = (date.year().try_into().ok()?, date.month().try_into().ok()?, date.day().try_into().ok()?);
    civil::Date::new(year, month, day).ok()
}

impl FromStr for Zone {
    type Err = NotAZone;

    fn from_str(name: &str) -> Result<Self, NotAZone> {
        let zone = TimeZoneDatabase::bundled().get(name).ok().filter(|zone| !zone.is_unknown());
        zone.map(Zone).ok_or(NotAZone)
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.iana_name().unwrap_or("UTC"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_database() {
        for name in ["Asia/Shanghai", "UTC", "Etc/GMT-8", "America/Argentina/Buenos_Aires", "PRC"] {
            assert_eq!(name.parse::<Zone>().unwrap().to_string(), name);
        }
        assert_eq!(Zone::shanghai().to_string(), "Asia/Shanghai");
        for name in ["", "Beijing", "+08:00", "UTC+8", "Etc/Unknown", "../etc/localtime", "CST-8"] {
            assert_eq!(name.parse::<Zone>(), Err(NotAZone), "{name}");
        }
    }

    #[test]
    fn local_time_has_the_offset_of_the_instant() {
        let zone: Zone = "Europe/Berlin".parse().unwrap();
        for (instant, local) in [
            ("2025-03-30T00:59:59.5Z", "2025-03-30T01:59:59.500+01:00"),
            ("2025-03-30T01:00:00Z", "2025-03-30T03:00:00+02:00"),
            ("2150-07-01T00:00:00Z", "2150-07-01T02:00:00+02:00"),
        ] {
            let instant = DateTime::parse_from_rfc3339(instant).unwrap().to_utc();
            assert_eq!(zone.local(instant).to_rfc3339(), local);
        }
    }

    #[test]
    fn the_first_and_last_dates_are_handled() {
        for date in [NaiveDate::MIN, NaiveDate::MAX] {
            assert_eq!(Zone::shanghai().midnight(date).date_naive(), date);
        }
        let latest = Zone::shanghai().local(DateTime::<Utc>::MAX_UTC);
        assert_eq!(latest.to_utc(), DateTime::<Utc>::MAX_UTC);
    }
}
