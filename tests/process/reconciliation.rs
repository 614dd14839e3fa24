//! The collector that compares usage with live sessions, videos and packages.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use metastudio_exporter::{
    config::{Environment, load_text},
    history::ledger::Ledger,
    polling::{Collecting, Fleet, fleet::Kept},
    simulator::{
        Options, SECRETS,
        history::{self, SimulatedProject},
    },
    snapshot::Found,
    usage::{Against, Bounds, Collector, CollectorDoubt, CollectorDoubts, Comparison, Zone},
};
use rust_decimal::Decimal;

use super::support::{Cloud, FAST, once, run};

const COLLECT: &str = "collect: [reconciliation]";

/// A simulated cloud, whose clock a test moves, and the collectors of its projects.
struct World {
    cloud: Cloud,
    clock: fn() -> DateTime<Utc>,
    collectors: Vec<Arc<Collecting>>,
}

impl World {
    async fn new(clock: fn() -> DateTime<Utc>, service: &str, projects: &[&str], settings: &str) -> Self {
        Self::with_kept(clock, service, projects, settings, Kept::default()).await
    }

    async fn with_kept(
        clock: fn() -> DateTime<Utc>,
        service: &str,
        projects: &[&str],
        settings: &str,
        kept: Kept,
    ) -> Self {
        let options = Options { clock, service: service.parse().unwrap(), ..Options::default() };
        let cloud = Cloud::with(options).await;
        let text = cloud.config_of(projects, &cloud.keys(), &format!("{FAST}\n{COLLECT}\n{settings}"));
        let loaded = load_text(text, Path::new("config.yaml"), &Environment::default()).await;
        let fleet = Fleet::with_kept(loaded.config.unwrap(), &Environment::default(), clock, kept).unwrap();
        let collectors = fleet.pollers().iter().flat_map(|poller| poller.collectors().to_vec()).collect();
        World { cloud, clock, collectors }
    }

    async fn run(&self, project: usize) -> (Vec<Comparison>, CollectorDoubts) {
        let collector = Arc::clone(&self.collectors[project]);
        assert_eq!(collector.collector(), Collector::Reconciliation);
        let outcome = collector.run((self.clock)().into()).await;
        let Ok(Found::Reconciliation(found)) = outcome.result else { panic!("{outcome:?}") };
        (found, outcome.doubts)
    }

    fn requests(&self) -> BTreeMap<String, usize> {
        let mut requests = BTreeMap::new();
        for seen in self.cloud.simulator.seen() {
            let path = seen.target.split('?').next().unwrap().rsplit('/').next().unwrap();
            *requests.entry(path.to_owned()).or_default() += 1;
        }
        requests
    }
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// The day that is compared at a time.
fn compared_at(now: DateTime<Utc>) -> NaiveDate {
    Zone::shanghai().local(now).date_naive() - Days::new(3)
}

/// The minutes of a day: of its usage, and of its live sessions or videos. Only the part of a live session within the
/// day counts.
fn expected(project: &SimulatedProject, day: Bounds, is_live: bool) -> (Decimal, Decimal) {
    let (mut usage, mut jobs) = (Decimal::ZERO, Decimal::ZERO);
    for pattern in project.usage.iter().filter(|pattern| pattern.resource_type.is_none() == is_live) {
        let hours = TimeDelta::hours(24);
        for event in history::events(&project.id, pattern, day.start, day.end + hours) {
            let factor = if pattern.unit == "HOUR" { 60 } else { 1 };
            let minutes = Decimal::new(event.hundredths * factor, 2);
            let length = minutes * Decimal::from(60);
            let start = event.at - TimeDelta::seconds(i64::try_from(length.trunc()).unwrap());
            usage += if event.at < day.end { minutes } else { Decimal::ZERO };
            jobs += match is_live {
                true => {
                    Decimal::from((event.at.min(day.end) - start.max(day.start)).num_seconds().max(0))
                        / Decimal::from(60)
                }
                false if event.at < day.end => minutes,
                false => Decimal::ZERO,
            };
        }
    }
    (usage, jobs)
}

static DAYS: AtomicI64 = AtomicI64::new(0);

/// Durations add up to the usage, so nothing is doubted, not even sessions that run at midnight.
#[tokio::test]
async fn each_day_is_compared_once_and_all_is_well() {
    let clock = || DateTime::from_timestamp(DAYS.load(Ordering::Relaxed), 0).unwrap();
    let world = World::new(clock, "", &["studio-prod", "live-commerce", "campaign"], "").await;
    let zone = Zone::shanghai();
    let mut packages = BTreeMap::new();
    for hour in (0..24 * 18).step_by(6) {
        let now = at("2026-01-10T20:30:00Z") + TimeDelta::hours(hour);
        DAYS.store(now.timestamp(), Ordering::Relaxed);
        let date = compared_at(now);
        let day = Bounds::of_day(date, &zone);
        assert!(now - day.end >= TimeDelta::days(2));
        for (index, project) in world.cloud.simulator.options().projects.iter().enumerate() {
            let (found, doubts) = world.run(index).await;
            assert_eq!(doubts, CollectorDoubts::new(), "{} {now}", project.name);
            for comparison in &found {
                let is_live = match comparison.against {
                    Against::LiveSessions => true,
                    Against::Videos => false,
                    Against::Packages => {
                        packages.insert((project.name.clone(), comparison.business_type.clone()), comparison.clone());
                        continue;
                    }
                };
                if is_live && comparison.range != day {
                    // A session of the day still ran, so the comparison is of an earlier day.
                    continue;
                }
                assert_eq!(comparison.range, day, "{now}");
                let (usage, jobs) = expected(project, day, is_live);
                let name = &project.name;
                assert_eq!(comparison.usage.minutes, usage, "{name} {date} {:?}", comparison.against);
                let difference = (comparison.other.minutes - jobs).abs();
                assert!(difference < Decimal::new(1, 15), "{name} {date} {comparison:?} {jobs}");
                if !is_live {
                    assert_eq!(comparison.difference(), Decimal::ZERO, "{name} {date}: {comparison:?}");
                }
            }
            let of_jobs = found.iter().filter(|comparison| comparison.against != Against::Packages).count();
            assert_eq!(of_jobs, 2, "{} {now}: {found:?}", project.name);
        }
    }
    let requests = world.requests();
    // Eighteen days of three projects, and 72 runs. The facts about the service are proven again once a day.
    assert_eq!(requests["resources"], 72 * 3, "{requests:?}");
    assert_eq!(requests["smart-live-jobs"], 18 * 3, "{requests:?}");
    assert!((18 * 3..18 * 3 * 6).contains(&requests["digital-human-videos"]), "{requests:?}");
    assert!((18 * 3..18 * 3 * 4).contains(&requests["data-analysis"]), "{requests:?}");
    // The comparisons with packages cover the readings of eighteen days, without the last three.
    let keys: Vec<(&str, &str)> =
        packages.keys().map(|(project, business)| (project.as_str(), business.as_str())).collect();
    let all = [
        ("campaign", "VIDEO_2D"),
        ("live-commerce", "LIVE_2D"),
        ("live-commerce", "VIDEO_2D"),
        ("studio-prod", "LIVE_2D"),
        ("studio-prod", "VIDEO_2D"),
    ];
    assert_eq!(keys, all);
    for (key, Comparison { range, usage, other, .. }) in packages {
        assert!(range.end - range.start >= TimeDelta::days(14), "{key:?} {range:?}");
        assert!(usage.least <= other.minutes && Some(other.minutes) <= usage.most, "{key:?} {usage:?} {other:?}");
        let ratio = usage.minutes / other.minutes;
        assert!((Decimal::new(8, 1)..Decimal::new(12, 1)).contains(&ratio), "{key:?} {ratio}");
    }
}

static MONTHS: AtomicI64 = AtomicI64::new(0);

#[tokio::test]
async fn packages_that_are_renewed_begin_a_new_span() {
    let clock = || DateTime::from_timestamp(MONTHS.load(Ordering::Relaxed), 0).unwrap();
    let world = World::new(clock, "", &["campaign"], "").await;
    let mut spans = Vec::new();
    for day in 0..11 {
        let now = at("2026-01-27T20:30:00Z") + TimeDelta::days(day);
        MONTHS.store(now.timestamp(), Ordering::Relaxed);
        let (found, doubts) = world.run(0).await;
        assert_eq!(doubts, CollectorDoubts::new(), "{now}");
        let packages = found.iter().find(|comparison| comparison.against == Against::Packages);
        spans.push(packages.map(|comparison| (comparison.range.end - comparison.range.start).num_days()));
    }
    // February begins after the fourth reading. The new span is long enough after its third reading. It is compared
    // once the usage of the day of this reading has settled.
    assert_eq!(spans, [&[None; 9][..], &[Some(2), Some(3)]].concat());
}

static MINUTES: AtomicI64 = AtomicI64::new(0);

/// If the durations of videos are in another unit, they do not add up to the usage. The durations of sessions stay in
/// seconds, so sessions are not doubted.
#[tokio::test]
async fn a_difference_is_doubted_and_an_absent_duration_too() {
    MINUTES.store(at("2026-01-14T20:30:00Z").timestamp(), Ordering::Relaxed);
    let clock = || DateTime::from_timestamp(MINUTES.load(Ordering::Relaxed), 0).unwrap();
    let (found, doubts) = World::new(clock, "durations=minutes", &["campaign"], "").await.run(0).await;
    assert_eq!(doubts.keys().collect::<Vec<_>>(), [&CollectorDoubt::UsageDiffers], "{doubts:?}");
    let seen = &doubts[&CollectorDoubt::UsageDiffers];
    assert!(seen.starts_with("2026-01-12: ShowUsageData has "), "{seen}");
    assert!(seen.contains(" minutes of VIDEO_2D+FLEXUS_2D, and ") && seen.contains("taken as seconds"), "{seen}");
    assert!(!seen.contains("live sessions"), "{seen}");
    let videos = found.iter().find(|comparison| comparison.against == Against::Videos).unwrap();
    assert!(videos.usage.minutes > videos.other.minutes * Decimal::from(59), "{videos:?}");

    let (found, doubts) = World::new(clock, "durations=absent", &["campaign"], "").await.run(0).await;
    assert_eq!(doubts.keys().collect::<Vec<_>>(), [&CollectorDoubt::ValueMissing], "{doubts:?}");
    assert!(found.iter().all(|comparison| comparison.against != Against::Videos), "{found:?}");
}

static RUNNING: AtomicI64 = AtomicI64::new(0);

#[tokio::test]
async fn a_day_is_not_compared_with_sessions_while_one_of_them_runs() {
    RUNNING.store(at("2026-01-14T20:30:00Z").timestamp(), Ordering::Relaxed);
    let clock = || DateTime::from_timestamp(RUNNING.load(Ordering::Relaxed), 0).unwrap();
    let has_sessions = |found: &[Comparison]| found.iter().any(|found| found.against == Against::LiveSessions);
    for (hours, is_compared) in [(24, true), (100, false)] {
        let service = format!("sessions=1,session-hours={hours}");
        let world = World::new(clock, &service, &["campaign"], "").await;
        for _ in 0..2 {
            let (found, doubts) = world.run(0).await;
            assert_eq!((has_sessions(&found), doubts.len()), (is_compared, 0), "{service}");
        }
        // While the session runs, the list is asked for again, because the session may have ended.
        assert_eq!(world.requests()["smart-live-jobs"], if is_compared { 1 } else { 2 });
        assert!(world.requests()["data-analysis"] <= 3, "{:?}", world.requests());
    }
}

static FILTERED: AtomicI64 = AtomicI64::new(0);

/// The lists of live sessions, videos and packages cover all users and types, so the compared usage must, too.
#[tokio::test]
async fn filters_of_the_project_are_left_out() {
    FILTERED.store(at("2026-01-14T20:30:00Z").timestamp(), Ordering::Relaxed);
    let clock = || DateTime::from_timestamp(FILTERED.load(Ordering::Relaxed), 0).unwrap();
    let whole = World::new(clock, "", &["studio-prod"], "").await.run(0).await;
    for filter in ["user_ids: [user-a]", "business_types: [LIVE_2D]", "resource_types: [video_time_2d_model]"] {
        let world = World::new(clock, "", &["studio-prod"], &format!("defaults: {{{filter}}}")).await;
        assert_eq!(world.run(0).await, whole, "{filter}");
    }
}

static KEPT: AtomicI64 = AtomicI64::new(0);

/// The collector of days has kept the same day. With filters, it has kept only a part of the usage, so the day is asked
/// for again.
#[tokio::test]
async fn days_that_are_kept_are_not_asked_for_again() {
    KEPT.store(at("2026-01-14T20:30:00Z").timestamp(), Ordering::Relaxed);
    let clock = || DateTime::from_timestamp(KEPT.load(Ordering::Relaxed), 0).unwrap();
    let alone = World::new(clock, "", &["studio-prod"], "").await.run(0).await;
    for (settings, asks_again) in [("", false), ("defaults: {business_types: [LIVE_2D]}", true)] {
        let directory = tempfile::tempdir().unwrap();
        let kept = Kept { ledger: Some(Ledger::open(directory.path(), clock()).unwrap()), ..Kept::default() };
        let world = World::with_kept(clock, "", &["studio-prod"], settings, kept).await;
        assert_eq!(world.collectors[1].collector(), Collector::Days);
        let days = Arc::clone(&world.collectors[1]).run(clock().into()).await;
        assert!(days.result.is_ok(), "{days:?}");
        let before = world.requests()["data-analysis"];
        assert_eq!(world.run(0).await, alone, "{settings}");
        assert_eq!(world.requests()["data-analysis"] > before, asks_again, "{settings}");
    }
}

#[tokio::test]
async fn the_comparison_is_exported_and_shows_no_secret() {
    let cloud = Cloud::of("durations=minutes").await;
    let config = cloud.config_of(&["campaign"], &cloud.keys(), &format!("{FAST}\n{COLLECT}"));
    let ended = once(&config).await;
    let of = |name: &str, labels: &str| ended.sample(&format!("metastudio_{name}{{project=\"campaign\",{labels}}}"));
    let labels = "collector=\"reconciliation\",against=\"videos\",business_type=\"VIDEO_2D+FLEXUS_2D\"";
    let usage = of("reconciliation_usage_minutes", labels).unwrap();
    let difference = of("reconciliation_difference_minutes", labels).unwrap();
    assert!(usage > 0.0 && difference > usage * 0.98, "{usage} {difference}: {}", ended.stdout);
    let end = of("reconciliation_end_timestamp_seconds", "collector=\"reconciliation\",against=\"videos\"").unwrap();
    let age = Utc::now().timestamp() as f64 - end;
    assert!((2.0 * 86_400.0..3.0 * 86_400.0 + 60.0).contains(&age), "{age}");
    let of_collector = "account=\"\",collector=\"reconciliation\"";
    assert_eq!(of("collector_up", of_collector), Some(1.0), "{}", ended.stderr);
    for (doubt, stands) in [("usage_differs", 1.0), ("value_missing", 0.0)] {
        assert_eq!(of("collector_doubts", &format!("{of_collector},doubt=\"{doubt}\"")), Some(stands));
    }
    assert!(ended.stderr.contains("collector=reconciliation doubt=usage_differs"), "{}", ended.stderr);
    for secret in SECRETS {
        assert!(!ended.stdout.contains(secret) && !ended.stderr.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn a_refusal_does_not_touch_the_usage_and_says_what_to_do() {
    for (operation, what) in [("ListSmartLiveJobs", "live sessions and videos"), ("ListTenantResources", "packages")] {
        let cloud = Cloud::new(&[&format!("forbidden:project={operation}")]).await;
        let config = cloud.config_of(&["campaign"], &cloud.keys(), &format!("{FAST}\n{COLLECT}"));
        let ended = once(&config).await;
        let up = "metastudio_collector_up{project=\"campaign\",account=\"\",collector=\"reconciliation\"}";
        assert_eq!((ended.code, ended.sample(up)), (Some(0), Some(0.0)), "{}", ended.stderr);
        assert!(
            ended.stdout.contains("metastudio_usage_minutes{") && !ended.stdout.contains("metastudio_reconciliation")
        );
        assert!(ended.stderr.contains(&format!("The user may not list {what}")), "{}", ended.stderr);
        assert!(ended.stderr.contains("reconciliation"), "{}", ended.stderr);
    }
    let cloud = Cloud::new(&[]).await;
    let config = cloud.config_of(&["campaign"], &cloud.keys(), &format!("{FAST}\n{COLLECT}"));
    let checked = run(&config, &["check", "--online"]).await;
    assert!(
        checked.stdout.contains("reconciliation: usage is compared with live_sessions LIVE_2D, videos "),
        "{}",
        checked.stdout
    );
}
