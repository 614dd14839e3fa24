//! The exported sums equal the sums of the simulated events, to the last digit.

use std::collections::BTreeMap;

use chrono::Utc;
use metastudio_exporter::{
    simulator::{Options, Service, history},
    usage::{Window, Zone},
};

use crate::support::{Cloud, Ended, FAST, minutes, once, sum_of_events};

/// Hundredths of minutes and number of events, by series.
type Sums = BTreeMap<String, (i64, u64)>;

fn expected_sums(windows: &[&str], user: Option<&str>, at: chrono::DateTime<Utc>) -> Sums {
    let mut sums = Sums::new();
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
                let (sum, count) = sums.entry(series).or_default();
                let (hundredths, events) = sum_of_events(&project.id, pattern, bounds.start, bounds.end, user);
                *sum += hundredths;
                *count += events;
            }
        }
    }
    sums
}

fn assert_same(ended: &Ended, expected: &Sums, rest: &str) {
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for (series, (hundredths, count)) in expected {
        let exported = ended.sample(&format!("metastudio_usage_minutes{series}{rest}}}"));
        assert_eq!(exported, Some(minutes(*hundredths)), "{series}\n{}", ended.stdout);
        let exported = ended.sample(&format!("metastudio_usage_number{series}{rest}}}"));
        assert_eq!(exported, Some(*count as f64), "{series}");
    }
}

/// Compares windows that have ended, because the sums of other windows change during the test. If midnight passes
/// during the comparison, it starts again.
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
        let exported = ended.stdout.lines().filter(|line| line.starts_with("metastudio_usage_minutes{")).count();
        let all = expected_sums(&windows, None, before);
        assert_eq!(exported, all.len() * users.len().max(1), "there are no other series: {}", ended.stdout);
        if users.is_empty() {
            assert_same(&ended, &all, ",user_id=\"\"");
        }
        for user in users {
            assert_same(&ended, &expected_sums(&windows, Some(user), before), &format!(",user_id=\"{user}\""));
        }
        return;
    }
}

#[tokio::test]
async fn every_sum_equals_the_events_for_any_page_size() {
    for service in ["counted=buckets", "counted=rows"] {
        let service: Service = service.parse().unwrap();
        for size in [1, 2, 7, 30, 31, 1000] {
            let extra = format!("api: {{requests_per_second: 1000, page_size: {size}}}");
            compare(Options { service: service.clone(), ..Options::default() }, &extra, &[]).await;
        }
    }
}

#[tokio::test]
async fn every_sum_of_a_user_equals_the_events_of_the_user() {
    compare(Options::default(), FAST, &["user-a", "user-c"]).await;
}

#[tokio::test]
async fn filters_keep_only_the_wanted_types() {
    let cloud = Cloud::new(&[]).await;
    let config = cloud.config(FAST).replace("project_id", "business_types: [LIVE_2D], labels: {team: x}, project_id");
    let ended = once(&config).await;
    let minutes: Vec<&str> =
        ended.stdout.lines().filter(|line| line.starts_with("metastudio_usage_minutes{")).collect();
    assert!(!minutes.is_empty());
    for line in minutes {
        assert!(line.contains(",team=\"x\",") && line.contains("business_type=\"LIVE_2D\","), "{line}");
    }
    let ignored = ended.sample("metastudio_rows_ignored_total{project=\"campaign\",team=\"x\",reason=\"filtered\"}");
    assert!(ignored > Some(0.0));
}
