//! The doubts about published usage: all values of the label `doubt` of `metastudio_poll_doubts`.

use std::{collections::BTreeMap, fmt};

/// A way in which published usage may be wrong, although the answer is complete. If another request can settle it, the
/// exporter asks. If usage is known to be wrong, the poll fails. Everything else is a doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Doubt {
    /// The start or the end of a window is not the start of a bucket, so a bucket lies partly inside and partly
    /// outside.
    Misaligned,
    /// Two windows of one poll contradict each other.
    WindowsDisagree,
    /// The times of the buckets cannot be read, so the range of the answer is unknown.
    UnreadableTime,
    /// Rows of later pages are the same as rows of the first page.
    RepeatedRows,
    /// A usage or number is negative; it is summed as it is.
    Negative,
    /// A row has no usage, no number or no unit, so its series is not published.
    ValueMissing,
    /// A budget selects none of the rows.
    BudgetMatchesNothing,
    /// A configured type is in none of the rows.
    FilterMatchesNothing,
    /// A configured user has no usage, although others have.
    UserMatchesNothing,
    /// The only configured user has the same usage as all users.
    UserWithoutEffect,
    /// With `user_ids: all`, the sub-users are not known, so all usage is in the series without a user.
    UsersNotListed,
}

/// The doubts of a poll, each with what was seen.
pub type Doubts = BTreeMap<Doubt, String>;

impl Doubt {
    /// Every doubt, in the order in which they are exported.
    pub const ALL: [Doubt; 11] = [
        Doubt::Misaligned,
        Doubt::WindowsDisagree,
        Doubt::UnreadableTime,
        Doubt::RepeatedRows,
        Doubt::Negative,
        Doubt::ValueMissing,
        Doubt::BudgetMatchesNothing,
        Doubt::FilterMatchesNothing,
        Doubt::UserMatchesNothing,
        Doubt::UserWithoutEffect,
        Doubt::UsersNotListed,
    ];

    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Doubt::Misaligned => "misaligned",
            Doubt::WindowsDisagree => "windows_disagree",
            Doubt::UnreadableTime => "unreadable_time",
            Doubt::RepeatedRows => "repeated_rows",
            Doubt::Negative => "negative",
            Doubt::ValueMissing => "value_missing",
            Doubt::BudgetMatchesNothing => "budget_matches_nothing",
            Doubt::FilterMatchesNothing => "filter_matches_nothing",
            Doubt::UserMatchesNothing => "user_matches_nothing",
            Doubt::UserWithoutEffect => "user_without_effect",
            Doubt::UsersNotListed => "users_not_listed",
        }
    }

    /// What the doubt means for the numbers, and what to do.
    pub fn advice(self) -> &'static str {
        match self {
            Doubt::Misaligned => {
                "usage of the window is too low or too high by a part of a bucket: set timezone to the zone of the \
                 buckets, or use windows of whole buckets"
            }
            Doubt::WindowsDisagree => "one of the windows is wrong: compare both with the console",
            Doubt::UnreadableTime => "usage outside of the window may be counted: compare with the console",
            Doubt::RepeatedRows => "they are all summed, but may have come twice: compare with the console",
            Doubt::Negative => "it is summed as it is: compare with the console",
            Doubt::ValueMissing => "the series is not published for this window: compare with the console",
            Doubt::BudgetMatchesNothing => {
                "the budget can never be exceeded: compare its resource_type, business_type and user_id with the labels \
                 of metastudio_usage_minutes"
            }
            Doubt::FilterMatchesNothing => {
                "usage may be left out: compare resource_types and business_types with the types in the console"
            }
            Doubt::UserMatchesNothing => "the id may be wrong: compare user_ids with the console",
            Doubt::UserWithoutEffect => {
                "the service may ignore user_id: check that sub-account isolation is on, or remove user_ids"
            }
            Doubt::UsersNotListed => {
                "all usage is in the series without a user: list the ids in user_ids, or use the key of the account, because \
                 only the root account may list sub-users"
            }
        }
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
