//! The parts of a millisecond that Kafka's deltas cannot hold: one fixed bit width a batch. Knows no record.

use crate::bytes::{get, u32_at};
use crate::{DecodeError, crc32};

/// The NANOS block of a batch header: how to read the packed values that follow the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NanosBlock {
    /// Bits a value: 1..=20.
    pub width: u8,
    /// Added to each value; nanoseconds, below 1,000,000.
    pub min: u32,
    /// CRC-32 of the packed bytes.
    pub crc: u32,
}

impl NanosBlock {
    pub(crate) const BYTES: usize = 8;

    pub(crate) fn encode(&self) -> [u8; Self::BYTES] {
        let [a, b, c, _] = self.min.to_le_bytes();
        let [d, e, f, g] = self.crc.to_le_bytes();
        [self.width, a, b, c, d, e, f, g]
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let [width, a, b, c] = get(bytes, 0);
        let min = u32::from_le_bytes([a, b, c, 0]);
        if !(1..=WIDTH_MAX).contains(&width) {
            return Err(DecodeError::Field { what: "nanos width", found: width.into() });
        }
        if min >= PER_MILLI {
            return Err(DecodeError::Field { what: "nanos min", found: min.into() });
        }
        Ok(Self { width, min, crc: u32_at(bytes, 4) })
    }
}

/// Bytes that `count` values of `width` bits take.
pub const fn packed_bytes(width: u8, count: u32) -> usize {
    (width as usize * count as usize).div_ceil(8)
}

/// Packs the sub-millisecond nanoseconds of a batch behind `out`, and returns how; `None`, with nothing stored, if all are equal.
///
/// # Panics
/// If a value is 1,000,000 or more: no millisecond has so many nanoseconds.
pub fn pack_nanos(values: &[u32], out: &mut Vec<u8>) -> Option<NanosBlock> {
    let (min, max) = (values.iter().copied().min()?, values.iter().copied().max()?);
    assert!(max < PER_MILLI, "sub-millisecond nanoseconds stay below {PER_MILLI}, not {max}");
    if min == max {
        return None;
    }
    let width = (32 - (max - min).leading_zeros()) as u8;
    let start = out.len();
    out.resize(start + packed_bytes(width, values.len() as u32), 0);
    let packed = &mut out[start..];
    for (index, value) in values.iter().enumerate() {
        let bit = index * usize::from(width);
        let shifted = u32::to_le_bytes((value - min) << (bit % 8)); // 20 bits and a shift below 8 fit in 32
        for (byte, add) in packed[bit / 8..].iter_mut().zip(shifted) {
            *byte |= add;
        }
    }
    Some(NanosBlock { width, min, crc: crc32(packed) })
}

/// The value of record number `index` of a batch; `None` past the end of `packed` and for a value that no millisecond has.
#[inline]
pub fn unpack_nano(block: &NanosBlock, packed: &[u8], index: u32) -> Option<u32> {
    let bit = index as usize * usize::from(block.width);
    let rest = packed.get(bit / 8..)?;
    let word = match rest.first_chunk() {
        // 20 bits and a shift below 8.
        Some(word) => *word,
        None => {
            let found = rest.get(..(bit % 8 + usize::from(block.width)).div_ceil(8))?;
            let mut word = [0; 4];
            word.get_mut(..found.len())?.copy_from_slice(found);
            word
        }
    };
    let mask = 1u32.checked_shl(block.width.into())?.wrapping_sub(1);
    let value = (u32::from_le_bytes(word) >> (bit % 8) & mask).checked_add(block.min)?;
    (value < PER_MILLI).then_some(value)
}

const WIDTH_MAX: u8 = 20;
const PER_MILLI: u32 = 1_000_000;
