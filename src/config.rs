//! The configuration file: its sections with their defaults, how they are read, and the effective configuration.
//!
//! [`load()`] reads a file and the environment, and reports every problem at once. A [`Config`] needs no further
//! checks. [`effective::to_yaml`] prints a configuration with all defaults and without secrets.
//!
//! ```
//! # use std::path::Path;
//! use metastudio_exporter::config::{Environment, effective, load_text};
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
//! # runtime.block_on(async {
//! let text = "
//! credentials: {main: {token: {env: TOKEN}}}
//! projects: [{name: studio, region: cn-north-4}]
//! ";
//! let environment: Environment = [("TOKEN".to_owned(), "secret".to_owned())].into_iter().collect();
//! let loaded = load_text(text.to_owned(), Path::new("config.yaml"), &environment).await;
//! let yaml = effective::to_yaml(&loaded.config.unwrap());
//! assert!(yaml.contains("interval: 5m") && !yaml.contains("secret"));
//! # });
//! ```

mod accounts;
mod api_settings;
mod collectors;
mod credentials;
pub mod effective;
mod endpoint;
mod environment;
mod fields;
mod keys;
mod load;
mod poll_settings;
mod problem;
pub(crate) mod profile;
mod project;
mod proxy;
pub(crate) mod read;
pub mod schema;
mod secret;
mod settings;
mod shard;
mod shared_budgets;
mod suggestion;
mod warnings;
pub(crate) mod yaml;

pub use accounts::Account;
pub use api_settings::ApiSettings;
pub(crate) use api_settings::add_certificates;
pub use collectors::{Collect, CollectorSettings, ListSettings, SessionsSettings};
pub use credentials::{
    CredentialsSource, ecs_agency::EcsAgency, iam_user::IamUser, keys::KeyPair, oidc::Oidc, pod_identity::PodIdentity,
    profile::Profile,
};
pub use endpoint::{Endpoint, Site};
pub use environment::Environment;
pub use load::{Loaded, load, load_text};
pub use poll_settings::PollSettings;
pub use problem::Problem;
pub use project::{Project, Users};
pub use secret::Secret;
pub(crate) use secret::SecretError;
pub use settings::Config;
pub use shard::Shard;
pub use shared_budgets::CoveringBudget;
