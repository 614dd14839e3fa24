//! A page of usage: its entries are bounded in number, and equal the entries that another JSON reader finds.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use metastudio_exporter::{
    cloud::usage_api::wire::{Bucket, Page},
    usage::{Row, Unit},
};
use rust_decimal::prelude::ToPrimitive;
use serde_json::Value;

fuzz_target!(|body: &[u8]| -> Corpus {
    let Ok(page) = Page::parse(body) else { return Corpus::Keep };
    let rows: usize = page.buckets.iter().map(|bucket| bucket.rows.len()).sum();
    assert!(page.buckets.len() + rows <= 20_000);
    // The other reader knows only UTF-8, and only JSON of a certain depth.
    if let Ok(json) = serde_json::from_slice::<Value>(body) {
        let buckets = entries(&json["time_list"]);
        assert_eq!(page.buckets.len(), buckets.len());
        page.buckets.iter().zip(buckets).for_each(|(bucket, json)| check_bucket(bucket, json));
    }
    Corpus::Keep
});

/// The entries of a list. One object is a list of one.
fn entries(json: &Value) -> &[Value] {
    match json {
        Value::Array(entries) => entries,
        Value::Null => &[],
        one => std::slice::from_ref(one),
    }
}

fn check_bucket(bucket: &Bucket, json: &Value) {
    if let Some(time) = json["time"].as_str() {
        assert_eq!(bucket.time.as_deref(), Some(time));
    }
    let rows = entries(&json["resources_usage"]);
    assert_eq!(bucket.rows.len(), rows.len());
    bucket.rows.iter().zip(rows).for_each(|(row, json)| check_row(row, json));
}

fn check_row(row: &Row, json: &Value) {
    let key = &row.key;
    for (text, name) in [
        (&key.resource_type, "resource_type"),
        (&key.business_type, "business_type"),
        (&key.sub_resource_type, "sub_resource_type"),
        (&key.charging_mode, "charging_mode"),
        (&key.resource_source, "resource_source"),
    ] {
        assert_eq!(text, json[name].as_str().unwrap_or_default());
        assert!(text.len() <= 256);
    }
    match (&key.unit, json["unit"].as_str()) {
        (Unit::Minutes, unit) => assert_eq!(unit, Some("MIN")),
        (Unit::Hours, unit) => assert_eq!(unit, Some("HOUR")),
        (Unit::Other(other), unit) => assert_eq!(other, unit.filter(|unit| !unit.is_empty()).unwrap_or("unknown")),
    }
    // An absent value is not read as 0, and a value is not read as absent.
    assert_eq!(row.usage.is_none(), json["usage"].is_null());
    assert_eq!(row.number.is_none(), json["number"].is_null());
    if let (Some(usage), Some(number)) = (row.usage, number(&json["usage"])) {
        let usage = usage.to_f64().unwrap();
        assert!((usage - number).abs() <= 1e-12 * number.abs(), "{usage} {number}");
    }
    if let (Some(count), Some(number)) = (row.number, number(&json["number"])) {
        assert!((count as f64 - number).abs() <= 1e-12 * number.abs(), "{count} {number}");
    }
}

fn number(json: &Value) -> Option<f64> {
    match json {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}
