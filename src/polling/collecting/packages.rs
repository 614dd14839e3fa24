//! The packages of a project.

use chrono::{DateTime, Utc};

use super::source::Source;
use crate::{
    cloud::{Error, lists::PagedList, resources_api},
    snapshot::Packages,
    usage::{CollectorDoubts, Package, package_doubts, package_sums},
};

pub(super) async fn collect(source: Source<'_>) -> Result<(Packages, CollectorDoubts), Error> {
    let Source { mut call, project_id, now } = source;
    let mut list = resources_api::packages(project_id).all(&mut call).await?;
    let sums = package_sums(&list)?;
    let doubts = package_doubts(&list, &sums);
    list.sort_by_cached_key(|package| order(package, now));
    Ok((Packages { list, sums }, doubts))
}

/// Packages that end in the future come first, the earliest end first. Packages without an end follow, and then
/// packages that have ended, the latest end first.
pub(super) fn order(package: &Package, now: DateTime<Utc>) -> (u8, i64, String) {
    let end = package.expiry.map(|expiry| expiry.timestamp());
    let (group, time) = match end {
        Some(end) if end > now.timestamp() => (0, end),
        None => (1, 0),
        Some(end) => (2, -end),
    };
    (group, time, package.id.clone())
}
