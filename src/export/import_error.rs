//! Why an import stopped or did not begin. What was restored by then stays, and the next run goes on behind it.

use std::path::PathBuf;

use tidelog_format::Offset;

use crate::error::{IoError, ReadError, RestoreError, SyncError};
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
            Self::Sync(_) | Self::Read(_) | Self::Io(_) => false,
            _ => true,
        }
    }
}
