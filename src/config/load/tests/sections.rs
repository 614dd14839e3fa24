//! The sections `poll` and `api`, and the rate that projects share.

use secrecy::ExposeSecret;

use super::*;
use crate::config::effective;

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
async fn collectors_are_named_or_all() {
    let of = async |text: &str| {
        let (config, problems) = load_with(&format!("{}{text}", minimal()), &[]).await;
        let shown = |config: crate::config::Config| {
            let project = &config.projects[0];
            let names: Vec<_> = project.collect.keys().map(|collector| collector.as_str()).collect();
            (names.join(" "), project.collects_all)
        };
        (config.map(shown), problems)
    };
    for (text, names, collects_all) in [
        ("", "", false),
        ("collect: all", "packages sub_users sessions reconciliation", true),
        ("collect: [sessions, packages]", "packages sessions", false),
        ("collect: [packages]\ncollectors: {packages: {interval: 1h}}", "packages", false),
        // Defaults give no warning: config.example.yaml sets them.
        ("collectors: {packages: {interval: 30m, series: 100}, sub_users: {}, sessions: null}", "", false),
    ] {
        assert_eq!(of(text).await, (Some((names.to_owned(), collects_all)), vec![]), "{text}");
    }
    for (text, expected) in [
        ("collect: every", "expected all or a list with one of packages, sub_users, sessions, reconciliation"),
        ("collect: [all]", "expected one of packages, sub_users, sessions, reconciliation"),
        ("collect: [packages, packages]", "collect[1]: found \"packages\"; expected each value once"),
        ("collectors: {sessions: {max_duration: 31d}}", "a duration from 1m to 30days"),
        ("collectors: {reconciliation: {interval: 25h}}", "a duration from 1m to 1day"),
        ("collectors: {sub_users: {series: 1001}}", "an integer from 0 to 1000"),
    ] {
        let (config, problems) = of(text).await;
        assert!(config.is_none() && problems[0].contains(expected), "{text}: {problems:?}");
    }
}

#[tokio::test]
async fn settings_of_a_collector_that_no_project_has_give_a_warning() {
    let sessions = "collectors: {sessions: {max_duration: 1h}, packages: {series: 5}}";
    for (collect, collectors) in
        [("", "packages sessions"), ("collect: [packages]\n", "sessions"), ("collect: all\n", "")]
    {
        let (config, problems) = load_with(&format!("{}{collect}{sessions}", minimal()), &[]).await;
        assert!(config.is_some(), "{problems:?}");
        let expected: Vec<String> = collectors.split_whitespace().map(str::to_owned).collect();
        assert_eq!(problems.len(), expected.len(), "{problems:?}");
        for (problem, collector) in problems.iter().zip(expected) {
            let text = format!("collectors.{collector}: no project collects {collector}, so this has no effect");
            assert!(problem.contains(&text), "{problem}");
        }
    }
}

#[tokio::test]
async fn an_unusable_ca_file_or_proxy_is_a_problem() {
    let [not_pem, broken] = [(); 2].map(|()| tempfile::NamedTempFile::new().unwrap());
    std::fs::write(broken.path(), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    for (api, problem) in [
        ("ca_file: /nowhere.pem".to_owned(), "cannot use /nowhere.pem"),
        (format!("ca_file: {}", not_pem.path().display()), "it holds no PEM certificate"),
        (format!("ca_file: {}", broken.path().display()), "certificate 1 in it cannot be used"),
        ("proxy: 'socks5://127.0.0.1:1'".to_owned(), "api.proxy: expected the URL of an HTTP proxy"),
        ("proxy: 'http://DOMAIN\\user:hunter2@proxy:3128'".to_owned(), "api.proxy: expected the URL of an HTTP proxy"),
        ("proxy: {env: NOWHERE}".to_owned(), "api.proxy: the environment variable NOWHERE is not set"),
        ("proxy: {file: /nowhere}".to_owned(), "api.proxy: cannot read /nowhere"),
    ] {
        let (config, problems) = load_with(&format!("{}api: {{{api}}}", minimal()), &[]).await;
        assert!(config.is_none() && problems[0].contains(problem), "{problems:?}");
        assert!(!problems[0].contains("hunter2"), "{problems:?}");
    }
}

#[tokio::test]
async fn the_proxy_comes_from_the_configuration_a_variable_or_a_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "http://user:hunter2@proxy:3128\n").unwrap();
    let place = format!("{{file: {}}}", file.path().display());
    for place in ["'http://user:hunter2@proxy:3128'", "{env: PROXY}", &place] {
        let text = format!("{}api: {{proxy: {place}}}", minimal());
        // With api.proxy, the client reads no variable.
        let variables = [("PROXY", "http://user:hunter2@proxy:3128"), ("HTTPS_PROXY", "htp://x"), ("NO_PROXY", "*.x")];
        let (config, problems) = load_with(&text, &variables).await;
        assert!(problems.is_empty(), "{problems:?}");
        let config = config.unwrap();
        assert_eq!(config.api.proxy_url.as_ref().unwrap().expose_secret(), "http://user:hunter2@proxy:3128/");
        assert!(!format!("{config:?}{}", effective::to_yaml(&config)).contains("hunter2"), "{config:?}");
    }
}

#[tokio::test]
async fn a_new_proxy_in_the_same_file_is_a_change() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = format!("{}api: {{proxy: {{file: {}}}}}", minimal(), file.path().display());
    let mut settings = Vec::new();
    for proxy in ["http://one:3128", "http://one:3128", "http://two:3128"] {
        std::fs::write(file.path(), proxy).unwrap();
        settings.push(load_with(&text, &[]).await.0.unwrap().api);
    }
    assert!(settings[0] == settings[1] && settings[1] != settings[2]);
}

#[tokio::test]
async fn a_proxy_variable_that_the_client_would_ignore_is_an_error() {
    for name in ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        for value in [" ", "http://proxy\n", "'http://proxy'", "http://D\\u:hunter2@proxy", "代理", "htp://proxy"] {
            let (config, problems) = load_with(&minimal(), &[(name, value)]).await;
            assert!(config.is_none() && problems.len() == 1, "{name}={value:?}: {problems:?}");
            assert!(problems[0].starts_with(&format!("{name}: expected the URL of an HTTP proxy")), "{problems:?}");
            assert!(!problems[0].contains("hunter2"), "{problems:?}");
        }
        for value in ["", "http://proxy.example:3128", "proxy.example:3128"] {
            let (config, problems) = load_with(&minimal(), &[(name, value)]).await;
            assert!(config.is_some() && problems.is_empty(), "{name}={value:?}: {problems:?}");
        }
    }
}

/// The client takes the first variable that exists, even if it is empty.
#[tokio::test]
async fn a_proxy_variable_that_another_one_hides_is_not_checked() {
    for (upper, lower, errors) in [("", "htp://x", 0), ("http://x", "htp://x", 0), ("htp://x", "http://x", 1)] {
        let (_, problems) = load_with(&minimal(), &[("HTTPS_PROXY", upper), ("https_proxy", lower)]).await;
        assert_eq!(problems.len(), errors, "{problems:?}");
    }
    let variables = [("HTTPS_PROXY", "http://x"), ("REQUEST_METHOD", "")];
    let (config, problems) = load_with(&minimal(), &variables).await;
    assert!(config.is_none() && problems[0].starts_with("REQUEST_METHOD: "), "{problems:?}");
    assert!(load_with(&minimal(), &variables[1..]).await.0.is_some());
}

#[tokio::test]
async fn entries_of_no_proxy_without_effect_are_warnings() {
    let entries = "a.example, *.b.example,10.0.0.0/8, http://u:hunter2@c.example ,d.example:443,,";
    for name in ["NO_PROXY", "no_proxy"] {
        let variables = [("HTTPS_PROXY", "http://proxy"), (name, entries)];
        let (config, problems) = load_with(&minimal(), &variables).await;
        assert!(config.is_some() && problems.len() == 3, "{problems:?}");
        for (problem, entry) in problems.iter().zip([
            "the entry \"*.b.example\"",
            "an entry that is not shown",
            "the entry \"d.example:443\"",
        ]) {
            assert!(problem.starts_with(&format!("{name}: {entry} has no effect; expected a domain")), "{problem}");
        }
        assert!(load_with(&minimal(), &variables[1..]).await.1.is_empty(), "without a proxy there are no exceptions");
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

#[tokio::test]
async fn a_variable_that_is_not_utf8_is_a_problem() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    for (name, is_ours) in [("METASTUDIO_TIMEZONE", true), ("HUAWEICLOUD_SDK_AK", true), ("LC_ALL", false)] {
        let environment = [(OsStr::new(name), OsStr::from_bytes(b"hunter2\xff"))].into_iter().collect();
        let loaded = load_text(minimal(), Path::new("config.yaml"), &environment).await;
        let problems: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
        let expected = format!("{name}: the value must be UTF-8");
        assert_eq!(problems, if is_ours { vec![expected] } else { Vec::new() });
        assert_eq!(loaded.config.is_none(), is_ours);
    }
    let unknown = [(OsStr::new("METASTUDIO_EXPORTER"), OsStr::from_bytes(b"\xff"))].into_iter().collect();
    let loaded = load_text(minimal(), Path::new("config.yaml"), &unknown).await;
    let [problem] = &loaded.problems[..] else { panic!("{:?}", loaded.problems) };
    assert!(problem.is_warning && problem.to_string().contains("is ignored"), "{problem}");
}

#[tokio::test]
async fn a_variable_that_a_secret_names_is_not_ignored() {
    let text = "credentials: {main: {token: {env: METASTUDIO_TOKEN}}}\n\
                api: {proxy: {env: METASTUDIO_PROXY}}\n\
                projects: [{name: a, region: cn-north-4}]";
    let variables = [("METASTUDIO_TOKEN", "t"), ("METASTUDIO_PROXY", "http://proxy:1"), ("METASTUDIO_OTHER", "x")];
    let loaded = load_text(text.to_owned(), Path::new("config.yaml"), &environment(&variables)).await;
    let problems: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
    assert!(matches!(&problems[..], [problem] if problem.contains("METASTUDIO_OTHER")), "{problems:?}");
}
