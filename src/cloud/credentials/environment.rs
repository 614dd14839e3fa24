//! Source: the environment variables of the official SDK, or those of its documentation's sample programs.
//!
//! Source of the names: contract, 7.5.

use super::{Identity, keys};
use crate::config::{Environment, Keys, Secret, SecretError};

/// Access key, secret key and security token.
const NAMES: [[&str; 3]; 2] = [
    ["HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK", "HUAWEICLOUD_SDK_SECURITY_TOKEN"],
    ["CLOUD_SDK_AK", "CLOUD_SDK_SK", "CLOUD_SDK_SECURITY_TOKEN"],
];

/// Reads the first set of variables of which any is there.
///
/// # Errors
/// If none is there, or only half a pair.
pub async fn fetch(environment: &Environment) -> Result<Identity, SecretError> {
    let [official, samples] = NAMES;
    let is_set = |name: &&str| environment.get(name).is_some();
    let [access_key, secret_key, security_token] =
        if !official.iter().any(is_set) && samples.iter().any(is_set) { samples } else { official };
    let variable = |name: &str| Secret::Env(name.to_owned());
    let keys = Keys {
        access_key: variable(access_key),
        secret_key: variable(secret_key),
        security_token: environment.get(security_token).map(|_| variable(security_token)),
    };
    keys::fetch(&keys, environment).await
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    async fn access_key(variables: &[&str]) -> Result<String, String> {
        let environment = variables.iter().map(|name| ((*name).to_owned(), format!("{name}-value"))).collect();
        match fetch(&environment).await {
            Ok(Identity::Keys { access_key, .. }) => Ok(access_key.expose_secret().to_owned()),
            Ok(Identity::Token(_)) => Err("a token".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[tokio::test]
    async fn the_official_names_win_and_half_a_pair_is_an_error() {
        let all = ["HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK", "CLOUD_SDK_AK", "CLOUD_SDK_SK"];
        assert_eq!(access_key(&all).await.unwrap(), "HUAWEICLOUD_SDK_AK-value");
        assert_eq!(access_key(&all[2..]).await.unwrap(), "CLOUD_SDK_AK-value");
        assert!(access_key(&all[1..]).await.unwrap_err().contains("HUAWEICLOUD_SDK_AK"), "no falling through");
        assert!(access_key(&all[2..3]).await.unwrap_err().contains("CLOUD_SDK_SK"));
        assert!(access_key(&[]).await.unwrap_err().contains("HUAWEICLOUD_SDK_AK"));
    }
}
