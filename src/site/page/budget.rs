//! Budgets as bars.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use rust_decimal::{Decimal, prelude::ToPrimitive};

use super::{
    number::{decimal, grouped, percent},
    texts::Texts,
    window::ShownWindow,
};
use crate::{
    snapshot::{Moment, ProjectStatus, Usage},
    usage::{Bounds, Budget, Measure, SharedBudget},
};

/// Length of a bar, in units of the SVG drawing.
const LENGTH: f64 = 1000.0;

/// Width of the mark for the elapsed time, in the same units. The template has the same number.
const MARK: f64 = 3.0;

/// Minimum share of a window that has passed before a forecast is shown.
const MIN_ELAPSED: f64 = 0.05;

/// The bar of a budget or package has the color of a warning if at least this share is used. The alerts use the same
/// share.
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
    pub bar: UsedBar,
}

/// The drawing of a used share.
pub(super) struct UsedBar {
    pub percent: String,
    pub length: i64,
    /// Position of the mark for the elapsed time of the window; `None` for rolling windows and windows that have ended.
    pub elapsed: Option<i64>,
}

impl UsedBar {
    pub fn new(share: f64, percent: String, elapsed: Option<f64>) -> Self {
        UsedBar {
            percent,
            length: (share.clamp(0.0, 1.0) * LENGTH).round() as i64,
            elapsed: elapsed.map(|elapsed| (elapsed * (LENGTH - MARK)).round() as i64),
        }
    }
}

/// How much of a budget or package is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// All of it; or the package is frozen.
    Spent,
    /// Most of it; or at this pace, all of it before the window or the package ends.
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

/// The bars of all budgets whose window is in `windows`.
pub(super) fn bars(budgets: &[Budget], usage: &Usage, windows: &[ShownWindow<'_>], texts: &Texts) -> Vec<BudgetBar> {
    let bar = |budget: &Budget| {
        let ShownWindow { values, name, is_current, .. } =
            windows.iter().find(|window| window.values.window == budget.window)?;
        let state = Consumed {
            minutes: usage.minutes(values, |series| budget.covers(series)),
            has_match: has_match(budget, usage),
            bounds: values.bounds,
            at: usage.at.utc,
            is_current: *is_current,
        };
        Some(BudgetBar::new(budget, name.clone(), &state, texts))
    };
    budgets.iter().filter_map(bar).collect()
}

fn has_match(budget: &Budget, usage: &Usage) -> bool {
    usage.series.iter().any(|series| series.measure == Measure::Minutes && budget.covers(series))
}

/// A budget of several projects as a bar.
pub(super) struct SharedBar {
    pub bar: BudgetBar,
    /// Number of projects that share the budget.
    pub projects: usize,
    /// Number of these projects whose usage is current. Only their usage is summed.
    pub known: usize,
}

/// The summed usage of the projects that share a budget.
#[derive(Default)]
struct SharedUse {
    minutes: Decimal,
    has_match: bool,
    /// The bounds of the window, and the time of the newest poll.
    window: Option<(Bounds, DateTime<Utc>)>,
    projects: usize,
    known: usize,
}

/// The bars of all shared budgets, in the order in which the projects have them. Sums are decimal, like the sums of one
/// project.
pub(super) fn shared_bars<'a>(
    projects: impl Iterator<Item = &'a ProjectStatus>,
    texts: &Texts,
    now: Moment,
) -> Vec<SharedBar> {
    let mut budgets: Vec<(&SharedBudget, SharedUse)> = Vec::new();
    let mut index: HashMap<&str, usize> = HashMap::new();
    for project in projects {
        for shared in &project.target.shared_budgets {
            let at = *index.entry(&shared.name).or_insert_with(|| {
                budgets.push((shared, SharedUse::default()));
                budgets.len() - 1
            });
            if let Some((_, sum)) = budgets.get_mut(at) {
                sum.add(&shared.limit, project, now);
            }
        }
    }
    budgets.into_iter().map(|(budget, sum)| sum.bar(budget, texts, now)).collect()
}

impl SharedUse {
    fn add(&mut self, budget: &Budget, project: &ProjectStatus, now: Moment) {
        self.projects += 1;
        let values = project.windows_at(now).find(|values| values.window == budget.window);
        let Some((usage, values)) = project.usage_at(now).zip(values) else { return };
        // After midnight, some projects still have the window that has ended. Only the newest window is summed.
        if let Some((bounds, _)) = self.window.filter(|_| budget.window.calendar().is_some()) {
            if values.bounds.start < bounds.start {
                return;
            }
            if values.bounds.start > bounds.start {
                *self = SharedUse { projects: self.projects, ..SharedUse::default() };
            }
        }
        self.known += 1;
        self.minutes = self.minutes.saturating_add(decimal(usage.minutes(values, |series| budget.covers(series))));
        self.has_match |= has_match(budget, usage);
        let newest = self.window.map_or(usage.at.utc, |(_, newest)| newest.max(usage.at.utc));
        self.window = Some((values.bounds, newest));
    }

    fn bar(self, SharedBudget { name, limit }: &SharedBudget, texts: &Texts, now: Moment) -> SharedBar {
        let SharedUse { minutes, has_match, window, projects, known } = self;
        let (bounds, at) = window.unwrap_or((Bounds { start: now.utc, end: now.utc }, now.utc));
        let minutes = minutes.to_f64().unwrap_or_default();
        // If the known usage alone is as large as the budget, the budget is spent. Missing usage cannot change this.
        let is_current = known == projects || minutes >= limit.minutes;
        let used = Consumed { minutes, has_match: has_match || known < projects, bounds, at, is_current };
        let scope = format!("{name}{}{}", texts.comma, texts.window(limit.window));
        SharedBar { bar: BudgetBar::new(limit, scope, &used, texts), projects, known }
    }
}

/// The usage that counts against a budget.
struct Consumed {
    minutes: f64,
    /// Whether any series matches the selectors.
    has_match: bool,
    bounds: Bounds,
    /// The time of the poll. The elapsed time ends at this time, not now, so that it matches the usage.
    at: DateTime<Utc>,
    is_current: bool,
}

impl BudgetBar {
    fn new(budget: &Budget, scope: String, consumed: &Consumed, texts: &Texts) -> Self {
        let &Consumed { minutes: used, has_match, bounds, at, is_current } = consumed;
        let share = used / budget.minutes;
        let is_rolling = budget.window.calendar().is_none();
        let seconds = (bounds.end - bounds.start).num_seconds().max(1) as f64;
        let elapsed = ((at - bounds.start).num_seconds().max(1) as f64 / seconds).min(1.0);
        let forecast = used / elapsed;
        let may_forecast = is_current && !is_rolling && (MIN_ELAPSED..1.0).contains(&elapsed);
        let will_exceed = may_forecast && used < budget.minutes && forecast > budget.minutes;
        let selectors = || [&budget.resource_type, &budget.business_type, &budget.user_id].into_iter().flatten();
        BudgetBar {
            scope: selectors().fold(scope, |scope, selector| scope + texts.comma + selector),
            used: grouped(used),
            minutes: grouped(budget.minutes),
            share,
            level: match share {
                _ if selectors().next().is_some() && !has_match => Level::Unmatched,
                _ if !is_current => Level::Old,
                _ if used >= budget.minutes => Level::Spent,
                WARNING.. => Level::Near,
                _ if will_exceed => Level::Near,
                _ => Level::Fine,
            },
            forecast: will_exceed.then(|| grouped(forecast.round())),
            bar: UsedBar::new(
                share,
                percent(used, budget.minutes),
                Some(elapsed).filter(|_| !is_rolling && elapsed < 1.0),
            ),
        }
    }
}
