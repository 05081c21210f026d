//! Notes that are gone with the process: for tests, and for what can be read again from the start.

use std::collections::BTreeMap;

use parking_lot::RwLock;

use crate::offset::committed_offset::{CommittedOffset, METADATA_BYTES_MAX};
use crate::offset::error::OffsetStoreError;
use crate::offset::group_id::GroupId;
use crate::offset::store::OffsetStore;
use crate::topic::{PartitionKey, TopicName};

/// An [`OffsetStore`] of memory alone.
///
/// ```
/// use tidelog::{CommittedOffset, GroupId, MemoryOffsetStore, OffsetStore, Store, TimestampNs};
///
/// # let dir = tempfile::tempdir()?;
/// let orders = Store::open(dir.path())?.topic("orders")?.partition(0)?;
/// let (positions, group) = (MemoryOffsetStore::new(), "billing".parse::<GroupId>()?);
/// positions.commit(&group, &[(orders.key().clone(), CommittedOffset::new(0, TimestampNs::new(0)))])?;
/// assert_eq!(positions.fetch(&group, orders.key())?.map(|committed| committed.offset), Some(0.into()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct MemoryOffsetStore {
    groups: RwLock<BTreeMap<GroupId, Positions>>,
}

type Positions = BTreeMap<PartitionKey, CommittedOffset>;

impl MemoryOffsetStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps the positions that `keep` says yes to.
    fn retain(&self, keep: impl Fn(&GroupId, &PartitionKey) -> bool) -> usize {
        let mut deleted = 0;
        self.groups.write().retain(|group, positions| {
            let before = positions.len();
            positions.retain(|partition, _| keep(group, partition));
            deleted += before - positions.len();
            !positions.is_empty()
        });
        deleted
    }
}

impl OffsetStore for MemoryOffsetStore {
    fn commit(&self, group: &GroupId, positions: &[(PartitionKey, CommittedOffset)]) -> Result<(), OffsetStoreError> {
        if let Some(found) = positions.iter().map(|(_, position)| position.metadata.len()).find(|bytes| *bytes > METADATA_BYTES_MAX) {
            return Err(OffsetStoreError::MetadataTooLarge { found, limit: METADATA_BYTES_MAX });
        }
        if !positions.is_empty() {
            self.groups.write().entry(group.clone()).or_default().extend(positions.iter().cloned());
        }
        Ok(())
    }

    fn fetch(&self, group: &GroupId, partition: &PartitionKey) -> Result<Option<CommittedOffset>, OffsetStoreError> {
        Ok(self.groups.read().get(group).and_then(|positions| positions.get(partition)).cloned())
    }

    fn fetch_all(&self, group: &GroupId) -> Result<Vec<(PartitionKey, CommittedOffset)>, OffsetStoreError> {
        let groups = self.groups.read();
        Ok(groups.get(group).into_iter().flatten().map(|(partition, position)| (partition.clone(), position.clone())).collect())
    }

    fn groups(&self) -> Result<Vec<GroupId>, OffsetStoreError> {
        Ok(self.groups.read().keys().cloned().collect())
    }

    fn delete(&self, group: &GroupId, partitions: &[PartitionKey]) -> Result<usize, OffsetStoreError> {
        Ok(self.retain(|of, partition| of != group || !partitions.contains(partition)))
    }

    fn delete_group(&self, group: &GroupId) -> Result<usize, OffsetStoreError> {
        Ok(self.groups.write().remove(group).map_or(0, |positions| positions.len()))
    }

    fn delete_topic(&self, topic: &TopicName) -> Result<usize, OffsetStoreError> {
        Ok(self.retain(|_, partition| partition.topic != *topic))
    }
}
