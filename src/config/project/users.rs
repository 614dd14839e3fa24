//! The key `user_ids`: a list, or `all`.

use crate::config::{
    collectors::ListSettings,
    fields::Field,
    read::{Listed, Node},
};

/// The users that have series of their own.
#[derive(Clone, Debug, PartialEq)]
pub enum Users {
    /// These, with one query each. If there are none, one query asks for all users together.
    Listed(Vec<String>),
    /// All sub-users that ListUserQuotas lists, with the settings of `collectors.sub_users`. The rest of the usage has
    /// a series without a user.
    All(ListSettings),
}

impl Users {
    /// The value that means all sub-users.
    pub(in crate::config) const ALL: &'static str = "all";

    /// Reads `all`, or a list of ids. The second value has the ids that budgets may name; `None` if budgets may name
    /// any id.
    pub(super) fn read(node: Option<Node<'_>>, settings: &ListSettings) -> (Self, Option<Vec<String>>) {
        let Some(node) = node else { return (Users::default(), Some(Vec::new())) };
        if node.as_str() == Some(Self::ALL) {
            return (Users::All(settings.clone()), None);
        }
        if node.length().is_none() {
            node.problem(format!("{} or a list of ids of sub-users", Self::ALL));
            return (Users::default(), None);
        }
        let listed: Listed<String> = node.set(|node| {
            if node.as_str() == Some(Self::ALL) {
                node.warning("in a list this is the id of one user; for all sub-users, write user_ids: all");
            }
            node.text()
        });
        let known = listed.all().map(<[String]>::to_vec);
        (Users::Listed(listed.values), known)
    }

    /// The ids in the configuration; empty for `all`.
    pub fn listed(&self) -> &[String] {
        match self {
            Users::Listed(ids) => ids,
            Users::All(_) => &[],
        }
    }

    /// The settings for `all`; `None` if the configuration lists the users.
    pub fn all(&self) -> Option<&ListSettings> {
        match self {
            Users::Listed(_) => None,
            Users::All(settings) => Some(settings),
        }
    }

    /// The maximum number of queries for one window. Only the service knows the number of sub-users.
    pub fn queries(&self) -> usize {
        match self {
            Users::Listed(ids) => ids.len().max(1),
            Users::All(ListSettings { series, .. }) => Self::queries_of(*series),
        }
    }

    /// The number of queries for one window, if `sub_users` sub-users have series of their own. Two more queries,
    /// before and after the queries for the sub-users, ask for all users together.
    pub fn queries_of(sub_users: usize) -> usize {
        if sub_users == 0 { 1 } else { sub_users + 2 }
    }

    pub(super) fn field(&self) -> Field<'static> {
        match self {
            Users::Listed(ids) => Field::list(ids),
            Users::All(_) => Field::text(Self::ALL),
        }
    }
}

impl Default for Users {
    fn default() -> Self {
        Users::Listed(Vec::new())
    }
}
