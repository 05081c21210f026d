//! Differences of neighbouring numbers, packed. Source: Encodings.md of parquet-format, "Delta Encoding (DELTA_BINARY_PACKED)".

use crate::export::pages::varint::{put_varint, put_zigzag};

/// Appends numbers, in blocks as parquet-java and pyarrow cut them.
pub(in crate::export) fn encode_deltas(numbers: &[i64], out: &mut Vec<u8>) {
    put_varint(out, BLOCK as u64);
    put_varint(out, (BLOCK / MINI_BLOCK) as u64);
    put_varint(out, numbers.len() as u64);
    put_zigzag(out, numbers.first().copied().unwrap_or_default());
    let mut deltas = [0; BLOCK];
    let mut before = numbers.first().copied().unwrap_or_default();
    for block in numbers.get(1..).unwrap_or_default().chunks(BLOCK) {
        for (delta, number) in deltas.iter_mut().zip(block) {
            *delta = number.wrapping_sub(before);
            before = *number;
        }
        put_block(&deltas[..block.len()], out);
    }
}

fn put_block(deltas: &[i64], out: &mut Vec<u8>) {
    let least = deltas.iter().copied().min().unwrap_or_default();
    put_zigzag(out, least);
    let widths_at = out.len();
    // Of mini-blocks that hold nothing there is a width and no more.
    out.extend([0; BLOCK / MINI_BLOCK]);
    for (number, mini) in deltas.chunks(MINI_BLOCK).enumerate() {
        let most = mini.iter().fold(0, |most, delta| most | delta.wrapping_sub(least).cast_unsigned());
        let width = u64::BITS - most.leading_zeros();
        out[widths_at + number] = width as u8;
        if width > 0 {
            pack(mini, least, width, out);
        }
    }
}

/// A mini-block is always whole.
fn pack(deltas: &[i64], least: i64, width: u32, out: &mut Vec<u8>) {
    let end = out.len() + MINI_BLOCK / 8 * width as usize;
    let (mut word, mut bits) = (0u128, 0);
    for delta in deltas {
        word |= u128::from(delta.wrapping_sub(least).cast_unsigned()) << bits;
        bits += width;
        if bits >= u64::BITS {
            out.extend_from_slice(&(word as u64).to_le_bytes());
            word >>= u64::BITS;
            bits -= u64::BITS;
        }
    }
    out.extend_from_slice(&(word as u64).to_le_bytes());
    out.resize(end, 0);
}

const BLOCK: usize = 128;
const MINI_BLOCK: usize = 32;
