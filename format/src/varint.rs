//! Zigzag variable-length integers, as Kafka's record format v2 has them. At most 10 bytes.

use crate::DecodeError;

#[inline]
const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// Bytes that `value` takes: 1..=10.
#[inline]
pub const fn varint_len(value: i64) -> usize {
    let bits = 64 - (zigzag(value) | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Stores `value` at `at` and returns the position after it.
///
/// # Panics
/// If `out` is too short: size it with [`varint_len`].
#[inline]
pub fn put_varint(out: &mut [u8], mut at: usize, value: i64) -> usize {
    let mut rest = zigzag(value);
    while rest >= 0x80 {
        out[at] = rest as u8 | 0x80;
        rest >>= 7;
        at += 1;
    }
    out[at] = rest as u8;
    at + 1
}

/// The value at `at` and the position after it.
///
/// # Errors
/// [`DecodeError::Truncated`] at the end of `bytes`, [`DecodeError::Field`] past ten bytes or 64 bits.
// In line: where one ends, the next begins, and a position that is handed back through memory holds up all that follow.
#[inline(always)]
pub fn get_varint(bytes: &[u8], at: usize) -> Result<(i64, usize), DecodeError> {
    let Some(&low) = bytes.get(at) else { return get_long_varint(bytes, at) };
    if low < 0x80 {
        return Ok((unzigzag(low.into()), at + 1));
    }
    // Lengths of 64 to 8,191 bytes.
    if let Some(&high) = bytes.get(at + 1)
        && high < 0x80
    {
        return Ok((unzigzag(u64::from(low & 0x7f) | u64::from(high) << 7), at + 2));
    }
    get_long_varint(bytes, at)
}

#[cold]
#[inline(never)]
fn get_long_varint(bytes: &[u8], at: usize) -> Result<(i64, usize), DecodeError> {
    let mut value = 0u64;
    for (index, &byte) in bytes.get(at..).unwrap_or_default().iter().take(10).enumerate() {
        if index == 9 && byte > 1 {
            return Err(DecodeError::Field { what: "varint", found: byte.into() });
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Ok((unzigzag(value), at + index + 1));
        }
    }
    Err(DecodeError::Truncated { needed: at.saturating_add(1), found: bytes.len() })
}

#[inline]
const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}
