//! Who the exporter is to the cloud. A source only fetches an [`Identity`]; whether it may be used is up to
//! [`lockout`](super::lockout).

mod keys;
mod token;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::{error::Error, lockout::Fingerprint};
use crate::config::{CredentialsSource, Environment};

/// What a request is signed or marked with. `Debug` shows nothing of it.
#[derive(Clone, Debug)]
pub enum Identity {
    /// A key pair that signs (contract, section 3).
    Keys {
        /// The access key (AK). Not secret, but nobody's business.
        access_key: SecretString,
        /// The secret key (SK).
        secret_key: SecretString,
        /// The token that belongs to temporary keys.
        security_token: Option<SecretString>,
    },
    /// A token that is sent along (contract, section 5).
    Token(SecretString),
}

impl Identity {
    /// Which key this is. A token is the token of one project in one region, so the host is a part of it; a key is
    /// locked wherever it is used.
    pub fn fingerprint(&self, host: &str) -> Fingerprint {
        let mut digest = Sha256::new();
        let mut add = |part: &str| {
            digest.update(part.len().to_be_bytes());
            digest.update(part);
        };
        match self {
            Identity::Keys { access_key, secret_key, security_token } => {
                add(access_key.expose_secret());
                add(secret_key.expose_secret());
                add(security_token.as_ref().map_or("", |token| token.expose_secret()));
            }
            Identity::Token(token) => {
                add(token.expose_secret());
                add(host);
            }
        }
        Fingerprint(digest.finalize().into())
    }

    /// Takes everything secret out of a text that somebody else wrote.
    pub fn redact(&self, text: &str) -> String {
        let secrets = match self {
            Identity::Keys { access_key, secret_key, security_token } => {
                [Some(access_key), Some(secret_key), security_token.as_ref()]
            }
            Identity::Token(token) => [Some(token), None, None],
        };
        secrets
            .into_iter()
            .flatten()
            .fold(text.to_owned(), |text, secret| text.replace(secret.expose_secret(), "<secret>"))
    }
}

/// One entry of the section `credentials`.
#[derive(Clone, Debug)]
pub struct Credentials {
    source: CredentialsSource,
    environment: Environment,
}

impl Credentials {
    /// Credentials that are fetched from `source` whenever they are needed.
    pub fn new(source: CredentialsSource, environment: Environment) -> Self {
        Credentials { source, environment }
    }

    /// Fetches the identity in force now.
    ///
    /// # Errors
    /// [`Error::Credentials`] where a variable, a file or a value is missing.
    pub async fn identity(&self) -> Result<Identity, Error> {
        let identity = match &self.source {
            CredentialsSource::Keys(keys) => keys::fetch(keys, &self.environment).await,
            CredentialsSource::Token(token) => token::fetch(token, &self.environment).await,
        };
        identity.map_err(|error| Error::Credentials(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(access_key: &str, secret_key: &str, security_token: Option<&str>) -> Identity {
        Identity::Keys {
            access_key: access_key.into(),
            secret_key: secret_key.into(),
            security_token: security_token.map(Into::into),
        }
    }

    #[test]
    fn every_part_counts_for_the_fingerprint() {
        let base = keys("a", "s", None).fingerprint("h");
        assert_eq!(keys("a", "s", None).fingerprint("other"), base, "a key is the same key everywhere");
        for other in [keys("as", "", None), keys("a", "t", None), keys("a", "s", Some("t"))] {
            assert_ne!(other.fingerprint("h"), base);
        }
        let token = Identity::Token("t".into());
        assert_ne!(token.fingerprint("h"), token.fingerprint("other"), "a token belongs to its region");
    }

    #[test]
    fn nothing_secret_is_shown() {
        let identity = keys("AKAK", "SKSK", Some("TOKEN"));
        let shown = format!("{identity:?} {}", identity.redact("AK: AKAK, SK: SKSK, x-security-token:TOKEN"));
        for secret in ["AKAK", "SKSK", "TOKEN"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
