//! The collector of packages.

use metastudio_exporter::simulator::Options;

use super::support::{Cloud, Daemon, Ended, FAST, once, run};

const COLLECT: &str = "collect: [packages]";

async fn packages(service: &str, faults: &[&str]) -> (Cloud, Ended) {
    let faults = faults.iter().map(|fault| fault.parse().unwrap()).collect();
    let cloud = Cloud::with(Options { service: service.parse().unwrap(), faults, ..Options::default() }).await;
    let ended = once(&cloud.config_of(&["studio-prod"], &cloud.keys(), &format!("{FAST}\n{COLLECT}"))).await;
    (cloud, ended)
}

fn series(name: &str, package: &str, labels: &str) -> String {
    let own = format!("package=\"studio-prod-{package}\",resettable=\"\"");
    format!("metastudio_package_{name}{{project=\"studio-prod\",account=\"\",{own},{labels}}}")
}

const TRIAL: &str = "collector=\"packages\",resource_type=\"hws.resource.type.metastudio.avatarmodeling.videopacket\",\
    business_type=\"VIDEO_2D\",sub_resource_type=\"\",charging_mode=\"ONE_TIME\",resource_source=\"PURCHASED\",product_id=\"\",region=\"\"";
const CHANNELS: &str = "collector=\"packages\",resource_type=\"hws.resource.type.metastudio.modeling.avatarlive.channel\",\
    business_type=\"LIVE_2D\",sub_resource_type=\"\",charging_mode=\"PERIODIC\",resource_source=\"PURCHASED\",product_id=\"\",region=\"\"";

#[tokio::test]
async fn packages_are_exported_in_their_units() {
    let (_, ended) = packages("", &[]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(
        ended.sample("metastudio_collector_up{project=\"studio-prod\",account=\"\",collector=\"packages\"}"),
        Some(1.0)
    );
    let trial = |name, unit: &str| ended.sample(&series(name, "trial", &format!("{TRIAL}{unit}")));
    assert_eq!(
        [trial("bought", ",unit=\"NUM\""), trial("bought_minutes", "")],
        [Some(1.0), None],
        "packages, no minutes"
    );
    assert_eq!(ended.sample(&series("left", "channels", &format!("{CHANNELS},unit=\"CHANNEL\""))), Some(-1.0));
    assert_eq!(ended.sample(&series("frozen", "channels", CHANNELS)), Some(1.0));
    let sum = format!("metastudio_packages_left{{project=\"studio-prod\",account=\"\",{CHANNELS},unit=\"CHANNEL\"}}");
    assert_eq!(ended.sample(&sum), Some(0.0), "the rest of a frozen package does not count");
    let bundle: Vec<&str> = ended.stdout.lines().filter(|line| line.contains("studio-prod-bundle")).collect();
    assert!(bundle.iter().any(|line| line.starts_with("metastudio_package_used_minutes{") && line.ends_with(" 6.1")));
    assert!(!bundle.iter().any(|line| line.contains("expiry") || line.contains("left_minutes")), "{bundle:?}");
    let sums = ended.stdout.lines().filter(|line| line.starts_with("metastudio_packages{")).count();
    assert_eq!(sums, 6, "parts of bundles and entries that are billed on demand are not packages");
    assert!(!ended.stdout.contains("name of a customer"));
}

#[tokio::test]
async fn a_package_of_60_minutes_is_minutes_only_if_its_unit_says_so() {
    let (_, ended) = packages("videopacket=minutes", &[]).await;
    assert_eq!(ended.sample(&series("left_minutes", "trial", TRIAL)), Some(60.0));
}

#[tokio::test]
async fn a_list_of_several_pages_is_complete_or_refused() {
    for (service, requests) in [("packages=200", 3), ("packages=200,cap=30", 8), ("packages=50,count=absent", 2)] {
        let (cloud, ended) = packages(service, &[]).await;
        let further =
            ended.stdout.lines().filter(|line| line.starts_with("metastudio_packages{") && line.contains("SP_"));
        let number = service.split([',', '=']).nth(1).unwrap();
        assert!(further.into_iter().any(|line| line.ends_with(&format!(" {number}"))), "{service}: {}", ended.stdout);
        let seen = cloud.simulator.seen();
        assert_eq!(seen.iter().filter(|request| request.target.contains("/tenants/")).count(), requests, "{service}");
        let own = ended.stdout.lines().filter(|line| line.starts_with("metastudio_package_frozen{")).count();
        assert!(own <= 100, "{service}: {own}");
    }
    for service in ["packages=200,changes=deleted", "packages=200,changes=inserted"] {
        let (_, ended) = packages(service, &[]).await;
        assert_eq!(
            ended.sample("metastudio_collector_up{project=\"studio-prod\",account=\"\",collector=\"packages\"}"),
            Some(0.0)
        );
        assert!(!ended.stdout.contains("metastudio_packages"), "{service}");
        let failures = "metastudio_collector_failures_total{project=\"studio-prod\",account=\"\",collector=\"packages\",reason=\"inconsistent\"}";
        assert_eq!(ended.sample(failures), Some(1.0), "{service}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn a_refused_collector_never_touches_the_usage() {
    let (_, ended) = packages("", &["forbidden:project=ListTenantResources"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("metastudio_usage_minutes{"));
    assert!(
        ended.stderr.contains("collector failed")
            && ended.stderr.contains("remove packages and reconciliation from collect")
    );
    let requests =
        "metastudio_api_requests_total{project=\"studio-prod\",account=\"\",api=\"ListTenantResources\",code=\"403\"}";
    assert_eq!(ended.sample(requests), Some(1.0));
}

/// Polls and collectors run at the same time. A second failure would bring the key nearer to its lock.
#[tokio::test]
async fn a_wrong_key_is_refused_once() {
    let cloud = Cloud::new(&[]).await;
    let keys = "access_key: SIMULATEDACCESSKEY01, secret_key: wrong";
    let config = cloud.config_of(&["studio-prod", "campaign"], keys, &format!("{FAST}\n{COLLECT}"));
    let daemon = Daemon::start(&config, &[]);
    let failed = "collector=\"packages\"} 0";
    daemon
        .wait_for_metrics(|text| {
            let mut lines = text.lines().filter(|line| line.starts_with("metastudio_collector_up{"));
            lines.clone().count() == 2 && lines.all(|line| line.ends_with(failed))
        })
        .await;
    let refused = cloud.simulator.seen().iter().filter(|request| request.status == Some(401)).count();
    assert_eq!(refused, 1);
}

#[tokio::test]
async fn nothing_is_asked_unless_it_is_configured() {
    let cloud = Cloud::new(&[]).await;
    let ended = once(&cloud.config(FAST)).await;
    assert!(!ended.stdout.contains("collector") && !ended.stdout.contains("package"), "{}", ended.stdout);
    assert!(cloud.simulator.seen().iter().all(|request| request.target.contains("/data-analysis")));
    let config =
        format!("{}    collect: [packages]\n", cloud.config(FAST).replace(", project_id", ",\n    project_id"));
    assert!(run(&config, &["check"]).await.stderr.is_empty());
}

#[tokio::test]
async fn check_says_what_collectors_cost() {
    let cloud = Cloud::new(&[]).await;
    let config = cloud.config_of(&["studio-prod"], &cloud.keys(), &format!("{FAST}\n{COLLECT}"));
    let ended = run(&config, &["check", "--online"]).await;
    assert!(ended.stdout.contains("912: 3 windows every 5m, packages every 30m"), "{}", ended.stdout);
    assert!(ended.stdout.contains("ok    studio-prod  packages: 8, requests a day 48"), "{}", ended.stdout);
    let ended = run(&cloud.config_of(&["studio-prod"], &cloud.keys(), FAST), &["check", "--online"]).await;
    assert!(ended.stdout.contains("-     studio-prod  not in collect: packages: 8"), "{}", ended.stdout);
    let cloud = Cloud::new(&["forbidden:project=ListTenantResources"]).await;
    for (collect, code) in [("", 0), (COLLECT, 1)] {
        let config = cloud.config_of(&["studio-prod"], &cloud.keys(), &format!("{FAST}\n{collect}"));
        assert_eq!(run(&config, &["check", "--online"]).await.code, Some(code), "{collect}");
    }
}

/// No document says whether the list of a project has the packages of its whole account.
#[tokio::test]
async fn a_package_in_the_lists_of_two_projects_is_doubted() {
    let cloud = Cloud::of("").await;
    let config = cloud.config_of(&["campaign", "studio-prod"], &cloud.keys(), &format!("{FAST}\ncollect: [packages]"));
    let projects = &cloud.simulator.options().projects;
    let same = config.replace(&projects[0].id, &projects[2].id);
    assert_ne!(same, config);
    for (config, is_listed_twice) in [(config, false), (same, true)] {
        let ended = once(&config).await;
        let doubt = |project: &str| {
            let labels = format!("project=\"{project}\",account=\"\",collector=\"packages\",doubt=\"listed_twice\"");
            ended.sample(&format!("metastudio_collector_doubts{{{labels}}}")).unwrap()
        };
        // The project that is asked for first does not know of the other one until its next run.
        assert_eq!(doubt("campaign") + doubt("studio-prod") >= 1.0, is_listed_twice, "{}", ended.stderr);
        assert_eq!(ended.stderr.contains("is in the list of the project"), is_listed_twice, "{}", ended.stderr);
    }
}
