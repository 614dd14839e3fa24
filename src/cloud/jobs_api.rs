//! ListSmartLiveJobs and ListDigitalHumanVideo: live sessions and videos.
//!
//! `GET /v1/{project_id}/smart-live-jobs` and `GET /v1/{project_id}/digital-human-videos` (contract, 14 and 15). The answers
//! have tokens, signed addresses, and names that customers chose. So only a few fields are read, and nothing of an answer is
//! quoted.

use std::cell::Cell;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{
    Deserialize,
    de::{MapAccess, value::MapAccessDeserializer},
};
use tokio::time::Instant;

use super::{
    client::Client,
    error::{Error, Refusal},
    json::{Fields, Raw, Unreadable, field, instant, string},
    listing::{Entry, Page, Row},
    lists::{self, ListQuery, Pages},
    secrets::Secrets,
};
use crate::usage::{ChargingMode, Counters, JobState, LiveSession, Operation, Video};

/// The live sessions that run.
///
/// # Errors
/// Any [`Error`]: a list that may be incomplete is an error.
pub async fn running_sessions(
    client: &Client,
    project_id: &str,
    deadline: Instant,
    counters: &mut Counters,
) -> Result<Vec<LiveSession>, Error> {
    sessions(project_id, &[("state", "PROCESSING")]).all(client, deadline, counters).await
}

/// The query for live sessions.
pub(crate) fn sessions<'a>(project_id: &'a str, filter: &'a [(&'a str, &'a str)]) -> ListQuery<'a, LiveSession> {
    ListQuery {
        operation: Operation::ListSmartLiveJobs,
        project_id,
        path: "smart-live-jobs",
        filter,
        parse: sessions_page,
        is_secret: true,
        advice,
    }
}

/// The videos that wait or are in production. The service lists those of the last month.
///
/// # Errors
/// Any [`Error`]: a list that may be incomplete is an error.
pub async fn queued_videos(
    client: &Client,
    project_id: &str,
    deadline: Instant,
    counters: &mut Counters,
) -> Result<Vec<Video>, Error> {
    videos(project_id, &[("state", "WAITING,PROCESSING")]).all(client, deadline, counters).await
}

/// The videos that were created since a time, and failed.
///
/// # Errors
/// Any [`Error`]: a list that may be incomplete is an error.
pub async fn failed_videos(
    client: &Client,
    project_id: &str,
    since: DateTime<Utc>,
    deadline: Instant,
    counters: &mut Counters,
) -> Result<Vec<Video>, Error> {
    // At most 20 characters: in UTC and without a fraction.
    let since = since.to_rfc3339_opts(SecondsFormat::Secs, true);
    videos(project_id, &[("state", "FAILED"), ("create_since", &since)]).all(client, deadline, counters).await
}

/// The query for videos.
pub(crate) fn videos<'a>(project_id: &'a str, filter: &'a [(&'a str, &'a str)]) -> ListQuery<'a, Video> {
    ListQuery {
        operation: Operation::ListDigitalHumanVideo,
        project_id,
        path: "digital-human-videos",
        filter,
        parse: videos_page,
        is_secret: true,
        advice,
    }
}

/// Reads one page of live sessions.
pub(super) fn sessions_page(body: &[u8], secrets: &Secrets) -> Result<Page<LiveSession>, Unreadable> {
    Page::read::<LiveJson<'_>>(body, secrets)
}

/// Reads one page of videos.
pub(super) fn videos_page(body: &[u8], secrets: &Secrets) -> Result<Page<Video>, Unreadable> {
    Page::read::<VideoJson<'_>>(body, secrets)
}

fn advice(refusal: &Refusal) -> Option<&'static str> {
    lists::advice(
        refusal,
        "The user may not list live sessions and videos: grant it the access policy of MetaStudio, or remove sessions from \
         collect",
        "The service does not know this operation in this region: remove sessions from collect",
    )
}

#[derive(Default, Deserialize)]
struct LiveJson<'a> {
    #[serde(borrow, default)]
    job_id: Raw<'a>,
    #[serde(borrow, default)]
    state: Raw<'a>,
    #[serde(borrow, default)]
    used_resource_type: Raw<'a>,
    #[serde(borrow, default)]
    start_time: Raw<'a>,
    #[serde(borrow, default)]
    create_time: Raw<'a>,
}

impl<'de> Fields<'de> for LiveJson<'de> {
    fn read<A: MapAccess<'de>>(object: A, _: &Cell<usize>) -> Result<Self, A::Error> {
        LiveJson::deserialize(MapAccessDeserializer::new(object))
    }
}

impl<'de> Row<'de> for LiveJson<'de> {
    type Entry = LiveSession;

    const LIST: &'static str = "smart_live_jobs";

    fn entry(self, _: &Secrets) -> Result<LiveSession, Unreadable> {
        let charging_mode = field("used_resource_type", self.used_resource_type, string)?;
        let start = field("start_time", self.start_time, instant)?.flatten();
        let created = field("create_time", self.create_time, instant)?.flatten();
        Ok(LiveSession {
            id: job_id(self.job_id)?,
            state: state(self.state)?,
            charging_mode: charging_mode.map_or(ChargingMode::Unknown, |text| ChargingMode::from_api(&text)),
            start: start.or(created),
        })
    }
}

impl Entry for LiveSession {
    const PLURAL: &'static str = "live sessions";

    type Key = String;

    fn key(&self) -> String {
        self.id.clone()
    }
}

#[derive(Default, Deserialize)]
struct VideoJson<'a> {
    #[serde(borrow, default)]
    job_id: Raw<'a>,
    #[serde(borrow, default)]
    state: Raw<'a>,
    #[serde(borrow, default)]
    create_time: Raw<'a>,
}

impl<'de> Fields<'de> for VideoJson<'de> {
    fn read<A: MapAccess<'de>>(object: A, _: &Cell<usize>) -> Result<Self, A::Error> {
        VideoJson::deserialize(MapAccessDeserializer::new(object))
    }
}

impl<'de> Row<'de> for VideoJson<'de> {
    type Entry = Video;

    const LIST: &'static str = "jobs";

    fn entry(self, _: &Secrets) -> Result<Video, Unreadable> {
        let created = field("create_time", self.create_time, instant)?.flatten();
        Ok(Video { id: job_id(self.job_id)?, state: state(self.state)?, created })
    }
}

impl Entry for Video {
    const PLURAL: &'static str = "videos";

    type Key = String;

    fn key(&self) -> String {
        self.id.clone()
    }
}

fn job_id(raw: Raw<'_>) -> Result<String, Unreadable> {
    let id = field("job_id", raw, string)?.filter(|id| !id.is_empty());
    id.map(Into::into).ok_or_else(|| Unreadable("it has no job_id".to_owned()))
}

/// The state must be there: without it, a filter that the service ignores would go unnoticed.
fn state(raw: Raw<'_>) -> Result<JobState, Unreadable> {
    let state = field("state", raw, string)?.ok_or_else(|| Unreadable("it has no state".to_owned()))?;
    Ok(JobState::from_api(&state))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(body: &str) -> Result<Page<LiveSession>, String> {
        sessions_page(body.as_bytes(), &Secrets::default()).map_err(|error| error.to_string())
    }

    fn session(fields: &str) -> Result<LiveSession, String> {
        let body = format!(r#"{{"count":"1.0","smart_live_jobs":[{{"job_id":"j","state":"PROCESSING",{fields}}}]}}"#);
        Ok(list(&body)?.entries.remove(0))
    }

    #[test]
    fn nothing_but_the_id_the_state_the_source_and_the_start_is_read() {
        let session = session(
            r#""room_name":"名","rtc_room_info":{"signature":"s"},"live_event_callback_config":{"key":"k"},"cover_url":"u",
               "used_resource_type":"ONDEMAND","start_time":"2025-11-08T09:30:00Z","create_time":"2025-11-08T09:00:00Z""#,
        );
        let shown = format!("{:?}", session.unwrap());
        let expected =
            r#"LiveSession { id: "j", state: Processing, charging_mode: OnDemand, start: Some(2025-11-08T09:30:00Z) }"#;
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_start_that_is_not_known_is_the_creation_or_none() {
        let start = |fields: &str| session(fields).unwrap().start.map(|start| start.timestamp());
        assert_eq!(start(r#""start_time":"","create_time":"1970-01-01T00:00:09Z""#), Some(9));
        assert_eq!(start(r#""start_time":null,"end_time":"""#), None);
        assert!(session(r#""start_time":"yesterday""#).is_err());
    }

    #[test]
    fn what_a_session_is_deducted_from_may_be_unknown() {
        for (text, mode) in [
            ("PERIOD", ChargingMode::Periodic),
            ("ONE_TIME", ChargingMode::OneTime),
            ("UNKNOW", ChargingMode::Unknown),
            ("NEW", ChargingMode::Unknown),
        ] {
            assert_eq!(session(&format!(r#""used_resource_type":"{text}""#)).unwrap().charging_mode, mode, "{text}");
        }
        assert_eq!(session(r#""used_resource_type":null"#).unwrap().charging_mode, ChargingMode::Unknown);
        assert!(session(r#""used_resource_type":7"#).is_err());
    }

    #[test]
    fn an_empty_list_may_be_absent() {
        for body in [r#"{"count":0}"#, r#"{"count":0.0,"smart_live_jobs":null}"#, r#"{"count":0,"smart_live_jobs":[]}"#]
        {
            assert_eq!(list(body).unwrap(), Page { count: Some(0), entries: vec![] }, "{body}");
        }
        assert_eq!(list(r#"{"jobs":[]}"#).unwrap_err(), "it has neither count nor smart_live_jobs");
        for (row, what) in [(r#"{"state":"PROCESSING"}"#, "job_id"), (r#"{"job_id":"j"}"#, "state")] {
            let error = list(&format!(r#"{{"smart_live_jobs":[{row}]}}"#)).unwrap_err();
            assert_eq!(error, format!("entry 1 of smart_live_jobs: it has no {what}"));
        }
    }

    #[test]
    fn videos_have_a_state() {
        let body =
            br#"{"count":3,"jobs":[{"job_id":"1","state":"WAITING"},{"job_id":"2","state":"FAILED","error_info":{}},
            {"job_id":"3","state":"BLOCK","job_type":"DIGITAL_HUMAN_PHOTO_VIDEO","duration":"x"}]}"#;
        let videos = videos_page(body, &Secrets::default()).unwrap().entries;
        let states: Vec<JobState> = videos.iter().map(|video| video.state).collect();
        assert_eq!(states, [JobState::Waiting, JobState::Failed, JobState::Other]);
    }
}
