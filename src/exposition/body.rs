//! The response body of a scrape: its own bytes, then the rendering that all scrapes share, then a gzip trailer.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes, buf::Chain};
use hyper::body::{Frame, SizeHint};

use super::pieces::Pieces;

/// The client reads too slowly.
#[derive(Debug, thiserror::Error)]
#[error("the client reads too slowly: its answer was cut off, because newer ones need the memory")]
pub struct CutOff;

/// A response body of known length. Clones share its bytes.
#[derive(Clone, Debug, Default)]
pub struct Body {
    first: Option<Bytes>,
    shared: Option<Arc<Pieces>>,
    /// Index of the next piece of `shared`.
    next: usize,
    /// Empty if there is no trailer.
    last: Bytes,
    /// Bytes that have not been taken yet.
    length: usize,
}

impl Body {
    pub(super) fn new(first: Vec<u8>, shared: Arc<Pieces>, last: Vec<u8>) -> Self {
        let length = first.len() + shared.digest.length + last.len();
        let first = (!first.is_empty()).then(|| Bytes::from(first));
        Body { first, shared: Some(shared), next: 0, last: last.into(), length }
    }

    /// Remaining length in bytes.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Takes the next piece; `None` at the end, or if the rest was withdrawn. The trailer comes with the piece before
    /// it, because writing it alone would cost a system call and a packet.
    pub(super) fn take(&mut self) -> Option<Chain<Bytes, Bytes>> {
        let shared = || {
            let piece = self.shared.as_ref()?.get(self.next)?;
            self.next += 1;
            Some(piece)
        };
        let piece = self.first.take().or_else(shared)?;
        let is_end = self.length == piece.len() + self.last.len();
        let piece = piece.chain(if is_end { std::mem::take(&mut self.last) } else { Bytes::new() });
        self.length -= piece.remaining();
        Some(piece)
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        let length = bytes.len();
        Body { first: Some(bytes), length, ..Body::default() }
    }
}

impl hyper::body::Body for Body {
    type Data = Chain<Bytes, Bytes>;
    type Error = CutOff;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, CutOff>>> {
        Poll::Ready(match self.take() {
            Some(piece) => Some(Ok(Frame::data(piece))),
            None if self.length > 0 => Some(Err(CutOff)),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.length == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length as u64)
    }
}
