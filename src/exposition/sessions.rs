//! The table of the metric families of live sessions and videos.

use super::family::{Family, ProjectView, gauge, seconds};
use crate::{
    snapshot::Found,
    usage::{Collector, Sessions},
};

/// The families of live sessions and videos.
pub(super) static FAMILIES: &[Family] = &[
    gauge(
        "metastudio_live_sessions",
        "Running live sessions by the way they are charged, as of the last complete run of the collector.",
        |lines, view| {
            for (mode, number) in found(view).into_iter().flat_map(|found| &found.live) {
                lines.count([COLLECTOR, ("charging_mode", mode.as_str())], *number);
            }
        },
    ),
    gauge(
        "metastudio_live_session_oldest_start_timestamp_seconds",
        "Unix time at which the oldest live session started. Absent if none runs.",
        |lines, view| {
            if let Some(start) = found(view).and_then(|found| found.oldest_start) {
                lines.sample([COLLECTOR], seconds(start));
            }
        },
    )
    .unit("seconds"),
    gauge(
        "metastudio_live_session_max_duration_seconds",
        "Configured time that a live session may run.",
        |lines, view| {
            if view.project.target.collect.contains_key(&Collector::Sessions) {
                lines.sample([COLLECTOR], view.project.target.max_session.as_secs_f64());
            }
        },
    )
    .unit("seconds"),
    gauge(
        "metastudio_videos",
        "Videos that wait or are in production, and those of the last 24 hours that failed, by state.",
        |lines, view| {
            for (state, number) in found(view).into_iter().flat_map(|found| &found.videos) {
                lines.count([COLLECTOR, ("state", state.as_str())], *number);
            }
        },
    ),
];

const COLLECTOR: (&str, &str) = ("collector", "sessions");

fn found<'a>(view: &ProjectView<'a>) -> Option<&'a Sessions> {
    match view.found(Collector::Sessions)? {
        Found::Sessions(found) => Some(found),
        _ => None,
    }
}
