//! Each source of credentials against the simulated services: first use, renewal, failure, recovery, rotation. Also the
//! look-up of project ids.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use chrono::Utc;
use metastudio_exporter::{
    config::{Environment, load_text},
    polling::{Fleet, Poller},
    simulator::{Options, Simulator},
    snapshot::PollOutcome,
    usage::{Operation, Reason},
};
use tokio_util::sync::{CancellationToken, DropGuard};

struct World {
    simulator: Arc<Simulator>,
    address: SocketAddr,
    pollers: Vec<Arc<Poller>>,
    _stop: DropGuard,
}

/// A cloud with faults, whose tokens and keys are valid for `hours`, and pollers of two of its projects with the same
/// credentials. `ADDRESS` in the credentials is replaced by the address of the cloud.
async fn world(credentials: &str, hours: u64, faults: &[&str]) -> World {
    let faults = faults.iter().map(|fault| fault.parse().unwrap()).collect();
    let lifetime = Duration::from_secs(hours * 3600);
    let token = Some("given".to_owned());
    let simulator = Simulator::new(Options { faults, lifetime, token, records_requests: true, ..Options::default() });
    let stop = CancellationToken::new();
    let address = simulator.spawn(stop.clone()).await.unwrap();
    let pollers = pollers(address, credentials).await;
    World { simulator, address, pollers, _stop: stop.drop_guard() }
}

/// A cloud without faults and a poller for each of `projects`, which are fields of a project in YAML.
async fn world_of(credentials: &str, projects: &[String]) -> World {
    let mut world = world(KEYS, 1, &[]).await;
    world.pollers = pollers_of(projects, world.address, credentials).await;
    world
}

async fn pollers(address: SocketAddr, credentials: &str) -> Vec<Arc<Poller>> {
    let ids = ["5f0d1e2c3b4a59687786a5b4c3d2e101", "5f0d1e2c3b4a59687786a5b4c3d2e103"];
    pollers_of(&ids.map(|id| format!("project_id: {id}")), address, credentials).await
}

/// A poller for each of `projects`, which are fields of a project in YAML.
async fn pollers_of(projects: &[String], address: SocketAddr, credentials: &str) -> Vec<Arc<Poller>> {
    let credentials = credentials.replace("ADDRESS", &format!("http://{address}"));
    let mut text = format!(
        "api: {{requests_per_second: 1000, max_retries: 0, request_timeout: 1s, iam_endpoint: 'http://{address}'}}
windows: [yesterday]
credentials: {{main: {{{credentials}}}}}
projects:
"
    );
    for (number, project) in projects.iter().enumerate() {
        text += &format!("  - {{name: project-{number}, endpoint: 'http://{address}', {project}}}\n");
    }
    let loaded = load_text(text, Path::new("config.yaml"), &Environment::default()).await;
    let config = loaded.config.unwrap_or_else(|| panic!("{:?}", loaded.problems));
    let fleet = Fleet::new(config, &Environment::default(), Utc::now).unwrap();
    fleet.pollers().to_vec()
}

impl World {
    /// Polls all projects at the same time.
    async fn poll(&self) -> Vec<Option<Reason>> {
        let [first, second] = &self.pollers[..] else { panic!("two projects") };
        let (first, second) = tokio::join!(first.poll(Utc::now()), second.poll(Utc::now()));
        [first, second].iter().map(reason).collect()
    }

    /// Waits until `recipient`, such as `iam` or `metadata`, has got `times` requests. Renewals run in the background.
    async fn asked_in_all(&self, recipient: &str, times: usize) {
        for _ in 0..1000 {
            if self.asked(recipient) >= times {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // Time to process the last response.
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(self.asked(recipient), times);
    }

    /// The number of requests to `recipient`, such as `iam` or `metadata`.
    fn asked(&self, recipient: &str) -> usize {
        self.simulator.seen().iter().filter(|seen| seen.recipient == recipient).count()
    }
}

fn reason(attempt: &PollOutcome) -> Option<Reason> {
    attempt.result.as_ref().err().map(|failure| failure.reason)
}

fn message(attempt: PollOutcome) -> String {
    attempt.result.unwrap_err().message
}

const GOOD: [Option<Reason>; 2] = [None, None];

/// Advances tokio's clock, then lets it run with the real clock again, because requests over sockets need that.
async fn advance(minutes: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(minutes * 60)).await;
    tokio::time::resume();
}

const ROBOT: &str = "iam_user: {domain: simulated, user: robot, password: simulated-password}";
const AGENCY: &str = "ecs_agency: {endpoint: 'ADDRESS'}";
const OIDC: &str =
    "oidc: {provider_urn: p, agency_urn: a, id_token: simulated-id-token, duration: 1h, endpoint: 'ADDRESS'}";
const POD: &str = "pod_identity: {url: 'ADDRESS/v1/pod-identity', token: simulated-pod-token}";
const KEYS: &str = "access_key: SIMULATEDACCESSKEY01, secret_key: simulated/Secret+Key000000000000000000001";

#[tokio::test]
async fn an_iam_user_gets_a_token_for_each_project_and_renews_it_in_time() {
    let world = world(ROBOT, 24, &[]).await;
    assert_eq!(world.poll().await, GOOD);
    assert_eq!(world.poll().await, GOOD);
    assert_eq!(world.asked("iam"), 2, "a token for each project");
    let attempt = world.pollers[0].poll(Utc::now()).await;
    let left = attempt.credentials_expiry.unwrap() - Utc::now();
    assert!((1439..=1440).contains(&left.num_minutes()), "{left}");
    advance(22 * 60).await;
    assert_eq!(world.poll().await, GOOD);
    assert_eq!(world.asked("iam"), 2);
    advance(61).await;
    assert_eq!(world.poll().await, GOOD);
    world.asked_in_all("iam", 4).await; // an hour before they expire
    assert_eq!(world.poll().await, GOOD);
    assert_eq!(world.asked("iam"), 4);
}

#[tokio::test]
async fn a_password_that_has_worked_survives_a_refusal() {
    let world = world(ROBOT, 24, &["echo:project=iam,after=2,times=1"]).await;
    assert_eq!(world.poll().await, GOOD);
    advance(23 * 60 + 1).await;
    for _ in 0..5 {
        assert_eq!(world.poll().await, GOOD, "the project whose renewal was refused uses its old token");
        tokio::time::sleep(Duration::from_millis(200)).await;
        advance(6).await;
    }
    advance(60).await;
    assert_eq!(world.poll().await, GOOD, "the old tokens have expired, and both have been renewed");
}

#[tokio::test]
async fn a_wrong_password_is_tried_once_for_each_project_until_it_changes() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "wrong").unwrap();
    let password = format!("password: {{file: {}}}", file.path().display());
    let world = world(&ROBOT.replace("password: simulated-password", &password), 24, &[]).await;
    let auth = [Some(Reason::Auth), Some(Reason::Auth)];
    assert_eq!(world.poll().await, auth);
    assert_eq!(world.asked("iam"), 1, "one request, for all projects");
    for _ in 0..5 {
        advance(60).await;
        assert_eq!(world.poll().await, auth);
    }
    assert_eq!(world.asked("iam"), 2, "one for each project in all");
    assert!(message(world.pollers[0].poll(Utc::now()).await).contains("IAM refused this password"));

    std::fs::write(file.path(), "simulated-password").unwrap();
    advance(2).await;
    assert_eq!(world.poll().await, GOOD);
}

/// IAM also answers 401 if a user has no role in a project. The other projects must still get their tokens.
#[tokio::test]
async fn a_refusal_for_one_project_does_not_affect_the_others() {
    let world = world(ROBOT, 24, &["echo:project=iam,times=1"]).await;
    assert_eq!(world.poll().await, [Some(Reason::Auth), Some(Reason::Auth)]);
    advance(6).await;
    let reasons = world.poll().await;
    assert_eq!(reasons.iter().filter(|reason| reason.is_none()).count(), 1, "{reasons:?}");
    assert_eq!(world.asked("iam"), 2);

    let world = self::world(ROBOT, 24, &["forbidden:project=iam,times=1"]).await;
    let reasons = world.poll().await;
    assert_eq!(reasons.iter().filter(|reason| reason.is_none()).count(), 1, "at once: {reasons:?}");
}

/// A gateway that answers too late may have refused the key.
#[tokio::test]
async fn a_key_that_gets_no_answer_is_on_hold_before_it_could_be_locked() {
    let world = world(KEYS, 1, &["hang"]).await;
    for _ in 0..4 {
        world.poll().await;
    }
    assert_eq!(world.simulator.seen().len(), 4);
    let message = message(world.pollers[0].poll(Utc::now()).await);
    assert!(message.contains("not sent") && message.contains("got no answer"), "{message}");
}

#[tokio::test]
async fn iam_may_fail_while_the_token_is_valid() {
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
async fn an_error_of_iam_is_reported_with_its_reason() {
    for (fault, reason, text) in [
        ("server-error:project=iam", Reason::Server, "credentials main: HTTP 500 MSS.00000004"),
        ("hang:project=iam", Reason::Timeout, "credentials main: no answer came from 127.0.0.1"),
        ("html:project=iam", Reason::Malformed, "credentials main: unexpected answer: HTTP 200 OK, expected 201"),
        ("echo:project=iam", Reason::Auth, "Check the domain, user and password"),
    ] {
        let world = world(ROBOT, 24, &[fault]).await;
        let attempt = world.pollers[0].poll(Utc::now()).await;
        assert_eq!(self::reason(&attempt), Some(reason));
        let message = message(attempt);
        assert!(message.contains(text), "{message}");
        assert!(!message.contains("simulated-password"), "{message}");
        assert!(!format!("{:?}", world.pollers[0]).contains("simulated-password"));
    }
}

#[tokio::test]
async fn a_token_that_expires_early_is_renewed_once() {
    let world = world(ROBOT, 24, &["echo:project=campaign,after=1,times=1"]).await;
    assert_eq!(world.poll().await, GOOD);
    advance(2).await;
    let attempt = world.pollers[1].poll(Utc::now()).await;
    let refused = attempt.counters.api(Operation::ShowUsageData).unwrap().by_status[&Some(401)];
    assert_eq!((reason(&attempt), attempt.counters.retries(), refused), (None, 1, 1));
    assert_eq!(world.asked("iam"), 3);
}

/// The sources of temporary keys: configuration, name in the simulator, and number of requests.
const TEMPORARY: [(&str, &str, usize); 3] = [(AGENCY, "metadata", 2), (OIDC, "sts", 1), (POD, "pod-identity", 1)];

#[tokio::test]
async fn temporary_keys_are_shared_by_all_projects_and_renewed_in_time() {
    for (source, place, requests) in TEMPORARY {
        let world = world(source, 1, &[]).await;
        assert_eq!(world.poll().await, GOOD, "{source}");
        assert_eq!(world.poll().await, GOOD);
        assert_eq!(world.asked(place), requests, "once for both");
        let left = world.pollers[0].poll(Utc::now()).await.credentials_expiry.unwrap() - Utc::now();
        assert!((59..=60).contains(&left.num_minutes()), "{left}");
        advance(49).await;
        assert_eq!(world.poll().await, GOOD);
        assert_eq!(world.asked(place), requests);
        advance(2).await;
        assert_eq!(world.poll().await, GOOD);
        world.asked_in_all(place, 2 * requests).await; // ten minutes before they expire
        assert_eq!(world.poll().await, GOOD);
        assert_eq!(world.asked(place), 2 * requests);
    }
}

#[tokio::test]
async fn a_hundred_projects_cause_one_renewal() {
    for (source, place, requests) in TEMPORARY {
        let world = world(source, 1, &[]).await;
        let address = world.address;
        let ids = vec!["project_id: 5f0d1e2c3b4a59687786a5b4c3d2e101".to_owned(); 100];
        let pollers = Arc::new(pollers_of(&ids, address, source).await);
        for renewals in [1, 2] {
            let polls: Vec<_> = (0..100)
                .map(|index| {
                    let pollers = Arc::clone(&pollers);
                    tokio::spawn(async move { reason(&pollers[index].poll(Utc::now()).await) })
                })
                .collect();
            for poll in polls {
                assert_eq!(poll.await.unwrap(), None);
            }
            world.asked_in_all(place, renewals * requests).await;
            advance(55).await;
        }
    }
}

#[tokio::test]
async fn a_source_may_fail_while_its_keys_are_valid() {
    for (source, place, requests) in TEMPORARY {
        let world = world(source, 1, &[&format!("hang:project={place},after={requests},times=1")]).await;
        assert_eq!(world.poll().await, GOOD, "{source}");
        advance(51).await;
        assert_eq!(world.poll().await, GOOD, "with the old keys");
        advance(10).await;
        let attempt = world.pollers[0].poll(Utc::now()).await;
        assert_eq!(reason(&attempt), Some(Reason::Timeout), "the keys have expired");
        assert!(message(attempt).contains("credentials main: no answer came from"));
        advance(2).await;
        assert_eq!(world.poll().await, GOOD, "recovered");
    }
}

#[tokio::test]
async fn a_refusal_names_the_source_and_shows_no_secret() {
    for (source, place) in [(OIDC, "sts"), (POD, "pod-identity")] {
        let wrong = source.replace("simulated-id-token", "hunter2").replace("simulated-pod-token", "hunter2");
        let world = world(&wrong, 1, &[]).await;
        let attempt = world.pollers[0].poll(Utc::now()).await;
        let (expected, saying) = match place {
            "sts" => (Reason::Forbidden, "HTTP 403 SIM.0001: the id token is not trusted"),
            _ => (Reason::Auth, "HTTP 401 SIM.0001: the service account is not associated"),
        };
        assert_eq!(reason(&attempt), Some(expected));
        assert!(message(attempt).contains(saying));
        let world = self::world(&wrong, 1, &[&format!("echo:project={place}")]).await;
        let message = message(world.pollers[0].poll(Utc::now()).await);
        assert!(message.contains("credentials main: HTTP 401") && !message.contains("hunter2"), "{message}");
        assert!(!format!("{:?}", world.pollers[0]).contains("hunter2"));
    }
}

#[tokio::test]
async fn a_token_in_a_file_is_read_again_at_each_renewal() {
    for (source, place) in [(OIDC, "sts"), (POD, "pod-identity")] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let right = if place == "sts" { "simulated-id-token" } else { "simulated-pod-token" };
        std::fs::write(&path, right).unwrap();
        let world = world(&source.replace(right, &format!("{{file: {}}}", path.display())), 1, &[]).await;
        assert_eq!(world.poll().await, GOOD, "{source}");
        std::fs::write(&path, "expired").unwrap();
        advance(61).await;
        assert!(message(world.pollers[0].poll(Utc::now()).await).contains("SIM.0001"));
        // Replaced as a whole, as programs that rotate tokens do.
        let next = directory.path().join("next");
        std::fs::write(&next, format!("{right}\n")).unwrap();
        std::fs::rename(&next, &path).unwrap();
        advance(2).await;
        assert_eq!(world.poll().await, GOOD);
        std::fs::remove_file(&path).unwrap();
        advance(61).await;
        assert!(message(world.pollers[0].poll(Utc::now()).await).contains("cannot read"));
    }
}

/// Kubernetes mounts a secret as links into a directory that is itself a link, and swaps that link.
#[tokio::test]
async fn keys_that_kubernetes_rotates_are_read_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    for (version, secret) in [("..1", "wrong"), ("..2", "simulated/Secret+Key000000000000000000001")] {
        std::fs::create_dir(path(version)).unwrap();
        std::fs::write(path(version).join("ak"), "SIMULATEDACCESSKEY01").unwrap();
        std::fs::write(path(version).join("sk"), secret).unwrap();
    }
    std::os::unix::fs::symlink("..1", path("..data")).unwrap();
    for key in ["ak", "sk"] {
        std::os::unix::fs::symlink(format!("..data/{key}"), path(key)).unwrap();
    }
    let (access_key, secret_key) = (path("ak"), path("sk"));
    let source =
        format!("access_key: {{file: {}}}, secret_key: {{file: {}}}", access_key.display(), secret_key.display());
    let world = world(&source, 1, &[]).await;
    assert_eq!(world.poll().await, [Some(Reason::Auth), Some(Reason::Auth)]);
    std::os::unix::fs::symlink("..2", path("..data_tmp")).unwrap();
    std::fs::rename(path("..data_tmp"), path("..data")).unwrap();
    assert_eq!(world.poll().await, GOOD, "at once: a changed key is another key");
}

#[tokio::test]
async fn a_profile_is_read_again_for_each_request() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let write = |secret: &str| {
        let text = format!("[basic]\nak = SIMULATEDACCESSKEY01\nsk = {secret}\n");
        std::fs::write(file.path(), text).unwrap();
    };
    write("wrong%(x)s");
    let world = world(&format!("profile: {{file: {}}}", file.path().display()), 1, &[]).await;
    assert_eq!(world.poll().await, [Some(Reason::Auth), Some(Reason::Auth)]);
    write("simulated/Secret+Key000000000000000000001");
    assert_eq!(world.poll().await, GOOD);
    std::fs::write(file.path(), "[basic]\n").unwrap();
    assert!(message(world.pollers[0].poll(Utc::now()).await).contains("ak is missing in [basic]"));
}

#[tokio::test]
async fn an_id_that_is_not_configured_is_looked_up_once() {
    let by_region = ["region: cn-north-4".to_owned(), "region: cn-north-4, windows: [today]".to_owned()];
    for (source, asked) in [(KEYS, 1), (AGENCY, 1), (OIDC, 1), (ROBOT, 1), ("token: given", 1)] {
        let world = world_of(source, &by_region).await;
        for _ in 0..3 {
            assert_eq!(world.poll().await, GOOD, "{source}");
        }
        assert_eq!(world.asked("iam"), asked, "{source}");
        let attempt = world.pollers[0].poll(Utc::now()).await;
        assert_eq!(attempt.project_id.as_deref(), Some("5f0d1e2c3b4a59687786a5b4c3d2e101"), "{source}");
    }
}

#[tokio::test]
async fn an_id_that_cannot_be_looked_up_is_a_failure_with_advice() {
    let world = world_of(KEYS, &["region: cn-east-3".to_owned(), "region: cn-north-4".to_owned()]).await;
    assert_eq!(world.poll().await, [Some(Reason::BadRequest), None], "a failure in one region does not affect another");
    let message = message(world.pollers[0].poll(Utc::now()).await);
    let saying = "id of the project in region cn-east-3: IAM has no enabled project named cn-east-3";
    assert!(message.starts_with(saying) && message.contains("Set project_id"), "{message}");

    for (fault, reason, saying) in [
        ("forbidden:project=iam", Reason::Forbidden, "set project_id, or grant it iam:projects:listProjects"),
        ("html:project=iam", Reason::Malformed, "no list of projects"),
        ("echo:project=iam", Reason::Auth, "Check the access key"),
    ] {
        let world = self::world(KEYS, 1, &[fault]).await;
        let pollers = pollers_of(&["region: cn-north-4".to_owned()], world.address, KEYS).await;
        let attempt = pollers[0].poll(Utc::now()).await;
        assert_eq!(self::reason(&attempt), Some(reason), "{fault}");
        let message = self::message(attempt);
        assert!(message.contains(saying) && !message.contains("Secret+Key"), "{message}");
    }
}

#[tokio::test]
async fn a_key_that_iam_refused_is_not_sent_to_the_service() {
    let wrong = "access_key: SIMULATEDACCESSKEY01, secret_key: wrong";
    let world = world_of(wrong, &["region: cn-north-4".to_owned(), "region: cn-north-4".to_owned()]).await;
    for _ in 0..5 {
        assert_eq!(world.poll().await, [Some(Reason::Auth), Some(Reason::Auth)]);
    }
    assert_eq!(world.simulator.seen().len(), 1, "one request in all");
}

/// Answers requests one by one, each on a connection of its own. The task returns the requests.
async fn scripted(answers: Vec<(&'static str, &'static str)>) -> (SocketAddr, tokio::task::JoinHandle<Vec<String>>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = tokio::spawn(async move {
        let mut requests = Vec::new();
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            requests.push(String::from_utf8(request[..length].to_vec()).unwrap());
            let length = body.len();
            let answer = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        requests
    });
    (address, served)
}

#[tokio::test]
async fn an_instance_without_token_service_is_asked_without_a_token() {
    let keys = r#"{"credential":{"access":"a","secret":"s","securitytoken":"t","expires_at":"2999-01-01T00:00:00Z"}}"#;
    let (address, served) = scripted(vec![("404 Not Found", ""), ("200 OK", keys), ("200 OK", r#"{"count":0}"#)]).await;
    let pollers = pollers(address, AGENCY).await;
    assert_eq!(reason(&pollers[0].poll(Utc::now()).await), None);
    let heads = served.await.unwrap();
    assert!(heads[0].starts_with("PUT /meta-data/latest/api/token ") && heads[0].contains("21600"), "{heads:?}");
    assert!(heads[1].starts_with("GET /openstack/latest/securitykey "), "{heads:?}");
    assert!(heads[2].contains("x-security-token: t") && heads[2].contains("Access=a,"), "{heads:?}");
}

#[tokio::test]
async fn an_id_of_another_account_is_looked_up_again() {
    let list = r#"{"projects":[{"id":"ID","name":"cn-north-4","enabled":true}]}"#;
    let [first, second] = ["1", "2"].map(|digit| &*list.replace("ID", &digit.repeat(32)).leak());
    let foreign = r#"{"error_code":"MSS.00010009","error_msg":"urlTenantId is not equal tokenTenantId"}"#;
    let answers = vec![
        ("200 OK", first),
        ("200 OK", r#"{"count":0}"#),
        ("400 Bad Request", foreign),
        ("200 OK", second),
        ("200 OK", r#"{"count":0}"#),
    ];
    let (address, served) = scripted(answers).await;
    let pollers = pollers_of(&["region: cn-north-4".to_owned()], address, KEYS).await;
    let mut reasons = Vec::new();
    for _ in 0..3 {
        reasons.push(reason(&pollers[0].poll(Utc::now()).await));
    }
    assert_eq!(reasons, [None, Some(Reason::Auth), None]);
    let paths: Vec<String> =
        served.await.unwrap().iter().map(|head| head.split(['?', ' ']).nth(1).unwrap().to_owned()).collect();
    let usage_of = |digit: &str| format!("/v1/{}/data-analysis", digit.repeat(32));
    let lookup = "/v3/projects".to_owned();
    assert_eq!(paths, [lookup.clone(), usage_of("1"), usage_of("1"), lookup, usage_of("2")]);
}

#[tokio::test]
async fn the_request_to_sts_has_the_configured_values() {
    let keys = r#"{"credentials":{"access_key_id":"a","secret_access_key":"s","security_token":"t","expiration":"2999-01-01T00:00:00Z"}}"#;
    let (address, served) = scripted(vec![("200 OK", keys), ("200 OK", r#"{"count":0}"#)]).await;
    let source = OIDC.replace("duration: 1h", "session_name: robot, duration: 2h, policy: '{}', policy_ids: [x, y]");
    let pollers = pollers(address, &source).await;
    assert_eq!(reason(&pollers[0].poll(Utc::now()).await), None);
    let request = served.await.unwrap().remove(0);
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /v5/agencies/assume-with-oidc ") && !head.contains("authorization"), "{head}");
    let expected = serde_json::json!({
        "provider_urn": "p", "agency_urn": "a", "agency_session_name": "robot", "id_token": "simulated-id-token",
        "duration_seconds": 7200, "policy": "{}", "policy_ids": ["x", "y"],
    });
    assert_eq!(serde_json::from_str::<serde_json::Value>(body).unwrap(), expected);
}
