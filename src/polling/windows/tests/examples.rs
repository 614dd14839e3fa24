//! The smallest answers of services that were believed or refused wrongly once.

use std::fmt::Write;

use super::*;

/// Rows of a day of November 2025, or of the days after it; 0 is the last day of October.
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

/// Days of UTC with so many rows of one minute each.
fn days(numbers: std::ops::Range<i64>, rows: usize) -> Vec<Day> {
    let day = |number| {
        let start = at("2025-10-31T00:00:00Z") + TimeDelta::days(number);
        let row = |kind: usize| ROW.replace(r#","usage""#, &format!(r#","resource_type":"r{kind}","usage""#));
        Day { time: format!("\"{}\"", start.format("%FT%TZ")), start, rows: (0..rows).map(row).collect() }
    };
    numbers.map(day).collect()
}

/// Those whose bucket begins in the range.
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

/// A service: the body of an answer; HTTP 400 without one.
struct Scripted<F>(F);

impl<F: Fn(&UsageQuery<'_>, usize, usize) -> Option<String> + Sync> PageSource for Scripted<F> {
    async fn page(
        &self,
        query: &UsageQuery<'_>,
        PageRequest { limit, offset }: PageRequest,
        _: Instant,
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
    users: &'a [&'a str],
}

/// On the last day of November in UTC.
const NOVEMBER: Poll<'_> =
    Poll { windows: &["this_month"], zone: "UTC", now: "2025-11-30T23:59:00Z", page_size: 1000, users: &[] };

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
        let project = Project {
            windows: self.windows.iter().map(|window| window.parse().unwrap()).collect(),
            user_ids: self.users.iter().map(|user| (*user).to_owned()).collect(),
            ..PROJECT.clone()
        };
        let query = RangeQuery {
            source: &Scripted(service),
            project: &project,
            project_id: "p",
            page_size: self.page_size,
            deadline: Instant::now(),
        };
        let timezone = &self.zone.parse().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let poll = WindowsQuery { query, timezone };
        let complete = runtime.block_on(poll.ask(at(self.now), progress));
        let Complete { windows, doubts, .. } = complete.map_err(|error| error.to_string())?;
        let minutes = |tally: &Tally| {
            let series = tally.series().chain(tally.incomplete()).filter(|series| series.measure == Measure::Minutes);
            let series: BTreeSet<&Series> = series.collect();
            series.into_iter().map(|series| tally.value(series)).sum()
        };
        Ok((windows.iter().map(|window| minutes(&window.tally)).collect(), doubts))
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
    let error = Poll { users: &["a", "b"], ..NOVEMBER }.refusal(service);
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
    assert!(error.contains("the windows have 2002 series with usage, and at most 2000 are exported"), "{error}");
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
    let with = |before: TimeDelta| {
        move |query: &UsageQuery<'_>, limit, offset| {
            let mut days = in_range(days(1..31, 1), query.range);
            if query.range.start > at("2025-11-01T00:00:00Z") {
                let start = query.range.start - before;
                let time = format!("\"{}\"", start.format("%FT%TZ"));
                // The service sends the end of the day before in place of the first day.
                days[0] = Day { time, start, rows: vec![ROW.to_owned()] };
            }
            Some(page(None, &days, false, limit, offset))
        }
    };
    let (minutes, doubts) = NOVEMBER.of(with(TimeDelta::hours(8))).unwrap();
    assert_eq!((minutes, doubts.keys().collect::<Vec<_>>()), (vec![Some(30.0)], vec![&Doubt::Misaligned]));
    assert!(
        doubts[&Doubt::Misaligned].contains("begins at 2025-11-14T16:00:00Z, and the window has not"),
        "{doubts:?}"
    );
    assert_eq!(NOVEMBER.minutes(with(TimeDelta::days(1))), [30.0], "the window has a bucket of this day");
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
    use std::sync::atomic::{AtomicUsize, Ordering};
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
    // It has grown again meanwhile.
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
