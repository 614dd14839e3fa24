//! The part of the page about one account.

use super::{card::PastTime, clock::LocalClock, package::ShownPackages, texts::Texts};
use crate::{
    snapshot::{Failure, Moment, ProjectStatus},
    usage::Collector,
};

/// An account with its packages.
pub(super) struct AccountCard<'a> {
    pub name: &'a str,
    /// The endpoint of the billing service.
    pub endpoint: &'a str,
    pub failure: Option<&'a Failure>,
    pub last_run: Option<PastTime>,
    pub packages: ShownPackages,
}

impl<'a> AccountCard<'a> {
    pub fn new(account: &'a ProjectStatus, texts: &Texts, now: Moment) -> Self {
        let clock = LocalClock { zone: &account.target.timezone, now: now.utc };
        let last = account.collectors.get(&Collector::Billing).and_then(|status| status.last.as_ref());
        AccountCard {
            name: &account.target.account,
            endpoint: &account.target.endpoint,
            failure: last.and_then(|last| last.failure.as_ref()),
            last_run: last.map(|last| PastTime { at: clock.time(last.at), ago: texts.ago(now.utc - last.at) }),
            packages: ShownPackages::of(account, &clock, texts, now),
        }
    }
}
