//! ListSmartLiveJobs and ListDigitalHumanVideo: current and past live sessions and videos.
//!
//! `GET /v1/{project_id}/smart-live-jobs` and `GET /v1/{project_id}/digital-human-videos` (contract, 14 and 15). The
//! answers have tokens, signed addresses, and names that customers chose. So only a few fields are read, and nothing of
//! an answer is quoted.

use chrono::{DateTime, Utc};

use super::{
    error::{Advice, Refusal},
    json::{Raw, Unreadable, decimal, field, instant, json_object, string},
    listing::{Entry, ListPage, ListRow},
    lists::{self, ListQuery, Parse},
    secrets::Secrets,
};
use crate::usage::{Bounds, ChargingMode, Job, JobState, LiveSession, Operation, Video, timestamp};

/// An operation, and the last part of its path.
type ListOperation = (Operation, &'static str);

const LIVE_SESSIONS: ListOperation = (Operation::ListSmartLiveJobs, "smart-live-jobs");
const VIDEOS: ListOperation = (Operation::ListDigitalHumanVideo, "digital-human-videos");

/// The live sessions that run.
pub(crate) fn running_sessions(project_id: &str) -> ListQuery<'_, LiveSession> {
    sessions(project_id, &[("state", "PROCESSING")])
}

/// The live sessions that match a filter.
pub(crate) fn sessions<'a>(project_id: &'a str, filter: &[(&'static str, &str)]) -> ListQuery<'a, LiveSession> {
    list(project_id, LIVE_SESSIONS, filter, sessions_page, advice)
}

/// The videos that wait or are in production. The service lists only videos of the last month.
pub(crate) fn queued_videos(project_id: &str) -> ListQuery<'_, Video> {
    videos(project_id, &[("state", "WAITING,PROCESSING")])
}

/// The failed videos that were created since the time `since`.
pub(crate) fn failed_videos(project_id: &str, since: DateTime<Utc>) -> ListQuery<'_, Video> {
    videos(project_id, &[("state", "FAILED"), ("create_since", &timestamp(since))])
}

/// The videos that match a filter.
pub(crate) fn videos<'a>(project_id: &'a str, filter: &[(&'static str, &str)]) -> ListQuery<'a, Video> {
    list(project_id, VIDEOS, filter, videos_page, advice)
}

/// The live sessions that were created in a range of time, and that run or have ended.
pub(crate) fn live_jobs(project_id: &str, created: Bounds) -> ListQuery<'_, Job> {
    jobs(project_id, LIVE_SESSIONS, "PROCESSING,SUCCEED,FAILED", created, live_jobs_page)
}

/// The videos that were created in a range of time, and have been produced.
pub(crate) fn produced_videos(project_id: &str, created: Bounds) -> ListQuery<'_, Job> {
    jobs(project_id, VIDEOS, "SUCCEED", created, video_jobs_page)
}

fn jobs<'a>(
    project_id: &'a str,
    of: ListOperation,
    state: &str,
    created: Bounds,
    parse: Parse<Job>,
) -> ListQuery<'a, Job> {
    let (since, until) = (timestamp(created.start), timestamp(created.end));
    let filter = [("state", state), ("create_since", &since), ("create_until", &until)];
    list(project_id, of, &filter, parse, advice_of_reconciliation)
}

/// A query of either operation. `parse` reads the entries of a page as live sessions, as videos, or as jobs.
fn list<'a, T>(
    project_id: &'a str,
    (operation, path): ListOperation,
    filter: &[(&'static str, &str)],
    parse: Parse<T>,
    advice: Advice,
) -> ListQuery<'a, T> {
    ListQuery { operation, project_id, path, filter: owned(filter), parse, is_secret: true, advice }
}

fn owned(filter: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    filter.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
}

/// Reads one page of live sessions.
pub(super) fn sessions_page(body: &[u8], secrets: &Secrets) -> Result<ListPage<LiveSession>, Unreadable> {
    ListPage::read::<LiveJson<'_>>(body, secrets)
}

/// Reads one page of videos.
pub(super) fn videos_page(body: &[u8], secrets: &Secrets) -> Result<ListPage<Video>, Unreadable> {
    ListPage::read::<VideoJson<'_>>(body, secrets)
}

/// Reads one page of live sessions that may have ended.
pub(super) fn live_jobs_page(body: &[u8], secrets: &Secrets) -> Result<ListPage<Job>, Unreadable> {
    ListPage::read::<JobJson<'_, true>>(body, secrets)
}

/// Reads one page of videos that may have ended.
pub(super) fn video_jobs_page(body: &[u8], secrets: &Secrets) -> Result<ListPage<Job>, Unreadable> {
    ListPage::read::<JobJson<'_, false>>(body, secrets)
}

fn advice_of_reconciliation(refusal: &Refusal) -> Option<&'static str> {
    lists::advice(
        refusal,
        "The user may not list live sessions and videos: grant it the access policy of MetaStudio, or remove reconciliation \
         from collect",
        "The service does not know this operation in this region: remove reconciliation from collect",
    )
}

fn advice(refusal: &Refusal) -> Option<&'static str> {
    lists::advice(
        refusal,
        "The user may not list live sessions and videos: grant it the access policy of MetaStudio, or remove sessions from \
         collect",
        "The service does not know this operation in this region: remove sessions from collect",
    )
}

json_object! {
    struct LiveJson<'a> {
        job_id: Raw<'a>,
        state: Raw<'a>,
        used_resource_type: Raw<'a>,
        start_time: Raw<'a>,
        create_time: Raw<'a>,
    }
}

impl<'de> ListRow<'de> for LiveJson<'de> {
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

json_object! {
    struct VideoJson<'a> {
        job_id: Raw<'a>,
        state: Raw<'a>,
        create_time: Raw<'a>,
    }
}

impl<'de> ListRow<'de> for VideoJson<'de> {
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

json_object! {
    /// A live session or a video that may have ended.
    struct JobJson<'a, const IS_LIVE: bool> {
        job_id: Raw<'a>,
        state: Raw<'a>,
        duration: Raw<'a>,
        create_time: Raw<'a>,
        start_time: Raw<'a>,
        end_time: Raw<'a>,
    }
}

impl<'de, const IS_LIVE: bool> ListRow<'de> for JobJson<'de, IS_LIVE> {
    type Entry = Job;

    const LIST: &'static str = if IS_LIVE { LiveJson::LIST } else { VideoJson::LIST };

    fn entry(self, _: &Secrets) -> Result<Job, Unreadable> {
        let time = |name, raw| field(name, raw, instant).map(Option::flatten);
        Ok(Job {
            id: job_id(self.job_id)?,
            state: state(self.state)?,
            created: time("create_time", self.create_time)?,
            start: time("start_time", self.start_time)?,
            end: time("end_time", self.end_time)?,
            seconds: field("duration", self.duration, decimal)?,
        })
    }
}

impl Entry for Job {
    const PLURAL: &'static str = "live sessions or videos";

    /// Lists of jobs cover several days. Jobs have no series of their own.
    const MAX_ENTRIES: usize = 50_000;

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
    use chrono::TimeDelta;
    use proptest::prelude::*;
    use rust_decimal::Decimal;

    use super::*;
    use crate::{
        cloud::listing::Listing,
        usage::{Against, Comparison, Estimate, JobMinutes, live_minutes, video_minutes},
    };

    fn list(body: &str) -> Result<ListPage<LiveSession>, String> {
        sessions_page(body.as_bytes(), &Secrets::default()).map_err(|error| error.to_string())
    }

    fn session(fields: &str) -> Result<LiveSession, String> {
        let body = format!(r#"{{"count":"1.0","smart_live_jobs":[{{"job_id":"j","state":"PROCESSING",{fields}}}]}}"#);
        Ok(list(&body)?.entries.remove(0))
    }

    #[test]
    fn nothing_but_the_id_the_state_the_charging_mode_and_the_start_is_read() {
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
            assert_eq!(list(body).unwrap(), ListPage { count: Some(0), entries: vec![] }, "{body}");
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

    #[test]
    fn a_job_has_its_times_and_its_duration_and_no_name() {
        let body = br#"{"count":2,"smart_live_jobs":[
            {"job_id":"1","state":"SUCCEED","room_name":"secret","duration":"12.5","create_time":"1970-01-01T00:00:01Z",
             "start_time":"1970-01-01T00:00:02Z","end_time":"1970-01-01T00:00:03Z","rtc_room_info":{"signature":"secret"}},
            {"job_id":"2","state":"BLOCKED","duration":null,"end_time":""}]}"#;
        let jobs = live_jobs_page(body, &Secrets::default()).unwrap().entries;
        let at = |second| DateTime::from_timestamp(second, 0);
        let one = Job {
            id: "1".to_owned(),
            state: JobState::Succeeded,
            created: at(1),
            start: at(2),
            end: at(3),
            seconds: Some(Decimal::new(125, 1)),
        };
        let none =
            Job { id: "2".to_owned(), state: JobState::Other, created: None, start: None, end: None, seconds: None };
        assert_eq!(jobs, [one, none]);
        assert!(video_jobs_page(body, &Secrets::default()).is_ok(), "count is there");
        for field in [r#""duration":"long""#, r#""end_time":"today""#, r#""duration":[]"#] {
            let body = format!(r#"{{"jobs":[{{"job_id":"1","state":"SUCCEED",{field}}}]}}"#);
            let error = video_jobs_page(body.as_bytes(), &Secrets::default()).unwrap_err();
            assert!(error.to_string().ends_with("has a value that cannot be read"), "{error}");
        }
    }

    /// A job of the random world: its start and length in seconds, its duration in hundredths of a second, whether it
    /// failed, and when it is metered between its start and an hour after its end.
    type RandomJob = (i64, i64, i64, bool, f64);

    const DAY: i64 = 24 * 3600;

    fn bounds(day: i64) -> Bounds {
        let at = |second| DateTime::from_timestamp(second, 0).unwrap();
        Bounds { start: at(day * DAY), end: at((day + 1) * DAY) }
    }

    /// The list of jobs, in pages of any length and numbers in any form.
    fn listed(jobs: &[RandomJob], cap: usize, has_count: bool) -> Vec<Job> {
        let text = |second| timestamp(DateTime::from_timestamp(second, 0).unwrap());
        let row = |(index, (start, length, hundredths, failed, _)): (usize, &RandomJob)| {
            let duration = match (index % 3, Decimal::new(*hundredths, 2)) {
                (0, seconds) => seconds.to_string(),
                (1, seconds) => format!("\"{seconds}\""),
                (_, _) => format!("{hundredths}e-2"),
            };
            let state = if *failed { "FAILED" } else { "SUCCEED" };
            format!(
                r#"{{"job_id":"{index}","state":"{state}","duration":{duration},"create_time":"{}","start_time":"{}","end_time":"{}"}}"#,
                text(*start),
                text(*start),
                text(start + length)
            )
        };
        let rows: Vec<String> = jobs.iter().enumerate().map(row).collect();
        let count = if has_count { format!(r#""count":{}.0,"#, rows.len()) } else { String::new() };
        let mut listing = Listing::new();
        loop {
            let page: Vec<&str> = rows.iter().skip(listing.offset()).take(cap).map(String::as_str).collect();
            let body = format!(r#"{{{count}"jobs":[{}]}}"#, page.join(","));
            let page = video_jobs_page(body.as_bytes(), &Secrets::default()).unwrap();
            if listing.add(page).unwrap() {
                return listing.finish();
            }
        }
    }

    proptest! {
        /// Sums are exact. The parts of a session over midnight add up. The time at which a job is metered makes no
        /// difference.
        #[test]
        fn random_jobs_have_exact_sums_and_sound_usage_never_differs(
            jobs in prop::collection::vec(
                (DAY..5 * DAY, 0..2 * DAY, 0..20_000_000_i64, prop::bool::weighted(0.1), 0.0..1.0_f64),
                0..250,
            ),
            cap in 2..=100_usize,
            has_count: bool,
        ) {
            let found = listed(&jobs, cap, has_count);
            prop_assert_eq!(found.len(), jobs.len());
            let minutes = |hundredths: i64| Decimal::new(hundredths, 2) / Decimal::from(60);
            let succeeded = || jobs.iter().filter(|(.., failed, _)| !failed);
            let mut of_all_days = Decimal::ZERO;
            for day in 0..9 {
                let bounds = bounds(day);
                let of_live = live_minutes(&found, bounds).unwrap();
                of_all_days += of_live.minutes.minutes;
                let of_videos = video_minutes(&found, bounds).unwrap();
                let ended = succeeded().filter(|(start, length, ..)| (start + length).div_euclid(DAY) == day);
                let expected = minutes(ended.map(|(_, _, hundredths, ..)| hundredths).sum());
                prop_assert_eq!(of_videos.minutes.minutes, expected);
                // A job that failed is metered or not.
                let metered = jobs.iter().filter(|(start, length, hundredths, failed, part)| {
                    let latest = *length as f64 + 3599.0;
                    (start + (part * latest) as i64).div_euclid(DAY) == day && !(*failed && hundredths % 2 == 0)
                });
                let usage = minutes(metered.map(|(_, _, hundredths, ..)| hundredths).sum());
                for (against, JobMinutes { minutes, jobs }) in
                    [(Against::LiveSessions, of_live), (Against::Videos, of_videos)]
                {
                    let Estimate { minutes: sum, least, most } = minutes;
                    prop_assert!(least <= sum && Some(sum) <= most, "{:?}", minutes);
                    prop_assert!(least <= usage && Some(usage) <= most, "{usage} {minutes:?}");
                    let compare = |usage| Comparison {
                        against,
                        business_type: String::new(),
                        range: bounds,
                        usage: Estimate::exact(usage),
                        other: minutes,
                        jobs,
                    };
                    prop_assert!(!compare(usage).differs());
                    let beyond = most.unwrap() * Decimal::new(106, 2) + Decimal::from(jobs + 2);
                    prop_assert!(compare(beyond).differs());
                    prop_assert_eq!(compare(least * Decimal::new(94, 2) - Decimal::from(2)).differs(), true);
                }
            }
            let all = minutes(succeeded().map(|(_, _, hundredths, ..)| hundredths).sum());
            prop_assert!((of_all_days - all).abs() < Decimal::new(1, 18), "{of_all_days} {all}");
            prop_assert_eq!(TimeDelta::seconds(DAY), bounds(0).end - bounds(0).start);
        }
    }
}
