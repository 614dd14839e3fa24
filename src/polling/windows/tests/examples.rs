//! The smallest answers that were once wrongly believed or wrongly refused.

use std::{
    fmt::Write,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::*;

/// A day of UTC with its rows.
#[derive(Clone)]
struct Day {
    time: String,
    start: DateTime<Utc>,
    rows: Vec<String>,
}

const ROW: &str = r#"{"business_type":"VIDEO_2D","usage":1,"unit":"MIN","number":1}"#;

fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

/// Days of UTC with this many rows of one minute each. Day 1 is 1 November 2025, and day 0 the day before.
fn days(numbers: std::ops::Range<i64>, rows: usize) -> Vec<Day> {
    let day = |number| {
        let start = at("2025-10-31T00:00:00Z") + TimeDelta::days(number);
        let row = |kind: usize| ROW.replace(r#","usage""#, &format!(r#","resource_type":"r{kind}","usage""#));
        Day { time: format!("\"{}\"", start.format("%FT%TZ")), start, rows: (0..rows).map(row).collect() }
    };
    numbers.map(day).collect()
}

/// The days whose bucket begins in the range.
fn in_range(days: Vec<Day>, range: Bounds) -> Vec<Day> {
    days.into_iter().filter(|day| range.start <= day.start && day.start < range.end).collect()
}

/// A page of entries: whole days, or single rows.
fn page(count: Option<usize>, days: &[Day], counts_rows: bool, limit: usize, offset: usize) -> String {
    let entry =
        |day: &Day, rows: &[String]| format!(r#"{{"time":{},"resources_usage":[{}]}}"#, day.time, rows.join(","));
    let entries: Vec<String> = if counts_rows {
        days.iter().flat_map(|day| day.rows.chunks(1).map(|row| entry(day, row))).collect()
    } else {
        days.iter().map(|day| entry(day, &day.rows)).collect()
    };
    let list: Vec<String> = entries.into_iter().skip(offset).take(limit).collect();
    let mut text = "{".to_owned();
    count.iter().for_each(|count| write!(text, r#""count":{count},"#).unwrap());
    text + &format!(r#""time_list":[{}]}}"#, list.join(","))
}

/// A service as a function that gives the body of an answer. `None` is HTTP 400.
struct Scripted<F>(F);

impl<F: Fn(&UsageQuery<'_>, usize, usize) -> Option<String> + Sync> PageSource for Scripted<F> {
    async fn page(
        &self,
        query: &UsageQuery<'_>,
        PageRequest { limit, offset }: PageRequest,
        _: Instant,
        _: &AnswerMemory,
        _: &mut Counters,
    ) -> Result<Page, Error> {
        let body = (self.0)(query, limit, offset).ok_or(Error::Malformed("HTTP 400".to_owned()))?;
        Page::parse(body.as_bytes()).map_err(|error| Error::Malformed(error.to_string()))
    }
}

/// A poll of windows in a zone.
struct Poll<'a> {
    windows: &'a [&'a str],
    zone: &'a str,
    now: &'a str,
    page_size: usize,
    /// Further keys of the project, such as `user_ids: [a]`.
    keys: &'a str,
}

/// On the last day of November in UTC.
const NOVEMBER: Poll<'_> =
    Poll { windows: &["this_month"], zone: "UTC", now: "2025-11-30T23:59:00Z", page_size: 1000, keys: "" };

impl Poll<'_> {
    /// The minutes of each window and the doubts, or the error.
    fn of(
        &self,
        service: impl Fn(&UsageQuery<'_>, usize, usize) -> Option<String> + Sync,
    ) -> Result<(Vec<Option<f64>>, Doubts), String> {
        self.with(&mut Progress::default(), service)
    }

    fn with(
        &self,
        progress: &mut Progress,
        service: impl Fn(&UsageQuery<'_>, usize, usize) -> Option<String> + Sync,
    ) -> Result<(Vec<Option<f64>>, Doubts), String> {
        let complete = self.complete(progress, service).map_err(|error| error.to_string())?;
        let minutes = |tally: &Tally| {
            let series = tally.series().chain(tally.incomplete()).filter(|series| series.measure == Measure::Minutes);
            let series: BTreeSet<&Series> = series.collect();
            series.into_iter().map(|series| tally.value(series)).sum()
        };
        Ok((complete.windows.iter().map(|window| minutes(&window.tally)).collect(), complete.doubts))
    }

    fn complete(
        &self,
        progress: &mut Progress,
        service: impl Fn(&UsageQuery<'_>, usize, usize) -> Option<String> + Sync,
    ) -> Result<Complete, Error> {
        let project = project(&format!("windows: [{}], {}", self.windows.join(", "), self.keys));
        let query = RangeQuery {
            source: &Scripted(service),
            project: &project,
            split: Split::of(&project.user_ids, &[]),
            project_id: "p",
            page_size: self.page_size,
            deadline: Instant::now(),
        };
        let timezone = &self.zone.parse().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(WindowsQuery { query, timezone }.ask(at(self.now), progress))
    }

    /// The minutes, which are published without a doubt.
    fn minutes(&self, service: impl Fn(&UsageQuery<'_>, usize, usize) -> Option<String> + Sync) -> Vec<f64> {
        let (minutes, doubts) = self.of(service).unwrap();
        assert!(doubts.is_empty(), "{doubts:?}");
        minutes.into_iter().map(Option::unwrap).collect()
    }

    fn refusal(&self, service: impl Fn(&UsageQuery<'_>, usize, usize) -> Option<String> + Sync) -> String {
        self.of(service).unwrap_err()
    }
}

#[test]
fn a_limit_that_is_capped_at_10_in_silence() {
    for (rows, counts_rows) in [(1, false), (4, false), (4, true)] {
        let service = |query: &UsageQuery<'_>, limit: usize, offset| {
            let days = in_range(days(1..31, rows), query.range);
            Some(page(Some(days.len()), &days, counts_rows, limit.min(10), offset))
        };
        assert_eq!(NOVEMBER.minutes(service), [30.0 * rows as f64], "{rows} {counts_rows}");
    }
}

#[test]
fn entries_that_are_counted_and_not_sent() {
    let error = NOVEMBER.refusal(|_, _, _| Some(r#"{"count":31,"time_list":[]}"#.to_owned()));
    assert!(error.contains("time_list is empty, and count is 31"), "{error}");
}

#[test]
fn two_users_who_each_get_the_usage_of_all() {
    let service = |query: &UsageQuery<'_>, limit, offset| {
        Some(page(None, &in_range(days(1..2, 100), query.range), false, limit, offset))
    };
    let error = Poll { keys: "user_ids: [a, b]", ..NOVEMBER }.refusal(service);
    assert!(error.contains("the service ignores user_id. Turn on sub-account isolation"), "{error}");
}

#[test]
fn an_inclusive_end_brings_the_bucket_of_today() {
    let service = |query: &UsageQuery<'_>, limit, offset| {
        let range = Bounds { end: query.range.end + TimeDelta::seconds(1), ..query.range };
        Some(page(None, &in_range(days(0..31, 1), range), false, limit, offset))
    };
    assert_eq!(Poll { windows: &["yesterday", "today"], ..NOVEMBER }.minutes(service), [1.0, 1.0]);
}

#[test]
fn one_row_a_video_with_the_same_key() {
    let mut day = days(3..4, 1);
    day[0].rows = (0..1500).map(|number| ROW.replace("\"usage\":1,", &format!("\"usage\":1.{number:04},"))).collect();
    let exact: i64 = (0..1500).map(|number| 10_000 + number).sum();
    let service = |query: &UsageQuery<'_>, limit, offset| {
        let day = in_range(day.clone(), query.range);
        Some(page(Some(day.len()), &day, true, limit, offset))
    };
    assert_eq!(NOVEMBER.minutes(service), [exact as f64 / 1e4]);
}

/// Each type has two series: minutes and number.
#[test]
fn too_many_types_are_refused() {
    let types = |count| {
        move |query: &UsageQuery<'_>, limit, offset| {
            let days = in_range(days(3..4, count), query.range);
            Some(page(Some(days.len()), &days, false, limit, offset))
        }
    };
    assert_eq!(NOVEMBER.minutes(types(1000)), [1000.0]);
    let error = NOVEMBER.refusal(types(1001));
    assert!(
        error.contains("beyond a bound: more than 2000 types of series in window this_month: keep fewer"),
        "{error}"
    );
    // Each window has few enough, but not all together.
    let windows = Poll { windows: &["today", "yesterday"], ..NOVEMBER };
    let error = windows.refusal(|query: &UsageQuery<'_>, limit, offset| {
        let mut days = in_range(days(29..31, 600), query.range);
        days.iter_mut().filter(|day| day.time.contains("-29")).for_each(|day| {
            day.rows.iter_mut().for_each(|row| *row = row.replace("VIDEO_2D", "LIVE_2D"));
        });
        Some(page(Some(days.len()), &days, false, limit, offset))
    });
    assert!(error.contains("beyond a bound: more than 2000 types of series in all windows together"), "{error}");
}

#[test]
fn buckets_that_all_bear_the_start_of_the_query() {
    let service = |query: &UsageQuery<'_>, limit, offset| {
        let mut days = in_range(days(1..31, 1), query.range);
        for (number, day) in days.iter_mut().enumerate() {
            day.time = format!("\"{}\"", query.range.start.format("%FT%TZ"));
            day.rows = vec![ROW.replace("\"usage\":1,", &format!("\"usage\":1.{number:02},"))];
        }
        Some(page(Some(days.len()), &days, false, limit, offset))
    };
    let exact: i64 = (0..30).map(|number| 100 + number).sum();
    assert_eq!(Poll { page_size: 10, ..NOVEMBER }.minutes(service), [exact as f64 / 1e2]);
}

#[test]
fn times_that_are_numbers_over_two_pages() {
    let service = |query: &UsageQuery<'_>, limit, offset| {
        let mut days = [days(1..11, 1), days(11..16, 2)].concat();
        days.iter_mut().for_each(|day| day.time = day.start.timestamp().to_string());
        Some(page(Some(15), &in_range(days, query.range), false, limit, offset))
    };
    assert_eq!(Poll { page_size: 10, ..NOVEMBER }.minutes(service), [20.0]);
}

#[test]
fn an_offset_that_numbers_pages() {
    let service = |query: &UsageQuery<'_>, limit: usize, offset: usize| {
        let mut days = in_range(days(1..31, 1), query.range);
        days.iter_mut()
            .for_each(|day| day.rows = (0..47).map(|kind| ROW.replace("VIDEO", &format!("V{kind}"))).collect());
        Some(page(Some(1400), &days, true, limit, offset * limit))
    };
    let error = NOVEMBER.refusal(service);
    assert!(error.contains("does not begin with the last entry that is known"), "{error}");
}

#[test]
fn usage_that_cannot_be_read_is_refused_and_null_is_withheld() {
    let with = |usage: &'static str| {
        move |query: &UsageQuery<'_>, limit, offset| {
            let mut days = in_range(days(1..32, 1), query.range);
            days.iter_mut()
                .take(1)
                .for_each(|day| day.rows[0] = day.rows[0].replace(":1,\"unit", &format!(":{usage},\"unit")));
            Some(page(None, &days, false, limit, offset))
        }
    };
    for usage in [r#""1,234.5""#, "1e30"] {
        let error = NOVEMBER.refusal(with(usage));
        assert!(error.contains("usage has a value that cannot be read"), "{error}");
    }
    let (minutes, doubts) = NOVEMBER.of(with("null")).unwrap();
    assert_eq!((minutes, doubts.keys().collect::<Vec<_>>()), (vec![None], vec![&Doubt::ValueMissing]));
}

#[test]
fn a_part_of_a_bundle_whose_flag_is_the_number_1() {
    let service = |query: &UsageQuery<'_>, limit, offset| {
        let mut days = in_range(days(1..2, 2), query.range);
        days.iter_mut().for_each(|day| day.rows[1] = day.rows[1].replace("\"unit\"", "\"is_sub_resource\":1,\"unit\""));
        Some(page(None, &days, false, limit, offset).replace("\"usage\":1", "\"usage\":5"))
    };
    assert_eq!(NOVEMBER.minutes(service), [5.0]);
}

#[test]
fn a_list_of_rows_with_another_name() {
    let service = |query: &UsageQuery<'_>, limit, offset| {
        Some(
            page(Some(1), &in_range(days(1..2, 1), query.range), false, limit, offset)
                .replace("resources_usage", "rows"),
        )
    };
    let error = NOVEMBER.refusal(service);
    assert!(error.contains("entries of time_list have no resources_usage"), "{error}");
}

/// Whole days that overlap the range.
fn overlapping(query: &UsageQuery<'_>, limit: usize, offset: usize) -> Option<String> {
    let range = Bounds { start: query.range.start - TimeDelta::days(1) + TimeDelta::seconds(1), ..query.range };
    Some(page(None, &in_range(days(0..31, 1), range), false, limit, offset))
}

#[test]
fn days_of_utc_for_windows_of_shanghai() {
    let poll =
        Poll { windows: &["today", "this_month"], zone: "Asia/Shanghai", now: "2025-11-20T15:00:00Z", ..NOVEMBER };
    let whole = |query: &UsageQuery<'_>, limit, offset| {
        Some(page(None, &in_range(days(0..31, 1), query.range), false, limit, offset))
    };
    for doubts in [poll.of(overlapping).unwrap().1, poll.of(whole).unwrap().1] {
        assert_eq!(doubts.keys().collect::<Vec<_>>(), [&Doubt::Misaligned]);
    }
}

#[test]
fn a_rolling_window_over_daily_buckets() {
    let poll = Poll { windows: &["24h"], now: "2025-11-20T15:00:00Z", ..NOVEMBER };
    assert_eq!(poll.of(overlapping).unwrap().1.keys().collect::<Vec<_>>(), [&Doubt::Misaligned]);
}

#[test]
fn a_service_that_looks_back_31_days_in_silence() {
    let service = |query: &UsageQuery<'_>, limit, offset| {
        let start = query.range.start.max(query.range.end - TimeDelta::days(31));
        Some(page(None, &in_range(days(-100..31, 1), Bounds { start, ..query.range }), false, limit, offset))
    };
    let poll = Poll { windows: &["today", "90d"], ..NOVEMBER };
    let mut progress = Progress::default();
    // A window without usage proves nothing, so a later poll asks again.
    poll.with(&mut progress, |_, _, _| Some(r#"{"time_list":[]}"#.to_owned())).unwrap();
    for error in [poll.refusal(service), poll.with(&mut progress, service).unwrap_err()] {
        assert!(error.contains("the service seems to look back less far. Use shorter windows"), "{error}");
    }
}

#[test]
fn a_half_with_a_bucket_that_its_window_does_not_have() {
    let with = |first: i64, before: TimeDelta| {
        move |query: &UsageQuery<'_>, limit, offset| {
            let mut days = in_range(days(first..31, 1), query.range);
            if query.range.start > at("2025-11-01T00:00:00Z") {
                let start = query.range.start - before;
                let time = format!("\"{}\"", start.format("%FT%TZ"));
                // In place of the first day, the service sends a bucket that begins before the range.
                days[0] = Day { time, start, rows: vec![ROW.to_owned()] };
            }
            Some(page(None, &days, false, limit, offset))
        }
    };
    for (first, before, start) in
        [(1, TimeDelta::hours(8), "2025-11-14T16:00:00Z"), (2, TimeDelta::days(14), "2025-11-01T00:00:00Z")]
    {
        let mut progress = Progress::default();
        // The halves are asked for at each poll, so the doubt stays.
        for _ in 0..2 {
            let (minutes, doubts) = NOVEMBER.with(&mut progress, with(first, before)).unwrap();
            let seen =
                format!("a half of window this_month has a bucket at {start}, but the window has no such bucket");
            assert_eq!(minutes, [Some((31 - first) as f64)]);
            assert_eq!(doubts, Doubts::from([(Doubt::Misaligned, seen)]));
        }
    }
    assert_eq!(NOVEMBER.minutes(with(1, TimeDelta::days(1))), [30.0], "the window has a bucket of this day");
    let only_videos = Poll { keys: "business_types: [VIDEO_2D]", ..NOVEMBER };
    assert_eq!(only_videos.minutes(with(1, TimeDelta::hours(8))), [30.0], "left-out types may have the bucket");
}

#[test]
fn a_last_page_that_is_full_and_400_after_it() {
    let service = |query: &UsageQuery<'_>, limit, offset| {
        let days = in_range(days(1..31, 1), query.range);
        (offset < days.len()).then(|| page(None, &days, false, limit, offset))
    };
    assert_eq!(Poll { page_size: 10, ..NOVEMBER }.minutes(service), [30.0]);
}

#[test]
fn more_than_100_pages_that_count_announces() {
    let service = |query: &UsageQuery<'_>, limit, offset| {
        let mut days = in_range(days(1..31, 1), query.range);
        days.iter_mut()
            .for_each(|day| day.rows = (0..31).map(|kind| ROW.replace("VIDEO", &format!("V{kind}"))).collect());
        let rows = days.iter().map(|day| day.rows.len()).sum();
        Some(page(Some(rows), &days, true, limit, offset))
    };
    assert_eq!(Poll { page_size: 10, ..NOVEMBER }.minutes(service), [930.0]);
}

#[test]
fn windows_that_differ_in_a_day_are_asked_again_because_usage_may_have_grown() {
    let disagrees = |yesterday: [u32; 2], of_month: u32| {
        let requests = AtomicUsize::new(0);
        let service = |query: &UsageQuery<'_>, limit, offset| {
            let mut days = in_range(days(1..31, 1), query.range);
            let usage = if query.range.end - query.range.start > TimeDelta::days(1) {
                of_month
            } else {
                yesterday[requests.fetch_add(1, Ordering::Relaxed).min(1)]
            };
            let yesterday = days.iter_mut().find(|day| day.start == at("2025-11-29T00:00:00Z"));
            yesterday.into_iter().for_each(|day| day.rows[0] = day.rows[0].replace(":1,", &format!(":{usage},")));
            Some(page(None, &days, false, limit, offset))
        };
        let doubts = Poll { windows: &["yesterday", "this_month"], ..NOVEMBER }.of(service).unwrap().1;
        assert!(doubts.keys().all(|doubt| *doubt == Doubt::WindowsDisagree), "{doubts:?}");
        (!doubts.is_empty(), requests.into_inner())
    };
    assert_eq!(disagrees([1, 1], 1), (false, 1));
    assert_eq!(disagrees([2, 2], 3), (true, 2));
    assert_eq!(disagrees([2, 3], 3), (false, 2));
    // The usage has grown again meanwhile.
    assert_eq!(disagrees([2, 4], 3), (false, 2));
    // Usage does not shrink.
    assert_eq!(disagrees([3, 2], 2), (true, 1));
}

#[test]
fn a_service_is_asked_once_whether_it_cuts_days() {
    let poll = Poll { windows: &["7d"], now: "2025-11-30T15:00:00Z", ..NOVEMBER };
    let doubts = |cuts: bool| {
        let service = |query: &UsageQuery<'_>, limit, offset| {
            let Bounds { start, end } = query.range;
            let mut days = days(24..30, 1);
            days.retain(|day| {
                start < day.start + TimeDelta::days(1) && day.start < end && (cuts || start <= day.start)
            });
            for day in days.iter_mut().filter(|day| day.start < start) {
                day.time = format!("\"{}\"", start.format("%FT%TZ"));
            }
            Some(page(None, &days, false, limit, offset))
        };
        poll.of(service).unwrap().1.into_keys().collect::<Vec<_>>()
    };
    assert_eq!((doubts(true), doubts(false)), (vec![], vec![Doubt::Misaligned]));
}

/// A poll of `today` on the last day of November. Its list has one bucket.
const TODAY: Poll<'_> = Poll { windows: &["today"], ..NOVEMBER };

/// A service with a bucket of 30 November. `rows` gives the rows of a user, or of all users.
fn of_today(
    rows: impl Fn(Option<&str>) -> Vec<String> + Sync,
) -> impl Fn(&UsageQuery<'_>, usize, usize) -> Option<String> {
    move |query: &UsageQuery<'_>, limit, offset| {
        let mut days = in_range(days(30..31, 1), query.range);
        days.iter_mut().for_each(|day| day.rows = rows(query.user_id));
        days.retain(|day| !day.rows.is_empty());
        Some(page(None, &days, false, limit, offset))
    }
}

fn row(resource: &str, business: &str, usage: &str, unit: &str) -> String {
    format!(
        r#"{{"resource_type":"{resource}","business_type":"{business}","usage":{usage},"unit":"{unit}","number":1}}"#
    )
}

/// Minutes of two types, and a third type that has no minutes.
fn three_types() -> Vec<String> {
    vec![row("r1", "VIDEO_2D", "1", "MIN"), row("r2", "LIVE_2D", "2", "MIN"), row("r3", "CHAT", "4", "CHANNEL")]
}

#[test]
fn negative_usage_is_summed_with_a_doubt() {
    for (usage, number, is_negative) in
        [("-1.5", "1", true), ("1", "-1", true), ("1", "null", false), ("null", "1", false), ("-0.0", "0", false)]
    {
        let rows = |_: Option<&str>| {
            let row = ROW.replace("\"usage\":1", &format!("\"usage\":{usage}"));
            vec![row.replace("\"number\":1", &format!("\"number\":{number}"))]
        };
        let (minutes, doubts) = TODAY.of(of_today(rows)).unwrap();
        let seen = is_negative.then_some("window today has a negative row of VIDEO_2D");
        assert_eq!(doubts.get(&Doubt::Negative).map(String::as_str), seen, "{usage} {number}");
        assert_eq!(minutes, [usage.parse().ok()], "{usage} {number}");
    }
}

#[test]
fn a_row_that_lacks_a_value_or_a_unit() {
    for (usage, unit, missing) in [("null", "MIN", "value"), ("1", "", "unit")] {
        let doubts = TODAY.of(of_today(|_| vec![row("r1", "VIDEO_2D", usage, unit)])).unwrap().1;
        let seen = format!("window today has a row of VIDEO_2D r1 without a {missing}");
        assert_eq!(doubts, Doubts::from([(Doubt::ValueMissing, seen)]));
    }
}

#[test]
fn rows_are_kept_if_both_of_their_types_are_wanted() {
    for (keys, minutes, kept) in [
        ("", 3.0, 3),
        ("resource_types: [r1]", 1.0, 1),
        ("business_types: [LIVE_2D, CHAT]", 2.0, 2),
        ("resource_types: [r1, r2], business_types: [LIVE_2D, CHAT]", 2.0, 1),
    ] {
        let poll = Poll { windows: &["today", "this_month"], keys, ..NOVEMBER };
        assert_eq!(poll.minutes(of_today(|_| three_types())), [minutes; 2], "{keys}");
        let complete = poll.complete(&mut Progress::default(), of_today(|_| three_types())).unwrap();
        let rows = RowCounters { kept: 2 * kept, filtered: 2 * (3 - kept), ..RowCounters::default() };
        assert_eq!(complete.rows, rows, "{keys}");
    }
}

#[test]
fn types_users_and_budgets_that_match_nothing() {
    let rows = |user: Option<&str>| match user {
        None => three_types(),
        Some("a") => vec![row("r1", "VIDEO_2D", "1", "MIN")],
        Some(_) => vec![],
    };
    let seen = |keys: &str| {
        let doubts = Poll { keys, ..TODAY }.of(of_today(rows)).unwrap().1;
        doubts.into_values().collect::<Vec<_>>().join(", ")
    };
    let no_type = |name: &str| format!("no row has the configured type {name:?}");
    for (keys, expected) in [
        ("resource_types: [r2, r1]", String::new()),
        ("business_types: [LIVE_2D, VIDEO_2D]", String::new()),
        ("resource_types: [r1, x, y]", no_type("x")),
        ("business_types: [VIDEO_2D, VOICE, FLEXUS]", no_type("VOICE")),
        ("resource_types: [r1], business_types: [VOICE]", no_type("VOICE")),
        ("resource_types: [x], business_types: [VIDEO_2D]", no_type("x")),
        ("user_ids: [a, b, c]", "user b has no usage, but other users have".to_owned()),
        ("budgets: [{window: today, minutes: 5, business_type: VIDEO_2D}]", String::new()),
        (
            "budgets: [{window: today, minutes: 5, resource_type: r2}, \
             {window: today, minutes: 5, resource_type: r3, business_type: CHAT}, \
             {window: today, minutes: 5, business_type: VOICE}]",
            "the budget of today for r3 and CHAT selects no row".to_owned(),
        ),
    ] {
        assert_eq!(seen(keys), expected, "{keys}");
    }
    let budget = "budgets: [{window: today, minutes: 5, business_type: VIDEO_2D}]";
    let without_minutes = of_today(|_| three_types().split_off(2));
    assert_eq!(Poll { keys: budget, ..TODAY }.of(without_minutes).unwrap().1, Doubts::new(), "there are no minutes");
}

#[test]
fn a_single_user_that_is_ignored_while_usage_grows_is_a_doubt() {
    // The usage grows with each request. The service ignores the user.
    let requests = AtomicUsize::new(0);
    let rows = |_: Option<&str>| {
        let usage = requests.fetch_add(1, Ordering::Relaxed) + 1;
        vec![row("", "VIDEO_2D", &usage.to_string(), "MIN")]
    };
    let mut progress = Progress::default();
    let doubts = Poll { keys: "user_ids: [a]", ..TODAY }.with(&mut progress, of_today(rows)).unwrap().1;
    assert!(doubts.contains_key(&Doubt::UserWithoutEffect), "{doubts:?}");
    assert!(!progress.proofs.users_have_effect);
}

#[test]
fn a_single_user_with_the_usage_of_all_is_a_doubt() {
    for (of_user, of_all, is_doubted) in [("1", "1", true), ("1", "2", false), ("", "", false)] {
        let rows = |user: Option<&str>| {
            let usage = if user.is_some() { of_user } else { of_all };
            if usage.is_empty() { vec![] } else { vec![row("", "VIDEO_2D", usage, "MIN")] }
        };
        let mut progress = Progress::default();
        let poll = Poll { keys: "user_ids: [a]", ..TODAY };
        let doubts = poll.with(&mut progress, of_today(rows)).unwrap().1;
        assert_eq!(doubts.contains_key(&Doubt::UserWithoutEffect), is_doubted, "{of_user} of {of_all}");
        assert_eq!(progress.proofs.users_have_effect, of_user < of_all, "no usage proves nothing");
    }
}

#[test]
fn only_this_month_has_days() {
    let service = |query: &UsageQuery<'_>, limit, offset| {
        Some(page(None, &in_range(days(29..31, 1), query.range), false, limit, offset))
    };
    let poll = Poll { windows: &["yesterday", "this_month"], ..NOVEMBER };
    let windows = poll.complete(&mut Progress::default(), service).unwrap().windows;
    let [None, Some(month)] = [&windows[0].days, &windows[1].days] else { panic!("{windows:?}") };
    assert_eq!(month.minutes, [vec![0.0; 28], vec![1.0; 2]].concat());
}

#[test]
fn a_later_poll_asks_only_for_the_windows() {
    let whole = |query: &UsageQuery<'_>, limit: usize, offset: usize| {
        Some(page(None, &in_range(days(1..31, 1), query.range), false, limit, offset))
    };
    let requests = |poll: Poll<'_>, service: &(dyn Fn(&UsageQuery<'_>, usize, usize) -> Option<String> + Sync)| {
        let mut progress = Progress::default();
        [(); 2].map(|()| {
            let requests = AtomicUsize::new(0);
            let counted = |query: &UsageQuery<'_>, limit, offset| {
                requests.fetch_add(usize::from(offset == 0), Ordering::Relaxed);
                service(query, limit, offset)
            };
            poll.with(&mut progress, counted).unwrap();
            requests.into_inner()
        })
    };
    // Two windows and the halves of the longer one.
    let days = Poll { windows: &["yesterday", "this_month"], ..NOVEMBER };
    assert_eq!(requests(days, &whole), [4, 2]);
    // A window, its halves, and a part of the window, because it begins within a bucket.
    let rolling = Poll { windows: &["7d"], now: "2025-11-30T15:00:00Z", ..NOVEMBER };
    assert_eq!(requests(rolling, &whole), [4, 1]);
    let shanghai = Poll { zone: "Asia/Shanghai", now: "2025-11-20T15:00:00Z", ..NOVEMBER };
    assert_eq!(requests(shanghai, &overlapping), [4, 1]);
}

#[test]
fn a_service_is_asked_to_cut_the_first_bucket_with_usage() {
    let parts = |days_with_usage: std::ops::Range<i64>, poll: Poll<'_>| {
        let parts = Mutex::new(Vec::new());
        let service = |query: &UsageQuery<'_>, limit, offset| {
            let mut days = in_range(days(20..31, 1), query.range);
            let has_usage = |day: &Day| days_with_usage.contains(&day.start.day().into());
            days.iter_mut()
                .filter(|day| !has_usage(day))
                .for_each(|day| day.rows[0] = day.rows[0].replace(":1,\"unit", ":0,\"unit"));
            parts.lock().extend(Some(query.range).filter(|range| range.start.timestamp() % 60 == 1));
            Some(page(None, &days, false, limit, offset))
        };
        poll.of(service).unwrap();
        parts.into_inner()
    };
    let range = |start: &str, end: &str| Bounds { start: at(start), end: at(end) };
    let now = "2025-11-30T15:00:00Z";
    let week = Poll { windows: &["3d", "7d"], now, ..NOVEMBER };
    assert_eq!(parts(25..30, week), [range("2025-11-25T00:00:01Z", now)]);
    // The only bucket with usage begins in the last second, so no part would be left after it.
    let now = "2025-11-30T00:00:01Z";
    let days = Poll { windows: &["2d"], now, ..NOVEMBER };
    assert!(parts(30..31, days).iter().all(|part| part.start < part.end));
}
