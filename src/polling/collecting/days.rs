//! The days that have ended: kept in the ledger, and asked for again until they stand still.

use chrono::{DateTime, Months, NaiveDate, TimeDelta, Utc};
use tokio::sync::{Mutex, Semaphore};

use crate::{
    history::days::{KnownDays, first_of_month},
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

/// Projects whose days are in memory at the same time: a cloud may send many types.
static SLOTS: Semaphore = Semaphore::const_new(2);

/// Keeps the days of one project, since the beginning of the last month.
#[derive(Debug)]
pub(super) struct Keeping {
    past: PastDays,
    /// Runs of one collector do not overlap.
    learnt: Mutex<Learnt>,
}

impl Keeping {
    pub fn new(past: PastDays) -> Self {
        Keeping { past, learnt: Mutex::default() }
    }

    /// Asks for the days that are not known or have not settled.
    pub async fn collect(&self, now: DateTime<Utc>, counters: &mut Counters) -> Result<KeptDays, PastError> {
        let _slot = SLOTS.acquire().await;
        let mut learnt = self.learnt.lock().await;
        let today = self.past.zone().local(now).date_naive();
        let first = first_of_month(today) - Months::new(1);
        let is_due = |known: &KnownDays, date: NaiveDate| {
            let age = now - Bounds::of_day(date, self.past.zone()).end;
            age >= FIRST_ASKED && (known.get(date).is_none() || (!known.has_settled(date) && age < LAST_ASKED))
        };
        let ran = self.past.run(now, first..today, is_due, &mut learnt, &Meter::default()).await;
        *counters += std::mem::take(&mut learnt.progress.counters);
        let Known { identity, days, failure, missing, .. } = ran?;
        match failure.filter(|_| !missing.is_empty()) {
            Some(failed) => Err(PastError::Query(failed)),
            None => Ok(KeptDays { identity, settling: days.settling(first, today) }),
        }
    }
}
