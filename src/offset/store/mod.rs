//! Where notes about offsets are kept. Assigns no offset.

mod by_notes;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod keys;
mod limits;
mod log;
mod memory;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod migrations;
mod notes;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod statements;

use std::fmt;
use std::ops::Range;

pub use log::LogOffsetStore;
pub use memory::MemoryOffsetStore;
#[cfg(feature = "postgres")]
pub use postgres::{PostgresOffsetStore, PostgresPositions};
#[cfg(feature = "sqlite")]
pub use sqlite::{SqliteOffsetStore, SqlitePositions};
use tidelog_format::{Offset, TimestampNs};

use crate::offset::committed_offset::CommittedOffset;
use crate::offset::error::OffsetStoreError;
use crate::offset::group_id::GroupId;
use crate::offset::group_metadata::GroupMetadata;
use crate::offset::offset_checkpoint::OffsetCheckpoint;
use crate::offset::offset_mapping::OffsetMapping;
use crate::offset::partition_stats::PartitionStats;
use crate::topic::{PartitionKey, TopicName};

/// Keeps the positions of groups and what these are made of, and notes about partitions: checkpoints, rows that point into their logs, and counts. What it says is
/// durable when a call returns, unless the store is one of memory alone.
///
/// What it takes it can give back: an offset above 2^63 - 1 is refused ([`OffsetStoreError::OffsetTooHigh`]), and so is a
/// [`TopicName`] that was put together from parts that are none ([`TopicError::InvalidName`](crate::TopicError::InvalidName)), and text with a NUL
/// character in it ([`OffsetStoreError::NulCharacter`]).
///
/// Only positions and groups are the store's own. Everything else was read from a log and can be read from it again: no offset is assigned from what a
/// store says, so that a store which is lost, old or wrong changes none.
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

    /// The groups that have a position or metadata, by name.
    ///
    /// # Errors
    /// [`OffsetStoreError`].
    fn groups(&self) -> Result<Vec<GroupId>, OffsetStoreError>;

    /// Forgets a group's positions in some partitions; returns how many there were.
    ///
    /// # Errors
    /// [`OffsetStoreError`].
    fn delete(&self, group: &GroupId, partitions: &[PartitionKey]) -> Result<usize, OffsetStoreError>;

    /// Forgets a group, with its metadata and all its positions; returns how many positions there were.
    ///
    /// # Errors
    /// [`OffsetStoreError`].
    fn delete_group(&self, group: &GroupId) -> Result<usize, OffsetStoreError>;

    /// Notes what a group is made of, in the place of what was noted before. A generation is replaced by a newer one, or by more about itself, which
    /// has the same [`changed_at`](GroupMetadata::changed_at); returns whether this was taken.
    ///
    /// # Errors
    /// [`OffsetStoreError::GroupTooLarge`] if ids of members have more than 1,024 bytes, other names more than 32,767, or all of it more than 16 MiB;
    /// [`OffsetStoreError::NulCharacter`].
    fn save_group(&self, group: &GroupId, metadata: &GroupMetadata) -> Result<bool, OffsetStoreError>;

    /// What a group was made of last, if that was noted.
    ///
    /// # Errors
    /// [`OffsetStoreError`].
    fn load_group(&self, group: &GroupId) -> Result<Option<GroupMetadata>, OffsetStoreError>;

    /// Forgets every group's positions in a topic, and what else is noted about its partitions; returns how many positions there were.
    ///
    /// # Errors
    /// [`OffsetStoreError`].
    fn delete_topic(&self, topic: &TopicName) -> Result<usize, OffsetStoreError>;

    /// Notes how far a partition is durable. An older checkpoint never takes the place of a newer one; returns whether this one was newer.
    ///
    /// # Errors
    /// [`OffsetStoreError`].
    fn save_checkpoint(&self, partition: &PartitionKey, checkpoint: OffsetCheckpoint) -> Result<bool, OffsetStoreError>;

    /// Notes how far partitions are durable, each as [`save_checkpoint`](Self::save_checkpoint) does; returns how many were newer. SQL stores do so in
    /// one transaction, by one sync.
    ///
    /// # Errors
    /// [`OffsetStoreError`]; where it is one by one, what came before the failure stays.
    fn save_checkpoints(&self, checkpoints: &[(PartitionKey, OffsetCheckpoint)]) -> Result<usize, OffsetStoreError> {
        checkpoints.iter().map(|(partition, checkpoint)| self.save_checkpoint(partition, *checkpoint).map(usize::from)).sum()
    }

    /// The newest checkpoint of a partition, if it has one.
    ///
    /// # Errors
    /// [`OffsetStoreError`].
    fn load_checkpoint(&self, partition: &PartitionKey) -> Result<Option<OffsetCheckpoint>, OffsetStoreError>;

    /// Adds rows that point into a partition's log: all of them, or none. A row that is there already is left as it is.
    ///
    /// # Errors
    /// [`OffsetStoreError::MappingConflict`] if one of the offsets has another row.
    fn save_mappings(&self, partition: &PartitionKey, rows: &[OffsetMapping], saved_at: TimestampNs) -> Result<(), OffsetStoreError>;

    /// The rows of some offsets of a partition, in order, `limit` at most: the next page begins behind the last of them.
    ///
    /// # Errors
    /// [`OffsetStoreError`].
    fn mappings(&self, partition: &PartitionKey, offsets: Range<Offset>, limit: usize) -> Result<Vec<OffsetMapping>, OffsetStoreError>;

    /// The highest offset of a partition that has a row.
    ///
    /// # Errors
    /// [`OffsetStoreError`].
    fn highest_offset(&self, partition: &PartitionKey) -> Result<Option<Offset>, OffsetStoreError>;

    /// Notes what was counted in a partition, in the place of what was counted before.
    ///
    /// # Errors
    /// [`OffsetStoreError`].
    fn save_stats(&self, partition: &PartitionKey, stats: PartitionStats) -> Result<(), OffsetStoreError>;

    /// What was counted last in a partition.
    ///
    /// # Errors
    /// [`OffsetStoreError`].
    fn partition_stats(&self, partition: &PartitionKey) -> Result<Option<PartitionStats>, OffsetStoreError>;

    /// The partitions that something is noted about, positions aside, in order.
    ///
    /// # Errors
    /// [`OffsetStoreError`].
    fn partitions(&self) -> Result<Vec<PartitionKey>, OffsetStoreError>;

    /// Forgets what is noted about a partition, but for the positions of groups in it.
    ///
    /// # Errors
    /// [`OffsetStoreError`].
    fn forget(&self, partition: &PartitionKey) -> Result<(), OffsetStoreError>;

    /// Forgets the positions that have expired at `now`; returns how many.
    ///
    /// # Errors
    /// [`OffsetStoreError`].
    fn clean_up(&self, now: TimestampNs) -> Result<usize, OffsetStoreError>;

    /// Forgets the rows that were saved before a time; returns how many.
    ///
    /// # Errors
    /// [`OffsetStoreError`].
    fn clean_up_mappings(&self, saved_before: TimestampNs) -> Result<usize, OffsetStoreError>;
}
