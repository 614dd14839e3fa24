//! Simulated services that differ where the documentation leaves questions open. The findings must show each
//! difference.

use std::{collections::BTreeMap, path::Path, time::Duration};

use rust_decimal::Decimal;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::*;
use crate::{
    cloud::{
        AnswerMemory, Error, UsageQuery,
        usage_api::{
            pages::tests::services::{Count, Kind, Paging, PastTheEnd, Served},
            wire::Bucket,
        },
    },
    config::{Environment, Project, load_text},
    usage::{Counters, Operation, Row, RowKey},
};

/// A service with one or two rows in each bucket, at all times.
#[derive(Clone, Copy)]
struct Service {
    counted: Counted,
    counts_from_1: bool,
    cap: usize,
    hours: i64,
    /// Buckets begin so many hours before midnight in UTC.
    zone: i64,
    is_newest_first: bool,
    has_inclusive_end: bool,
    has_effect_of_unit: bool,
    longest_days: i64,
    oldest_days: i64,
    /// Whether a longer range is answered with only its last 20 days, without an error.
    looks_back_20_days: bool,
}

const SOUND: Service = Service {
    counted: Counted::Rows,
    counts_from_1: false,
    cap: MAX_LIMIT,
    hours: 24,
    zone: 8,
    is_newest_first: false,
    has_inclusive_end: false,
    has_effect_of_unit: true,
    longest_days: 400,
    oldest_days: 4000,
    looks_back_20_days: false,
};

fn now() -> DateTime<Utc> {
    "2025-11-20T10:17:23Z".parse().unwrap()
}

/// An error with the same reason as HTTP 400.
fn refused() -> Error {
    Error::NoProject("refused".to_owned())
}

impl Service {
    fn buckets(self, query: &UsageQuery<'_>) -> Vec<Bucket> {
        let (width, phase) = (self.hours * 3600, self.zone * 3600);
        let start = match self.looks_back_20_days {
            true => query.range.start.max(query.range.end - TimeDelta::days(20)),
            false => query.range.start,
        };
        let first = (start.timestamp() + phase + width - 1).div_euclid(width);
        let last = query.range.end.min(now()).timestamp() + phase - i64::from(!self.has_inclusive_end);
        (first..=last.div_euclid(width)).map(|number| self.bucket(number, number * width - phase, query.unit)).collect()
    }

    fn bucket(self, number: i64, start: i64, unit: Option<&str>) -> Bucket {
        let time = Some(DateTime::from_timestamp(start, 0).unwrap().to_rfc3339().replace("+00:00", "Z").into());
        let row = |index: i64| {
            let is_converted = self.has_effect_of_unit && unit == Some("HOUR");
            let (unit, divisor) = if is_converted { (Unit::Hours, 60) } else { (Unit::Minutes, 1) };
            let key = RowKey { time: time.clone(), business_type: format!("b{index}"), unit, ..RowKey::default() };
            let usage = Decimal::from(number * 2 + index) / Decimal::from(divisor);
            Row { key, usage: Some(usage), number: None }
        };
        let rows = (0..=number.rem_euclid(2)).map(row).collect();
        Bucket { time, has_list: true, rows }
    }

    fn answer(self, query: &UsageQuery<'_>, page: PageRequest) -> Result<Page, Error> {
        let days = |from: DateTime<Utc>, until: DateTime<Utc>| (until - from).num_days();
        let is_too_old = days(query.range.start, now()) > self.oldest_days;
        if query.range.end > now() || days(query.range.start, query.range.end) > self.longest_days || is_too_old {
            return Err(refused());
        }
        let mut buckets = self.buckets(query);
        if self.is_newest_first {
            buckets.reverse();
        }
        let paging = Paging {
            kind: if self.counts_from_1 { Kind::FirstEntryIs1 } else { Kind::Sound },
            counts_rows: self.counted == Counted::Rows,
            cap: Some(self.cap),
            count: Count::Rows,
            past: PastTheEnd::Nothing,
            seed: 0,
        };
        Served::new(paging, buckets).page(page).map_err(|()| refused())
    }
}

impl PageSource for Service {
    async fn page(
        &self,
        query: &UsageQuery<'_>,
        page: PageRequest,
        _: Instant,
        _: &AnswerMemory,
        counters: &mut Counters,
    ) -> Result<Page, Error> {
        counters.count_request(Operation::ShowUsageData, None, Duration::ZERO);
        self.answer(query, page)
    }
}

/// The findings about a service, and the number of requests.
async fn findings(service: Service) -> (BTreeMap<String, Value>, u64) {
    let text = "credentials: {main: {access_key: AK, secret_key: SK}}\n\
                projects: [{name: p, region: cn-north-4, project_id: 5f0d1e2c3b4a59687786a5b4c3d2e101, user_ids: [a, b]}]";
    let config = load_text(text.to_owned(), Path::new("c.yaml"), &Environment::default()).await.config.unwrap();
    let project: &Project = &config.projects[0];
    let mut probes = Probes::new(&service, project, "id", Duration::from_secs(1));
    let findings = ask_all(&mut probes, now(), &config.timezone).await;
    assert_eq!(probes.stop(), None);
    (serde_json::from_value(json!(findings)).unwrap(), probes.requests())
}

fn known(finding: impl Into<Value>) -> Value {
    json!({"known": finding.into()})
}

#[tokio::test]
async fn a_sound_service_answers_every_question() {
    let (found, requests) = findings(SOUND).await;
    let reach = json!({"usage_days": 1096, "accepted_days": 1096, "refused_days": null});
    let expected = json!({
        "bucket_width": known("day"),
        "bucket_zone": known("+08:00"),
        "time_format": known("utc"),
        "order": known("oldest_first"),
        "limit_counts": known("rows"),
        "limit_cap": known(json!({"at_least": 500})),
        "offset_counts": known("rows"),
        "offset_start": known("zero"),
        "count_counts": known("rows"),
        "past_end": known("empty_list"),
        "range_end": known("exclusive"),
        "future_end": known("refused"),
        "last_change": {"unknown": "stopped"},
        "longest_range": known(json!({"accepted_days": 366, "refused_days": null})),
        "reach": known(reach),
        // The bucket of the day began more than 12 hours ago.
        "newest": known(json!({"within_hours": 24})),
        "halves": known("equal"),
        "unit": known("converts"),
        "number": known("no_row"),
        "user_id": known("nothing"),
    });
    assert_eq!(json!(found), expected);
    assert!(requests <= 30, "{requests}");
}

#[tokio::test]
async fn each_difference_is_found() {
    let differences: [(Service, &[(&str, Value)]); 9] = [
        (
            Service { counted: Counted::Buckets, ..SOUND },
            &[("limit_counts", known("buckets")), ("offset_counts", known("buckets"))],
        ),
        (Service { counts_from_1: true, ..SOUND }, &[("offset_start", known("one")), ("halves", known("equal"))]),
        // The list of 31 days is cut, and the list of 7 days is not.
        (
            Service { cap: 20, ..SOUND },
            &[
                ("limit_cap", known(json!({"lowered_to": 20}))),
                ("halves", known("equal")),
                ("count_counts", known("rows")),
            ],
        ),
        // Not even two days fit on one page.
        (
            Service { cap: 20, hours: 1, ..SOUND },
            &[("limit_cap", known(json!({"lowered_to": 20}))), ("halves", json!({"unknown": "incomplete"}))],
        ),
        (
            Service { hours: 1, ..SOUND },
            &[
                ("bucket_width", known("hour")),
                ("bucket_zone", json!({"unknown": "buckets_too_short"})),
                ("limit_cap", known(json!({"at_least": 1000}))),
                ("newest", known(json!({"within_hours": 1}))),
            ],
        ),
        (
            Service { is_newest_first: true, zone: 0, ..SOUND },
            &[("order", known("newest_first")), ("bucket_zone", known("+00:00"))],
        ),
        (
            Service { has_inclusive_end: true, has_effect_of_unit: false, ..SOUND },
            &[("range_end", known("inclusive")), ("halves", known("equal")), ("unit", known("nothing"))],
        ),
        (
            Service { longest_days: 30, oldest_days: 200, ..SOUND },
            &[
                ("longest_range", known(json!({"accepted_days": 7, "refused_days": 31}))),
                ("reach", known(json!({"usage_days": 183, "accepted_days": 183, "refused_days": 366}))),
            ],
        ),
        (Service { looks_back_20_days: true, ..SOUND }, &[("halves", known("more"))]),
    ];
    for (index, (service, expected)) in differences.into_iter().enumerate() {
        let (found, requests) = findings(service).await;
        for (question, answer) in expected {
            assert_eq!(found[*question], *answer, "service {index}: {question} of {found:#?}");
        }
        assert!(requests < 40, "service {index}: {requests}");
    }
}
