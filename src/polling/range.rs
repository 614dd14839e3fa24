//! The usage of a project in one range of time: all queries for the range, summed in one tally.
//!
//! The range may be a window of a poll or a past day: nothing here reads the current time.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use rust_decimal::Decimal;
use tokio::time::Instant;

use super::proofs::Proofs;
use crate::{
    cloud::{
        Error, UsageQuery,
        usage_api::{self, InRange, PageSource},
    },
    config::{Project, Users},
    usage::{
        Bounds, Counters, DaySums, Days, Doubt, Doubts, MAX_SERIES, Overflow, Row, RowCounters, Tally, Zone, timestamp,
    },
};

/// Counters and current query of a running poll. They stay available when the poll fails or times out.
#[derive(Debug, Default)]
pub struct Progress {
    /// Requests so far.
    pub counters: Counters,
    /// The current query, for the error message.
    pub query: String,
    /// Facts about the service that have been proven so far.
    pub proofs: Proofs,
}

/// How the usage in a range is split by user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split<'a> {
    /// One query for all users together.
    Together,
    /// One query for each of these users. The usage of other users is left out.
    Users(&'a [String]),
    /// One query for each of these users, and the usage that they do not account for. All users are asked for before
    /// and after them.
    Rest(&'a [String]),
}

impl<'a> Split<'a> {
    /// The split of a project. `sub_users` is the list for `user_ids: all`.
    pub fn of(users: &'a Users, sub_users: &'a [String]) -> Self {
        match users {
            Users::Listed(ids) if ids.is_empty() => Split::Together,
            Users::Listed(ids) => Split::Users(ids),
            Users::All(_) => Split::Rest(sub_users),
        }
    }

    fn users(self) -> &'a [String] {
        match self {
            Split::Together => &[],
            Split::Users(ids) | Split::Rest(ids) => ids,
        }
    }

    /// Whether the usage of the users must be compared with the usage of all users. `has_usage`: the range has usage.
    /// `is_proven`: `user_id` is known to have an effect.
    fn must_prove(self, has_usage: bool, is_proven: bool) -> bool {
        match self {
            Split::Together => false,
            Split::Users(_) => !is_proven,
            // The rest is right only if the usage of the users is a part of the usage of all users. So each range with
            // usage is compared.
            Split::Rest(ids) => has_usage && !ids.is_empty(),
        }
    }

    /// The queries in their order. `None` is for all users.
    fn queries(self) -> Vec<Option<&'a str>> {
        let all = (!matches!(self, Split::Users(_))).then_some(None);
        all.into_iter().chain(self.users().iter().map(|id| Some(id.as_str()))).collect()
    }
}

/// The project whose usage is asked for. The source of pages is its client, from [`super::fleet::clients`]. Its id
/// comes from [`crate::cloud::project_api::project_id`].
#[derive(Debug)]
pub struct RangeQuery<'a, S> {
    /// The source of pages: the client of the project.
    pub source: &'a S,
    /// The configuration of the project: its types and the third-party user.
    pub project: &'a Project,
    /// The users that have sums of their own.
    pub split: Split<'a>,
    /// The project's id, configured or looked up.
    pub project_id: &'a str,
    /// Entries per page of an answer, the API's `limit`.
    pub page_size: usize,
    /// Deadline for all requests together.
    pub deadline: Instant,
}

/// The complete usage of a range.
#[derive(Debug, Default)]
pub struct RangeUsage {
    /// The sums.
    pub tally: Tally,
    /// Minutes of each day, if days were requested and the answer distinguishes them.
    pub days: Option<Days>,
    /// Rows in the sums, and rows that are left out.
    pub rows: RowCounters,
    /// Anything that the operator should check.
    pub doubts: Doubts,
    /// Minutes by the start of the bucket. Rows without a readable time are left out.
    pub buckets: BTreeMap<DateTime<Utc>, Decimal>,
    /// The start of a bucket that begins before the range and contains its start. The bucket is left out.
    pub before: Option<DateTime<Utc>>,
    /// Resource type and business type of all rows; empty unless the configuration filters types.
    pub types: BTreeSet<(String, String)>,
    /// The configured users that have rows.
    pub users: BTreeSet<String>,
}

/// Takes a row, with the start of its bucket and the user.
type EachRow<'a> = dyn FnMut(Option<DateTime<Utc>>, &Row, Option<&str>) -> Result<(), Overflow> + Send + 'a;

impl<S: PageSource> RangeQuery<'_, S> {
    /// The same query, but with all users together in place of [`Split::Rest`]. Checks of the service need no sums of
    /// single users. If the configuration lists users, the query still asks for these users.
    pub fn unsplit(&self) -> Self {
        let split = if let Split::Rest(_) = self.split { Split::Together } else { self.split };
        RangeQuery { split, ..*self }
    }

    /// Asks for the usage in `range`: one query for each user, or one for all users. With a zone, the minutes of each
    /// local day are summed, too. Error messages begin with `name`.
    ///
    /// With [`Split::Rest`], the series without a user have the usage that no user accounts for. They may be too small,
    /// because all users are asked for first, and usage may grow before the single users are asked for. Without such
    /// growth they are exact. Everything else, such as the buckets, counts all users.
    ///
    /// # Errors
    /// Any [`Error`] of a query, because a sum that lacks an answer is too small. [`Error::Malformed`] if a sum exceeds
    /// the range of decimal arithmetic. [`Error::Inconsistent`] if `user_ids` have no effect. [`Error::BeyondBound`] if
    /// there are too many series.
    pub async fn sum(
        &self,
        range: Bounds,
        zone: Option<&Zone>,
        name: &str,
        progress: &mut Progress,
    ) -> Result<RangeUsage, Error> {
        self.sum_each(range, zone, name, progress, &mut |_, _, _| Ok(())).await
    }

    /// Like [`Self::sum`], and adds each row to the tally of the local day in which its bucket begins. A row without a
    /// readable time is in no day.
    ///
    /// # Errors
    /// As [`Self::sum`].
    pub async fn sum_days(
        &self,
        range: Bounds,
        zone: &Zone,
        name: &str,
        progress: &mut Progress,
    ) -> Result<(RangeUsage, BTreeMap<NaiveDate, Tally>), Error> {
        let mut days: BTreeMap<NaiveDate, Tally> = BTreeMap::new();
        let mut add = |start: Option<DateTime<Utc>>, row: &Row, user_id: Option<&str>| match start {
            Some(start) => days.entry(zone.local(start).date_naive()).or_default().add(row, user_id),
            None => Ok(()),
        };
        let usage = self.sum_each(range, None, name, progress, &mut add).await?;
        if let Split::Rest(_) = self.split {
            days.values_mut().try_for_each(Tally::leave_rest)?;
        }
        Ok((usage, days))
    }

    /// Sums the range, and calls `each` for each row in the sums, with the start of its bucket and the user.
    async fn sum_each(
        &self,
        range: Bounds,
        zone: Option<&Zone>,
        name: &str,
        progress: &mut Progress,
        each: &mut EachRow<'_>,
    ) -> Result<RangeUsage, Error> {
        let mut usage = RangeUsage::default();
        let mut days = zone.map(|zone| DaySums::new(range, zone.clone()));
        let has_filter = !self.project.resource_types.is_empty() || !self.project.business_types.is_empty();
        // The usage of the users together, unfiltered and without their ids.
        let mut together = Tally::default();
        let queries = self.split.queries();
        for &user_id in &queries {
            // With `Split::Rest`, the answer for all users already has these rows.
            let is_part = matches!(self.split, Split::Rest(_)) && user_id.is_some();
            if is_part && usage.tally.parts().next().is_none() {
                break;
            }
            let mut answer = self.fetch(range, user_id, name, progress).await?;
            usage.note(std::mem::take(&mut answer.doubts));
            if !is_part {
                usage.add_answer(&answer, user_id);
            }
            for (start, row) in &answer.rows {
                if user_id.is_some() {
                    together.add(row, None)?;
                }
                usage.note_negative(row, name);
                let is_kept = keeps(self.project, row);
                if is_kept {
                    usage.tally.add(row, user_id)?;
                    each(*start, row, user_id)?;
                    if usage.tally.has_too_many_series(queries.len()) {
                        return Err(too_many_series(name));
                    }
                }
                if !is_part {
                    usage.add_row(*start, row, is_kept, has_filter)?;
                    days.iter_mut().filter(|_| is_kept).for_each(|days| days.add(*start, row));
                }
            }
        }
        let has_parts = usage.tally.parts().next().is_some();
        let must_prove = self.split.must_prove(has_parts, progress.proofs.users_have_effect);
        if let Split::Rest(_) = self.split {
            usage.tally.leave_rest()?;
        }
        usage.note(missing_value(&usage.tally, name).map(|seen| (Doubt::ValueMissing, seen)));
        if must_prove {
            self.prove_users(range, name, &together, &mut usage, progress).await?;
        }
        usage.days = days.and_then(DaySums::finish);
        Ok(usage)
    }

    /// Asks for a part of one of these ranges. The part begins one second after the start of a bucket with usage. If
    /// the service cuts the bucket there, the usage of any range is exact. Each range comes with the minutes of its
    /// buckets.
    ///
    /// # Errors
    /// As [`Self::sum`].
    pub async fn ask_for_cut(
        &self,
        ranges: impl Iterator<Item = (Bounds, &BTreeMap<DateTime<Utc>, Decimal>)>,
        progress: &mut Progress,
    ) -> Result<(), Error> {
        let second = TimeDelta::seconds(1);
        let parts = ranges.flat_map(|(range, buckets)| {
            let starts = buckets.iter().filter(|(_, minutes)| !minutes.is_zero()).map(|(start, _)| *start);
            starts.map(move |start| Bounds { start: start + second, end: range.end })
        });
        let longest = parts.filter(|part| part.start < part.end).max_by_key(|part| part.end - part.start);
        let Some(part) = longest else { return Ok(()) };
        let usage = self.unsplit().sum(part, None, "part of a window", progress).await?;
        progress.proofs.alignment.note_cut(part.start, &usage.buckets);
        Ok(())
    }

    async fn fetch(
        &self,
        range: Bounds,
        user_id: Option<&str>,
        name: &str,
        progress: &mut Progress,
    ) -> Result<InRange, Error> {
        let of_user = user_id.map_or_else(String::new, |id| format!(" of user {id}"));
        progress.query = format!("{name} ({} to {}){of_user}", timestamp(range.start), timestamp(range.end));
        let query = UsageQuery {
            project_id: self.project_id,
            range,
            user_id,
            app_user_id: self.project.app_user_id.as_deref(),
            unit: None,
            page_size: self.page_size,
        };
        let (service, counters) = (&mut progress.proofs.service, &mut progress.counters);
        usage_api::fetch(self.source, &query, service, self.deadline, counters).await
    }

    /// Asks for all users, and compares their usage with the sum of the users (`together`). All users have at least as
    /// much, unless the service ignores `user_id`, as it does without sub-account isolation (contract, 1.2).
    async fn prove_users(
        &self,
        range: Bounds,
        name: &str,
        together: &Tally,
        usage: &mut RangeUsage,
        progress: &mut Progress,
    ) -> Result<(), Error> {
        let all = self.unfiltered(range, None, name, progress).await?;
        if together.larger_than(&all).is_some() {
            return Err(Error::Inconsistent(
                "the users of user_ids together have more usage than all users: the service ignores user_id. Turn on \
                 sub-account isolation, or remove user_ids"
                    .to_owned(),
            ));
        }
        if progress.proofs.users_have_effect {
            return Ok(());
        }
        let has_usage = all.series().next().is_some();
        progress.proofs.users_have_effect = match self.split.users() {
            [only] if has_usage => {
                // All users may have more only because usage has grown since the user was asked for. So the user is
                // asked for again.
                let has_less = all.larger_than(together).is_some()
                    && all.larger_than(&self.unfiltered(range, Some(only), name, progress).await?).is_some();
                if !has_less {
                    // Either this is the only user with usage, or the service ignores `user_id`.
                    let seen = format!("user {only} has the same usage as all users");
                    usage.doubts.insert(Doubt::UserWithoutEffect, seen);
                }
                has_less
            }
            _ => has_usage,
        };
        Ok(())
    }

    /// The sums of all rows of an answer, unfiltered and in series without a user.
    async fn unfiltered(
        &self,
        range: Bounds,
        user_id: Option<&str>,
        name: &str,
        progress: &mut Progress,
    ) -> Result<Tally, Error> {
        let answer = self.fetch(range, user_id, name, progress).await?;
        let mut sums = Tally::default();
        answer.rows.iter().try_for_each(|(_, row)| sums.add(row, None))?;
        Ok(sums)
    }
}

impl RangeUsage {
    /// Adds the counters of an answer, the start of the bucket before its range, and the user if there are rows. No
    /// earlier answer may have these rows, because a row must count once.
    fn add_answer(&mut self, answer: &InRange, user_id: Option<&str>) {
        self.rows += answer.counters;
        self.before = self.before.or(answer.before);
        self.users.extend(user_id.filter(|_| !answer.rows.is_empty()).map(str::to_owned));
    }

    /// Counts a row of such an answer. If the row is kept, adds it to its bucket. With a filter, notes the types of the
    /// row.
    fn add_row(
        &mut self,
        start: Option<DateTime<Utc>>,
        row: &Row,
        is_kept: bool,
        has_filter: bool,
    ) -> Result<(), Overflow> {
        if has_filter {
            self.types.insert((row.key.resource_type.clone(), row.key.business_type.clone()));
        }
        self.rows.filtered += u64::from(!is_kept);
        self.rows.kept += u64::from(is_kept);
        if is_kept { self.add_to_bucket(start, row) } else { Ok(()) }
    }

    fn add_to_bucket(&mut self, start: Option<DateTime<Utc>>, row: &Row) -> Result<(), Overflow> {
        let Some(start) = start else { return Ok(()) };
        let minutes = row.minutes().transpose()?.unwrap_or_default();
        let sum = self.buckets.entry(start).or_default();
        *sum = sum.checked_add(minutes).ok_or(Overflow)?;
        Ok(())
    }

    fn note_negative(&mut self, row: &Row, name: &str) {
        if is_negative(row) {
            let seen = || format!("{name} has a negative row of {}", row.key.business_type);
            self.doubts.entry(Doubt::Negative).or_insert_with(seen);
        }
    }

    fn note(&mut self, doubts: impl IntoIterator<Item = (Doubt, String)>) {
        for (doubt, seen) in doubts {
            self.doubts.entry(doubt).or_insert(seen);
        }
    }
}

/// The error for more types of series than are exported. A range fails as soon as it exceeds the bound, so that memory stays
/// bounded.
pub(super) fn too_many_series(name: &str) -> Error {
    Error::BeyondBound(format!(
        "more than {MAX_SERIES} types of series in {name}: keep fewer with resource_types or business_types"
    ))
}

/// A message about the first series that lacks a value or a unit.
fn missing_value(tally: &Tally, name: &str) -> Option<String> {
    let series = tally.incomplete().next()?;
    let missing = if series.measure.lacks_unit() { "unit" } else { "value" };
    Some(format!("{name} has a row of {} {} without a {missing}", series.business_type, series.resource_type))
}

fn is_negative(row: &Row) -> bool {
    row.usage.is_some_and(|usage| usage < Decimal::ZERO) || row.number.is_some_and(i64::is_negative)
}

/// Whether the configuration includes the types of a row.
fn keeps(project: &Project, row: &Row) -> bool {
    let has = |list: &[String], value: &String| list.is_empty() || list.contains(value);
    has(&project.resource_types, &row.key.resource_type) && has(&project.business_types, &row.key.business_type)
}
