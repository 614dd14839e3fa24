//! The section `credentials`, and the sources outside of the configuration.

use super::*;
use crate::config::CredentialsSource;

/// The source that applies without a section `credentials`, and the problems.
async fn found(pairs: &[(&str, &str)]) -> (Option<CredentialsSource>, String) {
    let text = format!("projects: [{{name: a, region: cn-north-4, project_id: {ID}}}]\n");
    let (config, problems) = load_with(&text, pairs).await;
    (config.map(|config| config.credentials[&config.projects[0].credentials].clone()), problems.join("\n"))
}

#[tokio::test]
async fn without_credentials_the_first_configured_source_applies() {
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
async fn an_incomplete_source_is_an_error() {
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
        ("HC_CONTAINER_CREDENTIALS_FULL_URI", "http://10.0.0.1/", "HC_CONTAINER_AUTHORIZATION_TOKEN_FILE: is not set"),
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
async fn credentials_without_names_are_a_problem_of_their_own() {
    for source in [
        "{access_key: a, secret_key: {env: SK}}",
        "{token: {file: /run/token}}",
        "{ecs_agency: {}}",
        "{iam_user: {domain: d, user: u, password: p}}",
    ] {
        let (config, problems) = load_with(&minimal().replace("{main: {token: t}}", source), &[]).await;
        assert!(config.is_none() && problems.len() == 1, "{problems:?}");
        assert!(
            problems[0].contains("credentials: found a value that is not shown; expected a name above "),
            "{problems:?}"
        );
    }
    // The name of an entry may be the name of a kind of source.
    let (config, problems) = load_with(&minimal().replace("{main: {token: t}}", "{token: {token: t}}"), &[]).await;
    assert!(config.is_some(), "{problems:?}");
}
