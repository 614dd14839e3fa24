//! The identity that authenticates a request, and the project that it is for.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};

use super::lockout::Fingerprint;
use crate::cloud::{error::Error, secrets::Secrets};

/// The keys that sign a request, or the token that it carries. `Debug` shows none of them.
#[derive(Clone, Debug)]
pub(crate) enum Identity {
    /// A key pair that signs (contract, section 3).
    Keys {
        /// The AK. Not secret, but not shown either.
        access_key: SecretString,
        /// The SK.
        secret_key: SecretString,
        /// The token that belongs to temporary keys.
        security_token: Option<SecretString>,
    },
    /// A token in a header (contract, section 5).
    Token(SecretString),
}

impl Identity {
    /// The fingerprint of this key or token. The fingerprint of a token includes the host, because a token is valid in
    /// one region only. The fingerprint of a key does not, because a locked key is locked everywhere.
    pub fn fingerprint(&self, host: &str) -> Fingerprint {
        match self {
            Identity::Keys { access_key, secret_key, security_token } => Fingerprint::of([
                access_key.expose_secret(),
                secret_key.expose_secret(),
                security_token.as_ref().map_or("", |token| token.expose_secret()),
            ]),
            Identity::Token(token) => Fingerprint::of([token.expose_secret(), host]),
        }
    }

    /// The secrets of this identity, which the cloud may repeat in its answers.
    pub fn secrets(&self) -> Secrets {
        match self {
            Identity::Keys { access_key, secret_key, security_token } => {
                [access_key, secret_key].into_iter().chain(security_token).collect()
            }
            Identity::Token(token) => [token].into_iter().collect(),
        }
    }
}

/// The project or account that an identity is for: a token is issued for one of them.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    /// For a project, its id; `None` is the project with the name of the region. For an account, its id; `None` is the
    /// account of the key.
    pub project_id: Option<Arc<str>>,
    /// Empty if only an endpoint is configured.
    pub region: Arc<str>,
    /// Whether it is an account, not a project.
    pub is_account: bool,
}

impl Scope {
    /// The name of the scope of an account. It has a space, so it differs from every id and region.
    pub const ACCOUNT: &'static str = "the account";

    /// The project's id, or else the region; [`Self::ACCOUNT`] for an account.
    pub fn project(&self) -> &str {
        if self.is_account {
            return Self::ACCOUNT;
        }
        self.project_id.as_deref().unwrap_or(&self.region)
    }
}

/// An identity as its source issued it.
#[derive(Clone, Debug)]
pub(super) struct Issued {
    pub identity: Identity,
    /// By the clock of the source; `None` if the source does not say.
    pub expires: Option<DateTime<Utc>>,
    /// The id of the project or account that it is for, if the source tells it.
    pub project_id: Option<Arc<str>>,
    /// The time from the fetch until it expires; `None` if the source does not say.
    pub lifetime: Option<Duration>,
}

impl Issued {
    /// An identity that expires.
    ///
    /// # Errors
    /// If it has expired already.
    pub fn until(identity: Identity, expires: DateTime<Utc>, now: DateTime<Utc>) -> Result<Self, Error> {
        let lifetime = (expires - now).to_std().ok().filter(|lifetime| !lifetime.is_zero());
        let lifetime = lifetime.ok_or_else(|| {
            let text =
                format!("the source gave a key or token that expired at {expires}: check the clock of this machine");
            Error::Credentials(text.into())
        })?;
        Ok(Issued { identity, expires: Some(expires), project_id: None, lifetime: Some(lifetime) })
    }
}

impl From<Identity> for Issued {
    fn from(identity: Identity) -> Self {
        Issued { identity, expires: None, project_id: None, lifetime: None }
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
        let shown = format!("{identity:?} {}", identity.secrets().shown("AK: AKAK, SK: SKSK, x-security-token:TOKEN"));
        for secret in ["AKAK", "SKSK", "TOKEN"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    #[test]
    fn an_identity_that_has_expired_is_an_error() {
        let now = DateTime::UNIX_EPOCH;
        let second = chrono::Duration::seconds(1);
        let until = |expires| Issued::until(Identity::Token("t".into()), expires, now).map(|issued| issued.lifetime);
        assert_eq!(until(now + second).unwrap(), Some(Duration::from_secs(1)));
        for expires in [now, now - second] {
            let error = until(expires).unwrap_err().to_string();
            assert!(error.contains("check the clock of this machine"), "{error}");
        }
    }
}
