//! The buckets of an answer: which time they cover, and how their values are written.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, Duration, DurationRound, NaiveTime, Offset, SecondsFormat, TimeZone, Utc, Weekday};
use serde_json::{Map, Value, json};

use super::{
    history::{self, Event, SimulatedProject, USERS, UsagePattern},
    parameters::Parameters,
    service::{Changes, Cut, End, Parts, Rows, Service, Start, Time, Usage, UsageOf, UserId, Width, Zone},
};

/// An entry of `time_list`.
pub(super) struct Bucket {
    pub time: Value,
    pub rows: Vec<Value>,
}

/// The buckets that have usage.
pub(super) fn buckets(
    project: &SimulatedProject,
    parameters: &Parameters,
    service: &Service,
    now: DateTime<Utc>,
    earlier: u32,
) -> Vec<Bucket> {
    let (start, end) = range(parameters, service, now);
    let wants_user = |user: &str| service.user_id == UserId::Ignored || parameters.want("user_id", user);
    let mut buckets: BTreeMap<DateTime<Utc>, Vec<(&UsagePattern, Vec<Event>)>> = BTreeMap::new();
    for pattern in project.usage.iter().filter(|pattern| is_wanted(pattern, parameters)) {
        let mut of_pattern: BTreeMap<DateTime<Utc>, Vec<Event>> = BTreeMap::new();
        for mut event in history::events(&project.id, pattern, start, end) {
            let user = USERS.get(usize::try_from(event.user).unwrap_or_default());
            if wants_user(user.unwrap_or(&"")) {
                if service.changes == Changes::Grown && grows(pattern, event.at) {
                    event.hundredths += i64::from(earlier);
                }
                let bucket = start_of_bucket(event.at, service.buckets);
                let time = if service.cut == Cut::Range { bucket.max(start) } else { bucket };
                of_pattern.entry(time).or_default().push(event);
            }
        }
        for (time, events) in of_pattern {
            buckets.entry(time).or_default().push((pattern, events));
        }
    }
    let mut forms = Forms { service, is_first: true };
    let buckets = buckets.into_iter().map(|(time, types)| {
        let mut rows: Vec<Value> = types.iter().flat_map(|(pattern, events)| forms.rows(pattern, events)).collect();
        // Only the first user has these rows, so that the answers for each user add up to the answer for all users.
        if wants_user(USERS[0]) {
            rows.extend(other_rows(service));
        }
        Bucket { time: written_time(time, parameters, service), rows }
    });
    buckets.collect()
}

fn is_wanted(pattern: &UsagePattern, parameters: &Parameters) -> bool {
    parameters.want("resource_type", pattern.resource_type.unwrap_or_default())
        && parameters.want("business_type", pattern.business_type)
        && parameters.want("unit", pattern.unit)
}

/// Whether an event grows from request to request. Only videos on Sundays grow, so that most usage of any range does
/// not change.
fn grows(pattern: &UsagePattern, at: DateTime<Utc>) -> bool {
    pattern.resource_type == Some("video_time_2d_model")
        && at.with_timezone(&history::beijing()).weekday() == Weekday::Sun
}

/// The range that the service answers for.
fn range(parameters: &Parameters, service: &Service, now: DateTime<Utc>) -> (DateTime<Utc>, DateTime<Utc>) {
    let shift = if service.zone == Zone::Utc { Duration::zero() } else { offset_of_beijing() };
    let (mut start, asked_end) = (parameters.start - shift, parameters.end - shift);
    let mut end = asked_end;
    if service.start == Start::Ignored {
        start = start.min(end - Duration::days(90));
    }
    // Usage is forgotten once an hour. Otherwise the time of the first bucket would change between two pages.
    let forgotten = now.duration_trunc(Duration::hours(1)).unwrap_or(now);
    for (days, before) in [(service.longest_range, end), (service.retention, forgotten)] {
        start = start.max(days.map_or(start, |days| before - Duration::days(i64::from(days))));
    }
    if service.cut == Cut::Never {
        start = start_of_bucket(start, service.buckets);
        end = end_of_bucket(end - Duration::seconds(1), service.buckets);
    }
    if service.end == End::Inclusive {
        end = end_of_bucket(asked_end, service.buckets);
    }
    // A bucket that has not ended has only the usage so far.
    (start, end.min(asked_end.max(now)))
}

fn offset_of_beijing() -> Duration {
    Duration::seconds(i64::from(history::beijing().local_minus_utc()))
}

fn start_of_bucket(at: DateTime<Utc>, width: Width) -> DateTime<Utc> {
    let zone = if width == Width::UtcDays { Utc.fix() } else { history::beijing() };
    let date = at.with_timezone(&zone).date_naive();
    let first = match width {
        Width::Hours => return at.duration_trunc(Duration::hours(1)).unwrap_or(at),
        Width::Days | Width::UtcDays => date,
        Width::Weeks => date.week(Weekday::Mon).first_day(),
        Width::Months => date.with_day(1).unwrap_or(date),
    };
    // With a fixed offset, every local time exists exactly once.
    zone.from_local_datetime(&first.and_time(NaiveTime::MIN)).earliest().map_or(at, |local| local.to_utc())
}

/// The end of the bucket that contains `at`.
fn end_of_bucket(at: DateTime<Utc>, width: Width) -> DateTime<Utc> {
    let longest = match width {
        Width::Hours => Duration::hours(1),
        Width::Days | Width::UtcDays => Duration::days(1),
        Width::Weeks => Duration::days(7),
        Width::Months => Duration::days(31),
    };
    start_of_bucket(start_of_bucket(at, width) + longest, width)
}

fn written_time(start: DateTime<Utc>, parameters: &Parameters, service: &Service) -> Value {
    let time = if service.time == Time::Query { parameters.start } else { start };
    let time = if service.zone == Zone::Local { time + offset_of_beijing() } else { time };
    match service.time {
        Time::Text | Time::Query => time.to_rfc3339_opts(SecondsFormat::Secs, true).into(),
        Time::Seconds => time.timestamp().into(),
        Time::Milliseconds => time.timestamp_millis().into(),
    }
}

/// How the rows of an answer are written.
struct Forms<'a> {
    service: &'a Service,
    is_first: bool,
}

impl Forms<'_> {
    /// The rows for the events of one type in one bucket.
    fn rows(&mut self, pattern: &UsagePattern, events: &[Event]) -> Vec<Value> {
        match self.service.rows {
            Rows::Types => vec![self.row(pattern, events.iter(), None)],
            Rows::Videos => events.iter().map(|event| self.row(pattern, [event].into_iter(), None)).collect(),
            Rows::Qualities => {
                let qualities = [(0, "high"), (1, "low")].into_iter().take(events.len());
                let row = |(first, quality)| self.row(pattern, events.iter().skip(first).step_by(2), Some(quality));
                qualities.map(row).collect()
            }
        }
    }

    fn row<'e>(
        &mut self,
        pattern: &UsagePattern,
        events: impl Iterator<Item = &'e Event> + Clone,
        quality: Option<&str>,
    ) -> Value {
        let mut row = Map::new();
        row.insert("business_type".to_owned(), pattern.business_type.into());
        row.insert("number".to_owned(), events.clone().count().into());
        row.insert("unit".to_owned(), pattern.unit.into());
        let is_special = std::mem::take(&mut self.is_first) || self.service.usage_of == UsageOf::All;
        let form = if is_special { self.service.usage } else { Usage::Number };
        let others = [
            ("resource_type", pattern.resource_type.map(Value::from)),
            ("usage", form.write(events.map(|event| event.hundredths).sum())),
            ("is_sub_resource", self.service.parts.flag(false)),
            ("quality", quality.map(Value::from)),
        ];
        row.extend(others.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        row.into()
    }
}

impl Usage {
    fn write(self, hundredths: i64) -> Option<Value> {
        Some(match self {
            Usage::Number => json!(hundredths as f64 / 100.0),
            Usage::Text => format!("{}.{:02}", hundredths / 100, hundredths % 100).into(),
            Usage::Thousands => "1,234.5".into(),
            Usage::Words => "n/a".into(),
            Usage::Huge => json!(1e30),
            Usage::True => true.into(),
            Usage::Null => Value::Null,
            Usage::Absent => return None,
        })
    }
}

impl Parts {
    /// The value of `is_sub_resource` in a part of a bundle, or in any other row.
    fn flag(self, is_part: bool) -> Option<Value> {
        let text = |yes: &str, no: &str| Value::from(if is_part { yes } else { no });
        Some(match self {
            Parts::Absent => return None,
            Parts::Boolean => is_part.into(),
            Parts::Number => u8::from(is_part).into(),
            Parts::Digit => text("1", "0"),
            Parts::Word => text("True", "False"),
            Parts::Unreadable => text("yes", "no"),
        })
    }
}

/// Rows that are not added to the minutes: a part of a bundle, and channels.
fn other_rows(service: &Service) -> impl Iterator<Item = Value> {
    let part = service.parts.flag(true).map(|flag| {
        json!({
            "business_type": "FLEXUS_2D", "sub_resource_type": "part", "is_sub_resource": flag, "usage": 9.9,
            "unit": "MIN",
        })
    });
    let channels = service
        .channels
        .then(|| json!({"business_type": "CHAT_2D", "usage": "2.5", "unit": "CHANNEL", "number": null}));
    part.into_iter().chain(channels)
}
