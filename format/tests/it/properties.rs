//! Random values through the codecs and back, and random bytes through the scanner.

use proptest::prelude::*;
use tidelog_format::*;

use crate::support::{Place, Rec, encode_frame, encode_records};

proptest! {
    #[test]
    fn varints_come_back(value in any_i64(), before in prop::collection::vec(any::<u8>(), 0..4)) {
        let len = varint_len(value);
        prop_assert!((1..=10).contains(&len));
        let mut bytes = [&before[..], &[0; 10]].concat();
        let end = put_varint(&mut bytes, before.len(), value);
        prop_assert_eq!(end, before.len() + len);
        prop_assert_eq!(get_varint(&bytes, before.len()), Ok((value, end)));
        let cut = get_varint(&bytes[..end - 1], before.len());
        prop_assert!(matches!(cut, Err(DecodeError::Truncated { .. })), "{:?}", cut);
    }

    #[test]
    fn timestamps_come_back(ts in any_i64()) {
        let ts = TimestampNs::new(ts);
        prop_assert!(ts.sub_millis() < 1_000_000);
        prop_assert_eq!(TimestampNs::from_parts(ts.millis(), ts.sub_millis()), ts);
    }

    #[test]
    fn nanos_come_back(values in any_nanos(), before in prop::collection::vec(any::<u8>(), 0..4)) {
        let mut out = before.clone();
        let equal = values.windows(2).all(|pair| pair[0] == pair[1]);
        match pack_nanos(&values, &mut out) {
            None => prop_assert!(equal && out == before),
            Some(block) => {
                let packed = &out[before.len()..];
                prop_assert!(!equal && (1..=20).contains(&block.width));
                prop_assert_eq!(packed.len(), packed_bytes(block.width, values.len() as u32));
                prop_assert_eq!(block.crc, crc32(packed));
                for (index, &value) in values.iter().enumerate() {
                    prop_assert_eq!(unpack_nano(&block, packed, index as u32), Some(value));
                    prop_assert_eq!(bit_by_bit(&block, packed, index), value);
                }
                prop_assert_eq!(unpack_nano(&block, packed, 8 * packed.len() as u32), None);
            }
        }
    }

    #[test]
    fn frames_and_their_records_come_back(place in any_place(), records in any_records()) {
        let (durable, place, records) = (place.durable, place.borrowed(), borrowed(&records));
        let (bytes, chain) = encode_frame(place, &records);
        prop_assert_eq!(bytes.len() % 8, 0);
        let frame = Frame::decode(&bytes, place.salt, Position::new(place.position)).unwrap();
        prop_assert_eq!(frame.verify_body(), Ok(()));
        prop_assert_eq!(frame.chain_after(), chain);
        prop_assert_eq!(frame.header.stored_bytes(), bytes.len());
        prop_assert_eq!(frame.header.next_offset().get(), place.base_offset + records.len() as u64);
        prop_assert_eq!(frame.header.max_ts.get(), records.iter().map(|record| record.ts).max().unwrap());
        prop_assert_eq!(frame.header.durable_position(Position::new(place.position)).map(Position::get), durable);
        prop_assert_eq!(Blocks { nanos: None, ..frame.blocks }, place.blocks);
        prop_assert_eq!(frame.header.attributes.contains(Attributes::HAS_TOMBSTONE), records.iter().any(|record| record.value.is_none()));
        prop_assert_eq!(count_records(frame.records), Ok((records.len() as u32, Some(records.len() as u32 - 1))));
        let mut at = 0;
        for (index, record) in records.iter().enumerate() {
            let found = RecordView::decode(frame.records, at).unwrap();
            at = found.span.end as usize;
            prop_assert_eq!(found.span.offset_delta as usize, index);
            prop_assert_eq!(frame.record_timestamp(index as u32, found.span.timestamp_delta_ms), Some(TimestampNs::new(record.ts)));
            prop_assert_eq!((found.key(), found.value()), (record.key, record.value));
            prop_assert_eq!(found.headers().collect::<Vec<_>>(), record.headers.clone());
            prop_assert_eq!(found.headers().len(), record.headers.len());
        }
        prop_assert_eq!(at, frame.records.len());
    }

    #[test]
    fn a_record_is_read_number_by_number(
        records in any_records(),
        at in any::<prop::sample::Index>(),
        changes in prop::collection::vec((prop_oneof![0usize..8, 0usize..24], prop_oneof![any::<u8>(), 0u8..6, 0x7eu8..0x84]), 0..4),
        behind in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let (mut bytes, ..) = encode_records(&borrowed(&records));
        let starts: Vec<_> = std::iter::successors(Some(0), |&at| RecordSpan::skip(&bytes, at)).collect();
        let at = starts[at.index(records.len())];
        bytes.extend(behind);
        for (index, byte) in changes {
            if let Some(place) = bytes.get_mut(at + index) {
                *place = byte;
            }
        }
        prop_assert_eq!(as_parts(&bytes, at), number_by_number(&bytes, at));
        // Whatever stands behind it, if anything does.
        if let Ok(found) = RecordSpan::decode(&bytes, at) {
            prop_assert_eq!(RecordSpan::decode(&bytes[..found.end as usize], at), Ok(found));
        }
    }

    #[test]
    fn a_frame_of_one_record_is_read_in_one_go(place in any_place(), records in any_records(), plain in any::<bool>(), time in any::<bool>()) {
        let mut place = place.borrowed();
        if plain {
            place.blocks = Blocks::default();
        }
        let mut records = borrowed(&records[..1]);
        if time {
            records[0].ts = 5;
        }
        let (bytes, _) = encode_frame(place, &records);
        let position = Position::new(place.position);
        let frame = Frame::decode(&bytes, place.salt, position).unwrap();
        let single = Single::decode(&bytes, place.salt, position);
        prop_assert_eq!(single.is_some(), place.blocks == Blocks::default() && bytes.len() <= SMALL_FRAME_BYTES_MAX as usize);
        if let Some(single) = single {
            let span = RecordSpan::decode(frame.records, 0).unwrap();
            prop_assert_eq!((single.offset, single.leader_epoch), (frame.header.base_offset, frame.header.leader_epoch));
            prop_assert_eq!((single.records, single.span, single.stored_bytes), (frame.records, span, bytes.len()));
            prop_assert_eq!(Some(single.timestamp), frame.record_timestamp(0, span.timestamp_delta_ms));
        }
        for len in 0..bytes.len() {
            prop_assert_eq!(Single::decode(&bytes[..len], place.salt, position), None);
        }
        prop_assert_eq!(Single::decode(&bytes, place.salt ^ 1, position).or(Single::decode(&bytes, place.salt, Position::new(place.position ^ 8))), None);
    }

    #[test]
    fn a_frame_is_right_at_one_place_only(place in any_place(), records in any_records(), salt in 1u64.., position in any::<u32>()) {
        let place = place.borrowed();
        let (bytes, _) = encode_frame(place, &borrowed(&records));
        let elsewhere = u64::from(position) * 8;
        for (salt, position) in [(salt, place.position), (place.salt, elsewhere), (salt, elsewhere)] {
            prop_assume!((salt, position) != (place.salt, place.position));
            let found = Frame::decode(&bytes, salt, Position::new(position));
            prop_assert!(matches!(found, Err(DecodeError::Checksum { what: "frame header", .. })), "{:?}", found);
        }
        for len in 0..bytes.len() {
            let found = Frame::decode(&bytes[..len], place.salt, Position::new(place.position));
            prop_assert!(matches!(found, Err(DecodeError::Truncated { needed, found }) if needed > len && found == len), "{:?}", found);
        }
    }

    #[test]
    fn a_flipped_bit_never_gives_another_frame(place in any_place(), records in any_records(), byte in any::<prop::sample::Index>(), bit in 0u8..8) {
        let place = place.borrowed();
        let (mut bytes, _) = encode_frame(place, &borrowed(&records));
        let position = Position::new(place.position);
        let index = byte.index(bytes.len());
        bytes[index] ^= 1 << bit;
        prop_assert_eq!(next_frame(&bytes, place.salt, position, Offset::new(place.base_offset), place.chain).ok(), None);
        prop_assert_eq!(Single::decode(&bytes, place.salt, position), None);
        prop_assert_eq!(resync(&bytes, position, place.salt, Offset::ZERO, Offset::new(OFFSET_MAX)), None);
    }

    #[test]
    fn seals_come_back(seal in any_seal(), position in any_position(), durable_back in any::<u32>()) {
        let bytes = seal.encode(Position::new(position), durable_back);
        let file_len = position + SEAL_BYTES as u64;
        for salt in [Some(seal.salt), None] {
            prop_assert_eq!(decode_seal_at_end(&bytes, file_len, salt), Some((seal, Position::new(position))));
        }
        prop_assert_eq!(decode_seal_at_end(&bytes, file_len, Some(seal.salt ^ 1)), None);
        prop_assert_eq!(decode_seal_at_end(&bytes[1..], file_len, None), None);
        let mut scanner = Scanner::new(&bytes, Position::new(position), seal.salt, seal.next_offset, seal.chain_out);
        prop_assert_eq!(scanner.next().map(|found| Seal::decode(&found.frame)), Some(Ok(seal)));
        prop_assert!(scanner.sealed() && scanner.next().is_none());
        prop_assert_eq!((scanner.next_offset(), scanner.chain_after()), (seal.next_offset, seal.chain_out));
    }

    #[test]
    fn indexes_come_back(header in any_index_header(), entries in prop::collection::vec((any::<u32>(), any::<u32>(), any::<i64>()), 0..600)) {
        let entry = |&(rel_offset, position, ts)| IndexEntry { rel_offset, position, max_ts_before: TimestampNs::new(ts) };
        let entries: Vec<_> = entries.iter().map(entry).collect();
        let bytes = encode_index(header, &entries);
        prop_assert_eq!(bytes.len(), index_bytes(entries.len()));
        prop_assert_eq!(IndexHeader::decode(&bytes), Ok(IndexHeader { entries: entries.len() as u32, ..header }));
        let mut found = Vec::new();
        let mut number = 0;
        while let Some((position, len)) = index_block_at(entries.len() as u32, number) {
            let block = IndexBlock::decode(&bytes[position.get() as usize..][..len], header.salt, number).unwrap();
            prop_assert!(!block.is_empty() && block.len() <= ENTRIES_PER_BLOCK);
            prop_assert!((0..block.len()).map(|index| block.entry(index).unwrap()).eq(block.entries()));
            found.extend(block.entries());
            number += 1;
        }
        prop_assert_eq!(found, entries);
    }

    #[test]
    fn file_headers_come_back(header in any_segment_header(), checkpoint in any_checkpoint(), meta in any_meta(), topic in any_topic()) {
        prop_assert_eq!(SegmentHeader::decode(&header.encode()), Ok(header));
        prop_assert_eq!(Checkpoint::decode(&checkpoint.encode()), Ok(checkpoint));
        prop_assert_eq!(Meta::decode(&meta.encode()), Ok(meta));
        prop_assert_eq!(TopicMeta::decode(&topic.encode()), Ok(topic));
    }

    #[test]
    fn terms_say_what_each_of_them_says(
        noted in prop::collection::vec((0u32..60, 0u64..60), 1..40),
        log_start in 0u64..40,
        (epoch, offset) in (0u32..60, 0u64..60),
    ) {
        let of = |&(epoch, start): &(u32, u64)| Term { epoch: epoch.into(), start: start.into() };
        let mut terms = Terms::new(of(&noted[0]));
        let mut is_complete = true;
        for term in &noted[1..] {
            is_complete &= terms.as_slice().len() < TERMS_MAX;
            terms.note(of(term));
        }
        prop_assert!(terms.as_slice().windows(2).all(|pair| pair[0].epoch < pair[1].epoch && pair[0].start < pair[1].start));
        prop_assert_eq!(terms.newest().epoch.get(), noted.iter().map(|(epoch, _)| *epoch).max().unwrap());
        let is_dead = noted.iter().any(|&(later, start)| later > epoch && start <= offset);
        let mut forgetful = terms;
        forgetful.forget_below(log_start.into());
        for (terms, from) in [(terms, 0), (forgetful, log_start)] {
            let said = terms.is_dead(epoch.into(), offset.into());
            if offset >= from {
                prop_assert!(said == is_dead || !is_complete && !said, "{terms:?}");
            }
        }
    }

    #[test]
    fn names_come_back(base_offset in 0..=OFFSET_MAX, seq in 1..=SEQ_MAX, text in "[A-Za-z0-9.+-]{0,40}") {
        let id = SegmentId { base_offset, seq };
        prop_assert_eq!(FileName::parse(&id.log_name()), Some(FileName::Log(id)));
        prop_assert_eq!(FileName::parse(&id.index_name()), Some(FileName::Index(id)));
        prop_assert_eq!(FileName::parse(&format!("{}.tmp", id.log_name())), Some(FileName::Temporary));
        prop_assert_eq!(FileName::parse(&SegmentId::spare_name(seq)), Some(FileName::Spare(seq)));
        prop_assert_eq!(FileName::parse(&FileName::report_name(base_offset)), Some(FileName::Report(base_offset)));
        prop_assert_eq!(FileName::parse(&text), None);
    }

    #[test]
    fn random_bytes_are_no_frames(bytes in prop::collection::vec(any::<u8>(), 0..2048), salt in 1u64..) {
        let mut scanner = Scanner::new(&bytes, Position::new(128), salt, Offset::ZERO, 0);
        prop_assert_eq!(scanner.next(), None);
        prop_assert_eq!(scanner.reached(), Position::new(128));
        prop_assert_eq!(scanner.fault() == Some(Fault::End), bytes.iter().all(|&byte| byte == 0));
        prop_assert_eq!(resync(&bytes, Position::new(128), salt, Offset::ZERO, Offset::new(OFFSET_MAX)), None);
    }

    #[test]
    fn a_scan_of_a_damaged_log_gives_a_prefix_of_it(
        records in prop::collection::vec(any_records(), 1..8),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        len in any::<prop::sample::Index>(),
        zeros in 0usize..64,
    ) {
        let (mut log, frames) = log_of(&records);
        let whole = log.clone();
        log.truncate(len.index(log.len() + 1));
        log.resize(log.len() + zeros, 0);
        for (at, byte) in damage {
            if let Some(at) = (!log.is_empty()).then(|| at.index(log.len())) {
                log[at] = byte;
            }
        }
        let same = log.iter().zip(&whole).take_while(|(a, b)| a == b).count() as u64;
        let intact = frames.iter().filter(|(_, end)| end - 128 <= same).count();
        let mut scanner = Scanner::new(&log, Position::new(128), SALT, Offset::ZERO, 0);
        let found: Vec<_> = scanner.by_ref().map(|found| found.position.get()).collect();
        prop_assert_eq!(&found, &frames[..intact].iter().map(|(start, _)| *start).collect::<Vec<_>>());
        let end = intact.checked_sub(1).map_or(128, |last| frames[last].1);
        prop_assert_eq!(scanner.reached().get(), end);
        let zero = log[(end - 128) as usize..].iter().all(|&byte| byte == 0);
        for durable in [None, Some(end), Some(end + 8)] {
            let damaged = durable.is_some_and(|durable| durable > end);
            let found = scanner.end(durable.map(Position::new));
            prop_assert_eq!(matches!(found, ScanEnd::Corrupt { .. }), damaged);
            prop_assert_eq!(matches!(found, ScanEnd::Clean { .. }), !damaged && zero);
        }
    }

    #[test]
    fn resync_finds_the_next_whole_frame_that_fits(records in prop::collection::vec(any_records(), 2..8), hit in any::<prop::sample::Index>()) {
        let (mut log, frames) = log_of(&records);
        let hit = hit.index(frames.len());
        let (start, end) = frames[hit];
        log[(start - 128) as usize + 20] ^= 1;
        let first: u64 = records[..hit].iter().map(|records| records.len() as u64).sum();
        let behind = first + records[hit].len() as u64;
        let from = Position::new(start);
        let rest = &log[(start - 128) as usize..];
        let last = Offset::new(OFFSET_MAX);
        let found = resync(rest, from, SALT, Offset::new(first), last);
        prop_assert_eq!(found.map(|found| (found.position.get(), found.frame.header.base_offset.get())), (hit + 1 < frames.len()).then_some((end, behind)));
        // Frames outside the offsets that are missing are none.
        prop_assert_eq!(resync(rest, from, SALT, Offset::new(first), Offset::new(behind)), None);
        let later = resync(rest, from, SALT, Offset::new(behind + 1), last);
        prop_assert_eq!(later.map(|found| found.position.get()), frames.get(hit + 2).map(|(start, _)| *start));
    }
}

#[test]
fn each_byte_of_a_record_counts() {
    let header = Header { name: "h", value: None };
    let long = [7; 70];
    for (key, value, headers) in
        [(None, Some(&long[..]), &[][..]), (Some(&long[..65]), Some(&b"value"[..]), &[]), (Some(b"k"), Some(b"v"), &[header])]
    {
        let mut bytes = vec![0; record_len(200, 100, key, value, headers)];
        encode_record(&mut bytes, 0, 200, 100, key, value, headers);
        bytes.extend([0x81, 1, 0, 0, 0x81, 0x81, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        for place in 0..bytes.len() - 1 {
            for byte in 0..=u8::MAX {
                for next in [bytes[place + 1], 0, 0x80, 0x81, 0xff] {
                    let mut changed = bytes.clone();
                    (changed[place], changed[place + 1]) = (byte, next);
                    assert_eq!(as_parts(&changed, 0), number_by_number(&changed, 0), "{byte:#x} and {next:#x} at {place} of {bytes:02x?}");
                }
            }
        }
    }
}

/// The parts of a record: its end, its two deltas, key, value, headers.
type Parts<'a> = (usize, i64, u32, Option<&'a [u8]>, Option<&'a [u8]>, Vec<Header<'a>>);

/// Those of the record at `at`, if it is one.
fn as_parts(bytes: &[u8], at: usize) -> Option<Parts<'_>> {
    let found = RecordView::decode(bytes, at).ok()?;
    let RecordSpan { end, timestamp_delta_ms, offset_delta, .. } = found.span;
    Some((end as usize, timestamp_delta_ms, offset_delta, found.key(), found.value(), found.headers().collect()))
}

/// The same, as Kafka's documentation has it.
fn number_by_number(bytes: &[u8], at: usize) -> Option<Parts<'_>> {
    let (len, body) = get_varint(bytes, at).ok()?;
    let end = body.checked_add(usize::try_from(len).ok()?)?;
    let record = bytes.get(..end)?;
    let mut next = body + 1;
    let mut number = |skip: i64| {
        let (number, after) = get_varint(record, next + skip as usize).ok()?;
        next = after;
        Some((number, after))
    };
    let ((timestamp_delta, _), (offset_delta, _)) = (number(0)?, number(0)?);
    let offset_delta = i32::try_from(offset_delta).ok()?.try_into().ok()?;
    let mut skip = 0;
    let mut part = || {
        let (len, from) = number(skip)?;
        skip = len.max(0);
        let is_length = (-1..=i32::MAX.into()).contains(&len);
        is_length.then_some(())?;
        if len < 0 { Some(None) } else { record.get(from..from + len as usize).map(Some) }
    };
    let (key, value) = (part()?, part()?);
    let (count, mut after) = number(skip)?;
    let count = u32::try_from(count).ok()?;
    let mut headers = Vec::new();
    for _ in 0..count {
        let mut part = || {
            let (len, from) = get_varint(record, after).ok()?;
            let found = if len == -1 { None } else { Some(record.get(from..from.checked_add(i32::try_from(len).ok()?.try_into().ok()?)?)?) };
            after = from + found.map_or(0, <[u8]>::len);
            Some(found)
        };
        let (name, value) = (part()??, part()?);
        headers.push(Header { name: std::str::from_utf8(name).ok()?, value });
    }
    (after == end).then_some((end, timestamp_delta, offset_delta, key, value, headers))
}

const SALT: u64 = 0x5a17;

/// Frames from position 128 on, and where each begins and ends.
fn log_of(batches: &[Vec<OwnedRecord>]) -> (Vec<u8>, Vec<(u64, u64)>) {
    let (mut log, mut frames, mut offset, mut chain) = (Vec::new(), Vec::new(), 0, 0);
    for records in batches {
        let position = 128 + log.len() as u64;
        let (bytes, next_chain) = encode_frame(Place::at(SALT, position, offset, chain), &borrowed(records));
        log.extend(&bytes);
        frames.push((position, position + bytes.len() as u64));
        offset += records.len() as u64;
        chain = next_chain;
    }
    (log, frames)
}

/// The packed value as SPEC.md describes it, one bit at a time.
fn bit_by_bit(block: &NanosBlock, packed: &[u8], index: usize) -> u32 {
    let width = usize::from(block.width);
    let bits = (0..width).map(|bit| index * width + bit).map(|n| packed[n / 8] >> (n % 8) & 1);
    bits.enumerate().fold(block.min, |sum, (place, bit)| sum + (u32::from(bit) << place))
}

fn any_i64() -> impl Strategy<Value = i64> {
    prop_oneof![
        any::<i64>(),
        -70_000_000i64..70_000_000,
        (0u32..63).prop_map(|bit| 1 << bit),
        (0u32..63).prop_map(|bit| -(1 << bit)),
        Just(i64::MIN),
        Just(i64::MAX)
    ]
}

fn any_nanos() -> impl Strategy<Value = Vec<u32>> {
    (0u32..1_000_000, 1u32..1_000_000).prop_flat_map(|(min, spread)| prop::collection::vec(min..=min.saturating_add(spread).min(999_999), 0..100))
}

#[derive(Debug, Clone)]
struct OwnedRecord {
    ts: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

fn any_records() -> impl Strategy<Value = Vec<OwnedRecord>> {
    let bytes = || prop::option::of(prop::collection::vec(any::<u8>(), 0..80));
    let headers = prop::collection::vec((".{0,8}", bytes()), 0..3);
    let ts = prop_oneof![any_i64(), 1_700_000_000_000_000_000i64..1_700_000_000_003_000_000, (0i64..5).prop_map(|ms| ms * 1_000_000)];
    let record = (ts, bytes(), bytes(), headers).prop_map(|(ts, key, value, headers)| OwnedRecord { ts, key, value, headers });
    prop::collection::vec(record, 1..20)
}

fn borrowed(records: &[OwnedRecord]) -> Vec<Rec<'_>> {
    records
        .iter()
        .map(|OwnedRecord { ts, key, value, headers }| Rec {
            ts: *ts,
            key: key.as_deref(),
            value: value.as_deref(),
            headers: headers.iter().map(|(name, value)| Header { name, value: value.as_deref() }).collect(),
        })
        .collect()
}

#[derive(Debug, Clone)]
struct OwnedPlace {
    salt: u64,
    position: u64,
    base_offset: u64,
    chain: u32,
    durable: Option<u64>,
    leader_epoch: u32,
    producer: Option<Producer>,
    replication: Option<Replication>,
    note: Option<Vec<u8>>,
}

impl OwnedPlace {
    fn borrowed(&self) -> Place<'_> {
        let blocks = Blocks { producer: self.producer, replication: self.replication, nanos: None, note: self.note.as_deref() };
        let durable_back = self.durable.map_or(NO_CLAIM, |durable| ((self.position - durable) / 8) as u32);
        let Self { salt, position, base_offset, chain, leader_epoch, .. } = *self;
        Place { salt, position, base_offset, chain, durable_back, leader_epoch, blocks }
    }
}

fn any_position() -> impl Strategy<Value = u64> {
    (16u64..SEGMENT_BYTES_MAX / 8).prop_map(|units| units * 8)
}

fn any_place() -> impl Strategy<Value = OwnedPlace> {
    let producer = (any::<i64>(), any::<i16>(), any::<i32>()).prop_map(|(id, epoch, base_sequence)| Producer { id, epoch, base_sequence });
    let replication =
        (any::<u64>(), any::<u32>(), any::<u8>()).prop_map(|(log_index, leader_node, kind)| Replication { log_index, leader_node, kind });
    let note = prop_oneof![prop::collection::vec(any::<u8>(), 0..40), prop::collection::vec(any::<u8>(), NOTE_BYTES_MAX - 8..=NOTE_BYTES_MAX)];
    let blocks = (prop::option::of(producer), prop::option::of(replication), prop::option::of(note));
    let offset = prop_oneof![0..1000u64, OFFSET_MAX - 1000..=OFFSET_MAX - 20];
    let place = (1u64.., any_position(), offset, any::<u32>(), prop::option::of(0.0..=1.0), 0..=EPOCH_MAX);
    (place, blocks).prop_map(|((salt, position, base_offset, chain, durable, leader_epoch), (producer, replication, note))| {
        let durable = durable.map(|share: f64| (position as f64 * share / 8.0) as u64 * 8);
        OwnedPlace { salt, position, base_offset, chain, durable, leader_epoch, producer, replication, note }
    })
}

fn any_offset() -> impl Strategy<Value = Offset> {
    (0..=OFFSET_MAX).prop_map(Offset::new)
}

fn any_epoch() -> impl Strategy<Value = LeaderEpoch> {
    (0..=EPOCH_MAX).prop_map(LeaderEpoch::new)
}

fn any_seal() -> impl Strategy<Value = Seal> {
    (1u64.., any_offset(), any_offset(), any::<u64>(), any::<i64>(), any_offset(), any_epoch(), any_epoch(), any::<u32>()).prop_map(
        |(salt, a, b, records, max_ts, log_start, first_epoch, last_epoch, chain_out)| Seal {
            salt,
            base_offset: a.min(b),
            next_offset: a.max(b),
            records,
            max_ts: TimestampNs::new(max_ts),
            log_start,
            first_epoch,
            last_epoch,
            chain_out,
        },
    )
}

fn any_index_header() -> impl Strategy<Value = IndexHeader> {
    (any_seal(), any::<u64>(), any::<u64>(), any::<bool>()).prop_map(|(seal, seq, covered, sealed)| IndexHeader {
        salt: seal.salt,
        base_offset: seal.base_offset,
        seq,
        entries: 0,
        covered: Position::new(covered),
        next_offset: seal.next_offset,
        records: seal.records,
        max_ts: seal.max_ts,
        chain: seal.chain_out,
        sealed,
    })
}

fn any_segment_header() -> impl Strategy<Value = SegmentHeader> {
    let rewrite = prop::option::of(1..=OFFSET_MAX);
    (any_seal(), any::<[u8; 16]>(), 1..=SEQ_MAX, 16..=SEGMENT_BYTES_MAX / 8, rewrite, any::<u32>()).prop_map(
        |(seal, partition_uuid, seq, units, rewrite, flags)| {
            let base_offset = rewrite.map_or(seal.next_offset, |end| Offset::new(end - 1));
            SegmentHeader {
                partition_uuid,
                base_offset,
                prev_end: rewrite.map_or(seal.base_offset, |_| base_offset),
                rewrite_end: rewrite.map(Offset::new),
                seq,
                salt: seal.salt,
                created: seal.max_ts,
                capacity: units * 8,
                leader_epoch: seal.first_epoch,
                epoch_start: seal.log_start,
                log_start: seal.base_offset,
                chain_seed: seal.chain_out,
                flags,
            }
        },
    )
}

fn any_term() -> impl Strategy<Value = Term> {
    (0..=EPOCH_MAX, any_offset()).prop_map(|(epoch, start)| Term { epoch: LeaderEpoch::new(epoch), start })
}

fn any_terms() -> impl Strategy<Value = Terms> {
    (any_term(), prop::collection::vec(any_term(), 0..2 * TERMS_MAX)).prop_map(|(first, others)| {
        let mut terms = Terms::new(first);
        others.into_iter().for_each(|term| terms.note(term));
        terms
    })
}

fn any_checkpoint() -> impl Strategy<Value = Checkpoint> {
    (any_seal(), any::<[u8; 16]>(), any::<u64>(), 0..=SEQ_MAX, 0..=SEGMENT_BYTES_MAX / 8, any_offset(), any_terms()).prop_map(
        |(seal, partition_uuid, counter, active_seq, units, high_water_mark, terms)| Checkpoint {
            counter,
            partition_uuid,
            log_start: seal.base_offset,
            durable_next_offset: seal.next_offset,
            active_seq,
            active_salt: seal.salt,
            tail_pos: Position::new(units * 8),
            tail_chain: seal.chain_out,
            max_ts: seal.max_ts,
            high_water_mark,
            terms,
        },
    )
}

fn any_meta() -> impl Strategy<Value = Meta> {
    let name = || "[A-Za-z0-9_-][A-Za-z0-9._-]{0,40}";
    (any::<(u32, u32, [u8; 16], i64, u32)>(), [1u32.., 1.., 1..], name(), name()).prop_map(
        |((compat, ro_compat, uuid, created, index), mut ring, namespace, topic)| {
            ring.sort_unstable();
            let [range_start, range_stop, ring_size] = ring;
            let created = TimestampNs::new(created);
            Meta { compat, ro_compat, uuid, created, index, ring_size, range_start: range_start - 1, range_stop, namespace, topic }
        },
    )
}

/// Begins with one partition; each pair of numbers splits one of those that there are by then.
fn any_topic() -> impl Strategy<Value = TopicMeta> {
    let splits = prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<bool>()), 0..40);
    (any::<([u8; 16], i64)>(), 1u32..=32_768, splits).prop_map(|((uuid, created), ring_size, splits)| {
        let created = TimestampNs::new(created);
        let entry = |range_start, range_stop, made| PartitionEntry { uuid, created, range_start, range_stop, split: 0..0, made };
        let mut partitions = vec![entry(0, ring_size, false)];
        for (which, at, made) in splits {
            let (number, count) = (which.index(partitions.len()), partitions.len() as u32);
            let split = &mut partitions[number];
            let (start, stop) = (split.range_start, split.range_stop);
            if split.is_active() && stop - start >= 2 {
                split.split = count..count + 2;
                let at = start + 1 + at.index((stop - start - 1) as usize) as u32;
                partitions.extend([entry(start, at, made), entry(at, stop, !made)]);
            }
        }
        TopicMeta { uuid, created, ring_size, partitions }
    })
}
