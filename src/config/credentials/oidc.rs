//! Source: an agency that trusts an OpenID Connect provider. STS issues temporary keys for the provider's token.

use std::{ops::RangeInclusive, time::Duration};

use crate::config::{
    endpoint::Endpoint,
    environment::Environment,
    fields::{Field, Fields},
    problem::Problem,
    read::{Node, Section},
    secret::Secret,
};

const PROVIDER: &str = "HUAWEICLOUD_OIDC_PROVIDER_URN";
const AGENCY: &str = "HUAWEICLOUD_OIDC_AGENCY_URN";
const ID_TOKEN: &str = "HUAWEICLOUD_OIDC_ID_TOKEN";
const TOKEN_FILE: &str = "HUAWEICLOUD_OIDC_TOKEN_FILE";
const SESSION_NAME: &str = "HUAWEICLOUD_OIDC_SESSION_NAME";
const DURATION: &str = "HUAWEICLOUD_OIDC_DURATION_SECONDS";
const POLICY: &str = "HUAWEICLOUD_OIDC_POLICY";
const POLICY_IDS: &str = "HUAWEICLOUD_OIDC_POLICY_IDS";
/// The SDK also federates through IAM, with this variable. The exporter does not support that.
const IDP: &str = "HUAWEICLOUD_SDK_IDP_ID";
const STS_ENDPOINT: &str = "HUAWEICLOUD_SDK_STS_ENDPOINT";

const DEFAULT_SESSION_NAME: &str = "oidc-sts-session";
const DEFAULT_DURATION: Duration = Duration::from_secs(3600);
/// The durations that STS accepts.
const DURATIONS: RangeInclusive<Duration> = Duration::from_secs(900)..=Duration::from_secs(43_200);

/// An agency that is assumed with the token of an OpenID Connect provider (contract, 7.3).
#[derive(Clone, Debug, PartialEq)]
pub struct Oidc {
    /// URN of the provider in IAM.
    pub provider_urn: String,
    /// URN of the agency.
    pub agency_urn: String,
    /// The token of the provider. A file is read at each renewal, because such tokens expire soon.
    pub id_token: Secret,
    /// The name of the session in the audit trail of the cloud.
    pub session_name: String,
    /// The lifetime of the keys: 15 minutes to 12 hours, and no longer than the agency allows.
    pub duration: Duration,
    /// A policy that limits the keys, as JSON.
    pub policy: Option<String>,
    /// Ids of policies that limit the keys.
    pub policy_ids: Vec<String>,
    /// The endpoint of STS; `None` is the one of the project's region.
    pub endpoint: Option<Endpoint>,
}

pub(super) fn read(section: &mut Section<'_>, environment: &Environment) -> Option<Oidc> {
    let mut section = section.get("oidc")?.section();
    let mut oidc = Oidc {
        provider_urn: section.require_text("provider_urn", "the URN of the identity provider in IAM"),
        agency_urn: section.require_text("agency_urn", "the URN of the agency that trusts it"),
        id_token: Secret::required(&mut section, "id_token", "the token of the provider, as {file: PATH}"),
        session_name: section
            .get("session_name")
            .and_then(|node| {
                let expected = "a text of 2 to 128 characters";
                node.parse(expected, |text| (2..=128).contains(&text.chars().count()).then(|| text.to_owned()))
            })
            .unwrap_or_else(|| DEFAULT_SESSION_NAME.to_owned()),
        duration: section.get("duration").and_then(|node| node.duration(DURATIONS)).unwrap_or(DEFAULT_DURATION),
        policy: section.get("policy").and_then(|node| node.text()),
        policy_ids: section.get("policy_ids").map_or_else(Vec::new, |node| node.set(Node::text).values),
        endpoint: section.get("endpoint").and_then(|node| Endpoint::of_node(&node)),
    };
    if oidc.endpoint.is_none() {
        match Endpoint::of_variable(STS_ENDPOINT, environment) {
            Ok(endpoint) => oidc.endpoint = endpoint,
            Err(problem) => section.report(problem),
        }
    }
    section.finish();
    Some(oidc)
}

pub(super) fn find(environment: &Environment, problems: &mut Vec<Problem>) -> Option<Oidc> {
    if !environment.has(PROVIDER) && !environment.has(AGENCY) {
        return None;
    }
    for name in [PROVIDER, AGENCY] {
        if !environment.has(name) {
            problems
                .push(Problem::of_variable(name, format!("is not set; {PROVIDER} and {AGENCY} are needed together")));
        }
    }
    let text = |name: &str| environment.get(name).map(str::to_owned);
    let seconds = |text: &str| text.parse().ok().map(Duration::from_secs);
    let duration = environment.get(DURATION).map_or(Some(DEFAULT_DURATION), seconds);
    let duration = duration.filter(|duration| DURATIONS.contains(duration));
    if duration.is_none() {
        problems.push(Problem::of_variable(DURATION, "must be a number of seconds from 900 to 43200"));
    }
    let endpoint = Endpoint::of_variable(STS_ENDPOINT, environment).unwrap_or_else(|problem| {
        problems.push(problem);
        None
    });
    let ids = environment.get(POLICY_IDS).unwrap_or_default().split(',').map(str::trim);
    Some(Oidc {
        provider_urn: text(PROVIDER).unwrap_or_default(),
        agency_urn: text(AGENCY).unwrap_or_default(),
        id_token: match text(TOKEN_FILE) {
            Some(path) if !environment.has(ID_TOKEN) => Secret::File(path.into()),
            _ => Secret::Env(ID_TOKEN.to_owned()),
        },
        session_name: text(SESSION_NAME).unwrap_or_else(|| DEFAULT_SESSION_NAME.to_owned()),
        duration: duration.unwrap_or(DEFAULT_DURATION),
        policy: text(POLICY),
        policy_ids: ids.filter(|id| !id.is_empty()).map(str::to_owned).collect(),
        endpoint,
    })
}

/// An error if federation through IAM is configured. The SDK would prefer it to the sources that are tried next
/// (contract, 7.5).
pub(super) fn unsupported(environment: &Environment) -> Option<Problem> {
    let expected = format!("is not supported; with an OpenID Connect provider, set {PROVIDER} and {AGENCY}");
    environment.has(IDP).then(|| Problem::of_variable(IDP, expected))
}

pub(super) fn fields(oidc: &Oidc) -> Fields<'_> {
    let Oidc { provider_urn, agency_urn, id_token, session_name, duration, policy, policy_ids, endpoint } = oidc;
    let fields = vec![
        ("provider_urn", Field::text(provider_urn)),
        ("agency_urn", Field::text(agency_urn)),
        ("id_token", Field::Secret(id_token)),
        ("session_name", Field::text(session_name)),
        ("duration", Field::Duration(*duration)),
        ("policy", Field::optional(policy.as_ref(), Field::text)),
        ("policy_ids", Field::list(policy_ids)),
        ("endpoint", Field::optional(endpoint.as_ref(), Field::text)),
    ];
    vec![("oidc", Field::Section(fields))]
}
