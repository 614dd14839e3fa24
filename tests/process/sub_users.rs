//! The collector of sub-users.

use metastudio_exporter::simulator::Options;

use super::support::{Cloud, Ended, FAST, once, run};

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
