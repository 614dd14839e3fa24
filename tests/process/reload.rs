//! Reloads: all or nothing, and only changed projects are polled.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};

use crate::support::{Cloud, Daemon, FAST, client, once, sample};

const LIFECYCLE: [&str; 1] = ["--web.enable-lifecycle"];
const SUCCESSFUL: &str = "metastudio_exporter_config_last_reload_successful";
const HASH: &str = "metastudio_exporter_config_hash";

/// The number of requests for a project.
fn requests(cloud: &Cloud, name: &str) -> usize {
    let projects = &cloud.simulator.options().projects;
    let id = &projects.iter().find(|project| project.name == name).unwrap().id;
    cloud.simulator.seen().iter().filter(|seen| seen.recipient == *id).count()
}

fn polls(metrics: &str, project: &str) -> Option<f64> {
    sample(metrics, &format!("metastudio_polls_total{{project=\"{project}\"}}"))
}

fn has_usage(metrics: &str, project: &str) -> bool {
    metrics.contains(&format!("\nmetastudio_usage_minutes{{project=\"{project}\","))
}

#[tokio::test]
async fn http_reloads_must_be_enabled_and_sighup_always_reloads() {
    let cloud = Cloud::new(&[]).await;
    let daemon = Daemon::start(&cloud.config(FAST), &[]);
    let (status, text) = daemon.reload().await;
    assert_eq!(status, 403);
    assert!(text.contains("--web.enable-lifecycle"), "{text}");
    daemon.signal("HUP");
    daemon.wait_for_log("configuration reloaded\" added=0 removed=0 changed=0 unchanged=3");

    let daemon = Daemon::start(&cloud.config(FAST), &LIFECYCLE);
    assert_eq!(daemon.reload().await, (200, "Reloaded.\n".to_owned()));
    let put = client().put(daemon.url("/-/reload")).send().await.unwrap();
    assert_eq!(put.status(), 200);
    let get = client().get(daemon.url("/-/reload")).send().await.unwrap();
    assert_eq!((get.status().as_u16(), get.headers()["allow"].to_str().unwrap()), (405, "POST, PUT"));
    let metrics = daemon.metrics().await;
    let handled = "metastudio_exporter_http_requests_total{handler=\"/-/reload\",code=\"200\"}";
    assert_eq!(sample(&metrics, handled), Some(2.0), "{metrics}");
}

#[tokio::test]
async fn a_failed_reload_keeps_the_old_configuration_and_reports_the_reason() {
    let cloud = Cloud::new(&[]).await;
    let good = cloud.config(FAST);
    let daemon = Daemon::start(&good, &LIFECYCLE);
    daemon.ready().await;
    let before = daemon.metrics().await;
    assert_eq!(sample(&before, SUCCESSFUL), Some(1.0));
    for (bad, problem) in [
        ("projects: [", "is not YAML"),
        (
            &*good.replace("name: campaign", "name: campaign, windows: [tomorrow]"),
            "projects[2] (campaign).windows[0]: found",
        ),
        (&good.replace("secret_key: ", "secret_key: {file: /nowhere/sk}, x: "), "cannot read /nowhere/sk"),
    ] {
        daemon.rewrite(bad);
        let (status, text) = daemon.reload().await;
        assert_eq!(status, 500);
        assert!(text.starts_with("Reload failed, the old configuration stays in use:\n"), "{text}");
        assert!(text.contains(problem) && !text.contains("Secret+Key"), "{text}");
        let metrics = daemon.metrics().await;
        assert_eq!((sample(&metrics, SUCCESSFUL), sample(&metrics, HASH)), (Some(0.0), sample(&before, HASH)));
        assert!(has_usage(&metrics, "campaign"));
        assert_eq!(polls(&metrics, "campaign"), Some(1.0));
    }
    daemon.wait_for_log("reload failed, the old configuration stays in use");
    daemon.rewrite(&format!("{good}# a comment\n"));
    assert_eq!(daemon.reload().await.0, 200);
    let metrics = daemon.metrics().await;
    assert_eq!(sample(&metrics, SUCCESSFUL), Some(1.0));
    assert_ne!(sample(&metrics, HASH), sample(&before, HASH));
}

#[tokio::test]
async fn a_reload_polls_changed_projects_and_drops_removed_ones() {
    let cloud = Cloud::new(&[]).await;
    let both = cloud.config_of(&["studio-prod", "live-commerce"], &cloud.keys(), FAST);
    let daemon = Daemon::start(&both, &LIFECYCLE);
    daemon.ready().await;
    let seen = |name| requests(&cloud, name);
    let (studio, live) = (seen("studio-prod"), seen("live-commerce"));
    assert!(studio >= 3 && live >= 3 && seen("campaign") == 0, "three windows each");

    daemon.rewrite(&cloud.config_of(&["campaign", "studio-prod"], &cloud.keys(), FAST));
    assert_eq!(daemon.reload().await.0, 200);
    let metrics = daemon.metrics().await;
    assert!(!metrics.contains("live-commerce"), "{metrics}");
    assert!(has_usage(&metrics, "studio-prod"));
    assert_eq!(daemon.get("/-/ready").await.0, 200, "a new project does not change readiness");
    daemon.wait_for_metrics(|metrics| has_usage(metrics, "campaign")).await;
    let campaign = seen("campaign");
    assert!(campaign >= 3);
    assert_eq!([seen("studio-prod"), seen("live-commerce")], [studio, live], "they are not polled again");

    // A new interval: the project is polled at once, and its usage stays.
    let slower = cloud
        .config_of(&["campaign", "studio-prod"], &cloud.keys(), FAST)
        .replace("name: campaign", "name: campaign, interval: 7m");
    daemon.rewrite(&slower);
    assert_eq!(daemon.reload().await.0, 200);
    assert!(has_usage(&daemon.metrics().await, "campaign"));
    daemon.wait_for_metrics(|metrics| polls(metrics, "campaign") == Some(2.0)).await;
    // New labels need no poll.
    let labelled = slower.replace("name: campaign", "name: campaign, labels: {team: red}");
    daemon.rewrite(&labelled);
    assert_eq!(daemon.reload().await.0, 200);
    let metrics = daemon.metrics().await;
    assert!(has_usage(&metrics, "campaign") && metrics.contains("team=\"red\""), "{metrics}");
    assert_eq!(seen("studio-prod"), studio);
    // With another interval it is polled anew, like a new project.
    assert!((2 * campaign - 2..2 * campaign + 3).contains(&seen("campaign")), "{campaign} {}", seen("campaign"));
}

/// After a change of the windows, the old sums belong to windows that are no longer configured.
#[tokio::test]
async fn usage_of_other_windows_is_removed_at_once() {
    let cloud = Cloud::new(&[]).await;
    assert_eq!(once(&cloud.config_of(&["campaign"], &cloud.keys(), FAST)).await.code, Some(0));
    let cloud = Cloud::new(&[&format!("hang:after={}", requests(&cloud, "campaign"))]).await;
    let config = cloud.config_of(&["campaign"], &cloud.keys(), FAST);
    let daemon = Daemon::start(&config, &LIFECYCLE);
    daemon.ready().await;
    assert!(has_usage(&daemon.metrics().await, "campaign"));
    daemon.rewrite(&config.replace("name: campaign", "name: campaign, windows: [today]"));
    assert_eq!(daemon.reload().await.0, 200);
    let metrics = daemon.metrics().await;
    assert!(!has_usage(&metrics, "campaign"), "{metrics}");
    assert_eq!(polls(&metrics, "campaign"), Some(1.0), "its counters continue");
}

#[tokio::test]
async fn connections_to_the_cloud_stay_open_across_reloads() {
    let cloud = Cloud::new(&[]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (front, behind) = (listener.local_addr().unwrap(), cloud.address);
    let accepted = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&accepted);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            counter.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let mut cloud = TcpStream::connect(behind).await.unwrap();
                let _ = copy_bidirectional(&mut stream, &mut cloud).await;
            });
        }
    });
    let config = |interval: u32| {
        let config =
            cloud.config_of(&["campaign"], &cloud.keys(), FAST).replace(&behind.to_string(), &front.to_string());
        config.replace("name: campaign", &format!("name: campaign, interval: {interval}m"))
    };
    let daemon = Daemon::start(&config(5), &LIFECYCLE);
    daemon.ready().await;
    let before = accepted.load(Ordering::Relaxed);
    for round in 1..=5 {
        daemon.rewrite(&config(5 + round));
        assert_eq!(daemon.reload().await.0, 200);
        daemon.wait_for_metrics(|metrics| polls(metrics, "campaign") == Some(f64::from(round) + 1.0)).await;
    }
    assert_eq!(accepted.load(Ordering::Relaxed), before);
}

#[tokio::test]
async fn reloads_get_no_key_and_no_user_locked() {
    let cloud = Cloud::new(&[]).await;
    let user =
        format!("iam_user: {{domain: simulated, user: robot, password: wrong, endpoint: 'http://{}'}}", cloud.address);
    for credentials in ["access_key: SIMULATEDACCESSKEY01, secret_key: wrong", &user] {
        let before = cloud.simulator.seen().len();
        let all = ["studio-prod", "live-commerce", "campaign"];
        let config =
            |size: u32| cloud.config_of(&all, credentials, &FAST.replace('}', &format!(", page_size: {size}}}")));
        let daemon = Daemon::start(&config(1000), &LIFECYCLE);
        daemon.ready().await;
        for round in 1..20 {
            daemon.rewrite(&config(1000 - round));
            assert_eq!(daemon.reload().await.0, 200);
            daemon.wait_for_metrics(|metrics| polls(metrics, "campaign") >= Some(f64::from(round) + 1.0)).await;
        }
        let refused = cloud.simulator.seen().iter().skip(before).filter(|seen| seen.status == Some(401)).count();
        assert_eq!(refused, 1, "{credentials}");
    }
}

#[tokio::test]
async fn reloads_do_not_affect_scrapes() {
    let cloud = Cloud::new(&[]).await;
    let config = |projects: &[&str], labels: &str| {
        cloud
            .config_of(projects, &cloud.keys(), FAST)
            .replace("name: live-commerce", &format!("name: live-commerce, {labels}"))
    };
    let some = config(&["campaign", "live-commerce"], "interval: 5m");
    let all = config(&["studio-prod", "live-commerce", "campaign"], "windows: [7d]");
    let daemon = Arc::new(Daemon::start(&some, &LIFECYCLE));
    daemon.ready().await;
    let done = Arc::new(AtomicBool::new(false));
    let scrapers: Vec<_> = (0..4)
        .map(|_| {
            let (daemon, done) = (Arc::clone(&daemon), Arc::clone(&done));
            tokio::spawn(async move {
                let client = client();
                let mut scrapes = 0;
                while !done.load(Ordering::Relaxed) {
                    let response = client.get(daemon.url("/metrics")).send().await.unwrap();
                    assert_eq!(response.status(), 200);
                    let text = response.text().await.unwrap();
                    assert!(has_usage(&text, "campaign"), "{text}");
                    assert_eq!(polls(&text, "campaign"), Some(1.0), "it did not change, so it is not polled");
                    scrapes += 1;
                }
                scrapes
            })
        })
        .collect();
    for round in 0..60 {
        daemon.rewrite(if round % 2 == 0 { &all } else { &some });
        assert_eq!(daemon.reload().await.0, 200);
    }
    done.store(true, Ordering::Relaxed);
    for scraper in scrapers {
        assert!(scraper.await.unwrap() > 60);
    }
}

/// A secret may be on a mount that hangs.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_hanging_reload_blocks_neither_scrapes_nor_shutdown() {
    let cloud = Cloud::new(&[]).await;
    let config = cloud.config(FAST);
    let mut daemon = Daemon::start(&config, &LIFECYCLE);
    daemon.ready().await;
    let directory = TempDir::new().unwrap();
    let Some(_mount) = crate::dead_mount::DeadMount::over(directory.path()) else { return };
    let file = directory.path().join("key");
    daemon.rewrite(
        &config.replace("access_key: SIMULATEDACCESSKEY01", &format!("access_key: {{file: {}}}", file.display())),
    );
    let url = daemon.url("/-/reload");
    let hanging =
        tokio::spawn(async move { client().post(url).send().await.map(|response| response.status().as_u16()) });
    tokio::time::sleep(Duration::from_millis(200)).await;
    for _ in 0..20 {
        assert!(has_usage(&daemon.metrics().await, "campaign"));
    }
    assert!(!hanging.is_finished());
    daemon.signal("TERM");
    let (status, took) = daemon.wait();
    assert!(status.success());
    assert!(took < Duration::from_secs(10), "{took:?}");
    hanging.abort();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_file_is_read_again_when_its_dead_mount_is_replaced() {
    let cloud = Cloud::new(&[]).await;
    let directory = TempDir::new().unwrap();
    let daemon =
        Daemon::start(&cloud.config_of(&["campaign"], &cloud.keys_in_files(directory.path()), FAST), &LIFECYCLE);
    daemon.ready().await;
    let Some(mount) = crate::dead_mount::DeadMount::over(directory.path()) else { return };
    let (status, body) = daemon.reload().await;
    assert!(status == 500 && body.contains("no answer within 5s; check the mount"), "{status} {body}");
    // The thread that reads the file stays blocked in the mount.
    mount.detach();
    let (status, body) = daemon.reload().await;
    assert_eq!(status, 200, "{body}");
}
