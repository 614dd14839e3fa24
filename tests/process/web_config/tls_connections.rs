//! Limits of TLS connections, and the resumption of TLS sessions.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use metastudio_exporter::server::{self, Limits, Server, WebPolicy};
use reqwest::Version;
use rustls::{
    HandshakeKind,
    pki_types::ServerName,
    version::{TLS12, TLS13},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;

use super::{Authority, TLS};
use crate::{endpoints::empty_routes, support::TIMEOUT};

/// An exporter without projects behind TLS, in this process, with limits short enough for a test.
struct TlsServer {
    address: SocketAddr,
    authority: Authority,
    _directory: TempDir,
}

impl TlsServer {
    async fn new(web: &str, limits: Limits) -> Self {
        let (authority, directory) = (Authority::new(), TempDir::new().unwrap());
        let (certificate, key) = authority.issue(&["localhost"]);
        std::fs::write(directory.path().join("server.crt"), certificate).unwrap();
        std::fs::write(directory.path().join("server.key"), key).unwrap();
        std::fs::write(directory.path().join("web.yaml"), web).unwrap();
        let policy = WebPolicy::load(Some(directory.path().join("web.yaml"))).await.unwrap();
        let listeners = server::bind(&["127.0.0.1:0".to_owned()]).await.unwrap();
        let address = listeners[0].local_addr().unwrap();
        let service = Arc::new(empty_routes()).service();
        let server = Server::new(service, policy, limits);
        tokio::spawn(server.serve(listeners, CancellationToken::new()));
        TlsServer { address, authority, _directory: directory }
    }

    async fn connect(&self, connector: &TlsConnector) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap()
    }
}

/// A client that sends nothing is disconnected. The protocol that it announces makes no difference.
#[tokio::test]
async fn connections_of_silent_clients_are_closed() {
    let limits = Limits {
        connections: 1,
        head: Duration::from_millis(300),
        idle: Duration::from_millis(600),
        total: Duration::from_millis(600),
    };
    // One connection at a time: each must be closed before the next one is served.
    let server = TlsServer::new(TLS, limits).await;
    assert_closed(TcpStream::connect(server.address).await.unwrap()).await;
    for protocol in ["h2", "http/1.1"] {
        assert_closed(server.connect(&server.authority.connector(protocol, &TLS13)).await).await;
    }
    let client = server.authority.trusted().pool_max_idle_per_host(1).build().unwrap();
    let url = format!("https://localhost:{}/metrics", server.address.port());
    let response = client.get(&url).send().await.unwrap();
    assert_eq!((response.status().as_u16(), response.version()), (200, Version::HTTP_2));
    drop(response);
    // The client keeps its connection without a request. The server must close it to serve the next one.
    assert_eq!(server.authority.trusted().build().unwrap().get(&url).send().await.unwrap().status(), 200);
}

/// TLS has its own buffers, which must not hide that the client does not read.
#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off_behind_tls_too() {
    let limits = Limits { connections: 1, head: TIMEOUT, idle: TIMEOUT, total: Duration::from_millis(300) };
    let server = TlsServer::new(TLS, limits).await;
    let mut stream = server.connect(&server.authority.connector("http/1.1", &TLS13)).await;
    let pipelined = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n".repeat(300_000);
    let result = tokio::time::timeout(TIMEOUT / 2, stream.write_all(&pipelined)).await;
    assert!(result.expect("the server neither reads nor closes").is_err(), "the connection was not cut off");
}

/// The limit of a whole answer also applies to an HTTP/2 client that accepts no response data.
#[tokio::test]
async fn a_connection_whose_answers_are_not_accepted_is_closed() {
    let limits = Limits { connections: 1, head: TIMEOUT, idle: TIMEOUT, total: Duration::from_millis(600) };
    let server = TlsServer::new(TLS, limits).await;
    let mut stream = server.connect(&server.authority.connector("h2", &TLS13)).await;
    // The preface; SETTINGS with an initial window of 0; HEADERS of GET / on stream 1. See RFC 9113 and RFC 7541.
    let mut request = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    request.extend([0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0]);
    request.extend([0, 0, 6, 1, 5, 0, 0, 0, 1, 0x82, 0x87, 0x84, 0x41, 1, b'x']);
    stream.write_all(&request).await.unwrap();
    let start = std::time::Instant::now();
    assert_closed(stream).await;
    assert!(start.elapsed() < TIMEOUT / 2, "{:?}", start.elapsed());
}

/// If the server requests client certificates, no connection may skip them by resuming a session.
#[tokio::test]
async fn no_session_resumes_if_client_certificates_are_requested() {
    let long_limits = Limits { connections: 8, head: TIMEOUT, idle: TIMEOUT, total: TIMEOUT };
    for (auth, expected) in [("NoClientCert", HandshakeKind::Resumed), ("RequestClientCert", HandshakeKind::Full)] {
        let server = TlsServer::new(&TLS.replace('}', &format!(", client_auth_type: {auth}}}")), long_limits).await;
        for version in [&TLS12, &TLS13] {
            let connector = server.authority.connector("http/1.1", version);
            for expected in [HandshakeKind::Full, expected] {
                let mut stream = server.connect(&connector).await;
                stream.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
                // The ticket for a resumption comes with the first answer.
                stream.read_exact(&mut [0; 15]).await.unwrap();
                assert_eq!(stream.get_ref().1.handshake_kind(), Some(expected), "{auth} {version:?}");
            }
        }
    }
}

async fn assert_closed(mut stream: impl AsyncReadExt + Unpin) {
    let mut buffer = Vec::new();
    let end = tokio::time::timeout(TIMEOUT, stream.read_to_end(&mut buffer)).await;
    assert!(end.is_ok(), "the connection is still open");
}
