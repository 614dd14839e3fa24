//! Source: an IAM user with a password. The official SDK reads none from the environment, so there is no `find`.

use crate::config::{
    endpoint::Endpoint,
    fields::{Field, Fields},
    read::Section,
    secret::Secret,
};

/// An IAM user with a password. A HUAWEI ID cannot get a token, and login MFA must be off (contract, 5).
#[derive(Clone, Debug, PartialEq)]
pub struct IamUser {
    /// The name of the account.
    pub domain: String,
    /// The name of the user.
    pub user: String,
    /// The password of the user.
    pub password: Secret,
    /// The endpoint of IAM; `None` is `api.iam_endpoint`, or else the endpoint of the region.
    pub endpoint: Option<Endpoint>,
}

pub(super) fn read(section: &mut Section<'_>) -> Option<IamUser> {
    let mut section = section.get("iam_user")?.section();
    let user = IamUser {
        domain: section.require_text("domain", "the name of the account"),
        user: section.require_text("user", "the name of the IAM user"),
        password: Secret::required(&mut section, "password", "the password of the IAM user"),
        endpoint: section.get("endpoint").and_then(|node| Endpoint::of_node(&node)),
    };
    section.finish();
    Some(user)
}

pub(super) fn fields(user: &IamUser) -> Fields<'_> {
    let IamUser { domain, user, password, endpoint } = user;
    let fields = vec![
        ("domain", Field::text(domain)),
        ("user", Field::text(user)),
        ("password", Field::Password(password)),
        ("endpoint", Field::optional(endpoint.as_ref(), Field::text)),
    ];
    vec![("iam_user", Field::Section(fields))]
}
