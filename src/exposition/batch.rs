//! Consecutive pieces of a body, which a connection writes with one system call.

use std::{collections::VecDeque, io::IoSlice};

use bytes::{Buf, Bytes};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Maximum number of pieces in a batch.
const PIECES: usize = 4;

/// One permit for each batch that may have several pieces. Permits are few, because a client that stops reading keeps
/// the pieces of its batch in memory. A batch without a permit has one piece.
pub(super) static LARGE_BATCHES: Semaphore = Semaphore::const_new(8);

/// Consecutive pieces of a body. Each system call wakes the client, and that costs more than copying a piece.
#[derive(Debug)]
pub struct Batch {
    /// None of them is empty.
    pieces: VecDeque<Bytes>,
    _permit: Option<SemaphorePermit<'static>>,
}

impl Batch {
    /// Takes the next pieces, as many as fit; one if no permit is left. `None` if there is no piece.
    pub(super) fn take(pieces: impl Iterator<Item = Bytes>, permits: &'static Semaphore) -> Option<Self> {
        let permit = permits.try_acquire().ok();
        let limit = if permit.is_some() { PIECES } else { 1 };
        let pieces: VecDeque<Bytes> = pieces.take(limit).collect();
        (!pieces.is_empty()).then_some(Batch { pieces, _permit: permit })
    }

    /// Adds a piece, above the limit if need be.
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
        (1..=6).map(|length| Bytes::from(vec![length; usize::from(length)]))
    }

    #[test]
    fn a_batch_without_a_permit_has_one_piece() {
        let mut rest = pieces();
        let large = Batch::take(&mut rest, &PERMITS).unwrap();
        assert_eq!(large.pieces, pieces().take(PIECES).collect::<Vec<_>>());
        let small = Batch::take(&mut rest, &PERMITS).unwrap();
        assert_eq!(small.remaining(), 5);
        drop(large);
        assert!(PERMITS.try_acquire().is_ok(), "the permit ends with the batch");
        assert_eq!(Batch::take(&mut rest, &PERMITS).unwrap().remaining(), 6);
        assert!(Batch::take(rest, &PERMITS).is_none());
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
