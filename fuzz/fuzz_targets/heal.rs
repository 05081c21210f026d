//! Makes checksums right, so that a fuzzer gets behind them. Says nothing of what is right behind them.
#![allow(dead_code)] // each target uses its own part

use tidelog_format::{Attributes, FRAME_HEADER_BYTES, FRAME_MAGIC, Frame, FrameHeader, Position, crc32, padded};

pub const CHECKSUM: usize = 124;

/// Puts a magic number and a right checksum into a file header; `rest` says whether the checksum covers what is behind it.
pub fn file_header(bytes: &[u8], magic: &[u8; 8], rest: bool) -> Vec<u8> {
    let mut healed = bytes.to_vec();
    if let Some(header) = healed.get_mut(..128) {
        header[..8].copy_from_slice(magic);
        header[8..12].copy_from_slice(&[1, 0, 128, 0]);
        let covered = [&header[..CHECKSUM], if rest { &bytes[128..] } else { &[] }].concat();
        header[CHECKSUM..].copy_from_slice(&crc32(&covered).to_le_bytes());
    }
    healed
}

/// Puts magic number, chain and checksums into the frame at the start of `bytes`, its fields left as they are.
pub fn frame(bytes: &mut [u8], salt: u64, position: Position, chain: Option<u32>) {
    if bytes.len() < FRAME_HEADER_BYTES {
        return;
    }
    bytes[..4].copy_from_slice(&FRAME_MAGIC.to_le_bytes());
    if let Some(chain) = chain {
        bytes[48..52].copy_from_slice(&chain.to_le_bytes());
    }
    frame_checksum(bytes, salt, position);
    let body_crc = Frame::decode(bytes, salt, position).map(|frame| crc32(frame.records));
    if let Ok(body_crc) = body_crc {
        bytes[56..60].copy_from_slice(&body_crc.to_le_bytes());
        frame_checksum(bytes, salt, position);
    }
}

fn frame_checksum(bytes: &mut [u8], salt: u64, position: Position) {
    let attributes = u32::from_le_bytes(bytes[40..44].try_into().expect("four bytes"));
    let mut end = FRAME_HEADER_BYTES;
    for (bit, len) in [(16, 16), (17, 16), (18, 8)] {
        end += if attributes >> bit & 1 == 1 { len } else { 0 };
    }
    if attributes >> 24 & 1 == 1 {
        let Some(len) = bytes.get(end..end + 2) else { return };
        end += padded(4 + usize::from(u16::from_le_bytes([len[0], len[1]])));
    }
    let Some(blocks) = bytes.get(FRAME_HEADER_BYTES..end) else { return };
    let covered = [&salt.to_le_bytes()[..], &position.get().to_le_bytes(), &bytes[..60], blocks].concat();
    let crc = crc32(&covered);
    bytes[60..64].copy_from_slice(&crc.to_le_bytes());
}

/// What must hold of every frame that decodes.
pub fn check_frame(bytes: &[u8], frame: &Frame<'_>, salt: u64, position: Position) {
    let FrameHeader { frame_len, base_offset, attributes, record_count, .. } = frame.header;
    let mut blocks = Vec::new();
    frame.blocks.encode(&mut blocks);
    let (header, chain_after) = frame.header.encode(salt, position, &blocks);
    assert_eq!(header[..], bytes[..FRAME_HEADER_BYTES], "a header is what it encodes to");
    assert_eq!(blocks[..], bytes[FRAME_HEADER_BYTES..][..blocks.len()], "blocks are what they encode to");
    assert_eq!(chain_after, frame.chain_after());
    assert_eq!(frame.blocks.attributes(), Attributes(attributes.0 & BLOCK_BITS));
    assert_eq!(frame_len as usize, FRAME_HEADER_BYTES + blocks.len() + frame.records.len() + frame.packed.len());
    assert!(frame.header.stored_bytes() <= bytes.len() && frame.header.stored_bytes().is_multiple_of(8));
    assert!(frame.header.next_offset() >= base_offset);
    assert!(frame.header.durable_position(position).is_none_or(|durable| durable <= position));
    let last = record_count.saturating_sub(1);
    for index in [0, last, u32::MAX] {
        let ts = frame.record_timestamp(index, i64::from(index));
        assert!(frame.blocks.nanos.is_some() || ts.is_some());
    }
    let _ = frame.header.max_timestamp();
}

const BLOCK_BITS: u32 = Attributes::PRODUCER.0 | Attributes::REPLICATION.0 | Attributes::NANOS.0 | Attributes::NOTE.0;
