//! Services that follow the API page, and differ in what the page leaves open (docs/numbers.md, "How it is tested").
//! Each service is polled once, and the published values are compared with the simulated events.
//!
//! The tables lack services whose wrong answers look like right ones (docs/numbers.md, "What cannot be known"):
//! `zone=local`, `retention=20`, and `renamed=resource_type`, because a row may have no resource type.
//! `zone=local-range` is noticed only if there is usage in the eight hours before a window.

use std::collections::{BTreeMap, BTreeSet};

use chrono::DateTime;
use metastudio_exporter::simulator::history::{self, SimulatedProject};

use crate::support::{Cloud, Ended, minutes, once, sample, sum_of_events};

/// What must be true of each project.
#[derive(Clone, Copy, Debug)]
enum Expected {
    /// Every sample is right, without a doubt.
    Right,
    /// The poll of at least one project fails for this reason. Every sample of the other projects is right.
    Refused(&'static str),
    /// The usage of at least one project is published with this doubt. Every sample of the other projects is right.
    Doubted(&'static str),
    /// Samples of at least one project are missing. Every other sample is right.
    Withheld,
}
use Expected::{Doubted, Refused, Right, Withheld};

/// The published values of a project, compared with the right ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Right,
    Refused,
    Doubted,
    Withheld,
    Wrong,
}

/// Windows that have ended, so that usage does not change during a test.
const ENDED: &str = "windows: [yesterday, last_month]";

/// The samples of a family, of one project, by their other labels.
fn samples(exposition: &str, family: &str, project: &str) -> BTreeMap<String, f64> {
    let prefix = format!("{family}{{project=\"{project}\",");
    let lines = exposition.lines().filter_map(|line| line.strip_prefix(&prefix)?.split_once("} "));
    lines.map(|(labels, value)| (labels.to_owned(), value.parse().unwrap())).collect()
}

/// The doubts of a project.
fn doubts(exposition: &str, project: &str) -> BTreeSet<String> {
    let doubts = samples(exposition, "metastudio_poll_doubts", project);
    assert!(!doubts.is_empty(), "every doubt is exported: {exposition}");
    let standing = doubts.into_iter().filter(|(_, value)| *value == 1.0);
    standing.map(|(labels, _)| labels.trim_start_matches("doubt=").trim_matches('"').to_owned()).collect()
}

/// The samples of minutes and numbers that a project must have, for the windows as they are exported.
fn expected_samples(ended: &Ended, project: &SimulatedProject, user: Option<&str>) -> [BTreeMap<String, f64>; 2] {
    let bounds = |end: &str| {
        samples(&ended.stdout, &format!("metastudio_window_{end}_timestamp_seconds"), &project.name).into_iter()
    };
    let mut expected = [BTreeMap::new(), BTreeMap::new()];
    for ((window, start), (_, end)) in bounds("start").zip(bounds("end")) {
        let [start, end] = [start, end].map(|time| DateTime::from_timestamp(time as i64, 0).unwrap());
        for pattern in &project.usage {
            let (hundredths, number) = sum_of_events(&project.id, pattern, start, end, user);
            let resource_type = pattern.resource_type.unwrap_or_default();
            let labels = format!(
                "{window},resource_type=\"{resource_type}\",business_type=\"{}\",user_id=\"{}\"",
                pattern.business_type,
                user.unwrap_or_default()
            );
            expected[0].insert(labels.clone(), minutes(hundredths));
            expected[1].insert(labels, number as f64);
        }
    }
    expected
}

fn outcome(ended: &Ended, project: &SimulatedProject, users: &[&str], expected: Expected, has_times: bool) -> Outcome {
    let published = ["metastudio_usage_minutes", "metastudio_usage_number"]
        .map(|family| samples(&ended.stdout, family, &project.name));
    if sample(&ended.stdout, &format!("metastudio_up{{project=\"{}\"}}", project.name)) == Some(0.0) {
        assert!(published.iter().all(BTreeMap::is_empty), "a failed poll publishes nothing: {}", ended.stdout);
        let reasons = samples(&ended.stdout, "metastudio_poll_failures_total", &project.name);
        let failed: Vec<&String> =
            reasons.iter().filter(|(_, value)| **value > 0.0).map(|(reason, _)| reason).collect();
        if let Refused(reason) = expected {
            assert_eq!(failed, [&format!("reason=\"{reason}\"")], "{}", ended.stderr);
        }
        return Outcome::Refused;
    }
    let users: Vec<Option<&str>> =
        if users.is_empty() { vec![None] } else { users.iter().copied().map(Some).collect() };
    let mut right = [BTreeMap::new(), BTreeMap::new()];
    for user in users {
        let of_user = expected_samples(ended, project, user);
        right.iter_mut().zip(of_user).for_each(|(all, of_user)| all.extend(of_user));
    }
    assert!(!right[0].is_empty(), "{}", ended.stdout);
    let mut doubts = doubts(&ended.stdout, &project.name);
    if !has_times {
        // On some dates, the rows of two videos of the same length are identical.
        doubts.remove("repeated_rows");
    }
    if let (Doubted(doubt), false) = (expected, doubts.is_empty()) {
        assert!(doubts.contains(doubt), "{doubts:?}");
    }
    let mut pairs = published.iter().zip(&right);
    if !doubts.is_empty() {
        Outcome::Doubted
    } else if published == right {
        Outcome::Right
    } else if pairs.all(|(published, right)| published.iter().all(|sample| right.get(sample.0) == Some(sample.1))) {
        Outcome::Withheld
    } else {
        Outcome::Wrong
    }
}

/// Polls a service once.
async fn check(service: &str, page_size: usize, windows: &str, users: &[&str], expected: Expected) {
    let cloud = Cloud::of(service).await;
    let extra = format!("{windows}\napi: {{requests_per_second: 1000, page_size: {page_size}}}");
    let config = cloud.config(&extra).replace("project_id", &format!("user_ids: [{}], project_id", users.join(", ")));
    let ended = once(&config).await;
    let has_times = !service.contains("time=query");
    let outcome = |project| outcome(&ended, project, users, expected, has_times);
    let outcomes: BTreeSet<Outcome> = history::projects().iter().map(outcome).collect();
    let main = match expected {
        Right => Outcome::Right,
        Refused(_) => Outcome::Refused,
        Doubted(_) => Outcome::Doubted,
        Withheld => Outcome::Withheld,
    };
    let is_possible = |outcome: &Outcome| *outcome == Outcome::Right || *outcome == main;
    assert!(
        outcomes.contains(&main) && outcomes.iter().all(is_possible),
        "{service}: {outcomes:?}, but {expected:?} was expected\n{}{}",
        ended.stdout,
        ended.stderr
    );
}

#[tokio::test]
async fn a_limit_that_is_lowered_in_silence_cuts_nothing_off() {
    for (service, page_size) in [
        ("cap=10", 1000),
        ("cap=10,count=buckets,counted=rows", 1000),
        ("cap=10,count=rows", 1000),
        ("cap=10,count=types", 1000),
        ("cap=10,count=page", 1000),
        ("cap=10,count=absent,counted=rows", 1000),
        ("cap=50,count=zero,counted=rows", 1000),
        ("cap=10,count=text", 1000),
        ("cap=10,count=first-page", 1000),
        ("cap=20,count=page,counted=rows", 100),
    ] {
        check(service, page_size, ENDED, &[], Right).await;
    }
}

#[tokio::test]
async fn every_way_to_page_is_right() {
    for (service, page_size) in [
        ("past-end=null,count=absent", 7),
        ("past-end=error,count=types,counted=rows", 7),
        ("past-end=last-page,count=page", 5),
        ("rows=videos,counted=rows,count=buckets", 100),
        ("rows=videos,counted=rows,time=query", 100),
        ("rows=qualities,counted=rows", 7),
        ("rows=qualities,time=query,count=zero", 7),
        ("offset=everything,count=absent", 7),
        ("offset=everything,count=page,counted=rows", 7),
        ("offset=from-one", 7),
        ("offset=from-one,counted=rows,past-end=error", 7),
        ("time=seconds", 7),
        ("time=milliseconds,counted=rows", 1000),
    ] {
        check(service, page_size, ENDED, &[], Right).await;
    }
}

#[tokio::test]
async fn ranges_and_values_in_other_forms_are_right() {
    for service in [
        "end=inclusive",
        "end=inclusive,cut=never",
        "buckets=hours,cap=100",
        "usage=text",
        "parts=boolean,channels",
        "parts=number",
        "parts=digit",
        "parts=word,counted=rows,cap=10",
    ] {
        check(service, 1000, ENDED, &[], Right).await;
    }
    for service in ["buckets=utc-days", "buckets=utc-days,cut=never", "buckets=utc-days,end=inclusive"] {
        check(service, 1000, "windows: [yesterday, last_month]\ntimezone: UTC", &[], Right).await;
    }
    // A service that cuts buckets is right for any window.
    for service in ["buckets=days", "buckets=hours", "buckets=weeks", "buckets=months", "buckets=utc-days"] {
        check(service, 1000, "windows: [yesterday, last_month, 7d, 24h]", &[], Right).await;
    }
    check("buckets=months,cut=never,end=inclusive", 1000, "windows: [last_month]", &[], Right).await;
}

#[tokio::test]
async fn usage_that_grows_is_published_as_it_was_at_one_of_the_requests() {
    // Pages of three days overlap by one day. So every other Sunday is the last day of one page and the first day of
    // the next one, and grows between both requests.
    let cloud = Cloud::of("changes=grown").await;
    let ended = once(&cloud.config(&format!("{ENDED}\napi: {{requests_per_second: 1000, page_size: 3}}"))).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let requests = cloud.simulator.seen().len() as f64;
    for project in history::projects() {
        assert!(doubts(&ended.stdout, &project.name).is_empty(), "{}", ended.stderr);
        let [before, number] = expected_samples(&ended, &project, None);
        let published = samples(&ended.stdout, "metastudio_usage_minutes", &project.name);
        assert_eq!(before.keys().collect::<Vec<_>>(), published.keys().collect::<Vec<_>>());
        for (labels, minutes) in published {
            // Each video of a Sunday grows by a hundredth at each request.
            let most = if labels.contains("video_time_2d_model") { number[&labels] * requests } else { 0.0 };
            let growth = ((minutes - before[&labels]) * 100.0).round();
            let has_grown = labels.contains("window=\"last_month\"") && most > 0.0;
            assert!(growth >= 0.0 && growth <= most && (growth > 0.0 || !has_grown), "{labels}: {growth} of {most}");
        }
    }
}

#[tokio::test]
async fn pages_that_contradict_each_other_are_refused() {
    for service in [
        "offset=pages",
        "offset=ignored,count=absent",
        "changes=order",
        "changes=deleted",
        "changes=inserted",
        "changes=moved,counted=rows",
        "list=endless",
    ] {
        check(service, 7, ENDED, &[], Refused("inconsistent")).await;
    }
}

#[tokio::test]
async fn answers_that_cannot_be_understood_are_refused() {
    for service in [
        "list=empty",
        "list=null",
        "renamed=time_list",
        "renamed=resources_usage",
        "renamed=business_type",
        "usage=thousands",
        "usage=words,usage-of=first",
        "usage=huge,usage-of=first",
        "usage=true",
        "usage=null,renamed=number",
        "parts=unreadable",
    ] {
        check(service, 1000, ENDED, &[], Refused("malformed")).await;
    }
    for service in ["start=ignored", "start=ignored,cut=never", "longest-range=20"] {
        check(service, 1000, ENDED, &[], Refused("inconsistent")).await;
    }
    check("user-id=ignored", 1000, ENDED, &["user-a", "user-b"], Refused("inconsistent")).await;
}

#[tokio::test]
async fn buckets_that_overlap_a_window_are_doubted() {
    for service in [
        "cut=never",
        "cut=usage",
        "buckets=utc-days,cut=never",
        "buckets=utc-days,cut=usage",
        "buckets=weeks,cut=never",
        "buckets=months,cut=never",
        "buckets=months,cut=usage",
        "zone=local,cut=never",
    ] {
        check(service, 1000, "windows: [yesterday, last_month, 7d]", &[], Doubted("misaligned")).await;
    }
}

#[tokio::test]
async fn what_is_absent_is_doubted_or_withheld() {
    for (service, expected) in [
        ("usage=absent", Doubted("value_missing")),
        ("usage=null,usage-of=first", Doubted("value_missing")),
        ("renamed=usage", Doubted("value_missing")),
        ("renamed=time", Doubted("unreadable_time")),
        ("renamed=number", Withheld),
        ("renamed=unit", Doubted("value_missing")),
    ] {
        check(service, 1000, ENDED, &[], expected).await;
    }
    check("user-id=ignored", 1000, ENDED, &["user-a"], Doubted("user_without_effect")).await;
}
