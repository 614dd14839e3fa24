//! The windows of a project's last complete poll.

use chrono::TimeDelta;

use super::{number::grouped, texts::Texts};
use crate::snapshot::{Moment, ProjectStatus, WindowValues};

/// A window with its name on the page.
pub(super) struct ShownWindow<'a> {
    pub values: &'a WindowValues,
    /// With its dates if the window has ended and is no longer exported: "today" is then another day.
    pub name: String,
    /// Whether the metrics have the usage of this window.
    pub is_current: bool,
    /// The minutes of all types.
    pub minutes: String,
}

impl ShownWindow<'_> {
    /// The label `window` of the metrics.
    pub fn label(&self) -> String {
        self.values.window.to_string()
    }
}

/// All windows of the last complete poll, including windows that are no longer exported.
pub(super) fn shown<'a>(project: &'a ProjectStatus, texts: &Texts, now: Moment) -> Vec<ShownWindow<'a>> {
    let Some(usage) = &project.usage else { return Vec::new() };
    let zone = &project.target.timezone;
    let window = |values: &'a WindowValues| {
        let has_changed = values.changes_at.is_some_and(|change| change <= now.utc);
        let is_current = project.windows_at(now).any(|current| current.window == values.window);
        let date = |instant| zone.local(instant).date_naive();
        let dates = [date(values.bounds.start), date(values.bounds.end - TimeDelta::nanoseconds(1))];
        let name = texts.window(values.window);
        ShownWindow {
            values,
            name: if has_changed && !is_current { texts.dated(&name, dates) } else { name },
            is_current,
            minutes: grouped(usage.minutes(values, |_| true)),
        }
    };
    usage.windows.iter().map(window).collect()
}
