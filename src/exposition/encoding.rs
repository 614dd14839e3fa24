//! Encoded text: its bytes, its lengths and its checksum.

use bytes::Bytes;
use zlib_rs::crc32::{crc32_combine_gen, crc32_combine_op};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    /// Deflate segments of one gzip member (RFC 1952). A segment does not refer to the others.
    Deflate,
}

/// Maximum length of a piece that long text is split into. A client that stops reading keeps at least one piece in memory.
pub(super) const PIECE: usize = 64 << 10;

/// A part of the text in one of the encodings.
#[derive(Clone, Debug)]
pub(super) struct EncodedText {
    /// The bytes in order. No piece is a slice of a longer allocation than [`PIECE`], because a slice keeps the whole
    /// allocation in memory.
    pub pieces: Vec<Bytes>,
    pub digest: Digest,
}

impl EncodedText {
    /// Copies `bytes` into pieces of nearly the same length.
    pub fn new(bytes: &[u8], digest: Digest) -> Self {
        let length = bytes.len().div_ceil(bytes.len().div_ceil(PIECE).max(1)).max(1);
        EncodedText { pieces: bytes.chunks(length).map(Bytes::copy_from_slice).collect(), digest }
    }
}

/// Lengths and checksum of encoded text. The digests of two texts give the digest of their concatenation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Digest {
    /// Length of the encoded bytes.
    pub length: usize,
    /// Length of the text in bytes.
    pub text_length: usize,
    /// CRC-32 of the text (RFC 1952, 8). It stays 0 in [`Encoding::Identity`], which needs no checksum.
    pub crc: u32,
    /// Combines the checksum of a text before this one with `crc` (zlib's `crc32_combine_gen`). Stored, because
    /// computing this operator takes most of the time of a combination.
    operator: u32,
}

impl Digest {
    pub fn new(length: usize, text_length: usize, crc: u32) -> Self {
        Digest { length, text_length, crc, operator: crc32_combine_gen(text_length as u64) }
    }

    /// The digest of text in [`Encoding::Identity`]: it never needs the operator.
    pub fn of_identity(length: usize) -> Self {
        Digest { length, text_length: length, crc: 0, operator: 0 }
    }

    /// The digest of all texts together.
    pub fn concat(all: impl IntoIterator<Item = Digest>) -> Self {
        let (mut length, mut text_length, mut crc) = (0, 0, 0);
        for next in all {
            length += next.length;
            text_length += next.text_length;
            crc = next.crc_after(crc);
        }
        Digest::new(length, text_length, crc)
    }

    /// The checksum of a text with the checksum `before`, followed by this text.
    pub fn crc_after(self, before: u32) -> u32 {
        // With 0 before it, the checksum stays as it is.
        if before == 0 { self.crc } else { crc32_combine_op(before, self.crc, self.operator) }
    }
}
