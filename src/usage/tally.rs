//! Sums over rows.
//!
//! Sums are decimal, with the digits that the cloud sent. A sum is rounded once, to the nearest `f64`, when it is
//! exported. So 0.1 added ten times is 1, in any order of rows and pages. Decimal arithmetic has 28 exact
//! digits. The usage of a row is at most 10^6 (the API page), so a sum over 10^9 rows keeps more than ten decimals.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;

use super::row::{Overflow, Row, Unit};

/// The quantity that a series measures.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measure {
    /// Usage in minutes: rows in minutes and hours.
    Minutes,
    /// The API's `number`.
    Number,
    /// Usage in a unit that is not a time.
    Other(String),
}

impl Measure {
    /// Whether the API gave no unit: the values may be minutes.
    pub fn lacks_unit(&self) -> bool {
        matches!(self, Measure::Other(unit) if unit == Unit::UNKNOWN)
    }
}

/// The labels of one exported series of a window.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    /// The quantity.
    pub measure: Measure,
    /// Type of resource; empty if the API gives none.
    pub resource_type: String,
    /// Type of business; empty if the API gives none.
    pub business_type: String,
    /// The sub-user of the query; `None` for usage of all users, and for usage that no user accounts for.
    pub user_id: Option<String>,
}

/// The quantity, the type of resource and the type of business of a series: its labels without the user.
pub type SeriesType<'a> = (&'a Measure, &'a str, &'a str);

/// Maximum number of series of a project, for one user. A pair of a resource type and a business type usually has two:
/// minutes and number.
pub const MAX_SERIES: usize = 2000;

impl Series {
    /// Its type.
    pub fn series_type(&self) -> SeriesType<'_> {
        (&self.measure, &self.resource_type, &self.business_type)
    }

    /// The series of all users together.
    pub fn without_user(&self) -> Self {
        Series { user_id: None, ..self.clone() }
    }
}

/// The sums of one window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    sums: BTreeMap<Series, Decimal>,
    /// Series that lack the value of a row. Their sums would be too small.
    incomplete: BTreeSet<Series>,
}

impl Tally {
    /// Adds the values of a row. An absent value is not 0: it makes its series incomplete.
    ///
    /// # Errors
    /// [`Overflow`] if a sum exceeds the range of decimal arithmetic.
    pub fn add(&mut self, row: &Row, user_id: Option<&str>) -> Result<(), Overflow> {
        let mut add = |measure: Measure, value: Option<Decimal>| {
            let series = Series {
                measure,
                resource_type: row.key.resource_type.clone(),
                business_type: row.key.business_type.clone(),
                user_id: user_id.map(str::to_owned),
            };
            let Some(value) = value else {
                self.incomplete.insert(series);
                return Ok(());
            };
            let sum = self.sums.entry(series).or_default();
            *sum = sum.checked_add(value).ok_or(Overflow)?;
            Ok(())
        };
        match &row.key.unit {
            Unit::Minutes | Unit::Hours => add(Measure::Minutes, row.minutes().transpose()?)?,
            Unit::Other(unit) => add(Measure::Other(unit.clone()), row.usage)?,
        }
        add(Measure::Number, row.number.map(Decimal::from))
    }

    /// The series of all rows with a value, sorted.
    pub fn series(&self) -> impl Iterator<Item = &Series> {
        self.sums.keys()
    }

    /// Whether there are too many series with a value, or too many series that lack one. The limit of each number is
    /// [`MAX_SERIES`] times `users`.
    pub fn has_too_many_series(&self, users: usize) -> bool {
        self.sums.len().max(self.incomplete.len()) > MAX_SERIES * users
    }

    /// Whether a series has a row with a value.
    pub fn contains(&self, series: &Series) -> bool {
        self.sums.contains_key(series)
    }

    /// The series that lack a value, and the series whose values have no unit. A service need not send numbers, and a
    /// row may have neither a usage nor a unit. So a series of numbers or without a unit is included only if it has a
    /// value in some row.
    pub fn incomplete(&self) -> impl Iterator<Item = &Series> {
        let is_needed = |series: &Series| match &series.measure {
            Measure::Minutes => true,
            Measure::Other(_) => !series.measure.lacks_unit(),
            Measure::Number => false,
        };
        let lacks_value =
            self.incomplete.iter().filter(move |series| is_needed(series) || self.sums.contains_key(series));
        lacks_value.chain(self.sums.keys().filter(|series| series.measure.lacks_unit()))
    }

    /// The sum of a series as the nearest `f64`; 0 if the answer has no row of it, `None` if a row of it has no value.
    pub fn value(&self, series: &Series) -> Option<f64> {
        self.exact(series).map(nearest)
    }

    /// Like [`Self::value`], but as the exact decimal.
    pub fn exact(&self, series: &Series) -> Option<Decimal> {
        // The usage of a row without a unit may be minutes.
        let without_unit = || Series { measure: Measure::Other(Unit::UNKNOWN.to_owned()), ..series.clone() };
        let lacks_minutes = series.measure == Measure::Minutes && self.sums.contains_key(&without_unit());
        if lacks_minutes || self.incomplete.contains(series) {
            return None;
        }
        Some(self.sums.get(series).copied().unwrap_or_default())
    }

    /// Every series that has a row, with the sum of its values, and whether a row of it lacks a value.
    pub fn parts(&self) -> impl Iterator<Item = (&Series, Option<Decimal>, bool)> {
        let lacks_value = |series: &Series| self.incomplete.contains(series);
        let with_value = self.sums.iter().map(move |(series, sum)| (series, Some(*sum), lacks_value(series)));
        let without = self.incomplete.iter().filter(|series| !self.sums.contains_key(*series));
        with_value.chain(without.map(|series| (series, None, true)))
    }

    /// Adds a part of another tally, as [`Self::parts`] gives it. The series must not have been added before.
    pub fn add_part(&mut self, series: Series, sum: Option<Decimal>, lacks_value: bool) {
        if lacks_value {
            self.incomplete.insert(series.clone());
        }
        if let Some(sum) = sum {
            self.sums.insert(series, sum);
        }
    }

    /// Adds the sums of another tally.
    ///
    /// # Errors
    /// [`Overflow`] if a sum exceeds the range of decimal arithmetic.
    pub fn merge(&mut self, other: &Tally) -> Result<(), Overflow> {
        for (series, value) in &other.sums {
            let sum = self.sums.entry(series.clone()).or_default();
            *sum = sum.checked_add(*value).ok_or(Overflow)?;
        }
        self.incomplete.extend(other.incomplete.iter().cloned());
        Ok(())
    }

    /// Subtracts the sums of the users from the sums of all users, which are the series without a user. The rest is the
    /// usage that no user accounts for. If a user lacks a value, the rest is not known.
    ///
    /// Usage may grow while the users are asked for one after the other. So the users may have more than the earlier
    /// answer for all users; then the rest is 0.
    ///
    /// # Errors
    /// [`Overflow`] if a sum exceeds the range of decimal arithmetic.
    pub fn leave_rest(&mut self) -> Result<(), Overflow> {
        let mut of_users: BTreeMap<Series, Decimal> = BTreeMap::new();
        let mut unknown: Vec<Series> = Vec::new();
        for (series, sum, lacks_value) in self.parts().filter(|(series, ..)| series.user_id.is_some()) {
            let together = series.without_user();
            if lacks_value {
                unknown.push(together.clone());
            }
            if series.measure.lacks_unit() {
                // The usage of a row without a unit may be minutes.
                unknown.push(Series { measure: Measure::Minutes, ..together.clone() });
            }
            let value = of_users.entry(together).or_default();
            *value = value.checked_add(sum.unwrap_or_default()).ok_or(Overflow)?;
        }
        self.incomplete.extend(unknown);
        for (series, value) in of_users.into_iter().filter(|(_, value)| !value.is_zero()) {
            if let Some(all) = self.sums.get_mut(&series) {
                *all = all.checked_sub(value).ok_or(Overflow)?.max(Decimal::ZERO);
            }
        }
        Ok(())
    }

    /// The sums of all users together.
    ///
    /// # Errors
    /// [`Overflow`] if a sum exceeds the range of decimal arithmetic.
    pub fn without_users(&self) -> Result<Tally, Overflow> {
        let mut together = Tally::default();
        for (series, value) in &self.sums {
            let sum = together.sums.entry(series.without_user()).or_default();
            *sum = sum.checked_add(*value).ok_or(Overflow)?;
        }
        together.incomplete = self.incomplete.iter().map(Series::without_user).collect();
        Ok(together)
    }

    /// A series whose sum is larger here than in `other`, if there is one.
    pub fn larger_than(&self, other: &Tally) -> Option<&Series> {
        let sum = |series: &Series| other.sums.get(series).copied().unwrap_or_default();
        self.sums.iter().find(|(series, value)| **value > sum(series)).map(|(series, _)| series)
    }
}

/// The nearest `f64`. Converted through text, because std rounds every decimal text to the nearest `f64`.
pub fn nearest(sum: Decimal) -> f64 {
    sum.to_string().parse().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::usage::row::RowKey;

    fn row(unit: &str, usage: Option<Decimal>, number: Option<i64>) -> Row {
        let unit = Unit::from_api(Some(unit));
        let key = RowKey { resource_type: "r".to_owned(), business_type: "b".to_owned(), unit, ..RowKey::default() };
        Row { key, usage, number }
    }

    fn series(measure: Measure) -> Series {
        Series { measure, resource_type: "r".into(), business_type: "b".into(), user_id: None }
    }

    #[test]
    fn hours_become_minutes_and_other_units_stay_separate() {
        let mut tally = Tally::default();
        for (unit, usage) in [("MIN", "12.5"), ("HOUR", "3.25"), ("GB", "7")] {
            tally.add(&row(unit, Some(usage.parse().unwrap()), None), None).unwrap();
        }
        assert_eq!(tally.value(&series(Measure::Minutes)), Some(12.5 + 195.0));
        assert_eq!(tally.value(&series(Measure::Other("GB".into()))), Some(7.0));
        assert_eq!(tally.series().count(), 2, "no series for an absent number");
        assert_eq!(tally.incomplete().count(), 0, "no row has a number");
    }

    #[test]
    fn ten_tenths_are_one() {
        let mut tally = Tally::default();
        for _ in 0..10 {
            tally.add(&row("MIN", Some("0.1".parse().unwrap()), Some(1)), None).unwrap();
        }
        assert_eq!(tally.value(&series(Measure::Minutes)), Some(1.0));
        assert_eq!(tally.value(&series(Measure::Number)), Some(10.0));
        let half = tally.clone();
        tally.merge(&half).unwrap();
        assert_eq!(tally.value(&series(Measure::Number)), Some(20.0));
        assert_eq!((half.larger_than(&tally), half.larger_than(&half)), (None, None));
        assert_eq!(tally.larger_than(&half), Some(&series(Measure::Minutes)));
    }

    #[test]
    fn a_series_that_lacks_a_value_has_no_sum() {
        let mut tally = Tally::default();
        tally.add(&row("MIN", Some(Decimal::ONE), Some(1)), None).unwrap();
        tally.add(&row("HOUR", None, None), None).unwrap();
        for measure in [Measure::Minutes, Measure::Number] {
            assert_eq!(tally.value(&series(measure)), None);
        }
        assert_eq!(tally.incomplete().count(), 2);
        // Other series of the same answer are complete.
        let other = Series { resource_type: "s".into(), ..series(Measure::Minutes) };
        assert_eq!(tally.value(&other), Some(0.0));
    }

    #[test]
    fn usage_without_a_unit_may_be_minutes() {
        let mut tally = Tally::default();
        tally.add(&row("", Some(Decimal::ONE), None), None).unwrap();
        assert_eq!(tally.value(&series(Measure::Other("unknown".into()))), Some(1.0));
        assert_eq!(tally.value(&series(Measure::Minutes)), None, "not 0");
    }

    #[test]
    fn series_that_differ_in_any_part_are_summed_separately() {
        let mut rows = vec![row("MIN", Some(Decimal::ONE), Some(1)), row("GB", Some(Decimal::ONE), Some(0))];
        for (resource_type, business_type) in [("rb", ""), ("", "rb"), ("s", "b"), ("r", "c")] {
            let mut other = row("MIN", Some(Decimal::ONE), None);
            (other.key.resource_type, other.key.business_type) = (resource_type.into(), business_type.into());
            rows.push(other);
        }
        let mut tally = Tally::default();
        for user_id in [None, Some("u"), Some(""), None, Some("u"), Some("")] {
            rows.iter().for_each(|row| tally.add(row, user_id).unwrap());
        }
        assert_eq!(tally.series().count(), 3 * 7);
        assert!(tally.series().is_sorted());
        assert!(tally.series().all(|series| tally.value(series) == Some(2.0)));
    }

    #[test]
    fn the_rest_has_what_no_user_accounts_for() {
        type UserRow = (Option<&'static str>, &'static str, Option<i64>, Option<i64>);
        let tally_of = |rows: &[UserRow]| {
            let mut tally = Tally::default();
            for &(user, unit, usage, number) in rows {
                tally.add(&row(unit, usage.map(Decimal::from), number), user).unwrap();
            }
            tally.leave_rest().unwrap();
            tally
        };
        let rest = |tally: &Tally, measure: Measure| tally.value(&series(measure));
        let gigabytes = || Measure::Other("GB".into());
        let (a, b) = (Some("a"), Some("b"));
        let tally = tally_of(&[
            (None, "HOUR", Some(2), Some(9)),
            (None, "GB", Some(7), Some(0)),
            (a, "MIN", Some(50), Some(3)),
            (b, "HOUR", Some(1), Some(4)),
            (b, "GB", Some(8), Some(0)),
        ]);
        assert_eq!(rest(&tally, Measure::Minutes), Some(10.0), "hours and minutes of different users");
        assert_eq!(rest(&tally, Measure::Number), Some(2.0));
        assert_eq!(rest(&tally, gigabytes()), Some(0.0), "usage has grown, and the rest is never below 0");
        let of_b = Series { user_id: Some("b".into()), ..series(gigabytes()) };
        assert_eq!(tally.value(&of_b), Some(8.0), "a user keeps what it has");
        assert_eq!(tally.without_users().unwrap().value(&series(Measure::Minutes)), Some(120.0));
        assert_eq!(tally.incomplete().count(), 0);
        // A negative correction that belongs to no user stays.
        assert_eq!(rest(&tally_of(&[(None, "MIN", Some(-5), None)]), Measure::Minutes), Some(-5.0));
        for (lacking, measure) in [
            ((None, "MIN", None, Some(1)), Measure::Minutes),
            ((a, "MIN", None, Some(1)), Measure::Minutes),
            ((a, "MIN", Some(1), None), Measure::Number),
            // Without a unit it may be minutes.
            ((a, "", Some(1), Some(1)), Measure::Minutes),
        ] {
            let sound = [(None, "MIN", Some(9), Some(9)), (None, "GB", Some(9), Some(1)), (b, "MIN", Some(2), Some(1))];
            let tally = tally_of(&[&sound[..], &[lacking]].concat());
            assert_eq!(rest(&tally, measure.clone()), None, "{lacking:?}");
            assert!(tally.incomplete().next().is_some(), "{lacking:?}");
            assert_eq!(rest(&tally, gigabytes()), Some(9.0), "{lacking:?}: another series is complete");
            let of_b = Series { user_id: Some("b".into()), ..series(measure) };
            assert!(tally.value(&of_b).is_some(), "{lacking:?}: another user is complete");
        }
    }

    #[test]
    fn a_sum_out_of_range_is_an_error() {
        let mut tally = Tally::default();
        let huge = row("MIN", Some(Decimal::MAX), None);
        tally.add(&huge, None).unwrap();
        assert_eq!(tally.add(&huge, None), Err(Overflow));
        assert_eq!(tally.add(&row("HOUR", Some(Decimal::MAX), None), None), Err(Overflow));
        [Some("a"), Some("b")].into_iter().for_each(|user| tally.add(&huge, user).unwrap());
        assert_eq!((tally.leave_rest(), tally.without_users()), (Err(Overflow), Err(Overflow)));
    }

    proptest! {
        /// The expected sum is computed with 128-bit integers, in millionths of a minute. std rounds its decimal text.
        #[test]
        fn sums_equal_exact_integer_arithmetic(
            values in prop::collection::vec((any::<bool>(), -1_000_000_000_000_i64..1_000_000_000_000), 0..200),
        ) {
            let mut tally = Tally::default();
            let mut millionths = 0_i128;
            for &(hours, value) in &values {
                let unit = if hours { "HOUR" } else { "MIN" };
                tally.add(&row(unit, Some(Decimal::new(value, 6)), None), None).unwrap();
                millionths += i128::from(value) * if hours { 60 } else { 1 };
            }
            let sign = if millionths < 0 { "-" } else { "" };
            let size = millionths.unsigned_abs();
            let text = format!("{sign}{}.{:06}", size / 1_000_000, size % 1_000_000);
            let exact: f64 = text.parse().unwrap();
            prop_assert_eq!(tally.value(&series(Measure::Minutes)), Some(exact));
        }
    }
}
