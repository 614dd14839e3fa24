//! The values that the sources of credentials need to fetch an identity.

use std::sync::Arc;

use super::lockout::Lockout;
use crate::{cloud::transport::http::HttpClients, config::Environment, usage::Clock};

/// Shared by all sources.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub environment: Environment,
    pub http: HttpClients,
    pub clock: Clock,
    /// Keeps IAM from locking a user, as it keeps the gateway from locking a key.
    pub lockout: Arc<Lockout>,
}
