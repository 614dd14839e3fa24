//! ShowUsageData: reads the parameters of a request, makes the buckets of its range, and answers with one page of them.

use chrono::{DateTime, Days, Duration, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::{
    buckets,
    history::SimulatedProject,
    page,
    parameters::Parameters,
    service::{Changes, List, Service},
};

/// The project id in the path of ShowUsageData; `None` for any other path.
pub(super) fn project_id(path: &str) -> Option<&str> {
    path.strip_prefix("/v1/")?.strip_suffix("/data-analysis").filter(|id| !id.is_empty() && !id.contains('/'))
}

/// The answer of a service to a query, after `earlier` other requests for the same list.
///
/// # Errors
/// The name of the first parameter that is not valid.
pub(super) fn show_usage_data(
    project: &SimulatedProject,
    query: &str,
    service: &Service,
    now: DateTime<Utc>,
    earlier: u32,
) -> Result<Value, String> {
    let parameters = Parameters::parse(query)?;
    if service.oldest.is_some_and(|days| parameters.start < now - Duration::days(days.into())) {
        return Err("start_time".to_owned());
    }
    if service.list == List::Endless {
        return Ok(endless_page(&parameters));
    }
    let buckets = buckets::buckets(project, &parameters, service, now, earlier);
    page::page(buckets, &parameters, service, earlier)
}

/// The parameters of a query that select a list: all parameters but those of paging. Empty if entries stay in place
/// between two requests: then the requests for all lists of a project are counted together.
pub(super) fn list_of(query: &str, service: &Service) -> String {
    if matches!(service.changes, Changes::Nothing | Changes::Grown) {
        return String::new();
    }
    let is_paging = |pair: &&str| pair.starts_with("limit=") || pair.starts_with("offset=");
    query.split('&').filter(|pair| !is_paging(pair)).collect::<Vec<_>>().join("&")
}

/// A full page of rows that no other page has.
fn endless_page(parameters: &Parameters) -> Value {
    let Parameters { limit, offset, start, .. } = parameters;
    let time = |index: usize| {
        let time = start.checked_sub_days(Days::new((offset + index) as u64)).unwrap_or(*start);
        time.to_rfc3339_opts(SecondsFormat::Secs, true)
    };
    let row = json!([{"business_type": "VIDEO_2D", "number": 1, "usage": 1.0, "unit": "MIN"}]);
    let list: Vec<Value> = (0..*limit).map(|index| json!({"time": time(index), "resources_usage": row})).collect();
    json!({"count": 1_000_000, "time_list": list})
}

#[cfg(test)]
mod tests;
