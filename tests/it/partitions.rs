//! Partitions of a topic: made when they are first used, split and deleted as a whole, whatever fails or dies meanwhile.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tidelog::io::Disk;
use tidelog::io::fault::{Fault, Faulty, Op};
use tidelog::io::sim::{Cut, NameModel, SimDisk};
use tidelog::{
    AckLevel, AppendError, CommittedOffset, CutError, GroupId, MemoryOffsetStore, OffsetStore, OpenError, PartitionView, ReadError, Record,
    RepairAction, RingRange, Start, Store, StoreOptions, SyncError, Topic, TopicError, TopicOptions, key_slot,
};
use tidelog_format::TopicMeta;

use crate::reading_support::{Home, Other, Random, contents, copy, eventually, other, small, tell};
use crate::support::{fingerprint, names};

const RING: u32 = 4096;

fn range(start: u32, stop: u32) -> RingRange {
    RingRange::new(RING, start, stop).unwrap()
}

fn topic_dir(home: &Home) -> std::path::PathBuf {
    home.path().join("topics/default/t")
}

fn append(topic: &Topic, number: u32, value: &str) -> u64 {
    topic.partition(number).unwrap().append(Record::new(value)).unwrap().base_offset.get()
}

fn values(view: &PartitionView) -> Vec<String> {
    view.read(Start::Earliest).unwrap().map(|record| String::from_utf8(record.unwrap().value().unwrap().to_vec()).unwrap()).collect()
}

/// A key of a slot in the range.
fn key_in(range: RingRange) -> Vec<u8> {
    (0u32..).map(|number| number.to_le_bytes().to_vec()).find(|key| range.contains(key_slot(key))).unwrap()
}

#[test]
fn a_partition_has_a_directory_once_it_is_used() {
    let home = Home::new();
    let store = small().open(home.path()).unwrap();
    let topic = store.create_topic("t", RING).unwrap();
    assert_eq!(names(&topic_dir(&home)), ["TOPIC", "TOPIC.copy"]);
    let before = fingerprint(home.path());
    let read_only = Store::open_read_only(home.path()).unwrap().topic("t").unwrap();
    for view in [topic.view(7).unwrap(), read_only.partition(7).unwrap(), topic.view(RING - 1).unwrap()] {
        assert_eq!((view.log_start_offset(), view.log_end_offset(), view.high_water_mark()), (0.into(), 0.into(), 0.into()));
        assert_eq!((values(&view).len(), view.read_backwards(0).unwrap().count()), (0, 0));
        assert!(view.damage().is_empty() && view.findings().is_empty() && view.get(0).is_err());
        let info = view.info().unwrap();
        assert_eq!((info.segments, info.bytes, info.uuid.len()), (0, 0, 32));
        assert!(view.verify_deep(&mut |_| {}).unwrap().verify.is_sound());
        assert!(!view.read_from(0).unwrap().wait(Duration::ZERO).unwrap());
        view.refresh().unwrap();
    }
    assert!(matches!(topic.view(RING), Err(TopicError::NoPartition { .. })));
    assert!(before == fingerprint(home.path()), "who only looked changed something");
    assert_eq!(append(&topic, 7, "x"), 0);
    assert_eq!(names(&topic_dir(&home)), ["7", "TOPIC", "TOPIC.copy"]);
    let info = topic.describe();
    let made: Vec<u32> = info.partitions.iter().filter(|partition| partition.made).map(|partition| partition.partition).collect();
    assert_eq!(made, [7]);
    assert_eq!(topic.view(7).unwrap().uuid().iter().map(|byte| format!("{byte:02x}")).collect::<String>(), info.partitions[7].uuid);
    store.close().unwrap();
    let repair = StoreOptions::new().plan_repair(home.path(), None).unwrap();
    assert!(repair.partitions().len() == RING as usize && repair.partitions().iter().all(|partition| partition.is_empty()));
    let store = small().open(home.path()).unwrap();
    let again = store.existing_topic("t").unwrap();
    assert_eq!((again.describe(), again.uuid()), (info, topic.uuid()));
    assert_eq!((append(&again, 7, "y"), append(&again, 8, "z")), (1, 0));
}

/// Whoever looks at a partition before it is there sees it come.
#[test]
fn a_reader_of_a_partition_that_is_not_there_yet_sees_its_first_records() {
    let home = Home::new();
    let store = small().open(home.path()).unwrap();
    let topic = store.create_topic("t", 3).unwrap();
    let views = [topic.view(1).unwrap(), Store::open_read_only(home.path()).unwrap().topic("t").unwrap().partition(1).unwrap()];
    std::thread::scope(|scope| {
        let waiting: Vec<_> = views
            .iter()
            .map(|view| {
                scope.spawn(|| {
                    let mut reader = view.read_from(0).unwrap();
                    while !reader.wait(Duration::from_secs(5)).unwrap() {}
                    reader.next().unwrap().unwrap().value().unwrap().to_vec()
                })
            })
            .collect();
        append(&topic, 1, "first");
        assert!(waiting.into_iter().all(|waiting| waiting.join().unwrap() == b"first"));
    });
    append(&topic, 1, "second");
    for view in &views {
        view.refresh().unwrap();
        assert_eq!((values(view), view.uuid()), (vec!["first".to_owned(), "second".to_owned()], topic.partition(1).unwrap().view().uuid()));
    }
}

#[test]
fn ranges_that_do_not_tile_the_ring_are_refused() {
    let home = Home::new();
    let store = Store::open(home.path()).unwrap();
    let before = fingerprint(home.path());
    let create = |ranges: &[RingRange]| store.create_topic_with("t", TopicOptions::new().ranges(ranges.iter().copied())).map(drop);
    let gap = create(&[range(0, 100), range(101, RING)]);
    assert!(matches!(gap, Err(TopicError::NotTiled { expected: 100, found: 101 })), "{gap:?}");
    let overlap = create(&[range(50, RING), range(0, 100)]);
    assert!(matches!(overlap, Err(TopicError::NotTiled { expected: 100, found: 50 })), "{overlap:?}");
    for (ranges, expected, found) in [(&[range(0, 4095)][..], 4095, RING), (&[range(1, RING)], 0, 1), (&[range(0, RING), range(0, RING)], RING, 0)] {
        match create(ranges) {
            Err(TopicError::NotTiled { expected: is_expected, found: is_found }) => assert_eq!((is_expected, is_found), (expected, found)),
            other => panic!("{other:?}"),
        }
    }
    let other_ring = create(&[RingRange::new(1024, 0, 1024).unwrap()]);
    assert!(matches!(other_ring, Err(TopicError::RingSize { expected: RING, found: 1024 })), "{other_ring:?}");
    assert!(matches!(create(&[]), Err(TopicError::PartitionCount { found: 0, .. })));
    assert!(matches!(RingRange::new(RING, 5, 5), Err(TopicError::RingRange { .. })));
    assert!(matches!(RingRange::new(RING, 0, RING + 1), Err(TopicError::RingRange { .. })));
    assert!(before == fingerprint(home.path()), "a refusal changed something");
    create(&[range(3000, RING), range(0, 10), range(10, 3000)]).unwrap();
    let topic = store.existing_topic("t").unwrap();
    assert_eq!(topic.active_partitions(), [1, 2, 0]);
    for (number, range) in [(0, range(3000, RING)), (1, range(0, 10)), (2, range(10, 3000))] {
        assert_eq!((topic.partition_key(number).unwrap().range, topic.partition_of_range(range)), (range, Some(number)));
        assert_eq!(topic.partition_for_key(&key_in(range)), number);
    }
    assert_eq!(topic.partition_of_range(range(10, 2999)), None);
}

#[test]
fn a_split_range_goes_on_in_new_partitions_and_stays_readable() {
    let home = Home::new();
    let store = small().open(home.path()).unwrap();
    let topic = store.create_topic("t", 2).unwrap();
    let key = key_in(range(1500, 2048));
    let old = topic.partition(0).unwrap();
    old.append(Record::new("before").key(&key)).unwrap();
    let before = topic.describe();
    for (at, found) in [(&[0][..], 0), (&[2048], 2048), (&[5000], 5000), (&[100, 100], 100), (&[200, 100], 100)] {
        let error = topic.split_at(0, at).unwrap_err();
        assert!(matches!(error, TopicError::SplitAt { start: 0, stop: 2048, found: is } if is == found), "{at:?}: {error}");
    }
    for parts in [0, 1, 2049, u32::MAX] {
        assert!(matches!(topic.split(0, parts), Err(TopicError::SplitParts { found, .. }) if found == parts));
    }
    assert!(matches!(topic.split_at(0, &[]), Err(TopicError::SplitParts { found: 1, .. })));
    assert!(matches!(topic.split(2, 2), Err(TopicError::NoPartition { .. })));
    assert_eq!(topic.describe(), before, "a refusal changed something");
    assert_eq!(topic.split_at(0, &[100, 1500]).unwrap(), [2, 3, 4]);
    assert_eq!((topic.partition_count(), topic.active_partitions()), (5, vec![2, 3, 4, 1]));
    assert_eq!((topic.partition_for_key(&key), topic.partitions_of_key(&key)), (4, vec![0, 4]));
    assert_eq!(topic.partitions_in(range(0, 101)), [0, 2, 3]);
    assert_eq!(topic.partitions_in(range(2047, 2049)), [0, 1, 4]);
    assert!(matches!(topic.split(0, 2), Err(TopicError::AlreadySplit { partition: 0, into, .. }) if into == [2, 3, 4]));
    // All that appends is refused, by handles from before and from now; what is read and cut off in front is not.
    for old in [&old, &topic.partition(0).unwrap()] {
        assert!(matches!(old.append(Record::new("x")), Err(AppendError::PartitionSplit)));
        assert!(matches!(old.append_with(Record::new("x"), AckLevel::Written), Err(AppendError::PartitionSplit)));
        assert!(matches!(old.truncate_suffix(0), Err(CutError::PartitionSplit)));
        assert_eq!((values(old.view()), old.flush().unwrap()), (vec!["before".to_owned()], 1.into()));
    }
    append(&topic, 4, "after");
    assert_eq!(topic.split(4, 2).unwrap(), [5, 6]);
    assert_eq!(topic.partitions_of_key(&key).len(), 3);
    store.close().unwrap();
    let store = small().open(home.path()).unwrap();
    let again = store.existing_topic("t").unwrap();
    assert_eq!(again.describe(), topic.describe());
    assert!(matches!(again.partition(0).unwrap().append(Record::new("x")), Err(AppendError::PartitionSplit)));
    assert_eq!((values(&again.view(0).unwrap()), values(&again.view(4).unwrap())), (vec!["before".to_owned()], vec!["after".to_owned()]));
    again.partition(0).unwrap().delete_prefix(1).unwrap();
    let read_only = Store::open_read_only(home.path()).unwrap().topic("t").unwrap();
    assert_eq!(read_only.describe().unwrap(), again.describe());
    assert_eq!(read_only.partition_for_key(&key).unwrap(), again.partition_for_key(&key));
    assert_eq!(read_only.partition_key(5).unwrap(), again.partition_key(5).unwrap());
    // One that nobody has used is split without being made.
    assert_eq!(again.split(1, 2048).unwrap().len(), 2048);
    assert!(!names(&topic_dir(&home)).contains(&"1".to_owned()));
    assert!(matches!(again.partition(1).unwrap().append(Record::new("x")), Err(AppendError::PartitionSplit)));
    assert!(matches!(again.split(2000, 2), Err(TopicError::SplitParts { found: 2, .. })), "of one slot");
}

/// What was acknowledged before a split is in the old partition, and nothing is acknowledged there after it.
#[test]
fn no_append_is_taken_after_a_split() {
    for policy in [tidelog::SyncPolicy::OsOnly, tidelog::SyncPolicy::default()] {
        let home = Home::new();
        let store = small().sync_policy(policy).open(home.path()).unwrap();
        let topic = store.create_topic("t", 1).unwrap();
        for round in 0..5 {
            let number = *topic.active_partitions().first().unwrap();
            let partition = topic.partition(number).unwrap();
            let is_split = AtomicBool::new(false);
            let acked: u64 = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..3)
                    .map(|thread| {
                        let (partition, is_split) = (&partition, &is_split);
                        scope.spawn(move || {
                            let level = if thread == 0 { AckLevel::Written } else { AckLevel::Durable };
                            let mut acked = 0;
                            loop {
                                let was_split = is_split.load(Ordering::SeqCst);
                                match partition.append_with(Record::new("x"), level) {
                                    Ok(_) if was_split => panic!("taken after the split"),
                                    Ok(_) => acked += 1,
                                    Err(AppendError::PartitionSplit) => return acked,
                                    Err(error) => panic!("{error}"),
                                }
                            }
                        })
                    })
                    .collect();
                std::thread::sleep(Duration::from_millis(5 * round));
                topic.split(number, 2).unwrap();
                is_split.store(true, Ordering::SeqCst);
                threads.into_iter().map(|thread| thread.join().unwrap()).sum()
            });
            assert_eq!(partition.log_end_offset().get(), acked);
            assert_eq!(partition.durable_end_offset().get(), acked, "durable before the new ones begin");
        }
    }
}

#[test]
fn a_deleted_topic_is_gone_for_everybody_who_has_it_open() {
    let home = Home::new();
    let store = small().open(home.path()).unwrap();
    let topic = store.create_topic("t", 2).unwrap();
    let partition = topic.partition(0).unwrap();
    for _ in 0..200 {
        partition.append_with(Record::new(&[7; 1000]), AckLevel::Written).unwrap();
    }
    partition.append(Record::new("old")).unwrap();
    let read_only = Store::open_read_only(home.path()).unwrap().topic("t").unwrap();
    let followers = [read_only.partition(0).unwrap(), read_only.partition(1).unwrap(), topic.view(1).unwrap()];
    let mut reader = partition.read_from(0).unwrap();
    reader.next().unwrap().unwrap();
    assert!(matches!(store.delete_topic("nope"), Err(TopicError::Unknown { .. })));
    assert!(matches!(store.delete_topic("../t"), Err(TopicError::InvalidName { .. })));
    store.delete_topic("t").unwrap();
    assert_eq!(names(&home.path().join("topics/default")), [""; 0]);
    assert!(store.topics().unwrap().is_empty());
    let check = || {
        assert!(matches!(partition.append(Record::new("x")), Err(AppendError::TopicDeleted)));
        assert!(matches!(partition.append_with(Record::new("x"), AckLevel::Written), Err(AppendError::TopicDeleted)));
        assert!(matches!(partition.get(0), Err(ReadError::TopicDeleted { .. })));
        assert!(matches!(partition.read(Start::Earliest).unwrap().next(), Some(Err(ReadError::TopicDeleted { .. }))));
        assert!(matches!(partition.delete_prefix(1), Err(CutError::Sync(SyncError::TopicDeleted))));
        assert!(matches!(partition.truncate_suffix(1), Err(CutError::Sync(SyncError::TopicDeleted))));
        assert!(matches!(topic.partition(0), Err(TopicError::Deleted { .. })));
        assert!(matches!(topic.partition(1), Err(TopicError::Deleted { .. })));
        assert!(matches!(topic.view(1), Err(TopicError::Deleted { .. })));
        assert!(matches!(topic.split(1, 2), Err(TopicError::Deleted { .. })));
        for follower in &followers {
            assert!(matches!(follower.refresh(), Err(ReadError::TopicDeleted { .. })), "{follower:?}");
            assert!(matches!(follower.read_from(0).map(drop), Err(ReadError::TopicDeleted { .. })));
        }
    };
    check();
    let rest: Vec<_> = reader.by_ref().collect();
    assert!(matches!(&rest[..], [Err(ReadError::TopicDeleted { .. })]), "{} more", rest.len());
    assert!(read_only.partition(0).is_err());
    // Another one of the name: nobody takes it for the first.
    let new = store.create_topic("t", 2).unwrap();
    append(&new, 0, "new");
    append(&new, 1, "new");
    assert_ne!(new.uuid(), topic.uuid());
    check();
    assert_eq!((values(&new.view(0).unwrap()), values(&new.view(1).unwrap())), (vec!["new".to_owned()], vec!["new".to_owned()]));
    store.close().unwrap();
    let store = small().open(home.path()).unwrap();
    assert_eq!(values(store.existing_topic("t").unwrap().partition(0).unwrap().view()), ["new"]);
    for follower in &followers[..2] {
        assert!(matches!(follower.refresh(), Err(ReadError::TopicDeleted { .. })));
    }
}

/// Reads a partition and waits for more until its topic is gone.
#[test]
fn waiter() {
    let Some((dir, _)) = other() else { return };
    let view = Store::open_read_only(dir).unwrap().topic("t").unwrap().partition(0).unwrap();
    let mut reader = view.read_from(0).unwrap();
    tell("read", reader.by_ref().map(Result::unwrap).count());
    loop {
        match reader.wait(Duration::from_secs(60)) {
            Ok(_) => {}
            Err(ReadError::TopicDeleted { .. }) => return tell("deleted", ""),
            Err(error) => return tell("deleted", error),
        }
    }
}

#[test]
fn a_reader_in_another_process_hears_that_its_topic_was_deleted() {
    let home = Home::new();
    let store = small().open(home.path()).unwrap();
    append(&store.create_topic("t", 1).unwrap(), 0, "x");
    let mut waiter = Other::start("partitions::waiter", home.path(), "");
    assert_eq!(waiter.hear("read"), "1");
    store.delete_topic("t").unwrap();
    append(&store.create_topic("t", 1).unwrap(), 0, "another");
    assert_eq!(waiter.hear("deleted"), "");
}

#[test]
fn positions_go_with_their_topic() {
    let home = Home::new();
    let store = small().open(home.path()).unwrap();
    let (positions, group): (_, GroupId) = (MemoryOffsetStore::new(), "billing".parse().unwrap());
    let key = |topic: &str| store.topic(topic).unwrap().partition_key(0).unwrap();
    let committed = |offset: u64| CommittedOffset::new(offset, tidelog::TimestampNs::new(0));
    for topic in ["t", "other"] {
        positions.commit(&group, &[(key(topic), committed(9))]).unwrap();
    }
    let old = key("t");
    assert_eq!(tidelog::delete_topic(&store, &positions, "t").unwrap(), 1);
    assert_eq!((positions.fetch(&group, &old).unwrap(), positions.fetch(&group, &key("other")).unwrap()), (None, Some(committed(9))));
    // Of a deletion that died after the topic was gone, what was committed last goes with the next one.
    positions.commit(&group, &[(old.clone(), committed(3))]).unwrap();
    assert!(tidelog::delete_topic(&store, &positions, "t").is_err());
    assert_eq!(positions.fetch(&group, &old).unwrap(), None);
    assert!(matches!(tidelog::delete_topic(&store, &positions, "a b"), Err(tidelog::DeleteTopicError::Topic(TopicError::InvalidName { .. }))));
}

#[test]
fn a_store_that_was_moved_opens_as_it_was() {
    let home = Home::new();
    let before = home.path().join("before");
    let store = small().open(&before).unwrap();
    let topic = store.create_topic("t", 4).unwrap();
    append(&topic, 2, "x");
    topic.split(2, 2).unwrap();
    append(&topic, 5, "y");
    let info = topic.describe();
    store.close().unwrap();
    let path = before.to_str().unwrap().as_bytes();
    for (file, bytes) in contents(&before) {
        assert!(!bytes.windows(path.len()).any(|window| window == path), "{} holds the path of the store", file.display());
    }
    let after = home.path().join("after");
    fs::rename(before, &after).unwrap();
    let store = small().open(&after).unwrap();
    let topic = store.existing_topic("t").unwrap();
    assert_eq!(topic.describe(), info);
    assert_eq!((values(&topic.view(2).unwrap()), values(&topic.view(5).unwrap())), (vec!["x".to_owned()], vec!["y".to_owned()]));
}

/// Topics of before there were catalogues: what their directories say.
#[test]
fn a_topic_without_a_catalogue_is_what_its_directories_say() {
    let home = Home::new();
    let store = small().open(home.path()).unwrap();
    let topic = store.create_topic("t", 5).unwrap();
    (0..5).for_each(|number| assert_eq!(append(&topic, number, &number.to_string()), 0));
    let info = topic.describe();
    store.close().unwrap();
    fs::remove_file(topic_dir(&home).join("TOPIC")).unwrap();
    fs::remove_file(topic_dir(&home).join("TOPIC.copy")).unwrap();
    let store = small().open(home.path()).unwrap();
    assert_eq!(store.topics().unwrap().len(), 1);
    let topic = store.existing_topic("t").unwrap();
    assert_eq!(topic.describe().partitions, info.partitions);
    assert_eq!(append(&topic, 3, "more"), 1);
    assert!(!topic_dir(&home).join("TOPIC").exists());
    let described = topic.describe();
    topic.split(4, 2).unwrap();
    store.close().unwrap();
    let meta = TopicMeta::decode(&fs::read(topic_dir(&home).join("TOPIC")).unwrap()).unwrap();
    assert_eq!((meta.uuid, meta.partitions.len()), (topic.uuid(), 7));
    let store = small().open(home.path()).unwrap();
    let topic = store.existing_topic("t").unwrap();
    assert_eq!((topic.describe().uuid, topic.describe().partitions.len()), (described.uuid, 7));
    assert_eq!((values(&topic.view(3).unwrap()).len(), append(&topic, 5, "new")), (2, 0));
}

/// Without its catalogue, or with a damaged one, keys could go elsewhere: the topic is read, and not written to.
#[test]
fn a_catalogue_that_is_lost_or_damaged_costs_writing_and_no_record() {
    let home = Home::new();
    let store = small().open(home.path()).unwrap();
    let topic = store.create_topic("t", 2).unwrap();
    append(&topic, 1, "one");
    topic.split(1, 2).unwrap();
    append(&topic, 3, "three");
    append(&topic, 0, "zero");
    append(&topic, 2, "two");
    store.close().unwrap();
    for damage in ["lost", "flipped", "cut", "directory", "newer"] {
        let image = copy(home.path());
        let path = image.path().join("topics/default/t/TOPIC");
        let mut bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::remove_file(path.with_extension("copy")).unwrap();
        match damage {
            "lost" => {}
            "directory" => fs::create_dir(&path).unwrap(),
            "flipped" => bytes[150] ^= 1,
            "cut" => bytes.truncate(200),
            _ => {
                bytes[8] = 2;
                let crc = tidelog_format::crc32(&[&bytes[..124], &bytes[128..]].concat());
                bytes[124..128].copy_from_slice(&crc.to_le_bytes());
            }
        }
        if ["flipped", "cut", "newer"].contains(&damage) {
            fs::write(&path, bytes).unwrap();
        }
        let store = small().background_recovery(false).open(image.path()).unwrap();
        let before = fingerprint(&image.path().join("topics"));
        let is_refused = |error: TopicError| match (damage, error) {
            ("newer", TopicError::Open(error @ OpenError::Unsupported { .. })) => assert!(error.is_refusal()),
            ("lost" | "flipped" | "cut" | "directory", TopicError::CatalogDamaged { topic, .. }) => assert_eq!(topic, "t"),
            (_, error) => panic!("{damage}: {error}"),
        };
        is_refused(store.existing_topic("t").map(drop).unwrap_err());
        is_refused(store.topic("t").map(drop).unwrap_err());
        assert_eq!(store.topics().unwrap().len(), 1);
        assert!(before == fingerprint(&image.path().join("topics")), "{damage}: a refusal changed something");
        let read_only = Store::open_read_only(image.path()).unwrap();
        if damage == "newer" {
            is_refused(read_only.topic("t").map(drop).unwrap_err());
        } else {
            let read_only = read_only.topic("t").unwrap();
            for (number, value) in [(0, "zero"), (1, "one"), (2, "two"), (3, "three")] {
                assert_eq!(values(&read_only.partition(number).unwrap()), [value]);
            }
            is_refused(read_only.describe().map(drop).unwrap_err());
            is_refused(read_only.partition_for_key(b"k").map(drop).unwrap_err());
            store.delete_topic("t").unwrap();
            assert!(store.topics().unwrap().is_empty());
        }
    }
}

/// The catalogue alone is damaged: its copy counts, for readers and for the writer, and a repair or the next change puts it in its place.
#[test]
fn a_damaged_catalogue_is_stood_in_for_by_its_copy() {
    for damage in ["lost", "flipped", "cut", "directory"] {
        let home = Home::new();
        let store = small().open(home.path()).unwrap();
        let topic = store.create_topic("t", 2).unwrap();
        append(&topic, 0, "zero");
        assert_eq!(topic.split(0, 2).unwrap(), [2, 3]);
        let described = topic.describe();
        store.close().unwrap();
        let path = topic_dir(&home).join("TOPIC");
        let mut bytes = fs::read(&path).unwrap();
        assert!(bytes == fs::read(path.with_extension("copy")).unwrap());
        let whole = bytes.clone();
        fs::remove_file(&path).unwrap();
        match damage {
            "lost" => {}
            "directory" => fs::create_dir(&path).unwrap(),
            "cut" => fs::write(&path, &bytes[..200]).unwrap(),
            _ => {
                bytes[150] ^= 1;
                fs::write(&path, &bytes).unwrap();
            }
        }
        let read_only = Store::open_read_only(home.path()).unwrap().topic("t").unwrap();
        assert_eq!(read_only.describe().unwrap(), described, "{damage}");
        assert!(matches!(read_only.catalog_damage(), Some(TopicError::CatalogDamaged { .. })), "{damage}");
        let repair = small().plan_repair(home.path(), None).unwrap();
        let steps: Vec<_> = repair.partitions().iter().flat_map(|planned| &planned.steps).map(|step| step.action).collect();
        assert_eq!(steps, [RepairAction::Catalog], "{damage}");
        if damage == "directory" {
            fs::remove_dir(&path).unwrap();
        }
        if damage == "flipped" {
            // Without a repair, the next change writes both.
            let store = small().open(home.path()).unwrap();
            append(&store.existing_topic("t").unwrap(), 2, "two");
            store.close().unwrap();
        } else {
            repair.apply().unwrap();
            assert!(fs::read(&path).unwrap() == whole, "{damage}");
        }
        let read_only = Store::open_read_only(home.path()).unwrap().topic("t").unwrap();
        assert!(read_only.catalog_damage().is_none(), "{damage}");
        assert_eq!(values(&read_only.partition(0).unwrap()), ["zero"]);
    }
}

/// From the partitions, if all of them were used; else it is left, and told.
#[test]
fn a_repair_writes_a_damaged_catalogue_anew() {
    for unused in [None, Some(0), Some(5), Some(6)] {
        let home = Home::new();
        let store = small().open(home.path()).unwrap();
        let topic = store.create_topic("t", 2).unwrap();
        let use_it = |number: u32| {
            if unused != Some(number) {
                append(&topic, number, &number.to_string());
            }
        };
        (0..2).for_each(use_it);
        assert_eq!(topic.split_at(1, &[2100, 3000]).unwrap(), [2, 3, 4]);
        (2..5).for_each(use_it);
        assert_eq!(topic.split(3, 2).unwrap(), [5, 6]);
        (5..7).for_each(use_it);
        let described = topic.describe();
        store.close().unwrap();
        let path = topic_dir(&home).join("TOPIC");
        let mut bytes = fs::read(&path).unwrap();
        bytes[140] ^= 1;
        fs::write(&path, &bytes).unwrap();
        fs::write(path.with_extension("copy"), bytes).unwrap();
        let repair = small().plan_repair(home.path(), None).unwrap();
        let planned = repair.partitions().to_vec();
        let rebuilds = planned.iter().flat_map(|planned| &planned.steps).any(|step| step.action == RepairAction::Catalog);
        assert_eq!(rebuilds, unused.is_none(), "{unused:?}: {planned:?}");
        let done = repair.apply().unwrap();
        let is_left = done.iter().flat_map(|done| &done.left).any(|note| note.file == "TOPIC");
        assert_eq!(is_left, unused.is_some(), "{unused:?}: {done:?}");
        let store = small().open(home.path()).unwrap();
        if unused.is_some() {
            assert!(matches!(store.existing_topic("t"), Err(TopicError::CatalogDamaged { .. })));
            continue;
        }
        let topic = store.existing_topic("t").unwrap();
        assert_eq!(topic.describe().partitions, described.partitions);
        assert_eq!((values(&topic.view(5).unwrap()), append(&topic, 5, "more")), (vec!["5".to_owned()], 1));
        store.close().unwrap();
        assert!(small().plan_repair(home.path(), None).unwrap().partitions().iter().all(|partition| partition.is_empty()));
    }
}

/// Opens what a cut left, and says where the program below had come by then; everything that was acknowledged must be there.
fn judge(cut: &Cut, seed: u64) {
    let Cut { mark, call, is_power, image } = cut;
    let what = format!("call {call}, mark {mark}, power {is_power}");
    let disk = image.disk(seed, NameModel::Strict);
    let Ok(store) = small_sim(&disk).open("/store").inspect_err(|error| assert!(*mark == 0, "{what}: {error}")) else { return };
    // What a reader sees is what the writer makes of it.
    let reader = small_sim(&disk).open_read_only("/store").unwrap();
    let seen = reader.topic("t").map(|topic| topic.describe().unwrap().partitions.len());
    let topic = match store.existing_topic("t") {
        Err(TopicError::Unknown { .. }) => {
            assert!([0, 4, 5].contains(mark) && seen.is_err(), "{what}: the topic is gone");
            return;
        }
        other => other.unwrap_or_else(|error| panic!("{what}: {error}")),
    };
    assert_eq!(seen.unwrap(), topic.partition_count() as usize, "{what}");
    let left: Vec<_> = image.directories().filter(|path| path.to_string_lossy().contains('~')).collect();
    let after = disk.image();
    assert!(!after.directories().any(|path| path.to_string_lossy().contains('~')), "{what}: {left:?} is left");
    let of = |number: u32| values(&topic.view(number).unwrap());
    let is_or_comes = |number: u32, value: &str, since: u64| {
        let is = of(number);
        assert!(is == [value] || (is.is_empty() && *mark < since), "{what}: partition {number} holds {is:?}");
    };
    match topic.partition_count() {
        3 => {
            assert!(*mark <= 2, "{what}: not split");
            is_or_comes(1, "one", 2);
        }
        5 => {
            assert!([2, 3, 4].contains(mark), "{what}: split");
            assert!(of(1) == ["one"], "{what}: what was there before the split");
            is_or_comes(4, "four", 4);
            let refused = topic.partition(1).unwrap().append(Record::new("x"));
            assert!(matches!(refused, Err(AppendError::PartitionSplit)), "{what}");
        }
        2 => {
            assert!(*mark >= 5, "{what}: made anew");
            is_or_comes(1, "new", 7);
        }
        other => panic!("{what}: {other} partitions"),
    }
    for number in topic.active_partitions() {
        let held = of(number).len() as u64;
        assert_eq!(append(&topic, number, "more"), held, "{what}");
    }
    let described = topic.describe();
    store.close().unwrap();
    let again = small_sim(&disk).open("/store").unwrap().existing_topic("t").unwrap();
    assert_eq!(again.describe(), described, "{what}");
}

fn small_sim(disk: &SimDisk) -> StoreOptions {
    StoreOptions::new().storage(Arc::new(disk.clone())).segment_bytes(64 << 10).without_threads()
}

#[test]
fn any_crash_leaves_whole_partitions_and_one_catalogue() {
    for (seed, model) in [(1, NameModel::Strict), (2, NameModel::Journal), (3, NameModel::Strict)] {
        let disk = SimDisk::new(seed, model);
        disk.watch(3);
        let store = small_sim(&disk).open("/store").unwrap();
        let topic = store.create_topic("t", 3).unwrap();
        disk.set_mark(1);
        append(&topic, 1, "one");
        disk.set_mark(2);
        topic.split(1, 2).unwrap();
        disk.set_mark(3);
        append(&topic, 4, "four");
        disk.set_mark(4);
        store.delete_topic("t").unwrap();
        disk.set_mark(5);
        let topic = store.create_topic("t", 2).unwrap();
        disk.set_mark(6);
        append(&topic, 1, "new");
        disk.set_mark(7);
        disk.cut_here();
        disk.watch(0);
        let (mut judged, cuts) = (std::collections::HashSet::new(), disk.take_cuts());
        assert!(cuts.len() > 200, "{} cuts", cuts.len());
        for cut in cuts {
            if judged.insert((cut.mark, cut.image.fingerprint())) {
                judge(&cut, seed);
            }
        }
        assert!((0..8).all(|mark| judged.iter().any(|(of, _)| *of == mark)));
    }
}

/// A process dies between the rename that deletes a topic and the sync of it: the next one must not remove what a power cut could still give its
/// name back to.
#[test]
fn a_deletion_that_was_not_synced_is_whole_or_not_at_all() {
    for seed in 0..4 {
        let disk = SimDisk::new(seed, NameModel::Strict);
        let faulty = Faulty::new(Arc::new(disk.clone()));
        let options = StoreOptions::new().storage(Arc::new(faulty.clone())).segment_bytes(64 << 10).without_threads();
        let store = options.open("/store").unwrap();
        append(&store.create_topic("t", 2).unwrap(), 1, "one");
        faulty.inject(Fault::at(Op::SyncDir).on_path("topics/default").from_then_on());
        assert!(matches!(store.delete_topic("t"), Err(TopicError::Io(_))));
        let disk = disk.kill();
        drop(store);
        disk.watch(4);
        small_sim(&disk).open("/store").unwrap();
        let cuts = disk.take_cuts();
        assert!(cuts.len() > 20);
        for cut in cuts {
            let (disk, call) = (cut.image.disk(seed, NameModel::Strict), cut.call);
            match small_sim(&disk).open("/store").unwrap().existing_topic("t") {
                Ok(topic) => assert_eq!(values(&topic.view(1).unwrap()), ["one"], "call {call}"),
                Err(error) => assert!(matches!(error, TopicError::Unknown { .. }), "call {call}: {error}"),
            }
        }
    }
}

/// Each call fails once. What failed was not done, or is done, and in doubt only until the next open: never half.
#[test]
fn any_call_may_fail() {
    for lasting in [false, true] {
        let mut fired = 0;
        for nth in 1.. {
            let home = Home::new();
            let faulty = Faulty::new(Arc::new(Disk::new()));
            let options = || small().storage(Arc::new(faulty.clone())).without_threads();
            let store = options().open(home.path()).unwrap();
            let topic = store.create_topic("t", 2).unwrap();
            append(&topic, 0, "before");
            let fault = Fault::anywhere().nth(nth);
            faulty.inject(if lasting { fault.from_then_on() } else { fault });
            let first = topic
                .partition(1)
                .map_err(|error| error.to_string())
                .and_then(|partition| partition.append(Record::new("first")).map_err(|error| error.to_string()));
            let split = topic.split(0, 2);
            let in_new = split.as_ref().ok().map(|into| topic.partition(into[0]).map(|partition| partition.append(Record::new("in new")).is_ok()));
            let deleted = store.create_topic("gone", 1).and_then(|_| store.delete_topic("gone"));
            faulty.heal();
            drop((topic, store));
            let store = options().open(home.path()).unwrap();
            let topic = store.existing_topic("t").unwrap_or_else(|error| panic!("call {nth}: {error}"));
            assert_eq!(values(&topic.view(0).unwrap()), ["before"], "call {nth}");
            if first.is_ok() {
                assert_eq!(values(&topic.view(1).unwrap()), ["first"], "call {nth}");
            }
            match split {
                Ok(_) => assert_eq!(topic.partition_count(), 4, "call {nth}"),
                Err(_) => assert!([2, 4].contains(&topic.partition_count()), "call {nth}"),
            }
            if let Some(Ok(true)) = in_new {
                assert_eq!(values(&topic.view(2).unwrap()), ["in new"], "call {nth}");
            }
            if deleted.is_ok() {
                assert_eq!(store.topics().unwrap().len(), 1, "call {nth}");
            }
            for number in topic.active_partitions() {
                append(&topic, number, "after");
            }
            if faulty.fired() == 0 {
                break;
            }
            fired += 1;
        }
        assert!(fired > 30, "{fired} calls");
    }
}

/// A split that fails before it counts leaves everything as it was; appends go on, and the next try succeeds.
#[test]
fn a_split_that_failed_may_be_tried_again() {
    let home = Home::new();
    let faulty = Faulty::new(Arc::new(Disk::new()));
    let store = small().storage(Arc::new(faulty.clone())).open(home.path()).unwrap();
    let topic = store.create_topic("t", 1).unwrap();
    append(&topic, 0, "a");
    faulty.inject(Fault::at(Op::Create).on_path("TOPIC.tmp"));
    assert!(matches!(topic.split(0, 2), Err(TopicError::Io(_))));
    faulty.heal();
    assert_eq!((append(&topic, 0, "b"), topic.partition_count()), (1, 1));
    assert_eq!(topic.split(0, 2).unwrap(), [1, 2]);
    // In doubt: the file has its name, and nobody knows for how long.
    faulty.inject(Fault::at(Op::SyncDir).on_path("topics/default/t").nth(2));
    assert!(matches!(topic.split(1, 2), Err(TopicError::Io(_))));
    faulty.heal();
    assert!(topic.split(1, 2).is_err() && topic.partition(2).is_err(), "nothing builds on what a power cut may take away");
    store.close().unwrap();
    let topic = small().open(home.path()).unwrap().existing_topic("t").unwrap();
    assert!([3, 5].contains(&topic.partition_count()));
    assert_eq!(values(&topic.view(0).unwrap()), ["a", "b"]);
}

/// Keys and values by partition.
type Held = BTreeMap<u32, Vec<(Vec<u8>, String)>>;

/// Everything at random against a model: what is in which partition, and which keys went there.
#[test]
fn a_model_agrees() {
    for seed in 0..6 {
        let (home, mut random) = (Home::new(), Random::new(seed));
        let mut store = small().open(home.path()).unwrap();
        let mut model: Option<Held> = None;
        for step in 0..150 {
            let Some(held) = &mut model else {
                let count = 1 + random.below(5) as u32;
                assert_eq!(store.create_topic("t", count).unwrap().partition_count(), count);
                model = Some(Held::new());
                continue;
            };
            let topic = store.existing_topic("t").unwrap();
            match random.below(20) {
                0 => {
                    store.delete_topic("t").unwrap();
                    model = None;
                }
                1..=3 => {
                    drop(topic);
                    store.close().unwrap();
                    store = small().open(home.path()).unwrap();
                }
                4..=6 => split_one(&topic, &mut random),
                _ => {
                    let (key, value) = (random.below(40).to_le_bytes().to_vec(), format!("{seed} {step}"));
                    let number = topic.partition_for_key(&key);
                    topic.partition(number).unwrap().append_with(Record::new(&value).key(&key), AckLevel::Written).unwrap();
                    held.entry(number).or_default().push((key, value));
                }
            }
            if step % 10 == 9 {
                check_model(&store, model.as_ref());
            }
        }
    }
}

fn split_one(topic: &Topic, random: &mut Random) {
    let number = random.below(topic.partition_count().into()) as u32;
    let (range, is_active) = (topic.partition_key(number).unwrap().range, topic.active_partitions().contains(&number));
    let at = range.start() + 1 + random.below(u64::from(range.stop() - range.start())) as u32;
    match topic.split_at(number, &[at]) {
        Ok(into) => assert!(is_active && into.iter().all(|&new| topic.partitions_in(topic.partition_key(new).unwrap().range).contains(&number))),
        Err(TopicError::AlreadySplit { .. }) => assert!(!is_active),
        Err(TopicError::SplitAt { .. }) => assert!(is_active && at == range.stop()),
        Err(error) => panic!("{error}"),
    }
}

fn check_model(store: &Store, model: Option<&Held>) {
    let Some(held) = model else { return assert!(store.topics().unwrap().is_empty()) };
    let topic = store.existing_topic("t").unwrap();
    for number in 0..topic.partition_count() {
        let expected: Vec<&String> = held.get(&number).into_iter().flatten().map(|(_, value)| value).collect();
        assert_eq!(values(&topic.view(number).unwrap()).iter().collect::<Vec<_>>(), expected);
        assert_eq!(topic.describe().partitions[number as usize].made, held.contains_key(&number));
    }
    // The records of a key, in the order of its partitions, are in the order in which they were appended.
    for (key, _) in held.values().flatten() {
        let steps: Vec<u32> = topic
            .partitions_of_key(key)
            .iter()
            .flat_map(|number| held.get(number).into_iter().flatten().filter(|(of, _)| of == key))
            .map(|(_, value)| value.split(' ').next_back().unwrap().parse().unwrap())
            .collect();
        let all = held.values().flatten().filter(|(of, _)| of == key).count();
        assert!(steps.is_sorted() && steps.len() == all);
    }
    for number in 0..50u32 {
        let key = number.to_le_bytes();
        let range = topic.partition_key(topic.partition_for_key(&key)).unwrap().range;
        assert!(range.contains(key_slot(&key)) && topic.partitions_of_key(&key).contains(&topic.partition_for_key(&key)));
    }
}

#[test]
fn a_partition_is_made_once_however_many_ask_for_it() {
    let home = Home::new();
    let store = small().open(home.path()).unwrap();
    let topic = store.create_topic("t", 40).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4u32 {
            let topic = &topic;
            scope.spawn(move || {
                for step in 0..40 {
                    let number = if thread % 2 == 0 { step } else { 39 - step };
                    append(topic, number, "x");
                }
            });
        }
    });
    for number in 0..40 {
        assert_eq!(values(&topic.view(number).unwrap()).len(), 4);
    }
    assert_eq!(names(&topic_dir(&home)).len(), 42, "{:?}", names(&topic_dir(&home)));
    assert!(topic.describe().partitions.iter().all(|partition| partition.made));
}

/// Appends, splits and reads beside a topic that is deleted and made anew, again and again: each is done, or answered with what came between.
#[test]
fn topics_come_and_go_beside_those_who_use_them() {
    let home = Home::new();
    let store = small().open(home.path()).unwrap();
    let (stop, acked) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for thread in 0..3u64 {
            let (store, stop, acked) = (&store, &stop, &acked);
            scope.spawn(move || {
                let mut random = Random::new(thread);
                while !stop.load(Ordering::Relaxed) {
                    let done = use_once(store, &mut random).inspect_err(|_| stop.store(true, Ordering::Relaxed)).unwrap();
                    acked.fetch_add(u32::from(done), Ordering::Relaxed);
                }
            });
        }
        for round in 0.. {
            if stop.load(Ordering::Relaxed) || (round > 40 && acked.load(Ordering::Relaxed) > 20) {
                break;
            }
            match store.create_topic("t", 1 + round % 4) {
                Ok(_) | Err(TopicError::Exists { .. }) => {}
                Err(error) => panic!("{error}"),
            }
            std::thread::sleep(Duration::from_millis(5));
            match store.delete_topic("t") {
                Ok(()) | Err(TopicError::Unknown { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    let _ = store.delete_topic("t");
    store.create_topic("t", 1).unwrap();
    store.close().unwrap();
    let store = small().open(home.path()).unwrap();
    assert_eq!(store.existing_topic("t").unwrap().partition(0).unwrap().log_end_offset(), 0);
}

/// Whether it came to an acknowledged append before the topic went.
fn use_once(store: &Store, random: &mut Random) -> Result<bool, String> {
    let topic = match store.existing_topic("t") {
        Err(TopicError::Unknown { .. } | TopicError::Deleted { .. }) => return Ok(false),
        other => other.map_err(|error| format!("the topic: {error}"))?,
    };
    let number = random.below(topic.partition_count().into()) as u32;
    if random.below(4) == 0 {
        match topic.split(number, 2) {
            Ok(_) | Err(TopicError::Deleted { .. } | TopicError::AlreadySplit { .. } | TopicError::SplitParts { .. }) => {}
            Err(TopicError::Sync(SyncError::TopicDeleted)) => {}
            Err(error) => return Err(format!("a split: {error}")),
        }
    }
    let partition = match topic.partition(number) {
        Err(TopicError::Deleted { .. }) => return Ok(false),
        other => other.map_err(|error| format!("a partition: {error}"))?,
    };
    let level = if random.below(2) == 0 { AckLevel::Durable } else { AckLevel::Written };
    match partition.append_with(Record::new("x"), level) {
        Ok(ack) => match partition.get(ack.base_offset) {
            Ok(_) | Err(ReadError::TopicDeleted { .. }) => Ok(true),
            // Under `OsOnly` the high water mark is the log end: what is acknowledged can be read.
            Err(error) => Err(format!("a read: {error}")),
        },
        Err(AppendError::TopicDeleted | AppendError::PartitionSplit | AppendError::NotDurable { source: SyncError::TopicDeleted, .. }) => Ok(false),
        Err(error) => Err(format!("an append: {error}")),
    }
}

/// Once a store is closed it may be another process's: what was changing names in it has ended by then.
#[test]
fn a_store_is_closed_when_nothing_changes_its_topics_any_more() {
    for what in ["split", "create", "delete", "partition"] {
        let home = Home::new();
        let faulty = Faulty::new(Arc::new(Disk::new()));
        let store = small().storage(Arc::new(faulty.clone())).open(home.path()).unwrap();
        let topic = store.create_topic("t", 2).unwrap();
        append(&topic, 0, "x");
        let (op, path) = if what == "delete" { (Op::RenameNew, "topics/default/t") } else { (Op::Create, "TOPIC.tmp") };
        faulty.inject(Fault::at(op).on_path(path).slow(Duration::from_millis(300)));
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let (store, closing, topic, done) = (store.clone(), store, &topic, &done);
            scope.spawn(move || {
                let outcome = match what {
                    "split" => topic.split(0, 2).map(drop),
                    "create" => store.create_topic("u", 1).map(drop),
                    "delete" => store.delete_topic("t"),
                    _ => topic.partition(1).map(drop),
                };
                done.store(true, Ordering::SeqCst);
                outcome.unwrap();
            });
            eventually("it is under way", || faulty.fired() > 0);
            closing.close().unwrap();
            let calls = faulty.name_changes();
            eventually("it has ended", || done.load(Ordering::SeqCst));
            assert_eq!(faulty.name_changes(), calls, "{what}: a name was changed after the close");
        });
    }
}

/// Names that are no topic's, before anything is looked at.
#[test]
fn a_bad_name_moves_nothing() {
    let home = Home::new();
    let store = Store::open(home.path()).unwrap();
    store.create_topic("t", 1).unwrap();
    let before = fingerprint(home.path());
    for name in ["..", "../t", "t/..", &"x".repeat(300), "t~", ""] {
        assert!(matches!(store.delete_topic(name), Err(TopicError::InvalidName { .. })), "{name:?}");
        assert!(matches!(store.create_topic_with(name, TopicOptions::new()), Err(TopicError::InvalidName { .. })));
    }
    assert!(before == fingerprint(home.path()));
}
