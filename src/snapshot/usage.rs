//! The usage of the last complete poll.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::{moment::Moment, outcome::WindowUsage};
use crate::usage::{Bounds, Days, Doubts, MAX_SERIES, Measure, Series, SeriesType, Window};

/// Usage of all windows.
#[derive(Clone, Debug)]
pub struct Usage {
    /// Start of the poll.
    pub at: Moment,
    /// The configured windows, in their order.
    pub windows: Vec<WindowValues>,
    /// All series of all windows and all complete polls so far, sorted. A series that has been seen once is exported
    /// for every window, as 0 where there was no usage. If they have more than [`MAX_SERIES`] types, the types whose
    /// last row is oldest are forgotten. Snapshots share the list, because it rarely grows.
    pub series: Arc<[Series]>,
    /// For each of these series, the start of the last poll with a row of it, on the clock that cannot be set.
    last_rows: Box<[DateTime<Utc>]>,
    /// Whether series have been forgotten since the start.
    pub(super) has_forgotten: bool,
    /// The doubts of the poll, each with what was seen.
    pub doubts: Doubts,
}

/// Usage of one window.
#[derive(Clone, Debug)]
pub struct WindowValues {
    /// The window.
    pub window: Window,
    /// Its nominal bounds at the poll.
    pub bounds: Bounds,
    /// See [`WindowUsage::changes_at`].
    pub changes_at: Option<DateTime<Utc>>,
    /// One value for each of [`Usage::series`], in the same order; NaN where a row had no value.
    values: Box<[f64]>,
    /// See [`WindowUsage::days`].
    pub days: Option<Days>,
}

impl WindowValues {
    /// The values of a window: one for each series, `None` if a row of the series had no value.
    pub fn new(
        window: Window,
        bounds: Bounds,
        changes_at: Option<DateTime<Utc>>,
        values: impl IntoIterator<Item = Option<f64>>,
        days: Option<Days>,
    ) -> Self {
        let values = values.into_iter().map(|value| value.unwrap_or(f64::NAN)).collect();
        WindowValues { window, bounds, changes_at, values, days }
    }

    /// The value of the series with this index of [`Usage::series`]; `None` if a row of it had no value.
    pub fn value(&self, index: usize) -> Option<f64> {
        self.values.get(index).copied().filter(|value| !value.is_nan())
    }
}

impl Usage {
    /// The usage of a poll. The series of the usage `before` get a value, too.
    pub(super) fn new(at: Moment, windows: Vec<WindowUsage>, doubts: Doubts, before: Option<Usage>) -> Self {
        let (known, last_rows, mut has_forgotten) = match before {
            Some(usage) => (usage.series, usage.last_rows, usage.has_forgotten),
            None => Default::default(),
        };
        let polled = || windows.iter().flat_map(|window| window.tally.series());
        let last_row = |series: &Series| {
            let has_row = windows.iter().any(|window| window.tally.contains(series));
            let index = known.binary_search(series).ok().filter(|_| !has_row);
            index.and_then(|index| last_rows.get(index).copied()).unwrap_or(at.steady)
        };
        let series = if polled().all(|series| known.binary_search(series).is_ok()) {
            Arc::clone(&known)
        } else {
            let mut all: BTreeSet<&Series> = known.iter().chain(polled()).collect();
            let forgotten = series_to_forget(&all, last_row, at.steady);
            has_forgotten |= !forgotten.is_empty();
            all.retain(|series| !forgotten.contains(&series.series_type()));
            all.into_iter().cloned().collect()
        };
        let last_rows = series.iter().map(last_row).collect();
        let values = |window: WindowUsage| WindowValues {
            window: window.window,
            bounds: window.bounds,
            changes_at: window.changes_at,
            values: series.iter().map(|series| window.tally.value(series).unwrap_or(f64::NAN)).collect(),
            days: window.days,
        };
        let windows = windows.into_iter().map(values).collect();
        Usage { at, windows, series: Arc::clone(&series), last_rows, has_forgotten, doubts }
    }

    /// The usage without the series of users that are not in `sub_users`. Their usage now counts in the series without
    /// a user, so 0 would be wrong.
    pub(super) fn without_other_users(self, sub_users: &BTreeSet<String>) -> Self {
        let stays: Vec<bool> =
            self.series.iter().map(|series| series.user_id.as_ref().is_none_or(|id| sub_users.contains(id))).collect();
        if stays.iter().all(|stays| *stays) {
            return self;
        }
        fn kept<T: Clone>(all: &[T], stays: &[bool]) -> Vec<T> {
            all.iter().zip(stays).filter(|(_, stays)| **stays).map(|(one, _)| one.clone()).collect()
        }
        let windows = self.windows.into_iter().map(|window| {
            let values = kept(&window.values, &stays).into();
            WindowValues { values, ..window }
        });
        Usage {
            windows: windows.collect(),
            series: kept(&self.series, &stays).into(),
            last_rows: kept(&self.last_rows, &stays).into(),
            ..self
        }
    }

    /// The usage of a poll before the restart. `None` if the series are not sorted, or if a window has another number
    /// of values.
    pub fn restored(at: Moment, series: Vec<Series>, windows: Vec<WindowValues>, doubts: Doubts) -> Option<Self> {
        let fits = windows.iter().all(|window| window.values.len() == series.len());
        if !fits || !series.is_sorted_by(|one, next| one < next) {
            return None;
        }
        let last_rows = vec![at.steady; series.len()].into();
        Some(Usage { at, windows, series: series.into(), last_rows, has_forgotten: false, doubts })
    }

    /// The time since the poll.
    pub(super) fn age(&self, now: Moment) -> Duration {
        now.since(self.at)
    }

    /// The values of a window, each with its series. If a row of a series had no value, the series is left out.
    pub fn of<'a>(&'a self, window: &'a WindowValues) -> impl Iterator<Item = (&'a Series, f64)> {
        self.series.iter().enumerate().filter_map(|(index, series)| Some((series, window.value(index)?)))
    }

    /// The minutes of the `wanted` series of a window, added in decimal as a tally does.
    pub fn minutes(&self, window: &WindowValues, wanted: impl Fn(&Series) -> bool) -> f64 {
        let minutes = self.of(window).filter(|(series, _)| series.measure == Measure::Minutes && wanted(series));
        // If a sum has at most 15 digits, the shortest decimal text of its `f64` is the sum itself.
        let decimals = minutes.filter_map(|(_, value)| value.to_string().parse::<Decimal>().ok());
        decimals.fold(Decimal::ZERO, Decimal::saturating_add).to_string().parse().unwrap_or_default()
    }
}

/// The types of series to forget, if there are more than [`MAX_SERIES`]: the types whose last row is oldest. Types with
/// a row in this poll stay.
fn series_to_forget<'a>(
    all: &BTreeSet<&'a Series>,
    last_row: impl Fn(&Series) -> DateTime<Utc>,
    now: DateTime<Utc>,
) -> BTreeSet<SeriesType<'a>> {
    let mut last_rows: BTreeMap<SeriesType<'a>, DateTime<Utc>> = BTreeMap::new();
    for &series in all {
        let last = last_rows.entry(series.series_type()).or_default();
        *last = last_row(series).max(*last);
    }
    let excess = last_rows.len().saturating_sub(MAX_SERIES);
    let mut without_row: Vec<_> = last_rows.into_iter().filter(|(_, last)| *last < now).collect();
    without_row.sort_by_key(|(_, last)| *last);
    without_row.into_iter().take(excess).map(|(series_type, _)| series_type).collect()
}
