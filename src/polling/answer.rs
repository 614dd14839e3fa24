//! The answers for the windows of a poll, and the checks between them (numbers, "The range").

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::range::RangeUsage;
use crate::{
    cloud::usage_api::Alignment,
    config::Project,
    usage::{Bounds, Budget, Doubt, Doubts, Measure, Window},
};

/// The answer for a window of a poll.
#[derive(Debug)]
pub struct Answer {
    /// The window.
    pub window: Window,
    /// Its nominal bounds at the poll.
    pub bounds: Bounds,
    /// The range that was asked for: the part of the bounds that has passed.
    pub range: Bounds,
    /// Its usage.
    pub usage: RangeUsage,
}

impl Answer {
    /// Minutes of the buckets in a part of the range; `None` if the answer does not tell them apart.
    fn minutes_in(&self, part: Bounds) -> Option<Decimal> {
        let is_whole = part == self.range;
        if part.start < self.range.start || part.end > self.range.end || (!is_whole && self.usage.buckets.len() < 2) {
            return None;
        }
        let minutes = self.usage.buckets.range(part.start..part.end).map(|(_, minutes)| *minutes);
        Some(minutes.fold(Decimal::ZERO, Decimal::saturating_add))
    }
}

/// Whether each range begins and ends where a bucket begins; otherwise, what contradicts.
pub fn misalignment(alignment: &mut Alignment, answers: &[Answer], now: DateTime<Utc>) -> Option<String> {
    let ranges: Vec<_> =
        answers.iter().map(|answer| (answer.range, answer.usage.buckets.keys().copied().collect())).collect();
    alignment.check(&ranges, now)
}

/// The minutes of two answers that contradict each other: of the range that both cover, or of both ranges if one contains
/// the other one and has less.
pub fn contradiction(alignment: &Alignment, earlier: &Answer, later: &Answer) -> Option<(Decimal, Decimal)> {
    if let Some((before, after)) = common_minutes(alignment, earlier, later) {
        return (before != after).then_some((before, after));
    }
    let contains = |whole: Bounds, part: Bounds| whole.start <= part.start && part.end <= whole.end;
    let (before, after) = (earlier.minutes_in(earlier.range)?, later.minutes_in(later.range)?);
    let is_more_than_whole = (contains(earlier.range, later.range) && after > before)
        || (contains(later.range, earlier.range) && before > after);
    is_more_than_whole.then_some((before, after))
}

/// The minutes of two answers in the range that both cover; `None` if the buckets do not tell.
fn common_minutes(alignment: &Alignment, earlier: &Answer, later: &Answer) -> Option<(Decimal, Decimal)> {
    let (part, whole) = if earlier.range.start <= later.range.start {
        (later.range, earlier.range)
    } else {
        (earlier.range, later.range)
    };
    let is_told_apart =
        alignment.has_bucket_start(part.start) && (part.end == whole.end || alignment.has_bucket_start(part.end));
    if !is_told_apart {
        return None;
    }
    Some((earlier.minutes_in(part)?, later.minutes_in(part)?))
}

/// Finds what is configured and has no effect, although there is usage.
pub fn without_effect(project: &Project, answers: &[Answer]) -> Doubts {
    let mut doubts = Doubts::new();
    let types: BTreeSet<&(String, String)> = answers.iter().flat_map(|answer| &answer.usage.types).collect();
    let is_seen = |is_type: &dyn Fn(&(String, String)) -> bool| types.iter().any(|types| is_type(types));
    let resource = project.resource_types.iter().find(|wanted| !is_seen(&|(resource, _)| resource == *wanted));
    let business = project.business_types.iter().find(|wanted| !is_seen(&|(_, business)| business == *wanted));
    if let Some(wanted) = resource.or(business).filter(|_| !types.is_empty()) {
        doubts.insert(Doubt::FilterMatchesNothing, format!("no row has the configured type {wanted:?}"));
    }
    let users: BTreeSet<&String> = answers.iter().flat_map(|answer| &answer.usage.users).collect();
    if let Some(user) = project.user_ids.iter().find(|user| !users.contains(user)).filter(|_| !users.is_empty()) {
        doubts.insert(Doubt::UserMatchesNothing, format!("user {user} has no usage, but other users have"));
    }
    let minutes = || {
        let series = answers.iter().flat_map(|answer| answer.usage.tally.series());
        series.filter(|series| series.measure == Measure::Minutes)
    };
    let is_missed = |budget: &&Budget| !minutes().any(|series| budget.covers(series));
    if let Some(budget) = project.budgets.iter().find(is_missed).filter(|_| minutes().next().is_some()) {
        let selectors = [&budget.resource_type, &budget.business_type, &budget.user_id];
        let selectors: Vec<&str> = selectors.into_iter().flatten().map(String::as_str).collect();
        let seen = format!("the budget of {} for {} selects no row", budget.window, selectors.join(" and "));
        doubts.insert(Doubt::BudgetMatchesNothing, seen);
    }
    doubts
}
