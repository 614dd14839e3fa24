//! Live sessions and videos: those that run, wait, or have failed.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::collector_doubt::{CollectorDoubt, CollectorDoubts};

/// The state of a live session or a video, as far as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum JobState {
    /// `WAITING`
    Waiting,
    /// `PROCESSING`
    Processing,
    /// `FAILED`
    Failed,
    /// `SUCCEED`
    Succeeded,
    /// Any other state.
    Other,
}

impl JobState {
    /// The states that are counted.
    pub const COUNTED: [JobState; 3] = [JobState::Waiting, JobState::Processing, JobState::Failed];

    /// The state of the API's text.
    pub fn from_api(text: &str) -> Self {
        let known = Self::COUNTED.into_iter().chain([JobState::Succeeded]);
        known.into_iter().find(|state| state.as_str() == text).unwrap_or(JobState::Other)
    }

    /// The API's text, and the label value.
    pub fn as_str(self) -> &'static str {
        match self {
            JobState::Waiting => "WAITING",
            JobState::Processing => "PROCESSING",
            JobState::Failed => "FAILED",
            JobState::Succeeded => "SUCCEED",
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

/// A video in any state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Video {
    /// The API's `job_id`.
    pub id: String,
    /// Its state.
    pub state: JobState,
    /// When it was created, if that is known.
    pub created: Option<DateTime<Utc>>,
}

/// Live sessions and videos, as a service has listed them. The service may ignore the filters of the requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedJobs {
    /// The answer to a request for live sessions that run.
    pub live: Vec<LiveSession>,
    /// The answer to a request for videos that wait or are in production.
    pub queued: Vec<Video>,
    /// The answer to a request for videos that failed and were created since [`ListedJobs::failed_since`].
    pub failed: Vec<Video>,
    /// The earliest creation of the failed videos that were asked for.
    pub failed_since: DateTime<Utc>,
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
    /// Counts the sessions that run, and the videos. Only rows that were asked for count.
    pub fn new(listed: &ListedJobs) -> Self {
        let running = || listed.running();
        let of_mode = |mode| running().filter(|session| session.charging_mode == mode).count() as u64;
        let videos = || listed.videos();
        let of_state = |state| videos().filter(|video| video.state == state).count() as u64;
        Sessions {
            live: ChargingMode::ALL.map(|mode| (mode, of_mode(mode))).into(),
            oldest_start: running().filter_map(|session| session.start).min(),
            videos: JobState::COUNTED.map(|state| (state, of_state(state))).into(),
        }
    }
}

impl ListedJobs {
    fn running(&self) -> impl Iterator<Item = &LiveSession> {
        self.live.iter().filter(|session| session.state == JobState::Processing)
    }

    /// The videos that were asked for.
    fn videos(&self) -> impl Iterator<Item = &Video> {
        let waits = |video: &&Video| matches!(video.state, JobState::Waiting | JobState::Processing);
        let is_new = |video: &&Video| video.created.is_none_or(|created| created >= self.failed_since);
        let failed = self.failed.iter().filter(|video| video.state == JobState::Failed).filter(is_new);
        self.queued.iter().filter(waits).chain(failed)
    }

    /// The doubts about these lists. Their texts quote nothing of the lists.
    pub fn doubts(&self) -> CollectorDoubts {
        let mut doubts = CollectorDoubts::new();
        let live = self.live.len() - self.running().count();
        let videos = self.queued.len() + self.failed.len() - self.videos().count();
        if live + videos > 0 {
            let seen =
                format!("{live} live sessions and {videos} videos have another state or creation than asked for");
            doubts.insert(CollectorDoubt::FilterIgnored, seen);
        }
        let ageless = self.running().filter(|session| session.start.is_none()).count();
        if ageless > 0 {
            let seen = format!("{ageless} running live sessions have no start time and no creation time");
            doubts.insert(CollectorDoubt::ValueMissing, seen);
        }
        doubts
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
        let video = |state: &str, created| Video { id: String::new(), state: JobState::from_api(state), created };
        let listed = ListedJobs {
            live: live.into(),
            queued: ["WAITING", "WAITING", "PROCESSING", "FAILED", "CANCELED"].map(|state| video(state, at(0))).into(),
            failed: vec![
                video("FAILED", at(60)),
                video("FAILED", None),
                video("FAILED", at(59)),
                video("SUCCEED", at(99)),
            ],
            failed_since: DateTime::from_timestamp(60, 0).unwrap(),
        };
        let sessions = Sessions::new(&listed);
        let modes: Vec<_> = sessions.live.iter().map(|(mode, number)| (mode.as_str(), *number)).collect();
        assert_eq!(modes, [("PERIODIC", 1), ("ONE_TIME", 0), ("ON_DEMAND", 1), ("UNKNOWN", 1)]);
        assert_eq!(sessions.oldest_start, at(20));
        let videos: Vec<_> = sessions.videos.iter().map(|(state, number)| (state.as_str(), *number)).collect();
        assert_eq!(videos, [("WAITING", 2), ("PROCESSING", 1), ("FAILED", 2)]);
        let expected = [
            (CollectorDoubt::ValueMissing, "1 running live sessions have no start time and no creation time"),
            (
                CollectorDoubt::FilterIgnored,
                "1 live sessions and 4 videos have another state or creation than asked for",
            ),
        ];
        assert_eq!(listed.doubts(), expected.map(|(doubt, seen)| (doubt, seen.to_owned())).into());
        let sound = ListedJobs {
            live: listed.live[..2].to_vec(),
            queued: listed.queued[..3].to_vec(),
            failed: listed.failed[..2].to_vec(),
            ..listed
        };
        assert!(sound.doubts().is_empty(), "{:?}", sound.doubts());
        assert_eq!(Sessions::new(&ListedJobs::default()).live.len(), 4, "0 is exported");
    }
}
