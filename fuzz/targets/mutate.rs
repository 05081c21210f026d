//! Changes a directory as one who knows its files would: a field, a frame or a file at a time. Makes no checksum right: flags of a file do.

use tidelog_format::{FILE_HEADER_BYTES, FRAME_HEADER_BYTES, padded};

use super::directory::{Directory, FOLLOW, File, HEAL_FRAMES, HEAL_HEADER, KINDS, LOG};

/// Mutates the input `data[..size]` in place, at most to `size_max`, with `bytes` as the mutator of plain bytes. Returns the new size.
pub fn mutate(data: &mut [u8], size: usize, size_max: usize, seed: u32, bytes: impl Fn(&mut [u8], usize, usize) -> usize) -> usize {
    let mut draw = Draw(u64::from(seed));
    let Some(mut directory) = Directory::decode(&data[..size]).filter(|directory| !directory.files.is_empty()) else {
        return bytes(data, size, size_max);
    };
    for _ in 0..=draw.below(3) {
        change(&mut directory, &mut draw, &bytes);
    }
    let encoded = directory.encode();
    if encoded.len() > size_max {
        return bytes(data, size, size_max);
    }
    data[..encoded.len()].copy_from_slice(&encoded);
    encoded.len()
}

fn change(directory: &mut Directory, draw: &mut Draw, bytes: impl Fn(&mut [u8], usize, usize) -> usize) {
    if directory.files.is_empty() {
        return;
    }
    let number = draw.below(directory.files.len());
    match draw.below(16) {
        0 => directory.how = [draw.byte(), draw.byte()],
        1 => drop(directory.files.remove(number)),
        2 => {
            let mut copy = directory.files[number].clone();
            (copy.base, copy.seq) = (draw.below(20) as u16, draw.below(8) as u8);
            directory.files.push(copy);
        }
        3 => {
            let other = draw.below(directory.files.len());
            directory.files.swap(number, other);
        }
        // A part of one file in the place of the same part of another.
        4 => {
            let other = directory.files[draw.below(directory.files.len())].bytes.clone();
            let at = draw.below(other.len().max(1)) & !7;
            let len = 8 << draw.below(6);
            let part = &other[at.min(other.len())..(at + len).min(other.len())];
            if let Some(target) = directory.files[number].bytes.get_mut(at..at + part.len()) {
                target.copy_from_slice(part);
            }
        }
        _ => change_file(&mut directory.files[number], draw, bytes),
    }
}

fn change_file(file: &mut File, draw: &mut Draw, bytes: impl Fn(&mut [u8], usize, usize) -> usize) {
    match draw.below(12) {
        0 => file.kind = draw.below(KINDS.into()) as u8,
        1 => file.flags ^= 1 << draw.below(4),
        2 => file.flags |= HEAL_HEADER | HEAL_FRAMES | FOLLOW,
        3 => file.leave ^= 1 << draw.below(8),
        4 => {
            let most = 4 << draw.below(9);
            file.zeros = draw.below(most) as u16;
        }
        5 => file.bytes.truncate(draw.below(file.bytes.len().max(1))),
        6 => {
            let (len, most) = (file.bytes.len(), (file.bytes.len() + 64).min(u16::MAX.into()));
            file.bytes.resize(most, 0);
            let len = bytes(&mut file.bytes, len, most);
            file.bytes.truncate(len);
        }
        7 | 8 => field(&mut file.bytes, 0, FILE_HEADER_BYTES, draw),
        _ if file.kind == LOG => change_frame(file, draw),
        _ => field(&mut file.bytes, 0, usize::MAX, draw),
    }
}

/// A number in a structure, as others are or at the edge of its range.
fn field(bytes: &mut [u8], from: usize, len: usize, draw: &mut Draw) {
    let end = bytes.len().min(from.saturating_add(len));
    let width = if draw.below(2) == 0 { 4 } else { 8 };
    let Some(places) = end.checked_sub(from + width) else { return };
    let at = from + draw.below(places / 4 + 1) * 4;
    let Some(place) = bytes.get_mut(at..at + width) else { return };
    let old = place.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte));
    let edge = [0, 1, 2, 3, 8, 64, 128, u64::MAX, i64::MAX as u64, i64::MAX as u64 - 1, i64::MIN as u64, u32::MAX.into(), i32::MAX as u64];
    let new = match draw.below(6) {
        0 => edge[draw.below(edge.len())],
        1 => old.wrapping_add(1 + draw.below(16) as u64),
        2 => old.wrapping_sub(1 + draw.below(16) as u64),
        3 => old ^ 1 << draw.below(width * 8),
        4 => draw.below(64) as u64,
        _ => old.swap_bytes() >> (64 - width * 8),
    };
    place.copy_from_slice(&new.to_le_bytes()[..width]);
}

fn change_frame(file: &mut File, draw: &mut Draw) {
    let frames = frames(&file.bytes);
    if frames.is_empty() {
        return;
    }
    let (at, len) = frames[draw.below(frames.len())];
    let frame = file.bytes[at..at + len].to_vec();
    match draw.below(6) {
        0 => drop(file.bytes.drain(at..at + len)),
        1 => drop(file.bytes.splice(at..at, frame)),
        2 => {
            let (other, _) = frames[draw.below(frames.len())];
            file.bytes.drain(at..at + len);
            let other = other.min(file.bytes.len());
            file.bytes.splice(other..other, frame);
        }
        3 => file.bytes[at + draw.below(len)] ^= 1 << draw.below(8),
        _ => field(&mut file.bytes, at, FRAME_HEADER_BYTES, draw),
    }
}

/// Where frames seem to stand, and how long they are.
fn frames(bytes: &[u8]) -> Vec<(usize, usize)> {
    let (mut frames, mut at) = (Vec::new(), FILE_HEADER_BYTES);
    while let Some(len) = bytes.get(at + 56..at + 60) {
        let len = padded(u32::from_le_bytes(len.try_into().expect("four bytes")) as usize);
        if len < FRAME_HEADER_BYTES || len > bytes.len() - at {
            break;
        }
        frames.push((at, len));
        at += len;
    }
    frames
}

/// SplitMix64.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }

    fn byte(&mut self) -> u8 {
        self.below(256) as u8
    }
}
