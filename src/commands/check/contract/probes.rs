//! The requests of a contract report: a bounded number for each project. The client of the project sends them, so they
//! are signed and paced like the requests of a poll.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    findings::{Stop, Unknown},
    paging::MAX_LIMIT,
};
use crate::{
    cloud::{
        Call, Client, Error, UsageQuery,
        lists::PagedList,
        quotas_api,
        usage_api::{PageRequest, PageSource, wire::Page},
    },
    config::Project,
    usage::{Bounds, Counters, Reason},
};

/// The most requests for one project, without those of the questions about lists.
const MAX_REQUESTS: u64 = 40;

/// The number of users that are asked for.
const USERS: usize = 2;

/// The most requests for one page: the client sends a second one with a new key if the service refuses the old one.
const REQUESTS_PER_PAGE: u64 = 2;

/// Asks for pages until an error shows that further requests are useless.
#[derive(Debug)]
pub struct Probes<'a, S> {
    source: &'a S,
    project: &'a Project,
    project_id: &'a str,
    /// Some users to ask for, or why there are none.
    users: Result<Vec<String>, Unknown>,
    /// Time limit of one request, with the wait for its turn.
    timeout: Duration,
    counters: Counters,
    stop: Option<Stop>,
}

/// A request for one page.
#[derive(Clone, Copy, Debug)]
pub struct Probe<'a> {
    pub range: Bounds,
    pub page: PageRequest,
    pub user_id: Option<&'a str>,
    pub unit: Option<&'a str>,
}

impl Probe<'_> {
    /// The first page of a range, with the largest limit.
    pub fn whole(range: Bounds) -> Self {
        Probe { range, page: PageRequest { limit: MAX_LIMIT, offset: 0 }, user_id: None, unit: None }
    }
}

impl<'a, S: PageSource> Probes<'a, S> {
    /// `source` must be a client without retries: a page may cost at most `REQUESTS_PER_PAGE` requests.
    pub fn new(source: &'a S, project: &'a Project, project_id: &'a str, timeout: Duration) -> Self {
        let users = match project.user_ids.listed() {
            [] if project.user_ids.all().is_some() => Err(Unknown::NoSubUsers),
            [] => Err(Unknown::NoUserIds),
            users => Ok(users.iter().take(USERS).cloned().collect()),
        };
        Probes { source, project, project_id, users, timeout, counters: Counters::default(), stop: None }
    }

    /// With `user_ids: all`: asks for the first sub-users of the list, with one request.
    pub async fn list_users(&mut self, client: &Client) {
        if self.project.user_ids.all().is_none() {
            return;
        }
        let deadline = Instant::now() + self.timeout;
        let (list, memory) = (quotas_api::sub_users(self.project_id), client.new_answer());
        let mut call = Call { client, deadline, counters: &mut self.counters };
        let page = list.page(&mut call, 0, &memory).await;
        self.users = match page {
            Ok(page) => {
                // An entry without an id belongs to no user.
                let ids = page.entries.into_iter().map(|user| user.id).filter(|id| !id.is_empty());
                let ids: Vec<String> = ids.take(USERS).collect();
                if ids.is_empty() { Err(Unknown::NoSubUsers) } else { Ok(ids) }
            }
            Err(Error::Refused(refusal)) if refusal.reason() == Reason::Forbidden => Err(Unknown::NotAllowed),
            Err(error) => {
                let (reason, stop) = consequence(&error);
                self.stop = stop;
                Err(reason)
            }
        };
    }

    /// The requests so far.
    pub fn requests(&self) -> u64 {
        self.counters.requests()
    }

    /// Why no more requests are sent.
    pub fn stop(&self) -> Option<Stop> {
        self.stop
    }

    /// The users to ask for.
    ///
    /// # Errors
    /// Why no users are known, such as [`Unknown::NoUserIds`].
    pub fn users(&self) -> Result<Vec<String>, Unknown> {
        self.users.clone()
    }

    /// Asks for one page. After a refusal of the key, a missing permission, a throttled request or a failed connection,
    /// nothing more is sent.
    ///
    /// # Errors
    /// [`Unknown::Refused`], [`Unknown::Unreadable`], [`Unknown::Failed`] or [`Unknown::Stopped`].
    pub async fn ask(&mut self, probe: Probe<'_>) -> Result<Page, Unknown> {
        if self.stop.is_none() && self.requests() + REQUESTS_PER_PAGE > MAX_REQUESTS {
            self.stop = Some(Stop::Requests);
        }
        if self.stop.is_some() {
            return Err(Unknown::Stopped);
        }
        self.send(probe).await.map_err(|error| {
            let (reason, stop) = consequence(&error);
            self.stop = stop;
            reason
        })
    }

    async fn send(&mut self, Probe { range, page, user_id, unit }: Probe<'_>) -> Result<Page, Error> {
        let deadline = Instant::now() + self.timeout;
        let query = UsageQuery {
            project_id: self.project_id,
            range,
            user_id,
            app_user_id: self.project.app_user_id.as_deref(),
            unit,
            page_size: page.limit,
        };
        self.source.page(&query, page, deadline, &self.source.new_answer(), &mut self.counters).await
    }
}

/// Why a question has no answer after an error, and whether the requests stop.
pub fn consequence(error: &Error) -> (Unknown, Option<Stop>) {
    let stop = match error.reason() {
        Reason::Auth => Stop::Auth,
        Reason::Forbidden => Stop::Forbidden,
        Reason::Throttled => Stop::Throttled,
        Reason::Network => Stop::Network,
        Reason::BadRequest => return (Unknown::Refused, None),
        Reason::Server | Reason::Timeout => return (Unknown::Failed, None),
        Reason::Malformed | Reason::Inconsistent | Reason::Storage | Reason::Internal => {
            return (Unknown::Unreadable, None);
        }
    };
    (Unknown::Stopped, Some(stop))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use std::sync::Arc;

    use chrono::{TimeDelta, Utc};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{
        cloud::Connector,
        config::{ApiSettings, Environment, load_text},
        polling::fleet::clients,
        simulator::{Options, Simulator},
    };

    #[tokio::test]
    async fn no_project_gets_more_requests_than_the_limit() {
        let simulator = Simulator::new(Options { records_requests: true, ..Options::default() });
        let stop = CancellationToken::new();
        let address = simulator.spawn(stop.clone()).await.unwrap();
        let options = simulator.options();
        let text = format!(
            "api: {{requests_per_second: 1000}}\n\
             credentials: {{main: {{access_key: {}, secret_key: {}}}}}\n\
             projects: [{{name: p, endpoint: 'http://{address}', project_id: {}}}]\n",
            options.access_key, options.secret_key, options.projects[0].id
        );
        let environment = Environment::default();
        let config = load_text(text, Path::new("config.yaml"), &environment).await.config.unwrap();
        let settings = ApiSettings { max_retries: 0, ..config.api.clone() };
        let connector = Connector::new(settings, Utc::now, Arc::default()).unwrap();
        let clients = clients(&connector, &config, &environment).unwrap();
        let (project, client) = &clients[0];

        let mut probes = Probes::new(client, project, &options.projects[0].id, config.poll.timeout);
        let end = Utc::now();
        let range = Bounds { start: end - TimeDelta::hours(1), end };
        let mut answers = Vec::new();
        for _ in 0..2 * MAX_REQUESTS {
            answers.push(probes.ask(Probe::whole(range)).await.map(drop));
        }
        // The last request is kept in reserve: see `REQUESTS_PER_PAGE`.
        let sent = usize::try_from(MAX_REQUESTS).unwrap() - 1;
        assert!(answers[..sent].iter().all(Result::is_ok));
        assert!(answers[sent..].iter().all(|answer| *answer == Err(Unknown::Stopped)));
        assert_eq!((simulator.seen().len(), probes.stop()), (sent, Some(Stop::Requests)));
        stop.cancel();
    }
}
