//! The proxy: `api.proxy`, or the variables that the HTTP client reads.
//!
//! The client ignores a variable that it cannot read, and would send requests without a proxy. So such a variable is an
//! error here.

use std::net::IpAddr;

use hyper::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Url;

use super::{environment::Environment, problem::Problem};

pub(super) const EXPECTED: &str = "expected the URL of an HTTP proxy, such as http://proxy.example:3128 or \
    http://user:password@proxy.example:3128, in which %40 is an @ of the password and %5C a backslash";

/// The variables of the client. Of each pair, the first one that exists counts.
const PROXIES: [[&str; 2]; 3] =
    [["HTTPS_PROXY", "https_proxy"], ["HTTP_PROXY", "http_proxy"], ["ALL_PROXY", "all_proxy"]];
const EXCEPTIONS: [&str; 2] = ["NO_PROXY", "no_proxy"];
/// If this variable exists, the client ignores all others, because a web server could set them from a request.
const CGI: &str = "REQUEST_METHOD";

/// The URL of an HTTP proxy; `None` if the HTTP client would not understand it, or would read another host in it.
pub(super) fn parse(text: &str) -> Option<Url> {
    let proxy = Matcher::builder().all(text.to_owned()).build().intercept(&Uri::from_static("http://any"))?;
    let proxy = proxy.uri().authority().filter(|authority| !authority.as_str().contains('@'))?;
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = Url::parse(&with_scheme).ok()?;
    let is_same_host = url.host_str().is_some_and(|host| host.eq_ignore_ascii_case(proxy.host()));
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    (matches!(url.scheme(), "http" | "https") && is_same_host && is_bare).then_some(url)
}

/// Checks the variables that the client reads. An empty variable is not an error: it is the usual way to have no proxy.
pub(super) fn check(environment: &Environment) -> Vec<Problem> {
    let exists = |name: &&str| environment.names().any(|known| known == *name);
    let names = PROXIES.iter().filter_map(|pair| pair.iter().copied().find(exists));
    let names: Vec<&str> = names.filter(|name| environment.text(name) != Some("")).collect();
    if names.is_empty() {
        return Vec::new();
    }
    let is_wrong = |name: &&str| environment.text(name).and_then(parse).is_none();
    let wrong = names.into_iter().filter(is_wrong);
    let mut problems: Vec<Problem> = wrong.map(|name| Problem::of_variable(name, EXPECTED)).collect();
    if exists(&CGI) {
        let text = "with this environment variable, all variables of proxies are ignored: unset it, or set api.proxy";
        problems.push(Problem::of_variable(CGI, text));
    }
    if let Some(name) = EXCEPTIONS.into_iter().find(|name| exists(name)) {
        let entries = environment.text(name).unwrap_or_default().split(',').map(str::trim);
        let ineffective = entries.filter(|entry| !entry.is_empty() && !has_effect(entry));
        problems.extend(ineffective.map(|entry| {
            // A URL may hold a password.
            let shown =
                if entry.contains('@') { "an entry that is not shown" } else { &format!("the entry {entry:?}") };
            let text = format!(
                "{shown} has no effect; expected a domain such as example.com, which includes its subdomains, an \
                 address, or a range such as 10.0.0.0/8"
            );
            Problem::of_variable(name, text).into_warning()
        }));
    }
    problems
}

/// Whether the client uses no proxy for at least one host because of this entry.
fn has_effect(entry: &str) -> bool {
    let address = entry.split_once('/').map_or(entry, |(address, _)| address);
    let domain = entry.strip_prefix('.').unwrap_or(entry);
    let is_domain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    let host = match address.parse() {
        Ok(IpAddr::V4(address)) => address.to_string(),
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        Err(_) if entry == "*" => "any".to_owned(),
        Err(_) if is_domain(domain) && !domain.ends_with('.') => domain.to_owned(),
        Err(_) => return false,
    };
    let matcher = Matcher::builder().all("http://proxy").no(entry.to_owned()).build();
    format!("http://{host}").parse().is_ok_and(|host: Uri| matcher.intercept(&host).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_the_client_would_not_understand_are_none() {
        for (text, url) in [
            ("http://proxy.example:3128", "http://proxy.example:3128/"),
            ("HTTPS://Proxy.example/", "https://proxy.example/"),
            ("proxy.example:3128", "http://proxy.example:3128/"),
            ("user:pass@proxy:3128", "http://user:pass@proxy:3128/"),
            ("http://DOMAIN%5Cuser:p%40ss@[::1]:3128", "http://DOMAIN%5Cuser:p%40ss@[::1]:3128/"),
        ] {
            assert_eq!(parse(text).map(String::from).as_deref(), Some(url), "{text}");
        }
        for text in [
            "",
            " ",
            "http://proxy:3128\n",
            " http://proxy:3128",
            "\"http://proxy:3128\"",
            "'http://proxy:3128'",
            "http://DOMAIN\\user:pass@proxy:3128",
            "DOMAIN\\user:pass@proxy:3128",
            "http://user:p@ss@proxy:3128",
            "http://user:p/ss@proxy:3128",
            "http://user:1#ss@proxy:3128",
            "http://user:1/ss@proxy:3128",
            "http://代理.example:3128",
            "http://user:密码@proxy:3128",
            "htp://proxy:3128",
            "http:/proxy:3128",
            "socks5://proxy:1080",
            "http://",
            "http://proxy:port",
            "http://proxy:99999",
            "http://proxy:3128/path",
            "http://proxy:3128?query",
            "${PROXY}",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn entries_without_effect() {
        for entry in
            ["*", "example.com", ".example.com", "a_b", "10.0.0.1", "10.0.0.5/8", "::1", "fe80::/10", "localhost"]
        {
            assert!(has_effect(entry), "{entry}");
        }
        for entry in [
            "*.example.com",
            "http://example.com",
            "example.com:443",
            "example.com.",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.*",
            "10.0.0.1:80",
            "[::1]",
            "::1/129",
            "a b",
            "a;b",
            "例子.example",
            ".",
            "<local>",
        ] {
            assert!(!has_effect(entry), "{entry}");
        }
    }
}
