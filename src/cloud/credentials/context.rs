//! What the sources of credentials need to fetch.

use std::sync::Arc;

use super::lockout::Lockout;
use crate::{cloud::transport::http::HttpClients, config::Environment, usage::Clock};

/// The surroundings of all sources.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub environment: Environment,
    pub http: HttpClients,
    pub clock: Clock,
    /// Keeps passwords from being locked, as it does with keys.
    pub lockout: Arc<Lockout>,
}
