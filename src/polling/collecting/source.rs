//! The arguments of one run of a collector.

use chrono::{DateTime, Utc};

use crate::cloud::Call;

/// The project or account to ask for, in one run of a collector.
pub(super) struct Source<'a> {
    pub call: Call<'a>,
    /// The id of the project or account.
    pub project_id: &'a str,
    /// The time of the run.
    pub now: DateTime<Utc>,
}
