//! What the recovery plan goes by where several witnesses differ or one is missing, case by case: the decision table's rows hold for each.

use std::fs;
use std::sync::Arc;

use tidelog::io::Disk;
use tidelog::io::fault::Faulty;
use tidelog::{AckLevel, Found, RecoveryReport, Verdict};
use tidelog_format::{
    CHECKPOINT_NAME, Checkpoint, IndexHeader, LeaderEpoch, META_NAME, Offset, Position, SLOT_BYTES, SegmentHeader, SegmentId, TimestampNs,
};

use crate::support::{
    Durable, Expect, Lab, Oracle, Segment, Spot, TOPIC, append, assert_same, check, copy_tree, options, partition, partition_dir, ranges, read_all,
    segments, tempdir,
};

/// The findings of the next open.
fn report(lab: &Lab) -> RecoveryReport {
    let (_store, partition) = lab.open();
    partition.recovery_report().clone()
}

fn found(report: &RecoveryReport) -> Vec<(Found, Verdict)> {
    report.findings.iter().map(|finding| (finding.found, finding.verdict)).collect()
}

/// Changes both slots.
fn change_slots(lab: &Lab, change: impl Fn(Checkpoint) -> Checkpoint) {
    let slots: Vec<_> = lab.slots().into_iter().map(|slot| slot.map(&change)).collect();
    lab.write_slots(&slots);
}

/// Without a checkpoint and without a seal, which say so too.
#[test]
fn the_header_of_a_segment_knows_the_log_start() {
    let mut lab = Lab::killed(|partition, oracle| {
        append(partition, oracle, 100, 1000, AckLevel::Durable);
        partition.delete_prefix(70).unwrap();
        append(partition, oracle, 50, 1000, AckLevel::Durable);
    });
    let segments = lab.segments();
    assert_eq!(segments.last().unwrap().header.log_start, 70);
    for segment in &segments {
        let seals = segment.frames().into_iter().filter(|frame| frame.is_seal);
        seals.for_each(|seal| segment.zero(seal.position, seal.end()));
    }
    lab.remove_indexes();
    fs::remove_file(lab.dir().join(CHECKPOINT_NAME)).unwrap();
    lab.oracle.retain(|offset, _| *offset >= 70);
    assert_eq!(report(&lab).log_start_offset, 70);
}

/// Nothing was appended after the truncation: no frame names its term.
#[test]
fn the_header_of_a_segment_knows_the_term() {
    let lab = Lab::killed(|partition, oracle| {
        append(partition, oracle, 20, 100, AckLevel::Durable);
        partition.truncate_suffix(10).unwrap();
        oracle.split_off(&10);
    });
    let term = lab.segments().last().unwrap().header.leader_epoch.get();
    assert!(term > 0);
    fs::remove_file(lab.dir().join(CHECKPOINT_NAME)).unwrap();
    let report = report(&lab);
    assert_eq!((report.next_offset, report.leader_epoch), (10, term), "{report:#?}");
}

#[test]
fn a_segment_without_a_header_stays_where_offsets_are_missing() {
    let lab = Lab::three_segments(Durable::Everything);
    let (segment, seal) = (&lab.segments()[1], lab.segments()[1].seal());
    let (from, to) = (segment.header.base_offset.get(), lab.segments()[2].header.base_offset.get());
    segment.zero(0, 128);
    segment.zero(seal.position, seal.end());
    // Others, where none is missing.
    let strays = [5, to].map(|base_offset| lab.dir().join(SegmentId { base_offset, seq: 2 }.log_name()));
    strays.iter().for_each(|stray| fs::write(stray, vec![0xEE; 4096]).unwrap());
    let report = report(&lab);
    assert_eq!(ranges(&report), [(from, to)]);
    assert!(segment.path.exists(), "its bytes may be of use");
    let found = found(&report).into_iter().filter(|found| *found == (Found::StrayFile, Verdict::Repair)).count();
    assert!(found == 2 && strays.iter().all(|stray| !stray.exists()), "{report:#?}");
}

#[test]
fn a_segment_without_a_header_behind_a_torn_end_is_no_finding_of_its_own() {
    let lab = Lab::three_segments(Durable::Before(30));
    let (segment, seal) = (&lab.segments()[1], lab.segments()[1].seal());
    segment.zero(0, 128);
    segment.zero(seal.position, seal.end());
    let found = found(&report(&lab));
    assert!(found.contains(&(Found::SegmentMissing, Verdict::Repair)), "{found:?}");
    assert!(!found.iter().any(|(found, _)| matches!(found, Found::StrayFile | Found::HeaderlessTail)), "{found:?}");
}

#[test]
fn a_segment_without_a_header_is_the_tail_only_above_all_others() {
    for (seq, expected) in [(3, (Found::StrayFile, Verdict::Repair)), (4, (Found::HeaderlessTail, Verdict::Silent))] {
        let lab = Lab::three_segments(Durable::Before(30));
        fs::write(lab.dir().join(SegmentId { base_offset: 150, seq }.log_name()), vec![0xEE; 4096]).unwrap();
        let found = found(&report(&lab));
        assert!(found.contains(&expected), "{seq}: {found:?}");
    }
}

#[test]
fn an_index_is_missed_only_where_there_should_be_one() {
    let lab = Lab::closed(|partition, oracle| append(partition, oracle, 150, 1000, AckLevel::Durable));
    assert!(lab.segments().iter().all(|segment| segment.index_path().exists()));
    assert!(found(&report(&lab)).iter().all(|(found, _)| *found != Found::IndexUnusable), "all of them are there");
    let lab = Lab::ten_records(Durable::Before(5));
    lab.remove_indexes();
    assert!(found(&report(&lab)).iter().all(|(found, _)| *found != Found::IndexUnusable), "the active segment has none yet");
}

/// A seal does not vouch for frames that no checkpoint covers: they may have been lost while it was not.
#[test]
fn the_seal_of_the_segment_that_the_checkpoint_is_in_is_not_trusted() {
    let lab = Lab::three_segments(Durable::Before(30));
    cut_to_its_seal(&lab.segments()[0]);
    lab.segments()[0].flip_body(40);
    check(&lab, &Expect::ends_at(40).found(Found::BadFrameThenValid, Verdict::Repair));
}

#[test]
fn a_report_says_how_much_was_read() {
    let lab = Lab::three_segments(Durable::Nothing);
    let frames: u64 = lab.segments().iter().map(|segment| segment.frames().last().unwrap().end() - 128).sum();
    let read = report(&lab).scanned_bytes;
    let files: u64 = lab.segments().iter().map(|segment| segment.header.capacity).sum();
    assert!((frames..=files).contains(&read), "{read} bytes of {frames} that hold frames");
}

/// The checkpoint names a segment that is gone: everything below the offset it names was durable all the same, and is looked at.
#[test]
fn a_checkpoint_of_a_lost_segment_goes_by_its_offset() {
    let lab = Lab::three_segments(Durable::Everything);
    cut_to_its_seal(&lab.segments()[0]);
    lab.segments()[0].flip_body(40);
    change_slots(&lab, |slot| Checkpoint { active_seq: 77, active_salt: 9, durable_next_offset: Offset::new(30), ..slot });
    check(&lab, &Expect::ends_at(150).damage(40, 41).found(Found::BadFrameThenValid, Verdict::Damage));
}

/// Of a file of the same number and another salt, such as the one that a repair replaced.
#[test]
fn a_checkpoint_speaks_of_one_file_alone() {
    for tail_pos in [None, Some(Position::new(128))] {
        let lab = Lab::closed(|partition, oracle| append(partition, oracle, 20, 1000, AckLevel::Durable));
        let segment = &lab.segments()[0];
        assert!(segment.index_path().exists());
        segment.strip_claims();
        segment.flip_body(10);
        change_slots(&lab, |slot| Checkpoint { active_salt: slot.active_salt ^ 1, tail_pos: tail_pos.unwrap_or(slot.tail_pos), ..slot });
        let report = report(&lab);
        assert!(found(&report).contains(&(Found::BadFrameThenValid, Verdict::Damage)) && ranges(&report).contains(&(10, 11)), "{report:#?}");
        assert_eq!(report.next_offset, 20);
    }
}

#[test]
fn a_frame_that_claims_what_the_checkpoint_says_makes_it_no_older() {
    for (durable, is_old) in [(Durable::Before(5), false), (Durable::Before(4), true)] {
        let lab = Lab::killed(|partition, oracle| append(partition, oracle, 10, 100, AckLevel::Written));
        let segment = &lab.segments()[0];
        segment.strip_claims();
        lab.set_durable(durable);
        segment.rewrite_header(segment.frame_of(5), |header| header.durable_back = 0);
        let found = found(&report(&lab));
        assert_eq!(found.iter().any(|(found, _)| *found == Found::CheckpointOld), is_old, "{found:?}");
    }
}

/// A checkpoint at the end of a full segment is in that segment, and not at the beginning of the next: what was not known durable is read.
#[test]
fn the_segment_that_the_checkpoint_is_in_is_read_to_its_end() {
    let lab = Lab::three_segments(Durable::Nothing);
    let segments = lab.segments();
    segments[..2].iter().for_each(cut_to_its_seal);
    let frames = |segment: &Segment| segment.frames().last().unwrap().end() - 128;
    let all: u64 = segments.iter().map(frames).sum();
    let at_the_end = |slot| at_the_end_of(&segments[0], slot);
    change_slots(&lab, at_the_end);
    assert!(report(&lab).scanned_bytes >= all);
    // Of a file that is gone, though not its number: what is below the offset is taken from seals.
    let lab = Lab::three_segments(Durable::Nothing);
    let segments = lab.segments();
    segments[..2].iter().for_each(cut_to_its_seal);
    change_slots(&lab, |slot| Checkpoint { active_salt: slot.active_salt ^ 1, durable_next_offset: Offset::new(150), ..slot });
    assert!(report(&lab).scanned_bytes <= segments[2].header.capacity);
}

/// A file that claims offsets between two gaps claims some that are there.
#[test]
fn what_is_between_two_gaps_is_not_lost() {
    let mut lab = Lab::ten_records(Durable::Everything);
    let lose = |lab: &Lab, from| {
        let segment = lab.segments().pop().unwrap();
        let position = segment.frame_of(from).position as usize;
        segment.edit(|bytes| bytes[position..].fill(0));
    };
    lose(&lab, 5);
    let (store, partition) = lab.open();
    lab.oracle = lab.readable(&[(5, 10)], 10);
    append(&partition, &mut lab.oracle, 10, 100, AckLevel::Durable);
    drop(partition);
    store.close().unwrap();
    lose(&lab, 15);
    assert_eq!(ranges(&report(&lab)), [(5, 10), (15, 20)]);
    let stray = lab.dir().join(SegmentId { base_offset: 12, seq: 1 }.log_name());
    fs::write(&stray, vec![0xEE; 4096]).unwrap();
    let report = report(&lab);
    assert!(found(&report).contains(&(Found::StrayFile, Verdict::Repair)) && !stray.exists(), "{report:#?}");
}

/// Two with one number would leave open which of them answers for an offset.
#[test]
fn a_new_segment_gets_a_number_above_all_that_are_named() {
    let directory = |lab: &Lab| fs::create_dir(lab.dir().join(SegmentId { base_offset: 50, seq: 9 }.log_name())).unwrap();
    let garbage = |lab: &Lab| fs::write(lab.dir().join(SegmentId { base_offset: 50, seq: 9 }.log_name()), b"garbage").unwrap();
    let lost = |lab: &Lab| change_slots(lab, |slot| Checkpoint { active_seq: 9, active_salt: 9, ..slot });
    for name in [&directory as &dyn Fn(&Lab), &garbage, &lost] {
        let lab = Lab::ten_records(Durable::Nothing);
        lab.segments()[0].flip_body(5);
        name(&lab);
        assert_eq!(report(&lab).next_offset, 5);
        assert_eq!(lab.segments().pop().unwrap().header.seq, 10);
    }
}

#[test]
fn a_partition_of_which_only_meta_is_left_keeps_its_identity() {
    let lab = Lab::closed(|_, _| {});
    let meta = fs::read(lab.dir().join(META_NAME)).unwrap();
    lab.segments().iter().for_each(|segment| fs::remove_file(&segment.path).unwrap());
    lab.remove_indexes();
    drop(fs::remove_file(lab.dir().join(CHECKPOINT_NAME)));
    let report = report(&lab);
    assert!(!found(&report).iter().any(|(found, _)| *found == Found::MetaUnreadable), "{report:#?}");
    assert_eq!(fs::read(lab.dir().join(META_NAME)).unwrap(), meta);
}

/// META decides whose log it is as long as any segment agrees; without it most segments do, and the checkpoint where they are as many.
#[test]
fn whose_log_it_is_where_segments_are_of_two() {
    let two = || Lab::closed(|partition, oracle| append(partition, oracle, 70, 1000, AckLevel::Durable));
    let first = two().segments()[1].header.base_offset.get();
    let (lab, other) = (two(), two());
    fs::remove_file(lab.dir().join(META_NAME)).unwrap();
    fs::copy(&other.segments()[1].path, &lab.segments()[1].path).unwrap();
    let (_store, partition) = lab.open();
    assert_same(&read_all(partition.view()).0, &lab.readable(&[], first), "the checkpoint decides");
    let three = || Lab::closed(|partition, oracle| append(partition, oracle, 150, 1000, AckLevel::Durable));
    let (lab, other) = (three(), three());
    fs::remove_file(lab.dir().join(CHECKPOINT_NAME)).unwrap();
    (1..3).for_each(|number| assert_ne!(fs::copy(&other.segments()[number].path, &lab.segments()[number].path).unwrap(), 0));
    lab.remove_indexes();
    let (_store, partition) = lab.open();
    assert_same(&read_all(partition.view()).0, &lab.readable(&[], first), "META decides");
}

/// Else its index would be of a term that a cut ended, and not used.
#[test]
fn a_header_that_was_put_together_is_of_the_term_of_its_frames() {
    let lab = Lab::closed(|partition, oracle| {
        append(partition, oracle, 20, 1000, AckLevel::Durable);
        partition.truncate_suffix(10).unwrap();
        oracle.split_off(&10);
        append(partition, oracle, 40, 1000, AckLevel::Durable);
    });
    let segment = lab.segments().pop().unwrap();
    assert!(segment.header.leader_epoch.get() > 0);
    let whole = Lab { tmp: tempdir(), oracle: Oracle::new() };
    copy_tree(lab.tmp.path(), whole.tmp.path());
    segment.edit(|bytes| bytes[..32].fill(0x5A));
    let (report, whole) = (report(&lab), report(&whole));
    assert!(found(&report).contains(&(Found::HeaderBadSaltKnown, Verdict::Repair)), "{report:#?}");
    assert_eq!((report.next_offset, report.scanned_bytes), (50, whole.scanned_bytes));
}

/// An entry for the seal would lead behind all frames: no later open would believe the index.
#[test]
fn an_index_that_recovery_makes_is_believed() {
    let lab = Lab::three_segments(Durable::Before(30));
    let store = options().without_threads().open(lab.tmp.path()).unwrap();
    let _log = partition(&store).unwrap();
    store.run_background();
    let image = Lab { tmp: tempdir(), oracle: Oracle::new() };
    copy_tree(lab.tmp.path(), image.tmp.path());
    let report = report(&image);
    assert!(!found(&report).iter().any(|(found, _)| *found == Found::IndexUnusable), "{report:#?}");
    assert!(report.scanned_bytes < lab.segments()[2].header.capacity, "{} bytes were read", report.scanned_bytes);
}

/// A file so long that no frame is looked for but the first: that one may be long, and the seal may be the only one who knows the salt.
#[test]
fn the_first_frame_of_a_giant_without_a_header_is_found() {
    for index_is_there in [true, false] {
        let lab = Lab::closed(|partition, oracle| append(partition, oracle, 2, 100_000, AckLevel::Durable));
        let segment = &lab.segments()[0];
        if !index_is_there {
            lab.remove_indexes();
        }
        segment.edit(|bytes| bytes[..128].fill(0x5A));
        let file = fs::File::options().write(true).open(&segment.path).unwrap();
        if file.set_len((256 << 20) + 8).is_err() {
            return; // not on this file system
        }
        let (_store, partition) = lab.open();
        let found = found(partition.recovery_report());
        assert!(found.contains(&(Found::HeaderBadSaltKnown, Verdict::Repair)), "{found:?}");
        assert_same(&read_all(partition.view()).0, &lab.oracle, "of the giant, and behind it");
    }
}

/// Of a long file without a header, all is read once at most, for its seal, and hardly anything where no frame stands behind the header.
#[test]
fn a_giant_of_nothing_is_hardly_searched() {
    const GIANT: u64 = (256 << 20) + 8;
    for (first_frame, most) in [(&b"none"[..], 16 << 20), (b"TDLF", GIANT + (16 << 20))] {
        let lab = Lab::ten_records(Durable::Everything);
        let path = lab.dir().join(SegmentId { base_offset: 10, seq: 2 }.log_name());
        fs::write(&path, [&[0x5A; 128], first_frame].concat()).unwrap();
        if fs::File::options().write(true).open(&path).unwrap().set_len(GIANT).is_err() {
            return; // not on this file system
        }
        let faulty = Faulty::new(Arc::new(Disk::new()));
        let store = options().storage(Arc::new(faulty.clone())).open(lab.tmp.path()).unwrap();
        faulty.reset_counts();
        assert_same(&read_all(partition(&store).unwrap().view()).0, &lab.oracle, "beside it");
        assert!(faulty.bytes_read() < most, "{} bytes were read", faulty.bytes_read());
    }
}

/// Its length leads behind the end of the file.
#[test]
fn a_first_frame_that_is_cut_tells_no_salt() {
    let lab = Lab::ten_records(Durable::Nothing);
    let segment = &lab.segments()[0];
    segment.edit(|bytes| {
        bytes[..32].fill(0x5A);
        bytes.truncate(200);
    });
    let report = report(&lab);
    assert_eq!((report.next_offset, ranges(&report)), (0, vec![]));
}

#[test]
fn a_gap_excuses_nothing_but_itself() {
    let mut lab = Lab::ten_records(Durable::Everything);
    let segment = &lab.segments()[0];
    segment.zero(segment.frame_of(5).position, segment.bytes().len() as u64);
    let (store, partition) = lab.open();
    append(&partition, &mut lab.oracle, 150, 1000, AckLevel::Durable);
    drop(partition);
    store.close().unwrap();
    let segments = lab.segments();
    assert_eq!(segments.len(), 4);
    fs::remove_file(&segments[2].path).unwrap();
    let report = report(&lab);
    let damage: Vec<_> = report.damage.iter().map(|range| (range.from, range.to, range.declared)).collect();
    let (from, to) = (segments[2].header.base_offset.get(), segments[3].header.base_offset.get());
    assert_eq!(damage, [(5, 10, true), (from, to, false)]);
    assert!(found(&report).contains(&(Found::SegmentMissing, Verdict::Damage)), "{report:#?}");
}

/// So that nothing which is written from then on is taken for what was there.
#[test]
fn offsets_lost_at_the_end_begin_a_term() {
    let lab = Lab::ten_records(Durable::Everything);
    let segment = &lab.segments()[0];
    let before = segment.header.leader_epoch.get();
    segment.zero(segment.frame_of(5).position, segment.bytes().len() as u64);
    assert_eq!(report(&lab).leader_epoch, before + 1);
    assert_eq!(report(&lab).leader_epoch, before + 1, "once");
}

/// An empty range tells of damage that cost no offset: nothing begins behind it.
#[test]
fn damage_that_costs_no_offset_begins_no_term() {
    let lab = Lab::three_segments(Durable::Everything);
    let segments = lab.segments();
    change_last(&segments[0]);
    // No room for more: appending goes on in a new segment.
    let capacity = segments[2].frames().last().unwrap().end();
    segments[2].edit(|bytes| bytes[..128].copy_from_slice(&SegmentHeader { capacity, ..segments[2].header }.encode()));
    let report = report(&lab);
    let from = segments[1].header.base_offset.get();
    assert_eq!((ranges(&report), lab.segments().len()), (vec![(from, from)], 4));
    assert_eq!(report.leader_epoch, segments[2].header.leader_epoch.get());
}

#[test]
fn offsets_that_only_the_checkpoint_knows_are_declared_lost() {
    let lab = Lab::ten_records(Durable::Everything);
    change_slots(&lab, |slot| Checkpoint { durable_next_offset: Offset::new(15), ..slot });
    assert!(!report(&lab).damage[0].declared);
    let again = report(&lab);
    assert!(again.damage[0].declared && ranges(&again) == [(10, 15)], "{again:#?}");
    let header = lab.segments()[1].header;
    assert_eq!((header.prev_end, header.base_offset), (Offset::new(10), Offset::new(15)));
}

/// What the header of the segment says that a recovery appends to: base offset, what it cuts off, whether the chain goes on.
#[test]
fn a_new_tail_says_what_became_of_the_log_before_it() {
    let tail = |lab: &Lab| {
        report(lab);
        let header = lab.segments().pop().unwrap().header;
        (header.seq, header.base_offset.get(), header.prev_end.get(), header.flags & SegmentHeader::CHAIN_RESTARTED != 0)
    };
    // Torn: the chain goes on, from the first record on too.
    for torn in [5, 0] {
        let lab = Lab::ten_records(Durable::Nothing);
        lab.segments()[0].flip_body(torn);
        assert_eq!(tail(&lab), (2, torn, torn, false));
    }
    // Lost: it does not. And once more, before anything was written: the first gap is declared again.
    let lab = Lab::ten_records(Durable::Everything);
    let segment = &lab.segments()[0];
    segment.zero(segment.frame_of(5).position, segment.bytes().len() as u64);
    assert_eq!(tail(&lab), (2, 10, 5, true));
    change_slots(&lab, |slot| Checkpoint { durable_next_offset: Offset::new(15), ..slot });
    assert_eq!(tail(&lab), (3, 15, 5, true));
    // No offset is, but the checkpoint knows of more than there is: it goes on, and not where that was.
    let lab = Lab::ten_records(Durable::Everything);
    change_slots(&lab, |slot| Checkpoint { tail_pos: Position::new(slot.tail_pos.get() + 8), ..slot });
    assert_eq!(tail(&lab), (2, 10, 10, false));
}

#[test]
fn nothing_is_appended_to_a_sealed_segment() {
    let lab = Lab::three_segments(Durable::Before(30));
    let segments = lab.segments();
    fs::remove_file(&segments[2].path).unwrap();
    let from = segments[2].header.base_offset.get();
    check(&lab, &Expect::ends_at(from));
    assert_eq!(lab.segments()[2].header.base_offset, from);
}

#[test]
fn the_term_of_a_frame_is_known_though_no_header_and_no_checkpoint_knows_it() {
    let lab = Lab::ten_records(Durable::Everything);
    let segment = &lab.segments()[0];
    segment.rewrite_header(segment.frame_of(9), |header| header.leader_epoch = LeaderEpoch::new(7));
    assert_eq!(report(&lab).leader_epoch, 7);
}

/// A walk holds a stretch of a file in memory: frames that reach over its end are read all the same, and damage behind it is passed.
#[test]
fn a_segment_longer_than_what_a_walk_holds_is_walked_to_its_end() {
    let (tmp, image, mut oracle) = (tempdir(), tempdir(), Oracle::new());
    let large = || options().segment_bytes(8 << 20);
    let store = large().open(tmp.path()).unwrap();
    append(&partition(&store).unwrap(), &mut oracle, 40, 100_000, AckLevel::Durable);
    copy_tree(tmp.path(), image.path());
    fs::remove_file(partition_dir(image.path()).join(CHECKPOINT_NAME)).unwrap();
    let segment = &segments(&partition_dir(image.path()))[0];
    let zeros = segment.frame_of(10).position..segment.frame_of(24).end();
    segment.flip_body(3);
    segment.zero(zeros.start, zeros.end);
    oracle.retain(|offset, _| *offset != 3 && !(10..25).contains(offset));
    let store = large().open(image.path()).unwrap();
    let partition = partition(&store).unwrap();
    let (records, damage) = read_all(partition.view());
    assert_same(&records, &oracle, "around the damage");
    assert_eq!(damage, [(3, 4), (10, 25)]);
    let expected = format!("position {}: zeros in front of other bytes", zeros.start);
    assert!(partition.recovery_report().findings.iter().any(|finding| finding.detail == expected));
}

#[test]
fn a_batch_longer_than_what_a_walk_holds_is_found_behind_damage() {
    let (tmp, image, mut oracle) = (tempdir(), tempdir(), Oracle::new());
    let large = || options().segment_bytes(16 << 20);
    let store = large().open(tmp.path()).unwrap();
    append(&partition(&store).unwrap(), &mut oracle, 4, 1_500_000, AckLevel::Durable);
    copy_tree(tmp.path(), image.path());
    fs::remove_file(partition_dir(image.path()).join(CHECKPOINT_NAME)).unwrap();
    segments(&partition_dir(image.path()))[0].flip_body(1);
    oracle.remove(&1);
    let store = large().open(image.path()).unwrap();
    let (records, damage) = read_all(partition(&store).unwrap().view());
    assert_same(&records, &oracle, "around the damage");
    assert_eq!(damage, [(1, 2)]);
}

#[test]
fn a_batch_without_records_says_nothing_of_times() {
    let lab = Lab::three_segments(Durable::Nothing);
    let segment = &lab.segments()[0];
    segment.rewrite_header(segment.frame_of(5), |header| (header.record_count, header.max_ts) = (0, TimestampNs::new(i64::MAX)));
    assert_eq!(report(&lab).next_offset, 6, "what follows was written behind another frame");
    let header = IndexHeader::decode(&fs::read(segment.index_path()).unwrap()).unwrap();
    assert_eq!(header.next_offset, Offset::new(6));
    assert!(header.max_ts < TimestampNs::new(i64::MAX), "{header:?}");
}

#[test]
fn a_walk_makes_an_index_of_a_share_of_the_frames() {
    let lab = Lab::three_segments(Durable::Nothing);
    report(&lab);
    let segment = &lab.segments()[0];
    let header = IndexHeader::decode(&fs::read(segment.index_path()).unwrap()).unwrap();
    let frames = segment.frames().len() as u32;
    assert!((frames / 6..=frames * 2 / 3).contains(&header.entries), "{} entries for {frames} frames", header.entries);
}

/// Segments that end without a seal, where a recovery cut them, are not read again at each open.
#[test]
fn an_index_vouches_for_a_segment_without_a_seal() {
    let lab = Lab::killed(|partition, oracle| append(partition, oracle, 50, 1000, AckLevel::Written));
    let segment = &lab.segments()[0];
    segment.strip_claims();
    lab.set_durable(Durable::Nothing);
    segment.flip_body(45);
    let (store, partition) = lab.open();
    assert_eq!((partition.log_end_offset().get(), lab.segments().len()), (45, 2));
    drop(partition);
    store.close().unwrap();
    assert!(report(&lab).scanned_bytes < 40_000);
}

#[test]
fn an_index_whose_block_is_damaged_vouches_for_nothing() {
    let lab = Lab::closed(|partition, oracle| append(partition, oracle, 20, 1000, AckLevel::Durable));
    let path = lab.segments()[0].index_path();
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    assert!(found(&report(&lab)).contains(&(Found::IndexUnusable, Verdict::Silent)));
}

/// A living writer names the next segment first and seals then: half a seal is no damage to who reads beside it.
#[test]
fn half_a_seal_of_a_living_writer_is_no_damage() {
    let tmp = tempdir();
    let store = options().open(tmp.path()).unwrap();
    let writer = partition(&store).unwrap();
    append(&writer, &mut Oracle::new(), 150, 1000, AckLevel::Durable);
    let segment = &segments(&partition_dir(tmp.path()))[0];
    segment.flip(segment.seal().position + 70);
    drop(fs::remove_file(segment.index_path()));
    let view = options().open_read_only(tmp.path()).unwrap().topic(TOPIC).unwrap().partition(0).unwrap();
    assert_eq!((view.log_end_offset().get(), view.damage().len()), (150, 0));
}

#[test]
fn findings_say_what_stands_where() {
    let check = |change: &dyn Fn(&Segment, Spot), expected: &str| {
        let lab = Lab::ten_records(Durable::Everything);
        let segment = &lab.segments()[0];
        let spot = segment.frame_of(5);
        change(segment, spot);
        let findings = report(&lab).findings;
        let expected = format!("position {}: {expected}", spot.position);
        assert!(findings.iter().any(|finding| finding.detail.starts_with(&expected)), "{expected}: {findings:#?}");
    };
    check(&|segment, spot| segment.zero(spot.position, spot.end()), "magic number 0x0 instead of ");
    check(&|segment, _| segment.flip_body(5), "records checksum ");
    let renumber = |segment: &Segment, spot| segment.rewrite_header(spot, |header| header.base_offset = Offset::new(6));
    check(&renumber, "offset 6 where 5 follows");
    check(&|segment, spot| segment.rewrite_header(spot, |header| header.chain ^= 1), "written after other frames: chain ");
}

#[test]
fn findings_say_what_becomes_of_a_file() {
    let check = |change: &dyn Fn(&Lab), name: &str, expected: &str| {
        let lab = Lab::three_segments(Durable::Everything);
        change(&lab);
        let findings = report(&lab).findings;
        assert!(findings.iter().any(|finding| finding.file == name && finding.detail == expected), "{name}, {expected}: {findings:#?}");
    };
    let flip = |lab: &Lab, slots: &[usize]| {
        let path = lab.dir().join(CHECKPOINT_NAME);
        let mut bytes = fs::read(&path).unwrap();
        slots.iter().for_each(|slot| bytes[slot * SLOT_BYTES + 50] ^= 4);
        fs::write(&path, bytes).unwrap();
    };
    let log = |number: usize| Lab::three_segments(Durable::Nothing).segments()[number].id().log_name();
    check(&|lab| flip(lab, &[0]), CHECKPOINT_NAME, "one of its two slots is unreadable; the other is used");
    check(&|lab| flip(lab, &[0, 1]), CHECKPOINT_NAME, "unreadable; all segments were scanned instead");
    check(&|lab| fs::remove_file(lab.dir().join(CHECKPOINT_NAME)).unwrap(), CHECKPOINT_NAME, "absent; all segments were scanned instead");
    let foreign = |lab: &Lab| change_slots(lab, |slot| Checkpoint { partition_uuid: [9; 16], ..slot });
    check(&foreign, CHECKPOINT_NAME, "of another partition; all segments were scanned instead");
    let stray = SegmentId { base_offset: 7, seq: 77 }.log_name();
    let copy = |lab: &Lab| assert_ne!(fs::copy(&lab.segments()[0].path, lab.dir().join(&stray)).unwrap(), 0);
    check(&copy, &stray, "of another partition or by another name; it is ignored");
    check(&|lab| fs::create_dir(lab.dir().join("META.tmp")).unwrap(), "META.tmp", "not a regular file");
    let longer = |lab: &Lab| lab.segments()[2].edit(|bytes| bytes.extend([1; 8]));
    check(&longer, &log(2), "longer than its capacity; the excess is ignored");
    let headless = |lab: &Lab| lab.segments()[1].edit(|bytes| bytes[..32].fill(0x5A));
    check(&headless, &log(1), "its header is damaged; its records are there");
    check(&|lab| fs::remove_file(lab.dir().join(META_NAME)).unwrap(), META_NAME, "unreadable, absent or of another partition; it is rebuilt");
}

#[test]
fn a_torn_end_is_told_apart_from_other_findings() {
    assert!(Found::ZerosToEnd.is_torn_end() && Found::HeaderlessTail.is_torn_end());
    assert!(!Found::HeadMissing.is_torn_end() && !Found::IndexUnusable.is_torn_end());
}

#[test]
fn a_segment_is_missing_before_the_durable_point_if_that_is_in_the_next_one() {
    let lab = Lab::three_segments(Durable::Nothing);
    let segments = lab.segments();
    let (from, to) = (segments[1].header.base_offset.get(), segments[2].header.base_offset.get());
    lab.set_durable(Durable::Before(to));
    fs::remove_file(&segments[1].path).unwrap();
    check(&lab, &Expect::ends_at(150).damage(from, to).found(Found::SegmentMissing, Verdict::Damage));
}

#[test]
fn a_segment_behind_all_that_was_durable_may_be_missing() {
    let lab = Lab::three_segments(Durable::Nothing);
    let segments = lab.segments();
    change_slots(&lab, |slot| at_the_end_of(&segments[0], slot));
    fs::remove_file(&segments[1].path).unwrap();
    let from = segments[1].header.base_offset.get();
    check(&lab, &Expect::ends_at(from).found(Found::SegmentMissing, Verdict::Repair));
}

#[test]
fn each_segment_without_a_seal_is_found() {
    let lab = Lab::three_segments(Durable::Nothing);
    let (segment, seal) = (&lab.segments()[0], lab.segments()[0].seal());
    segment.zero(seal.position, seal.end());
    let findings = report(&lab).findings;
    let unsealed: Vec<_> = findings.iter().filter(|finding| finding.found == Found::UnsealedRunsToNext).map(|finding| &finding.file).collect();
    assert_eq!(unsealed, [&segment.id().log_name()], "{findings:#?}");
}

/// All frames and offsets are right, but the second segment was written behind another last frame than the first one has now.
#[test]
fn records_of_another_history_are_damage_before_the_durable_point_alone() {
    for in_the_next in [false, true] {
        let lab = Lab::three_segments(Durable::Everything);
        let (segment, from) = (&lab.segments()[0], lab.segments()[1].header.base_offset.get());
        if in_the_next {
            lab.set_durable(Durable::Before(from));
        }
        change_last(segment);
        let report = report(&lab);
        assert!(found(&report).contains(&(Found::ChainMismatch, Verdict::Damage)), "{report:#?}");
        assert_eq!((report.next_offset, ranges(&report)), (150, vec![(from, from)]));
    }
    // The second segment is shorter than what is durable of the first.
    let lab = Lab::killed(|partition, oracle| append(partition, oracle, 70, 1000, AckLevel::Written));
    let segments = lab.segments();
    segments.iter().for_each(Segment::strip_claims);
    lab.remove_indexes();
    change_slots(&lab, |slot| at_the_end_of(&segments[0], slot));
    change_last(&segments[0]);
    let report = report(&lab);
    assert!(found(&report).contains(&(Found::ChainMismatch, Verdict::Repair)), "{report:#?}");
    assert_eq!((report.next_offset, ranges(&report)), (segments[1].header.base_offset.get(), vec![]));
}

/// A checkpoint that says that all records of a segment were durable, and not its seal.
fn at_the_end_of(segment: &Segment, slot: Checkpoint) -> Checkpoint {
    let last = segment.frames().into_iter().rfind(|frame| !frame.is_seal).unwrap();
    let (active_seq, active_salt) = (segment.header.seq, segment.header.salt);
    let durable_next_offset = Offset::new(last.next);
    Checkpoint { active_seq, active_salt, tail_pos: Position::new(last.end()), durable_next_offset, high_water_mark: durable_next_offset, ..slot }
}

/// Makes another record of the last one, and the seal go.
fn change_last(segment: &Segment) {
    let last = segment.frames().into_iter().rfind(|frame| !frame.is_seal).unwrap();
    segment.zero(last.end(), segment.bytes().len() as u64);
    segment.rewrite_header(last, |header| header.base_ts = TimestampNs::new(header.base_ts.get() + 1));
}

/// As the keeper leaves it.
fn cut_to_its_seal(segment: &Segment) {
    let seal = segment.seal();
    segment.edit(|bytes| bytes.truncate(seal.end() as usize));
}
