//! The live sessions and videos of a project.

use chrono::TimeDelta;

use super::source::Source;
use crate::{
    cloud::{Error, jobs_api},
    usage::Sessions,
};

/// Failed videos are counted if they were created in this time.
const FAILED_SINCE: TimeDelta = TimeDelta::hours(24);

pub(super) async fn collect(source: Source<'_>) -> Result<Sessions, Error> {
    let Source { client, project_id, now, deadline, counters } = source;
    let live = jobs_api::running_sessions(client, project_id, deadline, counters).await?;
    let queued = jobs_api::queued_videos(client, project_id, deadline, counters).await?;
    let failed = jobs_api::failed_videos(client, project_id, now - FAILED_SINCE, deadline, counters).await?;
    Ok(Sessions::new(&live, &queued, &failed))
}
