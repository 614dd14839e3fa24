//! ListTenantResources: the packages that a project has bought, or that were allocated to it.
//!
//! `GET /v1/{project_id}/tenants/resources` (contract, 12). Pay-per-use packages are not in this list, but in the
//! billing service.

mod wire;

use self::wire::TenantResourceJson;
use super::{
    error::Refusal,
    json::Unreadable,
    listing::ListPage,
    lists::{self, ListQuery},
    secrets::Secrets,
};
use crate::usage::{Operation, Package};

/// The API has no value that means all sources.
const SOURCES: &str = "PURCHASED,SP_ALLOCATED,ADMIN_ALLOCATED";

/// The list of all packages of a project.
pub(crate) fn packages(project_id: &str) -> ListQuery<'_, Package> {
    ListQuery {
        operation: Operation::ListTenantResources,
        project_id,
        path: "tenants/resources",
        filter: vec![("resource_source", SOURCES.to_owned())],
        parse: page,
        is_secret: false,
        advice,
    }
}

/// Reads one page of the list.
pub(super) fn page(body: &[u8], secrets: &Secrets) -> Result<ListPage<Package>, Unreadable> {
    ListPage::read::<TenantResourceJson<'_>>(body, secrets)
}

fn advice(refusal: &Refusal) -> Option<&'static str> {
    lists::advice(
        refusal,
        "The user may not list packages: grant it the access policy of MetaStudio, or remove packages and reconciliation from collect",
        "The service does not know this operation in this region: remove packages and reconciliation from collect",
    )
}
