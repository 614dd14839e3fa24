//! The collector of live sessions and videos.

use chrono::Utc;
use metastudio_exporter::simulator::{Options, SECRETS};

use super::support::{Cloud, Daemon, Ended, FAST, once, run};

const COLLECT: &str = "collect: [sessions]";
const UP: &str = "metastudio_collector_up{project=\"campaign\",account=\"\",collector=\"sessions\"}";

/// The project campaign has no live sessions of its own.
async fn sessions(service: &str, faults: &[&str]) -> (Cloud, Ended) {
    let faults = faults.iter().map(|fault| fault.parse().unwrap()).collect();
    let cloud = Cloud::with(Options { service: service.parse().unwrap(), faults, ..Options::default() }).await;
    let config = cloud.config_of(&["campaign"], &cloud.keys(), &format!("{FAST}\n{COLLECT}"));
    let ended = run(&config, &["once", "--log.level=debug"]).await;
    (cloud, ended)
}

fn live(ended: &Ended, mode: &str) -> Option<f64> {
    ended.sample(&format!(
        "metastudio_live_sessions{{project=\"campaign\",collector=\"sessions\",charging_mode=\"{mode}\"}}"
    ))
}

fn videos(ended: &Ended, state: &str) -> Option<f64> {
    ended.sample(&format!("metastudio_videos{{project=\"campaign\",collector=\"sessions\",state=\"{state}\"}}"))
}

const OLDEST: &str =
    "metastudio_live_session_oldest_start_timestamp_seconds{project=\"campaign\",collector=\"sessions\"}";

#[tokio::test]
async fn running_sessions_and_the_queue_are_exported() {
    for service in ["", ",cap=30", ",count=absent", ",numbers=texts", ",numbers=integers"] {
        let (cloud, ended) = sessions(&format!("sessions=150,session-hours=30{service}"), &[]).await;
        assert_eq!((ended.code, ended.sample(UP)), (Some(0), Some(1.0)), "{service}: {}", ended.stderr);
        assert_eq!(
            ["PERIODIC", "ONE_TIME", "ON_DEMAND", "UNKNOWN"].map(|mode| live(&ended, mode)),
            [Some(0.0), Some(0.0), Some(150.0), Some(0.0)]
        );
        let age = Utc::now().timestamp() as f64 - ended.sample(OLDEST).unwrap();
        assert!((age - 30.0 * 3600.0).abs() < 60.0, "{age}");
        assert!(videos(&ended, "WAITING") >= Some(150.0), "{}", ended.stdout);
        assert!(videos(&ended, "PROCESSING").is_some() && videos(&ended, "FAILED") < Some(60.0));
        let max = "metastudio_live_session_max_duration_seconds{project=\"campaign\",collector=\"sessions\"}";
        assert_eq!(ended.sample(max), Some(86_400.0));
        let asked = cloud.simulator.seen();
        let limits = asked.iter().filter(|request| !request.target.contains("data-analysis"));
        assert!(limits.clone().all(|request| request.target.contains("limit=100")), "{service}");
        let since = limits
            .clone()
            .filter_map(|request| Some(request.target.split("create_since=").nth(1)?.split('&').next()?.len()));
        // The time has 20 characters. Each of its two colons is encoded as three characters.
        assert!(since.into_iter().all(|length| length == 24), "{service}");
    }
}

/// The project live-commerce has live sessions and videos that have ended.
#[tokio::test]
async fn a_service_that_ignores_the_filter_of_states_is_counted_right() {
    let mut counts = Vec::new();
    // A session may begin or end between two runs.
    for _ in 0..3 {
        for service in ["sessions=2", "sessions=2,states=ignored"] {
            let cloud = Cloud::of(service).await;
            let config = cloud.config_of(&["live-commerce"], &cloud.keys(), &format!("{FAST}\n{COLLECT}"));
            let ended = once(&config).await;
            let doubt = |name: &str| {
                let of_collector = "project=\"live-commerce\",account=\"\",collector=\"sessions\"";
                ended.sample(&format!("metastudio_collector_doubts{{{of_collector},doubt=\"{name}\"}}"))
            };
            let is_ignored = service.contains("ignored");
            assert_eq!(doubt("filter_ignored"), Some(f64::from(u8::from(is_ignored))), "{}", ended.stderr);
            assert_eq!(doubt("value_missing"), Some(0.0));
            assert_eq!(ended.stderr.contains("doubt=filter_ignored"), is_ignored, "{}", ended.stderr);
            let lines = ended.stdout;
            let lines = lines
                .lines()
                .filter(|line| line.starts_with("metastudio_live_sessions{") || line.starts_with("metastudio_videos{"));
            counts.push(lines.map(str::to_owned).collect::<Vec<_>>());
        }
        if counts[counts.len() - 2] == counts[counts.len() - 1] {
            break;
        }
    }
    assert_eq!(counts[counts.len() - 2], counts[counts.len() - 1]);
    assert_eq!(counts[0].len(), 7);
    assert!(counts[0].iter().any(|line| line.contains("ON_DEMAND") && line.ends_with(" 2")), "{counts:?}");
}

#[tokio::test]
async fn without_a_session_there_is_0_and_no_start() {
    for empty in ["list", "absent", "null"] {
        let (_, ended) = sessions(&format!("empty={empty}"), &[]).await;
        assert_eq!(ended.sample(UP), Some(1.0), "{empty}: {}", ended.stderr);
        assert_eq!((live(&ended, "ON_DEMAND"), ended.sample(OLDEST)), (Some(0.0), None), "{empty}");
    }
}

#[tokio::test]
async fn a_list_that_may_be_incomplete_is_refused_and_the_usage_stays() {
    for service in ["sessions=150,changes=deleted", "sessions=150,changes=inserted"] {
        let (_, ended) = sessions(service, &[]).await;
        assert_eq!(ended.sample(UP), Some(0.0), "{service}");
        assert!(!ended.stdout.contains("metastudio_live_sessions"), "{service}");
    }
    for fault in ["forbidden", "html", "truncate", "empty"] {
        for operation in ["ListSmartLiveJobs", "ListDigitalHumanVideo"] {
            let (_, ended) = sessions("sessions=3", &[&format!("{fault}:project={operation}")]).await;
            assert_eq!((ended.code, ended.sample(UP)), (Some(0), Some(0.0)), "{fault} {operation}");
            assert!(ended.stdout.contains("metastudio_usage_minutes{"), "{fault} {operation}");
        }
    }
}

/// The answers have tokens, keys, signed addresses and names. No output has them, even if the answer is not complete.
#[tokio::test]
async fn nothing_of_an_answer_is_shown() {
    for (service, faults) in [
        ("sessions=3", &[][..]),
        ("sessions=3", &["truncate:project=ListSmartLiveJobs"]),
        ("sessions=3,numbers=words", &[]),
    ] {
        let faults = faults.iter().map(|fault| fault.parse().unwrap()).collect();
        let is_malformed = service.contains("words");
        let service = service.parse().unwrap();
        let cloud = Cloud::with(Options { service, faults, ..Options::default() }).await;
        let config =
            cloud.config_of(&["studio-prod", "live-commerce"], &cloud.keys(), &format!("{FAST}\ncollect: all"));
        let mut output = String::new();
        for arguments in [&["once", "--log.level=debug"][..], &["check", "--online", "--log.level=debug"]] {
            let ended = run(&config, arguments).await;
            output += &(ended.stdout + &ended.stderr);
        }
        let daemon = Daemon::start(&config, &["--log.level=debug"]);
        daemon.ready().await;
        daemon.wait_for_metrics(|text| text.matches("metastudio_collector_up{").count() == 8).await;
        for path in ["/", "/metrics"] {
            output += &daemon.get(path).await.1;
        }
        output += &daemon.log_text();
        for secret in SECRETS.into_iter().chain(["further-", "直播间"]) {
            let is_shown = output.lines().find(|line| line.contains(secret));
            assert_eq!(is_shown, None, "{secret}");
        }
        assert_eq!(output.contains("count has a value that cannot be read"), is_malformed, "{output}");
    }
}

/// With `collect: all`, a collector that the service refuses is no failure that an alert should report.
#[tokio::test]
async fn a_collector_that_is_not_named_may_be_refused() {
    let cloud = Cloud::new(&["forbidden:project=ListSmartLiveJobs", "server-error:project=ListUserQuotas"]).await;
    for (collect, of_sessions) in [("all", 1.0), ("[sessions, sub_users, packages]", 0.0)] {
        let config = cloud.config_of(&["campaign"], &cloud.keys(), &format!("{FAST}\ncollect: {collect}"));
        let ended = once(&config).await;
        let unavailable = |collector: &str| {
            ended.sample(&format!(
                "metastudio_collector_unavailable{{project=\"campaign\",account=\"\",collector=\"{collector}\"}}"
            ))
        };
        assert_eq!(unavailable("sessions"), Some(of_sessions), "{collect}");
        assert_eq!([unavailable("sub_users"), unavailable("packages")], [Some(0.0); 2], "{collect}: it is not refused");
        assert_eq!(ended.sample(UP), Some(0.0), "{collect}");
    }
    let cloud = Cloud::new(&["forbidden:project=ListSmartLiveJobs"]).await;
    let config = cloud.config_of(&["campaign"], &cloud.keys(), FAST);
    for (collect, code) in [("all", 0), ("[sessions]", 1), ("[packages]", 0)] {
        let ended = run(&format!("collect: {collect}\n{config}"), &["check", "--online"]).await;
        assert_eq!(ended.code, Some(code), "{collect}: {}", ended.stdout);
    }
}
