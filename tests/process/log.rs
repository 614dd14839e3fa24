//! Standard error and standard output that are not read, or that are closed.

use std::{process::Stdio, sync::Arc, time::Duration};

use crate::support::{Cloud, Daemon, FAST, command, run, sample, wait_for};

const DROPPED: &str = "metastudio_exporter_log_lines_dropped_total";

/// Makes more lines of the log than the pipe and the queue hold: the poll of each project fails and logs a line.
fn many_failing_projects() -> String {
    let mut config = "api: {requests_per_second: 1000, max_retries: 0}\ncredentials: {main: {token: t}}\n\
        poll: {concurrency: 100}\nprojects:\n"
        .to_owned();
    let long = "x".repeat(1000);
    for number in 0..600 {
        config +=
            &format!("  - {{name: {long}-{number}, endpoint: 'http://127.0.0.1:9', project_id: '{number:032x}'}}\n");
    }
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_stops_neither_polls_nor_the_shutdown() {
    let mut daemon = Daemon::start(&many_failing_projects(), &["--log.level=debug"]);
    let reading = Arc::clone(&daemon.reading);
    let unread = reading.lock().await;
    daemon.ready().await;
    assert!(sample(&daemon.metrics().await, DROPPED) > Some(0.0));
    daemon.signal("TERM");
    let (status, took) = daemon.wait();
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
    drop(unread);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_continues_with_whole_lines_and_says_how_many_are_missing() {
    let mut daemon = Daemon::start(&many_failing_projects(), &[]);
    let reading = Arc::clone(&daemon.reading);
    let unread = reading.lock().await;
    daemon.ready().await;
    let dropped = sample(&daemon.metrics().await, DROPPED).unwrap();
    drop(unread);
    daemon.wait_for_log(&format!("log lines were dropped, because standard error was not read\" lines={dropped}"));
    daemon.signal("TERM");
    daemon.wait();
    wait_for("the last line", || daemon.log_text().contains("shutting down").then_some(()));
    let log = daemon.log.lock().unwrap();
    assert!(log.iter().all(|line| line.starts_with("time=")), "a line is cut");
    let failed = log.iter().filter(|line| line.contains("poll failed")).count() as f64;
    assert!(failed + dropped >= 600.0, "{failed} + {dropped}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_log_stops_neither_polls_nor_the_shutdown() {
    let cloud = Cloud::new(&[]).await;
    let mut daemon = Daemon::start(&cloud.config(FAST), &[]);
    daemon.wait_for_log("every project has been polled once");
    *daemon.reading.lock().await = false;
    // Each reload logs a line. The pipe is closed after the first line.
    wait_for("the line of a reload", || {
        daemon.signal("HUP");
        daemon.log_text().contains("reload").then_some(())
    });
    daemon.signal("HUP");
    daemon.wait_for_metrics(|metrics| sample(metrics, DROPPED) > Some(0.0)).await;
    daemon.ready().await;
    daemon.signal("TERM");
    assert_eq!(daemon.wait().0.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_before_the_start_is_logged_completely() {
    // More than a pipe holds.
    let config = format!("{}zzz: 1", many_failing_projects().replace("name:", "nome:"));
    let ended = run(&config, &["serve"]).await;
    assert_eq!(ended.code, Some(1));
    for number in 0..600 {
        assert!(ended.stderr.contains(&format!("projects[{number}].nome")), "{number}");
    }
    assert!(ended.stderr.ends_with("msg=\"the configuration is not valid\"\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_standard_output_is_an_error() {
    let cloud = Cloud::new(&[]).await;
    let directory = tempfile::tempdir().unwrap();
    for arguments in [&["once"][..], &["check"], &["check", "--print"], &["check", "--online"]] {
        let mut command = command(&directory, &cloud.config(FAST), arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {stderr}");
        assert!(stderr.contains("cannot write to standard output: Broken pipe"), "{arguments:?}: {stderr}");
        assert!(!stderr.contains("panicked"), "{arguments:?}: {stderr}");
    }
}
