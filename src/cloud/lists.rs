//! Asks for all pages of a list. All operations with pages use it, except ShowUsageData (contract, 12).

pub(crate) use super::listing::{Entry, ListPage};
use super::{
    client::{ApiRequest, Call},
    error::{Advice, Error, Refusal},
    json::Unreadable,
    listing::Listing,
    memory::AnswerMemory,
    secrets::Secrets,
};
use crate::usage::{Operation, Reason};

/// A list that comes in pages.
pub(crate) trait PagedList: Sync {
    type Entry: Entry;

    /// One page, of at most [`Entry::LIMIT`] entries.
    ///
    /// # Errors
    /// Any [`Error`].
    fn page(
        &self,
        call: &mut Call<'_>,
        offset: usize,
        memory: &AnswerMemory,
    ) -> impl Future<Output = Result<ListPage<Self::Entry>, Error>> + Send;

    /// All entries. A list that has changed between two pages is asked for once more.
    ///
    /// # Errors
    /// Any [`Error`]: a list that may be incomplete is an error.
    fn all(&self, call: &mut Call<'_>) -> impl Future<Output = Result<Vec<Self::Entry>, Error>> + Send {
        async move {
            match read(self, call).await {
                Err(Error::Inconsistent(_)) => read(self, call).await,
                result => result,
            }
        }
    }
}

async fn read<P: PagedList + ?Sized>(list: &P, call: &mut Call<'_>) -> Result<Vec<P::Entry>, Error> {
    let memory = call.client.new_answer();
    let mut listing = Listing::new();
    loop {
        let offset = listing.offset();
        let page = list.page(call, offset, &memory).await?;
        if listing.add(page)? {
            return Ok(listing.finish());
        }
    }
}

/// Reads the body of a page.
pub(super) type Parse<T> = fn(&[u8], &Secrets) -> Result<ListPage<T>, Unreadable>;

/// A list of a project, and how to read its pages.
pub(crate) struct ListQuery<'a, T> {
    pub(super) operation: Operation,
    pub(super) project_id: &'a str,
    /// The path after the project's id, such as `tenants/resources`.
    pub(super) path: &'a str,
    /// The parameters without `limit` and `offset`.
    pub(super) filter: Vec<(&'static str, String)>,
    /// Reads the body of a page.
    pub(super) parse: Parse<T>,
    /// Whether messages must not quote an answer, because it holds tokens.
    pub(super) is_secret: bool,
    pub(super) advice: Advice,
}

impl<T: Entry> PagedList for ListQuery<'_, T> {
    type Entry = T;

    async fn page(&self, call: &mut Call<'_>, offset: usize, memory: &AnswerMemory) -> Result<ListPage<T>, Error> {
        let (limit, offset) = (T::LIMIT.to_string(), offset.to_string());
        let mut query: Vec<_> = self.filter.iter().map(|(name, value)| (*name, value.as_str())).collect();
        query.extend([("limit", &*limit), ("offset", &*offset)]);
        let path = format!("/v1/{}/{}", self.project_id, self.path);
        let request = ApiRequest {
            query: &query,
            headers: &[("x-project-id", self.project_id)],
            advice: self.advice,
            ..ApiRequest::get(self.operation, call.client.endpoint(), &path, memory)
        };
        let success = call.send(request).await?;
        (self.parse)(&success.body, &success.secrets).map_err(|cause| {
            let expected = format!("a list of {}", T::PLURAL);
            if self.is_secret {
                success.malformed_secret(&expected, cause)
            } else {
                success.malformed(&expected, cause)
            }
        })
    }
}

/// What to do about a refusal: `forbidden` if the user may not call the operation, `unknown` if the service does not
/// know the operation.
pub(super) fn advice(refusal: &Refusal, forbidden: &'static str, unknown: &'static str) -> Option<&'static str> {
    match refusal.reason() {
        Reason::Forbidden => Some(forbidden),
        Reason::BadRequest if refusal.status == 404 => Some(unknown),
        _ => None,
    }
}
