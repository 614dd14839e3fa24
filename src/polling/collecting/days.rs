//! The days that have ended: kept in the ledger, and asked for again until they stand still.

use chrono::{DateTime, Months, NaiveDate, TimeDelta, Utc};
use parking_lot::Mutex;

use crate::{
    cloud::Error,
    history::days::{Day, KnownDays, first_of_month},
    polling::{
        Learnt,
        past::{Known, Meter, PastDays, PastError},
    },
    snapshot::KeptDays,
    usage::{Bounds, Counters},
};

/// A day is asked for so long after its end, because usage is metered with a delay of hours (contract, 1.5).
const FIRST_ASKED: TimeDelta = TimeDelta::hours(6);

/// A day that still changes is not asked for any more so long after its end: a range has at most 31 days.
const LAST_ASKED: TimeDelta = TimeDelta::days(31);

/// A day is not asked for again sooner than this, so that a process that crashes again and again does not repeat itself. It
/// is less than the time between two runs.
const ASKED_AGAIN: TimeDelta = TimeDelta::hours(5);

/// What was learnt of the service is proven again after so long (numbers, "Range").
const RENEWED_AFTER: TimeDelta = TimeDelta::hours(24);

/// Keeps the days of one project, since the beginning of the last month.
#[derive(Debug)]
pub(super) struct Keeping {
    past: PastDays,
    /// Taken by a run and put back at its end: runs of one collector do not overlap.
    learnt: Mutex<Option<Knowledge>>,
}

/// What has been learnt of the service, and since when.
#[derive(Debug)]
struct Knowledge {
    since: DateTime<Utc>,
    learnt: Learnt,
}

/// Hands the requests over and puts the knowledge back, also when a run is cut off.
struct Borrowed<'a> {
    keeping: &'a Keeping,
    counters: &'a mut Counters,
    knowledge: Knowledge,
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        let Knowledge { since, learnt } = &mut self.knowledge;
        let mut learnt = std::mem::take(learnt);
        *self.counters += std::mem::take(&mut learnt.progress.counters);
        *self.keeping.learnt.lock() = Some(Knowledge { since: *since, learnt });
    }
}

impl Keeping {
    pub fn new(past: PastDays) -> Self {
        Keeping { past, learnt: Mutex::default() }
    }

    /// Asks for the days that are not known or have not settled.
    pub async fn collect(&self, now: DateTime<Utc>, counters: &mut Counters) -> Result<KeptDays, PastError> {
        let known = self.learnt.lock().take().filter(|known| now < known.since + RENEWED_AFTER);
        let fresh = || Knowledge { since: now, learnt: Learnt::default() };
        let mut borrowed = Borrowed { keeping: self, counters, knowledge: known.unwrap_or_else(fresh) };
        let today = self.past.zone().local(now).date_naive();
        let first = first_of_month(today) - Months::new(1);
        let is_due = |known: &KnownDays, date: NaiveDate| {
            let age = now - Bounds::of_day(date, self.past.zone()).end;
            let changes = |day: &Day| !known.has_settled(date) && age < LAST_ASKED && now >= day.asked + ASKED_AGAIN;
            age >= FIRST_ASKED && known.get(date).is_none_or(changes)
        };
        let learnt = &mut borrowed.knowledge.learnt;
        let Known { identity, days, failure, missing, .. } =
            self.past.run(now, first..today, is_due, learnt, &Meter::default()).await?;
        match failure.filter(|_| !missing.is_empty()) {
            Some(failed) => {
                if matches!(failed.error, Error::Inconsistent(_)) {
                    // After a contradiction nothing is left of what was learnt.
                    borrowed.knowledge.since = DateTime::UNIX_EPOCH;
                }
                Err(PastError::Query(failed))
            }
            None => Ok(KeptDays { identity, settling: days.settling(first, today) }),
        }
    }
}
