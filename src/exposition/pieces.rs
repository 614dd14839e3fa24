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
    /// Lines up the parts. A long part shares its bytes with the block that owns them.
    pub fn new(parts: Vec<Encoded>) -> Self {
        let digest = Digest::concat(parts.iter().map(|part| part.digest));
        let (mut list, mut copied) = (Vec::new(), Vec::new());
        for part in parts {
            if part.bytes.len() >= COPIED_BELOW {
                close(&mut copied, &mut list);
                list.push(part.bytes);
                continue;
            }
            if copied.len() >= PIECE {
                close(&mut copied, &mut list);
            }
            if copied.is_empty() {
                copied.reserve(PIECE + COPIED_BELOW);
            }
            copied.extend_from_slice(&part.bytes);
        }
        close(&mut copied, &mut list);
        Pieces { list, digest }
    }
}

/// Ends the piece of copied parts.
fn close(copied: &mut Vec<u8>, list: &mut Vec<Bytes>) {
    copied.shrink_to_fit();
    if !copied.is_empty() {
        list.push(Bytes::from(std::mem::take(copied)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(length: usize) -> Encoded {
        Encoded { bytes: vec![0; length].into(), digest: Digest::new(length, length, 0) }
    }

    #[test]
    fn short_parts_share_a_piece_and_long_ones_are_not_copied() {
        let long = part(COPIED_BELOW);
        let pieces = Pieces::new(vec![part(1), part(2), long.clone(), part(3)]);
        let lengths: Vec<usize> = pieces.list.iter().map(Bytes::len).collect();
        assert_eq!(lengths, [3, COPIED_BELOW, 3]);
        assert_eq!(pieces.list[1].as_ptr(), long.bytes.as_ptr());
        assert_eq!(pieces.digest.length, COPIED_BELOW + 6);
        let pieces = Pieces::new(vec![part(COPIED_BELOW - 1); 100]);
        assert!(pieces.list.iter().all(|piece| piece.len() < PIECE + COPIED_BELOW));
        assert_eq!(pieces.list.len(), 6);
        assert!(Pieces::new(Vec::new()).list.is_empty());
    }
}
