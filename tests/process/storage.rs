//! State that survives a restart (`--storage.path`): keys that were refused stay on hold.

use std::{fs, path::Path};

use tempfile::TempDir;

use crate::support::{Cloud, Daemon, FAST, run, wait_for};

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
    first.ready().await;
    let sent = cloud.simulator.seen().len();
    let second = run(&config, &[&flag(directory.path()), "--web.listen-address=127.0.0.1:0"]).await;
    assert_eq!(second.code, Some(1), "{}", second.stderr);
    assert!(second.stderr.contains("another process uses the directory of --storage.path, "), "{}", second.stderr);
    assert_eq!(cloud.simulator.seen().len(), sent);
}
