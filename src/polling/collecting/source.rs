//! What a collector asks with.

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use crate::{cloud::Client, usage::Counters};

/// The project to ask for, in one run of a collector.
pub(super) struct Source<'a> {
    pub client: &'a Client,
    pub project_id: &'a str,
    /// The time of the run.
    pub now: DateTime<Utc>,
    pub deadline: Instant,
    pub counters: &'a mut Counters,
}
