//! Makes checksums right, so that a fuzzer gets behind them. Says nothing of what is right behind them.

use tidelog_format::{
    Attributes, ENTRIES_PER_BLOCK, FILE_HEADER_BYTES, FRAME_HEADER_BYTES, FRAME_MAGIC, Frame, FrameHeader, INDEX_ENTRY_BYTES, LeaderEpoch,
    NOTE_BYTES_MAX, Offset, Position, SMALL_FRAME_BYTES_MAX, SegmentHeader, TERMS_MAX, TimestampNs, crc32, padded,
};

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

/// A checkpoint slot in its 4 KiB: header, and the earlier terms that it counts.
pub fn slot(slot: &mut [u8]) {
    let counted = usize::from(slot[108]).min(TERMS_MAX - 1);
    slot[109..112].fill(0);
    let end = FILE_HEADER_BYTES + 16 * counted;
    let healed = file_header(&slot[..end], b"TIDECKP\n", true);
    slot[..end].copy_from_slice(&healed);
}

/// An index file: its header, and each block with its number and checksum.
pub fn index(bytes: &[u8]) -> Vec<u8> {
    let mut healed = file_header(bytes, b"TIDEIDX\n", false);
    let Some((header, blocks)) = healed.split_at_mut_checked(FILE_HEADER_BYTES) else { return healed };
    for (number, block) in blocks.chunks_mut((ENTRIES_PER_BLOCK + 1) * INDEX_ENTRY_BYTES).enumerate() {
        let Some(at) = block.len().checked_sub(INDEX_ENTRY_BYTES) else { continue };
        let held = (at / INDEX_ENTRY_BYTES) as u32;
        let trailer = &mut block[at..];
        trailer[..4].copy_from_slice(&(number as u32).to_le_bytes());
        trailer[4..8].copy_from_slice(&header[24..28]);
        trailer[8..12].copy_from_slice(&held.to_le_bytes());
        let crc = crc32(&block[..at + 12]);
        block[at + 12..].copy_from_slice(&crc.to_le_bytes());
    }
    healed
}

/// Walks the bytes behind a segment header as if they were frames, and makes those right that `leave` has no bit for: damage stays between
/// them. With `follow`, each is given the next offset and the chain so far.
pub fn frames(mut bytes: Vec<u8>, header: &SegmentHeader, leave: u64, follow: bool) -> Vec<u8> {
    let (mut at, mut next, mut chain) = (0, header.base_offset.get(), header.chain_seed);
    for number in 0..64 {
        let Some(rest) = bytes.get_mut(at..).filter(|rest| rest.len() >= FRAME_HEADER_BYTES) else { break };
        let position = Position::new((FILE_HEADER_BYTES + at) as u64);
        let len = u32_at(rest, 56) as usize;
        if !(FRAME_HEADER_BYTES..=rest.len()).contains(&len) {
            let fits = rest.len().min(FRAME_HEADER_BYTES + len % 512) as u32;
            rest[56..60].copy_from_slice(&fits.to_le_bytes());
        }
        if follow {
            rest[16..24].copy_from_slice(&next.to_le_bytes());
        }
        if leave >> number & 1 == 0 {
            frame(rest, header.salt, position, follow.then_some(chain));
        }
        let Ok(frame) = Frame::decode(rest, header.salt, position) else {
            // Past what is left damaged, as far as its length can be believed.
            at += padded(u32_at(rest, 56) as usize);
            continue;
        };
        (next, chain) = (frame.header.next_offset().get(), frame.chain_after());
        at += frame.header.stored_bytes();
    }
    bytes
}

/// Puts magic number, chain and checksums into the frame at the start of `bytes`, its fields left as they are.
pub fn frame(bytes: &mut [u8], salt: u64, position: Position, chain: Option<u32>) {
    if bytes.len() < FRAME_HEADER_BYTES {
        return;
    }
    bytes[..4].copy_from_slice(&FRAME_MAGIC.to_le_bytes());
    if let Some(chain) = chain {
        bytes[60..64].copy_from_slice(&chain.to_le_bytes());
    }
    let body_crc = u32_at(bytes, 12);
    encode(bytes, salt, position, body_crc);
    let found = Frame::decode(bytes, salt, position);
    let Ok((body_crc, nanos_crc)) = found.map(|frame| (crc32(frame.records), frame.blocks.nanos.map(|_| crc32(frame.packed)))) else { return };
    if let Some(crc) = nanos_crc {
        let attributes = u32_at(bytes, 48);
        let at = FRAME_HEADER_BYTES + 16 * (usize::from(attributes >> 16 & 1 == 1) + usize::from(attributes >> 17 & 1 == 1)) + 4;
        bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
    }
    encode(bytes, salt, position, body_crc);
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn encode(bytes: &mut [u8], salt: u64, position: Position, body_crc: u32) {
    let (attributes, frame_len) = (u32_at(bytes, 48), u32_at(bytes, 56));
    let mut end = FRAME_HEADER_BYTES;
    for (bit, len) in [(16, 16), (17, 16), (18, 8)] {
        end += if attributes >> bit & 1 == 1 { len } else { 0 };
    }
    if attributes >> 24 & 1 == 1 {
        let Some(len) = bytes.get(end..end + 2) else { return };
        let len = usize::from(u16::from_le_bytes([len[0], len[1]]));
        if len > NOTE_BYTES_MAX {
            return;
        }
        end += padded(4 + len);
    }
    if frame_len <= SMALL_FRAME_BYTES_MAX && (frame_len as usize) < end {
        return;
    }
    if bytes.len() < end.max(if frame_len <= SMALL_FRAME_BYTES_MAX { frame_len as usize } else { 0 }) {
        return;
    }
    let header = FrameHeader {
        frame_len,
        base_offset: Offset::new(u64_at(bytes, 16)),
        base_ts: TimestampNs::new(u64_at(bytes, 24) as i64),
        max_ts: TimestampNs::new(u64_at(bytes, 32) as i64),
        last_offset_delta: u32_at(bytes, 40),
        record_count: u32_at(bytes, 44),
        attributes: Attributes(attributes),
        leader_epoch: LeaderEpoch::new(u32_at(bytes, 52)),
        chain: u32_at(bytes, 60),
        durable_back: u32_at(bytes, 8),
        body_crc,
    };
    header.encode_into(bytes, salt, position);
}

/// What must hold of every frame that decodes.
pub fn check_frame(bytes: &[u8], frame: &Frame<'_>, salt: u64, position: Position) {
    let FrameHeader { frame_len, base_offset, attributes, record_count, .. } = frame.header;
    let mut blocks = Vec::new();
    frame.blocks.encode(&mut blocks);
    let mut again = bytes[..frame.header.stored_bytes()].to_vec();
    again[..FRAME_HEADER_BYTES].fill(0);
    let chain_after = frame.header.encode_into(&mut again, salt, position);
    // Where one checksum covers the body too, another body has another.
    if !frame.header.is_small() || frame.verify_body().is_ok() {
        assert_eq!(
            (&again[..FRAME_HEADER_BYTES], chain_after),
            (&bytes[..FRAME_HEADER_BYTES], frame.chain_after()),
            "a header is what it encodes to"
        );
    } else {
        assert_eq!(again[8..FRAME_HEADER_BYTES], bytes[8..FRAME_HEADER_BYTES], "a header is what it encodes to, but for its checksum");
    }
    assert_eq!(blocks[..], bytes[FRAME_HEADER_BYTES..][..blocks.len()], "blocks are what they encode to");
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
