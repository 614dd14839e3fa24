//! Several polls of one project in one process: the usage that is kept, keys on hold, changed secrets, and counters.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use chrono::Utc;
use metastudio_exporter::{
    config::{Environment, load_text},
    polling::{Fleet, Poller},
    simulator::{Options, Simulator, history},
    snapshot::{self, PollOutcome, Target, WindowUsage},
    usage::{Bounds, Doubt, Measure, Operation, Reason, Zone},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A simulated cloud with faults.
async fn cloud(faults: &[&str]) -> (Arc<Simulator>, SocketAddr, DropGuard) {
    let faults = faults.iter().map(|fault| fault.parse().unwrap()).collect();
    cloud_with(Options { faults, ..Options::default() }).await
}

async fn cloud_with(options: Options) -> (Arc<Simulator>, SocketAddr, DropGuard) {
    let simulator = Simulator::new(Options { records_requests: true, ..options });
    let stop = CancellationToken::new();
    let address = simulator.spawn(stop.clone()).await.unwrap();
    (simulator, address, stop.drop_guard())
}

/// A poller of the project `campaign` at `address`.
async fn poller(address: SocketAddr, credentials: &str, page_size: usize) -> Arc<Poller> {
    let text = format!(
        "api: {{requests_per_second: 1000, max_retries: 0, page_size: {page_size}}}\n\
         credentials: {{main: {{{credentials}}}}}\n\
         projects: [{{name: campaign, endpoint: 'http://{address}', project_id: 5f0d1e2c3b4a59687786a5b4c3d2e103}}]"
    );
    let loaded = load_text(text, Path::new("config.yaml"), &Environment::default()).await;
    let config = loaded.config.unwrap_or_else(|| panic!("{:?}", loaded.problems));
    let fleet = Fleet::new(config, &Environment::default(), Utc::now).unwrap();
    Arc::clone(&fleet.pollers()[0])
}

fn keys(simulator: &Simulator) -> String {
    let options = simulator.options();
    format!("access_key: {}, secret_key: {}", options.access_key, options.secret_key)
}

/// Requests that were answered with HTTP 401.
fn answered_401(attempt: &PollOutcome) -> u64 {
    attempt.counters.api(Operation::ShowUsageData).unwrap().by_status[&Some(401)]
}

fn reason(attempt: &PollOutcome) -> Option<Reason> {
    attempt.result.as_ref().err().map(|failure| failure.reason)
}

#[tokio::test]
async fn a_poll_that_fails_in_its_last_window_changes_nothing() {
    // The first poll sends additional requests for its proofs. A cloud without faults shows how many.
    let (simulator, address, _stop) = cloud(&[]).await;
    let first = poller(address, &keys(&simulator), 1000).await.poll(Utc::now()).await.counters.requests();
    let (simulator, address, _stop) = cloud(&[&format!("server-error:after={}", first + 2)]).await;
    let poller = poller(address, &keys(&simulator), 1000).await;
    let (mut writer, reader) = snapshot::channel(vec![Target::new(&*poller.project().name)]);
    writer.record(0, poller.poll(Utc::now()).await, None);
    let before = reader.load();
    let usage = before.projects[0].usage.as_ref().unwrap();
    assert_eq!(usage.windows.len(), 3);

    writer.record(0, poller.poll(Utc::now()).await, None);
    assert_eq!(simulator.seen().len() as u64, first + 3, "two windows of the second poll were answered");
    let after = reader.load();
    let last = after.projects[0].health.last.as_ref().unwrap();
    let failure = last.failure.as_ref().unwrap();
    assert_eq!(failure.reason, Reason::Server);
    assert!(failure.message.starts_with("window this_month ("), "{}", failure.message);
    assert_eq!(after.projects[0].usage.as_ref().unwrap().at, usage.at, "all windows are those of the first poll");
}

#[tokio::test]
async fn a_poll_for_a_past_time_asks_for_the_windows_of_that_time() {
    let (simulator, address, _stop) = cloud(&[]).await;
    let poller = poller(address, &keys(&simulator), 1000).await;
    let date = Zone::shanghai().local(Utc::now()).date_naive() - chrono::Days::new(20);
    let then = Zone::shanghai().midnight(date) + chrono::Duration::hours(18);
    let attempt = poller.poll(then).await;
    assert_eq!(attempt.at.utc, then);
    let windows = attempt.result.unwrap();
    let [today, yesterday, this_month] = &windows[..] else { panic!("{windows:?}") };
    assert!(today.bounds.start <= then && then < today.bounds.end);
    assert!(this_month.bounds.start <= then && then < this_month.bounds.end);
    assert_eq!(yesterday.bounds.end, today.bounds.start);
    // The simulated cloud has usage of the past. The day that was `today` then is complete now.
    let whole = poller.poll(today.bounds.end).await.result.unwrap().swap_remove(1);
    assert_eq!(whole.bounds, today.bounds);
    let minutes =
        |usage: &WindowUsage| usage.tally.series().filter_map(|series| usage.tally.value(series)).sum::<f64>();
    assert!(minutes(today) > 0.0 && minutes(today) <= minutes(&whole), "{} {}", minutes(today), minutes(&whole));
}

#[tokio::test]
async fn a_refused_key_is_not_used_again_for_five_minutes() {
    let (simulator, address, _stop) = cloud(&[]).await;
    let poller = poller(address, "access_key: SIMULATEDACCESSKEY01, secret_key: wrong", 1000).await;
    let poll = async || reason(&poller.poll(Utc::now()).await);
    assert_eq!((poll().await, simulator.seen().len()), (Some(Reason::Auth), 1));
    assert_eq!((poll().await, simulator.seen().len()), (Some(Reason::Auth), 1), "no second request");
    advance(280).await;
    assert_eq!((poll().await, simulator.seen().len()), (Some(Reason::Auth), 1));
    advance(20).await;
    assert_eq!((poll().await, simulator.seen().len()), (Some(Reason::Auth), 2), "the hold is over");
}

/// Advances tokio's clock, then lets it run with the real clock again, because requests over sockets need that.
async fn advance(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_secret_that_changes_is_used_at_once() {
    let (simulator, address, _stop) = cloud(&[]).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "wrong").unwrap();
    let credentials = format!("access_key: SIMULATEDACCESSKEY01, secret_key: {{file: {}}}", file.path().display());
    let poller = poller(address, &credentials, 1000).await;
    assert_eq!(reason(&poller.poll(Utc::now()).await), Some(Reason::Auth));
    std::fs::write(file.path(), &simulator.options().secret_key).unwrap();
    assert_eq!(reason(&poller.poll(Utc::now()).await), None);
    std::fs::remove_file(file.path()).unwrap();
    let attempt = poller.poll(Utc::now()).await;
    let failure = attempt.result.unwrap_err();
    assert_eq!(failure.reason, Reason::Auth);
    assert!(failure.message.contains("cannot read"), "never an empty secret: {}", failure.message);
}

/// A server that answers each request with the next status and body. It calls `before` ahead of each answer.
async fn scripted(answers: Vec<(&'static str, String)>, before: impl Fn(usize) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for (index, (status, body)) in answers.into_iter().enumerate() {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 8192]).await.unwrap();
            before(index);
            let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).await.unwrap();
        }
    });
    address
}

#[tokio::test]
async fn a_secret_that_changes_while_it_is_refused_gets_one_try() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "old").unwrap();
    let nothing = || ("200 OK", r#"{"count":0,"time_list":[]}"#.to_owned());
    let refused = || ("401 Unauthorized", "{}".to_owned());
    let path = file.path().to_owned();
    let rotate = move |index| {
        if index == 0 {
            std::fs::write(&path, "new").unwrap();
        }
    };
    let address = scripted(vec![refused(), nothing(), nothing(), nothing()], rotate).await;
    let credentials = format!("token: {{file: {}}}", file.path().display());
    let attempt = poller(address, &credentials, 1000).await.poll(Utc::now()).await;
    assert_eq!(reason(&attempt), None);
    assert_eq!((attempt.counters.retries(), answered_401(&attempt)), (1, 1));

    let address = scripted(vec![refused()], |_| {}).await;
    let attempt = poller(address, &credentials, 1000).await.poll(Utc::now()).await;
    assert_eq!(
        (reason(&attempt), attempt.counters.retries()),
        (Some(Reason::Auth), 0),
        "an unchanged secret gets no second try"
    );
}

#[tokio::test]
async fn rows_that_are_not_summed_are_counted() {
    let service = "parts=boolean,channels".parse().unwrap();
    let (simulator, address, _stop) = cloud_with(Options { service, ..Options::default() }).await;
    let attempt = poller(address, &keys(&simulator), 1000).await.poll(Utc::now()).await;
    let windows = attempt.result.unwrap();
    let [_, yesterday, _] = &windows[..] else { panic!("{windows:?}") };
    // Each day with usage has a row for a part of a bundle, and yesterday has usage.
    assert!(attempt.counters.rows.sub_resource >= 1, "{:?}", attempt.counters.rows);
    assert_eq!((attempt.counters.rows.outside, attempt.counters.rows.filtered), (0, 0));
    let series: Vec<_> = yesterday.tally.series().collect();
    let channels = series.iter().find(|series| series.measure == Measure::Other("CHANNEL".to_owned())).unwrap();
    assert_eq!(yesterday.tally.value(channels), Some(2.5));
    assert!(series.iter().all(|series| series.business_type != "FLEXUS_2D"), "{series:?}");
}

#[tokio::test]
async fn a_second_poll_of_a_service_has_the_same_usage_for_fewer_requests() {
    for service in [
        "cap=10",
        "cap=10,counted=rows,count=page",
        "offset=from-one,count=absent",
        "offset=everything",
        "rows=videos,counted=rows,count=rows",
        "past-end=error,count=types",
    ] {
        let options = Options { service: service.parse().unwrap(), ..Options::default() };
        let (simulator, address, _stop) = cloud_with(options).await;
        let poller = poller(address, &keys(&simulator), 100).await;
        // The last days of a month, whose list is longer than ten days.
        let now = "2025-11-28T10:17:23Z".parse().unwrap();
        let project = &simulator.options().projects[2];
        let mut requests = Vec::new();
        for _ in 0..2 {
            let attempt = poller.poll(now).await;
            assert!(attempt.doubts.is_empty(), "{service}: {:?}", attempt.doubts);
            requests.push(attempt.counters.requests());
            for window in attempt.result.unwrap() {
                let Bounds { start, end } = window.bounds.elapsed(now);
                let events = history::events(&project.id, &project.usage[0], start, end);
                let hundredths: i64 = events.map(|event| event.hundredths).sum();
                let minutes = window.tally.series().find(|series| series.measure == Measure::Minutes).unwrap();
                assert_eq!(
                    window.tally.value(minutes),
                    format!("{hundredths}e-2").parse().ok(),
                    "{service}: {window:?}"
                );
            }
        }
        assert!(requests[1] < requests[0], "{service}: {requests:?}");
    }
}

/// A poller of one window, `today`, with the further `keys` of the project.
async fn poller_of_today(address: SocketAddr, page_size: usize, keys: &str) -> Arc<Poller> {
    let text = format!(
        "api: {{requests_per_second: 1000, max_retries: 0, page_size: {page_size}}}\n\
         windows: [today]\n\
         credentials: {{main: {{token: t}}}}\n\
         projects: [{{name: p, endpoint: 'http://{address}', project_id: 5f0d1e2c3b4a59687786a5b4c3d2e103{keys}}}]"
    );
    let loaded = load_text(text, Path::new("config.yaml"), &Environment::default()).await;
    let config = loaded.config.unwrap_or_else(|| panic!("{:?}", loaded.problems));
    Arc::clone(&Fleet::new(config, &Environment::default(), Utc::now).unwrap().pollers()[0])
}

/// A page of buckets, each with a row of so many minutes, or with any JSON in place of the minutes.
fn page(rows: &[(&str, &str)]) -> (&'static str, String) {
    let bucket = |(time, usage): &(&str, &str)| {
        format!(
            r#"{{"time":"{time}","resources_usage":[{{"resource_type":"r","business_type":"B","usage":{usage},"unit":"MIN"}}]}}"#
        )
    };
    let buckets: Vec<String> = rows.iter().map(bucket).collect();
    ("200 OK", format!(r#"{{"time_list":[{}]}}"#, buckets.join(",")))
}

#[tokio::test]
async fn pages_overlap_and_rows_of_one_key_all_count() {
    let pages = [&[("t", "1"), ("t", "2")][..], &[("t", "2"), ("t", "4")], &[("t", "4")]];
    let pages = pages.into_iter().map(page).collect();
    let poller = poller_of_today(scripted(pages, |_| {}).await, 2, "").await;
    let attempt = poller.poll(Utc::now()).await;
    let windows = attempt.result.unwrap();
    let series = windows[0].tally.series().next().unwrap();
    assert_eq!(windows[0].tally.value(series), Some(7.0));
    assert_eq!(attempt.counters.requests(), 3);
    assert_eq!(attempt.doubts.keys().collect::<Vec<_>>(), [&Doubt::UnreadableTime], "t is no time");
}

#[tokio::test]
async fn a_value_that_cannot_be_read_fails_the_poll() {
    for usage in [r#""1,234.5""#, r#""n/a""#, "1e30", "true"] {
        let poller = poller_of_today(scripted(vec![page(&[("t", usage)])], |_| {}).await, 1000, "").await;
        let failure = poller.poll(Utc::now()).await.result.unwrap_err();
        assert_eq!(failure.reason, Reason::Malformed, "{}", failure.message);
        assert!(failure.message.contains("usage has a value that cannot be read"), "{}", failure.message);
    }
}

#[tokio::test]
async fn a_series_that_lacks_a_value_is_a_doubt_and_has_no_value() {
    let pages = vec![page(&[("t", "1"), ("t", "null")]), page(&[("t", "null")])];
    let poller = poller_of_today(scripted(pages, |_| {}).await, 1000, "").await;
    let attempt = poller.poll(Utc::now()).await;
    assert!(attempt.doubts.contains_key(&Doubt::ValueMissing), "{:?}", attempt.doubts);
    let (mut writer, reader) = snapshot::channel(vec![Target::new(&*poller.project().name)]);
    writer.record(0, attempt, None);
    let snapshot = reader.load();
    let usage = snapshot.projects[0].usage.as_ref().unwrap();
    assert_eq!((usage.series.len(), usage.of(&usage.windows[0]).count()), (1, 0), "neither 1 nor 0");
}

#[tokio::test]
async fn users_without_effect_are_refused() {
    let same = || page(&[("t", "100")]);
    let users = ", user_ids: [a, b]";
    // Both users, then all users.
    let poller = poller_of_today(scripted(vec![same(), same(), same()], |_| {}).await, 1000, users).await;
    let failure = poller.poll(Utc::now()).await.result.unwrap_err();
    assert_eq!(failure.reason, Reason::Inconsistent);
    assert!(failure.message.contains("ignores user_id"), "{}", failure.message);
    // With a single user, the exporter cannot tell whether user_id has an effect.
    let poller = poller_of_today(scripted(vec![same(), same()], |_| {}).await, 1000, ", user_ids: [a]").await;
    let doubts = poller.poll(Utc::now()).await.doubts;
    assert!(doubts.contains_key(&Doubt::UserWithoutEffect), "{doubts:?}");
    // Two users with half of the usage each. The effect of user_id is proven once.
    let half = || page(&[("t", "50")]);
    let answers = vec![half(), half(), same(), half(), half()];
    let poller = poller_of_today(scripted(answers, |_| {}).await, 1000, users).await;
    for requests in [3, 2] {
        let attempt = poller.poll(Utc::now()).await;
        assert!(attempt.result.is_ok(), "{:?}", attempt.result);
        assert_eq!(attempt.counters.requests(), requests);
    }
}

/// The values of the series of a poll of one window, by user.
fn by_user(attempt: &PollOutcome) -> Vec<(String, f64)> {
    let tally = &attempt.result.as_ref().unwrap()[0].tally;
    let minutes = tally.series().filter(|series| series.measure == Measure::Minutes);
    minutes.map(|series| (series.user_id.clone().unwrap_or_default(), tally.value(series).unwrap())).collect()
}

fn of_users(values: &[(&str, f64)]) -> Vec<(String, f64)> {
    values.iter().map(|(user, value)| ((*user).to_owned(), *value)).collect()
}

/// A list of sub-users with these ids.
fn list(ids: &[&str]) -> (&'static str, String) {
    let users: Vec<String> = ids.iter().map(|id| format!(r#"{{"user_id":"{id}"}}"#)).collect();
    ("200 OK", format!(r#"{{"count":{},"assets":[{}]}}"#, ids.len(), users.join(",")))
}

#[tokio::test]
async fn all_sub_users_have_series_of_their_own_and_the_list_is_asked_for_when_it_is_old() {
    let minutes = |minutes: &'static str| page(&[("t", minutes)]);
    let mut answers = vec![list(&["b", "a"]), minutes("100"), minutes("30"), minutes("50"), minutes("100")];
    // One poll half a minute before the list is old, and one when it is old.
    answers.extend([minutes("100"), minutes("30"), minutes("50"), minutes("101")]);
    answers.extend([list(&["b"]), minutes("100"), minutes("50"), minutes("100")]);
    // Then the list fails, and is asked for again at the next poll.
    answers.extend([("500 Internal Server Error", "{}".to_owned()), minutes("100"), minutes("50"), minutes("100")]);
    answers.extend([list(&[]), minutes("100")]);
    let poller = poller_of_today(scripted(answers, |_| {}).await, 1000, ", user_ids: all").await;
    let start = Utc::now();
    for (after, requests, expected, users) in [
        (0, 5, &[("", 20.0), ("a", 30.0), ("b", 50.0)][..], &["a", "b"][..]),
        (1770, 4, &[("", 20.0), ("a", 30.0), ("b", 50.0)], &["a", "b"]),
        (1800, 4, &[("", 50.0), ("b", 50.0)], &["b"]),
        (3600, 4, &[("", 50.0), ("b", 50.0)], &["b"]),
        (3601, 2, &[("", 100.0)], &[]),
    ] {
        let attempt = poller.poll(start + chrono::TimeDelta::seconds(after)).await;
        assert_eq!(by_user(&attempt), of_users(expected), "{after}");
        assert_eq!(attempt.counters.requests(), requests, "{after}");
        assert!(!attempt.doubts.contains_key(&Doubt::UsersNotListed), "{after}: {:?}", attempt.doubts);
        let users = users.iter().map(|id| (*id).to_owned()).collect();
        assert_eq!(attempt.sub_users, Some(users), "{after}");
    }
}

#[tokio::test]
async fn without_a_list_all_usage_is_that_of_no_user() {
    let whole = || page(&[("t", "100")]);
    let refused = || ("403 Forbidden", r#"{"error_code":"MSS.00000001","error_msg":"no"}"#.to_owned());
    let broken = || ("503 Service Unavailable", "{}".to_owned());
    // After a refusal, the list is asked for again after an hour. After another failure, at the next poll.
    let mut answers = vec![refused(), whole(), whole(), broken(), whole(), broken(), whole()];
    answers.extend([list(&["a"]), whole(), page(&[("t", "60")]), whole(), page(&[("t", "60")])]);
    let poller = poller_of_today(scripted(answers, |_| {}).await, 1000, ", user_ids: all").await;
    let start = Utc::now();
    for (after, requests, seen) in [
        (0, 2, "could not be listed: HTTP 403 MSS.00000001: no"),
        (3590, 1, "HTTP 403"),
        (3600, 2, "HTTP 503"),
        (3601, 2, "HTTP 503"),
    ] {
        let attempt = poller.poll(start + chrono::TimeDelta::seconds(after)).await;
        assert_eq!(by_user(&attempt), of_users(&[("", 100.0)]), "{after}");
        assert_eq!(attempt.counters.requests(), requests, "{after}");
        assert!(attempt.doubts[&Doubt::UsersNotListed].contains(seen), "{after}: {:?}", attempt.doubts);
    }
    let attempt = poller.poll(start + chrono::TimeDelta::seconds(3602)).await;
    assert_eq!(by_user(&attempt), of_users(&[("", 40.0), ("a", 60.0)]));
    assert!(!attempt.doubts.contains_key(&Doubt::UsersNotListed), "{:?}", attempt.doubts);
}

#[tokio::test]
async fn a_key_that_is_refused_for_the_list_is_on_hold_for_the_poll() {
    let refused = ("401 Unauthorized", r#"{"error_code":"APIGW.0301","error_msg":"no"}"#.to_owned());
    let poller = poller_of_today(scripted(vec![refused], |_| {}).await, 1000, ", user_ids: all").await;
    let attempt = poller.poll(Utc::now()).await;
    let failure = attempt.result.as_ref().unwrap_err();
    assert_eq!(failure.reason, Reason::Auth);
    assert!(failure.message.starts_with("list of sub-users: HTTP 401"), "{}", failure.message);
    assert_eq!((attempt.counters.requests(), attempt.sub_users), (1, None), "nothing more is sent");
    let attempt = poller.poll(Utc::now()).await;
    let failure = attempt.result.unwrap_err();
    assert!(failure.message.contains("not sent: the key"), "{}", failure.message);
    assert_eq!(attempt.counters.requests(), 0);
}

#[tokio::test]
async fn a_list_without_an_answer_leaves_time_for_the_usage() {
    let (simulator, address, _stop) = cloud(&["hang:project=ListUserQuotas"]).await;
    let options = simulator.options();
    let text = format!(
        "api: {{requests_per_second: 1000, request_timeout: 1s}}\npoll: {{timeout: 6s, interval: 1m}}\n\
         credentials: {{main: {{{}}}}}\n\
         projects: [{{name: campaign, endpoint: 'http://{address}', project_id: {}, user_ids: all}}]",
        keys(&simulator),
        options.projects[2].id
    );
    let loaded = load_text(text, Path::new("config.yaml"), &Environment::default()).await;
    let fleet = Fleet::new(loaded.config.unwrap(), &Environment::default(), Utc::now).unwrap();
    let attempt = fleet.pollers()[0].poll(Utc::now()).await;
    assert!(attempt.doubts.contains_key(&Doubt::UsersNotListed), "{:?} {:?}", attempt.result, attempt.doubts);
    assert!(attempt.result.unwrap().iter().any(|window| window.tally.series().next().is_some()));
    let asked = |operation| attempt.counters.api(operation).unwrap().by_status.clone();
    assert_eq!(asked(Operation::ListUserQuotas), [(None, 1)].into(), "more could get the key on hold");
}

#[tokio::test]
async fn nothing_configured_is_silently_without_effect() {
    let keys = ", user_ids: [a, b], resource_types: [r, video_2d], budgets: [{window: today, minutes: 50, business_type: live}]";
    let empty = || ("200 OK", r#"{"count":0,"time_list":[]}"#.to_owned());
    let answers = vec![page(&[("t", "1")]), empty(), page(&[("t", "1")])];
    let poller = poller_of_today(scripted(answers, |_| {}).await, 1000, keys).await;
    let doubts = poller.poll(Utc::now()).await.doubts;
    let wanted = [Doubt::BudgetMatchesNothing, Doubt::FilterMatchesNothing, Doubt::UserMatchesNothing];
    for (doubt, seen) in wanted.into_iter().zip(["live", "video_2d", "user b"]) {
        assert!(doubts[&doubt].contains(seen), "{doubts:?}");
    }
    // Without any usage there is nothing to match.
    let poller = poller_of_today(scripted(vec![empty(), empty(), empty()], |_| {}).await, 1000, keys).await;
    assert_eq!(poller.poll(Utc::now()).await.doubts.len(), 0);
}

#[tokio::test]
async fn a_pollers_debug_output_shows_no_secret() {
    let (_, address, _stop) = cloud(&[]).await;
    let poller = poller(address, "access_key: canary-ak, secret_key: canary-sk", 1000).await;
    let shown = format!("{poller:?}");
    assert!(shown.contains("campaign") && !shown.contains("canary"), "{shown}");
}
