//! The response body of a scrape: its own bytes, then the rendering that all scrapes share, then a gzip trailer.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
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
    last: Option<Bytes>,
    /// Bytes that have not been taken yet.
    length: usize,
}

impl Body {
    pub(super) fn new(first: Vec<u8>, shared: Arc<Pieces>, last: Vec<u8>) -> Self {
        let length = first.len() + shared.digest.length + last.len();
        let non_empty = |bytes: Vec<u8>| (!bytes.is_empty()).then(|| Bytes::from(bytes));
        Body { first: non_empty(first), shared: Some(shared), next: 0, last: non_empty(last), length }
    }

    /// Remaining length in bytes.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Takes the next piece; `None` at the end, or if the rest was withdrawn.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        let shared = || {
            let piece = self.shared.as_ref()?.get(self.next)?;
            self.next += 1;
            Some(piece)
        };
        let length = self.length;
        let last = || self.last.take_if(|last| last.len() == length);
        let bytes = self.first.take().or_else(shared).or_else(last)?;
        self.length -= bytes.len();
        Some(bytes)
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        let length = bytes.len();
        Body { first: Some(bytes), length, ..Body::default() }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        Poll::Ready(match self.take() {
            Some(bytes) => Some(Ok(Frame::data(bytes))),
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
