//! Where credentials come from when none are configured.
//!
//! The order is the contract's, 7.7: environment, profile file, OIDC through STS, pod identity, and the metadata service
//! last, since it is there on every instance of the cloud. Which of them applies is decided by what is configured,
//! not by what works: a source that is half configured or fails is an error and never gives way to the next one,
//! which may be another account's.

use std::time::Duration;

use super::{
    CredentialsSource, EcsAgency, Endpoint, Environment, KeyPair, Oidc, PodIdentity, Problem, Profile, Secret,
};

/// Access key, secret key and security token in the environment: as the official SDK names them, and as its
/// documentation's sample programs do (contract, 7.5).
const KEYS: [[&str; 3]; 2] = [
    ["HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK", "HUAWEICLOUD_SDK_SECURITY_TOKEN"],
    ["CLOUD_SDK_AK", "CLOUD_SDK_SK", "CLOUD_SDK_SECURITY_TOKEN"],
];
const IDP: &str = "HUAWEICLOUD_SDK_IDP_ID";
const PROVIDER: &str = "HUAWEICLOUD_OIDC_PROVIDER_URN";
const AGENCY: &str = "HUAWEICLOUD_OIDC_AGENCY_URN";
const ID_TOKEN: &str = "HUAWEICLOUD_OIDC_ID_TOKEN";
const TOKEN_FILE: &str = "HUAWEICLOUD_OIDC_TOKEN_FILE";
const DURATION: &str = "HUAWEICLOUD_OIDC_DURATION_SECONDS";

/// Names one project for everything the SDK does.
pub(super) const PROJECT_ID: &str = "HUAWEICLOUD_SDK_PROJECT_ID";
/// Where IAM is asked.
pub(super) const IAM_ENDPOINT: &str = "HUAWEICLOUD_SDK_IAM_ENDPOINT";
/// Where STS is asked.
pub(super) const STS_ENDPOINT: &str = "HUAWEICLOUD_SDK_STS_ENDPOINT";

/// The first source that is configured outside of the configuration file.
pub(super) struct Found {
    pub source: CredentialsSource,
    pub problems: Vec<Problem>,
}

/// Finds the source that applies.
pub(super) async fn find(environment: &Environment) -> Found {
    let mut problems = Vec::new();
    let keys = keys(environment);
    if keys.is_none() && environment.get(IDP).is_some() {
        problems.push(error(
            IDP,
            &format!("is not supported; with an OpenID Connect provider, set {PROVIDER} and {AGENCY}"),
        ));
    }
    let source = if let Some(keys) = keys {
        CredentialsSource::Keys(keys)
    } else if let Some(profile) = profile(environment).await {
        CredentialsSource::Profile(profile)
    } else if is_any_set(environment, &[PROVIDER, AGENCY]) {
        CredentialsSource::Oidc(oidc(environment, &mut problems))
    } else if let Some(url) = environment.get(PodIdentity::URL_VARIABLE) {
        CredentialsSource::PodIdentity(pod_identity(url, environment, &mut problems))
    } else {
        problems.push(Problem::warning(
            "credentials",
            format!(
                "there are none, neither here nor in the environment ({}) nor in a profile file: will ask the metadata \
                 service, which has keys only on an ECS instance with an agency",
                KEYS.map(|[access_key, secret_key, _]| format!("{access_key} and {secret_key}")).join(", "),
            ),
        ));
        CredentialsSource::EcsAgency(EcsAgency { endpoint: Endpoint::of_metadata() })
    };
    Found { source, problems }
}

/// The first set of variables of which any is there. Half a pair is not made up from the other set.
fn keys(environment: &Environment) -> Option<KeyPair> {
    let [access_key, secret_key, security_token] = KEYS.into_iter().find(|set| is_any_set(environment, set))?;
    let variable = |name: &str| Secret::Env(name.to_owned());
    Some(KeyPair {
        access_key: variable(access_key),
        secret_key: variable(secret_key),
        security_token: environment.get(security_token).map(|_| variable(security_token)),
    })
}

/// The profile file, if it is there; one that is named must be.
async fn profile(environment: &Environment) -> Option<Profile> {
    let profile = Profile::of_environment(environment)?;
    let is_named = environment.get(super::profile::VARIABLE).is_some();
    (is_named || profile.is_there().await).then_some(profile)
}

fn oidc(environment: &Environment, problems: &mut Vec<Problem>) -> Oidc {
    for name in [PROVIDER, AGENCY] {
        if environment.get(name).is_none() {
            problems.push(error(name, &format!("is not set; {PROVIDER} and {AGENCY} are needed together")));
        }
    }
    let text = |name: &str| environment.get(name).map(str::to_owned);
    let seconds = |text: &str| text.parse().ok().map(Duration::from_secs);
    let duration = environment.get(DURATION).map_or(Some(Oidc::DURATION), seconds);
    let duration = duration.filter(|duration| Oidc::DURATIONS.contains(duration));
    if duration.is_none() {
        problems.push(error(DURATION, "must be a number of seconds from 900 to 43200"));
    }
    let ids = environment.get("HUAWEICLOUD_OIDC_POLICY_IDS").unwrap_or_default().split(',').map(str::trim);
    Oidc {
        provider_urn: text(PROVIDER).unwrap_or_default(),
        agency_urn: text(AGENCY).unwrap_or_default(),
        id_token: match text(TOKEN_FILE) {
            Some(path) if environment.get(ID_TOKEN).is_none() => Secret::File(path.into()),
            _ => Secret::Env(ID_TOKEN.to_owned()),
        },
        session_name: text("HUAWEICLOUD_OIDC_SESSION_NAME").unwrap_or_else(|| Oidc::SESSION_NAME.to_owned()),
        duration: duration.unwrap_or_default(),
        policy: text("HUAWEICLOUD_OIDC_POLICY"),
        policy_ids: ids.filter(|id| !id.is_empty()).map(str::to_owned).collect(),
        endpoint: None,
    }
}

fn pod_identity(url: &str, environment: &Environment, problems: &mut Vec<Problem>) -> PodIdentity {
    let [url_variable, token_variable] = [PodIdentity::URL_VARIABLE, PodIdentity::TOKEN_VARIABLE];
    if !PodIdentity::is_url(url) {
        problems.push(error(url_variable, "must be an http or https URL without a user"));
    }
    let token = environment.get(token_variable).map(|path| Secret::File(path.into()));
    if token.is_none() {
        problems.push(error(token_variable, &format!("is not set; {url_variable} needs it")));
    }
    PodIdentity { url: url.to_owned(), token: token.unwrap_or_else(|| Secret::Inline("wrong".into())) }
}

/// An endpoint that the SDK's variables may set for what the configuration leaves open (contract, 5).
pub(super) fn endpoint(variable: &str, environment: &Environment, problems: &mut Vec<Problem>) -> Option<Endpoint> {
    let text = environment.get(variable)?;
    let endpoint = Endpoint::parse(text);
    if endpoint.is_none() {
        problems.push(error(variable, &format!("must be {}", Endpoint::EXPECTED)));
    }
    endpoint
}

fn is_any_set(environment: &Environment, names: &[&str]) -> bool {
    names.iter().any(|name| environment.get(name).is_some())
}

/// Says which variable, and never its value.
fn error(variable: &str, expected: &str) -> Problem {
    Problem::error(variable.to_owned(), expected.to_owned())
}
