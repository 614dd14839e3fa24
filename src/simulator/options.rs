//! The setup of a simulated cloud.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{
    faults::Fault,
    history::{self, SimulatedProject},
    identity::User,
    service::Service,
};

/// The setup of a simulated cloud.
#[derive(Clone, Debug)]
pub struct Options {
    /// The one permanent access key.
    pub access_key: String,
    /// The secret key of `access_key`.
    pub secret_key: String,
    /// Makes `access_key` temporary: the security token that each request must carry.
    pub security_token: Option<String>,
    /// An IAM token that is accepted in place of a signature, for every project.
    pub token: Option<String>,
    /// The one IAM user.
    pub user: User,
    /// How long issued tokens and temporary keys are valid.
    pub lifetime: Duration,
    /// The projects of the account.
    pub projects: Vec<SimulatedProject>,
    /// The faults. If several match a request, the first one applies.
    pub faults: Vec<Fault>,
    /// How the service reads requests and writes answers.
    pub service: Service,
    /// The current time.
    pub clock: fn() -> DateTime<Utc>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            access_key: "SIMULATEDACCESSKEY01".to_owned(),
            secret_key: "simulated/Secret+Key000000000000000000001".to_owned(),
            security_token: None,
            token: None,
            user: User {
                domain: "simulated".to_owned(),
                name: "robot".to_owned(),
                password: "simulated-password".to_owned(),
            },
            lifetime: Duration::from_secs(24 * 60 * 60),
            projects: history::projects(),
            faults: Vec::new(),
            service: Service::default(),
            clock: Utc::now,
        }
    }
}
