//! How far a partition was known to be durable. A note: no offset is ever taken from it.

use tidelog_format::{Offset, TimestampNs};

/// The last offset of a partition that was known to be durable, and when. It helps whoever looks at a store without its log; the next
/// offset comes from the log alone, whatever this says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetCheckpoint {
    /// The last durable offset.
    pub offset: Offset,
    /// When that was noted.
    pub saved_at: TimestampNs,
}
