//! The lists of all operations other than ShowUsageData. The documentation leaves open the same things about each of
//! these lists, so they share their code and settings.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::{
    history::SimulatedProject,
    parameters::Values,
    service::{Changes, Count, Empty, Numbers, Offset, Service},
};

/// A request for one of the operations.
pub(super) struct Request<'a> {
    pub project: &'a SimulatedProject,
    pub values: Values,
    pub service: &'a Service,
    pub now: DateTime<Utc>,
}

/// The answer of an operation.
pub(super) enum Answer {
    /// One page of a list.
    List {
        /// The name of the list.
        name: &'static str,
        rows: Vec<Value>,
        /// A row that is inserted before the first one.
        inserted: fn(u32) -> Value,
    },
    Object(Value),
}

/// A page of a list, with the number of all rows.
pub(super) struct PageOfRows {
    pub all: usize,
    pub page: Vec<Value>,
}

/// Applies the changes of `earlier` requests to a list, and cuts a page out of it.
pub(super) fn cut(
    service: &Service,
    mut rows: Vec<Value>,
    inserted: impl Fn(u32) -> Value,
    earlier: u32,
    limit: usize,
    offset: usize,
) -> PageOfRows {
    for change in 0..earlier {
        match service.changes {
            Changes::Deleted if !rows.is_empty() => drop(rows.remove(0)),
            Changes::Inserted => rows.insert(0, inserted(change)),
            _ => {}
        }
    }
    let limit = service.cap.map_or(limit, |cap| limit.min(cap.into()));
    let start = match service.offset {
        Offset::FromZero => offset,
        Offset::FromOne => offset.saturating_sub(1),
        Offset::Pages => offset.saturating_mul(limit),
        Offset::Ignored | Offset::Everything => 0,
    };
    PageOfRows { all: rows.len(), page: rows.into_iter().skip(start).take(limit).collect() }
}

/// One page of a list.
///
/// # Errors
/// The name of the first parameter that is not valid.
pub(super) fn page(
    request: &Request<'_>,
    name: &str,
    rows: Vec<Value>,
    inserted: fn(u32) -> Value,
    earlier: u32,
) -> Result<Value, String> {
    let Request { values, service, .. } = request;
    let limit = values.number("limit", 10, 1..=100)?;
    let offset = values.number("offset", 0, 0..=i32::MAX as usize)?;
    let PageOfRows { all, page } = cut(service, rows, inserted, earlier, limit, offset);
    let mut answer = Map::new();
    if service.count != Count::Absent {
        // `count` is a number with decimals (contract, 12).
        answer.insert("count".to_owned(), number(service, all as f64));
    }
    let list = match service.empty {
        Empty::Absent if page.is_empty() => None,
        Empty::Null if page.is_empty() => Some(Value::Null),
        _ => Some(page.into()),
    };
    answer.extend(list.map(|list| (name.to_owned(), list)));
    Ok(Value::Object(answer))
}

/// A number, as the service writes it.
pub(super) fn number(service: &Service, number: f64) -> Value {
    match service.numbers {
        Numbers::Decimals => number.into(),
        Numbers::Integers if number.fract() == 0.0 => json!(number as i64),
        Numbers::Integers => number.into(),
        Numbers::Texts => number.to_string().into(),
        Numbers::Words => "many".into(),
    }
}
