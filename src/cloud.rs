//! The client for Huawei Cloud: turns a query for usage into rows or a typed error.
//!
//! [`usage_api`] asks for pages until the answer is complete. It uses a [`Client`], which signs every attempt afresh
//! ([`transport::signing`]), retries if that may help, limits the rate, and never uses a refused key so often that the
//! account locks it. Each further API is a module beside [`usage_api`], such as [`project_api`].
//!
//! An operation that lists entries in pages is a query of `lists`, and `listing` proves that no entry is missing. The
//! billing service answers for an account, not for a project, and has another host. So each account has its own client.

mod account_api;
pub mod billing_api;
mod client;
mod connector;
mod credentials;
mod error;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
pub mod jobs_api;
mod json;
mod listing;
pub(crate) mod lists;
mod memory;
pub mod project_api;
pub mod quotas_api;
pub mod resources_api;
mod secrets;
pub mod service_configs_api;
pub mod transport;
pub mod usage_api;

pub use client::{Call, Client};
pub use connector::Connector;
pub use credentials::{Credentials, lockout::Lockout};
pub(crate) use error::{AFTER_REFUSAL, with_causes};
pub use error::{Error, SetupError};
pub use memory::AnswerMemory;
pub use usage_api::UsageQuery;
