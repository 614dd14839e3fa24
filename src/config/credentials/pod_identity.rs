//! Source: the agency of a CCE pod's service account. An agent on the node issues temporary keys.

use reqwest::Url;

use crate::config::{
    environment::Environment,
    fields::{Field, Fields},
    problem::Problem,
    read::Section,
    secret::Secret,
};

/// The URL of the agent, which CCE sets in pods with an identity.
const URL_VARIABLE: &str = "HC_CONTAINER_CREDENTIALS_FULL_URI";
/// The path of the file with the service account's token, which CCE also sets.
const TOKEN_VARIABLE: &str = "HC_CONTAINER_AUTHORIZATION_TOKEN_FILE";

/// The agency of a pod's service account (contract, 7.4).
#[derive(Clone, Debug, PartialEq)]
pub struct PodIdentity {
    /// The URL of the agent on the node, with its path.
    pub url: String,
    /// The token of the service account.
    pub token: Secret,
}

/// Reads the entry. A missing `url` or `token` is read from the environment.
pub(super) fn read(section: &mut Section<'_>, environment: &Environment) -> Option<PodIdentity> {
    let mut section = section.get("pod_identity")?.section();
    let url = section.get("url").and_then(|node| {
        node.parse("an http or https URL without a user", |text| is_agent_url(text).then(|| text.to_owned()))
    });
    let given = || environment.get(URL_VARIABLE).filter(|url| is_agent_url(url));
    let url = url.or_else(|| given().map(str::to_owned));
    let token = section.get("token").map(|node| Secret::of_node(&node));
    let token = token.or_else(|| token_of(environment));
    if url.is_none() || token.is_none() {
        section.problem(format!(
            "expected url and token, or the environment variables {URL_VARIABLE} (an http or https URL without a user) \
             and {TOKEN_VARIABLE}, which CCE sets in pods whose service account is associated with an agency"
        ));
    }
    section.finish();
    Some(PodIdentity { url: url.unwrap_or_default(), token: token.unwrap_or_else(Secret::invalid) })
}

pub(super) fn find(environment: &Environment, problems: &mut Vec<Problem>) -> Option<PodIdentity> {
    let url = environment.get(URL_VARIABLE)?;
    if !is_agent_url(url) {
        problems.push(Problem::of_variable(URL_VARIABLE, "must be an http or https URL without a user"));
    }
    let token = token_of(environment);
    if token.is_none() {
        problems.push(Problem::of_variable(TOKEN_VARIABLE, format!("is not set; {URL_VARIABLE} needs it")));
    }
    Some(PodIdentity { url: url.to_owned(), token: token.unwrap_or_else(Secret::invalid) })
}

pub(super) fn fields(pod: &PodIdentity) -> Fields<'_> {
    let PodIdentity { url, token } = pod;
    vec![("pod_identity", Field::Section(vec![("url", Field::text(url)), ("token", Field::Secret(token))]))]
}

fn token_of(environment: &Environment) -> Option<Secret> {
    environment.get(TOKEN_VARIABLE).map(|path| Secret::File(path.into()))
}

/// Plain HTTP is allowed, because CCE sets the URL and the agent is in the network of the cluster.
fn is_agent_url(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        let has_no_user = url.username().is_empty() && url.password().is_none();
        matches!(url.scheme(), "http" | "https") && url.has_host() && has_no_user
    })
}
