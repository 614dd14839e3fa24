//! From a file and the environment to a [`Config`], or to the list of everything that is wrong.

use std::{collections::BTreeMap, path::Path, time::Duration};

use config::{File, FileFormat};
use reqwest::{Certificate, Url};
use serde_json::Value;

use super::{
    Api, Config, CredentialsSource, ENVIRONMENT, Environment, Keys, Poll, Problem, Project, Secret,
    endpoint::{Endpoint, REGIONS},
    read::{Node, Reader, Section},
};
use crate::usage::Window;

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

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Labels that the usage series have already, or that Prometheus keeps for itself.
const RESERVED_LABELS: [&str; 7] = ["project", "window", "resource_type", "business_type", "user_id", "unit", "le"];

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
        let problem = Problem { path: path.display().to_string(), found: None, expected, is_warning: false };
        Loaded { config: None, problems: vec![problem], text }
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
    let config = root(reader.root(&tree), directory, environment);
    let mut problems = reader.into_problems();
    problems.append(&mut warnings);
    Ok((config, problems))
}

async fn finish(config: Config, mut problems: Vec<Problem>, text: String, environment: &Environment) -> Loaded {
    for (name, source) in &config.credentials {
        let secrets = match source {
            CredentialsSource::Keys(keys) => vec![
                ("access_key", Some(&keys.access_key)),
                ("secret_key", Some(&keys.secret_key)),
                ("security_token", keys.security_token.as_ref()),
            ],
            CredentialsSource::Token(token) => vec![("token", Some(token))],
        };
        for (key, secret) in secrets {
            if let Some(secret) = secret
                && let Err(error) = secret.read(environment).await
            {
                let path = format!("credentials.{name}.{key}");
                let hint = if name == ENVIRONMENT { "; or name the keys in a section credentials" } else { "" };
                problems.push(Problem { path, found: None, expected: format!("{error}{hint}"), is_warning: false });
            }
        }
    }
    check_connections(&config.api, &mut problems);
    problems.sort_by_key(|problem| problem.is_warning);
    let is_valid = problems.iter().all(|problem| problem.is_warning);
    Loaded { config: is_valid.then_some(config), problems, text }
}

/// Whether the CA file and the proxy can be used, as far as can be told without connecting.
fn check_connections(api: &Api, problems: &mut Vec<Problem>) {
    let mut problem = |path: &str, expected: String| {
        problems.push(Problem { path: path.to_owned(), found: None, expected, is_warning: false });
    };
    if let Some(path) = &api.ca_file {
        let read = std::fs::read(path).map_err(|error| error.to_string());
        let parsed = read.and_then(|pem| Certificate::from_pem_bundle(&pem).map_err(|error| error.to_string()));
        match parsed {
            Ok(certificates) if certificates.is_empty() => {
                problem("api.ca_file", format!("{} holds no PEM certificate", path.display()));
            }
            Ok(_) => {}
            Err(error) => problem("api.ca_file", format!("cannot use {}: {error}", path.display())),
        }
    }
}

fn root(mut section: Section<'_>, directory: &Path, environment: &Environment) -> Config {
    let poll = poll(section.section("poll"));
    let windows = section
        .get("windows")
        .map_or_else(|| vec![Window::Today, Window::Yesterday, Window::ThisMonth], |node| windows(&node));
    let timezone = section.get("timezone").and_then(|node| {
        node.parse("a time zone by its IANA name, such as Asia/Shanghai or UTC", |text| text.parse().ok())
    });
    let api = api(section.section("api"), directory);
    let mut credentials: BTreeMap<String, CredentialsSource> = section
        .get("credentials")
        .map(Node::hide)
        .iter()
        .flat_map(Node::entries)
        .map(|(name, node)| (name.to_owned(), credentials_source(node.section(), directory)))
        .collect();
    if credentials.is_empty() {
        let keys = Keys::of_environment(environment);
        credentials.insert(ENVIRONMENT.to_owned(), CredentialsSource::Keys(keys));
    }
    let mut config = Config {
        poll,
        windows,
        timezone: timezone.unwrap_or(chrono_tz::Asia::Shanghai),
        api,
        credentials,
        projects: Vec::new(),
    };
    let nodes = section.require("projects", "a list of the projects to poll");
    if let Some(nodes) = nodes {
        let mut names = Vec::new();
        config.projects = nodes.list(|node| project(&node, &config, &mut names));
        if config.projects.is_empty() {
            nodes.problem("at least one project");
        }
        check_rate(&nodes, &config);
    }
    section.finish();
    config
}

fn poll(mut section: Section<'_>) -> Poll {
    let default = Poll::default();
    let mut duration = |key, range| section.get(key).and_then(|node| node.duration(range));
    let interval = duration("interval", MINUTE..=DAY).unwrap_or(default.interval);
    let timeout = duration("timeout", SECOND..=DAY).unwrap_or(default.timeout);
    let stale_after = duration("stale_after", MINUTE..=30 * DAY);
    let concurrency = section.get("concurrency").and_then(|node| node.integer(1..=1024));
    check_times(&section, interval, timeout, stale_after);
    section.finish();
    Poll { interval, timeout, concurrency: concurrency.unwrap_or(default.concurrency), stale_after }
}

/// Whether the times of a section go together.
fn check_times(section: &Section<'_>, interval: Duration, timeout: Duration, stale_after: Option<Duration>) {
    let show = humantime::format_duration;
    if timeout > interval {
        let (timeout, interval) = (show(timeout), show(interval));
        section.problem(format!("the timeout ({timeout}) must not be longer than the interval ({interval})"));
    }
    // The second poll comes up to one and a half intervals after the first.
    if let Some(stale_after) = stale_after.filter(|stale_after| *stale_after < 2 * interval) {
        let (stale_after, interval) = (show(stale_after), show(interval));
        section.problem(format!(
            "stale_after ({stale_after}) must be at least twice the interval ({interval}), or usage vanishes between \
             two polls"
        ));
    }
}

fn windows(node: &Node<'_>) -> Vec<Window> {
    let windows = node.set(|node| node.parse(Window::EXPECTED, |text| text.parse().ok()));
    if windows.is_empty() {
        node.problem("at least one window");
    }
    windows
}

fn api(mut section: Section<'_>, directory: &Path) -> Api {
    let default = Api::default();
    let api = Api {
        request_timeout: section
            .get("request_timeout")
            .and_then(|node| node.duration(SECOND..=5 * MINUTE))
            .unwrap_or(default.request_timeout),
        max_retries: section.get("max_retries").and_then(|node| node.integer(0..=10)).unwrap_or(default.max_retries),
        requests_per_second: section
            .get("requests_per_second")
            .and_then(|node| node.number(0.01..=1000.0))
            .unwrap_or(default.requests_per_second),
        page_size: section.get("page_size").and_then(|node| node.integer(1..=1000)).unwrap_or(default.page_size),
        ca_file: section.get("ca_file").and_then(|node| node.text()).map(|path| directory.join(path)),
        proxy: section.get("proxy").and_then(|node| {
            let expected = "the URL of an HTTP proxy, such as http://proxy.example:3128";
            node.hide().parse(expected, |text| {
                let is_proxy = |url: Url| matches!(url.scheme(), "http" | "https") && url.has_host();
                Url::parse(text).is_ok_and(is_proxy).then(|| text.into())
            })
        }),
    };
    section.finish();
    api
}

fn credentials_source(mut section: Section<'_>, directory: &Path) -> CredentialsSource {
    let mut read = |key| section.get(key).map(|node| secret(&node, directory));
    let [access_key, secret_key, security_token, token] =
        ["access_key", "secret_key", "security_token", "token"].map(&mut read);
    let source = match (access_key, secret_key, token) {
        (Some(access_key), Some(secret_key), None) => {
            CredentialsSource::Keys(Keys { access_key, secret_key, security_token })
        }
        (None, None, Some(token)) if security_token.is_none() => CredentialsSource::Token(token),
        _ => {
            section.problem(
                "expected either access_key and secret_key, with security_token if they are temporary, or token alone",
            );
            // Stands in, so that the checks of the projects that refer to it still run.
            CredentialsSource::Token(Secret::Inline("wrong".into()))
        }
    };
    section.finish();
    source
}

fn secret(node: &Node<'_>, directory: &Path) -> Secret {
    let wrong = Secret::Inline("wrong".into());
    if !node.is_mapping() {
        let expected = "a text, {env: NAME} or {file: PATH}";
        return node.parse(expected, |text| Some(Secret::Inline(text.into()))).unwrap_or(wrong);
    }
    let mut section = node.section();
    let env = section.get("env").and_then(|node| node.text());
    let file = section.get("file").and_then(|node| node.text());
    section.finish();
    match (env, file) {
        (Some(name), None) => Secret::Env(name),
        (None, Some(path)) => Secret::File(directory.join(path)),
        _ => {
            node.problem("a text, {env: NAME} or {file: PATH}");
            wrong
        }
    }
}

/// Reads a project; what is wrong in it is noted and replaced, so that the checks across projects still run.
fn project(node: &Node<'_>, config: &Config, names: &mut Vec<String>) -> Option<Project> {
    if !node.is_mapping() {
        node.problem("a mapping with name, region and project_id");
        return None;
    }
    let mut section = node.section();
    let name_node = section.require("name", "a name, which becomes the label `project`");
    let name = name_node.as_ref().and_then(Node::text).unwrap_or_default();
    if let Some(node) = name_node
        && !name.is_empty()
    {
        if names.contains(&name) {
            node.problem("a name that no other project has");
        }
        names.push(name.clone());
    }

    let (region, endpoint) = region_and_endpoint(&mut section);
    let project_id = project_id(&mut section);
    let credentials = credentials_name(&mut section, config);

    let interval = section.get("interval").and_then(|node| node.duration(MINUTE..=DAY));
    let interval = interval.unwrap_or(config.poll.interval);
    if interval != config.poll.interval {
        check_times(&section, interval, config.poll.timeout, config.poll.stale_after);
    }
    let stale_after = config.poll.stale_after.unwrap_or(3 * interval);
    let texts = |node: Option<Node<'_>>| node.map_or_else(Vec::new, |node| node.set(Node::text));
    let project = Project {
        name,
        region,
        endpoint,
        project_id,
        credentials,
        labels: labels(section.get("labels")),
        user_ids: texts(section.get("user_ids")),
        app_user_id: section.get("app_user_id").and_then(|node| {
            node.parse("a text of ASCII characters (the API allows no Chinese ones)", |text| {
                (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())).then(|| text.to_owned())
            })
        }),
        resource_types: texts(section.get("resource_types")),
        business_types: texts(section.get("business_types")),
        interval,
        stale_after,
        windows: section.get("windows").map_or_else(|| config.windows.clone(), |node| windows(&node)),
    };
    section.finish();
    Some(project)
}

fn region_and_endpoint(section: &mut Section<'_>) -> (String, Endpoint) {
    let region_node = section.get("region");
    let region = region_node.as_ref().and_then(|node| {
        node.parse("a region, such as cn-north-4", |text| {
            let is_region = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            (!text.is_empty() && text.bytes().all(is_region)).then(|| text.to_owned())
        })
    });
    let endpoint_node = section.get("endpoint");
    // A URL with a user in it may hold a password.
    let endpoint_node = endpoint_node.map(|node| if node.contains('@') { node.hide() } else { node });
    let endpoint = endpoint_node.as_ref().and_then(|node| node.parse(Endpoint::EXPECTED, Endpoint::parse));
    if let (Some(node), Some(region), None) = (&region_node, &region, &endpoint_node)
        && !REGIONS.contains(&region.as_str())
    {
        node.warning(format!(
            "MetaStudio is documented in {} only; will try {}",
            REGIONS.join(", "),
            Endpoint::of_region(region)
        ));
    }
    if region_node.is_none() && endpoint_node.is_none() {
        section.problem("region is missing; expected a region such as cn-north-4, or an endpoint");
    }
    let region = region.unwrap_or_default();
    let endpoint = endpoint.unwrap_or_else(|| Endpoint::of_region(&region));
    (region, endpoint)
}

fn project_id(section: &mut Section<'_>) -> String {
    let expected = "a text of letters, digits, - and _: the project's id in that region (console, My Credentials)";
    let Some(node) = section.require("project_id", expected) else { return String::new() };
    let id = node.parse(expected, |text| {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (!text.is_empty() && text.bytes().all(is_allowed)).then(|| text.to_owned())
    });
    let id = id.unwrap_or_default();
    if !id.is_empty() && (id.len() != 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit())) {
        node.warning("project ids are 32 hexadecimal digits; the project's name is not its id");
    }
    id
}

fn credentials_name(section: &mut Section<'_>, config: &Config) -> String {
    let names = || config.credentials.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    if let Some(node) = section.get("credentials") {
        let expected = format!("the name of one of the credentials: {}", names());
        let name = node.parse(&expected, |text| config.credentials.contains_key(text).then(|| text.to_owned()));
        return name.unwrap_or_default();
    }
    let mut all = config.credentials.keys();
    match (all.next(), all.next()) {
        (Some(only), None) => only.clone(),
        _ => {
            section.problem(format!("credentials is missing; expected one of {}", names()));
            String::new()
        }
    }
}

fn labels(node: Option<Node<'_>>) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for (name, node) in node.iter().flat_map(Node::entries) {
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && !name.starts_with(|first: char| first.is_ascii_digit())
            && !name.starts_with("__")
            && !name.is_empty();
        if !is_name || RESERVED_LABELS.contains(&name) {
            node.problem(format!(
                "a label name of letters, digits and _ that does not begin with __ or a digit, other than {}",
                RESERVED_LABELS.join(", ")
            ));
        }
        let value = node.parse("a text", |text| Some(text.to_owned()));
        labels.insert(name.to_owned(), value.unwrap_or_default());
    }
    labels
}

/// Warns where the projects of one account and region together want more requests than the rate allows: on average,
/// or while as many are polled as may be at a time.
fn check_rate(node: &Node<'_>, config: &Config) {
    let allowed = config.api.requests_per_second;
    let mut groups: BTreeMap<(&str, &str), Vec<&Project>> = BTreeMap::new();
    for project in &config.projects {
        groups.entry((&project.credentials, &project.endpoint.host)).or_default().push(project);
    }
    for ((credentials, host), projects) in groups {
        let rate: f64 = projects.iter().map(|project| project.requests_a_second()).sum();
        let at_a_time = projects.len().min(config.poll.concurrency);
        let queries = projects.iter().map(|project| project.queries()).max().unwrap_or_default();
        let takes = (at_a_time * queries) as f64 / allowed;
        let timeout = config.poll.timeout.as_secs_f64();
        if rate > allowed {
            node.warning(format!(
                "the projects with credentials {credentials} at {host} need {rate:.1} requests a second, \
                 api.requests_per_second allows {allowed}: raise the interval, or poll fewer windows and users"
            ));
        } else if takes > timeout {
            node.warning(format!(
                "{at_a_time} polls at a time with credentials {credentials} at {host} share {allowed} requests a \
                 second and take {takes:.0}s, poll.timeout allows {timeout}s: lower poll.concurrency or raise the timeout"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
