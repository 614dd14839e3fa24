//! Minutes of each day of a window, for the chart of the status page. Exported sums come from the tally.

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::{Decimal, prelude::ToPrimitive};

use super::{Bounds, Row, Zone};

/// Minutes of each day of a window, up to the day of the poll.
#[derive(Clone, Debug, PartialEq)]
pub struct Days {
    /// The first day.
    pub first: NaiveDate,
    /// Minutes of the first day and of each day after it.
    pub minutes: Vec<f64>,
}

/// Sums the days of one window.
///
/// The API says neither how wide a bucket is nor in which zone it begins (contract, 1.5). A bucket counts for the local
/// day in which it begins, or for the first day if it begins before the window.
#[derive(Debug)]
pub struct DaySums {
    zone: Zone,
    first: NaiveDate,
    sums: Vec<Decimal>,
    /// Start of the first bucket that was added.
    bucket: Option<DateTime<Utc>>,
    /// Whether buckets with different starts were added: a single bucket may hold the whole window (contract, 1.5).
    distinguishes_days: bool,
    /// Whether a row could not be added to a day.
    is_incomplete: bool,
}

impl DaySums {
    /// Creates the sums for a window of whole days. `elapsed` is the part of the window that has passed.
    pub fn new(elapsed: Bounds, zone: Zone) -> Self {
        let date = |instant: DateTime<Utc>| zone.local(instant).date_naive();
        let first = date(elapsed.start);
        let last = date(elapsed.end - chrono::Duration::nanoseconds(1));
        let days = (last - first).num_days() + 1;
        let sums = vec![Decimal::ZERO; usize::try_from(days).unwrap_or_default()];
        let distinguishes_days = days <= 1;
        DaySums { zone, first, sums, bucket: None, distinguishes_days, is_incomplete: false }
    }

    /// Adds the minutes of a row, whose bucket begins at `start`. `None` is an unknown time.
    pub fn add(&mut self, start: Option<DateTime<Utc>>, row: &Row) {
        let Some(minutes) = row.minutes() else { return };
        let sum = start.and_then(|start| {
            self.distinguishes_days |= *self.bucket.get_or_insert(start) != start;
            let day = (self.zone.local(start).date_naive() - self.first).num_days();
            self.sums.get_mut(usize::try_from(day.max(0)).ok()?)
        });
        match sum.and_then(|sum| Some((sum.checked_add(minutes.ok()?)?, sum))) {
            Some((more, sum)) => *sum = more,
            None => self.is_incomplete = true,
        }
    }

    /// The days; `None` if the answer does not distinguish them all.
    pub fn finish(self) -> Option<Days> {
        let is_used = self.sums.iter().any(|sum| !sum.is_zero());
        if self.is_incomplete || (is_used && !self.distinguishes_days) {
            return None;
        }
        let minutes = self.sums.iter().map(|sum| sum.to_f64().unwrap_or_default()).collect();
        Some(Days { first: self.first, minutes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::{RowKey, Unit, Window};

    fn row(time: &str, unit: &str, usage: &str) -> Row {
        let key = RowKey { time: Some(time.into()), unit: Unit::from_api(Some(unit)), ..RowKey::default() };
        Row { key, usage: Some(usage.parse().unwrap()), number: Some(1) }
    }

    fn start(row: &Row) -> Option<DateTime<Utc>> {
        DateTime::parse_from_rfc3339(row.key.time.as_deref()?).ok().map(|time| time.to_utc())
    }

    /// Minutes of the days of November, polled on its third day in Shanghai.
    fn days(rows: &[Row]) -> Option<Vec<f64>> {
        let now = DateTime::parse_from_rfc3339("2025-11-03T09:00:00+08:00").unwrap().to_utc();
        let zone = Zone::shanghai();
        let mut sums = DaySums::new(Window::ThisMonth.bounds(now, &zone).elapsed(now), zone);
        rows.iter().for_each(|row| sums.add(start(row), row));
        let days = sums.finish()?;
        assert_eq!(days.first, NaiveDate::from_ymd_opt(2025, 11, 1).unwrap());
        Some(days.minutes)
    }

    #[test]
    fn a_bucket_counts_for_the_local_day_in_which_it_begins() {
        let rows = [
            row("2025-11-01T00:00:00+08:00", "MIN", "0.1"),
            row("2025-11-01T15:59:59Z", "MIN", "0.2"),
            row("2025-11-01T16:00:00Z", "HOUR", "2"),
            row("2025-11-02T00:00:00+08:00", "GB", "7"),
        ];
        assert_eq!(days(&rows), Some(vec![0.3, 120.0, 0.0]));
        // A bucket of a day in UTC begins before the window.
        let rows = [row("2025-10-31T00:00:00Z", "MIN", "5"), row("2025-11-02T00:00:00Z", "MIN", "1")];
        assert_eq!(days(&rows), Some(vec![5.0, 1.0, 0.0]));
        assert_eq!(days(&[]), Some(vec![0.0; 3]));
    }

    #[test]
    fn no_days_if_the_answer_does_not_distinguish_them() {
        let whole = row("2025-10-31T16:00:00Z", "MIN", "5");
        assert_eq!(days(&[whole.clone(), whole.clone()]), None, "may be the usage of all days");
        assert_eq!(days(&[row("2025-11-01T00:00:00Z", "MIN", "5")]), None, "rounded to a day by the service");
        let second = row("2025-11-01T16:00:00Z", "MIN", "1");
        assert_eq!(days(&[whole.clone(), second]), Some(vec![5.0, 1.0, 0.0]));
        for time in ["", "yesterday", "2025-11-02", "2025-11-03T16:00:00Z"] {
            assert_eq!(days(&[whole.clone(), row(time, "MIN", "1")]), None, "{time}");
        }
    }

    #[test]
    fn one_bucket_is_enough_on_the_first_day_of_a_month() {
        let now = DateTime::parse_from_rfc3339("2025-11-01T00:00:00+08:00").unwrap().to_utc();
        let zone = Zone::shanghai();
        let mut sums = DaySums::new(Window::ThisMonth.bounds(now, &zone).elapsed(now), zone);
        let row = row("2025-10-31T16:00:00Z", "MIN", "5");
        sums.add(start(&row), &row);
        assert_eq!(sums.finish().unwrap().minutes, [5.0]);
    }
}
