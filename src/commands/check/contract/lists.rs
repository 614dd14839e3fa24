//! Questions about the lists of packages, sub-users, live sessions and videos (contract, 12 to 15), and of an account's
//! packages (contract, 17). Each list costs two requests. A question about a filter costs one more.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use tokio::time::Instant;

use super::{
    findings::{Cap, ListCount, MinutesPackage, OffsetStart, Presence, Seen, StateEffect, Stop, Unknown},
    probes::consequence,
    report::{AccountFindings, ListFindings},
};
use crate::{
    cloud::{
        Call, Client, Error,
        billing_api::{ListedPackage, PackagesQuery},
        jobs_api,
        lists::{Entry, ListPage, PagedList},
        quotas_api, resources_api,
    },
    config::Account,
    usage::{ChargingMode, Counters, JobState, LiveSession, Package, Reason, SubUser, Unit},
};

/// The state by which sessions and videos are filtered.
const STATE: (&str, &str) = ("state", "PROCESSING");

/// The ends of the codes of packages of 60 minutes (contract, 12).
const MINUTES_PACKAGES: [&str; 2] = [".videopacket", ".duration60"];

/// Asks for lists until an error shows that further requests are useless.
pub struct ListProbes<'a> {
    client: &'a Client,
    /// The id of the project, or of the account.
    id: &'a str,
    /// Time limit of one request, with the wait for its turn.
    timeout: Duration,
    pub counters: Counters,
    pub stop: Option<Stop>,
}

/// The first page of a list, and the one at [`OFFSET`].
struct TwoPages<T> {
    first: ListPage<T>,
    second: Result<ListPage<T>, Unknown>,
}

/// The offset of the second page. Each way to read this offset gives a page that begins with another entry.
const OFFSET: usize = 2;

/// The length of a list is rounded down to one of these numbers of entries.
const SIZES: [usize; 8] = [5, 10, 20, 50, 100, 200, 500, 1_000];

impl<'a> ListProbes<'a> {
    /// `stop` tells why the requests for the usage of the project have stopped, if they have.
    pub fn new(client: &'a Client, id: &'a str, timeout: Duration, stop: Option<Stop>) -> Self {
        ListProbes { client, id, timeout, counters: Counters::default(), stop }
    }

    /// Asks all questions about a project.
    pub async fn ask_all(&mut self, now: DateTime<Utc>) -> ListFindings {
        let mut findings = ListFindings::default();
        self.ask_packages(now, &mut findings).await;
        self.ask_users(&mut findings).await;
        self.ask_sessions(&mut findings).await;
        self.ask_videos(&mut findings).await;
        findings
    }

    /// Asks all questions about an account.
    pub async fn ask_account(&mut self) -> AccountFindings {
        let query = PackagesQuery { account_id: self.id, enterprise_project: None };
        let list = self.list(&query).await;
        let has = |is: &dyn Fn(&ListedPackage) -> bool| seen(&list, is).into();
        AccountFindings {
            count: count(&list).into(),
            limit: cap(&list).into(),
            offset: offset_start(&list).into(),
            used_up: has(&ListedPackage::is_used_up),
            ended: has(&ListedPackage::has_ended),
            of_metastudio: has(&|package| Account::is_of_metastudio(&package.service_type_code)),
        }
    }

    async fn ask_packages(&mut self, now: DateTime<Utc>, findings: &mut ListFindings) {
        let list = self.list(&resources_api::packages(self.id)).await;
        let has = |is: &dyn Fn(&Package) -> bool| seen(&list, is).into();
        findings.packages_count = count(&list).into();
        findings.packages_limit = cap(&list).into();
        findings.packages_offset = offset_start(&list).into();
        findings.packages_ended = has(&|package| package.expiry.is_some_and(|expiry| expiry <= now));
        findings.packages_used_up = has(&|package| package.left() == Some(Decimal::ZERO));
        findings.packages_overrun = has(&|package| package.left().is_some_and(|left| left < Decimal::ZERO));
        findings.packages_endless = has(&|package| package.expiry.is_none() && package.bought.is_some());
        findings.packages_of_60_minutes = minutes_package(&list).into();
    }

    async fn ask_users(&mut self, findings: &mut ListFindings) {
        let list = self.list(&quotas_api::sub_users(self.id)).await;
        findings.users_count = count(&list).into();
        findings.users_limit = cap(&list).into();
        findings.users_offset = offset_start(&list).into();
        let has_use = |user: &SubUser| user.quotas.values().any(|quota| quota.used.is_some());
        findings.users_usage = presence(&list, |_| true, has_use).into();
    }

    async fn ask_sessions(&mut self, findings: &mut ListFindings) {
        let list = self.list(&jobs_api::sessions(self.id, &[])).await;
        findings.sessions_count = count(&list).into();
        findings.sessions_limit = cap(&list).into();
        findings.sessions_offset = offset_start(&list).into();
        let runs = |session: &LiveSession| session.state == JobState::Processing;
        let is_known = |session: &LiveSession| session.charging_mode != ChargingMode::Unknown;
        findings.sessions_source = presence(&list, runs, is_known).into();
        let running = match &list {
            Ok(_) => self.page(&jobs_api::sessions(self.id, &[STATE]), 0).await,
            Err(reason) => Err(*reason),
        };
        findings.sessions_state = state_effect(&list, running, |session| session.state).into();
    }

    async fn ask_videos(&mut self, findings: &mut ListFindings) {
        let list = self.list(&jobs_api::videos(self.id, &[])).await;
        findings.videos_count = count(&list).into();
        findings.videos_limit = cap(&list).into();
        findings.videos_offset = offset_start(&list).into();
        let running = match &list {
            Ok(_) => self.page(&jobs_api::videos(self.id, &[STATE]), 0).await,
            Err(reason) => Err(*reason),
        };
        findings.videos_state = state_effect(&list, running, |video| video.state).into();
    }

    async fn list<P: PagedList>(&mut self, query: &P) -> Result<TwoPages<P::Entry>, Unknown> {
        let first = self.page(query, 0).await?;
        let second =
            if first.entries.len() > OFFSET { self.page(query, OFFSET).await } else { Err(Unknown::TooFewEntries) };
        Ok(TwoPages { first, second })
    }

    /// Asks for one page. After HTTP 403 or 404 the requests go on, because the service may still answer other
    /// operations.
    async fn page<P: PagedList>(&mut self, query: &P, offset: usize) -> Result<ListPage<P::Entry>, Unknown> {
        if self.stop.is_some() {
            return Err(Unknown::Stopped);
        }
        let (memory, deadline) = (self.client.new_answer(), Instant::now() + self.timeout);
        let mut call = Call { client: self.client, deadline, counters: &mut self.counters };
        let answer = query.page(&mut call, offset, &memory).await;
        answer.map_err(|error| match &error {
            Error::Refused(refusal) if refusal.reason() == Reason::Forbidden => Unknown::NotAllowed,
            Error::Refused(refusal) if refusal.status == 404 => Unknown::NotThere,
            _ => {
                let (reason, stop) = consequence(&error);
                self.stop = stop;
                reason
            }
        })
    }
}

/// What `count` counts. The second page has fewer entries of the same list: a `count` of all entries is the same on
/// both pages, and a `count` of the page is lower on the second one.
fn count<T: Entry>(list: &Result<TwoPages<T>, Unknown>) -> Result<ListCount, Unknown> {
    let TwoPages { first, second } = list.as_ref().map_err(|reason| *reason)?;
    let Some(count) = first.count else { return Ok(ListCount::Absent) };
    let second = second.as_ref().map_err(|reason| *reason)?;
    let length = |page: &ListPage<T>| i64::try_from(page.entries.len()).unwrap_or_default();
    match second.count {
        Some(again) if again == count && count >= length(first) => Ok(ListCount::Entries),
        Some(again) if (count, again) == (length(first), length(second)) => Ok(ListCount::EntriesOfPage),
        _ => Ok(ListCount::Other),
    }
}

/// The largest limit that has an effect. If the first page is not full, but `count` or the second page shows more
/// entries, the service has lowered the limit.
fn cap<T: Entry>(list: &Result<TwoPages<T>, Unknown>) -> Result<Cap, Unknown> {
    let TwoPages { first, second } = list.as_ref().map_err(|reason| *reason)?;
    let length = first.entries.len();
    let is_counted = count(list) == Ok(ListCount::Entries) && first.count > i64::try_from(length).ok();
    let is_new = |entry: &T| first.entries.iter().all(|known| known.key() != entry.key());
    let comes_later = second.as_ref().is_ok_and(|second| second.entries.iter().any(is_new));
    if length < T::LIMIT && (is_counted || comes_later) {
        return Ok(Cap::LoweredTo(length));
    }
    let size = SIZES.into_iter().filter(|size| *size <= length).max();
    size.map(Cap::AtLeast).ok_or(Unknown::TooFewEntries)
}

/// The number of the first entry. The entry with which the second page begins shows it.
fn offset_start<T: Entry>(list: &Result<TwoPages<T>, Unknown>) -> Result<OffsetStart, Unknown> {
    let TwoPages { first, second } = list.as_ref().map_err(|reason| *reason)?;
    let second = second.as_ref().map_err(|reason| *reason)?;
    let Some(entry) = second.entries.first() else { return Ok(OffsetStart::Pages) };
    match first.entries.iter().position(|known| known.key() == entry.key()) {
        Some(0) => Ok(OffsetStart::Ignored),
        Some(1) => Ok(OffsetStart::One),
        Some(OFFSET) => Ok(OffsetStart::Zero),
        Some(_) => Err(Unknown::Unexplained),
        None => Ok(OffsetStart::Pages),
    }
}

fn seen<T>(list: &Result<TwoPages<T>, Unknown>, is: &dyn Fn(&T) -> bool) -> Result<Seen, Unknown> {
    let list = list.as_ref().map_err(|reason| *reason)?;
    Ok(if list.first.entries.iter().any(is) { Seen::Seen } else { Seen::NotSeen })
}

/// Whether all, some or none of the entries that `of` selects fulfil `has`.
fn presence<T>(
    list: &Result<TwoPages<T>, Unknown>,
    of: impl Fn(&T) -> bool,
    has: impl Fn(&T) -> bool,
) -> Result<Presence, Unknown> {
    let list = list.as_ref().map_err(|reason| *reason)?;
    let (with, without): (Vec<&T>, Vec<&T>) =
        list.first.entries.iter().filter(|entry| of(entry)).partition(|entry| has(entry));
    Presence::of(!with.is_empty(), !without.is_empty()).ok_or(Unknown::NoSuchEntry)
}

/// The unit in which the service gives the amount of a package whose code says 60 minutes.
fn minutes_package(list: &Result<TwoPages<Package>, Unknown>) -> Result<MinutesPackage, Unknown> {
    let list = list.as_ref().map_err(|reason| *reason)?;
    let is_of_60 = |package: &&Package| MINUTES_PACKAGES.iter().any(|end| package.kind.resource_type.ends_with(end));
    let package = list.first.entries.iter().find(is_of_60).ok_or(Unknown::NoSuchEntry)?;
    Ok(match &package.kind.unit {
        Unit::Minutes | Unit::Hours => MinutesPackage::Minutes,
        Unit::Other(unit) if unit == "NUM" => MinutesPackage::Packages,
        Unit::Other(_) => MinutesPackage::Other,
    })
}

/// What the parameter `state` does. A list without entries of other states tells nothing.
fn state_effect<T>(
    list: &Result<TwoPages<T>, Unknown>,
    filtered: Result<ListPage<T>, Unknown>,
    state: impl Fn(&T) -> JobState,
) -> Result<StateEffect, Unknown> {
    let is_other = |entry: &T| state(entry) != JobState::Processing;
    let list = list.as_ref().map_err(|reason| *reason)?;
    if !list.first.entries.iter().any(is_other) {
        return Err(Unknown::NoSuchEntry);
    }
    let has_other = filtered?.entries.iter().any(is_other);
    Ok(if has_other { StateEffect::Nothing } else { StateEffect::Filters })
}
