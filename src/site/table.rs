//! The table of one project for one month, from the days that are kept.

use chrono::NaiveDate;
use hyper::{
    Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_DISPOSITION, HeaderValue},
};
use tokio::sync::{mpsc, oneshot};

use super::response::{ok, plain};
use crate::exposition::Body;

const CSV: &str = "text/csv; charset=utf-8";

/// A request for the table of a month.
#[derive(Debug)]
pub struct TableRequest {
    /// The project.
    pub project: String,
    /// The first day of the month.
    pub month: NaiveDate,
    /// Receives the table as CSV, or the reason why there is none. `None` if no project of this name has days.
    pub answer: oneshot::Sender<Option<Result<String, String>>>,
}

/// The project and the month of an address.
fn parse(query: &str) -> Option<(String, NaiveDate)> {
    let value = |wanted: &str| {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned())
    };
    let month = value("month").filter(|month| month.len() == "2026-10".len())?;
    Some((value("project")?, format!("{month}-01").parse().ok()?))
}

/// The address of a table, relative to the status page.
pub(in crate::site) fn address(project: &str, month: NaiveDate) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("project", project).append_pair("month", &month.format("%Y-%m").to_string());
    format!("./table?{}", query.finish())
}

/// The table of a request, with its month.
///
/// # Errors
/// If there is no table: the answer to the client.
pub(super) async fn table(
    query: Option<&str>,
    tables: Option<&mpsc::Sender<TableRequest>>,
) -> Result<(String, NaiveDate), Response<Body>> {
    let Some(tables) = tables else {
        let text = "This exporter keeps no days. Start it with --storage.path to have tables.\n";
        return Err(plain(StatusCode::NOT_FOUND, text));
    };
    let Some((project, month)) = parse(query.unwrap_or_default()) else {
        let text = "Expected a project and a month, such as ?project=studio&month=2026-10.\n";
        return Err(plain(StatusCode::BAD_REQUEST, text));
    };
    let (answer, answered) = oneshot::channel();
    let request = TableRequest { project, month, answer };
    let table = match tables.send(request).await {
        Ok(()) => answered.await.ok(),
        Err(_) => None,
    };
    Err(match table {
        Some(Some(Ok(csv))) => return Ok((csv, month)),
        Some(Some(Err(problem))) => plain(StatusCode::INTERNAL_SERVER_ERROR, &format!("{problem}\n")),
        Some(None) => plain(StatusCode::NOT_FOUND, "There is no such project, or its days are not known yet.\n"),
        None => plain(StatusCode::SERVICE_UNAVAILABLE, "Shutting down.\n"),
    })
}

/// The answer with a table.
pub(super) fn answer(body: Body, month: NaiveDate) -> Response<Body> {
    let mut response = ok(CSV, body);
    let name = format!("attachment; filename=\"metastudio-{}.csv\"", month.format("%Y-%m"));
    if let Ok(name) = HeaderValue::from_str(&name) {
        response.headers_mut().insert(CONTENT_DISPOSITION, name);
    }
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_again() {
        let month = "2026-02-01".parse().unwrap();
        let address = address("a&b=\"c\" %", month);
        let query = address.strip_prefix("./table?").unwrap();
        assert_eq!(parse(query), Some(("a&b=\"c\" %".to_owned(), month)));
        for odd in
            ["", "project=a", "month=2026-02", "project=a&month=2026-2", "project=a&month=2026-13", "project=a&month=x"]
        {
            assert_eq!(parse(odd), None, "{odd}");
        }
    }
}
