//! The configuration: what it holds, with defaults. [`mod@load`] reads it from a file and the environment, [`effective`]
//! prints it.
//!
//! Loading reports every problem at once; what comes out of it needs no further checks.

mod chain;
mod credentials;
pub mod effective;
pub mod endpoint;
pub(crate) mod file;
pub mod load;
mod problem;
pub mod profile;
pub(crate) mod read;
mod secret;
mod sections;
pub mod shard;

use std::{collections::BTreeMap, ops::RangeInclusive, path::PathBuf, time::Duration};

use reqwest::Url;
use secrecy::SecretString;

pub use endpoint::Endpoint;
pub use load::{Loaded, load, load_text};
pub use problem::Problem;
pub use secret::{Environment, Secret, SecretError};
pub use shard::Shard;

use crate::usage::{Budget, Window, Zone};

/// The name under which those credentials stand that are found where none are configured.
pub const DEFAULT_CREDENTIALS: &str = "default";

/// A whole configuration, valid.
#[derive(Clone, Debug)]
pub struct Config {
    /// Section `poll`.
    pub poll: Poll,
    /// Windows of the projects that name none themselves, in the order of the file.
    pub windows: Vec<Window>,
    /// Where the calendar windows begin and end.
    pub timezone: Zone,
    /// Section `api`.
    pub api: Api,
    /// Section `credentials`, by name.
    pub credentials: BTreeMap<String, CredentialsSource>,
    /// Section `projects`, in the order of the file; of a shard only its own.
    pub projects: Vec<Project>,
    /// How many processes share the rate of an account.
    pub shards: u32,
}

impl Config {
    /// What this process may ask an account and region: its part of what the configuration allows them all.
    pub fn requests_per_second(&self) -> f64 {
        self.api.requests_per_second / f64::from(self.shards)
    }
}

/// When to poll.
#[derive(Clone, Debug)]
pub struct Poll {
    /// One poll of each project per interval.
    pub interval: Duration,
    /// Deadline of one project's whole poll, retries included.
    pub timeout: Duration,
    /// Projects polled at the same time.
    pub concurrency: usize,
    /// After this long without a success a project's usage series are withdrawn; `None` is three intervals.
    pub stale_after: Option<Duration>,
}

impl Default for Poll {
    fn default() -> Self {
        Poll {
            interval: Duration::from_secs(5 * 60),
            timeout: Duration::from_secs(60),
            concurrency: 8,
            stale_after: None,
        }
    }
}

/// How to talk to the cloud.
#[derive(Clone, Debug)]
pub struct Api {
    /// Deadline of one request.
    pub request_timeout: Duration,
    /// Attempts after the first, of one request.
    pub max_retries: usize,
    /// For each account and region together.
    pub requests_per_second: f64,
    /// Entries a page, 1 to 1000.
    pub page_size: usize,
    /// Where IAM is asked, for tokens and for ids of projects; `None` is the IAM of each project's region.
    pub iam_endpoint: Option<Endpoint>,
    /// Certificates to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// What the CA file holds.
    pub ca: Vec<u8>,
    /// URL of a proxy for all requests; otherwise `HTTPS_PROXY` and `NO_PROXY` count. Secret, as it may hold a password.
    pub proxy: Option<SecretString>,
}

impl Default for Api {
    fn default() -> Self {
        Api {
            request_timeout: Duration::from_secs(10),
            max_retries: 3,
            requests_per_second: 5.0,
            page_size: 1000,
            iam_endpoint: None,
            ca_file: None,
            ca: Vec::new(),
            proxy: None,
        }
    }
}

impl Api {
    /// Where IAM is asked for a region.
    pub fn iam(&self, region: &str) -> Endpoint {
        self.iam_endpoint.clone().unwrap_or_else(|| Endpoint::of_iam(region))
    }
}

/// By hand, because of the proxy's URL; every field is named, so that a new one cannot be forgotten.
impl PartialEq for Api {
    fn eq(&self, other: &Self) -> bool {
        let Api { request_timeout, max_retries, requests_per_second, page_size, iam_endpoint, ca_file, ca, proxy } =
            self;
        *request_timeout == other.request_timeout
            && *max_retries == other.max_retries
            && *requests_per_second == other.requests_per_second
            && *page_size == other.page_size
            && *iam_endpoint == other.iam_endpoint
            && *ca_file == other.ca_file
            && *ca == other.ca
            && match (proxy, &other.proxy) {
                (Some(proxy), Some(other)) => secret::is_same(proxy, other),
                (proxy, other) => proxy.is_none() && other.is_none(),
            }
    }
}

/// Where an identity comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum CredentialsSource {
    /// An access key and a secret key.
    Keys(KeyPair),
    /// A token that somebody else renews.
    Token(Secret),
    /// An IAM user, whose tokens the exporter obtains and renews.
    IamUser(IamUser),
    /// Temporary keys of the agency of the ECS instance that this runs on.
    EcsAgency(EcsAgency),
    /// Temporary keys of an agency that trusts an OpenID Connect provider.
    Oidc(Oidc),
    /// Temporary keys of the agency of the CCE pod that this runs in.
    PodIdentity(PodIdentity),
    /// Keys in the official SDK's credentials file.
    Profile(Profile),
}

/// A key pair.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyPair {
    /// AK.
    pub access_key: Secret,
    /// SK.
    pub secret_key: Secret,
    /// The token that belongs to temporary keys.
    pub security_token: Option<Secret>,
}

/// An IAM user with a password. A HUAWEI ID cannot get a token, and login MFA must be off (contract, 5).
#[derive(Clone, Debug, PartialEq)]
pub struct IamUser {
    /// The account's name.
    pub domain: String,
    /// The user's name.
    pub user: String,
    /// The user's password.
    pub password: Secret,
    /// Where IAM is asked; `None` is where [`Api::iam_endpoint`] says.
    pub endpoint: Option<Endpoint>,
}

/// The agency of an ECS instance.
#[derive(Clone, Debug, PartialEq)]
pub struct EcsAgency {
    /// Where the metadata service is asked.
    pub endpoint: Endpoint,
}

/// An agency that is assumed with the token of an OpenID Connect provider (contract, 7.3).
#[derive(Clone, Debug, PartialEq)]
pub struct Oidc {
    /// URN of the provider in IAM.
    pub provider_urn: String,
    /// URN of the agency.
    pub agency_urn: String,
    /// The provider's token; a file is read again at each renewal, because such tokens live shortly.
    pub id_token: Secret,
    /// What the session is called in the cloud's audit trail.
    pub session_name: String,
    /// How long the keys shall live: 15 minutes to 12 hours, and no longer than the agency allows.
    pub duration: Duration,
    /// A policy that narrows what the keys may do, as JSON.
    pub policy: Option<String>,
    /// Ids of policies that narrow what the keys may do.
    pub policy_ids: Vec<String>,
    /// Where STS is asked; `None` is the STS of the project's region.
    pub endpoint: Option<Endpoint>,
}

impl Oidc {
    /// What the session is called if nobody says otherwise.
    pub const SESSION_NAME: &str = "oidc-sts-session";
    /// How long the keys live if nobody says otherwise.
    pub const DURATION: Duration = Duration::from_secs(3600);
    /// What STS accepts as duration.
    pub const DURATIONS: RangeInclusive<Duration> = Duration::from_secs(900)..=Duration::from_secs(43_200);
}

/// The agency of a pod's service account (contract, 7.4).
#[derive(Clone, Debug, PartialEq)]
pub struct PodIdentity {
    /// Where the node's agent is asked, path included.
    pub url: String,
    /// The service account's token.
    pub token: Secret,
}

impl PodIdentity {
    /// The variable in which the platform says where the node's agent is.
    pub const URL_VARIABLE: &str = "HC_CONTAINER_CREDENTIALS_FULL_URI";
    /// The variable in which the platform says where the service account's token is.
    pub const TOKEN_VARIABLE: &str = "HC_CONTAINER_AUTHORIZATION_TOKEN_FILE";

    /// Whether the node's agent may be asked there. Without TLS, too: the platform says where, and it is the cluster's
    /// own network.
    pub fn is_url(text: &str) -> bool {
        Url::parse(text).is_ok_and(|url| {
            let is_anonymous = url.username().is_empty() && url.password().is_none();
            matches!(url.scheme(), "http" | "https") && url.has_host() && is_anonymous
        })
    }
}

/// The official SDK's credentials file (contract, 7.6).
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// The file, read again whenever the keys are needed.
    pub path: PathBuf,
}

/// A project to poll, with everything it inherits.
#[derive(Clone, Debug)]
pub struct Project {
    /// The label `project`; unique.
    pub name: String,
    /// The region; empty where only an endpoint is given.
    pub region: String,
    /// Where the service is asked.
    pub endpoint: Endpoint,
    /// The project's id in its region; `None` is the id of the project that bears the region's name.
    pub project_id: Option<String>,
    /// Name of its credentials.
    pub credentials: String,
    /// Labels added to every usage series.
    pub labels: BTreeMap<String, String>,
    /// Sub-account users, asked for one by one; empty asks once for everybody.
    pub user_ids: Vec<String>,
    /// Third-party user, header `X-App-UserId`.
    pub app_user_id: Option<String>,
    /// Keep only these; empty keeps all.
    pub resource_types: Vec<String>,
    /// Keep only these; empty keeps all.
    pub business_types: Vec<String>,
    /// Its own interval or the section's.
    pub interval: Duration,
    /// The section's, or three of its own intervals.
    pub stale_after: Duration,
    /// Its own windows or the section's.
    pub windows: Vec<Window>,
    /// How much may be used; no two for the same usage.
    pub budgets: Vec<Budget>,
}

impl Project {
    /// Queries of one poll: one for each window and user.
    pub fn queries(&self) -> usize {
        self.windows.len() * self.user_ids.len().max(1)
    }

    /// Requests a day, where each answer fits on one page and nothing is retried.
    pub fn requests_a_day(&self) -> f64 {
        self.requests_a_second() * 86_400.0
    }

    /// See [`Project::requests_a_day`].
    pub fn requests_a_second(&self) -> f64 {
        self.queries() as f64 / self.interval.as_secs_f64()
    }
}
