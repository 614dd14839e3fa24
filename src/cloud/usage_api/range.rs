//! Compares the times of an answer with the range that was asked for (numbers, "The range").

use std::collections::BTreeSet;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use crate::{
    cloud::error::Error,
    usage::{Bounds, Doubt, Doubts, Row, RowCounters},
};

/// Formats an instant in the only form that the API page shows, such as `2025-11-08T09:30:00Z`.
pub fn timestamp(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The rows of an answer that belong to its range.
#[derive(Debug, Default)]
pub struct InRange {
    /// The rows in the range, each with the start of its bucket, and those without a readable time.
    pub rows: Vec<(Option<DateTime<Utc>>, Row)>,
    /// Rows that are left out.
    pub counters: RowCounters,
    /// What was seen that may make the sums wrong.
    pub doubts: Doubts,
}

/// The start of a row's bucket; `None` if it has no time with a zone.
fn bucket_start(row: &Row) -> Option<DateTime<Utc>> {
    let time = row.key.time.as_deref()?;
    DateTime::parse_from_rfc3339(time).ok().map(|time| time.to_utc())
}

/// Leaves out the rows of buckets that begin outside of `range`: a service that takes the end as inclusive sends the
/// bucket that begins there, and one that rounds the start sends the bucket that contains it.
///
/// # Errors
/// [`Error::Inconsistent`] if several buckets begin before the range, because then the service answers another question.
pub fn within(rows: Vec<Row>, range: Bounds) -> Result<InRange, Error> {
    let mut answer = InRange::default();
    let mut before = BTreeSet::new();
    for row in rows {
        match bucket_start(&row) {
            Some(start) if start < range.start => {
                before.insert(start);
                answer.counters.outside += 1;
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
        (Some(start), 1) => {
            let seen = format!(
                "the bucket that begins at {} contains the start of the range, {}",
                timestamp(*start),
                timestamp(range.start)
            );
            answer.doubts.insert(Doubt::Misaligned, seen);
        }
        (Some(start), number) => {
            return Err(Error::Inconsistent(format!(
                "{number} buckets begin before the start of the range, {}, the first at {}: the service reads the range in \
                 another zone, or ignores its start",
                timestamp(range.start),
                timestamp(*start)
            )));
        }
    }
    Ok(answer)
}

/// Compares the starts of ranges with the buckets of all answers of a poll. Buckets that begin at regular times tell at
/// which times a range can begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alignment {
    /// Whether the service cuts the first bucket at the start of the range, so that any range is exact.
    cuts: bool,
    /// The buckets of the last check, if there were two or more.
    grid: Option<Grid>,
}

/// Times at regular distances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Grid {
    first: DateTime<Utc>,
    /// In seconds; at most a day.
    width: i64,
}

impl Grid {
    /// `None` if the buckets have less than two different times.
    fn of(buckets: &BTreeSet<DateTime<Utc>>) -> Option<Self> {
        let first = *buckets.first()?;
        let distances = buckets.iter().map(|bucket| (*bucket - first).num_seconds());
        // Days without usage have no bucket, so longer distances tell only the time of day.
        let day = TimeDelta::days(1).num_seconds();
        let width = distances.fold(0, greatest_common_divisor);
        (width > 0).then(|| Grid { first, width: greatest_common_divisor(width, day) })
    }

    fn contains(self, time: DateTime<Utc>) -> bool {
        (time - self.first).num_seconds() % self.width == 0
    }
}

impl Alignment {
    /// Checks ranges, each with its start and the starts of its buckets. Returns what contradicts, if anything does.
    pub fn check(&mut self, ranges: &[(DateTime<Utc>, Vec<DateTime<Utc>>)]) -> Option<String> {
        // A bucket that begins with the range may have been cut there. Only the others tell the grid.
        let inner = ranges.iter().flat_map(|(start, buckets)| buckets.iter().filter(move |bucket| *bucket > start));
        self.grid = Grid::of(&inner.copied().collect());
        let grid = self.grid?;
        self.cuts |= ranges.iter().any(|(start, buckets)| !grid.contains(*start) && buckets.contains(start));
        if self.cuts {
            return None;
        }
        let (start, _) = ranges.iter().find(|(start, _)| !grid.contains(*start))?;
        Some(format!(
            "a range begins at {}, but buckets begin every {} min, for example at {}",
            timestamp(*start),
            grid.width / 60,
            timestamp(grid.first)
        ))
    }

    /// Whether buckets begin at such a time.
    pub fn has_bucket_start(&self, time: DateTime<Utc>) -> bool {
        self.grid.is_some_and(|grid| grid.contains(time))
    }
}

fn greatest_common_divisor(a: i64, b: i64) -> i64 {
    if b == 0 { a.abs() } else { greatest_common_divisor(b, a % b) }
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
        // The rows of one bucket are one bucket.
        assert!(within(rows(&["2025-11-01T16:00:00Z"; 3]), days()).is_ok());
        let error = within(rows(&["2025-11-01T16:00:00Z", "2025-10-31T16:00:00Z"]), days()).unwrap_err().to_string();
        assert!(error.contains("2 buckets begin before the start"), "{error}");
    }

    #[test]
    fn times_that_cannot_be_compared_are_a_doubt() {
        let answer = within(rows(&["2025-11-03", ""]), days()).unwrap();
        assert_eq!((answer.rows.len(), answer.doubts.len()), (2, 1));
        assert!(answer.doubts[&Doubt::UnreadableTime].contains("2025-11-03"));
    }

    fn is_aligned(ranges: &[(&str, &[&str])]) -> bool {
        let ranges: Vec<_> = ranges
            .iter()
            .map(|(start, buckets)| (at(start), buckets.iter().map(|bucket| at(bucket)).collect()))
            .collect();
        Alignment::default().check(&ranges).is_none()
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
        let mut alignment = Alignment::default();
        assert_eq!(alignment.check(&[(at("2025-11-01T10:17:23Z"), cut.map(at).to_vec())]), None);
        let later = cut.map(at).into_iter().skip(1).collect();
        assert_eq!(alignment.check(&[(at("2025-11-01T11:00:00Z"), later)]), None, "the service is known");
    }
}
