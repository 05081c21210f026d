//! Appending and reading in the steady state allocate nothing: counted by an allocator that is the whole process's, hence a binary of its own.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, which clippy.toml does not know")]

use std::os::unix::fs::MetadataExt;

use allocation_counter::measure;
use tidelog::{
    AckLevel, Filter, OffsetSpec, PageLimits, Partition, PartitionOffsetRegistry, Record, RecordBatch, Start, Store, StoreOptions, Subscription,
    SubscriptionOptions, SyncPolicy, TimestampNs,
};

const RECORDS: u64 = 1_000_000;
const VALUE: [u8; 20] = *b"twenty bytes, or so.";

fn open(dir: &std::path::Path, policy: SyncPolicy, segment_bytes: u64) -> (Store, Partition) {
    let store = StoreOptions::new().sync_policy(policy).segment_bytes(segment_bytes).open(dir).unwrap();
    let partition = store.topic("t").unwrap().partition(0).unwrap();
    (store, partition)
}

/// None an append: only to make room, as the index doubles, as blocks are asked for every few MiB, and at a roll.
fn steady(appends: u64, rolls: u64) -> u64 {
    50 + rolls * 100 + appends / 2000
}

/// Allocations of this thread alone: what the threads of the store do beside it is not the hot path.
#[test]
fn a_million_appends_allocate_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, partition) = open(dir.path(), SyncPolicy::OsOnly, 256 << 20);
    let append = |count: u64| {
        for number in 0..count {
            let time = TimestampNs::new(number as i64);
            partition.append_with(Record::new(&VALUE).key(&number.to_le_bytes()).timestamp(time), AckLevel::Written).unwrap();
        }
    };
    append(1000);
    let found = measure(|| append(RECORDS)).count_total;
    assert!(found <= steady(RECORDS, 0), "{found} allocations in {RECORDS} appends");
}

/// Neither is a key put into text to find its partition, nor does a question make anything.
#[test]
fn assignments_and_questions_by_key_allocate_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (store, partition) = open(dir.path(), SyncPolicy::OsOnly, 256 << 20);
    let (key, registry) = (partition.key().clone(), PartitionOffsetRegistry::new(store).ack_level(AckLevel::Written));
    let assign = |count: u64| (0..count).for_each(|_| assert!(registry.assign(&key, Record::new(&VALUE)).is_ok()));
    assign(1000);
    let found = measure(|| assign(100_000)).count_total;
    assert!(found <= steady(100_000, 0), "{found} allocations in 100,000 assignments");
    let ask = |count: u64| {
        for position in 0..count {
            let info = registry.info(&key).unwrap();
            assert_eq!(registry.high_water_mark(&key).unwrap(), info.high_water_mark);
            assert_eq!(partition.view().lag(position.into()).unwrap().records, info.record_count - position);
        }
    };
    // The index of a segment is loaded once it has been looked into a few times.
    ask(1000);
    let found = measure(|| ask(1000)).count_total;
    assert_eq!(found, 0, "allocations in 1,000 questions of each kind");
}

#[test]
fn appends_by_write_and_in_batches_allocate_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, partition) = open(dir.path(), SyncPolicy::default(), 64 << 20);
    let mut batch = RecordBatch::new();
    let mut append = |count: u64| {
        for number in 0..count {
            batch.clear();
            for record in 0..100u64 {
                batch.push(&Record::new(&VALUE).timestamp(TimestampNs::new((number * 100 + record) as i64))).unwrap();
            }
            partition.append_batch(&batch, AckLevel::Written).unwrap();
            partition.append_with(Record::new(&VALUE), AckLevel::Written).unwrap();
        }
    };
    append(100);
    let found = measure(|| append(3000)).count_total;
    assert!(found <= steady(6000, 0), "{found} allocations in 6,000 appends");
}

/// Large and small in turns, as a thread that appends to several partitions does: the buffer is the thread's, and it keeps no large one.
#[test]
fn writes_of_all_sizes_allocate_nothing_and_leave_little() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, partition) = open(dir.path(), SyncPolicy::default(), 256 << 20);
    let values: [&[u8]; 2] = [&vec![7; 11_000], &vec![7; 900_000]];
    let append = |value: &[u8]| assert!(partition.append_with(Record::new(value), AckLevel::Written).is_ok());
    values.into_iter().cycle().take(20).for_each(append);
    let found = measure(|| values.into_iter().cycle().take(100).for_each(append)).count_total;
    assert!(found <= steady(100, 0), "{found} allocations in 100 appends");
    let huge = vec![7; 8 << 20];
    let left = measure(|| append(&huge)).bytes_current;
    assert!(left < 9 << 20, "{left} bytes are left of an append of 8 MiB");
}

/// They are staged for whoever leads the next sync, here always the same.
#[test]
fn durable_appends_allocate_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, partition) = open(dir.path(), SyncPolicy::default(), 64 << 20);
    let append = |count: u64| (0..count).for_each(|_| assert!(partition.append(Record::new(&VALUE)).is_ok()));
    append(100);
    let found = measure(|| append(1000)).count_total;
    assert!(found <= steady(1000, 0), "{found} allocations in 1,000 durable appends");
}

#[test]
fn a_roll_allocates_little() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, partition) = open(dir.path(), SyncPolicy::OsOnly, 1 << 20);
    let append = || (0..100_000).for_each(|_| assert!(partition.append_with(Record::new(&VALUE), AckLevel::Written).is_ok()));
    let found = measure(append).count_total;
    let rolls = partition.view().info().unwrap().segments as u64;
    assert!(rolls > 5 && found <= steady(100_000, rolls), "{found} allocations in 100,000 appends and {rolls} rolls");
}

#[test]
fn a_million_reads_allocate_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (store, partition) = open(dir.path(), SyncPolicy::OsOnly, 16 << 20);
    let mut batch = RecordBatch::new();
    for _ in 0..RECORDS / 100 {
        batch.clear();
        (0..100).for_each(|_| batch.push(&Record::new(&VALUE)).unwrap());
        partition.append_batch(&batch, AckLevel::Written).unwrap();
    }
    check_reads(&partition, RECORDS / 10);
    drop(partition);
    store.close().unwrap();
    // The same of segments that were there before the open.
    check_reads(&open(dir.path(), SyncPolicy::OsOnly, 16 << 20).1, RECORDS);
}

fn check_reads(partition: &Partition, count: u64) {
    let segments = partition.view().info().unwrap().segments as u64;
    assert!(segments > 1);
    let mut reader = partition.read(Start::Earliest).unwrap();
    // Whatever is opened and mapped at the first touch of a segment.
    let mut batches = 0;
    let found = measure(|| batches = std::iter::from_fn(|| reader.next_batch()).map(Result::unwrap).count() as u64).count_total;
    assert_eq!(batches, RECORDS / 100);
    assert!(found <= segments * 60, "{found} allocations at the first touch of {segments} segments");
    reader.seek(0);
    let mut bytes = 0;
    let found = measure(|| bytes = reader.by_ref().take(count as usize).map(|record| record.unwrap().value().unwrap().len() as u64).sum());
    assert_eq!((bytes, found.count_total), (count * VALUE.len() as u64, 0), "bytes and allocations in {count} reads in order");
    reader.seek(0);
    let mut records = 0;
    let found = measure(|| {
        while records < count {
            records += reader.next_batch().unwrap().unwrap().records().filter(|record| record.as_ref().unwrap().value().is_some()).count() as u64;
        }
    });
    assert_eq!((records, found.count_total), (count, 0), "records and allocations, by batches");
    // Point reads: the index of a segment is loaded once it has been looked into a few times.
    let point = |count: u64| (0..count).for_each(|number| assert!(partition.get(number * 7919 % RECORDS).is_ok()));
    point(1000);
    let found = measure(|| point(count / 20)).count_total;
    assert_eq!(found, 0, "allocations in {} point reads", count / 20);
}

/// A hundred subscribers of one partition share its mappings: what each of them needs is its place in the log, and nothing of the records.
#[test]
fn a_hundred_subscribers_copy_no_record() {
    const VALUE_BYTES: usize = 10_000;
    let dir = tempfile::tempdir().unwrap();
    let (_store, partition) = open(dir.path(), SyncPolicy::OsOnly, 1 << 20);
    let records = 400u64;
    (0..records).for_each(|number| assert!(partition.append_with(Record::new(&vec![number as u8; VALUE_BYTES]), AckLevel::Written).is_ok()));
    let read = |subscription: &Subscription| {
        let limits = PageLimits { records: 100, ..PageLimits::default() };
        let mut bytes = 0;
        while !subscription.is_at_end().unwrap() {
            let page = subscription.page_within(limits).unwrap();
            bytes += page.records.iter().map(|record| record.value().unwrap().len() as u64).sum::<u64>();
        }
        bytes
    };
    let options = || SubscriptionOptions::new().start(OffsetSpec::ResetToEarliest);
    // Whatever is opened and mapped at the first touch of a segment.
    assert_eq!(read(&partition.subscribe("first", options()).unwrap()), records * VALUE_BYTES as u64);
    let mut subscriptions = Vec::new();
    let opened = measure(|| subscriptions.extend((0..100).map(|number| partition.subscribe(&format!("s{number}"), options()).unwrap())));
    assert!(opened.bytes_current <= 100 * 2048, "{} bytes for 100 subscriptions", opened.bytes_current);
    let mut bytes = 0;
    let found = measure(|| bytes = subscriptions.iter().map(read).sum::<u64>());
    assert_eq!(bytes, 100 * records * VALUE_BYTES as u64);
    // A page of 100 handles at a time, of 400 MB that were read.
    assert!(found.bytes_max <= 64 << 10, "{} bytes at once for {bytes} bytes read", found.bytes_max);
}

/// Records that are handed out one at a time, or passed by, allocate nothing at all.
#[test]
fn single_records_of_a_subscription_allocate_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, partition) = open(dir.path(), SyncPolicy::OsOnly, 64 << 20);
    for number in 0..100_000u64 {
        partition.append_with(Record::new(&VALUE).key(&number.to_le_bytes()), AckLevel::Written).unwrap();
    }
    let all = partition.subscribe("all", SubscriptionOptions::new()).unwrap();
    let few = Filter::predicate(|record| record.offset().get() % 1000 == 0).and(!Filter::key_prefix([255]));
    let few = partition.subscribe("few", SubscriptionOptions::new().filter(few)).unwrap();
    for (subscription, expected) in [(all, 100_000), (few, 100)] {
        let count = || std::iter::from_fn(|| subscription.next_record().unwrap()).count();
        assert_eq!(count(), expected);
        subscription.seek_to_offset(0).unwrap();
        let mut found = 0;
        let allocations = measure(|| found = count()).count_total;
        assert_eq!((found, allocations), (expected, 0));
    }
}

/// 100,000 partitions of which 1,000 are written to: those that never were take what their catalogue takes, and no directory.
#[test]
fn a_partition_that_was_never_written_to_takes_little() {
    const TOPICS: u32 = 25;
    const PARTITIONS: u32 = 4000;
    // In memory where there is a place for that: it is not the disk that is looked at.
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let options = || StoreOptions::new().sync_policy(SyncPolicy::OsOnly).segment_bytes(64 << 10).background_recovery(false);
    let store = options().open(dir.path()).unwrap();
    let mut topics = Vec::new();
    let made = measure(|| topics = (0..TOPICS).map(|number| store.create_topic(&format!("t{number}"), PARTITIONS).unwrap()).collect::<Vec<_>>());
    let each = made.bytes_current as u64 / u64::from(TOPICS * PARTITIONS);
    assert!(each < 128, "{each} bytes of heap a partition, once made");
    for number in 0..1000 {
        topics[number % 25].partition(number as u32 * 4).unwrap().append_with(Record::new(&VALUE), AckLevel::Written).unwrap();
    }
    drop(topics);
    store.close().unwrap();
    let disk = tidelog::io::Disk::new();
    let directories = |number: u32| {
        let entries = tidelog::io::Storage::list(&disk, &dir.path().join(format!("topics/default/t{number}"))).unwrap();
        entries.iter().filter(|entry| entry.kind == tidelog::io::Kind::Directory).count()
    };
    assert_eq!((0..TOPICS).map(directories).sum::<usize>(), 1000);
    let store = options().open(dir.path()).unwrap();
    let mut topics = Vec::new();
    let opened = measure(|| topics = (0..TOPICS).map(|number| store.existing_topic(&format!("t{number}")).unwrap()).collect::<Vec<_>>());
    let each = opened.bytes_current as u64 / u64::from(TOPICS * PARTITIONS);
    assert!(each < 128, "{each} bytes of heap a partition, idle");
    // Looked at through a view of its own, each is still below 1 KiB.
    let (topic, mut views) = (&topics[0], Vec::new());
    let unwritten: Vec<u32> = topic.describe().partitions.iter().filter(|partition| !partition.made).map(|partition| partition.partition).collect();
    let looked = measure(|| views = unwritten.iter().map(|&number| topic.view(number).unwrap()).collect::<Vec<_>>());
    let each = looked.bytes_current as u64 / views.len() as u64;
    assert!(each < 1024, "{each} bytes of heap a view of a partition that was never written to");
    // Asked for in a registry, they take nothing.
    let (keys, registry): (Vec<_>, _) =
        (unwritten.iter().map(|&number| topic.partition_key(number).unwrap()).collect(), PartitionOffsetRegistry::new(store.clone()));
    let asked = measure(|| {
        for key in &keys {
            assert_eq!((registry.high_water_mark(key).unwrap().offset(), registry.info(key).unwrap().record_count), (0.into(), 0));
        }
    });
    assert!(asked.bytes_current < 1024, "{} bytes of heap stay of {} questions", asked.bytes_current, keys.len());
    assert_eq!((registry.metrics().partition_count, directories(0)), (0, 40));
}

/// As many as there are, each with little in it: what a store of many slow logs takes.
#[test]
#[allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "blocks are not behind `tidelog::io`")]
fn partitions_with_a_record_each_take_little() {
    const PARTITIONS: u32 = 200;
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let store = StoreOptions::new().sync_policy(SyncPolicy::OsOnly).open(dir.path()).unwrap();
    let topic = store.create_topic("t", PARTITIONS).unwrap();
    let mut partitions = Vec::with_capacity(PARTITIONS as usize);
    let made = measure(|| {
        for number in 0..PARTITIONS {
            let partition = topic.partition(number).unwrap();
            partition.append_with(Record::new(&VALUE), AckLevel::Written).unwrap();
            partitions.push(partition);
        }
    });
    let heap = made.bytes_current / i64::from(PARTITIONS);
    assert!(heap > 0 && heap <= 16 << 10, "{heap} bytes of heap each");
    let mut disk = 0;
    for number in 0..PARTITIONS {
        for entry in std::fs::read_dir(dir.path().join(format!("topics/default/t/{number}"))).unwrap() {
            disk += entry.unwrap().metadata().unwrap().blocks() * 512;
        }
    }
    let disk = disk / u64::from(PARTITIONS);
    assert!(disk > 0 && disk <= 128 << 10, "{disk} bytes of disk each");
}
