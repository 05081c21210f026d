//! The n-th call fails, for every n: while a store is made, appended to, rolled, closed and recovered. Nothing acknowledged may be lost.

use std::sync::Arc;
use std::time::Duration;

use tidelog::io::fault::{Fault, Faulty, Op};
use tidelog::io::{Disk, Storage};
use tidelog::{
    AckLevel, AppendError, CutError, Partition, ReadIsolation, Record, RecordBatch, Store, SyncError, SyncPolicy, TimestampNs, TopicError, Verdict,
};
use tidelog_format::SegmentId;

use crate::support::{
    Durable, Lab, Oracle, append, assert_same, copy_tree, names, options, partition, partition_dir, ranges, read_all, tempdir, value,
};

const EIO: i32 = 5;
const EMFILE: i32 = 24;
const ENOSPC: i32 = 28;

fn faulty() -> (Faulty, Arc<dyn Storage>) {
    let faulty = Faulty::new(Arc::new(Disk::new()));
    (faulty.clone(), Arc::new(faulty))
}

/// What a run of appends was promised, and what it tried.
#[derive(Debug, Default)]
struct Run {
    acked: Oracle,
    tried: Vec<(u64, Vec<u8>)>,
    /// Offsets that a durable append may or may not have left.
    poisoned: bool,
}

impl Run {
    fn append(&mut self, log: &Partition, serial: u64, len: usize, level: AckLevel) {
        let (offset, value) = (log.log_end_offset().get(), value(serial, len));
        match log.append_with(Record::new(&value), level) {
            Ok(ack) => {
                assert!(!self.poisoned, "an acknowledgement after the partition was poisoned");
                assert!(self.acked.insert(ack.base_offset.get(), value.clone()).is_none(), "offset {} was given out twice", ack.base_offset);
            }
            Err(AppendError::Poisoned { .. } | AppendError::NotDurable { .. }) => self.poisoned = true,
            Err(_) => {}
        }
        self.tried.push((offset, value));
    }

    /// Opens, appends with both levels, rolls, flushes, closes: as far as that goes.
    fn work(&mut self, store: Store) {
        let Ok(log) = partition(&store) else { return };
        (0..3).for_each(|serial| self.append(&log, serial, 100, AckLevel::Durable));
        (3..16).for_each(|serial| self.append(&log, serial, 6000, AckLevel::Written));
        if log.flush().is_err() {
            self.poisoned = true;
        }
        (16..18).for_each(|serial| self.append(&log, serial, 200, AckLevel::Durable));
        let _ = store.close(); // what it may lose is told by the check
        assert!(matches!(log.append(Record::new("closed")), Err(AppendError::Closed | AppendError::Poisoned { .. })), "an append to a closed store");
    }

    /// Everything acknowledged is there, and nothing that was never tried.
    fn check(&self, dir: &std::path::Path, what: &str) {
        let store = options().open(dir).unwrap_or_else(|error| panic!("{what}: {error}"));
        let log = partition(&store).unwrap_or_else(|error| panic!("{what}: {error}"));
        let report = log.recovery_report();
        assert!(report.findings.iter().all(|finding| finding.verdict != Verdict::Damage), "{what}: {report:#?}");
        let (records, damage) = read_all(log.view());
        assert_eq!(damage, [], "{what}");
        for (offset, value) in &self.acked {
            assert!(records.get(offset) == Some(value), "{what}: acknowledged offset {offset} is lost or wrong");
        }
        for (offset, value) in &records {
            assert!(self.tried.contains(&(*offset, value.clone())), "{what}: offset {offset} holds what nobody appended there");
        }
        let mut oracle = records;
        append(&log, &mut oracle, 2, 77, AckLevel::Durable);
        store.close().unwrap();
        let store = options().open(dir).unwrap();
        assert_same(&read_all(partition(&store).unwrap().view()).0, &oracle, what);
    }
}

/// Runs the work with a fault at the n-th call for every n, in a new directory each time.
fn at_every_call(policy: SyncPolicy, what: &str, fault: impl Fn(Fault) -> Fault) {
    for nth in 1..2000 {
        let (dir, (faulty, storage)) = (tempdir(), faulty());
        faulty.inject(fault(Fault::anywhere().nth(nth)));
        let mut run = Run::default();
        if let Ok(store) = options().sync_policy(policy).storage(storage).open(dir.path()) {
            run.work(store);
        }
        run.check(dir.path(), &format!("{what}, call {nth}"));
        if faulty.fired() == 0 {
            assert!(nth > 20 && run.acked.len() == 18, "{what}: {nth} calls, {} acknowledged", run.acked.len());
            return;
        }
    }
    panic!("{what}: the work never came to its end");
}

const GROUP: SyncPolicy = SyncPolicy::Group { max_wait: Duration::ZERO, max_bytes: 4 << 20 };

#[test]
fn a_store_survives_a_process_that_dies_at_any_call() {
    at_every_call(GROUP, "group, from then on", |fault| fault.error(EIO).from_then_on());
    at_every_call(SyncPolicy::OsOnly, "os, from then on", |fault| fault.error(ENOSPC).from_then_on());
}

#[test]
fn a_store_survives_one_failing_call_at_any_place() {
    at_every_call(GROUP, "group, once", |fault| fault.error(EIO));
    at_every_call(SyncPolicy::OsOnly, "os, once", |fault| fault.error(EMFILE));
}

#[test]
fn a_store_survives_short_and_torn_writes() {
    at_every_call(GROUP, "torn once", |fault| fault.torn(70, ENOSPC));
    at_every_call(GROUP, "torn from then on", |fault| fault.torn(9, EIO).from_then_on());
    at_every_call(GROUP, "short", |fault| fault.short(13));
}

/// Header and note, records, packed times, padding: written from where each is. What does not get there leaves zeros, not half a batch.
#[test]
fn a_large_batch_is_stored_whole_or_not_at_all_wherever_its_write_ends() {
    let (dir, (faulty, storage)) = (tempdir(), faulty());
    faulty.allow_mapping(false); // or it may be stored into the map
    let store = options().segment_bytes(16 << 20).storage(storage).open(dir.path()).unwrap();
    let log = partition(&store).unwrap();
    for value_bytes in [127, 2345] {
        let mut batch = RecordBatch::new();
        let time = |serial| TimestampNs::new(1_700_000_000_000_000_000 + 77_777 * serial as i64);
        let records: Vec<_> = (0..41).map(|serial| (value(serial, value_bytes), time(serial))).collect();
        records.iter().for_each(|(value, time)| batch.push(&Record::new(value).timestamp(*time)).unwrap());
        batch.set_note(Some(b"a note of an odd length")).unwrap();
        let begin = log.log_end_offset().get();
        log.append_batch(&batch, AckLevel::Written).unwrap();
        let (first, mut batches) = (log.read_from(begin).unwrap().next_batch().unwrap().unwrap(), 1);
        // Header, nanoseconds, note with its length; records; up to 7 bytes of padding.
        let (stored, head) = (first.stored_bytes() as usize, 64 + 8 + (4 + 23_usize).next_multiple_of(8));
        let edges = [0, 64, head, head + batch.bytes(), stored - 7, stored].map(|edge| edge.saturating_sub(1)..=edge + 1);
        for limit in edges.into_iter().flatten().chain((0..stored).step_by(stored / 50)).filter(|limit| (1..stored).contains(limit)) {
            let end = first.position().get() + batches * stored as u64;
            faulty.inject(Fault::at(Op::Write).on_path(".log").torn(limit, ENOSPC));
            assert!(matches!(log.append_batch(&batch, AckLevel::Written), Err(AppendError::Io(_))), "torn at {limit}");
            let name = names(&partition_dir(dir.path())).into_iter().find(|name| name.ends_with(".log")).unwrap();
            let file = std::fs::read(partition_dir(dir.path()).join(name)).unwrap();
            assert!(file[end as usize..].iter().all(|byte| *byte == 0), "something is left of a batch that was torn at {limit}");
            faulty.inject(Fault::at(Op::Write).on_path(".log").short(limit).from_then_on());
            log.append_batch(&batch, AckLevel::Written).unwrap_or_else(|error| panic!("{limit} at a time: {error}"));
            faulty.heal();
            batches += 1;
        }
        let mut reader = log.read_from(begin).unwrap();
        let read: Vec<_> = std::iter::from_fn(|| reader.next_batch()).map(Result::unwrap).collect();
        assert_eq!(read.len() as u64, batches);
        for read in &read {
            assert_eq!(read.note(), Some(&b"a note of an odd length"[..]));
            let seen: Vec<_> =
                read.records().map(|record| record.unwrap()).map(|record| (record.value().unwrap().to_vec(), record.timestamp())).collect();
            assert!(seen == records, "the batch at {} is not what was appended", read.base_offset());
        }
    }
    let end = log.log_end_offset();
    store.close().unwrap();
    let store = options().open(dir.path()).unwrap();
    let log = partition(&store).unwrap();
    let report = log.recovery_report();
    assert!(report.findings.iter().all(|finding| finding.verdict == Verdict::Silent) && log.log_end_offset() == end, "{report:#?}");
    assert_eq!(log.read_from(0).unwrap().map(Result::unwrap).count() as u64, end.get());
}

/// A torn end, a segment behind it, a stray, an unfinished file, a segment below the log start: all that recovery has work with.
fn torn() -> Lab {
    let mut lab = Lab::three_segments(Durable::Before(70));
    lab.segments()[1].flip_body(100);
    let first = &lab.segments()[0];
    std::fs::copy(&first.path, lab.dir().join(SegmentId { base_offset: 3, seq: 40 }.log_name())).unwrap();
    std::fs::write(lab.dir().join(SegmentId::spare_name(41)), "unfinished").unwrap();
    std::fs::write(lab.dir().join("CHECKPOINT.tmp"), "unfinished").unwrap();
    std::fs::remove_file(lab.dir().join("META")).unwrap();
    let slots: Vec<_> = lab.slots().into_iter().map(|slot| slot.map(|slot| tidelog_format::Checkpoint { log_start: 60.into(), ..slot })).collect();
    lab.write_slots(&slots);
    lab.oracle = lab.oracle.split_off(&60);
    lab.oracle.split_off(&100);
    lab
}

#[test]
fn recovery_that_dies_at_any_call_twice_finds_the_same() {
    let lab = torn();
    for second in [1, 2] {
        for nth in 1..1000 {
            let copy = tempdir();
            copy_tree(lab.tmp.path(), copy.path());
            let mut fired = 0;
            for attempt in [nth, nth / second] {
                let (faulty, storage) = faulty();
                let store = options().storage(storage).open(copy.path()).unwrap();
                faulty.reset_counts();
                let fault = Fault::anywhere().nth(attempt.max(1)).error(if nth % 2 == 0 { EIO } else { ENOSPC });
                faulty.inject(fault.from_then_on());
                match partition(&store) {
                    Ok(log) => assert_same(&read_all_held(&faulty, &log), &lab.oracle, &format!("opened in spite of call {attempt}")),
                    Err(TopicError::Open(_) | TopicError::Io(_)) => {}
                    Err(other) => panic!("call {attempt}: {other}"),
                }
                fired += faulty.fired();
            }
            check_recovered(&lab, copy.path(), &format!("died at call {nth}"));
            if fired == 0 {
                break;
            }
        }
    }
}

fn read_all_held(faulty: &Faulty, log: &Partition) -> Oracle {
    faulty.heal();
    read_all(log.view()).0
}

#[test]
fn recovery_in_which_one_call_fails_can_be_tried_again_in_the_same_process() {
    let lab = torn();
    for nth in 1..1000 {
        let copy = tempdir();
        copy_tree(lab.tmp.path(), copy.path());
        let (faulty, storage) = faulty();
        let store = options().storage(storage).open(copy.path()).unwrap();
        faulty.reset_counts();
        faulty.inject(Fault::anywhere().nth(nth).error(EMFILE));
        let first = partition(&store);
        let fired = faulty.fired();
        faulty.heal();
        drop(first);
        let log = partition(&store).unwrap_or_else(|error| panic!("call {nth}: {error}"));
        assert_same(&read_all(log.view()).0, &lab.oracle, &format!("call {nth}"));
        drop(log);
        store.close().unwrap();
        check_recovered(&lab, copy.path(), &format!("one failure at call {nth}"));
        if fired == 0 {
            return;
        }
    }
}

fn check_recovered(lab: &Lab, dir: &std::path::Path, what: &str) {
    let mut oracle = lab.oracle.clone();
    for open in 0..2 {
        let store = options().open(dir).unwrap();
        let log = partition(&store).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(ranges(log.recovery_report()), [], "{what}");
        assert!(open == 0 || !log.recovery_report().is_notable(), "{what}: {:#?}", log.recovery_report());
        assert_eq!(log.log_start_offset(), 60, "{what}");
        assert_same(&read_all(log.view()).0, &oracle, what);
        append(&log, &mut oracle, 3, 66, AckLevel::Durable);
        store.close().unwrap();
    }
    let left: Vec<_> = crate::support::names(&partition_dir(dir)).into_iter().filter(|name| name.ends_with(".tmp")).collect();
    assert!(left.is_empty(), "{what}: {left:?} is left behind");
}

#[test]
fn a_failed_sync_poisons() {
    for op in [Op::Sync, Op::SyncDir] {
        let (dir, (faulty, storage)) = (tempdir(), faulty());
        let store = options().sync_policy(GROUP).storage(storage).open(dir.path()).unwrap();
        let log = partition(&store).unwrap();
        let mut oracle = Oracle::new();
        append(&log, &mut oracle, 5, 1000, AckLevel::Durable);
        faulty.inject(Fault::at(op).on_path("topics/default"));
        let mut failed = None;
        // A directory is synced at the next roll.
        for serial in 0..100 {
            let offset = log.log_end_offset().get();
            match log.append(Record::new(&value(serial, 1000))) {
                Ok(ack) => drop(oracle.insert(ack.base_offset.get(), value(serial, 1000))),
                Err(AppendError::NotDurable { base_offset, .. }) => {
                    assert_eq!(base_offset, offset);
                    failed = Some(offset);
                    break;
                }
                Err(other) => panic!("{op:?}: {other}"),
            }
        }
        let failed = failed.expect("the sync is made");
        // The disk is well again, and still nothing is promised.
        for _ in 0..3 {
            assert!(matches!(log.append(Record::new("later")), Err(AppendError::Poisoned { .. })));
            assert!(matches!(log.append_with(Record::new("later"), AckLevel::Written), Err(AppendError::Poisoned { .. })));
        }
        assert!(log.flush().is_err() && log.delete_prefix(1).is_err() && log.truncate_suffix(1).is_err());
        assert_eq!((log.durable_end_offset(), log.high_water_mark()), (failed.into(), failed.into()));
        let committed: Vec<u64> = log.view().read_from(0).unwrap().map(|record| record.unwrap().offset().get()).collect();
        assert_eq!(committed, oracle.keys().copied().collect::<Vec<_>>(), "reads go on up to the mark");
        let checkpoints = faulty.count(Op::Write);
        assert!(store.close().is_err());
        assert_eq!(faulty.count(Op::Write), checkpoints, "nothing is claimed any more");
        let store = options().open(dir.path()).unwrap();
        let log = partition(&store).unwrap();
        let (records, _) = read_all(log.view());
        oracle.iter().for_each(|(offset, value)| assert!(records[offset] == *value, "offset {offset}"));
        log.append(Record::new("after")).unwrap();
    }
}

/// What a crash may cost was settled when it was closed: an open has nothing to wait for.
#[test]
fn an_open_after_a_close_syncs_no_file() {
    let (dir, (faulty, storage)) = (tempdir(), faulty());
    for opening in ["first", "second", "third"] {
        faulty.reset_counts();
        let store = options().storage(storage.clone()).open(dir.path()).unwrap();
        let log = partition(&store).unwrap();
        if opening != "first" {
            assert_eq!(faulty.syncs(), 0, "the {opening} open");
        }
        log.append(Record::new("a record")).unwrap();
        drop(log);
        store.close().unwrap();
    }
}

/// The disk is full: at an append, at a roll, at a checkpoint, at a deletion.
#[test]
fn a_full_disk_stops_appends_until_there_is_space() {
    for policy in [GROUP, SyncPolicy::OsOnly] {
        let (dir, (faulty, storage)) = (tempdir(), faulty());
        let store = options().sync_policy(policy).storage(storage).open(dir.path()).unwrap();
        let log = partition(&store).unwrap();
        let mut oracle = Oracle::new();
        append(&log, &mut oracle, 50, 1000, AckLevel::Durable);
        for round in 0..3 {
            for op in [Op::Allocate, Op::Create, Op::RenameNew] {
                faulty.inject(Fault::at(op).error(ENOSPC).from_then_on());
            }
            let mut refused = 0;
            for serial in 0..100 {
                let value = value(serial, 3000);
                match log.append(Record::new(&value)) {
                    Ok(ack) => drop(oracle.insert(ack.base_offset.get(), value)),
                    Err(AppendError::Io(error)) => {
                        assert_eq!(error.source.raw_os_error(), Some(ENOSPC), "{error}");
                        refused += 1;
                    }
                    Err(other) => panic!("{other}"),
                }
            }
            assert!(refused > 50, "the segment had room for {} more", 100 - refused);
            assert_same(&read_all(log.view()).0, &oracle, "reads go on");
            let at = log.log_start_offset().get() + 20;
            log.delete_prefix(at).unwrap();
            oracle = oracle.split_off(&at);
            assert!(matches!(log.truncate_suffix(at + 10), Err(CutError::Io(_))), "a truncation needs a new file");
            assert_same(&read_all(log.view()).0, &oracle, "after the refused truncation");
            faulty.heal();
            append(&log, &mut oracle, 30, 1000, AckLevel::Durable);
            assert_same(&read_all(log.view()).0, &oracle, &format!("round {round}"));
        }
        drop(log);
        store.close().unwrap();
        let store = options().open(dir.path()).unwrap();
        let log = partition(&store).unwrap();
        assert!(!log.recovery_report().is_notable(), "{:?}", log.recovery_report());
        assert_same(&read_all(log.view()).0, &oracle, "after a reopen");
    }
}

/// A write that ends in the middle leaves zeros again, or nothing more is appended.
#[test]
fn a_torn_append_is_taken_back_or_poisons() {
    for from_then_on in [false, true] {
        let (dir, (faulty, storage)) = (tempdir(), faulty());
        let store = options().sync_policy(GROUP).storage(storage).open(dir.path()).unwrap();
        let log = partition(&store).unwrap();
        let mut oracle = Oracle::new();
        append(&log, &mut oracle, 5, 100, AckLevel::Durable);
        let fault = Fault::at(Op::Write).on_path(".log").torn(100, ENOSPC);
        faulty.inject(if from_then_on { fault.from_then_on() } else { fault });
        match log.append(Record::new(&value(900, 400))).unwrap_err() {
            AppendError::Io(_) if !from_then_on => {}
            // What is left of it on the disk may be more than the half that was torn here.
            AppendError::NotDurable { base_offset, source: SyncError::Poisoned { .. } } if from_then_on => assert_eq!(base_offset, 5),
            other => panic!("{other}"),
        }
        faulty.heal();
        let next = log.append(Record::new(&value(5, 100)));
        if from_then_on {
            assert!(matches!(next, Err(AppendError::Poisoned { .. })));
        } else {
            oracle.insert(next.unwrap().base_offset.get(), value(5, 100));
        }
        assert_same(&read_all(&log.view().with_isolation(ReadIsolation::Written)).0, &oracle, "in the process");
        drop(log);
        assert_eq!(store.close().is_ok(), !from_then_on);
        let store = options().open(dir.path()).unwrap();
        assert_same(&read_all(partition(&store).unwrap().view()).0, &oracle, "after a reopen");
    }
}

/// A segment that cannot be named is tried again with the next append, and each try takes its blocks back: a full disk gets no fuller.
#[test]
fn a_roll_that_cannot_name_its_segment_is_tried_again_and_leaves_nothing() {
    let dir = tempdir();
    let (faulty, storage) = faulty();
    let store = options().storage(storage).open(dir.path()).unwrap();
    let log = partition(&store).unwrap();
    let mut acked = Oracle::new();
    append(&log, &mut acked, 1, 40 << 10, AckLevel::Durable);
    faulty.inject(Fault::at(Op::RenameNew).error(ENOSPC).from_then_on());
    for _ in 0..5 {
        let refused = log.append(Record::new(&value(1, 40 << 10)));
        assert!(matches!(refused, Err(AppendError::Io(_))), "{refused:?}");
    }
    assert_eq!(faulty.fired(), 5);
    assert!(!names(&partition_dir(dir.path())).iter().any(|name| name.starts_with("spare-")));
    faulty.heal();
    append(&log, &mut acked, 3, 40 << 10, AckLevel::Durable);
    assert_same(&read_all(log.view()).0, &acked, "once there is space");
}
