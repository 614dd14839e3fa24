//! The usage of the last complete poll.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::{moment::Moment, outcome::WindowUsage};
use crate::usage::{Bounds, Days, Doubts, Measure, Series, Window};

/// Usage of all windows.
#[derive(Clone, Debug)]
pub struct Usage {
    /// Start of the poll.
    pub at: Moment,
    /// The configured windows, in their order.
    pub windows: Vec<WindowValues>,
    /// All series of all windows and all complete polls so far, sorted. A series that has been seen once is exported
    /// for every window, as 0 where there was no usage. Snapshots share the list, because it rarely grows.
    pub series: Arc<[Series]>,
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
    /// One value for each of [`Usage::series`], in their order. Not a number where a row had no value.
    values: Box<[f64]>,
    /// See [`WindowUsage::days`].
    pub days: Option<Days>,
}

impl WindowValues {
    /// The value of the series with this index of [`Usage::series`]; `None` if a row of it had no value.
    pub fn value(&self, index: usize) -> Option<f64> {
        self.values.get(index).copied().filter(|value| !value.is_nan())
    }
}

impl Usage {
    /// The usage of a poll. The `known` series of earlier polls get a value, too.
    pub(super) fn new(at: Moment, windows: Vec<WindowUsage>, doubts: Doubts, known: Arc<[Series]>) -> Self {
        let polled = || windows.iter().flat_map(|window| window.tally.series());
        let series = if polled().all(|series| known.binary_search(series).is_ok()) {
            known
        } else {
            let all: BTreeSet<&Series> = known.iter().chain(polled()).collect();
            all.into_iter().cloned().collect()
        };
        let values = |window: WindowUsage| WindowValues {
            window: window.window,
            bounds: window.bounds,
            changes_at: window.changes_at,
            values: series.iter().map(|series| window.tally.value(series).unwrap_or(f64::NAN)).collect(),
            days: window.days,
        };
        let windows = windows.into_iter().map(values).collect();
        Usage { at, windows, series: Arc::clone(&series), doubts }
    }

    /// The time since the poll.
    pub(super) fn age(&self, now: Moment) -> Duration {
        (now.steady - self.at.steady).to_std().unwrap_or_default()
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
