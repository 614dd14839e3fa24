//! From a file and the environment to a [`Config`], or to the list of everything that is wrong.

use std::path::Path;

use config::{File, FileFormat};
use reqwest::Certificate;
use serde_json::Value;

use super::{Api, Config, CredentialsSource, ENVIRONMENT, Environment, Keys, Problem, read::Reader, sections};

/// The scalars that a variable `METASTUDIO_<SECTION>__<KEY>` may set. Secrets are not among them.
const SCALARS: [&str; 11] = [
    "api.ca_file",
    "api.max_retries",
    "api.page_size",
    "api.proxy",
    "api.request_timeout",
    "api.requests_per_second",
    "poll.concurrency",
    "poll.interval",
    "poll.stale_after",
    "poll.timeout",
    "timezone",
];
const PREFIX: &str = "METASTUDIO_";

/// What loading came to.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration; `None` where a problem is more than a warning.
    pub config: Option<Config>,
    /// Errors first, then warnings.
    pub problems: Vec<Problem>,
    /// The text of the file, for its hash.
    pub text: String,
}

/// Loads and validates the configuration file, with the scalars that the environment overrides. Secrets named in it
/// must be there: a missing one is a problem.
pub async fn load(path: &Path, environment: &Environment) -> Loaded {
    let text = match tokio::fs::read_to_string(path).await {
        Ok(text) => text,
        Err(error) => {
            let expected = format!("cannot be read: {error}; name the file with --config.file");
            return Loaded::failed(path, expected, String::new());
        }
    };
    load_text(text, path, environment).await
}

/// As [`load`], of a text that has been read already; relative paths in it count from the directory of `path`.
pub async fn load_text(text: String, path: &Path, environment: &Environment) -> Loaded {
    let directory = path.parent().unwrap_or(Path::new(""));
    match parse(&text, directory, environment) {
        Ok((config, problems)) => finish(config, problems, text, environment).await,
        Err(error) => Loaded::failed(path, format!("is not YAML: {error}"), text),
    }
}

impl Loaded {
    fn failed(path: &Path, expected: String, text: String) -> Self {
        Loaded { config: None, problems: vec![Problem::error(path.display().to_string(), expected)], text }
    }
}

/// Reads the text alone.
///
/// # Errors
/// If it is not YAML. What else is wrong is among the problems; the configuration then holds defaults in its place.
fn parse(
    text: &str,
    directory: &Path,
    environment: &Environment,
) -> Result<(Config, Vec<Problem>), config::ConfigError> {
    let mut reader = Reader::default();
    let mut warnings = Vec::new();
    let mut builder = config::Config::builder().add_source(File::from_str(text, FileFormat::Yaml));
    for name in environment.names().filter(|name| name.starts_with(PREFIX)) {
        let key = name.trim_start_matches(PREFIX).to_ascii_lowercase().replace("__", ".");
        match (SCALARS.contains(&key.as_str()), environment.get(name)) {
            (true, Some(value)) => {
                builder = builder.set_override(&key, value)?;
                reader.overridden.insert(key, name.to_owned());
            }
            (true, None) => {}
            (false, _) => warnings.push(Problem {
                path: name.to_owned(),
                found: None,
                expected: "this environment variable matches no key that may be set this way and is ignored".to_owned(),
                is_warning: true,
            }),
        }
    }
    let tree: Value = builder.build()?.try_deserialize()?;
    let config = sections::root(reader.root(&tree), directory, environment);
    let mut problems = reader.into_problems();
    problems.append(&mut warnings);
    Ok((config, problems))
}

async fn finish(config: Config, mut problems: Vec<Problem>, text: String, environment: &Environment) -> Loaded {
    for (name, source) in &config.credentials {
        let mut secrets = match source {
            CredentialsSource::Keys(keys) => vec![
                ("access_key", keys.access_key.read(environment).await),
                ("secret_key", keys.secret_key.read(environment).await),
            ],
            CredentialsSource::Token(token) => vec![("token", token.read(environment).await)],
            CredentialsSource::IamUser(user) => {
                vec![("iam_user.password", user.password.read_password(environment).await)]
            }
            CredentialsSource::EcsAgency(_) => vec![],
        };
        if let CredentialsSource::Keys(Keys { security_token: Some(token), .. }) = source {
            secrets.push(("security_token", token.read(environment).await));
        }
        let hint = if name == ENVIRONMENT { "; or name the keys in a section credentials" } else { "" };
        for (key, error) in secrets.into_iter().filter_map(|(key, read)| Some((key, read.err()?))) {
            problems.push(Problem::error(format!("credentials.{name}.{key}"), format!("{error}{hint}")));
        }
    }
    problems.extend(check_ca_file(&config.api));
    problems.sort_by_key(|problem| problem.is_warning);
    let is_valid = problems.iter().all(|problem| problem.is_warning);
    Loaded { config: is_valid.then_some(config), problems, text }
}

/// Whether the CA file can be used, as far as can be told without connecting.
fn check_ca_file(api: &Api) -> Option<Problem> {
    let path = api.ca_file.as_ref()?;
    let read = std::fs::read(path).map_err(|error| error.to_string());
    let parsed = read.and_then(|pem| Certificate::from_pem_bundle(&pem).map_err(|error| error.to_string()));
    let expected = match parsed {
        Ok(certificates) if certificates.is_empty() => format!("{} holds no PEM certificate", path.display()),
        Ok(_) => return None,
        Err(error) => format!("cannot use {}: {error}", path.display()),
    };
    Some(Problem::error("api.ca_file", expected))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::usage::Window;

    const ID: &str = "0123456789abcdef0123456789abcdef";

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    async fn load_with(text: &str, pairs: &[(&str, &str)]) -> (Option<Config>, Vec<String>) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let loaded = load(file.path(), &environment(pairs)).await;
        (loaded.config, loaded.problems.iter().map(Problem::to_string).collect())
    }

    fn minimal() -> String {
        format!("credentials: {{main: {{token: t}}}}\nprojects: [{{name: a, region: cn-north-4, project_id: {ID}}}]\n")
    }

    #[tokio::test]
    async fn ten_lines_are_enough_and_the_rest_is_default() {
        let (config, problems) = load_with(&minimal(), &[]).await;
        let config = config.unwrap_or_else(|| panic!("{problems:?}"));
        assert_eq!(problems, [""; 0]);
        let project = &config.projects[0];
        assert_eq!(project.endpoint.to_string(), "https://metastudio.cn-north-4.myhuaweicloud.com");
        assert_eq!((project.credentials.as_str(), project.interval), ("main", Duration::from_secs(300)));
        assert_eq!(project.stale_after, Duration::from_secs(900));
        assert_eq!(project.windows, [Window::Today, Window::Yesterday, Window::ThisMonth]);
        assert_eq!(config.timezone, chrono_tz::Asia::Shanghai);
        assert_eq!(project.requests_a_day(), 864.0);
    }

    #[tokio::test]
    async fn every_problem_is_reported_at_once_with_its_path() {
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
        let (config, problems) = load_with(text, &[]).await;
        assert!(config.is_none());
        let all = problems.join("\n");
        assert!(!all.contains("hunter2") && !all.contains("12345678;") && !all.contains("AKAK"), "{all}");
        insta::assert_snapshot!(all);
    }

    #[tokio::test]
    async fn variables_override_scalars_and_others_are_warned_of() {
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
        assert_eq!(config.timezone, chrono_tz::UTC);
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
    async fn without_credentials_the_environment_counts() {
        let text = format!("projects: [{{name: a, region: cn-north-4, project_id: {ID}}}]\n");
        let (config, problems) = load_with(&text, &[]).await;
        assert!(config.is_none());
        assert!(problems[0].contains("HUAWEICLOUD_SDK_AK"), "{problems:?}");
        let (config, problems) = load_with(&text, &[("CLOUD_SDK_AK", "a"), ("CLOUD_SDK_SK", "s")]).await;
        assert!(config.is_some(), "{problems:?}");
    }

    #[tokio::test]
    async fn what_is_no_configuration_at_all() {
        for text in ["a: [", "- 1", "a: 1\na: 2", "a: 1\n---\nb: 2"] {
            let (config, problems) = load_with(text, &[]).await;
            assert!(config.is_none() && problems[0].contains("is not YAML"), "{text}: {problems:?}");
        }
        let (_, problems) = load_with("", &[]).await;
        assert!(problems.iter().any(|problem| problem.contains("projects: is missing")), "{problems:?}");
        let loaded = load(Path::new("/nowhere.yaml"), &environment(&[])).await;
        assert!(loaded.problems[0].to_string().contains("/nowhere.yaml: cannot be read"), "{:?}", loaded.problems);
    }

    #[tokio::test]
    async fn files_are_found_beside_the_configuration() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("token"), "secret").unwrap();
        let text = minimal().replace("{token: t}", "{token: {file: token}}");
        std::fs::write(directory.path().join("config.yaml"), text).unwrap();
        let loaded = load(&directory.path().join("config.yaml"), &environment(&[])).await;
        assert!(loaded.config.is_some(), "{:?}", loaded.problems);
    }

    #[tokio::test]
    async fn more_polls_than_the_rate_allows_are_warned_of() {
        let text = minimal().replace("name: a", "name: a, interval: 1m, windows: [1h, 2h, 3h]")
            + "api: {requests_per_second: 0.04}";
        let (config, problems) = load_with(&text, &[]).await;
        assert!(config.is_some());
        assert!(problems[0].contains("need 0.1 requests a second"), "{problems:?}");
        let users: Vec<String> = (0..200).map(|user| format!("u{user}")).collect();
        let text = minimal().replace("name: a", &format!("name: a, user_ids: [{}]", users.join(", ")));
        let (config, problems) = load_with(&text, &[]).await;
        assert!(config.is_some());
        assert!(problems[0].contains("take 120s, poll.timeout allows 60s"), "{problems:?}");
    }

    #[tokio::test]
    async fn half_a_pair_of_variables_is_not_made_up_from_the_other() {
        let text = format!("projects: [{{name: a, region: cn-north-4, project_id: {ID}}}]\n");
        let both = [("HUAWEICLOUD_SDK_AK", "a"), ("CLOUD_SDK_AK", "a"), ("CLOUD_SDK_SK", "s")];
        let (config, problems) = load_with(&text, &both).await;
        assert!(config.is_none() && problems[0].contains("HUAWEICLOUD_SDK_SK"), "{problems:?}");
    }

    #[tokio::test]
    async fn what_cannot_be_used_to_connect_is_a_problem() {
        let not_pem = tempfile::NamedTempFile::new().unwrap();
        for (api, problem) in [
            ("ca_file: /nowhere.pem".to_owned(), "cannot use /nowhere.pem"),
            (format!("ca_file: {}", not_pem.path().display()), "holds no PEM certificate"),
            ("proxy: 'socks5://127.0.0.1:1'".to_owned(), "the URL of an HTTP proxy"),
        ] {
            let (config, problems) = load_with(&format!("{}api: {{{api}}}", minimal()), &[]).await;
            assert!(config.is_none() && problems[0].contains(problem), "{problems:?}");
        }
    }

    #[tokio::test]
    async fn times_that_do_not_go_together_are_problems() {
        for (poll, project, problem) in [
            ("interval: 1m, timeout: 2m", "", "poll: the timeout (2m) must not be longer than the interval (1m)"),
            ("interval: 5m, stale_after: 9m", "", "poll: stale_after (9m) must be at least twice the interval (5m)"),
            ("stale_after: 15m", "interval: 10m, ", "projects[0]: stale_after (15m) must be at least twice"),
        ] {
            let text = minimal().replace("name: a", &format!("{project}name: a"));
            let (config, problems) = load_with(&format!("{text}poll: {{{poll}}}"), &[]).await;
            assert!(config.is_none() && problems.len() == 1, "{problems:?}");
            assert!(problems[0].starts_with(problem), "{problems:?}");
        }
    }
}
