//! ListSmartLiveJobs and ListDigitalHumanVideo: the live sessions and videos whose usage is metered later. An event is
//! metered at its end, so the durations of all that succeeded add up to the usage.

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::{
    history::{self, Event, UsagePattern},
    lists::{Answer, Request},
    service::{Durations, Service, States},
};

/// Texts in the answers that no exporter may show: a name, tokens, keys and signed addresses.
pub const SECRETS: [&str; 6] = [
    "simulated room",
    "simulated-rtc-signature",
    "simulated-callback-key",
    "simulated-cover",
    "simulated-rtmp-key",
    "simulated-asset-url",
];

/// The time from the request of a video to its end.
const QUEUE: Duration = Duration::minutes(15);

/// The live sessions.
///
/// # Errors
/// The name of the first parameter that is not valid.
pub(super) fn live_sessions(request: &Request<'_>) -> Result<Answer, String> {
    let now = request.now;
    let is_live = |pattern: &&UsagePattern| pattern.business_type.starts_with("LIVE");
    let mut rows = Vec::new();
    for pattern in request.project.usage.iter().filter(is_live) {
        let first = created_since(request)?.unwrap_or(now - Duration::days(1));
        for Event { at, hundredths, user } in
            history::events(&request.project.id, pattern, first, now + Duration::hours(6))
        {
            let start = at - Duration::seconds(hundredths * 36);
            if start <= now {
                rows.push(live_session(
                    &format!("live-{}-{user}-{hundredths}", at.timestamp()),
                    start,
                    (at <= now).then_some((at, hundredths * 36)),
                    "PERIOD",
                ));
            }
        }
    }
    let Service { sessions, session_hours, .. } = request.service;
    let start = now - Duration::hours(session_hours.unwrap_or(2).into());
    let further = |number| live_session(&format!("further-{number}"), start, None, "ONDEMAND");
    rows.extend((0..sessions.unwrap_or_default()).map(further));
    let inserted = |number| live_session(&format!("inserted-{number}"), DateTime::UNIX_EPOCH, None, "UNKNOW");
    Ok(Answer::List { name: "smart_live_jobs", rows: selected(rows, request)?, inserted })
}

/// A live session. `end` is its end and its duration in seconds; `None` if the session still runs.
fn live_session(id: &str, start: DateTime<Utc>, end: Option<(DateTime<Utc>, i64)>, used_resource_type: &str) -> Value {
    let [room, signature, key, cover, rtmp, _] = SECRETS;
    json!({
        "job_id": id,
        "room_id": format!("room of {id}"),
        "room_name": format!("{room} 直播间"),
        "state": if end.is_some() { "SUCCEED" } else { "PROCESSING" },
        "duration": end.map_or(3600.5, |(_, seconds)| seconds as f64),
        "start_time": text(start),
        "end_time": end.map(|(end, _)| text(end)),
        "create_time": text(start - Duration::minutes(1)),
        "used_resource_type": used_resource_type,
        "cover_url": format!("https://obs.example/{cover}"),
        "rtc_room_info": {"room_id": room, "users": [{"user_id": "u", "signature": signature}]},
        "live_event_report_url": format!("rtmp://live.example/{rtmp}"),
        "live_event_callback_config": {"key": key},
    })
}

/// The videos that ended since `create_since`, or else in the last 30 hours, and the videos that wait or are in
/// production.
///
/// # Errors
/// The name of the first parameter that is not valid.
pub(super) fn videos(request: &Request<'_>) -> Result<Answer, String> {
    let now = request.now;
    let mut rows = Vec::new();
    for pattern in request.project.usage.iter().filter(|pattern| pattern.resource_type.is_some()) {
        let first = created_since(request)?.unwrap_or(now - Duration::hours(30));
        for Event { at, hundredths, .. } in history::events(&request.project.id, pattern, first, now + QUEUE) {
            let state = match at - now {
                left if left > QUEUE / 3 => "WAITING",
                left if left > Duration::zero() => "PROCESSING",
                _ => "SUCCEED",
            };
            let id = format!("video-{}-{hundredths}", at.timestamp());
            if state == "SUCCEED" && hundredths % 40 == 0 {
                // The first try to make this video.
                rows.push(video(&format!("{id}-failed"), at - QUEUE, "FAILED"));
            }
            let mut row = video(&id, at - QUEUE, state);
            if let Some(row) = row.as_object_mut().filter(|_| state == "SUCCEED") {
                let duration = match request.service.durations {
                    Durations::Seconds => Some((hundredths * 6) as f64 / 10.0),
                    Durations::Minutes => Some(hundredths as f64 / 100.0),
                    Durations::Absent => None,
                };
                row.insert("duration".to_owned(), duration.map_or(Value::Null, Value::from));
                row.insert("start_time".to_owned(), text(at - QUEUE / 3).into());
                row.insert("end_time".to_owned(), text(at).into());
            }
            rows.push(row);
        }
    }
    let further = |number| video(&format!("further-{number}"), now, "WAITING");
    rows.extend((0..request.service.sessions.unwrap_or_default()).map(further));
    let inserted = |number| video(&format!("inserted-{number}"), DateTime::UNIX_EPOCH, "WAITING");
    Ok(Answer::List { name: "jobs", rows: selected(rows, request)?, inserted })
}

fn video(id: &str, created: DateTime<Utc>, state: &str) -> Value {
    let [room, .., asset] = SECRETS;
    json!({
        "job_id": id,
        "state": state,
        // The filter `job_type` has another name for the same type: `PHOTO_DIGITAL_HUMAN_VIDEO`.
        "job_type": "DIGITAL_HUMAN_PHOTO_VIDEO",
        "duration": 12.5,
        "create_time": text(created),
        "output_asset_config": {"asset_name": room, "preview_video_url": format!("https://obs.example/{asset}")},
    })
}

/// The rows with one of the requested states that were created in the requested time.
fn selected(mut rows: Vec<Value>, request: &Request<'_>) -> Result<Vec<Value>, String> {
    let is = |row: &Value, field: &str, test: &dyn Fn(&str) -> bool| {
        row.get(field).and_then(Value::as_str).is_some_and(test)
    };
    if let Some(states) = request.values.get("state").filter(|_| request.service.states == States::Selects) {
        rows.retain(|row| is(row, "state", &|state| states.split(',').any(|asked| asked == state)));
    }
    // The texts sort in the order of their times, because all are in UTC and have the same length.
    if let Some(since) = time(request, "create_since")? {
        rows.retain(|row| is(row, "create_time", &|created| created >= text(since).as_str()));
    }
    if let Some(until) = time(request, "create_until")? {
        rows.retain(|row| is(row, "create_time", &|created| created <= text(until).as_str()));
    }
    Ok(rows)
}

fn created_since(request: &Request<'_>) -> Result<Option<DateTime<Utc>>, String> {
    time(request, "create_since")
}

/// A parameter with a time of at most 20 characters (contract, 14).
fn time(request: &Request<'_>, name: &str) -> Result<Option<DateTime<Utc>>, String> {
    let Some(text) = request.values.get(name) else { return Ok(None) };
    let time = DateTime::parse_from_rfc3339(text).ok().filter(|_| text.len() <= 20);
    time.map(|time| Some(time.to_utc())).ok_or_else(|| name.to_owned())
}

fn text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
