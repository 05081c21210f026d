//! Where notes about offsets are kept. Assigns no offset.

mod memory;

use std::fmt;

pub use memory::MemoryOffsetStore;

use crate::offset::committed_offset::CommittedOffset;
use crate::offset::error::OffsetStoreError;
use crate::offset::group_id::GroupId;
use crate::topic::{PartitionKey, TopicName};

/// Keeps the positions of groups. What it says is durable when a call returns, unless the store is one of memory alone.
pub trait OffsetStore: fmt::Debug + Send + Sync {
    /// Commits positions of one group: all of them, or none. The last commit wins, whichever way it moves.
    ///
    /// # Errors
    /// [`OffsetStoreError`].
    fn commit(&self, group: &GroupId, positions: &[(PartitionKey, CommittedOffset)]) -> Result<(), OffsetStoreError>;

    /// A group's position in a partition, if it has one.
    ///
    /// # Errors
    /// [`OffsetStoreError`].
    fn fetch(&self, group: &GroupId, partition: &PartitionKey) -> Result<Option<CommittedOffset>, OffsetStoreError>;

    /// All positions of a group, by partition.
    ///
    /// # Errors
    /// [`OffsetStoreError`].
    fn fetch_all(&self, group: &GroupId) -> Result<Vec<(PartitionKey, CommittedOffset)>, OffsetStoreError>;

    /// The groups that have a position, by name.
    ///
    /// # Errors
    /// [`OffsetStoreError`].
    fn groups(&self) -> Result<Vec<GroupId>, OffsetStoreError>;

    /// Forgets a group's positions in some partitions; returns how many there were.
    ///
    /// # Errors
    /// [`OffsetStoreError`].
    fn delete(&self, group: &GroupId, partitions: &[PartitionKey]) -> Result<usize, OffsetStoreError>;

    /// Forgets all positions of a group; returns how many there were.
    ///
    /// # Errors
    /// [`OffsetStoreError`].
    fn delete_group(&self, group: &GroupId) -> Result<usize, OffsetStoreError>;

    /// Forgets every group's positions in a topic; returns how many there were.
    ///
    /// # Errors
    /// [`OffsetStoreError`].
    fn delete_topic(&self, topic: &TopicName) -> Result<usize, OffsetStoreError>;
}
