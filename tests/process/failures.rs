//! Failures between the exporter and the cloud: which are retried, and what the metrics and the log show.

use std::{sync::Arc, time::Duration};

use metastudio_exporter::simulator::Options;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Cloud, Daemon, Ended, FAST, once, sample};

const TOKEN: &str = "the-token-of-this-test";
const MINUTES: &str = "metastudio_usage_minutes{project=\"campaign\",window=\"this_month\",\
    resource_type=\"video_time_2d_model\",business_type=\"VIDEO_2D\",user_id=\"\"}";

/// Polls the project `campaign` once through faults.
async fn poll_through(faults: &[&str], extra: &str) -> (Ended, Cloud) {
    let cloud = Cloud::new(faults).await;
    let ended = once(&cloud.config_of(&["campaign"], &cloud.keys(), extra)).await;
    (ended, cloud)
}

/// Polls the project `campaign` of a service once.
async fn poll_service(service: &str, extra: &str) -> (Ended, Cloud) {
    let cloud = Cloud::of(service).await;
    let ended = once(&cloud.config_of(&["campaign"], &cloud.keys(), extra)).await;
    (ended, cloud)
}

fn assert_succeeded(ended: &Ended, retries: f64) {
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.sample("metastudio_up{project=\"campaign\"}"), Some(1.0));
    assert!(ended.sample(MINUTES).is_some(), "{}", ended.stdout);
    assert_eq!(
        ended.sample("metastudio_api_retries_total{project=\"campaign\",account=\"\",api=\"ShowUsageData\"}"),
        Some(retries)
    );
}

fn assert_failed(ended: &Ended, reason: &str, message: &str) {
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    assert_eq!(ended.sample("metastudio_up{project=\"campaign\"}"), Some(0.0));
    let series = format!("metastudio_poll_failures_total{{project=\"campaign\",reason=\"{reason}\"}}");
    assert_eq!(ended.sample(&series), Some(1.0), "{}", ended.stderr);
    assert!(!ended.stdout.contains("metastudio_usage"), "no numbers from a failed poll: {}", ended.stdout);
    assert!(ended.stderr.contains("project=campaign") && ended.stderr.contains(message), "{}", ended.stderr);
}

#[tokio::test]
async fn throttled_without_retry_after_waits_at_least_two_seconds() {
    let (ended, cloud) = poll_through(&["throttle:times=1"], FAST).await;
    assert_succeeded(&ended, 1.0);
    let seen = cloud.simulator.seen();
    assert_eq!((seen[0].status, seen[1].status), (Some(429), Some(200)));
    assert!(seen[1].at - seen[0].at >= Duration::from_secs(2), "{:?}", seen[1].at - seen[0].at);
    assert_eq!(
        ended.sample(
            "metastudio_api_requests_total{project=\"campaign\",account=\"\",api=\"ShowUsageData\",code=\"429\"}"
        ),
        Some(1.0)
    );
}

#[tokio::test]
async fn throttled_with_retry_after_waits_that_long() {
    let (ended, cloud) = poll_through(&["throttle:times=1,retry_after=3"], FAST).await;
    assert_succeeded(&ended, 1.0);
    let seen = cloud.simulator.seen();
    assert!(seen[1].at - seen[0].at >= Duration::from_secs(3));
    assert!(seen[0].signed_at.is_some() && seen[0].signed_at != seen[1].signed_at, "each attempt is signed afresh");
}

#[tokio::test]
async fn endless_throttling_fails_with_its_reason() {
    let (ended, cloud) = poll_through(&["throttle:retry_after=0"], FAST).await;
    assert_failed(&ended, "throttled", "HTTP 429 APIGW.0308");
    assert_eq!(cloud.simulator.seen().len(), 2, "the first attempt and one retry");
}

#[tokio::test]
async fn a_retry_after_beyond_the_deadline_is_not_waited_for() {
    let (ended, cloud) = poll_through(&["throttle:retry_after=50"], &format!("{FAST}\npoll: {{timeout: 20s}}")).await;
    assert_failed(&ended, "throttled", "HTTP 429 APIGW.0308");
    assert_eq!(cloud.simulator.seen().len(), 1);
}

#[tokio::test]
async fn a_server_error_is_retried() {
    let (ended, cloud) = poll_through(&["server-error:times=1"], FAST).await;
    assert_succeeded(&ended, 1.0);
    let failed = cloud.simulator.seen().iter().filter(|seen| seen.status == Some(500)).count();
    assert_eq!(failed, 1, "the request was sent once more");
    let (ended, _) = poll_through(&["server-error"], FAST).await;
    assert_failed(&ended, "server", "HTTP 500 MSS.00000004: Internal Error (request id ");
}

#[tokio::test]
async fn no_answer_is_a_timeout() {
    let (ended, _) = poll_through(&["hang:times=1"], FAST).await;
    assert_succeeded(&ended, 1.0);
    let (ended, _) = poll_through(&["hang"], "api: {max_retries: 0, request_timeout: 1s}").await;
    assert_failed(&ended, "timeout", "no answer came from 127.0.0.1:");
    assert_eq!(
        ended.sample(
            "metastudio_api_requests_total{project=\"campaign\",account=\"\",api=\"ShowUsageData\",code=\"none\"}"
        ),
        Some(1.0)
    );
}

#[tokio::test]
async fn the_whole_poll_has_a_deadline() {
    let extra = "api: {max_retries: 10, request_timeout: 1s}\npoll: {timeout: 3s}";
    let (ended, cloud) = poll_through(&["hang"], extra).await;
    // Either the third request or the whole poll times out.
    assert_failed(&ended, "timeout", "reason=timeout");
    assert!(cloud.simulator.seen().len() <= 3);
}

#[tokio::test]
async fn a_broken_connection_is_retried() {
    for fault in ["disconnect:times=1", "truncate:times=1"] {
        let (ended, _) = poll_through(&[fault], FAST).await;
        assert_succeeded(&ended, 1.0);
    }
    for fault in ["disconnect", "truncate"] {
        let (ended, _) = poll_through(&[fault], FAST).await;
        assert_failed(&ended, "network", "Check name resolution, routes, firewalls");
    }
}

#[tokio::test]
async fn a_reset_connection_and_a_closed_port_are_network_failures() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = format!(
        "{FAST}\ncredentials: {{main: {{token: {TOKEN}}}}}\nprojects: [{{name: campaign, endpoint: 'http://{address}', \
         project_id: 0123456789abcdef0123456789abcdef}}]"
    );
    let resetting = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 10]).await;
            stream.set_zero_linger().unwrap(); // closing sends RST
        }
    });
    assert_failed(&once(&config).await, "network", "reset by peer");
    resetting.abort();
    let _ = resetting.await;
    assert_failed(&once(&config).await, "network", "refused");
}

/// Polls a server that sends `head`, and then `body` once or without end.
async fn poll_raw_server(head: &str, body: &[u8], repeats_body: bool) -> Ended {
    let (head, body): (Arc<str>, Arc<[u8]>) = (head.into(), body.into());
    let seconds = if repeats_body { 60 } else { 3 };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (head, body) = (Arc::clone(&head), Arc::clone(&body));
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let mut sent = stream.write_all(head.as_bytes()).await;
                while sent.is_ok() {
                    sent = stream.write_all(&body).await;
                    if !repeats_body {
                        let _ = stream.read(&mut [0; 1]).await; // until the peer gives up
                        return;
                    }
                }
            });
        }
    });
    let ended = once(&format!(
        "api: {{requests_per_second: 1000, max_retries: 0, request_timeout: {seconds}s}}\ncredentials: {{main: {{token: {TOKEN}}}}}\n\
         windows: [today]\nprojects: [{{name: campaign, endpoint: 'http://{address}', project_id: 0123456789abcdef0123456789abcdef}}]"
    ))
    .await;
    serving.abort();
    ended
}

#[tokio::test]
async fn answers_are_limited_in_size_and_time() {
    let ended = poll_raw_server("HTTP/1.1 200 OK\r\n\r\n{", &[b' '; 1 << 16], true).await;
    assert_failed(&ended, "malformed", "a body of more than 8192 KiB");
    let ended = poll_raw_server("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n", b"{", false).await;
    assert_failed(&ended, "timeout", "the whole answer did not come from");
}

#[tokio::test]
async fn the_rows_of_an_answer_are_limited() {
    let poll = async |rows: usize, row: &str| {
        let body = format!(r#"{{"time_list":[{{"resources_usage":[{}]}}]}}"#, vec![row; rows].join(","));
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        poll_raw_server(&head, body.as_bytes(), false).await
    };
    assert_failed(&poll(300_000, "{}").await, "malformed", "more than 20000 buckets and rows; lower api.page_size");
    let text = format!(r#"{{"business_type":"{}"}}"#, "a".repeat(1_000_000));
    assert_failed(&poll(1, &text).await, "malformed", "business_type has more than 256 bytes");
    let near = poll(11_000, r#"{"business_type":"VIDEO_2D","usage":1,"unit":"MIN"}"#).await;
    assert!(near.stderr.contains("an answer has more than half of the rows or texts"), "{}", near.stderr);
}

#[tokio::test]
async fn an_error_of_any_size_is_a_refusal() {
    let ended = poll_raw_server("HTTP/1.1 403 Forbidden\r\n\r\n{\"x\":[0", &[b','; 1 << 16], true).await;
    assert_failed(&ended, "forbidden", "HTTP 403 403: unexpected answer: a body of more than 64 KiB.");
}

/// A cloud that repeats the token in everything that is shown.
#[tokio::test]
async fn no_text_of_the_cloud_repeats_a_secret() {
    let error = format!(r#"{{"error_code":"E-{TOKEN}","error_msg":"M-{TOKEN}"}}"#);
    let page = |unit: &str| {
        let row =
            format!(r#""resource_type":"R-{TOKEN}","business_type":"B-{TOKEN}","number":1,"usage":1,"unit":"{unit}""#);
        format!(r#"{{"count":1,"time_list":[{{"time":"T-{TOKEN}","resources_usage":[{{{row}}}]}}]}}"#)
    };
    for (status, header, body, shown) in [
        ("401 Unauthorized", "x-request-id", &*error, "HTTP 401 E-<secret>: M-<secret> (request id I-<secret>)"),
        ("401 Unauthorized", "x-iam-trace-id", &error, "(request id I-<secret>)"),
        ("302 Found", "x-request-id", "", "HTTP 302 Found, expected 200 (request id I-<secret>)"),
        ("200 OK", "x-request-id", &format!("<{TOKEN}>"), r#"it begins with \"<<secret>>\" (request id I-<secret>)"#),
        ("200 OK", "x-request-id", &page("MIN"), r#"resource_type="R-<secret>",business_type="B-<secret>""#),
        ("200 OK", "x-request-id", &page(&format!("U-{TOKEN}")), r#"unit="U-<secret>""#),
    ] {
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\n{header}: I-{TOKEN}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
        );
        let ended = poll_raw_server(&head, body.as_bytes(), false).await;
        let output = ended.stdout + &ended.stderr;
        assert!(output.contains(shown) && !output.contains(TOKEN), "{status} {header}: {output}");
    }
}

#[tokio::test]
async fn a_wrong_clock_is_named_as_the_cause() {
    let head = "HTTP/1.1 401 Unauthorized\r\ndate: Sat, 08 Nov 2025 09:30:00 GMT\r\ncontent-length: 2\r\n\r\n";
    let ended = poll_raw_server(head, b"{}", false).await;
    assert_failed(
        &ended,
        "auth",
        "s ahead of the clock of the service. The service refuses a difference of more than 900s",
    );
}

#[tokio::test]
async fn answers_other_than_usage_data_are_malformed_and_not_retried() {
    for (fault, message) in [
        ("html", "it begins with \\\"<html><title>Sign in</title></html>\\\""),
        ("empty", "it is empty"),
        ("redirect", "HTTP 302 Found, expected 200"),
    ] {
        let (ended, cloud) = poll_through(&[fault], FAST).await;
        assert_failed(&ended, "malformed", message);
        assert_eq!(cloud.simulator.seen().len(), 1, "{fault}");
    }
}

#[tokio::test]
async fn forbidden_names_the_query_and_is_not_retried() {
    let (ended, cloud) = poll_through(&["forbidden"], FAST).await;
    assert_failed(&ended, "forbidden", "HTTP 403 MSS.00000005: Forbidden (request id ");
    assert!(ended.stderr.contains("error=\"window today (20"), "which query failed: {}", ended.stderr);
    assert_eq!(cloud.simulator.seen().len(), 1);
}

#[tokio::test]
async fn pages_that_do_not_end_are_inconsistent() {
    let (ended, cloud) = poll_service("list=endless", "api: {requests_per_second: 1000, page_size: 3}").await;
    assert_failed(&ended, "inconsistent", "still new entries after 100 pages of 3");
    assert_eq!(cloud.simulator.seen().len(), 100);
}

#[tokio::test]
async fn a_server_that_ignores_offsets_is_inconsistent() {
    let extra = "windows: [7d]\napi: {requests_per_second: 1000, page_size: 3}";
    let (ended, _) = poll_service("offset=ignored", extra).await;
    assert_failed(&ended, "inconsistent", "the service ignores the offset");
    let (ended, cloud) = poll_service("", extra).await;
    assert_eq!(ended.code, Some(0), "the same with an offset: {}", ended.stderr);
    // A page has three days, and the first of them is known already. The exporter also asks for the two halves of the
    // window.
    let whole = cloud.simulator.seen().len();
    assert!((6..14).contains(&whole), "{whole}");
}

#[tokio::test]
async fn a_wrong_key_is_tried_once_by_all_its_projects_together() {
    let cloud = Cloud::new(&[]).await;
    let projects = ["campaign", "studio-prod", "live-commerce"];
    let wrong = "access_key: SIMULATEDACCESSKEY01, secret_key: wrong";
    let daemon = Daemon::start(&cloud.config_of(&projects, wrong, FAST), &[]);
    daemon.ready().await;
    let metrics = daemon.metrics().await;
    for project in projects {
        let series = format!("metastudio_poll_failures_total{{project=\"{project}\",reason=\"auth\"}}");
        assert_eq!(sample(&metrics, &series), Some(1.0), "{metrics}");
    }
    assert_eq!(cloud.simulator.seen().len(), 1, "one request in all: {:?}", cloud.simulator.seen());
    let log = daemon.log_text();
    assert!(log.contains("HTTP 401 APIGW.0301") && log.contains("verify aksk signature fail"), "{log}");
    assert!(log.contains("not sent: the key or password was refused"), "{log}");
}

#[tokio::test]
async fn a_401_counts_even_if_its_body_never_ends() {
    let head = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 100\r\nx-request-id: abc\r\n\r\n";
    let ended = poll_raw_server(head, b"{", false).await;
    assert_failed(&ended, "auth", "HTTP 401 401: the whole answer did not come from 127.0.0.1");
    assert_eq!(
        ended.sample(
            "metastudio_api_requests_total{project=\"campaign\",account=\"\",api=\"ShowUsageData\",code=\"401\"}"
        ),
        Some(1.0)
    );
}

#[tokio::test]
async fn projects_of_one_account_share_its_rate() {
    let cloud = Cloud::new(&[]).await;
    let config = cloud.config_of(&["campaign", "studio-prod"], &cloud.keys(), "api: {requests_per_second: 5}");
    assert_eq!(once(&config).await.code, Some(0));
    let seen = cloud.simulator.seen();
    assert!(seen.len() >= 6, "three windows each");
    let span = seen[seen.len() - 1].at - seen[0].at;
    let least = Duration::from_millis(200) * (seen.len() as u32 - 1) - Duration::from_millis(100);
    assert!(span >= least, "{} requests, a fifth of a second apart: {span:?}", seen.len());
}

#[tokio::test]
async fn a_project_of_another_account_is_reported_as_such() {
    let cloud = Cloud::new(&[]).await;
    let config = cloud.config_of(&["campaign"], &cloud.keys(), FAST);
    let foreign = config.replace("5f0d1e2c3b4a59687786a5b4c3d2e103", "ffffffffffffffffffffffffffffffff");
    assert_failed(&once(&foreign).await, "auth", "The project id belongs to another account than the key");
}

#[tokio::test]
async fn right_security_tokens_and_iam_tokens_are_accepted() {
    let temporary = || Options { security_token: Some("temporary+token==".to_owned()), ..Options::default() };
    let cloud = Cloud::with(temporary()).await;
    let with_token = format!("{}, security_token: temporary+token==", cloud.keys());
    assert_succeeded(&once(&cloud.config_of(&["campaign"], &with_token, FAST)).await, 0.0);
    assert_failed(
        &once(&cloud.config_of(&["campaign"], &cloud.keys(), FAST)).await,
        "auth",
        "the security token is wrong",
    );

    let cloud = Cloud::with(Options { token: Some("given".to_owned()), ..Options::default() }).await;
    assert_succeeded(&once(&cloud.config_of(&["campaign"], "token: given", FAST)).await, 0.0);
    assert_failed(&once(&cloud.config_of(&["campaign"], "token: stale", FAST)).await, "auth", "decrypt token fail");
}

#[tokio::test]
async fn a_failing_project_does_not_affect_the_others() {
    for fault in ["server-error", "hang", "html", "truncate"] {
        let cloud = Cloud::new(&[&format!("{fault}:project=live-commerce")]).await;
        let extra = "api: {requests_per_second: 1000, max_retries: 0, request_timeout: 2s, page_size: 5}";
        let ended = once(&cloud.config(extra)).await;
        assert_eq!(ended.code, Some(1));
        for (project, up) in [("studio-prod", 1.0), ("live-commerce", 0.0), ("campaign", 1.0)] {
            let series = format!("metastudio_up{{project=\"{project}\"}}");
            assert_eq!(ended.sample(&series), Some(up), "{fault} {}", ended.stderr);
        }
        assert!(ended.sample(MINUTES).is_some());
    }
}
