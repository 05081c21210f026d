//! What an offset store can answer instead.

use std::path::PathBuf;

use thiserror::Error;
use tidelog_format::Offset;

use crate::error::{AppendError, CutError, DamagedRange, ReadError, SyncError, TopicError};
use crate::offset::group_id::GroupId;
use crate::offset::offset_and_epoch::OffsetAndEpoch;
use crate::offset::offset_mapping::OffsetMapping;

/// Why an offset store did not do what it was asked. Nothing of it was done, unless the variant says so.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum OffsetStoreError {
    /// The text is not what a group may be called.
    #[error("{name:?} is no group: {why}")]
    InvalidGroup {
        /// The text given.
        name: String,
        /// Which rule it breaks.
        why: &'static str,
    },
    /// The note to a position is longer than it may be.
    #[error("the metadata of a position has {found} bytes, and {limit} at most")]
    MetadataTooLarge {
        /// Bytes given.
        found: usize,
        /// Bytes at most.
        limit: usize,
    },
    /// The metadata of a group is longer than it may be: it has too many members, or they say too much.
    #[error("{what} of a group has {found} bytes, and {limit} at most")]
    GroupTooLarge {
        /// What of it.
        what: &'static str,
        /// Bytes given.
        found: usize,
        /// Bytes at most.
        limit: usize,
    },
    /// A text has a NUL character in it, which databases do not keep: no store takes it.
    #[error("{what} has a NUL character in it")]
    NulCharacter {
        /// Which text.
        what: &'static str,
    },
    /// No log gives out such an offset.
    #[error("offset {found} is above {limit}, the highest there is")]
    OffsetTooHigh {
        /// The offset given.
        found: Offset,
        /// The highest.
        limit: Offset,
    },
    /// The offset has a row already, and it says something else. One of the two was not read from this partition: rebuild the rows.
    #[error("offset {} of {partition} is mapped to {given:?}, and was mapped to {stored:?}", given.offset)]
    MappingConflict {
        /// The partition.
        partition: String,
        /// The row that is there.
        stored: OffsetMapping,
        /// The row given.
        given: OffsetMapping,
    },
    /// A group's position is not where whoever moves it has read it: another consumer of the group has come first, and counted these records. Nothing
    /// was written; roll back what was made of them, and begin anew at the position that is there.
    #[error("group {group} was to go on from {} in {partition}, and is at {}", at(*expected), at(*found))]
    PositionMoved {
        /// The group.
        group: GroupId,
        /// The partition.
        partition: String,
        /// Where it was to be; at no offset, if it was to have none. The same offset of another term is elsewhere: the log was cut.
        expected: Option<OffsetAndEpoch>,
        /// Where it is.
        found: Option<OffsetAndEpoch>,
    },
    /// There is no offset store where there must be one: it was never made, or it is lost. Nothing was made in its place.
    #[error("there is no offset store in {place}")]
    NotFound {
        /// The topic or the file.
        place: String,
    },
    /// The store was opened to be read.
    #[error("the offset store is open for reading alone")]
    ReadOnly,
    /// A newer version wrote it. It was not changed: use a newer tidelog.
    #[error("{place} has version {found} of the offset store; this tidelog knows versions up to {supported}")]
    Unsupported {
        /// The file, or the partition and offset.
        place: String,
        /// Its version.
        found: u64,
        /// The highest that is known.
        supported: u64,
    },
    /// Something else than an offset store. It was not changed: name another place.
    #[error("{place} is no offset store: {found}")]
    Foreign {
        /// The file, or the server's database.
        place: String,
        /// What it is, or holds.
        found: String,
    },
    /// What is stored is nothing that a tidelog writes. What else is stored is whole; the record or row has to go, or to be rebuilt.
    #[error("{place}: {what}")]
    Malformed {
        /// The partition and offset, or the file and row.
        place: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Changes are lost, so that positions may be older than what was committed, or gone. Take the store of another day, or go on with what is
    /// left ([`LogOffsetStore::salvage`](crate::LogOffsetStore::salvage)).
    #[error("changes of positions are lost: {}", ranges(damage))]
    Damaged {
        /// The offsets in the internal partition, and why.
        damage: Vec<DamagedRange>,
    },
    /// The topic of the store could not be had; or what was given names no topic ([`TopicError::InvalidName`]).
    #[error(transparent)]
    Topic(Box<TopicError>),
    /// The change could not be appended to the log of the store. After [`AppendError::NotDurable`] it may be there when the store is opened
    /// again.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The log of the store could not be made durable. Reopen it.
    #[error(transparent)]
    Sync(#[from] SyncError),
    /// The log of the store, or the partition that rows are made of, could not be read.
    #[error(transparent)]
    Read(Box<ReadError>),
    /// The prefix before a snapshot could not be deleted. The snapshot is durable.
    #[error(transparent)]
    Cut(Box<CutError>),
    /// The database failed. A change is done whole or not at all.
    #[error("{action} {}: {reason}", path.display())]
    Database {
        /// What was to be done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The database's result code, if the failure is its own.
        code: Option<i32>,
        /// The database's words.
        reason: String,
    },
    /// The database server failed, or could not be reached. A change is not done. SQLSTATE 55P03: somebody else holds what was to be changed for longer
    /// than `lock_timeout`; do it again.
    #[error("{action} {place}: {reason}")]
    Server {
        /// What was to be done.
        action: &'static str,
        /// The server and the database.
        place: String,
        /// The server's SQLSTATE, if the failure is its own.
        sqlstate: Option<String>,
        /// The server's words.
        reason: String,
    },
    /// The connection to the database server was lost while it was told to commit: the change is done whole, or not at all, and which is not known.
    /// Do it again: what is there already is not done twice, but what a call returns (how many, whether it was taken) then speaks of the second time
    /// alone. A look does not settle it, since the server may be at work with the first time still.
    #[error("{action} {place}: whether it was committed is not known: {reason}")]
    OutcomeUnknown {
        /// What was to be done.
        action: &'static str,
        /// The server and the database.
        place: String,
        /// How the connection was lost.
        reason: String,
    },
    /// A copy failed, and some of what it had written could not be taken back, or may yet come to be there ([`OutcomeUnknown`](Self::OutcomeUnknown)).
    /// Run again, it finds that it is there already.
    #[error("{source}; and {positions} of the positions that were written could not be taken back: {reason}")]
    NotTakenBack {
        /// Why it failed.
        source: Box<Self>,
        /// How many positions are left.
        positions: usize,
        /// Why the first of them is.
        reason: Box<Self>,
    },
    /// What was read back from a store is not what was written to it.
    #[error("{what} of {key} was written as {written}, and read back as {read}")]
    NotVerified {
        /// What of it.
        what: &'static str,
        /// The group and the partition.
        key: String,
        /// What was written.
        written: String,
        /// What was read.
        read: String,
    },
}

impl OffsetStoreError {
    /// Whether the store was refused as it is (foreign, of another version, damaged), rather than something failing.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Unsupported { .. } | Self::Foreign { .. } | Self::Damaged { .. } | Self::Malformed { .. } => true,
            Self::Topic(error) => matches!(&**error, TopicError::Open(error) if error.is_refusal()),
            _ => false,
        }
    }
}

impl From<TopicError> for OffsetStoreError {
    fn from(error: TopicError) -> Self {
        Self::Topic(Box::new(error))
    }
}

impl From<ReadError> for OffsetStoreError {
    fn from(error: ReadError) -> Self {
        Self::Read(Box::new(error))
    }
}

impl From<CutError> for OffsetStoreError {
    fn from(error: CutError) -> Self {
        Self::Cut(Box::new(error))
    }
}

fn at(position: Option<OffsetAndEpoch>) -> String {
    position.map_or_else(|| "no offset".to_owned(), |position| position.to_string())
}

fn ranges(damage: &[DamagedRange]) -> String {
    damage.iter().map(|range| format!("offsets {}..{} ({})", range.from, range.to, range.reason)).collect::<Vec<_>>().join("; ")
}
