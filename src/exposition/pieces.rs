//! The rendering that scrapes share, as pieces for the network.

use bytes::Bytes;
use parking_lot::Mutex;

use super::encoding::{Digest, EncodedText};

/// Shorter parts are copied together, because handing out a piece costs more than copying a part of this length.
const COPIED_BELOW: usize = 4 << 10;

/// A piece of copied parts ends after this many bytes. A client that stops reading keeps at least one piece in memory.
const PIECE: usize = 64 << 10;

/// Encoded text in few pieces.
#[derive(Debug)]
pub(super) struct Pieces {
    /// Locked, because [`Self::withdraw`] empties it while bodies read it.
    list: Mutex<Vec<Bytes>>,
    pub digest: Digest,
}

impl Pieces {
    /// Lines up the parts. A long part becomes a piece. Short parts are copied together into one piece, and each of
    /// them becomes a slice of this piece, so that no bytes are kept twice.
    pub fn new(parts: Vec<&mut EncodedText>) -> Self {
        let digest = Digest::concat(parts.iter().map(|part| part.digest));
        let mut list = Vec::new();
        let mut open = OpenPiece::default();
        for part in parts {
            if part.bytes.len() >= COPIED_BELOW {
                list.extend(open.close());
                list.push(part.bytes.clone());
                continue;
            }
            if open.bytes.len() >= PIECE {
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
        Pieces { list: Mutex::new(list), digest: Digest::new(bytes.len(), bytes.len(), 0) }
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
            self.bytes.reserve(PIECE + COPIED_BELOW);
        }
        self.bytes.extend_from_slice(&part.bytes);
        self.parts.push(part);
    }

    /// Ends the piece; `None` if it is empty.
    fn close(&mut self) -> Option<Bytes> {
        self.bytes.shrink_to_fit();
        let piece = Bytes::from(std::mem::take(&mut self.bytes));
        let mut rest = piece.clone();
        for part in self.parts.drain(..) {
            part.bytes = rest.split_to(part.bytes.len());
        }
        (!piece.is_empty()).then_some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(length: usize) -> EncodedText {
        EncodedText { bytes: vec![0; length].into(), digest: Digest::new(length, length, 0) }
    }

    #[test]
    fn parts_and_pieces_share_their_bytes() {
        let mut parts = [part(1), part(2), part(COPIED_BELOW), part(3)];
        let long = parts[2].bytes.as_ptr();
        let pieces = Pieces::new(parts.iter_mut().collect());
        let list = pieces.list.into_inner();
        let lengths: Vec<usize> = list.iter().map(Bytes::len).collect();
        assert_eq!(lengths, [3, COPIED_BELOW, 3]);
        assert_eq!(pieces.digest.length, COPIED_BELOW + 6);
        assert_eq!(list[1].as_ptr(), long, "a long part is not copied");
        assert_eq!(parts[0].bytes.as_ptr(), list[0].as_ptr());
        assert_eq!((parts[1].bytes.as_ptr(), parts[1].bytes.len()), (list[0][1..].as_ptr(), 2));
        assert_eq!((parts[3].bytes.as_ptr(), parts[3].bytes.len()), (list[2].as_ptr(), 3));
        let mut parts = vec![part(COPIED_BELOW - 1); 100];
        let pieces = Pieces::new(parts.iter_mut().collect());
        let list = pieces.list.into_inner();
        assert!(list.iter().all(|piece| piece.len() < PIECE + COPIED_BELOW));
        assert_eq!(list.len(), 6);
        assert!(Pieces::new(Vec::new()).get(0).is_none());
    }
}
