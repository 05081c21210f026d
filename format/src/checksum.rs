//! CRC-32 (IEEE), the one checksum of the log. A checksum value is never a sentinel.

use std::sync::LazyLock;

use crate::bytes::{put, u16_at, u32_at};
use crate::{DecodeError, FILE_HEADER_BYTES, FORMAT_VERSION};

/// CRC-32 (IEEE 802.3, as gzip computes it) of `bytes`.
#[inline]
pub fn crc32(bytes: &[u8]) -> u32 {
    let mut hasher = NEW.clone();
    hasher.update(bytes);
    hasher.finalize()
}

/// Making one asks the processor what it can: 5 % of the checksum of a short frame.
static NEW: LazyLock<crc32fast::Hasher> = LazyLock::new(crc32fast::Hasher::new);

/// CRC-32 of several pieces as if they stood in one buffer.
pub(crate) fn crc32_of(pieces: &[&[u8]]) -> u32 {
    let mut hasher = NEW.clone();
    for piece in pieces {
        hasher.update(piece);
    }
    hasher.finalize()
}

/// What binds a frame to its place and to its durable claim: another claim always changes it, another place all but once in 2^32 times.
/// The mixer is the finalizer of SplitMix64 (Steele, Lea and Flood, 2014).
#[inline(always)]
pub(crate) fn place_word(salt: u64, position: u64, durable_back: u32) -> u32 {
    let mut place = salt.wrapping_add(position.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    place = (place ^ place >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    place = (place ^ place >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    place ^= place >> 31;
    (place >> 32) as u32 ^ mix32(durable_back)
}

/// The finalizer of MurmurHash3 (Appleby): no two words have the same, and words that differ in one bit differ in many.
#[inline(always)]
pub(crate) fn mix32(word: u32) -> u32 {
    let word = (word ^ word >> 16).wrapping_mul(0x85eb_ca6b);
    let word = (word ^ word >> 13).wrapping_mul(0xc2b2_ae35);
    word ^ word >> 16
}

pub(crate) const VERSION: usize = 8;
pub(crate) const HEADER_LEN: usize = 10;
pub(crate) const CHECKSUM: usize = 124;

/// Stores magic, version, header length and checksum: the frame that all file headers share. The checksum covers bytes 0..124, then `rest`.
pub(crate) fn finish_file_header(header: &mut [u8; FILE_HEADER_BYTES], magic: &[u8; 8], rest: &[u8]) {
    put(header, 0, magic);
    put(header, VERSION, &FORMAT_VERSION.to_le_bytes());
    put(header, HEADER_LEN, &(FILE_HEADER_BYTES as u16).to_le_bytes());
    let crc = crc32_of(&[&header[..CHECKSUM], rest]);
    put(header, CHECKSUM, &crc.to_le_bytes());
}

/// Checks magic, then the checksum, then the version: a version is believed only under a valid checksum.
pub(crate) fn check_file_header<'a>(bytes: &'a [u8], magic: &[u8; 8], rest: &[u8]) -> Result<&'a [u8], DecodeError> {
    let header = bytes.get(..FILE_HEADER_BYTES).ok_or(DecodeError::Truncated { needed: FILE_HEADER_BYTES, found: bytes.len() })?;
    if header[..8] != magic[..] {
        return Err(DecodeError::Magic { expected: u64::from_le_bytes(*magic), found: crate::bytes::u64_at(header, 0) });
    }
    let (expected, found) = (u32_at(header, CHECKSUM), crc32_of(&[&header[..CHECKSUM], rest]));
    if expected != found {
        return Err(DecodeError::Checksum { what: "file header", expected, found });
    }
    let version = u16_at(header, VERSION);
    if version != FORMAT_VERSION {
        return Err(DecodeError::Version { found: version, supported: FORMAT_VERSION });
    }
    let header_len = u16_at(header, HEADER_LEN);
    if usize::from(header_len) != FILE_HEADER_BYTES {
        return Err(DecodeError::Field { what: "header_len", found: header_len.into() });
    }
    Ok(header)
}

/// Refuses feature bits that this version does not know. Call only after the checksum was found right.
pub(crate) fn check_incompat(bits: u32, known: u32) -> Result<(), DecodeError> {
    if bits & !known == 0 { Ok(()) } else { Err(DecodeError::Incompatible { bits: bits & !known }) }
}
