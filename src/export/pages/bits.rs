//! Numbers packed into as many bits as the widest needs, the low ones first, as both of Parquet's packed encodings have them.

/// Appends numbers, each of `width` bits at most and at most 64. The last byte is filled up with zeros.
#[inline]
pub(super) fn put_bits(numbers: impl Iterator<Item = u64>, width: u32, out: &mut Vec<u8>) {
    if width <= u32::BITS { put_narrow(numbers, width, out) } else { put_wide(numbers, width, out) }
}

#[inline]
fn put_narrow(numbers: impl Iterator<Item = u64>, width: u32, out: &mut Vec<u8>) {
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

#[inline(never)]
fn put_wide(numbers: impl Iterator<Item = u64>, width: u32, out: &mut Vec<u8>) {
    let (mut word, mut bits) = (0u128, 0);
    for number in numbers {
        word |= u128::from(number) << bits;
        bits += width;
        if bits >= u64::BITS {
            out.extend_from_slice(&(word as u64).to_le_bytes());
            word >>= u64::BITS;
            bits -= u64::BITS;
        }
    }
    out.extend_from_slice(&(word as u64).to_le_bytes()[..bits.div_ceil(8) as usize]);
}
