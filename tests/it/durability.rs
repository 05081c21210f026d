//! What an acknowledgement promises: syncs are made, shared, and never believed after one failed. Faults come through the I/O seam.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use tidelog::io::Storage;
use tidelog::io::fault::{EIO, ENOSPC, Fault, Faulty, Op};
use tidelog::io::sim::{NameModel, SimDisk};
use tidelog::{
    AckLevel, AppendError, CutError, Partition, ReadError, ReadIsolation, Record, RecordBatch, Store, StoreOptions, SyncError, SyncPolicy,
};

use crate::reading_support::{Home, append_numbered, batch, check_numbered, copy, eventually, faulty, numbered, small};

/// Runs `work` on a thread of its own; fails if that takes more than 20 s.
fn in_time<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    std::thread::spawn(move || done.send(work()));
    result.recv_timeout(Duration::from_secs(20)).unwrap_or_else(|_| panic!("hangs: {what}"))
}

#[test]
fn a_durable_append_syncs_and_a_written_one_does_not() {
    let home = Home::new();
    let (faulty, options) = faulty();
    let (_store, partition) = home.partition(options.sync_policy(SyncPolicy::OsOnly));
    for _ in 0..10 {
        let before = faulty.syncs();
        let ack = partition.append_with(Record::new("written"), AckLevel::Written).unwrap();
        assert_eq!(faulty.syncs(), before);
        assert!(ack.durable_end <= ack.base_offset);
        let ack = partition.append(Record::new("durable")).unwrap();
        assert_eq!(faulty.syncs(), before + 1);
        assert!(ack.durable_end > ack.last_offset);
        assert_eq!(partition.durable_end_offset(), ack.durable_end);
    }
}

/// The first sync of a reserved block costs as much as two. Zeros go there ahead, and never over anything; not where they would cost more.
#[test]
fn zeros_are_written_ahead_of_what_is_synced_in_small_pieces() {
    let writes_of = |records: usize, value: &[u8]| {
        let home = Home::new();
        let (faulty, options) = faulty();
        let (_store, partition) = home.partition(options);
        faulty.record_calls();
        (0..records).for_each(|_| _ = partition.append(Record::new(value)).unwrap());
        let calls = faulty.recorded_calls();
        let is_log = |path: &std::path::Path| path.extension().is_some_and(|extension| extension == "log");
        calls.into_iter().filter(|call| call.op == Op::Write && is_log(&call.path)).map(|call| call.position..call.position + call.bytes).collect()
    };
    let (records, frame_bytes, block_bytes) = (4000, 176, 4096);
    let writes: Vec<Range<u64>> = writes_of(records, &[b'x'; 100]);
    let (mut end, mut zeros) = (128, 0);
    for write in &writes {
        if write.end - write.start == frame_bytes {
            assert_eq!(write.start, end);
            end = write.end;
            assert!(end <= zeros.max(block_bytes), "{write:?} after {zeros}");
        } else {
            assert!(write.start >= end && write.start.is_multiple_of(block_bytes), "{write:?} behind {end}");
            zeros = write.end;
        }
    }
    assert_eq!(end, 128 + records as u64 * frame_bytes);
    assert!(zeros < end + 2 * (256 << 10) && writes.len() < records + 40, "{zeros} after {end}, {} writes", writes.len());
    assert_eq!(writes_of(20, &[b'x'; 100_000]).len(), 20, "large ones are written once");
}

/// One sync serves all that wait; nobody is forgotten, not even where no keeper comes by.
#[test]
fn threads_share_syncs_and_none_is_left_asleep() {
    for policy in [SyncPolicy::default(), SyncPolicy::OsOnly] {
        let home = Home::new();
        let (faulty, options) = faulty();
        let (_store, partition) = home.partition(options.sync_policy(policy));
        faulty.reset_counts();
        let (threads, each) = (8, 150);
        let appended = {
            let partition = partition.clone();
            in_time("durable appends of eight threads", move || {
                std::thread::scope(|scope| {
                    for _ in 0..threads {
                        scope.spawn(|| {
                            for _ in 0..each {
                                let ack = partition.append(Record::new("x")).unwrap();
                                assert!(ack.durable_end > ack.last_offset && partition.durable_end_offset() > ack.last_offset);
                            }
                        });
                    }
                });
                threads * each
            })
        };
        assert_eq!(partition.log_end_offset().get(), appended);
        assert!(faulty.syncs() < appended, "{} syncs for {appended} appends", faulty.syncs());
    }
}

/// Whoever leads a sync writes what the others have staged: with one write for all, in the segment or the next, and each is told its own offset.
#[test]
fn what_threads_append_durably_is_written_together() {
    let home = Home::new();
    let (faulty, options) = faulty();
    let (store, partition) = home.partition(options.segment_bytes(64 << 10));
    faulty.inject(Fault::at(Op::Sync).from_then_on().on_path(".log").slow(Duration::from_millis(1)));
    faulty.record_calls();
    let (threads, each) = (16, 60);
    let acked = in_time("durable appends of 16 threads", {
        let partition = partition.clone();
        move || append_from_threads(&partition, threads, each).into_iter().map(Result::unwrap).collect::<Vec<_>>()
    });
    let is_log = |path: &std::path::Path| path.extension().is_some_and(|extension| extension == "log");
    let writes = faulty.recorded_calls().iter().filter(|call| call.op == Op::Write && is_log(&call.path)).count() as u64;
    assert!(writes < threads * each / 2, "{writes} writes");
    assert!(partition.view().info().unwrap().segments > 3);
    check_acked(&partition, &acked);
    drop(partition);
    store.close().unwrap();
    check_acked(&Store::open(home.path()).unwrap().topic("t").unwrap().partition(0).unwrap(), &acked);
}

/// A write for many that fails is told to none of them: each appends alone then, and hears what that comes to.
#[test]
fn what_cannot_be_written_together_is_written_alone() {
    for fault in [
        Fault::at(Op::Write).on_path(".log").torn(50, ENOSPC),
        Fault::at(Op::Write).on_path(".log").torn(300, ENOSPC).nth(5),
        Fault::at(Op::Allocate).error(ENOSPC),
        Fault::at(Op::RenameNew).error(ENOSPC),
    ] {
        let home = Home::new();
        let (faulty, options) = faulty();
        let (store, partition) = home.partition(options.segment_bytes(64 << 10));
        partition.append(Record::new("first")).unwrap();
        faulty.inject(fault.clone());
        let (acked, refused): (Vec<_>, Vec<_>) = in_time("durable appends of 8 threads", {
            let partition = partition.clone();
            move || append_from_threads(&partition, 8, 60).into_iter().partition(Result::is_ok)
        });
        assert_eq!(faulty.fired(), 1, "{fault:?}");
        assert!(matches!(refused[..], [] | [Err(AppendError::Io(_))]), "{fault:?}: {refused:?}");
        let mut acked: Vec<_> = acked.into_iter().map(Result::unwrap).collect();
        acked.push((0, b"first".to_vec()));
        check_acked(&partition, &acked);
        drop(partition);
        store.close().unwrap();
        let reopened = Store::open(home.path()).unwrap().topic("t").unwrap().partition(0).unwrap();
        check_acked(&reopened, &acked);
        assert!(!reopened.recovery_report().is_notable(), "{fault:?}");
    }
}

/// A write for many that is torn and cannot be taken back: nobody is told that nothing was appended, for it may be there.
#[test]
fn what_may_stand_on_the_disk_is_not_said_to_be_refused() {
    let home = Home::new();
    let (faulty, options) = faulty();
    let (store, partition) = home.partition(options);
    partition.append(Record::new("first")).unwrap();
    faulty.inject(Fault::at(Op::Write).on_path(".log").nth(9).torn(200, ENOSPC));
    faulty.inject(Fault::at(Op::Write).on_path(".log").nth(10).from_then_on().error(ENOSPC));
    let outcomes = append_from_threads(&partition, 8, 60);
    let mut may_be_there = HashSet::new();
    for refused in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        match refused {
            AppendError::NotDurable { base_offset, source: SyncError::Poisoned { .. } } => assert!(may_be_there.insert(base_offset.get())),
            AppendError::Poisoned { .. } => {}
            other => panic!("{other}"),
        }
    }
    let acked: Vec<_> = outcomes.into_iter().filter_map(Result::ok).collect();
    assert!(!may_be_there.is_empty() && !acked.is_empty());
    drop(partition);
    let _ = store.close();
    let reopened = Store::open(home.path()).unwrap().topic("t").unwrap().partition(0).unwrap();
    for (offset, value) in &acked {
        assert_eq!(&value_at(&reopened, *offset), value);
    }
    for offset in acked.len() as u64 + 1..reopened.log_end_offset().get() {
        assert!(may_be_there.contains(&offset), "{offset} was refused, and is there");
    }
}

/// Power fails at any call beside many threads, also in the middle of what one of them writes for all: whatever was acknowledged is there.
#[test]
fn what_was_acknowledged_together_survives_a_power_cut() {
    for (nth, seed) in (1..40).flat_map(|nth| (0..3).map(move |seed| (nth * 3, seed))) {
        let disk = SimDisk::new(seed * 1000 + nth, NameModel::Strict);
        let faulty = Faulty::new(Arc::new(disk.clone()));
        let open = |storage: Arc<dyn Storage>| {
            let store = StoreOptions::new().storage(storage).segment_bytes(64 << 10).open("/data").unwrap();
            store.topic("t").unwrap().partition(0).unwrap()
        };
        let partition = open(Arc::new(faulty.clone()));
        faulty.inject(Fault::at(Op::Sync).from_then_on().on_path(".log").slow(Duration::from_micros(300)));
        faulty.inject(Fault::anywhere().nth(nth).error(EIO).from_then_on());
        let acked: Vec<_> = append_from_threads(&partition, 8, 12).into_iter().filter_map(Result::ok).collect();
        drop(partition);
        let reopened = open(Arc::new(disk.power_cut().disk(nth, NameModel::Strict)));
        assert!(reopened.recovery_report().damage.is_empty(), "call {nth}, seed {seed}: {:?}", reopened.recovery_report());
        for (offset, value) in &acked {
            assert_eq!(&value_at(&reopened, *offset), value, "call {nth}, seed {seed}");
        }
    }
}

/// An open is killed at any call, the next one makes the store, appends durably, and then the power fails: the directories above the store, which
/// the killed one may have made, are there.
#[test]
fn a_store_whose_first_open_was_killed_survives_a_power_cut() {
    for (nth, seed) in (1..).flat_map(|nth| (0..4).map(move |seed| (nth, seed))) {
        let disk = SimDisk::new(seed * 1000 + nth, NameModel::Strict);
        let faulty = Faulty::new(Arc::new(disk.clone()));
        faulty.inject(Fault::anywhere().nth(nth).error(EIO).from_then_on());
        let open = |storage: Arc<dyn Storage>| StoreOptions::new().storage(storage).segment_bytes(64 << 10).without_threads().open("/a/b/c/data");
        let first = open(Arc::new(faulty.clone()));
        if faulty.fired() == 0 {
            break;
        }
        drop(first);
        let disk = disk.kill();
        let partition = open(Arc::new(disk.clone())).unwrap().topic("t").unwrap().partition(0).unwrap();
        partition.append(Record::new("acknowledged")).unwrap();
        let after = disk.power_cut().disk(nth, NameModel::Strict);
        let partition = open(Arc::new(after)).unwrap().topic("t").unwrap().partition(0).unwrap();
        assert_eq!(partition.log_end_offset().get(), 1, "call {nth}, seed {seed}");
    }
}

/// Values of up to 800 bytes that differ, appended durably by many threads: what each append was given.
fn append_from_threads(partition: &Partition, threads: u64, each: u64) -> Vec<Result<(u64, Vec<u8>), AppendError>> {
    let append = |number: u64| {
        let mut value = numbered(number);
        value.resize(value.len() + (number * 37 % 700) as usize, number as u8);
        let ack = partition.append(Record::new(&value))?;
        assert!(ack.durable_end > ack.last_offset && partition.durable_end_offset() >= ack.durable_end);
        Ok((ack.base_offset.get(), value))
    };
    std::thread::scope(|scope| {
        let each_of = |thread| scope.spawn(move || (thread * each..(thread + 1) * each).map(append).collect::<Vec<_>>());
        let threads: Vec<_> = (0..threads).map(each_of).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

/// Offsets are dense, and at each is what was acknowledged there.
fn check_acked(partition: &Partition, acked: &[(u64, Vec<u8>)]) {
    assert_eq!(partition.log_end_offset().get(), acked.len() as u64);
    let offsets: HashSet<_> = acked.iter().map(|(offset, _)| offset).collect();
    assert_eq!(offsets.len(), acked.len());
    for (offset, value) in acked {
        assert_eq!(&value_at(partition, *offset), value);
    }
}

/// A cut holds the append lock while it makes sure of what stays; whoever leads a sync meanwhile wants it too, for what others have staged.
#[test]
fn a_cut_beside_durable_appends_ends() {
    let home = Home::new();
    let (_store, partition) = home.partition(StoreOptions::new());
    let cuts = in_time("cuts beside durable appends", {
        let partition = partition.clone();
        move || {
            let cut_until = Instant::now() + Duration::from_millis(500);
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        while Instant::now() < cut_until {
                            partition.append(Record::new("x")).unwrap();
                        }
                    });
                }
                let mut cuts = 0;
                while Instant::now() < cut_until {
                    partition.append_with(Record::new("not synced yet"), AckLevel::Written).unwrap();
                    partition.truncate_suffix(partition.log_end_offset().get() / 2).unwrap();
                    cuts += 1;
                }
                cuts
            })
        }
    });
    assert!(cuts > 0);
}

#[test]
fn what_nobody_waits_for_becomes_durable_in_time() {
    for policy in [SyncPolicy::default(), SyncPolicy::Interval(Duration::from_millis(50))] {
        let home = Home::new();
        let (_store, partition) = home.partition(StoreOptions::new().sync_policy(policy));
        // Again after the keeper has lost interest.
        for round in 1..=2 {
            let ack = partition.append_with(Record::new("x"), AckLevel::Written).unwrap();
            let start = Instant::now();
            eventually("durable", || partition.durable_end_offset() > ack.last_offset);
            assert!(start.elapsed() < Duration::from_millis(800), "round {round}: {:?}", start.elapsed());
            std::thread::sleep(Duration::from_millis(1500));
        }
    }
}

/// An idle partition is checkpointed, so that opening it after a kill scans nothing.
#[test]
fn an_idle_partition_is_checkpointed_each_time() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    for round in 1..=2 {
        append_numbered(&partition, (round - 1) * 400..round * 400);
        eventually("a checkpoint", || {
            let twin = copy(home.path());
            let recovered = Store::open(twin.path()).unwrap().topic("t").unwrap().partition(0).unwrap();
            assert_eq!(recovered.log_end_offset().get(), round * 400);
            recovered.recovery_report().findings.iter().all(|finding| !format!("{finding:?}").contains("Torn"))
                && partition.durable_end_offset().get() == round * 400
        });
        std::thread::sleep(Duration::from_millis(1200));
    }
}

#[test]
fn deferred_appends_share_what_they_wait_for() {
    let home = Home::new();
    let (faulty, options) = faulty();
    let (_store, partition) = home.partition(options);
    faulty.reset_counts();
    let pending: Vec<_> = (0..2000).map(|_| partition.append_deferred(&batch(&["a", "b"])).unwrap()).collect();
    assert_eq!(partition.log_end_offset().get(), 4000);
    for (number, pending) in pending.into_iter().enumerate().rev() {
        let number = number as u64;
        assert_eq!((pending.base_offset().get(), pending.last_offset().get()), (number * 2, number * 2 + 1));
        let again = pending.clone();
        let ack = pending.wait().unwrap();
        assert!(ack.durable_end.get() >= number * 2 + 2 && again.is_durable());
    }
    assert!(faulty.syncs() < 20, "{} syncs", faulty.syncs());
}

/// What was durable before it was cut off was what was promised; nobody waits for it to come back.
#[test]
fn waiting_for_what_was_cut_off_ends() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    append_numbered(&partition, 0..10);
    let pending = partition.append_deferred(&batch(&["a", "b"])).unwrap();
    partition.truncate_suffix(5).unwrap();
    in_time("a wait for what was cut off", move || pending.wait()).unwrap();
    assert!(matches!(partition.wait_durable(7), Err(SyncError::NotAssigned { .. })));
}

/// A sync round that began before a cut knows the old end: it must not be told as durable when the log is shorter.
#[test]
fn no_sync_reports_an_end_that_was_cut_off() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    append_numbered(&partition, 0..10);
    let deadline = Instant::now() + Duration::from_secs(1);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while Instant::now() < deadline {
                    partition.flush().unwrap();
                    partition.append_deferred(&batch(&[])).unwrap_err();
                }
            });
        }
        while Instant::now() < deadline {
            append_numbered(&partition, 10..60);
            partition.truncate_suffix(10).unwrap();
            let (end, durable) = (partition.log_end_offset().get(), partition.durable_end_offset().get());
            assert_eq!((end, durable), (10, 10));
        }
    });
    append_numbered(&partition, 10..11);
    assert_eq!(partition.durable_end_offset().get(), 10);
}

fn value_at(partition: &Partition, offset: u64) -> Vec<u8> {
    partition.get(offset).unwrap().value().unwrap().to_vec()
}

#[test]
fn after_a_failed_sync_nothing_is_promised_any_more() {
    for policy in [SyncPolicy::default(), SyncPolicy::Interval(Duration::from_secs(10))] {
        let home = Home::new();
        let (faulty, options) = faulty();
        let (store, partition) = home.partition(options.sync_policy(policy));
        for number in 0..5u64 {
            partition.append(Record::new(&number.to_le_bytes())).unwrap();
        }
        // The next sync fails, those after it would succeed.
        faulty.inject(Fault::at(Op::Sync).on_path(".log"));
        let errors: Vec<AppendError> = {
            let partition = partition.clone();
            in_time("appends beside a failing sync", move || {
                std::thread::scope(|scope| {
                    let threads: Vec<_> = (0..6).map(|_| scope.spawn(|| partition.append(Record::new("lost")).unwrap_err())).collect();
                    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
                })
            })
        };
        for error in &errors {
            let poisoned = matches!(error, AppendError::NotDurable { source: SyncError::Poisoned { .. }, .. } | AppendError::Poisoned { .. });
            assert!(poisoned && error.to_string().contains("os error 5"), "{error}");
        }
        assert!(errors.iter().any(|error| matches!(error, AppendError::NotDurable { .. })));
        let marks = || (partition.high_water_mark().get(), partition.durable_end_offset().get(), partition.log_end_offset());
        let frozen = marks();
        assert_eq!((frozen.0, frozen.1), (5, 5));
        assert!(matches!(partition.append(Record::new("no")), Err(AppendError::Poisoned { .. })));
        assert!(matches!(partition.append_with(Record::new("no"), AckLevel::Written), Err(AppendError::Poisoned { .. })));
        assert!(matches!(partition.flush(), Err(SyncError::Poisoned { .. })));
        assert!(matches!(partition.truncate_suffix(1), Err(CutError::Sync(SyncError::Poisoned { .. }))));
        assert!(matches!(partition.delete_prefix(6), Err(CutError::Sync(SyncError::Poisoned { .. }) | CutError::OutOfRange { .. })));
        std::thread::sleep(Duration::from_millis(150)); // a keeper that would sync again
        assert_eq!(marks(), frozen);
        assert_eq!(partition.read_from(0).unwrap().map(Result::unwrap).count(), 5);
        assert_eq!(value_at(&partition, 4), 4u64.to_le_bytes());
        assert!(matches!(partition.get(5), Err(ReadError::OffsetOutOfRange { .. })));
        // A reader that waits is not kept for what will not come.
        let mut reader = partition.read_from(5).unwrap();
        let start = Instant::now();
        assert!(!reader.wait(Duration::from_secs(20)).unwrap());
        assert!(start.elapsed() < Duration::from_secs(10));
        assert!(matches!(store.close(), Err(SyncError::Poisoned { .. })));
        drop((partition, reader));
        // Opened anew it goes on; the unacknowledged may be there or not.
        let reopened = Store::open(home.path()).unwrap().topic("t").unwrap().partition(0).unwrap();
        assert_eq!(value_at(&reopened, 4), 4u64.to_le_bytes());
        reopened.append(Record::new("yes")).unwrap();
    }
}

/// Every call that makes something durable may fail: of the log, of its directory, of the checkpoint.
#[test]
fn a_failed_sync_of_names_or_checkpoint_poisons() {
    for fault in [Fault::at(Op::SyncDir).on_path("/t/0"), Fault::at(Op::Sync).on_path("CHECKPOINT"), Fault::at(Op::Write).on_path("CHECKPOINT")] {
        let home = Home::new();
        let (faulty, options) = faulty();
        let (store, partition) = home.partition(options.segment_bytes(64 << 10).sync_policy(SyncPolicy::OsOnly));
        append_numbered(&partition, 0..100);
        partition.flush().unwrap();
        faulty.inject(fault);
        // Over rolls: the keeper comes by and syncs too.
        let written = (100..2000).find(|&number| partition.append_with(Record::new(&numbered(number)), AckLevel::Written).is_err()).unwrap_or(2000);
        let _ = partition.flush();
        let _ = partition.delete_prefix(50);
        assert!(matches!(partition.append(Record::new("no")), Err(AppendError::Poisoned { .. })));
        // Under this policy readers see what is written, and still do.
        assert_eq!(check_numbered(partition.view(), partition.log_start_offset().get()), written);
        assert!(matches!(store.close(), Err(SyncError::Poisoned { .. })));
    }
}

#[test]
fn a_full_disk_refuses_and_loses_nothing() {
    for op in [Op::Write, Op::Allocate, Op::Create, Op::RenameNew] {
        let home = Home::new();
        let (faulty, options) = faulty();
        let (store, partition) = home.partition(options.segment_bytes(64 << 10));
        let (mut acked, mut refused) = (Vec::new(), 0);
        for number in 0..1500u64 {
            if number == 700 {
                faulty.inject(Fault::at(op).from_then_on().error(ENOSPC).on_path("/t/0"));
            }
            if number == 1400 {
                faulty.heal();
            }
            match partition.append_with(Record::new(&number.to_le_bytes()).key(&[7; 60]), AckLevel::Written) {
                Ok(ack) => acked.push((ack.base_offset, number)),
                Err(AppendError::Io(_)) if op != Op::Write => refused += 1,
                // A write that could not even be taken back: what it left is not known, and nothing is appended behind it.
                Err(AppendError::NotDurable { base_offset, .. }) if op == Op::Write && refused == 0 => {
                    assert_eq!(base_offset.get(), number);
                    refused += 1;
                }
                Err(AppendError::Poisoned { .. }) if op == Op::Write && refused > 0 => refused += 1,
                Err(error) => panic!("{op:?}: {error}"),
            }
        }
        assert!(refused > 0, "{op:?}: nothing was refused");
        drop(partition);
        let _ = store.close();
        let reopened = Store::open(home.path()).unwrap().topic("t").unwrap().partition(0).unwrap();
        assert_eq!(reopened.log_end_offset().get(), acked.len() as u64, "{op:?}");
        for (offset, number) in acked {
            assert_eq!(value_at(&reopened, offset.get()), number.to_le_bytes());
        }
    }
}

/// A torn write is taken back, and the next append stands where it would have stood.
#[test]
fn a_torn_write_leaves_no_trace() {
    let home = Home::new();
    let (faulty, options) = faulty();
    let (store, partition) = home.partition(options);
    partition.append(Record::new("first")).unwrap();
    faulty.inject(Fault::at(Op::Write).on_path(".log").torn(50, ENOSPC));
    assert!(matches!(partition.append(Record::new("torn")), Err(AppendError::Io(_))));
    let ack = partition.append(Record::new("second")).unwrap();
    assert_eq!(ack.base_offset.get(), 1);
    drop(partition);
    store.close().unwrap();
    let reopened = Store::open(home.path()).unwrap().topic("t").unwrap().partition(0).unwrap();
    assert_eq!((reopened.log_end_offset().get(), value_at(&reopened, 1)), (2, b"second".to_vec()));
    assert!(!reopened.recovery_report().is_notable());
}

#[test]
fn closing_is_final_and_reading_goes_on() {
    let home = Home::new();
    let (store, partition) = home.partition(small());
    append_numbered(&partition, 0..2000);
    let held = partition.get(3).unwrap();
    let other = store.clone();
    store.close().unwrap();
    other.close().unwrap();
    assert!(matches!(partition.append(Record::new("no")), Err(AppendError::Closed)));
    assert!(matches!(partition.delete_prefix(5), Err(CutError::Sync(SyncError::Closed))));
    assert!(matches!(partition.truncate_suffix(5), Err(CutError::Sync(SyncError::Closed))));
    assert_eq!(check_numbered(partition.view(), 0), 2000);
    // The lock is free although a handle is left, and the two do not disturb each other.
    let reopened = Store::open(home.path()).unwrap().topic("t").unwrap().partition(0).unwrap();
    assert_eq!(reopened.durable_end_offset().get(), 2000);
    append_numbered(&reopened, 2000..2100);
    reopened.delete_prefix(1900).unwrap();
    assert_eq!(check_numbered(&partition.view().with_isolation(ReadIsolation::Written), 1500), 2000);
    assert_eq!(held.value().unwrap(), numbered(3));
    let mut reader = partition.read_from(2000).unwrap();
    let start = Instant::now();
    assert!(!reader.wait(Duration::from_secs(20)).unwrap());
    assert!(start.elapsed() < Duration::from_secs(10), "a reader waits for a log that is closed");
}

/// The last handle of any kind closes: no cycle keeps the lock, also while the threads of the store have work.
#[test]
fn dropping_everything_closes() {
    let home = Home::new();
    for round in 0..20u64 {
        let (store, partition) = home.partition(StoreOptions::new().sync_policy(SyncPolicy::OsOnly).segment_bytes(2 << 20));
        assert_eq!(partition.log_end_offset().get(), round * 30);
        for _ in 0..30 {
            partition.append_with(Record::new(&vec![7; 60_000]), AckLevel::Written).unwrap();
        }
        let reader = partition.read_from(0).unwrap();
        let handles: (_, _, _) = (store.topic("t").unwrap(), partition.clone(), store);
        match round % 3 {
            0 => drop((handles.0, partition, handles.1, handles.2)),
            1 => drop((handles.2, handles.0, handles.1, partition)),
            _ => drop((partition, handles.1, handles.2, handles.0)),
        }
        drop(reader);
    }
    let (_store, partition) = home.partition(StoreOptions::new());
    assert!(partition.recovery_report().scanned_bytes < 100_000, "not closed cleanly: {:?}", partition.recovery_report());
}

/// What lies allocated behind the end is given back, so that a store that is closed is as large as what is in it.
#[test]
fn a_closed_segment_ends_where_its_frames_end() {
    let home = Home::new();
    let (store, partition) = home.partition(StoreOptions::new());
    append_numbered(&partition, 0..1000);
    partition.flush().unwrap();
    drop(partition);
    store.close().unwrap();
    let (_, position) = home.read_only().locate(999).unwrap();
    let log = std::fs::read_dir(home.partition_dir()).unwrap().find(|entry| entry.as_ref().unwrap().path().extension() == Some("log".as_ref()));
    let len = log.unwrap().unwrap().metadata().unwrap().len();
    assert!(len > position.get() && len < position.get() + 300, "{len} bytes, the last frame begins at {position}");
    let (store, partition) = home.partition(StoreOptions::new());
    append_numbered(&partition, 1000..1010);
    drop((store, partition));
    assert_eq!(check_numbered(&home.read_only(), 0), 1010);
}

#[test]
fn sync_counts_of_batches() {
    let home = Home::new();
    let (faulty, options) = faulty();
    let (_store, partition) = home.partition(options);
    let mut many = RecordBatch::new();
    (0..500).for_each(|_| many.push(&Record::new("x")).unwrap());
    faulty.reset_counts();
    let acks: HashSet<_> = (0..10).map(|_| partition.append_batch(&many, AckLevel::Durable).unwrap().base_offset).collect();
    assert_eq!((acks.len(), faulty.syncs()), (10, 10));
}
