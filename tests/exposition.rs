//! The exposition in both formats and both encodings. For a few projects, it is compared with snapshots. After random
//! events, each scrape is compared with a rendering from scratch.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use flate2::read::GzDecoder;
use http_body_util::BodyExt;
use metastudio_exporter::{
    exposition::{BuildInfo, ConfigStatus, ConnectionStatus, ExporterStatus, Exposition, Format, HttpRequests},
    snapshot::{
        self, CollectorOutcome, Failure, Found, KeptDays, Moment, Packages, PollOutcome, Reader, SubUsers, Target,
        WindowUsage, Writer,
    },
    usage::{
        Against, Bounds, Budget, ChargingMode, Collector, CollectorDoubt, CollectorDoubts, Comparison, Counters,
        Estimate, JobState, ListedJobs, LiveSession, Operation, Package, PackageKind, Quota, QuotaType, Reason, Row,
        RowCounters, RowKey, Sessions, Settling, SharedBudget, SubUser, Tally, Unit, Video, Window, Zone, package_sums,
        used_by_all,
    },
};
use proptest::prelude::*;

/// Saturday, 2025-11-08, 17:30 in Shanghai.
fn now() -> DateTime<Utc> {
    DateTime::parse_from_rfc3339("2025-11-08T09:30:00Z").unwrap().to_utc()
}

fn target(name: &str, labels: &[(&str, &str)]) -> Target {
    Target {
        project_id: Some("0123456789abcdef0123456789abcdef".to_owned()),
        region: "cn-north-4".to_owned(),
        endpoint: "https://metastudio.cn-north-4.myhuaweicloud.com".to_owned(),
        labels: labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        interval: Duration::from_secs(120),
        stale_after: Duration::from_secs(900),
        renewed_within: Duration::from_secs(150),
        credentials: "main".to_owned(),
        // Collected values become stale after 900 s.
        collect: Collector::CONFIGURABLE.map(|collector| (collector, Duration::from_secs(300))).into(),
        collects_all: true,
        package_series: 3,
        user_series: 2,
        max_session: Duration::from_secs(86_400),
        ..Target::new(name)
    }
}

fn row(resource_type: &str, business_type: &str, unit: &str, usage: Option<&str>, number: Option<i64>) -> Row {
    let key = RowKey {
        resource_type: resource_type.to_owned(),
        business_type: business_type.to_owned(),
        unit: Unit::from_api(Some(unit)),
        ..RowKey::default()
    };
    Row { key, usage: usage.map(|usage| usage.parse().unwrap()), number }
}

fn window(window: Window, rows: &[(Option<&str>, Row)]) -> WindowUsage {
    let mut tally = Tally::default();
    rows.iter().for_each(|(user, row)| tally.add(row, *user).unwrap());
    WindowUsage { window, bounds: window.bounds(now(), &Zone::shanghai()), changes_at: None, tally, days: None }
}

fn attempt(at: DateTime<Utc>, result: Result<Vec<WindowUsage>, Failure>) -> PollOutcome {
    let mut counters = Counters::default();
    for (status, milliseconds) in [(Some(200), 40), (Some(200), 40), (Some(429), 300), (None, 10_001)] {
        counters.count_request(Operation::ShowUsageData, status, Duration::from_millis(milliseconds));
    }
    (0..2).for_each(|_| counters.count_retry(Operation::ShowUsageData));
    if result.is_ok() {
        counters.rows = RowCounters { kept: 4, sub_resource: 1, outside: 2, filtered: 3 };
    }
    PollOutcome {
        counters,
        credentials_expiry: Some(at + chrono::Duration::hours(1)),
        ..PollOutcome::new(at, Duration::from_millis(1250), result)
    }
}

/// A package of minutes, a frozen package of channels, a part of a bundle, and a fourth package that has no series.
fn packages() -> Packages {
    let package = |id: &str, unit: &str, bought: &str, used: &str| Package {
        id: id.to_owned(),
        kind: PackageKind {
            resource_type: "hws.\"a\"".to_owned(),
            business_type: "VIDEO_2D".to_owned(),
            charging_mode: "ONE_TIME".to_owned(),
            resource_source: "PURCHASED".to_owned(),
            unit: Unit::from_api(Some(unit)),
            ..PackageKind::default()
        },
        is_part: false,
        bought: bought.parse().ok(),
        used: used.parse().ok(),
        expiry: None,
        is_frozen: false,
        is_resettable: false,
    };
    let overrun =
        Package { expiry: Some(now() + chrono::Duration::days(9)), ..package("overrun", "MIN", "10.5", "10.75") };
    let channels = Package { is_frozen: true, ..package("channels", "CHANNEL", "2", "3") };
    let mut part = Package { is_part: true, ..package("part", "MIN", "120", "6.1") };
    part.kind.sub_resource_type = "video_time_flexus_2d_model".to_owned();
    let list = vec![overrun, channels, part, package("fourth", "MIN", "1000000.01", "0")];
    Packages { sums: package_sums(&list).unwrap(), list }
}

/// A user near a limit, the usage that no user accounts for, and a third user. Only the first two have series.
fn sub_users() -> SubUsers {
    let user = |id: &str, quotas: &[(usize, Option<&str>, &str)]| {
        let quota = |(index, limit, used): &(usize, Option<&str>, &str)| {
            let limit = limit.map(|limit| limit.parse().unwrap());
            (QuotaType::all().nth(*index).unwrap(), Quota { limit, used: used.parse().ok() })
        };
        SubUser { id: id.to_owned(), quotas: quotas.iter().map(quota).collect() }
    };
    let near = user("near \"limit\"", &[(0, Some("600"), "580.5"), (4, Some("0"), "0")]);
    let list = vec![near, user("", &[(0, None, "0.1"), (2, Some("5"), "")]), user("third", &[(0, Some("9"), "1")])];
    SubUsers { used: used_by_all(&list).unwrap(), list }
}

/// Two sessions that are billed on demand, and videos in each state that is counted.
fn sessions() -> Sessions {
    let session = |hours| LiveSession {
        id: "secret".to_owned(),
        state: JobState::Processing,
        charging_mode: ChargingMode::OnDemand,
        start: Some(now() - TimeDelta::hours(hours)),
    };
    let video = |state| Video { id: "secret".to_owned(), state, created: None };
    let queued = [JobState::Waiting, JobState::Waiting, JobState::Processing].map(video);
    let (live, failed) = (vec![session(1), session(30)], vec![video(JobState::Failed)]);
    Sessions::new(&ListedJobs { live, queued: queued.into(), failed, failed_since: now() })
}

/// Videos with fewer minutes than the usage, and packages without a known upper bound.
fn comparisons() -> Vec<Comparison> {
    let range = Bounds { start: now() - TimeDelta::days(4), end: now() - TimeDelta::days(3) };
    let comparison = |against, usage: &str, other| Comparison {
        against,
        business_type: "VIDEO_2D+FLEXUS_2D".to_owned(),
        range,
        usage: Estimate::exact(usage.parse().unwrap()),
        other,
        jobs: 2,
    };
    let videos = comparison(Against::Videos, "600.25", Estimate::exact(10.into()));
    let packages = comparison(Against::Packages, "0.1", Estimate { most: None, ..Estimate::exact(3.into()) });
    vec![videos, packages]
}

/// Days that changed after their end.
fn settling() -> Settling {
    Settling {
        revisions: 3,
        last_revision: Some(now() - TimeDelta::hours(5)),
        longest: Some(TimeDelta::minutes(1630)),
        settled_until: Some(now() - TimeDelta::days(8)),
        latest: None,
    }
}

fn run(at: DateTime<Utc>, result: Result<Found, Failure>) -> CollectorOutcome {
    let duration = Duration::from_millis(250);
    let collector = match result {
        Ok(Found::Packages(_)) | Err(_) => Collector::Packages,
        Ok(Found::SubUsers(_)) => Collector::SubUsers,
        Ok(Found::Sessions(_)) => Collector::Sessions,
        Ok(Found::Reconciliation(_)) => Collector::Reconciliation,
        Ok(Found::Days(_)) => Collector::Days,
    };
    let (is_refused, counters) = (result.is_err(), Counters::default());
    let doubts = match result {
        Ok(Found::Packages(_)) => [(CollectorDoubt::ValueMissing, "seen".to_owned())].into(),
        _ => CollectorDoubts::new(),
    };
    CollectorOutcome { collector, at: at.into(), duration, result, doubts, is_refused, counters }
}

/// An account with a package of minutes, and with a package that becomes full again and is in no sum.
fn account() -> (Target, CollectorOutcome) {
    let target = Target {
        account: "company".to_owned(),
        collect: [(Collector::Billing, Duration::from_secs(300))].into(),
        ..target("", &[("team", "")])
    };
    let package = |id: &str, is_resettable| Package {
        id: id.to_owned(),
        kind: PackageKind {
            resource_type: "hws.service.type.metastudio".to_owned(),
            product_id: "OFFI1".to_owned(),
            region: "cn-north-4".to_owned(),
            unit: Unit::Minutes,
            ..PackageKind::default()
        },
        is_part: false,
        bought: Some(1000.into()),
        used: "987.876543210987654322".parse().ok(),
        expiry: Some(now() + chrono::Duration::days(9)),
        is_frozen: false,
        is_resettable,
    };
    let list = vec![package("01154-1-0", false), package("01154-2-0", true)];
    let found = Found::Packages(Packages { sums: package_sums(&list).unwrap(), list });
    let doubts = [(CollectorDoubt::FilterMatchesNothing, "seen".to_owned())].into();
    let mut outcome = CollectorOutcome { collector: Collector::Billing, doubts, ..run(now(), Ok(found)) };
    outcome.counters.count_request(Operation::ListFreeResourceInfos, Some(200), Duration::from_millis(40));
    (Target { collects_all: false, ..target }, outcome)
}

fn failure() -> Failure {
    Failure { reason: Reason::Throttled, message: "HTTP 429".to_owned() }
}

fn add_account(writer: &mut Writer, reader: &Reader, account: Target) {
    let projects: Vec<_> =
        reader.load().projects.iter().map(|project| (Target::clone(&project.target), true)).collect();
    writer.replace(projects, [(account, false)]);
}

/// One healthy project; one with old usage that is not stale yet; one with stale usage; one that has never succeeded;
/// one before its first poll.
fn small_world() -> (Writer, Reader) {
    let names = ["studio", "hostile \"name\"\\\n", "stale", "failing", "new"];
    let mut targets: Vec<Target> =
        names.iter().map(|name| target(name, &[("team", if *name == "studio" { "marketing" } else { "" })])).collect();
    let whole =
        Budget { window: Window::Today, minutes: 6000.0, resource_type: None, business_type: None, user_id: None };
    let part = Budget { business_type: Some("VIDEO_2D".to_owned()), minutes: 0.5, ..whole.clone() };
    let of_a_user =
        Budget { resource_type: Some("channel".to_owned()), user_id: Some("a".to_owned()), ..whole.clone() };
    let limit = Budget { business_type: Some("VIDEO_2D".to_owned()), ..whole.clone() };
    targets[0].shared_budgets = vec![SharedBudget { name: "marketing".to_owned(), limit }];
    targets[0].budgets = vec![whole, part, of_a_user];
    let (mut writer, reader) = snapshot::channel(targets);
    let (account, outcome) = account();
    add_account(&mut writer, &reader, account);
    let video = |usage, number| row("video_time_2d_model", "VIDEO_2D", "MIN", Some(usage), Some(number));
    let everything = vec![
        window(
            Window::Today,
            &[
                (None, video("0.1", 1)),
                (None, video("0.2", 2)),
                (None, row("", "LIVE_2D", "HOUR", Some("3.25"), Some(1))),
            ],
        ),
        window(
            Window::Days(30),
            &[
                (None, video("123456.789", 4)),
                (None, row("channel", "CHAT_2D", "CHANNEL", Some("2.5"), None)),
                (None, row("", "", "", Some("-1"), None)),
            ],
        ),
    ];
    writer.record(0, attempt(now(), Ok(everything)), None);
    let stored = row("", "ASSET_MANAGER", "GB", Some("1"), None);
    let of_users =
        vec![window(Window::Today, &[(Some("a"), video("1", 1)), (Some("b"), video("2", 1)), (Some("b"), stored)])];
    writer.record(1, attempt(now() - chrono::Duration::seconds(900), Ok(of_users.clone())), None);
    writer.record(1, attempt(now(), Err(failure())), None);
    writer.record(2, attempt(now() - chrono::Duration::seconds(901), Ok(of_users)), None);
    writer.record(3, attempt(now(), Err(failure())), None);
    let of_days = Found::Days(KeptDays { settling: settling(), ..KeptDays::default() });
    let comparisons = Found::Reconciliation(comparisons());
    for found in
        [Found::Packages(packages()), Found::SubUsers(sub_users()), Found::Sessions(sessions()), comparisons, of_days]
    {
        writer.record_collector(0, run(now(), Ok(found.clone())));
        writer.record_collector(2, run(now() - chrono::Duration::seconds(901), Ok(found)));
    }
    writer.record_collector(2, run(now(), Err(failure())));
    writer.record_account(0, outcome);
    (writer, reader)
}

fn render(reader: Reader, format: Format) -> String {
    let requests = Arc::new(HttpRequests::default());
    requests.count("metrics", 200);
    let build = BuildInfo { version: "1.2.3", revision: "abc", rustc: "rustc 1" };
    let config = Arc::new(ConfigStatus::new(42, now()));
    let log_lines_dropped = Arc::new(AtomicU64::new(3));
    let connections = Box::new(|| ConnectionStatus { limit: 512, idle: 2, active: 1, closed: 4 });
    let status = ExporterStatus { build, shard: (0, 3), config, requests, log_lines_dropped, connections };
    let exposition = Exposition::of_projects(reader, || now().into()).and_exporter(status);
    let text = exposition.render(format);
    // The metrics of the process change from scrape to scrape.
    let mut stable = String::new();
    for line in text.lines().filter(|line| !line.contains("process_")) {
        stable += line;
        stable += "\n";
    }
    stable
}

#[test]
fn a_small_world_in_openmetrics() {
    let (_writer, reader) = small_world();
    insta::assert_snapshot!(render(reader, Format::OpenMetrics));
}

#[test]
fn a_small_world_in_text() {
    let (_writer, reader) = small_world();
    let text = render(reader, Format::Text);
    let series: Vec<&str> = text.lines().filter_map(|line| Some(line.rsplit_once(' ')?.0)).collect();
    assert_eq!(series.iter().collect::<BTreeSet<_>>().len(), series.len(), "a series is there twice");
    insta::assert_snapshot!(text);
}

#[test]
fn help_texts_need_no_escaping() {
    let (_writer, reader) = small_world();
    let text = render(reader, Format::OpenMetrics);
    for help in text.lines().filter(|line| line.starts_with("# HELP")) {
        assert!(!help.contains(['"', '\\']), "{help}");
    }
}

fn samples(text: &str) -> BTreeSet<&str> {
    text.lines().filter(|line| !line.starts_with('#')).collect()
}

/// The type of each family by its name in the TYPE line.
fn types(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).map(|line| line.split_once(' ').unwrap());
    lines.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
}

proptest! {
    #[test]
    fn both_formats_carry_the_same_samples(
        names in prop::collection::vec("\\PC{1,12}|[\"\\\\\n#{}]{1,4}", 1..4),
        values in prop::collection::vec((-1_000_000_i64..1_000_000_000, 0_u32..9, "MIN|HOUR|GB", any::<bool>()), 0..6),
        fails in any::<bool>(),
    ) {
        let (mut writer, reader) = snapshot::channel(names.iter().map(|name| target(name, &[("l", name)])).collect());
        for (index, name) in names.iter().enumerate() {
            let rows: Vec<(Option<&str>, Row)> = values
                .iter()
                .map(|(value, scale, unit, counted)| {
                    let mut row = row(name, "b", unit, None, counted.then_some(1));
                    row.usage = Some(rust_decimal::Decimal::new(*value, *scale));
                    (None, row)
                })
                .collect();
            writer.record(index, attempt(now(), Ok(vec![window(Window::Today, &rows)])), None);
            if fails {
                writer.record(index, attempt(now(), Err(failure())), None);
            }
        }
        let (openmetrics, text) = (render(reader.clone(), Format::OpenMetrics), render(reader, Format::Text));
        prop_assert_eq!(samples(&openmetrics), samples(&text));
        prop_assert!(openmetrics.ends_with("# EOF\n") && !text.contains("# EOF") && !text.contains("# UNIT"));
        let in_text: BTreeMap<String, String> = types(&openmetrics)
            .into_iter()
            .map(|(name, kind)| match kind.as_str() {
                "counter" => (format!("{name}_total"), kind),
                "info" => (format!("{name}_info"), "gauge".to_owned()),
                _ => (name, kind),
            })
            .collect();
        prop_assert_eq!(in_text, types(&text));
    }
}

/// An event between two scrapes.
#[derive(Clone, Debug)]
enum Event {
    /// A complete poll of the project at this index, with this number.
    Success(usize, i64),
    Failure(usize),
    /// A run of the collector of the project at this index, and whether it is complete.
    Run(usize, bool),
    /// A complete run of the collector of the account.
    OfAccount,
    /// This many seconds pass: usage becomes stale, windows end, tokens expire.
    Wait(i64),
    /// The wall clock is set by this many seconds.
    SetClock(i64),
    /// A reload to this many projects. The account is configured if the number is odd. The first project does not keep
    /// its usage.
    Reload(usize),
}

const OUTPUTS: [(Format, bool); 4] =
    [(Format::OpenMetrics, false), (Format::OpenMetrics, true), (Format::Text, false), (Format::Text, true)];

static PASSED: AtomicI64 = AtomicI64::new(0);
static SET_BY: AtomicI64 = AtomicI64::new(0);

fn moving() -> Moment {
    let steady = now() + TimeDelta::seconds(PASSED.load(Ordering::Relaxed));
    Moment { utc: steady + TimeDelta::seconds(SET_BY.load(Ordering::Relaxed)), steady }
}

/// Each scrape gets another rendering, and no client reads its answer.
#[tokio::test]
async fn the_oldest_answers_are_cut_off_if_none_is_read() {
    let names: Vec<String> = (0..1_500).map(|number| format!("project-{number}")).collect();
    let (mut writer, reader) = snapshot::channel(names.iter().map(|name| target(name, &[])).collect());
    let exposition = Exposition::of_projects(reader, || now().into());
    let mut bodies = Vec::new();
    let mut length = 0;
    while length < 20 << 20 {
        writer.record(0, attempt(now(), Err(failure())), None);
        let body = exposition.scrape(Format::Text, false).await;
        length += body.length();
        bodies.push(body);
    }
    let newest = bodies.pop().unwrap();
    assert!(bodies.swap_remove(0).collect().await.is_err(), "the oldest one");
    assert!(newest.collect().await.is_ok(), "the newest one");
}

/// The text of a scrape.
async fn scrape(exposition: &Exposition, format: Format, gzip: bool) -> String {
    let body = exposition.scrape(format, gzip).await;
    let length = body.length();
    let bytes = body.collect().await.unwrap().to_bytes();
    assert_eq!(bytes.len(), length);
    if !gzip {
        return String::from_utf8(bytes.to_vec()).unwrap();
    }
    let mut decoder = GzDecoder::new(&*bytes);
    let mut text = String::new();
    decoder.read_to_string(&mut text).unwrap();
    assert!(decoder.into_inner().is_empty(), "one member");
    text
}

/// Changes the world. Indices are taken modulo the number of projects.
fn apply(event: Event, writer: &mut Writer, reader: &Reader) {
    let index = |index: usize| index % reader.load().projects.len().max(1);
    match event {
        Event::Success(project, value) => {
            let mut row = row("r", "b", "MIN", None, Some(value));
            row.usage = (value >= 0).then(|| value.into());
            let at = moving();
            let utc = at.utc;
            let changes_at = Some(utc + TimeDelta::seconds(value));
            let windows = [(Window::Today, changes_at), (Window::Days(30), None)];
            let of = |(name, changes_at)| WindowUsage { changes_at, ..window(name, &[(None, row.clone())]) };
            let outcome = PollOutcome {
                at,
                credentials_expiry: Some(utc + TimeDelta::seconds(value / 2)),
                ..attempt(utc, Ok(windows.map(of).to_vec()))
            };
            writer.record(index(project), outcome, None);
        }
        Event::Failure(project) => writer.record(index(project), attempt(moving().utc, Err(failure())), None),
        Event::Run(project, is_complete) => {
            let result = if is_complete { Ok(Found::Packages(packages())) } else { Err(failure()) };
            writer.record_collector(index(project), CollectorOutcome { at: moving(), ..run(now(), result) });
        }
        Event::OfAccount => writer.record_account(0, CollectorOutcome { at: moving(), ..account().1 }),
        Event::Wait(seconds) => {
            PASSED.fetch_add(seconds, Ordering::Relaxed);
        }
        Event::SetClock(seconds) => {
            SET_BY.fetch_add(seconds, Ordering::Relaxed);
        }
        Event::Reload(count) => {
            let accounts = (count % 2 == 1).then(|| (account().0, true));
            writer.replace(targets(count).zip((0..).map(|index| index > 0)), accounts);
        }
    }
}

fn targets(count: usize) -> impl Iterator<Item = Target> {
    (0..count).map(|index| target(&format!("p{index}"), &[]))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// There are about as many projects as fit into a block, or so few that families come and go. After each event,
    /// only some outputs are requested. So the blocks keep older bytes for the outputs that are not requested.
    #[test]
    fn a_scrape_equals_a_rendering_from_scratch(
        count in prop_oneof![0..4_usize, 30..40_usize],
        events in prop::collection::vec(
            (
                prop_oneof![
                    4 => (0..40_usize, -1..10_i64).prop_map(|(index, value)| Event::Success(index, value * 100)),
                    2 => (0..40_usize).prop_map(Event::Failure),
                    2 => (0..40_usize, any::<bool>()).prop_map(|(index, ok)| Event::Run(index, ok)),
                    1 => Just(Event::OfAccount),
                    3 => (0..12_i64).prop_map(|hundreds| Event::Wait(hundreds * 100)),
                    1 => (-6..12_i64).prop_map(|hundreds| Event::SetClock(hundreds * 100)),
                    1 => (0..40_usize).prop_map(Event::Reload),
                ],
                prop::sample::subsequence(OUTPUTS.to_vec(), 1..=4),
            ),
            0..16,
        ),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        PASSED.store(0, Ordering::Relaxed);
        SET_BY.store(0, Ordering::Relaxed);
        let (mut writer, reader) = snapshot::channel(targets(count).collect());
        add_account(&mut writer, &reader, account().0);
        let exposition = Exposition::of_projects(reader.clone(), moving);
        for (event, outputs) in events {
            apply(event, &mut writer, &reader);
            for (format, gzip) in outputs {
                let text = runtime.block_on(scrape(&exposition, format, gzip));
                prop_assert_eq!(text, exposition.render(format), "{:?}, gzip: {}", format, gzip);
            }
        }
    }
}
