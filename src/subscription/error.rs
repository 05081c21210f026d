//! What can go wrong with a subscription: what was expected, what was found and where. Decides nothing.

use thiserror::Error;
use tidelog_format::Offset;

use crate::error::{ReadError, SyncError};
use crate::offset::OffsetStoreError;
use crate::subscription::offset_type::OffsetType;

/// A place to begin that is none in any log. Ask for another one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OffsetSpecError {
    /// No type has this number.
    #[error("there is no offset type {found}; there are {}", OffsetType::ALL.map(|known| format!("{known} {}", known.wire())).join(", "))]
    UnknownType {
        /// The number given.
        found: i32,
    },
    /// An offset below 0.
    #[error("offset {found}: offsets begin at 0")]
    Negative {
        /// The number given.
        found: i64,
    },
    /// An offset that no log reaches.
    #[error("offset {found}: offsets end at {limit}")]
    TooLarge {
        /// The number given.
        found: u64,
        /// The largest end of a log.
        limit: u64,
    },
}

/// A subscription could not do what it was asked. Its position is where it was, unless the variant says so.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum SubscriptionError {
    /// The id is empty or too long.
    #[error("{id:?} is no id of a subscription: 1 to {limit} bytes are")]
    InvalidId {
        /// The id given.
        id: String,
        /// Bytes at most.
        limit: usize,
    },
    /// A subscription with this id is active. Close it, or take another id.
    #[error("subscription {id} exists already")]
    Exists {
        /// The id given.
        id: String,
    },
    /// No active subscription has this id.
    #[error("there is no subscription {id}")]
    NotFound {
        /// The id given.
        id: String,
    },
    /// The subscription was closed. Open another one.
    #[error("subscription {id} is closed")]
    Closed {
        /// Its id.
        id: String,
    },
    /// The place is none in any log.
    #[error(transparent)]
    Spec(#[from] OffsetSpecError),
    /// A limit of a page is outside its own limits.
    #[error("{name} = {found}: expected 1 to {most}")]
    Limit {
        /// The limit.
        name: &'static str,
        /// The number given.
        found: u64,
        /// The largest number.
        most: u64,
    },
    /// The offset is not there: deleted, cut off, or not yet written. Seek to one from `earliest` to `latest`.
    #[error("offset {requested} is out of range: {earliest}..{latest}")]
    OffsetOutOfRange {
        /// The offset asked for, or the position that was lost.
        requested: Offset,
        /// First readable offset.
        earliest: Offset,
        /// First offset that is not readable yet; reading from here waits for the next record.
        latest: Offset,
    },
    /// A suffix was cut off that had been read in part: its offsets are given out anew. Seek to `at` for what stands there now.
    #[error("the log was cut off at offset {at}, and had been read up to {next}")]
    Truncated {
        /// First offset that was cut off and had been read.
        at: Offset,
        /// The position.
        next: Offset,
    },
    /// The subscription is of no group. Name one in its options.
    #[error("subscription {id} is of no group")]
    NoGroup {
        /// Its id.
        id: String,
    },
    /// What was not read cannot be committed.
    #[error("offset {requested} cannot be committed: the subscription is at {position}")]
    NotRead {
        /// The offset given.
        requested: Offset,
        /// The offset to be read next.
        position: Offset,
    },
    /// What power loss may take away cannot be committed: its offset would then be given to a record that the group passes by. Outside the writer's
    /// process only; try again once it has synced, or, of what a killed one left, once the next one has. Or commit `durable_end`.
    #[error("offset {requested} cannot be committed yet: the log is durable up to {durable_end}")]
    NotDurable {
        /// The offset given.
        requested: Offset,
        /// First offset not known durable.
        durable_end: Offset,
    },
    /// What was read could not be made durable, and is not committed.
    #[error(transparent)]
    Sync(#[from] SyncError),
    /// The store of the group's positions failed.
    #[error(transparent)]
    Store(#[from] OffsetStoreError),
    /// Records could not be read. After damage ([`ReadError::Corrupt`], [`ReadError::CodecNotBuilt`]) the position is behind it, and the next call
    /// reads on there; after anything else the next call tries again.
    #[error(transparent)]
    Read(ReadError),
}

impl SubscriptionError {
    /// Whether it tells of damage that was passed by: the next call reads on behind it.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Read(error) if error.is_damage())
    }
}

impl SubscriptionError {
    /// Whether the writer was just too fast: see [`ReadError::is_busy`].
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Read(error) if error.is_busy())
    }
}

impl From<ReadError> for SubscriptionError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::OffsetOutOfRange { requested, earliest, latest } => Self::OffsetOutOfRange { requested, earliest, latest },
            ReadError::Truncated { at, next } => Self::Truncated { at, next },
            other => Self::Read(other),
        }
    }
}

/// What is wrong with a range of offsets, first and last included.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum OffsetRangeError {
    /// The first offset is below 0.
    #[error("the range begins at {start}: offsets begin at 0")]
    NegativeStart {
        /// The first offset given.
        start: i64,
    },
    /// The last offset comes before the first.
    #[error("the range ends at {end}, before it begins at {start}")]
    Reversed {
        /// The first offset given.
        start: i64,
        /// The last offset given.
        end: i64,
    },
    /// The first offset was deleted.
    #[error("the range begins at {start}, and the log at {log_start}")]
    StartDeleted {
        /// The first offset given.
        start: Offset,
        /// First readable offset.
        log_start: Offset,
    },
    /// The first offset is not readable yet.
    #[error("the range begins at {start}, and readers may see what is below {visible_end}")]
    StartBeyondEnd {
        /// The first offset given.
        start: Offset,
        /// First offset that the view's readers may not see: the high water mark, or the log end with [`ReadIsolation::Written`](crate::ReadIsolation::Written).
        visible_end: Offset,
    },
    /// The last offset is not readable yet.
    #[error("the range ends at {end}, and readers may see what is below {visible_end}")]
    EndBeyondEnd {
        /// The last offset given.
        end: Offset,
        /// First offset that the view's readers may not see: the high water mark, or the log end with [`ReadIsolation::Written`](crate::ReadIsolation::Written).
        visible_end: Offset,
    },
    /// A read-only view could not be brought up to date.
    #[error(transparent)]
    Read(#[from] ReadError),
}
