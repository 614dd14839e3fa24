//! What a scrape is answered with: bytes that are shared with other scrapes, between some that are its own.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use super::rendering::Rendering;

/// The body of an answer, in few pieces.
#[derive(Clone, Debug, Default)]
pub struct Body {
    first: Option<Bytes>,
    shared: Option<Arc<Rendering>>,
    /// Of the chunks of `shared`.
    next: usize,
    last: Option<Bytes>,
    /// What has not been handed out.
    length: usize,
}

impl Body {
    pub(super) fn new(first: Vec<u8>, shared: Arc<Rendering>, last: Vec<u8>) -> Self {
        let length = first.len() + shared.sum.length + last.len();
        let some = |bytes: Vec<u8>| (!bytes.is_empty()).then(|| Bytes::from(bytes));
        Body { first: some(first), shared: Some(shared), next: 0, last: some(last), length }
    }

    /// Whether it shares this rendering with others.
    pub(super) fn shares(&self, rendering: &Arc<Rendering>) -> bool {
        self.shared.as_ref().is_some_and(|shared| Arc::ptr_eq(shared, rendering))
    }

    /// In bytes.
    pub fn length(&self) -> usize {
        self.length
    }

    /// The next piece.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        let bytes = self.first.take().or_else(|| {
            let chunk = self.shared.as_ref()?.chunk(self.next)?;
            self.next += 1;
            Some(chunk)
        });
        let bytes = bytes.or_else(|| self.last.take())?;
        self.length -= bytes.len();
        Some(bytes)
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        let length = bytes.len();
        Body { first: Some(bytes.into()), length, ..Body::default() }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.length == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length as u64)
    }
}
