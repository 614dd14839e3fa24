//! The simulated usage: reproducible events for any time since 1970.
//!
//! The events of an hour come from a random generator that is seeded with the project, the usage pattern and the hour.
//! Therefore nothing is stored, every call returns the same events, and the sums of adjacent ranges add up.

use chrono::{DateTime, Datelike, Duration, FixedOffset, Timelike, Utc};
use sha2::{Digest, Sha256};

/// A project of the simulated cloud.
#[derive(Clone, Debug)]
pub struct SimulatedProject {
    /// The name in the configuration of the demo.
    pub name: String,
    /// The project id.
    pub id: String,
    /// The types of usage of the project.
    pub usage: Vec<UsagePattern>,
}

/// A type of usage, and its amount over time.
#[derive(Clone, Copy, Debug)]
pub struct UsagePattern {
    /// `resource_type`; `None` for livestreams.
    pub resource_type: Option<&'static str>,
    /// `business_type`.
    pub business_type: &'static str,
    /// `MIN` or `HOUR`.
    pub unit: &'static str,
    /// Videos or live sessions in a busy hour.
    pub events_per_hour: f64,
    /// Average usage of an event, in hundredths of the unit.
    pub hundredths: i64,
    /// How the events are spread over days and months.
    pub activity: Activity,
}

/// The times at which usage happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// Mostly working hours on working days.
    OfficeHours,
    /// Mostly evenings, and more at weekends.
    Evenings,
    /// More on every day of the month than on the day before.
    Growing,
}

/// One video or live session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The time of metering.
    pub at: DateTime<Utc>,
    /// The usage, in hundredths of the unit.
    pub hundredths: i64,
    /// The sub-user: an index of [`USERS`].
    pub user: u64,
}

/// The sub-users of every project.
pub const USERS: [&str; 3] = ["user-a", "user-b", "user-c"];

/// The default projects: a steady studio, a shop that streams in the evening, and a campaign that uses more every day
/// and exceeds 6,000 minutes before the end of each month.
pub fn projects() -> Vec<SimulatedProject> {
    let video = |events_per_hour, hundredths, activity| UsagePattern {
        resource_type: Some("video_time_2d_model"),
        business_type: "VIDEO_2D",
        unit: "MIN",
        events_per_hour,
        hundredths,
        activity,
    };
    let flexus = |events_per_hour, hundredths, activity| UsagePattern {
        resource_type: Some("video_time_flexus_2d_model"),
        ..video(events_per_hour, hundredths, activity)
    };
    let live = |events_per_hour, hundredths, activity| UsagePattern {
        resource_type: None,
        business_type: "LIVE_2D",
        unit: "HOUR",
        ..video(events_per_hour, hundredths, activity)
    };
    let project = |name: &str, id: &str, usage: &[UsagePattern]| SimulatedProject {
        name: name.to_owned(),
        id: id.to_owned(),
        usage: usage.to_vec(),
    };
    vec![
        project(
            "studio-prod",
            "5f0d1e2c3b4a59687786a5b4c3d2e101",
            &[
                video(3.0, 420, Activity::OfficeHours),
                flexus(1.2, 185, Activity::OfficeHours),
                live(0.05, 150, Activity::OfficeHours),
            ],
        ),
        project(
            "live-commerce",
            "5f0d1e2c3b4a59687786a5b4c3d2e102",
            &[live(0.6, 225, Activity::Evenings), video(0.8, 310, Activity::OfficeHours)],
        ),
        project("campaign", "5f0d1e2c3b4a59687786a5b4c3d2e103", &[video(2.6, 640, Activity::Growing)]),
    ]
}

/// `count` projects: the default ones, then copies of them, such as `campaign-2`. Each copy has its own id, and
/// therefore other events.
pub fn copies(count: u16) -> Vec<SimulatedProject> {
    let default = projects();
    let copy = |(index, project): (usize, &SimulatedProject)| {
        let number = index / default.len() + 1;
        let SimulatedProject { name, usage, .. } = project.clone();
        let name = if number == 1 { name } else { format!("{name}-{number}") };
        SimulatedProject { name, id: format!("5f0d1e2c3b4a59687786a5b4c3d2{:04x}", 0xe101 + index), usage }
    };
    default.iter().cycle().take(count.into()).enumerate().map(copy).collect()
}

impl Activity {
    /// The activity of an hour, relative to a busy hour.
    fn factor(self, hour: DateTime<FixedOffset>) -> f64 {
        let is_weekend = hour.weekday().num_days_from_monday() >= 5;
        match (self, hour.hour()) {
            (Activity::Evenings, 19..=23) if is_weekend => 1.6,
            (Activity::Evenings, 19..=23) => 1.0,
            (Activity::Evenings, _) => 0.1,
            (Activity::Growing, clock) => {
                let day = f64::from(hour.day());
                let busy = if (8..22).contains(&clock) { 1.0 } else { 0.15 };
                busy * day / 15.0
            }
            (Activity::OfficeHours, 9..=18) if !is_weekend => 1.0,
            (Activity::OfficeHours, _) => 0.08,
        }
    }
}

/// The events of the interval `[start, end)`, in order.
pub fn events(
    project: &str,
    pattern: &UsagePattern,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
) -> impl Iterator<Item = Event> {
    let first = start.timestamp().div_euclid(3600);
    let last = (end.timestamp() - 1).div_euclid(3600);
    (first..=last)
        .flat_map(move |hour| events_of_hour(project, pattern, hour))
        .filter(move |event| start <= event.at && event.at < end)
}

/// The events of one hour, counted from 1970.
fn events_of_hour(project: &str, pattern: &UsagePattern, hour: i64) -> Vec<Event> {
    let Some(begin) = DateTime::from_timestamp(hour * 3600, 0) else { return Vec::new() };
    let mut random =
        SplitMix64::seeded(&format!("{project} {:?} {} {hour}", pattern.resource_type, pattern.business_type));
    let expected = pattern.events_per_hour * pattern.activity.factor(begin.with_timezone(&beijing()));
    let count = (expected + random.unit()) as u64;
    let mut events: Vec<Event> = (0..count)
        .map(|_| Event {
            at: begin + Duration::seconds((random.unit() * 3600.0) as i64),
            hundredths: (pattern.hundredths as f64 * (0.5 + random.unit())) as i64,
            user: random.next() % USERS.len() as u64,
        })
        .collect();
    events.sort_by_key(|event| event.at);
    events
}

/// The time zone of the simulated users and of the daily buckets.
pub(super) fn beijing() -> FixedOffset {
    FixedOffset::east_opt(8 * 3600).unwrap_or_else(|| chrono::Offset::fix(&Utc))
}

/// SplitMix64 (Steele, Lea and Flood, 2014): small, and gives the same numbers on every machine.
struct SplitMix64(u64);

impl SplitMix64 {
    fn seeded(seed: &str) -> Self {
        let digest = Sha256::digest(seed);
        SplitMix64(digest.iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte)))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `[0, 1)`.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    fn hundredths(project: &SimulatedProject, start: &str, end: &str) -> i64 {
        let events = project.usage.iter().flat_map(|pattern| events(&project.id, pattern, at(start), at(end)));
        events.map(|event| event.hundredths).sum()
    }

    #[test]
    fn ranges_add_up_and_do_not_change() {
        for project in projects() {
            let whole = hundredths(&project, "2025-11-01T00:00:00Z", "2025-11-08T00:00:00Z");
            let parts = hundredths(&project, "2025-11-01T00:00:00Z", "2025-11-03T10:17:23Z")
                + hundredths(&project, "2025-11-03T10:17:23Z", "2025-11-08T00:00:00Z");
            assert_eq!(whole, parts);
            assert!(whole > 0);
        }
    }

    #[test]
    fn copies_have_names_ids_and_usage_of_their_own() {
        let projects = copies(7);
        let names = projects.iter().map(|project| project.name.as_str()).collect::<Vec<_>>().join(" ");
        let expected = "studio-prod live-commerce campaign studio-prod-2 live-commerce-2 campaign-2 studio-prod-3";
        assert_eq!(names, expected);
        for (project, default) in projects.iter().zip(super::projects()) {
            assert_eq!((&project.name, &project.id), (&default.name, &default.id));
        }
        let usage = |index: usize| hundredths(&projects[index], "2025-11-01T00:00:00Z", "2025-11-08T00:00:00Z");
        let of_studios = BTreeSet::from([usage(0), usage(3), usage(6)]);
        assert_eq!(of_studios.len(), 3, "{of_studios:?}");
        assert!(copies(1000).iter().all(|project| project.id.len() == 32));
    }

    #[test]
    fn offices_use_less_at_weekends_and_the_campaign_exceeds_its_budget_every_month() {
        let projects = projects();
        let [studio, _, campaign] = &projects[..] else { panic!("three projects") };
        let wednesday = hundredths(studio, "2025-11-04T16:00:00Z", "2025-11-05T16:00:00Z");
        let sunday = hundredths(studio, "2025-11-08T16:00:00Z", "2025-11-09T16:00:00Z");
        assert!(wednesday > 4 * sunday, "{wednesday} {sunday}");
        for month in 1..=12 {
            let start = format!("2025-{month:02}-01T00:00:00+08:00");
            let end = if month == 12 { "2026-01-01".to_owned() } else { format!("2025-{:02}-01", month + 1) };
            let minutes = hundredths(campaign, &start, &format!("{end}T00:00:00+08:00")) / 100;
            assert!((6_500..9_500).contains(&minutes), "{month}: {minutes}");
        }
    }
}
