//! Each source of credentials against the simulated IAM and metadata service: first use, renewal, failure, recovery.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use chrono::Utc;
use metastudio_exporter::{
    cloud::{Connector, client::Client},
    config::{Environment, load_text},
    polling::Poller,
    simulator::{Options, Simulator},
    snapshot::Attempt,
    usage::Reason,
};
use tokio_util::sync::{CancellationToken, DropGuard};

struct World {
    simulator: Arc<Simulator>,
    pollers: Vec<Poller>,
    _stop: DropGuard,
}

/// A cloud with faults, whose tokens and keys live so many hours, and pollers of two of its projects with the same
/// credentials; `ADDRESS` in them is where it is.
async fn world(credentials: &str, hours: u64, faults: &[&str]) -> World {
    let faults = faults.iter().map(|fault| fault.parse().unwrap()).collect();
    let lifetime = Duration::from_secs(hours * 3600);
    let simulator = Simulator::new(Options { faults, lifetime, ..Options::default() });
    let stop = CancellationToken::new();
    let address = simulator.spawn(stop.clone()).await.unwrap();
    let pollers = pollers(address, credentials).await;
    World { simulator, pollers, _stop: stop.drop_guard() }
}

async fn pollers(address: SocketAddr, credentials: &str) -> Vec<Poller> {
    let credentials = credentials.replace("ADDRESS", &format!("'http://{address}'"));
    let text = format!(
        "api: {{requests_per_second: 1000, max_retries: 0}}
windows: [yesterday]
credentials: {{main: {{{credentials}}}}}
projects:
  - {{name: studio-prod, endpoint: 'http://{address}', project_id: 5f0d1e2c3b4a59687786a5b4c3d2e101}}
  - {{name: campaign, endpoint: 'http://{address}', project_id: 5f0d1e2c3b4a59687786a5b4c3d2e103}}
"
    );
    let loaded = load_text(text, Path::new("config.yaml"), &Environment::default()).await;
    let config = loaded.config.unwrap_or_else(|| panic!("{:?}", loaded.problems));
    let connector = Connector::new(config.api.clone(), Utc::now).unwrap();
    let credentials = connector.credentials("main", config.credentials["main"].clone(), Environment::default());
    let client = |project| -> Client { connector.client(project, Arc::clone(&credentials)) };
    let poller =
        |project| Poller::new(client(project), project.clone(), config.timezone, config.poll.timeout, Utc::now);
    config.projects.iter().map(poller).collect()
}

impl World {
    /// Polls all projects at the same time.
    async fn poll(&self) -> Vec<Option<Reason>> {
        let [first, second] = &self.pollers[..] else { panic!("two projects") };
        let (first, second) = tokio::join!(first.poll(), second.poll());
        [first, second].iter().map(reason).collect()
    }

    /// Waits until so many requests have been made to `iam` or `metadata`: renewals go on beside the polls.
    async fn asked_in_all(&self, place: &str, times: usize) {
        for _ in 0..1000 {
            if self.asked(place) >= times {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // Time for what comes of the last one.
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(self.asked(place), times);
    }

    /// How many requests there were to `iam` or `metadata`.
    fn asked(&self, place: &str) -> usize {
        self.simulator.seen().iter().filter(|seen| seen.project_id == place).count()
    }
}

fn reason(attempt: &Attempt) -> Option<Reason> {
    attempt.result.as_ref().err().map(|failure| failure.reason)
}

fn message(attempt: Attempt) -> String {
    attempt.result.unwrap_err().message
}

const GOOD: [Option<Reason>; 2] = [None, None];

/// Moves tokio's clock, and lets it run on with the real one: requests over sockets need it to.
async fn advance(minutes: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(minutes * 60)).await;
    tokio::time::resume();
}

const ROBOT: &str = "iam_user: {domain: simulated, user: robot, password: simulated-password, endpoint: ADDRESS}";
const AGENCY: &str = "ecs_agency: {endpoint: ADDRESS}";

#[tokio::test]
async fn a_user_gets_one_token_a_project_and_renews_it_in_time() {
    let world = world(ROBOT, 24, &[]).await;
    assert_eq!(world.poll().await, GOOD);
    assert_eq!(world.poll().await, GOOD);
    assert_eq!(world.asked("iam"), 2, "a token for each project");
    let attempt = world.pollers[0].poll().await;
    let left = attempt.credentials_expiry.unwrap() - Utc::now();
    assert!((1439..=1440).contains(&left.num_minutes()), "{left}");
    advance(22 * 60).await;
    assert_eq!(world.poll().await, GOOD);
    assert_eq!(world.asked("iam"), 2);
    advance(61).await;
    assert_eq!(world.poll().await, GOOD);
    world.asked_in_all("iam", 4).await; // an hour before their end
    assert_eq!(world.poll().await, GOOD);
    assert_eq!(world.asked("iam"), 4);
}

#[tokio::test]
async fn a_password_that_has_worked_survives_a_refusal() {
    let world = world(ROBOT, 24, &["echo:project=iam,after=2,times=1"]).await;
    assert_eq!(world.poll().await, GOOD);
    advance(23 * 60 + 1).await;
    for _ in 0..5 {
        assert_eq!(world.poll().await, GOOD, "with the old token of the one that was refused");
        tokio::time::sleep(Duration::from_millis(200)).await;
        advance(6).await;
    }
    advance(60).await;
    assert_eq!(world.poll().await, GOOD, "the old tokens have ended, and both have been renewed");
}

#[tokio::test]
async fn a_wrong_password_is_tried_once_until_it_changes() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "wrong").unwrap();
    let password = format!("password: {{file: {}}}", file.path().display());
    let world = world(&ROBOT.replace("password: simulated-password", &password), 24, &[]).await;
    let auth = [Some(Reason::Auth), Some(Reason::Auth)];
    assert_eq!(world.poll().await, auth);
    assert_eq!(world.asked("iam"), 1, "one request, for all projects");
    for _ in 0..3 {
        advance(60).await;
        assert_eq!(world.poll().await, auth);
    }
    assert_eq!(world.asked("iam"), 1, "and never again");
    assert!(message(world.pollers[0].poll().await).contains("IAM refused this password of user robot"));

    std::fs::write(file.path(), "simulated-password").unwrap();
    advance(2).await;
    assert_eq!(world.poll().await, GOOD);
}

#[tokio::test]
async fn iam_may_fail_while_the_token_is_good() {
    let world = world(ROBOT, 2, &["server-error:project=iam,after=2,times=2"]).await;
    assert_eq!(world.poll().await, GOOD);
    advance(61).await;
    assert_eq!(world.poll().await, GOOD, "with the old tokens");
    world.asked_in_all("iam", 4).await;
    advance(2).await;
    assert_eq!(world.poll().await, GOOD);
    world.asked_in_all("iam", 6).await; // IAM is back
    advance(58).await;
    assert_eq!(world.poll().await, GOOD, "with the new tokens");
}

#[tokio::test]
async fn what_iam_says_is_said_with_its_reason() {
    for (fault, reason, saying) in [
        ("server-error:project=iam", Reason::Server, "credentials main: HTTP 500 MSS.00000004"),
        ("hang:project=iam", Reason::Timeout, "credentials main: no answer came from 127.0.0.1"),
        ("html:project=iam", Reason::Malformed, "credentials main: unexpected answer: HTTP 200 OK where 201 was due"),
        ("echo:project=iam", Reason::Auth, "Check the domain, user and password"),
    ] {
        let world = world(ROBOT, 24, &[fault]).await;
        let attempt = world.pollers[0].poll().await;
        assert_eq!(self::reason(&attempt), Some(reason));
        let message = message(attempt);
        assert!(message.contains(saying), "{message}");
        assert!(!message.contains("simulated-password"), "{message}");
        assert!(!format!("{:?}", world.pollers[0]).contains("simulated-password"));
    }
}

#[tokio::test]
async fn a_token_that_ends_early_is_renewed_once() {
    let world = world(ROBOT, 24, &["echo:project=campaign,after=1,times=1"]).await;
    assert_eq!(world.poll().await, GOOD);
    advance(2).await;
    let attempt = world.pollers[1].poll().await;
    assert_eq!((reason(&attempt), attempt.retries, attempt.requests[&Some(401)]), (None, 1, 1));
    assert_eq!(world.asked("iam"), 3);
}

#[tokio::test]
async fn an_agency_gives_keys_to_all_projects_and_renews_them_in_time() {
    let world = world(AGENCY, 1, &[]).await;
    assert_eq!(world.poll().await, GOOD);
    assert_eq!(world.poll().await, GOOD);
    assert_eq!(world.asked("metadata"), 2, "a token and the keys, once for both");
    advance(49).await;
    assert_eq!(world.poll().await, GOOD);
    assert_eq!(world.asked("metadata"), 2);
    advance(2).await;
    assert_eq!(world.poll().await, GOOD);
    world.asked_in_all("metadata", 4).await; // ten minutes before their end
    assert_eq!(world.poll().await, GOOD);
    assert_eq!(world.asked("metadata"), 4);
}

#[tokio::test]
async fn the_metadata_service_may_fail_while_the_keys_are_good() {
    let world = world(AGENCY, 1, &["hang:project=metadata,after=2"]).await;
    assert_eq!(world.poll().await, GOOD);
    advance(51).await;
    assert_eq!(world.poll().await, GOOD, "with the old keys");
    advance(10).await;
    let attempt = world.pollers[0].poll().await;
    assert_eq!(reason(&attempt), Some(Reason::Timeout));
    assert!(message(attempt).contains("credentials main: no answer came from"), "the keys have ended");
}

#[tokio::test]
async fn an_instance_without_token_service_is_asked_without() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = tokio::spawn(async move {
        let keys =
            r#"{"credential":{"access":"a","secret":"s","securitytoken":"t","expires_at":"2999-01-01T00:00:00Z"}}"#;
        let mut heads = Vec::new();
        for (status, body) in [("404 Not Found", ""), ("200 OK", keys), ("200 OK", r#"{"count":0}"#)] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 4096];
            let length = stream.read(&mut head).await.unwrap();
            heads.push(String::from_utf8(head[..length].to_vec()).unwrap());
            let length = body.len();
            let answer = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        heads
    });
    let pollers = pollers(address, AGENCY).await;
    assert_eq!(reason(&pollers[0].poll().await), None);
    let heads = served.await.unwrap();
    assert!(heads[0].starts_with("PUT /meta-data/latest/api/token ") && heads[0].contains("21600"), "{heads:?}");
    assert!(heads[1].starts_with("GET /openstack/latest/securitykey "), "{heads:?}");
    assert!(heads[2].contains("x-security-token: t") && heads[2].contains("Access=a,"), "{heads:?}");
}
