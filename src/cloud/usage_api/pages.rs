//! Joins pages into one complete answer, or refuses them.
//!
//! The API documents neither what `limit`, `offset` and `count` count, nor what it sends past the end, nor whether it
//! lowers the limit in silence (contract, 1.5). So an answer has to prove itself (`docs/numbers.md`, "Paging"):
//!
//! - The next page is asked for from the last entry that is known, and must begin with it. This shows whether the list
//!   has moved.
//! - This request may also show whether buckets or rows are counted, from 0 or from 1. If it does not, further requests
//!   for known entries do.
//! - A page that is shorter than the limit may still be cut. Where that is plausible, the last entry is asked for
//!   again: if it comes alone, nothing follows it.
//! - Entries are compared in their order. No row is left out because its key has been seen.
//!
//! A [`Service`] keeps the proven properties, so that later queries need fewer requests.

use std::{collections::HashSet, sync::Arc};

use super::wire::{MAX_ENTRIES, Page};
use crate::{
    cloud::error::Error,
    usage::{Doubt, Doubts, Row, RowCounters},
};

/// A list on more pages than this is refused as endless, unless `count` says that it ends within `MAX_COUNTED_PAGES`.
const MAX_PAGES: usize = 100;
const MAX_COUNTED_PAGES: usize = 1000;

/// Maximum bytes of texts in an answer, for each row that it may have. The texts of the documented types are shorter.
const TEXTS_OF_ROW: usize = 84;

const LAST_ENTRY_CHANGED: &str = "the last known entry changed while the list was read";

/// The entries that the limit and the offset count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counted {
    Buckets,
    Rows,
}

/// Whether `count` is the number of all buckets, or of all rows, as far as complete answers have shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Meaning {
    #[default]
    Possible,
    /// `count` was the number of the whole list, while a single page had another number.
    Shown,
    Refuted,
}

/// The proven properties of a service. At first none is proven. All are forgotten when an answer contradicts itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    counted: Option<Counted>,
    /// The number of the first entry: 0 or 1. `None` until two pages have been compared.
    first_entry: Option<usize>,
    /// Whether the service ignores limit and offset, and sends the whole list.
    sends_everything: bool,
    /// The most buckets and the most rows that a page has had. The service does not cut shorter pages.
    longest: Option<(usize, usize)>,
    count_of_buckets: Meaning,
    count_of_rows: Meaning,
    /// Whether an answer was near a bound: more than half of its maximum of rows or texts, or a page with more than
    /// half of `MAX_ENTRIES`.
    pub(super) is_near_bound: bool,
}

/// The part of the list to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// Entries per page.
    pub limit: usize,
    /// Number of the first entry.
    pub offset: usize,
}

/// The next step after a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask for this page.
    Ask(PageRequest),
    /// The answer is complete.
    Complete,
}

/// A complete answer.
#[derive(Debug, Default)]
pub struct Answer {
    /// The rows, without parts of bundles.
    pub rows: Vec<Row>,
    /// Rows that are left out.
    pub counters: RowCounters,
    /// The findings that may make the sums wrong.
    pub doubts: Doubts,
}

/// The smallest part of the list that a service may count as an entry.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Item {
    Row(Row),
    EmptyBucket(Option<Arc<str>>),
}

impl Item {
    fn has_key_of(&self, other: &Item) -> bool {
        match (self, other) {
            (Item::Row(one), Item::Row(other)) => one.key == other.key,
            (Item::EmptyBucket(one), Item::EmptyBucket(other)) => one == other,
            _ => false,
        }
    }
}

/// Items in the order of the service, and the places where buckets and rows begin.
#[derive(Debug, Default)]
struct List {
    items: Vec<Item>,
    /// Index of the first item of each bucket.
    buckets: Vec<usize>,
    /// Index of each row.
    rows: Vec<usize>,
    /// Bytes of the texts of all items.
    texts: usize,
}

impl From<Page> for List {
    fn from(page: Page) -> Self {
        let mut list = List::default();
        for bucket in page.buckets {
            list.buckets.push(list.items.len());
            list.texts += bucket.time.as_ref().map_or(0, |time| time.len());
            if bucket.rows.is_empty() {
                list.items.push(Item::EmptyBucket(bucket.time));
            }
            for row in bucket.rows {
                list.rows.push(list.items.len());
                list.texts += row.key.text_bytes();
                list.items.push(Item::Row(row));
            }
        }
        list
    }
}

impl List {
    /// The number of buckets, and the number of rows.
    fn counts(&self) -> (usize, usize) {
        (self.buckets.len(), self.rows.len())
    }

    /// Index of the first item of each entry.
    fn starts(&self, counted: Counted) -> &[usize] {
        match counted {
            Counted::Buckets => &self.buckets,
            Counted::Rows => &self.rows,
        }
    }

    /// Replaces the last `known` items by the first items of `other`, and appends the other items of `other`. A bucket
    /// that begins among those first items is not a new bucket.
    ///
    /// The later values count: they have grown, or an entry with the same key has taken the place of one that was
    /// deleted.
    fn append(&mut self, other: List, known: usize) {
        let shift = |index: &usize| index.checked_sub(known).map(|index| index + self.items.len());
        self.buckets.extend(other.buckets.iter().filter_map(shift));
        self.rows.extend(other.rows.iter().filter_map(shift));
        self.texts += other.texts;
        self.items.truncate(self.items.len().saturating_sub(known));
        self.items.extend(other.items);
    }

    /// Whether `other` begins with exactly the items of this list from `start` on.
    fn continues(&self, start: usize, other: &List) -> bool {
        self.compare(start, other, Item::eq)
    }

    /// Like [`Self::continues`], but values may have grown meanwhile. Of several items, at least one must be equal.
    /// Where rows share their keys, all values must be equal, because only the values tell the rows apart.
    fn resembles(&self, start: usize, other: &List) -> bool {
        if self.has_repeated_keys() || other.has_repeated_keys() {
            return self.continues(start, other);
        }
        let known = self.items.get(start..).unwrap_or_default();
        let is_some_equal = || known.iter().zip(&other.items).any(|(one, other)| one == other);
        self.compare(start, other, Item::has_key_of) && (known.len() < 2 || is_some_equal())
    }

    fn compare(&self, start: usize, other: &List, is_same: fn(&Item, &Item) -> bool) -> bool {
        let known = self.items.get(start..).unwrap_or_default();
        !known.is_empty()
            && known.len() <= other.items.len()
            && known.iter().zip(&other.items).all(|(one, other)| is_same(one, other))
    }

    /// Whether the times of the buckets go in one direction.
    fn is_in_order(&self) -> bool {
        let time = |index: &usize| match self.items.get(*index) {
            Some(Item::Row(row)) => row.key.time.as_deref(),
            Some(Item::EmptyBucket(time)) => time.as_deref(),
            None => None,
        };
        let times = || self.buckets.iter().map(time);
        times().is_sorted() || times().rev().is_sorted()
    }

    /// How many items from `first` on are copies of earlier items; 0 if the earlier items are not all different.
    fn copies(&self, first: usize) -> usize {
        let (known, new) = self.items.split_at(first.min(self.items.len()));
        let mut seen = HashSet::new();
        if new.is_empty() || !known.iter().all(|item| seen.insert(item)) {
            return 0;
        }
        new.iter().filter(|item| seen.contains(item)).count()
    }

    /// The index of the first bucket with several rows.
    fn bucket_of_several_rows(&self) -> Option<usize> {
        let ends = self.buckets.iter().skip(1).copied().chain([self.items.len()]);
        self.buckets.iter().zip(ends).position(|(start, end)| end - start > 1)
    }

    /// Whether there are buckets without rows. A service that counts rows sends no such bucket.
    fn has_empty_buckets(&self) -> bool {
        self.rows.len() < self.items.len()
    }

    fn has_repeated_keys(&self) -> bool {
        let mut seen = HashSet::new();
        self.items.iter().any(|item| matches!(item, Item::Row(row) if !seen.insert(&row.key)))
    }
}

/// The place in the known list at which a page begins.
#[derive(Clone, Copy, Debug)]
struct Place {
    start: usize,
    counted: Counted,
    first_entry: usize,
}

/// The purpose of the request whose page comes next.
#[derive(Debug)]
enum Phase {
    First,
    /// More entries, from the last known one on.
    More {
        offset: usize,
    },
    /// Whether only the value of the last known entry has changed: then the entry before it is the same, or the first
    /// page has the new value, too. `page` waits for the answer.
    Grown {
        offset: usize,
        page: List,
        places: Vec<Place>,
    },
    /// Whether the first entry has the number 1: then the page at offset 2 begins with the second entry. `page` waits
    /// for the answer.
    FirstEntry {
        page: List,
        places: Vec<Place>,
    },
    /// Whether the list still begins with the first entry. If another entry has moved before it, all entries have moved
    /// by one, as if they were counted from 1.
    Unmoved {
        page: List,
        places: Vec<Place>,
    },
    /// Whether the limit has an effect: one entry is asked for. `page` repeats all that is known, and waits for the
    /// answer.
    Limit {
        page: List,
        places: Vec<Place>,
    },
    /// Whether rows or buckets are counted: one entry is asked for, at the place of a bucket with several rows.
    Counted {
        bucket: usize,
        offset: usize,
    },
}

/// Collects the pages of one query.
#[derive(Debug)]
pub struct Pages {
    limit: usize,
    /// Maximum number of rows of the answer. Buckets without rows count, too.
    max_rows: usize,
    service: Service,
    phase: Phase,
    pages: usize,
    known: List,
    /// How many of the items came with the first page.
    first_items: usize,
    /// The last `count`: some APIs send it with the first page only.
    count: Option<i64>,
    /// For each page: its `count`, and the numbers of its own buckets and rows.
    counts: Vec<(Option<i64>, (usize, usize))>,
}

impl Pages {
    /// Starts an answer of at most `max_rows` rows. A page has `limit` entries, and `service` holds what has been
    /// proven before.
    pub fn new(limit: usize, max_rows: usize, service: Service) -> Self {
        // Pages overlap by one entry, so a page of one would bring nothing new.
        let limit = limit.max(2);
        Pages {
            limit,
            max_rows,
            service,
            phase: Phase::First,
            pages: 0,
            known: List::default(),
            first_items: 0,
            count: None,
            counts: Vec::new(),
        }
    }

    /// The first page to ask for.
    pub fn first(&self) -> PageRequest {
        PageRequest { limit: self.limit, offset: 0 }
    }

    /// Adds the next page.
    ///
    /// # Errors
    /// [`Error::Inconsistent`] if pages contradict each other or do not end, [`Error::Malformed`] if entries are
    /// counted but not sent, [`Error::BeyondBound`] if there are too many rows or texts.
    pub fn add(&mut self, page: Page) -> Result<Next, Error> {
        self.pages += 1;
        self.count = page.count.or(self.count);
        let own = (page.buckets.len(), page.buckets.iter().map(|bucket| bucket.rows.len()).sum());
        self.counts.push((page.count, own));
        match std::mem::replace(&mut self.phase, Phase::First) {
            Phase::First => {
                check_lists(&page)?;
                self.known = page.into();
                self.first_items = self.known.items.len();
                let length = self.known.counts();
                self.after(length, false)
            }
            Phase::More { offset } => self.add_more(page.into(), offset),
            Phase::Grown { offset, page: waiting, places } => self.add_grown(&page.into(), offset, waiting, places),
            Phase::FirstEntry { page: waiting, places } => self.add_first_entry(&page.into(), waiting, places),
            Phase::Unmoved { page: waiting, places } => {
                if !self.known.resembles(0, &page.into()) {
                    return inconsistent("the list changed while it was read: an entry moved before all others");
                }
                self.join(waiting, &places)
            }
            Phase::Limit { page: waiting, places } => {
                let page = page.into();
                if self.known.resembles(0, &page) {
                    self.service.sends_everything = true;
                    return Ok(self.complete());
                }
                if places.is_empty() {
                    return inconsistent("the service ignores the offset: every page is the first one");
                }
                // The first page began at the same offset, so this page must begin with the same entry.
                if !self.begins_with(&page, Some(0)) {
                    return inconsistent("the list changed while it was read: it begins with another entry");
                }
                self.place(waiting, places)
            }
            Phase::Counted { bucket, offset } => self.add_counted(&page.into(), bucket, offset),
        }
    }

    fn add_more(&mut self, page: List, offset: usize) -> Result<Next, Error> {
        let places = self.places(offset, &page);
        if self.known.resembles(0, &page) {
            self.phase = Phase::Limit { page, places };
            return Ok(ask(1, 0));
        }
        if places.is_empty() {
            return inconsistent(format!(
                "the page at offset {offset} does not begin with the last entry that is known: the list changed while it was \
                 read, or the offset does not count entries"
            ));
        }
        let is_changed =
            |place: &Place| self.known.items.len() == place.start + 1 && !self.known.continues(place.start, &page);
        if !places.iter().any(is_changed) {
            return self.place(page, places);
        }
        self.phase = Phase::Grown { offset, page, places };
        Ok(ask(self.limit, offset.saturating_sub(1)))
    }

    fn add_grown(&mut self, page: &List, offset: usize, waiting: List, mut places: Vec<Place>) -> Result<Next, Error> {
        places.retain(|place| {
            if offset < 2 {
                return self.has_grown(place.start, &waiting, page);
            }
            let start = self.start_of(offset - 1, place.counted, place.first_entry);
            let before = start.and_then(|start| self.known.items.get(start..place.start)).unwrap_or_default();
            !before.is_empty()
                && before.len() < page.items.len()
                && before.iter().zip(&page.items).all(|(one, other)| one == other)
        });
        if places.is_empty() { inconsistent(LAST_ENTRY_CHANGED) } else { self.place(waiting, places) }
    }

    /// Whether the first page shows, too, that the known item at `start` has grown. `seen` begins with that item.
    fn has_grown(&self, start: usize, seen: &List, first_page: &List) -> bool {
        let values = |list: &List, index: usize| match list.items.get(index) {
            Some(Item::Row(row)) => Some((row.usage, row.number)),
            _ => None,
        };
        let (before, seen, after) = (values(&self.known, start), values(seen, 0), values(first_page, start));
        self.known.compare(0, first_page, Item::has_key_of) && before < seen && seen <= after
    }

    fn add_first_entry(&mut self, page: &List, waiting: List, mut places: Vec<Place>) -> Result<Next, Error> {
        places.retain(|place| {
            let start = self.start_of(2, place.counted, place.first_entry);
            start.is_some_and(|start| self.known.resembles(start, page))
        });
        if places.is_empty() {
            return inconsistent("the list changed while it was read: its entries moved by one");
        }
        self.phase = Phase::Unmoved { page: waiting, places };
        Ok(ask(self.limit, 0))
    }

    fn add_counted(&mut self, page: &List, bucket: usize, offset: usize) -> Result<Next, Error> {
        let (buckets, _) = self.known.counts();
        if buckets > 1 && self.known.resembles(0, page) {
            self.service.sends_everything = true;
            return Ok(self.complete());
        }
        let start_of = |starts: &[usize], number: usize| starts.get(number).copied();
        if page.rows.len() > 1 && self.begins_with(page, start_of(&self.known.buckets, bucket)) {
            self.service.counted = Some(Counted::Buckets);
            // If there is only one bucket, the list is complete.
            return Ok(if buckets == 1 { self.complete() } else { self.ask_for_more() });
        }
        if page.rows.len() == 1 && self.begins_with(page, start_of(&self.known.rows, bucket)) {
            self.service.counted = Some(Counted::Rows);
            return Ok(self.ask_for_more());
        }
        // If entries are counted from 1, this page begins with the entry before the bucket.
        let before = bucket.checked_sub(1).and_then(|before| start_of(&self.known.buckets, before));
        if offset == bucket && self.service.first_entry.is_none() && self.begins_with(page, before) {
            self.phase = Phase::Counted { bucket, offset: offset + 1 };
            return Ok(ask(1, offset + 1));
        }
        inconsistent("the request for a single entry did not return that entry")
    }

    /// Whether a page begins with the known item at this index, whose values may have grown.
    fn begins_with(&self, page: &List, index: Option<usize>) -> bool {
        let known = index.and_then(|index| self.known.items.get(index));
        let is_same = |(known, first): (&Item, &Item)| {
            known == first || (known.has_key_of(first) && !self.known.has_repeated_keys())
        };
        known.zip(page.items.first()).is_some_and(is_same)
    }

    /// The rows, and what has been proven of the service.
    ///
    /// # Errors
    /// [`Error::Malformed`] if no row has a value or a type, [`Error::Inconsistent`] if rows of an unordered list came
    /// twice.
    pub fn finish(self) -> Result<(Answer, Service), Error> {
        let is_joined = self.known.items.len() > self.first_items;
        if is_joined && !self.known.is_in_order() && self.known.has_repeated_keys() {
            return inconsistent("the list has no order, and rows came twice: it changed while it was read");
        }
        let (copies, new) = (self.known.copies(self.first_items), self.known.items.len() - self.first_items);
        if 2 * copies > new {
            return inconsistent(
                "most rows of later pages are the same as rows of the first page: the list changed while it was read",
            );
        }
        let mut answer = Answer::default();
        if copies > 0 {
            let seen = format!("{copies} of {new} rows of later pages are the same as rows of the first one");
            answer.doubts.insert(Doubt::RepeatedRows, seen);
        }
        let mut has_value = self.known.rows.is_empty();
        let mut has_type = has_value;
        for item in self.known.items {
            let Item::Row(row) = item else { continue };
            has_value |= row.usage.is_some() || row.number.is_some();
            has_type |= !row.key.business_type.is_empty();
            if row.key.is_sub_resource {
                answer.counters.sub_resource += 1;
            } else {
                answer.rows.push(row);
            }
        }
        for (is_there, what) in [(has_value, "usage or a number"), (has_type, "business_type")] {
            if !is_there {
                return Err(Error::Malformed(format!("no row has a {what}: the service may have renamed it")));
            }
        }
        Ok((answer, self.service))
    }

    /// The index of the known item with which the page at `offset` begins.
    fn start_of(&self, offset: usize, counted: Counted, first_entry: usize) -> Option<usize> {
        self.known.starts(counted).get(offset.checked_sub(first_entry)?).copied()
    }

    /// The places in the known list at which the page at `offset` may begin: all with the same start. If the service is
    /// known, at most one place is left. A start where the values are equal comes before a start where they have grown.
    fn places(&self, offset: usize, page: &List) -> Vec<Place> {
        let first_entries = self.service.first_entry.map_or(0..=1, |first| first..=first);
        let counted = match self.service.counted {
            Some(counted) => vec![counted],
            None if self.known.has_empty_buckets() => vec![Counted::Buckets],
            None => vec![Counted::Buckets, Counted::Rows],
        };
        let places = first_entries.flat_map(|first_entry| {
            counted.iter().filter_map(move |&counted| {
                Some(Place { start: self.start_of(offset, counted, first_entry)?, counted, first_entry })
            })
        });
        let mut places: Vec<Place> = places.collect();
        let best = |is_one: fn(&List, usize, &List) -> bool| {
            places.iter().map(|place| place.start).find(|start| is_one(&self.known, *start, page))
        };
        let start = best(List::continues).or_else(|| best(List::resembles));
        places.retain(|place| Some(place.start) == start);
        places
    }

    /// Joins a page that begins at one of these places. If entries may be counted from 1, two more requests must first
    /// settle this.
    fn place(&mut self, page: List, places: Vec<Place>) -> Result<Next, Error> {
        if places.iter().any(|place| place.first_entry == 1) && self.service.first_entry.is_none() {
            self.phase = Phase::FirstEntry { page, places };
            return Ok(ask(self.limit, 2));
        }
        self.join(page, &places)
    }

    /// Joins a page that begins at one of these places, which have the same start.
    fn join(&mut self, page: List, places: &[Place]) -> Result<Next, Error> {
        let Some(Place { start, counted, first_entry }) = places.first().copied() else { return Ok(self.complete()) };
        // A property is proven if all places share it. `first_entry` is always the same in all places: while it is not
        // known whether the service counts buckets or rows, each known bucket has exactly one row. So the number of a
        // bucket is the number of its row.
        if places.iter().all(|place| place.counted == counted) {
            self.service.counted = Some(counted);
        }
        self.service.first_entry = Some(first_entry);
        let known = self.known.items.len() - start;
        // Only a page with nothing but the last entry shows that nothing follows. A longer page may have been cut.
        let is_last = self.known.starts(counted).last() == Some(&start);
        let is_end = is_last && page.items.len() == known;
        let length = page.counts();
        self.known.append(page, known);
        self.after(length, is_end)
    }

    /// Checks the bounds of the whole answer, after a page with `length` buckets and rows.
    fn check_bounds(&mut self, length: (usize, usize)) -> Result<(), Error> {
        let (rows, texts) = (self.known.items.len(), self.known.texts);
        let (max_rows, max_texts) = (self.max_rows, self.max_rows.saturating_mul(TEXTS_OF_ROW));
        let beyond = |what: String| {
            let (pages, remedy) = (self.pages, "configure shorter windows, or increase api.max_rows");
            Err(Error::BeyondBound(format!("an answer has {what} on its first {pages} pages: {remedy}")))
        };
        if rows > max_rows {
            return beyond(format!("{rows} rows (at most {max_rows})"));
        }
        if texts > max_texts {
            return beyond(format!("{texts} bytes of texts (at most {max_texts})"));
        }
        let is_near = |number: usize, most: usize| 2 * number > most;
        self.service.is_near_bound |=
            is_near(rows, max_rows) || is_near(texts, max_texts) || is_near(length.0 + length.1, MAX_ENTRIES);
        Ok(())
    }

    /// Decides whether the answer may go on after a page with `length` buckets and rows. With `is_end`, the page has
    /// shown that it does not.
    fn after(&mut self, length: (usize, usize), is_end: bool) -> Result<Next, Error> {
        self.check_bounds(length)?;
        let (most_buckets, most_rows) = self.service.longest.unwrap_or_default();
        self.service.longest = Some((most_buckets.max(length.0), most_rows.max(length.1)));
        // Both buckets and rows are compared with the limit, although it counts only one of them. `counted` may be
        // wrong if the list changed while it was proven.
        let is_full = length.0 == self.limit || length.1 == self.limit;
        let is_shorter = length.0 < most_buckets && length.1 < most_rows;
        let is_plausible_cut = is_round(length.0) || is_round(length.1);
        let is_proven = self.service.sends_everything
            || is_end
            // If there is only one entry, a further page would begin with it, as the first page did, and prove nothing.
            || (self.entries() < 2 && (self.service.counted.is_some() || self.known.items.len() < 2))
            || (!is_full && (is_shorter || self.count_proves()));
        let is_unknown_service = self.service.first_entry.is_none();
        if is_proven || !(is_full || is_plausible_cut || is_unknown_service || self.count_contradicts()) {
            return Ok(self.complete());
        }
        let (buckets, rows) = self.known.counts();
        // `count` may promise that the end is near.
        let missing = self.count.and_then(|count| usize::try_from(count).ok()?.checked_sub(rows.max(buckets)));
        let most = MAX_COUNTED_PAGES.saturating_sub(self.pages) * (self.limit - 1);
        if self.pages >= MAX_PAGES && missing.is_none_or(|missing| missing == 0 || missing > most) {
            return inconsistent(format!("still new entries after {} pages of {}", self.pages, self.limit));
        }
        if self.service.counted.is_none()
            && let Some(bucket) = self.known.bucket_of_several_rows()
        {
            let offset = bucket + self.service.first_entry.unwrap_or(0);
            self.phase = Phase::Counted { bucket, offset };
            return Ok(ask(1, offset));
        }
        Ok(self.ask_for_more())
    }

    /// Asks for the list from its last known entry on.
    fn ask_for_more(&mut self) -> Next {
        let offset = self.entries().saturating_sub(1) + self.service.first_entry.unwrap_or(0);
        self.phase = Phase::More { offset };
        ask(self.limit, offset)
    }

    /// The number of entries that are known: buckets or rows, whichever is counted. If no bucket has several rows, both
    /// numbers are the same. Empty buckets make no difference, because a service that counts rows sends none.
    fn entries(&self) -> usize {
        self.known.starts(self.service.counted.unwrap_or(Counted::Buckets)).len()
    }

    /// Ends the answer. Its pages show what `count` means.
    fn complete(&mut self) -> Next {
        let (buckets, rows) = self.known.counts();
        let show = |before: Meaning, all: usize, own: fn(&(usize, usize)) -> usize| {
            let is_other = |count: i64| i64::try_from(all) != Ok(count);
            if before == Meaning::Refuted || self.counts.iter().any(|(count, _)| count.is_some_and(is_other)) {
                Meaning::Refuted
            } else if self.count.is_some() && self.counts.iter().any(|(_, page)| own(page) != all) {
                Meaning::Shown
            } else {
                before
            }
        };
        let of_buckets = show(self.service.count_of_buckets, buckets, |own| own.0);
        self.service.count_of_rows = show(self.service.count_of_rows, rows, |own| own.1);
        self.service.count_of_buckets = of_buckets;
        let is_own = |(count, (buckets, rows)): &(Option<i64>, (usize, usize))| {
            count.is_none_or(|count| [*buckets, *rows].into_iter().any(|own| i64::try_from(own) == Ok(count)))
        };
        let is_same = |(count, _): &(Option<i64>, _)| count.is_none() || *count == self.count;
        if !self.counts.iter().all(is_own) && !self.counts.iter().all(is_same) {
            // The list changed while it was read, so what its pages have proven may be wrong.
            self.service = Service { is_near_bound: self.service.is_near_bound, ..Service::default() };
        }
        Next::Complete
    }

    /// The possible meanings of `count`, and whether `count` has that value now.
    fn meanings(&self) -> impl Iterator<Item = (Meaning, bool)> {
        let (buckets, rows) = self.known.counts();
        let meanings = [(self.service.count_of_buckets, buckets), (self.service.count_of_rows, rows)];
        let count = self.count;
        let possible = meanings.into_iter().filter(|(meaning, _)| *meaning != Meaning::Refuted);
        possible.map(move |(meaning, entries)| (meaning, count == i64::try_from(entries).ok()))
    }

    /// Whether `count` has the value that complete answers have shown it to have. If a page can be cut between two rows
    /// of a bucket, the number of buckets proves nothing: rows of the last bucket may be missing.
    fn count_proves(&self) -> bool {
        let of_buckets =
            self.service.count_of_buckets == Meaning::Shown && self.service.counted == Some(Counted::Buckets);
        let is_shown = of_buckets || self.service.count_of_rows == Meaning::Shown;
        is_shown && self.meanings().all(|(_, is_equal)| is_equal)
    }

    /// Whether `count` is there, and has none of the values that it may mean.
    fn count_contradicts(&self) -> bool {
        self.count.is_some() && self.meanings().next().is_some() && !self.meanings().any(|(_, is_equal)| is_equal)
    }
}

/// A length at which services cut pages in silence: 10, 50, 64, 100 …
fn is_round(length: usize) -> bool {
    length >= 10 && (length.is_multiple_of(5) || length.is_power_of_two())
}

/// Refuses a first page that counts entries and does not send them. Also refuses buckets without a list of rows, which
/// may have another name.
fn check_lists(page: &Page) -> Result<(), Error> {
    let is_counted = page.count.is_some_and(|count| count > 0);
    let lacks_rows = |bucket: &super::wire::Bucket| !bucket.has_list;
    let what = if is_counted && !page.has_list {
        "there is no time_list"
    } else if is_counted && page.buckets.is_empty() {
        "time_list is empty"
    } else if (is_counted && page.buckets.iter().any(lacks_rows))
        || (!page.buckets.is_empty() && page.buckets.iter().all(lacks_rows))
    {
        "entries of time_list have no resources_usage"
    } else {
        return Ok(());
    };
    let count = page.count.map_or("absent".to_owned(), |count| count.to_string());
    Err(Error::Malformed(format!("{what}, and count is {count}: the service may have renamed a list")))
}

fn ask(limit: usize, offset: usize) -> Next {
    Next::Ask(PageRequest { limit, offset })
}

fn inconsistent<T>(what: impl Into<String>) -> Result<T, Error> {
    Err(Error::Inconsistent(what.into()))
}

#[cfg(test)]
pub(crate) mod tests;
