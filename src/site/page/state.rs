//! The state of a project on the status page.

use crate::snapshot::{Moment, ProjectStatus};

/// The state of a project, in the order of the page: the worst state comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::site) enum ProjectState {
    /// Its usage is too old and no longer exported.
    Stale,
    /// The last poll failed.
    Failing,
    /// No poll has ended yet.
    Waiting,
    /// The last poll succeeded.
    Ok,
}

impl ProjectState {
    pub const ALL: [ProjectState; 4] =
        [ProjectState::Stale, ProjectState::Failing, ProjectState::Waiting, ProjectState::Ok];

    /// The name in addresses and in the style sheet.
    pub fn name(self) -> &'static str {
        match self {
            ProjectState::Stale => "stale",
            ProjectState::Failing => "failing",
            ProjectState::Waiting => "waiting",
            ProjectState::Ok => "ok",
        }
    }

    pub fn of(project: &ProjectStatus, now: Moment) -> Self {
        match &project.health.last {
            None => ProjectState::Waiting,
            Some(_) if project.usage.is_some() && project.usage_at(now).is_none() => ProjectState::Stale,
            Some(last) if last.failure.is_some() => ProjectState::Failing,
            Some(_) => ProjectState::Ok,
        }
    }
}
