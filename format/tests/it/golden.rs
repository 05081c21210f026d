//! The files in golden/: decoded and compared with values written here, encoded again to the same bytes, and flipped bit by bit.
//! `build` holds the generator; what the tests expect is written a second time.

use std::fs;
use std::path::PathBuf;

use tidelog_format::*;

mod build;

/// Where the frames of segment.log stand, and the end of the file.
const POSITIONS: [u64; 7] = [128, 208, 768, 880, 1000, 1088, 1160];
const END: u64 = 1288;
const SALT: u64 = 0xfeed_f00d_dead_beef;

#[test]
#[ignore = "writes the golden files: run it by name after a change of the format"]
fn regenerate() {
    for (name, bytes) in build::files() {
        fs::write(path(name), bytes).unwrap();
    }
}

#[test]
fn the_generator_still_makes_the_same_files() {
    for (name, bytes) in build::files() {
        assert!(read(name) == bytes, "golden/{name} is not what the code encodes; if that is meant, see golden/README.md");
    }
}

#[test]
fn the_segment_header_holds_its_values() {
    let bytes = read("segment.log");
    let header = SegmentHeader::decode(&bytes).unwrap();
    let expected = SegmentHeader {
        partition_uuid: *b"tidelog golden 1",
        base_offset: Offset::new(1000),
        prev_end: Offset::new(990),
        rewrite_end: None,
        seq: 3,
        salt: SALT,
        created: TimestampNs::new(1_700_000_000_123_456_789),
        capacity: 65_536,
        leader_epoch: LeaderEpoch::new(5),
        epoch_start: Offset::new(980),
        log_start: Offset::new(17),
        chain_seed: 0x0bad_cafe,
        flags: 1,
    };
    assert_eq!(header, expected);
    assert_eq!(header.encode(), bytes[..128]);
}

/// Frame by frame: base offset, epoch, durable position, attributes, base time, maximal time.
#[test]
fn the_frames_hold_their_values() {
    let bytes = read("segment.log");
    let frames = frames_of(&bytes);
    let found: Vec<_> = frames
        .iter()
        .map(|FrameAt { position, frame: Frame { header, .. } }| {
            let durable = header.durable_position(*position).map(Position::get);
            (
                position.get(),
                header.base_offset.get(),
                header.leader_epoch.get(),
                durable,
                header.attributes.0,
                header.base_ts.get(),
                header.max_ts.get(),
            )
        })
        .collect();
    let expected = vec![
        (128, 1000, 5, None, 0, 1_700_000_000_123_456_789, 1_700_000_000_123_456_789),
        (208, 1001, 5, Some(128), 0x0084_0000, 1_700_000_001_000_000_007, 1_700_000_001_250_999_999),
        (768, 1006, 5, Some(768), 0x0100_0000, -1, -1),
        (880, 1007, 5, None, 0x0003_0018, 1_700_000_001_995_000_000, 1_700_000_002_000_000_000),
        (1000, 1009, 6, Some(880), 0x0008_0000, -62_135_596_800_000, 253_402_300_799_999),
        (1088, 1011, 6, None, 0x0050_0000, 0, 0),
        (1160, 1011, 6, Some(1088), 0x0030_0000, i64::MAX, i64::MAX),
    ];
    assert_eq!(found, expected);
    assert_eq!(frames.last().unwrap().frame.header.next_offset(), Offset::new(1011));
}

#[test]
fn the_blocks_hold_their_values() {
    let bytes = read("segment.log");
    let frames = frames_of(&bytes);
    let blocks: Vec<_> = frames.iter().map(|found| found.frame.blocks).collect();
    let nanos = blocks[1].nanos.unwrap();
    assert_eq!((nanos.width, nanos.min), (20, 0));
    assert_eq!(blocks[1], Blocks { nanos: Some(nanos), ..Blocks::default() });
    assert_eq!(blocks[2], Blocks { note: Some(b"events.ndjson:4711"), ..Blocks::default() });
    let producer = Producer { id: 0x0102_0304_0506_0708, epoch: -2, base_sequence: 77 };
    let replication = Replication { log_index: 12_345, leader_node: 2, kind: 1 };
    assert_eq!(blocks[3], Blocks { producer: Some(producer), replication: Some(replication), ..Blocks::default() });
    for plain in [0, 4, 5, 6] {
        assert_eq!(blocks[plain], Blocks::default());
    }
}

/// Offset, time, key, value, headers.
type Decoded<'a> = (u64, i64, Option<&'a [u8]>, Option<&'a [u8]>, Vec<(&'a str, Option<&'a [u8]>)>);

#[test]
fn the_records_hold_their_values() {
    let bytes = read("segment.log");
    let found: Vec<Decoded<'_>> = frames_of(&bytes).iter().filter(|found| found.frame.header.record_count > 0).flat_map(records_of).collect();
    let expected: Vec<Decoded<'_>> = vec![
        (1000, 1_700_000_000_123_456_789, None, Some(b"hello"), vec![]),
        (1001, 1_700_000_001_000_000_007, Some(b"key"), Some(b"first"), vec![("h", Some(b"v")), ("h", None), ("empty", Some(b""))]),
        (1002, 1_700_000_000_999_999_999, Some(b""), Some(b""), vec![]),
        (1003, 1_699_999_999_875_000_000, Some(b"gone"), None, vec![]),
        (1004, 1_700_000_001_250_999_999, None, Some(b"\x00\xff"), vec![("\u{fc}n\u{ef}", Some(b"\x80"))]),
        (1005, 1_700_000_001_000_000_007, None, Some(&[0x61; 400]), vec![]),
        (1006, -1, None, Some(b"before 1970"), vec![]),
        (1007, 1_700_000_002_000_000_000, Some(b"p"), Some(b"1"), vec![]),
        (1008, 1_700_000_002_000_000_000, Some(b"p"), Some(b"2"), vec![]),
        (1009, i64::MIN, None, Some(b""), vec![]),
        (1010, i64::MAX, None, None, vec![]),
    ];
    assert_eq!(found, expected);
}

#[test]
fn the_frames_encode_to_the_same_bytes() {
    let bytes = read("segment.log");
    for FrameAt { position, frame } in frames_of(&bytes) {
        let mut blocks = Vec::new();
        frame.blocks.encode(&mut blocks);
        let mut again = [&[0; FRAME_HEADER_BYTES][..], &blocks, &body_again(&frame)].concat();
        again.resize(padded(again.len()), 0);
        let chain = frame.header.encode_into(&mut again, SALT, position);
        assert_eq!(chain, frame.chain_after());
        assert_eq!(bytes[position.get() as usize..][..again.len()], again);
    }
}

#[test]
fn the_seal_holds_its_values() {
    let bytes = read("segment.log");
    let last = frames_of(&bytes)[6];
    let expected = Seal {
        salt: SALT,
        base_offset: Offset::new(1000),
        next_offset: Offset::new(1011),
        records: 11,
        max_ts: TimestampNs::new(i64::MAX),
        log_start: Offset::new(18),
        first_epoch: LeaderEpoch::new(5),
        last_epoch: LeaderEpoch::new(6),
        chain_out: last.frame.header.chain,
    };
    assert_eq!(Seal::decode(&last.frame), Ok(expected));
    for salt in [None, Some(SALT)] {
        assert_eq!(decode_seal_at_end(&bytes, END, salt), Some((expected, Position::new(1160))));
        assert_eq!(decode_seal_at_end(&bytes[1160..], END, salt), Some((expected, Position::new(1160))));
    }
    assert_eq!(expected.encode(Position::new(1160), (1160 - 1088) / 8), bytes[1160..]);
}

#[test]
fn every_flipped_bit_of_the_segment_ends_the_scan_before_its_frame() {
    let good = read("segment.log");
    let whole = frames_of(&good);
    flip(&good, |flipped, byte| {
        if byte < 128 {
            assert!(SegmentHeader::decode(flipped).is_err());
            return;
        }
        let hit = POSITIONS.iter().rposition(|&position| position <= byte as u64).unwrap();
        let mut scanner = scan(flipped);
        let frames: Vec<_> = scanner.by_ref().collect();
        assert_eq!(frames, whole[..hit]);
        assert!(matches!(scanner.fault(), Some(Fault::Frame(_))), "{:?}", scanner.fault());
        let position = Position::new(POSITIONS[hit]);
        assert!(matches!(scanner.end(Some(position)), ScanEnd::Torn { position: end, .. } if end == position));
        assert!(matches!(scanner.end(Some(Position::new(END))), ScanEnd::Corrupt { position: end, .. } if end == position));
        if byte as u64 >= POSITIONS[6] {
            assert_eq!(decode_seal_at_end(flipped, END, Some(SALT)), None);
            assert_eq!(decode_seal_at_end(flipped, END, None), None);
        }
    });
}

#[test]
fn a_segment_cut_anywhere_gives_its_whole_frames() {
    let good = read("segment.log");
    let whole = frames_of(&good);
    for len in 128..good.len() {
        let kept = POSITIONS[1..].iter().take_while(|&&end| end <= len as u64).count();
        let mut scanner = scan(&good[..len]);
        assert_eq!(scanner.by_ref().collect::<Vec<_>>(), whole[..kept]);
        let clean = POSITIONS[kept] == len as u64;
        assert_eq!(matches!(scanner.end(None), ScanEnd::Clean { .. }), clean, "cut at {len}");
        let zeroed = [&good[..len], &vec![0; good.len() - len][..]].concat();
        // Zeros in place of zeros: a cut in the padding leaves the frame whole.
        let mut scanner = scan(&zeroed);
        assert!(scanner.by_ref().collect::<Vec<_>>().starts_with(&whole[..kept]));
        assert!(!clean || scanner.end(None) == ScanEnd::Clean { position: Position::new(len as u64) });
    }
}

#[test]
fn the_index_holds_its_values() {
    let bytes = read("segment.idx");
    let header = IndexHeader::decode(&bytes).unwrap();
    let chain = frames_of(&read("segment.log"))[6].frame.header.chain;
    let expected = IndexHeader {
        salt: SALT,
        base_offset: Offset::new(1000),
        seq: 3,
        entries: 3,
        covered: Position::new(1160),
        next_offset: Offset::new(1011),
        records: 11,
        max_ts: TimestampNs::new(i64::MAX),
        chain,
        sealed: true,
    };
    assert_eq!(header, expected);
    let entry = |rel_offset, position, max_ts| IndexEntry { rel_offset, position, max_ts_before: TimestampNs::new(max_ts) };
    let entries = [entry(0, 128, i64::MIN), entry(6, 768, 1_700_000_001_250_999_999), entry(9, 1000, 1_700_000_002_000_000_000)];
    let (position, len) = index_block_at(3, 0).unwrap();
    assert_eq!((position.get(), len, index_bytes(3), index_block_at(3, 1)), (128, 64, bytes.len(), None));
    let block = IndexBlock::decode(&bytes[128..], SALT, 0).unwrap();
    assert_eq!(block.entries().collect::<Vec<_>>(), entries);
    assert_eq!((block.len(), block.is_empty(), block.entry(2), block.entry(3)), (3, false, Some(entries[2]), None));
    assert_eq!(encode_index(header, &entries), bytes);
}

#[test]
fn every_flipped_bit_of_the_index_is_seen() {
    flip(&read("segment.idx"), |flipped, byte| {
        let refused = if byte < 128 { IndexHeader::decode(flipped).is_err() } else { IndexBlock::decode(&flipped[128..], SALT, 0).is_err() };
        assert!(refused);
    });
}

fn golden_terms(terms: &[(u32, u64)]) -> Terms {
    let mut all = Terms::default();
    terms.iter().for_each(|&(epoch, start)| all.note(Term { epoch: epoch.into(), start: start.into() }));
    all.forget_below(terms[0].1.into());
    all
}

#[test]
fn the_checkpoint_holds_its_values() {
    let bytes = read("CHECKPOINT");
    assert_eq!(bytes.len(), 2 * SLOT_BYTES);
    let expected = [
        Checkpoint {
            counter: 8,
            partition_uuid: *b"tidelog golden 1",
            log_start: Offset::new(17),
            durable_next_offset: Offset::new(1009),
            active_seq: 3,
            active_salt: SALT,
            tail_pos: Position::new(1000),
            tail_chain: 0x1122_3344,
            max_ts: TimestampNs::new(1_700_000_002_000_000_000),
            high_water_mark: Offset::new(1009),
            terms: golden_terms(&[(3, 610), (5, 980)]),
        },
        Checkpoint {
            counter: 7,
            partition_uuid: *b"tidelog golden 1",
            log_start: Offset::new(16),
            durable_next_offset: Offset::new(1000),
            active_seq: 3,
            active_salt: SALT,
            tail_pos: Position::new(128),
            tail_chain: 0x0bad_cafe,
            max_ts: TimestampNs::new(i64::MIN),
            high_water_mark: Offset::new(999),
            terms: golden_terms(&[(5, 980)]),
        },
    ];
    for (slot, checkpoint) in expected.iter().enumerate() {
        let at = slot * SLOT_BYTES;
        assert_eq!(Checkpoint::decode(&bytes[at..at + SLOT_BYTES]).as_ref(), Ok(checkpoint));
        assert_eq!(checkpoint.slot_position().get(), at as u64);
        assert_eq!(checkpoint.encode(), bytes[at..at + SLOT_BYTES]);
    }
}

#[test]
fn every_flipped_bit_of_a_checkpoint_slot_costs_it() {
    for slot in read("CHECKPOINT").chunks_exact(SLOT_BYTES) {
        flip(slot, |flipped, _| assert!(Checkpoint::decode(flipped).is_err()));
    }
}

#[test]
fn meta_holds_its_values() {
    let bytes = read("META");
    let meta = Meta::decode(&bytes).unwrap();
    let expected = Meta {
        compat: 0x8000_0001,
        ro_compat: 0,
        uuid: *b"tidelog golden 1",
        created: TimestampNs::new(1_699_999_999_000_000_001),
        index: 2,
        ring_size: 16_384,
        range_start: 8192,
        range_stop: 12_288,
        namespace: "default".to_owned(),
        topic: "earth_quakes.v1".to_owned(),
    };
    assert_eq!(meta, expected);
    assert_eq!(meta.encode(), bytes);
    flip(&bytes, |flipped, _| assert!(Meta::decode(flipped).is_err()));
}

#[test]
fn topic_holds_its_values() {
    let bytes = read("TOPIC");
    let topic = TopicMeta::decode(&bytes).unwrap();
    assert_eq!((topic.uuid, topic.ring_size, topic.created.get()), (*b"the golden topic", 4096, 1_699_999_998_000_000_003));
    let entries: Vec<_> =
        topic.partitions.iter().map(|entry| (entry.range_start..entry.range_stop, entry.split.clone(), entry.made, entry.is_active())).collect();
    let expected = [
        (0..1365, 0..0, true, true),
        (1365..2730, 3..5, true, false),
        (2730..4096, 0..0, false, true),
        (1365..2000, 0..0, false, true),
        (2000..2730, 0..0, true, true),
    ];
    assert_eq!(entries, expected);
    for (number, entry) in (0..).zip(&topic.partitions) {
        assert_eq!((entry.uuid, entry.created.get()), ([number + 1; 16], 1_699_999_998_500_000_000 + i64::from(number)));
    }
    assert_eq!(topic.encode(), bytes);
    flip(&bytes, |flipped, _| assert!(TopicMeta::decode(flipped).is_err()));
}

#[test]
fn store_holds_its_values() {
    let bytes = read("STORE");
    let store = StoreMeta::decode(&bytes).unwrap();
    assert_eq!(store, StoreMeta { uuid: *b"the golden store", created: TimestampNs::new(1_699_999_998_000_000_002) });
    assert_eq!(store.encode(), bytes[..]);
    flip(&bytes, |flipped, _| assert!(StoreMeta::decode(flipped).is_err()));
}

/// The wake word is outside the checksum, on purpose: it changes all the time.
#[test]
fn live_holds_its_values() {
    let bytes = read("LIVE");
    let expected = LiveHeader { boot_id: *b"boot of a golden", writer_nonce: 0x1357_9bdf_0246_8ace, writer_pid: 4242 };
    assert_eq!(LiveHeader::decode(&bytes), Ok(expected));
    assert_eq!(expected.encode()[..WAKE_POSITION], bytes[..WAKE_POSITION]);
    flip(&bytes, |flipped, byte| {
        let wake = (WAKE_POSITION..WAKE_POSITION + 4).contains(&byte);
        assert_eq!(LiveHeader::decode(flipped).ok(), wake.then_some(expected), "byte {byte}");
    });
}

fn frames_of(bytes: &[u8]) -> Vec<FrameAt<'_>> {
    let mut scanner = scan(bytes);
    let frames: Vec<_> = scanner.by_ref().collect();
    assert!(scanner.sealed() && scanner.fault().is_none());
    assert_eq!((scanner.reached().get(), scanner.next_offset().get()), (END, 1011));
    assert_eq!(scanner.end(Some(Position::new(END))), ScanEnd::Clean { position: Position::new(END) });
    frames
}

fn scan(bytes: &[u8]) -> Scanner<'_> {
    Scanner::new(bytes.get(128..).unwrap_or_default(), Position::new(128), SALT, Offset::new(1000), 0x0bad_cafe)
}

fn records_of<'a>(found: &FrameAt<'a>) -> Vec<Decoded<'a>> {
    let frame = found.frame;
    let mut at = 0;
    let records = (0..frame.header.record_count).map(|index| {
        let record = RecordView::decode(frame.records, at).unwrap();
        at = record.span.end as usize;
        let offset = frame.header.base_offset.get() + u64::from(record.span.offset_delta);
        let ts = frame.record_timestamp(index, record.span.timestamp_delta_ms).unwrap();
        let headers = record.headers().map(|header| (header.name, header.value)).collect();
        (offset, ts.get(), record.key(), record.value(), headers)
    });
    let records: Vec<_> = records.collect();
    assert_eq!(at, frame.records.len());
    records
}

/// The body, encoded anew from the values that were decoded from it.
fn body_again(frame: &Frame<'_>) -> Vec<u8> {
    if frame.header.record_count == 0 {
        return frame.records.to_vec();
    }
    let (mut body, mut at) = (Vec::new(), 0);
    while at < frame.records.len() {
        let record = RecordView::decode(frame.records, at).unwrap();
        let RecordSpan { end, timestamp_delta_ms, offset_delta, .. } = record.span;
        let headers: Vec<_> = record.headers().collect();
        let start = body.len();
        body.resize(start + record_len(timestamp_delta_ms, offset_delta, record.key(), record.value(), &headers), 0);
        encode_record(&mut body, start, timestamp_delta_ms, offset_delta, record.key(), record.value(), &headers);
        at = end as usize;
    }
    if let Some(block) = &frame.blocks.nanos {
        let nanos: Vec<u32> = (0..frame.header.record_count).map(|index| unpack_nano(block, frame.packed, index).unwrap()).collect();
        assert_eq!(pack_nanos(&nanos, &mut body), Some(*block));
    }
    body
}

/// Calls `check` with every bit of `good` flipped once, and the byte that it is in.
fn flip(good: &[u8], check: impl Fn(&[u8], usize)) {
    let mut flipped = good.to_vec();
    for byte in 0..good.len() {
        for bit in 0..8 {
            flipped[byte] ^= 1 << bit;
            check(&flipped, byte);
            flipped[byte] ^= 1 << bit;
        }
    }
}

fn read(name: &str) -> Vec<u8> {
    fs::read(path(name)).unwrap()
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden").join(name)
}
