//! The configuration: what it holds, with defaults. [`mod@load`] reads it from a file and the environment, [`effective`]
//! prints it.
//!
//! Loading reports every problem at once; what comes out of it needs no further checks.

pub mod effective;
pub mod endpoint;
pub mod load;
mod problem;
mod read;
mod secret;
mod sections;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use chrono_tz::Tz;
use secrecy::SecretString;

pub use endpoint::Endpoint;
pub use load::{Loaded, load, load_text};
pub use problem::Problem;
pub use secret::{Environment, Secret, SecretError};

use crate::usage::Window;

/// The name under which the environment's credentials stand where none are configured.
pub const ENVIRONMENT: &str = "environment";

/// A whole configuration, valid.
#[derive(Clone, Debug)]
pub struct Config {
    /// Section `poll`.
    pub poll: Poll,
    /// Windows of the projects that name none themselves, in the order of the file.
    pub windows: Vec<Window>,
    /// Where the calendar windows begin and end.
    pub timezone: Tz,
    /// Section `api`.
    pub api: Api,
    /// Section `credentials`, by name.
    pub credentials: BTreeMap<String, CredentialsSource>,
    /// Section `projects`, in the order of the file.
    pub projects: Vec<Project>,
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
    /// Certificates to trust besides the system's.
    pub ca_file: Option<PathBuf>,
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
            ca_file: None,
            proxy: None,
        }
    }
}

/// Where an identity comes from.
#[derive(Clone, Debug)]
pub enum CredentialsSource {
    /// An access key and a secret key.
    Keys(Keys),
    /// A token that somebody else renews.
    Token(Secret),
    /// An IAM user, whose tokens the exporter obtains and renews.
    IamUser(IamUser),
    /// Temporary keys of the agency of the ECS instance that this runs on.
    EcsAgency(EcsAgency),
}

/// A key pair.
#[derive(Clone, Debug)]
pub struct Keys {
    /// AK.
    pub access_key: Secret,
    /// SK.
    pub secret_key: Secret,
    /// The token that belongs to temporary keys.
    pub security_token: Option<Secret>,
}

/// An IAM user with a password. A HUAWEI ID cannot get a token, and login MFA must be off (contract, 5).
#[derive(Clone, Debug)]
pub struct IamUser {
    /// The account's name.
    pub domain: String,
    /// The user's name.
    pub user: String,
    /// The user's password.
    pub password: Secret,
    /// Where IAM is asked; `None` is the IAM of the project's region.
    pub endpoint: Option<Endpoint>,
}

/// The agency of an ECS instance.
#[derive(Clone, Debug)]
pub struct EcsAgency {
    /// Where the metadata service is asked.
    pub endpoint: Endpoint,
}

impl Keys {
    /// Access key, secret key and security token in the environment: as the official SDK names them, and as its
    /// documentation's sample programs do (contract, 7.5).
    const VARIABLES: [[&str; 3]; 2] = [
        ["HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK", "HUAWEICLOUD_SDK_SECURITY_TOKEN"],
        ["CLOUD_SDK_AK", "CLOUD_SDK_SK", "CLOUD_SDK_SECURITY_TOKEN"],
    ];

    /// The keys that apply where no credentials are configured: the first set of variables of which any is there.
    /// Half a pair is not made up from the other set.
    pub fn of_environment(environment: &Environment) -> Self {
        let is_set = |name: &&str| environment.get(name).is_some();
        let [official, _] = Self::VARIABLES;
        let set = Self::VARIABLES.into_iter().find(|set| set.iter().any(is_set));
        let [access_key, secret_key, security_token] = set.unwrap_or(official);
        let variable = |name: &str| Secret::Env(name.to_owned());
        Keys {
            access_key: variable(access_key),
            secret_key: variable(secret_key),
            security_token: is_set(&security_token).then(|| variable(security_token)),
        }
    }
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
    /// The project's id in its region.
    pub project_id: String,
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
