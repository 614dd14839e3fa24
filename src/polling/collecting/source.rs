//! The arguments of one run of a collector.

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use crate::{cloud::Client, usage::Counters};

/// The project or account to ask for, in one run of a collector.
pub(super) struct Source<'a> {
    pub client: &'a Client,
    /// The id of the project or account.
    pub project_id: &'a str,
    /// The time of the run.
    pub now: DateTime<Utc>,
    pub deadline: Instant,
    pub counters: &'a mut Counters,
}
