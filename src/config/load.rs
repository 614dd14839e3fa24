//! From a file and the environment to a [`Config`], or to the list of everything that is wrong.

use std::{collections::BTreeMap, path::Path};

use config::{File, FileFormat};
use reqwest::Certificate;
use serde_json::Value;

use super::{
    Api, Config, CredentialsSource, DEFAULT_CREDENTIALS, Endpoint, Environment, Problem, Project, Secret, Shard, chain,
    file, read::Reader, sections,
};

/// The scalars that a variable `METASTUDIO_<SECTION>__<KEY>` may set. Secrets are not among them.
const SCALARS: [&str; 12] = [
    "api.ca_file",
    "api.iam_endpoint",
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
/// must be there: a missing one is a problem. All of it is validated, and only the shard's part of it is kept.
pub async fn load(path: &Path, environment: &Environment, shard: Shard) -> Loaded {
    let text = match file::read_to_string(path).await {
        Ok(text) => text,
        Err(error) => {
            let expected = format!("cannot be read: {error}; name the file with --config.file");
            return Loaded::failed(path, expected, String::new());
        }
    };
    read(text, path, environment, shard).await
}

/// As [`load`], of a text that has been read already; relative paths in it count from the directory of `path`.
pub async fn load_text(text: String, path: &Path, environment: &Environment) -> Loaded {
    read(text, path, environment, Shard::ALL).await
}

async fn read(text: String, path: &Path, environment: &Environment, shard: Shard) -> Loaded {
    let directory = path.parent().unwrap_or(Path::new(""));
    match parse(&text, directory, environment) {
        Ok((mut config, problems)) => {
            config.keep(shard);
            finish(config, problems, text, environment).await
        }
        Err(error) => Loaded::failed(path, format!("is not YAML: {error}"), text),
    }
}

impl Loaded {
    /// The problems that are more than a warning.
    pub fn errors(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().filter(|problem| !problem.is_warning)
    }

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
        let key = name.strip_prefix(PREFIX).unwrap_or_default().to_ascii_lowercase().replace("__", ".");
        match (SCALARS.contains(&key.as_str()), environment.get(name)) {
            (true, Some(value)) => {
                builder = builder.set_override(&key, value)?;
                reader.overridden.insert(key, name.to_owned());
            }
            (true, None) => {}
            (false, _) => warnings.push(Problem::warning(
                name,
                "this environment variable matches no key that may be set this way and is ignored",
            )),
        }
    }
    let tree: Value = builder.build()?.try_deserialize()?;
    let config = sections::root(reader.root(&tree), directory, environment);
    let mut problems = reader.into_problems();
    problems.append(&mut warnings);
    Ok((config, problems))
}

async fn finish(mut config: Config, mut problems: Vec<Problem>, text: String, environment: &Environment) -> Loaded {
    if config.credentials.is_empty() {
        let found = chain::find(environment).await;
        problems.extend(found.problems);
        config.credentials.insert(DEFAULT_CREDENTIALS.to_owned(), found.source);
    }
    let mut endpoint = |given: &mut Option<Endpoint>, variable| {
        if given.is_none() {
            *given = chain::endpoint(variable, environment, &mut problems);
        }
    };
    endpoint(&mut config.api.iam_endpoint, chain::IAM_ENDPOINT);
    for source in config.credentials.values_mut() {
        if let CredentialsSource::Oidc(oidc) = source {
            endpoint(&mut oidc.endpoint, chain::STS_ENDPOINT);
        }
    }
    for (name, source) in &config.credentials {
        let unreadable = unreadable(source, environment).await;
        let problem = |(key, error)| Problem::error(format!("credentials.{name}.{key}"), error);
        problems.extend(unreadable.into_iter().map(problem));
    }
    problems.extend(unused_project_ids(&config, environment).await);
    problems.extend(read_ca_file(&mut config.api).await);
    problems.extend(rate_problems(&config));
    problems.sort_by_key(|problem| problem.is_warning);
    let loaded = Loaded { config: Some(config), problems, text };
    if loaded.errors().next().is_some() { Loaded { config: None, ..loaded } } else { loaded }
}

/// The keys of a source whose secrets cannot be read, and why.
async fn unreadable(source: &CredentialsSource, environment: &Environment) -> Vec<(&'static str, String)> {
    let mut errors = Vec::new();
    let mut note = |key, error: Option<String>| errors.extend(error.map(|error| (key, error)));
    let error = async |secret: &Secret| secret.read(environment).await.err().map(|error| error.to_string());
    match source {
        CredentialsSource::Keys(keys) => {
            note("access_key", error(&keys.access_key).await);
            note("secret_key", error(&keys.secret_key).await);
            if let Some(token) = &keys.security_token {
                note("security_token", error(token).await);
            }
        }
        CredentialsSource::Token(token) => note("token", error(token).await),
        CredentialsSource::IamUser(user) => {
            let read = user.password.read_password(environment).await;
            note("iam_user.password", read.err().map(|error| error.to_string()));
        }
        CredentialsSource::EcsAgency(_) => {}
        CredentialsSource::Oidc(oidc) => note("oidc.id_token", error(&oidc.id_token).await),
        CredentialsSource::PodIdentity(pod) => note("pod_identity.token", error(&pod.token).await),
        CredentialsSource::Profile(profile) => {
            note("profile", profile.read().await.err().map(|error| error.to_string()));
        }
    }
    errors
}

/// Warns where the SDK would take the id of a project from elsewhere: here it is that of the region's own project, and
/// one id for all projects would be wrong as soon as there are two.
async fn unused_project_ids(config: &Config, environment: &Environment) -> Vec<Problem> {
    let mut unused: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, source) in &config.credentials {
        let sources = unused.entry(name).or_default();
        sources.extend(environment.get(chain::PROJECT_ID).map(|_| chain::PROJECT_ID.to_owned()));
        if let CredentialsSource::Profile(profile) = source
            && profile.names_a_project().await
        {
            sources.push(format!("project_id in {}", profile.path.display()));
        }
    }
    let mut warnings = Vec::new();
    for project in config.projects.iter().filter(|project| project.project_id.is_none()) {
        for what in unused.get(project.credentials.as_str()).into_iter().flatten() {
            warnings.push(Problem::warning(
                format!("projects.{}.project_id", project.name),
                format!(
                    "{what} is not used for projects without project_id: they are the ones named like their region"
                ),
            ));
        }
    }
    warnings
}

/// Warns where the projects of one account and region together want more requests than the rate allows: on average,
/// or while as many are polled as may be at a time.
fn rate_problems(config: &Config) -> Vec<Problem> {
    let allowed = config.requests_per_second();
    let shown = (allowed * 1e3).round() / 1e3;
    let mut groups: BTreeMap<(&str, &str), Vec<&Project>> = BTreeMap::new();
    for project in &config.projects {
        groups.entry((&project.credentials, &project.endpoint.host)).or_default().push(project);
    }
    let mut warnings = Vec::new();
    for ((credentials, host), projects) in groups {
        let rate: f64 = projects.iter().map(|project| project.requests_a_second()).sum();
        let at_a_time = projects.len().min(config.poll.concurrency);
        let queries = projects.iter().map(|project| project.queries()).max().unwrap_or_default();
        let takes = (at_a_time * queries) as f64 / allowed;
        let timeout = config.poll.timeout.as_secs_f64();
        if rate > allowed {
            warnings.push(format!(
                "the projects with credentials {credentials} at {host} need {rate:.1} requests a second, \
                 api.requests_per_second allows {shown}: raise the interval, or poll fewer windows and users"
            ));
        } else if takes > timeout {
            warnings.push(format!(
                "{at_a_time} polls at a time with credentials {credentials} at {host} share {shown} requests a \
                 second and take {takes:.0}s, poll.timeout allows {timeout}s: lower poll.concurrency or raise the timeout"
            ));
        }
    }
    warnings.into_iter().map(|warning| Problem::warning("projects", warning)).collect()
}

/// Reads the CA file; a problem if it cannot be used.
async fn read_ca_file(api: &mut Api) -> Option<Problem> {
    let path = api.ca_file.as_ref()?;
    let read = file::read(path).await.map_err(|error| error.to_string());
    let parsed = read.and_then(|pem| match Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if certificates.is_empty() => Err("it holds no PEM certificate".to_owned()),
        Ok(_) => Ok(pem),
        Err(error) => Err(error.to_string()),
    });
    match parsed {
        Ok(pem) => {
            api.ca = pem;
            None
        }
        Err(error) => Some(Problem::error("api.ca_file", format!("cannot use {}: {error}", path.display()))),
    }
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
        let loaded = load(file.path(), &environment(pairs), Shard::ALL).await;
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
        assert_eq!(config.timezone.to_string(), "Asia/Shanghai");
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
    async fn what_is_no_configuration_at_all() {
        for text in ["a: [", "- 1", "a: 1\na: 2", "a: 1\n---\nb: 2"] {
            let (config, problems) = load_with(text, &[]).await;
            assert!(config.is_none() && problems[0].contains("is not YAML"), "{text}: {problems:?}");
        }
        let (_, problems) = load_with("", &[]).await;
        assert!(problems.iter().any(|problem| problem.contains("projects: is missing")), "{problems:?}");
        let loaded = load(Path::new("/nowhere.yaml"), &environment(&[]), Shard::ALL).await;
        assert!(loaded.problems[0].to_string().contains("/nowhere.yaml: cannot be read"), "{:?}", loaded.problems);
    }

    #[tokio::test]
    async fn files_are_found_beside_the_configuration() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("token"), "secret").unwrap();
        let text = minimal().replace("{token: t}", "{token: {file: token}}");
        std::fs::write(directory.path().join("config.yaml"), text).unwrap();
        let loaded = load(&directory.path().join("config.yaml"), &environment(&[]), Shard::ALL).await;
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
    async fn a_shard_has_its_part_of_the_rate() {
        let users: Vec<String> = (0..200).map(|user| format!("u{user}")).collect();
        let text = minimal().replace("name: a", &format!("name: a, user_ids: [{}]", users.join(", ")))
            + "windows: [today]\npoll: {timeout: 50s}";
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let mut projects = 0;
        for (shard, warnings) in [(Shard::ALL, 0), (Shard { index: 0, total: 2 }, 1), (Shard { index: 1, total: 2 }, 1)]
        {
            let loaded = load(file.path(), &environment(&[]), shard).await;
            let config = loaded.config.unwrap();
            projects += config.projects.len();
            let problems: Vec<String> = loaded.problems.iter().map(Problem::to_string).collect();
            assert_eq!(problems.len(), if config.projects.is_empty() { 0 } else { warnings }, "{problems:?}");
            assert_eq!(config.api.requests_per_second, 5.0, "what is printed can be used again");
            assert!(problems.iter().all(|problem| problem.contains("share 2.5 requests")), "{problems:?}");
        }
        assert_eq!(projects, 2, "one of all, and one of either shard");
    }

    /// The source that applies without a section `credentials`, and the problems.
    async fn found(pairs: &[(&str, &str)]) -> (Option<CredentialsSource>, String) {
        let text = format!("projects: [{{name: a, region: cn-north-4, project_id: {ID}}}]\n");
        let (config, problems) = load_with(&text, pairs).await;
        (config.map(|config| config.credentials[&config.projects[0].credentials].clone()), problems.join("\n"))
    }

    #[tokio::test]
    async fn without_credentials_the_first_source_that_is_configured_counts() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join(".huaweicloud");
        std::fs::create_dir(&directory).unwrap();
        let profile = directory.join("credentials");
        let empty = tempfile::tempdir().unwrap();
        let token = empty.path().join("token");
        std::fs::write(&token, "token").unwrap();
        let token = token.to_str().unwrap();

        let keys = [("CLOUD_SDK_AK", "a"), ("CLOUD_SDK_SK", "s")];
        let home = [("HOME", home.path().to_str().unwrap())];
        let oidc = [
            ("HUAWEICLOUD_OIDC_PROVIDER_URN", "p"),
            ("HUAWEICLOUD_OIDC_AGENCY_URN", "a"),
            ("HUAWEICLOUD_OIDC_TOKEN_FILE", token),
            ("HUAWEICLOUD_OIDC_DURATION_SECONDS", "900"),
            ("HUAWEICLOUD_OIDC_POLICY_IDS", "x, y"),
            ("HUAWEICLOUD_SDK_STS_ENDPOINT", "https://sts.example.com"),
        ];
        let pod = [
            ("HC_CONTAINER_CREDENTIALS_FULL_URI", "http://10.0.0.1:8080/v1/credentials"),
            ("HC_CONTAINER_AUTHORIZATION_TOKEN_FILE", token),
        ];
        let all = [&keys[..], &home, &oidc, &pod].concat();

        for (text, is_there) in [("", false), ("[global]\nak = a\n", false), ("[basic]\nak = a\nsk = s\n", true)] {
            std::fs::write(&profile, text).unwrap();
            let (source, problems) = found(&all[2..]).await;
            assert_eq!(matches!(source, Some(CredentialsSource::Profile(_))), is_there, "{text}: {problems}");
        }
        assert!(matches!(found(&all).await, (Some(CredentialsSource::Keys(_)), problems) if problems.is_empty()));
        let (source, problems) = found(&all[3..]).await;
        assert_eq!(problems, "");
        let Some(CredentialsSource::Oidc(found_oidc)) = source else { panic!("{source:?}") };
        assert_eq!((found_oidc.duration, found_oidc.policy_ids.len()), (Duration::from_secs(900), 2));
        assert_eq!(found_oidc.endpoint.unwrap().to_string(), "https://sts.example.com");
        let (source, problems) = found(&pod).await;
        assert!(matches!(source, Some(CredentialsSource::PodIdentity(_))) && problems.is_empty(), "{problems}");
        let (source, problems) = found(&[]).await;
        assert!(matches!(source, Some(CredentialsSource::EcsAgency(_))), "{problems}");
        assert!(problems.contains("HUAWEICLOUD_SDK_AK") && problems.contains("metadata service"), "{problems}");
    }

    #[tokio::test]
    async fn a_source_that_is_half_configured_does_not_give_way_to_the_next() {
        let complete = [("CLOUD_SDK_AK", "a"), ("CLOUD_SDK_SK", "s")];
        for (variable, value, problem) in [
            ("HUAWEICLOUD_SDK_AK", "a", "HUAWEICLOUD_SDK_SK is not set"),
            ("HUAWEICLOUD_SDK_SECURITY_TOKEN", "t", "HUAWEICLOUD_SDK_AK is not set"),
        ] {
            let (source, problems) = found(&[&complete[..], &[(variable, value)]].concat()).await;
            assert!(source.is_none() && problems.contains(problem), "{problems}");
        }
        for (variable, value, problem) in [
            ("HUAWEICLOUD_SDK_CREDENTIALS_FILE", "/nowhere", "/nowhere: cannot be read"),
            ("HUAWEICLOUD_OIDC_PROVIDER_URN", "p", "HUAWEICLOUD_OIDC_AGENCY_URN: is not set"),
            (
                "HC_CONTAINER_CREDENTIALS_FULL_URI",
                "http://10.0.0.1/",
                "HC_CONTAINER_AUTHORIZATION_TOKEN_FILE: is not set",
            ),
            ("HC_CONTAINER_CREDENTIALS_FULL_URI", "unix:/x", "must be an http or https URL"),
            ("HUAWEICLOUD_SDK_IDP_ID", "i", "HUAWEICLOUD_SDK_IDP_ID: is not supported"),
            ("HUAWEICLOUD_SDK_IAM_ENDPOINT", "http://iam.example.com", "HUAWEICLOUD_SDK_IAM_ENDPOINT: must be https"),
        ] {
            let (source, problems) = found(&[(variable, value)]).await;
            assert!(source.is_none() && problems.contains(problem), "{variable}: {problems}");
        }
    }

    #[tokio::test]
    async fn each_source_has_its_own_section() {
        let of = async |source: &str| load_with(&minimal().replace("{token: t}", source), &[]).await;
        let (config, problems) = of("{oidc: {provider_urn: p, agency_urn: a, id_token: t, duration: 5m, session_name: x, roles: y}, pod_identity: {}, profile: {path: z}}").await;
        assert!(config.is_none());
        insta::assert_snapshot!(problems.join("\n"));
        for source in [
            "{oidc: {provider_urn: p, agency_urn: a, id_token: t, policy_ids: [x], endpoint: 'https://sts.example.com'}}",
            "{pod_identity: {url: 'http://10.0.0.1:80/x', token: t}}",
            "{ecs_agency: {}}",
            "{iam_user: {domain: d, user: u, password: p, endpoint: 'https://iam.example.com'}}",
        ] {
            let (config, problems) = of(source).await;
            assert!(config.is_some() && problems.is_empty(), "{source}: {problems:?}");
        }
    }

    #[tokio::test]
    async fn budgets_are_for_what_is_polled() {
        let of = async |project: &str| {
            let text = minimal().replace("name: a", &format!("name: a, windows: [today, this_month], {project}"));
            load_with(&text, &[]).await
        };
        let (config, problems) = of(
            "user_ids: [u], budgets: [{window: this_month, minutes: 6000}, {window: this_month, minutes: 0.5, business_type: V}, \
             {window: today, minutes: 100, resource_type: r, user_id: u}]",
        )
        .await;
        let budgets = config.unwrap_or_else(|| panic!("{problems:?}")).projects.remove(0).budgets;
        let minutes: Vec<f64> = budgets.iter().map(|budget| budget.minutes).collect();
        assert_eq!(minutes, [6000.0, 0.5, 100.0]);
        for (project, problem) in [
            (
                "budgets: [{window: last_month, minutes: 1}]",
                "[0].window: found \"last_month\"; expected one of the windows",
            ),
            (
                "budgets: [{window: today, minutes: 0}]",
                "[0].minutes: found 0; expected a number from 0.01 to 1000000000000",
            ),
            ("budgets: [{window: today}]", "[0].minutes: is missing"),
            ("budgets: [{window: today, minutes: 1, unit: MIN}]", "[0].unit: there is no such key"),
            (
                "business_types: [x], budgets: [{window: today, minutes: 1, business_type: y}]",
                "[0].business_type: found \"y\"; expected one that this project keeps: x",
            ),
            (
                "budgets: [{window: today, minutes: 1, user_id: u}]",
                "[0].user_id: found \"u\"; expected one of the user_ids",
            ),
            (
                "budgets: [{window: today, minutes: 1}, {window: today, minutes: 2}]",
                "[1]: found a mapping of minutes, window; expected one budget for the same usage",
            ),
        ] {
            let (config, problems) = of(project).await;
            assert!(config.is_none() && problems.len() == 1, "{problems:?}");
            assert!(problems[0].contains(&format!("projects[0].budgets{problem}")), "{problems:?}");
        }
    }

    #[tokio::test]
    async fn an_id_may_be_left_out_where_there_is_a_region_to_look_it_up_in() {
        let without_id = minimal().replace(&format!(", project_id: {ID}"), "");
        let (config, problems) = load_with(&without_id, &[]).await;
        assert_eq!(config.unwrap_or_else(|| panic!("{problems:?}")).projects[0].project_id, None);
        let (config, problems) = load_with(&without_id, &[("HUAWEICLOUD_SDK_PROJECT_ID", ID)]).await;
        assert!(config.is_some() && problems.len() == 1, "{problems:?}");
        assert!(problems[0].contains("HUAWEICLOUD_SDK_PROJECT_ID is not used"), "{problems:?}");
        let text = without_id.replace("region: cn-north-4", "endpoint: 'https://example.com'");
        let (config, problems) = load_with(&text, &[]).await;
        assert!(config.is_none() && problems[0].contains("projects[0].project_id: is missing"), "{problems:?}");
    }

    #[tokio::test]
    async fn what_cannot_be_used_to_connect_is_a_problem() {
        let not_pem = tempfile::NamedTempFile::new().unwrap();
        for (api, problem) in [
            ("ca_file: /nowhere.pem".to_owned(), "cannot use /nowhere.pem"),
            (format!("ca_file: {}", not_pem.path().display()), "it holds no PEM certificate"),
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
