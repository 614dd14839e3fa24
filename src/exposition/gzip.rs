//! One member of gzip (RFC 1952) from segments that were compressed at different times.
//!
//! A segment ends with a full flush: it refers to nothing before it and ends on a byte, so segments can be put together
//! in any order (RFC 1951, 3.2.4 and zlib's `Z_FULL_FLUSH`). Only the checksum is of the whole, and checksums can be
//! combined. It is one member, because not every client reads a second one.

use flate2::{Compress, Compression, FlushCompress};
use zlib_rs::crc32::crc32;

use super::rendering::{Encoding, Sum};

/// The header of a member without a name and a time.
pub(super) const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// What a stored block holds at the most.
const STORED: usize = 0xffff;

/// Writes segments.
#[derive(Debug)]
pub(super) struct Segments {
    /// `None` where text stays as it is.
    deflate: Option<Compress>,
    /// The text of one segment.
    text: Vec<u8>,
}

impl Segments {
    pub fn new(encoding: Encoding) -> Self {
        let deflate = (encoding == Encoding::Deflate).then(|| Compress::new(Compression::default(), false));
        Segments { deflate, text: Vec::new() }
    }

    /// Appends what `write` writes as a segment; nothing, if that is nothing.
    pub fn append(&mut self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> Sum {
        let start = out.len();
        let Some(deflate) = &mut self.deflate else {
            write(out);
            let length = out.len() - start;
            return Sum { length, text: length, crc: 0 };
        };
        self.text.clear();
        write(&mut self.text);
        if self.text.is_empty() {
            return Sum::default();
        }
        let mut rest = self.text.as_slice();
        // The end of a flush is an output that is not full.
        while !rest.is_empty() || out.len() == out.capacity() {
            out.reserve(64 + rest.len() / 4);
            let before = deflate.total_in();
            if deflate.compress_vec(rest, out, FlushCompress::Full).is_err() {
                // Only of a stream that has been ended before, which this one never is.
                out.truncate(start);
                store(&self.text, out);
                break;
            }
            let read = usize::try_from(deflate.total_in() - before).unwrap_or_default();
            rest = rest.get(read..).unwrap_or_default();
        }
        Sum { length: out.len() - start, text: self.text.len(), crc: crc32(0, &self.text) }
    }
}

/// Appends text as it is, in stored blocks: for what is too short-lived to be worth compressing.
pub(super) fn store(text: &[u8], out: &mut Vec<u8>) -> Sum {
    let start = out.len();
    for piece in text.chunks(STORED) {
        let length = u16::try_from(piece.len()).unwrap_or_default();
        out.push(0);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(piece);
    }
    Sum { length: out.len() - start, text: text.len(), crc: crc32(0, text) }
}

/// An empty last block, and the trailer: checksum and length of the text, the latter without its high bits.
pub(super) fn end(sum: Sum) -> [u8; 10] {
    let [a, b, c, d] = sum.crc.to_le_bytes();
    let [e, f, g, h] = (sum.text as u32).to_le_bytes();
    [3, 0, a, b, c, d, e, f, g, h]
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn segments_in_any_order_are_one_member(
            texts in prop::collection::vec(("[ab\"{}=\n]{0,300}", 0..4_usize, any::<bool>()), 0..8),
        ) {
            let mut segments = Segments::new(Encoding::Deflate);
            let mut member = HEADER.to_vec();
            let (mut sum, mut whole) = (Sum::default(), Vec::new());
            // Longer than a stored block, too.
            for (text, zeros, is_stored) in &texts {
                let text = text.repeat(10_usize.pow(*zeros as u32));
                whole.extend_from_slice(text.as_bytes());
                let next = if *is_stored {
                    store(text.as_bytes(), &mut member)
                } else {
                    segments.append(&mut member, |out| out.extend_from_slice(text.as_bytes()))
                };
                sum = sum.and(next);
            }
            prop_assert_eq!(member.len(), HEADER.len() + sum.length);
            member.extend_from_slice(&end(sum));
            let mut decoder = GzDecoder::new(member.as_slice());
            let mut read = Vec::new();
            decoder.read_to_end(&mut read).unwrap();
            prop_assert!(read == whole, "{} bytes for {}", read.len(), whole.len());
            prop_assert!(decoder.into_inner().is_empty());
        }
    }
}
