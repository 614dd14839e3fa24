//! The operations of MetaStudio other than ShowUsageData.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{
    history::SimulatedProject,
    jobs,
    lists::{self, Answer, Request},
    packages,
    parameters::Values,
    service::Service,
    users,
};

/// An operation: its name in the documentation, the end of its path, and its answer.
#[derive(Debug)]
pub(super) struct Operation {
    pub name: &'static str,
    path: &'static str,
    answer: fn(&Request<'_>) -> Result<Answer, String>,
}

/// The operations.
pub(super) const OPERATIONS: &[Operation] = &[
    Operation { name: "ListTenantResources", path: "/tenants/resources", answer: packages::list },
    Operation { name: "ListUserQuotas", path: "/user/quotas", answer: users::list },
    Operation { name: "ListSmartLiveJobs", path: "/smart-live-jobs", answer: jobs::live_sessions },
    Operation { name: "ListDigitalHumanVideo", path: "/digital-human-videos", answer: jobs::videos },
    Operation { name: "ShowTenantServiceConfigs", path: "/tenants/service-configs", answer: users::service_configs },
];

impl Operation {
    /// The operation with this path, and the project id in the path.
    pub fn of(path: &str) -> Option<(&str, &'static Self)> {
        let path = path.strip_prefix("/v1/")?;
        OPERATIONS.iter().find_map(|operation| {
            let id = path.strip_suffix(operation.path)?;
            (!id.is_empty() && !id.contains('/')).then_some((id, operation))
        })
    }

    /// The answer of a service to a query, after `earlier` other requests for the same list.
    ///
    /// # Errors
    /// The name of the first parameter that is not valid.
    pub fn answer(
        &self,
        project: &SimulatedProject,
        query: &str,
        service: &Service,
        now: DateTime<Utc>,
        earlier: u32,
    ) -> Result<Value, String> {
        let request = Request { project, values: Values::parse(query), service, now };
        match (self.answer)(&request)? {
            Answer::List { name, rows, inserted } => lists::page(&request, name, rows, inserted, earlier),
            Answer::Object(value) => Ok(value),
        }
    }
}
