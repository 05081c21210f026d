//! What an assignment by partition key can answer instead.

use thiserror::Error;

use crate::error::{AppendError, ReadError, TopicError};
use crate::offset::offset_range::OffsetCountError;
use crate::topic::PartitionKey;

/// Why no offset was assigned, or a partition was not asked. No offset was assigned, unless it is an [`AppendError::NotDurable`].
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum AssignError {
    /// The topic has no partition with this share of the ring. Ask the topic for the keys of its partitions: none is made by an assignment.
    #[error("there is no partition {key}: topic {} is divided into other ranges", key.topic)]
    NoPartition {
        /// The key given.
        key: PartitionKey,
    },
    /// The count that came with a batch is none.
    #[error(transparent)]
    Count(#[from] OffsetCountError),
    /// The count that came with a batch is not that of its records. Something was lost on the way: send the batch again.
    #[error("{declared} records declared, {found} in the batch")]
    CountMismatch {
        /// The count that came with it.
        declared: i64,
        /// Records in it.
        found: usize,
    },
    /// There is no such topic, or its partition could not be opened.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// The records could not be appended.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// A record that was asked about could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}
