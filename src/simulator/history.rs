//! A plausible past: who used what, when. The same at every call, for every instant since 1970.
//!
//! Each hour of each kind of usage has its own events, drawn from a generator that is seeded with the project, the
//! kind and the hour. So any range of time is answered without storing anything, and ranges that follow on each
//! other add up.

use chrono::{DateTime, Datelike, Duration, FixedOffset, Timelike, Utc};
use sha2::{Digest, Sha256};

/// A project of the simulated cloud.
#[derive(Clone, Debug)]
pub struct Project {
    /// Its name: what the demo's configuration calls it.
    pub name: &'static str,
    /// Its id.
    pub id: String,
    /// What it uses.
    pub habits: Vec<Habit>,
}

/// A kind of usage and how much there is of it.
#[derive(Clone, Copy, Debug)]
pub struct Habit {
    /// `resource_type`; none for livestreams.
    pub resource_type: Option<&'static str>,
    /// `business_type`.
    pub business_type: &'static str,
    /// `MIN` or `HOUR`.
    pub unit: &'static str,
    /// Videos or live sessions in a busy hour.
    pub events_an_hour: f64,
    /// Hundredths of the unit that one takes on average.
    pub hundredths: i64,
    /// How a day and a month go.
    pub rhythm: Rhythm,
}

/// When a project is busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rhythm {
    /// Working hours on working days, little else.
    Office,
    /// Evenings, and more at weekends.
    Evening,
    /// Like the office, and more every day of the month.
    Growing,
}

/// One video or live session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it was metered.
    pub at: DateTime<Utc>,
    /// How much it took, in hundredths of the unit.
    pub hundredths: i64,
    /// Which of the project's sub-account users it was for.
    pub user: u64,
}

/// The sub-account users of every project.
pub const USERS: [&str; 3] = ["user-a", "user-b", "user-c"];

/// The projects that exist unless others are asked for: a steady studio, a shop that streams in the evening, and a
/// campaign that uses more every day and exceeds 6,000 minutes before each month ends.
pub fn projects() -> Vec<Project> {
    let video = |events_an_hour, hundredths, rhythm| Habit {
        resource_type: Some("video_time_2d_model"),
        business_type: "VIDEO_2D",
        unit: "MIN",
        events_an_hour,
        hundredths,
        rhythm,
    };
    let flexus = |events_an_hour, hundredths, rhythm| Habit {
        resource_type: Some("video_time_flexus_2d_model"),
        ..video(events_an_hour, hundredths, rhythm)
    };
    let live = |events_an_hour, hundredths, rhythm| Habit {
        resource_type: None,
        business_type: "LIVE_2D",
        unit: "HOUR",
        ..video(events_an_hour, hundredths, rhythm)
    };
    let project = |name, id: &str, habits: &[Habit]| Project { name, id: id.to_owned(), habits: habits.to_vec() };
    vec![
        project(
            "studio-prod",
            "5f0d1e2c3b4a59687786a5b4c3d2e101",
            &[video(3.0, 420, Rhythm::Office), flexus(1.2, 185, Rhythm::Office), live(0.05, 150, Rhythm::Office)],
        ),
        project(
            "live-commerce",
            "5f0d1e2c3b4a59687786a5b4c3d2e102",
            &[live(0.6, 225, Rhythm::Evening), video(0.8, 310, Rhythm::Office)],
        ),
        project("campaign", "5f0d1e2c3b4a59687786a5b4c3d2e103", &[video(2.6, 640, Rhythm::Growing)]),
    ]
}

impl Rhythm {
    /// How busy an hour is, where 1 is a busy one.
    fn factor(self, hour: DateTime<FixedOffset>) -> f64 {
        let is_weekend = hour.weekday().num_days_from_monday() >= 5;
        match (self, hour.hour()) {
            (Rhythm::Evening, 19..=23) if is_weekend => 1.6,
            (Rhythm::Evening, 19..=23) => 1.0,
            (Rhythm::Evening, _) => 0.1,
            (Rhythm::Growing, clock) => {
                let day = f64::from(hour.day());
                let busy = if (8..22).contains(&clock) { 1.0 } else { 0.15 };
                busy * day / 15.0
            }
            (Rhythm::Office, 9..=18) if !is_weekend => 1.0,
            (Rhythm::Office, _) => 0.08,
        }
    }
}

/// The events of a habit from `start` to before `end`, in order.
pub fn events(project: &str, habit: &Habit, start: DateTime<Utc>, end: DateTime<Utc>) -> impl Iterator<Item = Event> {
    let first = start.timestamp().div_euclid(3600);
    let last = (end.timestamp() - 1).div_euclid(3600);
    (first..=last)
        .flat_map(move |hour| of_hour(project, habit, hour))
        .filter(move |event| start <= event.at && event.at < end)
}

/// The events of one hour since 1970.
fn of_hour(project: &str, habit: &Habit, hour: i64) -> Vec<Event> {
    let Some(begin) = DateTime::from_timestamp(hour * 3600, 0) else { return Vec::new() };
    let mut draw = Draw::seeded(&format!("{project} {:?} {} {hour}", habit.resource_type, habit.business_type));
    let expected = habit.events_an_hour * habit.rhythm.factor(begin.with_timezone(&beijing()));
    let count = (expected + draw.unit()) as u64;
    let mut events: Vec<Event> = (0..count)
        .map(|_| Event {
            at: begin + Duration::seconds((draw.unit() * 3600.0) as i64),
            hundredths: (habit.hundredths as f64 * (0.5 + draw.unit())) as i64,
            user: draw.next() % USERS.len() as u64,
        })
        .collect();
    events.sort_by_key(|event| event.at);
    events
}

/// The zone in which the simulated users live and in which days are bucketed.
pub fn beijing() -> FixedOffset {
    // Eight hours are in range.
    FixedOffset::east_opt(8 * 3600).unwrap_or_else(|| chrono::Offset::fix(&Utc))
}

/// SplitMix64 (Steele, Lea and Flood, 2014): small, and the same on every machine.
struct Draw(u64);

impl Draw {
    fn seeded(seed: &str) -> Self {
        let digest = Sha256::digest(seed);
        Draw(digest.iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte)))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to before 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    fn hundredths(project: &Project, start: &str, end: &str) -> i64 {
        let habits = project.habits.iter();
        habits.flat_map(|habit| events(&project.id, habit, at(start), at(end))).map(|event| event.hundredths).sum()
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
    fn offices_rest_at_weekends_and_campaigns_exceed_their_budget_every_month() {
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
