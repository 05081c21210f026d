//! Ties SPEC.md to the code: each field of each table is looked for in bytes that the code encoded, and the layout lines of the
//! sources must have the checksum that SPEC.md names. Neither changes alone.

use std::fs;
use std::path::{Path, PathBuf};

use tidelog_format::*;

use crate::support::{plain_crc32, plain_place};

/// A structure with a distinctive value in every field: what SPEC.md must say of it.
struct Structure {
    heading: &'static str,
    bytes: Vec<u8>,
    fields: Vec<(&'static str, Vec<u8>)>,
}

macro_rules! structure {
    ($heading:literal, $bytes:expr, $($name:literal: $value:expr),+ $(,)?) => {
        Structure { heading: $heading, bytes: $bytes.to_vec(), fields: vec![$(($name, $value.to_vec())),+] }
    };
}

#[test]
fn every_field_stands_where_the_tables_say() {
    let spec = read_spec();
    let structures: Vec<Structure> = file_headers().into_iter().chain(frame_structures()).chain(index_structures()).collect();
    for structure in &structures {
        check(&spec, structure);
    }
    let described: Vec<&str> = structures.iter().map(|structure| structure.heading).collect();
    for heading in headings_with_fields(&spec) {
        assert!(described.contains(&heading.as_str()), "no test encodes \"{heading}\" of SPEC.md: add it in tests/it/spec.rs");
    }
}

fn file_headers() -> Vec<Structure> {
    let segment = SegmentHeader {
        partition_uuid: *b"0123456789abcdef",
        base_offset: Offset::new(0x1122_3344_5566_7788),
        prev_end: Offset::new(0x1122_3344_5566_7787),
        rewrite_end: None,
        seq: 0x2122_2324_2526_2728,
        salt: 0x3132_3334_3536_3738,
        created: TimestampNs::new(0x4142_4344_4546_4748),
        capacity: 0x0515_2535 * 8,
        leader_epoch: LeaderEpoch::new(0x6162_6364),
        epoch_start: Offset::new(0x7172_7374_7576_7778),
        log_start: Offset::new(0x0182_8384_8586_8788),
        chain_seed: 0x9192_9394,
        flags: 0xa1a2_a3a4,
    };
    let segment_bytes = segment.encode();
    assert_eq!(SegmentHeader::decode(&segment_bytes), Ok(segment));
    let rewrite = SegmentHeader { prev_end: segment.base_offset, rewrite_end: Some(Offset::new(0x2122_3344_5566_7788)), ..segment }.encode();
    assert_eq!(rewrite[48..56], 0x2122_3344_5566_7788u64.to_le_bytes());
    let mut terms = Terms::new(Term { epoch: LeaderEpoch::new(0x01a2_a3a3), start: Offset::new(0x01b2_b3b4_b5b6_b7b7) });
    terms.note(Term { epoch: LeaderEpoch::new(0x01a2_a3a4), start: Offset::new(0x01b2_b3b4_b5b6_b7b8) });
    let checkpoint = Checkpoint {
        counter: 0x1112_1314_1516_1718,
        partition_uuid: *b"0123456789abcdef",
        log_start: Offset::new(0x2122_2324_2526_2728),
        durable_next_offset: Offset::new(0x3132_3334_3536_3738),
        active_seq: 0x4142_4344_4546_4748,
        active_salt: 0x5152_5354_5556_5758,
        tail_pos: Position::new(0x0161_6263 * 8),
        tail_chain: 0x7172_7374,
        max_ts: TimestampNs::new(-0x7182_8384_8586_8788),
        high_water_mark: Offset::new(0x0192_9394_9596_9798),
        terms,
    };
    let checkpoint_bytes = checkpoint.encode();
    assert_eq!(Checkpoint::decode(&checkpoint_bytes), Ok(checkpoint));
    let store_bytes = StoreMeta { uuid: *b"0123456789abcdef", created: TimestampNs::new(0x4142_4344_4546_4748) }.encode();
    let meta = Meta {
        compat: 0x1112_1314,
        ro_compat: 0x2122_2324,
        uuid: *b"0123456789abcdef",
        created: TimestampNs::new(0x4142_4344_4546_4748),
        index: 0x5152_5354,
        ring_size: 0x7172_7374,
        range_start: 0x6162_6364,
        range_stop: 0x6162_6365,
        namespace: "name-space".to_owned(),
        topic: "topic".to_owned(),
    };
    let meta_bytes = meta.encode();
    assert_eq!(Meta::decode(&meta_bytes), Ok(meta));
    let entry = |range: std::ops::Range<u32>, split, made| PartitionEntry {
        uuid: *b"fedcba9876543210",
        created: TimestampNs::new(0x5152_5354_5556_5758),
        range_start: range.start,
        range_stop: range.end,
        split,
        made,
    };
    let partitions = vec![
        entry(0..0x0123, 0..0, false),
        entry(0x0123..0x4567, 2..4, true),
        entry(0x0123..0x0200, 0..0, false),
        entry(0x0200..0x4567, 0..0, false),
    ];
    let topic = TopicMeta { uuid: *b"0123456789abcdef", created: TimestampNs::new(0x4142_4344_4546_4748), ring_size: 0x4567, partitions };
    let topic_bytes = topic.encode();
    assert_eq!(TopicMeta::decode(&topic_bytes), Ok(topic));
    let live = LiveHeader { boot_id: *b"0123456789abcdef", writer_nonce: 0x1112_1314_1516_1718, writer_pid: 0x2122_2324 }.encode();
    let mut woken = live;
    woken[WAKE_POSITION..WAKE_POSITION + 4].copy_from_slice(&0x3132_3334u32.to_le_bytes());
    assert_eq!(LiveHeader::decode(&woken), LiveHeader::decode(&live));
    vec![
        structure!("Segment header", segment_bytes,
            "magic": b"TIDELOG\n", "version": 1u16.to_le_bytes(), "header_len": 128u16.to_le_bytes(), "incompat": [0; 4],
            "partition_uuid": b"0123456789abcdef", "base_offset": 0x1122_3344_5566_7788u64.to_le_bytes(),
            "prev_end": 0x1122_3344_5566_7787u64.to_le_bytes(), "rewrite_end": [0xff; 8], "seq": 0x2122_2324_2526_2728u64.to_le_bytes(),
            "salt": 0x3132_3334_3536_3738u64.to_le_bytes(), "created": 0x4142_4344_4546_4748i64.to_le_bytes(),
            "capacity": 0x0515_2535u32.to_le_bytes(), "leader_epoch": 0x6162_6364u32.to_le_bytes(),
            "epoch_start": 0x7172_7374_7576_7778u64.to_le_bytes(), "log_start": 0x0182_8384_8586_8788u64.to_le_bytes(),
            "chain_seed": 0x9192_9394u32.to_le_bytes(), "flags": 0xa1a2_a3a4u32.to_le_bytes(), "zero": [0; 12],
            "checksum": plain_crc32(&segment_bytes[..124]).to_le_bytes()),
        structure!("Checkpoint", checkpoint_bytes[..128],
            "magic": b"TIDECKP\n", "version": 1u16.to_le_bytes(), "header_len": 128u16.to_le_bytes(), "incompat": [0; 4],
            "tail_chain": 0x7172_7374u32.to_le_bytes(), "tail_pos": 0x0161_6263u32.to_le_bytes(),
            "counter": 0x1112_1314_1516_1718u64.to_le_bytes(), "partition_uuid": b"0123456789abcdef",
            "log_start": 0x2122_2324_2526_2728u64.to_le_bytes(), "durable_next_offset": 0x3132_3334_3536_3738u64.to_le_bytes(),
            "active_seq": 0x4142_4344_4546_4748u64.to_le_bytes(), "active_salt": 0x5152_5354_5556_5758u64.to_le_bytes(),
            "high_water_mark": 0x0192_9394_9596_9798u64.to_le_bytes(), "max_ts": (-0x7182_8384_8586_8788i64).to_le_bytes(),
            "epoch_start": 0x01b2_b3b4_b5b6_b7b8u64.to_le_bytes(), "leader_epoch": 0x01a2_a3a4u32.to_le_bytes(), "earlier_terms": 1u32.to_le_bytes(), "zero": [0; 12],
            "checksum": plain_crc32(&[&checkpoint_bytes[..124], &checkpoint_bytes[128..144]].concat()).to_le_bytes()),
        structure!("Earlier term", checkpoint_bytes[128..144],
            "start": 0x01b2_b3b4_b5b6_b7b7u64.to_le_bytes(), "epoch": 0x01a2_a3a3u32.to_le_bytes(), "zero": [0; 4]),
        structure!("STORE", store_bytes,
            "magic": b"TIDESTO\n", "version": 1u16.to_le_bytes(), "header_len": 128u16.to_le_bytes(), "incompat": [0; 4],
            "uuid": b"0123456789abcdef", "created": 0x4142_4344_4546_4748i64.to_le_bytes(), "zero": [0; 84],
            "checksum": plain_crc32(&store_bytes[..124]).to_le_bytes()),
        structure!("META", meta_bytes,
            "magic": b"TIDEMET\n", "version": 1u16.to_le_bytes(), "header_len": 128u16.to_le_bytes(), "incompat": [0; 4],
            "compat": 0x1112_1314u32.to_le_bytes(), "ro_compat": 0x2122_2324u32.to_le_bytes(), "uuid": b"0123456789abcdef",
            "created": 0x4142_4344_4546_4748i64.to_le_bytes(), "index": 0x5152_5354u32.to_le_bytes(),
            "ring_size": 0x7172_7374u32.to_le_bytes(), "range_start": 0x6162_6364u32.to_le_bytes(),
            "range_stop": 0x6162_6365u32.to_le_bytes(), "namespace_len": 10u16.to_le_bytes(), "topic_len": 5u16.to_le_bytes(),
            "zero": [0; 56], "checksum": plain_crc32(&[&meta_bytes[..124], &meta_bytes[128..]].concat()).to_le_bytes(),
            "namespace": b"name-space", "topic": b"topic"),
        structure!("TOPIC", topic_bytes[..128],
            "magic": b"TIDETOP\n", "version": 1u16.to_le_bytes(), "header_len": 128u16.to_le_bytes(), "incompat": [0; 4],
            "uuid": b"0123456789abcdef", "created": 0x4142_4344_4546_4748i64.to_le_bytes(), "ring_size": 0x4567u32.to_le_bytes(),
            "partition_count": 4u32.to_le_bytes(), "zero": [0; 76],
            "checksum": plain_crc32(&[&topic_bytes[..124], &topic_bytes[128..]].concat()).to_le_bytes()),
        structure!("Partition entry", topic_bytes[168..208],
            "uuid": b"fedcba9876543210", "created": 0x5152_5354_5556_5758i64.to_le_bytes(), "range_start": 0x0123u32.to_le_bytes(),
            "range_stop": 0x4567u32.to_le_bytes(), "split_first": 2u32.to_le_bytes(), "split_count": 2u16.to_le_bytes(),
            "flags": 1u16.to_le_bytes()),
        structure!("LIVE", woken,
            "magic": b"TIDELIV\n", "version": 1u16.to_le_bytes(), "header_len": 128u16.to_le_bytes(), "incompat": [0; 4],
            "boot_id": b"0123456789abcdef", "writer_nonce": 0x1112_1314_1516_1718u64.to_le_bytes(),
            "writer_pid": 0x2122_2324u32.to_le_bytes(), "zero": [0; 72], "wake": 0x3132_3334u32.to_le_bytes(), "zero": [0; 4],
            "checksum": plain_crc32(&live[..124]).to_le_bytes()),
        live_slot(),
    ]
}

fn live_slot() -> Structure {
    let mut slot = [0; LIVE_SLOT_BYTES];
    let fields = [
        (LiveField::PartitionId, 0x1111_1111_1111_1111u64),
        (LiveField::Change, 0x2222_2222_2222_2222),
        (LiveField::LogStart, 0x3333_3333_3333_3333),
        (LiveField::ActiveSeq, 0x4444_4444_4444_4444),
        (LiveField::WrittenEnd, 0x5555_5555_5555_5555),
        (LiveField::DurableEnd, 0x6666_6666_6666_6666),
        (LiveField::HighWaterMark, 0x7777_7777_7777_7777),
    ];
    for (field, value) in fields {
        let at = field.position(3) - (128 + 3 * 64); // where SPEC.md has slot 3
        slot[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
    structure!("LIVE slot", slot,
        "partition_id": [0x11; 8], "change": [0x22; 8], "log_start": [0x33; 8], "active_seq": [0x44; 8], "written_end": [0x55; 8],
        "durable_end": [0x66; 8], "high_water_mark": [0x77; 8], "zero": [0; 8])
}

const SALT: u64 = 0x3132_3334_3536_3738;

fn frame_structures() -> Vec<Structure> {
    let blocks = Blocks {
        producer: Some(Producer { id: 0x1112_1314_1516_1718, epoch: 0x2122, base_sequence: 0x3132_3334 }),
        replication: Some(Replication { log_index: 0x4142_4344_4546_4748, leader_node: 0x5152_5354, kind: 0x61 }),
        nanos: Some(NanosBlock { width: 0x11, min: 0x0e_1213, crc: 0x7172_7374 }),
        note: Some(b"note"),
    };
    let mut block_bytes = Vec::new();
    blocks.encode(&mut block_bytes);
    assert_eq!(block_bytes.len(), 16 + 16 + 8 + 8);
    let header = FrameHeader {
        frame_len: 0x0112_1314,
        base_offset: Offset::new(0x2122_2324_2526_2728),
        base_ts: TimestampNs::new(-0x3132_3334_3536_3738),
        max_ts: TimestampNs::new(0x4142_4344_4546_4748),
        last_offset_delta: 0x5152_5354,
        record_count: 0x5152_5351,
        attributes: blocks.attributes(),
        leader_epoch: LeaderEpoch::new(0x6162_6364),
        chain: 0x7172_7374,
        durable_back: 0x8182_8384,
        body_crc: 0x9192_9394,
    };
    let position = 0x1234_5678;
    let mut whole = [&[0; 64][..], &block_bytes].concat();
    let chain_after = header.encode_into(&mut whole, SALT, Position::new(position));
    let header_bytes = whole[..64].to_vec();
    let content = plain_crc32(&whole[12..]);
    assert_eq!(chain_after, content, "the chain is what \"What covers what\" says");
    vec![
        structure!("Frame header", header_bytes,
            "magic": b"TDLF", "checksum": (content ^ plain_place(SALT, position, 0x8182_8384)).to_le_bytes(),
            "durable_back": 0x8182_8384u32.to_le_bytes(), "body_crc": 0x9192_9394u32.to_le_bytes(),
            "base_offset": 0x2122_2324_2526_2728u64.to_le_bytes(),
            "base_ts": (-0x3132_3334_3536_3738i64).to_le_bytes(), "max_ts": 0x4142_4344_4546_4748i64.to_le_bytes(),
            "last_offset_delta": 0x5152_5354u32.to_le_bytes(), "record_count": 0x5152_5351u32.to_le_bytes(),
            "attributes": (0b1_0000_0111u32 << 16).to_le_bytes(), "leader_epoch": 0x6162_6364u32.to_le_bytes(),
            "frame_len": 0x0112_1314u32.to_le_bytes(), "chain": 0x7172_7374u32.to_le_bytes()),
        structure!("PRODUCER block", block_bytes[..16],
            "producer_id": 0x1112_1314_1516_1718i64.to_le_bytes(), "producer_epoch": 0x2122i16.to_le_bytes(), "zero": [0; 2],
            "base_sequence": 0x3132_3334i32.to_le_bytes()),
        structure!("REPLICATION block", block_bytes[16..32],
            "log_index": 0x4142_4344_4546_4748u64.to_le_bytes(), "leader_node": 0x5152_5354u32.to_le_bytes(), "kind": [0x61], "zero": [0; 3]),
        structure!("NANOS block", block_bytes[32..40], "width": [0x11], "min": [0x13, 0x12, 0x0e], "nanos_crc": 0x7172_7374u32.to_le_bytes()),
        structure!("NOTE block", block_bytes[40..], "length": 4u16.to_le_bytes(), "zero": [0; 2], "note": b"note", "zero": []),
        seal(),
    ]
}

fn seal() -> Structure {
    let seal = Seal {
        salt: SALT,
        base_offset: Offset::new(0x1112_1314_1516_1718),
        next_offset: Offset::new(0x2122_2324_2526_2728),
        records: 0x4142_4344_4546_4748,
        max_ts: TimestampNs::new(-0x5152_5354_5556_5758),
        log_start: Offset::new(0x6162_6364_6566_6768),
        first_epoch: LeaderEpoch::new(0x7172_7374),
        last_epoch: LeaderEpoch::new(0x7172_7375),
        chain_out: 0x8182_8384,
    };
    let bytes = seal.encode(Position::new(4096), 0x1718);
    assert_eq!(decode_seal_at_end(&bytes, 4096 + 128, Some(SALT)), Some((seal, Position::new(4096))));
    let frame = Frame::decode(&bytes, SALT, Position::new(4096)).unwrap();
    assert_eq!((frame.header.base_offset, frame.header.chain, frame.header.leader_epoch), (seal.next_offset, seal.chain_out, seal.last_epoch));
    assert_eq!((frame.header.base_ts, frame.header.max_ts), (seal.max_ts, seal.max_ts));
    structure!("Seal", bytes[64..],
        "salt": SALT.to_le_bytes(), "base_offset": 0x1112_1314_1516_1718u64.to_le_bytes(), "next_offset": 0x2122_2324_2526_2728u64.to_le_bytes(),
        "records": 0x4142_4344_4546_4748u64.to_le_bytes(), "max_ts": (-0x5152_5354_5556_5758i64).to_le_bytes(),
        "log_start": 0x6162_6364_6566_6768u64.to_le_bytes(), "first_epoch": 0x7172_7374u32.to_le_bytes(),
        "last_epoch": 0x7172_7375u32.to_le_bytes(), "chain_out": 0x8182_8384u32.to_le_bytes(), "zero": [0; 4])
}

fn index_structures() -> Vec<Structure> {
    let header = IndexHeader {
        salt: SALT,
        base_offset: Offset::new(0x1112_1314_1516_1718),
        seq: 0x2122_2324_2526_2728,
        entries: 0,
        covered: Position::new(0x4142_4344_4546_4748),
        next_offset: Offset::new(0x5152_5354_5556_5758),
        records: 0x6162_6364_6566_6768,
        max_ts: TimestampNs::new(-0x7172_7374_7576_7778),
        chain: 0x8182_8384,
        sealed: true,
    };
    let entry = IndexEntry { rel_offset: 0x0102_0304, position: 0x1112_1318, max_ts_before: TimestampNs::new(-0x2122_2324_2526_2728) };
    let bytes = encode_index(header, &[entry; 257]);
    assert_eq!(bytes.len(), 128 + 4096 + 48, "\"up to 255 entries of 16 bytes and a trailer of 16 bytes\"");
    let second = 128 + 4096;
    vec![
        structure!("Offset index", bytes[..128],
            "magic": b"TIDEIDX\n", "version": 1u16.to_le_bytes(), "header_len": 128u16.to_le_bytes(), "incompat": [0; 4],
            "entries": 257u32.to_le_bytes(), "chain": 0x8182_8384u32.to_le_bytes(), "salt": SALT.to_le_bytes(),
            "base_offset": 0x1112_1314_1516_1718u64.to_le_bytes(), "seq": 0x2122_2324_2526_2728u64.to_le_bytes(),
            "covered": 0x4142_4344_4546_4748u64.to_le_bytes(), "next_offset": 0x5152_5354_5556_5758u64.to_le_bytes(),
            "records": 0x6162_6364_6566_6768u64.to_le_bytes(), "max_ts": (-0x7172_7374_7576_7778i64).to_le_bytes(),
            "flags": 1u32.to_le_bytes(), "zero": [0; 40], "checksum": plain_crc32(&bytes[..124]).to_le_bytes()),
        structure!("Index entry", bytes[second + 16..second + 32],
            "rel_offset": 0x0102_0304u32.to_le_bytes(), "position": 0x1112_1318u32.to_le_bytes(),
            "max_ts_before": (-0x2122_2324_2526_2728i64).to_le_bytes()),
        structure!("Index block trailer", bytes[second + 32..],
            "number": 1u32.to_le_bytes(), "salt_low": 0x3536_3738u32.to_le_bytes(), "held": 2u32.to_le_bytes(),
            "block_crc": plain_crc32(&bytes[second..second + 44]).to_le_bytes()),
    ]
}

/// A row of a field table: offset, size and field as written.
type Row = [String; 3];

fn check(spec: &str, structure: &Structure) {
    let heading = structure.heading;
    let rows = field_rows(spec, heading);
    let named: Vec<&str> = rows.iter().map(|[_, _, field]| field.as_str()).collect();
    let encoded: Vec<&str> = structure.fields.iter().map(|(name, _)| *name).collect();
    assert_eq!(named, encoded, "the fields of \"{heading}\" in SPEC.md, and in tests/it/spec.rs");
    let mut at = 0;
    for ([offset, size, field], (_, expected)) in rows.iter().zip(&structure.fields) {
        if let Ok(offset) = offset.parse::<usize>() {
            assert_eq!(offset, at, "\"{heading}\", {field}: the fields before it end elsewhere");
        }
        if let Ok(size) = size.parse::<usize>() {
            assert_eq!(size, expected.len(), "\"{heading}\", {field}: size");
        }
        let found = structure.bytes.get(at..at + expected.len());
        assert_eq!(found, Some(&expected[..]), "\"{heading}\", {field} at {at}: the code stores something else there than SPEC.md says");
        at += expected.len();
    }
    assert_eq!(at, structure.bytes.len(), "\"{heading}\": the table must describe the whole structure");
}

const FIELD_TABLE: &str = "| offset | size | field | type | meaning |";

fn field_rows(spec: &str, heading: &str) -> Vec<Row> {
    let section = spec.lines().skip_while(|line| title(line) != Some(heading)).skip(1).take_while(|line| title(line).is_none());
    let rows = section.skip_while(|line| *line != FIELD_TABLE).skip(2).take_while(|line| line.starts_with('|'));
    let rows: Vec<Row> =
        rows.filter_map(|line| line.split('|').map(|cell| cell.trim().to_owned()).skip(1).take(3).collect::<Vec<_>>().try_into().ok()).collect();
    assert!(!rows.is_empty(), "SPEC.md has no table of fields under \"{heading}\"");
    rows
}

fn headings_with_fields(spec: &str) -> Vec<String> {
    let mut last = String::new();
    let mut found = Vec::new();
    for line in spec.lines() {
        if let Some(title) = title(line) {
            last = title.to_owned();
        } else if line == FIELD_TABLE {
            found.push(last.clone());
        }
    }
    found
}

fn title(line: &str) -> Option<&str> {
    line.starts_with('#').then(|| line.trim_start_matches('#').trim())
}

#[test]
fn every_attribute_has_the_bit_that_the_table_gives_it() {
    let attributes = [
        (3, "LOG_APPEND_TIME", Attributes::LOG_APPEND_TIME),
        (4, "TRANSACTIONAL", Attributes::TRANSACTIONAL),
        (5, "CONTROL", Attributes::CONTROL),
        (6, "DELETE_HORIZON", Attributes::DELETE_HORIZON),
        (16, "PRODUCER", Attributes::PRODUCER),
        (17, "REPLICATION", Attributes::REPLICATION),
        (18, "NANOS", Attributes::NANOS),
        (19, "TS_MILLIS", Attributes::TS_MILLIS),
        (20, "NO_OFFSETS", Attributes::NO_OFFSETS),
        (21, "SEAL", Attributes::SEAL),
        (22, "PAD", Attributes::PAD),
        (23, "HAS_TOMBSTONE", Attributes::HAS_TOMBSTONE),
        (24, "NOTE", Attributes::NOTE),
    ];
    let spec = read_spec();
    for (bit, name, attribute) in attributes {
        assert_eq!(attribute, Attributes(1 << bit), "{name}");
        let row = format!("| {bit} | {name} | ");
        assert_eq!(spec.lines().filter(|line| line.starts_with(&row)).count(), 1, "SPEC.md needs one row \"{row}\"");
    }
    let codecs = [(Codec::None, "0 none"), (Codec::Gzip, "1 gzip"), (Codec::Snappy, "2 snappy"), (Codec::Lz4, "3 lz4"), (Codec::Zstd, "4 zstd")];
    let row = spec.lines().find(|line| line.starts_with("| 0-2 | codec | ")).unwrap();
    for (codec, text) in codecs {
        assert!(row.contains(text) && text.starts_with(&(codec as u8).to_string()), "{text}");
        assert_eq!(Attributes::default().with_codec(codec).codec(), Ok(codec));
    }
    assert!(Attributes(5).codec().is_err() && Attributes(6).codec().is_err() && Attributes(7).codec().is_err());
}

#[test]
fn every_layout_line_is_under_the_hash() {
    let lines = layout_lines();
    let expected = format!("Layout hash: {:08x}", plain_crc32(lines.join("\n").as_bytes()));
    let spec = read_spec();
    let found = spec.lines().find(|line| line.starts_with("Layout hash: ")).unwrap();
    assert_eq!(
        found, expected,
        "the layout code changed: bring SPEC.md, its tables and the golden files in line, then put the new hash into SPEC.md"
    );
}

#[test]
fn the_layout_lines_are_the_ones_that_lay_out_bytes() {
    let lines = layout_lines();
    for line in [
        "const BASE_OFFSET: usize = BODY_CRC + size_of::<u32>();",
        "const MAGIC: &[u8; 8] = b\"TIDELOG\\n\";",
        "put(&mut header, BASE_OFFSET, &self.base_offset.get().to_le_bytes());",
        "Zstd = 4,",
        "pub const NOTE: Self = Self(1 << 24);",
        "out.extend(note);",
        "HighWaterMark = 6,",
    ] {
        assert!(lines.iter().any(|found| found.ends_with(line)), "{line}");
    }
    assert!(!lines.iter().any(|line| line.contains("fn ") || line.contains("//")));
}

/// What of the sources lays out bytes, one normalised line each, in the order of file names.
fn layout_lines() -> Vec<String> {
    let mut files = files_below(&root().join("src"));
    files.sort();
    let mut lines = Vec::new();
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&file).unwrap();
        let code = text.lines().take_while(|line| *line != "#[cfg(test)]").map(normalised).filter(|line| lays_out(line));
        lines.extend(code.map(|line| format!("{name}: {line}")));
    }
    lines
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

fn normalised(line: &str) -> String {
    let code = line.split("//").next().unwrap_or_default();
    code.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn lays_out(line: &str) -> bool {
    let item = line.strip_prefix("pub(crate) ").or(line.strip_prefix("pub ")).unwrap_or(line);
    let constant = item.starts_with("const ") && !item.starts_with("const fn ");
    let store = item.starts_with("put(") || item.contains(".extend(");
    let discriminant = item.split_once(" = ").is_some_and(|(name, rest)| {
        let number = rest.strip_suffix(',').unwrap_or("x");
        name.chars().all(char::is_alphanumeric) && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    constant || store || discriminant
}

fn read_spec() -> String {
    fs::read_to_string(root().join("SPEC.md")).unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
