use rust_decimal::Decimal;

use super::{super::wire::Bucket, *};
use crate::usage::{RowKey, Unit};

pub(crate) mod services;

fn row(time: &str, kind: usize, usage: i64) -> Row {
    Row {
        key: RowKey {
            time: Some(time.into()),
            resource_type: format!("r{kind}"),
            business_type: "b".to_owned(),
            unit: Unit::Minutes,
            ..RowKey::default()
        },
        usage: Some(Decimal::new(usage, 2)),
        number: Some(1),
    }
}

fn bucket(time: &str, rows: Vec<Row>) -> Bucket {
    Bucket { time: Some(time.into()), has_list: true, rows }
}

fn time(day: usize) -> String {
    format!("t{day:03}")
}

/// Days `from` to `to`, each with `rows` rows.
fn days(count: Option<i64>, from: usize, to: usize, rows: usize) -> Page {
    let day = |day: usize| bucket(&time(day), (0..rows).map(|kind| row(&time(day), kind, 100)).collect());
    Page { count, has_list: true, buckets: (from..to).map(day).collect() }
}

fn request(limit: usize, offset: usize) -> Next {
    Next::Ask(PageRequest { limit, offset })
}

/// Adds pages, each with the step that must follow it. Returns the rows and what was proven.
fn collect(limit: usize, service: Service, steps: Vec<(Page, Next)>) -> (usize, Service) {
    let mut pages = Pages::new(limit, MAX_ROWS, service);
    for (index, (page, next)) in steps.into_iter().enumerate() {
        assert_eq!(pages.add(page).unwrap(), next, "after page {index}");
    }
    let (answer, service) = pages.finish().unwrap();
    (answer.rows.len(), service)
}

/// The error of the last page; all before are accepted.
fn refusal(limit: usize, pages: Vec<Page>) -> String {
    let mut joined = Pages::new(limit, MAX_ROWS, Service::default());
    let mut result = Ok(Next::Complete);
    for page in pages {
        assert!(result.is_ok(), "{result:?}");
        result = joined.add(page);
    }
    result.unwrap_err().to_string()
}

/// The proven properties of a sound service that counts buckets, after one answer of 31 days.
fn sound() -> Service {
    let steps = vec![
        // One entry is asked for, to see if it is a row or a bucket of two.
        (days(Some(31), 0, 31, 2), request(1, 0)),
        (days(Some(31), 0, 1, 2), request(1000, 30)),
        (days(Some(31), 30, 31, 2), Next::Complete),
    ];
    collect(1000, Service::default(), steps).1
}

const MAX_ROWS: usize = 100_000;
const MAX_TEXTS: usize = MAX_ROWS * TEXTS_OF_ROW;
const ANOTHER: &str = "the request for a single entry did not return that entry";

#[test]
fn a_short_answer_of_an_unknown_service_is_proven_by_its_last_entry() {
    let service = sound();
    assert_eq!((service.counted, service.first_entry), (Some(Counted::Buckets), Some(0)));
    assert_eq!((service.count_of_buckets, service.count_of_rows), (Meaning::Shown, Meaning::Refuted));
    // Later answers need one request, if they are shorter, or if count proves them.
    assert_eq!(collect(1000, service.clone(), vec![(days(None, 0, 10, 2), Next::Complete)]).0, 20);
    assert_eq!(collect(1000, service, vec![(days(Some(40), 0, 40, 2), Next::Complete)]).0, 80);
}

#[test]
fn a_limit_that_is_capped_in_silence_is_found() {
    for (count, rows) in [(None, 1), (Some(31), 1), (Some(31), 4), (Some(10), 1), (Some(4), 4), (Some(124), 4)] {
        let mut steps = vec![(days(count, 0, 10, rows), request(1000, 9))];
        if rows > 1 {
            steps = vec![(days(count, 0, 10, rows), request(1, 0)), (days(count, 0, 1, rows), request(1000, 9))];
        }
        steps.extend([
            (days(count, 9, 19, rows), request(1000, 18)),
            (days(count, 18, 28, rows), request(1000, 27)),
            (days(count, 27, 31, rows), Next::Complete),
        ]);
        assert_eq!(collect(1000, Service::default(), steps).0, 31 * rows, "{count:?}");
    }
    // Rows are counted.
    let rows = |from: usize, to: usize| Page {
        buckets: (from..to).map(|entry| bucket(&time(entry / 4), vec![row(&time(entry / 4), entry % 4, 1)])).collect(),
        ..days(None, 0, 0, 0)
    };
    let merged = |from, to| {
        let mut page = rows(from, to);
        let mut buckets: Vec<Bucket> = Vec::new();
        for next in page.buckets {
            match buckets.last_mut().filter(|last| last.time == next.time) {
                Some(last) => last.rows.extend(next.rows),
                None => buckets.push(next),
            }
        }
        page.buckets = buckets;
        page
    };
    let steps = vec![
        (merged(0, 10), request(1, 0)),
        (merged(0, 1), request(1000, 9)),
        (merged(9, 19), request(1000, 18)),
        (merged(18, 24), Next::Complete),
    ];
    assert_eq!(collect(1000, Service::default(), steps).0, 24);
}

#[test]
fn a_longer_page_than_before_is_asked_for_again_only_at_the_length_of_a_usual_cut() {
    // 40 days are more than any page has had, and `count` counts neither buckets nor rows.
    let service = Service { count_of_buckets: Meaning::Refuted, ..sound() };
    let steps = vec![(days(Some(2), 0, 40, 2), request(1000, 39)), (days(Some(2), 39, 40, 2), Next::Complete)];
    assert_eq!(collect(1000, service.clone(), steps).0, 80);
    assert_eq!(collect(1000, service, vec![(days(Some(2), 0, 33, 2), Next::Complete)]).0, 66, "33 is no usual cap");
}

#[test]
fn the_first_entry_may_have_the_number_1() {
    let first = || days(None, 0, 4, 1);
    let steps = vec![
        (first(), request(1000, 3)),
        // Offset 3 gives the third entry. The request at offset 2 excludes an offset that is ignored. The request at
        // offset 0 excludes a list that has moved.
        (days(None, 2, 4, 1), request(1000, 2)),
        (days(None, 1, 4, 1), request(1000, 0)),
        (first(), Next::Complete),
    ];
    let (rows, service) = collect(1000, Service::default(), steps);
    assert_eq!((rows, service.first_entry), (4, Some(1)));
    let steps = vec![(days(None, 0, 10, 1), request(1000, 10)), (days(None, 9, 10, 1), Next::Complete)];
    assert_eq!(collect(1000, service, steps).0, 10);
    let error = refusal(1000, vec![first(), days(None, 2, 4, 1), days(None, 2, 4, 1)]);
    assert!(error.contains("moved by one"), "{error}");
    let mut moved = first();
    moved.buckets.insert(0, bucket("new", vec![row("new", 0, 1)]));
    let error = refusal(1000, vec![first(), days(None, 2, 4, 1), days(None, 1, 4, 1), moved]);
    assert!(error.contains("moved before all others"), "{error}");
}

#[test]
fn a_service_that_sends_everything_is_told_from_one_that_ignores_the_offset() {
    let all = || days(None, 0, 31, 1);
    let steps = vec![(all(), request(1000, 30)), (all(), request(1, 0)), (all(), Next::Complete)];
    let (rows, service) = collect(1000, Service::default(), steps);
    assert_eq!((rows, service.sends_everything), (31, true));
    // With several rows in a bucket, one entry is asked for at once.
    let steps = vec![(days(None, 0, 3, 2), request(1, 0)), (days(None, 0, 3, 2), Next::Complete)];
    let (rows, service) = collect(1000, Service::default(), steps);
    assert_eq!((rows, service.sends_everything), (6, true));
    let error = refusal(1000, vec![all(), all(), days(None, 0, 1, 1)]);
    assert!(error.contains("ignores the offset"), "{error}");
}

#[test]
fn a_page_that_does_not_begin_with_the_last_entry_is_refused() {
    let full = || days(None, 0, 10, 1);
    let nothing = || Page { has_list: true, ..Page::default() };
    let days_from = |from| days(None, from, from + 10, 1);
    // The last entry is day 9. A page that begins with days 8 and 9 is right if entries are counted from 1.
    for second in [days_from(10), days_from(5), days_from(7), days(None, 8, 9, 1), nothing(), Page::default()] {
        let error = refusal(10, vec![full(), second]);
        assert!(error.contains("does not begin with the last entry"), "{error}");
    }
}

#[test]
fn rows_of_one_key_all_count() {
    // The service sends one row for each video: 1,500 rows of one day and type, on two pages. The values tell the
    // places apart.
    let videos = |from: i64, to: i64| Page {
        buckets: vec![bucket("t", (from..to).map(|video| row("t", 0, video)).collect())],
        ..days(Some(1), 0, 0, 0)
    };
    let steps = vec![
        // One bucket does not tell whether rows are counted.
        (videos(0, 1000), request(1, 0)),
        (videos(0, 1), request(1000, 999)),
        (videos(999, 1500), Next::Complete),
    ];
    let (rows, service) = collect(1000, Service::default(), steps);
    assert_eq!(service.counted, Some(Counted::Rows));
    assert_eq!(rows, 1500);
}

#[test]
fn entries_that_are_counted_must_be_sent() {
    let empty = |count| Page { count: Some(count), has_list: true, ..Page::default() };
    for page in [empty(31), Page { has_list: false, ..empty(31) }] {
        assert!(refusal(1000, vec![page]).contains("count is 31"));
    }
    for page in [empty(0), Page { has_list: false, ..empty(0) }] {
        assert_eq!(collect(1000, Service::default(), vec![(page, Next::Complete)]).0, 0);
    }
    assert!(refusal(1000, vec![empty(1)]).contains("count is 1"));
    // One bucket without a list of rows may be empty, unless it is counted.
    let mixed = |count| Page { count, buckets: vec![Bucket::default(), bucket("t", vec![row("t", 0, 1)])], ..empty(0) };
    assert!(refusal(1000, vec![mixed(Some(2))]).contains("resources_usage"));
    for count in [None, Some(0)] {
        assert!(Pages::new(1000, MAX_ROWS, Service::default()).add(mixed(count)).is_ok());
    }
    let no_rows =
        |count| Page { count, has_list: true, buckets: vec![Bucket { time: Some("t".into()), ..Bucket::default() }] };
    for count in [Some(1), None] {
        assert!(refusal(1000, vec![no_rows(count)]).contains("resources_usage"));
    }
}

#[test]
fn rows_without_any_value_are_refused() {
    let mut page = days(None, 0, 1, 2);
    page.buckets[0].rows.iter_mut().for_each(|row| (row.usage, row.number) = (None, None));
    let mut pages = Pages::new(1000, MAX_ROWS, Service::default());
    pages.add(page.clone()).unwrap();
    assert!(pages.finish().unwrap_err().to_string().contains("no row has a usage"));
    page.buckets[0].rows[1].number = Some(0);
    let mut pages = Pages::new(1000, MAX_ROWS, Service::default());
    pages.add(page).unwrap();
    assert!(pages.finish().is_ok());
}

#[test]
fn parts_of_bundles_are_left_out_and_counted() {
    let mut page = days(None, 0, 1, 2);
    page.buckets[0].rows[1].key.is_sub_resource = true;
    let mut pages = Pages::new(1000, MAX_ROWS, sound());
    assert_eq!(pages.add(page).unwrap(), Next::Complete);
    let (answer, _) = pages.finish().unwrap();
    assert_eq!((answer.rows.len(), answer.counters.sub_resource), (1, 1));
}

#[test]
fn endless_pages_are_refused() {
    // `count` announces no end if it is at most the number of known entries, or too large for 1,000 pages.
    let (known, most) = (MAX_PAGES as i64 + 1, MAX_COUNTED_PAGES as i64 + 1);
    for (count, rows) in [(None, 1), (Some(1), 1), (Some(known), 1), (Some(2 * known), 2), (Some(most + 1), 1)] {
        let mut pages = Pages::new(2, MAX_ROWS, counting(Counted::Buckets));
        let mut first = 0;
        let error = loop {
            match pages.add(days(count, first, first + 2, rows)) {
                Ok(Next::Ask(_)) => first += 1,
                Ok(Next::Complete) => panic!("complete"),
                Err(error) => break error.to_string(),
            }
        };
        assert_eq!(first, MAX_PAGES - 1, "{count:?}");
        assert!(error.contains("100 pages"), "{error}");
    }
    let mut pages = Pages::new(2, MAX_ROWS, counting(Counted::Buckets));
    for first in 0..MAX_PAGES {
        assert_eq!(pages.add(days(Some(most), first, first + 2, 1)).unwrap(), request(2, first + 1));
    }
}

#[test]
fn many_pages_are_joined_while_count_says_that_entries_are_missing() {
    let mut pages = Pages::new(11, MAX_ROWS, Service::default());
    let mut first = 0;
    while let Next::Ask(_) = pages.add(days(Some(2500), first, (first + 11).min(2500), 1)).unwrap() {
        first += 10;
    }
    assert_eq!(pages.finish().unwrap().0.rows.len(), 2500);
}

#[test]
fn the_rows_of_an_answer_are_limited() {
    let page = |from: usize| days(None, from, from + 101, 199);
    let mut pages = Pages::new(101, MAX_ROWS, sound());
    let mut from = 0;
    let error = loop {
        match pages.add(page(from)) {
            Ok(_) => from += 100,
            Err(error) => break error.report(),
        }
    };
    assert_eq!(from, 500);
    let expected = "beyond a bound: an answer has 119599 rows (at most 100000) on its first 6 pages: configure shorter \
                    windows, or increase api.max_rows";
    assert_eq!(error, expected, "no other advice follows");
    let mut pages = Pages::new(101, 120_000, sound());
    assert!((0..6).all(|number| pages.add(page(number * 100)).is_ok()));
}

#[test]
fn the_texts_of_an_answer_are_limited() {
    let page = |from: usize| {
        let mut page = days(None, from, from + 101, 10);
        let rows = page.buckets.iter_mut().flat_map(|bucket| &mut bucket.rows);
        rows.for_each(|row| row.key.charging_mode = "c".repeat(3000));
        page
    };
    let mut pages = Pages::new(101, MAX_ROWS, sound());
    assert!((0..2).all(|number| pages.add(page(number * 100)).is_ok()));
    let error = pages.add(page(200)).unwrap_err().report();
    assert!(error.starts_with("beyond a bound: an answer has "), "{error}");
    assert!(
        error.ends_with(
            "bytes of texts (at most 8400000) on its first 3 pages: configure shorter windows, or increase api.max_rows"
        ),
        "{error}"
    );
    assert!(pages.service.is_near_bound);
}

#[test]
fn an_answer_may_have_as_much_as_the_bounds_say() {
    let check = |items: usize, texts, length| {
        let mut pages = Pages::new(1000, MAX_ROWS, sound());
        pages.known = List { items: (0..items).map(|_| Item::EmptyBucket(None)).collect(), texts, ..List::default() };
        (pages.check_bounds(length).is_ok(), pages.service.is_near_bound)
    };
    for (items, texts, length, expected) in [
        (MAX_ROWS / 2, MAX_TEXTS / 2, (0, MAX_ENTRIES / 2), (true, false)),
        (MAX_ROWS / 2 + 1, 0, (0, 0), (true, true)),
        (0, MAX_TEXTS / 2 + 1, (0, 0), (true, true)),
        (0, 0, (1, MAX_ENTRIES / 2), (true, true)),
        (MAX_ROWS, MAX_TEXTS, (0, 0), (true, true)),
        (MAX_ROWS + 1, 0, (0, 0), (false, false)),
        (0, MAX_TEXTS + 1, (0, 0), (false, false)),
    ] {
        assert_eq!(check(items, texts, length), expected, "{items} {texts} {length:?}");
    }
    // Rows share the time of their bucket. The types of a row are r0 and b.
    let texts = |time: Option<&str>| {
        let rows = vec![row("t", 0, 1), row("t", 0, 1)];
        let bucket = Bucket { time: time.map(Into::into), ..bucket("t", rows) };
        List::from(Page { buckets: vec![bucket], ..Page::default() }).texts
    };
    assert_eq!([None, Some("t000")].map(texts), [6, 10]);
}

#[test]
fn an_answer_near_the_bound_is_remembered() {
    let is_near = |rows| {
        let mut pages = Pages::new(20, MAX_ROWS, Service::default());
        pages.add(days(None, 0, 10, rows)).unwrap();
        pages.finish().unwrap().1.is_near_bound
    };
    assert!(!is_near(999) && is_near(1000));
}

/// Each letter is a bucket. All have the same time. The letter gives the type and the usage of its row.
fn letters(letters: &str) -> Page {
    let one = |letter: char| bucket("t", vec![row("t", letter as usize, i64::from(letter as u32))]);
    Page { buckets: letters.chars().map(one).collect(), ..days(None, 0, 0, 0) }
}

/// Joins pages. The last page must complete the answer.
fn finished(limit: usize, pages: impl IntoIterator<Item = Page>) -> Result<Answer, String> {
    let mut joined = Pages::new(limit, MAX_ROWS, sound());
    let last = pages.into_iter().map(|page| joined.add(page).unwrap()).last();
    assert_eq!(last, Some(Next::Complete));
    joined.finish().map(|(answer, _)| answer).map_err(|error| error.to_string())
}

#[test]
fn an_empty_bucket_is_an_entry() {
    let page = |with_rows: [bool; 2], from| Page {
        buckets: (from..)
            .zip(with_rows)
            .flat_map(|(day, rows)| days(None, day, day + 1, rows.into()).buckets)
            .collect(),
        ..days(None, 0, 0, 0)
    };
    let first = || page([true, false], 0);
    let steps =
        vec![(first(), request(2, 1)), (page([false, true], 1), request(2, 2)), (days(None, 2, 3, 1), Next::Complete)];
    assert_eq!(collect(2, Service::default(), steps).0, 2);
    for other in [page([true, true], 1), page([false, true], 2)] {
        let error = refusal(2, vec![first(), other]);
        assert!(error.contains("does not begin with the last entry"), "{error}");
    }
}

/// Days from the first one on. `rows` has the number of rows of each day.
fn days_with(rows: &[usize]) -> Page {
    let buckets = rows.iter().enumerate().flat_map(|(day, rows)| days(None, day, day + 1, *rows).buckets);
    Page { buckets: buckets.collect(), ..days(None, 0, 0, 0) }
}

#[test]
fn a_service_that_sends_empty_buckets_counts_buckets() {
    // Offset 1 is the last bucket. If rows were counted from 1, it would be the first row, which is in the same bucket.
    // But a service that counts rows sends no empty bucket.
    let last = || days(None, 1, 2, 1);
    let steps = vec![(days_with(&[0, 1]), request(1000, 1)), (last(), Next::Complete)];
    let (rows, service) = collect(1000, Service::default(), steps);
    assert_eq!((rows, service.counted, service.first_entry), (1, Some(Counted::Buckets), Some(0)));
    // Two empty buckets with different times are not the same one.
    let mut end = days_with(&[1, 0, 1, 0]);
    end.buckets.drain(..2);
    assert_eq!(finished(3, [days_with(&[1, 0, 1]), end]).map(|answer| answer.rows.len()), Ok(2));
    // A row in place of a bucket of several rows, and a bucket with another row, show that the list has changed.
    for (first, page) in [
        (days_with(&[0, 0, 2]), days(None, 2, 3, 1)),
        (
            days_with(&[0, 3]),
            Page { buckets: vec![bucket("t001", vec![row("t001", 1, 100), row("t001", 2, 100)])], ..last() },
        ),
    ] {
        let bucket = first.buckets.len() - 1;
        let mut pages = Pages::new(1000, MAX_ROWS, Service::default());
        assert_eq!(pages.add(first).unwrap(), request(1, bucket));
        assert!(pages.add(page).unwrap_err().to_string().contains(ANOTHER));
    }
}

#[test]
fn of_equal_entries_the_last_one_is_asked_for() {
    // If entries were counted from 1, the second page could begin with the second entry.
    let steps = vec![(letters("baa"), request(3, 2)), (letters("aac"), request(3, 4)), (letters("c"), Next::Complete)];
    assert_eq!(collect(3, Service::default(), steps).0, 5);
}

#[test]
fn of_several_rows_of_the_last_entry_only_some_may_have_changed() {
    let last = |usage: [i64; 2], kinds: [usize; 2]| Page {
        buckets: vec![bucket("t001", vec![row("t001", kinds[0], usage[0]), row("t001", kinds[1], usage[1])])],
        ..days(None, 0, 0, 0)
    };
    let after = |page: Page| {
        let mut pages = Pages::new(2, MAX_ROWS, sound());
        assert_eq!(pages.add(days(None, 0, 2, 2)).unwrap(), request(2, 1));
        pages.add(page)
    };
    assert_eq!(after(last([100, 200], [0, 1])).unwrap(), Next::Complete);
    assert!(after(last([200, 200], [0, 1])).is_err());
    // Rows that share their key are not the ones that are known.
    let known = days(None, 0, 2, 1);
    let error = refusal(2, vec![known, last([200, 200], [0, 0])]);
    assert!(error.contains("does not begin with the last entry"), "{error}");
}

#[test]
fn rows_that_came_twice_need_a_list_in_order() {
    let page = |times: [&str; 2]| Page {
        buckets: times.map(|time| bucket(time, vec![row(time, 0, 1)])).to_vec(),
        ..days(None, 0, 0, 0)
    };
    let twice = |time: &str| bucket(time, vec![row(time, 0, 1), row(time, 0, 2)]);
    for (times, is_in_order) in [(["t1", "t2", "t3"], true), (["t3", "t2", "t1"], true), (["t1", "t3", "t2"], false)] {
        let [first, second, third] = times;
        let mut middle = page([second, third]);
        middle.buckets[1] = twice(third);
        let end = Page { buckets: vec![twice(third)], ..days(None, 0, 0, 0) };
        let rows = finished(2, [page([first, second]), middle, end]).map(|answer| answer.rows.len());
        assert_eq!(rows.is_ok(), is_in_order, "{times:?}: {rows:?}");
    }
    // One page cannot have changed.
    let mut alone = page(["t3", "t1"]);
    alone.buckets.push(twice("t2"));
    assert_eq!(finished(1000, [alone]).map(|answer| answer.rows.len()), Ok(4));
}

#[test]
fn rows_of_the_first_page_that_come_again_are_a_doubt_and_most_of_them_are_refused() {
    for (pages, is_doubt) in [
        (["abc", "cde", "e"], false),
        (["abc", "cbd", "d"], true),
        // Rows that are equal on the first page are equal later, too.
        (["aac", "cad", "d"], false),
    ] {
        let answer = finished(3, pages.map(letters)).unwrap();
        assert_eq!((answer.rows.len(), answer.doubts.contains_key(&Doubt::RepeatedRows)), (5, is_doubt), "{pages:?}");
    }
    let error = finished(4, ["abcd", "dabe", "e"].map(letters)).unwrap_err();
    assert!(error.contains("most rows of later pages are the same as rows of the first page"), "{error}");
}

/// Days of one row each, with their numbers and hundredths.
fn values(days: &[(usize, i64)]) -> Page {
    let day = |&(day, value): &(usize, i64)| bucket(&time(day), vec![row(&time(day), 0, value)]);
    Page { count: None, has_list: true, buckets: days.iter().map(day).collect() }
}

#[test]
fn a_last_entry_that_has_grown_is_compared_with_the_first_page() {
    let grown = |seen, first_page: &[(usize, i64)]| {
        let mut pages = Pages::new(2, MAX_ROWS, sound());
        assert_eq!(pages.add(values(&[(0, 10), (1, 10)])).unwrap(), request(2, 1));
        assert_eq!(pages.add(values(&[(1, seen), (2, 10)])).unwrap(), request(2, 0));
        pages.add(values(first_page)).map_err(|error| error.to_string())
    };
    for first_page in [[(0, 10), (1, 20)], [(0, 10), (1, 30)], [(0, 20), (1, 20)]] {
        assert_eq!(grown(20, &first_page), Ok(request(2, 2)), "{first_page:?}");
    }
    for (seen, first_page) in [
        (20, &[(0, 10), (1, 10)][..]),
        (20, &[(0, 10), (1, 19)]),
        (9, &[(0, 10), (1, 9)]),
        (20, &[(0, 10)]),
        (20, &[(0, 10), (3, 20)]),
    ] {
        assert!(grown(seen, first_page).unwrap_err().contains(LAST_ENTRY_CHANGED), "{seen} {first_page:?}");
    }
}

#[test]
fn a_last_entry_that_has_grown_follows_the_same_entry() {
    let grown = |before: &[(usize, i64)]| {
        let mut pages = Pages::new(3, MAX_ROWS, sound());
        assert_eq!(pages.add(values(&[(0, 10), (1, 10), (2, 10)])).unwrap(), request(3, 2));
        assert_eq!(pages.add(values(&[(2, 20)])).unwrap(), request(3, 1));
        pages.add(values(before)).map_err(|error| error.to_string())
    };
    assert_eq!(grown(&[(1, 10), (2, 20)]), Ok(Next::Complete));
    for before in [&[(1, 20), (2, 20)][..], &[(0, 10), (2, 20)], &[(1, 10)], &[]] {
        assert!(grown(before).unwrap_err().contains(LAST_ENTRY_CHANGED), "{before:?}");
    }
    // If the entry before has two rows, both must be the same.
    let with_two_rows = |last, second| {
        let mut page = values(&[(1, 10), (2, last)]);
        page.buckets[0].rows.push(row("t001", 1, second));
        page
    };
    let mut pages = Pages::new(3, MAX_ROWS, sound());
    let known = Page { buckets: [days(None, 0, 1, 1).buckets, with_two_rows(10, 10).buckets].concat(), ..values(&[]) };
    assert_eq!(pages.add(known).unwrap(), request(3, 2));
    assert_eq!(pages.add(values(&[(2, 20)])).unwrap(), request(3, 1));
    assert!(pages.add(with_two_rows(20, 11)).unwrap_err().to_string().contains(LAST_ENTRY_CHANGED));
}

#[test]
fn a_page_has_room_for_a_new_entry() {
    assert_eq!(Pages::new(1, MAX_ROWS, Service::default()).first(), PageRequest { limit: 2, offset: 0 });
}

#[test]
fn one_entry_of_a_bucket_of_several_rows_begins_with_it() {
    let first = || days(None, 0, 3, 2);
    let alone = |day, kinds: &[usize], usage| {
        let rows = kinds.iter().map(|kind| row(&time(day), *kind, usage)).collect();
        Page { buckets: vec![bucket(&time(day), rows)], ..days(None, 0, 0, 0) }
    };
    let after = |page| {
        let mut pages = Pages::new(1000, MAX_ROWS, Service::default());
        assert_eq!(pages.add(first()).unwrap(), request(1, 0));
        (pages.add(page).map_err(|error| error.to_string()), pages.service.counted)
    };
    // A value may have grown.
    for usage in [100, 200] {
        assert_eq!(after(alone(0, &[0, 1], usage)), (Ok(request(1000, 2)), Some(Counted::Buckets)));
        assert_eq!(after(alone(0, &[0], usage)), (Ok(request(1000, 5)), Some(Counted::Rows)));
    }
    // The first page began at the same offset.
    for page in [alone(1, &[0, 1], 100), alone(1, &[0], 100), alone(0, &[1], 100), days(None, 0, 0, 0)] {
        let (result, counted) = after(page);
        assert!(result.unwrap_err().contains(ANOTHER) && counted.is_none());
    }
    // The page begins with the entry before: entries may be counted from 1, and the next request shows whether they
    // are.
    let second = || days_with(&[1, 2]);
    let before = || days(None, 0, 1, 1);
    let other = |page: Page| refusal(1000, vec![second(), page]);
    for page in [alone(3, &[0], 100), days(None, 0, 0, 0)] {
        assert!(other(page).contains(ANOTHER));
    }
    let mut pages = Pages::new(1000, MAX_ROWS, Service::default());
    assert_eq!(pages.add(second()).unwrap(), request(1, 1));
    assert_eq!(pages.add(before()).unwrap(), request(1, 2));
    let mut alone_again = second();
    alone_again.buckets.remove(0);
    assert_eq!(pages.add(alone_again).unwrap(), request(1000, 1));
    assert_eq!(pages.service.counted, Some(Counted::Buckets));
    let error = refusal(1000, vec![second(), before(), alone(3, &[0, 1], 100)]);
    assert!(error.contains(ANOTHER), "{error}");
    // A single bucket is the whole list.
    let steps = vec![(days(None, 0, 1, 2), request(1, 0)), (days(None, 0, 1, 2), Next::Complete)];
    assert_eq!(collect(1000, Service::default(), steps).0, 2);
    let steps = vec![
        (first(), request(1, 0)),
        (days(None, 0, 1, 2), request(1000, 2)),
        // Offset 2 is the second entry.
        (days(None, 1, 3, 2), request(1000, 2)),
        (days(None, 1, 3, 2), request(1000, 0)),
        (first(), Next::Complete),
    ];
    let (rows, service) = collect(1000, Service::default(), steps);
    assert_eq!((rows, service.counted, service.first_entry), (6, Some(Counted::Buckets), Some(1)));
    let mut pages = Pages::new(1000, MAX_ROWS, Service { counted: None, ..sound() });
    assert_eq!(pages.add(days(None, 0, 1000, 2)).unwrap(), request(1, 0));
    assert!(pages.add(alone(0, &[1], 100)).unwrap_err().to_string().contains(ANOTHER), "entries are counted from 0");
}

/// Pages of a list of two entries that are counted from 1. Only the page `alone` can show that the service shuffles.
#[test]
fn a_list_that_begins_with_another_entry_has_changed() {
    let first = || days(None, 0, 2, 1);
    let pages = |alone: Page| vec![first(), first(), alone, days(None, 1, 2, 1), first(), days(None, 1, 2, 1)];
    let mut sound = Pages::new(2, MAX_ROWS, Service::default());
    for page in pages(days(None, 0, 1, 1)) {
        sound.add(page).unwrap();
    }
    assert_eq!((sound.known.items.len(), sound.service.first_entry), (2, Some(1)));
    let error = refusal(2, pages(days(None, 7, 8, 1))[..3].to_vec());
    assert!(error.contains("it begins with another entry"), "{error}");
}

/// The step after a first page.
fn after(service: Service, page: Page) -> Next {
    Pages::new(1000, MAX_ROWS, service).add(page).unwrap()
}

/// A service whose `counted` and `first_entry` are known. Nothing else is known about it.
fn counting(counted: Counted) -> Service {
    Service { counted: Some(counted), first_entry: Some(0), ..Service::default() }
}

#[test]
fn a_page_as_long_as_the_longest_one_may_be_cut() {
    let [buckets, rows] = [Counted::Buckets, Counted::Rows].map(counting);
    // First case: an earlier page had more rows, but the limit counts buckets. Second case: an earlier page had more
    // buckets, but the limit counts rows.
    let service = Service { longest: Some((10, 20)), ..buckets.clone() };
    assert_eq!(after(service, days(None, 0, 10, 1)), request(1000, 9));
    let service = Service { longest: Some((20, 10)), ..rows.clone() };
    assert_eq!(after(service, days(None, 0, 5, 2)), request(1000, 9));
    // 16 buckets are a usual cap, and 48 rows are none.
    assert_eq!(after(buckets.clone(), days(None, 0, 16, 3)), request(1000, 15));
    assert_eq!(after(rows, days(None, 0, 3, 11)), Next::Complete);
    assert_eq!(after(buckets, days(None, 0, 11, 1)), Next::Complete);
}

#[test]
fn a_count_that_contradicts_asks_again() {
    assert_eq!(after(sound(), days(Some(40), 0, 33, 1)), request(1000, 32));
    assert_eq!(after(sound(), days(Some(33), 0, 33, 1)), Next::Complete);
    assert_eq!(after(sound(), days(None, 0, 33, 1)), Next::Complete);
}

#[test]
fn a_service_that_sends_everything_is_asked_once() {
    let service = Service { sends_everything: true, ..Service::default() };
    assert_eq!(after(service, days(None, 0, 1000, 1)), Next::Complete);
}

#[test]
fn two_entries_or_two_rows_of_an_unknown_service_are_asked_for_again() {
    for service in [Service::default(), Service { counted: Some(Counted::Buckets), ..Service::default() }] {
        assert_eq!(after(service, days(None, 0, 2, 1)), request(1000, 1));
    }
    assert_eq!(after(Service::default(), days(None, 0, 1, 2)), request(1, 0));
    assert_eq!(after(Service { first_entry: Some(1), ..Service::default() }, days(None, 0, 10, 2)), request(1, 1));
    // The second page fits whether buckets or rows are counted. So only the number of the first entry is proven.
    let steps = vec![(days(None, 0, 4, 1), request(1000, 3)), (days(None, 3, 4, 1), Next::Complete)];
    let service = collect(1000, Service::default(), steps).1;
    assert_eq!((service.counted, service.first_entry), (None, Some(0)));
}

#[test]
fn count_is_shown_by_several_pages_only() {
    let meaning = |service: Service, count| {
        let steps = vec![(days(count, 0, 2, 1), request(2, 1)), (days(count, 1, 2, 1), Next::Complete)];
        collect(2, service, steps).1.count_of_buckets
    };
    let with = |count_of_buckets| Service { count_of_buckets, ..counting(Counted::Buckets) };
    assert_eq!(meaning(with(Meaning::Possible), Some(2)), Meaning::Shown);
    assert_eq!(meaning(with(Meaning::Refuted), Some(2)), Meaning::Refuted);
    assert_eq!(meaning(with(Meaning::Shown), Some(1)), Meaning::Refuted);
    assert_eq!(meaning(with(Meaning::Shown), None), Meaning::Shown);
    assert_eq!(meaning(with(Meaning::Possible), None), Meaning::Possible);
    let alone = collect(1000, Service::default(), vec![(days(Some(1), 0, 1, 1), Next::Complete)]).1;
    assert_eq!(alone.count_of_buckets, Meaning::Possible);
}

#[test]
fn a_service_whose_count_changes_while_pages_are_read_is_forgotten() {
    let service = |counts: [Option<i64>; 2]| {
        let steps = vec![(days(counts[0], 0, 2, 2), request(2, 1)), (days(counts[1], 1, 2, 2), Next::Complete)];
        collect(2, counting(Counted::Buckets), steps).1
    };
    for counts in [[Some(7), Some(8)], [Some(2), Some(9)]] {
        assert_eq!(service(counts), Service::default(), "{counts:?}");
    }
    // The number of buckets or rows of each page, and a number that stays the same.
    for counts in [[Some(2), Some(1)], [Some(4), Some(2)], [Some(7), Some(7)], [Some(7), None], [None, Some(7)]] {
        assert_eq!(service(counts).counted, Some(Counted::Buckets), "{counts:?}");
    }
    // A page without a count changes nothing.
    let steps = vec![
        (days(Some(2), 0, 2, 2), request(2, 1)),
        (days(None, 1, 3, 2), request(2, 2)),
        (days(Some(1), 2, 3, 2), Next::Complete),
    ];
    assert_eq!(collect(2, counting(Counted::Buckets), steps).1.counted, Some(Counted::Buckets));
}

#[test]
fn count_proves_an_answer_only_if_it_is_all_that_it_may_mean() {
    let shown =
        |counted, count_of_rows| Service { count_of_buckets: Meaning::Shown, count_of_rows, ..counting(counted) };
    let ten = |count| days(Some(count), 0, 10, 2);
    assert_eq!(after(shown(Counted::Buckets, Meaning::Refuted), ten(10)), Next::Complete);
    assert_eq!(after(shown(Counted::Buckets, Meaning::Refuted), ten(40)), request(1000, 9));
    // `count` may also be the number of rows, and that is another number.
    assert_eq!(after(shown(Counted::Buckets, Meaning::Possible), ten(10)), request(1000, 9));
    // The number of rows proves it, too.
    let of_rows = Service { count_of_buckets: Meaning::Refuted, ..shown(Counted::Buckets, Meaning::Shown) };
    assert_eq!(after(of_rows, ten(20)), Next::Complete);
    // Rows of the last bucket may be missing.
    assert_eq!(after(shown(Counted::Rows, Meaning::Refuted), ten(10)), request(1000, 19));
}
