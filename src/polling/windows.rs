//! All windows of one poll, and the checks between them (`docs/numbers.md`, "Range").

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::{
    answer::{WindowAnswer, contradiction, misalignment, without_effect},
    range::{Progress, RangeQuery, RangeUsage, Split, too_many_series},
};
use crate::{
    cloud::{Error, usage_api::PageSource},
    snapshot::WindowUsage,
    usage::{Bounds, Doubt, Doubts, MAX_SERIES, RowCounters, Series, Tally, Window, Zone, timestamp},
};

/// A query for the windows of a project.
#[derive(Debug)]
pub(super) struct WindowsQuery<'a, S> {
    pub query: RangeQuery<'a, S>,
    /// The zone of calendar windows.
    pub timezone: &'a Zone,
}

/// The outcome of a complete poll.
#[derive(Debug, Default)]
pub(super) struct Complete {
    pub windows: Vec<WindowUsage>,
    pub rows: RowCounters,
    pub doubts: Doubts,
    /// With `user_ids: all`, the sub-users that have series of their own; otherwise `None`.
    pub sub_users: Option<BTreeSet<String>>,
}

impl<S: PageSource> WindowsQuery<'_, S> {
    /// Asks for all windows as of `now`, a whole second.
    ///
    /// # Errors
    /// Any [`Error`] of a query. [`Error::Inconsistent`] if two halves of a window have more usage than the window.
    /// [`Error::BeyondBound`] if all windows together have too many series.
    pub async fn ask(&self, now: DateTime<Utc>, progress: &mut Progress) -> Result<Complete, Error> {
        let mut answers = Vec::with_capacity(self.query.project.windows.len());
        for &window in &self.query.project.windows {
            let bounds = window.bounds(now, self.timezone);
            let zone_of_days = (window == Window::ThisMonth).then_some(self.timezone);
            let range = bounds.elapsed(now);
            let usage = self.query.sum(range, zone_of_days, &format!("window {window}"), progress).await?;
            answers.push(WindowAnswer { window, bounds, range, usage });
        }
        let mut doubts = without_effect(self.query.project, &answers);
        let mut misaligned = misalignment(&mut progress.proofs.alignment, &answers, now);
        if misaligned.is_some() && progress.proofs.alignment.is_cut_unknown() {
            let ranges = answers.iter().map(|answer| (answer.range, &answer.usage.buckets));
            self.query.ask_for_cut(ranges, progress).await?;
            misaligned = misalignment(&mut progress.proofs.alignment, &answers, now);
        }
        if !progress.proofs.halves_agree {
            progress.proofs.halves_agree = self.halves_agree(&answers, &mut doubts, progress).await?;
        }
        if let Some(seen) = misaligned {
            doubts.insert(Doubt::Misaligned, seen);
        } else if let Some(seen) = self.disagreement(&answers, progress).await? {
            doubts.insert(Doubt::WindowsDisagree, seen);
        }
        let sub_users = match self.query.split {
            Split::Rest(ids) => Some(ids.iter().cloned().collect()),
            Split::Together | Split::Users(_) => None,
        };
        let mut complete = Complete { doubts, sub_users, ..Complete::default() };
        for WindowAnswer { window, bounds, usage, .. } in answers {
            let RangeUsage { tally, days, rows, doubts, .. } = usage;
            let changes_at = window.changes_at(now, self.timezone);
            complete.windows.push(WindowUsage { window, bounds, changes_at, tally, days });
            complete.rows += rows;
            complete.doubts.extend(doubts);
        }
        let series = complete.windows.iter().flat_map(|window| window.tally.series());
        let count = series.map(Series::series_type).collect::<BTreeSet<_>>().len();
        if count > MAX_SERIES {
            return Err(too_many_series("all windows together"));
        }
        Ok(complete)
    }

    /// Asks for the longest window in two halves, too. A service that silently looks back less far than the window
    /// sends more usage for the halves than for the whole. Returns `false` if later polls must ask again: if the window
    /// has only one day or no usage, because that proves nothing, or if a half is misaligned.
    async fn halves_agree(
        &self,
        answers: &[WindowAnswer],
        doubts: &mut Doubts,
        progress: &mut Progress,
    ) -> Result<bool, Error> {
        let length = |answer: &&WindowAnswer| answer.range.end - answer.range.start;
        let Some(longest) = answers.iter().max_by_key(length) else { return Ok(true) };
        let WindowAnswer { window, range, usage, .. } = longest;
        let middle = Window::Today.bounds(range.start + (range.end - range.start) / 2, self.timezone).start;
        if middle <= range.start || usage.tally.series().next().is_none() {
            return Ok(false);
        }
        let mut together = Tally::default();
        for half in [Bounds { end: middle, ..*range }, Bounds { start: middle, ..*range }] {
            let part = self.query.unsplit().sum(half, None, &format!("half of window {window}"), progress).await?;
            // A bucket that contains the middle is a bucket of the window, too. If types are filtered, the bucket may
            // have only rows that are left out of the window.
            let is_another = |start: &DateTime<Utc>| *start >= range.start && !usage.buckets.contains_key(start);
            if let Some(start) = part.before.filter(is_another).filter(|_| usage.types.is_empty()) {
                let start = timestamp(start);
                let seen =
                    format!("a half of window {window} has a bucket at {start}, but the window has no such bucket");
                doubts.insert(Doubt::Misaligned, seen);
            }
            together.merge(&part.tally)?;
        }
        let whole = match self.query.split {
            Split::Rest(_) => &usage.tally.without_users()?,
            Split::Together | Split::Users(_) => &usage.tally,
        };
        if together.larger_than(whole).is_some() {
            // Usage may have grown meanwhile, so the whole is asked for once more.
            let again = self.query.unsplit().sum(*range, None, &format!("window {window}"), progress).await?;
            if let Some(series) = together.larger_than(&again.tally) {
                let Series { resource_type, business_type, .. } = series;
                let [halves, whole] = [&together, &again.tally].map(|tally| tally.value(series).unwrap_or_default());
                return Err(Error::Inconsistent(format!(
                    "the two halves of window {window} have more {business_type} {resource_type} ({halves}) than the whole \
                     ({whole}): the service seems to look back less far. Use shorter windows"
                )));
            }
        }
        Ok(!doubts.contains_key(&Doubt::Misaligned))
    }

    /// Compares windows that overlap. If the earlier answer has less, its window is asked for once more, because usage
    /// may have grown between the two requests.
    async fn disagreement(&self, answers: &[WindowAnswer], progress: &mut Progress) -> Result<Option<String>, Error> {
        for (index, later) in answers.iter().enumerate() {
            for earlier in answers.iter().take(index) {
                let Some((before, after)) = contradiction(&progress.proofs.alignment, earlier, later) else {
                    continue;
                };
                let &WindowAnswer { window, bounds, range, .. } = earlier;
                if before < after {
                    let usage = self.query.unsplit().sum(range, None, &format!("window {window}"), progress).await?;
                    let again = WindowAnswer { window, bounds, range, usage };
                    let still = contradiction(&progress.proofs.alignment, &again, later);
                    if still.is_none_or(|(again, after)| again > after) {
                        continue;
                    }
                }
                return Ok(Some(format!(
                    "in the range that both cover, window {window} has {before} min and window {} has {after} min",
                    later.window
                )));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
