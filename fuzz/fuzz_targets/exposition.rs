//! The exposition of any names and values: in both formats, a simple reader finds each name and each value.
#![no_main]

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use arbitrary::Arbitrary;
use chrono::{DateTime, Utc};
use libfuzzer_sys::fuzz_target;
use metastudio_exporter::{
    exposition::{Exposition, Format},
    snapshot::{self, Failure, PollOutcome, Target, WindowUsage},
    usage::{Reason, Row, RowKey, Tally, Unit, Window, Zone},
};
use rust_decimal::Decimal;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    names: BTreeSet<&'a str>,
    rows: Vec<(&'a str, &'a str, &'a str, i64, u8, Option<i64>)>,
    user: Option<&'a str>,
    fails: bool,
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_762_594_200, 0).unwrap()
}

fuzz_target!(|input: Input<'_>| {
    let targets = input
        .names
        .iter()
        .map(|name| Target { labels: vec![("l".to_owned(), (*name).to_owned())], ..Target::new(*name) });
    let (mut writer, reader) = snapshot::channel(targets.collect());
    let mut tally = Tally::default();
    for (resource_type, business_type, unit, value, scale, number) in &input.rows {
        let key = RowKey {
            resource_type: (*resource_type).to_owned(),
            business_type: (*business_type).to_owned(),
            unit: Unit::from_api(Some(unit)),
            ..RowKey::default()
        };
        let usage = Some(Decimal::new(*value, u32::from(*scale % 29)));
        if tally.add(&Row { key, usage, number: *number }, input.user).is_err() {
            return;
        }
    }
    let bounds = Window::Today.bounds(now(), &Zone::shanghai());
    let usage = WindowUsage { window: Window::Today, bounds, changes_at: None, tally: tally.clone(), days: None };
    for index in 0..input.names.len() {
        let outcome = PollOutcome::new(now(), Duration::from_secs(1), Ok(vec![usage.clone()]));
        writer.record(index, outcome, None);
        if input.fails {
            let failure = Failure { reason: Reason::Timeout, message: "no answer".to_owned() };
            writer.record(index, PollOutcome::new(now(), Duration::from_secs(1), Err(failure)), None);
        }
    }
    let exposition = Exposition::of_projects(reader, || now().into());
    let openmetrics = exposition.render(Format::OpenMetrics);
    let samples = read(openmetrics.strip_suffix("# EOF\n").unwrap());
    assert_eq!(samples, read(&exposition.render(Format::Text)));
    for name in &input.names {
        assert!(samples.keys().any(|labels| labels.get("project").is_some_and(|project| project == name)));
    }
    // Each series that has a value gives one sample for each project.
    let values = tally.series().filter_map(|series| tally.value(series));
    let mut expected: Vec<f64> = values.flat_map(|value| vec![value; input.names.len()]).collect();
    let exported = samples.iter().filter(|(labels, _)| {
        ["metastudio_usage_minutes", "metastudio_usage_number", "metastudio_usage_other"].contains(&&*labels[""])
    });
    let mut exported: Vec<f64> = exported.map(|(_, value)| value.parse().unwrap()).collect();
    expected.sort_by(f64::total_cmp);
    exported.sort_by(f64::total_cmp);
    assert_eq!(exported, expected);
});

/// The samples by their labels. The name of the metric is the label with the empty name.
fn read(text: &str) -> BTreeMap<BTreeMap<String, String>, String> {
    let mut samples = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with("# ")) {
        let (name, mut rest) = line.split_once('{').unwrap();
        let mut labels = BTreeMap::from([(String::new(), name.to_owned())]);
        loop {
            let (label, quoted) = rest.split_once("=\"").unwrap();
            assert!(label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{line:?}");
            let (value, after) = unquoted(quoted);
            assert!(labels.insert(label.to_owned(), value).is_none(), "{line:?}");
            match after.strip_prefix(',') {
                Some(next) => rest = next,
                None => {
                    rest = after.strip_prefix("} ").unwrap();
                    break;
                }
            }
        }
        assert!(rest.parse::<f64>().is_ok_and(f64::is_finite), "{line:?}");
        assert!(samples.insert(labels, rest.to_owned()).is_none(), "{line:?} is there twice");
    }
    samples
}

/// A label value, and what follows it.
fn unquoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next().unwrap() {
            '"' => return (value, chars.as_str()),
            '\\' => value.push(match chars.next().unwrap() {
                'n' => '\n',
                escaped @ ('\\' | '"') => escaped,
                other => panic!("\\{other}"),
            }),
            other => value.push(other),
        }
    }
}
