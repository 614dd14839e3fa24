//! Conclusions from values: sums of parts, the unit, the number, and the users. Pure.

use std::collections::HashSet;

use super::{
    findings::{Halves, Presence, UnitEffect, Unknown, UserEffect},
    paging::{items, rows},
};
use crate::{
    cloud::usage_api::wire::{Bucket, Page},
    usage::{Bounds, Row, RowKey, Tally, Unit},
};

/// The sums of the buckets that begin in a range, and of the buckets without a time.
pub fn sums(page: &Page, range: Bounds) -> Result<Tally, Unknown> {
    let mut sums = Tally::default();
    let is_inside = |bucket: &&Bucket| bucket.start().is_none_or(|start| range.contains(start));
    for row in page.buckets.iter().filter(is_inside).flat_map(|bucket| &bucket.rows) {
        sums.add(row, None).map_err(|_| Unknown::Unreadable)?;
    }
    Ok(sums)
}

/// Compares the sums of two halves with the sums of the whole. `whole` was asked for before the halves, and `again`
/// after them.
pub fn halves(whole: &Tally, parts: [&Tally; 2], again: &Tally) -> Result<Halves, Unknown> {
    if whole != again {
        return Err(Unknown::Changed);
    }
    if whole.series().next().is_none() {
        return Err(Unknown::NoUsage);
    }
    let mut together = Tally::default();
    for part in parts {
        together.merge(part).map_err(|_| Unknown::Unreadable)?;
    }
    match (together.larger_than(whole), whole.larger_than(&together)) {
        (None, None) => Ok(Halves::Equal),
        (Some(_), None) => Ok(Halves::More),
        (None, Some(_)) => Ok(Halves::Less),
        (Some(_), Some(_)) => Err(Unknown::Unexplained),
    }
}

/// A unit that not every row has: asking for it shows what the parameter does.
pub fn telling_unit(list: &Page) -> Result<Unit, Unknown> {
    let has = |unit: &Unit| rows(list).any(|row| row.key.unit == *unit);
    match (has(&Unit::Minutes), has(&Unit::Hours)) {
        (true, _) => Ok(Unit::Hours),
        (false, true) => Ok(Unit::Minutes),
        (false, false) if rows(list).next().is_none() => Err(Unknown::NoUsage),
        (false, false) => Err(Unknown::NoTimeUnit),
    }
}

/// What the parameter `unit` does, by the answer for a unit.
pub fn unit_effect(list: &Page, unit: &Unit, answer: &Result<Page, Unknown>) -> Result<UnitEffect, Unknown> {
    let page = match answer {
        Ok(page) => page,
        Err(Unknown::Refused) => return Ok(UnitEffect::Refused),
        Err(reason) => return Err(*reason),
    };
    if items(page) == items(list) {
        return Ok(UnitEffect::Nothing);
    }
    if rows(page).eq(rows(list).filter(|row| row.key.unit == *unit)) {
        return Ok(UnitEffect::Filters);
    }
    let convert = |row: &Row| match row.key.unit {
        Unit::Minutes | Unit::Hours => RowKey { unit: unit.clone(), ..row.key.clone() },
        Unit::Other(_) => row.key.clone(),
    };
    // Rows of the same types in both units may have become one.
    let converted: HashSet<RowKey> = rows(list).map(convert).collect();
    let is_converted = converted == rows(page).map(|row| row.key.clone()).collect();
    if is_converted { Ok(UnitEffect::Converts) } else { Err(Unknown::Unexplained) }
}

/// How many rows have a `number`.
pub fn number(list: &Page) -> Result<Presence, Unknown> {
    let (with, without): (Vec<&Row>, Vec<&Row>) = rows(list).partition(|row| row.number.is_some());
    Presence::of(!with.is_empty(), !without.is_empty()).ok_or(Unknown::NoUsage)
}

/// What the parameter `user_id` does, by the sums of all users together and of single users.
pub fn user_effect(all: &Tally, users: &[Tally]) -> Result<UserEffect, Unknown> {
    if all.series().next().is_none() {
        return Err(Unknown::NoUsage);
    }
    if users.iter().any(|user| user.larger_than(all).is_some()) {
        return Err(Unknown::Unexplained);
    }
    match users {
        [] => Err(Unknown::NoUserIds),
        users if users.iter().any(|user| all.larger_than(user).is_some()) => Ok(UserEffect::Filters),
        [_] => Err(Unknown::SingleUser),
        _ => Ok(UserEffect::Nothing),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{super::paging::tests::page, *};

    const START: &str = "2025-11-01T00:00:00Z";

    fn row(unit: &str, business_type: &str, usage: f64) -> Value {
        json!({"business_type": business_type, "usage": usage, "unit": unit})
    }

    fn list(rows: &[Value]) -> Page {
        page(&json!({"time_list": [{"time": START, "resources_usage": rows}]}))
    }

    fn minutes(usage: &[(&str, f64)]) -> Tally {
        let rows: Vec<Value> = usage.iter().map(|(business, usage)| row("MIN", business, *usage)).collect();
        let start = list(&rows).buckets[0].start().unwrap();
        sums(&list(&rows), Bounds { start, end: start + chrono::TimeDelta::days(1) }).unwrap()
    }

    #[test]
    fn sums_leave_out_buckets_that_begin_outside() {
        let buckets: Vec<Value> = ["2025-10-31T00:00:00Z", START, "2025-11-02T00:00:00Z", "?"]
            .iter()
            .map(|time| json!({"time": time, "resources_usage": [row("MIN", "v", 1.5)]}))
            .collect();
        let range = Bounds { start: START.parse().unwrap(), end: "2025-11-02T00:00:00Z".parse().unwrap() };
        assert_eq!(sums(&page(&json!({"time_list": buckets})), range).unwrap(), minutes(&[("v", 3.0)]));
    }

    #[test]
    fn halves_are_compared_with_a_whole_that_does_not_change() {
        let whole = minutes(&[("v", 3.0), ("l", 1.0)]);
        let compare = |one: &[(&str, f64)], two: &[(&str, f64)]| halves(&whole, [&minutes(one), &minutes(two)], &whole);
        assert_eq!(compare(&[("v", 3.0)], &[("l", 1.0)]), Ok(Halves::Equal));
        assert_eq!(compare(&[("v", 3.0)], &[("l", 1.0), ("v", 0.1)]), Ok(Halves::More));
        assert_eq!(compare(&[("v", 1.0)], &[("l", 1.0)]), Ok(Halves::Less));
        assert_eq!(compare(&[("v", 4.0)], &[]), Err(Unknown::Unexplained));
        assert_eq!(halves(&whole, [&whole, &whole], &minutes(&[("v", 3.0)])), Err(Unknown::Changed));
        let empty = Tally::default();
        assert_eq!(halves(&empty, [&empty, &empty], &empty), Err(Unknown::NoUsage));
    }

    #[test]
    fn a_unit_that_some_rows_lack_is_asked_for() {
        let (minutes, hours) = (row("MIN", "v", 90.0), row("HOUR", "l", 2.0));
        assert_eq!(telling_unit(&list(&[minutes, hours.clone()])), Ok(Unit::Hours));
        assert_eq!(telling_unit(&list(&[hours])), Ok(Unit::Minutes));
        assert_eq!(telling_unit(&list(&[row("GB", "v", 1.0)])), Err(Unknown::NoTimeUnit));
        assert_eq!(telling_unit(&list(&[])), Err(Unknown::NoUsage));
    }

    #[test]
    fn a_unit_filters_converts_or_does_nothing() {
        let all = list(&[row("MIN", "v", 90.0), row("HOUR", "l", 2.0)]);
        let effect = |answer: &[Value]| unit_effect(&all, &Unit::Hours, &Ok(list(answer)));
        assert_eq!(effect(&[row("HOUR", "l", 2.0)]), Ok(UnitEffect::Filters));
        assert_eq!(effect(&[row("HOUR", "v", 1.5), row("HOUR", "l", 2.0)]), Ok(UnitEffect::Converts));
        assert_eq!(effect(&[row("MIN", "v", 90.0), row("HOUR", "l", 2.0)]), Ok(UnitEffect::Nothing));
        assert_eq!(effect(&[row("MIN", "v", 90.0)]), Err(Unknown::Unexplained));
        assert_eq!(unit_effect(&all, &Unit::Hours, &Err(Unknown::Refused)), Ok(UnitEffect::Refused));
        assert_eq!(unit_effect(&all, &Unit::Hours, &Err(Unknown::Stopped)), Err(Unknown::Stopped));
        let only_minutes = list(&[row("MIN", "v", 90.0)]);
        assert_eq!(unit_effect(&only_minutes, &Unit::Hours, &Ok(list(&[]))), Ok(UnitEffect::Filters));
    }

    #[test]
    fn a_number_is_in_every_row_in_some_or_in_none() {
        let (with, without) = (json!({"number": 0}), json!({"amount": 1, "usage": 1}));
        assert_eq!(number(&list(&[with.clone(), with.clone()])), Ok(Presence::EveryRow));
        assert_eq!(number(&list(&[with, without.clone()])), Ok(Presence::SomeRows));
        assert_eq!(number(&list(&[without])), Ok(Presence::NoRow));
        assert_eq!(number(&list(&[])), Err(Unknown::NoUsage));
    }

    #[test]
    fn users_have_an_effect_if_one_has_less_than_all() {
        let (all, some) = (minutes(&[("v", 3.0), ("l", 1.0)]), minutes(&[("v", 1.0)]));
        assert_eq!(user_effect(&all, &[all.clone(), some.clone()]), Ok(UserEffect::Filters));
        assert_eq!(user_effect(&all, &[Tally::default()]), Ok(UserEffect::Filters));
        assert_eq!(user_effect(&all, &[all.clone(), all.clone()]), Ok(UserEffect::Nothing));
        assert_eq!(user_effect(&all, std::slice::from_ref(&all)), Err(Unknown::SingleUser));
        assert_eq!(user_effect(&all, &[]), Err(Unknown::NoUserIds));
        assert_eq!(user_effect(&some, &[all]), Err(Unknown::Unexplained));
        assert_eq!(user_effect(&Tally::default(), &[some]), Err(Unknown::NoUsage));
    }
}
