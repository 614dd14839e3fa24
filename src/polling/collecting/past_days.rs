//! Runs of a collector that ask for past days. Facts that were learnt about the service are kept from one run to the
//! next.

use std::ops::Range;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use parking_lot::Mutex;

use crate::{
    cloud::Error,
    history::days::KnownDays,
    polling::{
        Learnt,
        past::{Known, Meter, PastDays, PastError},
    },
    usage::{Counters, Zone},
};

/// Facts about the service are proven again after this time (`docs/numbers.md`, "Range").
const RENEWED_AFTER: TimeDelta = TimeDelta::hours(24);

/// The past days of one project.
#[derive(Debug)]
pub(super) struct AskedDays {
    past: PastDays,
    /// Taken by a run and put back at its end: runs of one collector do not overlap.
    learnt: Mutex<Option<Knowledge>>,
}

/// Facts that were learnt about the service, and the time when learning began.
#[derive(Debug)]
struct Knowledge {
    since: DateTime<Utc>,
    learnt: Learnt,
}

/// On drop, adds the requests to the counters and puts the knowledge back, also when a run is cancelled.
struct Borrowed<'a> {
    asked: &'a AskedDays,
    counters: &'a mut Counters,
    knowledge: Knowledge,
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        let Knowledge { since, learnt } = &mut self.knowledge;
        let mut learnt = std::mem::take(learnt);
        *self.counters += std::mem::take(&mut learnt.progress.counters);
        *self.asked.learnt.lock() = Some(Knowledge { since: *since, learnt });
    }
}

impl AskedDays {
    pub fn new(past: PastDays) -> Self {
        AskedDays { past, learnt: Mutex::default() }
    }

    pub fn zone(&self) -> &Zone {
        self.past.zone()
    }

    /// Asks for the days of a range that are due.
    ///
    /// # Errors
    /// Any [`PastError`], also if only some of the days are missing.
    pub async fn run(
        &self,
        now: DateTime<Utc>,
        range: Range<NaiveDate>,
        is_due: impl Fn(&KnownDays, NaiveDate) -> bool,
        counters: &mut Counters,
    ) -> Result<Known, PastError> {
        let known = self.learnt.lock().take().filter(|known| now < known.since + RENEWED_AFTER);
        let fresh = || Knowledge { since: now, learnt: Learnt::default() };
        let mut borrowed = Borrowed { asked: self, counters, knowledge: known.unwrap_or_else(fresh) };
        let learnt = &mut borrowed.knowledge.learnt;
        let mut known = self.past.run(now, range, is_due, learnt, &Meter::default()).await?;
        match known.failure.take().filter(|_| !known.missing.is_empty()) {
            Some(failed) => {
                if matches!(failed.error, Error::Inconsistent(_)) {
                    // After a contradiction, everything must be learnt again.
                    borrowed.knowledge.since = DateTime::UNIX_EPOCH;
                }
                Err(PastError::Query(failed))
            }
            None => Ok(known),
        }
    }
}
