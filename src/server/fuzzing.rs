//! Gives the targets in `fuzz` access to the private checks of clients.

use std::{collections::BTreeMap, net::Ipv4Addr, sync::Arc, time::Duration};

use rustls::{crypto::aws_lc_rs, server::danger::ClientCertVerifier};
use rustls_pki_types::{CertificateDer, UnixTime};
use secrecy::SecretString;

use super::{
    basic_auth::BasicAuth,
    client_certificate::{AnyCertificate, NamedCertificate},
};

/// A user with a password.
#[derive(Debug)]
pub struct User {
    auth: BasicAuth,
    hashes: BTreeMap<String, SecretString>,
}

impl User {
    /// # Errors
    /// If the system has no random bytes.
    pub fn new(name: &str, hash: &str) -> Result<Self, rustls::Error> {
        Ok(User { auth: BasicAuth::new()?, hashes: [(name.to_owned(), hash.into())].into() })
    }

    /// Whether a header `Authorization` has the name and the password.
    pub async fn is_in(&self, authorization: &[u8]) -> bool {
        self.auth.check(&self.hashes, Some(authorization), Ipv4Addr::LOCALHOST.into()).await.is_ok()
    }
}

/// Whether a certificate in DER has a name.
pub fn has_name(certificate: &[u8], name: &str) -> bool {
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
    let verifier = Arc::new(AnyCertificate { is_required: true, algorithms });
    let named = NamedCertificate { verifier, allowed: vec![name.to_owned()] };
    let now = UnixTime::since_unix_epoch(Duration::ZERO);
    named.verify_client_cert(&CertificateDer::from(certificate), &[], now).is_ok()
}
