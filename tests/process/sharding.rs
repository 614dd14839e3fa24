//! Shards: several processes with the same configuration.

use std::collections::BTreeSet;

use crate::support::{Cloud, Daemon, FAST, run, run_with, sample};

/// The names of the projects in an exposition.
fn projects(metrics: &str) -> BTreeSet<String> {
    let lines = metrics.lines().filter_map(|line| line.strip_prefix("metastudio_up{project=\""));
    lines.map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn every_project_belongs_to_exactly_one_shard() {
    let cloud = Cloud::new(&[]).await;
    let config = cloud.config(FAST);
    let mut all = BTreeSet::new();
    for shard in ["0/2", "1/2"] {
        let ended = run(&config, &["once", "--shard", shard]).await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        for project in projects(&ended.stdout) {
            assert!(all.insert(project.clone()), "two shards have {project}");
            let checked = run(&config, &["check", "--shard", shard]).await.stdout;
            assert!(checked.contains(&format!("  {project} ")), "{checked}");
        }
    }
    assert_eq!(all, BTreeSet::from(["campaign", "live-commerce", "studio-prod"].map(str::to_owned)));
}

#[tokio::test]
async fn a_shard_without_projects_is_ready_and_healthy() {
    let cloud = Cloud::new(&[]).await;
    // Neither project hashes to shard 1.
    let config = cloud.config_of(&["studio-prod", "live-commerce"], &cloud.keys(), FAST);
    let daemon = Daemon::start(&config, &["--shard=1/3"]);
    daemon.ready().await;
    assert_eq!(daemon.get("/-/healthy").await.0, 200);
    let metrics = daemon.metrics().await;
    assert!(projects(&metrics).is_empty(), "{metrics}");
    assert_eq!(sample(&metrics, "metastudio_exporter_shard_info{shard=\"1\",shards=\"3\"}"), Some(1.0));
    daemon.wait_for_log("shard=1 shards=3 projects=0");
}

#[tokio::test]
async fn a_pod_of_a_stateful_set_finds_its_shard_in_its_host_name() {
    let cloud = Cloud::new(&[]).await;
    let config = cloud.config(FAST);
    let checked = async |host_name: &str| {
        let ended = run_with(&config, &["check", "--shard=auto/3"], &[("HOSTNAME", host_name)]).await;
        ended.stdout.lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(checked("exporter-0").await[0].starts_with("  campaign "));
    assert_eq!(checked("exporter-1").await.len(), 1, "only the line of the total");
    assert!(checked("exporter-2").await[0].starts_with("  studio-prod "));
    for host_name in ["exporter-3", "exporter", "exporter-7d9f6c-x2x4z"] {
        let ended = run_with(&config, &["--shard=auto/3"], &[("HOSTNAME", host_name)]).await;
        let expected = format!("--shard auto/3: the host name {host_name} does not end in -0 to -2");
        assert!(ended.code == Some(1) && ended.stderr.contains(&expected), "{}", ended.stderr);
    }
    for shard in ["3/3", "0/0", "1", "-1/3", "a/3", "auto", "auto/0", "0/3/1", "0/1001"] {
        let ended = run(&config, &["check", &format!("--shard={shard}")]).await;
        assert!(
            ended.code == Some(2) && ended.stderr.contains("such as 0/3, or auto/TOTAL"),
            "{shard}: {}",
            ended.stderr
        );
    }
}
