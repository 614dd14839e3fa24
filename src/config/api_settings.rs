//! The section `api`: how requests are sent.

use std::{path::PathBuf, sync::Arc, time::Duration};

use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, pem::PemObject};
use secrecy::{ExposeSecret, SecretString};

use super::{
    endpoint::Endpoint,
    environment::Environment,
    fields::{Field, Fields},
    problem::Problem,
    proxy,
    read::Section,
    secret::{self, Secret},
};
use crate::file;

/// The SDK's variable for the endpoint of IAM (contract, 5).
const IAM_ENDPOINT: &str = "HUAWEICLOUD_SDK_IAM_ENDPOINT";

/// The section `api`. A clone shares the CA file.
///
/// ```
/// use metastudio_exporter::config::ApiSettings;
///
/// let settings = ApiSettings { max_retries: 0, ..ApiSettings::default() };
/// assert_eq!(settings.requests_per_second, 5.0);
/// ```
#[derive(Clone, Debug)]
pub struct ApiSettings {
    /// The deadline of one attempt of a request.
    pub request_timeout: Duration,
    /// The number of retries of one request.
    pub max_retries: usize,
    /// The rate for each entry of `credentials` and each region. All shards together keep to it.
    pub requests_per_second: f64,
    /// Entries on a page, 1 to 1000.
    pub page_size: usize,
    /// Rows of an answer of ShowUsageData with all of its pages, 1,000 to 1,000,000. A row needs about 400 bytes of
    /// memory.
    pub max_rows: usize,
    /// The endpoint of IAM for tokens and project ids; `None` is the IAM of each project's region.
    pub iam_endpoint: Option<Endpoint>,
    /// The path of a PEM file with certificates that are trusted in addition to those of the system.
    pub ca_file: Option<PathBuf>,
    /// The content of the CA file, in PEM.
    pub ca: Arc<[u8]>,
    /// The place of the proxy's URL; `None` means the variables of proxies, such as `HTTPS_PROXY` and `NO_PROXY`.
    pub proxy: Option<Secret>,
    /// The URL of the proxy as it was at the start or at the last reload. It may hold a password.
    pub proxy_url: Option<SecretString>,
}

impl Default for ApiSettings {
    fn default() -> Self {
        ApiSettings {
            request_timeout: Duration::from_secs(10),
            max_retries: 3,
            requests_per_second: 5.0,
            page_size: 1000,
            max_rows: 100_000,
            iam_endpoint: None,
            ca_file: None,
            ca: Arc::default(),
            proxy: None,
            proxy_url: None,
        }
    }
}

/// Not derived, because [`SecretString`] is not comparable. The pattern names every field, so that no
/// new field is forgotten.
impl PartialEq for ApiSettings {
    fn eq(&self, other: &Self) -> bool {
        let ApiSettings {
            request_timeout,
            max_retries,
            requests_per_second,
            page_size,
            max_rows,
            iam_endpoint,
            ca_file,
            ca,
            proxy,
            proxy_url,
        } = self;
        *request_timeout == other.request_timeout
            && *max_retries == other.max_retries
            && *requests_per_second == other.requests_per_second
            && *page_size == other.page_size
            && *max_rows == other.max_rows
            && *iam_endpoint == other.iam_endpoint
            && *ca_file == other.ca_file
            && *ca == other.ca
            && *proxy == other.proxy
            && match (proxy_url, &other.proxy_url) {
                (Some(proxy), Some(other)) => secret::is_same(proxy, other),
                (proxy, other) => proxy.is_none() && other.is_none(),
            }
    }
}

impl ApiSettings {
    /// The endpoint of IAM for a region.
    pub(crate) fn iam(&self, region: &str) -> Endpoint {
        self.iam_endpoint.clone().unwrap_or_else(|| Endpoint::of_iam(region))
    }

    /// Reads the section. [`ApiSettings::read_ca_file`] and [`ApiSettings::read_proxy`] read the rest later.
    pub(super) fn read(mut section: Section<'_>, environment: &Environment) -> Self {
        let default = ApiSettings::default();
        let timeout = section.get("request_timeout");
        let timeout = timeout.and_then(|node| node.duration(Duration::from_secs(1)..=Duration::from_secs(300)));
        let retries = section.get("max_retries").and_then(|node| node.integer(0..=10));
        let rate = section.get("requests_per_second").and_then(|node| node.number(0.01..=1000.0));
        let page_size = section.get("page_size").and_then(|node| node.integer(1..=1000));
        let max_rows = section.get("max_rows").and_then(|node| node.integer(1_000..=1_000_000));
        let mut settings = ApiSettings {
            request_timeout: timeout.unwrap_or(default.request_timeout),
            max_retries: retries.unwrap_or(default.max_retries),
            requests_per_second: rate.unwrap_or(default.requests_per_second),
            page_size: page_size.unwrap_or(default.page_size),
            max_rows: max_rows.unwrap_or(default.max_rows),
            iam_endpoint: section.get("iam_endpoint").and_then(|node| Endpoint::of_node(&node)),
            ca_file: section.get("ca_file").and_then(|node| node.file_path()),
            ca: default.ca,
            proxy: section.get("proxy").map(|node| Secret::of_node(&node.hide())),
            proxy_url: None,
        };
        if settings.iam_endpoint.is_none() {
            match Endpoint::of_variable(IAM_ENDPOINT, environment) {
                Ok(endpoint) => settings.iam_endpoint = endpoint,
                Err(problem) => section.report(problem),
            }
        }
        section.finish();
        settings
    }

    /// Reads the CA file, if there is one.
    pub(super) async fn read_ca_file(&mut self) -> Option<Problem> {
        let path = self.ca_file.as_ref()?;
        let read = file::read(path).await.map_err(|error| error.to_string());
        let checked = read.and_then(|pem| {
            let mut roots = RootCertStore::empty();
            add_certificates(&mut roots, &pem)?;
            if roots.is_empty() { Err("it holds no PEM certificate".to_owned()) } else { Ok(pem) }
        });
        match checked {
            Ok(pem) => {
                self.ca = pem.into();
                None
            }
            Err(error) => Some(Problem::error("api.ca_file", format!("cannot use {}: {error}", path.display()))),
        }
    }

    /// Reads the URL of the proxy, if there is one. Otherwise, checks the variables that the HTTP client reads.
    pub(super) async fn read_proxy(&mut self, environment: &Environment) -> Vec<Problem> {
        let Some(secret) = &self.proxy else { return proxy::check(environment) };
        let url = match secret.read(environment).await {
            Ok(text) => proxy::parse(text.expose_secret()).ok_or_else(|| proxy::EXPECTED.to_owned()),
            Err(error) => Err(error.to_string()),
        };
        match url {
            Ok(url) => {
                self.proxy_url = Some(String::from(url).into());
                Vec::new()
            }
            Err(error) => vec![Problem::error("api.proxy", error)],
        }
    }

    pub(super) fn fields(&self) -> Fields<'_> {
        let ApiSettings {
            request_timeout,
            max_retries,
            requests_per_second,
            page_size,
            max_rows,
            iam_endpoint,
            ca_file,
            ca: _,
            proxy,
            proxy_url: _,
        } = self;
        vec![
            ("request_timeout", Field::Duration(*request_timeout)),
            ("max_retries", Field::Integer(*max_retries)),
            ("requests_per_second", Field::Number(*requests_per_second)),
            ("page_size", Field::Integer(*page_size)),
            ("max_rows", Field::Integer(*max_rows)),
            ("iam_endpoint", Field::optional(iam_endpoint.as_ref(), Field::text)),
            ("ca_file", Field::optional(ca_file.as_deref(), Field::Path)),
            ("proxy", Field::optional(proxy.as_ref(), Field::Url)),
        ]
    }
}

/// Adds the certificates of a PEM file to the CAs that are trusted.
///
/// # Errors
/// The first certificate that cannot be used, by its number.
pub(crate) fn add_certificates(roots: &mut RootCertStore, pem: &[u8]) -> Result<(), String> {
    for (index, certificate) in CertificateDer::pem_slice_iter(pem).enumerate() {
        let added = certificate.map_err(|error| error.to_string());
        added
            .and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()))
            .map_err(|error| format!("certificate {} in it cannot be used: {error}", index + 1))?;
    }
    Ok(())
}
