//! The web configuration file: TLS, users, headers and a rate limit for the exporter's own server.
//!
//! The format is the exporter-toolkit's (`docs/web-configuration.md` there), so that a file for one exporter is good for
//! all. What rustls does not have (TLS before 1.2, CBC and RSA key exchange, P-521) is a problem that says so. All
//! files are read here: what comes out is all that is in force, and two of them can be compared.

use std::{collections::BTreeMap, ops::RangeInclusive, path::Path, time::Duration};

use secrecy::{ExposeSecret, SecretSlice, SecretString};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use yaml_rust2::{Yaml, YamlLoader};

use crate::config::{
    Problem, file,
    read::{Document, Node, Section},
};

/// A whole web configuration.
#[derive(Clone, Debug, Default)]
pub struct WebConfig {
    /// Section `tls_server_config`; `None` is plain HTTP.
    pub tls: Option<TlsConfig>,
    /// Whether HTTP/2 is offered over TLS.
    pub http2: bool,
    /// Headers of every answer.
    pub headers: Vec<(&'static str, String)>,
    /// Bcrypt hashes by user; empty lets everybody in.
    pub users: BTreeMap<String, SecretString>,
    /// Section `rate_limit`.
    pub rate_limit: Option<RateLimit>,
}

/// How TLS is served.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    /// Where the certificate comes from, for messages.
    pub cert_path: &'static str,
    /// The certificate and those that vouch for it, in PEM.
    pub cert: Vec<u8>,
    /// Its key, in PEM.
    pub key: SecretSlice<u8>,
    /// Who may vouch for clients, in PEM.
    pub client_ca: Option<Vec<u8>>,
    /// What is asked of clients.
    pub client_auth: ClientAuth,
    /// Names of which a client's certificate must have one; empty allows all.
    pub client_allowed_sans: Vec<String>,
    /// The versions that are spoken, in ascending order.
    pub versions: Vec<TlsVersion>,
    /// Names of cipher suites for TLS 1.2, in order of preference; empty is all there are.
    pub cipher_suites: Vec<String>,
    /// Whether the order of the server counts, rather than the client's.
    pub prefer_server_cipher_suites: bool,
    /// Names of key exchanges, in order of preference; empty is all there are.
    pub curve_preferences: Vec<String>,
}

impl TlsConfig {
    /// Whether clients come in that would not have before: a half-written file must not open the door.
    pub fn asks_less_than(&self, before: Option<&TlsConfig>) -> bool {
        before.is_some_and(|before| {
            let no_longer = |asks: fn(&TlsConfig) -> bool| asks(before) && !asks(self);
            no_longer(|tls| tls.client_auth == ClientAuth::RequireAndVerify)
                || no_longer(|tls| !tls.client_allowed_sans.is_empty())
        })
    }
}

/// What is asked of a client, in the words of Go's `crypto/tls`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// No certificate.
    #[default]
    No,
    /// One, if it has any; it is not verified.
    Request,
    /// Any; it is not verified.
    RequireAny,
    /// One that is verified, or none.
    VerifyIfGiven,
    /// One that is verified.
    RequireAndVerify,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// A bucket of `burst` requests that is filled by one every `interval`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Greater than 0.
    pub interval: Duration,
    /// At least 1.
    pub burst: u32,
}

/// Cipher suites of TLS 1.2, by the names that Go and the IANA give them: all that rustls has.
pub const CIPHER_SUITES: [&str; 6] = [
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
];
/// Those of TLS 1.3, which Go does not let anybody choose among; naming them does no harm.
const CIPHER_SUITES_OF_1_3: [&str; 3] =
    ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];
/// Key exchanges, by Go's names: all that rustls has.
pub const CURVES: [&str; 4] = ["X25519", "CurveP256", "CurveP384", "X25519MLKEM768"];

/// Costs of a hash. The dearest takes some seconds, which whoever comes has to wait for.
const COSTS: RangeInclusive<u32> = 4..=16;

/// Headers that may be set, and their values if there are but a few.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Content-Security-Policy", &[]),
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
];

/// What reading came to.
#[derive(Debug)]
pub struct LoadedWeb {
    /// The configuration; `None` where there are problems.
    pub config: Option<WebConfig>,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// Changes with anything in the file or in the files it names.
    pub fingerprint: [u8; 32],
}

/// Reads the file and every file it names; relative paths count from its directory.
pub async fn load_web(path: &Path) -> LoadedWeb {
    let failed = |expected: String, fingerprint| LoadedWeb {
        config: None,
        problems: vec![Problem::error(path.display().to_string(), expected)],
        fingerprint,
    };
    let mut digest = Sha256::new();
    let text = match file::read_to_string(path).await {
        Ok(text) => text,
        Err(error) => return failed(format!("cannot be read: {error}"), Sha256::digest(error.to_string()).into()),
    };
    digest.update(&text);
    let tree = match parse(&text) {
        Ok(tree) => tree,
        Err(error) => return failed(format!("is not YAML: {error}"), digest.finalize().into()),
    };
    let directory = path.parent().unwrap_or(Path::new(""));
    let mut files = Files::new();
    for key in ["cert_file", "key_file", "client_ca_file"] {
        let name = tree.pointer(&format!("/tls_server_config/{key}")).and_then(Value::as_str);
        let Some(name) = name.filter(|name| !files.contains_key(*name)) else { continue };
        let content = file::read(&directory.join(name)).await;
        let content = content.map(SecretSlice::from).map_err(|error| error.to_string());
        let (is_there, bytes) = match &content {
            Ok(bytes) => (1, bytes.expose_secret()),
            Err(error) => (0, error.as_bytes()),
        };
        digest.update([is_there]);
        digest.update(bytes.len().to_be_bytes());
        digest.update(bytes);
        files.insert(name.to_owned(), content);
    }
    let document = Document::default();
    let config = root(document.root(&tree), &files);
    let problems = document.into_problems();
    LoadedWeb { config: problems.is_empty().then_some(config), problems, fingerprint: digest.finalize().into() }
}

/// The files that a web configuration names, and what is in them or why they cannot be read.
type Files = BTreeMap<String, Result<SecretSlice<u8>, String>>;

/// Not by the crate `config`, which takes a dot in a key for a path: a user may be called `john.doe`.
fn parse(text: &str) -> Result<Value, String> {
    let documents = YamlLoader::load_from_str(text).map_err(|error| error.to_string())?;
    match documents.as_slice() {
        // An empty file is plain HTTP.
        [] | [Yaml::Null] => Ok(Value::Object(Map::new())),
        [document @ Yaml::Hash(_)] => value(document),
        [_] => Err("expected a mapping".to_owned()),
        _ => Err("expected one document".to_owned()),
    }
}

fn value(yaml: &Yaml) -> Result<Value, String> {
    Ok(match yaml {
        Yaml::Null => Value::Null,
        Yaml::Boolean(value) => (*value).into(),
        Yaml::Integer(value) => (*value).into(),
        Yaml::String(value) | Yaml::Real(value) => value.clone().into(),
        Yaml::Array(values) => Value::Array(values.iter().map(value).collect::<Result<_, _>>()?),
        Yaml::Hash(fields) => {
            let field = |(key, field): (&Yaml, &Yaml)| {
                let key = key.as_str().ok_or("every key must be a text; quote it".to_owned())?;
                Ok((key.to_owned(), value(field)?))
            };
            Value::Object(fields.iter().map(field).collect::<Result<_, String>>()?)
        }
        Yaml::Alias(_) | Yaml::BadValue => return Err("aliases are not supported".to_owned()),
    })
}

fn root(mut section: Section<'_>, files: &Files) -> WebConfig {
    let tls_node = section.get("tls_server_config").map(|node| if node.is_mapping() { node } else { node.hide() });
    let tls = tls_node.and_then(|node| tls(node.section(), files));
    let mut http = section.section("http_server_config");
    let http2 = http.get("http2").and_then(|node| boolean(&node)).unwrap_or(true);
    let headers = http.get("headers").map_or_else(Vec::new, |node| headers(&node));
    http.finish();
    let users = section.get("basic_auth_users").map_or_else(BTreeMap::new, |node| users(&node.hide()));
    let rate_limit = section.get("rate_limit").and_then(|node| rate_limit(node.section()));
    section.finish();
    WebConfig { tls, http2, headers, users, rate_limit }
}

fn tls(mut section: Section<'_>, files: &Files) -> Option<TlsConfig> {
    let pem = |section: &mut Section<'_>, inline: &'static str, file: &'static str| {
        let text = section.get(inline).map(Node::hide);
        // A key where its file should be named must not be shown.
        let path =
            section.get(file).map(|node| if node.contains('\n') || node.contains(' ') { node.hide() } else { node });
        match (text, path) {
            (Some(_), Some(path)) => {
                path.problem(format!("either {inline} or {file}"));
                None
            }
            (Some(text), None) => text.text().map(|text| (inline, SecretSlice::from(text.into_bytes()))),
            (None, Some(path)) => match files.get(&path.text()?)? {
                Ok(content) => Some((file, content.clone())),
                Err(error) => {
                    path.problem(format!("a file that can be read: {error}"));
                    None
                }
            },
            (None, None) => None,
        }
    };
    let cert = pem(&mut section, "cert", "cert_file");
    let key = pem(&mut section, "key", "key_file");
    let client_ca = pem(&mut section, "client_ca", "client_ca_file");
    let client_auth = section.get("client_auth_type").map_or(Some(ClientAuth::No), |node| client_auth(&node));
    let sans_node = section.get("client_allowed_sans");
    let client_allowed_sans = texts(sans_node.clone(), |_| true, "a name");
    let min_node = section.get("min_version");
    let min = min_node.as_ref().map_or(Some(TlsVersion::Tls12), version);
    let max = section.get("max_version").map_or(Some(TlsVersion::Tls13), |node| version(&node));
    let suites = format!("one of the cipher suites that rustls has: {}", CIPHER_SUITES.join(", "));
    let cipher_suites = texts(
        section.get("cipher_suites"),
        |name| [&CIPHER_SUITES[..], &CIPHER_SUITES_OF_1_3].concat().contains(&name),
        &suites,
    );
    let prefer_server_cipher_suites =
        section.get("prefer_server_cipher_suites").and_then(|node| boolean(&node)).unwrap_or(true);
    let curves = format!("one of the curves that rustls has: {}", CURVES.join(", "));
    let curve_preferences = texts(section.get("curve_preferences"), |name| CURVES.contains(&name), &curves);

    for (inline, file) in [("cert", "cert_file"), ("key", "key_file")] {
        if !section.has(inline) && !section.has(file) {
            section.problem(format!("expected {inline} or {file}"));
        }
    }
    let verifies = matches!(client_auth, Some(ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify));
    let has_ca = section.has("client_ca") || section.has("client_ca_file");
    if has_ca && client_auth == Some(ClientAuth::No) {
        section
            .problem("a client CA without client_auth_type would verify nobody; expected RequireAndVerifyClientCert");
    }
    if verifies && !has_ca {
        section.problem("expected client_ca or client_ca_file, against which client certificates are verified");
    }
    if let Some(node) = &sans_node {
        if client_allowed_sans.is_empty() {
            node.problem("at least one name; without the key, all are allowed");
        }
        // Anybody can give a certificate of their own making any name.
        if client_auth.is_some() && !verifies {
            node.problem(
                "client_auth_type RequireAndVerifyClientCert with it: names that nobody vouches for mean nothing",
            );
        }
    }
    if let (Some(node), Some(min), Some(max)) = (&min_node, min, max)
        && min > max
    {
        node.problem("a version that is not above max_version");
    }
    if min == Some(TlsVersion::Tls12)
        && !cipher_suites.is_empty()
        && !cipher_suites.iter().any(|name| CIPHER_SUITES.contains(&name.as_str()))
    {
        section.problem("expected a cipher suite of TLS 1.2 among cipher_suites, or min_version TLS13");
    }
    section.finish();
    let (cert_path, cert) = cert?;
    let (min, max) = (min?, max?);
    Some(TlsConfig {
        cert_path,
        cert: cert.expose_secret().to_vec(),
        key: key?.1,
        client_ca: client_ca.map(|(_, pem)| pem.expose_secret().to_vec()),
        client_auth: client_auth?,
        client_allowed_sans,
        versions: [TlsVersion::Tls12, TlsVersion::Tls13]
            .into_iter()
            .filter(|version| (min..=max).contains(version))
            .collect(),
        cipher_suites,
        prefer_server_cipher_suites,
        curve_preferences,
    })
}

fn client_auth(node: &Node<'_>) -> Option<ClientAuth> {
    let expected = "NoClientCert, RequestClientCert, RequireAnyClientCert, VerifyClientCertIfGiven or \
                    RequireAndVerifyClientCert";
    node.parse(expected, |text| {
        Some(match text {
            "" | "NoClientCert" => ClientAuth::No,
            "RequestClientCert" => ClientAuth::Request,
            // The second is an old name of the toolkit's.
            "RequireAnyClientCert" | "RequireClientCert" => ClientAuth::RequireAny,
            "VerifyClientCertIfGiven" => ClientAuth::VerifyIfGiven,
            "RequireAndVerifyClientCert" => ClientAuth::RequireAndVerify,
            _ => return None,
        })
    })
}

fn version(node: &Node<'_>) -> Option<TlsVersion> {
    node.parse("TLS12 or TLS13, the versions that rustls has", |text| match text {
        "TLS12" => Some(TlsVersion::Tls12),
        "TLS13" => Some(TlsVersion::Tls13),
        _ => None,
    })
}

fn headers(node: &Node<'_>) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    for (name, value) in node.entries() {
        let Some((name, values)) = HEADERS.into_iter().find(|(known, _)| *known == name) else {
            let names = HEADERS.map(|(name, _)| name).join(", ");
            value.problem(format!("one of the headers {names}"));
            continue;
        };
        let expected = if values.is_empty() { "a text in one line".to_owned() } else { values.join(" or ") };
        let is_right = |text: &str| {
            (values.is_empty() || text.is_empty() || values.contains(&text)) && !text.chars().any(char::is_control)
        };
        let text = value.read(&expected, |value| {
            // `X-XSS-Protection: 1`, as the toolkit's own files have it, is a number to YAML.
            let text = match value {
                Value::Number(number) => number.to_string(),
                value => value.as_str()?.to_owned(),
            };
            is_right(&text).then_some(text)
        });
        // A blank one is not set.
        found.extend(text.filter(|text| !text.is_empty()).map(|text| (name, text)));
    }
    found
}

fn users(node: &Node<'_>) -> BTreeMap<String, SecretString> {
    let expected = "a bcrypt hash of a cost from 4 to 16, as htpasswd -nBC 10 prints it, in quotes";
    let user = |(name, node): (&str, Node<'_>)| {
        if name.contains(':') {
            node.problem("a user name without a colon, which basic authentication cannot send");
        }
        let hash = node.parse(expected, |text| {
            text.parse::<bcrypt::HashParts>().is_ok_and(|parts| COSTS.contains(&parts.get_cost())).then(|| text.into())
        });
        Some((name.to_owned(), hash?))
    };
    node.entries().into_iter().filter_map(user).collect()
}

fn rate_limit(mut section: Section<'_>) -> Option<RateLimit> {
    let interval = section.get("interval").and_then(|node| {
        node.read("a duration such as 1s, or 0 for no limit", |value| match value {
            Value::String(text) => humantime::parse_duration(text).ok(),
            // Go writes a duration in nanoseconds where it has no unit.
            number => number.as_u64().map(Duration::from_nanos),
        })
    });
    let interval = interval.filter(|interval| !interval.is_zero());
    let burst = match interval {
        // With a burst of none, which is the toolkit's default, nobody would ever come in.
        Some(_) => {
            section.require("burst", "how many requests may come at once").and_then(|node| node.integer(1..=1_000_000))
        }
        None => section.get("burst").and_then(|node| node.integer(0..=1_000_000)),
    };
    let burst = burst.and_then(|burst| u32::try_from(burst).ok());
    section.finish();
    Some(RateLimit { interval: interval?, burst: burst? })
}

fn boolean(node: &Node<'_>) -> Option<bool> {
    node.read("true or false", Value::as_bool)
}

fn texts(node: Option<Node<'_>>, is_right: impl Fn(&str) -> bool, expected: &str) -> Vec<String> {
    node.map_or_else(Vec::new, |node| {
        node.list(|node| node.parse(expected, |text| is_right(text).then(|| text.to_owned())))
    })
}
