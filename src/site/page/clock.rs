//! Times in the time zone of the calendar windows.

use chrono::{DateTime, SecondsFormat, Utc};

use crate::usage::Zone;

/// A time for people and for programs.
pub(super) struct LocalTime {
    /// With the offset of the zone.
    pub machine: String,
    /// Without the date if it is the current date.
    pub text: String,
}

/// Writes times.
pub(super) struct LocalClock<'a> {
    pub zone: &'a Zone,
    pub now: DateTime<Utc>,
}

impl LocalClock<'_> {
    pub fn time(&self, instant: DateTime<Utc>) -> LocalTime {
        let (local, now) = (self.zone.local(instant), self.zone.local(self.now));
        let format = if local.date_naive() == now.date_naive() { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
        LocalTime { machine: local.to_rfc3339_opts(SecondsFormat::Secs, true), text: local.format(format).to_string() }
    }

    /// The time of the page, with date.
    pub fn now(&self) -> LocalTime {
        let LocalTime { machine, .. } = self.time(self.now);
        LocalTime { machine, text: self.zone.local(self.now).format("%Y-%m-%d %H:%M:%S").to_string() }
    }

    /// The name of the zone with its offset, such as `Asia/Shanghai (UTC+08:00)`.
    pub fn zone(&self) -> String {
        format!("{} (UTC{})", self.zone, self.zone.local(self.now).format("%:z"))
    }
}
