//! Groups beside other processes, and over power cuts: what they have read is handed out once, and what they have not read is never passed by.

use std::fmt;
use std::ops::Range;
use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tidelog::io::sim::{NameModel, SimDisk};
use tidelog::{
    CommittedOffset, Filter, GroupId, GroupMetadata, GroupPosition, MemoryOffsetStore, Offset, OffsetCheckpoint, OffsetMapping, OffsetSpec,
    OffsetStore, OffsetStoreError, OnOutOfRange, PartitionKey, PartitionStats, SeekOutcome, Subscription, SubscriptionError, TimestampNs, TopicName,
};

use crate::reading_support::{Home, append_numbered, eventually, small};
use crate::subscription::{drain, from, group};
use crate::support::copy_tree;

/// Positions in memory, and what others do while somebody asks for one, or commits one.
pub(crate) struct Beside {
    pub(crate) positions: Arc<MemoryOffsetStore>,
    pub(crate) on_fetch: Box<dyn Fn() + Send + Sync>,
    pub(crate) on_commit: Box<dyn Fn() + Send + Sync>,
}

impl Beside {
    pub(crate) fn new(positions: &Arc<MemoryOffsetStore>) -> Self {
        Self { positions: positions.clone(), on_fetch: Box::new(|| {}), on_commit: Box::new(|| {}) }
    }
}

impl fmt::Debug for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.positions.fmt(f)
    }
}

impl OffsetStore for Beside {
    fn commit(&self, group: &GroupId, positions: &[(PartitionKey, CommittedOffset)]) -> Result<(), OffsetStoreError> {
        (self.on_commit)();
        self.positions.commit(group, positions)
    }
    fn fetch(&self, group: &GroupId, partition: &PartitionKey) -> Result<Option<CommittedOffset>, OffsetStoreError> {
        (self.on_fetch)();
        self.positions.fetch(group, partition)
    }
    fn fetch_all(&self, group: &GroupId) -> Result<Vec<(PartitionKey, CommittedOffset)>, OffsetStoreError> {
        self.positions.fetch_all(group)
    }
    fn groups(&self) -> Result<Vec<GroupId>, OffsetStoreError> {
        self.positions.groups()
    }
    fn delete(&self, group: &GroupId, partitions: &[PartitionKey]) -> Result<usize, OffsetStoreError> {
        self.positions.delete(group, partitions)
    }
    fn delete_group(&self, group: &GroupId) -> Result<usize, OffsetStoreError> {
        self.positions.delete_group(group)
    }
    fn save_group(&self, group: &GroupId, metadata: &GroupMetadata) -> Result<bool, OffsetStoreError> {
        self.positions.save_group(group, metadata)
    }
    fn load_group(&self, group: &GroupId) -> Result<Option<GroupMetadata>, OffsetStoreError> {
        self.positions.load_group(group)
    }
    fn delete_topic(&self, topic: &TopicName) -> Result<usize, OffsetStoreError> {
        self.positions.delete_topic(topic)
    }
    fn save_checkpoint(&self, partition: &PartitionKey, checkpoint: OffsetCheckpoint) -> Result<bool, OffsetStoreError> {
        self.positions.save_checkpoint(partition, checkpoint)
    }
    fn load_checkpoint(&self, partition: &PartitionKey) -> Result<Option<OffsetCheckpoint>, OffsetStoreError> {
        self.positions.load_checkpoint(partition)
    }
    fn save_mappings(&self, partition: &PartitionKey, mappings: &[OffsetMapping], at: TimestampNs) -> Result<(), OffsetStoreError> {
        self.positions.save_mappings(partition, mappings, at)
    }
    fn mappings(&self, partition: &PartitionKey, range: Range<Offset>, limit: usize) -> Result<Vec<OffsetMapping>, OffsetStoreError> {
        self.positions.mappings(partition, range, limit)
    }
    fn highest_offset(&self, partition: &PartitionKey) -> Result<Option<Offset>, OffsetStoreError> {
        self.positions.highest_offset(partition)
    }
    fn save_stats(&self, partition: &PartitionKey, stats: PartitionStats) -> Result<(), OffsetStoreError> {
        self.positions.save_stats(partition, stats)
    }
    fn partition_stats(&self, partition: &PartitionKey) -> Result<Option<PartitionStats>, OffsetStoreError> {
        self.positions.partition_stats(partition)
    }
    fn partitions(&self) -> Result<Vec<PartitionKey>, OffsetStoreError> {
        self.positions.partitions()
    }
    fn forget(&self, partition: &PartitionKey) -> Result<(), OffsetStoreError> {
        self.positions.forget(partition)
    }
    fn clean_up(&self, before: TimestampNs) -> Result<usize, OffsetStoreError> {
        self.positions.clean_up(before)
    }
    fn clean_up_mappings(&self, before: TimestampNs) -> Result<usize, OffsetStoreError> {
        self.positions.clean_up_mappings(before)
    }
}

/// Another process reads and commits further while a group looks where to go on: that is no cut, whatever the view last knew.
#[test]
fn a_group_that_got_on_elsewhere_meanwhile_has_lost_nothing() {
    for policy in [OnOutOfRange::Error, OnOutOfRange::Earliest, OnOutOfRange::Latest] {
        let home = Home::new();
        let (_store, partition) = home.partition(small());
        append_numbered(&partition, 0..100);
        let positions = Arc::new(MemoryOffsetStore::new());
        let elsewhere = partition.subscribe("writer's", from(OffsetSpec::ExactOffset(0.into())).group(group(&partition, "g", &positions))).unwrap();
        assert_eq!(drain(&elsewhere).len(), 100);
        elsewhere.commit().unwrap();
        let view = home.read_only();
        let gets_on = {
            let (partition, elsewhere) = (partition.clone(), elsewhere.clone());
            move || {
                let end = partition.log_end_offset().get();
                append_numbered(&partition, end..end + 50);
                drain(&elsewhere);
                elsewhere.commit().unwrap();
            }
        };
        let beside = Beside { on_fetch: Box::new(gets_on), ..Beside::new(&positions) };
        let group = GroupPosition { store: Arc::new(beside), ..group(&partition, "g", &positions) };
        for position in [150, 200] {
            let options = from(OffsetSpec::ResumeOrEarliest).group(group.clone()).on_out_of_range(policy);
            let started = view.subscribe("s", options).unwrap().started();
            assert_eq!((started.offset.get(), started.outcome), (position, SeekOutcome::Resumed), "{policy:?}");
        }
    }
}

/// Where readers are shown what the operating system has not written yet: a commit makes it last, so that no record is ever put below the position.
#[test]
fn what_is_committed_survives_a_power_cut() {
    for seed in 0..20 {
        let disk = SimDisk::new(seed, NameModel::Strict);
        let open = |disk: &SimDisk| {
            let store = small().storage(Arc::new(disk.clone())).open("/data").unwrap();
            let partition = store.topic("t").unwrap().partition(0).unwrap();
            (store, partition)
        };
        let (_store, partition) = open(&disk);
        append_numbered(&partition, 0..10);
        partition.flush().unwrap();
        append_numbered(&partition, 10..300);
        let positions = Arc::new(MemoryOffsetStore::new());
        let group = group(&partition, "g", &positions);
        let subscription = partition.subscribe("s", from(OffsetSpec::ResetToEarliest).group(group.clone())).unwrap();
        assert_eq!(drain(&subscription).len(), 300);
        assert_eq!(subscription.commit().unwrap(), 300);
        let (_store, partition) = open(&disk.power_cut().disk(seed, NameModel::Strict));
        let end = partition.log_end_offset().get();
        append_numbered(&partition, end..end + 500);
        let resumed = partition.subscribe("s", from(OffsetSpec::ResumeOrEarliest).group(group)).unwrap();
        assert_eq!(drain(&resumed).first(), Some(&end), "seed {seed}");
    }
}

/// Beside the writer's process nobody can sync: what may still be lost is refused, by a typed answer that tells what may be committed.
#[test]
fn a_reader_commits_what_is_durable() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    append_numbered(&partition, 0..10);
    partition.flush().unwrap();
    append_numbered(&partition, 10..20);
    let positions = Arc::new(MemoryOffsetStore::new());
    let group = group(&partition, "g", &positions);
    let subscription = home.read_only().subscribe("s", from(OffsetSpec::ResetToEarliest).group(group.clone())).unwrap();
    assert_eq!(drain(&subscription).len(), 20);
    let found = subscription.commit();
    assert!(matches!(found, Err(SubscriptionError::NotDurable { requested, durable_end }) if requested == 20 && durable_end == 10), "{found:?}");
    assert_eq!(positions.fetch(&group.group, &group.partition).unwrap(), None);
    assert_eq!(subscription.commit_offset(10, "").unwrap(), 10);
    partition.flush().unwrap();
    assert_eq!(subscription.commit().unwrap(), 20);
}

/// Nor is what a writer left that was killed: power may be lost before the next one makes it durable.
#[test]
fn what_a_killed_writer_left_is_not_committed_before_it_is_durable() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    append_numbered(&partition, 0..10);
    partition.flush().unwrap();
    append_numbered(&partition, 10..20);
    let left = Home::new();
    copy_tree(home.path(), left.path());
    let positions = Arc::new(MemoryOffsetStore::new());
    let subscription = left.read_only().subscribe("s", from(OffsetSpec::ResetToEarliest).group(group(&partition, "g", &positions))).unwrap();
    assert_eq!(drain(&subscription).len(), 20);
    let found = subscription.commit();
    assert!(matches!(found, Err(SubscriptionError::NotDurable { requested, durable_end }) if requested == 20 && durable_end <= 10), "{found:?}");
    let next = small().open(left.path()).unwrap();
    next.existing_topic("t").unwrap().partition(0).unwrap();
    next.close().unwrap();
    assert_eq!(subscription.commit().unwrap(), 20);
}

/// A checkpoint from before a cut vouches for nothing that came behind it.
#[test]
fn a_checkpoint_older_than_a_cut_makes_nothing_durable() {
    let home = Home::new();
    let (store, partition) = home.partition(small());
    append_numbered(&partition, 0..100);
    drop(partition);
    store.close().unwrap();
    let before = std::fs::read(home.partition_dir().join("CHECKPOINT")).unwrap();
    let (_store, partition) = home.partition(small());
    partition.truncate_suffix(50).unwrap();
    append_numbered(&partition, 50..80);
    let left = Home::new();
    copy_tree(home.path(), left.path());
    std::fs::write(left.partition_dir().join("CHECKPOINT"), before).unwrap();
    let positions = Arc::new(MemoryOffsetStore::new());
    let subscription = left.read_only().subscribe("s", from(OffsetSpec::ResetToEarliest).group(group(&partition, "g", &positions))).unwrap();
    assert_eq!(drain(&subscription).len(), 80);
    let found = subscription.commit();
    assert!(matches!(found, Err(SubscriptionError::NotDurable { durable_end, .. }) if durable_end <= 50), "{found:?}");
}

/// Runs something that must not wait for ever.
fn without_a_deadlock(work: impl FnOnce() + Send + 'static) {
    let (tell, hear) = channel();
    std::thread::spawn(move || {
        work();
        tell.send(()).unwrap();
    });
    hear.recv_timeout(Duration::from_secs(30)).expect("it failed, or waits for ever");
}

/// While the store takes its time, others read on; the store itself may look at the subscription.
#[test]
fn reading_goes_on_beside_a_commit() {
    without_a_deadlock(|| {
        let home = Home::new();
        let (_store, partition) = home.partition(small());
        append_numbered(&partition, 0..10);
        let shown: Arc<OnceLock<Subscription>> = Arc::default();
        let reader = shown.clone();
        let positions = Arc::default();
        let reads = move || assert!(reader.get().unwrap().next_record().unwrap().is_some());
        let beside = Beside { on_commit: Box::new(reads), ..Beside::new(&positions) };
        let group = GroupPosition { store: Arc::new(beside), ..group(&partition, "g", &positions) };
        let subscription = partition.subscribe("s", from(OffsetSpec::ExactOffset(4.into())).group(group)).unwrap();
        shown.set(subscription.clone()).unwrap();
        assert_eq!((subscription.commit().unwrap().get(), subscription.position().get()), (4, 5));
    });
}

/// Whoever takes over from a subscription that was closed finds its last commit, and none comes later.
#[test]
fn a_close_waits_for_the_commit_under_way() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    append_numbered(&partition, 0..10);
    let shown: Arc<OnceLock<Subscription>> = Arc::default();
    let closing = shown.clone();
    let positions = Arc::default();
    let takes_time = move || {
        eventually("it is closed meanwhile", || !closing.get().unwrap().is_active());
        std::thread::sleep(Duration::from_millis(30));
    };
    let beside = Beside { on_commit: Box::new(takes_time), ..Beside::new(&positions) };
    let key = group(&partition, "g", &positions);
    let group = GroupPosition { store: Arc::new(beside), ..key.clone() };
    let subscription = partition.subscribe("s", from(OffsetSpec::ExactOffset(4.into())).group(group)).unwrap();
    shown.set(subscription.clone()).unwrap();
    let committing = {
        let subscription = subscription.clone();
        std::thread::spawn(move || subscription.commit().map(|offset| offset.get()))
    };
    std::thread::sleep(Duration::from_millis(30));
    subscription.close();
    let committed = positions.fetch(&key.group, &key.partition).unwrap().map(|committed| committed.offset.get());
    match committing.join().unwrap() {
        Ok(offset) => assert_eq!((offset, committed), (4, Some(4))),
        Err(error) => assert!(matches!(error, SubscriptionError::Closed { .. }) && committed.is_none(), "{error}"),
    }
    assert!(matches!(subscription.commit(), Err(SubscriptionError::Closed { .. })));
}

/// A predicate may show the subscription that asks it.
#[test]
fn a_subscription_is_shown_while_it_reads() {
    without_a_deadlock(|| {
        let home = Home::new();
        let (_store, partition) = home.partition(small());
        append_numbered(&partition, 0..10);
        let shown: Arc<OnceLock<Subscription>> = Arc::default();
        let itself = shown.clone();
        let filter = Filter::predicate(move |_| format!("{:?}", itself.get().unwrap()).contains("in use"));
        let subscription = partition.subscribe("s", from(OffsetSpec::ResetToEarliest).filter(filter)).unwrap();
        shown.set(subscription.clone()).unwrap();
        assert_eq!(drain(&subscription).len(), 10);
        assert!(format!("{subscription:?}").contains("position: Offset(10)"), "{subscription:?}");
    });
}
