//! What an open does about what it found: which calls it makes, in which order, what it sets aside, and what recovery of many leaves to it.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use tidelog::io::Disk;
use tidelog::io::fault::{Call, EIO, ENOSPC, Fault, Faulty, Op};
use tidelog::{AckLevel, Found, OpenError, Partition, ReadError, RecoveryReport, Store, SyncPolicy, TopicError, Verdict};
use tidelog_format::{
    CHECKPOINT_NAME, Checkpoint, FileName, IndexHeader, META_NAME, Meta, Offset, SEAL_BYTES, SEGMENT_HEADER_BYTES, SEQ_MAX, SegmentHeader, SegmentId,
};

use crate::support::{Durable, Lab, TOPIC, append, assert_same, copy_tree, fingerprint, names, options, partition, partition_dir, read_all, tempdir};

const ENOENT: i32 = 2;
const EDQUOT: i32 = 122;

/// A store on a disk that counts and fails, whose partition nobody opened yet.
fn store_on(lab: &Lab) -> (Faulty, Store) {
    store_with(lab, SyncPolicy::OsOnly)
}

fn store_with(lab: &Lab, policy: SyncPolicy) -> (Faulty, Store) {
    let faulty = Faulty::new(Arc::new(Disk::new()));
    let store = options().sync_policy(policy).without_threads().storage(Arc::new(faulty.clone())).open(lab.tmp.path()).unwrap();
    faulty.reset_counts();
    (faulty, store)
}

fn report(lab: &Lab) -> RecoveryReport {
    let (_store, partition) = lab.open();
    partition.recovery_report().clone()
}

/// Ten records that no checkpoint covers.
fn dirty() -> Lab {
    Lab::ten_records(Durable::Nothing)
}

/// The same with a torn end.
fn torn() -> Lab {
    let lab = dirty();
    lab.segments()[0].flip_body(5);
    lab
}

/// Three segments, the first of which holds nothing any more.
fn below_the_log_start() -> Lab {
    let lab = Lab::three_segments(Durable::Everything);
    let slots: Vec<_> = lab.slots().into_iter().map(|slot| slot.map(|slot| Checkpoint { log_start: Offset::new(70), ..slot })).collect();
    lab.write_slots(&slots);
    lab
}

fn counters(lab: &Lab) -> Vec<u64> {
    lab.slots().into_iter().flatten().map(|slot| slot.counter).collect()
}

fn exists(lab: &Lab, part: &str) -> bool {
    names(&lab.dir()).iter().any(|name| name.contains(part))
}

#[test]
fn an_open_of_what_was_closed_changes_nothing() {
    let lab = Lab::closed(|partition, oracle| append(partition, oracle, 70, 1000, AckLevel::Durable));
    let before = fingerprint(&lab.dir());
    let (faulty, store) = store_on(&lab);
    let log = partition(&store).unwrap();
    assert_eq!((faulty.bytes_written(), faulty.syncs(), faulty.name_changes()), (0, 0, 0));
    assert_eq!(faulty.dir_syncs(), 2, "the name of the topic and those in it, once, whoever made them");
    assert!(before == fingerprint(&lab.dir()));
    assert!(!log.recovery_report().is_notable() && !log.recovery_report().torn_end);
}

/// What is written again, then the names, then the checkpoint that says so.
#[test]
fn a_checkpoint_comes_behind_the_syncs_of_what_it_names() {
    for (lab, policy) in [(dirty(), SyncPolicy::default()), (dirty(), SyncPolicy::OsOnly), (torn(), SyncPolicy::OsOnly)] {
        let (faulty, store) = store_with(&lab, policy);
        faulty.record_calls();
        drop(partition(&store).unwrap());
        store.run_background();
        let calls = faulty.recorded_calls();
        let is_of = |call: &Call, part: &str| call.path.to_string_lossy().contains(part);
        let slot = calls.iter().position(|call| call.op == Op::Write && is_of(call, CHECKPOINT_NAME)).unwrap();
        let synced = calls[..slot].iter().position(|call| call.op == Op::Sync && is_of(call, ".log")).unwrap();
        assert!(calls[synced..slot].iter().any(|call| call.op == Op::SyncDir && call.path == lab.dir()), "{calls:#?}");
    }
}

/// One slot says where the log ends; both, where something is destroyed or was cut off, or where they differ.
#[test]
fn what_was_cut_off_is_in_both_slots() {
    let raised = |lab: &Lab| {
        let before = counters(lab);
        let highest = *before.iter().max().unwrap();
        report(lab);
        counters(lab).iter().filter(|counter| **counter > highest).count()
    };
    assert_eq!(raised(&dirty()), 1);
    assert_eq!(raised(&torn()), 2);
    let lab = Lab::ten_records(Durable::Everything);
    assert_eq!(raised(&lab), 0, "nothing to say");
    let slots: Vec<_> = lab.slots().into_iter().flatten().collect();
    lab.write_slots(&[Some(slots[0]), Some(Checkpoint { log_start: Offset::new(3), ..slots[1] })]);
    assert_eq!(raised(&lab), 2, "how far it is deleted");
    assert_eq!(raised(&below_the_log_start()), 2, "before a segment goes");
}

/// Bytes that a crash may have lost are written again, and no others.
#[test]
fn what_is_written_back_is_what_is_live() {
    let lab = Lab::three_segments(Durable::Before(30));
    let segments = lab.segments();
    let mut expected = 0;
    for (number, segment) in segments.iter().enumerate() {
        let from = if number == 0 { segment.frame_of(30).position } else { 0 };
        expected += segment.frames().last().unwrap().end() - from;
    }
    let (faulty, store) = store_on(&lab);
    faulty.record_calls();
    let _log = partition(&store).unwrap();
    store.run_background();
    let calls = faulty.recorded_calls();
    let written = calls.iter().filter(|call| call.op == Op::Write && call.path.extension().is_some_and(|name| name == "log"));
    assert_eq!(written.map(|call| call.bytes).sum::<u64>(), expected);
}

/// Behind a recovery that goes on in place, and behind one that begins a segment.
#[test]
fn segments_are_numbered_on() {
    for (lab, next) in [(dirty(), 10), (torn(), 5)] {
        let (_store, log) = lab.open();
        assert_eq!(log.log_end_offset(), next);
        append(&log, &mut Default::default(), 150, 1000, AckLevel::Written);
        let numbers: Vec<u64> = lab.segments().iter().map(|segment| segment.header.seq).collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
        assert!(numbers.len() >= 3);
    }
}

/// Where blocks are allocated that hold frames, a file system that cannot allocate would get zeros in their place.
#[test]
fn nothing_is_allocated_twice() {
    for lab in [dirty(), torn()] {
        let (faulty, store) = store_on(&lab);
        let log = partition(&store).unwrap();
        let segment = lab.segments().pop().unwrap();
        let end = segment.frames().last().map_or(128, |frame| frame.end());
        faulty.record_calls();
        append(&log, &mut Default::default(), 70, 1000, AckLevel::Durable);
        let calls = faulty.recorded_calls();
        // Whoever made it knows it by the name that it had then.
        let names = [segment.id().log_name(), SegmentId::spare_name(segment.header.seq)];
        // A new segment has its first blocks.
        let first = if end == 128 { 64 << 10 } else { end };
        for call in calls.iter().filter(|call| call.op == Op::Allocate && names.iter().any(|name| call.path.ends_with(name))) {
            assert!(call.position >= first, "{call:?}, behind {first}");
        }
    }
}

#[test]
fn the_index_of_the_tail_is_kept_while_it_says_what_is_there() {
    let lab = Lab::closed(|partition, oracle| append(partition, oracle, 20, 1000, AckLevel::Durable));
    let segment = &lab.segments()[0];
    let path = segment.index_path();
    let (store, log) = lab.open();
    assert!(path.exists(), "all of it is true");
    assert_eq!(log.recovery_report().scanned_bytes, 0);
    drop((store, log));
    // Its last frame is gone: what will stand in its place is another one.
    let last = segment.frame_of(19);
    segment.edit(|bytes| bytes.truncate(last.position as usize));
    let end = Offset::new(19);
    let before_it = |slot| Checkpoint { tail_pos: last.position.into(), durable_next_offset: end, high_water_mark: end, ..slot };
    let slots: Vec<_> = lab.slots().into_iter().map(|slot| slot.map(before_it)).collect();
    lab.write_slots(&slots);
    lab.segments()[0].strip_claims();
    let (_store, log) = lab.open();
    assert_eq!(log.log_end_offset(), 19);
    assert!(!path.exists());
}

/// An index of a segment that is appended to would soon be wrong.
#[test]
fn only_segments_that_are_full_get_an_index() {
    let lab = Lab::three_segments(Durable::Before(30));
    let segments = lab.segments();
    let (_faulty, store) = store_on(&lab);
    let log = partition(&store).unwrap();
    let have_index = || segments.iter().map(|segment| segment.index_path().exists()).collect::<Vec<_>>();
    assert_eq!(have_index(), [false; 3], "none reaches further than what was synced");
    store.run_background();
    assert_eq!(have_index(), [true, true, false]);
    drop((log, store));
    let lab = Lab::three_segments(Durable::Before(30));
    let segments = lab.segments();
    let (_faulty, store) = store_with(&lab, SyncPolicy::default());
    let _log = partition(&store).unwrap();
    assert_eq!(segments.iter().map(|segment| segment.index_path().exists()).collect::<Vec<_>>(), [true, true, false], "synced by the open");
    // One whose seal was taken at its word too.
    let lab = Lab::closed(|partition, oracle| append(partition, oracle, 150, 1000, AckLevel::Durable));
    let segment = &lab.segments()[0];
    let whole = IndexHeader::decode(&fs::read(segment.index_path()).unwrap()).unwrap();
    fs::remove_file(segment.index_path()).unwrap();
    assert_eq!(report(&lab).scanned_bytes, 0);
    let again = IndexHeader::decode(&fs::read(segment.index_path()).unwrap()).unwrap();
    assert!(again.entries > 5 && again.next_offset == whole.next_offset, "{again:?} for {whole:?}");
}

/// A stale index holds entries of frames that are walked over again: each is in the new one once.
#[test]
fn an_index_that_is_made_again_is_whole() {
    let lab = Lab::three_segments(Durable::Nothing);
    report(&lab);
    lab.set_durable(Durable::Nothing);
    let segment = &lab.segments()[0];
    assert!(segment.index_path().exists());
    segment.flip_body(40);
    let other = Lab { tmp: tempdir(), oracle: lab.oracle.clone() };
    copy_tree(lab.tmp.path(), other.tmp.path());
    other.remove_indexes();
    let index = |lab: &Lab| {
        assert_eq!(report(lab).next_offset, 40);
        IndexHeader::decode(&fs::read(lab.dir().join(segment.id().index_name())).unwrap()).unwrap()
    };
    assert_eq!(index(&lab), index(&other));
    let report = report(&lab);
    assert!(report.findings.iter().all(|finding| finding.found != Found::IndexUnusable), "{report:#?}");
    assert_eq!(report.scanned_bytes, 0);
}

/// What an index says is kept by who appends behind what it covers.
#[test]
fn an_index_goes_on_behind_an_open() {
    let lab = Lab::closed(|partition, oracle| append(partition, oracle, 40, 1000, AckLevel::Durable));
    let (_faulty, store) = store_on(&lab);
    let log = partition(&store).unwrap();
    append(&log, &mut Default::default(), 30, 1000, AckLevel::Durable);
    store.run_background();
    let segment = &lab.segments()[0];
    let index = IndexHeader::decode(&fs::read(segment.index_path()).unwrap()).unwrap();
    let frames = segment.frames().len() as u32;
    assert!((frames / 3..=frames * 2 / 3).contains(&index.entries), "{} entries for {frames} frames", index.entries);
}

/// Behind the records of a segment that is not the first, reads in either direction tell what is lost as the report does.
#[test]
fn a_segment_ends_where_its_records_do() {
    for is_gone in [true, false] {
        let lab = Lab::closed(|partition, oracle| append(partition, oracle, 200, 1000, AckLevel::Durable));
        lab.remove_indexes();
        let segments = lab.segments();
        let to = segments[2].header.base_offset.get();
        let from = if is_gone { segments[1].header.base_offset.get() } else { to - 2 };
        if is_gone {
            fs::remove_file(&segments[1].path).unwrap();
        } else {
            segments[1].zero(segments[1].frame_of(from).position, segments[1].bytes().len() as u64);
        }
        let (_store, log) = lab.open();
        let (records, damage) = read_all(log.view());
        assert_same(&records, &lab.readable(&[(from, to)], 200), "around it");
        assert_eq!(damage, [(from, to)]);
        let told = &log.recovery_report().damage[0].reason;
        for offset in [from, to - 1] {
            let lost = log.get(offset).map(drop);
            assert!(matches!(&lost, Err(ReadError::Corrupt { to: end, reason, .. }) if *end == to && reason == told), "{lost:?}: {told}");
        }
        let backwards = log.read_backwards(200).unwrap().filter_map(|record| Some(record.ok()?.offset().get()));
        assert_eq!(backwards.collect::<Vec<_>>(), records.keys().rev().copied().collect::<Vec<_>>());
        assert!(log.read_from(200).unwrap().next().is_none());
    }
}

/// The share of the ring that keys are routed by is as it was, whoever else is there.
#[test]
fn meta_is_made_again_with_its_share_of_the_ring() {
    let tmp = tempdir();
    let store = options().open(tmp.path()).unwrap();
    let topic = store.create_topic(TOPIC, 3).unwrap();
    (0..3).for_each(|number| drop(topic.partition(number).unwrap()));
    drop(topic);
    store.close().unwrap();
    let topic = partition_dir(tmp.path()).parent().unwrap().to_owned();
    let path = |number: u32| topic.join(number.to_string()).join(META_NAME);
    let read = |path: &Path| Meta::decode(&fs::read(path).unwrap()).unwrap();
    fs::create_dir(topic.join("other")).unwrap();
    fs::write(topic.join("7"), "no partition").unwrap();
    for number in [1, 2] {
        let before = read(&path(number));
        fs::remove_file(path(number)).unwrap();
        let store = options().open(tmp.path()).unwrap();
        store.topic(TOPIC).unwrap().partition(number).unwrap();
        let again = read(&path(number));
        assert_eq!(Meta { uuid: before.uuid, created: before.created, ..again.clone() }, before);
        assert_eq!(again.uuid, before.uuid);
    }
    // Others that are gone do not count, but it is the third.
    let before = read(&path(2));
    fs::remove_dir_all(topic.join("0")).unwrap();
    fs::remove_dir_all(topic.join("1")).unwrap();
    fs::remove_file(path(2)).unwrap();
    options().open(tmp.path()).unwrap().recover_all();
    assert_eq!(Meta { created: before.created, ..read(&path(2)) }, before);
}

/// What stands behind the end of the log is kept for people to look at, if there is anything.
#[test]
fn only_what_is_no_zero_is_set_aside() {
    let lab = dirty();
    let segment = &lab.segments()[0];
    let (from, end) = (segment.frame_of(5).position, segment.frames().last().unwrap().end());
    segment.flip_body(5);
    let bytes = segment.bytes();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    assert!(used as u64 > end - 8);
    let done = report(&lab);
    assert!(done.torn_end && done.is_notable());
    assert_eq!(done.quarantined.len(), 1);
    let kept = fs::read(lab.dir().join("quarantine").join(&done.quarantined[0])).unwrap();
    assert!(kept == bytes[from as usize..used]);
    assert_eq!(fs::metadata(&segment.path).unwrap().len(), from, "and the file ends there");
    // A sealed segment ends behind its seal.
    let lab = Lab::three_segments(Durable::Before(30));
    let segments = lab.segments();
    fs::remove_file(&segments[1].path).unwrap();
    let (seal, name) = (segments[0].seal(), segments[2].id().log_name());
    let done = report(&lab);
    assert_eq!(done.quarantined, [name]);
    assert_eq!(fs::metadata(&segments[0].path).unwrap().len(), seal.position + SEAL_BYTES as u64);
}

/// What vanished meanwhile needs no setting aside and no removal; any other error ends the open.
#[test]
fn files_that_cannot_be_moved_away_end_the_open() {
    type Make = fn() -> (Lab, String);
    let cut: Make = || {
        let lab = Lab::three_segments(Durable::Before(30));
        lab.segments()[0].flip_body(40);
        let name = lab.segments()[1].id().log_name();
        (lab, name)
    };
    let below: Make = || {
        let lab = below_the_log_start();
        let name = lab.segments()[0].id().log_name();
        (lab, name)
    };
    for (make, op) in [(cut, Op::RenameNew), (below, Op::Unlink)] {
        for (errno, is_fatal) in [(EIO, true), (ENOENT, false)] {
            let (lab, name) = make();
            let (faulty, store) = store_on(&lab);
            faulty.inject(Fault::at(op).on_path(&name).error(errno));
            let outcome = partition(&store).map(drop);
            assert_eq!(faulty.fired(), 1, "{op:?}");
            let is_told = matches!(&outcome, Err(TopicError::Open(OpenError::Io(_))));
            assert_eq!(is_told, is_fatal, "{op:?} {errno}: {outcome:?}");
        }
    }
    // The index of a segment that goes.
    for (errno, is_fatal) in [(EIO, true), (ENOENT, false)] {
        let (lab, name) = below();
        let (faulty, store) = store_on(&lab);
        faulty.inject(Fault::at(Op::Unlink).on_path(&name.replace(".log", ".idx")).error(errno));
        let outcome = partition(&store).map(drop);
        assert_eq!((faulty.fired(), outcome.is_err()), (1, is_fatal), "{errno}: {outcome:?}");
    }
    // And the directory that they are moved to.
    for (errno, is_fatal) in [(EIO, true), (17, false)] {
        let (lab, _) = cut();
        fs::create_dir(lab.dir().join("quarantine")).unwrap();
        let (faulty, store) = store_on(&lab);
        faulty.inject(Fault::at(Op::CreateDir).on_path("quarantine").error(errno));
        let outcome = partition(&store).map(drop);
        assert_eq!((faulty.fired(), outcome.is_err()), (1, is_fatal), "{errno}: {outcome:?}");
    }
}

/// A segment that was named and never written: there is nothing to look at.
#[test]
fn a_file_of_zeros_is_not_set_aside() {
    for (byte, kept) in [(0, 0), (0x5A, 1)] {
        let lab = dirty();
        let path = lab.dir().join(SegmentId { base_offset: 10, seq: 2 }.log_name());
        fs::write(&path, [byte; 4096]).unwrap();
        assert_eq!((report(&lab).quarantined.len(), path.exists()), (kept, false));
    }
}

/// The writer beside a reader drops a segment of a deleted prefix between the list and the look at it.
#[test]
fn a_segment_that_goes_while_it_is_listed_is_gone() {
    let mut lab = below_the_log_start();
    let faulty = Faulty::new(Arc::new(Disk::new()));
    faulty.inject(Fault::at(Op::Open).on_path(&lab.segments()[0].id().log_name()).error(ENOENT));
    let store = options().storage(Arc::new(faulty.clone())).open_read_only(lab.tmp.path()).unwrap();
    let view = store.topic(TOPIC).unwrap().partition(0).unwrap();
    assert_eq!(faulty.fired(), 1);
    assert_same(&read_all(&view).0, &lab.oracle.split_off(&70), "what is left");
}

/// A truncation took it: nobody needs to look at it, whoever began it.
#[test]
fn what_a_truncation_cut_off_is_not_set_aside() {
    for (lab, to) in [(Lab::closed(|partition, oracle| append(partition, oracle, 150, 1000, AckLevel::Durable)), 70), (torn(), 3)] {
        let (store, log) = lab.open();
        append(&log, &mut Default::default(), 3, 100, AckLevel::Durable);
        let cut = lab.segments().pop().unwrap();
        let bytes = cut.bytes();
        log.truncate_suffix(to).unwrap();
        drop(log);
        store.close().unwrap();
        // It died before that was unlinked.
        fs::write(&cut.path, bytes).unwrap();
        let done = report(&lab);
        assert_eq!((done.next_offset, &done.quarantined[..], cut.path.exists()), (to, &[][..], false), "{done:#?}");
    }
}

/// A recovery did, and did not live to set it aside; but not what nothing was ever written to.
#[test]
fn what_a_recovery_cut_off_is_set_aside_by_the_next_one() {
    for (frames, kept) in [(true, 1), (false, 0)] {
        let lab = Lab::three_segments(Durable::Before(10));
        let cut = lab.segments().swap_remove(1);
        let mut bytes = cut.bytes();
        lab.segments()[0].flip_body(20);
        assert_eq!(report(&lab).next_offset, 20);
        if !frames {
            bytes[128..].fill(0);
        }
        fs::write(&cut.path, bytes).unwrap();
        let done = report(&lab);
        assert_eq!((done.next_offset, done.quarantined.len(), cut.path.exists()), (20, kept, false), "{done:#?}");
    }
}

/// A stray is set aside as well, and no end of a log.
#[test]
fn a_stray_is_no_torn_end() {
    let lab = Lab::three_segments(Durable::Everything);
    fs::copy(&lab.segments()[0].path, lab.dir().join(SegmentId { base_offset: 7, seq: 40 }.log_name())).unwrap();
    let done = report(&lab);
    assert!(done.quarantined.len() == 1 && !done.torn_end, "{done:#?}");
}

/// However much that is: here a byte, 100 MiB behind the tear.
#[test]
fn all_that_was_torn_off_is_kept() {
    let lab = torn();
    let segment = &lab.segments()[0];
    let capacity = 200 << 20;
    segment.edit(|bytes| {
        let header = tidelog_format::SegmentHeader { capacity, ..segment.header };
        bytes[..SEGMENT_HEADER_BYTES].copy_from_slice(&header.encode());
    });
    let from = fs::metadata(&segment.path).unwrap().len();
    let file = fs::OpenOptions::new().write(true).open(&segment.path).unwrap();
    file.set_len(capacity).unwrap();
    file.write_all_at(b"!", from + (100 << 20)).unwrap();
    let done = report(&lab);
    let [name] = &done.quarantined[..] else { panic!("{done:#?}") };
    let kept = fs::read(lab.dir().join("quarantine").join(name)).unwrap();
    let cut_at = fs::metadata(&segment.path).unwrap().len();
    assert_eq!((kept.len() as u64, kept.last()), (from + (100 << 20) + 1 - cut_at, Some(&b'!')));
    assert!(kept[..(from - cut_at) as usize].iter().any(|&byte| byte != 0), "and what stands right behind the tear");
}

/// A copy that there is no room for is not there in part, and the log is opened: what is torn is dead where it stands, too.
#[test]
fn a_torn_end_that_there_is_no_room_for_stays_where_it_is() {
    for (op, errno) in [(Op::Create, ENOSPC), (Op::Write, EDQUOT), (Op::Write, ENOSPC), (Op::Sync, ENOSPC)] {
        let mut lab = torn();
        lab.oracle.split_off(&5);
        let segment = &lab.segments()[0];
        let bytes = segment.bytes();
        let (faulty, store) = store_on(&lab);
        faulty.inject(Fault::at(op).on_path(".bin.tmp").error(errno));
        let log = partition(&store).unwrap();
        assert_eq!(faulty.fired(), 1, "{op:?}");
        assert!(log.recovery_report().torn_end && log.recovery_report().quarantined.is_empty(), "{:#?}", log.recovery_report());
        let used = bytes.iter().rposition(|&byte| byte != 0).unwrap() + 1;
        assert!(segment.bytes() == bytes[..used], "{op:?}: something was taken away that is kept nowhere");
        assert_eq!(names(&lab.dir().join("quarantine")), [""; 0], "{op:?}");
        assert_eq!(reports(&lab).len(), 1, "{op:?}");
        append(&log, &mut lab.oracle, 3, 90, AckLevel::Durable);
        drop(log);
        store.close().unwrap();
        for _ in 0..2 {
            let (_store, again) = lab.open();
            assert_same(&read_all(again.view()).0, &lab.oracle, &format!("{op:?}"));
            assert!(!again.recovery_report().is_notable(), "{:#?}", again.recovery_report());
        }
    }
}

/// Any failure but that of a full disk is told, and the next open finds the same and does it, whole and once.
#[test]
fn a_torn_end_is_kept_by_the_open_that_can() {
    for op in [Op::CreateDir, Op::Create, Op::Write, Op::Sync, Op::RenameNew, Op::SyncDir] {
        let lab = torn();
        let torn_off = lab.segments()[0].bytes();
        for nth in 1..3 {
            let (faulty, store) = store_on(&lab);
            faulty.inject(Fault::at(op).on_path("quarantine").nth(nth).error(EIO));
            let outcome = partition(&store);
            assert!(faulty.fired() == 0 || matches!(outcome, Err(TopicError::Open(OpenError::Io(_)))), "{op:?} {nth}: {outcome:?}");
            if outcome.is_ok() {
                break;
            }
            assert!(lab.segments()[0].bytes() == torn_off, "{op:?} {nth}: it was cut off before it was kept");
        }
        report(&lab);
        let kept = names(&lab.dir().join("quarantine"));
        assert!(kept.len() == 1 && kept[0].ends_with(".bin"), "{op:?}: {kept:?}");
        assert_eq!(reports(&lab).len(), 1, "{op:?}");
    }
}

/// What was allocated ahead is given back all the same.
#[test]
fn zeros_behind_what_there_is_no_room_to_keep_are_cut() {
    let lab = torn();
    let segment = &lab.segments()[0];
    let bytes = segment.bytes();
    let used = bytes.iter().rposition(|&byte| byte != 0).unwrap() + 1;
    segment.edit(|bytes| bytes.resize(segment.header.capacity as usize, 0));
    let (faulty, store) = store_on(&lab);
    faulty.inject(Fault::at(Op::Create).on_path("quarantine").error(ENOSPC));
    assert!(partition(&store).unwrap().recovery_report().torn_end);
    assert!(segment.bytes() == bytes[..used]);
}

/// The log is to go on: its next segment has its room before any is taken for a copy.
#[test]
fn the_copy_of_a_torn_end_takes_no_room_from_the_tail() {
    let lab = torn();
    let (faulty, store) = store_on(&lab);
    faulty.inject(Fault::anywhere().on_path("spare-").error(ENOSPC));
    assert!(matches!(partition(&store), Err(TopicError::Open(OpenError::Io(error))) if error.kind() == std::io::ErrorKind::StorageFull));
    assert!(!exists(&lab, "quarantine"));
    drop(store);
    assert_eq!(report(&lab).quarantined.len(), 1);
}

/// That no name is known to be durable is no want of room for a copy.
#[test]
fn names_that_cannot_be_synced_keep_a_torn_log_from_being_opened() {
    let lab = torn();
    let (faulty, store) = store_on(&lab);
    faulty.inject(Fault::at(Op::SyncDir).on_path(lab.dir().to_str().unwrap()).error(ENOSPC));
    assert!(partition(&store).is_err() && faulty.fired() == 1);
    drop(store);
    assert!(report(&lab).torn_end);
}

/// A link, or anything else that cannot be read, in the place of a copy.
#[test]
fn what_has_the_name_of_a_copy_is_left() {
    for make in [|path: &Path| fs::create_dir(path).unwrap(), |path: &Path| std::os::unix::fs::symlink("nowhere", path).unwrap()] {
        let lab = dirty();
        let segment = &lab.segments()[0];
        let name = format!("{}-{:010}.bin", segment.id().log_name().trim_end_matches(".log"), segment.frames()[5].position);
        segment.flip_body(5);
        fs::create_dir(lab.dir().join("quarantine")).unwrap();
        make(&lab.dir().join("quarantine").join(&name));
        assert_eq!(report(&lab).quarantined.len(), 1);
        assert_eq!(names(&lab.dir().join("quarantine")).len(), 2);
    }
}

/// What was kept of a place is not replaced by what is found there later.
#[test]
fn what_was_kept_before_stays() {
    let lab = dirty();
    let segment = &lab.segments()[0];
    let name = format!("{}-{:010}.bin", segment.id().log_name().trim_end_matches(".log"), segment.frames()[5].position);
    segment.flip_body(5);
    fs::create_dir(lab.dir().join("quarantine")).unwrap();
    fs::write(lab.dir().join("quarantine").join(&name), "before").unwrap();
    let done = report(&lab);
    let [kept] = &done.quarantined[..] else { panic!("{done:#?}") };
    assert!(kept.starts_with(&name) && *kept != name, "{kept}");
    assert_eq!(fs::read(lab.dir().join("quarantine").join(&name)).unwrap(), b"before");
    assert!(fs::metadata(lab.dir().join("quarantine").join(kept)).unwrap().len() > 100);
    // The same bytes are kept once.
    let lab = torn();
    let bytes = lab.segments()[0].bytes();
    let first = report(&lab).quarantined;
    lab.segments().iter().skip(1).for_each(|segment| fs::remove_file(&segment.path).unwrap());
    fs::remove_file(lab.dir().join(CHECKPOINT_NAME)).unwrap();
    fs::write(&lab.segments()[0].path, bytes).unwrap();
    assert_eq!(report(&lab).quarantined, first);
    assert_eq!(names(&lab.dir().join("quarantine")), first);
}

/// A segment that lost its header in a power cut held the end of the log, too.
#[test]
fn a_tail_without_a_header_is_a_torn_end() {
    for (bytes, is_torn) in [(vec![0; 4096], false), (vec![0xEE; 4096], true)] {
        let lab = Lab::ten_records(Durable::Before(5));
        fs::write(lab.dir().join(SegmentId { base_offset: 10, seq: 2 }.log_name()), bytes).unwrap();
        let done = report(&lab);
        assert_eq!((done.torn_end, done.quarantined.len()), (is_torn, usize::from(is_torn)), "{done:#?}");
        assert!(!report(&lab).torn_end);
    }
}

/// What comes again has happened again, though it is told in the same words.
#[test]
fn what_was_put_right_and_comes_again_is_reported_again() {
    let lab = Lab::three_segments(Durable::Everything);
    let damages: [&dyn Fn(); 3] = [&|| fs::write(lab.dir().join(META_NAME), "rotten").unwrap(), &|| lab.segments()[1].flip(40), &|| {
        drop(fs::remove_file(lab.dir().join(CHECKPOINT_NAME)))
    }];
    let mut told = 0;
    for damage in damages {
        for _ in 0..2 {
            damage();
            assert!(report(&lab).is_notable());
            told += 1;
            assert_eq!(reports(&lab).len(), told);
            assert!(!report(&lab).is_notable());
        }
    }
}

/// A clock that was ahead for a time.
#[test]
fn the_newest_report_has_the_highest_number() {
    let lab = Lab::three_segments(Durable::Everything);
    let ahead = format!("recovery-{:020}.json", SEQ_MAX - 1);
    fs::write(lab.dir().join(&ahead), "{}").unwrap();
    for number in 0..2 {
        lab.segments()[number].edit(|bytes| bytes.resize(lab.segments()[number].header.capacity as usize + 100, 1));
        for _ in 0..2 {
            report(&lab);
            assert_eq!(reports(&lab).len(), 2, "the highest number that there is takes what is newer");
        }
        let newest = reports(&lab).pop().unwrap();
        assert!(newest > ahead);
        let told = fs::read_to_string(lab.dir().join(newest)).unwrap();
        assert!(told.contains(&lab.segments()[number].id().log_name()), "{told}");
    }
}

fn reports(lab: &Lab) -> Vec<String> {
    names(&lab.dir()).into_iter().filter(|name| name.starts_with("recovery-")).collect()
}

/// What is told at every open would push out what is told once.
#[test]
fn what_stays_is_reported_once() {
    let lab = Lab::three_segments(Durable::Everything);
    let segment = &lab.segments()[0];
    segment.edit(|bytes| bytes.resize(segment.header.capacity as usize + 100, 1));
    assert!(report(&lab).is_notable());
    let first = reports(&lab);
    for _ in 0..3 {
        assert!(report(&lab).is_notable(), "the value says it at each open");
        assert_eq!(reports(&lab), first);
    }
    // Something else is news, also if what was found before is found again.
    let other = &lab.segments()[1];
    other.edit(|bytes| bytes.resize(other.header.capacity as usize + 100, 1));
    let of_both = report(&lab);
    assert_eq!(reports(&lab).len(), 2, "{of_both:#?}");
    // What is told is told, also beside something else.
    other.edit(|bytes| bytes.truncate(other.header.capacity as usize));
    assert!(report(&lab).is_notable());
    assert_eq!(reports(&lab).len(), 2);
    // Each file that is set aside is news.
    for number in 0..2 {
        fs::write(lab.dir().join(SegmentId { base_offset: 7, seq: 40 }.log_name()), segment.bytes()).unwrap();
        assert_eq!(report(&lab).quarantined.len(), 1);
        assert_eq!(reports(&lab).len(), 3 + number);
    }
}

/// The report is a value, too.
#[test]
fn a_report_without_room_keeps_no_log_from_being_opened() {
    for (errno, opens) in [(ENOSPC, true), (EDQUOT, true), (EIO, false)] {
        let lab = Lab::three_segments(Durable::Everything);
        let segment = &lab.segments()[0];
        segment.edit(|bytes| bytes.resize(segment.header.capacity as usize + 100, 1));
        let (faulty, store) = store_on(&lab);
        faulty.inject(Fault::at(Op::Write).on_path("recovery-").error(errno));
        let opened = partition(&store);
        assert_eq!(faulty.fired(), 1);
        assert_eq!(opened.as_ref().is_ok_and(|partition| partition.recovery_report().is_notable()), opens, "{opened:?}");
    }
}

#[test]
fn sixteen_reports_are_kept() {
    let lab = Lab::three_segments(Durable::Everything);
    fs::remove_file(&lab.segments()[1].path).unwrap();
    let reports = || -> Vec<u64> {
        let numbers = names(&lab.dir()).into_iter().filter_map(|name| match FileName::parse(&name) {
            Some(FileName::Report(number)) => Some(number),
            _ => None,
        });
        numbers.collect()
    };
    let mut all = Vec::new();
    for number in 0..19 {
        // One more that nobody told of yet.
        fs::write(lab.dir().join(SegmentId { base_offset: 1000 + number, seq: 100 + number }.log_name()), [1; 200]).unwrap();
        assert!(report(&lab).is_notable());
        all.push(*reports().last().unwrap());
    }
    assert_eq!(reports(), all[3..]);
}

/// Declared losses and files that were set aside are worth a report, though an ordinary crash may leave the rest.
#[test]
fn what_is_notable() {
    let finding = |verdict| tidelog::Finding { found: Found::IndexUnusable, verdict, file: String::new(), detail: String::new() };
    let range = || tidelog::DamagedRange { from: 1, to: 2, reason: String::new(), declared: true };
    let plain = RecoveryReport { findings: vec![finding(Verdict::Silent)], ..RecoveryReport::default() };
    assert!(!plain.is_notable() && !plain.torn_end);
    assert!(RecoveryReport { damage: vec![range()], ..plain.clone() }.is_notable());
    let aside = RecoveryReport { quarantined: vec![String::new()], ..plain.clone() };
    assert!(aside.is_notable() && !aside.torn_end);
    let repaired = RecoveryReport { findings: vec![finding(Verdict::Silent), finding(Verdict::Repair)], ..plain };
    assert!(repaired.is_notable() && !repaired.torn_end);
}

/// Files as they are left, but for when they were made.
fn left(lab: &Lab) -> Vec<(String, u64)> {
    let stem = |name: String| if name.starts_with("recovery-") { "recovery".to_owned() } else { name };
    names(&lab.dir())
        .into_iter()
        .map(|name| (fs::metadata(lab.dir().join(&name)).unwrap().len(), stem(name)))
        .map(|(len, name)| (name, len))
        .collect()
}

fn report_of(partition: &Partition) -> RecoveryReport {
    RecoveryReport { scanned_bytes: 0, ..partition.recovery_report().clone() }
}

/// Whatever is more than bytes that were not synced is left to a whole recovery, which whoever opens the partition hears of.
#[test]
fn recovery_of_many_leaves_the_rest_to_a_whole_one() {
    let slots = |lab: &Lab, change: &dyn Fn(Checkpoint) -> Checkpoint| {
        let slots: Vec<_> = lab.slots().into_iter().map(|slot| slot.map(change)).collect();
        lab.write_slots(&slots);
    };
    type Made<'a> = (&'a str, Lab, &'a dyn Fn(&Lab));
    let closed = || Lab::closed(|partition, oracle| append(partition, oracle, 150, 1000, AckLevel::Durable));
    let labs: [Made<'_>; 8] = [
        ("no room", dirty(), &|lab| {
            let segment = &lab.segments()[0];
            let header = SegmentHeader { capacity: segment.frames().last().unwrap().end(), ..segment.header };
            segment.edit(|bytes| bytes[..128].copy_from_slice(&header.encode()));
        }),
        ("too long", Lab::three_segments(Durable::Before(30)), &|lab| lab.segments()[0].edit(|bytes| bytes.extend([1; 8]))),
        ("declared loss", Lab::ten_records(Durable::Everything), &|lab| {
            slots(lab, &|slot| Checkpoint { durable_next_offset: Offset::new(15), ..slot });
            let (store, log) = lab.open();
            append(&log, &mut Default::default(), 1, 100, AckLevel::Durable);
            drop(log);
            store.close().unwrap();
            // What is there is not said to be durable any more.
            slots(lab, &|slot| Checkpoint { tail_pos: 128.into(), durable_next_offset: 15.into(), high_water_mark: 15.into(), ..slot });
            lab.segments()[1].strip_claims();
        }),
        ("below the log start", closed(), &|lab| slots(lab, &|slot| Checkpoint { log_start: Offset::new(70), ..slot })),
        ("no header", dirty(), &|lab| fs::write(lab.dir().join(SegmentId { base_offset: 10, seq: 2 }.log_name()), [0x5A; 4096]).unwrap()),
        ("half a seal", Lab::three_segments(Durable::Nothing), &|lab| lab.segments()[0].flip(lab.segments()[0].seal().position + 70)),
        ("slots that differ", closed(), &|lab| {
            let slots: Vec<_> = lab.slots().into_iter().flatten().collect();
            lab.write_slots(&[Some(Checkpoint { log_start: Offset::new(3), ..slots[0] }), Some(slots[1])]);
        }),
        ("a newer feature", dirty(), &|lab| {
            let path = lab.dir().join(META_NAME);
            let meta = Meta { ro_compat: 1, ..Meta::decode(&fs::read(&path).unwrap()).unwrap() };
            fs::write(&path, meta.encode()).unwrap();
        }),
    ];
    for (what, lab, change) in labs {
        change(&lab);
        let other = Lab { tmp: tempdir(), oracle: lab.oracle.clone() };
        copy_tree(lab.tmp.path(), other.tmp.path());
        let (one, many) = (store_on(&lab).1, store_on(&other).1);
        let alone = partition(&one).map(|log| report_of(&log)).map_err(|error| error.to_string());
        many.recover_all();
        assert_eq!(left(&lab), left(&other), "{what}");
        let path = |lab: &Lab| lab.dir().to_string_lossy().into_owned();
        let among = partition(&many).map(|log| report_of(&log)).map_err(|error| error.to_string().replace(&path(&other), &path(&lab)));
        assert_eq!(alone, among, "{what}");
    }
}

/// Synced, noted in the checkpoint and in indexes, without what was not finished: the next open has nothing to do.
#[test]
fn what_recovery_of_many_did_is_not_done_again() {
    for unfinished in [false, true] {
        for lab in [Lab::three_segments(Durable::Before(30)), Lab::closed(|partition, oracle| append(partition, oracle, 10, 100, AckLevel::Durable))]
        {
            let spare = lab.dir().join(SegmentId::spare_name(9));
            if unfinished {
                fs::write(&spare, "unfinished").unwrap();
            }
            let (_faulty, store) = store_on(&lab);
            store.recover_all();
            // The process is killed, nobody has opened the partition.
            let image = Lab { tmp: tempdir(), oracle: lab.oracle.clone() };
            copy_tree(lab.tmp.path(), image.tmp.path());
            assert!(!exists(&image, "tmp") && !spare.exists());
            let (faulty, store) = store_on(&image);
            let log = partition(&store).unwrap();
            let report = log.recovery_report();
            assert_eq!((report.scanned_bytes, faulty.bytes_written(), faulty.syncs()), (0, 0, 0), "{report:#?}");
            assert_same(&read_all(log.view()).0, &lab.oracle, "recovered");
        }
    }
}
