//! The rendering that scrapes share, as pieces for the network.

use bytes::Bytes;

use super::encoding::{Digest, Encoded};

/// Shorter parts are copied together, because handing out a piece costs more than copying a part of this length.
const COPIED_BELOW: usize = 4 << 10;

/// A piece of copied parts ends after this many bytes.
const PIECE: usize = 64 << 10;

/// Encoded text in few pieces.
#[derive(Debug)]
pub(super) struct Pieces {
    pub list: Vec<Bytes>,
    pub digest: Digest,
}

impl Pieces {
    /// Lines up the parts. A part and its piece share the same bytes in the end: a long part is a piece of its own, and a
    /// short one becomes a slice of the piece that it was copied to.
    pub fn new(parts: Vec<&mut Encoded>) -> Self {
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
        Pieces { list, digest }
    }
}

/// A piece that short parts are copied to.
#[derive(Default)]
struct OpenPiece<'a> {
    bytes: Vec<u8>,
    parts: Vec<&'a mut Encoded>,
}

impl<'a> OpenPiece<'a> {
    fn append(&mut self, part: &'a mut Encoded) {
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

    fn part(length: usize) -> Encoded {
        Encoded { bytes: vec![0; length].into(), digest: Digest::new(length, length, 0) }
    }

    #[test]
    fn parts_and_pieces_share_their_bytes() {
        let mut parts = [part(1), part(2), part(COPIED_BELOW), part(3)];
        let long = parts[2].bytes.as_ptr();
        let pieces = Pieces::new(parts.iter_mut().collect());
        let lengths: Vec<usize> = pieces.list.iter().map(Bytes::len).collect();
        assert_eq!(lengths, [3, COPIED_BELOW, 3]);
        assert_eq!(pieces.digest.length, COPIED_BELOW + 6);
        assert_eq!(pieces.list[1].as_ptr(), long, "a long part is not copied");
        assert_eq!(parts[0].bytes.as_ptr(), pieces.list[0].as_ptr());
        assert_eq!((parts[1].bytes.as_ptr(), parts[1].bytes.len()), (pieces.list[0][1..].as_ptr(), 2));
        assert_eq!((parts[3].bytes.as_ptr(), parts[3].bytes.len()), (pieces.list[2].as_ptr(), 3));
        let mut parts = vec![part(COPIED_BELOW - 1); 100];
        let pieces = Pieces::new(parts.iter_mut().collect());
        assert!(pieces.list.iter().all(|piece| piece.len() < PIECE + COPIED_BELOW));
        assert_eq!(pieces.list.len(), 6);
        assert!(Pieces::new(Vec::new()).list.is_empty());
    }
}
