//! The sections `poll` and `api`, and the rate that projects share.

use super::*;

#[tokio::test]
async fn more_requests_than_the_rate_allows_give_a_warning() {
    let text = minimal().replace("name: a", "name: a, interval: 1m, windows: [1h, 2h, 3h]")
        + "api: {requests_per_second: 0.04}";
    let (config, problems) = load_with(&text, &[]).await;
    assert!(config.is_some());
    assert!(problems[0].contains("need 0.1 requests a second"), "{problems:?}");
    let users: Vec<String> = (0..200).map(|user| format!("u{user}")).collect();
    let text = minimal().replace("name: a", &format!("name: a, user_ids: [{}]", users.join(", ")));
    let (config, problems) = load_with(&text, &[]).await;
    assert!(config.is_some());
    assert!(problems[0].contains("take 120s, but poll.timeout is 60s"), "{problems:?}");
}

#[tokio::test]
async fn a_shard_has_its_part_of_the_rate() {
    let users: Vec<String> = (0..200).map(|user| format!("u{user}")).collect();
    let text = minimal().replace("name: a", &format!("name: a, user_ids: [{}]", users.join(", ")))
        + "windows: [today]\npoll: {timeout: 50s}";
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let mut projects = 0;
    for (shard, warnings) in [(Shard::ALL, 0), (Shard { index: 0, total: 2 }, 1), (Shard { index: 1, total: 2 }, 1)] {
        let loaded = load(file.path(), &environment(&[]), shard).await;
        let config = loaded.config.unwrap();
        projects += config.projects.len();
        let problems: Vec<String> = loaded.problems.iter().map(Problem::to_string).collect();
        assert_eq!(problems.len(), if config.projects.is_empty() { 0 } else { warnings }, "{problems:?}");
        assert_eq!(config.api.requests_per_second, 5.0, "the setting itself stays as configured");
        assert!(problems.iter().all(|problem| problem.contains("share 2.5 requests")), "{problems:?}");
    }
    assert_eq!(projects, 2, "one without shards, and one in one of the shards");
}

#[tokio::test]
async fn an_unusable_ca_file_or_proxy_is_a_problem() {
    let [not_pem, broken] = [(); 2].map(|()| tempfile::NamedTempFile::new().unwrap());
    std::fs::write(broken.path(), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    for (api, problem) in [
        ("ca_file: /nowhere.pem".to_owned(), "cannot use /nowhere.pem"),
        (format!("ca_file: {}", not_pem.path().display()), "it holds no PEM certificate"),
        (format!("ca_file: {}", broken.path().display()), "certificate 1 in it cannot be used"),
        ("proxy: 'socks5://127.0.0.1:1'".to_owned(), "the URL of an HTTP proxy"),
    ] {
        let (config, problems) = load_with(&format!("{}api: {{{api}}}", minimal()), &[]).await;
        assert!(config.is_none() && problems[0].contains(problem), "{problems:?}");
    }
}

#[tokio::test]
async fn times_that_do_not_fit_together_are_problems() {
    for (poll, project, problem) in [
        ("interval: 1m, timeout: 2m", "", "poll.timeout: the timeout (2m) must not be longer than the interval (1m)"),
        (
            "interval: 5m, stale_after: 9m",
            "",
            "poll.stale_after: stale_after (9m) must be at least twice the interval (5m)",
        ),
        ("stale_after: 15m", "interval: 10m, ", "projects[0] (a).interval: stale_after (15m) must be at least twice"),
    ] {
        let text = minimal().replace("name: a", &format!("{project}name: a"));
        let (config, problems) = load_with(&format!("{text}poll: {{{poll}}}"), &[]).await;
        assert!(config.is_none() && problems.len() == 1, "{problems:?}");
        assert!(problems[0].starts_with(problem), "{problems:?}");
    }
}
