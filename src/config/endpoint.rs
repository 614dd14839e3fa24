//! Endpoints of MetaStudio, IAM, STS, the billing service and the metadata service.

use std::{fmt, net::IpAddr};

use reqwest::Url;

use super::{environment::Environment, problem::Problem, read::Node};

/// The regions in which MetaStudio is documented (contract, 1.1). The official SDK has the first two only. No source
/// gives the host name in the third region. It follows the pattern of the first two.
pub(super) const REGIONS: [&str; 3] = ["cn-north-4", "cn-east-3", "ap-southeast-3"];

/// The regions with their own IAM endpoint (contract, 5).
const IAM_REGIONS: [&str; 27] = [
    "af-south-1",
    "ae-ad-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "cn-east-2",
    "cn-east-3",
    "cn-east-4",
    "cn-east-5",
    "cn-north-1",
    "cn-north-12",
    "cn-north-2",
    "cn-north-4",
    "cn-north-9",
    "cn-south-1",
    "cn-south-2",
    "cn-southwest-2",
    "eu-west-0",
    "la-north-2",
    "la-south-2",
    "me-east-1",
    "my-kualalumpur-1",
    "na-mexico-1",
    "ru-moscow-1",
    "sa-brazil-1",
    "tr-west-1",
];

/// The regions with an STS endpoint (contract, 5). The endpoint of the first region serves all regions without one.
const STS_REGIONS: [&str; 12] = [
    "cn-north-4",
    "af-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "cn-east-3",
    "cn-south-1",
    "cn-southwest-2",
    "la-south-2",
    "sa-brazil-1",
    "tr-west-1",
];

/// A site of the cloud, with its own billing service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// China.
    China,
    /// International.
    International,
    /// Europe.
    Europe,
}

impl Site {
    /// Every site.
    pub(super) const ALL: [Site; 3] = [Site::China, Site::International, Site::Europe];

    /// The value in the configuration.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Site::China => "china",
            Site::International => "international",
            Site::Europe => "europe",
        }
    }

    pub(super) fn expected() -> String {
        Site::ALL.map(Site::as_str).join(", ")
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Scheme, host and port of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    scheme: &'static str,
    /// The value of the header `Host`: with a port if it is not the default of the scheme.
    pub(crate) host: String,
    /// Whether the host is this machine. Requests to it use no proxy.
    pub(crate) is_loopback: bool,
}

impl Endpoint {
    const EXPECTED: &'static str =
        "https://HOST or https://HOST:PORT without path or user (http only for this machine or a link-local address)";

    /// The endpoint of MetaStudio in a region.
    pub(super) fn of_region(region: &str) -> Self {
        Endpoint { scheme: "https", host: format!("metastudio.{region}.myhuaweicloud.com"), is_loopback: false }
    }

    /// The region in the name of the host, if this is the endpoint of MetaStudio in a region.
    pub(super) fn region(&self) -> Option<&str> {
        self.host.strip_prefix("metastudio.")?.strip_suffix(".myhuaweicloud.com")
    }

    /// The endpoint of IAM for a region; the global one if the region has none.
    pub(crate) fn of_iam(region: &str) -> Self {
        let host = match IAM_REGIONS.contains(&region) {
            true => format!("iam.{region}.myhuaweicloud.com"),
            false => "iam.myhuaweicloud.com".to_owned(),
        };
        Endpoint { scheme: "https", host, is_loopback: false }
    }

    /// The global endpoint of IAM. The European site has its own (docs: iam_07_0001).
    pub(super) fn of_iam_of_site(is_europe: bool) -> Self {
        let host = if is_europe { "iam.myhuaweicloud.eu" } else { "iam.myhuaweicloud.com" };
        Endpoint { scheme: "https", host: host.to_owned(), is_loopback: false }
    }

    /// The billing service of a site (contract, 17).
    pub(super) fn of_billing(site: Site) -> Self {
        let host = match site {
            Site::China => "bss.myhuaweicloud.com",
            Site::International => "bss-intl.myhuaweicloud.com",
            Site::Europe => "bss.myhuaweicloud.eu",
        };
        Endpoint { scheme: "https", host: host.to_owned(), is_loopback: false }
    }

    /// The endpoint of STS for a region; the endpoint of cn-north-4 if the region has none.
    pub(crate) fn of_sts(region: &str) -> Self {
        let region = if STS_REGIONS.contains(&region) { region } else { "cn-north-4" };
        Endpoint { scheme: "https", host: format!("sts.{region}.myhuaweicloud.com"), is_loopback: false }
    }

    /// The metadata service of an ECS instance (contract, 7.1). It has a link-local address and no TLS.
    pub(super) fn of_metadata() -> Self {
        Endpoint { scheme: "http", host: "169.254.169.254".to_owned(), is_loopback: false }
    }

    /// Whether connections use TLS.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.scheme == "https"
    }

    /// Reads an endpoint from the configuration. Messages do not show a URL with a user, because it may hold a
    /// password.
    pub(super) fn of_node(node: &Node<'_>) -> Option<Self> {
        let node = if node.contains('@') { node.clone().hide() } else { node.clone() };
        node.parse(Endpoint::EXPECTED, Endpoint::parse)
    }

    /// Reads an endpoint from an environment variable, if it is set.
    ///
    /// # Errors
    /// If the value is not an endpoint.
    pub(super) fn of_variable(name: &str, environment: &Environment) -> Result<Option<Self>, Problem> {
        let Some(text) = environment.get(name) else { return Ok(None) };
        let endpoint = Endpoint::parse(text);
        let problem = || Problem::of_variable(name, format!("must be {}", Endpoint::EXPECTED));
        endpoint.map(Some).ok_or_else(problem)
    }

    /// Parses a URL with scheme, host and port only. `http` is accepted for this machine and link-local addresses only,
    /// because it sends tokens unencrypted.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let is_bare = matches!(url.path(), "" | "/")
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        let name = url.host_str().filter(|name| is_bare && !name.is_empty())?;
        let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
        let is_loopback = name == "localhost" || address.is_some_and(|address| address.is_loopback());
        let is_link_local = address.is_some_and(|address| match address {
            IpAddr::V4(address) => address.is_link_local(),
            IpAddr::V6(address) => address.is_unicast_link_local(),
        });
        let scheme = match url.scheme() {
            "https" => "https",
            "http" if is_loopback || is_link_local => "http",
            _ => return None,
        };
        let host = url.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"));
        Some(Endpoint { scheme, host, is_loopback })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<(String, bool)> {
        Endpoint::parse(text).map(|endpoint| (endpoint.to_string(), endpoint.is_loopback))
    }

    #[test]
    fn an_endpoint_has_a_scheme_a_host_and_a_port_only() {
        let some = |text: &str, is_loopback| Some((text.to_owned(), is_loopback));
        assert_eq!(parsed("https://Example.com:443/"), some("https://example.com", false));
        assert_eq!(parsed("https://example.com:8443"), some("https://example.com:8443", false));
        assert_eq!(parsed("http://127.0.0.1:1"), some("http://127.0.0.1:1", true));
        assert_eq!(parsed("http://[::1]:1"), some("http://[::1]:1", true));
        assert_eq!(parsed("http://localhost"), some("http://localhost", true));
        for wrong in [
            "http://example.com",
            "https://u:p@example.com",
            "https://e.com/v1",
            "https://e.com?a",
            "e.com",
            "ftp://e.com",
            "https://",
        ] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
        assert_eq!(Endpoint::of_iam("cn-east-3").to_string(), "https://iam.cn-east-3.myhuaweicloud.com");
        assert_eq!(Endpoint::of_iam("").to_string(), "https://iam.myhuaweicloud.com");
        assert_eq!(Endpoint::of_sts("tr-west-1").to_string(), "https://sts.tr-west-1.myhuaweicloud.com");
        assert_eq!(Endpoint::of_sts("cn-north-1").to_string(), "https://sts.cn-north-4.myhuaweicloud.com");
        assert_eq!(Endpoint::parse("http://169.254.169.254"), Some(Endpoint::of_metadata()));
        let of_region = Endpoint::of_region("cn-north-4").to_string();
        assert_eq!(parsed(&of_region), some("https://metastudio.cn-north-4.myhuaweicloud.com", false));
    }
}
