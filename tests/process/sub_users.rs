//! The collector of sub-users, and `user_ids: all`.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use metastudio_exporter::{
    simulator::{Options, history::USERS},
    usage::{Window, Zone},
};

use super::support::{Cloud, Ended, FAST, minutes, once, run, sum_of_events};

const COLLECT: &str = "collect: [sub_users]";
const UP: &str = "metastudio_collector_up{project=\"studio-prod\",account=\"\",collector=\"sub_users\"}";

async fn sub_users(service: &str, faults: &[&str], extra: &str) -> (Cloud, Ended) {
    let faults = faults.iter().map(|fault| fault.parse().unwrap()).collect();
    let cloud = Cloud::with(Options { service: service.parse().unwrap(), faults, ..Options::default() }).await;
    let ended = once(&cloud.config_of(&["studio-prod"], &cloud.keys(), &format!("{FAST}\n{COLLECT}\n{extra}"))).await;
    (cloud, ended)
}

fn series(name: &str, resource_type: &str, user: &str) -> String {
    format!(
        "metastudio_user_{name}{{project=\"studio-prod\",collector=\"sub_users\",resource_type=\"{resource_type}\",\
         user_id=\"{user}\"}}"
    )
}

fn samples<'a>(ended: &'a Ended, name: &str) -> Vec<&'a str> {
    let begin = format!("{name}{{");
    ended.stdout.lines().filter(|line| line.starts_with(&begin)).collect()
}

#[tokio::test]
async fn quotas_and_use_are_exported_and_minus_one_is_no_quota() {
    for numbers in ["decimals", "integers", "texts"] {
        let (_, ended) = sub_users(&format!("users=1,numbers={numbers}"), &[], "").await;
        assert_eq!((ended.code, ended.sample(UP)), (Some(0), Some(1.0)), "{}", ended.stderr);
        let minutes = |name, user| ended.sample(&series(name, "video_time_2d_model", user));
        assert_eq!(
            [minutes("quota_minutes", "further-0"), minutes("used_minutes", "further-0")],
            [Some(10.0), Some(9.5)]
        );
        assert_eq!([minutes("quota_minutes", "user-a"), minutes("quota_minutes", "user-b")], [Some(100_000.0), None]);
        let used = ["user-a", "user-b", "user-c"].map(|user| minutes("used_minutes", user).unwrap());
        let all = "metastudio_users_used_minutes{project=\"studio-prod\",collector=\"sub_users\",\
            resource_type=\"video_time_2d_model\"}";
        let difference = ended.sample(all).unwrap() - used.iter().sum::<f64>() - 9.5;
        assert!(difference.abs() < 1e-9, "{difference}");
        assert_eq!(ended.sample(&series("quota", "voice_clone_basic", "further-0")), Some(20.0));
        assert_eq!(ended.sample(&series("quota_minutes", "video_time_flexus_2d_model", "further-0")), None);
        assert!(!samples(&ended, "metastudio_user_quota_minutes").iter().any(|line| line.ends_with(" -1")));
        assert_eq!(
            samples(&ended, "metastudio_users"),
            ["metastudio_users{project=\"studio-prod\",collector=\"sub_users\"} 4"]
        );
    }
}

#[tokio::test]
async fn a_bounded_number_of_users_has_series_and_those_near_a_limit_come_first() {
    let extra = "collectors: {sub_users: {series: 5}}";
    let (_, ended) = sub_users("users=250,cap=70", &[], extra).await;
    assert_eq!(
        samples(&ended, "metastudio_users"),
        ["metastudio_users{project=\"studio-prod\",collector=\"sub_users\"} 253"]
    );
    let used = samples(&ended, "metastudio_user_used_minutes");
    assert_eq!(used.iter().filter(|line| line.contains("user_id=\"further-")).count(), 5, "{used:?}");
    assert_eq!(used.len(), 5, "{used:?}");
    for service in ["users=250,changes=deleted", "users=250,changes=inserted"] {
        let (cloud, ended) = sub_users(service, &[], "").await;
        assert_eq!(ended.sample(UP), Some(0.0), "{service}");
        assert!(!ended.stdout.contains("metastudio_user"), "{service}");
        let asked = cloud.simulator.seen().iter().filter(|request| request.target.contains("/user/quotas")).count();
        assert_eq!(asked, 4, "{service}: the list is asked for once more");
    }
}

#[tokio::test]
async fn a_key_that_may_not_list_users_is_not_a_failed_poll() {
    let (_, ended) = sub_users("", &["forbidden:project=ListUserQuotas"], "").await;
    assert_eq!((ended.code, ended.sample(UP)), (Some(0), Some(0.0)), "{}", ended.stderr);
    assert!(ended.stdout.contains("metastudio_usage_minutes{"));
    assert!(ended.stderr.contains("Only the account itself may list sub-users"), "{}", ended.stderr);
}

#[tokio::test]
async fn check_says_who_is_seen() {
    for (service, extra, text) in [
        ("isolation", "", "sub-account isolation is on: with the key of an IAM user, you see its own usage only\n"),
        ("isolation", ", app_user_id: u", "its own usage only, and app_user_id has no effect\n"),
        ("", "", "sub-account isolation is off: this key sees the usage of all users\n"),
    ] {
        let cloud = Cloud::of(service).await;
        let config = cloud
            .config_of(&["studio-prod"], &cloud.keys(), FAST)
            .replace(", project_id", &format!("{extra}, project_id"));
        let ended = run(&config, &["check", "--online"]).await;
        assert_eq!(ended.code, Some(0), "{}", ended.stdout);
        assert!(ended.stdout.contains("-     studio-prod  sub-account isolation"), "{}", ended.stdout);
        assert!(ended.stdout.contains(text), "{text}: {}", ended.stdout);
        assert!(ended.stdout.contains("not in collect: sub_users: 3, requests a day 48"), "{}", ended.stdout);
    }
    let cloud = Cloud::new(&["forbidden:project=ShowTenantServiceConfigs"]).await;
    let ended = run(&cloud.config_of(&["studio-prod"], &cloud.keys(), FAST), &["check", "--online"]).await;
    assert_eq!(ended.code, Some(0), "it is information: {}", ended.stdout);
    assert!(ended.stdout.contains("sub-account isolation is not known: HTTP 403"), "{}", ended.stdout);
}

/// `once` of a project with `user_ids: all`.
async fn all_users(service: &str, faults: &[&str], extra: &str) -> (Cloud, Ended) {
    let faults = faults.iter().map(|fault| fault.parse().unwrap()).collect();
    let cloud = Cloud::with(Options { service: service.parse().unwrap(), faults, ..Options::default() }).await;
    let ended = once(&of_all_users(&cloud, extra)).await;
    (cloud, ended)
}

fn of_all_users(cloud: &Cloud, extra: &str) -> String {
    let config = cloud.config_of(&["studio-prod"], &cloud.keys(), &format!("{FAST}\n{extra}"));
    config.replace(", project_id", ", user_ids: all, project_id")
}

/// The exported minutes and numbers of `yesterday`, by type and user.
fn of_yesterday(ended: &Ended) -> BTreeMap<(String, String), [f64; 2]> {
    let mut values: BTreeMap<(String, String), [f64; 2]> = BTreeMap::new();
    for (index, name) in ["metastudio_usage_minutes", "metastudio_usage_number"].into_iter().enumerate() {
        for line in samples(ended, name).into_iter().filter(|line| line.contains("window=\"yesterday\"")) {
            let label = |name: &str| {
                let (_, rest) = line.split_once(&format!("{name}=\"")).unwrap();
                rest.split_once('"').unwrap().0.to_owned()
            };
            let value = line.rsplit_once(' ').unwrap().1.parse().unwrap();
            let key = (format!("{} {}", label("resource_type"), label("business_type")), label("user_id"));
            values.entry(key).or_default()[index] = value;
        }
    }
    values
}

/// The exact minutes and numbers of yesterday by type, summed over these users.
fn of_users(cloud: &Cloud, at: DateTime<Utc>, users: &[&str]) -> BTreeMap<String, [f64; 2]> {
    let project = &cloud.simulator.options().projects[0];
    let bounds = Window::Yesterday.bounds(at, &Zone::shanghai());
    let mut sums: BTreeMap<String, (i64, u64)> = BTreeMap::new();
    for pattern in &project.usage {
        let types = format!("{} {}", pattern.resource_type.unwrap_or_default(), pattern.business_type);
        let sum = sums.entry(types).or_default();
        for user in users {
            let (hundredths, number) = sum_of_events(&project.id, pattern, bounds.start, bounds.end, Some(user));
            *sum = (sum.0 + hundredths, sum.1 + number);
        }
    }
    sums.into_iter().map(|(types, (hundredths, number))| (types, [minutes(hundredths), number as f64])).collect()
}

/// Whether it is still the same day as at `at`, so that `yesterday` is the same, too.
fn is_same_day(at: DateTime<Utc>) -> bool {
    let day = |at: DateTime<Utc>| Zone::shanghai().local(at).date_naive();
    day(at) == day(Utc::now())
}

fn requests(cloud: &Cloud, text: &str) -> usize {
    cloud.simulator.seen().iter().filter(|request| request.target.contains(text)).count()
}

#[tokio::test]
async fn every_user_and_the_rest_have_exactly_their_usage() {
    for series in [0, 1, 2, 100] {
        let (cloud, ended, at) = loop {
            let at = Utc::now();
            // No `this_month`: at the beginning of a month it has no usage, and then the exporter asks for no user.
            let extra = format!("windows: [yesterday, last_month]\ncollectors: {{sub_users: {{series: {series}}}}}");
            let (cloud, ended) = all_users("", &[], &extra).await;
            if is_same_day(at) {
                break (cloud, ended, at);
            }
        };
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let mut exported = of_yesterday(&ended);
        let with_series: Vec<&str> =
            USERS.into_iter().filter(|user| exported.keys().any(|(_, of)| of == user)).collect();
        assert_eq!(with_series.len(), series.min(USERS.len()), "{exported:?}");
        let others: Vec<&str> = USERS.into_iter().filter(|user| !with_series.contains(user)).collect();
        for (label, users) in with_series.iter().map(|user| (*user, vec![*user])).chain([("", others)]) {
            for (types, expected) in of_users(&cloud, at, &users) {
                let value = exported.remove(&(types.clone(), label.to_owned())).unwrap_or_default();
                assert_eq!(value, expected, "{series}: {types} of {label}");
            }
        }
        assert!(exported.is_empty(), "there are no other series: {exported:?}");
        let doubt = "metastudio_poll_doubts{project=\"studio-prod\",doubt=\"users_not_listed\"}";
        assert_eq!(ended.sample(doubt), Some(0.0));
        assert_eq!(requests(&cloud, "/user/quotas"), usize::from(series > 0), "{series}");
        for user in with_series {
            assert_eq!(requests(&cloud, &format!("user_id={user}")), if series == 1 { 3 } else { 2 }, "{series}");
        }
        // The number of ignored rows is the same without users.
        let plain =
            cloud.config_of(&["studio-prod"], &cloud.keys(), &format!("{FAST}\nwindows: [yesterday, last_month]"));
        let rows = |ended: &Ended| {
            let series = "metastudio_rows_ignored_total{project=\"studio-prod\",reason=\"sub_resource\"}";
            ended.sample(series)
        };
        assert_eq!(rows(&ended), rows(&once(&plain).await));
    }
}

#[tokio::test]
async fn a_service_that_ignores_users_is_refused() {
    let (_, ended) = all_users("user-id=ignored", &[], "").await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("the service ignores user_id"), "{}", ended.stderr);
    assert!(!ended.stdout.contains("metastudio_usage_minutes{"));
}

#[tokio::test]
async fn a_key_that_may_not_list_users_has_all_usage_without_a_user() {
    let (cloud, ended, at) = loop {
        let at = Utc::now();
        let (cloud, ended) = all_users("", &["forbidden:project=ListUserQuotas"], "windows: [yesterday]").await;
        if is_same_day(at) {
            break (cloud, ended, at);
        }
    };
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let doubt = "metastudio_poll_doubts{project=\"studio-prod\",doubt=\"users_not_listed\"}";
    assert_eq!(ended.sample(doubt), Some(1.0));
    assert!(ended.stderr.contains("only the root account may list sub-users"), "{}", ended.stderr);
    assert!(of_yesterday(&ended).keys().all(|(_, user)| user.is_empty()));
    let total = of_yesterday(&ended).values().map(|[minutes, _]| minutes).sum::<f64>();
    let expected = of_users(&cloud, at, &USERS).values().map(|[minutes, _]| minutes).sum::<f64>();
    assert!((total - expected).abs() < 1e-6, "{total} {expected}");
}

#[tokio::test]
async fn check_says_what_all_users_cost() {
    let cloud = Cloud::of("users=4").await;
    let config = of_all_users(&cloud, "collectors: {sub_users: {series: 5}}");
    let ended = run(&config, &["check"]).await;
    let costs = "  6096: 3 windows x up to 7 queries for all sub-users every 5m\n";
    assert!(ended.code == Some(0) && ended.stdout.contains(costs), "{}", ended.stdout);
    let ended = run(&config, &["check", "--online"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    let counted = "-     studio-prod  user_ids: all: sub-users 7, with series of their own 5, requests a day 6048: 3 windows x 7 \
        queries every 5m\n";
    assert!(ended.stdout.contains(counted), "{}", ended.stdout);
    assert!(ended.stdout.contains("usage of all users, and user_ids have no effect\n"), "{}", ended.stdout);
    let cloud = Cloud::new(&["forbidden:project=ListUserQuotas"]).await;
    let ended = run(&of_all_users(&cloud, ""), &["check", "--online"]).await;
    assert!(ended.stdout.contains("user_ids: all: the sub-users could not be listed: HTTP 403"), "{}", ended.stdout);
    assert!(ended.stdout.contains("doubt studio-prod  users_not_listed: "), "{}", ended.stdout);
}
