//! Partitions that are synced together, by one sync of their file system: who goes along, what is durable then, and what a failure takes with it.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use tidelog::io::fault::{Call, Fault, Faulty, Op};
use tidelog::io::sim::{NameModel, SimDisk};
use tidelog::{
    AckLevel, AppendError, OpenError, Partition, PendingAck, Record, RecordBatch, Store, StoreOptions, SyncError, SyncPolicy, SyncScope, TopicOptions,
};

use crate::interleavings::Hooked;
use crate::reading_support::{Random, numbered};

/// Enough for a sync of the file system, and too few: another syncs, and takes along one less.
const MANY: u32 = 40;
const FEW: u32 = 4;

fn partitions(store: &Store, count: u32) -> Vec<Partition> {
    let topic = match store.existing_topic("t") {
        Ok(topic) => topic,
        Err(_) => store.create_topic_with("t", TopicOptions::new().partitions(count)).unwrap(),
    };
    (0..count).map(|number| topic.partition(number).unwrap()).collect()
}

/// A disk in memory: where the tests run, the real one may be of a kind that is not synced as a whole.
fn faulty() -> (Faulty, StoreOptions) {
    let faulty = Faulty::new(Arc::new(SimDisk::new(1, NameModel::Strict)));
    (faulty.clone(), StoreOptions::new().storage(Arc::new(faulty)).sync_scope(SyncScope::FileSystem))
}

fn open(options: StoreOptions) -> (Store, Vec<Partition>) {
    let store = options.without_threads().open("/store").unwrap();
    let partitions = partitions(&store, MANY);
    (store, partitions)
}

/// A record that names the partition's next offset, and so many bytes.
fn next_record(partition: &Partition, bytes: usize) -> RecordBatch {
    let value = [&numbered(partition.log_end_offset().get())[..], &vec![7; bytes]].concat();
    let mut batch = RecordBatch::new();
    batch.push(&Record::new(&value[..])).unwrap();
    batch
}

fn try_defer(partition: &Partition, bytes: usize) -> Result<PendingAck, AppendError> {
    partition.append_deferred(&next_record(partition, bytes))
}

fn defer(partition: &Partition) -> PendingAck {
    try_defer(partition, 0).unwrap()
}

#[test]
fn one_sync_serves_all_that_were_appended_to() {
    let (faulty, options) = faulty();
    let (_store, partitions) = open(options);
    for round in 1..=3 {
        faulty.reset_counts();
        let pending: Vec<PendingAck> = partitions.iter().map(defer).collect();
        assert!(pending.iter().all(|pending| !pending.is_durable()));
        let [first, rest @ ..] = &pending[..] else { unreachable!() };
        let ack = first.clone().wait().unwrap();
        assert_eq!((ack.base_offset.get(), ack.durable_end.get()), (round - 1, round));
        assert!(rest.iter().all(PendingAck::is_durable));
        assert_eq!((faulty.count(Op::SyncAll), faulty.syncs(), faulty.dir_syncs()), (1, 0, 0));
        assert!(partitions.iter().all(|partition| partition.durable_end_offset().get() == round));
    }
}

#[test]
fn few_sync_their_own_files() {
    let (faulty, options) = faulty();
    let (_store, partitions) = open(options);
    faulty.reset_counts();
    let pending: Vec<PendingAck> = partitions[..FEW as usize].iter().map(defer).collect();
    pending.into_iter().for_each(|pending| _ = pending.wait().unwrap());
    assert_eq!((faulty.count(Op::SyncAll), faulty.syncs()), (0, FEW.into()));
    // Those that are durable by now are not counted for others.
    for partition in &partitions {
        partition.append(Record::new("alone")).unwrap();
        defer(partition).wait().unwrap();
    }
    assert_eq!(faulty.count(Op::SyncAll), 0);
}

/// What nobody waits for is synced by the keeper: for all of them at once, segments that were left behind and their names too.
#[test]
fn the_keeper_syncs_them_together() {
    for policy in [SyncPolicy::default(), SyncPolicy::Interval(Duration::from_secs(60))] {
        let (faulty, options) = faulty();
        let (store, partitions) = open(options.sync_policy(policy).segment_bytes(64 << 10));
        for partition in &partitions {
            (0..3).for_each(|_| _ = partition.append_with(Record::new(&[7; 40_000]), AckLevel::Written).unwrap());
        }
        faulty.reset_counts();
        faulty.inject(Fault::at(Op::Sync).on_path(".log").from_then_on());
        faulty.inject(Fault::at(Op::SyncDir).on_path("/t/").from_then_on());
        store.run_background();
        assert_eq!(faulty.count(Op::SyncAll), 1);
        assert!(partitions.iter().all(|partition| partition.durable_end_offset().get() == 3), "{policy}");
    }
}

/// What a kill left goes along, once it is written again.
#[test]
fn what_a_kill_left_goes_along_written_again() {
    let disk = SimDisk::new(1, NameModel::Strict);
    let options = |storage| StoreOptions::new().storage(storage).sync_scope(SyncScope::FileSystem).sync_policy(SyncPolicy::OsOnly);
    let (_store, before) = open(options(Arc::new(disk.clone())));
    before.iter().for_each(|partition| _ = partition.append_with(Record::new("left"), AckLevel::Written).unwrap());
    let faulty = Faulty::new(Arc::new(disk.kill()));
    let (store, partitions) = open(options(Arc::new(faulty.clone())).background_recovery(false));
    assert!(partitions.iter().all(|partition| partition.durable_end_offset() == 0));
    faulty.record_calls();
    store.run_background();
    assert!(partitions.iter().all(|partition| partition.durable_end_offset() == 1));
    let calls = faulty.recorded_calls();
    let written = |call: &&Call| call.op == Op::Write && call.path.extension().is_some_and(|name| name == "log");
    assert_eq!(calls.iter().take_while(|call| call.op != Op::SyncAll).filter(written).count(), MANY as usize);
}

/// What a failed sync of the file system was to make durable may be anybody's: no partition is believed after it.
#[test]
fn a_failure_poisons_whoever_has_something_to_sync() {
    let (faulty, options) = faulty();
    let (store, partitions) = open(options.clone());
    partitions.iter().for_each(|partition| _ = partition.append(Record::new(&numbered(0)[..])).unwrap());
    let (waiting, [late, idle]) = partitions.split_at(MANY as usize - 2) else { unreachable!() };
    let pending: Vec<PendingAck> = waiting.iter().map(defer).collect();
    late.append_with(Record::new("nobody waits for it"), AckLevel::Written).unwrap();
    faulty.inject(Fault::at(Op::SyncAll));
    for pending in pending {
        assert!(!pending.is_durable());
        let error = pending.wait().unwrap_err();
        assert!(error.to_string().contains("sync the file system of"), "{error}");
    }
    assert_eq!(faulty.fired(), 1);
    for partition in waiting {
        assert!(matches!(partition.append(Record::new("more")), Err(AppendError::Poisoned { .. })));
    }
    assert!(matches!(late.flush(), Err(SyncError::Poisoned { .. })), "the next sync succeeds, and proves nothing");
    assert!(idle.flush().is_ok(), "everything was durable before");
    assert!(matches!(idle.append(Record::new("more")), Err(AppendError::NotDurable { .. })));
    assert!(partitions.iter().all(|partition| partition.durable_end_offset().get() == 1));
    drop(partitions);
    assert!(store.close().is_err());
    let (_store, partitions) = open(options);
    for partition in &partitions {
        assert_eq!(partition.get(0).unwrap().value(), Some(&numbered(0)[..]));
        partition.append(Record::new("more")).unwrap();
    }
}

#[test]
fn a_store_is_refused_where_a_sync_would_not_tell_what_failed() {
    let (faulty, options) = faulty();
    let no_such_sync = || Fault::at(Op::FileSystem).error(95).from_then_on();
    faulty.inject(no_such_sync());
    let error = options.clone().open("/store").unwrap_err();
    assert!(matches!(&error, OpenError::Io(io) if io.kind() == std::io::ErrorKind::Unsupported), "{error:?}");
    assert!(error.to_string().starts_with("cannot sync as a whole the file system of /store: "), "{error}");
    let partition = SyncScope::Partition;
    assert!(matches!(options.clone().sync_scope(partition).open_existing("/store"), Err(OpenError::NotFound { .. })), "nothing was made");
    options.sync_scope(partition).open("/store").unwrap();
}

/// Who comes while others are synced by one sync is not told durable by that one, which may not have seen what it wrote.
#[test]
fn who_comes_late_is_synced_by_itself() {
    let disk = Hooked::over(SimDisk::new(1, NameModel::Strict));
    let faulty = Faulty::new(disk.clone());
    let (_store, partitions) = open(StoreOptions::new().storage(Arc::new(faulty.clone())).sync_scope(SyncScope::FileSystem));
    let (first, others) = partitions.split_at(MANY as usize - 8);
    let (late, later) = (others[0].clone(), others[1..].to_vec());
    *disk.after_sync_all.lock() = Some(Box::new({
        let (late, faulty) = (late.clone(), faulty.clone());
        move || {
            let pending = defer(&late);
            later.iter().for_each(|later| drop(defer(later)));
            assert!(!pending.is_durable());
            let before = faulty.syncs();
            // Also while the other sync is under way, as far as it is told.
            assert_eq!((pending.wait().unwrap().durable_end.get(), faulty.syncs()), (1, before + 1));
        }
    }));
    let pending: Vec<PendingAck> = first.iter().map(defer).collect();
    pending.into_iter().for_each(|pending| _ = pending.wait().unwrap());
    assert!(others[1..].iter().all(|later| later.durable_end_offset().get() == 0), "nobody has synced them");
    assert_eq!((late.durable_end_offset().get(), faulty.count(Op::SyncAll)), (1, 1));
}

/// A partition on another file system than its store is not synced by a sync of the store's.
#[test]
fn a_partition_on_another_file_system_is_synced_by_itself() {
    let disk = Hooked::over(SimDisk::new(1, NameModel::Strict));
    *disk.mounted_elsewhere.lock() = Some("t/7");
    let faulty = Faulty::new(disk);
    let (_store, partitions) = open(StoreOptions::new().storage(Arc::new(faulty.clone())).sync_scope(SyncScope::FileSystem));
    let mut pending: Vec<PendingAck> = partitions.iter().map(defer).collect();
    let elsewhere = pending.remove(7);
    faulty.reset_counts();
    pending.remove(0).wait().unwrap();
    assert!(pending.iter().all(PendingAck::is_durable) && !elsewhere.is_durable());
    assert_eq!((faulty.count(Op::SyncAll), faulty.syncs()), (1, 0));
    elsewhere.wait().unwrap();
    assert_eq!((faulty.count(Op::SyncAll), faulty.syncs()), (1, 1));
    faulty.inject(Fault::at(Op::SyncAll));
    let pending: Vec<PendingAck> = partitions.iter().map(defer).collect();
    let outcomes: Vec<bool> = pending.into_iter().map(|pending| pending.wait().is_ok()).collect();
    assert_eq!(outcomes, (0..MANY).map(|number| number == 7).collect::<Vec<_>>());
}

/// Partitions that a kill left are recovered together by syncs of the store's file system, which covers no other.
#[test]
fn a_partition_on_another_file_system_is_recovered_by_itself() {
    let disk = SimDisk::new(1, NameModel::Strict);
    let store = StoreOptions::new().storage(Arc::new(disk.clone())).sync_policy(SyncPolicy::OsOnly).without_threads().open("/store").unwrap();
    for partition in partitions(&store, 4) {
        partition.append_with(Record::new("written"), AckLevel::Written).unwrap();
    }
    let after = Hooked::over(disk.kill());
    *after.mounted_elsewhere.lock() = Some("t/2");
    let faulty = Faulty::new(after);
    faulty.record_calls();
    let store = StoreOptions::new().storage(Arc::new(faulty.clone())).without_threads().open("/store").unwrap();
    store.recover_all();
    let calls = faulty.recorded_calls();
    let is_segment_of =
        |path: &Path, number: u32| path.starts_with(format!("/store/topics/default/t/{number}")) && path.extension() == Some("log".as_ref());
    let synced = |number| calls.iter().any(|call| call.op == Op::Sync && is_segment_of(&call.path, number));
    assert_eq!([0, 1, 2, 3].map(synced), [false, false, true, false]);
    assert_eq!(faulty.count(Op::SyncAll), 2);
}

/// Who waits for one partition waits for no sync of others.
#[test]
fn a_durable_append_syncs_its_own_partition() {
    let (faulty, options) = faulty();
    let (_store, partitions) = open(options);
    let (own, others) = partitions.split_first().unwrap();
    let pending: Vec<PendingAck> = others.iter().map(defer).collect();
    faulty.reset_counts();
    own.append(Record::new("own")).unwrap();
    assert_eq!((faulty.count(Op::SyncAll), faulty.syncs()), (0, 1));
    assert!(!pending.iter().any(PendingAck::is_durable));
}

/// Threads that append to partitions of their own, and to others' without waiting for them: nobody is left asleep, with cuts too.
#[test]
fn threads_share_partitions_and_syncs() {
    let (faulty, options) = faulty();
    let store = options.segment_bytes(64 << 10).open("/store").unwrap();
    let partitions = Arc::new(partitions(&store, MANY));
    let (done, result) = mpsc::channel();
    let work = partitions.clone();
    std::thread::spawn(move || {
        std::thread::scope(|scope| {
            for (own, others) in work.chunks(5).map(|chunk| chunk.split_first().unwrap()) {
                scope.spawn(move || {
                    for round in 0..60u64 {
                        let pending: Vec<PendingAck> = others.iter().map(|other| try_defer(other, 700).unwrap()).collect();
                        let ack = own.append(Record::new(&[7; 700])).unwrap();
                        assert!(ack.durable_end > ack.last_offset);
                        if round % 4 == 3 {
                            // Perhaps while another thread syncs it.
                            others[0].truncate_suffix(others[0].log_end_offset().get() - 3).unwrap();
                            pending.into_iter().for_each(|pending| assert!(pending.wait().is_ok()));
                        }
                    }
                    others.iter().for_each(|other| _ = other.flush().unwrap());
                });
            }
        });
        done.send(()).unwrap();
    });
    result.recv_timeout(Duration::from_secs(60)).expect("hangs");
    assert!(faulty.count(Op::SyncAll) > 0);
    for (number, partition) in partitions.iter().enumerate() {
        assert_eq!(partition.durable_end_offset().get(), if number % 5 == 1 { 60 - 15 * 3 } else { 60 });
    }
}

/// Random programs on a disk that loses power, and whose syncs fail: what was acknowledged is there, and what is there is what was appended.
#[test]
fn what_was_acknowledged_survives_power_cuts() {
    let mut shared = 0;
    for seed in 0..24 {
        shared += run(seed);
    }
    assert!(shared > 100, "{shared} syncs of the file system");
}

/// Returns how many syncs of the file system there were.
fn run(seed: u64) -> u64 {
    let names = if seed.is_multiple_of(2) { NameModel::Strict } else { NameModel::Journal };
    let (mut random, mut disk) = (Random::new(seed), SimDisk::new(seed, names));
    let mut acked = vec![0; 12];
    let mut shared = 0;
    for life in 0..4 {
        let faulty = Faulty::new(Arc::new(disk.clone()));
        let policy = if random.below(3) == 0 { SyncPolicy::OsOnly } else { SyncPolicy::default() };
        let options = StoreOptions::new().storage(Arc::new(faulty.clone())).sync_policy(policy).sync_scope(SyncScope::FileSystem);
        let store = options.segment_bytes(64 << 10).without_threads().open("/store").unwrap();
        let partitions = partitions(&store, acked.len() as u32);
        for (partition, acked) in partitions.iter().zip(&acked) {
            let (start, end) = (partition.log_start_offset().get(), partition.log_end_offset().get());
            assert!(start == 0 && end >= *acked, "seed {seed}, life {life}: {end} of {acked} acknowledged");
            for (number, record) in partition.read_from(0).unwrap().enumerate() {
                assert!(record.unwrap().value().unwrap().starts_with(&numbered(number as u64)), "seed {seed}, life {life}");
            }
        }
        if random.below(3) == 0 {
            disk.fail_sync(1 + random.below(12));
        }
        live(&mut random, &store, &partitions, &mut acked);
        shared += faulty.count(Op::SyncAll);
        disk = disk.power_cut().disk(random.next(), names);
    }
    shared
}

fn live(random: &mut Random, store: &Store, partitions: &[Partition], acked: &mut [u64]) {
    let mut pending: Vec<(usize, PendingAck)> = Vec::new();
    for _ in 0..random.below(100) {
        let at = random.below(partitions.len() as u64) as usize;
        match random.below(100) {
            0..20 => {
                for (at, partition) in partitions.iter().enumerate() {
                    let Ok(deferred) = try_defer(partition, random.below(6000) as usize) else { return };
                    pending.push((at, deferred));
                }
            }
            20..70 => {
                let Ok(deferred) = try_defer(&partitions[at], random.below(20_000) as usize) else { return };
                pending.push((at, deferred));
            }
            70..80 => {
                let batch = next_record(&partitions[at], random.below(20_000) as usize);
                let Ok(ack) = partitions[at].append_batch(&batch, AckLevel::Durable) else { return };
                acked[at] = ack.last_offset.get() + 1;
            }
            80..85 => store.run_background(),
            _ if !pending.is_empty() => {
                let (at, deferred) = pending.swap_remove(random.below(pending.len() as u64) as usize);
                let Ok(ack) = deferred.wait() else { return };
                acked[at] = acked[at].max(ack.last_offset.get() + 1);
            }
            _ => {}
        }
        for (at, deferred) in pending.extract_if(.., |(_, deferred)| deferred.is_durable()) {
            acked[at] = acked[at].max(deferred.last_offset().get() + 1);
        }
    }
}
