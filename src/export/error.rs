//! Why an export stopped or did not begin. Complete files that it left are good: the next run goes on behind them.

use std::path::PathBuf;

use tidelog_format::{LeaderEpoch, Offset};

use crate::error::{IoError, ReadError};

/// An export failed or was refused. Files that were complete by then stay, and the next run continues behind them.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// Another export writes to the same place. Wait for it.
    #[error("{} is being exported to by another process", path.display())]
    Locked {
        /// The partition's directory in the export.
        path: PathBuf,
    },
    /// The place is a store. Name another directory.
    #[error("{} is a store: export to another directory", path.display())]
    IntoStore {
        /// The directory.
        path: PathBuf,
    },
    /// The place has files of another partition, for instance of a topic of this name that was deleted. Export elsewhere, or move them away.
    #[error("{} is of another partition: its uuid is {found}, not {expected}", path.display())]
    OtherPartition {
        /// The file.
        path: PathBuf,
        /// The partition's identity.
        expected: String,
        /// The identity in the file.
        found: String,
    },
    /// The place has a Parquet file that is no complete file of this export. Export elsewhere, or move it away.
    #[error("{} is no file of this export: {reason}", path.display())]
    NotOfExport {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        reason: String,
    },
    /// Two files hold the same offsets. Keep one of them.
    #[error("{} and {} overlap", first.display(), second.display())]
    Overlap {
        /// The file that begins first.
        first: PathBuf,
        /// The file that begins before the first one ends.
        second: PathBuf,
    },
    /// The Delta log cannot be continued: it is damaged, of another version, or of other columns. Export elsewhere.
    #[error("{} is no Delta log that this export can go on with: {reason}", path.display())]
    Table {
        /// The log, or one of its commits.
        path: PathBuf,
        /// What was expected and what was found.
        reason: String,
    },
    /// The table has columns that do not go with those declared. Declare the ones that it has, with others beside them, or export elsewhere.
    #[error("{} cannot go on with these columns: {reason}", path.display())]
    Columns {
        /// The Delta log.
        path: PathBuf,
        /// Which, and what is wrong with it.
        reason: String,
    },
    /// Another process exported the same partition meanwhile, or put its files together, and was first. The file that this one was about to commit is no
    /// part of the table; run again.
    #[error("{}: another process was first, and the partition is exported up to offset {watermark} by now", path.display())]
    Fenced {
        /// The Delta log.
        path: PathBuf,
        /// Where the export of the partition is now.
        watermark: Offset,
    },
    /// Another process has deleted commits of the Delta log since it was read, and a commit of this run came where no reader looks any more. It was
    /// taken back. Run again: an exported file is complete, and the next run commits it; files that were to be put together are as they were.
    #[error("{} came where another process has cleaned up, and was taken back: run again", path.display())]
    CleanedUp {
        /// The commit that is not there.
        path: PathBuf,
    },
    /// A file that the Delta log names is not there. Put it back, or export anew elsewhere.
    #[error("{} is missing: the Delta log names it", path.display())]
    MissingFile {
        /// The file.
        path: PathBuf,
    },
    /// Between two files there are offsets that the log holds: a file was removed. Put it back, or export anew elsewhere.
    #[error("a file is missing from {}: the log has offset {missing}, which lies between two files", path.display())]
    Missing {
        /// The partition's directory in the export.
        path: PathBuf,
        /// The first offset that is in the log and in no file.
        missing: Offset,
    },
    /// The files go on behind the end of the log: it was cut off, or lost records that were exported before they were durable.
    /// What was exported from there on is not what the log will hold. Export anew elsewhere.
    #[error("{} has offsets up to {exported_end}, but the log ends at {log_end}: they are not of this log", path.display())]
    AheadOfLog {
        /// The partition's directory in the export.
        path: PathBuf,
        /// Offset after the last one exported.
        exported_end: Offset,
        /// Next offset that the log will assign.
        log_end: Offset,
    },
    /// The log was cut off below what is exported, and has other records for these offsets now. Export anew elsewhere.
    #[error("offset {offset} was exported to {} in term {exported}, and is of term {found} now: the log was cut off meanwhile", path.display())]
    Diverged {
        /// The partition's directory in the export.
        path: PathBuf,
        /// The last one exported.
        offset: Offset,
        /// Term of the record that was exported.
        exported: LeaderEpoch,
        /// Term of the record that the log has.
        found: LeaderEpoch,
    },
    /// The start asked for leaves out offsets between it and what is exported. Leave it out to continue, or export elsewhere.
    #[error("cannot start at offset {from}: {} has offsets {exported_from} to {exported_end}", path.display())]
    NotContinuing {
        /// The partition's directory in the export.
        path: PathBuf,
        /// The start asked for.
        from: Offset,
        /// First offset exported.
        exported_from: Offset,
        /// Offset after the last one exported.
        exported_end: Offset,
    },
    /// The records cannot be encoded.
    #[error("cannot encode {}: {reason}", path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The log cannot be read, for another reason than damage.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The file system failed, for instance because it is full, or the object store, whose own error is the cause of this one's. Run again.
    #[error(transparent)]
    Io(#[from] IoError),
}

impl ExportError {
    /// Whether the place was refused as it is, rather than something failing.
    pub fn is_refusal(&self) -> bool {
        !matches!(self, Self::CleanedUp { .. } | Self::Encode { .. } | Self::Read(_) | Self::Io(_))
    }
}
