//! `backfill` and `report`: every sample is compared with the events of the simulated cloud.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use chrono::{DateTime, Datelike, Days, DurationRound, Months, NaiveDate, TimeDelta, Utc};
use metastudio_exporter::{
    simulator::{Options, history::USERS},
    usage::{Bounds, Zone},
};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Cloud, Daemon, Ended, FAST, TIMEOUT, clean, command, minutes, run, sum_of_events};

/// The samples of a series, by time.
type Samples = BTreeMap<i64, f64>;

/// The expected output of `backfill`.
struct Oracle<'a> {
    cloud: &'a Cloud,
    zone: Zone,
    /// The first known day.
    first: NaiveDate,
    /// The first whole day.
    whole: NaiveDate,
    /// The time after the last sample.
    end: DateTime<Utc>,
}

fn first_of_month(day: NaiveDate) -> NaiveDate {
    day.with_day(1).unwrap()
}

/// The first day of a month, so many months ago.
fn months_ago(months: u32) -> NaiveDate {
    first_of_month(Zone::shanghai().local(Utc::now()).date_naive()) - Months::new(months)
}

/// A time in the last hours of last month. It is more than three hours ago on every day, so it can be the end of samples.
fn late_last_month() -> DateTime<Utc> {
    Zone::shanghai().midnight(months_ago(0)) - TimeDelta::minutes(270)
}

fn month(day: NaiveDate) -> String {
    day.format("%Y-%m").to_string()
}

impl Oracle<'_> {
    /// Hundredths of minutes and number of a type, from `first` to the day before `end`.
    fn usage(&self, project: usize, pattern: usize, first: NaiveDate, end: NaiveDate) -> (i64, u64) {
        let project = &self.cloud.simulator.options().projects[project];
        let range = (self.zone.midnight(first), self.zone.midnight(end));
        sum_of_events(&project.id, &project.usage[pattern], range.0, range.1, None)
    }

    /// All series of the windows yesterday, this_month and last_month, with their samples.
    fn series(&self) -> BTreeMap<String, Samples> {
        let mut all: BTreeMap<String, Samples> = BTreeMap::new();
        let local = |instant| self.zone.local(instant).date_naive();
        let last = local(self.end - TimeDelta::seconds(1));
        for (index, project) in self.cloud.simulator.options().projects.iter().enumerate() {
            let known = || self.first.iter_days().take_while(|day| *day < local(self.end));
            let seen = |pattern| known().find(|day| self.usage(index, pattern, *day, *day + Days::new(1)).1 > 0);
            let first_seen: Vec<Option<NaiveDate>> = (0..project.usage.len()).map(seen).collect();
            for day in self.first.iter_days().take_while(|day| *day <= last) {
                let Bounds { start, end } = Bounds::of_day(day, &self.zone);
                let hours = (0..(end - start).num_hours()).map(|hour| start.timestamp() + hour * 3600);
                // And the last second before the end.
                let last = self.end.timestamp() - 1;
                let last = (start.timestamp()..end.timestamp()).contains(&last).then_some(last);
                let hours: Vec<i64> = hours.chain(last).collect::<BTreeSet<_>>().into_iter().collect();
                let (yesterday, next, of_month) = (day - Days::new(1), day + Days::new(1), first_of_month(day));
                for (window, first, after, times) in [
                    ("yesterday", yesterday, day, &hours),
                    ("this_month", of_month, next, &vec![end.timestamp() - 1]),
                    ("last_month", of_month - Months::new(1), of_month, &hours),
                ] {
                    let times: Vec<i64> = times.iter().copied().filter(|time| *time < self.end.timestamp()).collect();
                    if first < self.whole || times.is_empty() {
                        continue;
                    }
                    let mut sum = None;
                    for (pattern, usage) in project.usage.iter().enumerate() {
                        if first_seen[pattern].is_none_or(|seen| seen >= after) {
                            continue;
                        }
                        let (hundredths, number) = self.usage(index, pattern, first, after);
                        *sum.get_or_insert(0) += hundredths;
                        let resource = usage.resource_type.unwrap_or_default();
                        let labels = format!(
                            "project=\"{}\",job=\"metastudio\",instance=\"backfill\",window=\"{window}\",resource_type=\"{resource}\",\
                             business_type=\"{}\",user_id=\"\"",
                            project.name, usage.business_type
                        );
                        for (name, value) in [("minutes", minutes(hundredths)), ("number", number as f64)] {
                            let samples = all.entry(format!("metastudio_usage_{name}{{{labels}}}")).or_default();
                            samples.extend(times.iter().map(|time| (*time, value)));
                        }
                    }
                    if let Some(sum) = sum.filter(|_| window != "last_month") {
                        let name = format!("project:metastudio_usage_minutes:{window}{{project=\"{}\"}}", project.name);
                        all.entry(name).or_default().extend(times.iter().map(|time| (*time, minutes(sum))));
                    }
                }
            }
        }
        all
    }
}

/// All samples of the files. Checks their order, and the numbers in the manifest.
fn read(output: &Path) -> BTreeMap<String, Samples> {
    let manifest: Value = serde_json::from_str(&fs::read_to_string(output.join("manifest.json")).unwrap()).unwrap();
    let mut all: BTreeMap<String, Samples> = BTreeMap::new();
    let mut total = 0;
    for file in manifest["files"].as_array().unwrap() {
        let text = fs::read_to_string(output.join(file["file"].as_str().unwrap())).unwrap();
        assert!(text.ends_with("\n# EOF\n") && text.matches("# EOF").count() == 1);
        let (mut count, mut done, mut current) = (0, Vec::new(), (String::new(), 0));
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (rest, time) = line.rsplit_once(' ').unwrap();
            let (series, value) = rest.rsplit_once(' ').unwrap();
            let time = time.parse().unwrap();
            if series == current.0 {
                assert!(time > current.1, "{line}");
            } else {
                assert!(!done.contains(&series.to_owned()), "{line} is not beside its series");
                done.push(std::mem::take(&mut current.0));
            }
            current = (series.to_owned(), time);
            assert!(all.entry(series.to_owned()).or_default().insert(time, value.parse().unwrap()).is_none(), "{line}");
            count += 1;
        }
        assert_eq!(file["samples"], count);
        total += count;
    }
    assert_eq!(manifest["samples"], total);
    all
}

fn assert_same(found: &BTreeMap<String, Samples>, expected: &BTreeMap<String, Samples>) {
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (series, samples) in expected {
        let different = |(time, value): &(&i64, &f64)| found[series].get(time) != Some(value);
        let first = samples.iter().find(different);
        assert_eq!(first, None, "{series}: the first sample that is not found");
        assert_eq!(found[series].len(), samples.len(), "{series}");
    }
    assert!(expected.values().map(BTreeMap::len).sum::<usize>() > 100);
}

const WINDOWS: &str = "windows: [today, yesterday, this_month, last_month]";

fn config(cloud: &Cloud, extra: &str) -> String {
    cloud.config(&format!("{WINDOWS}\n{FAST}\n{extra}"))
}

async fn backfill(config: &str, output: &Path, arguments: &[&str]) -> Ended {
    let output = format!("--output={}", output.display());
    run(config, &[&["backfill", &output], arguments].concat()).await
}

/// The number of requests for usage.
fn requests(cloud: &Cloud) -> usize {
    cloud.simulator.seen().iter().filter(|seen| seen.target.contains("/data-analysis?")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sample_is_that_of_the_events() {
    for (service, zone) in
        [("", "Asia/Shanghai"), ("buckets=utc-days", "Asia/Shanghai"), ("buckets=hours", "Europe/Berlin")]
    {
        let cloud = Cloud::of(service).await;
        let directory = TempDir::new().unwrap();
        let first = months_ago(4);
        let config = config(&cloud, &format!("timezone: {zone}"));
        let ended =
            backfill(&config, directory.path(), &["--from", &month(first), "--to", &month(months_ago(2))]).await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let zone: Zone = zone.parse().unwrap();
        let end = zone.midnight(months_ago(1));
        let oracle = Oracle { cloud: &cloud, zone, first, whole: first, end };
        let found = read(directory.path());
        assert_same(&found, &oracle.series());
        let count: usize = found.values().map(BTreeMap::len).sum();
        assert!(ended.stdout.contains(&format!("Wrote {count} samples to 3 files")), "{}", ended.stdout);
        assert!(ended.stdout.contains("--max-block-duration=744h openmetrics"), "{}", ended.stdout);
        let sent = requests(&cloud);
        let again =
            backfill(&config, directory.path(), &["--from", &month(first), "--to", &month(months_ago(2))]).await;
        assert_eq!((again.code, requests(&cloud)), (Some(0), sent), "no day is asked for twice");
        assert_same(&read(directory.path()), &found);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn days_are_23_and_25_hours_long_when_clocks_change() {
    let cloud = Cloud::of("buckets=hours").await;
    let year = months_ago(0).year() - i32::from(months_ago(0).month() < 11);
    for (text, hours) in [(format!("{year}-03"), 743), (format!("{year}-10"), 745)] {
        let directory = TempDir::new().unwrap();
        let config = config(&cloud, "timezone: Europe/Berlin");
        let ended = backfill(&config, directory.path(), &["--from", &text, "--to", &text]).await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let zone: Zone = "Europe/Berlin".parse().unwrap();
        let first: NaiveDate = format!("{text}-01").parse().unwrap();
        let end = zone.midnight(first + Months::new(1));
        let found = read(directory.path());
        assert_same(&found, &Oracle { cloud: &cloud, zone, first, whole: first, end }.series());
        let yesterday = found.iter().filter(|(series, _)| series.contains(":yesterday"));
        assert_eq!(
            yesterday.map(|(_, samples)| samples.len()).max(),
            Some(hours - 24 + 1),
            "all but the first day, and the last second"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_end_three_hours_ago_or_before_the_live_ones() {
    let cloud = Cloud::new(&[]).await;
    let directory = TempDir::new().unwrap();
    let before = Utc::now();
    let from = month(months_ago(1));
    let ended = backfill(&config(&cloud, ""), directory.path(), &["--from", &from]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let last = *read(directory.path()).values().filter_map(|samples| samples.keys().last()).max().unwrap();
    let end = before.timestamp() - 3 * 3600;
    assert!((end - 1..end + 60).contains(&last), "{last} {end}");
    let live = late_last_month();
    let ended = backfill(&config(&cloud, ""), directory.path(), &["--from", &from, "--to", &live.to_rfc3339()]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let first = months_ago(1);
    let oracle = Oracle { cloud: &cloud, zone: Zone::shanghai(), first, whole: first, end: live };
    assert_same(&read(directory.path()), &oracle.series());
    assert!(!directory.path().join(format!("metastudio-{}.om", month(months_ago(0)))).exists(), "of the earlier run");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_that_looks_back_31_days_gives_the_days_that_are_whole() {
    for service in ["oldest=31", "retention=31"] {
        let cloud = Cloud::of(service).await;
        let directory = TempDir::new().unwrap();
        let config = config(&cloud, "");
        let zone = Zone::shanghai();
        let ended = backfill(&config, directory.path(), &["--from", &month(months_ago(3))]).await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        // The service forgets the beginning of this day, hour by hour.
        let oldest = Utc::now().duration_trunc(TimeDelta::hours(1)).unwrap() - TimeDelta::days(31);
        let partial = zone.local(oldest).date_naive();
        let project = &cloud.simulator.options().projects[2];
        let end_of_partial = Bounds::of_day(partial, &zone).end;
        // Late in the evening, the rest of the day may have no usage.
        let (_, number) = sum_of_events(&project.id, &project.usage[0], oldest, end_of_partial, None);
        let first = if service == "oldest=31" || number == 0 { partial + Days::new(1) } else { partial };
        assert_eq!(
            ended
                .stderr
                .contains(&format!("the service refuses {partial}: that day and the days before it are too far back")),
            service == "oldest=31",
            "{}",
            ended.stderr
        );
        let found = read(directory.path());
        let series = "project:metastudio_usage_minutes:yesterday{project=\"campaign\"}";
        let sample = found[series].keys().next().unwrap();
        // The first day with usage may be partial, so the first sample of `yesterday` holds the next day.
        assert_eq!(*sample, zone.midnight(first + Days::new(2)).timestamp());
        let end =
            DateTime::from_timestamp(found.values().filter_map(|samples| samples.keys().last()).max().unwrap() + 1, 0);
        let oracle = Oracle { cloud: &cloud, zone, first, whole: first + Days::new(1), end: end.unwrap() };
        let expected = oracle.series();
        let is_yesterday = |series: &String| series.contains("yesterday");
        for (series, samples) in
            expected.iter().filter(|(series, _)| is_yesterday(series) && series.contains("campaign"))
        {
            assert_eq!(&found[series], samples, "{service}: {series}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_of_which_a_page_fails_is_not_written_until_it_is_complete() {
    // The first requests get the pages of the newest month, and the parts of it that are compared with the whole. Then
    // a page of an older month fails twice.
    let cloud = Cloud::new(&["server-error:project=campaign,after=18,times=2"]).await;
    let directory = TempDir::new().unwrap();
    let config = config(&cloud, "").replace("api: {", "api: {page_size: 10, ");
    let arguments = ["--from", &month(months_ago(5)), "--to", &month(months_ago(2)), "--project", "campaign"];
    let ended = backfill(&config, directory.path(), &arguments).await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("no usage of 20"), "{}", ended.stderr);
    let manifest: Value =
        serde_json::from_str(&fs::read_to_string(directory.path().join("manifest.json")).unwrap()).unwrap();
    let missing = manifest["projects"][0]["missing"].as_array().unwrap();
    assert!((28..=31).contains(&missing.len()), "one month: {missing:?}");
    let missing: Vec<NaiveDate> = missing.iter().map(|day| day.as_str().unwrap().parse().unwrap()).collect();
    let partly = read(directory.path());

    let ended = backfill(&config, directory.path(), &arguments).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let whole = read(directory.path());
    let first = months_ago(5);
    let end = Zone::shanghai().midnight(months_ago(1));
    let oracle = Oracle { cloud: &cloud, zone: Zone::shanghai(), first, whole: first, end };
    let expected = oracle.series().into_iter().filter(|(series, _)| series.contains("campaign")).collect();
    assert_same(&whole, &expected);
    // The first run wrote all samples except those of the missing month.
    for (series, samples) in &whole {
        let of_missing = |time: &i64| {
            let day = Zone::shanghai().local(DateTime::from_timestamp(*time, 0).unwrap()).date_naive();
            let day_before = day - Days::new(1);
            match () {
                () if series.contains("yesterday") => missing.contains(&day_before),
                () if series.contains("this_month") => missing.contains(&day),
                () => missing.contains(&(first_of_month(day) - Days::new(1))),
            }
        };
        // A type has no samples before its first usage. The first run did not know the usage of the missing month.
        let from_first_usage = |samples: &Samples| -> Samples {
            samples.iter().skip_while(|(_, value)| **value == 0.0).map(|(time, value)| (*time, *value)).collect()
        };
        let mut rest = samples.clone();
        rest.retain(|time, _| !of_missing(time));
        let written = partly.get(series).cloned().unwrap_or_default();
        assert_eq!(from_first_usage(&written), from_first_usage(&rest), "{series}");
    }
}

/// Maximum number of kills.
const KILLS: usize = 50;

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_it_goes_on_where_it_was() {
    // One slow query a day, so that there are many moments.
    let cloud = Cloud::of("buckets=utc-days").await;
    let config = cloud
        .config_of(&["campaign"], &cloud.keys(), WINDOWS)
        .replace("credentials:", "api: {requests_per_second: 100}\ncredentials:");
    let arguments = ["--from", &month(months_ago(4)), "--to", &month(months_ago(2))];
    let calm = TempDir::new().unwrap();
    assert_eq!(backfill(&config, calm.path(), &arguments).await.code, Some(0));
    let calm_requests = requests(&cloud);

    let output = TempDir::new().unwrap();
    let mut kills = 0;
    for attempt in 0_u64.. {
        let scratch = TempDir::new().unwrap();
        // A request in flight at a kill may have been refused. After four such requests, the key would be on hold.
        let _ = fs::remove_dir_all(output.path().join("past"));
        let flag = format!("--output={}", output.path().display());
        let mut command = command(&scratch, &config, &[&["backfill", &flag], &arguments[..]].concat());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Each kill comes at another moment. After the last kill, the process gets time to finish.
        let patience = if kills < KILLS { Duration::from_millis(20 + attempt * 97 % 250) } else { TIMEOUT };
        let start = Instant::now();
        while child.try_wait().unwrap().is_none() && start.elapsed() < patience {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        child.kill().unwrap();
        if child.wait().unwrap().success() {
            break;
        }
        kills += 1;
        assert!(kills <= KILLS, "the process does not finish");
        let aside = fs::read_dir(output.path())
            .unwrap()
            .any(|entry| entry.unwrap().file_name().to_string_lossy().contains("damaged"));
        assert!(!aside, "a kill damages nothing");
    }
    assert!(kills >= 10, "{kills}");
    let repeated = requests(&cloud) - 2 * calm_requests;
    // Each start may ask again for the day in flight, and must find out again how the service makes buckets.
    assert!(repeated <= kills * 4, "{repeated} requests more after {kills} kills");
    for file in fs::read_dir(calm.path()).unwrap().map(|entry| entry.unwrap().file_name()) {
        if file.to_string_lossy().ends_with(".om") {
            assert_eq!(
                fs::read(calm.path().join(&file)).unwrap(),
                fs::read(output.path().join(&file)).unwrap(),
                "{file:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_loses_no_day_that_was_complete() {
    let cloud = Cloud::new(&[]).await;
    let (storage, output) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let flag = format!("--storage.path={}", storage.path().display());
    let config = config(&cloud, "");
    let newest = month(months_ago(1));
    assert_eq!(backfill(&config, output.path(), &[&flag, "--from", &newest, "--to", &newest]).await.code, Some(0));
    // Files cannot grow any more.
    let blocks = fs::metadata(storage.path().join("days.redb")).unwrap().len() / 512;
    let scratch = TempDir::new().unwrap();
    let oldest = month(months_ago(12));
    let output_flag = format!("--output={}", output.path().display());
    let inner = command(&scratch, &config, &["backfill", &output_flag, &flag, "--from", &oldest, "--to", &newest]);
    let limited = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    let ended = clean("sh").args(["-c", &limited]).arg(inner.get_program()).args(inner.get_args()).output().unwrap();
    let log = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{log}");
    assert!(log.contains("days.redb") && log.contains("Days that were kept before are safe"), "{log}");
    // The simulated cloud may still be reading the last request.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let sent = requests(&cloud);
    assert_eq!(backfill(&config, output.path(), &[&flag, "--from", &newest, "--to", &newest]).await.code, Some(0));
    assert_eq!(requests(&cloud), sent, "the days are still there");
    let ended = backfill(&config, output.path(), &[&flag, "--from", &oldest, "--to", &newest]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exporter_may_use_the_same_directory_and_a_damaged_ledger_is_one_warning() {
    let cloud = Cloud::new(&[]).await;
    let (storage, output) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let flag = format!("--storage.path={}", storage.path().display());
    fs::write(storage.path().join("days.redb"), "no ledger").unwrap();
    let config = config(&cloud, "");
    let daemon = Daemon::start(&config, &[&flag]);
    daemon.ready().await;
    let from = month(months_ago(1));
    let ended = backfill(&config, output.path(), &[&flag, "--from", &from]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(daemon.log_text().matches("its days are asked for again").count(), 1, "{}", daemon.log_text());
    assert!(!ended.stderr.contains("asked for again"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("uses the"), "{}", ended.stderr);
    let ended = backfill(&config, output.path(), &[&flag, "--from", &from]).await;
    assert!(!ended.stderr.contains("asked for again"), "{}", ended.stderr);
    assert_eq!(daemon.get("/-/healthy").await.0, 200);
}

/// The expected lines of a report of the last month: the usage of `users`, and the usage of `others` without a user.
fn report_of_users(cloud: &Cloud, users: &[&str], others: &[&str]) -> Vec<String> {
    let project = &cloud.simulator.options().projects[0];
    let (zone, first) = (Zone::shanghai(), months_ago(1));
    let mut expected = Vec::new();
    for day in first.iter_days().take_while(|day| *day < months_ago(0)) {
        let Bounds { start, end } = Bounds::of_day(day, &zone);
        let groups = users.iter().map(|user| (*user, vec![*user], "")).chain([("", others.to_vec(), "not_attributed")]);
        for (id, group, remark) in groups {
            for pattern in &project.usage {
                let sums = group.iter().map(|user| sum_of_events(&project.id, pattern, start, end, Some(user)));
                let (hundredths, number) = sums.fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
                let types = format!("{},{},{id}", pattern.resource_type.unwrap_or_default(), pattern.business_type);
                if number > 0 {
                    expected.push(format!("studio-prod,{day},{types},minutes,{},{remark}", minutes(hundredths)));
                    expected.push(format!("studio-prod,{day},{types},number,{number},{remark}"));
                }
            }
        }
    }
    expected.sort();
    expected
}

fn sorted_lines(ended: &Ended) -> Vec<String> {
    let mut lines: Vec<String> = ended.stdout.lines().skip(1).map(str::to_owned).collect();
    lines.sort();
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_of_all_sub_users_has_what_none_of_them_has() {
    for series in [1, 100] {
        let cloud = Cloud::with(Options::default()).await;
        let config =
            cloud.config_of(&["studio-prod"], &cloud.keys(), FAST).replace("endpoint:", "user_ids: all, endpoint:")
                + &format!("collectors: {{sub_users: {{series: {series}}}}}\n");
        let storage = TempDir::new().unwrap();
        let flag = format!("--storage.path={}", storage.path().display());
        let report = ["report", "--month", &month(months_ago(1)), &flag];
        let ended = run(&config, &report).await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let (users, others): (Vec<&str>, Vec<&str>) =
            USERS.into_iter().partition(|user| ended.stdout.contains(&format!(",{user},")));
        assert_eq!(users.len(), series.min(USERS.len()), "{}", ended.stdout);
        assert_eq!(sorted_lines(&ended), report_of_users(&cloud, &users, &others));
        let asked = |text: &str| cloud.simulator.seen().iter().filter(|seen| seen.target.contains(text)).count();
        assert_eq!(asked("/user/quotas"), 1);
        let of_one = asked(&format!("user_id={}", users[0]));
        assert!(of_one <= 3, "what the queries of all users prove about buckets holds for each user: {of_one}");
        let sent = requests(&cloud);
        assert_eq!(run(&config, &report).await.stdout, ended.stdout);
        assert_eq!(requests(&cloud), sent, "the days are in the ledger, and no list is needed");
        // The files do not tell users apart, because the list of users may differ from day to day.
        let (output, first, end) = (TempDir::new().unwrap(), months_ago(1), late_last_month());
        let arguments = ["--from", &month(first), "--to", &end.to_rfc3339(), &flag];
        assert_eq!(backfill(&config, output.path(), &arguments).await.code, Some(0));
        let mut expected = Oracle { cloud: &cloud, zone: Zone::shanghai(), first, whole: first, end }.series();
        expected.retain(|name, _| name.contains("project=\"studio-prod\""));
        assert_same(&read(output.path()), &expected);
        // A configured list of users has its own days in the ledger.
        let listed = config.replace("user_ids: all", &format!("user_ids: [{}]", users.join(", ")));
        assert_eq!(sorted_lines(&run(&listed, &report).await), sorted_lines(&ended));
        assert!(requests(&cloud) > sent);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_without_a_list_of_sub_users() {
    let cloud = Cloud::new(&["forbidden:project=ListUserQuotas"]).await;
    let config =
        cloud.config_of(&["studio-prod"], &cloud.keys(), FAST).replace("endpoint:", "user_ids: all, endpoint:");
    let report = ["report", "--month", &month(months_ago(1))];
    let ended = run(&config, &report).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let expected: Vec<String> = report_of_users(&cloud, &[], &USERS)
        .iter()
        .map(|line| line.replace(",not_attributed", ",users_not_listed not_attributed"))
        .collect();
    assert_eq!(sorted_lines(&ended), expected);
    let cloud = Cloud::new(&["server-error:project=ListUserQuotas"]).await;
    let config =
        cloud.config_of(&["studio-prod"], &cloud.keys(), FAST).replace("endpoint:", "user_ids: all, endpoint:");
    let ended = run(&config, &report).await;
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    assert!(ended.stderr.contains("list of sub-users: HTTP 500"), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_has_the_usage_of_each_day_and_what_no_user_has() {
    let cloud = Cloud::with(Options::default()).await;
    let config = cloud
        .config_of(&["studio-prod"], &cloud.keys(), FAST)
        .replace("endpoint:", "user_ids: [user-a, user-b], endpoint:");
    let storage = TempDir::new().unwrap();
    let flag = format!("--storage.path={}", storage.path().display());
    let first = months_ago(1);
    let ended = run(&config, &["report", "--month", &month(first), &flag]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(sorted_lines(&ended), report_of_users(&cloud, &["user-a", "user-b"], &["user-c"]));

    let sent = requests(&cloud);
    for format in ["markdown", "json", "focus"] {
        let ended = run(&config, &["report", "--month", &month(first), &flag, "--format", format]).await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(ended.stdout.contains("VIDEO_2D") && ended.stdout.contains("not_attributed"), "{}", ended.stdout);
    }
    assert_eq!(requests(&cloud), sent, "the days are in the ledger");
    let ended = run(&config, &["report", "--month", &month(months_ago(0) + Months::new(1)), &flag]).await;
    assert!(ended.code == Some(1) && ended.stderr.contains("there is no day that has ended"), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_refused_is_not_tried_for_each_month() {
    let cloud = Cloud::new(&[]).await;
    let output = TempDir::new().unwrap();
    let config =
        cloud.config_of(&["campaign", "studio-prod"], "access_key: SIMULATEDACCESSKEY01, secret_key: hunter2", FAST);
    let ended = backfill(&config, output.path(), &["--from", &month(months_ago(6))]).await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("no usage of") && !ended.stderr.contains("hunter2"), "{}", ended.stderr);
    let refused = cloud.simulator.seen().iter().filter(|seen| seen.status == Some(401)).count();
    assert_eq!(refused, 1);
    let again = backfill(&config, output.path(), &["--from", &month(months_ago(6))]).await;
    assert!(again.code == Some(1) && again.stderr.contains("not sent: the key"), "{}", again.stderr);
    assert_eq!(cloud.simulator.seen().iter().filter(|seen| seen.status == Some(401)).count(), 1, "it is on hold");
    assert!(ended.stdout.contains("no samples were written"), "{}", ended.stdout);
    for wrong in [&["--from", "2026-13"][..], &["--from", "x"], &["--from", "2026-01", "--step", "4h"], &[]] {
        assert_eq!(backfill(&config, output.path(), wrong).await.code, Some(2), "{wrong:?}");
    }
    let ended = backfill(&config, output.path(), &["--from", "2026-01", "--project", "nobody"]).await;
    assert!(ended.code == Some(1) && ended.stderr.contains("--project nobody"), "{}", ended.stderr);
}
