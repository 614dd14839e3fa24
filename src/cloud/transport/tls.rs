//! The TLS configuration of the HTTP clients.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_native_certs::load_native_certs;

use crate::{
    cloud::error::{Cause, SetupError},
    config::add_certificates,
};

/// Trusts the CAs of the system and those in `ca`, which is PEM. All connections share this configuration, because the
/// CAs of a system take 0.2 MB.
///
/// # Errors
/// If a certificate in `ca` cannot be used.
pub(super) fn client_config(ca: &[u8]) -> Result<ClientConfig, SetupError> {
    let mut roots = RootCertStore::empty();
    let system = load_native_certs();
    roots.add_parsable_certificates(system.certs);
    add_certificates(&mut roots, ca).map_err(unusable)?;
    for error in &system.errors {
        tracing::debug!(%error, "a CA certificate of the system cannot be used");
    }
    if roots.is_empty() {
        let error = system.errors.first().map_or_else(String::new, |error| format!(" ({error})"));
        tracing::warn!(
            "there are no CA certificates{error}, so no https endpoint can be trusted: install ca-certificates, \
             correct SSL_CERT_FILE or SSL_CERT_DIR if one is set, or set api.ca_file"
        );
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(unusable)?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".into()];
    Ok(config)
}

fn unusable(error: impl Into<Cause>) -> SetupError {
    SetupError::Ca(error.into())
}
