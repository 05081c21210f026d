//! Why an import stopped or did not begin. What was restored by then stays, and the next run goes on behind it.

use std::path::PathBuf;

use tidelog_format::{Offset, TimestampNs};

use crate::error::{AppendError, IoError, ReadError, RestoreError, SyncError};
use crate::export::error::ExportError;

/// An import failed or was refused. Records that were restored by then stay, and the next run goes on behind them.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The place has nothing to import.
    #[error("{} has no Parquet files of topic {topic}: neither {}, nor partition=<N>, nor files are there", path.display(), expected.display())]
    NothingThere {
        /// The place.
        path: PathBuf,
        /// The topic.
        topic: String,
        /// Where an export has its files.
        expected: PathBuf,
    },
    /// There is no such partition among the files.
    #[error("{} has no partition {partition}", path.display())]
    NoPartition {
        /// The place.
        path: PathBuf,
        /// The partition asked for.
        partition: u32,
    },
    /// A file is damaged, or none that can be imported.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        reason: String,
    },
    /// A row does not come behind the one before it: a file is there twice, or its rows were reordered.
    #[error("{}: offset {found} does not come behind offset {before}", path.display())]
    Order {
        /// The file.
        path: PathBuf,
        /// Offset of a row.
        before: Offset,
        /// Offset of the next one.
        found: Offset,
    },
    /// The partition has another record, or none, where the files have this one. Import into an empty partition.
    #[error("{}: the partition has another record at offset {offset}", path.display())]
    Diverged {
        /// The file.
        path: PathBuf,
        /// The offset of the partition's last record, or of the row that stands in its place.
        offset: Offset,
    },
    /// The partition has more than the files. Import into an empty partition.
    #[error("the partition ends at offset {log_end}, behind the files in {}, which end at {files_end}", path.display())]
    Ahead {
        /// The place.
        path: PathBuf,
        /// Next offset that the partition will assign.
        log_end: Offset,
        /// Offset behind the last row.
        files_end: Offset,
    },
    /// The place has no Parquet file.
    #[error("{} has no Parquet files", path.display())]
    NoFiles {
        /// The place.
        path: PathBuf,
    },
    /// All files have offsets. Restore them: [`ParquetImport`](crate::export::ParquetImport).
    #[error("the files in {} have a column _offset: they are restored, not put into the order of time", path.display())]
    HaveOffsets {
        /// The place.
        path: PathBuf,
    },
    /// Some files have offsets. Import those with and those without from places of their own.
    #[error("{} has a column _offset, and {} has none: they cannot be imported together", with.display(), without.display())]
    Mixed {
        /// A file that has offsets.
        with: PathBuf,
        /// A file that has none.
        without: PathBuf,
    },
    /// A file has not the columns that records are made of. Name others: [`TimedColumns`](crate::export::TimedColumns).
    #[error("{}: {reason}", path.display())]
    Columns {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        reason: String,
    },
    /// A row is no record. Correct the file, or leave the row out of it.
    #[error("{}: row {row}: {reason}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// The number of the row; the first one in the file is 0.
        row: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A file that was begun is not there any more. Put it back.
    #[error("{} is missing: rows of it were imported", path.display())]
    Vanished {
        /// The file.
        path: PathBuf,
    },
    /// A file that was begun has changed. Put it back as it was, or import all into another partition.
    #[error("{} has changed: it had {rows} rows in {bytes} bytes when it was imported, and has {found_rows} in {found_bytes}", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// Rows that it had.
        rows: u64,
        /// Bytes that it had.
        bytes: u64,
        /// Rows that it has.
        found_rows: u64,
        /// Bytes that it has.
        found_bytes: u64,
    },
    /// A file is new and begins before the last row that was imported, or at its time and is before its file by its path. Import it into another
    /// topic, or all into a new one.
    #[error("{} is new and begins at {}, but rows up to {} of {} are imported: it would not be in order", path.display(), rfc3339(*time), rfc3339(*until), last.display())]
    Late {
        /// The file.
        path: PathBuf,
        /// Its first time.
        time: TimestampNs,
        /// The time of the last row that was imported.
        until: TimestampNs,
        /// The file that it is in.
        last: PathBuf,
    },
    /// The rows that were imported are not those that the files have there: one was changed. Put it back, or import all into another partition.
    #[error("{} has {found} rows up to the last one that was imported, and {rows} were imported: a file has changed", path.display())]
    Rows {
        /// The place.
        path: PathBuf,
        /// Rows that were imported.
        rows: u64,
        /// Rows of the files up to the last one of them.
        found: u64,
    },
    /// The newest batch of the import was cut at both ends: which rows are left of it cannot be told. Import into another partition.
    #[error("the batch at offset {offset}, the last one imported from {}, was cut at both ends: which rows it has cannot be told", path.display())]
    CutTwice {
        /// The place.
        path: PathBuf,
        /// Offset of the batch.
        offset: Offset,
    },
    /// The import was begun with other columns, or another unit. Give the same again.
    #[error("{} was imported with other columns; name the same again", path.display())]
    OtherColumns {
        /// The place.
        path: PathBuf,
    },
    /// Row groups that lie over each other in time do not fit into memory. Allow more, or sort the files by time before.
    #[error("{}: row group {row_group} and those of the same times take {bytes} bytes of memory, more than {limit}", path.display())]
    Memory {
        /// A file with one of them.
        path: PathBuf,
        /// The row group.
        row_group: usize,
        /// What they take, by what the files say.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// Too many files lie over each other in time. Put them together and sort them before.
    #[error("{}: {files} files have rows of the same times, and at most {limit} are read at once", path.display())]
    Files {
        /// One of them.
        path: PathBuf,
        /// How many they are.
        files: u64,
        /// The limit.
        limit: u64,
    },
    /// Another import appends to the same partition. Run one at a time: rows may be there twice now.
    #[error("another import appends to the partition at once: the batch at offset {offset} is one of its")]
    Concurrent {
        /// Offset of a batch of the other import.
        offset: Offset,
    },
    /// The end of the partition was cut off while rows were appended. Run the import again: it appends those that are missing.
    #[error("the partition ended at offset {expected} when rows were appended last, and at {found} now: it was cut off meanwhile")]
    CutOff {
        /// Where it ended.
        expected: Offset,
        /// Where it ends now.
        found: Offset,
    },
    /// The record cannot be appended.
    #[error("{}: row {row}: {source}", path.display())]
    Append {
        /// The file.
        path: PathBuf,
        /// The number of the row, or of the first one of its batch; the first one in the file is 0.
        row: u64,
        /// Why.
        source: AppendError,
    },
    /// The Delta log beside the files cannot be read.
    #[error(transparent)]
    Table(#[from] ExportError),
    /// The record cannot be restored.
    #[error("{}: {source}", path.display())]
    Restore {
        /// The file that it is in.
        path: PathBuf,
        /// Why.
        source: RestoreError,
    },
    /// The partition could not be made durable. Reopen the store.
    #[error(transparent)]
    Sync(#[from] SyncError),
    /// The partition's last record cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The file system failed. Run again.
    #[error(transparent)]
    Io(#[from] IoError),
}

impl ImportError {
    /// Whether the files or the partition were refused as they are, rather than something failing.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Table(error) => error.is_refusal(),
            Self::Restore { source, .. } => !matches!(source, RestoreError::Append(_) | RestoreError::Sync(_)),
            Self::Sync(_) | Self::Read(_) | Self::Io(_) | Self::Append { .. } | Self::CutOff { .. } => false,
            _ => true,
        }
    }
}

fn rfc3339(time: TimestampNs) -> jiff::Timestamp {
    jiff::Timestamp::from_nanosecond(time.get().into()).expect("64 bits of nanoseconds are in its range")
}
