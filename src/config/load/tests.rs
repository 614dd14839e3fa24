mod credentials;
mod faults;
mod keys;
mod projects;
mod sections;
mod shared_budgets;
mod yaml;

use std::time::Duration;

use super::*;
use crate::usage::Window;

const ID: &str = "0123456789abcdef0123456789abcdef";

fn environment(pairs: &[(&str, &str)]) -> Environment {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The configuration of a text, and its problems without file and line.
async fn load_with(text: &str, pairs: &[(&str, &str)]) -> (Option<Config>, Vec<String>) {
    let loaded = load_text(text.to_owned(), Path::new("config.yaml"), &environment(pairs)).await;
    let problems = loaded.problems.into_iter().map(|problem| Problem { file: None, ..problem }.to_string());
    (loaded.config, problems.collect())
}

fn minimal() -> String {
    format!("credentials: {{main: {{token: t}}}}\nprojects: [{{name: a, region: cn-north-4, project_id: {ID}}}]\n")
}

#[tokio::test]
async fn a_minimal_file_gets_the_defaults() {
    let (config, problems) = load_with(&minimal(), &[]).await;
    let config = config.unwrap_or_else(|| panic!("{problems:?}"));
    assert_eq!(problems, [""; 0]);
    let project = &config.projects[0];
    assert_eq!(project.endpoint.to_string(), "https://metastudio.cn-north-4.myhuaweicloud.com");
    assert_eq!((project.credentials.as_str(), project.interval), ("main", Duration::from_secs(300)));
    assert_eq!(project.stale_after, Duration::from_secs(900));
    assert_eq!(project.windows, [Window::Today, Window::Yesterday, Window::ThisMonth]);
    assert_eq!(config.timezone.to_string(), "Asia/Shanghai");
    assert_eq!(project.requests_a_day(), 864.0);
}

#[tokio::test]
async fn every_problem_is_reported_at_once_with_its_place() {
    let text = "
poll: {interval: 30s, concurrency: many, intervall: 5m}
windows: [today, tomorrow, today]
timezone: Beijing
api: {page_size: 5000, requests_per_second: 0, proxy: 'http://u:hunter2@', secret_key: hunter2}
credentials:
  main: {access_key: AKAK, secret_key: {file: /nowhere/sk}}
  both: {access_key: {env: A, file: b}, token: hunter2}
  odd: {access_key: {env: UNSET_AK}, secret_key: 12345678, password: hunter2}
projects:
  - {name: a, region: cn-north-4, project_id: 12345678901234567890123456789012, credentials: main}
  - {name: a, region: CN North, project_id: p, credentials: nobody, labels: {window: x, 1st: y, team: 7}}
  - {region: cn-north-9, endpoint: 'http://example.com/v1', app_user_id: 用户, windows: [], user_ids: [u, u]}
  - nonsense
  - {name: b, endpoint: 'https://u:hunter2@example.com', project_id: q, secret_key: hunter2, credentials: main}
secret_key: hunter2
zzz: 1
";
    let loaded = load_text(text.to_owned(), Path::new("config.yaml"), &environment(&[])).await;
    assert!(loaded.config.is_none());
    let all = loaded.problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n");
    assert!(!all.contains("hunter2") && !all.contains("12345678;") && !all.contains("AKAK"), "{all}");
    insta::assert_snapshot!(all);
}

#[tokio::test]
async fn variables_override_scalars_and_others_give_warnings() {
    let variables = [
        ("METASTUDIO_POLL__INTERVAL", "10m"),
        ("METASTUDIO_API__PAGE_SIZE", "100"),
        ("METASTUDIO_API__REQUESTS_PER_SECOND", "0.5"),
        ("METASTUDIO_TIMEZONE", "UTC"),
        ("METASTUDIO_POLL__TIMEOUT", ""),
        ("METASTUDIO_SERVICE_HOST", "10.0.0.1"),
        ("METASTUDIO_CREDENTIALS__MAIN__TOKEN", "never"),
    ];
    let (config, problems) = load_with(&minimal(), &variables).await;
    let config = config.unwrap_or_else(|| panic!("{problems:?}"));
    assert_eq!(config.projects[0].interval, Duration::from_secs(600));
    assert_eq!((config.api.page_size, config.api.requests_per_second), (100, 0.5));
    assert_eq!(config.timezone.to_string(), "UTC");
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems.iter().all(|problem| problem.contains("is ignored")), "{problems:?}");

    let (config, problems) = load_with(&minimal(), &[("METASTUDIO_POLL__INTERVAL", "soon")]).await;
    assert!(config.is_none());
    assert!(
        problems[0].starts_with("poll.interval (set by METASTUDIO_POLL__INTERVAL): found \"soon\""),
        "{problems:?}"
    );
}

#[tokio::test]
async fn a_text_that_is_not_one_mapping_is_an_error() {
    for (text, problem) in [
        ("a: [", "config.yaml:2: is not YAML: "),
        ("\n- 1", "config.yaml:2: expected keys with values at the top level, found a list"),
        ("text", "config.yaml:1: expected keys with values at the top level, found a single value"),
        ("a: 1\n---\nb: 2", "config.yaml:2: a second document begins here; write one document"),
        ("a: 1\na: 2", "config.yaml:2: a: this key occurs twice, first in line 1; remove one"),
        ("a: &x [*x]", "config.yaml:1: this alias is inside the value that it copies"),
        ("a: *x", "config.yaml:1: is not YAML: "),
        ("a: {<<: 1}", "config.yaml:1: the key << needs a mapping or a list of mappings"),
        ("a: 1\n\0b: 2", "config.yaml:2: is not YAML: it has the control character U+0000; remove it"),
        ("a: 1\r\nb: \u{1b}[2J", "config.yaml:2: is not YAML: it has the control character U+001B; remove it"),
        ("a: !vault secret", "config.yaml:1: a: the tag !vault has no meaning here; remove it"),
    ] {
        let loaded = load_text(text.to_owned(), Path::new("config.yaml"), &environment(&[])).await;
        let first = loaded.problems[0].to_string();
        assert!(loaded.config.is_none() && first.starts_with(problem), "{text}: {first}");
    }
    let (_, problems) = load_with("", &[]).await;
    assert!(problems.iter().any(|problem| problem.contains("projects: is missing")), "{problems:?}");
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_an_error_with_an_instruction() {
    let directory = tempfile::tempdir().unwrap();
    let first = async |path: &Path| load(path, &environment(&[]), Shard::ALL).await.problems[0].to_string();
    let path = directory.path().join("config.yaml");
    let error = first(&path).await;
    assert!(error.starts_with(&format!("{}: there is no such file", path.display())), "{error}");
    assert!(error.ends_with("metastudio-exporter demo"), "{error}");
    std::fs::write(directory.path().join("config.yml"), "").unwrap();
    let error = first(&path).await;
    assert!(error.ends_with(&format!("--config.file={}/config.yml", directory.path().display())), "{error}");
    assert!(first(directory.path()).await.ends_with("is a directory; name the file in it with --config.file"));
}

#[tokio::test]
async fn relative_paths_start_at_the_directory_of_the_file() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("token"), "secret").unwrap();
    let text = minimal().replace("{token: t}", "{token: {file: token}}");
    std::fs::write(directory.path().join("config.yaml"), text).unwrap();
    let loaded = load(&directory.path().join("config.yaml"), &environment(&[]), Shard::ALL).await;
    assert!(loaded.config.is_some(), "{:?}", loaded.problems);
}
