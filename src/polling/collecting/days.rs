//! The days that have ended: kept in the ledger, and asked for again until their usage no longer changes.

use chrono::{DateTime, Months, NaiveDate, TimeDelta, Utc};

use super::past_days::AskedDays;
use crate::{
    history::days::{Day, KnownDays},
    polling::past::{Known, PastError},
    snapshot::KeptDays,
    usage::{Bounds, Counters, first_of_month},
};

/// The first request for a day comes this long after its end, because usage may be metered late (contract, 1.5).
const FIRST_ASKED: TimeDelta = TimeDelta::hours(6);

/// A known day that ended this long ago is not asked for any more, even if it still changes, because one query asks
/// for at most 31 days. A day that is not known is asked for nevertheless.
const LAST_ASKED: TimeDelta = TimeDelta::days(31);

/// A day is asked for again only after this time, so that a process that crashes repeatedly does not repeat its
/// requests. The time is shorter than the time between two runs.
const ASKED_AGAIN: TimeDelta = TimeDelta::hours(5);

/// Asks for the days since the beginning of the last month that are not known or have not settled.
pub(super) async fn collect(
    asked: &AskedDays,
    now: DateTime<Utc>,
    counters: &mut Counters,
) -> Result<KeptDays, PastError> {
    let today = asked.zone().local(now).date_naive();
    let first = first_of_month(today) - Months::new(1);
    let is_due = |known: &KnownDays, date: NaiveDate| {
        let age = now - Bounds::of_day(date, asked.zone()).end;
        let changes = |day: &Day| !known.has_settled(date) && age < LAST_ASKED && now >= day.asked + ASKED_AGAIN;
        age >= FIRST_ASKED && known.get(date).is_none_or(changes)
    };
    let Known { identity, days, .. } = asked.run(now, first..today, is_due, counters).await?;
    Ok(KeptDays { identity, settling: days.settling(first, today) })
}
