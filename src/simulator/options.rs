//! The setup of a simulated cloud.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{
    billing,
    faults::Fault,
    history::{self, SimulatedProject},
    identity::User,
    operations::OPERATIONS,
    service::Service,
};

/// The recipients of requests that are not for a project.
pub(super) const SERVICES: [&str; 5] = ["bss", "iam", "sts", "metadata", "pod-identity"];

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
    /// The id of the account.
    pub account_id: String,
    /// The projects of the account.
    pub projects: Vec<SimulatedProject>,
    /// The faults. If several match a request, the first one applies.
    pub faults: Vec<Fault>,
    /// How the service reads requests and writes answers.
    pub service: Service,
    /// The current time.
    pub clock: fn() -> DateTime<Utc>,
    /// Records each request for [`Simulator::seen`](super::Simulator::seen), for tests. The record takes more and more
    /// memory, so a simulator that runs for long must not have one.
    pub records_requests: bool,
}

impl Options {
    /// Checks that the recipient of each fault exists. Otherwise, the fault would never occur.
    ///
    /// # Errors
    /// A text with the unknown recipient and all known ones.
    pub fn check_faults(&self) -> Result<(), String> {
        let is_known = |recipient: &str| {
            let is_project = self.projects.iter().any(|project| recipient == project.name || recipient == project.id);
            let is_operation = operations().any(|operation| operation == recipient);
            is_project || is_operation || SERVICES.contains(&recipient)
        };
        match self.faults.iter().filter_map(|fault| fault.project.as_deref()).find(|recipient| !is_known(recipient)) {
            None => Ok(()),
            Some(unknown) => {
                let projects = self.projects.iter().map(|project| project.name.as_str());
                let names = projects.chain(SERVICES).chain(operations().map(|name| -> &str { name }));
                Err(format!("there is no project {unknown}; expected one of {}", names.collect::<Vec<_>>().join(", ")))
            }
        }
    }
}

/// The names of the operations that a fault can name as its recipient.
fn operations() -> impl Iterator<Item = &'static str> {
    let of_billing = billing::BillingOperation::ALL.into_iter().map(billing::BillingOperation::name);
    OPERATIONS.iter().map(|operation| operation.name).chain(of_billing)
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
            account_id: "0a1b2c3d4e5f60718293a4b5c6d7e8f9".to_owned(),
            projects: history::projects(),
            faults: Vec::new(),
            service: Service::default(),
            clock: Utc::now,
            records_requests: false,
        }
    }
}
