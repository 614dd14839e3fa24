//! A list of usage, read page by page from a sound service: the sum is right, or the answer has a doubt. If the list
//! changes once while it is read, the sum is the sum before or after the change, or the answer is refused or has a
//! doubt.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use metastudio_exporter::{
    cloud::usage_api::{
        PageRequest, Service,
        pages::{Next, Pages},
        wire::{Bucket, Page},
    },
    usage::{Row, RowKey, Unit},
};

/// Maximum number of buckets, and of rows in a bucket.
const MOST: (usize, usize) = (40, 4);

#[derive(Arbitrary, Debug)]
struct Input {
    /// The number of rows of each bucket.
    lists: Vec<Vec<u8>>,
    limit: u8,
    counts_rows: bool,
    first_entry_is_1: bool,
    cap: Option<bool>,
    count: Count,
    change: Option<(u8, Change)>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Count {
    Absent,
    Buckets,
    Rows,
    OfThisPage,
    Constant(u8),
}

/// A change of the list. The numbers select entries.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Change {
    Delete(u8),
    Insert(u8),
    Move(u8, u8),
    Grow(u8),
}

fuzz_target!(|input: Input| {
    let mut service = Service::default();
    for list in input.lists.iter().take(3) {
        let mut served = Served { input: &input, entries: entries(list, input.counts_rows), requests: 0 };
        let before = served.sum();
        // At most 100 pages are read. Pages overlap by one entry, so with a limit of 2 the largest list has more pages.
        let mut pages = Pages::new(usize::from(input.limit.max(3)), 100_000, service.clone());
        let mut request = pages.first();
        let answer = loop {
            match pages.add(served.page(request)) {
                Ok(Next::Ask(next)) => request = next,
                Ok(Next::Complete) => break pages.finish(),
                Err(error) => break Err(error),
            }
        };
        let sums = [before, served.sum()];
        match answer {
            Ok((answer, proven)) => {
                let sum = answer.rows.iter().map(value).sum();
                assert!(sums.contains(&sum) || !answer.doubts.is_empty(), "{sum} {sums:?}");
                service = proven;
            }
            Err(error) => {
                assert!(input.change.is_some(), "{error}");
                service = Service::default();
            }
        }
    }
});

/// The entries of a list, as the service counts them. No two rows are the same.
fn entries(list: &[u8], counts_rows: bool) -> Vec<Bucket> {
    let mut value = 0;
    let mut buckets = Vec::new();
    for (day, rows) in list.iter().take(MOST.0).enumerate() {
        let time = format!("t{day:02}");
        let rows: Vec<Row> = (0..usize::from(*rows) % (MOST.1 + 1))
            .map(|kind| {
                value += 1;
                row(&time, kind, value)
            })
            .collect();
        if counts_rows {
            buckets.extend(rows.into_iter().map(|row| bucket(&time, vec![row])));
        } else {
            buckets.push(bucket(&time, rows));
        }
    }
    buckets
}

fn bucket(time: &str, rows: Vec<Row>) -> Bucket {
    Bucket { time: Some(time.into()), has_list: true, rows }
}

fn row(time: &str, kind: usize, value: i64) -> Row {
    let key = RowKey {
        time: Some(time.into()),
        resource_type: format!("r{kind}"),
        business_type: "b".to_owned(),
        unit: Unit::Minutes,
        ..RowKey::default()
    };
    Row { key, usage: Some(value.into()), number: None }
}

fn value(row: &Row) -> i64 {
    row.usage.unwrap().mantissa() as i64
}

struct Served<'a> {
    input: &'a Input,
    entries: Vec<Bucket>,
    requests: usize,
}

impl Served<'_> {
    fn sum(&self) -> i64 {
        self.entries.iter().flat_map(|entry| &entry.rows).map(value).sum()
    }

    fn page(&mut self, request: PageRequest) -> Page {
        assert!(self.requests < 20 + 2 * MOST.0 * MOST.1, "the requests do not end");
        if let Some((at, change)) = self.input.change
            && self.requests == 1 + usize::from(at)
        {
            self.change(change);
        }
        self.requests += 1;
        // Lengths at which services cut pages.
        let cap = self.input.cap.map_or(usize::MAX, |is_larger| if is_larger { 16 } else { 10 });
        let start = request.offset.saturating_sub(self.input.first_entry_is_1.into());
        let mut page = Page { count: None, has_list: true, buckets: Vec::new() };
        for entry in self.entries.iter().skip(start).take(request.limit.min(cap)) {
            match page.buckets.last_mut().filter(|last| self.input.counts_rows && last.time == entry.time) {
                Some(last) => last.rows.extend(entry.rows.iter().cloned()),
                None => page.buckets.push(entry.clone()),
            }
        }
        let times = self.entries.iter().map(|entry| &entry.time).collect::<std::collections::BTreeSet<_>>();
        page.count = match self.input.count {
            Count::Absent => None,
            Count::Buckets => Some(times.len() as i64),
            Count::Rows => Some(self.entries.iter().map(|entry| entry.rows.len() as i64).sum()),
            Count::OfThisPage => Some(page.buckets.len() as i64),
            Count::Constant(count) => Some(i64::from(count) * i64::from(!self.entries.is_empty())),
        };
        page
    }

    fn change(&mut self, change: Change) {
        let length = self.entries.len();
        let at = |number: u8| usize::from(number) % length.max(1);
        match change {
            Change::Insert(to) => self.entries.insert(at(to), bucket("new", vec![row("new", 0, 1000)])),
            _ if length == 0 => {}
            Change::Delete(from) => drop(self.entries.remove(at(from))),
            Change::Move(from, to) => {
                let entry = self.entries.remove(at(from));
                self.entries.insert(at(to), entry);
            }
            Change::Grow(of) => {
                let rows = self.entries[at(of)].rows.iter_mut().take(1);
                rows.for_each(|row| row.usage = row.usage.map(|usage| usage + rust_decimal::Decimal::from(5000)));
            }
        }
    }
}
