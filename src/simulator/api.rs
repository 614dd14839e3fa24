//! ShowUsageData: its parameters, buckets and pages (contract, 1).

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Days, NaiveTime, SecondsFormat, TimeZone, Utc};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::{
    faults::FaultKind,
    history::{self, SimulatedProject, USERS},
    options::Paging,
};

/// The project id in the path of ShowUsageData; `None` for any other path.
pub(super) fn project_id(path: &str) -> Option<&str> {
    path.strip_prefix("/v1/")?.strip_suffix("/data-analysis").filter(|id| !id.is_empty() && !id.contains('/'))
}

/// The answer to a query.
///
/// # Errors
/// The name of the first parameter that is not valid.
pub(super) fn show_usage_data(
    project: &SimulatedProject,
    query: &str,
    paging: Paging,
    fault: Option<FaultKind>,
) -> Result<Value, String> {
    let parameters: HashMap<String, String> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (decode(key), decode(value)))
        .collect();
    let number = |name: &str, default: usize, least: usize, most: usize| {
        let value = parameters.get(name).map_or(Ok(default), |text| text.parse::<usize>());
        value.ok().filter(|value| (least..=most).contains(value)).ok_or(name.to_owned())
    };
    let limit = number("limit", 10, 1, 1000)?;
    let offset = number("offset", 0, 0, i32::MAX as usize)?;
    let instant = |name: &str| {
        let text = parameters.get(name).ok_or(name.to_owned())?;
        DateTime::parse_from_rfc3339(text).map(|time| time.to_utc()).map_err(|_| name.to_owned())
    };
    let (start, end) = (instant("start_time")?, instant("end_time")?);
    if start >= end || end - start > chrono::Duration::days(400) {
        return Err("end_time".to_owned());
    }

    if fault == Some(FaultKind::EndlessPages) {
        return Ok(endless_page(limit, offset, start));
    }
    let offset = if fault == Some(FaultKind::IgnoreOffset) { 0 } else { offset };
    let mut buckets = buckets(project, &parameters, start, end);
    // Of the users, the first one has them, so that the users together have as much as all.
    if fault == Some(FaultKind::OddRows) && parameters.get("user_id").is_none_or(|user| user == USERS[0]) {
        buckets.values_mut().for_each(|rows| rows.extend(odd_rows()));
    }
    Ok(page(buckets, paging, limit, offset))
}

/// Rows by the start of their bucket.
type Buckets = BTreeMap<DateTime<Utc>, Vec<Value>>;

/// One bucket for each day in Beijing time that has usage, clipped to the range.
fn buckets(
    project: &SimulatedProject,
    parameters: &HashMap<String, String>,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
) -> Buckets {
    let wants = |name: &str, value: &str| parameters.get(name).is_none_or(|wanted| wanted == value);
    let mut buckets = Buckets::new();
    for pattern in &project.usage {
        let resource_type = pattern.resource_type.unwrap_or_default();
        if !wants("resource_type", resource_type)
            || !wants("business_type", pattern.business_type)
            || !wants("unit", pattern.unit)
        {
            continue;
        }
        let mut days: BTreeMap<DateTime<Utc>, (u64, i64)> = BTreeMap::new();
        for event in history::events(&project.id, pattern, start, end) {
            let user = USERS.get(usize::try_from(event.user).unwrap_or_default());
            if wants("user_id", user.unwrap_or(&"")) {
                let (number, hundredths) = days.entry(day_of(event.at).max(start)).or_default();
                *number += 1;
                *hundredths += event.hundredths;
            }
        }
        for (day, (number, hundredths)) in days {
            let mut row = json!({
                "business_type": pattern.business_type,
                "number": number,
                "usage": hundredths as f64 / 100.0,
                "unit": pattern.unit,
            });
            if let (Some(resource_type), Some(row)) = (pattern.resource_type, row.as_object_mut()) {
                row.insert("resource_type".to_owned(), resource_type.into());
            }
            buckets.entry(day).or_default().push(row);
        }
    }
    buckets
}

fn day_of(instant: DateTime<Utc>) -> DateTime<Utc> {
    let zone = history::beijing();
    let midnight = instant.with_timezone(&zone).date_naive().and_time(NaiveTime::MIN);
    // With a fixed offset, every local time exists exactly once.
    zone.from_local_datetime(&midnight).earliest().map_or(instant, |local| local.to_utc())
}

fn page(buckets: Buckets, paging: Paging, limit: usize, offset: usize) -> Value {
    let (count, page) = match paging {
        Paging::Buckets => (buckets.len(), buckets.into_iter().skip(offset).take(limit).collect()),
        Paging::Rows => {
            let count = buckets.values().map(Vec::len).sum();
            let rows = buckets.into_iter().flat_map(|(time, rows)| rows.into_iter().map(move |row| (time, row)));
            let mut page = Buckets::new();
            for (time, row) in rows.skip(offset).take(limit) {
                page.entry(time).or_default().push(row);
            }
            (count, page)
        }
    };
    let text = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
    let list: Vec<Value> =
        page.into_iter().map(|(time, rows)| json!({"time": text(time), "resources_usage": rows})).collect();
    json!({"count": count, "time_list": list})
}

/// Rows that are valid JSON, but that do not count as minutes.
fn odd_rows() -> [Value; 2] {
    [
        json!({"business_type": "FLEXUS_2D", "sub_resource_type": "part", "is_sub_resource": true, "usage": 9.9, "unit": "MIN"}),
        json!({"business_type": "CHAT_2D", "usage": "2.5", "unit": "CHANNEL", "number": null}),
    ]
}

/// A full page of rows that no other page has.
fn endless_page(limit: usize, offset: usize, start: DateTime<Utc>) -> Value {
    let time = |index: usize| {
        let time = start.checked_sub_days(Days::new((offset + index) as u64)).unwrap_or(start);
        time.to_rfc3339_opts(SecondsFormat::Secs, true)
    };
    let row = json!([{"business_type": "VIDEO_2D", "number": 1, "usage": 1.0, "unit": "MIN"}]);
    let list: Vec<Value> = (0..limit).map(|index| json!({"time": time(index), "resources_usage": row})).collect();
    json!({"count": 1_000_000, "time_list": list})
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}
