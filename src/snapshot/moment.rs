//! The current time, on a clock that can be set and on one that cannot.

use std::{sync::LazyLock, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

/// A moment on two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock: an operator or NTP can set it.
    pub utc: DateTime<Utc>,
    /// The wall clock at the first call of [`Moment::now`], plus the time since then. Ages are measured on this clock,
    /// so that usage does not become stale when the wall clock is set.
    pub steady: DateTime<Utc>,
}

impl Moment {
    /// The current time.
    pub fn now() -> Self {
        static START: LazyLock<(DateTime<Utc>, Instant)> = LazyLock::new(|| (Utc::now(), Instant::now()));
        let (utc, instant) = *START;
        Moment { utc: Utc::now(), steady: utc + TimeDelta::from_std(instant.elapsed()).unwrap_or_default() }
    }

    /// The time since an earlier moment.
    pub fn since(self, earlier: Moment) -> Duration {
        (self.steady - earlier.steady).to_std().unwrap_or_default()
    }
}

/// The moment at which both clocks show this time, as if the wall clock had never been set.
impl From<DateTime<Utc>> for Moment {
    fn from(utc: DateTime<Utc>) -> Self {
        Moment { utc, steady: utc }
    }
}
