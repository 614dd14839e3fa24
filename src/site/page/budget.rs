//! Budgets as bars.

use super::{
    number::{grouped, percent},
    texts::Texts,
    window::ShownWindow,
};
use crate::{
    snapshot::Usage,
    usage::{Budget, Measure},
};

/// Length of a bar, in units of the SVG drawing.
const LENGTH: f64 = 1000.0;

/// Width of the mark for the elapsed time, in the same units. The template has the same number.
const MARK: f64 = 3.0;

/// Minimum share of a window that has passed before a forecast is shown.
const MIN_ELAPSED: f64 = 0.05;

/// A bar has the color of a warning from this used share of a budget or package on. The alerts have the same share.
pub(super) const WARNING: f64 = 0.8;

/// A budget as a bar.
pub(super) struct BudgetBar {
    /// Window and selectors.
    pub scope: String,
    pub used: String,
    pub minutes: String,
    /// The used share.
    pub share: f64,
    pub level: Level,
    /// Minutes expected at the end of the window, at the current pace. Only if they exceed the budget and the window
    /// has not ended.
    pub forecast: Option<String>,
    pub bar: Bar,
}

/// The drawing of a used share.
pub(super) struct Bar {
    pub percent: String,
    pub length: i64,
    /// Position of the mark for the elapsed time of the window; `None` for rolling windows and windows that have ended.
    pub elapsed: Option<i64>,
}

impl Bar {
    pub fn new(share: f64, percent: String, elapsed: Option<f64>) -> Self {
        Bar {
            percent,
            length: (share.clamp(0.0, 1.0) * LENGTH).round() as i64,
            elapsed: elapsed.map(|elapsed| (elapsed * (LENGTH - MARK)).round() as i64),
        }
    }
}

/// How much of a budget or package is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// All of it.
    Spent,
    /// Most of it, or all of it before the window ends.
    Near,
    Fine,
    /// The usage is too old to tell.
    Old,
    /// No usage matches the selectors. They may be wrong, so this is not the same as 0 minutes.
    Unmatched,
}

impl Level {
    /// The name in the style sheet.
    pub fn name(self) -> &'static str {
        match self {
            Level::Spent => "spent",
            Level::Near => "near",
            Level::Fine => "fine",
            Level::Old => "old",
            Level::Unmatched => "unmatched",
        }
    }
}

/// The bars of all budgets whose window is among these.
pub(super) fn bars(budgets: &[Budget], usage: &Usage, windows: &[ShownWindow<'_>], texts: &Texts) -> Vec<BudgetBar> {
    let window = |budget: &Budget| windows.iter().find(|window| window.values.window == budget.window);
    budgets.iter().filter_map(|budget| Some(BudgetBar::new(budget, usage, window(budget)?, texts))).collect()
}

impl BudgetBar {
    /// The elapsed time ends at the poll, not now, so that it matches the usage.
    fn new(budget: &Budget, usage: &Usage, window: &ShownWindow<'_>, texts: &Texts) -> Self {
        let ShownWindow { values, is_current, .. } = window;
        let used = usage.minutes(values, |series| budget.covers(series));
        let share = used / budget.minutes;
        let is_rolling = values.window.calendar().is_none();
        let seconds = (values.bounds.end - values.bounds.start).num_seconds().max(1) as f64;
        let elapsed = ((usage.at.utc - values.bounds.start).num_seconds().max(1) as f64 / seconds).min(1.0);
        let forecast = used / elapsed;
        let may_forecast = *is_current && !is_rolling && (MIN_ELAPSED..1.0).contains(&elapsed);
        let will_exceed = may_forecast && used < budget.minutes && forecast > budget.minutes;
        let selectors = || [&budget.resource_type, &budget.business_type, &budget.user_id].into_iter().flatten();
        let has_match = || usage.series.iter().any(|it| it.measure == Measure::Minutes && budget.covers(it));
        BudgetBar {
            scope: selectors().fold(window.name.clone(), |scope, selector| scope + texts.comma + selector),
            used: grouped(used),
            minutes: grouped(budget.minutes),
            share,
            level: match share {
                _ if selectors().next().is_some() && !has_match() => Level::Unmatched,
                _ if !is_current => Level::Old,
                _ if used >= budget.minutes => Level::Spent,
                WARNING.. => Level::Near,
                _ if will_exceed => Level::Near,
                _ => Level::Fine,
            },
            forecast: will_exceed.then(|| grouped(forecast.round())),
            bar: Bar::new(share, percent(used, budget.minutes), Some(elapsed).filter(|_| !is_rolling && elapsed < 1.0)),
        }
    }
}
