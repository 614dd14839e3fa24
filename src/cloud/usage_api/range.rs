//! Compares the times of an answer with the range that was asked for (`docs/numbers.md`, "Range").

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use rust_decimal::Decimal;

use crate::{
    cloud::{error::Error, memory::AnswerMemory, usage_api::wire::start_of_bucket},
    usage::{Bounds, Doubt, Doubts, Row, RowCounters, greatest_common_divisor, timestamp},
};

/// The rows of an answer that belong to its range.
#[derive(Debug, Default)]
pub struct InRange {
    /// The rows in the range, each with the start of its bucket, and the rows without a readable time.
    pub rows: Vec<(Option<DateTime<Utc>>, Row)>,
    /// Rows that are left out.
    pub counters: RowCounters,
    /// The findings that may make the sums wrong.
    pub doubts: Doubts,
    /// The start of a bucket that contains the start of the range. The bucket is left out.
    pub before: Option<DateTime<Utc>>,
    /// The memory of the rows.
    pub(super) memory: AnswerMemory,
}

/// Leaves out the rows of buckets that begin outside of `range`. If a service takes the end as inclusive, it sends the
/// bucket that begins at the end. If a service rounds the start, it sends the bucket that contains the start.
///
/// # Errors
/// [`Error::Inconsistent`] if several buckets begin before the range, or if one begins before the range and does not
/// contain its start. Then the service answers another question.
pub fn within(rows: Vec<Row>, range: Bounds) -> Result<InRange, Error> {
    let mut answer = InRange::default();
    let mut before = BTreeSet::new();
    let mut has_first = false;
    for row in rows {
        match start_of_bucket(row.key.time.as_deref()) {
            Some(start) if start < range.start => {
                before.insert(start);
                answer.counters.outside += 1;
            }
            Some(start) if start == range.start => {
                has_first = true;
                answer.rows.push((Some(start), row));
            }
            Some(start) if start >= range.end => answer.counters.outside += 1,
            Some(start) => answer.rows.push((Some(start), row)),
            None => {
                answer.doubts.entry(Doubt::UnreadableTime).or_insert_with(|| {
                    let time = row.key.time.as_deref().unwrap_or_default();
                    format!("a bucket has the time {time:?}, which is no time with a zone")
                });
                answer.rows.push((None, row));
            }
        }
    }
    match (before.first(), before.len()) {
        (None, _) => {}
        (Some(start), 1) if !has_first => {
            let seen = format!(
                "the bucket that begins at {} contains the start of the range, {}",
                timestamp(*start),
                timestamp(range.start)
            );
            answer.doubts.insert(Doubt::Misaligned, seen);
            answer.before = Some(*start);
        }
        (Some(start), number) => {
            return Err(Error::Inconsistent(format!(
                "the range begins at {}, but the answer has earlier buckets (number: {number}, first: {}); the service \
                 reads the range in another zone, or ignores its start",
                timestamp(range.start),
                timestamp(*start)
            )));
        }
    }
    Ok(answer)
}

/// Compares ranges with the buckets of all answers of a poll. If buckets begin at regular times, a range can begin and
/// end at these times only, unless the service cuts buckets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alignment {
    /// Whether the service cuts the first bucket at the start of the range, so that any range is exact; `None` while
    /// this is not known.
    cuts: Option<bool>,
    /// The buckets of the last check, if there were two or more.
    grid: Option<Grid>,
}

const DAY: i64 = 24 * 60 * 60;
const WEEK: i64 = 7 * DAY;

/// Times at regular distances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Grid {
    first: DateTime<Utc>,
    /// The greatest common divisor of all distances, in seconds.
    distance: i64,
    is_weeks: bool,
    /// If each bucket begins with a month: the offset of its zone from UTC.
    months: Option<TimeDelta>,
}

impl Grid {
    /// The grid of buckets with two different times or more. Days without usage have no bucket, so buckets that are
    /// days apart are most likely days. But three buckets that all begin on the same day of the week are most likely
    /// weeks, and two buckets that begin with a month are months.
    fn of(buckets: &BTreeSet<DateTime<Utc>>) -> Option<Self> {
        let first = *buckets.first()?;
        let distances = buckets.iter().map(|bucket| (*bucket - first).num_seconds());
        let distance = distances.fold(0, greatest_common_divisor);
        let time_of_day = TimeDelta::seconds(first.timestamp().rem_euclid(DAY));
        let mut offsets = [-time_of_day, TimeDelta::days(1) - time_of_day].into_iter();
        let months = offsets.find(|offset| buckets.iter().all(|bucket| begins_month(*bucket, *offset)));
        let is_weeks = buckets.len() >= 3 && distance % WEEK == 0;
        (distance > 0).then_some(Grid { first, distance, is_weeks, months })
    }

    /// The most likely width of the buckets, in seconds: a week, or at most a day.
    fn width(self) -> i64 {
        greatest_common_divisor(self.distance, if self.is_weeks { WEEK } else { DAY })
    }

    fn is_multiple(self, time: DateTime<Utc>, of: i64) -> bool {
        match self.months {
            Some(offset) => begins_month(time, offset),
            None => (time - self.first).num_seconds() % of == 0,
        }
    }
}

fn begins_month(time: DateTime<Utc>, offset: TimeDelta) -> bool {
    let local = time + offset;
    local.day() == 1 && local.timestamp().rem_euclid(DAY) == 0
}

impl Alignment {
    /// Checks ranges, each with the starts of its buckets. Returns the first contradiction. There is no usage after
    /// `now`, so an end that is not before `now` is not checked.
    pub fn check(&mut self, ranges: &[(Bounds, Vec<DateTime<Utc>>)], now: DateTime<Utc>) -> Option<String> {
        // A bucket that begins with the range may have been cut there, unless it is a week or a month like all other
        // buckets.
        let all = Grid::of(&ranges.iter().flat_map(|(_, buckets)| buckets).copied().collect());
        let inner = ranges.iter().flat_map(|(range, buckets)| buckets.iter().filter(|bucket| **bucket > range.start));
        let is_coarse = |grid: &Grid| grid.is_weeks || grid.months.is_some();
        self.grid = all.filter(is_coarse).or_else(|| Grid::of(&inner.copied().collect()));
        let grid = self.grid?;
        let width = grid.width();
        if ranges.iter().any(|(range, buckets)| !grid.is_multiple(range.start, width) && buckets.contains(&range.start))
        {
            self.cuts = Some(true);
        }
        if self.cuts == Some(true) {
            return None;
        }
        let starts = ranges.iter().map(|(range, _)| ("begins", range.start));
        let ends = ranges.iter().map(|(range, _)| ("ends", range.end)).filter(|(_, end)| *end < now);
        let (edge, time) = starts.chain(ends).find(|(_, time)| !grid.is_multiple(*time, width))?;
        let every = match grid.months {
            Some(_) => "month".to_owned(),
            None => format!("{} min", width / 60),
        };
        Some(format!(
            "a range {edge} at {}, but buckets begin every {every}, for example at {}",
            timestamp(time),
            timestamp(grid.first)
        ))
    }

    /// Whether it is still unknown if the service cuts buckets.
    pub fn is_cut_unknown(&self) -> bool {
        self.cuts.is_none()
    }

    /// Whether the last check knew where buckets begin.
    pub fn is_known(&self) -> bool {
        self.grid.is_some() || self.cuts == Some(true)
    }

    /// Notes the answer for a range that begins within a bucket: a service that cuts the bucket sends one that begins
    /// with the range.
    pub fn note_cut(&mut self, start: DateTime<Utc>, buckets: &BTreeMap<DateTime<Utc>, Decimal>) {
        self.cuts = Some(buckets.contains_key(&start));
    }

    /// Whether a bucket certainly begins at this time.
    pub fn has_bucket_start(&self, time: DateTime<Utc>) -> bool {
        self.grid.is_some_and(|grid| grid.is_multiple(time, grid.distance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::RowKey;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    fn november(day: u32) -> DateTime<Utc> {
        at(&format!("2025-11-{day:02}T00:00:00Z"))
    }

    fn rows(times: &[&str]) -> Vec<Row> {
        let row = |time: &&str| Row {
            key: RowKey { time: Some((*time).into()), ..RowKey::default() },
            usage: None,
            number: Some(1),
        };
        times.iter().map(row).collect()
    }

    fn days() -> Bounds {
        Bounds { start: november(2), end: november(4) }
    }

    #[test]
    fn buckets_that_begin_outside_are_left_out() {
        let times =
            ["2025-11-02T00:00:00Z", "2025-11-03T08:00:00+08:00", "2025-11-04T00:00:00Z", "2025-11-05T00:00:00Z"];
        let answer = within(rows(&times), days()).unwrap();
        assert_eq!((answer.rows.len(), answer.counters.outside, answer.doubts.len()), (2, 2, 0));
        assert_eq!(answer.rows.iter().filter_map(|(start, _)| *start).collect::<Vec<_>>(), [november(2), november(3)]);
    }

    #[test]
    fn one_bucket_before_the_start_is_a_doubt_and_two_are_refused() {
        let answer = within(rows(&["2025-11-01T16:00:00Z", "2025-11-02T16:00:00Z"]), days()).unwrap();
        assert_eq!((answer.rows.len(), answer.counters.outside), (1, 1));
        assert!(answer.doubts[&Doubt::Misaligned].contains("2025-11-01T16:00:00Z"), "{:?}", answer.doubts);
        assert_eq!(answer.before, Some(at("2025-11-01T16:00:00Z")));
        // Three rows of one bucket count as one bucket.
        assert!(within(rows(&["2025-11-01T16:00:00Z"; 3]), days()).is_ok());
        let error = within(rows(&["2025-11-01T16:00:00Z", "2025-10-31T16:00:00Z"]), days()).unwrap_err().to_string();
        assert!(error.contains("earlier buckets (number: 2, first: 2025-10-31T16:00:00Z)"), "{error}");
        // A bucket that begins with the range shows that the bucket before it has ended.
        let error = within(rows(&["2025-11-01T16:00:00Z", "2025-11-02T00:00:00Z"]), days()).unwrap_err().to_string();
        assert!(error.contains("earlier buckets (number: 1, first"), "{error}");
    }

    #[test]
    fn times_that_cannot_be_compared_are_a_doubt() {
        let answer = within(rows(&["2025-11-03", ""]), days()).unwrap();
        assert_eq!((answer.rows.len(), answer.doubts.len()), (2, 1));
        assert!(answer.doubts[&Doubt::UnreadableTime].contains("2025-11-03"));
    }

    fn is_aligned(ranges: &[(&str, &[&str])]) -> bool {
        let now = november(6);
        let range = |start: &str| Bounds { start: at(start), end: now };
        let ranges: Vec<_> = ranges
            .iter()
            .map(|(start, buckets)| (range(start), buckets.iter().map(|bucket| at(bucket)).collect()))
            .collect();
        Alignment::default().check(&ranges, now).is_none()
    }

    #[test]
    fn a_range_begins_where_a_bucket_begins() {
        let utc_days = ["2025-11-02T00:00:00Z", "2025-11-03T00:00:00Z", "2025-11-05T00:00:00Z"];
        let shanghai_days = ["2025-11-01T16:00:00Z", "2025-11-02T16:00:00Z"];
        assert!(is_aligned(&[("2025-11-01T00:00:00Z", &utc_days)]));
        assert!(is_aligned(&[("2025-10-31T16:00:00Z", &shanghai_days)]));
        assert!(!is_aligned(&[("2025-10-31T16:00:00Z", &utc_days)]));
        // The day of another window has no bucket of its own, but the month shows the grid.
        assert!(!is_aligned(&[("2025-11-01T00:00:00Z", &utc_days), ("2025-11-05T16:00:00Z", &[])]));
        // A rolling window over whole days, and one over hours.
        assert!(!is_aligned(&[("2025-11-01T10:17:23Z", &utc_days)]));
        let hours = ["2025-11-01T11:00:00Z", "2025-11-01T12:00:00Z"];
        assert!(!is_aligned(&[("2025-11-01T10:17:23Z", &hours)]));
        assert!(is_aligned(&[("2025-11-01T00:00:00Z", &hours)]));
    }

    #[test]
    fn days_without_usage_do_not_widen_the_grid() {
        let every_other = ["2025-11-02T00:00:00Z", "2025-11-04T00:00:00Z", "2025-11-06T00:00:00Z"];
        assert!(is_aligned(&[("2025-11-01T00:00:00Z", &every_other)]));
        assert!(is_aligned(&[("2025-11-01T00:00:00Z", &["2025-11-02T00:00:00Z"])]), "one bucket is no grid");
    }

    #[test]
    fn a_service_that_cuts_the_first_bucket_is_exact_for_any_range() {
        let cut = ["2025-11-01T10:17:23Z", "2025-11-02T00:00:00Z", "2025-11-03T00:00:00Z"];
        assert!(is_aligned(&[("2025-11-01T10:17:23Z", &cut)]));
        // One range shows for all ranges that the service cuts.
        assert!(is_aligned(&[("2025-11-01T10:17:23Z", &cut), ("2025-11-01T11:00:00Z", &cut[1..])]));
        let (mut alignment, now) = (Alignment::default(), november(6));
        let range = |start: &str| Bounds { start: at(start), end: now };
        assert_eq!(alignment.check(&[(range("2025-11-01T10:17:23Z"), cut.map(at).to_vec())], now), None);
        let later: Vec<_> = cut.map(at).into_iter().skip(1).collect();
        assert_eq!(alignment.check(&[(range("2025-11-01T11:00:00Z"), later)], now), None, "the service is known");
    }

    #[test]
    fn three_mondays_are_weeks_and_two_first_days_are_months() {
        let mondays = ["2025-10-06T00:00:00Z", "2025-10-20T00:00:00Z", "2025-11-03T00:00:00Z"];
        let months = ["2025-09-30T16:00:00Z", "2025-10-31T16:00:00Z"];
        let months_of_new_york = ["2025-09-01T04:00:00Z", "2025-10-01T04:00:00Z"];
        for (buckets, start, is_aligned) in [
            (&mondays[..], "2025-09-29T00:00:00Z", true),
            (&mondays[..], "2025-10-01T00:00:00Z", false),
            (&mondays[..2], "2025-10-01T00:00:00Z", true),
            (&months[..], "2025-08-31T16:00:00Z", true),
            (&months[..], "2025-08-30T16:00:00Z", false),
            (&months[..], "2025-08-31T00:00:00Z", false),
            (&months[..1], "2025-08-30T16:00:00Z", true),
            (&months_of_new_york[..], "2025-08-01T04:00:00Z", true),
            (&months_of_new_york[..], "2025-08-15T04:00:00Z", false),
        ] {
            assert_eq!(is_aligned_to(buckets, start, november(6)), is_aligned, "{buckets:?} {start}");
        }
        // A month that begins with its range is a month, too.
        assert!(!is_aligned(&[(months[0], &months), ("2025-10-15T16:00:00Z", &months[1..])]));
    }

    #[test]
    fn a_range_that_has_ended_ends_where_a_bucket_begins() {
        let mondays = ["2025-09-01T00:00:00Z", "2025-09-08T00:00:00Z", "2025-09-29T00:00:00Z"];
        assert!(!is_aligned_to(&mondays, "2025-09-01T00:00:00Z", at("2025-10-01T00:00:00Z")));
        assert!(is_aligned_to(&mondays, "2025-09-01T00:00:00Z", at("2025-10-06T00:00:00Z")));
    }

    #[test]
    fn buckets_certainly_begin_at_multiples_of_their_distance() {
        let range = Bounds { start: november(1), end: november(6) };
        let mut alignment = Alignment::default();
        assert!(!alignment.has_bucket_start(november(2)), "nothing is known yet");
        for (buckets, expected) in [([2, 3], [true, true, false]), ([2, 4], [true, false, false])] {
            alignment.check(&[(range, buckets.map(november).to_vec())], range.end);
            let times = [november(4), november(5), november(4) + TimeDelta::hours(12)];
            assert_eq!(times.map(|time| alignment.has_bucket_start(time)), expected, "{buckets:?}");
        }
    }

    fn is_aligned_to(buckets: &[&str], start: &str, end: DateTime<Utc>) -> bool {
        let buckets = buckets.iter().map(|bucket| at(bucket)).collect();
        Alignment::default().check(&[(Bounds { start: at(start), end }, buckets)], november(6)).is_none()
    }

    #[test]
    fn a_service_that_has_been_asked_is_known() {
        let (start, end) = (november(2) + TimeDelta::seconds(1), november(4));
        for (buckets, cuts) in [(BTreeMap::from([(start, Decimal::ONE)]), true), (BTreeMap::new(), false)] {
            let mut alignment = Alignment::default();
            assert!(alignment.is_cut_unknown());
            alignment.note_cut(start, &buckets);
            let days = [november(2), november(3)].to_vec();
            let range = Bounds { start: at("2025-11-01T10:17:23Z"), end };
            assert_eq!((alignment.is_cut_unknown(), alignment.check(&[(range, days)], end).is_none()), (false, cuts));
        }
    }
}
