//! Budgets as bars.

use super::{number::grouped, texts::Texts};
use crate::{
    snapshot::{Usage, WindowValues},
    usage::Budget,
};

/// Length of a bar, in units of the SVG drawing.
const LENGTH: f64 = 1000.0;

/// Width of the mark for the elapsed time, in the same units. The template has the same number.
const MARK: f64 = 3.0;

/// Minimum share of a window that has passed before a forecast is shown.
const MIN_ELAPSED: f64 = 0.05;

/// A bar has the color of a warning from this share of the budget on.
const WARNING: f64 = 0.8;

/// A budget as a bar.
pub(super) struct BudgetBar {
    /// Window and selectors.
    pub scope: String,
    pub used: String,
    pub minutes: String,
    pub percent: i64,
    /// `spent`, `near` or `fine`, as in the style sheet.
    pub level: &'static str,
    /// Minutes expected at the end of the window, at the current pace. Only if they exceed the budget and the window
    /// has not ended.
    pub forecast: Option<String>,
    pub length: i64,
    /// Position of the mark for the elapsed time of the window; `None` for rolling windows and windows that have ended.
    pub elapsed: Option<i64>,
}

/// The bars of all budgets whose window is among these.
pub(super) fn bars(budgets: &[Budget], usage: &Usage, windows: &[&WindowValues], texts: &Texts) -> Vec<BudgetBar> {
    let window = |budget: &Budget| windows.iter().find(|window| window.window == budget.window);
    budgets.iter().filter_map(|budget| Some(BudgetBar::new(budget, usage, window(budget)?, texts))).collect()
}

impl BudgetBar {
    /// The elapsed time ends at the poll, not now, so that it matches the usage.
    fn new(budget: &Budget, usage: &Usage, window: &WindowValues, texts: &Texts) -> Self {
        let used = usage.minutes(window, |series| budget.covers(series));
        let share = used / budget.minutes;
        let is_rolling = window.window.calendar().is_none();
        let seconds = (window.bounds.end - window.bounds.start).num_seconds().max(1) as f64;
        let elapsed = ((usage.at.utc - window.bounds.start).num_seconds().max(1) as f64 / seconds).min(1.0);
        let forecast = used / elapsed;
        let will_exceed =
            !is_rolling && (MIN_ELAPSED..1.0).contains(&elapsed) && share < 1.0 && forecast > budget.minutes;
        let selectors = [&budget.resource_type, &budget.business_type, &budget.user_id].into_iter().flatten();
        BudgetBar {
            scope: selectors.fold(texts.window(budget.window), |scope, selector| scope + texts.comma + selector),
            used: grouped(used),
            minutes: grouped(budget.minutes),
            // Rounded down, so that 100 % means that the budget is spent.
            percent: (used * 100.0 / budget.minutes).floor() as i64,
            level: match share {
                1.0.. => "spent",
                WARNING.. => "near",
                _ if will_exceed => "near",
                _ => "fine",
            },
            forecast: will_exceed.then(|| grouped(forecast.round())),
            length: (share.clamp(0.0, 1.0) * LENGTH).round() as i64,
            elapsed: (!is_rolling && elapsed < 1.0).then_some((elapsed * (LENGTH - MARK)).round() as i64),
        }
    }
}
