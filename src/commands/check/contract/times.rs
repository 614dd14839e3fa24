//! Conclusions from times: the width, zone and order of buckets, and which ranges are answered. Pure.

use std::collections::BTreeSet;

use chrono::{DateTime, FixedOffset, Months, NaiveDate, TimeDelta, Utc};

use super::findings::{Acceptance, BucketZone, LastChange, Newest, Order, RangeEnd, Reach, TimeFormat, Unknown, Width};
use crate::{
    cloud::usage_api::wire::{Bucket, Page},
    history::days::KnownDays,
    usage::Bounds,
};

const HOUR: i64 = 60 * 60;
const DAY: i64 = 24 * HOUR;

fn starts(page: &Page) -> Result<Vec<DateTime<Utc>>, Unknown> {
    page.buckets.iter().map(|bucket| bucket.start().ok_or(Unknown::UnreadableTimes)).collect()
}

/// The starts of buckets, except for a bucket that begins with its range or before: a service may cut the first bucket
/// at the start of the range.
fn inner_starts(lists: &[(Bounds, &Page)]) -> Result<BTreeSet<DateTime<Utc>>, Unknown> {
    let mut inner = BTreeSet::new();
    for (range, list) in lists {
        inner.extend(starts(list)?.into_iter().filter(|start| *start > range.start));
    }
    Ok(inner)
}

/// The distance between buckets. Days without usage may have no bucket, so the smallest distance counts.
pub fn width(lists: &[(Bounds, &Page)]) -> Result<Width, Unknown> {
    let inner = inner_starts(lists)?;
    if inner.is_empty() && lists.len() > 1 && lists.iter().all(|(_, list)| !list.buckets.is_empty()) {
        return Ok(Width::WholeRange);
    }
    let distances: Vec<i64> =
        inner.iter().zip(inner.iter().skip(1)).map(|(one, next)| (*next - *one).num_seconds()).collect();
    let smallest = distances.iter().copied().min().ok_or(Unknown::TooFewEntries)?;
    if distances.len() < 2 {
        return Err(Unknown::TooFewEntries);
    }
    let is_regular = distances.iter().all(|distance| distance % smallest == 0);
    match smallest {
        HOUR if is_regular => Ok(Width::Hour),
        DAY if is_regular => Ok(Width::Day),
        _ if is_regular && smallest == 7 * DAY => Ok(Width::Week),
        _ if smallest >= 28 * DAY && smallest % DAY == 0 => Ok(Width::Month),
        // For example, every other day has usage.
        _ if smallest >= DAY => Err(Unknown::Ambiguous),
        _ if is_regular => Ok(Width::Minutes(smallest / 60)),
        _ => Err(Unknown::Unexplained),
    }
}

/// The zone in which buckets begin at midnight.
pub fn zone(lists: &[(Bounds, &Page)], width: Result<Width, Unknown>) -> Result<BucketZone, Unknown> {
    match width? {
        Width::Day | Width::Week | Width::Month => {}
        Width::Hour | Width::Minutes(_) | Width::WholeRange => return Err(Unknown::BucketsTooShort),
    }
    let times: BTreeSet<i64> = inner_starts(lists)?.iter().map(|start| start.timestamp().rem_euclid(DAY)).collect();
    let mut times = times.into_iter();
    let (Some(time), None) = (times.next(), times.next()) else { return Err(Unknown::Unexplained) };
    // Zones reach from UTC-12 to UTC+14, so a time can fit two zones, such as UTC-11 and UTC+13. Then the eastern zone
    // is taken, because more people live there.
    let east = if time >= 10 * HOUR { DAY - time } else { -time };
    let offset = i32::try_from(east).ok().and_then(FixedOffset::east_opt);
    offset.map(BucketZone).ok_or(Unknown::Unexplained)
}

/// The form of the times.
pub fn format(list: &Page) -> Result<TimeFormat, Unknown> {
    let format = |bucket: &Bucket| match bucket.time.as_deref() {
        None => TimeFormat::Absent,
        Some(_) if bucket.start().is_none() => TimeFormat::Other,
        Some(time) if time.ends_with(['Z', 'z']) => TimeFormat::Utc,
        Some(_) => TimeFormat::Offset,
    };
    let mut formats = list.buckets.iter().map(format);
    let first = formats.next().ok_or(Unknown::NoUsage)?;
    Ok(if formats.all(|format| format == first) { first } else { TimeFormat::Mixed })
}

/// The order of the buckets.
pub fn order(list: &Page) -> Result<Order, Unknown> {
    let starts = starts(list)?;
    let is_descending = starts.iter().rev().is_sorted();
    match (starts.is_sorted(), is_descending) {
        (true, true) => Err(Unknown::TooFewEntries),
        (true, false) => Ok(Order::OldestFirst),
        (false, true) => Ok(Order::NewestFirst),
        (false, false) => Ok(Order::Unordered),
    }
}

/// Where to divide a range: at the start of a bucket near the middle of the range, so that no bucket is divided.
pub fn middle(range: Bounds, list: &Page) -> DateTime<Utc> {
    let days = (range.end - range.start).num_days() / 2;
    let middle = range.start + TimeDelta::days(days);
    let inner =
        list.buckets.iter().filter_map(Bucket::start).filter(|start| range.start < *start && *start < range.end);
    inner.min_by_key(|start| (*start - middle).abs()).unwrap_or(middle)
}

/// Whether a bucket that begins at `end` is in the answer for the range that ends there.
pub fn range_end(list: &Page, end: DateTime<Utc>, answer: &Page) -> Result<RangeEnd, Unknown> {
    if !starts(list)?.contains(&end) {
        return Err(Unknown::TooFewEntries);
    }
    Ok(if starts(answer)?.contains(&end) { RangeEnd::Inclusive } else { RangeEnd::Exclusive })
}

/// Whether a request was accepted.
pub fn acceptance(answer: &Result<Page, Unknown>) -> Result<Acceptance, Unknown> {
    match answer {
        Ok(_) => Ok(Acceptance::Accepted),
        Err(Unknown::Refused) => Ok(Acceptance::Refused),
        Err(reason) => Err(*reason),
    }
}

/// Whether an answer has usage in its range. Buckets that begin before the range may hold older usage.
pub fn has_usage(page: &Page, range: Bounds) -> bool {
    let is_inside = |bucket: &&Bucket| bucket.start().is_some_and(|start| range.contains(start));
    let has_value = |bucket: &Bucket| {
        bucket.rows.iter().any(|row| row.usage.is_some_and(|usage| !usage.is_zero()) || row.number > Some(0))
    };
    page.buckets.iter().filter(is_inside).any(has_value)
}

/// The longest time after the end of a day at which an exporter saw its usage change, for the days of the last two
/// months.
pub fn last_change(days: &KnownDays, today: NaiveDate) -> Result<LastChange, Unknown> {
    let first = today - Months::new(2);
    let mut known = first.iter_days().take_while(|day| *day < today).filter_map(|day| days.get(day));
    if !known.any(|day| day.asked > day.since || day.revisions > 0) {
        return Err(Unknown::AskedOnce);
    }
    let settling = days.settling(first, today);
    let hours = |delay: TimeDelta| u32::try_from((delay.num_seconds().max(0) + 3599) / 3600).unwrap_or(u32::MAX);
    Ok(settling.longest.map_or(LastChange::None, |delay| LastChange::WithinHours(hours(delay))))
}

/// The age of the newest usage. `last_hours` has spans of time that end now, in hours, the shortest first. The `bool`
/// says whether the span has usage.
pub fn newest(list: &Page, last_hours: &[(u32, bool)]) -> Result<Newest, Unknown> {
    starts(list)?;
    let within = last_hours.iter().find(|(_, has_usage)| *has_usage).map(|(hours, _)| Newest::WithinHours(*hours));
    let over = last_hours.last().map(|(hours, _)| Newest::OverHours(*hours));
    within.or(over).ok_or(Unknown::NoUsage)
}

/// How far back answers reach. `ages` has ages in days. The `bool` says whether the answer for this age has usage.
pub fn reach(ages: &[(u32, Result<bool, Unknown>)]) -> Result<Reach, Unknown> {
    let accepted = || ages.iter().filter(|(_, answer)| answer.is_ok()).map(|(days, _)| *days);
    let refused = ages.iter().filter(|(_, answer)| *answer == Err(Unknown::Refused)).map(|(days, _)| *days).min();
    if let Some((_, Err(reason))) = ages.first().filter(|_| refused.is_none() && accepted().next().is_none()) {
        return Err(*reason);
    }
    let used = ages.iter().filter(|(_, answer)| *answer == Ok(true)).map(|(days, _)| *days);
    Ok(Reach { usage_days: used.max(), accepted_days: accepted().max(), refused_days: refused })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::paging::tests::page, *};

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    fn range(start: &str, end: &str) -> Bounds {
        Bounds { start: at(start), end: at(end) }
    }

    fn list(times: &[&str]) -> Page {
        let bucket = |time: &&str| json!({"time": time, "resources_usage": [{"usage": 1, "unit": "MIN"}]});
        page(&json!({"time_list": times.iter().map(bucket).collect::<Vec<_>>()}))
    }

    /// The width of buckets in a range that begins in the middle of a bucket.
    fn width_of(times: &[&str]) -> Result<Width, Unknown> {
        width(&[(range("2025-01-01T10:17:23Z", "2026-01-01T00:00:00Z"), &list(times))])
    }

    #[test]
    fn the_width_is_the_smallest_distance() {
        let hours = ["2025-11-01T01:00:00Z", "2025-11-01T02:00:00Z", "2025-11-01T09:00:00Z"];
        assert_eq!(width_of(&hours), Ok(Width::Hour));
        let days = ["2025-01-01T10:17:23Z", "2025-11-01T16:00:00Z", "2025-11-02T16:00:00Z", "2025-11-05T16:00:00Z"];
        assert_eq!(width_of(&days), Ok(Width::Day), "the first bucket is cut");
        let weeks = ["2025-11-03T00:00:00Z", "2025-11-10T00:00:00Z", "2025-11-24T00:00:00Z"];
        assert_eq!(width_of(&weeks), Ok(Width::Week));
        let months = ["2025-09-01T00:00:00Z", "2025-10-01T00:00:00Z", "2025-11-01T00:00:00Z"];
        assert_eq!(width_of(&months), Ok(Width::Month));
        let quarters = ["2025-11-01T00:00:00Z", "2025-11-01T00:15:00Z", "2025-11-01T01:00:00Z"];
        assert_eq!(width_of(&quarters), Ok(Width::Minutes(15)));
        let every_other_day = ["2025-11-01T00:00:00Z", "2025-11-03T00:00:00Z", "2025-11-05T00:00:00Z"];
        assert_eq!(width_of(&every_other_day), Err(Unknown::Ambiguous));
        let irregular = ["2025-11-01T00:00:00Z", "2025-11-01T00:15:00Z", "2025-11-01T00:40:00Z"];
        assert_eq!(width_of(&irregular), Err(Unknown::Unexplained));
        assert_eq!(width_of(&days[..3]), Err(Unknown::TooFewEntries));
        assert_eq!(width_of(&["2025-11-01"]), Err(Unknown::UnreadableTimes));
    }

    #[test]
    fn lists_whose_buckets_all_begin_with_the_range_have_one_bucket() {
        let (month, year) = (
            range("2025-11-01T00:00:00Z", "2025-12-01T00:00:00Z"),
            range("2025-01-01T00:00:00Z", "2025-12-01T00:00:00Z"),
        );
        let (of_month, of_year) = (list(&["2025-11-01T00:00:00Z"; 2]), list(&["2025-01-01T00:00:00Z"; 2]));
        let lists = [(month, &of_month), (year, &of_year)];
        assert_eq!(width(&lists), Ok(Width::WholeRange));
        assert_eq!(zone(&lists, Ok(Width::WholeRange)), Err(Unknown::BucketsTooShort));
        assert_eq!(width(&lists[..1]), Err(Unknown::TooFewEntries), "the usage may be of the first day");
    }

    #[test]
    fn the_zone_has_its_midnight_where_buckets_begin() {
        let whole = range("2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z");
        for (times, offset) in [
            (["2025-11-01T16:00:00Z", "2025-11-02T16:00:00Z"], "\"+08:00\""),
            (["2025-11-01T00:00:00+08:00", "2025-11-02T00:00:00+08:00"], "\"+08:00\""),
            (["2025-11-01T00:00:00Z", "2025-11-02T00:00:00Z"], "\"+00:00\""),
            (["2025-11-01T05:00:00Z", "2025-11-02T05:00:00Z"], "\"-05:00\""),
            (["2025-11-01T18:30:00Z", "2025-11-02T18:30:00Z"], "\"+05:30\""),
        ] {
            let zone = zone(&[(whole, &list(&times))], Ok(Width::Day)).unwrap();
            assert_eq!(serde_json::to_string(&zone).unwrap(), offset);
        }
        let two = list(&["2025-11-01T16:00:00Z", "2025-11-02T17:00:00Z"]);
        assert_eq!(zone(&[(whole, &two)], Ok(Width::Day)), Err(Unknown::Unexplained));
        assert_eq!(zone(&[(whole, &two)], Ok(Width::Hour)), Err(Unknown::BucketsTooShort));
        assert_eq!(zone(&[(whole, &two)], Err(Unknown::Ambiguous)), Err(Unknown::Ambiguous));
    }

    #[test]
    fn times_have_a_form_and_an_order() {
        let (first, second) = ("2025-11-01T00:00:00Z", "2025-11-02T00:00:00Z");
        let offset = "2025-11-03T00:00:00+08:00";
        assert_eq!(format(&list(&[first, second])), Ok(TimeFormat::Utc));
        assert_eq!(format(&list(&[offset])), Ok(TimeFormat::Offset));
        assert_eq!(format(&list(&["2025-11-01"])), Ok(TimeFormat::Other));
        assert_eq!(format(&page(&json!({"time_list": [{"resources_usage": []}]}))), Ok(TimeFormat::Absent));
        assert_eq!(format(&list(&[first, offset])), Ok(TimeFormat::Mixed));
        assert_eq!(format(&list(&[])), Err(Unknown::NoUsage));

        assert_eq!(order(&list(&[first, first, second])), Ok(Order::OldestFirst));
        assert_eq!(order(&list(&[second, first])), Ok(Order::NewestFirst));
        assert_eq!(order(&list(&[first, second, first])), Ok(Order::Unordered));
        assert_eq!(order(&list(&[first, first])), Err(Unknown::TooFewEntries));
        assert_eq!(order(&list(&["today"])), Err(Unknown::UnreadableTimes));
    }

    #[test]
    fn a_range_is_divided_where_a_bucket_begins() {
        let ten_days = range("2025-11-01T16:00:00Z", "2025-11-11T16:00:00Z");
        let days =
            list(&["2025-11-01T16:00:00Z", "2025-11-05T16:00:00Z", "2025-11-10T16:00:00Z", "2025-11-11T16:00:00Z"]);
        let middle = middle(ten_days, &days);
        assert_eq!(middle, at("2025-11-05T16:00:00Z"));
        assert_eq!(super::middle(ten_days, &list(&[])), at("2025-11-06T16:00:00Z"));

        let (with, without) =
            (list(&["2025-11-01T16:00:00Z", "2025-11-05T16:00:00Z"]), list(&["2025-11-01T16:00:00Z"]));
        assert_eq!(range_end(&days, middle, &with), Ok(RangeEnd::Inclusive));
        assert_eq!(range_end(&days, middle, &without), Ok(RangeEnd::Exclusive));
        assert_eq!(range_end(&without, middle, &without), Err(Unknown::TooFewEntries));
    }

    #[test]
    fn a_refusal_is_an_answer_where_it_is_expected() {
        assert_eq!(acceptance(&Ok(list(&[]))), Ok(Acceptance::Accepted));
        assert_eq!(acceptance(&Err(Unknown::Refused)), Ok(Acceptance::Refused));
        assert_eq!(acceptance(&Err(Unknown::Failed)), Err(Unknown::Failed));
    }

    #[test]
    fn usage_counts_if_it_is_in_the_range_and_not_zero() {
        let hour = range("2025-11-01T00:00:00Z", "2025-11-01T01:00:00Z");
        assert!(has_usage(&list(&["2025-11-01T00:00:00Z"]), hour));
        // The bucket of the whole day holds older usage.
        assert!(!has_usage(&list(&["2025-10-31T16:00:00Z", "2025-11-01T01:00:00Z"]), hour));
        let zero = json!({"time": "2025-11-01T00:00:00Z", "resources_usage": [{"usage": 0, "number": 0}]});
        assert!(!has_usage(&page(&json!({"time_list": [zero]})), hour));
    }

    #[test]
    fn the_newest_usage_is_in_the_shortest_range_that_has_some() {
        let list_ = list(&["2025-11-01T00:00:00Z"]);
        assert_eq!(newest(&list_, &[(1, false), (3, true)]), Ok(Newest::WithinHours(3)));
        assert_eq!(newest(&list_, &[(1, false), (3, false)]), Ok(Newest::OverHours(3)));
        assert_eq!(newest(&list(&["1 November"]), &[(1, false)]), Err(Unknown::UnreadableTimes));
    }

    #[test]
    fn the_oldest_answers_with_and_without_usage_are_told_apart() {
        let reach_of = |answers: &[Result<bool, Unknown>]| {
            reach(&[31, 92, 183].into_iter().zip(answers.iter().copied()).collect::<Vec<_>>())
        };
        let found = |usage_days, accepted_days, refused_days| Ok(Reach { usage_days, accepted_days, refused_days });
        assert_eq!(reach_of(&[Ok(true), Ok(true), Ok(true)]), found(Some(183), Some(183), None));
        assert_eq!(reach_of(&[Ok(true), Ok(false), Err(Unknown::Refused)]), found(Some(31), Some(92), Some(183)));
        assert_eq!(reach_of(&[Err(Unknown::Refused); 3]), found(None, None, Some(31)));
        assert_eq!(
            reach_of(&[Ok(true), Err(Unknown::Stopped), Err(Unknown::Stopped)]),
            found(Some(31), Some(31), None)
        );
        assert_eq!(reach_of(&[Err(Unknown::Stopped); 3]), Err(Unknown::Stopped));
    }
}
