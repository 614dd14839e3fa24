//! Live sessions and videos: what runs, what waits, and what has failed.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

/// The state of a live session or a video, as far as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum JobState {
    /// `WAITING`
    Waiting,
    /// `PROCESSING`
    Processing,
    /// `FAILED`
    Failed,
    /// Any other state.
    Other,
}

impl JobState {
    /// The states that are counted.
    pub const COUNTED: [JobState; 3] = [JobState::Waiting, JobState::Processing, JobState::Failed];

    /// The state of the API's text.
    pub fn from_api(text: &str) -> Self {
        Self::COUNTED.into_iter().find(|state| state.as_str() == text).unwrap_or(JobState::Other)
    }

    /// The API's text, and the label value.
    pub fn as_str(self) -> &'static str {
        match self {
            JobState::Waiting => "WAITING",
            JobState::Processing => "PROCESSING",
            JobState::Failed => "FAILED",
            JobState::Other => "OTHER",
        }
    }
}

/// What a live session is deducted from. The label values are those of packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChargingMode {
    /// A yearly or monthly package.
    Periodic,
    /// A package that was bought once.
    OneTime,
    /// Nothing: the session is billed on demand.
    OnDemand,
    /// The service does not say it.
    Unknown,
}

impl ChargingMode {
    /// Every mode.
    pub const ALL: [ChargingMode; 4] =
        [ChargingMode::Periodic, ChargingMode::OneTime, ChargingMode::OnDemand, ChargingMode::Unknown];

    /// The mode of the API's `used_resource_type`, or of the `charging_mode` that packages have.
    pub fn from_api(text: &str) -> Self {
        match text {
            "PERIOD" | "PERIODIC" => ChargingMode::Periodic,
            "ONE_TIME" => ChargingMode::OneTime,
            "ONDEMAND" | "ON_DEMAND" => ChargingMode::OnDemand,
            _ => ChargingMode::Unknown,
        }
    }

    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            ChargingMode::Periodic => "PERIODIC",
            ChargingMode::OneTime => "ONE_TIME",
            ChargingMode::OnDemand => "ON_DEMAND",
            ChargingMode::Unknown => "UNKNOWN",
        }
    }
}

/// A live session, without the names that customers chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveSession {
    /// The API's `job_id`.
    pub id: String,
    /// Its state.
    pub state: JobState,
    /// What it is deducted from.
    pub charging_mode: ChargingMode,
    /// When it started, or was created if that is not known.
    pub start: Option<DateTime<Utc>>,
}

/// A video that is produced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Video {
    /// The API's `job_id`.
    pub id: String,
    /// Its state.
    pub state: JobState,
}

/// The running live sessions and the videos of a project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sessions {
    /// Running live sessions by what they are deducted from.
    pub live: BTreeMap<ChargingMode, u64>,
    /// The earliest start of a running session.
    pub oldest_start: Option<DateTime<Utc>>,
    /// Videos by state.
    pub videos: BTreeMap<JobState, u64>,
}

impl Sessions {
    /// Counts the sessions that run, and the videos. A service may ignore the filter of states, so each state is looked at.
    pub fn new(live: &[LiveSession], queued: &[Video], failed: &[Video]) -> Self {
        let running = || live.iter().filter(|session| session.state == JobState::Processing);
        let of_mode = |mode| running().filter(|session| session.charging_mode == mode).count() as u64;
        let count = |videos: &[Video], state| videos.iter().filter(|video| video.state == state).count() as u64;
        let of_state = |state| count(if state == JobState::Failed { failed } else { queued }, state);
        Sessions {
            live: ChargingMode::ALL.map(|mode| (mode, of_mode(mode))).into(),
            oldest_start: running().filter_map(|session| session.start).min(),
            videos: JobState::COUNTED.map(|state| (state, of_state(state))).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_states_that_were_asked_for_are_counted() {
        let at = |second| DateTime::from_timestamp(second, 0);
        let session = |state: &str, mode: &str, start| LiveSession {
            id: String::new(),
            state: JobState::from_api(state),
            charging_mode: ChargingMode::from_api(mode),
            start,
        };
        let live = [
            session("PROCESSING", "ONDEMAND", at(30)),
            session("PROCESSING", "PERIOD", at(20)),
            session("PROCESSING", "UNKNOW", None),
            session("SUCCEED", "ONDEMAND", at(10)),
        ];
        let video = |state: &str| Video { id: String::new(), state: JobState::from_api(state) };
        let queued = [video("WAITING"), video("WAITING"), video("PROCESSING"), video("FAILED"), video("CANCELED")];
        let sessions = Sessions::new(&live, &queued, &[video("FAILED"), video("SUCCEED")]);
        let modes: Vec<_> = sessions.live.iter().map(|(mode, number)| (mode.as_str(), *number)).collect();
        assert_eq!(modes, [("PERIODIC", 1), ("ONE_TIME", 0), ("ON_DEMAND", 1), ("UNKNOWN", 1)]);
        assert_eq!(sessions.oldest_start, at(20));
        let videos: Vec<_> = sessions.videos.iter().map(|(state, number)| (state.as_str(), *number)).collect();
        assert_eq!(videos, [("WAITING", 2), ("PROCESSING", 1), ("FAILED", 1)]);
        assert_eq!(Sessions::new(&[], &[], &[]).live.len(), 4, "0 is exported");
    }
}
