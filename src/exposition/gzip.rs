//! One member of gzip (RFC 1952) from segments that were compressed at different times.
//!
//! A segment ends with a full flush. It refers to nothing before it and ends at a whole byte, so segments can follow
//! each other in any order (RFC 1951, 3.2.4 and zlib's `Z_FULL_FLUSH`). Only the checksum covers the whole text, and
//! checksums can be combined. The output is one member, because some clients do not read a second one.

use flate2::{Compress, Compression, FlushCompress};
use zlib_rs::crc32::crc32;

use super::encoding::{Digest, EncodedText, Encoding};

/// The header of a member without a name and a time.
pub(super) const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// Maximum length of a stored block.
const STORED: usize = 0xffff;

/// Leaves text as it is, or compresses it in segments.
#[derive(Debug)]
pub(super) struct Encoder {
    /// `None` for [`Encoding::Identity`].
    deflate: Option<Compress>,
    /// Buffer for the text of one segment.
    text: Vec<u8>,
    /// Buffer for one compressed segment.
    compressed: Vec<u8>,
}

impl Encoder {
    pub fn new(encoding: Encoding) -> Self {
        let deflate = (encoding == Encoding::Deflate).then(|| Compress::new(Compression::default(), false));
        Encoder { deflate, text: Vec::new(), compressed: Vec::new() }
    }

    /// Encodes the text that `write` writes, as one segment. An empty text is no segment.
    pub fn encode(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> EncodedText {
        let Encoder { deflate, text, compressed } = self;
        text.clear();
        write(text);
        let Some(deflate) = deflate else { return EncodedText::new(text, Digest::of_identity(text.len())) };
        if text.is_empty() {
            return EncodedText::new(&[], Digest::new(0, 0, 0));
        }
        let crc = compress(deflate, text, compressed);
        EncodedText::new(compressed, Digest::new(compressed.len(), text.len(), crc))
    }
}

/// Replaces `out` by a segment of this text. Returns the checksum of the text.
fn compress(deflate: &mut Compress, text: &[u8], out: &mut Vec<u8>) -> u32 {
    out.clear();
    let mut rest = text;
    // A flush has ended when it leaves free capacity in the output.
    while !rest.is_empty() || out.len() == out.capacity() {
        out.reserve(64 + rest.len() / 4);
        let before = deflate.total_in();
        if deflate.compress_vec(rest, out, FlushCompress::Full).is_err() {
            // zlib fails only after the end of a stream, and this stream does not end.
            out.clear();
            return store(text, out);
        }
        let read = usize::try_from(deflate.total_in() - before).unwrap_or_default();
        rest = rest.get(read..).unwrap_or_default();
    }
    crc32(0, text)
}

/// Appends text in stored blocks: text of a single scrape is not worth compressing. Returns its checksum.
pub(super) fn store(text: &[u8], out: &mut Vec<u8>) -> u32 {
    for piece in text.chunks(STORED) {
        let length = u16::try_from(piece.len()).unwrap_or_default();
        out.push(0);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(piece);
    }
    crc32(0, text)
}

/// An empty last block, then the trailer: checksum of the text and its length modulo 2^32.
pub(super) fn end(crc: u32, text_length: usize) -> [u8; 10] {
    let [a, b, c, d] = crc.to_le_bytes();
    let [e, f, g, h] = (text_length as u32).to_le_bytes();
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
        fn any_segments_in_any_order_are_one_member(
            texts in prop::collection::vec(("[ab\"{}=\n]{0,300}", 0..4_usize, any::<bool>()), 0..8),
        ) {
            let mut encoder = Encoder::new(Encoding::Deflate);
            let mut member = HEADER.to_vec();
            let (mut digests, mut whole) = (Vec::new(), Vec::new());
            // Some texts are longer than a stored block.
            for (text, zeros, is_stored) in &texts {
                let text = text.repeat(10_usize.pow(*zeros as u32));
                whole.extend_from_slice(text.as_bytes());
                digests.push(if *is_stored {
                    let start = member.len();
                    let crc = store(text.as_bytes(), &mut member);
                    Digest::new(member.len() - start, text.len(), crc)
                } else {
                    let encoded = encoder.encode(|out| out.extend_from_slice(text.as_bytes()));
                    encoded.pieces.iter().for_each(|piece| member.extend_from_slice(piece));
                    encoded.digest
                });
            }
            let digest = Digest::concat(digests);
            prop_assert_eq!(member.len(), HEADER.len() + digest.length);
            member.extend_from_slice(&end(digest.crc, digest.text_length));
            let mut decoder = GzDecoder::new(member.as_slice());
            let mut read = Vec::new();
            decoder.read_to_end(&mut read).unwrap();
            prop_assert!(read == whole, "{} bytes for {}", read.len(), whole.len());
            prop_assert!(decoder.into_inner().is_empty());
        }
    }
}
