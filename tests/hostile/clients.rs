//! Hostile clients. They come from another address than the good ones.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use hyper::Request;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::exporter::{Exporter, PASSWORD, USER};

type Stream = TlsStream<tokio::net::TcpStream>;

/// A kind of hostile client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Opens a connection and sends nothing, or the first bytes of a TLS handshake.
    Idle,
    /// Asks for a page or for metrics several times over HTTP/2, and takes no byte of an answer.
    NoWindow,
    /// Sends a long body with a wrong password over HTTP/2.
    Body,
    /// Reads metrics at 20 kB/s.
    SlowReader,
    /// Tries the same wrong password again and again.
    WrongPassword,
    /// Asks for metrics without TLS, and reads nothing for longer than the exporter allows an answer to take.
    NoReader,
}

/// A kind, with the number of its clients that run at the same time.
type Count = (Kind, usize);

/// Clients of an exporter with TLS.
pub const WITH_TLS: [Count; 5] =
    [(Kind::Idle, 511), (Kind::NoWindow, 100), (Kind::Body, 40), (Kind::SlowReader, 150), (Kind::WrongPassword, 20)];

/// Clients of an exporter without TLS. They leave 12 of its 512 connections to good clients.
pub const NO_READERS: [Count; 1] = [(Kind::NoReader, 500)];

/// Running clients. They end when this is dropped.
pub struct Hostile {
    _clients: JoinSet<()>,
    kinds: &'static [Count],
    /// Connections of each kind that have ended.
    connected: Arc<Mutex<BTreeMap<Kind, usize>>>,
}

impl Hostile {
    pub fn start(exporter: &Exporter, kinds: &'static [Count]) -> Self {
        let mut clients = JoinSet::new();
        let connected: Arc<Mutex<BTreeMap<Kind, usize>>> = Arc::default();
        for &(kind, count) in kinds {
            let server =
                Server::new(exporter, if matches!(kind, Kind::NoWindow | Kind::Body) { "h2" } else { "http/1.1" });
            for number in 0..count {
                let (server, connected) = (server.clone(), Arc::clone(&connected));
                clients.spawn(async move {
                    // The exporter disconnects each client. Then the client connects again.
                    loop {
                        if kind.act(&server, number).await.is_some() {
                            *connected.lock().unwrap().entry(kind).or_default() += 1;
                        }
                        sleep(Duration::from_secs(if kind == Kind::Idle { 5 } else { 1 })).await;
                    }
                });
            }
        }
        Hostile { _clients: clients, kinds, connected }
    }

    /// Checks that clients of every kind have had a connection that ended.
    pub fn assert_active(&self) {
        let connected = self.connected.lock().unwrap().clone();
        println!("connections that have ended: {connected:?}");
        assert!(self.kinds.iter().all(|(kind, _)| connected.contains_key(kind)), "{connected:?}");
    }
}

impl Kind {
    /// Uses one connection until the exporter closes it; `None` if connecting or sending the requests fails.
    async fn act(self, server: &Server, number: usize) -> Option<()> {
        match self {
            Kind::Idle => {
                let mut stream = server.tcp().await?;
                stream.write_all([&b""[..], b"\x16\x03\x01"][number % 2]).await.ok()?;
                read_to_end(&mut stream, Duration::ZERO).await;
            }
            Kind::NoWindow => {
                let (mut client, connection) = server.http2(0).await?;
                let path = ["/", "/docs/", "/metrics"][number % 3];
                let mut answers = Vec::new();
                for _ in 0..4 {
                    client = client.ready().await.ok()?;
                    let request = request(path, PASSWORD).header("accept-encoding", ["gzip", "identity"][number % 2]);
                    answers.push(client.send_request(request.body(()).unwrap(), true).ok()?.0.await.ok()?);
                }
                let _ = connection.await;
            }
            Kind::Body => {
                let (client, _connection) = server.http2(1 << 16).await?;
                let mut client = client.ready().await.ok()?;
                let request = request("/", "wrong").method("POST").body(()).unwrap();
                let (answer, mut body) = client.send_request(request, false).ok()?;
                body.reserve_capacity(1 << 20);
                while let Ok(Some(Ok(capacity))) =
                    timeout(Duration::from_secs(5), std::future::poll_fn(|context| body.poll_capacity(context))).await
                {
                    body.send_data(Bytes::from(vec![0; capacity]), false).ok()?;
                }
                let _ = timeout(Duration::from_secs(5), answer).await;
            }
            Kind::SlowReader => {
                let mut stream = server.tls().await?;
                let encoding = ["gzip", "identity"][number % 2];
                stream.write_all(server.get("/metrics", PASSWORD, encoding).as_bytes()).await.ok()?;
                read_to_end(&mut stream, Duration::from_millis(100)).await;
            }
            Kind::WrongPassword => {
                let mut stream = server.tls().await?;
                stream.write_all(server.get("/metrics", &format!("wrong{number}"), "gzip").as_bytes()).await.ok()?;
                read_to_end(&mut stream, Duration::ZERO).await;
            }
            Kind::NoReader => {
                // Not all at once: a poll between two clients gives them different answers.
                sleep(Duration::from_millis(number as u64 * 20)).await;
                let mut stream = server.tcp().await?;
                stream.write_all(server.get("/metrics", PASSWORD, "identity").as_bytes()).await.ok()?;
                sleep(Duration::from_secs(61)).await;
            }
        }
        Some(())
    }
}

/// Reads with pauses until the exporter closes the connection, or cuts it off.
async fn read_to_end(stream: &mut (impl AsyncRead + Unpin), pause: Duration) {
    while stream.read(&mut [0; 2000]).await.is_ok_and(|read| read > 0) {
        sleep(pause).await;
    }
}

fn authorization(password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{USER}:{password}")))
}

fn request(path: &str, password: &str) -> hyper::http::request::Builder {
    Request::get(format!("https://localhost{path}")).header("authorization", authorization(password))
}

/// Connects to the exporter.
#[derive(Clone)]
struct Server {
    address: SocketAddr,
    tls: TlsConnector,
}

impl Server {
    fn new(exporter: &Exporter, protocol: &str) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(exporter.certificate.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![protocol.into()];
        Server { address: exporter.address, tls: TlsConnector::from(Arc::new(config)) }
    }

    /// A connection with a small receive buffer, and with segments as short as those of Ethernet. With the long segments
    /// of the loopback interface, the kernel of the exporter would buffer megabytes of an answer that is not read. The
    /// exporter would have nothing to keep.
    async fn tcp(&self) -> Option<tokio::net::TcpStream> {
        let socket = TcpSocket::new_v4().ok()?;
        socket.set_recv_buffer_size(4096).ok()?;
        SockRef::from(&socket).set_tcp_mss(1448).ok()?;
        socket.bind(SocketAddr::from(([127, 0, 0, 2], 0))).ok()?;
        socket.connect(self.address).await.ok()
    }

    async fn tls(&self) -> Option<Stream> {
        let name = ServerName::try_from("localhost").unwrap();
        self.tls.connect(name, self.tcp().await?).await.ok()
    }

    async fn http2(&self, window: u32) -> Option<(h2::client::SendRequest<Bytes>, tokio::task::JoinHandle<()>)> {
        let mut builder = h2::client::Builder::new();
        let (client, connection) = builder.initial_window_size(window).handshake(self.tls().await?).await.ok()?;
        let connection = tokio::spawn(async move {
            let _ = connection.await;
        });
        Some((client, connection))
    }

    fn get(&self, path: &str, password: &str, encoding: &str) -> String {
        let authorization = authorization(password);
        format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\nAccept-Encoding: {encoding}\r\n\r\n"
        )
    }
}
