//! What an export did, and how far it is. Plain values: no I/O, no Parquet.

use std::path::PathBuf;

use tidelog_format::Offset;

/// What an export wrote and what it could not.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportReport {
    /// Where this run began: the log's first offset, the one asked for, or the one behind the files that were there.
    pub from: Offset,
    /// Where it ended: the visible end when it began, or the one asked for. Records appended since are for the next run.
    pub until: Offset,
    /// Files of earlier runs, kept as they are.
    pub kept_files: usize,
    /// The new files, in offset order. None if there was nothing to export.
    pub files: Vec<ExportedFile>,
    /// Offsets that were left out, by this run or by earlier ones: none unless that was allowed. Those that compaction removed are no gap.
    pub gaps: Vec<ExportGap>,
    /// What the declared columns could not take.
    pub unfit: Vec<Unfit>,
    /// What this run ended before, because it may leave nothing out.
    pub stopped_by: Option<ExportGap>,
    /// Checkpoints of the Delta log that were to be written and are not. The export is as good without; a later commit tries again.
    pub checkpoint_failures: Vec<CheckpointFailure>,
}

impl ExportReport {
    /// Rows of the new files.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }

    /// Bytes of the new files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Whether damage kept records out of the files.
    pub fn has_damage(&self) -> bool {
        self.gaps.iter().chain(&self.stopped_by).any(|gap| matches!(gap.reason, GapReason::Damaged(_)))
    }
}

/// What a compaction did to the files of an export.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompactionReport {
    /// The new files, in offset order. None if there was nothing to put together.
    pub files: Vec<ExportedFile>,
    /// How many files they took the place of.
    pub removed_files: usize,
    /// Checkpoints of the Delta log that were to be written and are not.
    pub checkpoint_failures: Vec<CheckpointFailure>,
}

/// One file of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportedFile {
    /// Where it is.
    pub path: PathBuf,
    /// Rows in it.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// Offset of its first row.
    pub first: Offset,
    /// Offset of its last row.
    pub last: Offset,
}

impl ExportedFile {
    /// Whether every offset from the first to the last has a row.
    pub fn is_dense(&self) -> bool {
        self.rows == self.last.get() - self.first.get() + 1
    }
}

/// Offsets that could not be exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportGap {
    /// The first of them.
    pub from: Offset,
    /// The first one behind them; equal to `from` where damaged bytes held no record.
    pub to: Offset,
    /// Why they are missing.
    pub reason: GapReason,
}

/// Values that a declared column could not take: they are null there, and whole in `_value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// The column and its type; `None` for values that are no JSON at all, of which no column could take any.
    pub column: Option<(String, String)>,
    /// How many.
    pub values: u64,
    /// Offset of the first.
    pub first: Option<Offset>,
}

impl Unfit {
    /// Adds what was found later.
    pub(super) fn add(all: &mut Vec<Self>, later: Vec<Self>) {
        for unfit in later {
            match all.iter_mut().find(|before| before.column == unfit.column) {
                Some(before) => before.values += unfit.values,
                None => all.push(unfit),
            }
        }
    }

    pub(super) fn note(&mut self, offset: u64) {
        self.values += 1;
        self.first.get_or_insert(Offset::new(offset));
    }
}

/// A checkpoint that was not written: readers of the Delta log go on reading all commits since the one before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no checkpoint of version {version} of the Delta log was written: {reason}")]
#[non_exhaustive]
pub struct CheckpointFailure {
    /// The version of the table that it was to be of.
    pub version: u64,
    /// Why.
    pub reason: String,
}

/// Why offsets are missing from an export.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GapReason {
    /// They are damaged in the log.
    #[error("damaged: {0}")]
    Damaged(String),
    /// They were deleted from the log before they were exported.
    #[error("deleted from the log before they were exported")]
    Deleted,
}

/// How far an export is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportProgress {
    /// Where the run began.
    pub from: Offset,
    /// The next offset to be exported.
    pub offset: Offset,
    /// Where the run will end.
    pub until: Offset,
    /// Rows so far.
    pub rows: u64,
    /// Bytes of keys, values and headers so far.
    pub bytes: u64,
}
