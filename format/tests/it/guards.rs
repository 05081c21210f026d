//! What decoders refuse under right checksums, rule by rule: a checksum proves what was written, not that it makes sense.

use tidelog_format::*;

use crate::support::{Place, Rec, assemble, encode_frame, with_field, with_frame_field};

const SALT: u64 = 0x5a17_5a17_5a17_5a17;

fn field(what: &'static str, found: u64) -> DecodeError {
    DecodeError::Field { what, found }
}

fn segment() -> SegmentHeader {
    SegmentHeader { base_offset: Offset::new(100), prev_end: Offset::new(100), ..SegmentHeader::first([7; 16], SALT, 1, 1 << 20) }
}

#[test]
fn segment_headers_hold_only_what_a_writer_stores() {
    let good = segment().encode();
    assert_eq!(SegmentHeader::decode(&good), Ok(segment()));
    let check = |at, bytes: &[u8], expected| assert_eq!(SegmentHeader::decode(&with_field(&good, at, bytes)), Err(expected));
    let past = OFFSET_MAX + 1;
    check(8, &2u16.to_le_bytes(), DecodeError::Version { found: 2, supported: 1 });
    check(10, &256u16.to_le_bytes(), field("header_len", 256));
    check(12, &(1u32 << 31).to_le_bytes(), DecodeError::Incompatible { bits: 1 << 31 });
    check(32, &past.to_le_bytes(), field("base_offset", past));
    check(40, &101u64.to_le_bytes(), field("prev_end", 101));
    check(48, &100u64.to_le_bytes(), field("rewrite_end", 100));
    check(48, &past.to_le_bytes(), field("rewrite_end", past));
    check(56, &0u64.to_le_bytes(), field("seq", 0));
    check(56, &u64::MAX.to_le_bytes(), field("seq", u64::MAX));
    check(64, &0u64.to_le_bytes(), field("salt", 0));
    check(80, &15u32.to_le_bytes(), field("capacity", 120));
    check(80, &u32::MAX.to_le_bytes(), field("capacity", u64::from(u32::MAX) * 8));
    check(84, &u32::MAX.to_le_bytes(), field("leader_epoch", u32::MAX.into()));
    check(88, &past.to_le_bytes(), field("epoch_start", past));
    check(96, &past.to_le_bytes(), field("log_start", past));
    check(112, &[1], DecodeError::Pad);
    check(123, &[1], DecodeError::Pad);
}

#[test]
fn a_rewrite_cuts_nothing_but_what_it_rewrites() {
    let rewrite = SegmentHeader { rewrite_end: Some(Offset::new(150)), ..segment() };
    assert_eq!(SegmentHeader::decode(&rewrite.encode()), Ok(rewrite));
    let cutting = SegmentHeader { prev_end: Offset::new(99), ..rewrite };
    assert_eq!(SegmentHeader::decode(&cutting.encode()), Err(field("prev_end", 99)));
}

#[test]
fn a_newer_version_is_believed_only_under_a_right_checksum() {
    let mut newer = segment().encode();
    newer[8] = 9;
    assert!(matches!(SegmentHeader::decode(&newer), Err(DecodeError::Checksum { .. })));
    let newer = with_field(&newer, 8, &9u16.to_le_bytes());
    assert!(SegmentHeader::decode(&newer).unwrap_err().is_unsupported());
}

#[test]
fn checkpoints_hold_only_what_a_writer_stores() {
    let checkpoint = Checkpoint {
        counter: 3,
        partition_uuid: [7; 16],
        log_start: Offset::new(5),
        durable_next_offset: Offset::new(9),
        active_seq: 2,
        active_salt: SALT,
        tail_pos: Position::new(128),
        tail_chain: 1,
        max_ts: TimestampNs::new(-1),
        high_water_mark: Offset::new(9),
        terms: Terms::new(Term { epoch: LeaderEpoch::new(1), start: Offset::new(5) }),
    };
    let mut good = checkpoint.encode()[..FILE_HEADER_BYTES].to_vec();
    assert_eq!(Checkpoint::decode(&good), Ok(checkpoint));
    let check = |at, bytes: &[u8], expected| assert_eq!(Checkpoint::decode(&with_field(&good, at, bytes)), Err(expected));
    let past = OFFSET_MAX + 1;
    check(12, &1u32.to_le_bytes(), DecodeError::Incompatible { bits: 1 });
    check(20, &u32::MAX.to_le_bytes(), field("tail_pos", u64::from(u32::MAX) * 8));
    check(48, &10u64.to_le_bytes(), field("log_start", 10));
    check(56, &past.to_le_bytes(), field("durable_next_offset", past));
    check(64, &u64::MAX.to_le_bytes(), field("active_seq", u64::MAX));
    check(80, &past.to_le_bytes(), field("high_water_mark", past));
    check(96, &past.to_le_bytes(), field("epoch_start", past));
    check(104, &u32::MAX.to_le_bytes(), field("leader_epoch", u32::MAX.into()));
    check(112, &[1], DecodeError::Pad);
    for (slot_bytes, stain) in [(SLOT_BYTES, 128), (SLOT_BYTES, SLOT_BYTES - 1), (200, 199)] {
        good.resize(slot_bytes, 0);
        good[stain] = 1;
        assert_eq!(Checkpoint::decode(&good), Err(DecodeError::Pad), "byte {stain} of {slot_bytes}");
        good[stain] = 0;
    }
    assert!(matches!(Checkpoint::decode(&[0; SLOT_BYTES]), Err(DecodeError::Magic { found: 0, .. })), "a slot never written");
}

#[test]
fn the_terms_of_a_checkpoint_rise() {
    let term = |epoch, start| Term { epoch: LeaderEpoch::new(epoch), start: Offset::new(start) };
    let mut terms = Terms::new(term(1, 2));
    terms.note(term(3, 4));
    terms.note(term(5, 6));
    let golden = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/golden/CHECKPOINT")).unwrap();
    let good = Checkpoint { terms, ..Checkpoint::decode(&golden[..SLOT_BYTES]).unwrap() }.encode();
    let edited = |at: usize, bytes: &[u8]| {
        let mut slot = good;
        slot[at..at + bytes.len()].copy_from_slice(bytes);
        let entries = 128 + 16 * (u32::from_le_bytes(slot[108..112].try_into().unwrap()) as usize).min(TERMS_MAX - 1);
        let crc = crc32(&[&slot[..124], &slot[128..entries.min(SLOT_BYTES)]].concat());
        slot[124..128].copy_from_slice(&crc.to_le_bytes());
        Checkpoint::decode(&slot).map(|checkpoint| checkpoint.terms)
    };
    assert_eq!(edited(108, &2u32.to_le_bytes()), Ok(terms));
    assert_eq!(edited(96, &4u64.to_le_bytes()), Err(field("epoch_start", 4)), "the current one begins where the one before does");
    assert_eq!(edited(144, &2u64.to_le_bytes()), Err(field("epoch_start", 2)));
    assert_eq!(edited(152, &1u32.to_le_bytes()), Err(field("leader_epoch", 1)));
    assert_eq!(edited(104, &3u32.to_le_bytes()), Err(field("leader_epoch", 3)));
    assert_eq!(edited(156, &[1]), Err(DecodeError::Pad));
    assert_eq!(edited(108, &1u32.to_le_bytes()), Err(DecodeError::Pad), "a term that is not counted");
    let too_many = TERMS_MAX as u32;
    assert_eq!(edited(108, &too_many.to_le_bytes()), Err(field("earlier_terms", too_many.into())));
    assert!(matches!(Checkpoint::decode(&good[..150]), Err(DecodeError::Checksum { .. })), "cut in the middle of a term");
}

#[test]
fn meta_holds_only_what_a_writer_stores() {
    let meta = Meta {
        compat: u32::MAX,
        ro_compat: 0,
        uuid: [7; 16],
        created: TimestampNs::new(1),
        index: 0,
        ring_size: 16,
        range_start: 0,
        range_stop: 16,
        namespace: "default".to_owned(),
        topic: "orders".to_owned(),
    };
    let good = meta.encode();
    assert_eq!(Meta::decode(&good).as_ref(), Ok(&meta));
    let check = |at, bytes: &[u8], expected| assert_eq!(Meta::decode(&with_field(&good, at, bytes)), Err(expected));
    check(56, &16u32.to_le_bytes(), field("range_stop", 16));
    check(60, &17u32.to_le_bytes(), field("range_stop", 17));
    check(64, &14u16.to_le_bytes(), DecodeError::Truncated { needed: 14, found: 13 });
    check(64, &8u16.to_le_bytes(), field("topic length", 6));
    check(68, &[1], DecodeError::Pad);
    check(128, b"../../x", field("namespace", 7));
    check(135, b"\xff", field("topic", 6));
    let mut longer = good.clone();
    longer.push(b'x');
    assert!(matches!(Meta::decode(&longer), Err(DecodeError::Checksum { .. })), "every byte of the file is under the checksum");
    assert_eq!(meta.check_writable(), Ok(()));
    assert_eq!(Meta { ro_compat: 4, ..meta }.check_writable(), Err(DecodeError::Incompatible { bits: 4 }));
}

#[test]
fn a_catalogue_holds_only_ranges_that_tile_the_ring() {
    let entry = |range: std::ops::Range<u32>, split| PartitionEntry {
        uuid: [1; 16],
        created: TimestampNs::new(1),
        range_start: range.start,
        range_stop: range.end,
        split,
        made: false,
    };
    let of = |partitions: Vec<PartitionEntry>| TopicMeta { uuid: [7; 16], created: TimestampNs::new(1), ring_size: 16, partitions };
    let topic = of(vec![entry(8..16, 0..0), entry(0..8, 2..4), entry(0..3, 0..0), entry(3..8, 0..0)]);
    assert_eq!(topic.check(), Ok(()));
    let check = |change: &dyn Fn(&mut TopicMeta), expected| {
        let mut changed = topic.clone();
        change(&mut changed);
        assert_eq!(changed.check(), Err(expected));
    };
    check(&|topic| topic.partitions.clear(), field("range_stop", 0));
    check(&|topic| topic.partitions[0].range_start = 9, field("range_start", 9)); // a gap
    check(&|topic| topic.partitions[0].range_start = 7, field("range_start", 7)); // an overlap
    check(&|topic| topic.partitions[0].range_stop = 15, field("range_stop", 15));
    check(&|topic| topic.partitions[0].range_stop = 17, field("range_stop", 17));
    check(&|topic| topic.partitions[0].range_start = 16, field("range_stop", 16));
    check(&|topic| topic.partitions[2].range_stop = 2, field("range_start", 3));
    check(&|topic| topic.partitions[3].range_stop = 7, field("range_stop", 7));
    check(&|topic| topic.partitions[1].split = 0..0, field("range_start", 0)); // of what it was split into, none descends from it
    check(&|topic| topic.partitions[1].split = 2..3, field("split_count", 1));
    check(&|topic| topic.partitions[1].split = 3..5, field("split_first", 3));
    check(&|topic| topic.partitions[1].split = 1..3, field("split_first", 1));
    check(&|topic| topic.partitions[0].split = 2..4, field("range_start", 0));
    check(&|topic| topic.partitions.insert(1, entry(0..8, 3..5)), field("split_first", 2));
    check(&|topic| topic.ring_size = 0, field("ring_size", 0));
    check(&|topic| topic.ring_size = 40_000, field("ring_size", 40_000));
    let good = topic.encode();
    assert_eq!(TopicMeta::decode(&good), Ok(topic.clone()));
    let stored = |at: usize, bytes: &[u8]| TopicMeta::decode(&with_field(&good, at, bytes));
    assert_eq!(stored(12, &[1]), Err(DecodeError::Incompatible { bits: 1 }));
    assert_eq!(stored(44, &[5]), Err(DecodeError::Truncated { needed: 328, found: 288 }));
    assert_eq!(stored(44, &[3]), Err(DecodeError::Trailing { bytes: 40 }));
    assert_eq!(stored(44, &u32::MAX.to_le_bytes()), Err(DecodeError::Truncated { needed: 128 + 40 * u32::MAX as usize, found: 288 }));
    assert_eq!(stored(48, &[1]), Err(DecodeError::Pad));
    assert_eq!(stored(160, &[1]), Err(field("split_first", 1)));
    assert_eq!(stored(166, &[2]), Err(field("flags", 2)));
    assert_eq!(stored(160, &[0xff, 0xff, 0xff, 0xff, 1]), Err(field("split_first", u32::MAX.into())));
    assert!(matches!(TopicMeta::decode(&good[..287]), Err(DecodeError::Checksum { .. })), "every byte of the file is under the checksum");
}

#[test]
fn store_and_live_headers_hold_only_what_a_writer_stores() {
    let store = StoreMeta { uuid: [7; 16], created: TimestampNs::new(1) }.encode();
    let mut longer = store.to_vec();
    longer.push(0);
    assert_eq!(StoreMeta::decode(&longer), Err(DecodeError::Trailing { bytes: 1 }));
    assert_eq!(StoreMeta::decode(&with_field(&store, 40, &[1])), Err(DecodeError::Pad));
    assert_eq!(StoreMeta::decode(&with_field(&store, 12, &[1])), Err(DecodeError::Incompatible { bits: 1 }));
    let live = LiveHeader { boot_id: [1; 16], writer_nonce: 2, writer_pid: 3 }.encode();
    assert_eq!(LiveHeader::decode(&live[..127]), Err(DecodeError::Truncated { needed: 128, found: 127 }));
    assert_eq!(LiveHeader::decode(&with_field(&live, 44, &[1])), Err(DecodeError::Pad));
    assert_eq!(LiveHeader::decode(&with_field(&live, 12, &[1])), Err(DecodeError::Incompatible { bits: 1 }));
}

#[test]
fn indexes_hold_only_what_a_writer_stores() {
    let header = IndexHeader {
        salt: SALT,
        base_offset: Offset::ZERO,
        seq: 1,
        entries: 0,
        covered: Position::new(4096),
        next_offset: Offset::new(10),
        records: 10,
        max_ts: TimestampNs::new(1),
        chain: 1,
        sealed: true,
    };
    let entry = IndexEntry { rel_offset: 0, position: 128, max_ts_before: TimestampNs::new(i64::MIN) };
    let good = encode_index(header, &[entry; 2]);
    let head = &good[..FILE_HEADER_BYTES];
    assert_eq!(IndexHeader::decode(head), Ok(IndexHeader { entries: 2, ..header }));
    assert_eq!(IndexHeader::decode(&with_field(head, 80, &3u32.to_le_bytes())), Err(field("index flags", 3)));
    assert_eq!(IndexHeader::decode(&with_field(head, 84, &[1])), Err(DecodeError::Pad));
    let block = &good[FILE_HEADER_BYTES..];
    let other = SALT + 1;
    assert_eq!(IndexBlock::decode(block, SALT, 0).unwrap().len(), 2);
    assert_eq!(IndexBlock::decode(block, SALT, 1).unwrap_err(), field("index block number", 0));
    assert_eq!(IndexBlock::decode(block, other, 0).unwrap_err(), field("index block salt", u64::from(SALT as u32)));
    let mut empty = block[32..44].to_vec();
    empty[8..12].fill(0);
    empty.extend(crc32(&empty).to_le_bytes());
    assert_eq!(IndexBlock::decode(&empty, SALT, 0).unwrap_err(), field("index block entries", 0));
}

#[test]
fn frames_hold_only_what_a_writer_stores() {
    let place = Place { blocks: Blocks { note: Some(b"abc"), ..Blocks::default() }, ..Place::at(SALT, 128, 7, 1) };
    let (good, _) = encode_frame(place, &[Rec::plain(5, b"one"), Rec::plain(6, b"two")]);
    let blocks_len = 8 + 8;
    let position = Position::new(128);
    assert!(Frame::decode(&good, SALT, position).is_ok());
    let check = |at, bytes: &[u8], expected| {
        assert_eq!(Frame::decode(&with_frame_field(&good, SALT, 128, blocks_len, at, bytes), SALT, position), Err(expected));
    };
    check(56, &79u32.to_le_bytes(), field("frame_len", 79));
    check(56, &(FRAME_BYTES_MAX + 1).to_le_bytes(), field("frame_len", u64::from(FRAME_BYTES_MAX) + 1));
    check(56, &80u32.to_le_bytes(), field("frame_len", 80));
    check(16, &(OFFSET_MAX - 1).to_le_bytes(), field("base_offset", OFFSET_MAX - 1));
    check(40, &(1u32 << 31).to_le_bytes(), field("last_offset_delta", 1 << 31));
    check(44, &3u32.to_le_bytes(), field("record_count", 3));
    check(52, &(1u32 << 31).to_le_bytes(), field("leader_epoch", 1 << 31));
    check(64, &[0], field("nanos width", 0));
    check(64, &[21], field("nanos width", 21));
    check(65, &[0x40, 0x42, 0x0f], field("nanos min", 1_000_000));
    check(74, &[1], DecodeError::Pad);
    check(79, &[1], DecodeError::Pad);
    check(72, &1025u16.to_le_bytes(), field("note length", 1025));
    let stored = u32::from_le_bytes(good[48..52].try_into().unwrap());
    let attributes = |bits: u32, expected| check(48, &(stored | bits).to_le_bytes(), expected);
    attributes(1 << 28, DecodeError::Incompatible { bits: 1 << 28 });
    attributes(1 << 31, DecodeError::Incompatible { bits: 1 << 31 });
    attributes(Attributes::NO_OFFSETS.0, field("last_offset_delta", 1));
    attributes(Attributes::SEAL.0, field("attributes", (stored | Attributes::SEAL.0).into()));
    attributes(Attributes::PAD.0, field("attributes", (stored | Attributes::PAD.0).into()));
    attributes(Attributes::TS_MILLIS.0, field("attributes", (stored | Attributes::TS_MILLIS.0).into()));
}

#[test]
fn spare_bits_that_any_version_may_ignore_are_ignored() {
    let (good, _) = encode_frame(Place::at(SALT, 128, 7, 1), &[Rec::plain(5, b"one")]);
    let newer = with_frame_field(&good, SALT, 128, 0, 48, &(0b111u32 << 25 | 0xff << 8).to_le_bytes());
    assert_eq!(Frame::decode(&newer, SALT, Position::new(128)).unwrap().records, Frame::decode(&good, SALT, Position::new(128)).unwrap().records);
}

#[test]
fn a_log_filled_to_the_last_offset_can_be_sealed() {
    let (last, chain) = encode_frame(Place::at(SALT, 128, OFFSET_MAX - 1, 0), &[Rec::plain(5, b"last")]);
    let frame = Frame::decode(&last, SALT, Position::new(128)).unwrap();
    assert_eq!(frame.header.next_offset(), Offset::new(OFFSET_MAX));
    let seal = seal(OFFSET_MAX, chain).encode(Position::new(128 + last.len() as u64), NO_CLAIM);
    let bytes = [last, seal.to_vec()].concat();
    let mut scanner = Scanner::new(&bytes, Position::new(128), SALT, Offset::new(OFFSET_MAX - 1), 0);
    assert_eq!(scanner.by_ref().count(), 2);
    assert!(scanner.sealed());
    let (past, _) = encode_frame(Place::at(SALT, 128, OFFSET_MAX, 0), &[Rec::plain(5, b"no")]);
    assert_eq!(Frame::decode(&past, SALT, Position::new(128)).unwrap_err(), field("base_offset", OFFSET_MAX));
}

fn seal(next_offset: u64, chain: u32) -> Seal {
    Seal {
        salt: SALT,
        base_offset: Offset::ZERO,
        next_offset: Offset::new(next_offset),
        records: 1,
        max_ts: TimestampNs::new(5),
        log_start: Offset::ZERO,
        first_epoch: LeaderEpoch::new(0),
        last_epoch: LeaderEpoch::new(0),
        chain_out: chain,
    }
}

#[test]
fn a_seal_that_contradicts_the_frame_around_it_ends_the_scan() {
    let position = Position::new(128);
    let good = seal(7, 3).encode(position, NO_CLAIM);
    let with_body = |at: usize, bytes: &[u8]| {
        let mut changed = good.to_vec();
        changed[64 + at..64 + at + bytes.len()].copy_from_slice(bytes);
        with_frame_field(&changed, SALT, 128, 0, 64 + at, bytes)
    };
    let check = |bytes: &[u8], expected| {
        let mut scanner = Scanner::new(bytes, position, SALT, Offset::new(7), 3);
        assert_eq!(scanner.next(), None);
        assert_eq!(scanner.fault(), Some(Fault::Frame(expected)));
        assert_eq!(resync(bytes, position, SALT, Offset::ZERO, Offset::new(OFFSET_MAX)), None);
        assert_eq!(decode_seal_at_end(bytes, 256, None), None);
    };
    assert_eq!(decode_seal_at_end(&good, 256, None), Some((seal(7, 3), position)));
    check(&with_body(16, &8u64.to_le_bytes()), field("seal next_offset", 8));
    check(&with_body(8, &8u64.to_le_bytes()), field("seal next_offset", 7));
    check(&with_body(56, &4u32.to_le_bytes()), field("seal chain_out", 4));
    check(&with_body(60, &[1]), DecodeError::Pad);
    let other_salt = with_body(0, &(SALT + 1).to_le_bytes());
    assert_eq!(decode_seal_at_end(&other_salt, 256, Some(SALT)), None, "a seal of another file");
    assert_eq!(decode_seal_at_end(&good, 264, None), None, "a seal at another position");
}

#[test]
fn a_seal_of_another_length_is_none() {
    let header = FrameHeader {
        frame_len: 0,
        base_offset: Offset::new(7),
        base_ts: TimestampNs::new(0),
        max_ts: TimestampNs::new(0),
        last_offset_delta: 0,
        record_count: 0,
        attributes: Attributes::SEAL.with(Attributes::NO_OFFSETS),
        leader_epoch: LeaderEpoch::new(0),
        chain: 3,
        durable_back: NO_CLAIM,
        body_crc: 0,
    };
    let (bytes, chain) = assemble(header, Place::at(SALT, 128, 7, 3), &Blocks::default(), &[0; 8]);
    assert_eq!(chain, 3, "a seal leaves the chain as it is");
    let frame = Frame::decode(&bytes, SALT, Position::new(128)).unwrap();
    assert_eq!(Seal::decode(&frame), Err(field("seal length", 8)));
}

#[test]
fn an_unsupported_frame_is_told_apart_from_a_torn_one() {
    let (good, _) = encode_frame(Place::at(SALT, 128, 0, 0), &[Rec::plain(5, b"one")]);
    let newer = with_frame_field(&good, SALT, 128, 0, 48, &(1u32 << 30).to_le_bytes());
    let fault = |bytes: &[u8]| {
        let mut scanner = Scanner::new(bytes, Position::new(128), SALT, Offset::ZERO, 0);
        assert_eq!(scanner.next(), None);
        scanner.fault().unwrap()
    };
    assert!(fault(&newer).is_unsupported());
    assert!(!fault(&good[..good.len() - 8]).is_unsupported());
    let mut flipped = newer;
    flipped[16] ^= 1;
    assert!(!fault(&flipped).is_unsupported(), "a feature bit is believed only under a right checksum");
}

#[test]
fn names_are_ours_only_to_the_letter() {
    let segment = SegmentId { base_offset: 42, seq: 7 };
    let check = |name: &str, expected| assert_eq!(FileName::parse(name), expected, "{name}");
    check("META", Some(FileName::Meta));
    check("CHECKPOINT", Some(FileName::Checkpoint));
    check("quarantine", Some(FileName::Quarantine));
    check("00000000000000000042-0000000007.log", Some(FileName::Log(segment)));
    check("00000000000000000042-0000000007.idx", Some(FileName::Index(segment)));
    check("00000000000000000042-12345678901.log", Some(FileName::Log(SegmentId { base_offset: 42, seq: 12_345_678_901 })));
    check("spare-0000000008.tmp", Some(FileName::Spare(8)));
    check("META.tmp", Some(FileName::Temporary));
    check("CHECKPOINT.tmp", Some(FileName::Temporary));
    check("00000000000000000042-0000000007.log.tmp", Some(FileName::Temporary));
    check("recovery-00000000000000000003.json", Some(FileName::Report(3)));
    check("recovery-00000000000000000003.json.tmp", Some(FileName::Temporary));
    assert_eq!(
        (segment.log_name(), segment.index_name()),
        ("00000000000000000042-0000000007.log".into(), "00000000000000000042-0000000007.idx".into())
    );
    assert_eq!((SegmentId::spare_name(8), FileName::report_name(3)), ("spare-0000000008.tmp".into(), "recovery-00000000000000000003.json".into()));
    for name in [
        "",
        ".",
        ".tmp",
        "meta",
        "META ",
        "META.tmp.tmp",
        "quarantine.tmp",
        "spare-0000000008.tmp.tmp",
        "spare-8.tmp",
        "spare-0000000000.tmp",
        "42-7.log",
        "00000000000000000042-0000000000.log",
        "00000000000000000042-00000000007.log",
        "00000000000000000042-0000000007.LOG",
        "00000000000000000042-0000000007.log.bak",
        "00000000000000000042-0000000007",
        "+0000000000000000042-0000000007.log",
        "09223372036854775808-0000000007.log",
        "99999999999999999999-0000000007.log",
        "00000000000000000042-9223372036854775808.log",
        "0000000000000000004\u{0664}-0000000007.log",
        "recovery-3.json",
        "recovery-18446744073709551615.json",
    ] {
        check(name, None);
    }
}

#[test]
fn a_name_of_any_length_is_read_in_constant_stack() {
    assert_eq!(FileName::parse(&".tmp".repeat(1 << 20)), None);
    assert_eq!(FileName::parse(&("META".to_owned() + &".tmp".repeat(1 << 20))), None);
}

#[test]
fn every_timestamp_is_its_milliseconds_and_the_rest() {
    for ts in [i64::MIN, i64::MIN + 1, -1_000_001, -1_000_000, -1, 0, 1, 999_999, 1_000_000, i64::MAX - 1, i64::MAX] {
        let ts = TimestampNs::new(ts);
        assert_eq!(TimestampNs::from_parts(ts.millis(), ts.sub_millis()), ts);
    }
    assert_eq!(TimestampNs::from_parts(i64::MAX, 0), TimestampNs::new(i64::MAX));
    assert_eq!(TimestampNs::from_parts(i64::MIN, 999_999), TimestampNs::new(i64::MIN));
}

#[test]
fn record_times_of_hostile_frames_saturate() {
    let header = |attributes, base_ts| FrameHeader {
        frame_len: 0,
        base_offset: Offset::ZERO,
        base_ts: TimestampNs::new(base_ts),
        max_ts: TimestampNs::new(base_ts),
        last_offset_delta: 0,
        record_count: 1,
        attributes,
        leader_epoch: LeaderEpoch::new(0),
        chain: 0,
        durable_back: NO_CLAIM,
        body_crc: 0,
    };
    let check = |attributes, base_ts, delta_ms, expected| {
        let (bytes, _) = assemble(header(attributes, base_ts), Place::at(SALT, 128, 0, 0), &Blocks::default(), &[]);
        let frame = Frame::decode(&bytes, SALT, Position::new(128)).unwrap();
        assert_eq!(frame.record_timestamp(0, delta_ms), Some(TimestampNs::new(expected)));
        frame.header.max_timestamp().get()
    };
    assert_eq!(check(Attributes::default(), 1_500_000, -2, -500_000), 1_500_000);
    assert_eq!(check(Attributes::default(), i64::MAX, i64::MAX, i64::MAX), i64::MAX);
    assert_eq!(check(Attributes::LOG_APPEND_TIME, 1_500_000, -2, 1_500_000), 1_500_000);
    assert_eq!(check(Attributes::TS_MILLIS, 7, 3, 10_000_000), 7_000_000);
    assert_eq!(check(Attributes::TS_MILLIS.with(Attributes::LOG_APPEND_TIME), 7, 3, 7_000_000), 7_000_000);
    assert_eq!(check(Attributes::TS_MILLIS, i64::MIN, i64::MIN, i64::MIN), i64::MIN);
    assert_eq!(check(Attributes::TS_MILLIS, i64::MAX, i64::MAX, i64::MAX), i64::MAX);
}

#[test]
fn nanos_are_read_without_overflow_from_any_block() {
    let ones = [0xff; 8];
    let read = |width, min, index| unpack_nano(&NanosBlock { width, min, crc: 0 }, &ones, index);
    assert_eq!(read(20, 0, 0), None, "2^20 - 1 is no part of a millisecond");
    assert_eq!(read(3, 5, 0), Some(12));
    assert_eq!(read(3, 999_999, 0), None);
    assert_eq!(read(3, u32::MAX, 0), None);
    assert_eq!(read(32, 0, 0), None);
    assert_eq!(read(255, 0, 0), None);
    assert_eq!(read(20, 0, u32::MAX), None);
}

#[test]
fn records_hold_only_what_kafka_can_read() {
    let record = |offset_delta: u32| {
        let mut bytes = vec![0; record_len(0, offset_delta, None, None, &[])];
        encode_record(&mut bytes, 0, 0, offset_delta, None, None, &[]);
        bytes
    };
    let past = i32::MAX as u32 + 1;
    assert_eq!(RecordView::decode(&record(past - 1), 0).unwrap().span.offset_delta, past - 1);
    assert_eq!(RecordView::decode(&record(past), 0), Err(field("offset delta", past.into())));
    // length, attributes, timestamp delta, offset delta, key, value, headers
    let check = |bytes: &[u8], expected| assert_eq!(RecordView::decode(bytes, 0), Err(expected), "{bytes:02x?}");
    check(&[], DecodeError::Truncated { needed: 1, found: 0 });
    check(&[0x0e, 0, 0, 0, 1, 1], DecodeError::Truncated { needed: 8, found: 6 });
    check(&[0x01], field("record length", u64::MAX));
    check(&[0x0e, 0, 0, 0, 1, 1, 0, 0], DecodeError::Trailing { bytes: 1 });
    check(&[0x0c, 0, 0, 1, 1, 1, 0], field("offset delta", u64::MAX));
    check(&[0x0c, 0, 0, 0, 3, 1, 0], field("length", -2i64 as u64));
    check(&[0x0c, 0, 0, 0, 1, 1, 1], field("header count", u64::MAX));
    check(&[0x10, 0, 0, 0, 1, 1, 2, 1, 1], field("header name", 7));
    check(&[0x12, 0, 0, 0, 1, 1, 2, 2, 0xff, 1], field("header name", 7));
    let endless = [0x0c, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    assert!(RecordView::decode(&endless, 0).is_err());
    assert_eq!(get_varint(&endless[2..], 0), Err(field("varint", 0xff)));
    let widest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    assert_eq!(get_varint(&widest, 0), Ok((i64::MIN, 10)));
    let wider = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
    assert_eq!(get_varint(&wider, 0), Err(field("varint", 2)), "a bit that no i64 has");
    assert_eq!(RecordView::decode(&[0x0c, 0, 0, 0, 1, 1, 0], usize::MAX), Err(DecodeError::Truncated { needed: usize::MAX, found: 7 }));
}

#[test]
fn many_headers_of_nothing_are_counted_not_allocated() {
    // A header count of 2^31 in a record of 12 bytes.
    let bytes = [0x16, 0, 0, 0, 1, 1, 0x80, 0x80, 0x80, 0x80, 0x10, 0];
    assert!(matches!(RecordView::decode(&bytes, 0), Err(DecodeError::Truncated { .. } | DecodeError::Field { .. })));
}
