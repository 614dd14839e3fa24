//! Consecutive pieces of a body. A connection writes them with one system call.

use std::{collections::VecDeque, io::IoSlice};

use bytes::{Buf, Bytes};
use tokio::sync::{Semaphore, SemaphorePermit};

/// A batch ends with the piece that reaches this length.
const LENGTH: usize = 128 << 10;

/// One permit for each batch of several pieces. Permits are few, because a client that stops reading keeps the pieces of
/// its batches in memory. A batch without a permit has one piece, and perhaps the trailer.
pub(super) static LARGE_BATCHES: Semaphore = Semaphore::const_new(8);

/// Consecutive pieces of a body. Each system call wakes the client, and that costs more than copying a piece.
#[derive(Debug)]
pub struct Batch {
    /// None of them is empty.
    pieces: VecDeque<Bytes>,
    _permit: Option<SemaphorePermit<'static>>,
}

impl Batch {
    /// Takes the next pieces; only one if no permit is left. `None` if there is no piece.
    pub(super) fn take(mut rest: impl Iterator<Item = Bytes>, permits: &'static Semaphore) -> Option<Self> {
        let permit = permits.try_acquire().ok();
        let limit = if permit.is_some() { LENGTH } else { 1 };
        let (mut pieces, mut length) = (VecDeque::new(), 0);
        while length < limit
            && let Some(piece) = rest.next()
        {
            length += piece.len();
            pieces.push_back(piece);
        }
        let permit = permit.filter(|_| pieces.len() > 1);
        (!pieces.is_empty()).then_some(Batch { pieces, _permit: permit })
    }

    /// Adds a piece, even if the batch is full.
    pub(super) fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.pieces.push_back(piece);
        }
    }
}

impl Buf for Batch {
    fn remaining(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&[], Bytes::as_ref)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        slices.iter_mut().zip(&self.pieces).map(|(slice, piece)| *slice = IoSlice::new(piece)).count()
    }

    fn advance(&mut self, mut count: usize) {
        while count > 0
            && let Some(piece) = self.pieces.front_mut()
        {
            let length = piece.len().min(count);
            piece.advance(length);
            count -= length;
            if piece.is_empty() {
                self.pieces.pop_front();
            }
        }
        assert!(count == 0, "advanced past the end");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static PERMITS: Semaphore = Semaphore::const_new(1);

    fn pieces() -> impl Iterator<Item = Bytes> {
        (1..=6).map(|number| Bytes::from(vec![number; usize::from(number)]))
    }

    #[test]
    fn only_batches_of_several_pieces_have_a_permit() {
        let mut rest = (0..7).map(|_| Bytes::from_static(&[0; LENGTH / 3]));
        let mut take = || Batch::take(&mut rest, &PERMITS).unwrap();
        let large = take();
        assert_eq!(large.pieces.len(), 4, "the first ones that have at least {LENGTH} bytes");
        let small = take();
        assert_eq!(small.pieces.len(), 1, "there is no other permit");
        drop(large);
        assert_eq!(take().pieces.len(), 2, "the small batch has no permit");
        assert!(Batch::take(&mut rest, &PERMITS).is_none());
        let long = Batch::take([Bytes::from_static(&[0; LENGTH]), small.pieces[0].clone()].into_iter(), &PERMITS);
        assert_eq!(long.unwrap().pieces.len(), 1, "a long piece is a batch");
    }

    /// Compares a batch with a slice of the same bytes that is read in the same steps.
    #[test]
    fn any_steps_read_all_bytes_in_order() {
        let whole: Vec<u8> = pieces().flatten().collect();
        for step in 1..=whole.len() {
            let mut batch = Batch { pieces: pieces().collect(), _permit: None };
            let mut rest = whole.as_slice();
            while !rest.is_empty() {
                let mut slices = [IoSlice::new(&[]); 16];
                let count = batch.chunks_vectored(&mut slices);
                let written = slices[..count].iter().flat_map(|slice| slice.iter().copied());
                assert_eq!(written.collect::<Vec<_>>(), rest);
                assert!(rest.starts_with(batch.chunk()) && !batch.chunk().is_empty());
                let step = step.min(rest.len());
                batch.advance(step);
                rest = &rest[step..];
                assert_eq!(batch.remaining(), rest.len());
            }
            assert!(batch.chunk().is_empty());
        }
    }
}
