//! Keys that the crate `config` would not read as they are written.

use super::*;

/// The problems of a file with one more line.
async fn problems_with(line: &str) -> Vec<String> {
    let (config, problems) = load_with(&format!("{}{line}\n", minimal()), &[]).await;
    assert!(config.is_none(), "{line}");
    problems
}

#[tokio::test]
async fn a_path_as_a_key_is_a_problem() {
    for (line, problem) in [
        (
            "poll: {timeout: 20s}\npoll.timeout: 5s",
            "poll.timeout: a key must not be a path; write the key timeout below poll",
        ),
        ("'poll.timeout': 5s", "poll.timeout: a key must not be a path; write the key timeout below poll"),
        ("\"api.proxy\": hunter2", "api.proxy: a key must not be a path; write the key proxy below api"),
        (
            "credentials.main.token: hunter2",
            "credentials.main.token: a key must not be a path; write the key token below credentials.main",
        ),
        ("\"projects[1]\": {name: b}", "projects[1]: a key must not be a path; write the element in the list projects"),
        ("'projects[0].name': b", "projects[0].name: a key must not be a path; write the element in the list projects"),
        (
            "'projects[-99999999999]': b",
            "projects[-99999999999]: a key must not be a path; write the element in the list projects",
        ),
        ("'projects[ 1 ]': b", "projects[ 1 ]: a key must not be a path; write the element in the list projects"),
        ("'poll.': b", "poll.: a key must not be a path; write a section poll with its keys below it"),
        ("'api.a[0]': b", "api.a[0]: a key must not be a path; write a section api with its keys below it"),
        ("'api.a[0].b': c", "api.a[0].b: a key must not be a path; write a section api with its keys below it"),
        ("'poll..timeout': 5s", "poll..timeout: a key must not be a path; write a section poll with its keys below it"),
        ("1.5: 2", "1.5: a key must not be a path; write the key 5 below 1"),
    ] {
        assert_eq!(problems_with(line).await, [problem], "{line}");
    }
}

/// The hash map of the crate has a random order in each run, so one run is not enough.
#[tokio::test]
async fn a_path_as_a_key_never_changes_a_value() {
    for _ in 0..50 {
        let problems = problems_with("poll: {timeout: 10m}\npoll.timeout: 5s").await;
        let timeout = "poll.timeout: the timeout (10m) must not be longer than the interval (5m)";
        let path = "poll.timeout: a key must not be a path; write the key timeout below poll";
        assert_eq!(problems, [timeout, path]);
    }
}

#[tokio::test]
async fn a_key_that_only_looks_like_a_path_is_unknown() {
    for key in [".poll", "[0]", "poll timeout", "a]", "轮询"] {
        let problems = problems_with(&format!("'{key}': 1")).await;
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(&format!("{key}: there is no such key")), "{problems:?}");
    }
}

#[tokio::test]
async fn keys_below_the_top_level_may_have_dots_and_brackets() {
    let text = format!(
        "credentials: {{john.doe: {{token: t}}, 'a[0]': {{token: t}}, 7: {{token: t}}, 1.5: {{token: t}}}}
projects:
  - {{name: a, region: cn-north-4, project_id: {ID}, credentials: john.doe, labels: {{team: a.b, site: 'c[1]'}}}}
  - {{name: b, region: cn-north-4, project_id: {ID}, credentials: 'a[0]'}}
  - {{name: c, region: cn-north-4, project_id: {ID}, credentials: '7'}}
"
    );
    let (config, problems) = load_with(&text, &[]).await;
    let config = config.unwrap_or_else(|| panic!("{problems:?}"));
    assert_eq!(config.credentials.keys().collect::<Vec<_>>(), ["1.5", "7", "a[0]", "john.doe"]);
    assert_eq!(config.projects[0].credentials, "john.doe");
    assert_eq!(config.projects[0].labels["team"], "a.b");
    assert_eq!(config.projects[0].labels["site"], "c[1]");

    let text = minimal().replace("name: a", "name: a, labels: {a.b: c}");
    let (_, problems) = load_with(&text, &[]).await;
    assert!(problems[0].starts_with("projects[0] (a).labels.a.b: found \"c\"; expected a label name"), "{problems:?}");
}

#[tokio::test]
async fn a_key_that_is_not_a_text_is_a_problem() {
    let expected = "expected a text as every key; put values that begin with {{ in quotes";
    for (line, path) in [
        ("poll: {interval: {{ hunter2 }}}", "poll.interval"),
        ("~: 1", ""),
        ("? [hunter2]\n: 1", ""),
        ("windows: [{{ hunter2 }}]", "windows[0]"),
    ] {
        let problems = problems_with(line).await;
        let place = if path.is_empty() { String::new() } else { format!("{path}: ") };
        assert_eq!(problems[0], format!("{place}{expected}"), "{line}");
        assert!(!problems.join("").contains("hunter2"), "{problems:?}");
    }
}

#[tokio::test]
async fn a_key_that_occurs_twice_is_a_problem() {
    let text = minimal().replace("main: {token: t}", "1: {token: hunter2}, '1': {token: t}");
    let (config, problems) = load_with(&text, &[]).await;
    assert!(config.is_none());
    assert_eq!(problems, ["credentials.1: this key occurs twice, first in line 1; remove one"]);
}

#[tokio::test]
async fn problems_of_keys_do_not_hide_others() {
    let problems = problems_with("poll.timeout: 5s\napi: {page_size: 0}\nzzz: 1").await;
    assert_eq!(problems.len(), 3, "{problems:?}");
}
