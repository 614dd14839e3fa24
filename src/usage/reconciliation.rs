//! Compares usage with the answers of other operations for the same time: live sessions, videos, and used minutes of
//! packages.
//!
//! No document says when the minutes of a live session or a video are metered, and when they are deducted from a
//! package (contract, 18). So each amount has bounds, and two amounts contradict each other only if their bounds do.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use rust_decimal::Decimal;

use super::{
    package::{Package, PackageKind},
    row::{Overflow, Unit},
    session::{ChargingMode, JobState},
    tally::{Measure, Tally},
    window::Bounds,
    zone::Zone,
};

/// What the usage is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Against {
    /// Live sessions that ended.
    LiveSessions,
    /// Videos that were produced.
    Videos,
    /// The used minutes of packages.
    Packages,
}

/// Minutes, as far as they are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// The most likely number.
    pub minutes: Decimal,
    /// The least possible number.
    pub least: Decimal,
    /// The greatest possible number; `None` if it has no bound.
    pub most: Option<Decimal>,
}

/// The usage of a range of time, and the minutes of another operation for the same range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The other operation.
    pub against: Against,
    /// The types of business, joined by `+`.
    pub business_type: String,
    /// The range.
    pub range: Bounds,
    /// The usage by ShowUsageData.
    pub usage: Estimate,
    /// The minutes by the other operation.
    pub other: Estimate,
    /// Number of live sessions or videos.
    pub jobs: u64,
}

/// A live session or a video that may have ended, without the names that customers chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The API's `job_id`.
    pub id: String,
    /// Its state.
    pub state: JobState,
    /// When it was created.
    pub created: Option<DateTime<Utc>>,
    /// When it started.
    pub start: Option<DateTime<Utc>>,
    /// When it ended.
    pub end: Option<DateTime<Utc>>,
    /// The API's `duration`, read as seconds. Seconds are documented for live sessions, but not for videos.
    pub seconds: Option<Decimal>,
}

/// The minutes of the live sessions or videos of a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JobMinutes {
    /// Their sum.
    pub minutes: Estimate,
    /// The number of live sessions or videos that may be in the sum.
    pub jobs: u64,
}

/// Why the live sessions or videos of a day cannot be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotComparable {
    /// A live session that began before the end of the day still runs.
    StillRuns,
    /// The number of live sessions or videos that succeeded, but have no end, no duration, or an end before their
    /// start.
    ValueMissing(u64),
    /// A sum is beyond the range of decimals.
    Overflow,
}

/// A live session or a video is metered at most this long after its end. The documents do not say when. This is a
/// guess, and it only makes bounds wider.
const METERED_WITHIN: TimeDelta = TimeDelta::hours(1);

/// Minutes are deducted from a package at most this long after their usage (contract, 18).
const DEDUCTED_WITHIN: TimeDelta = TimeDelta::days(1);

/// The least time between two readings of packages that are compared.
const MIN_SPAN: TimeDelta = TimeDelta::days(2);

/// The greatest time between them. The longer the time, the less the delay matters, but a query for usage has at most
/// 31 days.
const MAX_SPAN: TimeDelta = TimeDelta::days(28);

/// The least time between two readings of packages that are kept.
const STEP: TimeDelta = TimeDelta::hours(20);

/// Maximum number of types of business with readings. The API documents 13.
const MAX_TYPES: usize = 50;

impl Against {
    /// Everything that usage is compared with.
    pub const ALL: [Against; 3] = [Against::LiveSessions, Against::Videos, Against::Packages];

    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Against::LiveSessions => "live_sessions",
            Against::Videos => "videos",
            Against::Packages => "packages",
        }
    }

    /// What may explain a difference.
    fn explanation(self) -> &'static str {
        match self {
            Against::LiveSessions => "minutes of sessions that failed may count or not",
            Against::Videos => {
                "the unit of their duration is not documented, so it is taken as seconds, and videos of photos may be \
                 metered as another type"
            }
            Against::Packages => {
                "pay-per-use packages and minutes that are billed on demand are in no list of the project"
            }
        }
    }
}

impl fmt::Display for Against {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Estimate {
    /// Minutes that are known exactly.
    pub fn exact(minutes: Decimal) -> Self {
        Estimate { minutes, least: minutes, most: Some(minutes) }
    }
}

impl Comparison {
    /// The usage minus the minutes of the other operation.
    pub fn difference(&self) -> Decimal {
        self.usage.minutes.saturating_sub(self.other.minutes)
    }

    /// Whether both contradict each other: by more than 5 % (contract, 18), and by more than what rounding can explain.
    /// The service may round each session or video up to a whole minute.
    pub fn differs(&self) -> bool {
        let (least, most) = (Decimal::new(95, 2), Decimal::new(105, 2));
        let rounding = Decimal::ONE.saturating_add(self.jobs.into());
        let is_less = self
            .usage
            .most
            .is_some_and(|usage| usage.saturating_add(Decimal::ONE) < self.other.least.saturating_mul(least));
        let is_more =
            self.other.most.is_some_and(|other| self.usage.least > other.saturating_mul(most).saturating_add(rounding));
        is_less || is_more
    }

    /// The comparison as a text for people.
    pub fn describe(&self, zone: &Zone) -> String {
        let Comparison { against, business_type, range, usage, other, jobs } = self;
        let date = |instant: DateTime<Utc>| zone.local(instant).date_naive();
        let (first, last) = (date(range.start), date(range.end - TimeDelta::seconds(1)));
        let when = if first == last { first.to_string() } else { format!("{first} to {last}") };
        let text = |minutes: Decimal| minutes.round_dp(2).normalize();
        let what = match against {
            Against::LiveSessions => format!("{jobs} live sessions have"),
            Against::Videos => format!("{jobs} videos have"),
            Against::Packages => "the used minutes of packages have grown by".to_owned(),
        };
        format!(
            "{when}: ShowUsageData has {} minutes of {business_type}, and {what} {}; {}",
            text(usage.minutes),
            text(other.minutes),
            against.explanation()
        )
    }
}

/// The minutes of each type of business; `None` if a row of it lacks a value or a unit.
///
/// # Errors
/// If a sum is beyond the range of decimals.
pub fn minutes_by_business(tally: &Tally) -> Result<BTreeMap<String, Option<Decimal>>, Overflow> {
    let mut minutes: BTreeMap<String, Option<Decimal>> = BTreeMap::new();
    for series in tally.series().filter(|series| series.measure == Measure::Minutes) {
        let sum = minutes.entry(series.business_type.clone()).or_insert(Some(Decimal::ZERO));
        if let (Some(sum), Some(value)) = (sum.as_mut(), tally.exact(series)) {
            *sum = sum.checked_add(value).ok_or(Overflow)?;
        }
    }
    for series in tally.incomplete() {
        minutes.insert(series.business_type.clone(), None);
    }
    Ok(minutes)
}

/// The minutes of the live sessions of a day. If a session runs over midnight, its minutes are divided among the days
/// in proportion to its time on each day.
///
/// # Errors
/// [`NotComparable`].
pub fn live_minutes(jobs: &[Job], day: Bounds) -> Result<JobMinutes, NotComparable> {
    let begin = |job: &Job| job.start.or(job.created);
    let runs = |job: &Job| job.state == JobState::Processing && begin(job).is_none_or(|begin| begin < day.end);
    if jobs.iter().any(runs) {
        return Err(NotComparable::StillRuns);
    }
    let share = |duration: Decimal, start: DateTime<Utc>, end: DateTime<Utc>| {
        let seconds = |length: TimeDelta| Decimal::new(length.num_milliseconds(), 3);
        let overlap = end.min(day.end) - start.max(day.start);
        if end == start {
            return if day.contains(end) { Some(duration) } else { Some(Decimal::ZERO) };
        }
        if day.start <= start && end <= day.end {
            return Some(duration);
        }
        duration.checked_mul(seconds(overlap.max(TimeDelta::zero())))?.checked_div(seconds(end - start))
    };
    job_minutes(jobs, day, begin, share)
}

/// The minutes of the videos that ended on a day.
///
/// # Errors
/// [`NotComparable`].
pub fn video_minutes(jobs: &[Job], day: Bounds) -> Result<JobMinutes, NotComparable> {
    let whole = |duration, _, end| Some(if day.contains(end) { duration } else { Decimal::ZERO });
    job_minutes(jobs, day, |job| job.created.or(job.start), whole)
}

/// Sums the jobs that succeeded. Each was metered between its beginning and [`METERED_WITHIN`] after its end. A job
/// that failed may have been metered, too.
fn job_minutes(
    jobs: &[Job],
    day: Bounds,
    begin: impl Fn(&Job) -> Option<DateTime<Utc>>,
    share: impl Fn(Decimal, DateTime<Utc>, DateTime<Utc>) -> Option<Decimal>,
) -> Result<JobMinutes, NotComparable> {
    let (mut sum, mut least, mut most, mut number, mut lacking) = (Decimal::ZERO, Decimal::ZERO, Decimal::ZERO, 0, 0);
    // Seconds are summed, because a fraction of a minute may have endless digits.
    let add = |sum: Decimal, seconds: Decimal| sum.checked_add(seconds).ok_or(NotComparable::Overflow);
    for job in jobs.iter().filter(|job| matches!(job.state, JobState::Succeeded | JobState::Failed)) {
        let begins = begin(job);
        if begins.is_some_and(|begins| begins >= day.end) {
            continue;
        }
        let has_succeeded = job.state == JobState::Succeeded;
        let seconds = job.seconds.filter(|seconds| *seconds >= Decimal::ZERO);
        let (Some(end), Some(seconds)) = (job.end, seconds) else {
            lacking += u64::from(has_succeeded);
            continue;
        };
        let begins = begins.unwrap_or(end);
        if end < begins {
            lacking += u64::from(has_succeeded);
            continue;
        }
        let metered = end + METERED_WITHIN;
        if metered <= day.start || begins >= day.end {
            continue;
        }
        if has_succeeded {
            sum = add(sum, share(seconds, begins, end).ok_or(NotComparable::Overflow)?)?;
            let is_inside = day.start <= begins && metered <= day.end;
            least = add(least, if is_inside { seconds } else { Decimal::ZERO })?;
        }
        most = add(most, seconds)?;
        number += 1;
    }
    if lacking > 0 {
        return Err(NotComparable::ValueMissing(lacking));
    }
    let [minutes, least, most] = [sum, least, most].map(|seconds| seconds / Decimal::from(60));
    Ok(JobMinutes { minutes: Estimate { minutes, least, most: Some(most) }, jobs: number })
}

/// Readings of the packages of each type of business: each has the used minutes at one time. The earlier readings of a
/// type are dropped when a package comes or goes, or when its used minutes become fewer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsedReadings(BTreeMap<String, VecDeque<UsedReading>>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct UsedReading {
    at: DateTime<Utc>,
    used: BTreeMap<(String, PackageKind), Decimal>,
    /// Whether a package that can be used has minutes left. If so, nothing has to be billed on demand.
    has_left: bool,
}

impl UsedReadings {
    /// Adds the newest reading. Only packages in minutes count. Parts are left out, because they repeat what their
    /// bundle holds. Rows that are billed on demand are left out, because they are no packages. So are packages that
    /// become full again.
    pub fn add(&mut self, at: DateTime<Utc>, packages: &[Package]) {
        let counts = |package: &&Package| {
            package.kind.unit == Unit::Minutes
                && !package.is_part
                && !package.is_resettable
                && ChargingMode::from_api(&package.kind.charging_mode) != ChargingMode::OnDemand
        };
        let mut by_type: BTreeMap<&str, Option<UsedReading>> = BTreeMap::new();
        for package in packages.iter().filter(counts) {
            let empty = || Some(UsedReading { at, used: BTreeMap::new(), has_left: false });
            let reading = by_type.entry(&package.kind.business_type).or_insert_with(empty);
            match (reading.as_mut(), package.used) {
                (Some(reading), Some(used)) => {
                    let is_usable = !package.is_frozen && package.expiry.is_none_or(|expiry| expiry > at);
                    reading.has_left |= is_usable && package.left().is_some_and(|left| left > Decimal::ZERO);
                    reading.used.insert((package.id.clone(), package.kind.clone()), used);
                }
                _ => *reading = None,
            }
        }
        self.0.retain(|business_type, _| by_type.get(business_type.as_str()).is_some_and(Option::is_some));
        for (business_type, reading) in by_type.into_iter().take(MAX_TYPES) {
            if let Some(reading) = reading {
                add_reading(self.0.entry(business_type.to_owned()).or_default(), reading);
            }
        }
    }

    /// Compares the growth from the first reading to the last one before `until` with the usage. `usage` gives the
    /// minutes of a type of business on a day, if they are known.
    pub fn compare(
        &self,
        until: DateTime<Utc>,
        zone: &Zone,
        usage: impl Fn(&str, NaiveDate) -> Option<Decimal>,
    ) -> Vec<Comparison> {
        let compare = |(business_type, readings): (&String, &VecDeque<UsedReading>)| {
            let first = readings.front()?;
            let last = readings.iter().rev().find(|reading| reading.at <= until)?;
            let range = Bounds { start: first.at, end: last.at };
            if range.end - range.start < MIN_SPAN {
                return None;
            }
            let growth = sum(&last.used)?.checked_sub(sum(&first.used)?)?;
            let has_left = readings.iter().take_while(|reading| reading.at <= last.at).all(|reading| reading.has_left);
            Some(Comparison {
                against: Against::Packages,
                business_type: business_type.clone(),
                range,
                usage: usage_between(range, zone, |day| usage(business_type, day))?,
                other: Estimate { minutes: growth, least: growth, most: has_left.then_some(growth) },
                jobs: 0,
            })
        };
        self.0.iter().filter_map(compare).collect()
    }
}

fn add_reading(readings: &mut VecDeque<UsedReading>, reading: UsedReading) {
    let continues = |last: &UsedReading| {
        last.used.len() == reading.used.len()
            && last.used.iter().all(|(package, before)| reading.used.get(package).is_some_and(|used| used >= before))
    };
    if !readings.back().is_some_and(continues) {
        readings.clear();
    }
    if readings.back().is_none_or(|last| reading.at - last.at >= STEP) {
        readings.push_back(reading);
    }
    while let (Some(first), Some(last)) = (readings.front(), readings.back())
        && last.at - first.at > MAX_SPAN
    {
        readings.pop_front();
    }
}

fn sum(used: &BTreeMap<(String, PackageKind), Decimal>) -> Option<Decimal> {
    used.values().try_fold(Decimal::ZERO, |sum, used| sum.checked_add(*used))
}

/// The usage that is deducted between two readings. A day that is only partly in the range counts in part. The least
/// possible number counts only days whose usage was surely deducted between the two readings.
fn usage_between(range: Bounds, zone: &Zone, usage: impl Fn(NaiveDate) -> Option<Decimal>) -> Option<Estimate> {
    let date = |instant: DateTime<Utc>| zone.local(instant).date_naive();
    let (first, last) = (date(range.start - DEDUCTED_WITHIN), date(range.end - TimeDelta::seconds(1)));
    let (mut minutes, mut least, mut most) = (Decimal::ZERO, Decimal::ZERO, Decimal::ZERO);
    for day in first.iter_days().take_while(|day| *day <= last) {
        let bounds = Bounds::of_day(day, zone);
        let (overlap, length) = (bounds.end.min(range.end) - bounds.start.max(range.start), bounds.end - bounds.start);
        if length <= TimeDelta::zero() {
            continue;
        }
        let used = usage(day)?;
        most = most.checked_add(used)?;
        if range.start <= bounds.start && bounds.end <= range.end - DEDUCTED_WITHIN {
            least = least.checked_add(used)?;
        }
        let part = used.checked_mul(overlap.num_seconds().max(0).into())?.checked_div(length.num_seconds().into())?;
        minutes = minutes.checked_add(part)?;
    }
    Some(Estimate { minutes, least, most: Some(most) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(hour * 3600, 0).unwrap()
    }

    /// A day of UTC, counted from 1970.
    fn day(number: i64) -> Bounds {
        Bounds { start: at(24 * number), end: at(24 * number + 24) }
    }

    /// A job from one hour to another, with a duration of this many minutes.
    fn job(start: i64, end: i64, minutes: i64) -> Job {
        Job {
            id: String::new(),
            state: JobState::Succeeded,
            created: Some(at(start)),
            start: Some(at(start)),
            end: Some(at(end)),
            seconds: Some((minutes * 60).into()),
        }
    }

    fn numbers(result: Result<JobMinutes, NotComparable>) -> (i64, i64, i64, u64) {
        let JobMinutes { minutes: Estimate { minutes, least, most }, jobs } = result.unwrap();
        let whole = |minutes: Decimal| i64::try_from(minutes).unwrap();
        (whole(minutes), whole(least), whole(most.unwrap()), jobs)
    }

    #[test]
    fn a_session_over_midnight_counts_in_part_and_a_video_at_its_end() {
        let over_midnight = job(22, 26, 240);
        let live = |number, job: &Job| numbers(live_minutes(std::slice::from_ref(job), day(number)));
        let video = |number, job: &Job| numbers(video_minutes(std::slice::from_ref(job), day(number)));
        assert_eq!([0, 1, 2].map(|number| live(number, &over_midnight).0), [120, 120, 0]);
        assert_eq!([0, 1, 2].map(|number| video(number, &over_midnight).0), [0, 240, 0]);
        // It may be metered at its start or within an hour after its end.
        assert_eq!(live(1, &over_midnight), (120, 0, 240, 1));
        assert_eq!(live(0, &job(2, 3, 50)), (50, 50, 50, 1));
        assert_eq!([0, 1].map(|number| live(number, &job(22, 23, 50))), [(50, 50, 50, 1), (0, 0, 0, 0)]);
        let ends_late = Job { end: Some(at(24) - TimeDelta::minutes(30)), ..job(22, 23, 50) };
        assert_eq!([0, 1].map(|number| live(number, &ends_late)), [(50, 0, 50, 1), (0, 0, 50, 1)]);
        let momentary = job(30, 30, 7);
        assert_eq!([0, 1].map(|number| live(number, &momentary).0), [0, 7]);
        // Over three days.
        let long = job(12, 84, 72 * 60);
        assert_eq!([0, 1, 2, 3].map(|number| live(number, &long).0), [720, 1440, 1440, 720]);
    }

    #[test]
    fn a_job_that_failed_may_count_and_a_running_one_makes_the_day_unknown() {
        let failed = Job { state: JobState::Failed, ..job(2, 3, 50) };
        assert_eq!(numbers(live_minutes(std::slice::from_ref(&failed), day(0))), (0, 0, 50, 1));
        let lost = Job { end: None, seconds: None, ..failed };
        let running = |start, created| Job { state: JobState::Processing, start, created, end: None, ..job(0, 0, 0) };
        for (job, expected) in [
            (running(Some(at(23)), None), Err(NotComparable::StillRuns)),
            (running(None, Some(at(1))), Err(NotComparable::StillRuns)),
            (running(None, None), Err(NotComparable::StillRuns)),
            (running(Some(at(24)), None), Ok(JobMinutes::default())),
            (lost, Ok(JobMinutes::default())),
            (Job { end: None, ..job(2, 3, 50) }, Err(NotComparable::ValueMissing(1))),
            (Job { seconds: None, ..job(2, 3, 50) }, Err(NotComparable::ValueMissing(1))),
            (job(2, 3, -1), Err(NotComparable::ValueMissing(1))),
            (job(3, 2, 1), Err(NotComparable::ValueMissing(1))),
            // The job is of a later day.
            (Job { end: None, ..job(24, 25, 50) }, Ok(JobMinutes::default())),
            (Job { state: JobState::Waiting, ..job(2, 3, 50) }, Ok(JobMinutes::default())),
            (Job { seconds: Some(Decimal::MAX), ..job(12, 84, 0) }, Err(NotComparable::Overflow)),
        ] {
            let expected = expected.map(|empty| JobMinutes { minutes: Estimate::exact(0.into()), ..empty });
            assert_eq!(live_minutes(std::slice::from_ref(&job), day(0)), expected, "{job:?}");
        }
        let missing_start = Job { start: None, created: None, ..job(0, 3, 50) };
        assert_eq!(numbers(live_minutes(&[missing_start], day(0))), (50, 50, 50, 1));
        assert_eq!(video_minutes(&[running(None, None)], day(0)).unwrap().jobs, 0);
    }

    fn comparison(usage: Estimate, other: Estimate, jobs: u64) -> Comparison {
        let business_type = "LIVE_2D".to_owned();
        Comparison { against: Against::LiveSessions, business_type, range: day(19_000), usage, other, jobs }
    }

    #[test]
    fn five_percent_and_a_minute_for_each_job_are_no_difference() {
        let differs = |usage: i64, other: i64, jobs| {
            comparison(Estimate::exact(usage.into()), Estimate::exact(other.into()), jobs).differs()
        };
        for (usage, other, jobs, expected) in [
            (1000, 1000, 0, false),
            (1052, 1000, 1, false),
            (1053, 1000, 1, true),
            (1063, 1000, 12, false),
            (949, 1000, 12, false),
            (948, 1000, 12, true),
            (0, 1, 1, false),
            (0, 3, 1, true),
            (2, 0, 1, false),
            (1, 0, 0, false),
            (2, 0, 0, true),
        ] {
            assert_eq!(differs(usage, other, jobs), expected, "{usage} {other} {jobs}");
        }
        let wide = |least: i64, most: Option<i64>| Estimate {
            minutes: least.into(),
            least: least.into(),
            most: most.map(Into::into),
        };
        for (usage, other, expected) in [
            (wide(0, Some(500)), wide(400, Some(400)), false),
            (wide(0, Some(300)), wide(400, Some(400)), true),
            (wide(500, Some(600)), wide(400, Some(400)), true),
            (wide(500, Some(600)), wide(400, None), false),
        ] {
            assert_eq!(comparison(usage, other, 0).differs(), expected, "{usage:?} {other:?}");
        }
        let text = comparison(Estimate::exact(Decimal::new(12_345_678, 4)), Estimate::exact(10.into()), 3);
        assert_eq!(
            text.describe(&Zone::utc()),
            "2022-01-08: ShowUsageData has 1234.57 minutes of LIVE_2D, and 3 live sessions have 10; minutes of sessions that \
             failed may count or not"
        );
    }

    /// A package with these bought and used minutes.
    fn package(id: &str, bought: i64, used: i64) -> Package {
        Package {
            id: id.to_owned(),
            kind: PackageKind {
                business_type: "VIDEO_2D".to_owned(),
                charging_mode: "ONE_TIME".to_owned(),
                unit: Unit::Minutes,
                ..PackageKind::default()
            },
            is_part: false,
            bought: Some(bought.into()),
            used: Some(used.into()),
            expiry: None,
            is_frozen: false,
            is_resettable: false,
        }
    }

    /// The comparison of readings on consecutive days, with a usage of 10 minutes a day.
    fn compared(readings: &[Vec<Package>]) -> Option<Comparison> {
        let mut used = UsedReadings::default();
        for (number, packages) in readings.iter().enumerate() {
            used.add(at(24 * number as i64 + 6), packages);
        }
        let found = used.compare(at(24 * 100), &Zone::utc(), |_, _| Some(10.into()));
        assert!(found.len() <= 1, "{found:?}");
        found.into_iter().next()
    }

    #[test]
    fn the_growth_of_packages_has_the_usage_of_its_days_within_bounds() {
        let daily = |used: &[i64]| used.iter().map(|used| vec![package("a", 100, *used)]).collect::<Vec<_>>();
        assert_eq!(compared(&daily(&[1, 11])), None, "too short");
        let Comparison { range, usage, other, .. } = compared(&daily(&[1, 11, 21, 31, 41])).unwrap();
        assert_eq!((range.start, range.end), (at(6), at(102)));
        assert_eq!(other, Estimate::exact(40.into()));
        // The readings span four days. The usage of two days was surely deducted between them, and the usage of six
        // days perhaps.
        let expected = Estimate { minutes: 40.into(), least: 20.into(), most: Some(60.into()) };
        assert_eq!(usage, expected);
        let differs = |growth| compared(&daily(&[0, 0, 0, 0, growth])).unwrap().differs();
        assert_eq!([17, 18, 19, 40, 64, 65].map(differs), [true, true, false, false, false, true]);
        // Nothing is left, so the rest may be billed on demand.
        assert!(!compared(&daily(&[100, 100, 100, 100, 100])).unwrap().differs());
    }

    #[test]
    fn a_package_that_comes_or_goes_or_has_less_begins_a_new_span() {
        let (a, b) = (|used| package("a", 100, used), |used| package("b", 100, used));
        let span = |readings: &[Vec<Package>]| compared(readings).map(|it| (it.range.end - it.range.start).num_days());
        let steady = vec![vec![a(1)], vec![a(2)], vec![a(3)], vec![a(4)], vec![a(5)]];
        assert_eq!(span(&steady), Some(4));
        let changed = |index: usize, packages: Vec<Package>| {
            let mut readings = steady.clone();
            readings[index] = packages;
            readings
        };
        assert_eq!(span(&changed(1, vec![a(2), b(0)])), Some(2), "one comes and goes");
        assert_eq!(span(&changed(1, vec![b(2)])), Some(2));
        assert_eq!(span(&changed(1, vec![])), Some(2));
        assert_eq!(span(&changed(2, vec![a(0)])), Some(2), "less is used");
        assert_eq!(span(&changed(2, vec![Package { used: None, ..a(3) }])), None);
        let part = Package { is_part: true, ..b(7) };
        let mut on_demand = b(9);
        on_demand.kind.charging_mode = "ON_DEMAND".to_owned();
        let mut channels = b(9);
        channels.kind.unit = Unit::Other("CHANNEL".to_owned());
        for other in [part, on_demand, channels] {
            assert_eq!(span(&changed(1, vec![a(2), other])), Some(4), "it does not count");
        }
    }

    #[test]
    fn readings_are_bounded() {
        let mut used = UsedReadings::default();
        for hour in 0..24 * 90 {
            let types = (0..60).map(|number| {
                let mut package = package("a", 1_000_000, hour);
                package.kind.business_type = number.to_string();
                package
            });
            let packages: Vec<Package> = types.take(if hour == 24 * 90 - 1 { 60 } else { 2 }).collect();
            used.add(at(hour), &packages);
        }
        assert_eq!(used.0.len(), MAX_TYPES);
        let longest = used.0.values().map(VecDeque::len).max().unwrap();
        assert!((28..40).contains(&longest), "{longest}");
    }

    #[test]
    fn a_type_with_a_row_without_a_value_has_no_minutes() {
        use crate::usage::{Row, RowKey};
        let mut tally = Tally::default();
        for (business_type, resource_type, unit, usage) in [
            ("V", "a", Unit::Minutes, Some(1)),
            ("V", "b", Unit::Hours, Some(2)),
            ("L", "", Unit::Minutes, None),
            ("W", "", Unit::default(), Some(3)),
            ("C", "", Unit::Other("GB".to_owned()), Some(4)),
        ] {
            let [business_type, resource_type] = [business_type, resource_type].map(str::to_owned);
            let key = RowKey { business_type, resource_type, unit, ..RowKey::default() };
            tally.add(&Row { key, usage: usage.map(Decimal::from), number: None }, None).unwrap();
        }
        let minutes = minutes_by_business(&tally).unwrap();
        let expected = [("L", None), ("V", Some(121.into())), ("W", None)];
        assert_eq!(minutes, expected.map(|(business_type, minutes)| (business_type.to_owned(), minutes)).into());
    }
}
