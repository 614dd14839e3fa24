//! Tests whether an endpoint can be reached: name, TCP, TLS, clock. The first step that fails shows the cause.
//!
//! No key is used. Any HTTP status counts as reached.

use std::{net::SocketAddr, time::Duration};

use chrono::{DateTime, Utc};
use hyper::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::header::DATE;
use secrecy::ExposeSecret;
use tokio::{
    net::{TcpStream, lookup_host},
    time::{Instant, timeout},
};

use super::{
    exchange::{BodyLimit, exchange, header},
    http::HttpClients,
};
use crate::{
    cloud::{
        error::{Error, with_causes},
        secrets::Secrets,
    },
    config::{ApiSettings, Endpoint},
    usage::Clock,
};

/// From this difference on, the result asks to synchronize the clock. The service refuses a difference of 15 minutes
/// (contract, 3.9).
const CLOCK_WARNING_SECONDS: i64 = 60;
const CLOCK_LIMIT_SECONDS: i64 = 15 * 60;

/// One step of the test.
#[derive(Debug)]
pub struct ReachStep {
    /// `name`, `TCP`, `TLS` or `HTTP`, `clock`.
    pub name: &'static str,
    /// The finding, or the fault and what to do.
    pub result: Result<String, String>,
}

/// The target of the TCP connection: the endpoint itself, or the proxy.
struct Hop {
    host: String,
    port: u16,
    is_proxy: bool,
}

/// Tests an endpoint step by step, up to the first step that fails.
pub(crate) async fn reach(
    http: &HttpClients,
    settings: &ApiSettings,
    clock: Clock,
    endpoint: &Endpoint,
) -> Vec<ReachStep> {
    let mut steps = Vec::new();
    let patience = settings.request_timeout;
    let Some(hop) = hop(endpoint, settings) else {
        let result = Err(format!("{endpoint} is not an address to connect to. Check the region or endpoint"));
        return vec![ReachStep { name: "name", result }];
    };
    let addresses = look_up(&hop, patience).await;
    let found = addresses.as_ref().ok().cloned().unwrap_or_default();
    steps.push(ReachStep { name: "name", result: addresses.map(|addresses| show(&hop, &addresses)) });
    if found.is_empty() {
        return steps;
    }
    let connected = connect(&found, patience).await;
    let is_connected = connected.is_ok();
    steps.push(ReachStep { name: "TCP", result: connected });
    if !is_connected {
        return steps;
    }

    let request = http.to(endpoint).get(format!("{endpoint}/"));
    let start = Instant::now();
    let response = exchange(request, &endpoint.host, start + patience, Secrets::default(), BodyLimit::Small).await;
    let name = if endpoint.is_encrypted() { "TLS" } else { "HTTP" };
    let result = match &response {
        Ok(response) => {
            let trust = if endpoint.is_encrypted() { "certificate trusted, " } else { "" };
            Ok(format!("{trust}status {} in {:.2?}", response.status.as_u16(), start.elapsed()))
        }
        Err(error) => Err(explain(error, endpoint)),
    };
    steps.push(ReachStep { name, result });
    if let Ok(response) = response {
        steps.push(ReachStep { name: "clock", result: compare(header(&response.headers, DATE.as_str()), clock()) });
    }
    steps
}

/// The endpoint itself, or its proxy.
fn hop(endpoint: &Endpoint, api: &ApiSettings) -> Option<Hop> {
    let target: Uri = endpoint.to_string().parse().ok()?;
    let proxy: Option<Uri> = match &api.proxy_url {
        _ if endpoint.is_loopback => None,
        Some(url) => url.expose_secret().parse().ok(),
        None => Matcher::from_env().intercept(&target).map(|proxy| proxy.uri().clone()),
    };
    let uri = proxy.as_ref().unwrap_or(&target);
    let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
    Some(Hop { host, port: uri.port_u16().unwrap_or(default), is_proxy: proxy.is_some() })
}

async fn look_up(hop: &Hop, patience: Duration) -> Result<Vec<SocketAddr>, String> {
    let Hop { host, port, is_proxy } = hop;
    let advice = if *is_proxy {
        "Check api.proxy or HTTPS_PROXY"
    } else {
        "Check the region or endpoint, and the DNS server of this machine"
    };
    match timeout(patience, lookup_host((host.as_str(), *port))).await {
        Err(_) => Err(format!("{host} was not resolved within {patience:.1?}. {advice}")),
        Ok(Err(error)) => Err(format!("{host} cannot be resolved: {error}. {advice}")),
        Ok(Ok(addresses)) => {
            let addresses: Vec<SocketAddr> = addresses.collect();
            if addresses.is_empty() { Err(format!("{host} has no address. {advice}")) } else { Ok(addresses) }
        }
    }
}

fn show(hop: &Hop, addresses: &[SocketAddr]) -> String {
    let shown: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
    let proxy = if hop.is_proxy { format!("proxy {}: ", hop.host) } else { String::new() };
    format!("{proxy}{}", shown.join(", "))
}

async fn connect(addresses: &[SocketAddr], patience: Duration) -> Result<String, String> {
    let mut failures = Vec::new();
    for address in addresses {
        let start = Instant::now();
        match timeout(patience, TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Ok(format!("{address} in {:.2?}", start.elapsed())),
            Ok(Err(error)) => failures.push(format!("{address}: {error}")),
            Err(_) => failures.push(format!("{address}: no answer within {patience:.1?}")),
        }
    }
    Err(format!("{}. Check routes, firewalls and security groups, or set api.proxy", failures.join("; ")))
}

/// The fault after TCP has connected, and what to do.
fn explain(error: &Error, endpoint: &Endpoint) -> String {
    let is_certificate_refused = match error {
        Error::Network(error) => error.is_certificate_refused(),
        Error::Timeout(_) => false,
        error => return error.report(),
    };
    let text = with_causes(error);
    let advice = if is_certificate_refused {
        "If you use a private CA, or a proxy that decrypts TLS, set api.ca_file to the path of its CA certificate"
    } else if endpoint.is_encrypted() {
        "Check that the endpoint supports TLS 1.2 or later, and that the proxy lets it through"
    } else {
        "Check that an HTTP server listens there"
    };
    format!("{text}. {advice}")
}

/// Compares the local clock with the `Date` of a response, which counts whole seconds.
fn compare(date: Option<&str>, now: DateTime<Utc>) -> Result<String, String> {
    let date = date.and_then(|date| httpdate::parse_http_date(date).ok());
    let Some(date) = date.map(DateTime::<Utc>::from) else {
        return Ok("unknown: the answer has no valid Date header".to_owned());
    };
    let ahead = (now - date).num_seconds();
    let direction = if ahead > 0 { "ahead of" } else { "behind" };
    let difference = ahead.abs();
    match difference {
        CLOCK_LIMIT_SECONDS.. => Err(format!(
            "{difference}s {direction} the service, which refuses every signature that is more than \
             {CLOCK_LIMIT_SECONDS}s off. Set the clock of this machine"
        )),
        CLOCK_WARNING_SECONDS.. => {
            Ok(format!("{difference}s {direction} the service: synchronize it, by NTP for example"))
        }
        _ => Ok("in step with the service".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_compared() {
        let now = DateTime::parse_from_rfc3339("2025-11-08T09:30:00Z").unwrap().to_utc();
        let at = |date: &str| compare(Some(date), now);
        assert_eq!(at("Sat, 08 Nov 2025 09:30:30 GMT").unwrap(), "in step with the service");
        assert!(at("Sat, 08 Nov 2025 09:32:00 GMT").unwrap().starts_with("120s behind the service"));
        assert!(
            at("Sat, 08 Nov 2025 09:14:00 GMT").unwrap_err().starts_with("960s ahead of the service, which refuses")
        );
        assert!(compare(None, now).unwrap().starts_with("unknown"));
        assert!(at("yesterday").unwrap().starts_with("unknown"));
    }

    #[test]
    fn the_first_hop_is_the_proxy_where_there_is_one() {
        let of = |endpoint: &str, proxy: Option<&str>| {
            let api = ApiSettings { proxy_url: proxy.map(Into::into), ..ApiSettings::default() };
            let hop = hop(&Endpoint::parse(endpoint).unwrap(), &api).unwrap();
            (hop.host, hop.port, hop.is_proxy)
        };
        assert_eq!(of("https://example.com", Some("http://u:p@proxy:3128")), ("proxy".to_owned(), 3128, true));
        assert_eq!(of("http://[::1]:81", Some("http://proxy")), ("::1".to_owned(), 81, false));
    }
}
