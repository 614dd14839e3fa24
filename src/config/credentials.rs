//! The entries of the section `credentials`: one source each.

use std::path::Path;

use super::{
    CredentialsSource, EcsAgency, Endpoint, Environment, IamUser, KeyPair, Oidc, PodIdentity, Profile, Secret,
    read::{Node, Section},
    sections::endpoint,
};

/// Reads an entry. Something stands in for what is wrong, so that the checks of the projects that refer to it still
/// run.
pub(super) fn source(mut section: Section<'_>, directory: &Path, environment: &Environment) -> CredentialsSource {
    let sources = [
        keys(&mut section, directory).map(CredentialsSource::Keys),
        section.get("token").map(|node| CredentialsSource::Token(secret(&node, directory))),
        section.get("iam_user").map(|node| CredentialsSource::IamUser(iam_user(node.section(), directory))),
        section.get("ecs_agency").map(|node| CredentialsSource::EcsAgency(ecs_agency(node.section()))),
        section.get("oidc").map(|node| CredentialsSource::Oidc(oidc(node.section(), directory))),
        section
            .get("pod_identity")
            .map(|node| CredentialsSource::PodIdentity(pod_identity(node.section(), directory, environment))),
        section.get("profile").map(|node| CredentialsSource::Profile(profile(node.section(), directory, environment))),
    ];
    let mut sources = sources.into_iter().flatten();
    let (source, another) = (sources.next(), sources.next());
    if another.is_some() || source.is_none() {
        section.problem(
            "expected exactly one of access_key with secret_key, token, iam_user, ecs_agency, oidc, pod_identity and \
             profile",
        );
    }
    section.finish();
    source.unwrap_or_else(|| CredentialsSource::Token(wrong()))
}

fn keys(section: &mut Section<'_>, directory: &Path) -> Option<KeyPair> {
    let mut read = |key| section.get(key).map(|node| secret(&node, directory));
    let [access_key, secret_key, security_token] = ["access_key", "secret_key", "security_token"].map(&mut read);
    match (access_key, secret_key) {
        (Some(access_key), Some(secret_key)) => Some(KeyPair { access_key, secret_key, security_token }),
        (None, None) if security_token.is_none() => None,
        _ => {
            section.problem("expected both access_key and secret_key, with security_token if they are temporary");
            None
        }
    }
}

fn iam_user(mut section: Section<'_>, directory: &Path) -> IamUser {
    let user = IamUser {
        domain: required(&mut section, "domain", "the name of the account"),
        user: required(&mut section, "user", "the name of the IAM user"),
        password: required_secret(&mut section, "password", "the password of the IAM user", directory),
        endpoint: section.get("endpoint").and_then(|node| endpoint(&node)),
    };
    section.finish();
    user
}

fn ecs_agency(mut section: Section<'_>) -> EcsAgency {
    let endpoint = section.get("endpoint").and_then(|node| endpoint(&node)).unwrap_or_else(Endpoint::of_metadata);
    section.finish();
    EcsAgency { endpoint }
}

fn oidc(mut section: Section<'_>, directory: &Path) -> Oidc {
    let oidc = Oidc {
        provider_urn: required(&mut section, "provider_urn", "the URN of the identity provider in IAM"),
        agency_urn: required(&mut section, "agency_urn", "the URN of the agency that trusts it"),
        id_token: required_secret(&mut section, "id_token", "the token of the provider, as {file: PATH}", directory),
        session_name: section
            .get("session_name")
            .and_then(|node| {
                let expected = "a text of 2 to 128 characters";
                node.parse(expected, |text| (2..=128).contains(&text.chars().count()).then(|| text.to_owned()))
            })
            .unwrap_or_else(|| Oidc::SESSION_NAME.to_owned()),
        duration: section.get("duration").and_then(|node| node.duration(Oidc::DURATIONS)).unwrap_or(Oidc::DURATION),
        policy: section.get("policy").and_then(|node| node.text()),
        policy_ids: section.get("policy_ids").map_or_else(Vec::new, |node| node.set(Node::text)),
        endpoint: section.get("endpoint").and_then(|node| endpoint(&node)),
    };
    section.finish();
    oidc
}

/// What is left out is what the platform puts into the environment of every pod that has an identity.
fn pod_identity(mut section: Section<'_>, directory: &Path, environment: &Environment) -> PodIdentity {
    let url = section.get("url").and_then(|node| {
        node.parse("an http or https URL without a user", |text| PodIdentity::is_url(text).then(|| text.to_owned()))
    });
    let given = || environment.get(PodIdentity::URL_VARIABLE).filter(|url| PodIdentity::is_url(url));
    let url = url.or_else(|| given().map(str::to_owned));
    let token = section.get("token").map(|node| secret(&node, directory));
    let token = token.or_else(|| Some(Secret::File(environment.get(PodIdentity::TOKEN_VARIABLE)?.into())));
    if url.is_none() || token.is_none() {
        let [url, token] = [PodIdentity::URL_VARIABLE, PodIdentity::TOKEN_VARIABLE];
        section.problem(format!(
            "expected url and token, or the environment variables {url} (an http or https URL without a user) and {token}, which CCE sets in pods whose \
             service account is associated with an agency"
        ));
    }
    section.finish();
    PodIdentity { url: url.unwrap_or_default(), token: token.unwrap_or_else(wrong) }
}

fn profile(mut section: Section<'_>, directory: &Path, environment: &Environment) -> Profile {
    let file = section.get("file").and_then(|node| node.text()).map(|path| Profile { path: directory.join(path) });
    let profile = file.or_else(|| Profile::of_environment(environment));
    if profile.is_none() {
        section.problem("expected file: PATH, for the environment has no HOME to look for .huaweicloud/credentials in");
    }
    section.finish();
    profile.unwrap_or_else(|| Profile { path: "wrong".into() })
}

fn required(section: &mut Section<'_>, key: &'static str, expected: &str) -> String {
    section.require(key, expected).and_then(|node| node.text()).unwrap_or_default()
}

fn required_secret(section: &mut Section<'_>, key: &'static str, expected: &str, directory: &Path) -> Secret {
    section.require(key, expected).map_or_else(wrong, |node| secret(&node, directory))
}

fn secret(node: &Node<'_>, directory: &Path) -> Secret {
    if !node.is_mapping() {
        let expected = "a text, {env: NAME} or {file: PATH}";
        return node.parse(expected, |text| Some(Secret::Inline(text.into()))).unwrap_or_else(wrong);
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
            wrong()
        }
    }
}

fn wrong() -> Secret {
    Secret::Inline("wrong".into())
}
