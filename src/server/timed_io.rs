//! Time limits of a connection: for the head of a request, for the time between requests, and for a whole answer.
//!
//! hyper has one limit for both a head and the time between requests, and none for a client that does not read. So this
//! module tracks the phases. The first byte of a request begins its head. The service reports when it has a request and
//! when its answer is ready. The body reports when hyper has taken its last piece. The next flush ends the answer.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, ready},
};

use hyper::body::{Body, Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use super::{limits::Limits, slots::ConnectionUsage};

const HEAD: u8 = 0;
const IDLE: u8 = 1;
const HANDLING: u8 = 2;
const ANSWERING: u8 = 3;
const ANSWERED: u8 = 4;

/// Handle with which the service tells its connection the current phase.
///
/// Atomic, because the service and the connection share it without a lock. Relaxed ordering, because no other data
/// depends on it.
#[derive(Clone, Debug)]
pub(super) struct ConnectionPhase {
    phase: Arc<AtomicU8>,
    usage: Arc<ConnectionUsage>,
}

impl ConnectionPhase {
    /// A request's head is complete.
    pub fn handling(&self) {
        let before = self.phase.swap(HANDLING, Ordering::Relaxed);
        // A pipelined request may begin before the previous answer is flushed. Then the connection still counts as
        // active.
        if matches!(before, HEAD | IDLE) {
            self.usage.begin();
        }
    }

    /// The answer is ready to be written.
    pub fn answering(&self) {
        self.phase.store(ANSWERING, Ordering::Relaxed);
    }

    /// hyper has taken the last piece of the answer.
    pub fn answered(&self) {
        self.phase.store(ANSWERED, Ordering::Relaxed);
    }

    /// Whether no request is being read or answered.
    pub fn is_idle(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == IDLE
    }
}

/// Reports the end of an answer to its connection when it is dropped.
#[derive(Debug)]
pub(super) struct AnswerGuard(pub ConnectionPhase);

impl Drop for AnswerGuard {
    fn drop(&mut self) {
        self.0.answered();
    }
}

/// A body with a value that is dropped when hyper drops the body: after the last piece, or at once for HEAD.
#[derive(Debug)]
pub(super) struct GuardedBody<B, G> {
    pub body: B,
    pub _guard: G,
}

impl<B: Body + Unpin, G: Unpin> Body for GuardedBody<B, G> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection that fails with `TimedOut` when a phase takes too long.
#[derive(Debug)]
pub(super) struct TimedIo<S> {
    stream: S,
    phase: Arc<AtomicU8>,
    usage: Arc<ConnectionUsage>,
    /// The phase that `deadline` was set for.
    timed_phase: u8,
    limits: Limits,
    deadline: Instant,
    /// Wakes the connection at `deadline` or earlier. A later deadline does not move the timer: the deadline of the
    /// next request is earlier again, and moving the timer to an earlier time wakes the runtime.
    timer: Pin<Box<Sleep>>,
}

impl<S> TimedIo<S> {
    pub fn new(stream: S, limits: Limits, usage: Arc<ConnectionUsage>) -> (Self, ConnectionPhase) {
        let phase = Arc::new(AtomicU8::new(HEAD));
        let deadline = Instant::now() + limits.head;
        let timer = Box::pin(sleep_until(deadline));
        let handle = ConnectionPhase { phase: Arc::clone(&phase), usage: Arc::clone(&usage) };
        (TimedIo { stream, phase, usage, timed_phase: HEAD, limits, deadline, timer }, handle)
    }

    fn enter(&mut self, phase: u8) {
        self.phase.store(phase, Ordering::Relaxed);
        self.update_deadline();
    }

    /// Sets a new deadline if the phase has changed.
    fn update_deadline(&mut self) {
        let phase = self.phase.load(Ordering::Relaxed);
        if phase == self.timed_phase {
            return;
        }
        let limit = match phase {
            HEAD => Some(self.limits.head),
            IDLE => Some(self.limits.idle),
            HANDLING => Some(self.limits.total),
            // `limits.total` has been running since `HANDLING`.
            _ if matches!(self.timed_phase, HANDLING | ANSWERING) => None,
            _ => Some(self.limits.total),
        };
        if let Some(limit) = limit {
            self.deadline = Instant::now() + limit;
            if self.deadline < self.timer.deadline() {
                self.timer.as_mut().reset(self.deadline);
            }
        }
        self.timed_phase = phase;
    }

    fn check_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.update_deadline();
        loop {
            ready!(self.timer.as_mut().poll(cx));
            if self.timer.deadline() == self.deadline {
                return Poll::Ready(io::ErrorKind::TimedOut.into());
            }
            self.timer.as_mut().reset(self.deadline);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TimedIo<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if let Poll::Ready(result) = Pin::new(&mut self.stream).poll_read(cx, buffer) {
            if buffer.filled().len() > before && self.phase.load(Ordering::Relaxed) == IDLE {
                self.enter(HEAD);
            }
            return Poll::Ready(result);
        }
        self.check_deadline(cx).map(Err)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimedIo<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if let Poll::Ready(result) = Pin::new(&mut self.stream).poll_write(cx, data) {
            return Poll::Ready(result);
        }
        self.check_deadline(cx).map(Err)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(result) = Pin::new(&mut self.stream).poll_write_vectored(cx, data) {
            return Poll::Ready(result);
        }
        self.check_deadline(cx).map(Err)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper also flushes between the pieces of an answer. It drops the body before the flush after the last piece.
        let Poll::Ready(result) = Pin::new(&mut self.stream).poll_flush(cx) else {
            // TLS has its own buffer, which drains only while the client reads.
            return self.check_deadline(cx).map(Err);
        };
        if self.phase.load(Ordering::Relaxed) == ANSWERED {
            self.enter(IDLE);
            self.usage.end();
        }
        Poll::Ready(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(result) = Pin::new(&mut self.stream).poll_shutdown(cx) {
            return Poll::Ready(result);
        }
        self.check_deadline(cx).map(Err)
    }
}
