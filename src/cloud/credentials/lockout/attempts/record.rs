//! The saved form of [`Attempts`]: times are UTC, because an [`Instant`] means nothing to another process.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{Attempts, Hold, LONGEST_HOLD, MOST_FAILURES};

/// The use of one key, as the JSON file has it.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Record {
    worked: bool,
    failures: u32,
    in_flight: u32,
    failed: BTreeSet<String>,
    hold: Option<HoldRecord>,
    held: BTreeMap<String, HoldRecord>,
}

#[derive(Debug, Deserialize, Serialize)]
struct HoldRecord {
    until: DateTime<Utc>,
    seconds: u64,
    others_wait: bool,
}

/// The same moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub steady: Instant,
    pub utc: DateTime<Utc>,
}

impl Record {
    pub fn new(attempts: Attempts, now: Now) -> Self {
        let Attempts { accepted: _, worked, in_flight, failures, epoch: _, failed, hold, held } = attempts;
        let hold_record = |hold| HoldRecord::new(hold, now);
        let held = held.into_iter().map(|(project, hold)| (project, hold_record(hold))).collect();
        Record { worked, failures, in_flight, failed, hold: hold.map(hold_record), held }
    }

    /// The saved state. The clock may have been set meanwhile, so no hold takes longer than its original length.
    pub fn into_attempts(self, now: Now) -> Attempts {
        let Record { worked, failures, in_flight, failed, hold, held } = self;
        let hold_at = |hold: HoldRecord| hold.into_hold(now);
        Attempts {
            worked,
            failures: failures.min(MOST_FAILURES),
            in_flight: in_flight.min(MOST_FAILURES),
            failed,
            hold: hold.map(hold_at),
            held: held.into_iter().map(|(project, hold)| (project, hold_at(hold))).collect(),
            ..Attempts::default()
        }
    }
}

impl HoldRecord {
    fn new(Hold { until, length, others_wait }: Hold, now: Now) -> Self {
        let until = if until < now.steady { now.utc - (now.steady - until) } else { now.utc + (until - now.steady) };
        HoldRecord { until, seconds: length.as_secs(), others_wait }
    }

    fn into_hold(self, now: Now) -> Hold {
        let HoldRecord { until, seconds, others_wait } = self;
        let length = Duration::from_secs(seconds).min(LONGEST_HOLD);
        let left = until - now.utc;
        let until = match left.to_std() {
            Ok(left) => now.steady + left.min(length),
            // The steady clock may not reach back that far.
            Err(_) => now.steady.checked_sub(left.abs().to_std().unwrap_or_default()).unwrap_or(now.steady),
        };
        Hold { until, length, others_wait }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// The rest of a hold of 5 minutes that is read from the file. Until then, `steady` minutes have passed on the
    /// steady clock, and `utc` minutes on the UTC clock.
    fn left_after(steady: u32, utc: i32) -> Option<Duration> {
        let now = Now { steady: Instant::now(), utc: DateTime::UNIX_EPOCH };
        let mut attempts = Attempts::default();
        let (_, epoch) = attempts.admit("a", now.steady);
        attempts.settle("a", epoch, super::super::Outcome::Refused, now.steady);
        let text = serde_json::to_string(&Record::new(attempts.to_save(), now)).unwrap();
        let now = Now { steady: now.steady + steady * MINUTE, utc: now.utc + chrono::TimeDelta::minutes(utc.into()) };
        let record: Record = serde_json::from_str(&text).unwrap();
        record.into_attempts(now).restarted(now.steady).held_for("a", now.steady)
    }

    #[test]
    fn a_hold_ends_when_the_clock_says_so_and_never_takes_longer_than_its_length() {
        assert_eq!(left_after(0, 0), Some(5 * MINUTE));
        assert_eq!(left_after(2, 2), Some(3 * MINUTE));
        assert_eq!(left_after(0, 3), Some(2 * MINUTE), "another process has another steady clock");
        assert_eq!(left_after(0, -1000), Some(5 * MINUTE), "the clock was set back");
        assert_eq!(left_after(0, 5), None);
        assert_eq!(left_after(0, 1_000_000), None, "the clock was set forward");
    }
}
