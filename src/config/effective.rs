//! The effective configuration as YAML: every default filled in, every secret redacted. It loads again, once the
//! secrets that were written down are put back.

use reqwest::Url;
use secrecy::ExposeSecret;
use yaml_rust2::{Yaml, YamlEmitter, yaml::Hash};

use super::{Config, CredentialsSource, Project, Secret};
use crate::usage::Budget;

/// Prints a configuration.
pub fn to_yaml(config: &Config) -> String {
    let Config { poll, windows, timezone, api, credentials, projects, shards: _ } = config;
    let poll = map([
        ("interval", duration(poll.interval)),
        ("timeout", duration(poll.timeout)),
        ("concurrency", integer(poll.concurrency)),
        ("stale_after", poll.stale_after.map_or(Yaml::Null, duration)),
    ]);
    let api = map([
        ("request_timeout", duration(api.request_timeout)),
        ("max_retries", integer(api.max_retries)),
        ("requests_per_second", Yaml::Real(api.requests_per_second.to_string())),
        ("page_size", integer(api.page_size)),
        ("iam_endpoint", api.iam_endpoint.as_ref().map_or(Yaml::Null, text)),
        ("ca_file", api.ca_file.as_ref().map_or(Yaml::Null, |path| text(path.display()))),
        ("proxy", api.proxy.as_ref().map_or(Yaml::Null, |url| text(without_user(url.expose_secret())))),
    ]);
    let sources = credentials.iter().map(|(name, credentials)| (name.as_str(), source(credentials)));
    let tree = map([
        ("poll", poll),
        ("windows", list(windows)),
        ("timezone", text(timezone)),
        ("api", api),
        ("credentials", map(sources)),
        ("projects", Yaml::Array(projects.iter().map(project).collect())),
    ]);
    let mut yaml = String::new();
    // Writing to a String cannot fail.
    let _ = YamlEmitter::new(&mut yaml).dump(&tree);
    yaml.trim_start_matches("---\n").to_owned() + "\n"
}

fn project(project: &Project) -> Yaml {
    map([
        ("name", text(&project.name)),
        ("region", if project.region.is_empty() { Yaml::Null } else { text(&project.region) }),
        ("endpoint", text(&project.endpoint)),
        ("project_id", project.project_id.as_ref().map_or(Yaml::Null, text)),
        ("credentials", text(&project.credentials)),
        ("labels", map(project.labels.iter().map(|(name, value)| (name.as_str(), text(value))))),
        ("user_ids", list(&project.user_ids)),
        ("app_user_id", project.app_user_id.as_ref().map_or(Yaml::Null, text)),
        ("resource_types", list(&project.resource_types)),
        ("business_types", list(&project.business_types)),
        ("interval", duration(project.interval)),
        ("windows", list(&project.windows)),
        ("budgets", Yaml::Array(project.budgets.iter().map(budget).collect())),
    ])
}

fn budget(budget: &Budget) -> Yaml {
    let Budget { window, minutes, resource_type, business_type, user_id } = budget;
    let selectors = [("resource_type", resource_type), ("business_type", business_type), ("user_id", user_id)];
    let selectors = selectors.into_iter().filter_map(|(key, value)| Some((key, text(value.as_ref()?))));
    map([("window", text(window)), ("minutes", Yaml::Real(minutes.to_string()))].into_iter().chain(selectors))
}

fn source(source: &CredentialsSource) -> Yaml {
    match source {
        CredentialsSource::Keys(keys) => {
            let token = keys.security_token.as_ref().map(|token| ("security_token", secret(token)));
            let pair = [("access_key", secret(&keys.access_key)), ("secret_key", secret(&keys.secret_key))];
            map(pair.into_iter().chain(token))
        }
        CredentialsSource::Token(token) => map([("token", secret(token))]),
        CredentialsSource::IamUser(user) => {
            let fields = [
                ("domain", text(&user.domain)),
                ("user", text(&user.user)),
                ("password", secret(&user.password)),
                ("endpoint", user.endpoint.as_ref().map_or(Yaml::Null, text)),
            ];
            map([("iam_user", map(fields))])
        }
        CredentialsSource::EcsAgency(agency) => map([("ecs_agency", map([("endpoint", text(&agency.endpoint))]))]),
        CredentialsSource::Oidc(oidc) => {
            let fields = [
                ("provider_urn", text(&oidc.provider_urn)),
                ("agency_urn", text(&oidc.agency_urn)),
                ("id_token", secret(&oidc.id_token)),
                ("session_name", text(&oidc.session_name)),
                ("duration", duration(oidc.duration)),
                ("policy", oidc.policy.as_ref().map_or(Yaml::Null, text)),
                ("policy_ids", list(&oidc.policy_ids)),
                ("endpoint", oidc.endpoint.as_ref().map_or(Yaml::Null, text)),
            ];
            map([("oidc", map(fields))])
        }
        CredentialsSource::PodIdentity(pod) => {
            map([("pod_identity", map([("url", text(&pod.url)), ("token", secret(&pod.token))]))])
        }
        CredentialsSource::Profile(profile) => map([("profile", map([("file", text(profile.path.display()))]))]),
    }
}

fn secret(secret: &Secret) -> Yaml {
    match secret {
        Secret::Inline(_) => text("<secret>"),
        Secret::Env(name) => map([("env", text(name))]),
        Secret::File(path) => map([("file", text(path.display()))]),
    }
}

fn without_user(url: &str) -> String {
    let Ok(mut url) = Url::parse(url) else { return "<secret>".to_owned() };
    if url.password().is_some() || !url.username().is_empty() {
        // Only URLs without a host have no user to set.
        let _ = url.set_password(None);
        let _ = url.set_username("redacted");
    }
    url.to_string()
}

fn map<'a>(fields: impl IntoIterator<Item = (&'a str, Yaml)>) -> Yaml {
    Yaml::Hash(fields.into_iter().map(|(key, value)| (text(key), value)).collect::<Hash>())
}

fn list<T: ToString>(values: &[T]) -> Yaml {
    Yaml::Array(values.iter().map(|value| text(value.to_string())).collect())
}

fn text(value: impl ToString) -> Yaml {
    Yaml::String(value.to_string())
}

fn integer(value: usize) -> Yaml {
    Yaml::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}

fn duration(value: std::time::Duration) -> Yaml {
    text(humantime::format_duration(value).to_string().replace(' ', ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Shard, load};

    #[tokio::test]
    async fn what_is_printed_loads_again_and_shows_no_secret() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.yaml");
        let text = "
poll: {interval: 90s}
api: {proxy: 'http://user:hunter2@proxy.example:3128'}
credentials:
  main: {access_key: {env: AK}, secret_key: hunter2hunter2}
  vm: {ecs_agency: {}}
  robot: {iam_user: {domain: d, user: u, password: 'hunter2 ok'}}
  pod: {pod_identity: {url: 'http://10.0.0.1/x', token: hunter2}}
  oidc: {oidc: {provider_urn: p, agency_urn: a, id_token: hunter2, policy_ids: [x]}}
  profile: {profile: {file: PROFILE}}
  temporary: {access_key: {env: AK}, secret_key: {env: AK}, security_token: {env: AK}}
projects:
  - {name: '0123', project_id: 0123456789abcdef0123456789abcdef, region: cn-north-4, credentials: main, labels: {team: 'yes'},
     budgets: [{window: today, minutes: 100, business_type: VIDEO_2D}, {window: this_month, minutes: 6000.5}]}
";
        let profile = directory.path().join("profile");
        std::fs::write(&profile, "[basic]\nak = hunter2\nsk = hunter2\n").unwrap();
        let text = text.replace("PROFILE", profile.to_str().unwrap());
        std::fs::write(&path, text).unwrap();
        let environment: Environment = [("AK".to_owned(), "ak".to_owned())].into_iter().collect();
        let config = load(&path, &environment, Shard::ALL).await.config.unwrap();
        let printed = to_yaml(&config);
        assert!(!printed.contains("hunter2") && !printed.contains("user@"), "{printed}");
        insta::assert_snapshot!(printed.replace(profile.to_str().unwrap(), "PROFILE"));

        std::fs::write(&path, &printed).unwrap();
        let again = load(&path, &environment, Shard::ALL).await;
        assert_eq!(to_yaml(&again.config.unwrap_or_else(|| panic!("{:?}", again.problems))), printed);
    }
}
