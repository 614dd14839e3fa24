//! The known days of a project, and which of their sums can be trusted.

use std::collections::{BTreeMap, BTreeSet};

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
///
/// A cloud that forgets usage forgets the oldest first, without a word, and perhaps in the middle of a day. So a day is
/// whole only if the cloud had usage of an earlier day when it was asked for this one, or later.
#[derive(Clone, Debug)]
pub struct KnownDays {
    zone: Zone,
    days: BTreeMap<NaiveDate, Day>,
    used_before: UsedBefore,
    /// The days that are whole.
    whole: BTreeSet<NaiveDate>,
}

/// Days before which the cloud had usage, each with the time at which it was asked.
pub type UsedBefore = BTreeMap<NaiveDate, DateTime<Utc>>;

impl KnownDays {
    /// The days of a project in this zone.
    pub fn new(zone: Zone, days: BTreeMap<NaiveDate, Day>, used_before: UsedBefore) -> Self {
        let mut known = KnownDays { zone, days, used_before, whole: BTreeSet::new() };
        known.renew();
        known
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
        self.renew();
    }

    /// Notes that the cloud had usage of an earlier time than `day` when it was asked.
    pub fn note_used_before(&mut self, day: NaiveDate, asked: DateTime<Utc>) {
        self.used_before.insert(day, asked);
        self.renew();
    }

    /// Finds the days that are whole.
    fn renew(&mut self) {
        let mut facts = self.used_before.iter().peekable();
        // The last time at which the cloud had usage of an earlier day.
        let mut asked_of_earlier = None;
        self.whole.clear();
        for (date, day) in &self.days {
            while let Some((_, asked)) = facts.next_if(|(before, _)| *before <= date) {
                asked_of_earlier = asked_of_earlier.max(Some(*asked));
            }
            if asked_of_earlier >= Some(day.asked) {
                self.whole.insert(*date);
            }
            if day.has_rows() {
                asked_of_earlier = asked_of_earlier.max(Some(day.asked));
            }
        }
    }

    /// The first day that is whole.
    pub fn first_whole(&self) -> Option<NaiveDate> {
        self.whole.first().copied()
    }

    /// Whether a day is known and whole.
    pub fn is_whole(&self, day: NaiveDate) -> bool {
        self.whole.contains(&day)
    }

    /// The usage from `first` to the day before `end`; `None` if one of these days is not known, not whole or
    /// [misaligned](Day::is_misaligned).
    pub fn sum(&self, first: NaiveDate, end: NaiveDate) -> Option<Tally> {
        let mut sum = Tally::default();
        for day in happened(first, end, &self.zone) {
            let trusted = self.days.get(&day).filter(|known| self.is_whole(day) && !known.is_misaligned())?;
            sum.merge(&trusted.tally).ok()?;
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
        KnownDays::new(zone.parse().unwrap(), days, UsedBefore::new())
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
        assert_eq!(known.first_whole(), Some(date("2025-11-03")));
        assert_eq!(sum(&known, "2025-11-02", "2025-11-05"), None, "the cloud may have forgotten a part of the second");
        assert_eq!(sum(&known, "2025-11-03", "2025-11-05").as_deref(), Some("0.5"));
        assert_eq!(sum(&known, "2025-11-04", "2025-11-07"), None, "the fifth is not known");
        known.note_used_before(date("2025-11-01"), DateTime::UNIX_EPOCH);
        known.note_used_before(date("2025-11-09"), DateTime::UNIX_EPOCH);
        assert_eq!(sum(&known, "2025-11-01", "2025-11-05").as_deref(), Some("1.5"));
        let mut doubted = day(&[("V", "1")]);
        doubted.doubts.insert(Doubt::Misaligned, String::new());
        known.extend([(date("2025-11-04"), doubted)].into());
        assert_eq!(sum(&known, "2025-11-04", "2025-11-05"), None);
    }

    #[test]
    fn usage_that_was_there_long_ago_proves_nothing_of_a_day_that_is_asked_for_now() {
        let asked = |text: &str| text.parse().unwrap();
        let at = |time: &str, rows: &[(&str, &str)]| Day { asked: asked(time), ..day(rows) };
        let (february, december) = ("2025-02-01T00:00:00Z", "2025-12-01T00:00:00Z");
        let mut known = known(
            "UTC",
            &[
                ("2025-01-30", at(february, &[("V", "1")])),
                ("2025-01-31", at(february, &[("V", "1")])),
                // The cloud has forgotten these days meanwhile, and a part of the last one.
                ("2025-02-01", at(december, &[])),
                ("2025-02-02", at(december, &[("V", "1")])),
                ("2025-02-03", at(december, &[("V", "1")])),
            ],
        );
        let whole = |known: &KnownDays| known.whole.iter().map(NaiveDate::to_string).collect::<Vec<_>>();
        assert_eq!(whole(&known), ["2025-01-31", "2025-02-03"]);
        known.note_used_before(date("2025-01-01"), asked(february));
        assert_eq!(whole(&known), ["2025-01-30", "2025-01-31", "2025-02-03"]);
        known.note_used_before(date("2025-02-02"), asked(december));
        assert_eq!(whole(&known), ["2025-01-30", "2025-01-31", "2025-02-02", "2025-02-03"]);
    }

    #[test]
    fn days_that_never_happened_are_left_out() {
        let apia: Zone = "Pacific/Apia".parse().unwrap();
        let days: Vec<_> = happened(date("2011-12-29"), date("2012-01-01"), &apia).collect();
        assert_eq!(days, [date("2011-12-29"), date("2011-12-31")]);
        assert_eq!(next_month(date("2011-12-29")), date("2012-01-01"));
    }
}
