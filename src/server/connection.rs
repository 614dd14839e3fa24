//! One connection: its TLS handshake, then HTTP/1.1 or HTTP/2 within time limits.

use std::{convert::Infallible, io, net::IpAddr, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::{
    Request, Response,
    body::{Body, Incoming},
    header::CONNECTION,
    server::conn::{http1, http2},
    service::{Service, service_fn},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    limits::Limits,
    policed_service::PolicedService,
    slots::{ActiveRequest, ConnectionUsage},
    timed_io::{AnswerGuard, GuardedBody, TimedIo},
};

/// Any error that ends a connection.
pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Maximum size of a request's head, in bytes.
const MAX_HEAD: usize = 16 << 10;

/// Maximum number of concurrent requests on one HTTP/2 connection.
const STREAMS: u32 = 4;

/// Bytes of a body that an HTTP/2 client may send on one stream. No body is read, so this is small.
const STREAM_WINDOW: u32 = 4 << 10;

/// The same for all streams of a connection: the minimum of RFC 9113 (6.9.2).
const CONNECTION_WINDOW: u32 = (64 << 10) - 1;

/// Maximum number of bytes of answers that a connection buffers: on each stream of HTTP/2, and before encryption.
const SEND_BUFFER: usize = 16 << 10;

/// Serves one connection.
pub(super) struct Connection<S> {
    service: Arc<PolicedService<S>>,
    client: IpAddr,
    limits: Limits,
    usage: Arc<ConnectionUsage>,
    /// Ends the connection after the current answers.
    stop: CancellationToken,
}

impl<S, B> Connection<S>
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>, Error = Infallible, Future: Send> + Send + Sync + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + From<Bytes> + Default + Send + Unpin + 'static,
{
    pub fn new(
        service: Arc<PolicedService<S>>,
        client: IpAddr,
        limits: Limits,
        usage: Arc<ConnectionUsage>,
        stop: CancellationToken,
    ) -> Self {
        Connection { service, client, limits, usage, stop }
    }

    /// Serves the connection until it ends.
    pub async fn serve(self, stream: TcpStream) -> Result<(), BoxError> {
        // An answer is written as a whole, so waiting for more data (Nagle's algorithm) would only delay it.
        let _ = stream.set_nodelay(true);
        let Some(acceptor) = self.service.policy().acceptor().await else { return self.serve_http1(stream).await };
        let stream = tokio::select! {
            // No request has been accepted yet.
            () = self.stop.cancelled() => return Ok(()),
            stream = timeout(self.limits.head, handshake(stream, acceptor)) => stream??,
        };
        let Some(stream) = stream else { return Ok(()) };
        match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => self.serve_http2(stream).await,
            _ => self.serve_http1(stream).await,
        }
    }

    async fn serve_http1<I>(self, stream: I) -> Result<(), BoxError>
    where
        I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (io, phase) = TimedIo::new(stream, self.limits, self.usage);
        let service = service_fn({
            let phase = phase.clone();
            move |request: Request<Incoming>| {
                let (service, phase) = (Arc::clone(&self.service), phase.clone());
                phase.handling();
                async move {
                    let response = service.answer(request, self.client).await;
                    phase.answering();
                    Ok::<_, Infallible>(response.map(|body| GuardedBody { body, _guard: AnswerGuard(phase) }))
                }
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .max_buf_size(MAX_HEAD)
            // Some clients close their sending side as soon as they have sent the request, and wait for the answer.
            .half_close(true)
            .serve_connection(TokioIo::new(io), service);
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        match ended {
            Err(error) if !phase.is_idle() => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Requests of HTTP/2 overlap, so the phases of HTTP/1.1 do not apply. Instead, the connection is closed when one
    /// answer takes too long, or when there is no request for too long.
    async fn serve_http2<I>(self, stream: I) -> Result<(), BoxError>
    where
        I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Connection { service, client, limits, usage, stop } = self;
        let overdue = CancellationToken::new();
        let close = stop.child_token();
        let service = service_fn(|request: Request<Incoming>| {
            let (service, close) = (Arc::clone(&service), close.clone());
            let mut active = ActiveRequest::new(&usage);
            let total = cancel_after(limits.total, overdue.clone());
            async move {
                let mut response = service.answer(request, client).await;
                // HTTP/2 has no header `Connection`. The frame GOAWAY announces the end of the connection.
                if response.headers_mut().remove(CONNECTION).is_some() {
                    active.is_refused = true;
                    close.cancel();
                }
                Ok::<_, Infallible>(response.map(|body| GuardedBody { body, _guard: (active, total) }))
            }
        });
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            // Detects clients that disappeared without closing the connection.
            .keep_alive_interval(limits.total)
            .keep_alive_timeout(limits.head)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => return Ok(ended?),
            () = overdue.cancelled() => return Err(io::Error::from(io::ErrorKind::TimedOut).into()),
            () = usage.idle_for_too_long(limits) => return Ok(()),
            () = close.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        Ok(timeout(limits.total, connection).await??)
    }
}

/// Cancels a token after this time, unless the handle is dropped before.
fn cancel_after(time: Duration, token: CancellationToken) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        sleep(time).await;
        token.cancel();
    }))
}

/// Performs the TLS handshake; `None` if the client speaks plain HTTP and was answered with 400.
async fn handshake(stream: TcpStream, acceptor: TlsAcceptor) -> io::Result<Option<TlsStream<TcpStream>>> {
    let Some(stream) = reject_plain_http(stream).await? else { return Ok(None) };
    match acceptor.accept_with(stream, |tls| tls.set_buffer_limit(Some(SEND_BUFFER))).into_fallible().await {
        Ok(stream) => Ok(Some(stream)),
        Err((error, stream)) => {
            close_after_alert(stream).await;
            Err(error)
        }
    }
}

/// Answers 400 to a client that speaks plain HTTP. Returns the stream if a TLS handshake begins.
async fn reject_plain_http(mut stream: TcpStream) -> io::Result<Option<TcpStream>> {
    const HANDSHAKE: u8 = 0x16;
    const ANSWER: &[u8] = b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
        This server speaks HTTPS.\n";
    let mut first = [0];
    if stream.peek(&mut first).await? == 0 || first == [HANDSHAKE] {
        return Ok(Some(stream));
    }
    // The request is read first: closing with unread data resets the connection, and the client would miss the answer.
    let mut head = [0; 4096];
    let _ = stream.read(&mut head).await?;
    stream.write_all(ANSWER).await?;
    stream.shutdown().await?;
    Ok(None)
}

/// Closes the connection after a failed handshake, so that the client can read the alert.
///
/// With TLS 1.3 the client may have sent its request already. Closing with unread data resets the connection, and the
/// client would miss the alert. So the client's data is read before closing, up to the size of a head.
async fn close_after_alert(mut stream: TcpStream) {
    const TIMEOUT: Duration = Duration::from_secs(1);
    if stream.shutdown().await.is_ok() {
        let mut buffer = [0; 1024];
        let drain = async {
            for _ in 0..MAX_HEAD / buffer.len() {
                if !stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                    break;
                }
            }
        };
        let _ = timeout(TIMEOUT, drain).await;
    }
}
