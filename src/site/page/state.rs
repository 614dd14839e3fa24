//! The states of a project on the status page.

use crate::{
    snapshot::{Moment, ProjectStatus, Usage},
    usage::Budget,
};

/// A state of a project, in the order of the page: the worst state comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::site) enum ProjectState {
    /// A budget is used up.
    OverBudget,
    /// Its usage is too old and no longer exported.
    Stale,
    /// The last poll failed.
    Failing,
    /// Its usage, or what a collector has found, may be wrong.
    Doubtful,
    /// No poll has ended yet.
    Waiting,
    /// None of the others.
    Ok,
}

impl ProjectState {
    pub const ALL: [ProjectState; 6] = [
        ProjectState::OverBudget,
        ProjectState::Stale,
        ProjectState::Failing,
        ProjectState::Doubtful,
        ProjectState::Waiting,
        ProjectState::Ok,
    ];

    /// The name in addresses and in the style sheet.
    pub fn name(self) -> &'static str {
        match self {
            ProjectState::OverBudget => "over-budget",
            ProjectState::Stale => "stale",
            ProjectState::Failing => "failing",
            ProjectState::Doubtful => "doubtful",
            ProjectState::Waiting => "waiting",
            ProjectState::Ok => "ok",
        }
    }
}

/// The states of a project, the worst first. A project can be over budget and failing at the same time.
pub(super) fn states(project: &ProjectStatus, now: Moment) -> Vec<ProjectState> {
    let usage = project.usage_at(now);
    let last = project.health.last.as_ref();
    let has = |state: &ProjectState| match state {
        ProjectState::OverBudget => usage.is_some_and(|usage| is_over_budget(project, usage, now)),
        ProjectState::Stale => project.usage.is_some() && usage.is_none(),
        ProjectState::Failing => last.is_some_and(|last| last.failure.is_some()),
        ProjectState::Doubtful => {
            usage.is_some_and(|usage| !usage.doubts.is_empty()) || project.collector_doubts_at(now).next().is_some()
        }
        ProjectState::Waiting => last.is_none(),
        ProjectState::Ok => false,
    };
    let states: Vec<ProjectState> = ProjectState::ALL.into_iter().filter(has).collect();
    if states.is_empty() { vec![ProjectState::Ok] } else { states }
}

/// Whether a budget is used up. A window that has ended is not compared.
fn is_over_budget(project: &ProjectStatus, usage: &Usage, now: Moment) -> bool {
    let window = |budget: &Budget| project.windows_at(now).find(|window| window.window == budget.window);
    let is_spent = |budget: &Budget| {
        window(budget).is_some_and(|window| usage.minutes(window, |series| budget.covers(series)) >= budget.minutes)
    };
    project.target.budgets.iter().any(is_spent)
}
