//! Services that answer for ranges in different ways. The exact usage of each day is known.

use std::path::Path;

use chrono::{SecondsFormat, TimeDelta};
use parking_lot::Mutex;
use serde_json::json;

use super::*;
use crate::{
    cloud::{
        AnswerMemory, UsageQuery,
        usage_api::{PageRequest, wire::Page},
    },
    config::{Environment, load_text},
    history::days::{happened, tests::date},
    usage::Counters,
};

/// A service with usage in each hour.
#[derive(Default)]
struct Service {
    /// Hours of a bucket; 0 is 24.
    width: i64,
    /// Hours after midnight in UTC at which a day begins.
    offset: i64,
    /// Buckets come whole if a part of them is in the range.
    is_uncut: bool,
    /// Buckets come whole if they begin in the range.
    is_uncut_at_end: bool,
    /// If a range has more days than this, the service silently answers only for this many last days.
    silent_longest: Option<i64>,
    /// The service refuses ranges of more days than this.
    longest: Option<i64>,
    /// The service refuses ranges that begin before this time.
    oldest: Option<&'static str>,
    /// The first query that fails, counted from 0. All later ones fail, too.
    failing: Option<usize>,
    ranges: Mutex<Vec<Bounds>>,
}

fn hundredths(hour: i64) -> i64 {
    hour * 37 % 101
}

fn minutes(range: Bounds) -> Decimal {
    let hours = range.start.timestamp() / 3600..range.end.timestamp() / 3600;
    Decimal::new(hours.map(hundredths).sum(), 2)
}

impl PageSource for Service {
    async fn page(
        &self,
        query: &UsageQuery<'_>,
        request: PageRequest,
        _: Instant,
        _: &AnswerMemory,
        _: &mut Counters,
    ) -> Result<Page, Error> {
        let Bounds { mut start, end } = query.range;
        {
            let mut ranges = self.ranges.lock();
            if request.offset == 0 && ranges.last() != Some(&query.range) {
                ranges.push(query.range);
            }
            if self.failing.is_some_and(|failing| ranges.len() > failing) {
                return Err(Error::refusal(500, "MSS.00000004", ""));
            }
        }
        let is_too_long = self.longest.is_some_and(|days| end - start > TimeDelta::days(days));
        if is_too_long || self.oldest.is_some_and(|oldest| start < oldest.parse::<DateTime<Utc>>().unwrap()) {
            return Err(Error::refusal(400, "MSS.00000003", ""));
        }
        start = start.max(self.silent_longest.map_or(start, |days| end - TimeDelta::days(days)));
        let width = if self.width == 0 { 24 } else { self.width };
        let bucket = |hour: i64| (hour - self.offset).div_euclid(width) * width + self.offset;
        let (mut first, mut last) = (start.timestamp() / 3600, end.timestamp() / 3600);
        if self.is_uncut {
            (first, last) = (bucket(first), bucket(last - 1) + width);
        }
        if self.is_uncut_at_end {
            (first, last) = (bucket(first + width - 1), bucket(last - 1) + width);
        }
        let mut buckets: BTreeMap<i64, i64> = BTreeMap::new();
        (first..last).for_each(|hour| *buckets.entry(bucket(hour).max(first)).or_default() += hundredths(hour));
        let entry = |(hour, hundredths): (i64, i64)| {
            let time = DateTime::from_timestamp(hour * 3600, 0).unwrap().to_rfc3339_opts(SecondsFormat::Secs, true);
            let usage = json!(format!("{}.{:02}", hundredths / 100, hundredths % 100));
            json!({"time": time, "resources_usage": [{"business_type": "V", "unit": "MIN", "usage": usage}]})
        };
        let count = buckets.len();
        let list: Vec<_> = buckets.into_iter().skip(request.offset).take(request.limit).map(entry).collect();
        Ok(Page::parse(json!({"count": count, "time_list": list}).to_string().as_bytes()).unwrap())
    }
}

/// Asks for the days from `first` to the day before `end`. Returns the complete days, and the last step if not all days
/// are complete.
async fn ask_in(service: &Service, zone: &str, first: &str, end: &str) -> (BTreeMap<NaiveDate, Day>, Option<Step>) {
    let text = "credentials: {main: {access_key: AK, secret_key: SK}}\nprojects: [{name: p, region: cn-north-4}]";
    let config = load_text(text.to_owned(), Path::new("x"), &Environment::default()).await.config.unwrap();
    let zone: Zone = zone.parse().unwrap();
    let days: Vec<NaiveDate> = happened(date(first), date(end), &zone).collect();
    let query = DaysQuery {
        source: service,
        project: &config.projects[0],
        split: Split::Together,
        project_id: "id",
        page_size: 1000,
        zone: &zone,
        seed: 7,
    };
    let (mut learnt, mut complete) = (Learnt::default(), BTreeMap::new());
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    let mut asking = query.begin(&days, now, &mut learnt);
    let mut last = None;
    while let Some(step) = asking.next(&mut learnt).await {
        assert!(last.is_none(), "{last:?}");
        match step {
            Step::Complete(days) => complete.extend(days),
            step => last = Some(step),
        }
    }
    for (date, day) in complete.iter().filter(|(_, day)| !day.is_misaligned()) {
        let sums: Vec<Decimal> = day.tally.parts().filter_map(|(_, sum, _)| sum).collect();
        assert_eq!(sums, [minutes(Bounds::of_day(*date, &zone))], "{date}");
    }
    (complete, last)
}

async fn october(service: &Service) -> (usize, usize) {
    let (days, end) = ask_in(service, "Asia/Shanghai", "2025-10-01", "2025-11-01").await;
    assert!(end.is_none(), "{end:?}");
    let exact = days.values().filter(|day| !day.is_misaligned()).count();
    (exact, service.ranges.lock().len())
}

#[tokio::test]
async fn days_come_from_buckets_that_begin_at_midnight_or_are_finer() {
    for width in [24, 8, 1] {
        let (exact, ranges) = october(&Service { width, offset: 16, ..Service::default() }).await;
        assert_eq!(exact, 31);
        assert!(ranges <= 8, "one query, and the comparison: {ranges}");
    }
}

#[tokio::test]
async fn days_have_queries_of_their_own_if_buckets_are_others() {
    let utc_days = Service::default();
    let weeks = Service { width: 7 * 24, offset: 16, ..Service::default() };
    let silent = Service { silent_longest: Some(20), offset: 16, ..Service::default() };
    for service in [utc_days, weeks, silent] {
        let (exact, ranges) = october(&service).await;
        assert_eq!(exact, 31);
        assert!(ranges > 31, "{ranges}");
    }
}

#[tokio::test]
async fn a_cut_of_one_day_is_found_in_the_older_half() {
    let service = Service { silent_longest: Some(30), offset: 16, ..Service::default() };
    assert_eq!(october(&service).await.0, 31);
}

#[tokio::test]
async fn days_of_buckets_that_are_not_cut_are_doubted() {
    let uncut = Service { is_uncut: true, ..Service::default() };
    let at_end = Service { is_uncut_at_end: true, ..Service::default() };
    for service in [uncut, at_end] {
        assert_eq!(october(&service).await.0, 0, "a day of UTC is not a day of Shanghai");
    }
}

#[tokio::test]
async fn days_are_23_and_25_hours_long_when_clocks_change() {
    for (first, end) in [("2025-03-01", "2025-04-01"), ("2025-10-01", "2025-11-01")] {
        for width in [1, 24] {
            let service = Service { width, ..Service::default() };
            let (days, end) = ask_in(&service, "Europe/Berlin", first, end).await;
            assert!(end.is_none() && days.len() == 31, "{end:?}");
            assert!(days.values().all(|day| !day.is_misaligned()));
            assert_eq!(service.ranges.lock().len() > 31, width == 24, "only hours can be added up");
        }
    }
}

#[tokio::test]
async fn a_range_that_is_refused_is_halved() {
    let service = Service { longest: Some(5), offset: 16, ..Service::default() };
    let (exact, ranges) = october(&service).await;
    assert_eq!(exact, 31);
    assert!(ranges < 31, "{ranges}");
}

#[tokio::test]
async fn a_day_that_is_refused_is_too_far_back() {
    // Noon of 10 October in Shanghai.
    let service = Service { oldest: Some("2025-10-10T04:00:00Z"), offset: 16, ..Service::default() };
    let (days, end) = ask_in(&service, "Asia/Shanghai", "2025-10-01", "2025-11-01").await;
    assert!(matches!(end, Some(Step::TooFarBack(day)) if day == date("2025-10-10")), "{end:?}");
    assert_eq!(days.first_key_value().map(|(day, _)| *day), Some(date("2025-10-11")));
    assert_eq!(days.len(), 21);
    let ranges = service.ranges.lock();
    assert!(ranges.len() < 30, "{}", ranges.len());
}

#[tokio::test]
async fn a_query_that_fails_leaves_no_day_of_its_range() {
    for failing in 0..5 {
        let service = Service { failing: Some(failing), offset: 16, ..Service::default() };
        let (days, end) = ask_in(&service, "Asia/Shanghai", "2025-10-01", "2025-11-01").await;
        assert!(matches!(end, Some(Step::Failed(_))), "{end:?}");
        assert_eq!(days.len(), 0, "{failing}");
    }
    // The newer days have been asked for one by one.
    let service = Service { failing: Some(10), ..Service::default() };
    let (days, _) = ask_in(&service, "Asia/Shanghai", "2025-10-01", "2025-11-01").await;
    assert!((5..10).contains(&days.len()), "{}", days.len());
    assert!(days.contains_key(&date("2025-10-31")));
}
