//! What a group consumer can answer instead.

use thiserror::Error;

use crate::error::TopicError;
use crate::group::consumer_protocol::ConsumerProtocolError;
use crate::group::error::GroupError;
use crate::group::topic_partition::TopicPartition;
use crate::subscription::SubscriptionError;

/// Why a consumer has no records for now. The next call goes on, but after [`GroupError::FencedInstance`]: another process has its name, and keeps it.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum ConsumerError {
    /// The coordinator refused something. A consumer that lost its place joins again by itself, at the next poll.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// A partition could not be read, or its position not be committed. Others can.
    #[error("{partition}: {source}")]
    Subscription {
        /// The partition.
        partition: TopicPartition,
        /// Why.
        source: Box<SubscriptionError>,
    },
    /// A member of the group says nothing that a consumer understands, or too much was to be said.
    #[error(transparent)]
    Protocol(#[from] ConsumerProtocolError),
    /// A topic could not be looked at.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// The consumer has no such partition. It may have lost it.
    #[error("{partition} is not assigned to this member")]
    NotAssigned {
        /// The partition.
        partition: TopicPartition,
    },
    /// It is no member of the group for now, or was not told yet of what it has lost, and commits nothing. Poll it.
    #[error("this consumer has not joined its group")]
    NotJoined,
}
