//! Joins pages into one complete answer, or an error.
//!
//! The API does not document what `limit`, `offset` and `count` count, nor what it sends past the end (contract, 1.5).
//! So:
//!
//! - The offset advances by the limit that was sent. That is right whether the API counts buckets or rows.
//! - A row that an earlier page already had is the same row, and counts once.
//! - If the answer may have ended, but the server may also have ignored the offset, that is an error: a sum that is too
//!   small is worse than an old one.

use std::{collections::HashSet, sync::Arc};

use chrono::{DateTime, Utc};

use super::wire::Page;
use crate::{
    cloud::error::Error,
    usage::{Row, RowCounters, RowKey},
};

/// More pages than this count as endless. With 1000 entries a page, this is enough for one entry an hour over 11 years.
const MAX_PAGES: usize = 100;

/// An oddity of an answer that is not an error, but that the operator should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Doubt {
    /// `count` is larger than the number of entries.
    CountExceedsAnswer,
    /// A bucket begins at or after the end of the range of the query.
    BucketBeyondEnd,
    /// A usage or number is negative.
    Negative,
}

impl Doubt {
    /// The meaning, and what to do.
    pub fn explanation(self) -> &'static str {
        match self {
            Doubt::CountExceedsAnswer => {
                "the service counts more entries than it sent; if it silently lowers the page size, usage is too low: \
                 compare with the console, and lower api.page_size"
            }
            Doubt::BucketBeyondEnd => {
                "the service sent usage of a bucket that begins after the end of the window: two adjacent windows may \
                 both count it"
            }
            Doubt::Negative => "the service sent a negative usage or number; it is summed as it is",
        }
    }
}

/// The next step after a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask for the page at this offset.
    Offset(usize),
    /// The answer is complete.
    Complete,
}

/// A complete answer.
#[derive(Debug, Default)]
pub struct Answer {
    /// The rows to sum up.
    pub rows: Vec<Row>,
    /// Rows and values that are not in the sums.
    pub counters: RowCounters,
    /// Each doubt once.
    pub doubts: Vec<Doubt>,
}

/// Collects the pages of one query.
#[derive(Debug)]
pub struct Pages {
    limit: usize,
    /// The end of the range of the query.
    end: DateTime<Utc>,
    pages: usize,
    /// Whether the limit may count buckets: every page but the last had at least `limit` of them.
    may_count_buckets: bool,
    /// The same for rows: every page but the last had exactly `limit` of them, and none had more.
    may_count_rows: bool,
    last_full_of_buckets: bool,
    last_full_of_rows: bool,
    buckets: HashSet<Option<Arc<str>>>,
    /// The rows of earlier pages. Most answers have only one page, whose rows need not be remembered.
    known: HashSet<RowKey>,
    /// How many rows of the answer are in `known`.
    known_rows: usize,
    /// Parts of bundles that are not in `known` yet.
    new_parts: Vec<RowKey>,
    /// The largest `count` of all pages: some APIs send it with the first page only.
    count: Option<i64>,
    /// The answer so far.
    pub answer: Answer,
}

impl Pages {
    /// Starts the answer to a query with `limit` entries a page over a range that ends at `end`.
    pub fn new(limit: usize, end: DateTime<Utc>) -> Self {
        Pages {
            limit,
            end,
            pages: 0,
            may_count_buckets: true,
            may_count_rows: true,
            last_full_of_buckets: true,
            last_full_of_rows: true,
            buckets: HashSet::new(),
            known: HashSet::new(),
            known_rows: 0,
            new_parts: Vec::new(),
            count: None,
            answer: Answer::default(),
        }
    }

    /// Adds the next page.
    ///
    /// # Errors
    /// [`Error::Inconsistent`] if the server seems to ignore offsets, or pages do not end.
    pub fn add(&mut self, page: Page) -> Result<Next, Error> {
        self.pages += 1;
        self.count = self.count.max(page.count);
        self.answer.counters.dropped_values += page.dropped_values;
        let (bucket_count, row_count) = (page.buckets.len(), page.rows.len());
        let is_empty = bucket_count == 0 && row_count == 0;
        if self.pages == 1 && !page.has_list && self.count.is_some_and(|count| count > 0) {
            return Err(Error::Malformed("count is positive, but there is no time_list".to_owned()));
        }
        let has_new_entries = self.take(page);

        if self.pages > 1 && !has_new_entries {
            return match self.count {
                Some(count) if self.covers(count) => self.complete(),
                // An empty page is the end. A third page follows a second one with new entries, so the offset is not
                // ignored.
                None if is_empty || self.pages > 2 => self.complete(),
                // Both the end and a server that ignores the offset may look like this.
                count => Err(Error::Inconsistent(format!(
                    "the page at offset {} has no new entries, and count ({}) does not show that the answer is complete: \
                     the service seems to ignore the offset",
                    (self.pages - 1) * self.limit,
                    count.map_or("absent".to_owned(), |count| count.to_string()),
                ))),
            };
        }
        // A page may be full of buckets or full of rows. If it has more rows than the limit, the limit does not count
        // rows.
        let (full_of_buckets, full_of_rows) = (bucket_count >= self.limit, row_count == self.limit);
        self.may_count_buckets &= self.last_full_of_buckets;
        self.may_count_rows &= self.last_full_of_rows && row_count <= self.limit;
        (self.last_full_of_buckets, self.last_full_of_rows) = (full_of_buckets, full_of_rows);
        if !full_of_buckets && !full_of_rows {
            return self.complete();
        }
        if self.pages == MAX_PAGES {
            return Err(Error::Inconsistent(format!("still new rows after {MAX_PAGES} pages of {}", self.limit)));
        }
        self.remember();
        Ok(Next::Offset(self.pages * self.limit))
    }

    /// Remembers all rows so far, to recognise them on later pages.
    fn remember(&mut self) {
        self.known.extend(self.new_parts.drain(..));
        self.known.extend(self.answer.rows.iter().skip(self.known_rows).map(|row| row.key.clone()));
        self.known_rows = self.answer.rows.len();
    }

    /// Keeps the new buckets and rows. Returns whether there were any.
    fn take(&mut self, page: Page) -> bool {
        let mut is_new = false;
        self.buckets.reserve(page.buckets.len());
        for bucket in page.buckets {
            if begins_at_or_after(bucket.as_deref(), self.end) {
                self.doubt(Doubt::BucketBeyondEnd);
            }
            is_new |= self.buckets.insert(bucket);
        }
        self.answer.rows.reserve(page.rows.len());
        for row in page.rows {
            // The same key twice on one page is one row in two parts: both count.
            if self.known.contains(&row.key) {
                self.answer.counters.duplicate += 1;
                continue;
            }
            is_new = true;
            if row.usage.is_some_and(|usage| usage.is_sign_negative() && !usage.is_zero())
                || row.number.is_some_and(i64::is_negative)
            {
                self.doubt(Doubt::Negative);
            }
            if row.key.is_sub_resource {
                self.answer.counters.sub_resource += 1;
                self.new_parts.push(row.key);
            } else {
                self.answer.rows.push(row);
            }
        }
        is_new
    }

    /// Ends the answer. If `count` is larger, rows that were taken for duplicates may have been other rows: that is an
    /// error. Without duplicates, it is only a doubt, because the meaning of `count` is undocumented.
    fn complete(&mut self) -> Result<Next, Error> {
        let (buckets, rows, duplicates) = (self.buckets.len(), self.row_count(), self.answer.counters.duplicate);
        let Some(count) = self.count else { return Ok(Next::Complete) };
        if duplicates > 0 && !self.covers(count) {
            return Err(Error::Inconsistent(format!(
                "count is {count}, but the pages have {buckets} different buckets and {rows} different rows; {duplicates} \
                 rows are repeated"
            )));
        }
        if usize::try_from(count).is_ok_and(|count| count > rows.max(buckets)) {
            self.doubt(Doubt::CountExceedsAnswer);
        }
        Ok(Next::Complete)
    }

    /// Whether the answer has `count` entries, provided that `count` counts the same as the limit.
    fn covers(&self, count: i64) -> bool {
        let Ok(count) = usize::try_from(count) else { return false };
        (self.may_count_buckets && count <= self.buckets.len()) || (self.may_count_rows && count <= self.row_count())
    }

    fn row_count(&self) -> usize {
        self.answer.rows.len() + usize::try_from(self.answer.counters.sub_resource).unwrap_or(usize::MAX)
    }

    fn doubt(&mut self, doubt: Doubt) {
        if !self.answer.doubts.contains(&doubt) {
            self.answer.doubts.push(doubt);
        }
    }
}

/// False if the time has no offset, because its zone is unknown.
fn begins_at_or_after(time: Option<&str>, end: DateTime<Utc>) -> bool {
    time.and_then(|time| DateTime::parse_from_rfc3339(time).ok()).is_some_and(|time| time >= end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rust_decimal::Decimal;

    use super::*;
    use crate::usage::{Tally, Unit};

    fn end() -> DateTime<Utc> {
        DateTime::from_timestamp(1_000_000_000, 0).unwrap()
    }

    fn row(bucket: usize, kind: usize, usage: i64) -> Row {
        Row {
            key: RowKey {
                time: Some(format!("t{bucket}").into()),
                resource_type: format!("r{kind}"),
                business_type: "b".to_owned(),
                unit: Unit::Minutes,
                ..RowKey::default()
            },
            usage: Some(Decimal::new(usage, 2)),
            number: Some(1),
        }
    }

    fn page(count: Option<i64>, rows: &[Row]) -> Page {
        let mut buckets: Vec<Option<Arc<str>>> = rows.iter().map(|row| row.key.time.clone()).collect();
        buckets.dedup();
        Page { count, has_list: true, buckets, rows: rows.to_vec(), dropped_values: 0 }
    }

    /// Buckets `from` to `to`, one row each.
    fn buckets(count: Option<i64>, from: usize, to: usize) -> Page {
        page(count, &(from..to).map(|bucket| row(bucket, 0, 100)).collect::<Vec<_>>())
    }

    fn add_all(limit: usize, pages: Vec<Page>) -> (Pages, Result<Next, Error>) {
        let mut collected = Pages::new(limit, end());
        let mut next = Ok(Next::Offset(0));
        for page in pages {
            assert!(matches!(next, Ok(Next::Offset(_))), "no page may follow {next:?}");
            next = collected.add(page);
        }
        (collected, next)
    }

    fn is_complete(result: (Pages, Result<Next, Error>), rows: usize) -> bool {
        matches!(result.1, Ok(Next::Complete)) && result.0.answer.rows.len() == rows
    }

    #[test]
    fn the_offset_advances_by_the_limit_and_a_short_page_is_the_last() {
        let mut pages = Pages::new(2, end());
        assert_eq!(pages.add(buckets(Some(5), 0, 2)).unwrap(), Next::Offset(2));
        assert_eq!(pages.add(buckets(None, 2, 4)).unwrap(), Next::Offset(4));
        assert_eq!(pages.add(buckets(None, 4, 5)).unwrap(), Next::Complete);
        assert_eq!((pages.answer.rows.len(), &pages.answer.doubts[..]), (5, &[][..]));
    }

    #[test]
    fn more_rows_than_the_limit_means_that_buckets_are_counted() {
        let rows = [row(0, 0, 1), row(0, 1, 1), row(0, 2, 1)];
        assert!(is_complete(add_all(2, vec![page(None, &rows)]), 3));
        let exactly = [row(0, 0, 1), row(0, 1, 1)];
        let (_, next) = add_all(2, vec![page(None, &exactly)]);
        assert_eq!(next.unwrap(), Next::Offset(2), "as many rows as the limit: there may be more");
    }

    #[test]
    fn past_the_end_an_empty_page_or_the_last_page_again_is_accepted() {
        assert!(is_complete(add_all(2, vec![buckets(None, 0, 2), page(None, &[])]), 2));
        assert!(is_complete(add_all(2, vec![buckets(None, 0, 2), buckets(None, 2, 4), buckets(None, 2, 4)]), 4));
        assert!(is_complete(add_all(2, vec![buckets(Some(2), 0, 2), buckets(None, 0, 2)]), 2));
    }

    #[test]
    fn a_server_that_ignores_offsets_is_an_error_and_never_a_sum_that_is_too_small() {
        for count in [Some(3), None] {
            let (_, result) = add_all(2, vec![buckets(count, 0, 2), buckets(count, 0, 2)]);
            assert!(matches!(result, Err(Error::Inconsistent(_))), "{result:?}");
        }
        // `count` means six days, but the first two days also have six rows.
        let three_rows_a_day = || page(Some(6), &[0, 1].map(|day| [0, 1, 2].map(|kind| row(day, kind, 1))).concat());
        let (_, result) = add_all(2, vec![three_rows_a_day(), three_rows_a_day()]);
        assert!(matches!(result, Err(Error::Inconsistent(_))), "{result:?}");
        // A video is made between the first two requests, so a row is added.
        let grown = || page(Some(3), &[row(0, 0, 100), row(1, 0, 100), row(1, 1, 100)]);
        let (_, result) = add_all(2, vec![buckets(Some(3), 0, 2), grown(), grown()]);
        assert!(matches!(result, Err(Error::Inconsistent(_))), "{result:?}");
    }

    #[test]
    fn an_empty_page_after_a_full_one_is_an_error_if_count_is_larger() {
        let (_, result) = add_all(2, vec![buckets(Some(3), 0, 2), page(None, &[])]);
        assert!(matches!(result, Err(Error::Inconsistent(_))), "{result:?}");
    }

    #[test]
    fn duplicates_are_an_error_if_count_is_larger() {
        let same_time = |from: usize, to: usize| {
            let rows: Vec<Row> = (from..to).map(|kind| row(0, kind, 1)).collect();
            page(Some(4), &rows)
        };
        // Every bucket has the time of the query's start: the second day's rows look like the first day's.
        let (_, result) = add_all(2, vec![same_time(0, 2), same_time(1, 3), same_time(3, 3)]);
        assert!(matches!(result, Err(Error::Inconsistent(_))), "{result:?}");
        let (_, result) = add_all(3, vec![same_time(0, 3), same_time(2, 3)]);
        assert!(matches!(result, Err(Error::Inconsistent(_))), "{result:?}");
    }

    #[test]
    fn duplicates_are_an_error_if_count_is_larger_than_the_buckets() {
        // `count` means three days, and every bucket has the time of the query's start.
        let first = page(Some(3), &[row(0, 0, 1), row(0, 1, 1), row(0, 2, 1)]);
        let first = Page { buckets: vec![Some("t0".into()), Some("t0".into())], ..first };
        let second = page(None, &[row(0, 0, 1), row(0, 3, 1), row(0, 4, 1)]);
        let (_, result) = add_all(2, vec![first, second]);
        assert!(matches!(result, Err(Error::Inconsistent(_))), "{result:?}");
    }

    #[test]
    fn no_list_is_an_empty_one_unless_entries_are_counted_on_the_first_page() {
        let no_list = |count| Page { count, ..Page::default() };
        assert!(is_complete(add_all(2, vec![no_list(Some(0))]), 0));
        assert!(is_complete(add_all(2, vec![no_list(None)]), 0));
        assert!(matches!(add_all(2, vec![no_list(Some(7))]).1, Err(Error::Malformed(_))));
        assert!(is_complete(add_all(2, vec![buckets(Some(2), 0, 2), no_list(Some(2))]), 2), "past the end");
    }

    #[test]
    fn a_part_of_a_bundle_does_not_hide_its_parent() {
        let mut part = row(0, 0, 1);
        part.key.is_sub_resource = true;
        let (pages, _) = add_all(1, vec![page(None, &[part]), page(None, &[row(0, 0, 1)]), page(None, &[])]);
        assert_eq!((pages.answer.rows.len(), pages.answer.counters.sub_resource), (1, 1));
    }

    #[test]
    fn endless_pages_are_an_error() {
        let endless = (0..MAX_PAGES).map(|n| buckets(None, 2 * n, 2 * n + 2)).collect();
        let (_, result) = add_all(2, endless);
        assert!(matches!(result, Err(Error::Inconsistent(_))), "{result:?}");
    }

    #[test]
    fn empty_buckets_are_new_entries_too() {
        let idle = |from: usize| Page {
            buckets: (from..from + 2).map(|bucket| Some(format!("t{bucket}").into())).collect(),
            ..Page::default()
        };
        let (pages, next) = add_all(2, vec![idle(0), idle(2), buckets(None, 4, 5)]);
        assert_eq!((next.unwrap(), pages.answer.rows.len()), (Next::Complete, 1));
    }

    #[test]
    fn a_count_beyond_the_answer_is_a_doubt_and_no_error() {
        let (pages, next) = add_all(10, vec![buckets(Some(11), 0, 4)]);
        assert_eq!(next.unwrap(), Next::Complete);
        assert_eq!(pages.answer.doubts, [Doubt::CountExceedsAnswer]);
    }

    #[test]
    fn the_same_row_counts_twice_on_one_page_and_once_on_two() {
        let (pages, _) =
            add_all(2, vec![page(None, &[row(0, 0, 1), row(0, 0, 1)]), page(None, &[row(0, 0, 1), row(1, 0, 1)])]);
        assert_eq!((pages.answer.rows.len(), pages.answer.counters.duplicate), (3, 1));
    }

    #[test]
    fn parts_of_bundles_are_counted_and_not_summed() {
        let mut part = row(0, 1, 1);
        part.key.is_sub_resource = true;
        let (pages, _) = add_all(10, vec![page(Some(2), &[row(0, 0, 1), part])]);
        assert_eq!((pages.answer.rows.len(), pages.answer.counters.sub_resource, pages.answer.doubts.len()), (1, 1, 0));
    }

    #[test]
    fn parts_of_bundles_that_come_again_are_duplicates() {
        let mut part = row(0, 0, 1);
        part.key.is_sub_resource = true;
        let (pages, _) = add_all(2, vec![page(None, &[part.clone(), row(0, 1, 1)]), page(None, &[part, row(1, 0, 1)])]);
        let answer = pages.answer;
        assert_eq!((answer.rows.len(), answer.counters.sub_resource, answer.counters.duplicate), (2, 1, 1));
    }

    #[test]
    fn a_row_of_the_first_page_is_known_on_the_third() {
        let pages = vec![buckets(None, 0, 2), buckets(None, 2, 4), page(None, &[row(0, 0, 100), row(4, 0, 100)])];
        let (pages, _) = add_all(2, pages);
        assert_eq!((pages.answer.rows.len(), pages.answer.counters.duplicate), (5, 1));
    }

    #[test]
    fn each_doubt_is_noted_once() {
        let mut beyond = page(None, &[row(0, 0, -1), row(0, 1, -1)]);
        beyond.buckets = vec![Some("2001-09-09T01:46:40Z".into()), Some("2001-09-09T09:46:39+08:00".into())];
        let (pages, _) = add_all(10, vec![beyond]);
        assert_eq!(pages.answer.doubts, [Doubt::BucketBeyondEnd, Doubt::Negative]);
    }

    proptest! {
        /// The server counts rows or buckets, has any page size, and sends a count or none. Past the end, it sends an
        /// empty page or the last page again. In all cases, the sums are those of the rows.
        #[test]
        fn rows_split_over_pages_in_any_way_give_the_same_sums(
            usages in prop::collection::vec(prop::collection::vec(0_i64..1_000_000, 0..4), 0..24),
            limit in 1_usize..9,
            by_rows in any::<bool>(),
            counted in any::<bool>(),
            repeats in any::<bool>(),
        ) {
            let rows: Vec<Row> = usages
                .iter()
                .enumerate()
                .flat_map(|(bucket, usages)| usages.iter().enumerate().map(move |(kind, &usage)| row(bucket, kind, usage)))
                .collect();
            // A page is a range of entries, each of them one row or one bucket of rows.
            let entries: Vec<Vec<Row>> = if by_rows {
                rows.iter().map(|row| vec![row.clone()]).collect()
            } else {
                usages
                    .iter()
                    .enumerate()
                    .map(|(bucket, _)| {
                        let time = Some(format!("t{bucket}").into());
                        rows.iter().filter(|row| row.key.time == time).cloned().collect()
                    })
                    .collect()
            };
            // Only a count tells a server that repeats the last page from one that ignores offsets.
            let repeats = repeats && counted && !entries.is_empty();
            let count = counted.then_some(entries.len() as i64);
            let serve = |offset: usize| {
                let offset = if repeats { offset.min((entries.len() - 1) / limit * limit) } else { offset };
                let slice: Vec<Vec<Row>> = entries.iter().skip(offset).take(limit).cloned().collect();
                let buckets = if by_rows {
                    page(count, &slice.concat()).buckets
                } else {
                    (offset..offset + slice.len()).map(|bucket| Some(format!("t{bucket}").into())).collect()
                };
                Page { count, has_list: true, buckets, rows: slice.concat(), dropped_values: 0 }
            };

            let mut pages = Pages::new(limit, end());
            let mut offset = 0;
            loop {
                match pages.add(serve(offset)) {
                    Ok(Next::Offset(next)) => offset = next,
                    Ok(Next::Complete) => break,
                    Err(error) => prop_assert!(false, "{error}"),
                }
            }
            let tally = |rows: &[Row]| {
                let mut tally = Tally::default();
                rows.iter().for_each(|row| tally.add(row, None).unwrap());
                tally
            };
            prop_assert_eq!(tally(&pages.answer.rows), tally(&rows));
        }
    }
}
