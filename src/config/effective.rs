//! The effective configuration as YAML, with all defaults and without secrets.

use secrecy::ExposeSecret;
use yaml_rust2::{Yaml, YamlEmitter};

use super::{
    fields::{Field, Fields},
    proxy,
    secret::Secret,
    settings::Config,
};

/// Prints a configuration as a file that loads again. Secrets that the file holds are printed as `<secret>`.
pub fn to_yaml(config: &Config) -> String {
    let mut yaml = String::new();
    // Writing to a String cannot fail.
    let _ = YamlEmitter::new(&mut yaml).dump(&mapping(&config.fields()));
    yaml.trim_start_matches("---\n").to_owned() + "\n"
}

fn mapping(fields: &Fields<'_>) -> Yaml {
    let is_present = |(_, field): &&(&str, Field<'_>)| !matches!(field, Field::Absent);
    Yaml::Hash(fields.iter().filter(is_present).map(|(key, field)| (text(key), value(field))).collect())
}

fn value(field: &Field<'_>) -> Yaml {
    match field {
        Field::Absent => Yaml::Null,
        Field::Text(value) => text(value),
        Field::Integer(value) => Yaml::Integer(i64::try_from(*value).unwrap_or(i64::MAX)),
        Field::Number(value) => Yaml::Real(value.to_string()),
        Field::Duration(value) => text(humantime::format_duration(*value).to_string().replace(' ', "")),
        Field::Path(path) | Field::ProfileFile(path) => text(path.display()),
        Field::List(values) => Yaml::Array(values.iter().map(text).collect()),
        Field::Secret(secret) | Field::Password(secret) => place(secret),
        Field::Url(Secret::Inline(url)) => text(without_user(url.expose_secret())),
        Field::Url(secret) => place(secret),
        Field::Section(fields) => mapping(fields),
        Field::Sections(sections) => Yaml::Array(sections.iter().map(mapping).collect()),
    }
}

fn place(secret: &Secret) -> Yaml {
    match secret {
        Secret::Inline(_) => text("<secret>"),
        Secret::Env(name) => mapping(&vec![("env", Field::text(name))]),
        Secret::File(path) => mapping(&vec![("file", Field::Path(path))]),
    }
}

fn without_user(url: &str) -> String {
    let Some(mut url) = proxy::parse(url) else { return "<secret>".to_owned() };
    if url.password().is_some() || !url.username().is_empty() {
        // These fail only for a URL without a host.
        let _ = url.set_password(None);
        let _ = url.set_username("redacted");
    }
    url.to_string()
}

fn text(value: impl ToString) -> Yaml {
    Yaml::String(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{environment::Environment, load::load, shard::Shard};

    #[tokio::test]
    async fn the_printed_configuration_loads_again_and_shows_no_secret() {
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
accounts: [{name: acme, site: europe, credentials: main, domain_id: 0a1b, enterprise_project_ids: [e-1]}]
budgets: [{name: all, label: {team: 'yes'}, window: today, minutes: 50, business_type: VIDEO_2D}]
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
