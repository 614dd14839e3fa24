//! The web configuration file: TLS, users, headers and a rate limit.
//!
//! The file has the format of the exporter-toolkit (its `docs/web-configuration.md`), so one file works for all
//! exporters. Settings that rustls does not support (TLS before 1.2, CBC, RSA key exchange, P-521) are reported as
//! problems. The files that the configuration names are read here, too, so that the fingerprint shows every change.

mod files;
mod tls;

use std::{collections::BTreeMap, ops::RangeInclusive, path::Path, time::Duration};

use secrecy::SecretString;
use serde_json::Value;
use sha2::{Digest, Sha256};

use self::files::Files;
pub(super) use self::tls::{CIPHER_SUITES, ClientAuth, TlsConfig, TlsVersion};
use crate::{
    config::{
        Problem,
        read::{Document, Node, Section},
        yaml::Tree,
    },
    file,
};

/// A valid web configuration.
#[derive(Clone, Debug, Default)]
pub struct WebConfig {
    /// Section `tls_server_config`; `None` is plain HTTP.
    pub(super) tls: Option<TlsConfig>,
    /// Whether TLS offers HTTP/2.
    pub(super) http2: bool,
    /// Headers of every answer.
    pub(super) headers: Vec<(&'static str, String)>,
    /// Bcrypt hashes by user name; if empty, authentication is off.
    pub(super) users: BTreeMap<String, SecretString>,
    pub(super) rate_limit: Option<RateLimit>,
}

/// The settings of a token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RateLimit {
    /// Time until one token is added; greater than 0.
    pub interval: Duration,
    /// Size of the bucket, in tokens; at least 1.
    pub burst: u32,
}

/// Allowed costs of a bcrypt hash. A check at the highest cost takes some seconds, and other checks wait for it.
const COSTS: RangeInclusive<u32> = 4..=16;

/// Headers that may be set, with their allowed values; an empty list allows all.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Content-Security-Policy", &[]),
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
];

/// The result of [`load_web`].
#[derive(Debug)]
pub struct LoadedWeb {
    /// `None` if there are problems.
    pub config: Option<WebConfig>,
    /// All problems of the file and of the files that it names.
    pub problems: Vec<Problem>,
    /// Changes with the content of the file and of the files that it names.
    pub fingerprint: [u8; 32],
}

/// Reads a web configuration file and the files that it names. Relative paths start at its directory.
pub async fn load_web(path: &Path) -> LoadedWeb {
    let failed =
        |problem: Problem, fingerprint| LoadedWeb { config: None, problems: vec![problem.in_file(path)], fingerprint };
    let mut digest = Sha256::new();
    let text = match file::read_to_string(path).await {
        Ok(text) => text,
        Err(error) => {
            let problem = Problem::error("", format!("cannot be read: {error}"));
            return failed(problem, Sha256::digest(error.to_string()).into());
        }
    };
    digest.update(&text);
    // The crate `config` is not used: it treats a key with a dot as a path, and a user may be `john.doe`.
    let (tree, mut problems) = match Tree::parse(&text) {
        Ok(parsed) => parsed,
        Err(problem) => return failed(problem, digest.finalize().into()),
    };
    if tree.is_empty() {
        // A file that lost its content must not open the exporter to all clients.
        let text = "it has no keys; to serve plain HTTP to all clients, start without --web.config.file";
        return failed(Problem::error("", text), digest.finalize().into());
    }
    let directory = path.parent().unwrap_or(Path::new(""));
    let values = tree.to_json();
    let files = Files::read(&values, directory, &mut digest).await;
    let document = Document::default();
    let config = root(document.root(&values), &files);
    problems.extend(document.into_problems());
    let config = problems.is_empty().then_some(config);
    LoadedWeb { config, problems: tree.located(problems, path), fingerprint: digest.finalize().into() }
}

fn root(mut section: Section<'_>, files: &Files) -> WebConfig {
    let tls_node = section.get("tls_server_config").map(|node| if node.is_mapping() { node } else { node.hide() });
    let tls = tls_node.and_then(|node| tls::read(node.section(), files));
    let mut http = section.section("http_server_config");
    let http2 = http.get("http2").and_then(|node| node.read("true or false", Value::as_bool)).unwrap_or(true);
    let headers = http.get("headers").map_or_else(Vec::new, |node| headers(&node));
    http.finish();
    let users = section.get("basic_auth_users").map_or_else(BTreeMap::new, |node| users(&node.hide()));
    let rate_limit = section.get("rate_limit").and_then(|node| rate_limit(node.section()));
    section.finish();
    WebConfig { tls, http2, headers, users, rate_limit }
}

fn headers(node: &Node<'_>) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    for (name, value) in node.entries() {
        let Some((name, values)) = HEADERS.into_iter().find(|(known, _)| *known == name) else {
            let names = HEADERS.map(|(name, _)| name).join(", ");
            value.problem(format!("one of the headers {names}"));
            continue;
        };
        let expected = if values.is_empty() { "a text of one line".to_owned() } else { values.join(" or ") };
        let is_valid = |text: &str| {
            (values.is_empty() || text.is_empty() || values.contains(&text)) && !text.chars().any(char::is_control)
        };
        let text = value.read(&expected, |value| {
            // The toolkit's example files have `X-XSS-Protection: 1`, a number in YAML.
            let text = match value {
                Value::Number(number) => number.to_string(),
                value => value.as_str()?.to_owned(),
            };
            is_valid(&text).then_some(text)
        });
        // An empty value sets no header.
        found.extend(text.filter(|text| !text.is_empty()).map(|text| (name, text)));
    }
    found
}

fn users(node: &Node<'_>) -> BTreeMap<String, SecretString> {
    let expected = "a bcrypt hash of a cost from 4 to 16, as htpasswd -nBC 10 prints it, in quotes";
    let user = |(name, node): (&str, Node<'_>)| {
        if name.contains(':') {
            node.problem("a user name without a colon, because basic authentication ends the name at the first colon");
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
            // A duration without a unit is in nanoseconds, as in Go.
            number => number.as_u64().map(Duration::from_nanos),
        })
    });
    let interval = interval.filter(|interval| !interval.is_zero());
    let burst = match interval {
        // The toolkit's default of 0 would reject every request.
        Some(_) => section
            .require("burst", "the number of requests allowed at once")
            .and_then(|node| node.integer(1..=1_000_000)),
        None => section.get("burst").and_then(|node| node.integer(0..=1_000_000)),
    };
    let burst = burst.and_then(|burst| u32::try_from(burst).ok());
    section.finish();
    Some(RateLimit { interval: interval?, burst: burst? })
}
