//! The query of a project: what it asks for, apart from the windows of time.

use std::collections::BTreeSet;

/// What a project asks for in each window. Projects with configured ids and equal queries have the same usage, unless
/// the key of one of them sees only the usage of a sub-user. An id that is looked up also depends on the credentials,
/// the region and the IAM endpoint. The order of lists in the configuration does not matter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProjectQuery<'a> {
    /// Scheme and host of the service.
    pub endpoint: String,
    /// The configured id; `None` if it is looked up.
    pub project_id: Option<&'a str>,
    /// The configured users; `None` for all sub-users.
    pub user_ids: Option<BTreeSet<&'a str>>,
    /// The third-party user.
    pub app_user_id: Option<&'a str>,
    /// The resource types that are kept; if empty, all are.
    pub resource_types: BTreeSet<&'a str>,
    /// The business types that are kept; if empty, all are.
    pub business_types: BTreeSet<&'a str>,
}
