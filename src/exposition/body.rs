//! The response body of a scrape: its own bytes, then the rendering that all scrapes share, then a gzip trailer.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use hyper::body::{Frame, SizeHint};

use super::{
    batch::{Batch, LARGE_BATCHES},
    pieces::Pieces,
};

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

    /// Takes the next pieces; `None` at the end, or if the rest was withdrawn. The trailer comes with the piece before
    /// it, because writing it alone would cost a system call and a packet.
    pub(super) fn take(&mut self) -> Option<Batch> {
        let Body { first, shared, next, .. } = self;
        let shared = std::iter::from_fn(|| {
            let piece = shared.as_ref()?.get(*next)?;
            *next += 1;
            Some(piece)
        });
        let mut batch = Batch::take(first.take().into_iter().chain(shared), &LARGE_BATCHES)?;
        if self.length == batch.remaining() + self.last.len() {
            batch.push(std::mem::take(&mut self.last));
        }
        self.length -= batch.remaining();
        Some(batch)
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        let length = bytes.len();
        Body { first: Some(bytes), length, ..Body::default() }
    }
}

impl hyper::body::Body for Body {
    type Data = Batch;
    type Error = CutOff;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, CutOff>>> {
        Poll::Ready(match self.take() {
            Some(batch) => Some(Ok(Frame::data(batch))),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trailer_comes_with_the_last_piece() {
        let body = |length: usize| Body::new(vec![1; 100], Arc::new(Pieces::copy(&vec![2; length])), vec![3; 10]);
        for (length, batches) in [(0, vec![110]), (100_000, vec![100_110]), (140_000, vec![131_172, 8_938])] {
            let mut body = body(length);
            let taken: Vec<usize> = std::iter::from_fn(|| body.take()).map(|batch| batch.remaining()).collect();
            assert_eq!((taken, body.length()), (batches, 0));
        }
    }
}
