//! Services that keep to the words of the API page, and differ in all that it leaves open (`docs/numbers.md`,
//! "How it is tested"). Each has lists whose exact sums are known, and is asked as a poll asks.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use rust_decimal::Decimal;

use super::{
    super::{Next, PageRequest, Pages, Service},
    bucket, row,
};
use crate::{
    cloud::usage_api::wire::{Bucket, Page},
    usage::Row,
};

/// What a service does with the offset, and with its list between two requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Sound,
    /// Values of the last entry grow between two requests.
    Growing,
    FirstEntryIs1,
    SendsEverything,
    OffsetNumbersPages,
    OffsetIgnored,
    Shuffled,
    EntryDeleted,
    EntryInserted,
    EntryMoved,
}

impl Kind {
    pub(crate) const ALL: [Kind; 10] = [
        Kind::Sound,
        Kind::Growing,
        Kind::FirstEntryIs1,
        Kind::SendsEverything,
        Kind::OffsetNumbersPages,
        Kind::OffsetIgnored,
        Kind::Shuffled,
        Kind::EntryDeleted,
        Kind::EntryInserted,
        Kind::EntryMoved,
    ];

    /// Whether every answer must come out right. Answers of the other kinds may be refused.
    pub(crate) fn must_be_right(self) -> bool {
        matches!(self, Kind::Sound | Kind::Growing | Kind::FirstEntryIs1 | Kind::SendsEverything)
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Count {
    Absent,
    Buckets,
    Rows,
    DistinctTypes,
    OfThisPage,
    Zero,
    OfFirstPageOnly,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum PastTheEnd {
    Nothing,
    Null,
    Error,
    LastPageAgain,
}

/// How the rows of a list differ from each other.
#[derive(Clone, Copy, Debug)]
enum Times {
    /// Each bucket has its own time.
    Distinct,
    /// All buckets have the start of the query.
    Equal,
    /// One row for each video: the rows of a bucket have the same key.
    EqualRows,
}

/// Hundredths of the rows of each bucket.
#[derive(Clone)]
struct List(Vec<Vec<i64>>);

impl std::fmt::Debug for List {
    /// On one line, so that people can read a failure.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// What a service does with limit, offset and count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paging {
    pub kind: Kind,
    pub counts_rows: bool,
    pub cap: Option<usize>,
    pub count: Count,
    pub past: PastTheEnd,
    pub seed: u64,
}

/// A service, and the lists that it is asked for.
#[derive(Clone, Debug)]
struct Model {
    paging: Paging,
    times: Times,
    /// The lists are asked for one after another.
    lists: Vec<List>,
    limit: usize,
}

impl Model {
    /// Where entries share their keys, only their values tell them apart. If these change, an answer may be refused.
    fn must_be_right(&self) -> bool {
        let is_told_apart = matches!(self.times, Times::Distinct) || self.paging.kind != Kind::Growing;
        self.paging.kind.must_be_right() && is_told_apart
    }

    fn buckets(&self, list: &List) -> Vec<Bucket> {
        // Equal entries cannot be told apart. So each value is different, and so is the time of each empty bucket.
        let mut number = 0;
        let mut distinct = |value: &i64| {
            number += 1;
            value * 1000 + number
        };
        let is_entry = |rows: &&Vec<i64>| !(rows.is_empty() && matches!(self.times, Times::Equal));
        let days = list.0.iter().filter(is_entry).enumerate().map(|(day, rows)| {
            let time = match self.times {
                Times::Equal => "t".to_owned(),
                Times::Distinct | Times::EqualRows => format!("t{day:04}"),
            };
            let kind = |index| if matches!(self.times, Times::EqualRows) { 0 } else { index };
            let rows = rows.iter().enumerate().map(|(index, value)| row(&time, kind(index), distinct(value)));
            bucket(&time, rows.collect())
        });
        days.collect()
    }
}

/// A service while it answers the requests for one list.
pub(crate) struct Served {
    paging: Paging,
    /// What the service counts: buckets, or rows, each in a bucket of its own.
    entries: Vec<Bucket>,
    random: u64,
    requests: usize,
}

impl Served {
    pub(crate) fn new(paging: Paging, buckets: Vec<Bucket>) -> Self {
        let alone = |bucket: Bucket| {
            let Bucket { time, has_list, rows } = bucket;
            rows.into_iter().map(move |row| Bucket { time: time.clone(), has_list, rows: vec![row] })
        };
        let entries = if paging.counts_rows { buckets.into_iter().flat_map(alone).collect() } else { buckets };
        Served { paging, entries, random: paging.seed, requests: 0 }
    }

    fn random(&mut self, below: usize) -> usize {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) as usize % below.max(1)
    }

    /// The exact sum, in hundredths. It is a sum of integers, so it shares no code with the sums of the exporter.
    fn sum(&self) -> i64 {
        self.entries.iter().flat_map(|entry| &entry.rows).map(hundredths).sum()
    }

    /// Changes the list, as it may happen between two requests.
    fn change(&mut self) {
        let length = self.entries.len();
        let (from, to) = (self.random(length), self.random(length));
        match self.paging.kind {
            _ if length < 2 || self.requests == 0 => {}
            Kind::Shuffled => {
                for index in (1..length).rev() {
                    let other = self.random(index + 1);
                    self.entries.swap(index, other);
                }
            }
            Kind::EntryDeleted if self.requests == 1 => drop(self.entries.remove(from)),
            Kind::EntryInserted if self.requests == 1 => {
                let time = format!("new{}", self.random);
                self.entries.insert(to, bucket(&time, vec![row(&time, 9, 7)]));
            }
            Kind::EntryMoved if self.requests == 1 => {
                let entry = self.entries.remove(from);
                self.entries.insert(to, entry);
            }
            Kind::Growing => {
                let rows = self.entries.last_mut().map(|entry| &mut entry.rows);
                let usage = rows.and_then(|rows| rows.last_mut()?.usage.as_mut());
                usage.into_iter().for_each(|usage| *usage += Decimal::new(1, 2));
            }
            _ => {}
        }
    }

    /// The answer to a request; an error is HTTP 400.
    pub(crate) fn page(&mut self, request: PageRequest) -> Result<Page, ()> {
        self.change();
        let is_first = self.requests == 0;
        self.requests += 1;
        let paging = self.paging;
        let length = self.entries.len();
        let limit = paging.cap.map_or(request.limit, |cap| cap.min(request.limit));
        let (start, limit) = match paging.kind {
            Kind::SendsEverything => (0, length),
            Kind::OffsetIgnored => (0, limit),
            Kind::OffsetNumbersPages => (request.offset * limit, limit),
            Kind::FirstEntryIs1 => (request.offset.saturating_sub(1), limit),
            _ => (request.offset, limit),
        };
        let is_past = start >= length && length > 0;
        let start = match paging.past {
            PastTheEnd::Error if is_past => return Err(()),
            PastTheEnd::LastPageAgain if is_past => (length - 1) / limit * limit,
            _ => start,
        };
        let mut page = Page { has_list: !(is_past && matches!(paging.past, PastTheEnd::Null)), ..Page::default() };
        for entry in self.entries.iter().skip(start).take(limit) {
            match page.buckets.last_mut().filter(|last| paging.counts_rows && last.time == entry.time) {
                Some(last) => last.rows.extend(entry.rows.iter().cloned()),
                None => page.buckets.push(entry.clone()),
            }
        }
        let times: BTreeSet<_> = self.entries.iter().map(|entry| &entry.time).collect();
        let count = |number: usize| Some(number as i64);
        page.count = match paging.count {
            Count::Absent => None,
            Count::OfFirstPageOnly if !is_first => None,
            Count::Buckets if paging.counts_rows => count(times.len()),
            Count::Buckets | Count::OfFirstPageOnly => count(length),
            Count::Rows => count(self.entries.iter().map(|entry| entry.rows.len()).sum()),
            Count::DistinctTypes => count(4.min(length)),
            Count::OfThisPage => count(page.buckets.len()),
            Count::Zero => Some(0),
        };
        Ok(page)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Right,
    Refused,
    /// Wrong, and published with a doubt.
    Doubted,
    /// Wrong, but the answer has every row of its pages exactly once. By chance, no page shows that the order changed.
    NoTrace,
    Wrong,
}

/// Asks for a list as a poll does.
fn ask(served: &mut Served, limit: usize, service: &mut Service) -> Outcome {
    // The list may change meanwhile: the sums before and after are both right.
    let mut sums = vec![served.sum()];
    let mut sent = BTreeMap::new();
    let mut pages = Pages::new(limit, 100_000, service.clone());
    let mut request = pages.first();
    let result = loop {
        let Ok(page) = served.page(request) else { break None };
        sums.push(served.sum());
        let rows = page.buckets.iter().flat_map(|bucket| &bucket.rows);
        sent.extend(rows.map(|row| (format!("{:?}", row.key), hundredths(row))));
        match pages.add(page) {
            Ok(Next::Ask(next)) => request = next,
            Ok(Next::Complete) => break pages.finish().ok(),
            Err(_) => break None,
        }
    };
    let Some((answer, proven)) = result else {
        *service = Service::default();
        return Outcome::Refused;
    };
    *service = proven;
    let sum: i64 = answer.rows.iter().map(hundredths).sum();
    match sums.contains(&sum) {
        true => Outcome::Right,
        false if !answer.doubts.is_empty() => Outcome::Doubted,
        false if served.paging.kind == Kind::Shuffled && sum == sent.values().sum::<i64>() => Outcome::NoTrace,
        false => Outcome::Wrong,
    }
}

fn hundredths(row: &Row) -> i64 {
    row.usage.unwrap().mantissa() as i64
}

pub(crate) fn paging(kind: Kind) -> impl Strategy<Value = Paging> {
    let count = prop_oneof![
        Just(Count::Absent),
        Just(Count::Buckets),
        Just(Count::Rows),
        Just(Count::DistinctTypes),
        Just(Count::OfThisPage),
        Just(Count::Zero),
        Just(Count::OfFirstPageOnly),
    ];
    let past = prop_oneof![
        Just(PastTheEnd::Nothing),
        Just(PastTheEnd::Null),
        Just(PastTheEnd::Error),
        Just(PastTheEnd::LastPageAgain),
    ];
    let cap = prop::option::of(prop::sample::select(vec![10, 50, 100, 200, 500]));
    (any::<bool>(), cap, count, past, any::<u64>()).prop_map(move |(counts_rows, cap, count, past, seed)| Paging {
        kind,
        counts_rows,
        cap,
        count,
        past,
        seed,
    })
}

fn model(kind: Kind) -> impl Strategy<Value = Model> {
    let times = prop_oneof![3 => Just(Times::Distinct), 1 => Just(Times::Equal), 1 => Just(Times::EqualRows)];
    let lists = |buckets: std::ops::Range<usize>| {
        let list = prop::collection::vec(prop::collection::vec(0..100_000_i64, 0..5), buckets).prop_map(List);
        prop::collection::vec(list, 1..5)
    };
    let limit = |limits: &[usize]| prop::sample::select(limits.to_vec());
    let sizes = prop_oneof![
        (limit(&[2, 3, 5]), lists(0..12)),
        (limit(&[10, 100, 1000]), lists(0..4)),
        (limit(&[10, 100, 1000]), lists(0..120)),
    ];
    (paging(kind), times, sizes).prop_map(move |(paging, times, (limit, lists))| Model {
        paging,
        // If entries share their keys, a new order for each request may look right by chance.
        times: if kind == Kind::Shuffled { Times::Distinct } else { times },
        lists,
        limit,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn nothing_wrong_is_published_and_sound_services_are_never_refused(
        model in prop::sample::select(Kind::ALL.to_vec()).prop_flat_map(model),
    ) {
        let mut service = Service::default();
        for list in &model.lists {
            let outcome = ask(&mut Served::new(model.paging, model.buckets(list)), model.limit, &mut service);
            prop_assert_ne!(outcome, Outcome::Wrong);
            prop_assert!(!model.must_be_right() || outcome == Outcome::Right, "{:?}", outcome);
        }
    }
}

/// Rows of one key: the last known one is deleted, and the next one has a larger value, as if the deleted one had
/// grown.
#[test]
fn a_row_that_takes_the_place_of_a_deleted_one_is_not_lost() {
    let lists = vec![List(vec![vec![0], vec![0, 0]])];
    let mut outcomes = BTreeSet::new();
    for seed in 0..1000 {
        let paging = Paging {
            kind: Kind::EntryDeleted,
            counts_rows: true,
            cap: None,
            count: Count::Absent,
            past: PastTheEnd::Nothing,
            seed,
        };
        let model = Model { paging, times: Times::EqualRows, lists: lists.clone(), limit: 2 };
        outcomes.insert(ask(&mut Served::new(paging, model.buckets(&lists[0])), model.limit, &mut Service::default()));
    }
    assert!(outcomes.contains(&Outcome::Right) && !outcomes.contains(&Outcome::Wrong), "{outcomes:?}");
}

/// Prints the table: `cargo test --lib services -- --ignored --nocapture`.
#[test]
#[ignore = "prints a table for people"]
fn table_of_services() {
    const WORLDS: usize = 2_000;
    let mut runner = TestRunner::deterministic();
    for kind in Kind::ALL {
        let (mut outcomes, mut requests) = (BTreeMap::<Outcome, usize>::new(), [(0, 0); 2]);
        for _ in 0..WORLDS {
            let model = model(kind).new_tree(&mut runner).unwrap().current();
            let mut service = Service::default();
            // The lists of a first poll, and those of a later one.
            for requests in &mut requests {
                for list in &model.lists {
                    let mut served = Served::new(model.paging, model.buckets(list));
                    *outcomes.entry(ask(&mut served, model.limit, &mut service)).or_default() += 1;
                    requests.0 += served.requests;
                    requests.1 += 1;
                }
            }
        }
        let each = requests.map(|(requests, queries)| format!("{:.2}", requests as f64 / queries as f64));
        println!("| {kind:?} | {WORLDS} | {outcomes:?} | {} |", each.join(" | "));
    }
}
