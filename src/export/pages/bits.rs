//! Numbers packed into as many bits as the widest needs, the low ones first, as both of Parquet's packed encodings have them.

/// Appends numbers, each of `width` bits at most. The last byte is filled up with zeros.
///
/// # Panics
/// If they are wider than 32 bits: none is, for offsets and times that are too far apart are not written as differences.
#[inline]
pub(super) fn put_bits(numbers: impl Iterator<Item = u64>, width: u32, out: &mut Vec<u8>) {
    assert!(width <= u32::BITS, "numbers of {width} bits");
    let (mut word, mut bits) = (0u64, 0);
    for number in numbers {
        word |= number << bits;
        bits += width;
        if bits >= u32::BITS {
            out.extend_from_slice(&(word as u32).to_le_bytes());
            word >>= u32::BITS;
            bits -= u32::BITS;
        }
    }
    out.extend_from_slice(&word.to_le_bytes()[..bits.div_ceil(8) as usize]);
}
