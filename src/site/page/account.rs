//! The part of the page about one account.

use super::{card::PastTime, clock::LocalClock, package::ShownPackages, state::ProjectState, texts::Texts};
use crate::{
    snapshot::{Failure, Moment, ProjectStatus},
    usage::{Collector, CollectorDoubt},
};

/// An account with its packages.
pub(super) struct AccountCard<'a> {
    pub name: &'a str,
    /// The endpoint of the billing service.
    pub endpoint: &'a str,
    pub failure: Option<&'a Failure>,
    /// Each with what was seen.
    pub doubts: Vec<(Collector, CollectorDoubt, &'a str)>,
    /// Failing, doubtful or OK.
    pub state: ProjectState,
    pub last_run: Option<PastTime>,
    pub packages: ShownPackages,
}

impl<'a> AccountCard<'a> {
    pub fn state_text(&self, texts: &Texts) -> &'static str {
        texts.state(self.state)
    }

    pub fn new(account: &'a ProjectStatus, texts: &Texts, now: Moment) -> Self {
        let clock = LocalClock { zone: &account.target.timezone, now: now.utc };
        let last = account.collectors.get(&Collector::Billing).and_then(|status| status.last.as_ref());
        let failure = last.and_then(|last| last.failure.as_ref());
        let doubts: Vec<_> = account.collector_doubts_at(now).collect();
        AccountCard {
            state: match failure {
                Some(_) => ProjectState::Failing,
                None if doubts.is_empty() => ProjectState::Ok,
                None => ProjectState::Doubtful,
            },
            name: &account.target.account,
            endpoint: &account.target.endpoint,
            failure,
            doubts,
            last_run: last.map(|last| PastTime { at: clock.time(last.at), ago: texts.ago(now.utc - last.at) }),
            packages: ShownPackages::of(account, &clock, texts, now),
        }
    }
}
