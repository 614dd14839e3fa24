//! Source: an access key and a secret key.

use crate::config::{
    environment::Environment,
    fields::{Field, Fields},
    read::Section,
    secret::Secret,
};

/// Access key, secret key and security token in the environment: the names of the official SDK, then those of the
/// sample programs in its documentation (contract, 7.5). `CLOUD_SDK_SECURITY_TOKEN` is not in the contract. It follows
/// the pattern of the other two.
pub(super) const VARIABLES: [[&str; 3]; 2] = [
    ["HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK", "HUAWEICLOUD_SDK_SECURITY_TOKEN"],
    ["CLOUD_SDK_AK", "CLOUD_SDK_SK", "CLOUD_SDK_SECURITY_TOKEN"],
];

/// A key pair.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyPair {
    /// AK.
    pub access_key: Secret,
    /// SK.
    pub secret_key: Secret,
    /// The token that belongs to temporary keys.
    pub security_token: Option<Secret>,
}

pub(super) fn read(section: &mut Section<'_>) -> Option<KeyPair> {
    let mut secret = |key| section.get(key).map(|node| Secret::of_node(&node));
    let [access_key, secret_key, security_token] = ["access_key", "secret_key", "security_token"].map(&mut secret);
    if access_key.is_none() && secret_key.is_none() && security_token.is_none() {
        return None;
    }
    let both = |key: &str, secret: Option<Secret>| {
        secret.unwrap_or_else(|| {
            section.missing(key, "access_key and secret_key belong together");
            Secret::invalid()
        })
    };
    let (access_key, secret_key) = (both("access_key", access_key), both("secret_key", secret_key));
    Some(KeyPair { access_key, secret_key, security_token })
}

/// Uses the first row of [`VARIABLES`] in which a variable has a value. An incomplete row is not completed from the
/// other row.
pub(super) fn find(environment: &Environment) -> Option<KeyPair> {
    let [access_key, secret_key, security_token] =
        VARIABLES.into_iter().find(|names| names.iter().any(|name| environment.has(name)))?;
    let variable = |name: &str| Secret::Env(name.to_owned());
    Some(KeyPair {
        access_key: variable(access_key),
        secret_key: variable(secret_key),
        security_token: environment.has(security_token).then(|| variable(security_token)),
    })
}

pub(super) fn fields(keys: &KeyPair) -> Fields<'_> {
    let KeyPair { access_key, secret_key, security_token } = keys;
    let mut fields = vec![("access_key", Field::Secret(access_key)), ("secret_key", Field::Secret(secret_key))];
    fields.extend(security_token.as_ref().map(|token| ("security_token", Field::Secret(token))));
    fields
}
