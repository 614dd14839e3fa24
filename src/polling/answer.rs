//! The answers for the windows of a poll, and the checks between them (`docs/numbers.md`, "Range").

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
pub struct WindowAnswer {
    /// The window.
    pub window: Window,
    /// Its nominal bounds at the poll.
    pub bounds: Bounds,
    /// The range that was asked for: the part of the bounds that has passed.
    pub range: Bounds,
    /// Its usage.
    pub usage: RangeUsage,
}

impl WindowAnswer {
    /// Minutes of the buckets in `part`, which must not begin before the range. `None` if the answer does not
    /// distinguish the buckets of the part from others, or if the part ends after the range.
    fn minutes_in(&self, part: Bounds) -> Option<Decimal> {
        let is_whole = part == self.range;
        if part.end > self.range.end || (!is_whole && self.usage.buckets.len() < 2) {
            return None;
        }
        let minutes = self.usage.buckets.range(part.start..part.end).map(|(_, minutes)| *minutes);
        Some(minutes.fold(Decimal::ZERO, Decimal::saturating_add))
    }
}

/// Checks whether each range begins and ends where a bucket begins. Returns the contradiction, if there is one.
pub fn misalignment(alignment: &mut Alignment, answers: &[WindowAnswer], now: DateTime<Utc>) -> Option<String> {
    let ranges: Vec<_> =
        answers.iter().map(|answer| (answer.range, answer.usage.buckets.keys().copied().collect())).collect();
    alignment.check(&ranges, now)
}

/// The minutes of two answers, if they contradict each other. The range that both cover must have the same minutes in
/// both. If the buckets do not distinguish this range, a range must have at least the minutes of a range that it
/// contains.
pub fn contradiction(
    alignment: &Alignment,
    earlier: &WindowAnswer,
    later: &WindowAnswer,
) -> Option<(Decimal, Decimal)> {
    if let Some((before, after)) = common_minutes(alignment, earlier, later) {
        return (before != after).then_some((before, after));
    }
    let contains = |whole: Bounds, part: Bounds| whole.start <= part.start && part.end <= whole.end;
    let (before, after) = (earlier.minutes_in(earlier.range)?, later.minutes_in(later.range)?);
    let is_more_than_whole = (contains(earlier.range, later.range) && after > before)
        || (contains(later.range, earlier.range) && before > after);
    is_more_than_whole.then_some((before, after))
}

/// The minutes of two answers in the range that both cover; `None` if the buckets do not distinguish this range.
fn common_minutes(alignment: &Alignment, earlier: &WindowAnswer, later: &WindowAnswer) -> Option<(Decimal, Decimal)> {
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

/// Finds configured types, users and budgets that match nothing, although there is usage.
pub fn without_effect(project: &Project, answers: &[WindowAnswer]) -> Doubts {
    let mut doubts = Doubts::new();
    let types: BTreeSet<&(String, String)> = answers.iter().flat_map(|answer| &answer.usage.types).collect();
    let is_seen = |is_type: &dyn Fn(&(String, String)) -> bool| types.iter().any(|types| is_type(types));
    let resource = project.resource_types.iter().find(|wanted| !is_seen(&|(resource, _)| resource == *wanted));
    let business = project.business_types.iter().find(|wanted| !is_seen(&|(_, business)| business == *wanted));
    if let Some(wanted) = resource.or(business).filter(|_| !types.is_empty()) {
        doubts.insert(Doubt::FilterMatchesNothing, format!("no row has the configured type {wanted:?}"));
    }
    let users: BTreeSet<&String> = answers.iter().flat_map(|answer| &answer.usage.users).collect();
    if let Some(user) =
        project.user_ids.listed().iter().find(|user| !users.contains(user)).filter(|_| !users.is_empty())
    {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// An instant of November 2025, such as `10` or `10T15`.
    fn at(text: &str) -> DateTime<Utc> {
        let (day, hour) = text.split_once('T').unwrap_or((text, "00"));
        DateTime::parse_from_rfc3339(&format!("2025-11-{day:0>2}T{hour}:00:00Z")).unwrap().to_utc()
    }

    fn answer(start: &str, end: &str, buckets: &[(&str, i64)]) -> WindowAnswer {
        let range = Bounds { start: at(start), end: at(end) };
        let buckets = buckets.iter().map(|(start, minutes)| (at(start), Decimal::from(*minutes))).collect();
        WindowAnswer {
            window: Window::Today,
            bounds: range,
            range,
            usage: RangeUsage { buckets, ..RangeUsage::default() },
        }
    }

    /// The contradictions of two answers whose buckets are days, in both orders of the answers.
    fn contradictions(one: &WindowAnswer, other: &WindowAnswer) -> [Option<(i64, i64)>; 2] {
        let mut alignment = Alignment::default();
        let range = Bounds { start: at("1"), end: at("30") };
        assert_eq!(alignment.check(&[(range, vec![at("2"), at("3")])], range.end), None);
        [(one, other), (other, one)].map(|(earlier, later)| {
            let minutes = contradiction(&alignment, earlier, later)?;
            Some((minutes.0.try_into().unwrap(), minutes.1.try_into().unwrap()))
        })
    }

    #[test]
    fn windows_have_the_same_minutes_where_both_are() {
        let month = answer("1", "10T15", &[("1", 10), ("2", 10), ("10", 5)]);
        for (part, expected) in [
            (answer("10", "10T15", &[("10", 5)]), None),
            (answer("10", "10T15", &[("10", 6)]), Some((5, 6))),
            (answer("10", "10T15", &[]), Some((5, 0))),
            (answer("2", "3", &[("2", 10)]), None),
            (answer("2", "3", &[("2", 9)]), Some((10, 9))),
            // The part ends within a bucket.
            (answer("2", "2T15", &[("2", 9)]), None),
            (answer("1", "3", &[("1", 10), ("2", 10)]), None),
        ] {
            let reversed = expected.map(|(before, after)| (after, before));
            assert_eq!(contradictions(&month, &part), [expected, reversed], "{part:?}");
        }
        let two_buckets = answer("1", "10T15", &[("1", 10), ("10", 5)]);
        assert_eq!(contradictions(&two_buckets, &answer("10", "10T15", &[("10", 6)]))[0], Some((5, 6)));
        let (days, later_days) = (answer("1", "5", &[("1", 1), ("3", 2)]), answer("3", "8", &[("3", 2), ("6", 5)]));
        assert_eq!(contradictions(&days, &later_days), [None, None], "neither range contains the other one");
        let start_of_month = answer("1", "3", &[("1", 10), ("2", 9)]);
        assert_eq!(contradictions(&month, &start_of_month)[0], Some((20, 19)), "both begin together");
    }

    #[test]
    fn a_window_has_at_least_the_minutes_of_a_part_that_begins_within_a_bucket() {
        for (whole, expected) in [
            (answer("1", "10T15", &[("1", 10), ("9", 10), ("10", 5)]), None),
            (answer("1", "10T15", &[("1", 7), ("10", 1)]), None),
            (answer("1", "10T15", &[("1", 6), ("10", 1)]), Some((7, 8))),
            // Neither range contains the other one.
            (answer("1", "10T14", &[("1", 6), ("10", 1)]), None),
            (answer("9T16", "10T16", &[("9T16", 1)]), None),
            (answer("9T15", "10T16", &[("9T15", 1)]), Some((1, 8))),
        ] {
            let part = answer("9T15", "10T15", &[("9T15", 3), ("10", 5)]);
            let reversed = expected.map(|(before, after)| (after, before));
            assert_eq!(contradictions(&whole, &part), [expected, reversed], "{whole:?}");
        }
    }

    #[test]
    fn a_single_bucket_does_not_tell_the_days_apart() {
        let month = answer("1", "10T15", &[("1", 25)]);
        assert_eq!(contradictions(&month, &answer("10", "10T15", &[("10", 5)])), [None, None]);
    }
}
