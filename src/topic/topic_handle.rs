//! A topic that is open for writing: its partitions, and which of them a key belongs to.

use std::sync::Arc;

use crate::error::TopicError;
use crate::log::{RING_SIZE, ring_range};
use crate::topic::key_slot::key_slot;
use crate::topic::name::TopicName;
use crate::topic::partition::Partition;
use crate::topic::partition_key::PartitionKey;
use crate::topic::ring_range::RingRange;
use crate::topic::store::StoreInner;

/// A topic. Cheap to clone; keeps its store open.
#[derive(Debug, Clone)]
pub struct Topic {
    store: Arc<StoreInner>,
    name: TopicName,
    partitions: u32,
}

impl Topic {
    pub(super) fn new(store: Arc<StoreInner>, name: TopicName, partitions: u32) -> Self {
        Self { store, name, partitions }
    }

    /// Its name.
    pub fn name(&self) -> &TopicName {
        &self.name
    }

    /// Partitions it has, numbered from 0.
    pub fn partition_count(&self) -> u32 {
        self.partitions
    }

    /// A partition, recovered if this is the first time that it is asked for.
    ///
    /// # Errors
    /// [`TopicError::NoPartition`], [`TopicError::Open`].
    pub fn partition(&self, number: u32) -> Result<Partition, TopicError> {
        check_partition(&self.name, number, self.partitions)?;
        let log = self.store.log(&self.name, number)?;
        Ok(Partition::new(self.store.clone(), self.partition_key(number)?, number, log))
    }

    /// What a partition is known by.
    ///
    /// # Errors
    /// [`TopicError::NoPartition`].
    pub fn partition_key(&self, number: u32) -> Result<PartitionKey, TopicError> {
        check_partition(&self.name, number, self.partitions)?;
        let (start, stop) = ring_range(number, self.partitions);
        Ok(PartitionKey { topic: self.name.clone(), range: RingRange::new(RING_SIZE, start, stop)? })
    }

    /// The partition whose share of the ring holds the key's [slot](crate::key_slot).
    pub fn partition_for_key(&self, key: &[u8]) -> u32 {
        partition_for_key(key, self.partitions)
    }
}

fn check_partition(name: &TopicName, partition: u32, count: u32) -> Result<(), TopicError> {
    if partition < count { Ok(()) } else { Err(TopicError::NoPartition { topic: name.to_string(), partition, count }) }
}

/// The inverse of `ring_range`: partition p of n has the slots from p * 4096 / n on.
fn partition_for_key(key: &[u8], count: u32) -> u32 {
    let slot = u64::from(key_slot(key));
    ((slot + 1) * u64::from(count)).div_ceil(u64::from(RING_SIZE)) as u32 - 1
}
