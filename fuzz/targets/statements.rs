//! Whether what a directory says under right checksums can be true together. Damage makes checksums wrong; only a fuzzer puts right ones over
//! frames that no writer stored one after the other. Judges nothing that is under a wrong checksum.

use std::path::Path;

use tidelog::io::sim::Image;
use tidelog_format::{Attributes, FILE_HEADER_BYTES, FRAME_ALIGN, FileName, Frame, Position, Seal, SegmentHeader};

use super::served::DIR;

/// Whether in each segment the offsets of right frames grow, none stands inside another, none is of a term that had ended before its segment
/// began, and those that stand side by side follow each other.
pub fn agree(image: &Image) -> bool {
    image.files().filter(|(path, _)| path.parent() == Some(Path::new(DIR))).all(|(path, bytes)| {
        let name = path.file_name().and_then(|name| FileName::parse(name.to_str()?));
        !matches!(name, Some(FileName::Log(_))) || frames_agree(bytes)
    })
}

fn frames_agree(bytes: &[u8]) -> bool {
    let header = SegmentHeader::decode(bytes).ok();
    // Where a segment header has its salt: SPEC.md.
    let Some(salt) = bytes.get(64..72).map(|salt| u64::from_le_bytes(salt.try_into().expect("eight bytes"))) else { return true };
    let bytes = &bytes[..bytes.len().min(header.map_or(usize::MAX, |header| header.capacity as usize))];
    let (mut at, mut end) = (FILE_HEADER_BYTES, FILE_HEADER_BYTES);
    let mut before = header.map(|header| (header.base_offset, header.chain_seed));
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let Ok(frame) = Frame::decode(rest, salt, Position::new(at as u64)) else {
            at += FRAME_ALIGN;
            continue;
        };
        let found = (frame.header.base_offset, frame.header.chain);
        if at < end || before.is_some_and(|before| found.0 < before.0 || at == end && found != before) {
            return false;
        }
        let ended = |header: SegmentHeader| frame.header.leader_epoch < header.leader_epoch && found.0 >= header.epoch_start;
        if header.is_some_and(ended) && !frame.header.attributes.contains(Attributes::NO_OFFSETS) {
            return false;
        }
        if let (Ok(seal), Some(header)) = (Seal::decode(&frame), header)
            && (seal.base_offset, seal.next_offset, seal.chain_out) != (header.base_offset, found.0, found.1)
        {
            return false;
        }
        before = Some((frame.header.next_offset(), frame.chain_after()));
        end = at + frame.header.stored_bytes();
        at += FRAME_ALIGN;
    }
    true
}
