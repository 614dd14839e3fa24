//! Conclusions from pages: what the limit, the offset and `count` count. Pure.

use std::collections::BTreeSet;

use super::findings::{Cap, CountMeaning, Counted, LimitCounts, OffsetStart, PastEnd, Unknown};
use crate::{
    cloud::usage_api::{
        PageRequest,
        wire::{Bucket, Page},
    },
    usage::Row,
};

/// The largest limit that the API documents.
pub const MAX_LIMIT: usize = 1000;

/// A report rounds a size down to one of these, because exact sizes would tell the amount of usage.
const SIZES: [usize; 7] = [10, 20, 50, 100, 200, 500, MAX_LIMIT];

/// A bucket without rows, or a row with the time of its bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ListItem<'a> {
    time: Option<&'a str>,
    row: Option<&'a Row>,
}

/// The content of a list in its order. It does not depend on how the buckets are divided into pages.
pub fn items(page: &Page) -> Vec<ListItem<'_>> {
    page.buckets.iter().flat_map(items_of).collect()
}

fn items_of(bucket: &Bucket) -> Vec<ListItem<'_>> {
    let item = |row| ListItem { time: bucket.time.as_deref(), row };
    if bucket.rows.is_empty() { vec![item(None)] } else { bucket.rows.iter().map(|row| item(Some(row))).collect() }
}

/// All rows.
pub fn rows(page: &Page) -> impl Iterator<Item = &Row> {
    page.buckets.iter().flat_map(|bucket| &bucket.rows)
}

/// The number of entries.
pub fn entries(page: &Page, counted: Counted) -> usize {
    match counted {
        Counted::Buckets => page.buckets.len(),
        Counted::Rows => rows(page).count(),
    }
}

fn entry(page: &Page, counted: Counted, index: usize) -> Option<ListItem<'_>> {
    match counted {
        Counted::Buckets => page.buckets.get(index).and_then(|bucket| items_of(bucket).first().copied()),
        Counted::Rows => items(page).into_iter().filter(|item| item.row.is_some()).nth(index),
    }
}

/// The items of the last entry.
fn last_entry(page: &Page, counted: Counted) -> Vec<ListItem<'_>> {
    match counted {
        Counted::Buckets => page.buckets.last().map(items_of).unwrap_or_default(),
        Counted::Rows => items(page).pop().into_iter().collect(),
    }
}

fn rows_of_first(page: &Page, buckets: usize) -> usize {
    page.buckets.iter().take(buckets).map(|bucket| bucket.rows.len()).sum()
}

fn has_one_row_per_bucket(page: &Page) -> bool {
    page.buckets.iter().all(|bucket| bucket.rows.len() == 1)
}

/// The smallest limit for which the first `limit` buckets have more or fewer than `limit` rows. So the page for this
/// limit shows whether the limit counts buckets or rows.
///
/// # Errors
/// [`Unknown::OneRowPerBucket`] or [`Unknown::TooFewEntries`].
pub fn telling_limit(list: &Page) -> Result<usize, Unknown> {
    let tells = |limit: &usize| rows_of_first(list, *limit) != *limit;
    (1..list.buckets.len()).find(tells).ok_or(match list.buckets.len() {
        0 | 1 => Unknown::TooFewEntries,
        _ if has_one_row_per_bucket(list) => Unknown::OneRowPerBucket,
        _ => Unknown::TooFewEntries,
    })
}

/// What the limit counts, by the page for the [`telling_limit`].
pub fn limit_counts(list: &Page, limit: usize, page: &Page) -> Result<LimitCounts, Unknown> {
    let length = (page.buckets.len(), rows(page).count());
    if length == (limit, rows_of_first(list, limit)) {
        Ok(LimitCounts::Buckets)
    } else if length.1 == limit {
        Ok(LimitCounts::Rows)
    } else if items(page) == items(list) {
        Ok(LimitCounts::Nothing)
    } else {
        Err(Unknown::Unexplained)
    }
}

/// One way to read an offset.
pub type OffsetReading = (Option<Counted>, OffsetStart);

/// Every way to read the offset of a request, each with the first item of the resulting page; `None` is an empty page.
fn readings(list: &Page, request: PageRequest) -> Vec<(OffsetReading, Option<ListItem<'_>>)> {
    let PageRequest { limit, offset } = request;
    let mut readings = vec![((None, OffsetStart::Ignored), entry(list, Counted::Buckets, 0))];
    for counted in [Counted::Buckets, Counted::Rows] {
        for (start, index) in [
            (OffsetStart::Zero, offset),
            (OffsetStart::One, offset.saturating_sub(1)),
            (OffsetStart::Pages, offset * limit),
            (OffsetStart::Pages, offset.saturating_sub(1) * limit),
        ] {
            readings.push(((Some(counted), start), entry(list, counted, index)));
        }
    }
    readings
}

/// The request that tells most readings apart.
///
/// # Errors
/// [`Unknown::TooFewEntries`].
pub fn telling_offset(list: &Page) -> Result<PageRequest, Unknown> {
    let requests = (2..=5).flat_map(|limit| (1..=20).map(move |offset| PageRequest { limit, offset }));
    let differences = |request: &PageRequest| {
        let mut different: Vec<Option<ListItem<'_>>> = Vec::new();
        for (_, item) in readings(list, *request) {
            if !different.contains(&item) {
                different.push(item);
            }
        }
        different.len()
    };
    // Of several equally good requests, `max_by_key` takes the last: the one with the smallest limit and offset.
    let best = requests.collect::<Vec<_>>().into_iter().rev().max_by_key(differences);
    best.filter(|_| list.buckets.len() > 1).ok_or(Unknown::TooFewEntries)
}

/// The readings that fit the page for a request.
pub fn fitting_readings(list: &Page, request: PageRequest, page: &Page) -> Vec<OffsetReading> {
    let first = items(page).first().copied();
    readings(list, request).into_iter().filter(|(_, item)| *item == first).map(|(reading, _)| reading).collect()
}

/// What an offset counts.
pub fn offset_counts(list: &Page, fitting: &[OffsetReading]) -> Result<Counted, Unknown> {
    match agreed(fitting.iter().map(|(counted, _)| *counted)) {
        Ok(Some(counted)) => Ok(counted),
        Ok(None) => Err(Unknown::OffsetNotUnderstood),
        Err(_) if has_one_row_per_bucket(list) && !fitting.is_empty() => Err(Unknown::OneRowPerBucket),
        Err(reason) => Err(reason),
    }
}

/// The number of the first entry.
pub fn offset_start(fitting: &[OffsetReading]) -> Result<OffsetStart, Unknown> {
    agreed(fitting.iter().map(|(_, start)| *start))
}

fn agreed<T: PartialEq>(mut values: impl Iterator<Item = T>) -> Result<T, Unknown> {
    let first = values.next().ok_or(Unknown::Unexplained)?;
    if values.all(|value| value == first) { Ok(first) } else { Err(Unknown::Ambiguous) }
}

/// Whether the entries of a list are buckets or rows. The offset of the last entry depends on it. If each bucket has
/// one row, both have the same numbers.
pub fn entries_of(list: &Page, offset_counts: Result<Counted, Unknown>) -> Result<Counted, Unknown> {
    match offset_counts {
        Err(Unknown::OneRowPerBucket) if has_one_row_per_bucket(list) => Ok(Counted::Buckets),
        Ok(counted) => Ok(counted),
        Err(_) => Err(Unknown::OffsetNotUnderstood),
    }
}

/// The offset of the last entry.
pub fn offset_of_last(list: &Page, counted: Counted, start: OffsetStart) -> Result<usize, Unknown> {
    let last = entries(list, counted).checked_sub(1).ok_or(Unknown::NoUsage)?;
    match start {
        OffsetStart::Zero => Ok(last),
        OffsetStart::One => Ok(last + 1),
        OffsetStart::Pages | OffsetStart::Ignored => Err(Unknown::OffsetNotUnderstood),
    }
}

/// Whether nothing follows a list: the page from its last entry on has only this entry.
pub fn is_whole(list: &Page, counted: Counted, page: &Page) -> Result<bool, Unknown> {
    let (last, page) = (last_entry(list, counted), items(page));
    if page.starts_with(&last) { Ok(page.len() == last.len()) } else { Err(Unknown::Unexplained) }
}

/// The largest limit that has an effect. Each of `pages` is the length of a page, and whether nothing follows this
/// page.
pub fn cap(pages: &[(usize, bool)]) -> Result<Cap, Unknown> {
    let cut = pages.iter().find(|(length, is_whole)| !is_whole && *length < MAX_LIMIT);
    if let Some((length, _)) = cut {
        return Ok(Cap::LoweredTo(*length));
    }
    let longest = pages.iter().map(|(length, _)| *length).max().unwrap_or_default();
    let size = SIZES.into_iter().filter(|size| *size <= longest).max();
    size.map(Cap::AtLeast).ok_or(Unknown::TooFewEntries)
}

/// What `count` counts, by the whole list and parts of it. A part without a count proves nothing: other APIs of the
/// service count only on the first page.
pub fn count_counts(list: &Page, parts: &[&Page]) -> Result<CountMeaning, Unknown> {
    if list.count.is_none() {
        return Ok(CountMeaning::Absent);
    }
    let types: BTreeSet<_> = rows(list).map(|row| (&row.key.resource_type, &row.key.business_type)).collect();
    let mut fitting = vec![
        CountMeaning::Buckets,
        CountMeaning::Rows,
        CountMeaning::Types,
        CountMeaning::BucketsOfPage,
        CountMeaning::RowsOfPage,
    ];
    let counted_parts = parts.iter().copied().filter(|part| part.count.is_some_and(|count| count != 0));
    for page in [list].into_iter().chain(counted_parts) {
        fitting.retain(|meaning| {
            let number = match meaning {
                CountMeaning::Buckets => list.buckets.len(),
                CountMeaning::Rows => rows(list).count(),
                CountMeaning::Types => types.len(),
                CountMeaning::BucketsOfPage => page.buckets.len(),
                CountMeaning::RowsOfPage => rows(page).count(),
                CountMeaning::Absent | CountMeaning::Other => return false,
            };
            page.count == i64::try_from(number).ok()
        });
    }
    match fitting[..] {
        [] => Ok(CountMeaning::Other),
        [meaning] => Ok(meaning),
        _ if has_one_row_per_bucket(list) => Err(Unknown::OneRowPerBucket),
        _ => Err(Unknown::Ambiguous),
    }
}

/// What a request for one entry past the end returns.
pub fn past_end(list: &Page, answer: &Result<Page, Unknown>) -> Result<PastEnd, Unknown> {
    let page = match answer {
        Ok(page) => page,
        Err(Unknown::Refused) => return Ok(PastEnd::Refused),
        Err(reason) => return Err(*reason),
    };
    let (list, past) = (items(list), items(page));
    if rows(page).next().is_none() {
        return Ok(if page.has_list { PastEnd::EmptyList } else { PastEnd::NoList });
    }
    match (past == list, list.starts_with(&past), list.ends_with(&past)) {
        (true, ..) => Ok(PastEnd::WholeList),
        (_, true, true) => Err(Unknown::Ambiguous),
        (_, true, _) => Ok(PastEnd::FirstEntries),
        (_, _, true) => Ok(PastEnd::LastEntries),
        (_, false, false) => Err(Unknown::Unexplained),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// A list of days with so many rows, each with another usage.
    pub fn list(rows_of_days: &[usize]) -> Page {
        let mut usage = 0;
        let days = rows_of_days.iter().enumerate().map(|(day, rows)| {
            let row = |number| {
                usage += 1;
                json!({"resource_type": format!("r{number}"), "usage": usage, "number": 1, "unit": "MIN"})
            };
            let rows: Vec<_> = (0..*rows).map(row).collect();
            json!({"time": format!("2025-11-{:02}T00:00:00Z", day + 1), "resources_usage": rows})
        });
        page(&json!({"time_list": days.collect::<Vec<_>>()}))
    }

    pub fn page(json: &serde_json::Value) -> Page {
        Page::parse(json.to_string().as_bytes()).unwrap()
    }

    /// The page for a request, from a service that counts from `first`.
    fn part(list: &Page, counted: Counted, limit: usize, offset: usize, first: usize) -> Page {
        let mut part = Page { buckets: Vec::new(), ..list.clone() };
        let wanted = offset.saturating_sub(first)..offset.saturating_sub(first) + limit;
        let mut index = 0;
        for (number, bucket) in list.buckets.iter().enumerate() {
            let mut bucket = bucket.clone();
            if counted == Counted::Rows {
                bucket.rows.retain(|_| {
                    index += 1;
                    wanted.contains(&(index - 1))
                });
            }
            let is_wanted = match counted {
                Counted::Buckets => wanted.contains(&number),
                Counted::Rows => !bucket.rows.is_empty(),
            };
            part.buckets.extend(is_wanted.then_some(bucket));
        }
        part
    }

    #[test]
    fn a_page_shows_what_the_limit_counts() {
        let list = list(&[1, 2, 3]);
        assert_eq!(telling_limit(&list), Ok(2));
        let of = |counted| limit_counts(&list, 2, &part(&list, counted, 2, 0, 0));
        assert_eq!(of(Counted::Buckets), Ok(LimitCounts::Buckets));
        assert_eq!(of(Counted::Rows), Ok(LimitCounts::Rows));
        assert_eq!(limit_counts(&list, 2, &list), Ok(LimitCounts::Nothing));
        assert_eq!(limit_counts(&list, 2, &part(&list, Counted::Rows, 1, 0, 0)), Err(Unknown::Unexplained));
    }

    #[test]
    fn a_list_without_different_entries_shows_nothing_about_the_limit() {
        assert_eq!(telling_limit(&list(&[1, 1, 1])), Err(Unknown::OneRowPerBucket));
        assert_eq!(telling_limit(&list(&[1, 1, 2])), Err(Unknown::TooFewEntries), "only the last one differs");
        assert_eq!(telling_limit(&list(&[2])), Err(Unknown::TooFewEntries));
        assert_eq!(telling_limit(&list(&[])), Err(Unknown::TooFewEntries));
        assert_eq!(telling_limit(&list(&[0, 1])), Ok(1), "an empty bucket is an entry");
    }

    /// The conclusions about the offset from the answer to the telling request, for a list with these rows.
    fn offset_of(
        rows_of_days: &[usize],
        answer: impl Fn(&Page, PageRequest) -> Page,
    ) -> (Result<Counted, Unknown>, Result<OffsetStart, Unknown>) {
        let list = list(rows_of_days);
        let request = telling_offset(&list).unwrap();
        let fitting = fitting_readings(&list, request, &answer(&list, request));
        (offset_counts(&list, &fitting), offset_start(&fitting))
    }

    #[test]
    fn a_page_shows_what_the_offset_counts_and_from_where() {
        let rows = [2, 1, 3, 1, 2, 2, 1, 3, 2, 1, 1, 2];
        for counted in [Counted::Buckets, Counted::Rows] {
            for (first, start) in [(0, OffsetStart::Zero), (1, OffsetStart::One)] {
                let found = offset_of(&rows, |list, request| part(list, counted, request.limit, request.offset, first));
                assert_eq!(found, (Ok(counted), Ok(start)));
                let found = offset_of(&rows, |list, PageRequest { limit, offset }| {
                    part(list, counted, limit, (offset - first) * limit, 0)
                });
                assert_eq!(found, (Ok(counted), Ok(OffsetStart::Pages)));
            }
        }
        let ignored = offset_of(&rows, |list, request| part(list, Counted::Rows, request.limit, 0, 0));
        assert_eq!(ignored, (Err(Unknown::OffsetNotUnderstood), Ok(OffsetStart::Ignored)));
        let other = offset_of(&rows, |_, _| list(&[0, 1]));
        assert_eq!(other, (Err(Unknown::Unexplained), Err(Unknown::Unexplained)));
    }

    #[test]
    fn the_first_entry_is_known_even_if_every_bucket_has_one_row() {
        let found = offset_of(&[1; 12], |list, request| part(list, Counted::Rows, request.limit, request.offset, 1));
        assert_eq!(found, (Err(Unknown::OneRowPerBucket), Ok(OffsetStart::One)));
        // With offset 1, a page that begins with the first entry fits several readings.
        let found = offset_of(&[1, 1], |list, request| part(list, Counted::Rows, request.limit, request.offset, 1));
        assert_eq!(found.1, Err(Unknown::Ambiguous));
        assert_eq!(telling_offset(&list(&[3])), Err(Unknown::TooFewEntries));
    }

    #[test]
    fn the_last_entry_shows_whether_more_follows() {
        let list = list(&[1, 2, 2]);
        for (counted, last) in [(Counted::Buckets, 2), (Counted::Rows, 4)] {
            assert_eq!(offset_of_last(&list, counted, OffsetStart::Zero), Ok(last));
            assert_eq!(offset_of_last(&list, counted, OffsetStart::One), Ok(last + 1));
            assert_eq!(offset_of_last(&list, counted, OffsetStart::Pages), Err(Unknown::OffsetNotUnderstood));
            let rest = part(&list, counted, 1000, last, 0);
            assert_eq!(is_whole(&list, counted, &rest), Ok(true));
            let cut = part(&list, counted, last, 0, 0);
            let rest = part(&list, counted, 1000, last - 1, 0);
            assert_eq!(is_whole(&cut, counted, &rest), Ok(false));
            assert_eq!(is_whole(&cut, counted, &list), Err(Unknown::Unexplained));
        }
    }

    #[test]
    fn entries_are_known_if_buckets_and_rows_are_the_same() {
        let (one, several) = (list(&[1, 1]), list(&[1, 2]));
        assert_eq!(entries_of(&one, Err(Unknown::OneRowPerBucket)), Ok(Counted::Buckets));
        assert_eq!(entries_of(&several, Err(Unknown::OneRowPerBucket)), Err(Unknown::OffsetNotUnderstood));
        assert_eq!(entries_of(&several, Ok(Counted::Rows)), Ok(Counted::Rows));
    }

    #[test]
    fn a_page_that_is_cut_below_the_limit_shows_the_cap() {
        assert_eq!(cap(&[(100, false), (31, true)]), Ok(Cap::LoweredTo(100)));
        assert_eq!(cap(&[(1000, false), (31, true)]), Ok(Cap::AtLeast(1000)));
        assert_eq!(cap(&[(31, true), (366, true)]), Ok(Cap::AtLeast(200)), "rounded down");
        assert_eq!(cap(&[(9, true)]), Err(Unknown::TooFewEntries));
        assert_eq!(cap(&[]), Err(Unknown::TooFewEntries));
    }

    #[test]
    fn a_count_is_compared_with_everything_that_it_may_count() {
        let rows = [1, 2, 2, 2];
        let counted = |whole: Option<i64>, part: Option<i64>, later: Option<i64>| {
            let list = Page { count: whole, ..list(&rows) };
            let first = Page { count: part, ..self::part(&list, Counted::Buckets, 2, 0, 0) };
            let later = Page { count: later, ..self::part(&list, Counted::Buckets, 2, 2, 0) };
            count_counts(&list, &[&first, &later])
        };
        for (whole, part, later, meaning) in [
            (4, 4, Some(4), CountMeaning::Buckets),
            (7, 7, Some(7), CountMeaning::Rows),
            (2, 2, Some(2), CountMeaning::Types),
            (4, 2, Some(2), CountMeaning::BucketsOfPage),
            (7, 3, Some(4), CountMeaning::RowsOfPage),
            (7, 7, None, CountMeaning::Rows),
            (7, 7, Some(0), CountMeaning::Rows),
            (0, 0, Some(0), CountMeaning::Other),
            (7, 8, Some(7), CountMeaning::Other),
        ] {
            assert_eq!(counted(Some(whole), Some(part), later), Ok(meaning), "{whole} {part} {later:?}");
        }
        assert_eq!(counted(None, Some(7), None), Ok(CountMeaning::Absent));
        assert_eq!(counted(Some(7), None, None), Err(Unknown::Ambiguous), "of the page, or of all rows");
        let single = Page { count: Some(3), ..list(&[1, 1, 1]) };
        assert_eq!(count_counts(&single, &[]), Err(Unknown::OneRowPerBucket));
    }

    #[test]
    fn each_answer_past_the_end_is_told_apart() {
        let list = list(&[1, 2, 2]);
        let past = |page: Page| past_end(&list, &Ok(page));
        assert_eq!(past(page(&json!({"time_list": []}))), Ok(PastEnd::EmptyList));
        assert_eq!(past(page(&json!({"count": 3, "time_list": null}))), Ok(PastEnd::NoList));
        assert_eq!(past(part(&list, Counted::Rows, 1, 4, 0)), Ok(PastEnd::LastEntries));
        assert_eq!(past(part(&list, Counted::Buckets, 1, 2, 0)), Ok(PastEnd::LastEntries));
        assert_eq!(past(part(&list, Counted::Buckets, 1, 0, 0)), Ok(PastEnd::FirstEntries));
        assert_eq!(past(list.clone()), Ok(PastEnd::WholeList));
        assert_eq!(past(part(&list, Counted::Buckets, 1, 1, 0)), Err(Unknown::Unexplained));
        assert_eq!(past_end(&list, &Err(Unknown::Refused)), Ok(PastEnd::Refused));
        assert_eq!(past_end(&list, &Err(Unknown::Failed)), Err(Unknown::Failed));
    }
}
