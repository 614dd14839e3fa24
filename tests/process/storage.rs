//! State that survives a restart (`--storage.path`): keys that were refused stay on hold, the last usage is shown at once,
//! and days that have ended are kept.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::Duration,
};

use chrono::{DateTime, Days, NaiveTime, TimeDelta, Timelike, Utc};
use metastudio_exporter::{
    history::{
        days::KnownDays,
        ledger::{self, Ledger},
    },
    usage::{Bounds, Measure, ProjectQuery, Tally, Zone},
};
use rust_decimal::Decimal;
use tempfile::TempDir;

use crate::support::{Cloud, Daemon, FAST, minutes, run, sample, sum_of_events, wait_for};

const WRONG_KEY: &str = "access_key: SIMULATEDACCESSKEY01, secret_key: hunter2";

fn flag(directory: &Path) -> String {
    format!("--storage.path={}", directory.display())
}

fn refused(cloud: &Cloud) -> usize {
    cloud.simulator.seen().iter().filter(|seen| seen.status == Some(401)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_is_not_tried_again_after_each_crash() {
    let cloud = Cloud::new(&[]).await;
    let config = cloud.config_of(&["campaign", "studio-prod"], WRONG_KEY, FAST);
    for starts in 1..=2 {
        Daemon::start(&config, &[]).ready().await;
        assert_eq!(refused(&cloud), starts, "without the flag, each start tries the key");
    }

    let cloud = Cloud::new(&[]).await;
    let config = cloud.config_of(&["campaign", "studio-prod"], WRONG_KEY, FAST);
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("lockout.json");
    for _ in 0..4 {
        // Killed at the end of the block.
        let daemon = Daemon::start(&config, &[&flag(directory.path())]);
        daemon.ready().await;
        wait_for("the refusal to be saved", || fs::read_to_string(&file).unwrap().contains("\"until\"").then_some(()));
    }
    assert_eq!(refused(&cloud), 1, "the key is on hold for five minutes");
    let text = fs::read_to_string(&file).unwrap();
    assert!(!text.contains("SIMULATED") && !text.contains("hunter2"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_an_answer_count_after_a_crash() {
    let cloud = Cloud::new(&["hang"]).await;
    let config = cloud.config_of(&["campaign"], &cloud.keys(), "api: {request_timeout: 60s}");
    let directory = TempDir::new().unwrap();
    for sent in 1..=4 {
        let _killed = Daemon::start(&config, &[&flag(directory.path())]);
        wait_for("a request", || (cloud.simulator.seen().len() == sent).then_some(()));
    }
    let daemon = Daemon::start(&config, &[&flag(directory.path())]);
    daemon.wait_for_log("not sent: the key or password was refused a short while ago, or got no answer");
    daemon.ready().await;
    assert_eq!(cloud.simulator.seen().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_odd_file_is_one_warning() {
    let cloud = Cloud::new(&[]).await;
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("lockout.json");
    fs::write(&file, "{\"version\": 7}").unwrap();
    let daemon = Daemon::start(&cloud.config(FAST), &[&flag(directory.path())]);
    daemon.ready().await;
    let warning =
        format!("{}: it has version 7, and this exporter reads version 1. The file is ignored", file.display());
    assert_eq!(daemon.log_text().matches(&warning).count(), 1, "{}", daemon.log_text());
    assert!(fs::read_to_string(&file).unwrap().contains("\"version\": 1"), "it is replaced");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails_later_is_one_warning_and_polling_goes_on() {
    let cloud = Cloud::new(&["hang:times=1"]).await;
    let directory = TempDir::new().unwrap();
    let daemon = Daemon::start(&cloud.config(FAST), &[&flag(directory.path())]);
    // The first request has been saved and is not answered yet.
    wait_for("a request", || (!cloud.simulator.seen().is_empty()).then_some(()));
    fs::create_dir(directory.path().join("lockout.json.new")).unwrap();
    daemon.ready().await;
    let metrics = daemon.metrics().await;
    for project in ["studio-prod", "live-commerce", "campaign"] {
        assert!(metrics.contains(&format!("metastudio_up{{project=\"{project}\"}} 1\n")), "{metrics}");
    }
    let log = daemon.log_text();
    assert_eq!(log.matches("Polling goes on, but a restart may forget that a key was refused").count(), 1, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_cannot_be_used_is_an_error_at_the_start() {
    let cloud = Cloud::new(&[]).await;
    let config = cloud.config(FAST);
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let ended = run(&config, &[&flag(&file)]).await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("cannot use the directory of --storage.path, "), "{}", ended.stderr);
    assert!(ended.stderr.contains("The user that runs the exporter must be able to write to it"), "{}", ended.stderr);

    let first = Daemon::start(&config, &[&flag(directory.path())]);
    let all_know = |metrics: &str| {
        let is_up = |line: &&str| line.starts_with("metastudio_collector_up") && line.ends_with("\"days\"} 1");
        metrics.lines().filter(is_up).count() == 3
    };
    first.wait_for_metrics(all_know).await;
    let sent = cloud.simulator.seen().len();
    let second = run(&config, &[&flag(directory.path()), "--web.listen-address=127.0.0.1:0"]).await;
    assert_eq!(second.code, Some(1), "{}", second.stderr);
    assert!(second.stderr.contains("another process uses the directory of --storage.path, "), "{}", second.stderr);
    assert_eq!(cloud.simulator.seen().len(), sent);
}

/// The samples of usage and their time, as a scrape shows them.
fn usage(metrics: &str) -> Vec<String> {
    let families =
        ["metastudio_usage_", "metastudio_window_", "metastudio_poll_doubts", "metastudio_poll_last_success_"];
    let of_usage = |line: &&str| families.iter().any(|family| line.starts_with(family));
    let mut samples: Vec<String> = metrics.lines().filter(of_usage).map(str::to_owned).collect();
    // Leave out the series of collectors, which belong to another time than the usage.
    samples.retain(|sample| !sample.contains("collector="));
    samples
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_usage_is_shown_at_once_after_a_restart() {
    let directory = TempDir::new().unwrap();
    let flag = flag(directory.path());
    let cloud = Cloud::new(&[]).await;
    let config = cloud.config(FAST);
    let mut daemon = Daemon::start(&config, &[&flag]);
    daemon.ready().await;
    let before = usage(&daemon.metrics().await);
    assert!(before.len() > 30, "{before:?}");
    daemon.signal("TERM");
    assert!(daemon.wait().0.success(), "{}", daemon.log_text());
    drop(cloud);

    // No poll succeeds any more.
    let mut daemon = Daemon::start(&config, &[&flag]);
    let metrics = daemon.metrics().await;
    assert_eq!(usage(&metrics), before, "{}", daemon.log_text());
    daemon.wait_for_log("the last usage before the restart is known");
    daemon.ready().await;
    let metrics = daemon.metrics().await;
    assert_eq!(usage(&metrics), before, "a failed poll changes nothing");
    assert_eq!(sample(&metrics, "metastudio_up{project=\"campaign\"}"), Some(0.0));
    daemon.signal("KILL");
    daemon.wait();

    // The kept usage has other windows or another time zone than the new configuration, so it is not shown.
    for other in ["windows: [today]", "timezone: UTC"] {
        let mut daemon = Daemon::start(&format!("{other}\n{config}"), &[&flag]);
        let metrics = daemon.metrics().await;
        assert!(metrics.contains("metastudio_project_info{"), "{metrics}");
        assert_eq!(usage(&metrics), [""; 0], "{other}");
        daemon.signal("KILL");
        daemon.wait();
    }
}

/// A time zone in which it is between 12 and 13 o'clock, so that the last day ended half a day ago.
fn zone_at_noon() -> String {
    let ahead = 12 - i64::from(Utc::now().hour());
    // These names have the opposite sign, as in POSIX.
    format!("timezone: Etc/GMT{:+}", -ahead)
}

fn days_are_known(metrics: &str) -> bool {
    sample(metrics, "metastudio_collector_up{project=\"campaign\",account=\"\",collector=\"days\"}") == Some(1.0)
}

/// The days of a project in the ledger of a directory, with their key.
fn kept_days(cloud: &Cloud, directory: &Path, project: usize, zone: &Zone) -> (Ledger, String, KnownDays) {
    let query = ProjectQuery {
        endpoint: format!("http://{}", cloud.address),
        project_id: None,
        user_ids: Some(BTreeSet::new()),
        app_user_id: None,
        resource_types: BTreeSet::new(),
        business_types: BTreeSet::new(),
    };
    let key = ledger::key(&query, &cloud.simulator.options().projects[project].id, zone);
    let ledger = Ledger::open(directory, Utc::now()).unwrap();
    let known = ledger.known(&key, zone).unwrap();
    (ledger, key, known)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_changes_after_its_end_is_a_revision() {
    let cloud = Cloud::new(&[]).await;
    let zone_line = zone_at_noon();
    let zone: Zone = zone_line.trim_start_matches("timezone: ").parse().unwrap();
    let config = cloud.config_of(&["campaign"], &cloud.keys(), &format!("{FAST}\n{zone_line}"));
    let directory = TempDir::new().unwrap();
    let flag = flag(directory.path());
    let mut daemon = Daemon::start(&config, &[&flag]);
    let metrics = daemon.wait_for_metrics(days_are_known).await;
    let revisions = |metrics: &str| {
        let series = "metastudio_usage_revisions_total{project=\"campaign\",collector=\"days\"}";
        sample(metrics, series).unwrap()
    };
    assert_eq!(revisions(&metrics), 0.0);
    assert!(!metrics.contains("metastudio_usage_last_revision_timestamp_seconds{"), "{metrics}");
    let settled = "metastudio_usage_settled_timestamp_seconds{project=\"campaign\",collector=\"days\"}";
    let age = Utc::now().timestamp() as f64 - sample(&metrics, settled).unwrap();
    assert!((7.0..8.0).contains(&(age / 86_400.0)), "the days of the last week have not settled: {age}");
    daemon.signal("KILL");
    daemon.wait();

    // Change the ledger as if the days had been asked for yesterday, and one day had had less usage.
    let (ledger, identity, known) = kept_days(&cloud, directory.path(), 2, &zone);
    let today = zone.local(Utc::now()).date_naive();
    let changed = today - Days::new(3);
    let mut days = BTreeMap::new();
    for date in (2..=7).map(|ago| today - Days::new(ago)) {
        let mut day = known.get(date).unwrap().clone();
        day.asked -= TimeDelta::days(1);
        day.since -= TimeDelta::days(1);
        if date == changed {
            let parts: Vec<_> = day.tally.parts().map(|(series, sum, _)| (series.clone(), sum.unwrap())).collect();
            day.tally = Tally::default();
            for (series, sum) in parts {
                let less = if series.measure == Measure::Minutes { Decimal::new(125, 2) } else { Decimal::ZERO };
                day.tally.add_part(series, Some(sum - less), false);
            }
        }
        days.insert(date, day);
    }
    ledger.keep(&identity, &days, None).unwrap();

    let daemon = Daemon::start(&config, &[&flag]);
    let metrics = daemon.wait_for_metrics(|metrics| days_are_known(metrics) && revisions(metrics) > 0.0).await;
    assert_eq!(revisions(&metrics), 1.0, "{metrics}");
    let options = cloud.simulator.options();
    let Bounds { start, end } = Bounds::of_day(changed, &zone);
    let (hundredths, _) = sum_of_events(&options.projects[2].id, &options.projects[2].usage[0], start, end, None);
    let line = format!("{changed} moved from {} to {} minutes", minutes(hundredths - 125), minutes(hundredths));
    daemon.wait_for_log(&line);
    for family in
        ["metastudio_usage_last_revision_timestamp_seconds", "metastudio_usage_longest_revision_delay_seconds"]
    {
        assert!(metrics.contains(&format!("{family}{{project=\"campaign\",collector=\"days\"}} ")), "{metrics}");
    }
    let ended = run(&config, &["check", "--online", "--contract", &flag]).await;
    let line = ended.stdout.lines().find(|line| line.starts_with("  last change of a day ")).unwrap();
    let hours: u32 = line.split(' ').find_map(|word| word.parse().ok()).unwrap_or_else(|| panic!("{line}"));
    assert!((48 + 12..=48 + 14).contains(&hours), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_page_links_the_table_of_the_last_month() {
    let cloud = Cloud::new(&[]).await;
    let config = cloud.config(&format!("{FAST}\n{}", zone_at_noon()));
    let directory = TempDir::new().unwrap();
    let daemon = Daemon::start(&config, &[&flag(directory.path())]);
    daemon.wait_for_metrics(days_are_known).await;
    let (_, page) = daemon.get("/").await;
    let (_, rest) = page.split_once("href=\"./table?project=campaign&#38;month=").unwrap_or_else(|| panic!("{page}"));
    let (month, _) = rest.split_at("2026-11".len());
    assert!([12, 13].iter().any(|hours| page.contains(&format!(": usage unchanged for {hours} h; "))), "{page}");
    let (status, table) = daemon.get(&format!("/table?project=campaign&month={month}")).await;
    let flag = flag(directory.path());
    let ended = run(&config, &["report", "--month", month, "--project", "campaign", &flag]).await;
    assert_eq!((status, &table), (200, &ended.stdout), "the same as the command prints");
    assert!(table.lines().count() > 28, "{table}");
    for (path, status) in [("/table?project=nobody&month=2026-10", 404), ("/table?project=campaign", 400)] {
        assert_eq!(daemon.get(path).await.0, status, "{path}");
    }
    let without = Daemon::start(&config, &[]);
    without.ready().await;
    assert_eq!(without.get(&format!("/table?project=campaign&month={month}")).await.0, 404);
    assert!(!without.get("/").await.1.contains("table?"));
}

/// The number of queries whose range is one whole day in Beijing.
fn days_asked_for(cloud: &Cloud) -> usize {
    let is_day = |target: &str| {
        let time = |name: &str| {
            let (_, rest) = target.split_once(name)?;
            rest.split('&').next()?.replace("%3A", ":").parse::<DateTime<Utc>>().ok()
        };
        let range = time("start_time=").zip(time("end_time="));
        let is_midnight = |time: DateTime<Utc>| time.time() == NaiveTime::from_hms_opt(16, 0, 0).unwrap();
        range.is_some_and(|(start, end)| end - start == TimeDelta::days(1) && is_midnight(start))
    };
    cloud.simulator.seen().iter().filter(|seen| is_day(&seen.target)).count()
}

/// Number of kills.
const KILLS: u64 = 50;

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_it_loses_no_day() {
    // One query for each day, so that there are many moments.
    let cloud = Cloud::of("buckets=utc-days").await;
    let fast = "windows: [this_month]\napi: {requests_per_second: 400}";
    let config = cloud.config_of(&["campaign"], &cloud.keys(), fast);
    let (calm, hard) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    Daemon::start(&config, &[&flag(calm.path())]).wait_for_metrics(days_are_known).await;
    let asked = days_asked_for(&cloud);
    assert!(asked > 28, "{asked}");
    for kill in 0..KILLS {
        let mut daemon = Daemon::start(&config, &[&flag(hard.path())]);
        tokio::time::sleep(Duration::from_millis(kill * 97 % 250)).await;
        daemon.signal("KILL");
        daemon.wait();
        // A request in flight at a kill may have been refused. After four such requests, the key would be on hold.
        let _ = fs::remove_file(hard.path().join("lockout.json"));
    }
    Daemon::start(&config, &[&flag(hard.path())]).wait_for_metrics(days_are_known).await;
    // Each day takes one query. Both directories need all days, and each kill may repeat one query.
    let repeated = days_asked_for(&cloud) - 2 * asked;
    assert!(repeated <= KILLS as usize, "{repeated} days were asked for again");
    let mut files: Vec<_> = fs::read_dir(hard.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    // The last kill may have come before a new file replaced the old one.
    files.retain(|file| file != "lockout.json.new");
    files.sort();
    assert_eq!(files, ["days.redb", "lock", "lockout.json"], "a kill damages nothing");
    // Without the cloud, the reports come from the ledgers alone. Both have all days, and the same usage.
    drop(cloud);
    let report = |directory: &TempDir| {
        let (config, flag) = (config.clone(), flag(directory.path()));
        let month = Zone::shanghai().local(Utc::now()).date_naive() - chrono::Months::new(1);
        async move { run(&config, &["report", "--month", &month.format("%Y-%m").to_string(), &flag]).await }
    };
    let (of_calm, of_hard) = (report(&calm).await, report(&hard).await);
    assert_eq!((of_calm.code, &of_calm.stdout), (of_hard.code, &of_hard.stdout));
    assert!(of_hard.stdout.lines().count() > 28, "{}", of_hard.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_cannot_be_used_is_one_warning_and_polling_goes_on() {
    let cloud = Cloud::new(&[]).await;
    let directory = TempDir::new().unwrap();
    fs::create_dir(directory.path().join("days.redb")).unwrap();
    let daemon = Daemon::start(&cloud.config(FAST), &[&flag(directory.path())]);
    daemon.ready().await;
    let metrics = daemon.metrics().await;
    assert_eq!(sample(&metrics, "metastudio_up{project=\"campaign\"}"), Some(1.0));
    assert!(!metrics.contains("collector=\"days\""), "{metrics}");
    assert_eq!(daemon.log_text().matches("no days are kept").count(), 1, "{}", daemon.log_text());
}
