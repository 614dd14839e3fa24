//! Compares the usage with live sessions, videos and packages (contract, 18).
//!
//! A day that ended two days ago is compared once with its live sessions and its videos. Each run reads the used
//! minutes of packages. The readings are in memory only, so they begin again after a restart.

use std::collections::BTreeMap;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use parking_lot::Mutex;
use rust_decimal::Decimal;

use super::{past_days::AskedDays, source::Source};
use crate::{
    cloud::{Client, Error, jobs_api, lists::PagedList, resources_api},
    config::{Config, Project, Users},
    history::{days::KnownDays, ledger::Ledger},
    polling::past::{PastDays, PastError},
    usage::{
        Against, Bounds, CollectorDoubt, CollectorDoubts, Comparison, Counters, Estimate, Job, JobMinutes,
        NotComparable, UsedReadings, live_minutes, minutes_by_business, video_minutes,
    },
};

/// Usage may change for this long after the end of a day (contract, 18).
const CHANGES_WITHIN: TimeDelta = TimeDelta::days(2);

/// The compared day is this many days before today, so it ended at least [`CHANGES_WITHIN`] ago.
const DAYS_AGO: Days = Days::new(3);

/// The usage of this many days is kept in memory, for the comparison with packages.
const KEPT_DAYS: Days = Days::new(31);

/// Live sessions are asked for if they were created at most this long before the day. Older ones are missed.
const LONGEST_SESSION: TimeDelta = TimeDelta::days(7);

/// Videos are asked for if they were created at most this long before the day.
const LONGEST_VIDEO: TimeDelta = TimeDelta::days(2);

/// The types of business for the minutes of live sessions, and for the minutes of videos (contract, 1.4). A video does
/// not say whether it is a standard or a Flexus video.
const LIVE: &[&str] = &["LIVE_2D"];
const VIDEOS: &[&str] = &["VIDEO_2D", "FLEXUS_2D"];

/// Compares the usage of one project.
#[derive(Debug)]
pub(super) struct Reconciling {
    asked: AskedDays,
    state: Mutex<ReconciliationState>,
}

#[derive(Debug, Default)]
struct ReconciliationState {
    /// The minutes of days by type of business; `None` for a day whose usage may belong to another range.
    usage: BTreeMap<NaiveDate, Option<BTreeMap<String, Option<Decimal>>>>,
    /// For live sessions and for videos: the last day that was compared, and the result.
    jobs: BTreeMap<Against, (NaiveDate, Compared)>,
    readings: UsedReadings,
}

/// The result of a comparison.
#[derive(Clone, Debug)]
enum Compared {
    Known(Comparison),
    /// The usage is not known.
    Unknown,
    /// This many live sessions or videos lack a value.
    Lacking(u64),
}

impl Reconciling {
    /// Live sessions, videos and packages belong to the whole project, so its usage is asked for without the configured
    /// filters. A ledger has only days of the configured query, so it is used only if there are no filters.
    pub fn new(client: &Client, project: &Project, config: &Config, ledger: Option<Ledger>) -> Self {
        let whole = Project {
            user_ids: Users::default(),
            app_user_id: None,
            resource_types: Vec::new(),
            business_types: Vec::new(),
            ..project.clone()
        };
        let is_whole = project.query() == whole.query();
        // The ledger is only read, because the collector of days writes it.
        let past = PastDays::new(client.clone(), &whole, config, ledger.filter(|_| is_whole)).only_reading();
        Reconciling { asked: AskedDays::new(past), state: Mutex::default() }
    }

    /// Makes the comparisons that have not been made yet.
    pub async fn collect(&self, source: Source<'_>) -> Result<(Vec<Comparison>, CollectorDoubts), PastError> {
        let Source { mut call, project_id, now } = source;
        let zone = self.asked.zone();
        let packages = resources_api::packages(project_id).all(&mut call).await?;
        self.state.lock().readings.add(now, &packages);
        let date = zone.local(now).date_naive() - DAYS_AGO;
        let day = Bounds::of_day(date, zone);
        if day.start >= day.end {
            // The zone has skipped this day.
            return Ok(self.found(date));
        }
        self.ask_usage(date, now, call.counters).await?;
        let created = |longest| Bounds { start: day.start - longest, end: day.end };
        if !self.is_compared(Against::LiveSessions, date) {
            let jobs = jobs_api::live_jobs(project_id, created(LONGEST_SESSION)).all(&mut call).await?;
            self.compare(Against::LiveSessions, LIVE, date, &jobs)?;
        }
        if !self.is_compared(Against::Videos, date) {
            let jobs = jobs_api::produced_videos(project_id, created(LONGEST_VIDEO)).all(&mut call).await?;
            self.compare(Against::Videos, VIDEOS, date, &jobs)?;
        }
        Ok(self.found(date))
    }

    /// Asks for the usage of the days that are not known, from the first known day to `last`. If no day is known, asks
    /// for `last` only.
    async fn ask_usage(&self, last: NaiveDate, now: DateTime<Utc>, counters: &mut Counters) -> Result<(), PastError> {
        let zone = self.asked.zone();
        let first = {
            let mut state = self.state.lock();
            state.usage = state.usage.split_off(&(last - KEPT_DAYS));
            state.usage.keys().next().copied().unwrap_or(last).min(last)
        };
        let missing: Vec<NaiveDate> = {
            let state = self.state.lock();
            first.iter_days().take_while(|day| *day <= last).filter(|day| !state.usage.contains_key(day)).collect()
        };
        if missing.is_empty() {
            return Ok(());
        }
        let is_due = |known: &KnownDays, day: NaiveDate| {
            let settled = Bounds::of_day(day, zone).end + CHANGES_WITHIN;
            missing.contains(&day) && known.get(day).is_none_or(|known| known.asked < settled)
        };
        let known = self.asked.run(now, first..last + Days::new(1), is_due, counters).await?;
        let mut state = self.state.lock();
        for day in missing {
            if let Some(known) = known.days.get(day) {
                let minutes = minutes_by_business(&known.tally).map_err(Error::from)?;
                state.usage.insert(day, (!known.is_misaligned()).then_some(minutes));
            } else if Bounds::of_day(day, zone).start == Bounds::of_day(day, zone).end {
                state.usage.insert(day, Some(BTreeMap::new()));
            }
        }
        Ok(())
    }

    fn is_compared(&self, against: Against, date: NaiveDate) -> bool {
        let state = self.state.lock();
        // Without the usage there is nothing to compare with.
        !state.usage.contains_key(&date) || state.jobs.get(&against).is_some_and(|(compared, _)| *compared == date)
    }

    /// Compares the usage of a day with its live sessions or videos. While a session of the day still runs, the day is
    /// not compared. The next run tries again.
    fn compare(&self, against: Against, types: &[&str], date: NaiveDate, jobs: &[Job]) -> Result<(), Error> {
        let range = Bounds::of_day(date, self.asked.zone());
        let minutes = if against == Against::Videos { video_minutes(jobs, range) } else { live_minutes(jobs, range) };
        let mut state = self.state.lock();
        let usage = types.iter().try_fold(Decimal::ZERO, |sum, business_type| {
            sum.checked_add(minutes_of(&state.usage, business_type, date)?)
        });
        let compared = match (minutes, usage) {
            (Err(NotComparable::StillRuns), _) => return Ok(()),
            (Err(NotComparable::ValueMissing(number)), _) => Compared::Lacking(number),
            (Err(NotComparable::Overflow), _) => {
                return Err(Error::Malformed("the sum of durations is beyond any sensible range".to_owned()));
            }
            (Ok(_), None) => Compared::Unknown,
            (Ok(JobMinutes { minutes, jobs }), Some(usage)) => Compared::Known(Comparison {
                against,
                business_type: types.join("+"),
                range,
                usage: Estimate::exact(usage),
                other: minutes,
                jobs,
            }),
        };
        state.jobs.insert(against, (date, compared));
        Ok(())
    }

    /// All comparisons so far, and their doubts.
    fn found(&self, last: NaiveDate) -> (Vec<Comparison>, CollectorDoubts) {
        let (zone, state) = (self.asked.zone(), self.state.lock());
        let mut doubts = CollectorDoubts::new();
        let mut comparisons = Vec::new();
        for (against, (date, compared)) in &state.jobs {
            match compared {
                Compared::Known(comparison) => comparisons.push(comparison.clone()),
                Compared::Unknown => {}
                Compared::Lacking(number) => {
                    let what = if *against == Against::Videos { "videos" } else { "live sessions" };
                    let seen = format!("{number} {what} of {date} or before have no valid end or duration");
                    doubts.insert(CollectorDoubt::ValueMissing, seen);
                }
            }
        }
        let usage = |business_type: &str, day| minutes_of(&state.usage, business_type, day);
        comparisons.extend(state.readings.compare(Bounds::of_day(last, zone).end, zone, usage));
        let differing = comparisons.iter().filter(|comparison| comparison.differs());
        let seen: Vec<String> = differing.map(|comparison| comparison.describe(zone)).collect();
        if !seen.is_empty() {
            doubts.insert(CollectorDoubt::UsageDiffers, seen.join(". "));
        }
        (comparisons, doubts)
    }
}

/// The minutes of a type of business on a day, if they are known.
fn minutes_of(
    usage: &BTreeMap<NaiveDate, Option<BTreeMap<String, Option<Decimal>>>>,
    business_type: &str,
    day: NaiveDate,
) -> Option<Decimal> {
    let minutes = usage.get(&day)?.as_ref()?;
    minutes.get(business_type).copied().unwrap_or(Some(Decimal::ZERO))
}
