//! Accepts connections and serves them, within limits, until it is told to stop.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

pub use super::timed_io::Limits;
use super::{routes::Site, timed_io::TimedIo};

/// Limits that suit Prometheus: scrapes every few seconds to few minutes, by few clients.
pub const LIMITS: Limits =
    Limits { head: Duration::from_secs(10), idle: Duration::from_secs(180), total: Duration::from_secs(60) };

/// Connections at a time, of each listener; more wait in the kernel's queue.
pub const CONNECTIONS: usize = 512;

/// How long answers under way are waited for at the end.
const GRACE: Duration = Duration::from_secs(3);

/// After this many bytes a request's head is refused.
const MAX_HEAD: usize = 16 << 10;

/// Binds every address. `:PORT` is all interfaces, IPv6 included where the machine has it.
///
/// # Errors
/// The address that cannot be bound, and why.
pub async fn bind(addresses: &[String]) -> Result<Vec<TcpListener>, (String, io::Error)> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for address in addresses {
        let bound = match address.strip_prefix(':') {
            Some(port) => match TcpListener::bind(format!("[::]:{port}")).await {
                // A kernel without IPv6.
                Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                    TcpListener::bind(format!("0.0.0.0:{port}")).await
                }
                bound => bound,
            },
            None => TcpListener::bind(address).await,
        };
        listeners.push(bound.map_err(|error| (address.clone(), error))?);
    }
    Ok(listeners)
}

/// Serves `site` on all listeners until `stop`; then answers what is under way, for 3 s at most.
pub async fn serve(
    listeners: Vec<TcpListener>,
    site: Arc<Site>,
    limits: Limits,
    connections: usize,
    stop: CancellationToken,
) {
    let mut tasks = JoinSet::new();
    for listener in listeners {
        tasks.spawn(listen(listener, Arc::clone(&site), limits, connections, stop.clone()));
    }
    // A listener that panics must not leave a daemon that nobody can scrape.
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

async fn listen(listener: TcpListener, site: Arc<Site>, limits: Limits, connections: usize, stop: CancellationToken) {
    let permits = Arc::new(Semaphore::new(connections));
    let graceful = GracefulShutdown::new();
    loop {
        // The permit first, so that what cannot be served is not accepted either.
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = async {
                let permit = Arc::clone(&permits).acquire_owned().await;
                (listener.accept().await, permit)
            } => accepted,
        };
        match accepted {
            (Ok((stream, peer)), Ok(permit)) => {
                let watcher = graceful.watcher();
                let site = Arc::clone(&site);
                tokio::spawn(async move {
                    serve_connection(stream, peer, site, limits, watcher).await;
                    drop(permit);
                });
            }
            (Err(error), _) if is_of_one_connection(&error) => {}
            (Err(error), _) => {
                // Out of descriptors or memory: trying again at once would spin.
                tracing::warn!(%error, "cannot accept connections, waiting a second");
                sleep(Duration::from_secs(1)).await;
            }
            // The semaphore is never closed.
            (_, Err(_)) => break,
        }
    }
    drop(listener);
    if timeout(GRACE, graceful.shutdown()).await.is_err() {
        tracing::warn!("some answers took too long and were cut off");
    }
}

async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    site: Arc<Site>,
    limits: Limits,
    watcher: hyper_util::server::graceful::Watcher,
) {
    // Answers are written whole; waiting to fill a segment would only delay them.
    let _ = stream.set_nodelay(true);
    let (io, phase) = TimedIo::new(stream, limits);
    let service = service_fn({
        let phase = phase.clone();
        move |request: Request<Incoming>| {
            let (site, phase) = (Arc::clone(&site), phase.clone());
            phase.handling();
            async move {
                let response = site.answer(&request).await;
                phase.answering();
                Ok::<_, Infallible>(response)
            }
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(io), service);
    if let Err(error) = watcher.watch(connection).await
        && !phase.is_idle()
    {
        tracing::debug!(%peer, %error, "connection ended early");
    }
}

/// Errors of `accept` that speak of the one connection it was about (accept(2)).
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
