//! The poll of one project: all of its windows, or none.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, SubsecRound, Utc};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};

use super::{
    collecting::{Collecting, PackageOwners},
    proofs::Proofs,
    range::{Progress, RangeQuery, Split},
    sub_users::{PolledSubUsers, SubUserList},
    windows::{Complete, WindowsQuery},
};
use crate::{
    cloud::{Call, Client, Error, project_api},
    config::{Config, Project},
    history::ledger::Ledger,
    snapshot::{Failure, PollOutcome},
    usage::{Doubt, Doubts, Zone},
};

/// Polls one project.
#[derive(Debug)]
pub struct Poller {
    client: Client,
    project: Project,
    page_size: usize,
    timezone: Zone,
    timeout: Duration,
    collectors: Vec<Arc<Collecting>>,
    /// `None` without `user_ids: all`.
    sub_users: Option<SubUserList>,
    /// Why an older list of sub-users is used. Of several failures in a row, only the first is logged.
    list_failure: Mutex<Option<String>>,
    /// The doubts of the last complete poll. A doubt is logged when it is new, not at every poll.
    doubts: Mutex<Doubts>,
    /// A poll copies the proofs and replaces them at its end. Polls of one project do not overlap.
    proofs: Mutex<Proofs>,
}

impl Poller {
    /// A poller for a project of `config`. Days that have ended are kept in the ledger, if there is one.
    pub fn new(
        client: Client,
        project: &Project,
        config: &Config,
        ledger: Option<&Ledger>,
        owners: &Arc<PackageOwners>,
    ) -> Self {
        Poller {
            collectors: Collecting::of(&client, project, config, ledger, owners),
            client,
            sub_users: SubUserList::of(&project.user_ids),
            list_failure: Mutex::default(),
            project: project.clone(),
            page_size: config.api.page_size,
            timezone: config.timezone.clone(),
            timeout: config.poll.timeout,
            doubts: Mutex::default(),
            proofs: Mutex::default(),
        }
    }

    /// The project's configuration. After a reload, fields that do not affect the poll may be outdated.
    pub fn project(&self) -> &Project {
        &self.project
    }

    /// The configured collectors, which run beside the polls.
    pub fn collectors(&self) -> &[Arc<Collecting>] {
        &self.collectors
    }

    /// Polls once, as of `now`. The poll ends within the timeout. A failure is the outcome's result.
    pub async fn poll(&self, now: DateTime<Utc>) -> PollOutcome {
        let start = Instant::now();
        let deadline = start + self.timeout;
        let query = format!("id of the project in region {}", self.project.region);
        let mut progress = Progress { query, proofs: self.proofs.lock().clone(), ..Progress::default() };
        progress.proofs.renew(now);
        let result = timeout_at(deadline, self.windows(now, deadline, &mut progress)).await;
        let Progress { mut counters, query, proofs } = progress;
        let result = result.unwrap_or_else(|_| Err(self.timeout_error(counters.requests())));
        let is_inconsistent = matches!(result, Err(Error::Inconsistent(_)));
        // After a contradiction, everything must be proven again.
        *self.proofs.lock() = if is_inconsistent { Proofs::default() } else { proofs };
        let (mut doubts, mut sub_users) = (Doubts::new(), None);
        let result = match result {
            Ok(complete) => {
                counters.rows = complete.rows;
                (doubts, sub_users) = (complete.doubts, complete.sub_users);
                self.log_new_doubts(&doubts);
                Ok(complete.windows)
            }
            Err(error) => Err(Failure { reason: error.reason(), message: format!("{query}: {}", error.report()) }),
        };
        PollOutcome {
            doubts,
            sub_users,
            counters,
            project_id: self.client.known_project_id(),
            credentials_expiry: self.client.credentials_expiry(),
            ..PollOutcome::new(now, start.elapsed(), result)
        }
    }

    async fn windows(&self, now: DateTime<Utc>, deadline: Instant, progress: &mut Progress) -> Result<Complete, Error> {
        // The API takes whole seconds. The bounds of all windows are computed for this one instant.
        let now = now.trunc_subsecs(0);
        let mut call = Call { client: &self.client, deadline, counters: &mut progress.counters };
        let project_id = &*project_api::project_id(&mut call).await?;
        let PolledSubUsers { ids, not_listed } = match &self.sub_users {
            Some(list) => {
                let known = list.known(&self.client, project_id, now, deadline, progress).await?;
                self.log_new_failure(list);
                known
            }
            None => PolledSubUsers::default(),
        };
        let query = RangeQuery {
            source: &self.client,
            project: &self.project,
            split: Split::of(&self.project.user_ids, &ids),
            project_id,
            page_size: self.page_size,
            deadline,
        };
        let mut complete = WindowsQuery { query, timezone: &self.timezone }.ask(now, progress).await?;
        complete.doubts.extend(not_listed.map(|seen| (Doubt::UsersNotListed, seen)));
        Ok(complete)
    }

    /// Logs that the last known list of sub-users is used. Without any list, a doubt is logged instead.
    fn log_new_failure(&self, list: &SubUserList) {
        let failure = list.failure();
        let mut known = self.list_failure.lock();
        if let Some(error) = failure.as_ref().filter(|_| known.is_none()) {
            let project = &self.project.name;
            tracing::warn!(project, error, "sub-users could not be listed, so the last known list is used");
        }
        *known = failure;
    }

    fn timeout_error(&self, requests: u64) -> Error {
        Error::Timeout(format!(
            "the poll was not complete after {:?} and {requests} requests; raise poll.timeout or api.requests_per_second, \
             or poll fewer windows and users",
            self.timeout,
        ))
    }

    fn log_new_doubts(&self, doubts: &Doubts) {
        let mut known = self.doubts.lock();
        for (doubt, seen) in doubts.iter().filter(|(doubt, _)| !known.contains_key(doubt)) {
            tracing::warn!(project = self.project.name, %doubt, "{seen}: {}", doubt.advice());
        }
        known.clone_from(doubts);
    }
}
