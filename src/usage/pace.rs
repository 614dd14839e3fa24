//! How fast a package is used.

use std::collections::VecDeque;

use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::{Decimal, prelude::ToPrimitive};

/// A pace is measured over this time, as in the alert `MetaStudioPackageRunsOut`.
const PERIOD: TimeDelta = TimeDelta::days(7);

/// Two readings that are kept are at least this far apart. The newest one is always kept.
const STEP: TimeDelta = TimeDelta::days(1);

/// A pace is known once readings cover at least this time.
const MIN_PERIOD: TimeDelta = TimeDelta::hours(6);

/// The used amount of a package at some times of the last week.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readings(VecDeque<(DateTime<Utc>, Decimal)>);

impl Readings {
    /// Adds the newest reading. If less is used than before, the earlier ones are forgotten: the service has corrected
    /// them, or the package was renewed.
    pub fn add(&mut self, at: DateTime<Utc>, used: Decimal) {
        if self.0.back().is_some_and(|(_, before)| used < *before) {
            self.0.clear();
        }
        if let Some(&[(before, _), (last, _)]) = self.0.make_contiguous().last_chunk()
            && last - before < STEP
        {
            self.0.pop_back();
        }
        self.0.push_back((at, used));
        // One reading that is at least as old as the period is kept. Older ones are dropped.
        while self.0.get(1).is_some_and(|(second, _)| at - *second >= PERIOD) {
            self.0.pop_front();
        }
    }

    /// How long this amount lasts at the pace of these readings. `None` if the pace is not known yet, or if nothing is
    /// used.
    ///
    /// ```
    /// use chrono::{DateTime, TimeDelta};
    /// use metastudio_exporter::usage::Readings;
    ///
    /// let (start, mut readings) = (DateTime::UNIX_EPOCH, Readings::default());
    /// readings.add(start, 100.into());
    /// readings.add(start + TimeDelta::days(2), 120.into());
    /// assert_eq!(readings.lasts(30.into()), Some(TimeDelta::days(3)));
    /// ```
    pub fn lasts(&self, left: Decimal) -> Option<TimeDelta> {
        let ((first, before), (last, used)) = (self.0.front()?, self.0.back()?);
        let (period, growth) = (*last - *first, used.checked_sub(*before)?);
        if period < MIN_PERIOD || growth <= Decimal::ZERO {
            return None;
        }
        let seconds = left.to_f64()? / growth.to_f64()? * period.as_seconds_f64();
        TimeDelta::try_seconds(seconds as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(readings: &[(i64, i64)]) -> Readings {
        let mut all = Readings::default();
        for (hour, used) in readings {
            all.add(DateTime::UNIX_EPOCH + TimeDelta::hours(*hour), Decimal::from(*used));
        }
        all
    }

    fn lasts(readings: &[(i64, i64)], left: i64) -> Option<i64> {
        hours(readings).lasts(left.into()).map(|length| length.num_hours())
    }

    #[test]
    fn a_pace_needs_hours_and_usage() {
        assert_eq!(lasts(&[], 1), None);
        assert_eq!(lasts(&[(0, 10)], 1), None);
        assert_eq!(lasts(&[(0, 10), (5, 20)], 10), None, "too early");
        assert_eq!(lasts(&[(0, 10), (6, 20)], 10), Some(6));
        assert_eq!(lasts(&[(0, 10), (48, 10)], 10), None, "nothing is used");
        assert_eq!(lasts(&[(0, 10), (6, 20)], 0), Some(0));
    }

    #[test]
    fn the_pace_is_that_of_the_last_week() {
        // 100 an hour for a month, then 1 an hour for eight days.
        let fast = (0..=720).map(|hour| (hour, 100 * hour));
        let slow = (1..=192).map(|hour| (720 + hour, 72_000 + hour));
        let readings: Vec<_> = fast.chain(slow).collect();
        assert_eq!(lasts(&readings, 50), Some(50));
        let kept = hours(&readings).0;
        assert!(kept.len() <= 9, "{kept:?}");
    }

    #[test]
    fn less_usage_starts_again() {
        assert_eq!(lasts(&[(0, 10), (24, 500), (48, 0)], 10), None);
        assert_eq!(lasts(&[(0, 10), (24, 500), (48, 0), (60, 6)], 10), Some(20));
    }
}
