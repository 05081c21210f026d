//! Every file header, and names: what decodes encodes to the same bytes.

use super::heal;
use tidelog_format::{
    Checkpoint, FILE_HEADER_BYTES, FileName, IndexBlock, IndexHeader, LiveHeader, Meta, SLOT_BYTES, SegmentHeader, SegmentId, StoreMeta, TopicMeta,
    WAKE_POSITION, decode_seal_at_end, encode_index, index_block_at, index_bytes,
};

pub fn run(data: &[u8]) {
    check(data);
    for magic in [b"TIDELOG\n", b"TIDECKP\n", b"TIDEMET\n", b"TIDETOP\n", b"TIDESTO\n", b"TIDEIDX\n"] {
        check(&heal::file_header(data, magic, magic == b"TIDEMET\n" || magic == b"TIDETOP\n"));
    }
    let mut live = heal::file_header(data, b"TIDELIV\n", false);
    if let Some(wake) = live.get_mut(WAKE_POSITION..WAKE_POSITION + 4) {
        wake.fill(0);
        live = heal::file_header(&live, b"TIDELIV\n", false);
        live[WAKE_POSITION..WAKE_POSITION + 4].copy_from_slice(&data[WAKE_POSITION..WAKE_POSITION + 4]);
    }
    check(&live);
    if let Ok(name) = std::str::from_utf8(data) {
        check_name(name);
    }
}

fn check(bytes: &[u8]) {
    if let Ok(header) = SegmentHeader::decode(bytes) {
        assert_eq!(header.encode(), bytes[..FILE_HEADER_BYTES]);
        assert!(header.prev_end <= header.base_offset && header.seq.checked_add(1).is_some());
    }
    if let Ok(checkpoint) = Checkpoint::decode(bytes) {
        let (encoded, held) = (checkpoint.encode(), bytes.len().min(SLOT_BYTES));
        assert!(encoded[..held] == bytes[..held] && encoded[held..].iter().all(|&byte| byte == 0));
    }
    if let Ok(meta) = Meta::decode(bytes) {
        assert_eq!(meta.encode(), bytes);
    }
    if let Ok(topic) = TopicMeta::decode(bytes) {
        assert_eq!(topic.encode(), bytes);
        // Each slot belongs to one active partition.
        let slots: u32 = topic.partitions.iter().filter(|entry| entry.is_active()).map(|entry| entry.range_stop - entry.range_start).sum();
        assert_eq!(slots, topic.ring_size);
    }
    if let Ok(store) = StoreMeta::decode(bytes) {
        assert_eq!(store.encode()[..], *bytes);
    }
    if let Ok(live) = LiveHeader::decode(bytes) {
        let again = live.encode();
        assert_eq!(again[..WAKE_POSITION], bytes[..WAKE_POSITION]);
        assert_eq!(again[WAKE_POSITION + 4..], bytes[WAKE_POSITION + 4..FILE_HEADER_BYTES]);
    }
    if let Ok(header) = IndexHeader::decode(bytes) {
        check_index(header, bytes);
    }
    for salt in [None, Some(0)] {
        if let Some((seal, position)) = decode_seal_at_end(bytes, bytes.len() as u64, salt) {
            assert_eq!(position.get() + 128, bytes.len() as u64);
            assert!(salt.is_none_or(|salt| salt == seal.salt));
        }
    }
}

fn check_index(header: IndexHeader, bytes: &[u8]) {
    let without_entries = IndexHeader { entries: 0, ..header };
    assert_eq!(IndexHeader::decode(&encode_index(header, &[])), Ok(without_entries));
    let mut entries = Vec::new();
    for number in 0.. {
        let Some((position, len)) = index_block_at(header.entries, number) else { break };
        let Some(block) = bytes.get(position.get() as usize..position.get() as usize + len) else { return };
        let Ok(block) = IndexBlock::decode(block, header.salt, number) else { return };
        assert!(!block.is_empty() && block.entry(block.len()).is_none());
        entries.extend(block.entries());
    }
    assert_eq!(encode_index(header, &entries)[..], bytes[..index_bytes(entries.len())]);
}

fn check_name(name: &str) {
    let again = match FileName::parse(name) {
        Some(FileName::Log(id)) => id.log_name(),
        Some(FileName::Index(id)) => id.index_name(),
        Some(FileName::Spare(seq)) => SegmentId::spare_name(seq),
        Some(FileName::Report(number)) => FileName::report_name(number),
        Some(FileName::Temporary) => {
            assert!(name.strip_suffix(".tmp").and_then(FileName::parse).is_some());
            return;
        }
        _ => return,
    };
    assert_eq!(again, name, "one name for each file");
}
