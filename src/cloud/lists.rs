//! Asks for all pages of a list, in the way that the operations beside ShowUsageData share (contract, 12).

use bytes::Bytes;
use reqwest::Method;
use tokio::time::Instant;

use super::{
    client::{ApiRequest, Client},
    error::{Advice, Error, Refusal},
    json::Unreadable,
    listing::{Entry, LIMIT, Listing, Page},
    secrets::Secrets,
};
use crate::usage::{Counters, Operation, Reason};

/// A list, and how to read its pages.
pub(super) struct ListQuery<'a, T> {
    pub operation: Operation,
    pub project_id: &'a str,
    /// The path after the project's id, such as `tenants/resources`.
    pub path: &'a str,
    /// The parameters without `limit` and `offset`.
    pub filter: &'a [(&'a str, &'a str)],
    /// Reads the body of a page.
    pub parse: fn(&[u8], &Secrets) -> Result<Page<T>, Unreadable>,
    /// Whether no message may quote an answer, because the cloud sends tokens in it.
    pub is_secret: bool,
    pub advice: Advice,
}

impl<T: Entry> ListQuery<'_, T> {
    /// All entries. A list that has changed between two pages is asked for once more.
    ///
    /// # Errors
    /// Any [`Error`]: a list that may be incomplete is an error.
    pub async fn all(&self, client: &Client, deadline: Instant, counters: &mut Counters) -> Result<Vec<T>, Error> {
        match self.pages(client, deadline, counters).await {
            Err(Error::Inconsistent(_)) => self.pages(client, deadline, counters).await,
            result => result,
        }
    }

    async fn pages(&self, client: &Client, deadline: Instant, counters: &mut Counters) -> Result<Vec<T>, Error> {
        let (memory, limit) = (client.new_answer(), LIMIT.to_string());
        let path = format!("/v1/{}/{}", self.project_id, self.path);
        let mut listing = Listing::new();
        loop {
            let offset = listing.offset().to_string();
            let query = [self.filter, &[("limit", &*limit), ("offset", &*offset)]].concat();
            let request = ApiRequest {
                operation: self.operation,
                endpoint: client.endpoint(),
                method: &Method::GET,
                path: &path,
                query: &query,
                headers: &[("x-project-id", self.project_id)],
                body: &Bytes::new(),
                memory: &memory,
                advice: self.advice,
            };
            let success = client.send(request, deadline, counters).await?;
            let page = (self.parse)(&success.body, &success.secrets).map_err(|cause| {
                let expected = format!("a list of {}", T::PLURAL);
                if self.is_secret {
                    success.malformed_secret(&expected, cause)
                } else {
                    success.malformed(&expected, cause)
                }
            })?;
            if listing.add(page)? {
                return Ok(listing.finish());
            }
        }
    }
}

/// What to do about a refusal: one text if the user may not call the operation, and one if the service does not know it.
pub(super) fn advice(refusal: &Refusal, forbidden: &'static str, unknown: &'static str) -> Option<&'static str> {
    match refusal.reason() {
        Reason::Forbidden => Some(forbidden),
        Reason::BadRequest if refusal.status == 404 => Some(unknown),
        _ => None,
    }
}
