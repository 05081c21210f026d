//! Differences of neighbouring numbers, packed. Source: Encodings.md of parquet-format, "Delta Encoding (DELTA_BINARY_PACKED)".

use crate::export::pages::bits::put_bits;
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
    // Offsets of a log without gaps, and times of batches that have one.
    if deltas.iter().all(|delta| *delta == deltas[0]) {
        put_zigzag(out, deltas[0]);
        out.extend([0; BLOCK / MINI_BLOCK]);
        return;
    }
    let least = deltas.iter().copied().fold(i64::MAX, i64::min);
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
    let bytes = MINI_BLOCK / 8 * width as usize;
    out.reserve(bytes);
    let end = out.len() + bytes;
    put_bits(deltas.iter().map(|delta| delta.wrapping_sub(least).cast_unsigned()), width, out);
    out.resize(end, 0);
}

const BLOCK: usize = 128;
const MINI_BLOCK: usize = 32;
