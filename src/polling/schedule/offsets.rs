//! The offset of each project within its interval.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use crate::polling::Pollable;

/// The offset of each poller. The pollers of one group are spread evenly over the interval.
pub(super) fn offsets<'a, P: Pollable>(pollers: impl Iterator<Item = &'a P> + Clone) -> Vec<Duration> {
    let mut sizes: BTreeMap<String, u32> = BTreeMap::new();
    let positions: Vec<u32> = pollers
        .clone()
        .map(|poller| {
            let size = sizes.entry(poller.group()).or_default();
            *size += 1;
            *size - 1
        })
        .collect();
    let offset = |(poller, position): (&P, u32)| {
        let size = sizes.get(&poller.group()).copied().unwrap_or(1);
        poller.interval() * position / size
    };
    pollers.zip(positions).map(offset).collect()
}

/// The time from the poll at the start to the first poll at the offset: from 0.5 to 1.5 intervals, because an earlier
/// poll would bring little new usage.
pub(super) fn first_offset(offset: Duration, interval: Duration) -> Duration {
    if offset < interval / 2 { offset + interval } else { offset }
}

/// The start of the next poll: the first future instant among `first`, `first + interval`, … Missed polls are skipped.
pub(super) fn next_poll(first: Instant, interval: Duration, now: Instant) -> Instant {
    let Some(late) = now.checked_duration_since(first) else { return first };
    let missed = late.as_nanos() / interval.as_nanos().max(1);
    first + interval * u32::try_from(missed + 1).unwrap_or(u32::MAX)
}
