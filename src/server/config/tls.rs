//! Section `tls_server_config` of the web configuration.

use secrecy::{ExposeSecret, SecretSlice};
use serde_json::Value;

use super::files::Files;
use crate::config::read::{Node, Section};

/// Cipher suites of TLS 1.2 by their names in Go and at IANA: all that rustls supports.
pub(crate) const CIPHER_SUITES: [&str; 6] = [
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
];
/// Cipher suites of TLS 1.3. Go does not let users choose among them, so naming them has no effect.
const CIPHER_SUITES_OF_1_3: [&str; 3] =
    ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];
/// Key exchanges by their names in Go: all that rustls supports.
const CURVES: [&str; 4] = ["X25519", "CurveP256", "CurveP384", "X25519MLKEM768"];

/// The valid settings of the section.
#[derive(Clone, Debug)]
pub(crate) struct TlsConfig {
    /// The setting that gives the certificate, for messages: `cert` or `cert_file`.
    pub cert_setting: &'static str,
    /// The certificate chain in PEM format.
    pub cert: Vec<u8>,
    /// The private key in PEM format.
    pub key: SecretSlice<u8>,
    /// Certificates of the authorities that sign client certificates, in PEM format.
    pub client_ca: Option<Vec<u8>>,
    pub client_auth: ClientAuth,
    /// A client certificate must have one of these names; empty allows all.
    pub client_allowed_sans: Vec<String>,
    /// In ascending order.
    pub versions: Vec<TlsVersion>,
    /// Cipher suites for TLS 1.2 in order of preference; empty means all.
    pub cipher_suites: Vec<String>,
    /// Whether the server's order of cipher suites applies instead of the client's.
    pub prefer_server_cipher_suites: bool,
    /// Key exchanges in order of preference; empty means all.
    pub curve_preferences: Vec<String>,
}

impl TlsConfig {
    /// Whether this configuration drops a requirement of the old one: a verified certificate of each client, or an
    /// allowed name in it.
    pub fn is_less_strict_than(&self, old: &TlsConfig) -> bool {
        let no_longer = |requires: fn(&TlsConfig) -> bool| requires(old) && !requires(self);
        no_longer(|tls| tls.client_auth == ClientAuth::RequireAndVerify)
            || no_longer(|tls| !tls.client_allowed_sans.is_empty())
    }
}

/// The client certificates that the server asks for, as in Go's `crypto/tls`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientAuth {
    /// None.
    No,
    /// An optional certificate, not verified.
    Request,
    /// Any certificate, not verified.
    RequireAny,
    /// An optional certificate, verified.
    VerifyIfGiven,
    /// A verified certificate.
    RequireAndVerify,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TlsVersion {
    Tls12,
    Tls13,
}

/// Reads the section and reports its problems. `None` if the certificate or the key is missing, or if a version or
/// `client_auth_type` is invalid.
pub(super) fn read(mut section: Section<'_>, files: &Files) -> Option<TlsConfig> {
    let cert = pem(&mut section, files, "cert", "cert_file");
    let key = pem(&mut section, files, "key", "key_file");
    let clients = clients(&mut section, files);
    let versions = versions(&mut section);
    let cipher_suites = cipher_suites(&mut section, versions.as_deref());
    let prefer_server_cipher_suites =
        section.get("prefer_server_cipher_suites").and_then(|node| node.read("true or false", Value::as_bool));
    let curves = format!("one of the curves that rustls supports: {}", CURVES.join(", "));
    let curve_preferences = texts(section.get("curve_preferences"), |name| CURVES.contains(&name), &curves);
    for (inline, file) in [("cert", "cert_file"), ("key", "key_file")] {
        if !section.has(inline) && !section.has(file) {
            section.missing(file, &format!("expected {inline} or {file}"));
        }
    }
    section.finish();
    let (cert_setting, cert) = cert?;
    let clients = clients?;
    Some(TlsConfig {
        cert_setting,
        cert: cert.expose_secret().to_vec(),
        key: key?.1,
        client_ca: clients.ca,
        client_auth: clients.auth,
        client_allowed_sans: clients.allowed_sans,
        versions: versions?,
        cipher_suites,
        prefer_server_cipher_suites: prefer_server_cipher_suites.unwrap_or(true),
        curve_preferences,
    })
}

/// Reads PEM from one of two settings: `inline` has the text, `file` names a file. Returns the name of the setting in
/// use, and the PEM.
fn pem(
    section: &mut Section<'_>,
    files: &Files,
    inline: &'static str,
    file: &'static str,
) -> Option<(&'static str, SecretSlice<u8>)> {
    let text = section.get(inline).map(Node::hide);
    // A private key in place of its file name must not appear in a message.
    let name = section.get(file).map(|node| if node.contains('\n') || node.contains(' ') { node.hide() } else { node });
    match (text, name) {
        (Some(_), Some(name)) => {
            name.problem(format!("only one of {inline} and {file}"));
            None
        }
        (Some(text), None) => {
            let text = text.read("a text in PEM format", Value::as_str)?;
            Some((inline, SecretSlice::from(text.as_bytes().to_vec())))
        }
        (None, Some(name)) => match files.content(name.read("a text that is not empty", file_name)?)? {
            Ok(content) => Some((file, content.clone())),
            Err(error) => {
                name.problem(format!("a file that can be read: {error}"));
                None
            }
        },
        (None, None) => None,
    }
}

fn file_name(value: &Value) -> Option<&str> {
    value.as_str().filter(|name| !name.is_empty())
}

/// The settings for client certificates.
struct ClientSettings {
    ca: Option<Vec<u8>>,
    auth: ClientAuth,
    allowed_sans: Vec<String>,
}

fn clients(section: &mut Section<'_>, files: &Files) -> Option<ClientSettings> {
    let ca = pem(section, files, "client_ca", "client_ca_file");
    let auth = section.get("client_auth_type").map_or(Some(ClientAuth::No), |node| client_auth(&node));
    let sans_node = section.get("client_allowed_sans");
    let allowed_sans = texts(sans_node.clone(), |_| true, "a name");
    let verifies = matches!(auth, Some(ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify));
    let has_ca = section.has("client_ca") || section.has("client_ca_file");
    if has_ca && auth == Some(ClientAuth::No) {
        section
            .problem_of("client_auth_type", "is missing or NoClientCert; a client CA needs RequireAndVerifyClientCert");
    }
    if verifies && !has_ca {
        let text = "is missing; expected client_ca or client_ca_file, to verify client certificates";
        section.problem_of("client_ca_file", text);
    }
    if let Some(node) = &sans_node {
        if allowed_sans.is_empty() {
            node.problem("at least one name; remove the key to allow all names");
        }
        // Anyone can make a self-signed certificate with any name.
        if auth.is_some() && !verifies {
            node.problem(
                "client_auth_type RequireAndVerifyClientCert: the names of an unverified certificate prove nothing",
            );
        }
    }
    Some(ClientSettings { ca: ca.map(|(_, pem)| pem.expose_secret().to_vec()), auth: auth?, allowed_sans })
}

fn client_auth(node: &Node<'_>) -> Option<ClientAuth> {
    let expected = "NoClientCert, RequestClientCert, RequireAnyClientCert, VerifyClientCertIfGiven or \
                    RequireAndVerifyClientCert";
    node.parse(expected, |text| {
        Some(match text {
            "" | "NoClientCert" => ClientAuth::No,
            "RequestClientCert" => ClientAuth::Request,
            // The exporter-toolkit also accepts the old name `RequireClientCert`.
            "RequireAnyClientCert" | "RequireClientCert" => ClientAuth::RequireAny,
            "VerifyClientCertIfGiven" => ClientAuth::VerifyIfGiven,
            "RequireAndVerifyClientCert" => ClientAuth::RequireAndVerify,
            _ => return None,
        })
    })
}

/// The versions from `min_version` to `max_version`.
fn versions(section: &mut Section<'_>) -> Option<Vec<TlsVersion>> {
    let min_node = section.get("min_version");
    let min = min_node.as_ref().map_or(Some(TlsVersion::Tls12), version);
    let max = section.get("max_version").map_or(Some(TlsVersion::Tls13), |node| version(&node));
    let (min, max) = (min?, max?);
    if let Some(node) = &min_node
        && min > max
    {
        node.problem("a version that is not above max_version");
    }
    Some([TlsVersion::Tls12, TlsVersion::Tls13].into_iter().filter(|version| (min..=max).contains(version)).collect())
}

fn version(node: &Node<'_>) -> Option<TlsVersion> {
    node.parse("TLS12 or TLS13, the versions that rustls supports", |text| match text {
        "TLS12" => Some(TlsVersion::Tls12),
        "TLS13" => Some(TlsVersion::Tls13),
        _ => None,
    })
}

fn cipher_suites(section: &mut Section<'_>, versions: Option<&[TlsVersion]>) -> Vec<String> {
    let expected = format!("one of the cipher suites that rustls supports: {}", CIPHER_SUITES.join(", "));
    let is_of_1_2 = |name: &str| CIPHER_SUITES.contains(&name);
    let is_known = |name: &str| is_of_1_2(name) || CIPHER_SUITES_OF_1_3.contains(&name);
    let suites = texts(section.get("cipher_suites"), is_known, &expected);
    let speaks_1_2 = versions.is_some_and(|versions| versions.contains(&TlsVersion::Tls12));
    if speaks_1_2 && !suites.is_empty() && !suites.iter().any(|name| is_of_1_2(name)) {
        section.problem_of("cipher_suites", "expected a cipher suite of TLS 1.2 among them, or min_version TLS13");
    }
    suites
}

fn texts(node: Option<Node<'_>>, is_valid: impl Fn(&str) -> bool, expected: &str) -> Vec<String> {
    node.map_or_else(Vec::new, |node| {
        node.list(|node| node.parse(expected, |text| is_valid(text).then(|| text.to_owned())))
    })
}
