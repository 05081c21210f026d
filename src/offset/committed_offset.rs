//! How far a group has come in one partition.

use tidelog_format::{LeaderEpoch, Offset, TimestampNs};

/// The position of a group in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next one to read: everything below it is done.
    pub offset: Offset,
    /// The term of the last record below it, if whoever committed knew it.
    pub leader_epoch: Option<LeaderEpoch>,
    /// A note of whoever committed, 4,096 bytes at most.
    pub metadata: String,
    /// When it was committed.
    pub committed_at: TimestampNs,
    /// From when on it may be forgotten. If there is none: never, but for groups that have had members, whose coordinator keeps their positions for a
    /// time (`GroupOptions::offsets_retention`) when the last of these has gone.
    pub expires_at: Option<TimestampNs>,
}

impl CommittedOffset {
    /// A position without a note that does not expire.
    pub fn new(offset: impl Into<Offset>, committed_at: TimestampNs) -> Self {
        Self { offset: offset.into(), leader_epoch: None, metadata: String::new(), committed_at, expires_at: None }
    }
}

/// Bytes of a note at most: Kafka's `offset.metadata.max.bytes`.
pub(crate) const METADATA_BYTES_MAX: usize = 4096;
