//! The minutes of several projects together.

use rust_decimal::Decimal;

use super::{
    number::{decimal, grouped},
    texts::Texts,
};
use crate::{
    snapshot::{Moment, ProjectStatus},
    usage::Window,
};

/// The minutes of one window in all projects that have it.
pub(super) struct Total {
    pub name: String,
    pub minutes: String,
    /// Number of projects whose usage of this window is current. Only these are summed.
    pub projects: usize,
}

/// The totals of all windows, in the order in which the projects have them. Sums are decimal, like the sums of one
/// project.
pub(super) fn totals<'a>(projects: impl Iterator<Item = &'a ProjectStatus>, texts: &Texts, now: Moment) -> Vec<Total> {
    let mut sums: Vec<(Window, Decimal, usize)> = Vec::new();
    for project in projects {
        let Some(usage) = project.usage_at(now) else { continue };
        for values in project.windows_at(now) {
            let minutes = decimal(usage.minutes(values, |_| true));
            match sums.iter_mut().find(|(window, ..)| *window == values.window) {
                Some((_, sum, count)) => (*sum, *count) = (sum.saturating_add(minutes), *count + 1),
                None => sums.push((values.window, minutes, 1)),
            }
        }
    }
    let total = |(window, minutes, projects): (Window, Decimal, usize)| Total {
        name: texts.window(window),
        minutes: grouped(minutes.normalize()),
        projects,
    };
    sums.into_iter().map(total).collect()
}
