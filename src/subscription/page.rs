//! Records handed out together. Reads nothing.

use tidelog_format::Offset;

use crate::log::StoredRecord;
use crate::subscription::seek_result::Reset;

/// What one look at the log gave.
#[derive(Debug, Clone)]
pub struct Page {
    /// Records, each with its own offset, in their order. Zero-copy: each keeps the mapping that it stands in alive.
    pub records: Vec<StoredRecord>,
    /// The offset to be read next: behind the last record, and behind those that the filter passed by.
    pub next_offset: Offset,
    /// First readable offset, once the records had been read.
    pub log_start_offset: Offset,
    /// First offset that committed readers may not see, once the records had been read.
    pub high_water_mark: Offset,
    /// Whether everything visible was read. If not, a limit ended the page, also one without records, and there is more to look at.
    pub at_end: bool,
    /// Set if the position was lost, and the records are those at the one that the policy chose.
    pub reset: Option<Reset>,
}

/// The next so many records, as a range of offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordRange {
    /// Offset of the first record; the position, if there is no record.
    pub start: Offset,
    /// Behind the offset of the last record; `start`, if there is no record.
    pub end: Offset,
    /// Records in it: fewer than offsets, if some have none, and fewer than asked for, if there are not so many.
    pub count: u64,
}
