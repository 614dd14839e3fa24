//! The section `credentials`: one source for each entry. Each kind of source has a module with these items:
//!
//! - a struct, unless one [`Secret`] is enough,
//! - `read`, which reads the source from an entry,
//! - `find`, which reads the source from the environment, if the official SDK does so,
//! - `fields`, the list of its keys and values: it is printed as the effective configuration, and its secrets are
//!   checked.
//!
//! CONTRIBUTING.md says how to add a kind of source.

pub(super) mod ecs_agency;
pub(super) mod iam_user;
pub(super) mod keys;
pub(super) mod oidc;
pub(super) mod pod_identity;
pub(super) mod profile;
mod token;

use std::collections::BTreeMap;

use self::{
    ecs_agency::EcsAgency, iam_user::IamUser, keys::KeyPair, oidc::Oidc, pod_identity::PodIdentity, profile::Profile,
};
use super::{
    environment::Environment,
    fields::Fields,
    problem::Problem,
    read::{Node, Section},
    secret::Secret,
};

/// The keys of an entry.
const KEYS: [&str; 9] = [
    "access_key",
    "secret_key",
    "security_token",
    "token",
    "iam_user",
    "ecs_agency",
    "oidc",
    "pod_identity",
    "profile",
];

/// The source of an identity.
#[derive(Clone, Debug, PartialEq)]
pub enum CredentialsSource {
    /// An access key and a secret key.
    Keys(KeyPair),
    /// An IAM token that another program renews.
    Token(Secret),
    /// An IAM user. The exporter obtains and renews its tokens.
    IamUser(IamUser),
    /// Temporary keys of the agency of the ECS instance.
    EcsAgency(EcsAgency),
    /// Temporary keys of an agency that trusts an OpenID Connect provider.
    Oidc(Oidc),
    /// Temporary keys of the agency of the CCE pod.
    PodIdentity(PodIdentity),
    /// Keys in the credentials file of the official SDK.
    Profile(Profile),
}

impl CredentialsSource {
    /// Reads the section: each entry by its name. `None` if it is invalid as a whole.
    pub(super) fn read_all(node: &Node<'_>, environment: &Environment) -> Option<BTreeMap<String, Self>> {
        if !node.is_mapping() {
            node.problem("a mapping of names to keys, such as main: {access_key: …, secret_key: …}");
            return None;
        }
        let entries = node.entries();
        let is_source = |(name, node): &(&str, Node<'_>)| {
            KEYS.contains(name) && !(node.is_mapping() && node.entries().iter().any(|(key, _)| KEYS.contains(key)))
        };
        if let Some((key, _)) = entries.iter().find(|entry| is_source(entry)) {
            node.problem(format!("a name above {key}, such as main: {{{key}: …}}; projects choose by the name"));
            return None;
        }
        Some(
            entries
                .into_iter()
                .map(|(name, node)| (name.to_owned(), Self::read(node.section(), environment)))
                .collect(),
        )
    }

    /// Reads an entry. If it is invalid, notes the problems and returns a valid source, so that all other checks run.
    pub(super) fn read(mut section: Section<'_>, environment: &Environment) -> Self {
        let sources = [
            keys::read(&mut section).map(CredentialsSource::Keys),
            token::read(&mut section).map(CredentialsSource::Token),
            iam_user::read(&mut section).map(CredentialsSource::IamUser),
            ecs_agency::read(&mut section).map(CredentialsSource::EcsAgency),
            oidc::read(&mut section, environment).map(CredentialsSource::Oidc),
            pod_identity::read(&mut section, environment).map(CredentialsSource::PodIdentity),
            profile::read(&mut section, environment).map(CredentialsSource::Profile),
        ];
        let mut sources = sources.into_iter().flatten();
        let (source, second) = (sources.next(), sources.next());
        if source.is_none() || second.is_some() {
            section.problem(
                "expected exactly one of access_key with secret_key, token, iam_user, ecs_agency, oidc, pod_identity \
                 and profile",
            );
        }
        section.finish();
        source.unwrap_or_else(|| CredentialsSource::Token(Secret::invalid()))
    }

    /// Finds the source for a configuration without credentials, in the order of the contract, 7.7. The metadata
    /// service is last, because every ECS instance has it.
    ///
    /// The first source that is configured applies. If it is incomplete or fails, that is an error. The next source is
    /// not tried, because it may belong to another account.
    pub(super) async fn find(environment: &Environment, problems: &mut Vec<Problem>) -> Self {
        if let Some(keys) = keys::find(environment) {
            return CredentialsSource::Keys(keys);
        }
        problems.extend(oidc::unsupported(environment));
        if let Some(profile) = profile::find(environment).await {
            return CredentialsSource::Profile(profile);
        }
        if let Some(oidc) = oidc::find(environment, problems) {
            return CredentialsSource::Oidc(oidc);
        }
        if let Some(pod) = pod_identity::find(environment, problems) {
            return CredentialsSource::PodIdentity(pod);
        }
        let keys = keys::VARIABLES.map(|[access_key, secret_key, _]| format!("{access_key} and {secret_key}"));
        let problem = Problem::error(
            "credentials",
            format!(
                "there are none in the configuration, in the environment ({}) or in a credentials file; the exporter \
                 will use the metadata service, which has keys only on an ECS instance with an agency. Elsewhere, add \
                 credentials to the configuration",
                keys.join(", "),
            ),
        );
        problems.push(problem.into_warning());
        CredentialsSource::EcsAgency(ecs_agency::find())
    }

    /// The fields of an entry, with their keys in the file.
    pub(super) fn fields(&self) -> Fields<'_> {
        match self {
            CredentialsSource::Keys(keys) => keys::fields(keys),
            CredentialsSource::Token(token) => token::fields(token),
            CredentialsSource::IamUser(user) => iam_user::fields(user),
            CredentialsSource::EcsAgency(agency) => ecs_agency::fields(agency),
            CredentialsSource::Oidc(oidc) => oidc::fields(oidc),
            CredentialsSource::PodIdentity(pod) => pod_identity::fields(pod),
            CredentialsSource::Profile(profile) => profile::fields(profile),
        }
    }
}
