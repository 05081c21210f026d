//! Assignment of offsets: by the manager of a partition, the registry of a store and the assigner over it, on real directories, beside each other,
//! closed and killed. Some defects of systems that count beside the log are shown to be absent, by name.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Barrier};

use tempfile::TempDir;
use tidelog::io::fault::Fault;
use tidelog::{
    AckLevel, AppendError, AssignError, BatchPlace, LeaderEpoch, OffsetAssigner, OffsetCountError, OffsetRange, Partition, PartitionKey,
    PartitionOffsetManager, PartitionOffsetRegistry, Record, RecordBatch, RingRange, Store, TopicError,
};
use tidelog_format::CHECKPOINT_NAME;

use crate::reading_support::{Home, Other, batch, other, tell};
use crate::support::{copy_tree, options, tempdir};

fn home() -> Home {
    Home { dir: tempdir() }
}

/// The manager of the only partition of the topic `t`, assigning what is written.
fn manager(store: &Store) -> PartitionOffsetManager {
    PartitionOffsetManager::new(store.topic("t").unwrap().partition(0).unwrap()).ack_level(AckLevel::Written)
}

fn registry(store: &Store) -> PartitionOffsetRegistry {
    PartitionOffsetRegistry::new(store.clone()).ack_level(AckLevel::Written)
}

fn numbered(count: usize) -> RecordBatch {
    let values: Vec<String> = (0..count).map(|number| number.to_string()).collect();
    batch(&values.iter().map(String::as_str).collect::<Vec<_>>())
}

fn key(store: &Store, topic: &str) -> PartitionKey {
    store.topic(topic).unwrap().partition_key(0).unwrap()
}

/// Next offset, high water mark, and the last visible one.
fn marks(manager: &PartitionOffsetManager) -> (u64, u64, Option<u64>) {
    let latest = manager.latest().map(|offset| offset.get());
    (manager.next_offset().offset().get(), manager.high_water_mark().offset().get(), latest)
}

/// What a process leaves that is killed now: nothing of the store was told to end.
fn killed(home: &Path) -> TempDir {
    let image = tempdir();
    copy_tree(home, image.path());
    image
}

/// Every offset from the first to the end is there, once and in order.
fn assert_dense(partition: &Partition, count: u64) {
    let offsets: Vec<u64> = partition.read_from(0).unwrap().map(|record| record.unwrap().offset().get()).collect();
    assert!(offsets.iter().copied().eq(0..count), "{} offsets on disk, {count} expected", offsets.len());
    assert_eq!(partition.log_end_offset(), count);
}

#[test]
fn partition_offset_manager_basic_assignment() {
    let home = home();
    let store = options().open(home.path()).unwrap();
    let offsets = manager(&store);
    assert_eq!(marks(&offsets), (0, 0, None));
    for expected in 0..10 {
        assert_eq!(offsets.assign(Record::new("x")).unwrap(), expected);
        assert_eq!(marks(&offsets), (expected + 1, expected + 1, Some(expected)));
    }
    store.close().unwrap();
    let store = options().open(home.path()).unwrap();
    assert_eq!(marks(&manager(&store)), (10, 10, Some(9)));
    assert_eq!(manager(&store).assign(Record::new("x")).unwrap(), 10);
}

#[test]
fn partition_offset_manager_batch_assignment() {
    let home = home();
    let store = options().open(home.path()).unwrap();
    let offsets = manager(&store);
    let first = offsets.assign_batch(&numbered(5)).unwrap();
    assert_eq!((first.base(), first.last(), first.count(), first.next()), (0.into(), 4.into(), 5, 5.into()));
    let second = offsets.assign_batch(&numbered(3)).unwrap();
    assert_eq!((second.base(), second.last()), (5.into(), 7.into()));
    assert!(second.contains(5) && second.contains(7) && !second.contains(8) && second.offsets().eq(5..=7));
    // The bytes are there with the offsets.
    let values: Vec<_> = offsets.partition().read_from(5).unwrap().map(|record| record.unwrap().value().unwrap().to_vec()).collect();
    assert_eq!(values, [b"0", b"1", b"2"]);
    let image = killed(home.path());
    assert_eq!(marks(&manager(&options().open(image.path()).unwrap())), (8, 8, Some(7)));
}

#[test]
fn partition_offset_manager_recovery() {
    let home = home();
    let store = options().without_threads().open(home.path()).unwrap();
    let offsets = manager(&store);
    (0..150).for_each(|expected| assert_eq!(offsets.assign(Record::new(&[7; 1000])).unwrap(), expected));
    let image = killed(home.path());
    let store = options().open(image.path()).unwrap();
    assert_eq!(marks(&manager(&store)), (150, 150, Some(149)));
    assert_eq!(manager(&store).assign(Record::new("x")).unwrap(), 150);
    assert_dense(manager(&store).partition(), 151);
}

/// The records say where the log ends: what was noted beside them may be gone, or of long ago.
#[test]
fn partition_offset_manager_recovery_from_storage() {
    for noted in ["gone", "old"] {
        let home = home();
        let store = options().without_threads().open(home.path()).unwrap();
        let offsets = manager(&store);
        let checkpoint = home.partition_dir().join(CHECKPOINT_NAME);
        let old = fs::read(&checkpoint).unwrap();
        (0..50).for_each(|expected| assert_eq!(offsets.assign(Record::new("x")).unwrap(), expected));
        let image = Home { dir: killed(home.path()) };
        let checkpoint = image.partition_dir().join(CHECKPOINT_NAME);
        if noted == "gone" {
            fs::remove_file(checkpoint).unwrap()
        } else {
            fs::write(checkpoint, old).unwrap()
        }
        let store = options().open(image.path()).unwrap();
        assert_eq!(marks(&manager(&store)), (50, 50, Some(49)), "checkpoint {noted}");
        assert_eq!(manager(&store).assign(Record::new("x")).unwrap(), 50);
    }
}

#[test]
fn partition_offset_registry_multiple_partitions() {
    let home = home();
    let store = options().open(home.path()).unwrap();
    let topic = store.create_topic("t", 3).unwrap();
    let keys: Vec<_> = (0..3).map(|number| topic.partition_key(number).unwrap()).collect();
    let offsets = registry(&store);
    assert_eq!(offsets.metrics().partition_count, 0, "nothing is opened ahead");
    for (number, key) in keys.iter().enumerate() {
        (0..=number as u64).for_each(|expected| assert_eq!(offsets.assign(key, Record::new("x")).unwrap(), expected));
    }
    let ends = |offsets: &PartitionOffsetRegistry| keys.iter().map(|key| offsets.high_water_mark(key).unwrap().offset().get()).collect::<Vec<_>>();
    assert_eq!(ends(&offsets), [1, 2, 3]);
    assert_eq!((offsets.metrics().partition_count, offsets.metrics().total_offsets), (3, 6));
    assert!(keys.iter().all(|key| *key == *offsets.get(key).unwrap().key()));
    store.close().unwrap();
    let store = options().open(home.path()).unwrap();
    assert_eq!(ends(&registry(&store)), [1, 2, 3]);
}

#[test]
fn partition_offset_registry_batch_assignment() {
    let home = home();
    let store = options().open(home.path()).unwrap();
    let (key, offsets) = (key(&store, "t"), registry(&store));
    assert_eq!(offsets.assign_batch(&key, &numbered(10)).unwrap().last(), 9);
    assert_eq!(offsets.assign(&key, Record::new("x")).unwrap(), 10);
    assert_eq!(offsets.assign_batch(&key, &numbered(5)).unwrap().offsets(), 11..=15);
    let image = killed(home.path());
    let store = options().open(image.path()).unwrap();
    assert_eq!(registry(&store).assign_batch(&key, &numbered(2)).unwrap().base(), 16);
}

#[test]
fn partition_offset_registry_opens_a_partition_once() {
    let home = home();
    let store = options().open(home.path()).unwrap();
    let topic = store.create_topic("t", 8).unwrap();
    let keys: Vec<_> = (0..8).map(|number| topic.partition_key(number).unwrap()).collect();
    let (offsets, barrier) = (registry(&store), Barrier::new(16));
    let found: Vec<Vec<_>> = std::thread::scope(|scope| {
        let ask = || {
            barrier.wait();
            keys.iter().map(|key| offsets.get(key).unwrap()).collect()
        };
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (number, manager) in found[0].iter().enumerate() {
        assert!(found.iter().all(|managers| Arc::ptr_eq(&managers[number], manager)));
    }
    assert_eq!(offsets.metrics().partition_count, 8);
}

#[test]
fn partition_offset_registry_knows_what_is_not_there() {
    let home = home();
    let store = options().open(home.path()).unwrap();
    let offsets = registry(&store);
    let there = key(&store, "t");
    let range = |start, stop| PartitionKey { range: RingRange::new(4096, start, stop).unwrap(), ..there.clone() };
    for absent in [range(0, 1), range(1, 4096), PartitionKey { range: RingRange::new(1024, 0, 1024).unwrap(), ..there.clone() }] {
        match offsets.assign(&absent, Record::new("x")) {
            Err(AssignError::NoPartition { key }) => assert_eq!(key, absent),
            other => panic!("{other:?}"),
        }
    }
    let absent = PartitionKey { topic: "nowhere".parse().unwrap(), ..there.clone() };
    assert!(matches!(offsets.assign(&absent, Record::new("x")), Err(AssignError::Topic(TopicError::Unknown { .. }))));
    assert_eq!((offsets.metrics().partition_count, store.topics().unwrap().len()), (0, 1), "a question makes nothing");
    offsets.assign(&there, Record::new("x")).unwrap();
    assert_eq!((offsets.forget_topic(&absent.topic), offsets.forget_topic(&there.topic)), (0, 1));
    assert_eq!(offsets.assign(&there, Record::new("x")).unwrap(), 1, "what is let go of is found again");
}

/// The manager of a topic that was deleted answers for no other one of its name.
#[test]
fn partition_offset_registry_finds_a_topic_that_was_made_anew() {
    let home = home();
    let store = options().open(home.path()).unwrap();
    let (key, offsets) = (key(&store, "t"), registry(&store));
    offsets.assign_batch(&key, &numbered(5)).unwrap();
    let old = offsets.get(&key).unwrap();
    store.delete_topic("t").unwrap();
    let gone = |outcome: Result<u64, AssignError>| matches!(outcome, Err(AssignError::Topic(TopicError::Unknown { .. })));
    assert!(gone(offsets.assign(&key, Record::new("x")).map(u64::from)));
    assert!(gone(offsets.high_water_mark(&key).map(|mark| mark.offset().get())));
    store.create_topic("t", 1).unwrap();
    assert_eq!(offsets.high_water_mark(&key).unwrap().offset(), 0);
    assert_eq!(offsets.assign(&key, Record::new("x")).unwrap(), 0);
    assert!(matches!(old.assign(Record::new("x")), Err(AppendError::TopicDeleted)));
    let image = killed(home.path());
    assert_eq!(marks(&manager(&options().open(image.path()).unwrap())), (1, 1, Some(0)));
}

#[test]
fn offset_assigner_single_assignment() {
    let home = home();
    let store = options().open(home.path()).unwrap();
    let key = key(&store, "t");
    let assigner = OffsetAssigner::new(Arc::new(PartitionOffsetRegistry::new(store.clone())));
    let first = assigner.assign_single_offset(&key, Record::new("x")).unwrap();
    assert_eq!((first.base_offset, first.last_offset, first.count, first.partition), (0.into(), 0.into(), 1, &key));
    assert!(first.is_durable() && first.durable_end == 1);
    let second = assigner.assign_single_offset(&key, Record::new("x")).unwrap();
    assert!(second.base_offset == 1 && second.timestamp >= first.timestamp);
    let stored = assigner.registry().get(&key).unwrap().partition().get(1).unwrap();
    assert_eq!(stored.timestamp(), second.timestamp);
    let image = killed(home.path());
    let assigner = OffsetAssigner::new(Arc::new(registry(&options().open(image.path()).unwrap())));
    assert_eq!(assigner.assign_single_offset(&key, Record::new("x")).unwrap().base_offset, 2);
}

#[test]
fn offset_assigner_batch_assignment() {
    let home = home();
    let store = options().open(home.path()).unwrap();
    let key = key(&store, "t");
    let assigner = OffsetAssigner::new(Arc::new(registry(&store)));
    let assigned = assigner.assign_batch_offsets(&key, &numbered(5)).unwrap();
    assert_eq!((assigned.base_offset, assigned.last_offset, assigned.count), (0.into(), 4.into(), 5));
    assert!(!assigned.is_durable(), "what is only written is not called durable");
    store.close().unwrap();
    let store = options().open(home.path()).unwrap();
    let assigner = OffsetAssigner::new(Arc::new(registry(&store)));
    assert_eq!(assigner.assign_batch_offsets(&key, &numbered(1)).unwrap().base_offset, 5);
}

#[test]
fn offset_assigner_high_water_mark() {
    let home = home();
    let store = options().open(home.path()).unwrap();
    let key = key(&store, "t");
    let assigner = OffsetAssigner::new(Arc::new(registry(&store)));
    assert_eq!(assigner.high_water_mark(&key).unwrap().offset(), 0);
    assigner.assign_batch_offsets(&key, &numbered(10)).unwrap();
    assert_eq!(assigner.high_water_mark(&key).unwrap().offset(), 10);
    let image = killed(home.path());
    let assigner = OffsetAssigner::new(Arc::new(registry(&options().open(image.path()).unwrap())));
    assert_eq!(assigner.high_water_mark(&key).unwrap().offset(), 10);
}

/// A key says which partition is meant, and neither when it was made nor by which number it goes.
#[test]
fn partition_key() {
    let home = home();
    let store = options().open(home.path()).unwrap();
    let topic = store.create_topic("eu/orders", 3).unwrap();
    let keys: Vec<_> = (0..3).map(|number| topic.partition_key(number).unwrap()).collect();
    let shown: Vec<_> = keys.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["eu/orders/ring:4096:range:0-1365", "eu/orders/ring:4096:range:1365-2730", "eu/orders/ring:4096:range:2730-4096"]);
    store.close().unwrap();
    let store = options().open(home.path()).unwrap();
    let topic = store.topic("eu/orders").unwrap();
    assert!((0..3).all(|number| topic.partition(number).unwrap().key() == &keys[number as usize]));
}

#[test]
fn concurrent_offset_assignment() {
    let home = home();
    let store = options().open(home.path()).unwrap();
    let (key, offsets) = (key(&store, "t"), registry(&store));
    let assigned: Vec<u64> = std::thread::scope(|scope| {
        let assign = || (0..100).map(|_| offsets.assign(&key, Record::new("x")).unwrap().get()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..10).map(|_| scope.spawn(assign)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(assigned.len() == 1000 && assigned.iter().copied().collect::<HashSet<_>>() == (0..1000).collect());
    store.close().unwrap();
    assert_dense(manager(&options().open(home.path()).unwrap()).partition(), 1000);
}

/// One thread's part: single records and batches, each of which says whose it is and the how-manieth.
fn assign_numbered(offsets: &PartitionOffsetRegistry, key: &PartitionKey, thread: u32, rounds: u32) -> Vec<(u64, String)> {
    let mut assigned = Vec::new();
    for round in 0..rounds {
        let values: Vec<String> = (0..1 + (round + thread) % 5).map(|number| format!("{thread} {round} {number}")).collect();
        let base = match &values[..] {
            [value] => offsets.assign(key, Record::new(value.as_str())).unwrap().get(),
            _ => offsets.assign_batch(key, &batch(&values.iter().map(String::as_str).collect::<Vec<_>>())).unwrap().base().get(),
        };
        assigned.extend((base..).zip(values));
    }
    assigned
}

/// Assigned and appended in one step: what many threads were told is what is on disk, dense, unique, and in the order of each of them.
#[test]
fn sixteen_threads_assign_what_is_on_disk() {
    let home = home();
    let mut told = BTreeMap::new();
    for run in 0..3 {
        let store = options().open(home.path()).unwrap();
        let (key, offsets) = (key(&store, "t"), registry(&store));
        let of_run: Vec<Vec<_>> = std::thread::scope(|scope| {
            let (offsets, key) = (&offsets, &key);
            let threads: Vec<_> = (0..16).map(|thread| scope.spawn(move || assign_numbered(offsets, key, run * 16 + thread, 200))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for of_thread in of_run {
            assert!(of_thread.is_sorted_by_key(|(offset, _)| *offset), "a thread's records are in its order");
            for (offset, value) in of_thread {
                assert!(told.insert(offset, value).is_none(), "offset {offset} was given out twice");
            }
        }
        store.close().unwrap();
    }
    let store = options().open(home.path()).unwrap();
    let partition = manager(&store).partition().clone();
    assert_dense(&partition, told.len() as u64);
    for record in partition.read_from(0).unwrap() {
        let record = record.unwrap();
        assert_eq!(record.value().unwrap(), told[&record.offset().get()].as_bytes(), "offset {}", record.offset());
    }
}

/// Assigns until it is killed, and says each offset once it has it.
#[test]
fn assigning_until_killed() {
    let Some((dir, run)) = other() else { return };
    let store = options().open(dir).unwrap();
    let (key, offsets) = (key(&store, "t"), registry(&store));
    let durable = PartitionOffsetRegistry::new(store.clone());
    std::thread::scope(|scope| {
        for thread in 0..16u32 {
            let (offsets, key, run) = (if thread % 4 == 0 { &durable } else { &offsets }, &key, &run);
            scope.spawn(move || {
                for serial in 0.. {
                    let value = format!("{run} {thread} {serial}");
                    let offset = offsets.assign(key, Record::new(value.as_str())).unwrap();
                    tell("assigned", format!("{offset} {value}"));
                }
            });
        }
    });
}

/// What a killed process was told it keeps, under the same offset; what it was not told of may be there or not, but takes no offset twice.
#[test]
fn killed_with_sixteen_threads_no_offset_is_issued_again() {
    let home = home();
    let mut told = BTreeMap::new();
    for run in 0..4 {
        let mut writer = Other::start("offset_manager::assigning_until_killed", home.path(), &run.to_string());
        let (mut heard, mut threads) = (Vec::new(), HashSet::new());
        while heard.len() < 500 + 100 * run || threads.len() < 16 {
            let line = writer.hear("assigned");
            threads.insert(line.split(' ').nth(2).unwrap().to_owned());
            heard.push(line);
        }
        writer.kill();
        let mut last_words = writer.last_words("assigned");
        // The kill may have come in the middle of a line.
        last_words.pop();
        heard.append(&mut last_words);
        for line in heard {
            let (offset, value) = line.split_once(' ').unwrap();
            let before = told.insert(offset.parse::<u64>().unwrap(), value.to_owned());
            assert_eq!(before, None, "offset {offset} was issued again");
        }
    }
    let store = options().open(home.path()).unwrap();
    let partition = manager(&store).partition().clone();
    let stored: BTreeMap<u64, String> = partition
        .read_from(0)
        .unwrap()
        .map(|record| record.map(|record| (record.offset().get(), String::from_utf8(record.value().unwrap().to_vec()).unwrap())).unwrap())
        .collect();
    assert!(stored.keys().copied().eq(0..partition.log_end_offset().get()), "offsets are dense");
    assert!(told.len() >= 2600 && told.iter().all(|(offset, value)| stored.get(offset) == Some(value)), "what was told is there");
    assert_eq!(stored.values().collect::<HashSet<_>>().len(), stored.len(), "each record is there once");
    let mut serials: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for (writer, serial) in stored.values().map(|value| value.rsplit_once(' ').unwrap()) {
        serials.entry(writer).or_default().push(serial.parse().unwrap());
    }
    assert!(serials.values().all(|serials| serials.iter().copied().eq(0..serials.len() as u64)), "in each thread's order");
    assert_eq!(serials.len(), 4 * 16, "threads that came to write");
}

/// Assigns so many, says so, and waits to be killed.
#[test]
fn assigning_some() {
    let Some((dir, count)) = other() else { return };
    let store = options().open(dir).unwrap();
    let offsets = manager(&store);
    (0..count.parse().unwrap()).for_each(|expected: u64| assert_eq!(offsets.assign(Record::new("x")).unwrap(), expected));
    tell("assigned", count);
    std::thread::sleep(std::time::Duration::from_secs(60));
}

/// The counts after which a counter with checkpoints beside the log issues offsets again, up to thousands of them.
#[test]
fn a_restart_issues_no_offset_again() {
    for count in [3, 99, 150, 250, 1_050, 5_000] {
        for end in ["closed", "dropped", "copied", "killed"] {
            let (home, image) = (home(), tempdir());
            let mut next = home.path();
            if end == "killed" {
                let mut writer = Other::start("offset_manager::assigning_some", home.path(), &count.to_string());
                assert_eq!(writer.hear("assigned"), count.to_string());
                writer.kill();
            } else {
                let store = options().open(home.path()).unwrap();
                let offsets = manager(&store);
                (0..count).for_each(|expected| assert_eq!(offsets.assign(Record::new("x")).unwrap(), expected));
                match end {
                    "closed" => store.close().unwrap(),
                    "copied" => {
                        copy_tree(home.path(), image.path());
                        next = image.path();
                    }
                    _ => {}
                }
            }
            let store = options().open(next).unwrap();
            assert_eq!(marks(&manager(&store)), (count, count, Some(count - 1)), "{count} assigned, {end}");
            assert_eq!(manager(&store).assign(Record::new("x")).unwrap(), count);
            assert_dense(manager(&store).partition(), count + 1);
        }
    }
}

#[test]
fn counts_that_are_none_move_nothing() {
    let home = home();
    let store = options().open(home.path()).unwrap();
    let offsets = manager(&store);
    offsets.assign_batch(&numbered(10)).unwrap();
    assert!(matches!(offsets.assign_batch(&RecordBatch::new()), Err(AppendError::Empty)));
    let refused = |count| offsets.assign_counted(&numbered(3), count).unwrap_err();
    assert!(matches!(refused(0), AssignError::Count(OffsetCountError::Empty)));
    for found in [-1, -5, i64::MIN] {
        assert!(matches!(refused(found), AssignError::Count(OffsetCountError::Negative { found: is }) if is == found));
    }
    assert!(matches!(refused(i64::MAX), AssignError::Count(OffsetCountError::Overflow { count: i64::MAX, .. })));
    for declared in [1, 2, 4, i64::MAX - 10] {
        assert!(matches!(refused(declared), AssignError::CountMismatch { declared: is, found: 3 } if is == declared), "{:?}", refused(declared));
    }
    assert_eq!(marks(&offsets), (10, 10, Some(9)), "nothing moved");
    assert_eq!(offsets.assign_counted(&numbered(3), 3).unwrap().offsets(), 10..=12);
    let (max, end) = (i64::MAX as u64, i64::MAX);
    assert_eq!(OffsetRange::of((max - 1).into(), 1).unwrap().last(), max - 1);
    for (base, count) in [(max, 1), (max - 1, 2), (u64::MAX, 1), (1, end), (2, end)] {
        assert!(matches!(OffsetRange::of(base.into(), count), Err(OffsetCountError::Overflow { .. })), "{count} from {base}");
    }
    assert_eq!(OffsetRange::of(0.into(), end).unwrap().next(), max);
    assert_eq!(OffsetRange::of_wire(-1, 1), Err(OffsetCountError::Negative { found: -1 }));
    assert_eq!(OffsetRange::of_wire(7, 2), OffsetRange::of(7.into(), 2));
}

/// The last offsets that there are: what does not fit is refused whole, and what does is assigned.
#[test]
fn the_largest_offset_is_the_last() {
    let home = home();
    let max = i64::MAX as u64;
    {
        let store = options().open(home.path()).unwrap();
        let offsets = manager(&store);
        let place = BatchPlace { base_offset: (max - 3).into(), leader_epoch: LeaderEpoch::new(0), producer_id: None };
        offsets.partition().restore(&numbered(1), place).unwrap();
        assert!(matches!(offsets.assign_batch(&numbered(3)), Err(AppendError::OffsetsExhausted)));
        assert!(matches!(offsets.assign_counted(&numbered(3), 3), Err(AssignError::Count(OffsetCountError::Overflow { .. }))));
        assert_eq!(marks(&offsets), (max - 2, max - 2, Some(max - 3)), "nothing moved");
        assert_eq!(offsets.assign_batch(&numbered(2)).unwrap().last(), max - 1);
        assert!(matches!(offsets.assign(Record::new("x")), Err(AppendError::OffsetsExhausted)));
        store.close().unwrap();
    }
    let store = options().open(home.path()).unwrap();
    assert_eq!(marks(&manager(&store)), (max, max, Some(max - 1)));
    assert!(matches!(manager(&store).assign(Record::new("x")), Err(AppendError::OffsetsExhausted)));
}

/// Sums of offsets that no machine has ever assigned, and that logs may end at all the same.
#[test]
fn metrics_of_logs_near_the_largest_offset_saturate() {
    let home = home();
    let store = options().open(home.path()).unwrap();
    let topic = store.create_topic("t", 3).unwrap();
    let offsets = registry(&store);
    for number in 0..3 {
        let manager = offsets.get(&topic.partition_key(number).unwrap()).unwrap();
        let place = BatchPlace { base_offset: (i64::MAX as u64 - 1).into(), leader_epoch: LeaderEpoch::new(0), producer_id: None };
        manager.partition().restore(&numbered(1), place).unwrap();
    }
    let metrics = offsets.metrics();
    assert_eq!((metrics.partition_count, metrics.total_offsets), (3, u64::MAX));
}

/// A log that cannot be read is no empty one: nothing is assigned over what is there.
#[test]
fn recovery_does_not_take_a_failure_for_an_empty_log() {
    let home = home();
    let store = options().open(home.path()).unwrap();
    manager(&store).assign_batch(&numbered(20)).unwrap();
    let key = key(&store, "t");
    store.close().unwrap();
    let (faulty, faults) = crate::reading_support::faulty();
    let store = faults.segment_bytes(64 << 10).background_recovery(false).open(home.path()).unwrap();
    let offsets = registry(&store);
    faulty.inject(Fault::anywhere().from_then_on().error(5)); // EIO
    assert!(matches!(offsets.assign(&key, Record::new("x")), Err(AssignError::Topic(_))));
    assert_eq!(offsets.metrics().partition_count, 0);
    faulty.heal();
    assert_eq!(offsets.assign(&key, Record::new("x")).unwrap(), 20, "a partition that failed to open is tried again");
}

/// One counter: whoever is asked, the answer is the log's.
#[test]
fn all_who_are_asked_answer_from_the_log() {
    let home = home();
    let store = options().open(home.path()).unwrap();
    let (key, one, other) = (key(&store, "t"), Arc::new(registry(&store)), registry(&store));
    let assigner = OffsetAssigner::new(one.clone());
    let partition = store.topic("t").unwrap().partition(0).unwrap();
    let ends = || {
        let ends = [
            one.get(&key).unwrap().next_offset().offset(),
            other.get(&key).unwrap().next_offset().offset(),
            assigner.high_water_mark(&key).unwrap().offset(),
            other.info(&key).unwrap().high_water_mark.offset(),
            partition.log_end_offset(),
            partition.view().marks().log_end.offset(),
        ];
        assert!(ends.iter().all(|end| *end == ends[0]), "{ends:?}");
        ends[0].get()
    };
    assert_eq!(ends(), 0);
    one.assign(&key, Record::new("x")).unwrap();
    assert_eq!(ends(), 1);
    other.assign_batch(&key, &numbered(3)).unwrap();
    assert_eq!(ends(), 4);
    partition.append(Record::new("x")).unwrap();
    assert_eq!(ends(), 5);
    partition.truncate_suffix(2).unwrap();
    assert_eq!(ends(), 2);
    assert_eq!(assigner.assign_single_offset(&key, Record::new("x")).unwrap().base_offset, 2);
}

/// Partitions of two topics have the same ranges, and counters of their own; so have those that were made in the same nanosecond.
#[test]
fn topics_with_the_same_ranges_share_no_counter() {
    let home = home();
    let store = options().open(home.path()).unwrap();
    let names = ["orders", "payments", "eu/orders"];
    let keys: Vec<_> = names.iter().map(|name| key(&store, name)).collect();
    assert!(keys.iter().all(|key| key.range == keys[0].range) && keys.iter().collect::<HashSet<_>>().len() == 3);
    let offsets = registry(&store);
    for expected in 0..5 {
        keys.iter().for_each(|key| assert_eq!(offsets.assign(key, Record::new("x")).unwrap(), expected));
    }
    let image = killed(home.path());
    let offsets = registry(&options().open(image.path()).unwrap());
    keys.iter().for_each(|key| assert_eq!(offsets.high_water_mark(key).unwrap().offset(), 5));
}

/// Offset 0 is an offset like any other, also where it is the only one.
#[test]
fn a_partition_of_exactly_one_record_is_not_empty() {
    for end in ["closed", "killed"] {
        let home = home();
        let store = options().open(home.path()).unwrap();
        assert_eq!(manager(&store).assign(Record::new("the only one")).unwrap(), 0);
        let image = killed(home.path());
        store.close().unwrap();
        let store = options().open(if end == "closed" { home.path() } else { image.path() }).unwrap();
        let offsets = manager(&store);
        assert_eq!(marks(&offsets), (1, 1, Some(0)), "{end}");
        let info = offsets.info().unwrap();
        assert_eq!((info.earliest.offset(), info.record_count), (0.into(), 1));
        assert_eq!(info.first_timestamp, Some(offsets.partition().get(0).unwrap().timestamp()));
        assert_eq!(offsets.assign(Record::new("x")).unwrap(), 1);
    }
}
