//! Asks the cloud for the usage of past days.
//!
//! One query asks for up to 31 days. Its buckets are added up to days if no bucket lies in two days, and if separate
//! queries for three random days and for the older half give the same usage. If not, each day has a separate query. The
//! usage is compared because a service may silently cut a long range, or have buckets of another width.
//!
//! If the service refuses a range (HTTP 400, `MSS.00000003`), the halves of the range are asked for, down to single
//! days. A day that is refused is too far back, and so are the days before it.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use chrono::{DateTime, Days, NaiveDate, Utc};
use rust_decimal::Decimal;
use tokio::time::Instant;

use super::range::{Progress, RangeQuery, RangeUsage, Split};
use crate::{
    cloud::{Error, usage_api::PageSource},
    config::Project,
    history::days::Day,
    usage::{Bounds, Doubt, Doubts, Tally, Zone, greatest_common_divisor},
};

/// The time limit of a query with all of its pages. It includes the waits for the throttle, which all projects share.
const TIMEOUT: Duration = Duration::from_secs(600);

/// Maximum number of days in one query.
const MOST_DAYS: usize = 31;

/// Number of random days that are checked by separate queries.
const SAMPLES: usize = 3;

/// The project whose days are asked for.
#[derive(Debug)]
pub struct DaysQuery<'a, S> {
    /// The source of pages: the client of the project.
    pub source: &'a S,
    /// The configuration of the project.
    pub project: &'a Project,
    /// The project's id, configured or looked up.
    pub project_id: &'a str,
    /// The users that have sums of their own.
    pub split: Split<'a>,
    /// Entries per page of an answer, the API's `limit`.
    pub page_size: usize,
    /// The zone of the days.
    pub zone: &'a Zone,
    /// Decides which days are compared.
    pub seed: u64,
}

/// Facts about the service that have been learnt so far.
#[derive(Debug)]
pub struct Learnt {
    /// Counters, and facts that have been proven.
    pub progress: Progress,
    /// Maximum number of days in one query; 1 if buckets cannot be used.
    longest: usize,
    /// Buckets have been compared for ranges of up to this many days.
    compared: usize,
    /// A day before which there is no usage.
    pub nothing_before: Option<NaiveDate>,
}

impl Default for Learnt {
    fn default() -> Self {
        Learnt { progress: Progress::default(), longest: MOST_DAYS, compared: 0, nothing_before: None }
    }
}

/// One result of [`Asking::next`].
#[derive(Debug)]
pub enum Step {
    /// Days that are complete.
    Complete(BTreeMap<NaiveDate, Day>),
    /// The service refuses this day, so this day and all days before it are too far back. This is the last step.
    TooFarBack(NaiveDate),
    /// A query failed, and its days are missing. This is the last step.
    Failed(Error),
}

/// Consecutive days that are being asked for, the newest first.
#[derive(Debug)]
pub struct Asking<'a, 'd, S> {
    query: &'a DaysQuery<'a, S>,
    now: DateTime<Utc>,
    /// The last part is asked for next.
    parts: Vec<&'d [NaiveDate]>,
    /// The days that have had separate queries so far, each with its buckets.
    single: Vec<(NaiveDate, Buckets)>,
    /// The usage of days of `single` that wait until it is known where buckets begin.
    waiting: BTreeMap<NaiveDate, Day>,
    last: Option<Step>,
}

/// The buckets of one query, for the check whether days begin where buckets begin.
type Buckets = BTreeMap<DateTime<Utc>, Decimal>;

/// The usage of a range by day, added up from buckets.
struct ByDay {
    usage: RangeUsage,
    days: BTreeMap<NaiveDate, Tally>,
    /// If the configuration lists users, `days` has only their usage, and this has the usage of all users.
    all_users: Option<BTreeMap<NaiveDate, Tally>>,
    buckets_fit: bool,
}

impl<S: PageSource> DaysQuery<'_, S> {
    /// Prepares to ask for consecutive days that have ended, as of `now`.
    pub fn begin<'d>(&'d self, days: &'d [NaiveDate], now: DateTime<Utc>, learnt: &mut Learnt) -> Asking<'d, 'd, S> {
        learnt.progress.proofs.renew(now);
        Asking { query: self, now, parts: vec![days], single: Vec::new(), waiting: BTreeMap::new(), last: None }
    }

    /// Whether there is usage in the 31 days before a day. If the service refuses the range, there is none.
    ///
    /// # Errors
    /// Any other error of the query.
    pub async fn has_usage_before(&self, day: NaiveDate, learnt: &mut Learnt) -> Result<bool, Error> {
        let first = day - Days::new(MOST_DAYS as u64);
        let range = Bounds { start: self.zone.midnight(first), end: self.zone.midnight(day) };
        let query = self.query().unsplit();
        match query.sum(range, None, &format!("the time before {day}"), &mut learnt.progress).await {
            Ok(usage) => Ok(usage.tally.parts().next().is_some()),
            Err(error) if error.is_range_refused() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// One day by a separate query.
    async fn ask_day(
        &self,
        day: NaiveDate,
        now: DateTime<Utc>,
        progress: &mut Progress,
    ) -> Result<(Day, Buckets), Error> {
        let range = Bounds::of_day(day, self.zone);
        let name = day.to_string();
        let usage = self.query().sum(range, None, &name, progress).await?;
        let all_users = match self.all_users() {
            Some(all) => Some(all.sum(range, None, &name, progress).await?.tally),
            None => None,
        };
        let day = Day::new(now, usage.tally, all_users, usage.doubts);
        Ok((day, usage.buckets))
    }

    /// The days of a range, added up from the buckets of one query; `None` if the buckets cannot be used.
    async fn ask_range(
        &self,
        range: &[NaiveDate],
        now: DateTime<Utc>,
        learnt: &mut Learnt,
    ) -> Result<Option<BTreeMap<NaiveDate, Day>>, Error> {
        let by_day = self.by_day(range, &mut learnt.progress).await?;
        if !by_day.buckets_fit {
            return Ok(None);
        }
        if range.len() > learnt.compared {
            let agrees = match self.split {
                // The usage of all users together proves the buckets of each user, too, and takes fewer queries.
                Split::Rest(_) => {
                    let days = by_day.days.iter();
                    let days = days.map(|(date, tally)| Ok((*date, tally.without_users()?)));
                    let days = days.collect::<Result<_, Error>>()?;
                    let query = DaysQuery { split: Split::Together, ..*self };
                    query.agree(range, &days, &mut learnt.progress).await?
                }
                Split::Together | Split::Users(_) => self.agree(range, &by_day.days, &mut learnt.progress).await?,
            };
            if !agrees {
                return Ok(None);
            }
            learnt.compared = range.len();
        }
        let ByDay { usage, mut days, mut all_users, .. } = by_day;
        let mut day = |date: &NaiveDate| {
            let tally = days.remove(date).unwrap_or_default();
            let all_users = all_users.as_mut().map(|all| all.remove(date).unwrap_or_default());
            let doubts = doubts_of_day(&usage.doubts, &tally);
            (*date, Day::new(now, tally, all_users, doubts))
        };
        Ok(Some(range.iter().map(&mut day).collect()))
    }

    async fn by_day(&self, range: &[NaiveDate], progress: &mut Progress) -> Result<ByDay, Error> {
        let (first, last) = range.first().zip(range.last()).map(|(first, last)| (*first, *last)).unwrap_or_default();
        let bounds = Bounds { start: self.zone.midnight(first), end: Bounds::of_day(last, self.zone).end };
        let name = format!("{first} to {last}");
        let (usage, days) = self.query().sum_days(bounds, self.zone, &name, progress).await?;
        let mut buckets_fit = self.fit(&usage, range);
        let all_users = match self.all_users() {
            Some(all) => {
                let (usage, days) = all.sum_days(bounds, self.zone, &name, progress).await?;
                buckets_fit &= self.fit(&usage, range);
                Some(days)
            }
            None => None,
        };
        Ok(ByDay { usage, days, all_users, buckets_fit })
    }

    /// Whether each bucket lies within one day, as far as the times of the buckets show it.
    fn fit(&self, usage: &RangeUsage, range: &[NaiveDate]) -> bool {
        let is_doubted =
            [Doubt::Misaligned, Doubt::UnreadableTime].iter().any(|doubt| usage.doubts.contains_key(doubt));
        // A bucket that begins with the range may have been cut there.
        let start = range.first().map(|first| self.zone.midnight(*first));
        let inner: BTreeSet<i64> =
            usage.buckets.keys().filter(|bucket| Some(**bucket) != start).map(DateTime::timestamp).collect();
        let Some(first) = inner.first() else { return !is_doubted };
        let day = 24 * 60 * 60;
        let width = inner.iter().fold(day, |width, bucket| greatest_common_divisor(width, bucket - first));
        let midnights = range.iter().map(|date| self.zone.midnight(*date).timestamp());
        !is_doubted && midnights.map(|midnight| midnight - first).all(|distance| distance % width == 0)
    }

    /// Whether separate queries for random days and for the older half of the range give the same usage.
    async fn agree(
        &self,
        range: &[NaiveDate],
        days: &BTreeMap<NaiveDate, Tally>,
        progress: &mut Progress,
    ) -> Result<bool, Error> {
        let tally = |days: &BTreeMap<NaiveDate, Tally>, date: &NaiveDate| days.get(date).cloned().unwrap_or_default();
        let third = range.len().div_ceil(SAMPLES);
        for (index, part) in range.chunks(third).enumerate() {
            let Some(date) = self.pick(part, index) else { continue };
            let (day, _) = self.ask_day(*date, DateTime::UNIX_EPOCH, progress).await?;
            if day.is_misaligned() || day.tally != tally(days, date) {
                return Ok(false);
            }
        }
        let older = range.get(..range.len() / 2).unwrap_or_default();
        let half = self.by_day(older, progress).await?;
        let is_same = |date: &NaiveDate| tally(&half.days, date) == tally(days, date);
        Ok(half.buckets_fit && older.iter().all(is_same))
    }

    /// A random day.
    fn pick<'d>(&self, days: &'d [NaiveDate], index: usize) -> Option<&'d NaiveDate> {
        let mut hasher = DefaultHasher::new();
        (self.seed, index, days).hash(&mut hasher);
        days.get((hasher.finish() % (days.len().max(1) as u64)) as usize)
    }

    /// The query for all users together; `None` if the query for the users of the project already has all usage.
    fn all_users(&self) -> Option<RangeQuery<'_, S>> {
        matches!(self.split, Split::Users(_)).then(|| RangeQuery { split: Split::Together, ..self.query() })
    }

    fn query(&self) -> RangeQuery<'_, S> {
        RangeQuery {
            source: self.source,
            project: self.project,
            split: self.split,
            project_id: self.project_id,
            page_size: self.page_size,
            deadline: Instant::now() + TIMEOUT,
        }
    }
}

impl<'d, S: PageSource> Asking<'_, 'd, S> {
    /// Asks until some days are complete, or until the last step; `None` after the last step.
    pub async fn next(&mut self, learnt: &mut Learnt) -> Option<Step> {
        while let Some(part) = self.parts.pop() {
            if part.len() > learnt.longest {
                self.parts.extend(part.chunks(learnt.longest));
                continue;
            }
            let asked = match part {
                [] => continue,
                [day] => self.ask_day(*day, learnt).await,
                range => self.query.ask_range(range, self.now, learnt).await,
            };
            match asked {
                Ok(Some(days)) if days.is_empty() => {}
                Ok(Some(days)) => return Some(Step::Complete(days)),
                Ok(None) => {
                    learnt.longest = 1;
                    self.parts.push(part);
                }
                Err(error) => self.fail(error, part, learnt),
            }
        }
        match self.release(learnt, true).await {
            Ok(days) if days.is_empty() => self.last.take(),
            Ok(days) => Some(Step::Complete(days)),
            Err(error) => {
                self.last = None;
                Some(Step::Failed(error))
            }
        }
    }

    /// A range that is refused is halved. Any other failure is the last step.
    fn fail(&mut self, error: Error, part: &'d [NaiveDate], learnt: &mut Learnt) {
        let last = match part {
            [day] if error.is_range_refused() => Step::TooFarBack(*day),
            _ if error.is_range_refused() => {
                learnt.longest = part.len().div_ceil(2);
                return self.parts.push(part);
            }
            _ => Step::Failed(error),
        };
        self.parts.clear();
        self.last = Some(last);
    }

    /// Asks for one day, and returns the days that need not wait any more.
    async fn ask_day(
        &mut self,
        day: NaiveDate,
        learnt: &mut Learnt,
    ) -> Result<Option<BTreeMap<NaiveDate, Day>>, Error> {
        let (usage, buckets) = self.query.ask_day(day, self.now, &mut learnt.progress).await?;
        self.single.push((day, buckets));
        self.waiting.insert(day, usage);
        self.release(learnt, false).await.map(Some)
    }

    /// Returns the days that waited. If they do not begin and end where buckets do, they get the doubt
    /// [`Doubt::Misaligned`]. While this is not known, they keep waiting. At the end (`is_end`), they are returned
    /// without the doubt.
    async fn release(&mut self, learnt: &mut Learnt, is_end: bool) -> Result<BTreeMap<NaiveDate, Day>, Error> {
        if self.waiting.is_empty() {
            return Ok(BTreeMap::new());
        }
        let result = self.misalignment(learnt).await;
        let mut days = std::mem::take(&mut self.waiting);
        match result? {
            Some(seen) => days.values_mut().for_each(|day| {
                day.doubts.entry(Doubt::Misaligned).or_insert_with(|| seen.clone());
            }),
            None if is_end || learnt.progress.proofs.alignment.is_known() => {}
            None => std::mem::swap(&mut days, &mut self.waiting),
        }
        Ok(days)
    }

    /// Checks whether days with separate queries begin and end where buckets do. Returns the contradiction, if there is
    /// one.
    async fn misalignment(&self, learnt: &mut Learnt) -> Result<Option<String>, Error> {
        let range = |date: &NaiveDate| Bounds::of_day(*date, self.query.zone);
        let ranges: Vec<_> =
            self.single.iter().map(|(date, buckets)| (range(date), buckets.keys().copied().collect())).collect();
        let progress = &mut learnt.progress;
        let seen = progress.proofs.alignment.check(&ranges, self.now);
        if seen.is_none() || !progress.proofs.alignment.is_cut_unknown() {
            return Ok(seen);
        }
        let answers = self.single.iter().map(|(date, buckets)| (range(date), buckets));
        self.query.query().ask_for_cut(answers, progress).await?;
        Ok(progress.proofs.alignment.check(&ranges, self.now))
    }
}

/// The doubts of a range that concern a day.
fn doubts_of_day(doubts: &Doubts, tally: &Tally) -> Doubts {
    let concerns = |doubt: &Doubt| match doubt {
        Doubt::ValueMissing => tally.incomplete().next().is_some(),
        _ => tally.parts().next().is_some(),
    };
    doubts.iter().filter(|(doubt, _)| concerns(doubt)).map(|(doubt, seen)| (*doubt, seen.clone())).collect()
}

#[cfg(test)]
mod tests;
