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

/// Days `from` to `to`, with so many rows each.
fn days(count: Option<i64>, from: usize, to: usize, rows: usize) -> Page {
    let day = |day: usize| bucket(&time(day), (0..rows).map(|kind| row(&time(day), kind, 100)).collect());
    Page { count, has_list: true, buckets: (from..to).map(day).collect() }
}

fn request(limit: usize, offset: usize) -> Next {
    Next::Ask(PageRequest { limit, offset })
}

/// Adds pages, each with the step that must follow it. Returns the rows and what was proven.
fn collect(limit: usize, service: Service, steps: Vec<(Page, Next)>) -> (usize, Service) {
    let mut pages = Pages::new(limit, service);
    for (index, (page, next)) in steps.into_iter().enumerate() {
        assert_eq!(pages.add(page).unwrap(), next, "after page {index}");
    }
    let (answer, service) = pages.finish().unwrap();
    (answer.rows.len(), service)
}

/// The error of the last page; all before are accepted.
fn refusal(limit: usize, pages: Vec<Page>) -> String {
    let mut joined = Pages::new(limit, Service::default());
    let mut result = Ok(Next::Complete);
    for page in pages {
        assert!(result.is_ok(), "{result:?}");
        result = joined.add(page);
    }
    result.unwrap_err().to_string()
}

/// What a sound service that counts buckets has proven after one answer of 31 days.
fn sound() -> Service {
    let steps = vec![
        // One entry is asked for, to see if it is a row or a bucket of two.
        (days(Some(31), 0, 31, 2), request(1, 0)),
        (days(Some(31), 0, 1, 2), request(1000, 30)),
        (days(Some(31), 30, 31, 2), Next::Complete),
    ];
    collect(1000, Service::default(), steps).1
}

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
fn a_cut_at_a_length_that_was_seen_before_is_asked_again() {
    // 40 days are longer than anything before, and count is of another kind.
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
        // Offset 3 is the third entry. Offset 2 tells it from an offset that is ignored, offset 0 from a list that moved.
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
    let error = refusal(1000, vec![all(), all(), days(None, 0, 1, 1)]);
    assert!(error.contains("ignores the offset"), "{error}");
}

#[test]
fn a_page_that_does_not_begin_with_the_last_entry_is_refused() {
    let full = || days(None, 0, 10, 1);
    let nothing = || Page { has_list: true, ..Page::default() };
    for second in [days(None, 10, 20, 1), nothing(), Page::default(), days(None, 5, 15, 1), days(None, 8, 9, 1)] {
        let error = refusal(10, vec![full(), second]);
        assert!(error.contains("does not begin with the last entry"), "{error}");
    }
}

#[test]
fn rows_of_one_key_all_count() {
    // One row a video: 1,500 of one day and type, on two pages. The values tell the places apart.
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
    assert_eq!(collect(1000, Service::default(), vec![(empty(0), Next::Complete)]).0, 0);
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
    let mut pages = Pages::new(1000, Service::default());
    pages.add(page.clone()).unwrap();
    assert!(pages.finish().unwrap_err().to_string().contains("no row has a usage"));
    page.buckets[0].rows[1].number = Some(0);
    let mut pages = Pages::new(1000, Service::default());
    pages.add(page).unwrap();
    assert!(pages.finish().is_ok());
}

#[test]
fn parts_of_bundles_are_left_out_and_counted() {
    let mut page = days(None, 0, 1, 2);
    page.buckets[0].rows[1].key.is_sub_resource = true;
    let mut pages = Pages::new(1000, sound());
    assert_eq!(pages.add(page).unwrap(), Next::Complete);
    let (answer, _) = pages.finish().unwrap();
    assert_eq!((answer.rows.len(), answer.counters.sub_resource), (1, 1));
}

#[test]
fn endless_pages_are_refused() {
    let mut pages = Pages::new(2, Service::default());
    let mut first = 0;
    let error = loop {
        match pages.add(days(None, first, first + 2, 1)) {
            Ok(Next::Ask(_)) => first += 1,
            Ok(Next::Complete) => panic!("complete"),
            Err(error) => break error.to_string(),
        }
    };
    assert_eq!(first, MAX_PAGES - 1);
    assert!(error.contains("100 pages"), "{error}");
}

#[test]
fn many_pages_are_joined_while_count_says_that_entries_are_missing() {
    let mut pages = Pages::new(11, Service::default());
    let mut first = 0;
    while let Next::Ask(_) = pages.add(days(Some(1234), first, (first + 11).min(1234), 1)).unwrap() {
        first += 10;
    }
    assert_eq!(pages.finish().unwrap().0.rows.len(), 1234);
}
