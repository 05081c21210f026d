//! Parquet's run-length and bit-packed hybrid, of levels and of places in a dictionary. Source: Encodings.md of parquet-format, "RLE".

use std::iter::repeat_n;

use crate::export::pages::bits::put_bits;
use crate::export::pages::runs::Runs;
use crate::export::pages::varint::put_varint;

/// Bits that the numbers up to `max` need.
pub(in crate::export) fn width_of(max: usize) -> u32 {
    usize::BITS - max.leading_zeros()
}

/// Appends numbers, each of `width` bits at most.
pub(in crate::export) fn encode_hybrid(numbers: &[u32], width: u32, out: &mut Vec<u8>) {
    let mut packed_from = 0;
    let mut at = 0;
    while at < numbers.len() {
        let run = run_at(&numbers[at..]);
        if run < GROUP {
            // The last group may be short: it is filled up.
            at = (at + GROUP).min(numbers.len());
            continue;
        }
        pack(&numbers[packed_from..at], width, out);
        put_run(numbers[at], run, width, out);
        at += run;
        packed_from = at;
    }
    pack(&numbers[packed_from..], width, out);
}

/// Appends numbers of which neighbours are most often equal.
pub(in crate::export) fn encode_runs(numbers: &Runs<u32>, width: u32, out: &mut Vec<u8>) {
    let mut runs = numbers.iter();
    match (runs.next(), runs.next()) {
        (Some((number, count)), None) => put_run(number, count, width, out),
        _ => {
            let numbers: Vec<u32> = numbers.iter().flat_map(|(number, count)| repeat_n(number, count)).collect();
            encode_hybrid(&numbers, width, out);
        }
    }
}

/// Appends levels as a data page begins with them: behind their length.
pub(in crate::export) fn put_levels(levels: &Runs<u32>, max: u32, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend([0; size_of::<u32>()]);
    encode_runs(levels, width_of(max as usize), out);
    let len = (out.len() - start - size_of::<u32>()) as u32;
    out[start..start + size_of::<u32>()].copy_from_slice(&len.to_le_bytes());
}

/// How often the first number is repeated.
fn run_at(numbers: &[u32]) -> usize {
    let first = numbers[0];
    // Most often it is not.
    if numbers.get(1).is_some_and(|second| *second != first) { 1 } else { numbers.iter().take_while(|number| **number == first).count() }
}

/// One number, so many times.
fn put_run(number: u32, count: usize, width: u32, out: &mut Vec<u8>) {
    put_varint(out, (count as u64) << 1);
    out.extend_from_slice(&number.to_le_bytes()[..width.div_ceil(8) as usize]);
}

/// A bit-packed run. Only the last of all may be no multiple of eight numbers.
fn pack(numbers: &[u32], width: u32, out: &mut Vec<u8>) {
    if numbers.is_empty() {
        return;
    }
    let groups = numbers.len().div_ceil(GROUP);
    put_varint(out, (groups as u64) << 1 | 1);
    out.reserve(groups * width as usize);
    let end = out.len() + groups * width as usize;
    put_bits(numbers.iter().map(|number| u64::from(*number)), width, out);
    // What is missing of the last group is zero.
    out.resize(end, 0);
}

/// Numbers that are packed together.
const GROUP: usize = 8;
