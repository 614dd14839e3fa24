//! ListTenantResources: the packages that a project has bought, or that were allocated to it.
//!
//! `GET /v1/{project_id}/tenants/resources` (contract, 12). Pay-per-use packages are not in it: those are in the billing
//! service.

mod wire;

use bytes::Bytes;
use reqwest::Method;
use tokio::time::Instant;

use super::{
    client::{ApiRequest, Client},
    error::{Error, Refusal},
    listing::{LIMIT, Listing},
};
use crate::usage::{Counters, Operation, Package, Reason};

/// There is no value for all sources.
const SOURCES: &str = "PURCHASED,SP_ALLOCATED,ADMIN_ALLOCATED";

/// All packages of a project.
///
/// # Errors
/// Any [`Error`]: a list that may be incomplete is an error.
pub async fn packages(
    client: &Client,
    project_id: &str,
    deadline: Instant,
    counters: &mut Counters,
) -> Result<Vec<Package>, Error> {
    let (memory, limit) = (client.new_answer(), LIMIT.to_string());
    let mut listing = Listing::new("packages");
    loop {
        let offset = listing.offset().to_string();
        let request = ApiRequest {
            operation: Operation::ListTenantResources,
            endpoint: client.endpoint(),
            method: &Method::GET,
            path: &format!("/v1/{project_id}/tenants/resources"),
            query: &[("resource_source", SOURCES), ("limit", &*limit), ("offset", &*offset)],
            headers: &[("x-project-id", project_id)],
            body: &Bytes::new(),
            memory: &memory,
            advice,
        };
        let success = client.send(request, deadline, counters).await?;
        let page = wire::parse(&success.body, &success.secrets);
        if listing.add(page.map_err(|cause| success.malformed("a list of packages", cause))?)? {
            return Ok(listing.finish());
        }
    }
}

fn advice(refusal: &Refusal) -> Option<&'static str> {
    match refusal.reason() {
        Reason::Forbidden => Some(
            "The user may not list packages: grant it the access policy of MetaStudio, or remove packages from collect",
        ),
        Reason::BadRequest if refusal.status == 404 => {
            Some("The service does not know this operation in this region: remove packages from collect")
        }
        _ => None,
    }
}
