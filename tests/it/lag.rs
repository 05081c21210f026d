//! How far groups are behind: against a model, beside retention and damage, in time by stored times, summed up, and with limits that call back.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use tidelog::{
    AckLevel, BatchPlace, CommittedOffset, GroupId, LagEvent, LagLimits, LagReport, LagScope, LagSubject, LagWatch, LeaderEpoch, MemoryOffsetStore,
    OffsetStore, Partition, PartitionKey, PartitionOffsetManager, PartitionOffsetRegistry, Record, RecordBatch, RingRange, Store, SyncPolicy,
    TimestampNs,
};
use tidelog_format::FRAME_HEADER_BYTES;

use crate::reading_support::{Home, small, ts};
use crate::support::{Durable, Lab, tempdir};

const SECOND: i64 = 1_000_000_000;

fn home() -> Home {
    Home { dir: tempdir() }
}

fn at(seconds: i64) -> TimestampNs {
    ts(seconds * SECOND)
}

fn secs(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

/// Appends records of these times, in seconds.
fn append(partition: &Partition, times: &[i64]) {
    for &time in times {
        partition.append_with(Record::new(&[7; 300]).timestamp(at(time)), AckLevel::Written).unwrap();
    }
}

fn group(name: &str) -> GroupId {
    name.parse().unwrap()
}

fn commit(positions: &dyn OffsetStore, group: &GroupId, partition: &PartitionKey, offset: u64) {
    positions.commit(group, &[(partition.clone(), CommittedOffset::new(offset, ts(0)))]).unwrap();
}

#[test]
fn lag_is_counted_up_to_the_high_water_mark() {
    let home = home();
    // Without threads, nothing is synced that this test does not sync.
    let policy = SyncPolicy::Group { max_wait: Duration::ZERO, max_bytes: 1 << 20 };
    let (_store, partition) = home.partition(small().without_threads().sync_policy(policy));
    append(&partition, &[1, 2, 3]);
    partition.flush().unwrap();
    append(&partition, &[4, 5]);
    let (lag, marks) = (partition.view().lag(1.into()).unwrap(), partition.marks());
    assert_eq!((marks.high_water_mark.offset(), marks.log_end.offset()), (3.into(), 5.into()));
    assert_eq!((lag.records, lag.deleted, lag.next_timestamp), (2, 0, Some(at(2))), "what is not visible is nobody's lag");
    partition.flush().unwrap();
    assert_eq!(partition.view().lag(1.into()).unwrap().records, 4);
    let caught_up = partition.view().lag(5.into()).unwrap();
    assert!(caught_up.is_caught_up() && caught_up.age(at(1_000)) == secs(0) && caught_up.next_timestamp.is_none());
    assert_eq!(caught_up.ahead, 0);
}

/// A position that nobody can have read to is shown as what it is, and not as that of a reader that has caught up.
#[test]
fn a_position_past_the_end_is_not_caught_up() {
    let home = home();
    let (_store, partition) = home.partition(small());
    append(&partition, &[1, 2, 3, 4, 5]);
    let lag = partition.view().lag(7.into()).unwrap();
    assert_eq!((lag.records, lag.deleted, lag.ahead, lag.age(at(9)), lag.is_caught_up()), (0, 0, 2, secs(0), false));
    partition.truncate_suffix(1).unwrap();
    let lag = partition.view().lag(5.into()).unwrap();
    assert_eq!((lag.records, lag.ahead, lag.is_caught_up()), (0, 4, false), "cut off behind whoever had read it");
    append(&partition, &[6, 7, 8, 9]);
    assert!(partition.view().lag(5.into()).unwrap().is_caught_up());
}

#[test]
fn lag_in_seconds_is_the_age_of_the_next_record() {
    let home = home();
    let (_store, partition) = home.partition(small());
    append(&partition, &[10, 20, 40, 30, 500]);
    let age = |position: u64, now: i64| partition.view().lag(position.into()).unwrap().age(at(now));
    assert_eq!([age(0, 100), age(1, 100), age(2, 100), age(3, 100)], [secs(90), secs(80), secs(60), secs(70)]);
    assert_eq!(age(0, 1_000), secs(990), "it grows while nothing is read");
    assert_eq!(age(4, 100), secs(0), "a time yet to come has no age");
    assert_eq!((age(5, 100), age(5, i64::MAX / SECOND)), (secs(0), secs(0)));
    // To the nanosecond, and at the ends of what a time can be.
    partition.append(Record::new("x").timestamp(ts(123_456_789))).unwrap();
    assert_eq!(partition.view().lag(5.into()).unwrap().age(ts(123_456_790)), Some(Duration::from_nanos(1)));
    partition.append(Record::new("x").timestamp(ts(i64::MIN))).unwrap();
    assert_eq!(partition.view().lag(6.into()).unwrap().age(ts(i64::MAX)), Some(Duration::from_nanos(u64::MAX)));
}

#[test]
fn what_was_deleted_before_it_was_read_is_told_apart() {
    let home = home();
    let (store, partition) = home.partition(small());
    append(&partition, &(0..1_000).collect::<Vec<_>>());
    partition.delete_prefix(600).unwrap();
    let lag = partition.view().lag(100.into()).unwrap();
    assert_eq!((lag.records, lag.deleted, lag.next_timestamp), (400, 500, Some(at(600))));
    assert_eq!(partition.view().lag(600.into()).unwrap().deleted, 0);
    partition.delete_prefix(1_000).unwrap();
    let lag = partition.view().lag(100.into()).unwrap();
    assert_eq!((lag.records, lag.deleted, lag.age(at(5_000))), (0, 900, secs(0)));
    store.close().unwrap();
    assert_eq!(home.read_only().lag(100.into()).unwrap(), lag, "read-only, and after a restart");
}

#[test]
fn damage_is_passed_by() {
    let lab = Lab::ten_records(Durable::Everything);
    let segment = &lab.segments()[0];
    let bodies = [4, 9].map(|offset| segment.frame_of(offset).position + FRAME_HEADER_BYTES as u64 + 20);
    bodies.iter().for_each(|&position| segment.flip(position));
    let (_store, partition) = lab.open();
    let lag = |position: u64| partition.view().lag(position.into()).unwrap();
    assert_eq!((lag(4).records, lag(4).next_timestamp), (6, Some(partition.get(5).unwrap().timestamp())));
    assert_eq!((lag(9).records, lag(9).next_timestamp, lag(9).age(at(1))), (1, None, None), "all that is left cannot be read");
    assert!(lag(9).is_unreadable && !lag(4).is_unreadable && !lag(10).is_unreadable);
    let info = partition.view().offset_info().unwrap();
    assert_eq!((info.record_count, info.last_timestamp), (10, Some(partition.get(8).unwrap().timestamp())));
}

/// Offsets without a record are behind, but nothing is late in them.
#[test]
fn a_rest_without_records_has_no_age() {
    let home = home();
    let (_store, partition) = home.partition(small());
    append(&partition, &[1, 2, 3]);
    let mut batch = RecordBatch::new();
    batch.push(&Record::new("restored")).unwrap();
    let place = BatchPlace { base_offset: 10.into(), leader_epoch: LeaderEpoch::new(0), producer_id: None };
    partition.restore(&batch, place).unwrap();
    partition.truncate_suffix(10).unwrap();
    let lag = partition.view().lag(3.into()).unwrap();
    assert_eq!((lag.records, lag.next_timestamp, lag.is_unreadable, lag.age(at(9))), (7, None, false, secs(0)));
}

/// What was told before is not told again of another record.
#[test]
fn the_first_time_is_that_of_the_record_that_is_first_now() {
    let home = home();
    let (_store, partition) = home.partition(small());
    let offsets = PartitionOffsetManager::new(partition.clone());
    let first = || offsets.info().unwrap().first_timestamp;
    assert_eq!(first(), None);
    append(&partition, &[1, 2, 3]);
    assert_eq!([first(), first()], [Some(at(1)); 2]);
    partition.delete_prefix(1).unwrap();
    assert_eq!([first(), first()], [Some(at(2)); 2]);
    partition.truncate_suffix(1).unwrap();
    assert_eq!(first(), None);
    append(&partition, &[7, 8]);
    assert_eq!([first(), first()], [Some(at(7)); 2]);
}

/// Two topics of two partitions, and three groups somewhere in them.
struct Groups {
    home: Home,
    store: Store,
    positions: MemoryOffsetStore,
    keys: Vec<PartitionKey>,
}

impl Groups {
    fn new() -> Self {
        let home = home();
        let store = small().open(home.path()).unwrap();
        let (positions, mut keys) = (MemoryOffsetStore::new(), Vec::new());
        for (topic, first) in [("orders", 100), ("eu/payments", 200)] {
            let topic = store.create_topic(topic, 2).unwrap();
            for number in 0..2 {
                append(&topic.partition(number).unwrap(), &(0..10).map(|record| first + 10 * i64::from(number) + record).collect::<Vec<_>>());
                keys.push(topic.partition_key(number).unwrap());
            }
        }
        for (name, offsets) in [("billing", [0, 5, 10, 8]), ("audit", [10, 10, 10, 10])] {
            keys.iter().zip(offsets).for_each(|(key, offset)| commit(&positions, &group(name), key, offset));
        }
        commit(&positions, &group("one"), &keys[3], 9);
        Self { home, store, positions, keys }
    }

    fn report(&self) -> LagReport {
        PartitionOffsetRegistry::new(self.store.clone()).lag(&self.positions, &self.positions.groups().unwrap()).unwrap()
    }
}

#[test]
fn lag_per_partition_member_group_and_topic() {
    let groups = Groups::new();
    let report = groups.report();
    let sums = |scope| {
        let shown = report.sums(scope).into_iter().map(|(subject, sum)| match subject {
            LagSubject::Group(group) => (group.to_string(), sum),
            LagSubject::Topic(group, topic) => (format!("{group} {topic}"), sum),
            LagSubject::Partition(group, partition) => (format!("{group} {partition}"), sum),
            LagSubject::Member(..) => panic!("no report of positions knows a member"),
        });
        shown.map(|(subject, sum)| (subject, sum.records, sum.age(at(300)).unwrap().as_secs())).collect::<Vec<_>>()
    };
    let expected = [("audit", 0, 0), ("billing", 10 + 5 + 2, 200), ("one", 1, 81)].map(|(group, records, age)| (group.to_owned(), records, age));
    assert_eq!(sums(LagScope::Group), expected);
    let topics: Vec<_> = sums(LagScope::Topic).into_iter().filter(|(subject, ..)| subject.starts_with("billing")).collect();
    assert_eq!(topics, [("billing orders".to_owned(), 15, 200), ("billing eu/payments".to_owned(), 2, 82)]);
    let partitions: Vec<_> = sums(LagScope::Partition).into_iter().map(|(_, records, _)| records).collect();
    assert_eq!(partitions, [0, 0, 0, 0, 10, 5, 0, 2, 1]);
    // Whoever was assigned some of them is behind in those.
    let member = |keys: &[PartitionKey]| report.of_member(&group("billing"), keys);
    assert_eq!((member(&groups.keys[..2]).records, member(&groups.keys[2..]).records, member(&[]).partitions), (15, 2, 0));
    assert_eq!(report.of_member(&group("one"), &groups.keys).partitions, 1);
    assert!(report.without_partition.is_empty());
    commit(&groups.positions, &group("one"), &groups.keys[3], 14);
    commit(&groups.positions, &group("one"), &groups.keys[2], 11);
    let ahead: Vec<_> = groups.report().sums(LagScope::Group).into_values().map(|sum| (sum.records, sum.ahead)).collect();
    assert_eq!(ahead, [(0, 0), (17, 0), (0, 5)]);
}

/// Whoever asks beside a live writer is told of what it has done since, without being asked to look again.
#[test]
fn lag_of_a_view_beside_the_writer_goes_on() {
    let home = home();
    let (_store, partition) = home.partition(small());
    append(&partition, &[1, 2, 3]);
    let view = home.read_only();
    assert!(view.lag(3.into()).unwrap().is_caught_up());
    append(&partition, &[4, 5]);
    let lag = view.lag(3.into()).unwrap();
    assert_eq!((lag.records, lag.next_timestamp, lag.high_water_mark.offset()), (2, Some(at(4)), 5.into()));
    append(&partition, &[6]);
    let info = view.offset_info().unwrap();
    assert_eq!((info.record_count, info.latest, info.last_timestamp), (6, Some(5.into()), Some(at(6))));
    partition.delete_prefix(2).unwrap();
    assert_eq!(view.offset_info().unwrap().first_timestamp, Some(at(3)));
    assert_eq!(view.lag(0.into()).unwrap().deleted, 2);
}

/// A report on a store of another process finds the partitions by itself.
#[test]
fn lag_beside_the_writer() {
    let groups = Groups::new();
    let (read_only, mut views) = (Store::open_read_only(groups.home.path()).unwrap(), BTreeMap::new());
    for key in &groups.keys {
        let topic = read_only.topic(&key.topic.to_string()).unwrap();
        views.insert(key.clone(), topic.partition(u32::from(key.range.start() > 0)).unwrap());
    }
    let gather = || LagReport::gather(&groups.positions, &[group("billing")], |key| Ok(views.get(key).cloned())).unwrap();
    assert_eq!(gather().rows.iter().map(|row| row.lag.records).collect::<Vec<_>>(), [10, 5, 0, 2]);
    append(&groups.store.topic("eu/payments").unwrap().partition(0).unwrap(), &[250]);
    assert_eq!(gather().rows.iter().map(|row| row.lag.records).collect::<Vec<_>>(), [10, 5, 1, 2]);
}

#[test]
fn positions_without_a_partition_are_named() {
    let groups = Groups::new();
    let (there, topic) = (groups.keys[0].clone(), "gone".parse().unwrap());
    let gone = [PartitionKey { topic, ..there.clone() }, PartitionKey { range: RingRange::new(4096, 7, 9).unwrap(), ..there }];
    gone.iter().for_each(|key| commit(&groups.positions, &group("one"), key, 3));
    let mut named: Vec<_> = groups.report().without_partition.into_iter().map(|(group, key)| (group.to_string(), key)).collect();
    named.sort();
    let mut expected = gone.map(|key| ("one".to_owned(), key));
    expected.sort();
    assert_eq!(named, expected);
    assert_eq!(groups.report().rows.len(), 9);
}

#[test]
fn a_limit_calls_back_once_when_crossed_and_once_when_back() {
    let groups = Groups::new();
    let mut events = Vec::new();
    let limits = LagLimits { records: Some(12), age: Some(Duration::from_secs(250)) };
    let mut watch = LagWatch::new(limits, |event: LagEvent<'_>| events.push((event.subject.clone(), event.lag.records, event.is_over)));
    let billing = group("billing");
    watch.observe(&groups.report().sums(LagScope::Group), at(300)); // 17 records
    watch.observe(&groups.report().sums(LagScope::Group), at(300));
    commit(&groups.positions, &billing, &groups.keys[0], 5);
    watch.observe(&groups.report().sums(LagScope::Group), at(300)); // 12 records: at the limit is not above it
    watch.observe(&groups.report().sums(LagScope::Group), at(355)); // 105 is the oldest
    watch.observe(&groups.report().sums(LagScope::Group), at(356)); // 251 seconds
    watch.observe(&groups.report().sums(LagScope::Group), at(357));
    groups.positions.delete_group(&billing).unwrap();
    watch.observe(&groups.report().sums(LagScope::Group), at(358));
    watch.observe(&groups.report().sums(LagScope::Group), at(358));
    let billing = LagSubject::Group(billing);
    let expected = [(17, true), (12, false), (12, true), (0, false)].map(|(records, is_over)| (billing.clone(), records, is_over));
    assert_eq!(events, expected);
}

/// Nobody can tell how old it is: too old, for whoever wants to hear of what is late, whatever else the group reads.
#[test]
fn a_limit_of_age_is_exceeded_where_the_age_cannot_be_told() {
    let lab = Lab::ten_records(Durable::Everything);
    let segment = &lab.segments()[0];
    segment.flip(segment.frame_of(9).position + FRAME_HEADER_BYTES as u64 + 20);
    let (store, partition) = lab.open();
    let other = store.create_topic("other", 1).unwrap();
    append(&other.partition(0).unwrap(), &[1]);
    let (positions, registry, billing) = (MemoryOffsetStore::new(), PartitionOffsetRegistry::new(store.clone()), group("billing"));
    let limits = LagLimits { records: None, age: Some(Duration::from_secs(30)) };
    let mut events = Vec::new();
    let mut watch = LagWatch::new(limits, |event: LagEvent<'_>| events.push((event.lag.unreadable, event.is_over)));
    let mut look = |offset, now| {
        commit(&positions, &billing, partition.key(), offset);
        let report = registry.lag(&positions, &positions.groups().unwrap()).unwrap();
        watch.observe(&report.sums(LagScope::Group), at(now));
    };
    look(10, 1);
    look(9, 1);
    look(10, 1);
    // Beside it, a record that is not late.
    commit(&positions, &billing, &other.partition_key(0).unwrap(), 0);
    look(9, 2);
    look(10, 2);
    assert_eq!(events, [(1, true), (0, false), (1, true), (0, false)]);
}

#[test]
fn without_a_limit_nobody_is_called() {
    let groups = Groups::new();
    let mut watch = LagWatch::new(LagLimits::default(), |event: LagEvent<'_>| panic!("{event:?}"));
    watch.observe(&groups.report().sums(LagScope::Partition), ts(i64::MAX));
}

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<i64>),
    Commit(u64),
    DeletePrefix(u64),
    TruncateSuffix(u64),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec(-5..100i64, 1..40).prop_map(Step::Append),
        3 => (0..=120u64).prop_map(Step::Commit),
        1 => (0..=100u64).prop_map(Step::DeletePrefix),
        1 => (0..=100u64).prop_map(Step::TruncateSuffix),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, rng_seed: RngSeed::Fixed(0x71DE), ..ProptestConfig::default() })]

    /// Whatever is appended, cut and committed, lag is what a list of times says.
    #[test]
    fn lag_is_that_of_a_model(steps in prop::collection::vec(step(), 1..30)) {
        let home = home();
        let (mut store, mut partition) = home.partition(small());
        let mut offsets = PartitionOffsetManager::new(partition.clone());
        let (mut times, mut log_start, mut committed): (Vec<i64>, u64, u64) = (Vec::new(), 0, 0);
        for step in steps {
            let between = |percent: u64| log_start + (times.len() as u64 - log_start) * percent / 100;
            match step {
                Step::Append(more) => {
                    append(&partition, &more);
                    times.extend(more);
                }
                Step::Commit(percent) => committed = times.len() as u64 * percent / 100,
                Step::DeletePrefix(percent) => {
                    log_start = between(percent);
                    partition.delete_prefix(log_start).unwrap();
                }
                Step::TruncateSuffix(percent) => {
                    let end = between(percent);
                    partition.truncate_suffix(end).unwrap();
                    times.truncate(end as usize);
                }
                Step::Reopen => {
                    store.close().unwrap();
                    drop((partition, offsets));
                    (store, partition) = home.partition(small());
                    offsets = PartitionOffsetManager::new(partition.clone());
                }
            }
            let (lag, next) = (partition.view().lag(committed.into()).unwrap(), committed.max(log_start));
            prop_assert_eq!(lag.records, (times.len() as u64).saturating_sub(next));
            prop_assert_eq!(lag.deleted, log_start.saturating_sub(committed));
            prop_assert_eq!(lag.ahead, committed.saturating_sub(times.len() as u64));
            prop_assert_eq!(lag.next_timestamp, times.get(next as usize).map(|&time| at(time)));
            let info = partition.view().offset_info().unwrap();
            // Which knows what it was told before.
            prop_assert_eq!(offsets.info().unwrap(), info);
            let visible = &times[log_start as usize..];
            prop_assert_eq!(info.record_count, visible.len() as u64);
            prop_assert_eq!(info.first_timestamp.zip(info.last_timestamp), visible.first().zip(visible.last()).map(|(first, last)| (at(*first), at(*last))));
        }
    }
}
