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

/// The series of a user, or of all users together if `user` is empty. A type without usage in all these windows has none.
fn expected_sums(windows: &[&str], user: &str, at: chrono::DateTime<Utc>) -> Sums {
    let mut sums = Sums::new();
    let filter = Some(user).filter(|user| !user.is_empty());
    for project in history::projects() {
        for pattern in &project.usage {
            let of_window = |name: &&str| {
                let window: Window = name.parse().unwrap();
                let bounds = window.bounds(at, &Zone::shanghai()).elapsed(at);
                let series = format!(
                    "{{project=\"{}\",window=\"{name}\",resource_type=\"{}\",business_type=\"{}\"",
                    project.name,
                    pattern.resource_type.unwrap_or_default(),
                    pattern.business_type
                );
                (series, sum_of_events(&project.id, pattern, bounds.start, bounds.end, filter))
            };
            let of_pattern: Vec<_> = windows.iter().map(of_window).collect();
            if of_pattern.iter().any(|(_, (_, events))| *events > 0) {
                sums.extend(of_pattern);
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
        let mut series = 0;
        for user in if users.is_empty() { &[""] } else { users } {
            let expected = expected_sums(&windows, user, before);
            assert_same(&ended, &expected, &format!(",user_id=\"{user}\""));
            series += expected.len();
        }
        let exported = ended.stdout.lines().filter(|line| line.starts_with("metastudio_usage_minutes{")).count();
        assert_eq!(exported, series, "there are no other series: {}", ended.stdout);
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
