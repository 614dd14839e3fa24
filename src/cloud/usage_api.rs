//! ShowUsageData: queries the usage in a range of time, and returns a complete answer or an error.
//!
//! `GET /v1/{project_id}/data-analysis` (contract, 1.1 to 1.5). Filters are not sent: the unfiltered answer is
//! complete, and it is undocumented whether `unit` filters or converts.

pub mod pages;
pub mod wire;

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use reqwest::Method;
use tokio::time::Instant;

use self::{
    pages::{Next, Pages},
    wire::Page,
};
use super::{
    client::{ApiRequest, Client},
    error::{Error, Refusal},
};
use crate::usage::{Bounds, Counters, Operation, Reason};

pub use self::pages::{Answer, Doubt};

/// A query for the usage of one project.
#[derive(Clone, Copy, Debug)]
pub struct UsageQuery<'a> {
    /// The project's id in its region.
    pub project_id: &'a str,
    /// The range of time; the API takes whole seconds.
    pub range: Bounds,
    /// The sub-account user to query; `None` queries all users.
    pub user_id: Option<&'a str>,
    /// The third-party user, header `X-App-UserId`.
    pub app_user_id: Option<&'a str>,
    /// Entries a page, the API's `limit`: 1 to 1000.
    pub page_size: usize,
}

/// Asks for page after page until the answer is complete.
///
/// # Errors
/// Any [`Error`]: an incomplete answer is an error.
pub async fn fetch(
    client: &Client,
    query: &UsageQuery<'_>,
    deadline: Instant,
    counters: &mut Counters,
) -> Result<Answer, Error> {
    let mut pages = Pages::new(query.page_size, query.range.end);
    let mut offset = 0;
    loop {
        let page = fetch_page(client, query, offset, deadline, counters).await?;
        match pages.add(page)? {
            Next::Offset(next) => offset = next,
            Next::Complete => return Ok(pages.answer),
        }
    }
}

/// Asks for one page, which begins at `offset` entries.
///
/// # Errors
/// Any [`Error`].
pub async fn fetch_page(
    client: &Client,
    query: &UsageQuery<'_>,
    offset: usize,
    deadline: Instant,
    counters: &mut Counters,
) -> Result<Page, Error> {
    let (limit, offset) = (query.page_size.to_string(), offset.to_string());
    let (start, end) = (timestamp(query.range.start), timestamp(query.range.end));
    let mut parameters = vec![("start_time", &*start), ("end_time", &*end), ("limit", &*limit), ("offset", &*offset)];
    parameters.extend(query.user_id.map(|id| ("user_id", id)));
    let mut headers = vec![("x-project-id", query.project_id)];
    headers.extend(query.app_user_id.map(|id| ("x-app-userid", id)));
    let request = ApiRequest {
        operation: Operation::ShowUsageData,
        endpoint: client.endpoint(),
        method: &Method::GET,
        path: &format!("/v1/{}/data-analysis", query.project_id),
        query: &parameters,
        headers: &headers,
        body: &Bytes::new(),
        advice,
    };
    let success = client.send(request, deadline, counters).await?;
    Page::parse(&success.body).map_err(|cause| success.malformed("usage data", cause))
}

fn advice(refusal: &Refusal) -> Option<&'static str> {
    match refusal.reason() {
        Reason::Forbidden => {
            Some("The user lacks permission: grant it the access policy of MetaStudio in this project")
        }
        Reason::BadRequest if refusal.status != 404 => {
            Some("Check the windows (the service may limit how far back they reach) and the project id")
        }
        _ => None,
    }
}

/// Formats an instant in the only form that the API page shows, such as `2025-11-08T09:30:00Z`.
pub fn timestamp(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Secs, true)
}
