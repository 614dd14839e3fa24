//! ShowUsageData: queries the usage in a range of time, and returns a complete answer or an error.
//!
//! `GET /v1/{project_id}/data-analysis` (contract, 1.1 to 1.5). A poll does not filter by type or unit: the
//! unfiltered answer is complete, and it is undocumented whether `unit` filters or converts.

pub mod pages;
mod range;
pub mod wire;

use tokio::time::Instant;

use self::{
    pages::{Next, Pages},
    range::within,
    wire::Page,
};
use super::{
    client::{ApiRequest, Client},
    error::{Error, Refusal},
    memory::AnswerMemory,
};
use crate::usage::{Bounds, Counters, Operation, Reason, timestamp};

pub use self::{
    pages::{PageRequest, Service},
    range::{Alignment, InRange},
};

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
    /// The parameter `unit`. Only the contract report sends it.
    pub unit: Option<&'a str>,
    /// Entries per page, the API's `limit`: 1 to 1000.
    pub page_size: usize,
}

/// Asks for page after page until the answer is proven to be complete. `service` holds what has been proven before, and
/// is updated by a complete answer.
///
/// # Errors
/// Any [`Error`]: an answer that may be incomplete is an error. After [`Error::Inconsistent`], the service may have
/// changed: the caller forgets what was proven.
pub async fn fetch(
    source: &impl PageSource,
    query: &UsageQuery<'_>,
    service: &mut Service,
    deadline: Instant,
    counters: &mut Counters,
) -> Result<InRange, Error> {
    let memory = source.new_answer();
    let mut pages = Pages::new(query.page_size, memory.max_rows, service.clone());
    let mut request = pages.first();
    loop {
        let page = source.page(query, request, deadline, &memory, counters).await?;
        match pages.add(page)? {
            Next::Ask(next) => request = next,
            Next::Complete => break,
        }
    }
    let (answer, proven) = pages.finish()?;
    if proven.is_near_bound && !service.is_near_bound {
        tracing::warn!(
            project_id = query.project_id,
            "an answer has more than half of the rows or texts that the bounds allow; beyond the bounds, polls fail"
        );
    }
    let mut rows = within(answer.rows, query.range)?;
    rows.memory = memory;
    rows.counters += answer.counters;
    rows.doubts.extend(answer.doubts);
    *service = proven;
    Ok(rows)
}

/// A source of pages: a [`Client`], or a test's model of a service.
pub trait PageSource: Sync {
    /// The memory of a new answer.
    fn new_answer(&self) -> AnswerMemory {
        AnswerMemory::default()
    }

    /// Asks for one page.
    ///
    /// # Errors
    /// Any [`Error`].
    fn page(
        &self,
        query: &UsageQuery<'_>,
        page: PageRequest,
        deadline: Instant,
        memory: &AnswerMemory,
        counters: &mut Counters,
    ) -> impl Future<Output = Result<Page, Error>> + Send;
}

impl PageSource for Client {
    fn new_answer(&self) -> AnswerMemory {
        Client::new_answer(self)
    }

    async fn page(
        &self,
        query: &UsageQuery<'_>,
        page: PageRequest,
        deadline: Instant,
        memory: &AnswerMemory,
        counters: &mut Counters,
    ) -> Result<Page, Error> {
        let (limit, offset) = (page.limit.to_string(), page.offset.to_string());
        let (start, end) = (timestamp(query.range.start), timestamp(query.range.end));
        let mut parameters =
            vec![("start_time", &*start), ("end_time", &*end), ("limit", &*limit), ("offset", &*offset)];
        parameters.extend(query.user_id.map(|id| ("user_id", id)));
        parameters.extend(query.unit.map(|unit| ("unit", unit)));
        let mut headers = vec![("x-project-id", query.project_id)];
        headers.extend(query.app_user_id.map(|id| ("x-app-userid", id)));
        let path = format!("/v1/{}/data-analysis", query.project_id);
        let request = ApiRequest {
            query: &parameters,
            headers: &headers,
            advice,
            ..ApiRequest::get(Operation::ShowUsageData, self.endpoint(), &path, memory)
        };
        let success = self.send(request, deadline, counters).await?;
        let mut page = Page::parse(&success.body).map_err(|cause| success.malformed("usage data", cause))?;
        page.hide(&success.secrets);
        Ok(page)
    }
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
