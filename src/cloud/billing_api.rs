//! The billing service (BSS): the pay-per-use packages of an account, and the units of their amounts.
//!
//! `POST /v3/payments/free-resources/query` and `GET /v2/bases/measurements` (contract, 17). It has one host for all
//! regions of a site, and answers for an account, not for a project.

mod measures;
mod wire;

use bytes::Bytes;
use reqwest::Method;
use serde_json::{Value, json};

use self::wire::PackageJson;
pub use self::{
    measures::Measures,
    wire::{ListedPackage, united},
};
use super::{
    client::{ApiRequest, Call},
    error::{Error, Refusal},
    json::Unreadable,
    listing::{Entry, ListPage},
    lists::{self, PagedList},
    memory::AnswerMemory,
    secrets::Secrets,
};
use crate::usage::Operation;

/// Names of units come in this language. Without this header they are Chinese.
const LANGUAGE: (&str, &str) = ("x-language", "en_US");

/// The packages of an account that are outside of enterprise projects, or the packages in one enterprise project. One
/// request never answers for both. The list has packages of all services.
#[derive(Clone, Copy, Debug)]
pub struct PackagesQuery<'a> {
    /// The account's id, configured or looked up.
    pub account_id: &'a str,
    /// The enterprise project; `None` means outside of all enterprise projects.
    pub enterprise_project: Option<&'a str>,
}

impl PagedList for PackagesQuery<'_> {
    type Entry = ListedPackage;

    async fn page(
        &self,
        call: &mut Call<'_>,
        offset: usize,
        memory: &AnswerMemory,
    ) -> Result<ListPage<ListedPackage>, Error> {
        let mut body = json!({"offset": offset, "limit": ListedPackage::LIMIT});
        if let (Some(id), Some(body)) = (self.enterprise_project, body.as_object_mut()) {
            body.insert("enterprise_project_id".to_owned(), Value::from(id));
        }
        let request = ApiRequest {
            operation: Operation::ListFreeResourceInfos,
            endpoint: call.client.endpoint(),
            method: Method::POST,
            path: "/v3/payments/free-resources/query",
            query: &[],
            headers: &[("x-domain-id", self.account_id), LANGUAGE, ("content-type", "application/json")],
            body: Bytes::from(body.to_string()),
            memory,
            advice,
        };
        let success = call.send(request).await?;
        page(&success.body, &success.secrets).map_err(|cause| success.malformed("a list of packages", cause))
    }
}

/// Reads one page of the list.
pub(super) fn page(body: &[u8], secrets: &Secrets) -> Result<ListPage<ListedPackage>, Unreadable> {
    ListPage::read::<PackageJson<'_>>(body, secrets)
}

/// The units of the billing service.
///
/// # Errors
/// Any [`Error`] of the request.
pub async fn measures(account_id: &str, call: &mut Call<'_>) -> Result<Measures, Error> {
    let (client, memory) = (call.client, call.client.new_answer());
    let request = ApiRequest {
        headers: &[("x-domain-id", account_id), LANGUAGE],
        advice,
        ..ApiRequest::get(Operation::ListMeasureUnits, client.endpoint(), "/v2/bases/measurements", &memory)
    };
    let success = call.send(request).await?;
    let measures = Measures::parse(&success.body, &success.secrets);
    measures.map_err(|cause| success.malformed("a list of units", cause))
}

fn advice(refusal: &Refusal) -> Option<&'static str> {
    lists::advice(
        refusal,
        "The user may not see packages: grant it billing:resourcePackages:view, or remove the account from accounts",
        "The billing service does not know this operation: check site and endpoint of the account",
    )
}
