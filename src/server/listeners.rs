//! Listeners: they accept connections, up to a limit, until the server stops.

use std::{convert::Infallible, io, net::Ipv6Addr, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::{Request, Response, StatusCode, body::Body, service::Service};
use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpSocket},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    connection::{BoxError, Connection},
    limits::Limits,
    policed_service::PolicedService,
    policy::WebPolicy,
    slots::{Connections, Slots},
};

/// Length of the kernel's queue of connections that wait to be accepted, as in [`TcpListener::bind`].
const BACKLOG: u32 = 1024;

/// Time for current answers to end after the server is told to stop.
const GRACE: Duration = Duration::from_secs(3);

/// Pause after `accept` has failed.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// An address that cannot be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct BindError {
    address: String,
    source: io::Error,
}

/// Binds every address. `:PORT` means all interfaces: IPv4, and IPv6 if the machine supports it.
///
/// # Errors
/// The first address that cannot be bound.
pub async fn bind(addresses: &[String]) -> Result<Vec<TcpListener>, BindError> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for address in addresses {
        let bound = match address.strip_prefix(':') {
            Some(port) => match bind_all_interfaces(port) {
                // The kernel may have no IPv6.
                Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                    TcpListener::bind(format!("0.0.0.0:{port}")).await
                }
                bound => bound,
            },
            None => TcpListener::bind(address).await,
        };
        listeners.push(bound.map_err(|source| BindError { address: address.clone(), source })?);
    }
    Ok(listeners)
}

/// Binds one socket for IPv6 and IPv4. Without the explicit option, the sysctl `net.ipv6.bindv6only` decides whether an
/// IPv6 socket also serves IPv4.
fn bind_all_interfaces(port: &str) -> io::Result<TcpListener> {
    let port = port.parse().map_err(io::Error::other)?;
    let socket = TcpSocket::new_v6()?;
    SockRef::from(&socket).set_only_v6(false)?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv6Addr::UNSPECIFIED, port).into())?;
    socket.listen(BACKLOG)
}

/// An HTTP server: a hyper service behind a [`WebPolicy`], within [`Limits`].
#[derive(Debug)]
pub struct Server<S> {
    service: PolicedService<S>,
    limits: Limits,
    connections: Connections,
}

impl<S> Server<S> {
    /// Creates a server.
    pub fn new(service: S, policy: WebPolicy, limits: Limits) -> Self {
        Server { service: PolicedService::new(service, policy), limits, connections: Connections::default() }
    }

    /// Counts the connections of this server in `connections`.
    pub fn count_connections(mut self, connections: Connections) -> Self {
        self.connections = connections;
        self
    }

    /// Calls `observer` once for every answer, with the path of the request and the status of the answer. This includes
    /// the server's own 400, 401 and 429.
    pub fn on_answer(mut self, observer: impl Fn(&str, StatusCode) + Send + Sync + 'static) -> Self {
        self.service.on_answer(observer);
        self
    }
}

impl<S, B> Server<S>
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>, Error = Infallible, Future: Send> + Send + Sync + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + From<Bytes> + Default + Send + Unpin + 'static,
{
    /// Serves on all listeners until `stop`. After that, current answers have 3 s to end.
    ///
    /// The server makes bodies of its own for 400, 401 and 429, so the type of the bodies must implement `From<Bytes>`.
    /// It must also be `Unpin`, because the server wraps each body without pinning it.
    pub async fn serve(self, listeners: Vec<TcpListener>, stop: CancellationToken) {
        let service = Arc::new(self.service);
        let mut tasks = JoinSet::new();
        for listener in listeners {
            let service = Arc::clone(&service);
            let slots = self.connections.add(self.limits.connections);
            tasks.spawn(listen(listener, service, self.limits, slots, stop.clone()));
        }
        // A listener that panics ends the server, because an exporter that cannot be scraped must not keep running.
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    }
}

async fn listen<S, B>(
    listener: TcpListener,
    service: Arc<PolicedService<S>>,
    limits: Limits,
    slots: Arc<Slots>,
    stop: CancellationToken,
) where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>, Error = Infallible, Future: Send> + Send + Sync + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + From<Bytes> + Default + Send + Unpin + 'static,
{
    let connections = TaskTracker::new();
    loop {
        // A connection without a slot waits here. Further connections wait in the kernel's queue.
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = async {
                let (stream, peer) = listener.accept().await?;
                Ok::<_, io::Error>((stream, peer, slots.take(peer.ip()).await))
            } => accepted,
        };
        match accepted {
            Ok((stream, peer, slot)) => {
                let usage = Arc::clone(&slot.usage);
                let connection = Connection::new(Arc::clone(&service), peer.ip(), limits, usage, stop.clone());
                connections.spawn(async move {
                    tokio::select! {
                        biased;
                        () = slot.usage.closed() => {}
                        ended = connection.serve(stream) => if let Err(error) = ended {
                            tracing::debug!(%peer, %error, "connection failed");
                        }
                    }
                });
            }
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                // No descriptors or no memory left: an immediate retry would spin.
                tracing::warn!(%error, "cannot accept connections, retrying in 1s");
                slots.close_longest_idle();
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    if timeout(GRACE, connections.wait()).await.is_err() {
        tracing::warn!("some answers took longer than 3s to end and were cut off");
    }
}

/// Whether an error of `accept` concerns one connection only (accept(2)). Then the next one can be accepted at once.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
