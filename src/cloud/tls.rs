//! TLS towards the cloud.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_native_certs::load_native_certs;
use rustls_pki_types::{CertificateDer, pem::PemObject};

use super::client::SetupError;

/// What all connections share: the system's CAs, which take a fifth of a megabyte, and those in `ca`, which is PEM.
///
/// # Errors
/// A certificate in `ca` cannot be used.
pub(super) fn client_config(ca: &[u8]) -> Result<ClientConfig, SetupError> {
    let mut roots = RootCertStore::empty();
    // What of the system's cannot be read is no concern of ours, as long as the cloud's CA is not among it.
    roots.add_parsable_certificates(load_native_certs().certs);
    for certificate in CertificateDer::pem_slice_iter(ca) {
        let certificate = certificate.map_err(|error| SetupError::Ca(error.to_string()))?;
        roots.add(certificate).map_err(|error| SetupError::Ca(error.to_string()))?;
    }
    if roots.is_empty() {
        tracing::warn!(
            "there are no CA certificates, so no https endpoint can be trusted: install ca-certificates, or set api.ca_file"
        );
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| SetupError::Ca(error.to_string()))?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".into()];
    Ok(config)
}
