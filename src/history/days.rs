//! The known days of a project, and which of their sums can be trusted.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, Months, NaiveDate, Utc};

use crate::usage::{Bounds, Doubt, Doubts, Series, Tally, Zone};

/// The complete usage of a project on one local day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Day {
    /// The time when the cloud was asked.
    pub asked: DateTime<Utc>,
    /// The usage of the configured users, or of all users if none are configured.
    pub tally: Tally,
    /// If users are configured: the usage of all users, without their ids.
    pub all_users: Option<Tally>,
    /// What may be wrong with it.
    pub doubts: Doubts,
}

impl Day {
    /// Whether the usage may be that of another range. Such a day is in no sum.
    pub fn is_misaligned(&self) -> bool {
        [Doubt::Misaligned, Doubt::UnreadableTime].iter().any(|doubt| self.doubts.contains_key(doubt))
    }

    fn has_rows(&self) -> bool {
        self.tally.parts().next().is_some()
    }
}

/// The days of a project that are known.
#[derive(Clone, Debug)]
pub struct KnownDays {
    zone: Zone,
    days: BTreeMap<NaiveDate, Day>,
    /// The cloud has usage of an earlier time than this day.
    used_before: Option<NaiveDate>,
}

impl KnownDays {
    /// The days of a project in this zone. `used_before` is a day before which the cloud has usage, if it is known.
    pub fn new(zone: Zone, days: BTreeMap<NaiveDate, Day>, used_before: Option<NaiveDate>) -> Self {
        KnownDays { zone, days, used_before }
    }

    /// The zone of the days.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// A day.
    pub fn get(&self, day: NaiveDate) -> Option<&Day> {
        self.days.get(&day)
    }

    /// Adds days.
    pub fn extend(&mut self, days: BTreeMap<NaiveDate, Day>) {
        self.days.extend(days);
    }

    /// Notes that the cloud has usage of an earlier time than `day`.
    pub fn note_used_before(&mut self, day: NaiveDate) {
        self.used_before = Some(self.used_before.map_or(day, |known| known.min(day)));
    }

    /// The first day that is whole, if there is one. A cloud that forgets usage forgets the oldest first, without a word,
    /// and perhaps in the middle of a day. So a day is whole if the cloud has usage of an earlier day.
    pub fn whole_from(&self) -> Option<NaiveDate> {
        let first = self.days.iter().find(|(_, day)| day.has_rows()).and_then(|(date, _)| date.succ_opt());
        first.into_iter().chain(self.used_before).min()
    }

    /// Whether a day is known, whole and not [misaligned](Day::is_misaligned).
    pub fn is_trusted(&self, day: NaiveDate) -> bool {
        let is_aligned = self.days.get(&day).is_some_and(|day| !day.is_misaligned());
        is_aligned && self.whole_from().is_some_and(|first| first <= day)
    }

    /// The usage from `first` to the day before `end`; `None` if one of these days cannot be trusted.
    pub fn sum(&self, first: NaiveDate, end: NaiveDate) -> Option<Tally> {
        if self.whole_from().is_none_or(|whole| first < whole) {
            return None;
        }
        let mut sum = Tally::default();
        for day in happened(first, end, &self.zone) {
            let known = self.days.get(&day).filter(|day| !day.is_misaligned())?;
            sum.merge(&known.tally).ok()?;
        }
        Some(sum)
    }

    /// The first day with a value of each series.
    pub fn first_seen(&self) -> BTreeMap<&Series, NaiveDate> {
        let mut seen = BTreeMap::new();
        for (date, day) in &self.days {
            for series in day.tally.series() {
                seen.entry(series).or_insert(*date);
            }
        }
        seen
    }
}

/// The days from `first` to the day before `end` that happened in the zone.
pub fn happened(first: NaiveDate, end: NaiveDate, zone: &Zone) -> impl Iterator<Item = NaiveDate> {
    let has_happened = |day: &NaiveDate| {
        let Bounds { start, end } = Bounds::of_day(*day, zone);
        start < end
    };
    first.iter_days().take_while(move |day| *day < end).filter(has_happened)
}

/// The first day of the month of a day.
pub fn first_of_month(day: NaiveDate) -> NaiveDate {
    day.with_day(1).unwrap_or(day)
}

/// The first day of the next month.
pub fn next_month(day: NaiveDate) -> NaiveDate {
    first_of_month(day) + Months::new(1)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::usage::{Row, RowKey, Unit};

    /// A day of a month, such as `2025-11-03`.
    pub fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    /// A day with a row for each type, of so many minutes.
    pub fn day(rows: &[(&str, &str)]) -> Day {
        let mut day = Day::default();
        for (business_type, minutes) in rows {
            let key = RowKey { business_type: (*business_type).into(), unit: Unit::Minutes, ..RowKey::default() };
            day.tally.add(&Row { key, usage: Some(minutes.parse().unwrap()), number: None }, None).unwrap();
        }
        day
    }

    pub fn known(zone: &str, days: &[(&str, Day)]) -> KnownDays {
        let days = days.iter().map(|(text, day)| (date(text), day.clone())).collect();
        KnownDays::new(zone.parse().unwrap(), days, None)
    }

    #[test]
    fn a_day_is_whole_if_there_is_usage_before() {
        let empty = Day::default();
        let mut known = known(
            "UTC",
            &[
                ("2025-11-01", empty.clone()),
                ("2025-11-02", day(&[("V", "1")])),
                ("2025-11-03", empty),
                ("2025-11-04", day(&[("V", "0.5")])),
                ("2025-11-06", day(&[("V", "7")])),
            ],
        );
        let sum = |known: &KnownDays, first: &str, end: &str| {
            let tally = known.sum(date(first), date(end))?;
            Some(tally.parts().filter_map(|(_, sum, _)| sum).map(|sum| sum.to_string()).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(known.whole_from(), Some(date("2025-11-03")));
        assert_eq!(sum(&known, "2025-11-02", "2025-11-05"), None, "the cloud may have forgotten a part of the second");
        assert_eq!(sum(&known, "2025-11-03", "2025-11-05").as_deref(), Some("0.5"));
        assert_eq!(sum(&known, "2025-11-04", "2025-11-07"), None, "the fifth is not known");
        known.note_used_before(date("2025-11-01"));
        known.note_used_before(date("2025-11-09"));
        assert_eq!(sum(&known, "2025-11-01", "2025-11-05").as_deref(), Some("1.5"));
        let mut doubted = day(&[("V", "1")]);
        doubted.doubts.insert(Doubt::Misaligned, String::new());
        known.extend([(date("2025-11-04"), doubted)].into());
        assert_eq!(sum(&known, "2025-11-04", "2025-11-05"), None);
        assert!(!known.is_trusted(date("2025-11-04")) && known.is_trusted(date("2025-11-03")));
    }

    #[test]
    fn days_that_never_happened_are_left_out() {
        let apia: Zone = "Pacific/Apia".parse().unwrap();
        let days: Vec<_> = happened(date("2011-12-29"), date("2012-01-01"), &apia).collect();
        assert_eq!(days, [date("2011-12-29"), date("2011-12-31")]);
        assert_eq!(next_month(date("2011-12-29")), date("2012-01-01"));
    }
}
