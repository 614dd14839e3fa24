//! Builds the TLS configuration of rustls from the web configuration.

use std::{sync::Arc, time::UNIX_EPOCH};

use chrono::{DateTime, Utc};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
    version,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use secrecy::ExposeSecret;
use x509_cert::{Certificate, der::Decode};

use super::{
    client_certificate::{AnyCertificate, NamedCertificate},
    config::{CIPHER_SUITES, ClientAuth, TlsConfig, TlsVersion},
};
use crate::config::Problem;

/// Builds the TLS configuration of the server.
///
/// # Errors
/// The setting of the web configuration that cannot be used. The message never shows a part of a private key.
pub(super) fn server_config(tls: &TlsConfig, http2: bool) -> Result<ServerConfig, Problem> {
    let problem = |key: &str, error: String| Problem::error(format!("tls_server_config.{key}"), error);
    let chain = certificates(&tls.cert).map_err(|error| problem(tls.cert_setting, error))?;
    let key_setting = if tls.cert_setting == "cert" { "key or key_file" } else { "key_file or key" };
    let key = PrivateKeyDer::from_pem_slice(tls.key.expose_secret())
        .map_err(|_| problem(key_setting, "holds no private key in PEM format that can be read".to_owned()))?;
    let provider = Arc::new(provider(tls));
    let versions: Vec<_> = tls
        .versions
        .iter()
        .map(|version| match version {
            TlsVersion::Tls12 => &version::TLS12,
            TlsVersion::Tls13 => &version::TLS13,
        })
        .collect();
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)
        .map_err(|error| problem("cipher_suites", format!("do not fit the versions and curves: {error}")))?;
    let builder = match verifier(tls, &provider).map_err(|error| problem("client_ca_file or client_ca", error))? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => problem(key_setting, "is not the key of the certificate".to_owned()),
        error => problem(tls.cert_setting, format!("cannot be used: {error}")),
    })?;
    if tls.client_auth != ClientAuth::No {
        // In a resumed session, the client does not present its certificate again, even if the certificate has
        // expired. So sessions are not resumed.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    config.ignore_client_order = tls.prefer_server_cipher_suites;
    config.alpn_protocols = if http2 { vec![b"h2".into(), b"http/1.1".into()] } else { vec![b"http/1.1".into()] };
    Ok(config)
}

/// A provider with the configured cipher suites and key exchanges, in the configured order.
fn provider(tls: &TlsConfig) -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    let chosen: Vec<&str> =
        tls.cipher_suites.iter().map(String::as_str).filter(|name| CIPHER_SUITES.contains(name)).collect();
    if !chosen.is_empty() {
        let position = |name: &str| chosen.iter().position(|chosen| *chosen == name);
        // The suites of TLS 1.3 always stay, as in Go. `CIPHER_SUITES` does not contain them.
        provider.cipher_suites.retain(|suite| suite.tls13().is_some() || position(&name_of(suite)).is_some());
        provider.cipher_suites.sort_by_key(|suite| (suite.tls13().is_none(), position(&name_of(suite))));
    }
    if !tls.curve_preferences.is_empty() {
        let group = |name: &String| match name.as_str() {
            "CurveP256" => aws_lc_rs::kx_group::SECP256R1,
            "CurveP384" => aws_lc_rs::kx_group::SECP384R1,
            "X25519MLKEM768" => aws_lc_rs::kx_group::X25519MLKEM768,
            _ => aws_lc_rs::kx_group::X25519,
        };
        provider.kx_groups = tls.curve_preferences.iter().map(group).collect();
    }
    provider
}

fn name_of(suite: &rustls::SupportedCipherSuite) -> String {
    format!("{:?}", suite.suite())
}

fn verifier(tls: &TlsConfig, provider: &Arc<CryptoProvider>) -> Result<Option<Arc<dyn ClientCertVerifier>>, String> {
    let algorithms = provider.signature_verification_algorithms;
    let verified = || {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(tls.client_ca.as_deref().unwrap_or_default())? {
            roots.add(certificate).map_err(|error| format!("holds a certificate that cannot be used: {error}"))?;
        }
        Ok::<_, String>(WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)))
    };
    let unusable = |error: rustls::server::VerifierBuilderError| format!("cannot be used: {error}");
    let verifier: Arc<dyn ClientCertVerifier> = match tls.client_auth {
        ClientAuth::No => return Ok(None),
        ClientAuth::Request => Arc::new(AnyCertificate { is_required: false, algorithms }),
        ClientAuth::RequireAny => Arc::new(AnyCertificate { is_required: true, algorithms }),
        ClientAuth::VerifyIfGiven => verified()?.allow_unauthenticated().build().map_err(unusable)?,
        ClientAuth::RequireAndVerify => verified()?.build().map_err(unusable)?,
    };
    if tls.client_allowed_sans.is_empty() {
        return Ok(Some(verifier));
    }
    Ok(Some(Arc::new(NamedCertificate { verifier, allowed: tls.client_allowed_sans.clone() })))
}

/// Warnings of certificates that clients or the server refuse now, because of their dates.
pub(super) fn warnings(tls: &TlsConfig, now: DateTime<Utc>) -> Vec<Problem> {
    let client_ca = tls.client_ca.as_deref().map(|pem| ("client_ca_file or client_ca", pem));
    let all = [(tls.cert_setting, tls.cert.as_slice())].into_iter().chain(client_ca);
    let warning = |(key, pem)| {
        let faults = certificates(pem).unwrap_or_default().into_iter().filter_map(|der| date_fault(&der, now));
        faults.map(move |fault| Problem::warning(format!("tls_server_config.{key}"), fault)).collect::<Vec<_>>()
    };
    all.flat_map(warning).collect()
}

fn date_fault(der: &[u8], now: DateTime<Utc>) -> Option<String> {
    let certificate = Certificate::from_der(der).ok()?;
    let certificate = certificate.tbs_certificate();
    let [begin, end] = [certificate.validity().not_before, certificate.validity().not_after]
        .map(|time| DateTime::<Utc>::from(UNIX_EPOCH + time.to_unix_duration()));
    let fault = match () {
        () if now > end => format!("has expired, at {end:?}; renew it"),
        () if now < begin => format!("is not valid before {begin:?}; check the clock of this machine"),
        () => return None,
    };
    Some(format!("the certificate of {} {fault}", certificate.subject()))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = read.map_err(|error| format!("holds no certificate in PEM format that can be read: {error}"))?;
    if certificates.is_empty() {
        return Err("holds no certificate in PEM format".to_owned());
    }
    Ok(certificates)
}
