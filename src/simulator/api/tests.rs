use clap::CommandFactory;

use super::*;
use crate::simulator::{billing, history, operations::OPERATIONS};

const LAST_WEEK: &str = "start_time=2025-11-02T16:00:00Z&end_time=2025-11-09T16:00:00Z";

fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

/// The answer for the first project, at noon of 2025-11-10 in Beijing.
fn answer(service: &str, query: &str, earlier: u32) -> Result<Value, String> {
    let (project, service) = (&history::projects()[0], service.parse().unwrap());
    show_usage_data(project, query, &service, at("2025-11-10T04:00:00Z"), earlier)
}

/// The answer for the week before.
fn week(service: &str, paging: &str) -> Value {
    answer(service, &format!("{LAST_WEEK}&{paging}"), 0).unwrap()
}

fn buckets(answer: &Value) -> &Vec<Value> {
    answer["time_list"].as_array().unwrap()
}

fn times(answer: &Value) -> Vec<&str> {
    buckets(answer).iter().map(|bucket| bucket["time"].as_str().unwrap()).collect()
}

fn rows(answer: &Value) -> Vec<&Value> {
    buckets(answer).iter().flat_map(|bucket| bucket["resources_usage"].as_array().unwrap()).collect()
}

fn is_video(row: &Value) -> bool {
    row["resource_type"] == "video_time_2d_model"
}

/// The usage of videos, in hundredths.
fn videos(answer: &Value) -> i64 {
    let videos = rows(answer).into_iter().filter(|row| is_video(row));
    videos.map(|row| (row["usage"].as_f64().unwrap() * 100.0).round() as i64).sum()
}

/// The usage of videos in the records, in hundredths.
fn recorded(start: &str, end: &str) -> i64 {
    let project = &history::projects()[0];
    history::events(&project.id, &project.usage[0], at(start), at(end)).map(|event| event.hundredths).sum()
}

#[test]
fn every_value_of_every_setting_has_an_effect() {
    // Some settings have an effect only together with another one.
    let others = ["", "counted=rows", "usage=words", "buckets=hours,cut=never", "sessions=1"];
    let queries = ["limit=2&offset=2", "limit=5&offset=9", "limit=1000&user_id=user-b"];
    let answers = |service: &str| -> Vec<Result<Value, String>> {
        let query = |query: &str, earlier| {
            answer(service, &format!("{LAST_WEEK}&{query}").replace("T16:00", "T17:20"), earlier)
        };
        let lists = OPERATIONS.iter().flat_map(|operation| {
            let (service, project) = (service.parse().unwrap(), &history::projects()[0]);
            let queries = [
                "resource_source=PURCHASED,SP_ALLOCATED&limit=5&state=PROCESSING",
                "resource_source=PURCHASED&offset=100",
                "resource_source=PURCHASED&limit=5&state=SUCCEED",
            ];
            let answer =
                |(query, earlier)| operation.answer(project, query, &service, at("2025-11-07T07:00:00Z"), earlier);
            queries.map(|query| (query, 0)).into_iter().chain([(queries[0], 1)]).map(answer).collect::<Vec<_>>()
        });
        let usage = queries.iter().flat_map(|text| [query(text, 0), query(text, 1)]);
        let billing = [(r#"{"limit":100}"#, 0), (r#"{"limit":3,"offset":9}"#, 0), (r#"{"limit":100}"#, 1)];
        let billing = billing.into_iter().map(|(body, earlier)| {
            let now = at("2025-11-07T07:00:00Z");
            billing::packages(&history::projects(), body.as_bytes(), &service.parse().unwrap(), now, earlier)
        });
        let units = [Ok(billing::units("en_US", &service.parse().unwrap()))];
        usage.chain(lists).chain(billing).chain(units).collect()
    };
    let before: Vec<_> = others.iter().map(|other| answers(other)).collect();
    let mut count = 0;
    for setting in Service::command().get_arguments() {
        let name = setting.get_long().unwrap();
        let is_default = |value: &&str| setting.get_default_values().iter().any(|default| default == value);
        let possible = setting.get_possible_values();
        let values: Vec<&str> =
            possible.iter().map(|value| value.get_name()).filter(|value| !is_default(value)).collect();
        let settings: Vec<String> = match (setting.get_action().takes_values(), &values[..]) {
            (false, _) => vec![name.to_owned()],
            (true, []) => vec![format!("{name}=1")],
            (true, values) => values.iter().map(|value| format!("{name}={value}")).collect(),
        };
        for setting in settings {
            let has_effect = others.iter().zip(&before).any(|(other, before)| {
                let is_other = other.split(',').all(|other| other.split('=').next() != Some(name));
                is_other && answers(&format!("{setting},{other}")) != *before
            });
            assert!(has_effect, "{setting}");
            count += 1;
        }
    }
    assert!(count > 60, "{count}");
}

#[test]
fn pages_of_buckets_and_rows() {
    let whole = week("", "limit=1000");
    assert_eq!((buckets(&whole).len(), rows(&whole).len(), &whole["count"]), (7, 16, &json!(7)));
    let second = week("", "limit=2&offset=2");
    assert_eq!(times(&second), ["2025-11-04T16:00:00Z", "2025-11-05T16:00:00Z"]);
    let by_rows = week("counted=rows", "limit=2&offset=2");
    assert_eq!((rows(&by_rows), &by_rows["count"]), (rows(&whole)[2..4].to_vec(), &json!(16)));
    for (service, paging, expected) in [
        ("cap=2", "limit=1000&offset=2", &second),
        ("offset=from-one", "limit=2&offset=3", &second),
        ("offset=pages", "limit=2&offset=1", &second),
        ("offset=ignored", "limit=1000&offset=3", &whole),
        ("offset=everything", "limit=2&offset=3", &whole),
        ("past-end=last-page", "limit=1000&offset=9", &whole),
    ] {
        assert_eq!(week(service, paging), *expected, "{service}");
    }
    assert_eq!(week("past-end=null", "offset=7"), json!({"count": 7, "time_list": null}));
    assert_eq!(answer("past-end=error", &format!("{LAST_WEEK}&offset=7"), 0), Err("offset".to_owned()));
}

#[test]
fn what_count_is() {
    for (service, expected) in [
        ("", json!(7)),
        ("counted=rows", json!(16)),
        ("counted=rows,count=buckets", json!(7)),
        ("count=rows", json!(16)),
        ("count=types", json!(3)),
        ("count=page", json!(2)),
        ("count=absent", json!(null)),
        ("count=zero", json!(0)),
        ("count=text", json!("7")),
        ("count=first-page", json!(null)),
    ] {
        assert_eq!(week(service, "limit=2&offset=2")["count"], expected, "{service}");
    }
    assert_eq!(week("count=first-page", "")["count"], 7);
}

#[test]
fn lists_that_change_between_two_requests() {
    let request = |service: &str, earlier| answer(service, &format!("{LAST_WEEK}&limit=1000"), earlier).unwrap();
    let before = request("", 0);
    let deleted = request("changes=deleted", 2);
    assert_eq!(buckets(&deleted)[..], buckets(&before)[2..]);
    let moved = request("changes=moved", 2);
    assert_eq!((&buckets(&moved)[..5], &buckets(&moved)[5..]), (&buckets(&before)[2..], &buckets(&before)[..2]));
    let inserted = request("changes=inserted", 2);
    assert_eq!(buckets(&inserted)[2..], buckets(&before)[..]);
    let shuffled = [request("changes=order", 0), request("changes=order", 1)].map(|answer| {
        let mut sorted = buckets(&answer).clone();
        sorted.sort_by_key(|bucket| bucket["time"].to_string());
        assert_eq!(sorted, *buckets(&before));
        answer
    });
    assert_ne!(shuffled[0], shuffled[1]);
    let grown = request("changes=grown", 2);
    let on_sunday = rows(&before).into_iter().rfind(|row| is_video(row)).unwrap()["number"].as_i64().unwrap();
    assert_eq!(videos(&grown), videos(&before) + 2 * on_sunday);
    assert_eq!(buckets(&grown)[..6], buckets(&before)[..6]);
    let list =
        |changes| list_of("limit=2&start_time=a&offset=4&end_time=b", &Service { changes, ..Service::default() });
    assert_eq!([list(Changes::Moved), list(Changes::Grown)], ["start_time=a&end_time=b", ""]);
}

#[test]
fn ranges_that_are_read_in_another_way() {
    for (service, start, end, first) in [
        ("", "2025-11-02T16:00:00Z", "2025-11-09T16:00:00Z", "2025-11-02T16:00:00Z"),
        ("start=ignored", "2025-08-11T16:00:00Z", "2025-11-09T16:00:00Z", "2025-08-11T16:00:00Z"),
        ("end=inclusive", "2025-11-02T16:00:00Z", "2025-11-10T04:00:00Z", "2025-11-02T16:00:00Z"),
        ("zone=local-range", "2025-11-02T08:00:00Z", "2025-11-09T08:00:00Z", "2025-11-02T08:00:00Z"),
        ("zone=local", "2025-11-02T08:00:00Z", "2025-11-09T08:00:00Z", "2025-11-02T16:00:00Z"),
        ("longest-range=3", "2025-11-06T16:00:00Z", "2025-11-09T16:00:00Z", "2025-11-06T16:00:00Z"),
        ("retention=3", "2025-11-07T04:00:00Z", "2025-11-09T16:00:00Z", "2025-11-07T04:00:00Z"),
        ("buckets=months,cut=usage", "2025-11-02T16:00:00Z", "2025-11-09T16:00:00Z", "2025-10-31T16:00:00Z"),
        ("buckets=months,cut=never", "2025-10-31T16:00:00Z", "2025-11-10T04:00:00Z", "2025-10-31T16:00:00Z"),
        ("buckets=utc-days,cut=never", "2025-11-02T00:00:00Z", "2025-11-10T00:00:00Z", "2025-11-02T00:00:00Z"),
    ] {
        let answer = week(service, "limit=1000");
        assert_eq!((videos(&answer), times(&answer)[0]), (recorded(start, end), first), "{service}");
    }
}

#[test]
fn the_time_that_a_bucket_covers() {
    let month = "start_time=2025-10-20T04:30:00Z&end_time=2025-11-09T16:00:00Z&limit=1000";
    for (service, expected) in [
        ("buckets=days", ["2025-10-20T04:30:00Z", "2025-10-20T16:00:00Z", "2025-10-21T16:00:00Z"]),
        ("buckets=utc-days", ["2025-10-20T04:30:00Z", "2025-10-21T00:00:00Z", "2025-10-22T00:00:00Z"]),
        ("buckets=hours", ["2025-10-20T04:30:00Z", "2025-10-20T05:00:00Z", "2025-10-20T06:00:00Z"]),
        ("buckets=weeks", ["2025-10-20T04:30:00Z", "2025-10-26T16:00:00Z", "2025-11-02T16:00:00Z"]),
        ("buckets=weeks,cut=usage", ["2025-10-19T16:00:00Z", "2025-10-26T16:00:00Z", "2025-11-02T16:00:00Z"]),
    ] {
        assert_eq!(times(&answer(service, month, 0).unwrap())[..3], expected, "{service}");
    }
    assert_eq!(times(&answer("buckets=months", month, 0).unwrap()), ["2025-10-20T04:30:00Z", "2025-10-31T16:00:00Z"]);
    let seconds = week("time=seconds", "limit=1");
    assert_eq!(buckets(&seconds)[0]["time"], at("2025-11-02T16:00:00Z").timestamp());
    assert!(times(&week("time=query", "")).iter().all(|time| *time == "2025-11-02T16:00:00Z"));
}

#[test]
fn rows_and_values_in_other_forms() {
    let whole = week("", "limit=1000");
    for service in ["rows=videos", "rows=qualities"] {
        let divided = week(service, "limit=1000");
        assert!(rows(&divided).len() > rows(&whole).len(), "{service}");
        assert_eq!(videos(&divided), videos(&whole), "{service}");
    }
    let text = week("usage=text,usage-of=first", "limit=1000");
    assert_eq!(rows(&text)[0]["usage"].as_str().unwrap().parse(), Ok(rows(&whole)[0]["usage"].as_f64().unwrap()));
    assert_eq!(rows(&text)[1..], rows(&whole)[1..]);
    let renamed = week("renamed=usage", "limit=1000");
    assert_eq!(rows(&renamed)[0]["usage_v2"], rows(&whole)[0]["usage"]);
    let parts = week("parts=digit,channels", "limit=1");
    let flags: Vec<&Value> = rows(&parts).iter().map(|row| &row["is_sub_resource"]).collect();
    assert_eq!(flags, [&json!("0"), &json!("0"), &json!("0"), &json!("1"), &json!(null)][5 - flags.len()..]);
    assert_eq!(rows(&parts).last().unwrap()["unit"], "CHANNEL");
    assert_ne!(week("", "user_id=user-b"), week("", ""));
    assert_eq!(week("user-id=ignored", "user_id=user-b"), week("", ""));
    assert_eq!(week("list=empty", ""), json!({"count": 7, "time_list": []}));
    assert_eq!(week("list=null", ""), json!({"count": 7, "time_list": null}));
    assert_eq!(buckets(&week("list=endless", "limit=20&offset=40")).len(), 20);
}
