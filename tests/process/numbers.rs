//! The numbers are those of the cloud's records, to the last digit.

use std::collections::BTreeMap;

use chrono::Utc;
use metastudio_exporter::{
    simulator::{
        Options, Paging,
        history::{self, USERS},
    },
    usage::{Window, Zone},
};

use crate::support::{Cloud, Ended, FAST, once};

/// Hundredths of minutes and numbers of events by series, straight from the simulated records.
type Records = BTreeMap<String, (i64, u64)>;

fn records(windows: &[&str], user: Option<&str>, at: chrono::DateTime<Utc>) -> Records {
    let mut records = Records::new();
    for project in history::projects() {
        for pattern in &project.usage {
            for name in windows {
                let window: Window = name.parse().unwrap();
                let bounds = window.bounds(at, &Zone::shanghai()).elapsed(at);
                let series = format!(
                    "{{project=\"{}\",window=\"{name}\",resource_type=\"{}\",business_type=\"{}\"",
                    project.name,
                    pattern.resource_type.unwrap_or_default(),
                    pattern.business_type
                );
                let (sum, count) = records.entry(series).or_default();
                for event in history::events(&project.id, pattern, bounds.start, bounds.end) {
                    if user.is_none_or(|user| user == USERS[event.user as usize]) {
                        *sum += event.hundredths * if pattern.unit == "HOUR" { 60 } else { 1 };
                        *count += 1;
                    }
                }
            }
        }
    }
    records
}

fn assert_same(ended: &Ended, records: &Records, rest: &str) {
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for (series, (hundredths, count)) in records {
        let minutes = format!("{}.{:02}", hundredths / 100, hundredths % 100).parse().unwrap();
        let exported = ended.sample(&format!("metastudio_usage_minutes{series}{rest}}}"));
        assert_eq!(exported, Some(minutes), "{series}\n{}", ended.stdout);
        let exported = ended.sample(&format!("metastudio_usage_number{series}{rest}}}"));
        assert_eq!(exported, Some(*count as f64), "{series}");
    }
    let exported = ended.stdout.lines().filter(|line| line.starts_with("metastudio_usage_minutes{")).count();
    assert_eq!(exported % records.len(), 0, "and no others: {}", ended.stdout);
}

/// Windows that do not end now, so that what is expected does not change while the test runs; except at midnight,
/// when the test is begun anew.
async fn compare(options: Options, extra: &str, users: &[&str]) {
    let windows = ["yesterday", "last_month"];
    loop {
        let cloud = Cloud::with(options.clone()).await;
        let config = cloud.config(&format!("{extra}\nwindows: [yesterday, last_month]"));
        let user_ids = format!("user_ids: [{}], project_id", users.join(", "));
        let config = if users.is_empty() { config } else { config.replace("project_id", &user_ids) };
        let before = Utc::now();
        let ended = once(&config).await;
        let day = |at: chrono::DateTime<Utc>| Zone::shanghai().local(at).date_naive();
        if day(before) != day(Utc::now()) {
            continue;
        }
        if users.is_empty() {
            assert_same(&ended, &records(&windows, None, before), "");
        }
        for user in users {
            assert_same(&ended, &records(&windows, Some(user), before), &format!(",user_id=\"{user}\""));
        }
        return;
    }
}

#[tokio::test]
async fn every_sum_is_that_of_the_records() {
    compare(Options::default(), FAST, &[]).await;
}

#[tokio::test]
async fn however_the_pages_are_cut() {
    for paging in [Paging::Buckets, Paging::Rows] {
        for size in [1, 2, 7, 30, 31] {
            let extra = format!("api: {{requests_per_second: 1000, page_size: {size}}}");
            compare(Options { paging, ..Options::default() }, &extra, &[]).await;
        }
    }
}

#[tokio::test]
async fn for_each_user_on_its_own() {
    compare(Options::default(), FAST, &["user-a", "user-c"]).await;
}

#[tokio::test]
async fn only_what_is_wanted_is_kept() {
    let cloud = Cloud::new(&[]).await;
    let config = cloud.config(FAST).replace("project_id", "business_types: [LIVE_2D], labels: {team: x}, project_id");
    let ended = once(&config).await;
    let minutes: Vec<&str> =
        ended.stdout.lines().filter(|line| line.starts_with("metastudio_usage_minutes{")).collect();
    assert!(!minutes.is_empty());
    for line in minutes {
        assert!(line.contains("business_type=\"LIVE_2D\",team=\"x\"}"), "{line}");
    }
    let ignored = ended.sample("metastudio_rows_ignored_total{project=\"campaign\",reason=\"filtered\"}");
    assert!(ignored > Some(0.0));
}
