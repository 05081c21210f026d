//! Stories of damage and of crashes that look like it, each of which broke some draft or some other log; and every byte flipped.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tidelog::io::fault::{Fault, Faulty, Op};
use tidelog::io::{Disk, Storage};
use tidelog::{AckLevel, Found, OpenError, ReadError, Record, Store, SyncPolicy, TopicError, Verdict};
use tidelog_format::{Attributes, CHECKPOINT_NAME, Frame, IndexHeader, META_NAME, Offset, Position, SegmentId, crc32, encode_index};

use crate::support::{
    Durable, Expect, Lab, Oracle, TOPIC, append, append_batch, assert_same, check, copy_tree, fingerprint, names, options, partition, partition_dir,
    ranges, read_all, tempdir,
};

/// A clean close, more acknowledged appends, then the newest slot rots or an older CHECKPOINT comes back from a backup.
#[test]
fn an_older_checkpoint_costs_no_acknowledged_record() {
    for restore in [true, false] {
        let mut lab = Lab::closed(|partition, oracle| append(partition, oracle, 100, 300, AckLevel::Durable));
        let old = fs::read(lab.dir().join(CHECKPOINT_NAME)).unwrap();
        let (store, partition) = lab.open();
        append(&partition, &mut lab.oracle, 100, 300, AckLevel::Durable);
        drop(partition);
        store.close().unwrap();
        let expect = Expect::ends_at(200);
        if restore {
            fs::write(lab.dir().join(CHECKPOINT_NAME), old).unwrap();
            check(&lab, &expect);
        } else {
            rot_newest_slot(&lab);
            check(&lab, &expect.found(Found::SlotUnreadable, Verdict::Repair));
        }
    }
}

/// A prefix is deleted and unlinked, then the newest slot rots: the other one knows of the deletion too.
#[test]
fn a_rotten_slot_after_a_deletion_is_no_missing_head() {
    let mut lab = Lab::closed(|partition, oracle| {
        append(partition, oracle, 150, 1000, AckLevel::Durable);
        partition.delete_prefix(70).unwrap();
    });
    lab.oracle.retain(|offset, _| *offset >= 70);
    rot_newest_slot(&lab);
    check(&lab, &Expect::ends_at(150).found(Found::SlotUnreadable, Verdict::Repair));
    let (_store, partition) = lab.open();
    assert_eq!(partition.log_start_offset(), 70);
}

/// One group commit spans two rolls. The power cut keeps the third segment's name and bytes, but of the second nothing, or its name alone.
#[test]
fn a_lost_segment_in_an_unfinished_group_commit_is_a_crash() {
    for keep_name in [false, true] {
        let lab = Lab::three_segments(Durable::Before(30));
        let second = &lab.segments()[1];
        let end = second.header.base_offset.get();
        if keep_name {
            second.edit(|bytes| bytes.fill(0));
        } else {
            fs::remove_file(&second.path).unwrap();
        }
        check(&lab, &Expect::ends_at(end).found(Found::SegmentMissing, Verdict::Repair));
    }
}

/// The tail of a sealed, checkpointed segment turns to zeros.
#[test]
fn zeros_at_the_end_of_a_sealed_segment_are_damage() {
    for index in [true, false] {
        let lab = Lab::closed(|partition, oracle| append(partition, oracle, 150, 1000, AckLevel::Durable));
        let segment = &lab.segments()[0];
        let (next, from) = (lab.segments()[1].header.base_offset.get(), segment.frame_of(55).position);
        segment.edit(|bytes| bytes[from as usize..].fill(0));
        if index {
            // The index vouches for the segment, so it is the read that finds it.
            let (_store, partition) = lab.open();
            let (records, damage) = read_all(partition.view());
            assert_same(&records, &lab.readable(&[(55, next)], 150), "around the zeros");
            assert_eq!(damage, [(55, next)]);
        } else {
            lab.remove_indexes();
            check(&lab, &Expect::ends_at(150).damage(55, next).found(Found::SegmentMissing, Verdict::Damage));
        }
    }
}

/// An index file reached the disk and the frames that it covers did not, because neither was synced: the checkpoint says how far to believe it.
#[test]
fn an_index_that_reaches_behind_the_checkpoint_vouches_for_nothing() {
    let lab = Lab::closed(|partition, oracle| append(partition, oracle, 10, 100, AckLevel::Written));
    let segment = &lab.segments()[0];
    assert!(segment.index_path().exists(), "a store that is closed leaves an index");
    segment.strip_claims();
    lab.set_durable(Durable::Before(5));
    segment.flip_body(7);
    let (_store, log) = lab.open();
    assert_eq!((log.log_end_offset().get(), ranges(log.recovery_report())), (7, vec![]), "a torn end is cut off where it is torn");
    assert_eq!(log.append(Record::new("anew")).unwrap().base_offset, 7);
}

/// Rot at 50 and a torn tail at 105, in one segment.
#[test]
fn rot_and_a_torn_tail_in_one_segment_are_told_apart() {
    let lab = Lab::killed(|partition, oracle| append(partition, oracle, 110, 100, AckLevel::Written));
    lab.segments()[0].strip_claims();
    lab.set_durable(Durable::Before(100));
    let (rot, torn) = (lab.segments()[0].frame_of(50), lab.segments()[0].frame_of(105));
    lab.segments()[0].edit(|bytes| {
        bytes[rot.position as usize + 80] ^= 1;
        bytes[torn.position as usize + 70..].fill(0);
    });
    let expect = Expect::ends_at(105).damage(50, 51).found(Found::BadFrameThenValid, Verdict::Damage);
    check(&lab, &expect.found(Found::BadFrameThenNothing, Verdict::Repair));
}

/// A sync failed, the process was killed, the next open finds the records in the page cache: it must write them again before it claims them.
#[test]
fn what_may_never_have_reached_the_disk_is_written_again_before_it_is_claimed() {
    written_again_before_it_is_claimed(SyncPolicy::default());
    written_again_before_it_is_claimed(SyncPolicy::OsOnly);
}

/// By the open; where nobody was promised that it is durable, in the background, as if it had been appended.
fn written_again_before_it_is_claimed(policy: SyncPolicy) {
    let lab = Lab::three_segments(Durable::Before(30));
    let from = lab.segments()[0].frame_of(30).position;
    let faulty = Faulty::new(Arc::new(Disk::new()));
    let storage: Arc<dyn Storage> = Arc::new(faulty.clone());
    let store = options().sync_policy(policy).without_threads().storage(storage).open(lab.tmp.path()).unwrap();
    faulty.record_calls();
    let partition = partition(&store).unwrap();
    let mut calls = faulty.recorded_calls();
    assert_eq!((partition.high_water_mark().get(), partition.log_end_offset().get()), (150, 150), "everybody sees all of it");
    if policy == SyncPolicy::OsOnly {
        assert_eq!(partition.durable_end_offset(), 30);
        let waited_for = calls.iter().find(|call| call.path.starts_with(lab.dir()) && matches!(call.op, Op::Sync | Op::SyncDir));
        assert_eq!(waited_for, None, "the open waits for no sync");
        assert!(!calls.iter().any(|call| call.op == Op::Write), "and writes nothing");
        faulty.record_calls();
        store.run_background();
        calls.extend(faulty.recorded_calls());
    }
    assert_eq!(partition.durable_end_offset(), 150);
    let claimed = calls.iter().position(|call| call.op == Op::Write && call.path.ends_with(CHECKPOINT_NAME)).unwrap();
    for (number, segment) in lab.segments().iter().enumerate() {
        let of_it = |op| calls[..claimed].iter().enumerate().filter(move |(_, call)| call.op == op && call.path == segment.path);
        let written: u64 = of_it(Op::Write).map(|(_, call)| call.bytes).sum();
        let first = of_it(Op::Write).map(|(_, call)| call.position).min();
        let end = segment.frames().last().unwrap().end();
        let start = if number == 0 { from } else { 0 };
        assert_eq!((first, written), (Some(start), end - start), "segment {number}");
        let last_write = of_it(Op::Write).map(|(at, _)| at).max();
        assert!(of_it(Op::Sync).map(|(at, _)| at).max() > last_write, "segment {number} is synced after it was written");
    }
    assert_same(&read_all(partition.view()).0, &lab.oracle, "after writing back");
}

/// A durable frame that takes no offset rots: the seal of a segment.
#[test]
fn a_rotten_seal_is_damage_before_the_durable_point() {
    let lab = Lab::three_segments(Durable::Everything);
    let (seal, next) = (lab.segments()[1].seal(), lab.segments()[2].header.base_offset.get());
    lab.segments()[1].flip(seal.position + 70);
    // No record is lost, and the empty range says where it was.
    check(&lab, &Expect::ends_at(150).damage(next, next).found(Found::BadFrameThenNothing, Verdict::Damage));
    // Behind it the segment is whole without one: the next one says where it ends.
    let lab = Lab::three_segments(Durable::Before(30));
    lab.segments()[1].flip(seal.position + 70);
    check(&lab, &Expect::ends_at(150).found(Found::UnsealedRunsToNext, Verdict::Silent));
}

/// One bit of a segment header flips, whichever: no record is lost, even where nothing else knows the salt.
#[test]
fn one_flipped_bit_of_a_segment_header_costs_no_record() {
    let lab = Lab::ten_records(Durable::Nothing);
    for slot in 0..2 {
        let path = lab.dir().join(CHECKPOINT_NAME);
        let mut bytes = fs::read(&path).unwrap();
        bytes[slot * 4096..][..4096].fill(0);
        fs::write(&path, bytes).unwrap();
    }
    let segment = &lab.segments()[0];
    let good = segment.bytes();
    for bit in 0..128 * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&segment.path, &bytes).unwrap();
        let view = options().open_read_only(lab.tmp.path()).unwrap().topic(TOPIC).unwrap().partition(0).unwrap();
        assert_same(&read_all(&view).0, &lab.oracle, &format!("bit {bit}"));
    }
    let (store, partition) = lab.open();
    assert_same(&read_all(partition.view()).0, &lab.oracle, "after repair");
    store.close().unwrap();
    assert!(segment.bytes()[..128] == good[..128], "the header is what it was");
}

/// A suffix was truncated and the process died between the new name and the checkpoint, or between the checkpoint and the unlink.
#[test]
fn a_truncation_that_was_named_neither_comes_back_nor_counts_as_damage() {
    for fault in [Fault::at(Op::Write).on_path(CHECKPOINT_NAME), Fault::at(Op::Unlink).on_path(".log")] {
        let mut lab = Lab::closed(|partition, oracle| append(partition, oracle, 150, 1000, AckLevel::Durable));
        let faulty = Faulty::new(Arc::new(Disk::new()));
        let storage: Arc<dyn Storage> = Arc::new(faulty.clone());
        let store = options().storage(storage).open(lab.tmp.path()).unwrap();
        let partition = partition(&store).unwrap();
        faulty.inject(fault.from_then_on());
        partition.truncate_suffix(40).unwrap_err();
        assert!(faulty.fired() > 0);
        faulty.inject(Fault::anywhere().from_then_on());
        drop((partition, store));
        lab.oracle.split_off(&40);
        check(&lab, &Expect::ends_at(40));
    }
}

/// Records are held, zero-copy, while their segment is sealed and shrunk, cut, deleted, and its store closed.
#[test]
fn records_that_are_held_stay_as_they_are() {
    let mut lab = Lab::closed(|_, _| {});
    let (store, partition) = lab.open();
    append(&partition, &mut lab.oracle, 50, 1000, AckLevel::Written);
    let held: Vec<_> = partition.view().with_isolation(tidelog::ReadIsolation::Written).read_from(0).unwrap().map(Result::unwrap).collect();
    append(&partition, &mut lab.oracle, 200, 1000, AckLevel::Durable);
    std::thread::sleep(std::time::Duration::from_millis(100));
    partition.truncate_suffix(20).unwrap();
    partition.delete_prefix(20).unwrap();
    store.close().unwrap();
    drop(partition);
    fs::remove_dir_all(lab.tmp.path()).unwrap();
    for record in held {
        assert_eq!(record.value().unwrap(), lab.oracle[&record.offset().get()]);
    }
    fs::create_dir(lab.tmp.path()).unwrap();
}

/// A reader that goes by the files alone, beside a writer that appends, rolls and checkpoints.
#[test]
fn a_reader_without_the_live_page_takes_no_running_writer_for_damage() {
    let lab = Lab::closed(|partition, oracle| append(partition, oracle, 10, 100, AckLevel::Durable));
    let store = options().checkpoint_budget_bytes(1 << 20).open(lab.tmp.path()).unwrap();
    let partition = partition(&store).unwrap();
    fs::remove_file(lab.tmp.path().join("LIVE")).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut oracle = Oracle::new();
            while !done.load(Ordering::Relaxed) {
                append(&partition, &mut oracle, 50, 2000, AckLevel::Durable);
                partition.delete_prefix(partition.log_end_offset().get().saturating_sub(500)).unwrap();
            }
        });
        let mut last_end = 0;
        for _ in 0..30 {
            let opened = options().open_read_only(lab.tmp.path()).unwrap().topic(TOPIC).unwrap().partition(0);
            let view = match opened {
                Err(TopicError::Open(OpenError::Busy { .. })) => continue,
                other => other.unwrap(),
            };
            assert_eq!(view.damage(), []);
            assert!(view.log_end_offset().get() >= last_end, "an end was taken back");
            last_end = view.log_end_offset().get();
            let near_the_end = view.with_isolation(tidelog::ReadIsolation::Written).read(tidelog::Start::Last(50)).unwrap();
            near_the_end.for_each(|record| drop(record.unwrap()));
        }
        done.store(true, Ordering::Relaxed);
    });
}

/// A whole old segment is stored as a message, then the frame around it is damaged.
#[test]
fn frames_in_a_payload_are_never_taken_for_the_logs() {
    let first = Lab::closed(|partition, oracle| append(partition, oracle, 100, 300, AckLevel::Durable));
    // Its own segment, so that salt, offsets and epoch would fit, at every alignment.
    for lead in 0..8 {
        let copy = tempdir();
        copy_tree(first.tmp.path(), copy.path());
        let mut lab = Lab { tmp: copy, oracle: first.oracle.clone() };
        let mut payload = vec![b'x'; lead];
        payload.extend(lab.segments()[0].bytes());
        let (store, partition) = lab.open();
        partition.append(Record::new(&payload)).unwrap();
        lab.oracle.insert(100, payload);
        append(&partition, &mut lab.oracle, 5, 100, AckLevel::Durable);
        store.close().unwrap();
        drop(partition);
        let segments = lab.segments();
        let holder = segments.iter().find(|segment| segment.header.base_offset == 100).unwrap();
        holder.flip(holder.frame_of(100).position + 57);
        let _ = fs::remove_file(holder.index_path());
        let (_store, partition) = lab.open();
        let (records, damage) = read_all(partition.view());
        assert_same(&records, &lab.readable(&[(100, 101)], 106), "around the payload");
        assert_eq!(damage, [(100, 101)]);
    }
}

/// A frame stands where the one before it belongs: found by fuzzing, where recovery and readers passed by it with the damage.
#[test]
fn a_frame_in_the_place_of_another_is_read() {
    for is_walked in [true, false] {
        let lab = if is_walked {
            Lab::three_segments(Durable::Everything)
        } else {
            Lab::closed(|partition, oracle| append(partition, oracle, 150, 1000, AckLevel::Written))
        };
        a_frame_replaced(&lab);
    }
}

fn a_frame_replaced(lab: &Lab) {
    lab.remove_indexes();
    let segment = &lab.segments()[0];
    let (place, moved) = (segment.frame_of(10), segment.frame_of(11));
    assert_eq!(place.frame_len, moved.frame_len);
    let header = Frame::decode(&segment.bytes()[moved.position as usize..], segment.header.salt, Position::new(moved.position)).unwrap().header;
    segment.edit(|bytes| bytes.copy_within(moved.position as usize + 64..moved.end() as usize, place.position as usize + 64));
    segment.rewrite_header(place, |found| *found = header);
    segment.flip(moved.position + 20);
    let (_store, partition) = lab.open();
    let (records, damage) = read_all(partition.view());
    assert_same(&records, &lab.readable(&[(10, 11)], 150), "around the frame that is gone");
    assert_eq!(damage, [(10, 11)]);
}

/// Files of another partition in place of ours cost time only.
#[test]
fn files_of_another_partition_cost_time_only() {
    let other = Lab::closed(|partition, oracle| append(partition, oracle, 90, 900, AckLevel::Durable));
    for name in [CHECKPOINT_NAME.to_owned(), META_NAME.to_owned(), SegmentId { base_offset: 0, seq: 1 }.index_name()] {
        let lab = Lab::closed(|partition, oracle| append(partition, oracle, 150, 1000, AckLevel::Durable));
        let good = fs::read(lab.dir().join(META_NAME)).unwrap();
        fs::copy(other.dir().join(&name), lab.dir().join(&name)).unwrap();
        check(&lab, &Expect::ends_at(150));
        let (good, now) = (tidelog_format::Meta::decode(&good), tidelog_format::Meta::decode(&fs::read(lab.dir().join(META_NAME)).unwrap()));
        assert_eq!(now.unwrap().uuid, good.unwrap().uuid, "whose partition it is");
    }
}

/// Segments of 1 TiB with hardly a byte in them: opened at once, and nothing is written outside.
#[test]
fn sparse_giants_open_at_once() {
    const TIB: u64 = 1 << 40;
    let lab = Lab::three_segments(Durable::Before(30));
    let disk = tempfile::tempdir().unwrap(); // memory file systems count holes against their size
    copy_tree(lab.tmp.path(), disk.path());
    let dir = partition_dir(disk.path());
    let giants = [lab.segments()[0].id().log_name(), lab.segments()[2].id().log_name(), SegmentId { base_offset: 150, seq: 9 }.log_name()];
    for name in &giants {
        let file = fs::File::options().create(true).truncate(false).write(true).open(dir.join(name)).unwrap();
        if file.set_len(TIB).is_err() {
            return; // not on this file system
        }
    }
    let started = std::time::Instant::now();
    let store = options().open(disk.path()).unwrap();
    let partition = partition(&store).unwrap();
    assert!(started.elapsed().as_secs() < 10, "it took {:?}", started.elapsed());
    let mut oracle = lab.oracle.clone();
    assert_same(&read_all(partition.view()).0, &oracle, "beside giants");
    append(&partition, &mut oracle, 100, 1000, AckLevel::Durable);
    store.close().unwrap();
    let store = options().open(disk.path()).unwrap();
    assert_same(&read_all(crate::support::partition(&store).unwrap().view()).0, &oracle, "beside giants, again");
}

/// The LOCK file is deleted, and the store reached by another path: still one writer.
#[test]
fn without_the_lock_file_there_is_still_one_writer() {
    let lab = Lab::closed(|partition, oracle| append(partition, oracle, 10, 100, AckLevel::Durable));
    let elsewhere = tempdir();
    let link = elsewhere.path().join("link");
    std::os::unix::fs::symlink(lab.tmp.path(), &link).unwrap();
    let (store, partition) = lab.open();
    fs::remove_file(lab.tmp.path().join("LOCK")).unwrap();
    for path in [lab.tmp.path(), &link] {
        assert!(matches!(Store::open(path), Err(OpenError::Locked { .. })), "{path:?}");
    }
    drop((store, partition));
    Store::open(&link).unwrap().close().unwrap();
}

/// Something made a directory where the text for people about the lock stands: that is not the lock.
#[test]
fn a_directory_in_the_place_of_the_lock_file_keeps_no_writer_out() {
    let mut lab = Lab::closed(|partition, oracle| append(partition, oracle, 10, 100, AckLevel::Durable));
    let text = lab.tmp.path().join("LOCK");
    fs::remove_file(&text).unwrap();
    fs::create_dir(&text).unwrap();
    fs::write(text.join("something"), "inside").unwrap();
    let (_store, partition) = lab.open();
    append(&partition, &mut lab.oracle, 1, 100, AckLevel::Durable);
    assert!(matches!(Store::open(lab.tmp.path()), Err(OpenError::Locked { pid: None, .. })), "there is one writer");
    assert_eq!(fs::read(text.join("something")).unwrap(), b"inside");
}

/// An index says under a right checksum that its segment ends elsewhere: no end, no offset and no position is taken from it. In the segment that
/// is appended to, and in one that was cut off and has no seal.
#[test]
fn an_index_that_ends_where_no_frame_does_is_not_used() {
    type Lie = fn(&mut IndexHeader);
    let lies: [Lie; 7] = [
        |header| header.next_offset = Offset::new(header.next_offset.get() + 8),
        |header| header.next_offset = Offset::new(header.next_offset.get() - 1),
        |header| header.chain ^= 1,
        |header| header.covered = Position::new(header.covered.get() - 8),
        |header| header.covered = Position::new(header.covered.get() + 4),
        |header| header.covered = Position::new(196),
        |header| header.covered = Position::new(0),
    ];
    for (number, lie) in lies.into_iter().enumerate() {
        for cut in [false, true] {
            let mut lab = Lab::closed(|partition, oracle| append(partition, oracle, 30, 300, AckLevel::Durable));
            if cut {
                let (store, partition) = lab.open();
                partition.truncate_suffix(30 - 1).unwrap();
                lab.oracle.remove(&29);
                append(&partition, &mut lab.oracle, 5, 200, AckLevel::Durable);
                drop(partition);
                store.close().unwrap();
                drop(lab.open()); // makes the index of the segment that was cut
            }
            let path = lab.segments()[0].index_path();
            let mut bytes = fs::read(&path).unwrap();
            let mut header = IndexHeader::decode(&bytes).unwrap();
            assert_eq!(header.next_offset, if cut { 29 } else { 30 });
            lie(&mut header);
            bytes[..128].copy_from_slice(&encode_index(IndexHeader { entries: 0, ..header }, &[])[..128]);
            bytes[16..20].copy_from_slice(&header.entries.to_le_bytes());
            let sum = crc32(&bytes[..124]);
            bytes[124..128].copy_from_slice(&sum.to_le_bytes());
            assert_eq!(IndexHeader::decode(&bytes).unwrap(), header, "it is right by itself");
            fs::write(&path, bytes).unwrap();
            let (_store, partition) = lab.open();
            assert_eq!(partition.log_end_offset().get(), lab.oracle.len() as u64, "lie {number}, cut {cut}");
            for (offset, value) in &lab.oracle {
                let found = partition.get(*offset).unwrap_or_else(|error| panic!("lie {number}, cut {cut}: {error}"));
                assert_eq!(found.value().unwrap(), value, "lie {number}, cut {cut}: offset {offset}");
            }
        }
    }
}

/// The index may point at the very frame that is damaged: what stands behind it is found all the same, also inside a batch.
#[test]
fn every_record_beside_a_damaged_frame_is_found() {
    let lab = Lab::closed(|partition, oracle| {
        for _ in 0..6 {
            append(partition, oracle, 5, 300, AckLevel::Written);
            append_batch(partition, oracle, 4, 300, AckLevel::Written);
        }
    });
    let segment = &lab.segments()[0];
    assert!(segment.index_path().exists());
    let good = segment.bytes();
    for frame in segment.frames() {
        segment.flip(frame.position + 17);
        let view = options().open_read_only(lab.tmp.path()).unwrap().topic(TOPIC).unwrap().partition(0).unwrap();
        for (offset, value) in &lab.oracle {
            let (record, read) = (view.get(*offset), view.read_from(*offset).unwrap().next().unwrap());
            if (frame.base..frame.next).contains(offset) {
                assert!(matches!(record, Err(ReadError::Corrupt { to, .. }) if to == frame.next), "{offset} in {frame:?}: {record:?}");
                assert!(read.is_err());
            } else {
                assert_eq!(record.unwrap().value().unwrap(), value, "{offset} beside {frame:?}");
                assert_eq!(read.unwrap().value().unwrap(), value);
            }
        }
        let backwards: Vec<_> = view.read_backwards(view.end_offset()).unwrap().filter_map(Result::ok).map(|record| record.offset().get()).collect();
        let expected: Vec<_> = lab.readable(&[(frame.base, frame.next)], 54).into_keys().rev().collect();
        assert_eq!(backwards, expected, "backwards, beside {frame:?}");
        fs::write(&segment.path, &good).unwrap();
    }
}

/// The first segment is lost: who reads backwards is told so too, not that the log has ended.
#[test]
fn a_lost_beginning_is_told_to_who_reads_backwards() {
    let lab = Lab::three_segments(Durable::Everything);
    let from = lab.segments()[1].header.base_offset.get();
    fs::remove_file(&lab.segments()[0].path).unwrap();
    let (_store, partition) = lab.open();
    let last = partition.read_backwards(partition.log_end_offset()).unwrap().last().unwrap();
    assert!(matches!(&last, Err(ReadError::Corrupt { from: first, to, .. }) if (first.get(), to.get()) == (0, from)), "{last:?}");
}

/// A batch claims, under a right checksum, offsets that are in the batches behind it: those are served, and no reader goes round in circles
/// or ends for good.
#[test]
fn a_batch_that_claims_the_offsets_of_others_costs_itself() {
    for more in [1, 3, i32::MAX as u32] {
        let lab = Lab::closed(|partition, oracle| append(partition, oracle, 10, 100, AckLevel::Durable));
        let segment = &lab.segments()[0];
        segment.rewrite_header(segment.frame_of(8), |header| header.last_offset_delta = more);
        let (_store, partition) = lab.open();
        let seen: Vec<_> = partition.view().read_from(0).unwrap().take(20).collect();
        assert!(seen.len() <= 10, "{more}: {seen:?}");
        let served: Vec<u64> = seen.iter().filter_map(|record| Some(record.as_ref().ok()?.offset().get())).collect();
        assert!(served.starts_with(&[0, 1, 2, 3, 4, 5, 6, 7]), "{more}: {served:?}");
        if more > 1 {
            assert_eq!(served.last(), Some(&9), "{more}: the batch behind it");
        }
    }
}

/// A capacity that lies under a right checksum leaves no room for what is there: appending goes on in another segment.
#[test]
fn a_capacity_that_lies_stops_no_append() {
    for capacity in [128, 136, 200] {
        for records in [0, 5] {
            let mut lab = Lab::closed(|partition, oracle| append(partition, oracle, records, 100, AckLevel::Durable));
            let segment = &lab.segments()[0];
            let header = tidelog_format::SegmentHeader { capacity, ..segment.header };
            segment.edit(|bytes| bytes[..128].copy_from_slice(&header.encode()));
            let (_store, partition) = lab.open();
            assert_eq!(partition.log_end_offset(), records);
            append(&partition, &mut lab.oracle, 5, 100, AckLevel::Durable);
        }
    }
}

/// One bad sector at the beginning of a segment: header and first frames. The salt verifies the others.
#[test]
fn a_header_that_rots_with_the_first_frame_costs_that_frame() {
    for fill in [0, 0x5A] {
        for number in 0..3 {
            let lab = Lab::three_segments(Durable::Everything);
            let segment = &lab.segments()[number];
            let first = segment.frames()[0];
            segment.edit(|bytes| bytes[..512].fill(fill));
            let expect = Expect::ends_at(150).damage(first.base, first.next).found(Found::HeaderBadSaltKnown, Verdict::Repair);
            check(&lab, &expect.found(Found::BadFrameThenValid, Verdict::Damage).stays());
        }
    }
}

/// A segment is copied under a higher number when its header is damaged already: its salt tells that it is a copy.
#[test]
fn a_copy_of_a_segment_with_a_damaged_header_answers_for_nothing() {
    let lab = Lab::three_segments(Durable::Everything);
    let segment = &lab.segments()[0];
    segment.flip(16);
    let copy = lab.dir().join(SegmentId { base_offset: 0, seq: 10 }.log_name());
    fs::copy(&segment.path, &copy).unwrap();
    check(&lab, &Expect::ends_at(150).found(Found::StrayFile, Verdict::Repair));
    assert!(!copy.exists(), "it is set aside");
}

/// Every byte of every file of a closed partition, one bit flipped: at most one batch is lost, nothing comes back wrong, appends go on.
#[test]
fn a_flipped_bit_anywhere_costs_at_most_its_batch() {
    let lab = Lab::closed(|partition, oracle| {
        append(partition, oracle, 4, 20, AckLevel::Durable);
        append_batch(partition, oracle, 3, 20, AckLevel::Written);
        append(partition, oracle, 4, 27, AckLevel::Durable);
    });
    let batches = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 7), (7, 8), (8, 9), (9, 10), (10, 11)];
    for name in names(&lab.dir()) {
        let good = fs::read(lab.dir().join(&name)).unwrap();
        // Behind what is used, zeros: a few of them stand for all.
        let used = good.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        let bytes = (0..used).filter(|at| name != CHECKPOINT_NAME || at % 4096 < 130 || at % 509 == 0).chain((used..good.len()).step_by(9973));
        for at in bytes {
            flip_one(&lab, &name, at, &good, &batches);
        }
    }
}

fn flip_one(lab: &Lab, name: &str, at: usize, good: &[u8], batches: &[(u64, u64)]) {
    let what = format!("{name}, byte {at}");
    let copy = tempdir();
    copy_tree(lab.tmp.path(), copy.path());
    let mut bytes = good.to_vec();
    bytes[at] ^= 1 << (at % 8);
    fs::write(partition_dir(copy.path()).join(name), bytes).unwrap();
    let before = fingerprint(copy.path());
    let view = options().open_read_only(copy.path()).unwrap().topic(TOPIC).unwrap().partition(0).unwrap();
    let seen = read_all(&view);
    assert!(before == fingerprint(copy.path()), "{what}: a read-only open changed something");
    if !at.is_multiple_of(4) {
        return check_flipped(lab, &what, name.ends_with(".log"), &seen, batches);
    }
    let store = options().open(copy.path()).unwrap();
    let partition = partition(&store).unwrap();
    assert!(partition.log_end_offset() >= 11, "{what}: an acknowledged offset would be given out again");
    let (records, damage) = read_all(partition.view());
    assert_eq!(seen, (records.clone(), damage.clone()), "{what}: a reader sees something else than the writer");
    assert!(ranges(partition.recovery_report()).iter().all(|range| range.0 == range.1 || damage.contains(range)), "{what}");
    check_flipped(lab, &what, name.ends_with(".log"), &seen, batches);
    let ack = partition.append(Record::new("more")).unwrap();
    assert_eq!(ack.base_offset, partition.log_end_offset().get() - 1);
    drop(view);
    if at.is_multiple_of(3) {
        store.close().unwrap();
        let store = options().open(copy.path()).unwrap();
        let again = crate::support::partition(&store).unwrap();
        assert_eq!(again.get(ack.base_offset).unwrap().value(), Some(&b"more"[..]), "{what}");
        for offset in lab.oracle.keys().filter(|offset| !records.contains_key(offset)) {
            assert!(matches!(again.get(*offset), Err(ReadError::Corrupt { .. })), "{what}: offset {offset}");
        }
    }
}

fn check_flipped(lab: &Lab, what: &str, in_log: bool, (records, damage): &(Oracle, Vec<(u64, u64)>), batches: &[(u64, u64)]) {
    assert!(damage.is_empty() || in_log && damage.len() == 1 && batches.contains(&damage[0]), "{what}: {damage:?}");
    assert_same(records, &lab.readable(damage, 11), what);
}

fn rot_newest_slot(lab: &Lab) {
    let newest = lab.slots().into_iter().flatten().max_by_key(|slot| slot.counter).unwrap();
    let path = lab.dir().join(CHECKPOINT_NAME);
    let mut bytes = fs::read(&path).unwrap();
    bytes[newest.slot_position().get() as usize + 60] ^= 2;
    fs::write(&path, bytes).unwrap();
}

/// Frames that end before the offsets that their seal claims: found by fuzzing, where a reader looked for the rest of them for ever.
#[test]
fn offsets_that_a_seal_claims_and_no_frame_holds_are_damage() {
    let lab = Lab::closed(|partition, oracle| append(partition, oracle, 150, 1000, AckLevel::Written));
    lab.remove_indexes();
    let segments = lab.segments();
    let next = segments[1].header.base_offset.get();
    let last = segments[0].frame_of(next - 1);
    segments[0].rewrite_header(last, |header| {
        (header.attributes, header.last_offset_delta, header.record_count) = (Attributes::PAD.with(Attributes::NO_OFFSETS), 0, 0);
    });
    let (_store, partition) = lab.open();
    let (records, damage) = read_all(partition.view());
    assert_same(&records, &lab.readable(&[(next - 1, next)], 150), "around the record that is gone");
    assert_eq!(damage, [(next - 1, next)]);
    partition.get(next - 1).unwrap_err();
}
