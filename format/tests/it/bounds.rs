//! Values at the ends of their ranges: what is just right must be taken, what is one further must not.

use tidelog_format::*;

use crate::support::{Place, Rec, assemble, encode_frame, with_field, with_frame_field};

const SALT: u64 = 0x5a17_5a17_5a17_5a17;
const START: Position = Position::new(128);

#[test]
fn headers_hold_the_highest_values_there_are() {
    let last = Offset::new(OFFSET_MAX);
    let terms = Terms::new(Term { epoch: LeaderEpoch::new(EPOCH_MAX), start: last });
    let checkpoint = Checkpoint {
        counter: u64::MAX,
        partition_uuid: [7; 16],
        log_start: last,
        durable_next_offset: last,
        active_seq: SEQ_MAX,
        active_salt: u64::MAX,
        tail_pos: Position::new(SEGMENT_BYTES_MAX),
        tail_chain: u32::MAX,
        max_ts: TimestampNs::new(i64::MAX),
        high_water_mark: last,
        terms,
    };
    assert_eq!(Checkpoint::decode(&checkpoint.encode()), Ok(checkpoint));
    let segment = SegmentHeader {
        base_offset: last,
        prev_end: last,
        seq: SEQ_MAX,
        leader_epoch: LeaderEpoch::new(EPOCH_MAX),
        epoch_start: last,
        log_start: last,
        ..SegmentHeader::first([7; 16], SALT, 1, SEGMENT_BYTES_MAX)
    };
    assert_eq!(SegmentHeader::decode(&segment.encode()), Ok(segment));
    let before = Offset::new(OFFSET_MAX - 1);
    let rewrite = SegmentHeader { base_offset: before, prev_end: before, rewrite_end: Some(last), ..segment };
    assert_eq!(SegmentHeader::decode(&rewrite.encode()), Ok(rewrite));
    let smallest = SegmentHeader { capacity: SEGMENT_HEADER_BYTES as u64, ..segment };
    assert_eq!(SegmentHeader::decode(&smallest.encode()), Ok(smallest));
}

#[test]
fn frames_hold_the_highest_values_there_are() {
    let (good, _) = encode_frame(Place::at(SALT, 128, 7, 1), &[Rec::plain(5, b"one")]);
    let decoded = |at, bytes: &[u8]| Frame::decode(&with_frame_field(&good, SALT, 128, 0, at, bytes), SALT, START).map(|frame| frame.header);
    assert_eq!(decoded(40, &i32::MAX.to_le_bytes()).unwrap().next_offset(), Offset::new(8 + i32::MAX as u64));
    assert_eq!(decoded(52, &EPOCH_MAX.to_le_bytes()).unwrap().leader_epoch, EPOCH_MAX);
    let longest = DecodeError::Truncated { needed: FRAME_BYTES_MAX as usize, found: good.len() };
    assert_eq!(decoded(56, &FRAME_BYTES_MAX.to_le_bytes()), Err(longest));
}

/// A reader of part of a file goes by it: too few would make it ask again and again, too many end it early.
#[test]
fn a_cut_frame_says_how_many_bytes_it_takes() {
    let producer = Some(Producer { id: 1, epoch: 2, base_sequence: 3 });
    let place = Place { blocks: Blocks { producer, note: Some(b"abc"), ..Blocks::default() }, ..Place::at(SALT, 128, 7, 1) };
    let (small, _) = encode_frame(place, &[Rec::plain(5, b"one")]);
    let (large, _) = encode_frame(place, &[Rec::plain(5, &[7; 500])]);
    let needed = |bytes: &[u8], len: usize| Frame::decode(&bytes[..len], SALT, START).map_err(|error| (error, len)).unwrap_err();
    for bytes in [small, large] {
        let whole = bytes.len();
        for (len, expected) in [(0, 64), (63, 64), (64, 84), (83, 84), (84, 88), (87, 88), (88, whole), (whole - 1, whole)] {
            assert_eq!(needed(&bytes, len), (DecodeError::Truncated { needed: expected, found: len }, len));
        }
    }
}

/// The header of a frame that is cut short is judged as that of a whole one: it may be damaged, or of a newer version.
#[test]
fn the_header_of_a_cut_frame_is_judged() {
    for value_len in [3, 1000] {
        let (good, _) = encode_frame(Place::at(SALT, 128, 7, 1), &[Rec::plain(5, &vec![7; value_len])]);
        let newer = with_frame_field(&good, SALT, 128, 0, 48, &(1u32 << 30).to_le_bytes());
        let mut flipped = good.clone();
        flipped[16] ^= 1;
        // What is found is the checksum that would be right.
        let at = if good.len() > 512 { 4 } else { 12 };
        let word = |bytes: &[u8]| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let right = with_frame_field(&good, SALT, 128, 0, 16, &[good[16] ^ 1]);
        let wrong = DecodeError::Checksum { what: "frame header", expected: word(&good), found: word(&right) };
        for len in [64, good.len() - 1] {
            let found = |bytes: &[u8]| Frame::decode(&bytes[..len], SALT, START).unwrap_err();
            assert_eq!(found(&good), DecodeError::Truncated { needed: good.len(), found: len });
            assert_eq!(found(&newer), DecodeError::Incompatible { bits: 1 << 30 });
            assert_eq!(found(&flipped), wrong);
        }
    }
}

/// A frame of 512 bytes is under one checksum, one of 513 under two.
#[test]
fn small_frames_are_under_one_checksum() {
    let empty = encode_frame(Place::at(SALT, 128, 7, 1), &[Rec::plain(5, b"")]).0.len();
    for value_len in empty..1024 {
        let (bytes, chain) = encode_frame(Place::at(SALT, 128, 7, 1), &[Rec::plain(5, &vec![7; value_len])]);
        let frame = Frame::decode(&bytes, SALT, START).unwrap();
        let is_small = frame.header.frame_len <= 512;
        assert_eq!((frame.header.is_small(), frame.header.body_crc == 0), (is_small, is_small));
        assert_eq!(frame.header.body_crc, if is_small { 0 } else { crc32(frame.records) });
        assert_eq!((frame.chain_after(), frame.verify_body()), (chain, Ok(())));
        let mut flipped = bytes.clone();
        flipped[70] ^= 1;
        let found = Frame::decode(&flipped, SALT, START);
        let found = found.unwrap();
        assert_eq!((found.header, found.chain_after()), (frame.header, chain), "a header is right without its body");
        assert!(matches!(found.verify_body(), Err(DecodeError::Checksum { what: "records", .. })));
    }
}

/// The claim is not part of the content; each of its bits changes the checksum all the same.
#[test]
fn every_claim_has_a_checksum_of_its_own() {
    let (good, _) = encode_frame(Place::at(SALT, 128, 7, 1), &[Rec::plain(5, b"one")]);
    for bit in 0..32 {
        let mut changed = good.clone();
        changed[8 + bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(Frame::decode(&changed, SALT, START), Err(DecodeError::Checksum { .. })));
        for sum_bit in 0..32 {
            let mut twice = changed.clone();
            twice[4 + sum_bit / 8] ^= 1 << (sum_bit % 8);
            assert!(Frame::decode(&twice, SALT, START).is_err(), "bits {bit} and {sum_bit} do not cancel out");
        }
    }
}

#[test]
fn zeros_of_blocks_must_be_zero() {
    let producer = Some(Producer { id: 1, epoch: 2, base_sequence: 3 });
    let replication = Some(Replication { log_index: 4, leader_node: 5, kind: 6 });
    let place = Place { blocks: Blocks { producer, replication, ..Blocks::default() }, ..Place::at(SALT, 128, 7, 1) };
    let (good, _) = encode_frame(place, &[Rec::plain(5, b"one")]);
    assert_eq!(Frame::decode(&good, SALT, START).map(|frame| frame.blocks), Ok(place.blocks));
    for at in [74, 75, 93, 94, 95] {
        let stained = with_frame_field(&good, SALT, 128, 32, at, &[1]);
        assert_eq!(Frame::decode(&stained, SALT, START).unwrap_err(), DecodeError::Pad, "byte {at}");
    }
}

#[test]
fn equal_stains_do_not_cancel_out() {
    let store = StoreMeta { uuid: [7; 16], created: TimestampNs::new(1) }.encode();
    let stain = [&[1; 16][..], &[1; 16]].concat();
    assert_eq!(StoreMeta::decode(&with_field(&store, 40, &stain)), Err(DecodeError::Pad));
    let longer = [&store[..], &[0; 300]].concat();
    assert_eq!(StoreMeta::decode(&longer), Err(DecodeError::Trailing { bytes: 300 }));
}

#[test]
fn a_slot_that_ends_with_its_header_has_no_earlier_terms() {
    let golden = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/golden/CHECKPOINT")).unwrap();
    let checkpoint = Checkpoint { terms: Terms::default(), ..Checkpoint::decode(&golden[..SLOT_BYTES]).unwrap() };
    let header = &checkpoint.encode()[..FILE_HEADER_BYTES];
    assert_eq!(Checkpoint::decode(header), Ok(checkpoint));
    let counted = with_field(header, 108, &1u32.to_le_bytes());
    assert_eq!(Checkpoint::decode(&counted), Err(DecodeError::Field { what: "earlier_terms", found: 1 }));
    assert_eq!(Checkpoint::decode(&counted[..120]), Err(DecodeError::Truncated { needed: 128, found: 120 }));
}

/// Counters go around; of two that are half of them apart, neither is newer.
#[test]
fn the_newer_counter_is_the_one_that_follows() {
    let golden = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/golden/CHECKPOINT")).unwrap();
    let with = |counter| Checkpoint { counter, ..Checkpoint::decode(&golden[..SLOT_BYTES]).unwrap() };
    let check = |a: u64, b: u64, expected| assert_eq!((with(a).is_newer_than(&with(b)), with(b).is_newer_than(&with(a))), expected, "{a} {b}");
    check(8, 7, (true, false));
    check(7, 7, (false, false));
    check(0, u64::MAX, (true, false));
    check(u64::MAX, u64::MAX - 1, (true, false));
    check(i64::MAX as u64, 0, (true, false));
    check(1 << 63, 0, (false, false));
}

#[test]
fn a_glance_is_what_the_frame_says_unless_it_cannot_be_one() {
    let (good, _) = encode_frame(Place::at(SALT, 128, 7, 1), &[Rec::plain(5, b"one"), Rec::plain(6, b"two"), Rec::plain(6, b"three")]);
    let expected = Glance { stored_bytes: good.len(), base_offset: Offset::new(7), next_offset: Offset::new(10) };
    assert_eq!(glance(&good), Some(expected));
    assert_eq!((glance(&good[..64]), glance(&good[..63])), (Some(expected), None));
    let edited = |at: usize, bytes: &[u8]| {
        let mut changed = good.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        glance(&changed)
    };
    assert_eq!(edited(0, &[0; 4]), None, "no magic number, the length of a frame");
    assert_eq!((edited(56, &63u32.to_le_bytes()), edited(56, &(FRAME_BYTES_MAX + 1).to_le_bytes())), (None, None));
    let stored = |found: Option<Glance>| found.map(|found| found.stored_bytes);
    assert_eq!(stored(edited(56, &64u32.to_le_bytes())), Some(64));
    assert_eq!(stored(edited(56, &FRAME_BYTES_MAX.to_le_bytes())), Some(FRAME_BYTES_MAX as usize));
    assert_eq!(edited(16, &(u64::MAX - 2).to_le_bytes()), None);
    let taking_none = edited(48, &Attributes::NO_OFFSETS.0.to_le_bytes());
    assert_eq!(taking_none, Some(Glance { next_offset: Offset::new(7), ..expected }));
}

#[test]
fn a_seal_has_one_length_and_no_blocks() {
    let seal = Seal {
        salt: SALT,
        base_offset: Offset::new(7),
        next_offset: Offset::new(7),
        records: 0,
        max_ts: TimestampNs::new(i64::MIN),
        log_start: Offset::ZERO,
        first_epoch: LeaderEpoch::new(0),
        last_epoch: LeaderEpoch::new(0),
        chain_out: 3,
    };
    let good = seal.encode(START, NO_CLAIM);
    assert_eq!(decode_seal_at_end(&good, 256, None), Some((seal, START)), "of a segment without records");
    let frame = Frame::decode(&good, SALT, START).unwrap();
    let producer = Some(Producer { id: 0, epoch: 0, base_sequence: 0 });
    let blocks = Blocks { producer, ..Blocks::default() };
    for len in [48, 64] {
        let body = &good[64..64 + len];
        let attributes = frame.header.attributes.with(blocks.attributes());
        let header = FrameHeader { attributes, ..frame.header };
        let (bytes, _) = assemble(header, Place::at(SALT, 128, 7, 3), &blocks, body);
        let found = Seal::decode(&Frame::decode(&bytes, SALT, START).unwrap());
        assert_eq!(found, Err(DecodeError::Field { what: "seal length", found: len as u64 }));
    }
}

#[test]
fn a_scan_without_a_seal_is_not_sealed() {
    let (bytes, _) = encode_frame(Place::at(SALT, 128, 0, 0), &[Rec::plain(5, b"one")]);
    let mut scanner = Scanner::new(&bytes, START, SALT, Offset::ZERO, 0);
    assert_eq!((scanner.by_ref().count(), scanner.sealed()), (1, false));
}

#[test]
fn records_are_passed_by_their_length_alone() {
    let bytes = [0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0c];
    assert_eq!(RecordSpan::skip(&bytes, 0), Some(9), "whatever is in them");
    assert_eq!(RecordSpan::skip(&bytes[..9], 0), Some(9));
    assert_eq!((RecordSpan::skip(&bytes[..8], 0), RecordSpan::skip(&bytes, 9), RecordSpan::skip(&bytes, 10)), (None, None, None));
    assert_eq!(RecordSpan::skip(&[0x01], 0), None, "a length below zero");
    let numbered = [0x08, 0x07, 0x81, 0x01, 0x06, 0xff];
    assert_eq!((RecordSpan::skip_numbered(&numbered, 0, 3), RecordSpan::skip_numbered(&numbered, 0, 4)), (Some(5), None));
    assert_eq!((RecordSpan::skip_numbered(&numbered[..4], 0, 3), RecordSpan::skip_numbered(&numbered, 6, 3)), (None, None));
    let left_over = RecordView::decode(&[0x10, 0, 0, 0, 1, 1, 0, 0, 0], 0);
    assert_eq!(left_over, Err(DecodeError::Trailing { bytes: 2 }));
}

#[test]
fn a_record_is_appended_into_the_room_that_there_is() {
    let bytes = record_len(0, 0, Some(b"key"), Some(b"value"), &[]);
    let mut out = Vec::with_capacity(3 * bytes);
    for number in 1..=3 {
        assert_eq!(append_record(&mut out, usize::MAX, 0, 0, Some(b"key"), Some(b"value"), &[]), Ok(()));
        assert_eq!((out.len(), out.capacity()), (number * bytes, 3 * bytes));
    }
}

#[test]
fn the_widest_record_comes_back() {
    let mut out = Vec::new();
    append_record(&mut out, usize::MAX, i64::MIN, i32::MAX as u32, None, None, &[]).unwrap();
    let found = RecordView::decode(&out, 0).unwrap();
    assert_eq!((found.span.timestamp_delta_ms, found.span.offset_delta, found.span.end as usize), (i64::MIN, i32::MAX as u32, out.len()));
}

#[test]
fn a_value_of_a_whole_millisecond_is_none() {
    let read = |min| unpack_nano(&NanosBlock { width: 3, min, crc: 0 }, &[0xff], 0);
    assert_eq!((read(999_992), read(999_993)), (Some(999_999), None));
}

#[test]
fn limits_are_those_of_the_specification() {
    assert_eq!((BLOCKS_BYTES_MAX, NOTE_BYTES_MAX, FRAME_BYTES_MAX, SEGMENT_BYTES_MAX), (1_072, 1_024, 1 << 30, (4 << 30) - (4 << 10)));
}

#[test]
fn attributes_add_up() {
    let attributes = Attributes::NOTE.with(Attributes::NANOS);
    assert_eq!(attributes.with(Attributes::NOTE), attributes);
    assert_eq!(attributes.with_codec(Codec::Lz4).with_codec(Codec::Zstd), Attributes(attributes.0 | 4));
    assert_eq!(Attributes(u32::MAX).with_codec(Codec::None), Attributes(u32::MAX << 3));
}

#[test]
fn an_offset_past_the_last_is_none() {
    let last = Offset::new(OFFSET_MAX);
    assert_eq!(Offset::new(40).checked_add(2), Some(Offset::new(42)));
    assert_eq!((Offset::new(OFFSET_MAX - 1).checked_add(1), last.checked_add(0)), (Some(last), Some(last)));
    assert_eq!((last.checked_add(1), last.checked_add(u64::MAX)), (None, None));
}

#[test]
fn behind_the_last_term_there_is_none() {
    let next = |epoch| LeaderEpoch::new(epoch).next().get();
    assert_eq!((next(0), next(41), next(EPOCH_MAX - 1), next(EPOCH_MAX)), (1, 42, EPOCH_MAX, EPOCH_MAX));
}

#[test]
fn a_name_is_none_of_the_names_that_mean_directories() {
    assert!(!is_name(".") && !is_name("..") && is_name("...") && is_name(&"x".repeat(NAME_BYTES_MAX)));
    assert_eq!(SegmentId { base_offset: 42, seq: 7 }.base(), Offset::new(42));
}

#[test]
fn an_error_says_what_was_expected_and_what_was_found() {
    let check = |error: DecodeError, text: &str| assert_eq!(error.to_string(), text);
    check(DecodeError::Truncated { needed: 64, found: 3 }, "needs 64 bytes, 3 are there");
    check(DecodeError::Magic { expected: 0x10, found: 0xff }, "magic number 0xff instead of 0x10");
    check(DecodeError::Checksum { what: "records", expected: 1, found: 0xab }, "records checksum 000000ab instead of the stored 00000001");
    check(DecodeError::Version { found: 2, supported: 1 }, "format version 2; this program reads up to 1");
    check(DecodeError::Incompatible { bits: 16 }, "unknown feature bits 0x10");
    check(DecodeError::Field { what: "seq", found: 0 }, "field seq holds the impossible value 0");
    check(DecodeError::Trailing { bytes: 5 }, "5 bytes left over after the last field");
    check(DecodeError::Pad, "padding is not zero");
}
