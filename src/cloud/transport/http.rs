//! The HTTP clients that all requests share, with and without a proxy.

use std::time::Duration;

use reqwest::{Client, Proxy, redirect};
use secrecy::ExposeSecret;

use super::tls;
use crate::{
    cloud::error::SetupError,
    config::{ApiSettings, Endpoint},
};

/// The longest time to connect: name resolution, TCP, the proxy and TLS. If three quarters of `api.request_timeout` are
/// shorter, they are the limit. So connecting ends before the time limit of any request with a key or a password. If
/// the time limit ends such a request, it is known that the request was sent.
const LONGEST_CONNECT: Duration = Duration::from_secs(7);

/// One client with and one without a proxy. Cloning shares the connections.
#[derive(Clone, Debug)]
pub(crate) struct HttpClients {
    /// Uses the proxy, if there is one.
    pub proxied: Client,
    /// Uses no proxy. It is for this machine and the services of its instance or node: no proxy could reach them.
    pub direct: Client,
}

impl HttpClients {
    /// Builds the clients.
    ///
    /// # Errors
    /// If the CA file or the proxy of the configuration cannot be used.
    pub fn new(settings: &ApiSettings) -> Result<Self, SetupError> {
        let tls = tls::client_config(&settings.ca)?;
        let builder = || {
            Client::builder()
                .user_agent(concat!("metastudio-exporter/", env!("CARGO_PKG_VERSION")))
                .redirect(redirect::Policy::none())
                // The signature covers the Host header as HTTP/1.1 sends it (contract, 3.7).
                .http1_only()
                .tls_backend_preconfigured(tls.clone())
                .connect_timeout(settings.request_timeout.mul_f64(0.75).min(LONGEST_CONNECT))
        };
        let direct = builder().no_proxy().build()?;
        let proxied = match &settings.proxy_url {
            Some(url) => builder().proxy(Proxy::all(url.expose_secret())?).build()?,
            None => builder().build()?,
        };
        Ok(HttpClients { proxied, direct })
    }

    /// The client for an endpoint.
    pub fn to(&self, endpoint: &Endpoint) -> &Client {
        if endpoint.is_loopback { &self.direct } else { &self.proxied }
    }
}
