//! The sub-users of a project, with their quotas.

use std::cmp::Reverse;

use super::source::Source;
use crate::{
    cloud::{Error, lists::PagedList, quotas_api},
    snapshot::SubUsers,
    usage::{CollectorDoubts, sub_user_doubts, used_by_all},
};

pub(super) async fn collect(source: Source<'_>) -> Result<(SubUsers, CollectorDoubts), Error> {
    let Source { mut call, project_id, now: _ } = source;
    let mut list = quotas_api::sub_users(project_id).all(&mut call).await?;
    let used = used_by_all(&list)?;
    // Only the first users have series of their own. Alerts need the users that are near their limit, so these come
    // first.
    list.sort_by_cached_key(|user| (Reverse(user.largest_part()), user.id.clone()));
    let doubts = sub_user_doubts(&list);
    Ok((SubUsers { list, used }, doubts))
}
