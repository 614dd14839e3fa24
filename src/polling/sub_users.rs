//! The sub-users that have series of their own with `user_ids: all`.

use std::{cmp::Reverse, time::Duration};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use rust_decimal::Decimal;
use tokio::time::{Instant, timeout_at};

use super::range::Progress;
use crate::{
    cloud::{AFTER_REFUSAL, Call, Client, Error, lists::PagedList, quotas_api, with_causes},
    config::Users,
    usage::{Reason, SubUser},
};

/// The time limit of the list is the time that a poll has left, divided by this number. The list is not retried. Most
/// of the time is for the usage, which does not need the list.
const PART_OF_POLL: u32 = 4;

/// Error messages about the list begin with this text.
pub(super) const QUERY: &str = "list of sub-users";

/// The sub-users of one project. The list is asked for again when it is old.
#[derive(Debug)]
pub struct SubUserList {
    /// The number of sub-users with series of their own.
    series: usize,
    interval: Duration,
    state: Mutex<ListState>,
}

/// The sub-users for one poll.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolledSubUsers {
    /// Their ids, those with the most used minutes first.
    pub ids: Vec<String>,
    /// Why there is no list, if there is none.
    pub not_listed: Option<String>,
}

#[derive(Clone, Debug, Default)]
struct ListState {
    /// The ids in the last list; `None` before the first one.
    known: Option<Vec<String>>,
    /// When the list was asked for last, and the pause after that.
    asked: Option<(DateTime<Utc>, Duration)>,
    /// Why the last request failed.
    failure: Option<String>,
}

impl SubUserList {
    /// The list for a project; `None` without `user_ids: all`.
    pub fn of(users: &Users) -> Option<Self> {
        let settings = users.all()?;
        Some(SubUserList { series: settings.series, interval: settings.interval, state: Mutex::default() })
    }

    /// The sub-users as of `now`. If the service gives no list, the last known list is used. An old list does not make
    /// the usage wrong: the series without a user has all usage that the listed users do not account for.
    ///
    /// # Errors
    /// A failure of the key ([`Reason::Auth`]). It counts towards the lock-out of the key, so no more requests must be
    /// sent.
    pub async fn known(
        &self,
        client: &Client,
        project_id: &str,
        now: DateTime<Utc>,
        deadline: Instant,
        progress: &mut Progress,
    ) -> Result<PolledSubUsers, Error> {
        let state = self.state.lock().clone();
        let is_due = state.asked.is_none_or(|(at, pause)| (now - at).abs().to_std().is_ok_and(|age| age >= pause));
        if self.series == 0 || !is_due {
            return Ok(state.sub_users());
        }
        QUERY.clone_into(&mut progress.query);
        let start = Instant::now();
        let limit = deadline.duration_since(start) / PART_OF_POLL;
        let own_deadline = start + limit;
        let client = &client.without_retries();
        let mut call = Call { client, deadline: own_deadline, counters: &mut progress.counters };
        let listed = timeout_at(own_deadline, ids(project_id, &mut call)).await;
        let listed =
            listed.unwrap_or_else(|_| Err(Error::Timeout(format!("the list was not complete after {limit:?}"))));
        let state = match listed {
            Ok(mut ids) => {
                ids.truncate(self.series);
                ListState { known: Some(ids), asked: Some((now, self.interval)), failure: None }
            }
            Err(error) if error.reason() == Reason::Auth => return Err(error),
            Err(error) => {
                let pause = if error.is_operation_refused() { AFTER_REFUSAL } else { Duration::ZERO };
                ListState { asked: Some((now, pause)), failure: Some(with_causes(&error)), ..state }
            }
        };
        let sub_users = state.sub_users();
        *self.state.lock() = state;
        Ok(sub_users)
    }

    /// Why the last request failed, if an older list is used instead.
    pub fn failure(&self) -> Option<String> {
        let state = self.state.lock();
        state.failure.clone().filter(|_| state.known.is_some())
    }
}

impl ListState {
    fn sub_users(&self) -> PolledSubUsers {
        PolledSubUsers {
            ids: self.known.clone().unwrap_or_default(),
            not_listed: self.failure.as_ref().filter(|_| self.known.is_none()).map(|error| not_listed(error)),
        }
    }
}

/// The text of the doubt [`crate::usage::Doubt::UsersNotListed`].
fn not_listed(error: &str) -> String {
    format!("the sub-users could not be listed: {error}")
}

/// The sub-users for past days. Days are kept with the users of this list. If the key may not list sub-users, days are
/// kept without them. Any other failure of the list is an error.
///
/// # Errors
/// Any other failure of ListUserQuotas.
pub(super) async fn for_past_days(
    users: &Users,
    project_id: &str,
    call: &mut Call<'_>,
) -> Result<PolledSubUsers, Error> {
    let Some(settings) = users.all().filter(|settings| settings.series > 0) else {
        return Ok(PolledSubUsers::default());
    };
    match ids(project_id, call).await {
        Ok(mut ids) => {
            ids.truncate(settings.series);
            Ok(PolledSubUsers { ids, not_listed: None })
        }
        Err(error) if error.is_operation_refused() && error.reason() != Reason::Auth => {
            Ok(PolledSubUsers { not_listed: Some(not_listed(&with_causes(&error))), ..PolledSubUsers::default() })
        }
        Err(error) => Err(error),
    }
}

/// The ids of all sub-users, those with the most used minutes first.
///
/// # Errors
/// Any [`Error`] of ListUserQuotas.
pub async fn ids(project_id: &str, call: &mut Call<'_>) -> Result<Vec<String>, Error> {
    Ok(sorted(quotas_api::sub_users(project_id).all(call).await?))
}

/// An entry without an id is left out, because a query without an id asks for all users.
fn sorted(mut users: Vec<SubUser>) -> Vec<String> {
    let minutes = |user: &SubUser| {
        let of_minutes = user.quotas.iter().filter(|(quota_type, _)| quota_type.is_in_minutes());
        of_minutes.filter_map(|(_, quota)| quota.used).fold(Decimal::ZERO, Decimal::saturating_add)
    };
    users.retain(|user| !user.id.is_empty());
    users.sort_by_cached_key(|user| (Reverse(minutes(user)), user.id.clone()));
    users.into_iter().map(|user| user.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::{Quota, QuotaType};

    #[test]
    fn those_with_the_most_minutes_come_first_and_then_by_id() {
        let user = |id: &str, used: [Option<i64>; 3]| {
            let types = [0, 1, 2].map(|index| QuotaType::all().nth(index).unwrap());
            let quota = |used: Option<i64>| Quota { limit: None, used: used.map(Into::into) };
            SubUser { id: id.to_owned(), quotas: types.into_iter().zip(used.map(quota)).collect() }
        };
        let users = vec![
            user("images", [None, None, Some(1000)]),
            user("b", [Some(5), None, None]),
            user("", [Some(100), None, None]),
            user("most", [Some(4), Some(2), None]),
            user("a", [Some(2), Some(3), None]),
        ];
        assert_eq!(sorted(users), ["most", "a", "b", "images"]);
        assert_eq!(sorted(Vec::new()), [""; 0]);
    }
}
