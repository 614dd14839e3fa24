//! The live sessions and videos of a project.

use chrono::{SubsecRound, TimeDelta};

use super::source::Source;
use crate::{
    cloud::{Error, jobs_api, lists::PagedList},
    usage::{CollectorDoubts, ListedJobs, Sessions},
};

/// Failed videos are counted if they were created within this time before the run.
const FAILED_SINCE: TimeDelta = TimeDelta::hours(24);

pub(super) async fn collect(source: Source<'_>) -> Result<(Sessions, CollectorDoubts), Error> {
    let Source { mut call, project_id, now } = source;
    // The service is asked in whole seconds.
    let failed_since = (now - FAILED_SINCE).trunc_subsecs(0);
    let live = jobs_api::running_sessions(project_id).all(&mut call).await?;
    let queued = jobs_api::queued_videos(project_id).all(&mut call).await?;
    let failed = jobs_api::failed_videos(project_id, failed_since).all(&mut call).await?;
    let listed = ListedJobs { live, queued, failed, failed_since };
    Ok((Sessions::new(&listed), listed.doubts()))
}
