//! The decision table of recovery, a test a row: what is found, before the durable point and at or after it, and what an open makes of it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tidelog::io::fault::{EIO, Fault, Faulty, Op};
use tidelog::io::{Disk, Storage};
use tidelog::{AckLevel, Found, OpenError, Store, TopicError, Verdict};
use tidelog_format::{CHECKPOINT_NAME, Checkpoint, META_NAME, Offset, Position, SegmentId, TimestampNs, crc32};

use crate::support::{
    Durable, Expect, Lab, TOPIC, append, append_batch, assert_same, check, copy_tree, fingerprint, names, options, partition, partition_dir, ranges,
    read_all, tempdir,
};

#[test]
fn row_01_zeros_to_the_end_before_the_durable_point() {
    let lab = Lab::ten_records(Durable::Everything);
    zero_from(&lab, 0, 5);
    check(&lab, &Expect::ends_at(10).damage(5, 10).found(Found::ZerosToEnd, Verdict::Damage));
}

#[test]
fn row_01_zeros_to_the_end_at_or_after_it() {
    for durable in [Durable::Before(5), Durable::Before(2), Durable::Nothing] {
        let lab = Lab::ten_records(durable);
        zero_from(&lab, 0, 5);
        check(&lab, &Expect::ends_at(5).found(Found::ZerosToEnd, Verdict::Silent));
        assert_eq!(lab.segments().len(), 1, "appending goes on in place");
    }
}

#[test]
fn row_02_torn_frame_then_nothing() {
    let tear = |lab: &Lab| {
        let segment = &lab.segments()[0];
        let frame = segment.frame_of(9);
        segment.zero(frame.position + 72, frame.end());
    };
    let lab = Lab::ten_records(Durable::Everything);
    tear(&lab);
    check(&lab, &Expect::ends_at(10).damage(9, 10).found(Found::BadFrameThenNothing, Verdict::Damage));
    let lab = Lab::ten_records(Durable::Before(9));
    tear(&lab);
    check(&lab, &Expect::ends_at(9).found(Found::BadFrameThenNothing, Verdict::Repair));
    assert_eq!(lab.segments().len(), 2, "a torn end is not written over");
    assert_eq!(names(&lab.dir().join("quarantine")).len(), 1, "what was cut is kept");
}

#[test]
fn row_03_garbage_then_nothing() {
    let litter = |lab: &Lab| {
        let segment = &lab.segments()[0];
        let frame = segment.frame_of(7);
        segment.edit(|bytes| bytes[frame.position as usize..].fill(0xA5));
    };
    let lab = Lab::ten_records(Durable::Everything);
    litter(&lab);
    check(&lab, &Expect::ends_at(10).damage(7, 10).found(Found::BadFrameThenNothing, Verdict::Damage));
    let lab = Lab::ten_records(Durable::Before(4));
    litter(&lab);
    check(&lab, &Expect::ends_at(7).found(Found::BadFrameThenNothing, Verdict::Repair));
}

#[test]
fn row_04_bad_frame_then_valid_frames_before_the_durable_point() {
    for at in [0, 5, 8] {
        let lab = Lab::ten_records(Durable::Everything);
        lab.segments()[0].flip_body(at);
        check(&lab, &Expect::ends_at(10).damage(at, at + 1).found(Found::BadFrameThenValid, Verdict::Damage));
    }
}

#[test]
fn row_04_a_flipped_length_costs_its_own_batch() {
    for byte in [4, 8, 12, 16, 40, 44, 48, 56, 57, 58, 59, 60] {
        let lab = Lab::ten_records(Durable::Everything);
        let segment = &lab.segments()[0];
        segment.flip(segment.frame_of(5).position + byte);
        check(&lab, &Expect::ends_at(10).damage(5, 6).found(Found::BadFrameThenValid, Verdict::Damage));
    }
}

#[test]
fn row_05_bad_frame_then_valid_frames_at_or_after_it() {
    let lab = Lab::ten_records(Durable::Before(5));
    lab.segments()[0].flip_body(5);
    check(&lab, &Expect::ends_at(5).found(Found::BadFrameThenValid, Verdict::Repair));
    // In a batch and over several segments.
    let lab = Lab::three_segments(Durable::Before(30));
    lab.segments()[1].flip_body(100);
    check(&lab, &Expect::ends_at(100).found(Found::BadFrameThenValid, Verdict::Repair));
}

#[test]
fn row_06_bad_frame_in_a_sealed_segment_shows_when_it_is_read() {
    let lab = Lab::closed(|partition, oracle| append(partition, oracle, 150, 1000, AckLevel::Written));
    lab.segments()[0].flip_body(10);
    let (_store, partition) = lab.open();
    assert!(!partition.recovery_report().is_notable(), "{:?}", partition.recovery_report());
    assert!(partition.get(9).is_ok() && partition.get(11).is_ok());
    assert!(matches!(partition.get(10), Err(tidelog::ReadError::Corrupt { from, to, .. }) if (from, to) == (10.into(), 11.into())));
    let (records, damage) = read_all(partition.view());
    assert_same(&records, &lab.readable(&[(10, 11)], 150), "all but the bad frame");
    assert_eq!(damage, [(10, 11)]);
    assert_eq!(partition.view().damage().len(), 1, "what a read found is known from then on");
}

#[test]
fn row_07_padding_that_is_not_zero() {
    let make = || Lab::killed(|partition, oracle| (0..10).for_each(|more| append(partition, oracle, 1, 97 + more, AckLevel::Written)));
    for durable in [true, false] {
        let lab = make();
        let segment = &lab.segments()[0];
        segment.strip_claims();
        let padded = segment.frames().into_iter().find(|frame| frame.frame_len < frame.stored).unwrap();
        let expect = if durable {
            lab.set_durable(Durable::Everything);
            Expect::ends_at(10).damage(padded.base, padded.next).found(Found::NonZeroPad, Verdict::Damage)
        } else {
            lab.set_durable(Durable::Nothing);
            Expect::ends_at(padded.base).found(Found::NonZeroPad, Verdict::Repair)
        };
        segment.flip(padded.end() - 1);
        check(&lab, &expect);
    }
}

#[test]
fn row_08_chain_mismatch() {
    for durable in [true, false] {
        let lab = Lab::ten_records(if durable { Durable::Everything } else { Durable::Before(3) });
        let segment = &lab.segments()[0];
        segment.rewrite_header(segment.frame_of(5), |header| header.chain ^= 1);
        let expect = if durable {
            // The frame is right by itself: a later open that takes the index at its word serves it.
            Expect::ends_at(10).damage(5, 6).found(Found::ChainMismatch, Verdict::Damage).once()
        } else {
            Expect::ends_at(5).found(Found::ChainMismatch, Verdict::Repair)
        };
        check(&lab, &expect);
    }
}

/// All frames are right, and so are all offsets; but the second segment was written behind another last frame than the first one has now.
#[test]
fn row_08_segment_behind_frames_that_are_not_those_before_it() {
    let lab = Lab::three_segments(Durable::Before(10));
    let segment = &lab.segments()[0];
    let last = segment.frames().into_iter().rfind(|frame| !frame.is_seal).unwrap();
    segment.zero(last.end(), segment.bytes().len() as u64);
    segment.rewrite_header(last, |header| header.max_ts = header.base_ts);
    segment.rewrite_header(last, |header| header.base_ts = TimestampNs::new(header.base_ts.get() + 1));
    let (_store, log) = lab.open();
    let found: Vec<_> = log.recovery_report().findings.iter().map(|finding| (finding.found, finding.verdict)).collect();
    assert!(found.contains(&(Found::ChainMismatch, Verdict::Repair)), "{found:?}");
    assert_eq!((log.log_end_offset().get(), ranges(log.recovery_report())), (last.next, vec![]));
}

/// The frame verifies by itself, so the short way to one record must ask for known damage too.
#[test]
fn row_08_chain_mismatch_is_not_served_as_a_single_record() {
    let lab = Lab::ten_records(Durable::Everything);
    let segment = &lab.segments()[0];
    segment.rewrite_header(segment.frame_of(5), |header| header.chain ^= 1);
    let (_store, partition) = lab.open();
    assert!(partition.get(4u64).is_ok() && partition.get(6u64).is_ok());
    let lost = partition.get(5u64);
    assert!(matches!(&lost, Err(tidelog::ReadError::Corrupt { from, to, .. }) if *from == 5 && *to == 6), "{lost:?}");
}

#[test]
fn row_09_segment_missing() {
    let lab = Lab::three_segments(Durable::Everything);
    let (from, to) = middle(&lab);
    fs::remove_file(&lab.segments()[1].path).unwrap();
    check(&lab, &Expect::ends_at(150).damage(from, to).found(Found::SegmentMissing, Verdict::Damage));
    let lab = Lab::three_segments(Durable::Before(30));
    fs::remove_file(&lab.segments()[1].path).unwrap();
    check(&lab, &Expect::ends_at(from).found(Found::SegmentMissing, Verdict::Repair));
    assert_eq!(names(&lab.dir().join("quarantine")).len(), 1, "the third segment");
}

#[test]
fn row_10_first_segment_missing() {
    let lab = Lab::three_segments(Durable::Everything);
    let (from, _) = middle(&lab);
    fs::remove_file(&lab.segments()[0].path).unwrap();
    check(&lab, &Expect::ends_at(150).damage(0, from).found(Found::HeadMissing, Verdict::Damage));
}

#[test]
fn row_10_segment_below_the_log_start_is_unlinked() {
    let mut lab = Lab::three_segments(Durable::Everything);
    let slots: Vec<_> = lab.slots().into_iter().map(|slot| slot.map(|slot| Checkpoint { log_start: Offset::new(70), ..slot })).collect();
    lab.write_slots(&slots);
    lab.oracle.retain(|offset, _| *offset >= 70);
    let first = lab.segments()[0].path.clone();
    check(&lab, &Expect::ends_at(150).found(Found::BelowLogStart, Verdict::Silent));
    assert!(!first.exists(), "the unlink is finished");
}

#[test]
fn row_11_segment_empty() {
    let lab = Lab::three_segments(Durable::Everything);
    let (from, to) = middle(&lab);
    lab.segments()[1].edit(Vec::clear);
    check(&lab, &Expect::ends_at(150).damage(from, to).found(Found::SegmentMissing, Verdict::Damage));
    let lab = Lab::three_segments(Durable::Before(30));
    lab.segments()[1].edit(Vec::clear);
    check(&lab, &Expect::ends_at(from).found(Found::SegmentMissing, Verdict::Repair));
}

#[test]
fn row_12_log_ends_before_what_the_checkpoint_says() {
    let lab = Lab::ten_records(Durable::Everything);
    let slots: Vec<_> = lab.slots().into_iter().map(|slot| slot.map(|slot| Checkpoint { durable_next_offset: Offset::new(15), ..slot })).collect();
    lab.write_slots(&slots);
    check(&lab, &Expect::ends_at(15).damage(10, 15).found(Found::EndsBeforeCheckpoint, Verdict::Damage));
}

#[test]
fn row_12_last_segment_missing() {
    let lab = Lab::three_segments(Durable::Everything);
    let (_, from) = middle(&lab);
    fs::remove_file(&lab.segments()[2].path).unwrap();
    check(&lab, &Expect::ends_at(150).damage(from, 150).found(Found::EndsBeforeCheckpoint, Verdict::Damage));
}

#[test]
fn row_13_older_checkpoint() {
    let mut lab = Lab::closed(|partition, oracle| append(partition, oracle, 100, 1000, AckLevel::Written));
    let old = fs::read(lab.dir().join(CHECKPOINT_NAME)).unwrap();
    let (store, partition) = lab.open();
    append(&partition, &mut lab.oracle, 100, 1000, AckLevel::Durable);
    drop(partition);
    store.close().unwrap();
    fs::write(lab.dir().join(CHECKPOINT_NAME), old).unwrap();
    check(&lab, &Expect::ends_at(200).found(Found::CheckpointOld, Verdict::Silent));
}

#[test]
fn row_14_one_slot_unreadable() {
    for newest in [true, false] {
        let lab = Lab::ten_records(Durable::Before(5));
        flip_slot(&lab, usize::from(newest));
        check(&lab, &Expect::ends_at(10).found(Found::SlotUnreadable, Verdict::Repair));
    }
}

#[test]
fn row_15_both_slots_unreadable() {
    let lab = Lab::three_segments(Durable::Everything);
    (0..2).for_each(|slot| flip_slot(&lab, slot));
    check(&lab, &Expect::ends_at(150).found(Found::CheckpointUnreadable, Verdict::Repair));
}

#[test]
fn row_15_without_slots_the_claims_of_frames_tell_damage() {
    let lab = Lab::killed(|partition, oracle| {
        append(partition, oracle, 5, 100, AckLevel::Durable);
        append(partition, oracle, 5, 100, AckLevel::Written);
    });
    (0..2).for_each(|slot| fill_slot(&lab, slot, 0x77));
    let segment = &lab.segments()[0];
    let (second, eighth) = (segment.frame_of(2), segment.frame_of(8));
    segment.flip(second.position + 90);
    // Frame 5 was written when everything before it was durable, and so says; frame 8 is torn.
    segment.flip(eighth.position + 90);
    let expect = Expect::ends_at(8).damage(2, 3).found(Found::BadFrameThenValid, Verdict::Damage);
    check(&lab, &expect.found(Found::BadFrameThenValid, Verdict::Repair).found(Found::CheckpointUnreadable, Verdict::Repair));
}

#[test]
fn row_16_no_checkpoint_file() {
    let lab = Lab::three_segments(Durable::Everything);
    fs::remove_file(lab.dir().join(CHECKPOINT_NAME)).unwrap();
    check(&lab, &Expect::ends_at(150).found(Found::CheckpointAbsent, Verdict::Repair));
}

#[test]
fn row_16_without_a_checkpoint_the_log_start_is_the_newest_in_a_header() {
    let mut lab = Lab::closed(|partition, oracle| {
        append(partition, oracle, 100, 1000, AckLevel::Durable);
        partition.delete_prefix(70).unwrap();
        append(partition, oracle, 100, 1000, AckLevel::Durable);
    });
    fs::remove_file(lab.dir().join(CHECKPOINT_NAME)).unwrap();
    lab.oracle.retain(|offset, _| *offset >= 70);
    check(&lab, &Expect::ends_at(200).found(Found::CheckpointAbsent, Verdict::Repair));
}

#[test]
fn row_17_checkpoint_of_another_partition() {
    let lab = Lab::three_segments(Durable::Everything);
    let other = Lab::ten_records(Durable::Everything);
    fs::copy(other.dir().join(CHECKPOINT_NAME), lab.dir().join(CHECKPOINT_NAME)).unwrap();
    check(&lab, &Expect::ends_at(150).found(Found::CheckpointForeign, Verdict::Repair));
}

#[test]
fn row_18_index_bad_or_of_another_segment() {
    for damage in [(|bytes| flip_first(bytes)) as fn(&mut Vec<u8>), |bytes| flip_last(bytes), Vec::clear] {
        let lab = closed_with_indexes();
        let path = lab.segments()[0].index_path();
        let mut bytes = fs::read(&path).unwrap();
        damage(&mut bytes);
        fs::write(&path, bytes).unwrap();
        check(&lab, &Expect::ends_at(200));
    }
    let lab = closed_with_indexes();
    let segments = lab.segments();
    fs::copy(segments[1].index_path(), segments[0].index_path()).unwrap();
    check(&lab, &Expect::ends_at(200).found(Found::IndexUnusable, Verdict::Silent));
}

#[test]
fn row_19_index_missing_or_orphaned() {
    let lab = closed_with_indexes();
    let segments = lab.segments();
    let path = segments[0].index_path();
    let orphan = lab.dir().join(SegmentId { base_offset: 7, seq: 1 }.index_name());
    fs::copy(&path, &orphan).unwrap();
    fs::remove_file(&path).unwrap();
    check(&lab, &Expect::ends_at(200).found(Found::IndexUnusable, Verdict::Silent).found(Found::Unfinished, Verdict::Silent));
    assert!(!orphan.exists(), "an index of nothing goes");
    assert!(path.exists(), "a missing one is made again");
}

#[test]
fn row_20_segment_under_another_name() {
    for (base, seq) in [(0, 77), (500, 1), (120, 2), (999_999, 9_999_999_999)] {
        let lab = Lab::three_segments(Durable::Everything);
        let target = lab.dir().join(SegmentId { base_offset: base, seq }.log_name());
        fs::copy(&lab.segments()[0].path, &target).unwrap();
        check(&lab, &Expect::ends_at(150).found(Found::StrayFile, Verdict::Repair));
        assert!(!target.exists(), "it is set aside");
    }
}

#[test]
fn row_21_newest_segment_without_a_header() {
    for bytes in [Vec::new(), vec![0; 64 << 10], vec![0xEE; 4096]] {
        let lab = Lab::ten_records(Durable::Before(5));
        fs::write(lab.dir().join(SegmentId { base_offset: 10, seq: 2 }.log_name()), bytes).unwrap();
        check(&lab, &Expect::ends_at(10).found(Found::HeaderlessTail, Verdict::Silent));
    }
    // A slot says that it held something.
    let lab = Lab::ten_records(Durable::Everything);
    fs::write(lab.dir().join(SegmentId { base_offset: 10, seq: 2 }.log_name()), vec![0; 64 << 10]).unwrap();
    let named =
        |slot: Checkpoint| Checkpoint { durable_next_offset: Offset::new(12), active_seq: 2, active_salt: 99, tail_pos: Position::new(480), ..slot };
    lab.write_slots(&lab.slots().into_iter().map(|slot| slot.map(named)).collect::<Vec<_>>());
    check(&lab, &Expect::ends_at(12).damage(10, 12).found(Found::HeaderlessTail, Verdict::Damage));
}

#[test]
fn row_22_segment_without_a_header_or_a_broken_link() {
    for durable in [true, false] {
        let make = || Lab::three_segments(if durable { Durable::Everything } else { Durable::Before(30) });
        let expect = |from, to| {
            if durable {
                Expect::ends_at(150).damage(from, to).found(Found::SegmentMissing, Verdict::Damage)
            } else {
                Expect::ends_at(from).found(Found::SegmentMissing, Verdict::Repair)
            }
        };
        // No header, and no copy of its salt either.
        let lab = make();
        let (from, to) = middle(&lab);
        let (segment, seal) = (&lab.segments()[1], lab.segments()[1].seal());
        segment.zero(0, 128);
        segment.zero(seal.position, seal.end());
        check(&lab, &expect(from, to));
        // The end of a segment is gone, the next one is there.
        let lab = make();
        let (segment, seal) = (&lab.segments()[1], lab.segments()[1].seal());
        segment.zero(segment.frame_of(to - 5).position, seal.end());
        check(&lab, &expect(to - 5, to));
    }
}

#[test]
fn row_23_header_without_frames() {
    let lab = Lab::killed(|_, _| {});
    check(&lab, &Expect::ends_at(0).found(Found::HeaderOnly, Verdict::Silent));
    let lab = Lab::three_segments(Durable::Before(30));
    let (_, from) = middle(&lab);
    zero_from(&lab, 2, from);
    check(&lab, &Expect::ends_at(from).found(Found::HeaderOnly, Verdict::Silent));
    let lab = Lab::three_segments(Durable::Everything);
    zero_from(&lab, 2, from);
    check(&lab, &Expect::ends_at(150).damage(from, 150).found(Found::ZerosToEnd, Verdict::Damage));
}

#[test]
fn row_24_unsealed_segment_that_is_not_the_last() {
    for durable in [Durable::Everything, Durable::Before(30)] {
        let lab = Lab::three_segments(durable);
        for segment in &lab.segments()[..2] {
            let seal = segment.seal();
            segment.zero(seal.position, seal.end());
        }
        check(&lab, &Expect::ends_at(150).found(Found::UnsealedRunsToNext, Verdict::Silent));
    }
}

#[test]
fn row_25_newer_version_or_unknown_feature() {
    let seal_header = |bytes: &mut [u8]| {
        let sum = crc32(&bytes[..124]);
        bytes[124..128].copy_from_slice(&sum.to_le_bytes());
    };
    type Edit = fn(&mut [u8]);
    let edits: [Edit; 2] = [|bytes| bytes[8] = 2, |bytes| bytes[12] |= 1];
    for edit in edits {
        let lab = Lab::three_segments(Durable::Everything);
        lab.segments()[1].edit(|bytes| {
            edit(&mut bytes[..128]);
            seal_header(&mut bytes[..128]);
        });
        check_unsupported(&lab);
        let lab = Lab::three_segments(Durable::Everything);
        let path = lab.dir().join(CHECKPOINT_NAME);
        let mut bytes = fs::read(&path).unwrap();
        edit(&mut bytes[4096..]);
        seal_header(&mut bytes[4096..4096 + 128]);
        fs::write(&path, bytes).unwrap();
        check_unsupported(&lab);
    }
    // META has names behind its header, which the checksum covers too.
    for edit in edits {
        let lab = Lab::ten_records(Durable::Everything);
        let path = lab.dir().join(META_NAME);
        let mut bytes = fs::read(&path).unwrap();
        edit(&mut bytes[..128]);
        let sum = crc32(&[&bytes[..124], &bytes[128..]].concat());
        bytes[124..128].copy_from_slice(&sum.to_le_bytes());
        fs::write(&path, bytes).unwrap();
        check_unsupported(&lab);
    }
    let lab = Lab::ten_records(Durable::Everything);
    let segment = &lab.segments()[0];
    let before = segment.frame_of(4);
    segment.rewrite_header(segment.frame_of(5), |header| header.attributes = tidelog_format::Attributes(header.attributes.0 | 1 << 30));
    check_unsupported(&lab);
    // Beside damage it is none.
    segment.flip(before.position + 100);
    check_unsupported(&lab);
    // Where the seal should be, of any length, whole or not: none that this version writes stands there.
    for frame_len in [128, 200, 512, 600] {
        let lab = Lab::three_segments(Durable::Everything);
        let segment = &lab.segments()[0];
        let (seal, salt) = (segment.seal().position, segment.header.salt);
        segment.edit(|bytes| {
            bytes.truncate(seal as usize);
            bytes.resize(seal as usize + frame_len, 7);
            let header = tidelog_format::FrameHeader {
                frame_len: frame_len as u32,
                base_offset: lab.segments()[1].header.base_offset,
                base_ts: TimestampNs::new(0),
                max_ts: TimestampNs::new(0),
                last_offset_delta: 0,
                record_count: 0,
                attributes: tidelog_format::Attributes(1 << 30),
                leader_epoch: tidelog_format::LeaderEpoch::new(0),
                chain: 0,
                durable_back: tidelog_format::NO_CLAIM,
                body_crc: 0,
            };
            header.encode_into(&mut bytes[seal as usize..], salt, Position::new(seal));
        });
        check_unsupported(&lab);
        if frame_len < 512 {
            segment.edit(|bytes| bytes.truncate(seal as usize + 128));
            check_unsupported(&lab);
        }
    }
    // Without a right checksum it is damage like any other.
    let lab = Lab::three_segments(Durable::Everything);
    lab.segments()[1].edit(|bytes| bytes[8] = 2);
    check(&lab, &Expect::ends_at(150).found(Found::HeaderBadSaltKnown, Verdict::Repair).stays());
}

#[test]
fn row_27_an_error_of_the_file_system_is_never_the_end_of_the_log() {
    const EACCES: i32 = 13;
    const EMFILE: i32 = 24;
    const ENOMEM: i32 = 12;
    for (op, errno) in [(Op::Open, EACCES), (Op::Open, EMFILE), (Op::Read, EIO), (Op::List, ENOMEM), (Op::Len, EIO)] {
        for nth in 1.. {
            let lab = Lab::three_segments(Durable::Before(30));
            let faulty = Faulty::new(Arc::new(Disk::new()));
            let storage: Arc<dyn Storage> = Arc::new(faulty.clone());
            let store = options().storage(storage).open(lab.tmp.path()).unwrap();
            faulty.reset_counts();
            faulty.inject(Fault::at(op).on_path("topics/default/t/0").nth(nth).error(errno));
            let outcome = partition(&store);
            if faulty.fired() == 0 {
                break;
            }
            match outcome {
                Err(TopicError::Open(OpenError::Io(_))) => {
                    faulty.heal();
                    let partition = partition(&store).unwrap();
                    assert_same(&read_all(partition.view()).0, &lab.oracle, "after the error");
                }
                // Derived files may be missing: that costs time only.
                Ok(partition) => assert_same(&read_all(partition.view()).0, &lab.oracle, "in spite of the error"),
                other => panic!("{op:?} {nth} with {errno}: {:?}", other.map(|_| ())),
            }
        }
    }
}

/// Nor is META written anew because it could not be read once: it holds what no segment knows.
#[test]
fn row_27_an_error_of_the_file_system_is_never_a_missing_meta() {
    for op in [Op::Open, Op::Read] {
        let lab = Lab::ten_records(Durable::Everything);
        let faulty = Faulty::new(Arc::new(Disk::new()));
        let storage: Arc<dyn Storage> = Arc::new(faulty.clone());
        let store = options().storage(storage).open(lab.tmp.path()).unwrap();
        let meta = fs::read(lab.dir().join(META_NAME)).unwrap();
        faulty.inject(Fault::at(op).on_path("t/0/META").from_then_on().error(EIO));
        let outcome = partition(&store).map(drop);
        assert!(matches!(&outcome, Err(TopicError::Open(OpenError::Io(_)))), "{op:?}: {outcome:?}");
        assert_eq!(fs::read(lab.dir().join(META_NAME)).unwrap(), meta);
    }
}

#[test]
fn row_27_without_a_map_reads_go_through_the_descriptor() {
    let lab = Lab::three_segments(Durable::Before(30));
    let faulty = Faulty::new(Arc::new(Disk::new()));
    faulty.allow_mapping(false);
    let store = options().storage(Arc::new(faulty)).open(lab.tmp.path()).unwrap();
    let partition = partition(&store).unwrap();
    let mut oracle = lab.oracle.clone();
    append(&partition, &mut oracle, 100, 1000, AckLevel::Durable);
    assert_same(&read_all(partition.view()).0, &oracle, "without a map");
}

#[test]
fn row_29_lock_held() {
    let lab = Lab::closed(|partition, oracle| append(partition, oracle, 10, 100, AckLevel::Durable));
    let (store, _partition) = lab.open();
    let before = fingerprint(lab.tmp.path());
    for _ in 0..2 {
        match Store::open(lab.tmp.path()) {
            Err(OpenError::Locked { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{:?}", other.map(|_| ())),
        }
    }
    assert!(before == fingerprint(lab.tmp.path()), "a refusal changed something");
    drop(store);
}

#[test]
fn row_30_no_regular_file_in_place_of_a_segment() {
    for make in [make_fifo as fn(&Path), make_symlink, make_dir] {
        let lab = Lab::three_segments(Durable::Everything);
        let (from, to) = middle(&lab);
        let path = lab.segments()[1].path.clone();
        fs::rename(&path, lab.tmp.path().join("elsewhere")).unwrap();
        make(&path);
        let outside = fs::read(lab.tmp.path().join("elsewhere")).unwrap();
        let (store, partition) = lab.open();
        assert_eq!(ranges(partition.recovery_report()), [(from, to)]);
        assert!(partition.recovery_report().findings.iter().any(|finding| finding.found == Found::NotRegular));
        let (records, damage) = read_all(partition.view());
        assert_same(&records, &lab.readable(&[(from, to)], 150), "around it");
        assert_eq!(damage, [(from, to)]);
        let mut more = records.clone();
        append(&partition, &mut more, 100, 1000, AckLevel::Durable);
        store.close().unwrap();
        assert!(outside == fs::read(lab.tmp.path().join("elsewhere")).unwrap(), "written through a symlink");
    }
}

#[test]
fn row_30_no_regular_file_in_place_of_a_derived_one() {
    for name in [META_NAME.to_owned(), CHECKPOINT_NAME.to_owned(), SegmentId { base_offset: 0, seq: 1 }.index_name(), "CHECKPOINT.tmp".to_owned()] {
        for make in [make_fifo as fn(&Path), make_symlink, make_dir] {
            let lab = Lab::three_segments(Durable::Everything);
            let path = lab.dir().join(&name);
            let elsewhere = lab.tmp.path().join("elsewhere");
            if fs::rename(&path, &elsewhere).is_err() {
                fs::write(&elsewhere, "nothing of the log's").unwrap();
            }
            let outside = fs::read(&elsewhere).unwrap();
            make(&path);
            let view = options().open_read_only(lab.tmp.path()).unwrap().topic(TOPIC).unwrap().partition(0).unwrap();
            assert_same(&read_all(&view).0, &lab.oracle, "read-only");
            let (store, partition) = lab.open();
            assert_eq!(ranges(partition.recovery_report()), [], "{name}");
            let mut oracle = lab.oracle.clone();
            append(&partition, &mut oracle, 10, 1000, AckLevel::Durable);
            assert_same(&read_all(partition.view()).0, &oracle, &name);
            store.close().unwrap();
            let (_store, again) = lab.open();
            assert_same(&read_all(again.view()).0, &oracle, &name);
            assert!(!again.recovery_report().is_notable(), "{name}: {:?}", again.recovery_report());
            assert!(outside == fs::read(&elsewhere).unwrap(), "{name}: written through a symlink");
        }
    }
}

#[test]
fn row_31_file_longer_than_its_capacity() {
    for (number, durable) in [(0, Durable::Everything), (2, Durable::Everything), (2, Durable::Before(30))] {
        let lab = Lab::three_segments(durable);
        let segment = &lab.segments()[number];
        segment.edit(|bytes| {
            bytes.resize(segment.header.capacity as usize, 0);
            bytes.extend([0xAB; 5000]);
        });
        check(&lab, &Expect::ends_at(150).found(Found::TooLong, Verdict::Repair).stays());
        // Also behind appends, a roll and closes: it may be looked at.
        assert_eq!(segment.bytes()[segment.header.capacity as usize..], [0xAB; 5000]);
    }
}

/// What is torn is set aside and taken away from in front of it.
#[test]
fn row_31_file_longer_than_its_capacity_and_torn() {
    let excess = [0xAB; 5000];
    // The end of the log, then a seal.
    for number in [2, 0] {
        let lab = Lab::three_segments(Durable::Before(30));
        let segment = &lab.segments()[number];
        let (from, expect) = if number == 2 {
            let from = segment.frame_of(140).position;
            segment.flip_body(140);
            (from as usize, Expect::ends_at(140).found(Found::BadFrameThenValid, Verdict::Repair))
        } else {
            let seal = segment.seal().position;
            segment.flip(seal + 70);
            (seal as usize, Expect::ends_at(150).found(Found::UnsealedRunsToNext, Verdict::Silent))
        };
        let torn = segment.bytes()[from..].to_vec();
        let capacity = segment.header.capacity as usize;
        segment.edit(|bytes| {
            bytes.resize(capacity, 0);
            bytes.extend(excess);
        });
        check(&lab, &expect.found(Found::TooLong, Verdict::Repair).stays());
        let bytes = segment.bytes();
        assert!(bytes[from..capacity].iter().all(|&byte| byte == 0), "segment {number}: what was torn is still there");
        assert!(bytes[capacity..] == excess, "segment {number}: {} bytes behind its capacity", bytes.len().saturating_sub(capacity));
        if number == 2 {
            let kept = names(&lab.dir().join("quarantine"));
            let [kept] = &kept[..] else { panic!("{kept:?}") };
            let kept = fs::read(lab.dir().join("quarantine").join(kept)).unwrap();
            let used = torn.iter().rposition(|&byte| byte != 0).unwrap() + 1;
            assert!(kept == torn[..used], "{} bytes are kept, {used} were torn", kept.len());
        }
    }
}

/// Whatever fails while it is taken away: the next open goes on from there.
#[test]
fn row_31_any_call_of_a_recovery_in_front_of_the_excess_may_fail() {
    for number in [2, 0] {
        let lab = Lab::three_segments(Durable::Before(30));
        let segment = &lab.segments()[number];
        let (capacity, end) = (segment.header.capacity as usize, if number == 2 { 140 } else { 150 });
        let from = if number == 2 { segment.frame_of(end).position } else { segment.seal().position } as usize;
        if number == 2 {
            segment.flip_body(end)
        } else {
            segment.flip(from as u64 + 70)
        }
        segment.edit(|bytes| {
            bytes.resize(capacity, 0);
            bytes.extend([0xAB; 5000]);
        });
        let (torn, readable, mut opened) = (segment.bytes(), lab.readable(&[], end), 0);
        for nth in 1.. {
            let image = Lab { tmp: tempdir(), oracle: readable.clone() };
            copy_tree(lab.tmp.path(), image.tmp.path());
            let faulty = Faulty::new(Arc::new(Disk::new()));
            let store = options().without_threads().storage(Arc::new(faulty.clone())).open(image.tmp.path()).unwrap();
            faulty.inject(Fault::anywhere().nth(nth).error(EIO));
            opened += u64::from(partition(&store).is_ok());
            let is_over = faulty.fired() == 0;
            drop(store);
            // What is torn is there or kept.
            let bytes = fs::read(image.dir().join(segment.id().log_name())).unwrap();
            let is_kept = || names(&image.dir().join("quarantine")).iter().any(|name| name.ends_with(".bin"));
            assert!(number == 0 || bytes[from..capacity] == torn[from..capacity] || is_kept(), "call {nth}: it was cut off before it was kept");
            let (_store, log) = image.open();
            assert_same(&read_all(log.view()).0, &readable, &format!("segment {number}, call {nth}"));
            assert_eq!(log.log_end_offset().get(), end);
            let bytes = fs::read(image.dir().join(segment.id().log_name())).unwrap();
            assert!(bytes[capacity..] == [0xAB; 5000], "call {nth}: {} bytes behind the capacity", bytes.len().saturating_sub(capacity));
            if is_over {
                break;
            }
        }
        assert!(opened > 0, "the last is not disturbed");
    }
}

#[test]
fn row_31_bytes_past_the_seal() {
    for durable in [Durable::Everything, Durable::Before(30)] {
        let lab = Lab::three_segments(durable);
        let (segment, seal) = (&lab.segments()[0], lab.segments()[0].seal());
        segment.edit(|bytes| {
            bytes.truncate(seal.end() as usize);
            bytes.extend([0xCD; 40]);
        });
        check(&lab, &Expect::ends_at(150));
    }
}

#[test]
fn row_32_segment_header_bad_its_salt_known() {
    for durable in [Durable::Everything, Durable::Before(30)] {
        // The seal knows it.
        let lab = Lab::three_segments(durable);
        lab.segments()[1].edit(|bytes| bytes[..128].fill(0x5A));
        check(&lab, &Expect::ends_at(150).found(Found::HeaderBadSaltKnown, Verdict::Repair).stays());
    }
    // The checkpoint knows it.
    let lab = Lab::three_segments(Durable::Everything);
    lab.segments()[2].edit(|bytes| bytes[..128].fill(0x5A));
    check(&lab, &Expect::ends_at(150).found(Found::HeaderBadSaltKnown, Verdict::Repair).stays());
    // The header itself does.
    let lab = Lab::ten_records(Durable::Nothing);
    fs::remove_file(lab.dir().join(CHECKPOINT_NAME)).unwrap();
    lab.segments()[0].edit(|bytes| bytes[..32].fill(0x5A));
    check(&lab, &Expect::ends_at(10).found(Found::HeaderBadSaltKnown, Verdict::Repair).stays());
    // The index knows it.
    let lab = closed_with_indexes();
    let last = lab.segments().pop().unwrap();
    assert!(last.index_path().exists());
    last.edit(|bytes| bytes[..128].fill(0));
    (0..2).for_each(|slot| flip_slot(&lab, slot));
    check(&lab, &Expect::ends_at(200).found(Found::HeaderBadSaltKnown, Verdict::Repair).stays());
}

#[test]
fn row_33_meta_unreadable_or_absent() {
    for damage in [(|bytes| flip_first(bytes)) as fn(&mut Vec<u8>), |bytes| flip_last(bytes), Vec::clear] {
        let lab = Lab::three_segments(Durable::Everything);
        let path = lab.dir().join(META_NAME);
        let good = fs::read(&path).unwrap();
        let mut bytes = good.clone();
        damage(&mut bytes);
        fs::write(&path, bytes).unwrap();
        check(&lab, &Expect::ends_at(150).found(Found::MetaUnreadable, Verdict::Repair));
        let (old, new) = (tidelog_format::Meta::decode(&good).unwrap(), tidelog_format::Meta::decode(&fs::read(&path).unwrap()).unwrap());
        assert_eq!(new, tidelog_format::Meta { created: new.created, ..old }, "rebuilt");
    }
    let lab = Lab::three_segments(Durable::Everything);
    fs::remove_file(lab.dir().join(META_NAME)).unwrap();
    check(&lab, &Expect::ends_at(150).found(Found::MetaUnreadable, Verdict::Repair));
}

#[test]
fn row_33_segment_of_another_partition_among_ours() {
    for meta_too in [true, false] {
        let lab = Lab::three_segments(Durable::Everything);
        let other = Lab::three_segments(Durable::Everything);
        let (from, to) = middle(&lab);
        fs::copy(&other.segments()[1].path, &lab.segments()[1].path).unwrap();
        if meta_too {
            fs::remove_file(lab.dir().join(META_NAME)).unwrap();
        }
        let expect = Expect::ends_at(150).damage(from, to).found(Found::StrayFile, Verdict::Repair);
        check(&lab, &expect.found(Found::SegmentMissing, Verdict::Damage));
    }
}

/// META and CHECKPOINT know whose log this is: another one in its place is damage, and is not served.
#[test]
fn row_33_all_segments_are_of_another_partition() {
    let mut lab = Lab::closed(|partition, oracle| append(partition, oracle, 20, 100, AckLevel::Durable));
    let other = Lab::closed(|partition, oracle| append(partition, oracle, 30, 200, AckLevel::Durable));
    fs::copy(&other.segments()[0].path, &lab.segments()[0].path).unwrap();
    lab.oracle.clear();
    let expect = Expect::ends_at(20).damage(0, 20).found(Found::StrayFile, Verdict::Repair);
    check(&lab, &expect.found(Found::EndsBeforeCheckpoint, Verdict::Damage));
}

#[test]
fn row_34_overlapping_segments_are_settled_by_their_number() {
    let before = Lab::three_segments(Durable::Everything);
    let mut lab = Lab::closed(|_, _| {});
    fs::remove_dir_all(lab.tmp.path().join("topics")).unwrap();
    crate::support::copy_tree(&before.tmp.path().join("topics"), &lab.tmp.path().join("topics"));
    lab.oracle = before.oracle.clone();
    let (store, partition) = lab.open();
    partition.truncate_suffix(100).unwrap();
    lab.oracle.split_off(&100);
    append_batch(&partition, &mut lab.oracle, 7, 50, AckLevel::Durable);
    drop(partition);
    store.close().unwrap();
    // What was cut off is there again.
    let cut = &before.segments()[2];
    fs::copy(&cut.path, lab.dir().join(cut.id().log_name())).unwrap();
    check(&lab, &Expect::ends_at(107).found(Found::Overlap, Verdict::Silent));
    assert!(!lab.dir().join(cut.id().log_name()).exists(), "it is unlinked again");
}

/// A feature that a version need not know to read, but would break by writing.
#[test]
fn row_25_a_frame_of_a_newer_version_in_a_sealed_segment_is_met_by_who_reads_it() {
    let lab = Lab::closed(|partition, oracle| append(partition, oracle, 150, 1000, AckLevel::Durable));
    lab.remove_indexes();
    let segment = &lab.segments()[0];
    let (of, next) = (segment.frame_of(5), lab.segments()[1].header.base_offset.get());
    segment.rewrite_header(of, |header| header.attributes = tidelog_format::Attributes(header.attributes.0 | 1 << 30));
    for _ in 0..2 {
        let (store, partition) = lab.open();
        let view = partition.view();
        assert_eq!(view.get(4).unwrap().value().unwrap(), lab.oracle[&4]);
        assert!(view.get(5).is_err());
        assert_eq!(view.read_from(next).unwrap().map(Result::unwrap).count() as u64, 150 - next);
        assert_eq!(partition.log_end_offset(), 150);
        drop(partition);
        store.close().unwrap();
    }
}

#[test]
fn row_25_a_feature_for_writers_alone_leaves_reading_open() {
    // With bytes that no checkpoint covers: nothing writes them back either, at the open or ahead of it.
    let lab = Lab::ten_records(Durable::Before(5));
    let path = lab.dir().join(META_NAME);
    let meta = tidelog_format::Meta::decode(&fs::read(&path).unwrap()).unwrap();
    fs::write(&path, tidelog_format::Meta { ro_compat: 4, ..meta }.encode()).unwrap();
    let before = fingerprint(&lab.dir());
    let store = options().background_recovery(true).open(lab.tmp.path()).unwrap();
    store.wait_recovered();
    let refused = partition(&store).map(drop);
    assert!(matches!(&refused, Err(TopicError::Open(OpenError::Unsupported { .. }))), "{refused:?}");
    drop(store);
    let reader = Store::open_read_only(lab.tmp.path()).unwrap();
    assert_same(&read_all(&reader.topic(TOPIC).unwrap().partition(0).unwrap()).0, &lab.oracle, "read-only");
    assert_eq!(fingerprint(&lab.dir()), before, "nothing is changed");
}

#[test]
fn row_35_declared_gap_is_known_damage() {
    let lab = Lab::ten_records(Durable::Everything);
    zero_from(&lab, 0, 5);
    check(&lab, &Expect::ends_at(10).damage(5, 10).found(Found::ZerosToEnd, Verdict::Damage));
    let (_store, partition) = lab.open();
    let report = partition.recovery_report();
    assert!(report.findings.iter().any(|finding| (finding.found, finding.verdict) == (Found::DeclaredGap, Verdict::Silent)), "{report:?}");
    assert_eq!(ranges(report), [(5, 10)]);
}

#[test]
fn row_35_a_gap_stays_declared_when_the_segment_that_says_so_is_never_used() {
    let lab = Lab::ten_records(Durable::Everything);
    zero_from(&lab, 0, 5);
    let (store, first) = lab.open();
    assert_eq!(ranges(first.recovery_report()), [(5, 10)]);
    let mut readable = lab.readable(&[(5, 10)], 10);
    append(&first, &mut readable, 1, 100 << 10, AckLevel::Durable);
    drop(first);
    store.close().unwrap();
    let (_store, partition) = lab.open();
    let report = partition.recovery_report();
    assert!(!report.findings.iter().any(|finding| finding.verdict == Verdict::Damage), "{report:?}");
    assert_eq!(ranges(report), [(5, 10)]);
    assert_same(&read_all(partition.view()).0, &readable, "around the gap");
}

/// Everything is lost: the segment that says so is the first of the log.
#[test]
fn row_35_a_gap_at_the_beginning_of_the_log_is_known_damage() {
    let lab = Lab::ten_records(Durable::Everything);
    zero_from(&lab, 0, 0);
    check(&lab, &Expect::ends_at(10).damage(0, 10).found(Found::ZerosToEnd, Verdict::Damage));
    let (_store, partition) = lab.open();
    let report = partition.recovery_report();
    assert!(report.findings.iter().any(|finding| (finding.found, finding.verdict) == (Found::DeclaredGap, Verdict::Silent)), "{report:?}");
    assert_eq!(ranges(report), [(0, 10)]);
    assert!(report.damage[0].declared && partition.view().verify(true, &mut |_| {}).unwrap().is_sound());
}

/// Zeros from the frame of `offset` to the end of the file.
fn zero_from(lab: &Lab, segment: usize, offset: u64) {
    let segment = &lab.segments()[segment];
    let from = segment.frame_of(offset).position;
    segment.edit(|bytes| bytes[from as usize..].fill(0));
}

/// The offsets of the second of three segments.
fn middle(lab: &Lab) -> (u64, u64) {
    let segments = lab.segments();
    (segments[1].header.base_offset.get(), segments[2].header.base_offset.get())
}

fn closed_with_indexes() -> Lab {
    Lab::closed(|partition, oracle| append(partition, oracle, 200, 1000, AckLevel::Written))
}

/// `slot` 1 is the newer of the two that a test wrote.
fn flip_slot(lab: &Lab, slot: usize) {
    let path = lab.dir().join(CHECKPOINT_NAME);
    let mut bytes = fs::read(&path).unwrap();
    bytes[slot * 4096 + 50] ^= 4;
    fs::write(&path, bytes).unwrap();
}

fn fill_slot(lab: &Lab, slot: usize, byte: u8) {
    let path = lab.dir().join(CHECKPOINT_NAME);
    let mut bytes = fs::read(&path).unwrap();
    bytes[slot * 4096..(slot + 1) * 4096].fill(byte);
    fs::write(&path, bytes).unwrap();
}

fn flip_first(bytes: &mut [u8]) {
    bytes[3] ^= 1;
}

fn flip_last(bytes: &mut [u8]) {
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
}

fn make_fifo(path: &Path) {
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600), 0).unwrap();
}

fn make_symlink(path: &Path) {
    // To the file that stood here, in the store's directory.
    std::os::unix::fs::symlink("../../../../elsewhere", path).unwrap();
}

fn make_dir(path: &Path) {
    fs::create_dir(path).unwrap();
    fs::write(path.join("something"), "inside").unwrap();
}

/// Refused by writers and readers, and nothing is changed.
fn check_unsupported(lab: &Lab) {
    let store = options().open(lab.tmp.path()).unwrap();
    let before = fingerprint(&partition_dir(lab.tmp.path()));
    assert!(matches!(partition(&store), Err(TopicError::Open(OpenError::Unsupported { .. }))));
    drop(store);
    let read_only = options().open_read_only(lab.tmp.path()).unwrap().topic(TOPIC).unwrap().partition(0);
    assert!(matches!(read_only, Err(TopicError::Open(OpenError::Unsupported { .. }))));
    assert!(before == fingerprint(&partition_dir(lab.tmp.path())), "a refusal changed something");
}
