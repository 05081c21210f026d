//! Directories that neither a writer nor damage makes, found by fuzzing: right checksums over statements that contradict each other. Whatever
//! they say, no offset is served or given out twice, and what one open serves, the next one does.

use std::fs;
use std::path::{Path, PathBuf};

use tidelog::{AckLevel, CutError, Found, OpenError, ReadError, Record, RecordBatch, Start, TopicError};
use tidelog_format::{
    Attributes, CHECKPOINT_NAME, Checkpoint, Codec, EPOCH_MAX, FRAME_HEADER_BYTES, Frame, FrameHeader, LeaderEpoch, Offset, Position,
    SEGMENT_HEADER_BYTES, SEQ_MAX, SLOT_BYTES, SegmentHeader, SegmentId, TimestampNs, get_varint, padded,
};

use crate::support::{
    Durable, Lab, Segment, append, append_batch, assert_same, copy_tree, fingerprint, options, partition, ranges, read_all, tempdir,
};

#[test]
fn records_behind_the_offsets_of_their_batch_are_not_handed_out() {
    let lab = Lab::closed(|partition, oracle| append_batch(partition, oracle, 3, 100, AckLevel::Durable));
    lab.remove_indexes();
    let segment = &lab.segments()[0];
    segment.rewrite_header(segment.frame_of(0), |header| (header.last_offset_delta, header.record_count) = (1, 2));
    fs::remove_file(lab.dir().join(CHECKPOINT_NAME)).unwrap();
    let (_store, partition) = lab.open();
    assert_eq!(partition.log_end_offset(), 2);
    let (records, _) = read_all(partition.view());
    assert_same(&records, &lab.readable(&[], 2), "forwards");
    let backwards: Vec<u64> = partition.read_backwards(2).unwrap().filter_map(|record| Some(record.ok()?.offset().get())).collect();
    assert_eq!(backwards, [1, 0]);
    let batch = partition.view().read_from(0).unwrap().next_batch().unwrap().unwrap();
    let borrowed: Vec<u64> = batch.records().filter_map(|record| Some(record.ok()?.offset().get())).collect();
    assert_eq!(borrowed, [0, 1]);
}

/// A record that stands alone, and says that it is another one, is not handed out in that one's place or its own.
#[test]
fn a_single_record_of_another_offset_is_not_handed_out() {
    for (offset, claimed) in [(5, 4), (5, 0), (5, 1000)] {
        let lab = Lab::closed(|partition, oracle| append(partition, oracle, 10, 100, AckLevel::Durable));
        let segment = &lab.segments()[0];
        segment.rewrite_header(segment.frame_of(offset), |header| header.base_offset = Offset::new(claimed));
        let (_store, partition) = lab.open();
        let (mut reader, mut found) = (partition.read_from(0).unwrap(), Vec::new());
        while let Some(record) = reader.next_ref() {
            match record {
                Ok(record) => found.push(record.offset().get()),
                Err(error) => {
                    assert!(matches!(&error, ReadError::Corrupt { from, to, .. } if (from.get(), to.get()) == (offset, offset + 1)), "{error}")
                }
            }
        }
        assert!(found.into_iter().eq((0..10).filter(|number| *number != offset)), "{offset} as {claimed}");
        assert_same(&read_all(partition.view()).0, &lab.readable(&[(offset, offset + 1)], 10), "owned");
    }
}

/// Nine batches of three, at 0, 1, 2, 10, 11, 12, 20 .. milliseconds, of which the one at offset 12 cannot be read, though its checksum is right.
fn check_search_for_a_time(spoil: impl Fn(&mut [u8], &mut FrameHeader), is_expected: impl Fn(&ReadError) -> bool) {
    let time = |ms: i64| TimestampNs::new(ms * 1_000_000);
    let lab = Lab::closed(|partition, _| {
        for number in 0..9 {
            let mut batch = RecordBatch::new();
            (0..3).for_each(|at| batch.push(&Record::new("v").timestamp(time(number * 10 + at))).unwrap());
            partition.append_batch(&batch, AckLevel::Durable).unwrap();
        }
    });
    let segment = &lab.segments()[0];
    let spot = segment.frame_of(12);
    let (at, salt, position) = (spot.position as usize, segment.header.salt, Position::new(spot.position));
    segment.edit(|bytes| {
        let mut header = Frame::decode(&bytes[at..], salt, position).unwrap().header;
        spoil(&mut bytes[at + FRAME_HEADER_BYTES..], &mut header);
        header.encode_into(&mut bytes[at..], salt, position);
    });
    let (_store, partition) = lab.open();
    for (ms, expected) in [(31, 10), (33, 12), (41, 12), (42, 12), (43, 15), (50, 15)] {
        assert_eq!(partition.view().offset_for_time(time(ms)).unwrap(), Some(Offset::new(expected)), "{ms} ms");
    }
    let told = partition.view().read(Start::Time(time(42))).unwrap().next().unwrap();
    assert!(told.as_ref().is_err_and(is_expected), "{told:?}");
    partition.delete_prefix(14).unwrap();
    assert_eq!(partition.view().offset_for_time(time(0)).unwrap(), Some(Offset::new(14)), "not before the log begins");
}

/// A search for a time ends at what cannot be read and has it, and passes by what is of before.
#[test]
fn a_search_for_a_time_does_not_pass_what_cannot_be_read() {
    check_search_for_a_time(
        |_, header| header.attributes = header.attributes.with_codec(Codec::Gzip),
        |told| matches!(told, ReadError::CodecNotBuilt { from, to, .. } if *from == 12 && *to == 15),
    );
    // The length of the first record is no length.
    check_search_for_a_time(|records, _| records[0] = 0x7f, |told| matches!(told, ReadError::Corrupt { from, to, .. } if *from == 12 && *to == 15));
}

/// Two records of a batch say that they are of one offset: whichever way it is read, it is the first of them.
#[test]
fn an_offset_is_of_the_first_record_that_has_it() {
    for count in [3, 100] {
        let lab = Lab::killed(|partition, oracle| (0..3).for_each(|_| append_batch(partition, oracle, count, 100, AckLevel::Durable)));
        let segment = &lab.segments()[0];
        let spot = segment.frame_of(count);
        let at = spot.position as usize;
        let mut body_crc = 0;
        segment.edit(|bytes| {
            let frame = Frame::decode(&bytes[at..], segment.header.salt, Position::new(spot.position)).unwrap();
            let records = at + (frame.records.as_ptr().addr() - bytes[at..].as_ptr().addr());
            let end = records + frame.records.len();
            let (_, body) = get_varint(bytes, records).unwrap();
            let (_, offset_delta) = get_varint(bytes, body + 1).unwrap();
            assert_eq!(std::mem::replace(&mut bytes[offset_delta], 2), 0, "1, where 0 was");
            body_crc = FrameHeader::body_crc_of(spot.frame_len as usize, &bytes[records..end]);
        });
        segment.rewrite_header(spot, |header| header.body_crc = body_crc);
        let (_store, partition) = lab.open();
        let shared = count + 1;
        let forwards = partition.read_from(shared).unwrap().next().unwrap().unwrap();
        for _ in 0..2 {
            let found = partition.get(shared).unwrap();
            assert_eq!((found.offset(), found.value()), (shared.into(), forwards.value()), "of {count}");
        }
        assert_eq!(partition.get(shared + 1).unwrap().offset(), shared + 1);
    }
}

/// Counted were those below the log start, of which there were more than the batch had records.
#[test]
fn a_batch_that_counts_too_few_records_is_verified() {
    let mut lab = Lab::closed(|partition, oracle| append_batch(partition, oracle, 3, 100, AckLevel::Durable));
    lab.remove_indexes();
    let segment = &lab.segments()[0];
    segment.rewrite_header(segment.frame_of(0), |header| header.record_count = 1);
    fs::remove_file(lab.dir().join(CHECKPOINT_NAME)).unwrap();
    let (_store, partition) = lab.open();
    append(&partition, &mut lab.oracle, 1, 100, AckLevel::Durable);
    partition.delete_prefix(2).unwrap();
    for deep in [false, true] {
        let report = partition.view().verify(deep, &mut |_| ()).unwrap();
        assert_eq!((report.batches, report.records, report.damage.len()), (2, 1, 0), "{report:?}");
    }
}

#[test]
fn a_batch_in_a_codec_that_is_not_built_in_hides_none_behind_it() {
    const SNAPPY: Attributes = Attributes(2);
    for (attributes, last_offset_delta) in [(SNAPPY, 10_000), (SNAPPY.with(Attributes::NO_OFFSETS), 0)] {
        let lab = Lab::closed(|partition, oracle| append(partition, oracle, 150, 1000, AckLevel::Durable));
        lab.remove_indexes();
        let segment = &lab.segments()[0];
        segment.rewrite_header(segment.frame_of(5), |header| {
            (header.attributes, header.last_offset_delta, header.record_count) = (attributes, last_offset_delta, 0);
        });
        let (_store, partition) = lab.open();
        let (records, damage) = read_all(partition.view());
        assert_same(&records, &lab.readable(&[(5, 6)], 150), "around it");
        assert_eq!(damage, [(5, 6)]);
    }
}

/// Damage where a rewrite answers for the offsets costs nothing, and the log does not end there.
#[test]
fn what_is_lost_below_a_rewrite_is_not_lost() {
    let lab = Lab::closed(|partition, oracle| append(partition, oracle, 10, 100, AckLevel::Durable));
    lab.remove_indexes();
    let segment = &lab.segments()[0];
    rewrite(segment, &lab.dir(), 8);
    let (damaged, end) = (segment.frame_of(3), segment.frame_of(9).end());
    fs::remove_file(lab.dir().join(CHECKPOINT_NAME)).unwrap();
    segment.flip_body(3);
    check(&lab, 10);
    // Nor where nothing is left behind it.
    segment.zero(damaged.position, end);
    check(&lab, 8);
}

/// Opens it twice: it serves all below `end`, and what is appended goes on from there.
fn check(lab: &Lab, end: u64) {
    let copy = Lab { tmp: tempdir(), oracle: lab.readable(&[], end) };
    copy_tree(lab.tmp.path(), copy.tmp.path());
    let mut oracle = copy.oracle.clone();
    for opening in ["first", "second"] {
        let (store, partition) = copy.open();
        assert_eq!(ranges(partition.recovery_report()), []);
        assert_same(&read_all(partition.view()).0, &oracle, opening);
        append(&partition, &mut oracle, 1, 100, AckLevel::Durable);
        assert_same(&read_all(partition.view()).0, &oracle, opening);
        assert_eq!(*oracle.keys().last().unwrap(), end + u64::from(opening == "second"));
        drop(partition);
        store.close().unwrap();
    }
}

/// A rewrite that is damaged keeps what it made dead from coming back, until all that it answers for is deleted.
#[test]
fn deleting_a_part_of_a_damaged_rewrite_brings_nothing_back() {
    let lab = Lab::closed(|partition, oracle| append(partition, oracle, 10, 100, AckLevel::Durable));
    lab.remove_indexes();
    let segment = &lab.segments()[0];
    let path = rewrite(segment, &lab.dir(), 8);
    fs::remove_file(lab.dir().join(CHECKPOINT_NAME)).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[SEGMENT_HEADER_BYTES..].iter_mut().for_each(|byte| *byte ^= 1);
    fs::write(&path, bytes).unwrap();
    let lost = lab.readable(&[(0, 8)], 10);
    let (store, partition) = lab.open();
    assert_same(&read_all(partition.view()).0, &lost, "damaged");
    partition.delete_prefix(3).unwrap();
    assert_same(&read_all(partition.view()).0, &lost, "deleted in part");
    drop(partition);
    store.close().unwrap();
    let (_store, partition) = lab.open();
    let (records, damage) = read_all(partition.view());
    assert_same(&records, &lost, "and opened again");
    assert_eq!(damage, [(3, 8)]);
}

/// The first open finds no checkpoint and walks over the frames, the second could take a seal at its word.
#[test]
fn a_seal_that_the_frames_before_it_contradict_is_not_believed_later() {
    let lab = Lab::closed(|partition, oracle| append(partition, oracle, 150, 1000, AckLevel::Durable));
    lab.remove_indexes();
    let segments = lab.segments();
    segments[1..].iter().for_each(|segment| fs::remove_file(&segment.path).unwrap());
    fs::remove_file(lab.dir().join(CHECKPOINT_NAME)).unwrap();
    segments[0].rewrite_header(segments[0].frame_of(0), |header| header.base_offset = Offset::new(1000));
    let mut found = Vec::new();
    for _ in 0..2 {
        let (store, partition) = lab.open();
        found.push(read_all(partition.view()));
        drop(partition);
        store.close().unwrap();
    }
    assert_eq!(found[0].0.keys().copied().collect::<Vec<_>>(), [1000]);
    assert_same(&found[1].0, &found[0].0, "at the second open");
}

/// Readers pass it by, and so did the look for a batch that the cut goes through: its offsets below the cut were then lost.
#[test]
fn a_control_batch_is_not_cut_in_two() {
    let lab = Lab::closed(|partition, oracle| append_batch(partition, oracle, 3, 100, AckLevel::Durable));
    lab.remove_indexes();
    let segment = &lab.segments()[0];
    segment.rewrite_header(segment.frame_of(0), |header| header.attributes = header.attributes.with(Attributes::CONTROL));
    let (_store, partition) = lab.open();
    let refused = partition.truncate_suffix(2).unwrap_err();
    assert!(matches!(refused, CutError::NotKept { .. }), "{refused}");
    assert_eq!((read_all(partition.view()).1, partition.log_end_offset().get()), (Vec::new(), 3), "as it was");
    partition.truncate_suffix(0).unwrap();
}

/// A seal vouches for a segment without a look at its frames, until the segment is cut into: then the next open would meet the frame of a newer
/// version there, and refuse.
#[test]
fn behind_a_frame_of_a_newer_version_nothing_is_cut_off() {
    let lab = Lab::closed(|partition, oracle| append(partition, oracle, 150, 1000, AckLevel::Durable));
    lab.remove_indexes();
    let segments = lab.segments();
    let next = segments[1].header.base_offset.get();
    segments[0].rewrite_header(segments[0].frame_of(5), |header| header.attributes = Attributes(header.attributes.0 | 1 << 30));
    let (store, partition) = lab.open();
    for at in [next - 1, 6] {
        let refused = partition.truncate_suffix(at).unwrap_err();
        let unsupported = matches!(&refused, CutError::Read(ReadError::Open(error)) if matches!(**error, OpenError::Unsupported { .. }));
        assert!(unsupported, "{refused}");
    }
    assert_eq!(partition.log_end_offset(), 150);
    partition.truncate_suffix(next).unwrap();
    drop(partition);
    store.close().unwrap();
    let (_store, partition) = lab.open();
    assert_same(&read_all(partition.view()).0, &lab.readable(&[(5, 6)], next), "cut between two segments");
    drop(partition);
}

/// The files on both sides of a rewrite may be one: what is cut off behind it is no reason to take away what is before.
#[test]
fn a_file_on_both_sides_of_a_rewrite_stays() {
    let lab = Lab::killed(|partition, oracle| append(partition, oracle, 10, 100, AckLevel::Written));
    let segment = &lab.segments()[0];
    segment.strip_claims();
    let header =
        SegmentHeader { base_offset: Offset::new(4), prev_end: Offset::new(4), seq: 9, rewrite_end: Some(Offset::new(100)), ..segment.header };
    fs::write(lab.dir().join(SegmentId { base_offset: 4, seq: 9 }.log_name()), header.encode()).unwrap();
    fs::remove_file(lab.dir().join(CHECKPOINT_NAME)).unwrap();
    for opening in ["first", "second"] {
        let (store, partition) = lab.open();
        assert_same(&read_all(partition.view()).0, &lab.readable(&[], 4), opening);
        drop(partition);
        store.close().unwrap();
    }
}

/// Backwards too, a batch on the border of a rewrite gives the records that the rewrite does not answer for, and no others.
#[test]
fn a_batch_that_a_rewrite_ends_in_is_read_from_there() {
    let lab = Lab::closed(|partition, oracle| {
        append(partition, oracle, 4, 100, AckLevel::Durable);
        append_batch(partition, oracle, 4, 100, AckLevel::Durable);
    });
    lab.remove_indexes();
    let segment = &lab.segments()[0];
    rewrite(segment, &lab.dir(), 6);
    let (_store, partition) = lab.open();
    let (records, damage) = read_all(partition.view());
    assert_same(&records, &lab.readable(&[(4, 6)], 8), "the rewrite holds four records, and answers for six");
    assert_eq!(damage, [(4, 6)]);
    let backwards: Vec<u64> = partition.read_backwards(8).unwrap().filter_map(|record| Some(record.ok()?.offset().get())).collect();
    assert_eq!(backwards, [7, 6, 3, 2, 1, 0]);
}

/// Behind a rewrite the segment goes on that was there before it, and what its header says is about where it began.
#[test]
fn a_cut_where_a_rewrite_ends_keeps_the_rewrite() {
    let lab = Lab::closed(|partition, oracle| append(partition, oracle, 10, 100, AckLevel::Durable));
    lab.remove_indexes();
    rewrite(&lab.segments()[0], &lab.dir(), 8);
    let (store, partition) = lab.open();
    partition.truncate_suffix(8).unwrap();
    drop(partition);
    store.close().unwrap();
    let (_store, partition) = lab.open();
    assert_same(&read_all(partition.view()).0, &lab.readable(&[], 8), "behind the cut");
}

/// Of a batch that a rewrite ends in, a cut keeps only what the rewrite does not answer for.
#[test]
fn a_cut_behind_a_rewrite_brings_back_nothing_below_it() {
    let lab = Lab::closed(|partition, oracle| {
        append(partition, oracle, 4, 100, AckLevel::Durable);
        append_batch(partition, oracle, 6, 100, AckLevel::Durable);
    });
    lab.remove_indexes();
    rewrite(&lab.segments()[0], &lab.dir(), 6);
    let (store, partition) = lab.open();
    partition.truncate_suffix(8).unwrap();
    let served = lab.readable(&[(4, 6)], 8);
    assert_same(&read_all(partition.view()).0, &served, "behind the cut");
    drop(partition);
    store.close().unwrap();
    let (_store, partition) = lab.open();
    assert_same(&read_all(partition.view()).0, &served, "at the next open");
}

/// A rewrite that is torn before the end it claims answers for nothing behind the log's end: what is appended there stays.
#[test]
fn a_rewrite_that_claims_more_than_the_log_holds_takes_no_append() {
    let mut lab = Lab::killed(|partition, oracle| append(partition, oracle, 10, 100, AckLevel::Written));
    lab.remove_indexes();
    let segment = &lab.segments()[0];
    segment.strip_claims();
    let path = rewrite(segment, &lab.dir(), 8);
    fs::remove_file(lab.dir().join(CHECKPOINT_NAME)).unwrap();
    let header = SegmentHeader::decode(&fs::read(&path).unwrap()).unwrap();
    let claims = SegmentHeader { rewrite_end: Some(Offset::new(100)), ..header };
    let mut bytes = fs::read(&path).unwrap();
    bytes[..SEGMENT_HEADER_BYTES].copy_from_slice(&claims.encode());
    fs::write(&path, bytes).unwrap();
    lab.oracle = lab.readable(&[], 8);
    for opening in ["first", "second", "third"] {
        let (store, partition) = lab.open();
        assert_same(&read_all(partition.view()).0, &lab.oracle, opening);
        let report = partition.recovery_report();
        assert!(report.findings.iter().all(|finding| finding.found != Found::HeaderBadSaltKnown), "{report:#?}");
        append(&partition, &mut Default::default(), 3, 100, AckLevel::Durable);
        partition.truncate_suffix(8).unwrap();
        lab.oracle.remove(&8);
        append(&partition, &mut lab.oracle, 1, 100, AckLevel::Durable);
        drop(partition);
        store.close().unwrap();
    }
}

/// A segment without a frame declares a gap, which a newer rewrite fills: what replaces the segment must not declare it whole.
#[test]
fn a_gap_that_a_rewrite_fills_is_not_declared_again() {
    for cut in [false, true] {
        let lab = Lab::closed(|partition, oracle| append(partition, oracle, 4, 100, AckLevel::Durable));
        lab.remove_indexes();
        let segment = &lab.segments()[0];
        rewrite(segment, &lab.dir(), 4);
        let tail = SegmentHeader { base_offset: Offset::new(10), prev_end: Offset::new(0), flags: SegmentHeader::CHAIN_RESTARTED, ..segment.header };
        let torn = if cut { &b""[..] } else { b"torn" };
        fs::remove_file(&segment.path).unwrap();
        fs::remove_file(lab.dir().join(CHECKPOINT_NAME)).unwrap();
        fs::write(lab.dir().join(SegmentId { base_offset: 10, seq: tail.seq }.log_name()), [&tail.encode()[..], torn].concat()).unwrap();
        for _ in 0..2 {
            let (store, partition) = lab.open();
            assert_same(&read_all(partition.view()).0, &lab.oracle, "of the rewrite");
            if cut {
                append(&partition, &mut Default::default(), 1, 100, AckLevel::Durable);
                partition.truncate_suffix(10).unwrap();
            }
            drop(partition);
            store.close().unwrap();
        }
    }
}

/// A number in a name is under no checksum. With the highest one taken, whatever was appended to the next segment was gone at the next open.
#[test]
fn a_name_that_leaves_no_numbers_costs_no_record() {
    let mut lab = Lab::closed(|partition, oracle| append(partition, oracle, 10, 100, AckLevel::Durable));
    fs::write(lab.dir().join(SegmentId { base_offset: 10, seq: SEQ_MAX }.log_name()), b"garbage").unwrap();
    let (store, partition) = lab.open();
    append(&partition, &mut lab.oracle, 80, 1000, AckLevel::Durable);
    drop(partition);
    store.close().unwrap();
    assert!(lab.segments().len() > 1, "some went to a new segment");
    let (_store, partition) = lab.open();
    assert_same(&read_all(partition.view()).0, &lab.oracle, "at the next open");
}

/// A checkpoint may name a segment that is gone, but with the highest number that still opens, the next open was refused.
#[test]
fn a_checkpoint_that_leaves_no_numbers_costs_no_open() {
    let mut lab = Lab::closed(|partition, oracle| append(partition, oracle, 10, 100, AckLevel::Durable));
    let path = lab.dir().join(CHECKPOINT_NAME);
    let bytes = fs::read(&path).unwrap();
    let slots = bytes.chunks(SLOT_BYTES).filter_map(|slot| Checkpoint::decode(slot).ok());
    let slots = slots.flat_map(|slot| Checkpoint { active_seq: SEQ_MAX - (1 << 32), ..slot }.encode());
    fs::write(&path, slots.collect::<Vec<u8>>()).unwrap();
    for open in ["first", "second"] {
        let (store, partition) = lab.open();
        append(&partition, &mut lab.oracle, 1, 1000, AckLevel::Durable);
        assert_same(&read_all(partition.view()).0, &lab.oracle, open);
        drop(partition);
        store.close().unwrap();
    }
}

#[test]
fn a_segment_that_uses_up_the_numbers_is_refused() {
    let last = SEQ_MAX - (1 << 32);
    for (seq, is_refused) in [(SEQ_MAX - 1, true), (last + 1, true), (last, false)] {
        let lab = Lab::closed(|partition, oracle| append(partition, oracle, 10, 100, AckLevel::Durable));
        lab.remove_indexes();
        let segment = &lab.segments()[0];
        let header = SegmentHeader { seq, ..segment.header };
        segment.edit(|bytes| bytes[..SEGMENT_HEADER_BYTES].copy_from_slice(&header.encode()));
        fs::rename(&segment.path, lab.dir().join(SegmentId { base_offset: 0, seq }.log_name())).unwrap();
        if is_refused {
            check_refused(&lab);
        } else {
            assert_same(&read_all(lab.open().1.view()).0, &lab.oracle, "the last one that is not");
        }
    }
}

fn check_refused(lab: &Lab) {
    let before = fingerprint(&lab.dir());
    let store = options().open(lab.tmp.path()).unwrap();
    let refused = partition(&store).map(drop);
    assert!(matches!(&refused, Err(TopicError::Open(OpenError::Unsupported { .. }))), "{refused:?}");
    assert_eq!(fingerprint(&lab.dir()), before, "nothing is changed");
}

/// The term behind the highest could not be written: the segment that a cut makes in it was not to be read.
#[test]
fn the_highest_term_is_not_left() {
    let lab = Lab::closed(|partition, oracle| append(partition, oracle, 10, 100, AckLevel::Durable));
    lab.remove_indexes();
    let segment = &lab.segments()[0];
    let header = SegmentHeader { leader_epoch: LeaderEpoch::new(EPOCH_MAX), epoch_start: Offset::new(10), ..segment.header };
    segment.edit(|bytes| bytes[..SEGMENT_HEADER_BYTES].copy_from_slice(&header.encode()));
    let mut oracle = lab.oracle.clone();
    for end in [8, 6] {
        let (store, partition) = lab.open();
        assert_same(&read_all(partition.view()).0, &oracle, "before a cut");
        partition.truncate_suffix(end).unwrap();
        oracle.split_off(&end);
        append(&partition, &mut oracle, 3, 100, AckLevel::Durable);
        drop(partition);
        store.close().unwrap();
    }
    let (_store, partition) = lab.open();
    assert_same(&read_all(partition.view()).0, &oracle, "at last");
}

/// What a newer version wrote in the place of a seal was taken for one that a crash tore, and cut off.
#[test]
fn a_seal_of_a_newer_version_is_not_torn() {
    let lab = Lab::closed(|partition, oracle| append(partition, oracle, 150, 1000, AckLevel::Durable));
    lab.remove_indexes();
    let segment = &lab.segments()[0];
    segment.rewrite_header(segment.seal(), |header| header.attributes = Attributes(header.attributes.0 | 1 << 30));
    fs::remove_file(lab.dir().join(CHECKPOINT_NAME)).unwrap();
    check_refused(&lab);
}

/// A segment tells readers how far it goes in 32 bits: with an offset further away, all but its first records were out of range.
#[test]
fn an_offset_too_far_from_the_first_of_its_segment_is_no_part_of_it() {
    let lab = Lab::closed(|partition, oracle| append(partition, oracle, 10, 100, AckLevel::Durable));
    lab.remove_indexes();
    let segment = &lab.segments()[0];
    segment.rewrite_header(segment.frame_of(8), |header| header.base_offset = Offset::new(1 << 33));
    fs::remove_file(lab.dir().join(CHECKPOINT_NAME)).unwrap();
    for opening in ["first", "second"] {
        let (store, partition) = lab.open();
        assert_same(&read_all(partition.view()).0, &lab.readable(&[(8, 9)], 10), opening);
        assert_eq!(partition.log_end_offset(), 10);
        drop(partition);
        store.close().unwrap();
    }
}

/// The furthest offset that a segment has a place for is served, and what is appended goes on behind it.
#[test]
fn the_last_offset_that_a_segment_can_hold_is_part_of_it() {
    let lab = Lab::ten_records(Durable::Everything);
    let (segment, furthest) = (&lab.segments()[0], u64::from(u32::MAX) - 1);
    segment.rewrite_header(segment.frame_of(9), |header| header.base_offset = Offset::new(furthest));
    let mut expected = lab.readable(&[(9, 10)], 10);
    expected.insert(furthest, lab.oracle[&9].clone());
    for opening in ["first", "second"] {
        let (store, partition) = lab.open();
        assert_same(&read_all(partition.view()).0, &expected, opening);
        append(&partition, &mut expected, 1, 100, AckLevel::Durable);
        drop(partition);
        store.close().unwrap();
    }
    assert_eq!(*expected.keys().last().unwrap(), furthest + 2);
}

/// Writes the records of a segment below `end` once more, as a rewrite. Returns its path.
fn rewrite(segment: &Segment, dir: &Path, end: u64) -> PathBuf {
    let header = SegmentHeader {
        seq: 9,
        salt: segment.header.salt ^ 1,
        rewrite_end: Some(Offset::new(end)),
        flags: SegmentHeader::CHAIN_RESTARTED,
        ..segment.header
    };
    let (old, mut bytes) = (segment.bytes(), header.encode().to_vec());
    for spot in segment.frames().into_iter().filter(|spot| spot.next <= end) {
        let at = spot.position as usize;
        let frame = Frame::decode(&old[at..], segment.header.salt, Position::new(spot.position)).unwrap();
        let to = bytes.len();
        bytes.extend(&old[at..at + padded(spot.frame_len as usize)]);
        frame.header.encode_into(&mut bytes[to..], header.salt, Position::new(to as u64));
    }
    let path = dir.join(SegmentId { base_offset: segment.id().base_offset, seq: header.seq }.log_name());
    fs::write(&path, bytes).unwrap();
    path
}
