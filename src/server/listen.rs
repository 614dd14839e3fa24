//! Accepts connections and serves them, within limits, until it is told to stop.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use hyper::{
    Method, Request, Response,
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

pub use super::timed_io::Limits;
use super::{
    policy::WebPolicy,
    timed_io::{PhasedBody, TimedIo},
};
use crate::{exposition::Body, site::Routes};

/// Whatever a connection may end with.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Limits that suit Prometheus: scrapes every few seconds to few minutes, by few clients.
pub const LIMITS: Limits =
    Limits { head: Duration::from_secs(10), idle: Duration::from_secs(180), total: Duration::from_secs(60) };

/// Connections at a time, of each listener; more wait in the kernel's queue.
pub const CONNECTIONS: usize = 512;

/// How long answers under way are waited for at the end.
const GRACE: Duration = Duration::from_secs(3);

/// After this many bytes a request's head is refused.
const MAX_HEAD: usize = 16 << 10;

/// Requests at a time on a connection of HTTP/2.
const STREAMS: u32 = 16;

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

/// What connections are served with.
#[derive(Debug)]
pub struct Server {
    /// What is answered.
    pub site: Arc<Routes>,
    /// Who is.
    pub guard: Arc<WebPolicy>,
    /// How long things may take.
    pub limits: Limits,
    /// Connections at a time, of each listener.
    pub connections: usize,
}

impl Server {
    /// Serves on all listeners until `stop`; then answers what is under way, for 3 s at most.
    pub async fn serve(self, listeners: Vec<TcpListener>, stop: CancellationToken) {
        let server = Arc::new(self);
        let mut tasks = JoinSet::new();
        for listener in listeners {
            tasks.spawn(Arc::clone(&server).listen(listener, stop.clone()));
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

    async fn listen(self: Arc<Self>, listener: TcpListener, stop: CancellationToken) {
        let permits = Arc::new(Semaphore::new(self.connections));
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
                    let (server, watcher, stop) = (Arc::clone(&self), graceful.watcher(), stop.clone());
                    tokio::spawn(async move {
                        if let Err(error) = server.serve_connection(stream, watcher, stop).await {
                            tracing::debug!(%peer, %error, "connection ended early");
                        }
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
        self: Arc<Self>,
        stream: TcpStream,
        watcher: Watcher,
        stop: CancellationToken,
    ) -> Result<(), BoxError> {
        // Answers are written whole; waiting to fill a segment would only delay them.
        let _ = stream.set_nodelay(true);
        let Some(acceptor) = self.guard.acceptor().await else { return self.serve_http1(stream, watcher).await };
        let handshake = async {
            let Some(stream) = expect_tls(stream).await? else { return Ok::<_, io::Error>(None) };
            match acceptor.accept(stream).into_fallible().await {
                Ok(stream) => Ok(Some(stream)),
                Err((error, stream)) => {
                    say_farewell(stream).await;
                    Err(error)
                }
            }
        };
        let stream = tokio::select! {
            // Nobody waits for an answer yet.
            () = stop.cancelled() => return Ok(()),
            stream = timeout(self.limits.head, handshake) => stream??,
        };
        let Some(stream) = stream else { return Ok(()) };
        match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => self.serve_http2(stream, watcher).await,
            _ => self.serve_http1(stream, watcher).await,
        }
    }

    async fn serve_http1<S>(self: Arc<Self>, stream: S, watcher: Watcher) -> Result<(), BoxError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (io, phase) = TimedIo::new(stream, self.limits);
        let service = service_fn({
            let phase = phase.clone();
            move |request: Request<Incoming>| {
                let (server, phase) = (Arc::clone(&self), phase.clone());
                phase.handling();
                async move {
                    let response = server.answer(&request).await;
                    phase.answering();
                    Ok::<_, Infallible>(response.map(|body| PhasedBody { body, phase }))
                }
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(io), service);
        match watcher.watch(connection).await {
            Err(error) if !phase.is_idle() => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// HTTP/2 has no order of phases; here it is activity that counts: a connection on which no request comes and no
    /// answer is made for too long is closed, whatever else goes on.
    async fn serve_http2<S>(self: Arc<Self>, stream: S, watcher: Watcher) -> Result<(), BoxError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let limits = self.limits;
        let (active, mut activity) = watch::channel(());
        let active = Arc::new(active);
        let service = service_fn(move |request: Request<Incoming>| {
            let (server, active) = (Arc::clone(&self), Arc::clone(&active));
            active.send_replace(());
            async move {
                let response = server.answer(&request).await;
                active.send_replace(());
                Ok::<_, Infallible>(response)
            }
        });
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
            // Peers that have gone without a word are found out.
            .keep_alive_interval(limits.total)
            .keep_alive_timeout(limits.head)
            .serve_connection(TokioIo::new(stream), service);
        let idle = async {
            let mut limit = limits.head;
            while let Ok(Ok(())) = timeout(limit, activity.changed()).await {
                limit = limits.idle;
            }
        };
        tokio::select! {
            ended = watcher.watch(connection) => Ok(ended?),
            () = idle => Ok(()),
        }
    }

    async fn answer(&self, request: &Request<Incoming>) -> Response<Body> {
        let path = request.uri().path();
        let mut response = match self.guard.admit(path, request.headers()).await {
            Ok(()) => self.site.answer(request).await,
            Err(denied) => self.site.deny(path, denied),
        };
        self.guard.dress(response.headers_mut());
        if request.method() == Method::HEAD {
            // Of HTTP/2, hyper would send it. The length has been said.
            *response.body_mut() = Body::default();
        }
        response
    }
}

/// Tells a client that speaks plain HTTP what is wrong; `None` once that is done.
async fn expect_tls(mut stream: TcpStream) -> io::Result<Option<TcpStream>> {
    const HANDSHAKE: u8 = 0x16;
    const ANSWER: &[u8] = b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
        This server speaks HTTPS.\n";
    let mut first = [0];
    if stream.peek(&mut first).await? == 0 || first == [HANDSHAKE] {
        return Ok(Some(stream));
    }
    // What has come is read, or closing would reset the connection before the answer is read.
    let mut head = [0; 4096];
    let _ = stream.read(&mut head).await?;
    stream.write_all(ANSWER).await?;
    stream.shutdown().await?;
    Ok(None)
}

/// Lets a client read why it was refused: with TLS 1.3 its request is on the way already, and closing on what has not
/// been read would reset the connection before that.
async fn say_farewell(mut stream: TcpStream) {
    const PATIENCE: Duration = Duration::from_secs(1);
    if stream.shutdown().await.is_ok() {
        let mut rest = [0; 1024];
        // A head's worth at the most.
        let drain = async {
            for _ in 0..MAX_HEAD / rest.len() {
                if !stream.read(&mut rest).await.is_ok_and(|read| read > 0) {
                    break;
                }
            }
        };
        let _ = timeout(PATIENCE, drain).await;
    }
}

/// Errors of `accept` that speak of the one connection it was about (accept(2)).
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
