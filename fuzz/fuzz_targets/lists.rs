//! Pages of lists other than the usage: their entries are bounded in number, show no secret, and equal the entries that
//! another JSON reader finds.
#![no_main]

use chrono::DateTime;
use libfuzzer_sys::{Corpus, fuzz_target};
use metastudio_exporter::{
    cloud::fuzzing,
    usage::{Job, JobState, QuotaType, Unit},
};
use rust_decimal::{Decimal, prelude::ToPrimitive};
use serde_json::Value;

const SECRET: &str = "hunter2hunter2";

// The first byte selects the list. After a page of the billing service come a byte 0 and the units.
fuzz_target!(|input: &[u8]| -> Corpus {
    let Some((list, body)) = input.split_first() else { return Corpus::Reject };
    match list {
        b'p' => packages(body),
        b'u' => sub_users(body),
        b's' => sessions(body),
        b'v' => videos(body),
        b'S' => jobs(fuzzing::live_jobs(body), body, "smart_live_jobs"),
        b'V' => jobs(fuzzing::video_jobs(body), body, "jobs"),
        b'b' => account_packages(body),
        _ => return Corpus::Reject,
    }
    Corpus::Keep
});

/// The list of a page, if the other reader can read it: it knows only UTF-8, and only JSON of a certain depth.
fn rows(body: &[u8], name: &str) -> Option<Vec<Value>> {
    let mut json: Value = serde_json::from_slice(body).ok()?;
    Some(match json[name].take() {
        Value::Array(rows) => rows,
        Value::Null => Vec::new(),
        one => vec![one],
    })
}

fn packages(body: &[u8]) {
    let Some(packages) = fuzzing::packages(body, SECRET) else { return };
    assert!(packages.len() <= 100);
    hides_the_secret(&packages);
    let Some(rows) = rows(body, "resources") else { return };
    assert_eq!(packages.len(), rows.len());
    for (package, row) in packages.iter().zip(&rows) {
        let minutes = if row["unit"] == "HOUR" { 60.0 } else { 1.0 };
        assert_eq!(package.kind.unit == Unit::Minutes, row["unit"] == "MIN" || row["unit"] == "HOUR");
        is_amount(package.bought, &row["amount"], minutes);
        is_amount(package.used, &row["usage"], minutes);
        assert_eq!(package.expiry.is_some(), has_time(row, "resource_expire_time"));
        if let Some(is_part) = row["is_sub_resource"].as_bool() {
            assert_eq!(package.is_part, is_part);
        }
    }
}

fn sub_users(body: &[u8]) {
    let Some(users) = fuzzing::sub_users(body, SECRET) else { return };
    assert!(users.len() <= 100);
    hides_the_secret(&users);
    let Some(rows) = rows(body, "assets") else { return };
    assert_eq!(users.len(), rows.len());
    for (user, row) in users.iter().zip(&rows) {
        for quota_type in QuotaType::all() {
            let quota = user.quotas.get(&quota_type);
            is_amount(quota.and_then(|quota| quota.used), &row["usage"][quota_type.as_str()], 1.0);
            let limit = &row["quota"][quota_type.as_str()];
            let is_unlimited = number(limit) == Some(-1.0);
            is_amount(quota.and_then(|quota| quota.limit), if is_unlimited { &Value::Null } else { limit }, 1.0);
        }
    }
}

fn sessions(body: &[u8]) {
    let Some(sessions) = fuzzing::sessions(body) else { return };
    assert!(sessions.len() <= 100);
    let Some(rows) = rows(body, "smart_live_jobs") else { return };
    assert_eq!(sessions.len(), rows.len());
    for (session, row) in sessions.iter().zip(&rows) {
        assert_eq!(Some(&*session.id), row["job_id"].as_str());
        assert_eq!(session.state, state(row));
        assert_eq!(session.start.is_some(), has_time(row, "start_time") || has_time(row, "create_time"));
    }
}

fn videos(body: &[u8]) {
    let Some(videos) = fuzzing::videos(body) else { return };
    assert!(videos.len() <= 100);
    let Some(rows) = rows(body, "jobs") else { return };
    assert_eq!(videos.len(), rows.len());
    for (video, row) in videos.iter().zip(&rows) {
        assert_eq!((Some(&*video.id), video.state), (row["job_id"].as_str(), state(row)));
    }
}

/// Whether a time is there. An empty text, 0 and the beginning of 1970 count as no time.
fn has_time(row: &Value, name: &str) -> bool {
    match &row[name] {
        Value::String(text) => DateTime::parse_from_rfc3339(text).is_ok_and(|time| time != DateTime::UNIX_EPOCH),
        number => number.as_f64().is_some_and(|number| number.abs() >= 1.0),
    }
}

/// Live sessions or videos with their duration, times and end.
fn jobs(jobs: Option<Vec<Job>>, body: &[u8], name: &str) {
    let Some(jobs) = jobs else { return };
    assert!(jobs.len() <= 100);
    let Some(rows) = rows(body, name) else { return };
    assert_eq!(jobs.len(), rows.len());
    for (job, row) in jobs.iter().zip(&rows) {
        assert_eq!((Some(&*job.id), job.state), (row["job_id"].as_str(), state(row)));
        is_amount(job.seconds, &row["duration"], 1.0);
        for (time, name) in [(job.created, "create_time"), (job.start, "start_time"), (job.end, "end_time")] {
            assert_eq!(time.is_some(), has_time(row, name));
        }
    }
}

fn state(row: &Value) -> JobState {
    JobState::from_api(row["state"].as_str().unwrap())
}

fn account_packages(body: &[u8]) {
    let Some(end) = body.iter().position(|byte| *byte == 0) else { return };
    let (list, units) = (&body[..end], &body[end + 1..]);
    let Some(packages) = fuzzing::account_packages(list, units, SECRET) else { return };
    hides_the_secret(&packages);
    let Some(rows) = rows(list, "free_resource_packages") else { return };
    assert!(rows.len() <= 1000);
    let resources: Vec<&Value> = rows.iter().flat_map(resources).collect();
    assert!(packages.len() <= resources.len());
    for package in &packages {
        // The exporter may have converted seconds or hours to minutes.
        let factors: &[f64] = if package.kind.unit == Unit::Minutes { &[1.0, 60.0, 1.0 / 60.0] } else { &[1.0] };
        let is_from = |resource: &&&Value, factor: f64| {
            is_near(package.left(), &resource["amount"], factor)
                && is_near(package.bought, &resource["original_amount"], factor)
        };
        let from = resources.iter().find(|resource| factors.iter().any(|factor| is_from(resource, *factor)));
        assert!(from.is_some(), "{package:?}");
    }
}

fn resources(row: &Value) -> impl Iterator<Item = &Value> {
    match &row["free_resources"] {
        Value::Array(resources) => resources.iter().collect(),
        Value::Null => Vec::new(),
        one => vec![one],
    }
    .into_iter()
}

/// An absent value is not read as 0, and a value is not read as absent.
fn is_amount(amount: Option<Decimal>, json: &Value, factor: f64) {
    assert_eq!(amount.is_none(), json.is_null(), "{amount:?} {json}");
    assert!(amount.is_none() || is_near(amount, json, factor), "{amount:?} {json}");
}

fn is_near(amount: Option<Decimal>, json: &Value, factor: f64) -> bool {
    let Some((amount, number)) = amount.and_then(|amount| amount.to_f64()).zip(number(json)) else { return false };
    (amount - number * factor).abs() <= 1e-9 * (number * factor).abs().max(1e-9)
}

fn number(json: &Value) -> Option<f64> {
    match json {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn hides_the_secret<T: std::fmt::Debug>(entries: &[T]) {
    assert!(!format!("{entries:?}").contains(SECRET));
}
