//! The rendering that scrapes share, as pieces for the network.

use bytes::Bytes;
use parking_lot::Mutex;

use super::encoding::{Digest, EncodedText, PIECE};

/// Shorter parts are copied together, because handing out a piece costs more than copying a part of this length.
const COPIED_BELOW: usize = 4 << 10;

/// Encoded text in few pieces.
#[derive(Debug)]
pub(super) struct Pieces {
    /// Locked, because [`Self::withdraw`] empties it while bodies read it.
    list: Mutex<Vec<Bytes>>,
    pub digest: Digest,
}

impl Pieces {
    /// Lines up the parts. The pieces of a long part are shared. Short parts are copied together into one piece, and
    /// each of them becomes a slice of this piece, so that no bytes are kept twice.
    pub fn new(parts: Vec<&mut EncodedText>) -> Self {
        let digest = Digest::concat(parts.iter().map(|part| part.digest));
        let mut list = Vec::new();
        let mut open = OpenPiece::default();
        for part in parts {
            if part.digest.length >= COPIED_BELOW {
                list.extend(open.close());
                list.extend_from_slice(&part.pieces);
                continue;
            }
            if open.bytes.len() + part.digest.length > PIECE {
                list.extend(open.close());
            }
            open.append(part);
        }
        list.extend(open.close());
        Pieces { list: Mutex::new(list), digest }
    }

    /// Copies `bytes` into small pieces, so that a connection that has stalled keeps only one small piece in memory.
    pub fn copy(bytes: &[u8]) -> Self {
        let list = bytes.chunks(COPIED_BELOW).map(Bytes::copy_from_slice).collect();
        Pieces { list: Mutex::new(list), digest: Digest::of_identity(bytes.len()) }
    }

    /// One piece; `None` after the last one, or if the pieces were withdrawn.
    pub fn get(&self, index: usize) -> Option<Bytes> {
        self.list.lock().get(index).cloned()
    }

    /// Frees the pieces, though bodies still refer to them.
    pub fn withdraw(&self) {
        *self.list.lock() = Vec::new();
    }
}

/// A piece that short parts are copied to.
#[derive(Default)]
struct OpenPiece<'a> {
    bytes: Vec<u8>,
    parts: Vec<&'a mut EncodedText>,
}

impl<'a> OpenPiece<'a> {
    fn append(&mut self, part: &'a mut EncodedText) {
        if self.bytes.is_empty() {
            self.bytes.reserve(PIECE);
        }
        part.pieces.iter().for_each(|piece| self.bytes.extend_from_slice(piece));
        self.parts.push(part);
    }

    /// Ends the piece; `None` if it is empty.
    fn close(&mut self) -> Option<Bytes> {
        self.bytes.shrink_to_fit();
        let piece = Bytes::from(std::mem::take(&mut self.bytes));
        let mut rest = piece.clone();
        for part in self.parts.drain(..) {
            part.pieces.clear();
            part.pieces.push(rest.split_to(part.digest.length));
        }
        (!piece.is_empty()).then_some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(length: usize) -> EncodedText {
        EncodedText::new(&vec![0; length], Digest::of_identity(length))
    }

    #[test]
    fn parts_and_pieces_share_their_bytes() {
        let mut parts = [part(1), part(2), part(COPIED_BELOW), part(3)];
        let long = parts[2].pieces[0].as_ptr();
        let pieces = Pieces::new(parts.iter_mut().collect());
        let list = pieces.list.into_inner();
        let lengths: Vec<usize> = list.iter().map(Bytes::len).collect();
        assert_eq!(lengths, [3, COPIED_BELOW, 3]);
        assert_eq!(pieces.digest.length, COPIED_BELOW + 6);
        assert_eq!(list[1].as_ptr(), long, "a long part is not copied");
        let slices = [&parts[0], &parts[1], &parts[3]].map(|part| (part.pieces[0].as_ptr(), part.pieces[0].len()));
        assert_eq!(slices, [(list[0].as_ptr(), 1), (list[0][1..].as_ptr(), 2), (list[2].as_ptr(), 3)]);
        assert!(parts.iter().all(|part| part.pieces.len() == 1));
        assert!(Pieces::new(Vec::new()).get(0).is_none());
    }

    #[test]
    fn no_piece_is_longer_than_the_maximum() {
        for (count, length, pieces) in [(100, COPIED_BELOW - 1, 7), (1, PIECE, 1), (2, PIECE + 1, 4), (1, 1 << 20, 16)]
        {
            let mut parts = vec![part(length); count];
            let list = Pieces::new(parts.iter_mut().collect()).list.into_inner();
            assert_eq!((list.len(), list.iter().map(Bytes::len).sum::<usize>()), (pieces, count * length));
            assert!(list.iter().all(|piece| piece.len() <= PIECE));
        }
    }
}
