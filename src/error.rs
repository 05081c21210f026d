//! What can go wrong, one type an operation: what was expected, what was found and where. Decides nothing.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidelog_format::{DecodeError, LeaderEpoch, Offset};

/// A call to the file system failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("cannot {action} {}: {source}", path.display())]
pub struct IoError {
    /// The file or directory.
    pub path: PathBuf,
    /// What was tried.
    pub action: &'static str,
    /// What the system answered.
    #[source]
    pub source: Arc<io::Error>,
}

impl IoError {
    pub(crate) fn new(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self { path: path.to_owned(), action, source: Arc::new(source) }
    }

    /// What kind of error the system answered with.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

/// Adds what was tried, and where, to an [`io::Error`].
pub(crate) trait IoContext<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, IoError>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, IoError> {
        self.map_err(|source| IoError::new(action, path, source))
    }
}

/// A setting is outside its documented limits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No setting has this name.
    #[error("there is no setting {name:?}; there are {}", known.join(", "))]
    UnknownName {
        /// The name given.
        name: String,
        /// All names.
        known: Vec<&'static str>,
    },
    /// The value is not of the setting's kind or outside its limits.
    #[error("{name} = {found:?}: expected {expected}")]
    BadValue {
        /// The setting.
        name: &'static str,
        /// The value given.
        found: String,
        /// What it may be.
        expected: String,
    },
    /// The codec needs a feature that this program was built without.
    #[error("compression {codec} needs the feature {codec}, which this build does not have")]
    CodecNotBuilt {
        /// The codec, and the feature.
        codec: &'static str,
    },
}

/// A store or a partition could not be opened. Nothing was changed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no store at this path. Check the path, or create the store by appending to it.
    #[error("there is no store at {}", path.display())]
    NotFound {
        /// The path.
        path: PathBuf,
    },
    /// The path is something else than a directory.
    #[error("{} is not a directory", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// The directory holds something else than a store. Name an empty or a new directory.
    #[error("{} is not a tidelog store: it holds {found}", path.display())]
    Foreign {
        /// The path.
        path: PathBuf,
        /// Something in it that is not ours.
        found: String,
    },
    /// Another writer has the store open. Close it, or open read-only.
    #[error("{} is locked by another writer{}", path.display(), pid.map_or(String::new(), |pid| format!(" (process {pid})")))]
    Locked {
        /// The store.
        path: PathBuf,
        /// The process that holds it, as far as it said.
        pid: Option<u32>,
    },
    /// Written by a newer version. Use a newer tidelog.
    #[error("{} cannot be read by this version: {source}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What is newer about it.
        source: DecodeError,
    },
    /// Durable data is damaged and [`OnDamage::Refuse`](crate::OnDamage::Refuse) was asked for. Open with
    /// [`OnDamage::Isolate`](crate::OnDamage::Isolate) to serve everything else.
    #[error("{} is damaged: {}", path.display(), summary(damage))]
    Damaged {
        /// The partition.
        path: PathBuf,
        /// What is lost.
        damage: Vec<DamagedRange>,
    },
    /// The directory of a partition stands where another one of its topic belongs. Move it back.
    #[error("{} holds partition {found} of its topic, not partition {expected}", path.display())]
    Misplaced {
        /// The directory.
        path: PathBuf,
        /// The partition that it is by its META.
        found: u32,
        /// The partition that it is by its name.
        expected: u32,
    },
    /// The topic of the partition was deleted since it was opened, perhaps by another process. A topic that was made anew since then is another one.
    #[error("the topic of {} was deleted", path.display())]
    TopicDeleted {
        /// Where the partition was.
        path: PathBuf,
    },
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store changed under a reader again and again. Try later.
    #[error("{} keeps changing: try again", path.display())]
    Busy {
        /// The partition.
        path: PathBuf,
    },
    /// The file system failed. Never taken for the end of a log.
    #[error(transparent)]
    Io(#[from] IoError),
}

impl OpenError {
    /// Whether the store was refused as it is (locked, foreign, of another version, damaged under `Refuse`, or with a partition in the place
    /// of another one), rather than something failing.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Locked { .. } | Self::Foreign { .. } | Self::Unsupported { .. } | Self::Damaged { .. } | Self::Misplaced { .. })
    }
}

/// A topic or one of its partitions could not be had.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TopicError {
    /// The name is not one a topic may have.
    #[error("{name:?} is no topic name: {why}")]
    InvalidName {
        /// The name given.
        name: String,
        /// Which rule it breaks.
        why: &'static str,
    },
    /// It is one of the engine itself: it is read, and only the engine appends to it, makes, splits or deletes it.
    #[error("topic {name} is the engine's own: it is read, and not written to")]
    Internal {
        /// The name given.
        name: String,
    },
    /// There is no such topic.
    #[error("there is no topic {name}{}", near_names(near))]
    Unknown {
        /// The name given.
        name: String,
        /// Topics with names like it.
        near: Vec<String>,
    },
    /// There is such a topic already.
    #[error("topic {name} exists already")]
    Exists {
        /// The name given.
        name: String,
    },
    /// The number of partitions is outside its limits.
    #[error("a topic has 1 to {limit} partitions, not {found}")]
    PartitionCount {
        /// The number given.
        found: u32,
        /// The largest number.
        limit: u32,
    },
    /// The range has no slot, or reaches past its ring.
    #[error("slots {start}..{stop} are no range of a ring of {size}: the start comes before the stop, and the stop is {size} at most")]
    RingRange {
        /// Slots of the ring.
        size: u32,
        /// The first slot given.
        start: u32,
        /// The first slot behind it.
        stop: u32,
    },
    /// The range is of a ring of another size.
    #[error("a ring has {expected} slots, not {found}")]
    RingSize {
        /// Slots of every topic's ring.
        expected: u32,
        /// Slots of the ring that the range is of.
        found: u32,
    },
    /// The ranges leave slots out, or have some twice.
    #[error("the ranges do not tile the ring: from slot {expected} on, found {found}")]
    NotTiled {
        /// The first slot that no range before has.
        expected: u32,
        /// Where the next range begins, or the last one ends.
        found: u32,
    },
    /// The range was split before. Split one of those that it was split into.
    #[error("partition {partition} of topic {topic} was split into {}", list(into))]
    AlreadySplit {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// What it was split into.
        into: Vec<u32>,
    },
    /// A range of so many slots is not split into so many parts.
    #[error("slots {start}..{stop} are split into 2 to {} parts, not {found}", stop - start)]
    SplitParts {
        /// The first slot of the range.
        start: u32,
        /// The first slot behind it.
        stop: u32,
        /// The number given.
        found: u32,
    },
    /// A range is split at slots inside of it, in order.
    #[error("slots {start}..{stop} are not split at slot {found}: the slots to split at rise, and each lies inside of the range")]
    SplitAt {
        /// The first slot of the range.
        start: u32,
        /// The first slot behind it.
        stop: u32,
        /// The slot given.
        found: u32,
    },
    /// Neither the topic's catalogue nor its copy can be believed. Keys could go to the wrong partitions: nothing is written to the topic. Its partitions can be
    /// read, one by one. A [repair](crate::Repair) writes it anew if every partition was used; else bring it back from a copy of the store.
    #[error("the catalogue of topic {topic} is damaged: {}: {source}", path.display())]
    CatalogDamaged {
        /// The topic.
        topic: String,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// The topic was deleted while this handle of it was open. Ask the store for the topic again: one that was made anew is another one.
    #[error("topic {topic} was deleted")]
    Deleted {
        /// The topic.
        topic: String,
    },
    /// The topic has fewer partitions.
    #[error("there is no partition {partition}: topic {topic} has {count}, numbered from 0")]
    NoPartition {
        /// The topic.
        topic: String,
        /// The number given.
        partition: u32,
        /// Partitions there are.
        count: u32,
    },
    /// Directories of partitions that the topic had are gone. Keys would go to the wrong ones: nothing is written. Those that are there can be
    /// read one by one.
    #[error("topic {topic} had {count} partitions; gone {}: {}", if missing.len() == 1 { "is" } else { "are" }, list(missing))]
    PartitionsMissing {
        /// The topic.
        topic: String,
        /// Partitions it had.
        count: u32,
        /// Those that are gone.
        missing: Vec<u32>,
    },
    /// The partition could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What was appended before a split could not be made durable.
    #[error(transparent)]
    Sync(#[from] SyncError),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// The file system failed.
    #[error(transparent)]
    Io(#[from] IoError),
}

fn list(numbers: &[u32]) -> String {
    let (shown, more) = numbers.split_at(numbers.len().min(LISTED_MAX));
    let shown = shown.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    if more.is_empty() { shown } else { format!("{shown} and {} more", more.len()) }
}

const LISTED_MAX: usize = 10;

/// Records could not be appended. None of them was, unless the variant says so.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The record or batch is larger than the limit `batch_bytes_max`.
    #[error("{bytes} bytes in one batch; the limit is {limit}")]
    TooLarge {
        /// Encoded size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A note longer than a frame holds.
    #[error("a note of {bytes} bytes; the limit is {limit}")]
    NoteTooLarge {
        /// Size given.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The batch holds no record.
    #[error("the batch is empty")]
    Empty,
    /// Compression failed or is not built in.
    #[error("cannot compress the batch: {reason}")]
    Codec {
        /// Why.
        reason: String,
    },
    /// The partition has given out its last offset, `i64::MAX`.
    #[error("the partition has no offsets left")]
    OffsetsExhausted,
    /// An earlier write or sync failed: what it left on disk is unknown until the partition is recovered. Reopen the store.
    #[error("the partition is poisoned until it is reopened: {reason}")]
    Poisoned {
        /// The failure.
        reason: Arc<str>,
    },
    /// The range of the partition was split: nothing is appended to it any more. Ask the topic which partition the key belongs to now.
    #[error("the partition was split: it is read, and not appended to")]
    PartitionSplit,
    /// The topic was deleted. Nothing was appended.
    #[error("the topic was deleted")]
    TopicDeleted,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// Appended, but not known to be durable: the write or the sync failed and the partition is poisoned. The records may or may not be there after
    /// reopening.
    #[error("appended at {base_offset}, but not durable: {source}")]
    NotDurable {
        /// Where.
        base_offset: Offset,
        /// The failure.
        source: SyncError,
    },
    /// The file system failed, for instance because it is full. Nothing was appended; try again once there is space.
    #[error(transparent)]
    Io(#[from] IoError),
}

/// Durability could not be had.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// A sync or write failed, now or before. Nothing is retried: reopen the store.
    #[error("the partition is poisoned until it is reopened: {reason}")]
    Poisoned {
        /// The failure.
        reason: Arc<str>,
    },
    /// The offset was never assigned.
    #[error("offset {requested} was not assigned yet: the log ends at {log_end}")]
    NotAssigned {
        /// The offset asked for.
        requested: Offset,
        /// The end of the log.
        log_end: Offset,
    },
    /// The topic was deleted, and its records with it.
    #[error("the topic was deleted")]
    TopicDeleted,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// The file system failed, but nothing that was promised is in doubt.
    #[error(transparent)]
    Io(#[from] IoError),
}

/// A prefix or suffix could not be cut off.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CutError {
    /// The offset is outside the log. Nothing was cut.
    #[error("cannot cut at {requested}: the log holds {from}..{to}")]
    OutOfRange {
        /// The offset given.
        requested: Offset,
        /// Lowest offset at which a cut can be.
        from: Offset,
        /// Highest.
        to: Offset,
    },
    /// The part of the batch that stays could not be stored anew. Nothing was cut.
    #[error("cannot keep the first part of the batch: {reason}")]
    NotKept {
        /// Why.
        reason: String,
    },
    /// The range of the partition was split: its end stays where it is. Nothing was cut.
    #[error("the partition was split: its end stays where it is")]
    PartitionSplit,
    /// The log could not be made durable. The cut may be done; the next open settles it.
    #[error(transparent)]
    Sync(#[from] SyncError),
    /// Known damage lies where the cut has to read. Cut elsewhere: below the damage or behind it.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The file system failed. The cut is done whole or not at all; the next open finishes it.
    #[error(transparent)]
    Io(#[from] IoError),
}

/// A batch could not be brought back to where it stood. It was not appended.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The log has gone on already: its next offset is above the batch's first. Restore into a partition that nobody else appends to.
    #[error("cannot restore a batch at offset {base}: the log ends at {log_end}")]
    Behind {
        /// First offset of the batch.
        base: Offset,
        /// Next offset that the log will assign.
        log_end: Offset,
    },
    /// The log is in a later term: terms only rise.
    #[error("cannot restore a batch of term {epoch} at offset {base}: the log is in term {term}")]
    EarlierTerm {
        /// First offset of the batch.
        base: Offset,
        /// Its term.
        epoch: LeaderEpoch,
        /// The log's.
        term: LeaderEpoch,
    },
    /// There is no such term.
    #[error("cannot restore a batch of term {epoch}: terms end at {limit}")]
    Term {
        /// The batch's.
        epoch: LeaderEpoch,
        /// The highest.
        limit: LeaderEpoch,
    },
    /// More offsets lie between the end of the log and the batch than a log that holds records can leave out.
    #[error("cannot restore a batch at offset {to}: the log ends at {from}, and at most {limit} offsets can be left out")]
    HoleTooLarge {
        /// Next offset that the log will assign.
        from: Offset,
        /// First offset of the batch.
        to: Offset,
        /// The limit.
        limit: u64,
    },
    /// The batch could not be appended.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The log could not be made durable. Reopen the store.
    #[error(transparent)]
    Sync(#[from] SyncError),
}

/// Records could not be read.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The offset is not there: deleted, cut off, or not yet written.
    #[error("offset {requested} is out of range: {earliest}..{latest}")]
    OffsetOutOfRange {
        /// The offset asked for.
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
        /// The offset that was to be read next.
        next: Offset,
    },
    /// Durable records are damaged. Read on at `to`; what is damaged is to be had from a copy of the
    /// partition, if there is one: nothing in this version brings it back.
    #[error("offsets {from}..{to} are damaged: {reason} ({})", path.display())]
    Corrupt {
        /// First damaged offset.
        from: Offset,
        /// First offset after the damage.
        to: Offset,
        /// What was found.
        reason: String,
        /// The file.
        path: PathBuf,
    },
    /// The batch is compressed with a codec that this program was built without.
    #[error("offsets {from}..{to} are compressed with {codec}, which this build cannot read")]
    CodecNotBuilt {
        /// First offset of the batch.
        from: Offset,
        /// First offset after it.
        to: Offset,
        /// The codec.
        codec: &'static str,
    },
    /// The topic was deleted, in this process or in another one.
    #[error("the topic of {} was deleted", path.display())]
    TopicDeleted {
        /// Where the partition was.
        path: PathBuf,
    },
    /// The writer changed the log again and again while this was read. Try again.
    #[error("{} keeps changing: try again", path.display())]
    Busy {
        /// The partition.
        path: PathBuf,
    },
    /// The partition could not be opened again after the writer changed it.
    #[error(transparent)]
    Open(Box<OpenError>),
    /// The file system failed.
    #[error(transparent)]
    Io(#[from] IoError),
}

impl ReadError {
    /// Whether it tells of records that cannot be read, rather than of something failing: what is behind them can be.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Corrupt { .. } | Self::CodecNotBuilt { .. })
    }

    /// Whether the writer was just too fast: the same call may do the next time.
    pub fn is_busy(&self) -> bool {
        match self {
            Self::Busy { .. } => true,
            Self::Open(error) => matches!(**error, OpenError::Busy { .. }),
            _ => false,
        }
    }
}

impl From<OpenError> for ReadError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::TopicDeleted { path } => Self::TopicDeleted { path },
            other => Self::Open(Box::new(other)),
        }
    }
}

/// Offsets of durable records that cannot be read any more.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct DamagedRange {
    /// First damaged offset.
    pub from: u64,
    /// First offset after the damage; equal to `from` where the damaged bytes held no record.
    pub to: u64,
    /// What was found.
    pub reason: String,
    /// Whether a segment says that they are lost: an open or a repair found it before, and nothing is left to be done.
    pub declared: bool,
}

fn summary(damage: &[DamagedRange]) -> String {
    damage.iter().map(|range| format!("offsets {}..{} ({})", range.from, range.to, range.reason)).collect::<Vec<_>>().join("; ")
}

fn near_names(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(" or ")) }
}
