//! ShowUsageData: a query over a range of time becomes a complete answer.
//!
//! `GET /v1/{project_id}/data-analysis` (contract, 1.1 to 1.5). Filters are not sent: whether `unit` filters or
//! converts is undocumented, and what comes back unfiltered is complete.

pub mod pages;
pub mod wire;

use chrono::{DateTime, SecondsFormat, Utc};
use tokio::time::Instant;

use self::{
    pages::{Next, Pages},
    wire::Page,
};
use super::{
    client::Client,
    error::{Error, Service},
};
use crate::usage::{Bounds, Counters};

pub use self::pages::{Answer, Doubt};

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct UsageQuery<'a> {
    /// The project's id in its region.
    pub project_id: &'a str,
    /// The range of time; the API takes whole seconds.
    pub range: Bounds,
    /// Only this sub-account user.
    pub user_id: Option<&'a str>,
    /// The third-party user, header `X-App-UserId`.
    pub app_user_id: Option<&'a str>,
}

/// Asks for page after page until the answer is complete.
///
/// # Errors
/// Any [`Error`]: an answer is complete or it is none.
pub async fn fetch(
    client: &Client,
    query: &UsageQuery<'_>,
    deadline: Instant,
    counters: &mut Counters,
) -> Result<Answer, Error> {
    let mut pages = Pages::new(client.page_size(), query.range.end);
    let mut offset = 0;
    loop {
        let page = fetch_page(client, query, offset, deadline, counters).await?;
        match pages.add(page)? {
            Next::Offset(next) => offset = next,
            Next::Complete => return Ok(pages.answer),
        }
    }
}

/// Asks for the first page alone, to see whether it comes; says how many rows it has.
///
/// # Errors
/// As [`fetch`].
pub async fn try_out(
    client: &Client,
    query: &UsageQuery<'_>,
    deadline: Instant,
    counters: &mut Counters,
) -> Result<usize, Error> {
    Ok(fetch_page(client, query, 0, deadline, counters).await?.rows.len())
}

async fn fetch_page(
    client: &Client,
    query: &UsageQuery<'_>,
    offset: usize,
    deadline: Instant,
    counters: &mut Counters,
) -> Result<Page, Error> {
    let path = format!("/v1/{}/data-analysis", query.project_id);
    let (limit, offset) = (client.page_size().to_string(), offset.to_string());
    let (start, end) = (timestamp(query.range.start), timestamp(query.range.end));
    let mut parameters = vec![("start_time", &*start), ("end_time", &*end), ("limit", &*limit), ("offset", &*offset)];
    parameters.extend(query.user_id.map(|id| ("user_id", id)));
    let mut headers = vec![("x-project-id", query.project_id)];
    headers.extend(query.app_user_id.map(|id| ("x-app-userid", id)));
    let response = client.get(Service::MetaStudio, &path, &parameters, &headers, deadline, counters).await?;
    Page::parse(&response.body).map_err(|error| response.malformed(&error))
}

/// An instant in the only form that the API page shows.
pub fn timestamp(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Secs, true)
}
