//! Groups beside other processes, and over power cuts: what they have read is handed out once, and what they have not read is never passed by.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use tidelog::{
    CommittedOffset, GroupId, GroupPosition, MemoryOffsetStore, Offset, OffsetCheckpoint, OffsetMapping, OffsetSpec, OffsetStore, OffsetStoreError,
    OnOutOfRange, PartitionKey, PartitionStats, SeekOutcome, TimestampNs, TopicName,
};

use crate::reading_support::{Home, append_numbered, small};
use crate::subscription::{drain, from, group};

/// Positions in memory, and what others do while somebody asks for one, or commits one.
struct Beside {
    positions: Arc<MemoryOffsetStore>,
    on_fetch: Box<dyn Fn() + Send + Sync>,
    on_commit: Box<dyn Fn() + Send + Sync>,
}

impl Beside {
    fn new(positions: &Arc<MemoryOffsetStore>) -> Self {
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
