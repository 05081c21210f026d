//! Assignment as a server uses it: many partitions behind one registry, publishers, restarts and kills, and what a client is told of a partition.
//! Each with the name of the behaviour it stands for in SeaweedMQ's broker and integration tests, on real directories.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;
use tidelog::{
    AckLevel, AppendError, AssignError, OffsetAssigner, PartitionKey, PartitionOffsetRegistry, ReadError, Record, RecordBatch, Store, TopicError,
};

use crate::reading_support::{Home, batch, contents, ts};
use crate::support::{copy_tree, options, tempdir};

/// A broker over a store: every partition of two topics.
struct Broker {
    store: Store,
    registry: Arc<PartitionOffsetRegistry>,
    assigner: OffsetAssigner,
    keys: Vec<PartitionKey>,
    /// The directory, if it is a copy: dropped last.
    image: Option<TempDir>,
}

impl Broker {
    fn open(home: &Home) -> Self {
        Self::open_in(home.path())
    }

    fn open_in(dir: &Path) -> Self {
        let store = options().open(dir).unwrap();
        let mut keys = Vec::new();
        for (name, count) in [("orders", 2), ("eu/orders", 2)] {
            let topic = store.create_topic(name, count).or_else(|_| store.existing_topic(name)).unwrap();
            keys.extend((0..count).map(|number| topic.partition_key(number).unwrap()));
        }
        let registry = Arc::new(PartitionOffsetRegistry::new(store.clone()).ack_level(AckLevel::Written));
        Self { store, assigner: OffsetAssigner::new(registry.clone()), registry, keys, image: None }
    }

    fn publish(&self, partition: usize, value: &str) -> u64 {
        self.assigner.assign_single_offset(&self.keys[partition], Record::new(value)).unwrap().base_offset.get()
    }

    fn publish_all(&self, partition: usize, values: &[&str]) -> (u64, u64) {
        let assigned = self.assigner.assign_batch_offsets(&self.keys[partition], &batch(values)).unwrap();
        (assigned.base_offset.get(), assigned.last_offset.get())
    }

    fn ends(&self) -> Vec<u64> {
        self.keys.iter().map(|key| self.registry.high_water_mark(key).unwrap().offset().get()).collect()
    }

    fn values(&self, partition: usize) -> Vec<String> {
        let manager = self.registry.get(&self.keys[partition]).unwrap();
        let records = manager.partition().read_from(manager.earliest().offset()).unwrap();
        records.map(|record| String::from_utf8(record.unwrap().value().unwrap().to_vec()).unwrap()).collect()
    }
}

fn home() -> Home {
    Home { dir: tempdir() }
}

/// The broker that is started after the process of this store is killed now.
fn after_kill(home: &Home) -> Broker {
    let image = tempdir();
    copy_tree(home.path(), image.path());
    let mut broker = Broker::open_in(image.path());
    broker.image = Some(image);
    broker
}

#[test]
fn broker_offset_manager_assign_offset() {
    let home = home();
    let broker = Broker::open(&home);
    (0..10).for_each(|expected| assert_eq!(broker.publish(0, "x"), expected));
    let broker = after_kill(&home);
    assert_eq!(broker.publish(0, "x"), 10);
}

#[test]
fn broker_offset_manager_assign_batch_offsets() {
    let home = home();
    let broker = Broker::open(&home);
    assert_eq!(broker.publish_all(0, &["a", "b", "c", "d", "e"]), (0, 4));
    assert_eq!(broker.publish_all(0, &["f", "g", "h"]), (5, 7));
    broker.store.close().unwrap();
    let broker = Broker::open(&home);
    assert_eq!(broker.publish_all(0, &["i"]), (8, 8));
    assert_eq!(broker.values(0).concat(), "abcdefghi");
}

/// Whoever assigns and whoever is asked are one: ten assigned, and ten are told.
#[test]
fn broker_offset_manager_get_high_water_mark() {
    let home = home();
    let broker = Broker::open(&home);
    assert_eq!(broker.ends(), [0; 4]);
    (0..10).for_each(|expected| assert_eq!(broker.publish(2, "x"), expected));
    assert_eq!(broker.ends(), [0, 0, 10, 0]);
    assert_eq!(after_kill(&home).ends(), [0, 0, 10, 0]);
}

#[test]
fn broker_offset_manager_get_partition_offset_info() {
    let home = home();
    let broker = Broker::open(&home);
    let info = |broker: &Broker| broker.registry.info(&broker.keys[0]).unwrap();
    let empty = info(&broker);
    assert_eq!((empty.earliest.offset(), empty.latest, empty.high_water_mark.offset()), (0.into(), None, 0.into()));
    assert_eq!((empty.record_count, empty.first_timestamp, empty.last_timestamp), (0, None, None));
    for seconds in 1..=5 {
        broker.registry.assign(&broker.keys[0], Record::new("x").timestamp(ts(seconds))).unwrap();
    }
    let five = info(&broker);
    assert_eq!((five.earliest.offset(), five.latest, five.high_water_mark.offset()), (0.into(), Some(4.into()), 5.into()));
    assert_eq!((five.record_count, five.first_timestamp, five.last_timestamp), (5, Some(ts(1)), Some(ts(5))));
    broker.registry.get(&broker.keys[0]).unwrap().partition().delete_prefix(2).unwrap();
    broker.store.clone().close().unwrap();
    let three = info(&Broker::open(&home));
    assert_eq!((three.earliest.offset(), three.record_count, three.first_timestamp), (2.into(), 3, Some(ts(3))), "what was deleted is not told of");
    assert_eq!((three.durable_end.offset(), three.next.offset()), (5.into(), 5.into()));
}

#[test]
fn broker_offset_manager_multiple_partitions() {
    let home = home();
    let broker = Broker::open(&home);
    for (partition, count) in [3, 5, 2, 0].into_iter().enumerate() {
        (0..count).for_each(|expected| assert_eq!(broker.publish(partition, "x"), expected));
    }
    assert_eq!(broker.ends(), [3, 5, 2, 0]);
    assert_eq!(after_kill(&home).ends(), [3, 5, 2, 0]);
}

#[test]
fn broker_offset_manager_get_offset_metrics() {
    let home = home();
    let broker = Broker::open(&home);
    assert_eq!((broker.registry.metrics().partition_count, broker.registry.metrics().total_offsets), (0, 0));
    broker.publish(0, "x");
    broker.publish_all(1, &["y", "z"]);
    assert_eq!((broker.registry.metrics().partition_count, broker.registry.metrics().total_offsets), (2, 3));
    broker.store.close().unwrap();
    let broker = Broker::open(&home);
    broker.ends();
    assert_eq!((broker.registry.metrics().partition_count, broker.registry.metrics().total_offsets), (2, 3), "nothing is made by a question");
    for key in &broker.keys {
        let topic = broker.store.existing_topic(&key.topic.to_string()).unwrap();
        let view = topic.view(topic.partition_of_range(key.range).unwrap()).unwrap();
        assert_eq!(broker.registry.info(key).unwrap(), view.offset_info().unwrap(), "the same of whoever looks");
    }
}

#[test]
fn broker_offset_manager_assign_offsets_with_result() {
    let home = home();
    let broker = Broker::open(&home);
    let one = broker.assigner.assign_single_offset(&broker.keys[1], Record::new("x")).unwrap();
    assert_eq!((one.base_offset, one.last_offset, one.count, one.partition), (0.into(), 0.into(), 1, &broker.keys[1]));
    let many = broker.assigner.assign_batch_offsets(&broker.keys[1], &batch(&["y", "z", "w"])).unwrap();
    assert_eq!((many.base_offset, many.last_offset, many.count), (1.into(), 3.into(), 3));
    assert!(many.timestamp >= one.timestamp && one.timestamp > ts(0));
    let absent = PartitionKey { topic: "absent".parse().unwrap(), ..broker.keys[1].clone() };
    let refused = broker.assigner.assign_single_offset(&absent, Record::new("x"));
    assert!(matches!(refused, Err(AssignError::Topic(TopicError::Unknown { .. }))), "{refused:?}");
    broker.store.clone().close().unwrap();
    let closed = broker.assigner.assign_single_offset(&broker.keys[1], Record::new("x"));
    assert!(matches!(closed, Err(AssignError::Append(AppendError::Closed))), "{closed:?}");
    assert_eq!(Broker::open(&home).publish(1, "x"), 4);
}

/// A stop leaves nothing to be noted, and nobody who still notes: from then on not one byte changes, and no offset is given out.
#[test]
fn broker_offset_manager_shutdown() {
    let home = home();
    let broker = Broker::open(&home);
    (0..99).for_each(|expected| assert_eq!(broker.publish(0, "x"), expected));
    broker.store.clone().close().unwrap();
    let left = contents(home.path());
    for key in &broker.keys {
        assert!(broker.registry.assign(key, Record::new("late")).is_err());
        assert!(broker.registry.assign_batch(key, &batch(&["late"])).is_err());
    }
    std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(|| broker.registry.assign(&broker.keys[0], Record::new("late")).unwrap_err()))));
    drop(broker);
    assert!(left == contents(home.path()), "something was written after the stop");
    let broker = Broker::open(&home);
    assert_eq!(broker.ends(), [99, 0, 0, 0]);
    assert_eq!(broker.publish(0, "x"), 99);
}

/// What a publisher is told is what readers find, by the offset that it was told.
#[test]
fn offset_aware_publisher() {
    let home = home();
    let broker = Broker::open(&home);
    let mut published = BTreeMap::new();
    for number in 0..50 {
        let value = format!("record {number}");
        published.insert(broker.publish(0, &value), value);
        let values = [format!("first of {number}"), format!("second of {number}")];
        let (base, last) = broker.publish_all(0, &[&values[0], &values[1]]);
        assert_eq!(last, base + 1);
        published.extend((base..).zip(values));
    }
    assert!(published.keys().copied().eq(0..150));
    for broker in [&broker, &after_kill(&home)] {
        let manager = broker.registry.get(&broker.keys[0]).unwrap();
        for (offset, value) in &published {
            assert_eq!(manager.partition().get(*offset).unwrap().value().unwrap(), value.as_bytes());
        }
        assert_eq!(broker.values(0).len(), 150);
    }
}

/// A partition is the same one after a restart, whenever it was made: known by topic and range alone.
#[test]
fn partition_identity_consistency() {
    let home = home();
    let (keys, uuids) = {
        let broker = Broker::open(&home);
        broker.publish(3, "x");
        let uuid = |key| broker.registry.get(key).unwrap().partition().view().uuid();
        (broker.keys.clone(), broker.keys.iter().map(uuid).collect::<Vec<_>>())
    };
    assert_eq!(uuids.iter().collect::<HashSet<_>>().len(), 4);
    let broker = Broker::open(&home);
    assert_eq!(broker.keys, keys);
    for (key, uuid) in keys.iter().zip(&uuids) {
        assert_eq!(broker.registry.get(key).unwrap().partition().view().uuid(), *uuid);
    }
    assert_eq!(broker.publish(3, "x"), 1);
}

/// Registries beside each other, even two of one store, write one log; another process gets none.
#[test]
fn single_writer_per_partition_correctness() {
    let home = home();
    let broker = Broker::open(&home);
    let other = PartitionOffsetRegistry::new(broker.store.clone()).ack_level(AckLevel::Written);
    assert!(options().open(home.path()).is_err(), "a store has one writer");
    let offsets: Vec<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = [&*broker.registry, &other, &*broker.registry, &other]
            .into_iter()
            .map(|registry| {
                let key = &broker.keys[0];
                scope.spawn(move || (0..500).map(|_| registry.assign(key, Record::new("x")).unwrap().get()).collect::<Vec<_>>())
            })
            .collect();
        let of_threads = threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>();
        assert!(of_threads.iter().all(|offsets| offsets.is_sorted()));
        of_threads.concat()
    });
    assert_eq!(offsets.iter().copied().collect::<HashSet<_>>(), (0..2000).collect());
    assert_eq!(after_kill(&home).ends()[0], 2000);
}

#[test]
fn smq_offset_integration_publish_record() {
    let home = home();
    let broker = Broker::open(&home);
    let record = Record::new("value").key("key").timestamp(ts(1_000_000_007));
    assert_eq!(broker.registry.assign(&broker.keys[0], record).unwrap(), 0);
    let broker = after_kill(&home);
    let stored = broker.registry.get(&broker.keys[0]).unwrap().partition().get(0).unwrap();
    assert_eq!((stored.key(), stored.value(), stored.timestamp()), (Some(&b"key"[..]), Some(&b"value"[..]), ts(1_000_000_007)));
}

#[test]
fn smq_offset_integration_publish_record_batch() {
    let home = home();
    let broker = Broker::open(&home);
    assert_eq!(broker.publish_all(0, &["one", "two", "three"]), (0, 2));
    assert_eq!(broker.publish_all(0, &["four"]), (3, 3));
    let broker = after_kill(&home);
    assert_eq!(broker.values(0), ["one", "two", "three", "four"]);
}

#[test]
fn smq_offset_integration_empty_batch() {
    let home = home();
    let broker = Broker::open(&home);
    broker.publish(0, "x");
    let refused = broker.registry.assign_batch(&broker.keys[0], &RecordBatch::new());
    assert!(matches!(refused, Err(AssignError::Append(AppendError::Empty))), "{refused:?}");
    assert_eq!(broker.ends()[0], 1);
    assert_eq!(after_kill(&home).publish(0, "y"), 1);
}

/// Of an offset: whether it is there, whose record it is, and when that was made.
#[test]
fn smq_offset_integration_get_offset_info() {
    let home = home();
    let broker = Broker::open(&home);
    broker.registry.assign(&broker.keys[0], Record::new("x").timestamp(ts(42))).unwrap();
    let broker = after_kill(&home);
    let manager = broker.registry.get(&broker.keys[0]).unwrap();
    assert_eq!(manager.partition().get(0).unwrap().timestamp(), ts(42));
    match manager.partition().get(1) {
        Err(ReadError::OffsetOutOfRange { requested, earliest, latest }) => assert!(requested == 1 && earliest == 0 && latest == 1),
        other => panic!("{other:?}"),
    }
    assert_eq!(manager.key(), &broker.keys[0]);
}

#[test]
fn end_to_end_offset_flow_publish_and_assign_offsets() {
    let home = home();
    let broker = Broker::open(&home);
    for expected in 0..5 {
        assert_eq!(broker.publish(1, &format!("value {expected}")), expected);
    }
    assert_eq!(broker.publish_all(1, &["a", "b", "c"]), (5, 7));
    assert_eq!(broker.ends(), [0, 8, 0, 0]);
    broker.store.close().unwrap();
    assert_eq!(Broker::open(&home).values(1)[3..6], ["value 3", "value 4", "a"]);
}

#[test]
fn end_to_end_offset_flow_partition_information_and_metrics() {
    let home = home();
    let broker = Broker::open(&home);
    (0..8).for_each(|expected| assert_eq!(broker.publish(0, "x"), expected));
    let broker = after_kill(&home);
    let info = broker.registry.info(&broker.keys[0]).unwrap();
    assert_eq!((info.earliest.offset(), info.latest, info.record_count), (0.into(), Some(7.into()), 8));
    assert_eq!((broker.registry.metrics().partition_count, broker.registry.metrics().total_offsets), (1, 8));
}

#[test]
fn offset_persistence_across_restarts() {
    let home = home();
    for (restart, end) in ["closed", "dropped", "killed"].into_iter().cycle().take(9).enumerate() {
        let broker = Broker::open(&home);
        assert_eq!(broker.ends()[0], restart as u64 * 3, "{end}");
        assert_eq!(broker.publish_all(0, &["a", "b", "c"]).0, restart as u64 * 3);
        match end {
            "closed" => broker.store.close().unwrap(),
            "killed" => assert_eq!(after_kill(&home).ends()[0], (restart as u64 + 1) * 3),
            _ => {}
        }
    }
}

#[test]
fn concurrent_offset_operations() {
    let home = home();
    let broker = Broker::open(&home);
    let assigned: Vec<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..5).map(|_| scope.spawn(|| (0..10).map(|_| broker.publish(0, "x")).collect::<Vec<_>>())).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(assigned.len() == 50 && assigned.into_iter().collect::<HashSet<_>>() == (0..50).collect());
    assert_eq!(after_kill(&home).ends()[0], 50);
}
