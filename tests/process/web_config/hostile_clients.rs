//! Clients that send or hold as much as they can: the memory of the exporter stays bounded.
#![cfg(target_os = "linux")]

use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use hyper::Request;
use rustls::{pki_types::ServerName, version::TLS13};
use tokio::{
    net::TcpStream,
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};

use super::{Setup, TLS, users};
use crate::support::{Cloud, FAST, TIMEOUT};

/// A connection that gives each answer a window of `window` bytes, and the task that ends with it.
async fn connect(setup: &Setup, window: u32) -> (SendRequest<Bytes>, JoinHandle<()>) {
    let stream = TcpStream::connect(setup.daemon.address).await.unwrap();
    let connector = setup.authority.connector("h2", &TLS13);
    let stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    let (client, connection) = h2::client::Builder::new().initial_window_size(window).handshake(stream).await.unwrap();
    let task = tokio::spawn(async move {
        let _ = connection.await;
    });
    (client.ready().await.unwrap(), task)
}

/// A request of the user Alice with a wrong password.
fn with_wrong_password(method: &str) -> Request<()> {
    let request = Request::builder().method(method).uri("https://localhost/");
    request.header("authorization", "Basic YWxpY2U6d3Jvbmc=").body(()).unwrap()
}

/// Sends a body of up to 1 MiB, as far as the server takes it.
async fn send_body(mut client: SendRequest<Bytes>) {
    let (_answer, mut body) = client.send_request(with_wrong_password("POST"), false).unwrap();
    let mut left = 1 << 20;
    while left > 0 {
        body.reserve_capacity(left);
        let Some(Ok(capacity)) = std::future::poll_fn(|context| body.poll_capacity(context)).await else { return };
        if body.send_data(Bytes::from(vec![0; capacity]), false).is_err() {
            return;
        }
        left -= capacity;
    }
    std::future::pending().await
}

#[tokio::test]
async fn bodies_with_wrong_passwords_are_not_kept() {
    let hash = bcrypt::hash("one", 13).unwrap();
    let setup = Setup::new(&format!("{TLS}basic_auth_users: {{alice: {hash}}}"), &[]).await;
    let before = setup.daemon.memory();
    let mut clients = JoinSet::new();
    for _ in 0..100 {
        clients.spawn(send_body(connect(&setup, 1 << 16).await.0));
    }
    sleep(Duration::from_secs(2)).await;
    let after = setup.daemon.memory();
    assert!(after < before + 20, "from {before} to {after} MiB");
}

/// Each client asks for many pages, and then takes at most one byte of each answer.
#[tokio::test]
async fn pages_that_nobody_takes_do_not_fill_the_memory() {
    let cloud = Cloud::new(&[]).await;
    let mut config = cloud.config_of(&[], &cloud.keys(), FAST);
    for number in 0..50 {
        config +=
            &format!("  - {{name: p{number}, endpoint: 'http://{}', project_id: '{number:032x}'}}\n", cloud.address);
    }
    let setup = Setup::with_config(TLS, &[], cloud, &config);
    setup.daemon.wait_for_log("p49");
    let before = setup.daemon.memory();
    let mut kept = Vec::new();
    for number in 0..100 {
        let (mut client, _) = connect(&setup, number % 2).await;
        // As many as the server takes at the same time, and more.
        for number in 0..20 {
            let Ok(Ok(ready)) = timeout(Duration::from_millis(20), client.ready()).await else { break };
            client = ready;
            let address = if number % 4 == 0 { "https://localhost/docs/" } else { "https://localhost/" };
            kept.push(client.send_request(Request::get(address).body(()).unwrap(), true).unwrap());
        }
    }
    sleep(Duration::from_secs(2)).await;
    let after = setup.daemon.memory();
    assert!(after < before + 40, "from {before} to {after} MiB");
}

#[tokio::test]
async fn a_refused_client_is_disconnected_over_http2_too() {
    let web = format!("{TLS}{}", users(&[("alice", "one")]));
    let limited = format!("{TLS}rate_limit: {{interval: 1h, burst: 1}}");
    for (web, statuses) in [(web, &[401][..]), (limited, &[200, 429])] {
        let setup = Setup::new(&web, &[]).await;
        // The client keeps its end open.
        let (mut client, ended) = connect(&setup, 1 << 16).await;
        for status in statuses {
            let (answer, _) = client.send_request(with_wrong_password("GET"), true).unwrap();
            assert_eq!(answer.await.unwrap().status(), *status);
        }
        assert!(timeout(TIMEOUT / 2, ended).await.is_ok(), "the connection is still open after {statuses:?}");
    }
}
