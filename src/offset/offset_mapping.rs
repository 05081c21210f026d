//! A row that points at a record of the log. Holds nothing of the record itself.

use tidelog_format::{Offset, TimestampNs};

/// Where a time is found in a partition: the offset, the time and the size of one record, for who looks at a store without its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetMapping {
    /// The record's offset.
    pub offset: Offset,
    /// The record's time.
    pub timestamp: TimestampNs,
    /// Bytes of its key and its value.
    pub bytes: u64,
}
