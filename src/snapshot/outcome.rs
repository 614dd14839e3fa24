//! The outcome of one poll.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};

use super::moment::Moment;
use crate::usage::{Bounds, Counters, Days, Doubts, Reason, Tally, Window};

/// One poll of a project: its result, its duration and its requests.
#[derive(Clone, Debug)]
pub struct PollOutcome {
    /// Start of the poll.
    pub at: Moment,
    /// Duration of the poll.
    pub duration: Duration,
    /// All windows, or the reason for the failure.
    pub result: Result<Vec<WindowUsage>, Failure>,
    /// The doubts about the usage; none if the poll failed.
    pub doubts: Doubts,
    /// With `user_ids: all`, the sub-users that have series of their own, if the poll succeeded. Otherwise `None`.
    pub sub_users: Option<BTreeSet<String>>,
    /// Requests of the poll. Rows are counted in a complete poll only.
    pub counters: Counters,
    /// The project's id, configured or looked up, if it is known.
    pub project_id: Option<Arc<str>>,
    /// Expiry of the credentials used last, if they expire.
    pub credentials_expiry: Option<DateTime<Utc>>,
}

impl PollOutcome {
    /// An outcome with nothing but its result: no doubts, no requests, no project id, no expiry.
    pub fn new(at: impl Into<Moment>, duration: Duration, result: Result<Vec<WindowUsage>, Failure>) -> Self {
        PollOutcome {
            at: at.into(),
            duration,
            result,
            doubts: Doubts::new(),
            sub_users: None,
            counters: Counters::default(),
            project_id: None,
            credentials_expiry: None,
        }
    }
}

/// The sums of one window.
#[derive(Clone, Debug)]
pub struct WindowUsage {
    /// The window.
    pub window: Window,
    /// Its nominal bounds at the poll.
    pub bounds: Bounds,
    /// The time from which the window has other bounds; `None` for a rolling window.
    pub changes_at: Option<DateTime<Utc>>,
    /// Its sums.
    pub tally: Tally,
    /// Minutes of each day; only for `this_month`, and only if the answer distinguishes days.
    pub days: Option<Days>,
}

/// The reason why a poll failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The value of the label `reason`.
    pub reason: Reason,
    /// The error and what to do, for people.
    pub message: String,
}
