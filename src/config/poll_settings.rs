//! The section `poll`: when projects are polled.

use std::{ops::RangeInclusive, time::Duration};

use super::{
    fields::{Field, Fields},
    read::Section,
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The intervals that the section and a project may set.
pub(super) const INTERVALS: RangeInclusive<Duration> = MINUTE..=DAY;

/// The values that `stale_after` may have.
pub(super) const STALE_AFTER: RangeInclusive<Duration> = MINUTE..=Duration::from_secs(30 * 24 * 60 * 60);

/// The section `poll`.
///
/// ```
/// use std::time::Duration;
/// use metastudio_exporter::config::PollSettings;
///
/// let settings = PollSettings::default();
/// assert_eq!(settings.interval, Duration::from_secs(300));
/// assert_eq!(settings.stale_after, None);
/// ```
#[derive(Clone, Debug)]
pub struct PollSettings {
    /// The time between two polls of a project.
    pub interval: Duration,
    /// The deadline of one poll of one project, with its retries.
    pub timeout: Duration,
    /// The number of projects that are polled at the same time.
    pub concurrency: usize,
    /// The usage of a project is withdrawn after this time without a successful poll; `None` is three intervals.
    pub stale_after: Option<Duration>,
}

impl Default for PollSettings {
    fn default() -> Self {
        PollSettings { interval: 5 * MINUTE, timeout: MINUTE, concurrency: 8, stale_after: None }
    }
}

impl PollSettings {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let default = PollSettings::default();
        let mut duration = |key, range| section.get(key).and_then(|node| node.duration(range));
        let given = duration("interval", INTERVALS);
        let interval = given.unwrap_or(default.interval);
        let timeout = duration("timeout", SECOND..=DAY).unwrap_or(default.timeout);
        let stale_after = duration("stale_after", STALE_AFTER);
        let concurrency = section.get("concurrency").and_then(|node| node.integer(1..=1024));
        let concurrency = concurrency.unwrap_or(default.concurrency);
        let settings = PollSettings { interval, timeout, concurrency, stale_after };
        // An invalid interval is a problem already.
        if given.is_some() || !section.has("interval") {
            settings.check(&section, interval, stale_after);
        }
        section.finish();
        settings
    }

    /// Checks the times against the interval of the section or of a project.
    pub(super) fn check(&self, section: &Section<'_>, interval: Duration, stale_after: Option<Duration>) {
        let show = humantime::format_duration;
        let key = |other: &'static str| if section.has(other) { other } else { "interval" };
        if self.timeout > interval {
            let (timeout, interval) = (show(self.timeout), show(interval));
            let text = format!("the timeout ({timeout}) must not be longer than the interval ({interval})");
            section.problem_of(key("timeout"), text);
        }
        // Polls are spread over the interval: the second one is up to one and a half intervals after the first.
        if let Some(stale_after) = stale_after.filter(|stale_after| *stale_after < 2 * interval) {
            let (stale_after, interval) = (show(stale_after), show(interval));
            let text = format!(
                "stale_after ({stale_after}) must be at least twice the interval ({interval}), or usage vanishes \
                 between two polls"
            );
            section.problem_of(key("stale_after"), text);
        }
    }

    pub(super) fn fields(&self) -> Fields<'_> {
        let PollSettings { interval, timeout, concurrency, stale_after } = self;
        vec![
            ("interval", Field::Duration(*interval)),
            ("timeout", Field::Duration(*timeout)),
            ("concurrency", Field::Integer(*concurrency)),
            ("stale_after", Field::Duration(stale_after.unwrap_or(3 * *interval))),
        ]
    }
}
