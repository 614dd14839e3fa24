//! ListTenantResources: the packages of a project, which the simulated usage consumes.

use chrono::{DateTime, Datelike, Duration, FixedOffset, Months, SecondsFormat, TimeZone, Utc};
use serde_json::{Value, json};

use super::{
    history::{self, SimulatedProject, UsagePattern, beijing},
    lists::{Answer, Request},
    service::{Service, Videopacket},
};

const PREFIX: &str = "hws.resource.type.metastudio.";
const SOURCES: [&str; 3] = ["PURCHASED", "SP_ALLOCATED", "ADMIN_ALLOCATED"];

/// The packages of the sources that are asked for.
///
/// # Errors
/// The name of the first parameter that is not valid.
pub(super) fn list(request: &Request<'_>) -> Result<Answer, String> {
    // The parameter is required. It has no value that selects all sources.
    let sources = request.values.get("resource_source").ok_or("resource_source")?;
    if sources.len() > 64 || !sources.split(',').all(|source| SOURCES.contains(&source)) {
        return Err("resource_source".to_owned());
    }
    let is_asked_for = |row: &Value| {
        let source = row.get("resource_source").and_then(Value::as_str);
        source.is_some_and(|source| sources.split(',').any(|asked| asked == source))
    };
    let rows = packages(request.project, request.service, request.now).into_iter().filter(is_asked_for).collect();
    Ok(Answer::List { name: "resources", rows, inserted: |number| further(number, "inserted") })
}

/// The packages of a project. Each type of usage has one package, which ends with this month; the usage may be more
/// than the package holds. The other packages are one of each kind that the API page leaves open.
fn packages(project: &SimulatedProject, service: &Service, now: DateTime<Utc>) -> Vec<Value> {
    let month = start_of_month(now);
    let next_month = month + Months::new(1);
    let of_month = |(index, pattern): (usize, &UsagePattern)| {
        let usage = history::events(&project.id, pattern, month.to_utc(), now);
        let used = usage.map(|event| event.hundredths).sum::<i64>() as f64 / 100.0;
        let (code, amount) = match (pattern.unit, pattern.resource_type) {
            ("HOUR", _) => ("modeling.avatarlive.duration", 100.0),
            (_, Some("video_time_flexus_2d_model")) => ("modeling.flexus.avatarvideo.dur", 1000.0),
            _ => ("modeling.avatarvideo.duration", 6000.0),
        };
        json!({
            "resource_id": format!("{}-{index}", project.name),
            "order_id": format!("CS{}{index}", month.format("%y%m%d")),
            "resource_type": format!("{PREFIX}{code}"),
            "business_type": pattern.business_type,
            "charging_mode": "ONE_TIME",
            "resource_source": "PURCHASED",
            "amount": amount,
            "usage": used,
            "unit": pattern.unit,
            "resource_expire_time": end(next_month),
            "status": 0,
        })
    };
    let mut rows: Vec<Value> = project.usage.iter().enumerate().map(of_month).collect();
    rows.extend(others(project, service, now));
    rows.extend((0..u32::from(service.packages.unwrap_or_default())).map(|number| further(number, "further")));
    rows
}

fn others(project: &SimulatedProject, service: &Service, now: DateTime<Utc>) -> [Value; 5] {
    let in_days = |days| end((now + Duration::days(days)).with_timezone(&beijing()));
    let (amount, unit) = match service.videopacket {
        Videopacket::Packages => (1, "NUM"),
        Videopacket::Minutes => (60, "MIN"),
    };
    // An unused package of 60 minutes.
    let trial = json!({"amount": amount, "usage": 0, "unit": unit, "resource_expire_time": in_days(5)});
    // A bundle of an avatar and minutes. It has no end.
    let bundle = json!({"amount": 1, "usage": 1, "unit": "NUM", "resource_expire_time": ""});
    let part_of_bundle = json!({
        "sub_resource_type": "video_time_flexus_2d_model", "is_sub_resource": true,
        "amount": 120, "usage": 6.1, "unit": "MIN", "resource_expire_time": "",
    });
    // A frozen package. More channels are used than were bought.
    let channels = json!({
        "charging_mode": "PERIODIC", "amount": 2, "usage": 3, "unit": "CHANNEL", "resource_expire_time": in_days(200),
        "status": 1, "bound_asset": {"asset_id": "a", "asset_name": "name of a customer"},
    });
    // Billed on demand: nothing was bought.
    let on_demand = json!({
        "charging_mode": "ON_DEMAND", "usage": 12.5, "unit": "MIN", "resource_source": "ADMIN_ALLOCATED",
    });
    [
        ("trial", "avatarmodeling.videopacket", "VIDEO_2D", trial),
        ("bundle", "modeling.flexus.avatar.number", "FLEXUS_2D", bundle),
        ("bundle", "modeling.flexus.avatar.number", "FLEXUS_2D", part_of_bundle),
        ("channels", "modeling.avatarlive.channel", "LIVE_2D", channels),
        ("on-demand", "modeling.avatarvideo.duration", "VIDEO_2D", on_demand),
    ]
    .map(|(id, code, business_type, fields)| package(&format!("{}-{id}", project.name), code, business_type, fields))
}

/// A package that was bought once, with further or other fields.
fn package(id: &str, code: &str, business_type: &str, fields: Value) -> Value {
    let mut row = json!({
        "resource_id": id,
        "order_id": "",
        "resource_type": format!("{PREFIX}{code}"),
        "business_type": business_type,
        "charging_mode": "ONE_TIME",
        "resource_source": "PURCHASED",
        "status": 0,
    });
    if let (Some(row), Value::Object(fields)) = (row.as_object_mut(), fields) {
        row.extend(fields);
    }
    row
}

fn further(number: u32, id: &str) -> Value {
    json!({
        "resource_id": format!("{id}-{number}"),
        "resource_type": format!("{PREFIX}modeling.avatarvideo.duration"),
        "business_type": "VIDEO_2D",
        "charging_mode": "ONE_TIME",
        "resource_source": "SP_ALLOCATED",
        "amount": 10,
        "usage": 2.5,
        "unit": "MIN",
        "resource_expire_time": "2099-12-31T15:59:59Z",
        "status": 0,
    })
}

pub(super) fn start_of_month(now: DateTime<Utc>) -> DateTime<FixedOffset> {
    let now = now.with_timezone(&beijing());
    beijing().with_ymd_and_hms(now.year(), now.month(), 1, 0, 0, 0).single().unwrap_or(now)
}

/// The last second of the day before, in Beijing (contract, 12).
pub(super) fn end(time: DateTime<FixedOffset>) -> String {
    let midnight = beijing().with_ymd_and_hms(time.year(), time.month(), time.day(), 0, 0, 0).single().unwrap_or(time);
    (midnight - Duration::seconds(1)).to_utc().to_rfc3339_opts(SecondsFormat::Secs, true)
}
