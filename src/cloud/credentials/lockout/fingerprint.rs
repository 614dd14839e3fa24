//! Fingerprints, which tell keys apart.

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// Identifies a key without showing it: a digest of all its secrets.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The digest of texts in this order.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut digest = Sha256::new();
        for part in parts {
            digest.update(part.len().to_be_bytes());
            digest.update(part);
        }
        Fingerprint(digest.finalize().into())
    }

    /// The HMAC with this salt. Without the salt, it cannot be compared with known keys.
    pub(super) fn keyed(self, salt: &[u8]) -> Self {
        // HMAC accepts a key of any length, so this does not fail.
        let Ok(mac) = Hmac::<Sha256>::new_from_slice(salt) else { return self };
        Fingerprint(mac.chain_update(self.0).finalize().into_bytes().into())
    }

    pub(super) fn to_base64(self) -> String {
        BASE64_STANDARD.encode(self.0)
    }

    pub(super) fn from_base64(text: &str) -> Option<Self> {
        BASE64_STANDARD.decode(text).ok()?.try_into().ok().map(Fingerprint)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint(…)")
    }
}
