//! Exports one partition: which offsets, in which files. Reads the log and writes beside it; changes not one byte of the store.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::available_parallelism;

use tidelog_format::{LeaderEpoch, Offset};

use crate::config::ReadIsolation;
use crate::error::ReadError;
use crate::export::delta_log::DeltaLog;
use crate::export::error::ExportError;
use crate::export::export_directory::{ExportDirectory, table_of};
use crate::export::export_session::ExportSession;
use crate::export::footer::Source;
use crate::export::parquet_compression::ParquetCompression;
use crate::export::report::{ExportProgress, ExportReport};
use crate::export::schema::GROUP_ROWS;
use crate::export::storage_target::StorageTarget;
use crate::export::target::Target;
use crate::export::typed_column::TypedColumns;
use crate::io::{Disk, Storage};
use crate::log::PartitionView;

/// An export of one partition to Parquet files.
///
/// What is exported is what the view's isolation shows when the run begins: by default only what is below the high water mark. A later run
/// to the same place keeps the files that are there and goes on behind them. Exported with [`ReadIsolation::Written`], records may be in
/// the files that a crash takes from the log: then a later run is refused, or, if their offsets were assigned again in the same term, cannot know.
///
/// ```
/// use tidelog::export::ParquetExport;
/// use tidelog::{Record, Store};
///
/// # let (data, out) = (tempfile::tempdir()?, tempfile::tempdir()?);
/// let store = Store::open(data.path())?;
/// let orders = store.topic("orders")?.partition(0)?;
/// orders.append(Record::new("one").key("k"))?;
/// let report = ParquetExport::new(orders.view(), out.path()).run(&mut |_| {})?;
/// assert!(report.files[0].path.ends_with("topic=orders/partition=0/00000000000000000000-00000000000000000000.parquet"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// [`ReadIsolation::Written`]: crate::ReadIsolation::Written
#[derive(Debug, Clone)]
pub struct ParquetExport {
    pub(super) view: PartitionView,
    out: PathBuf,
    target: Arc<dyn Target>,
    from: Option<Offset>,
    pub(super) until: Option<Offset>,
    pub(super) rows_per_file: u64,
    pub(super) bytes_per_file: u64,
    pub(super) allows_gaps: bool,
    pub(super) columns: Option<TypedColumns>,
    pub(super) compression: ParquetCompression,
    pub(super) threads: usize,
}

impl ParquetExport {
    /// Exports what `view` shows to files below `out`, which is made if it is not there.
    #[must_use]
    pub fn new(view: &PartitionView, out: impl Into<PathBuf>) -> Self {
        Self::at(view, out.into(), Arc::new(StorageTarget::new(Arc::new(Disk::new()))))
    }

    pub(super) fn at(view: &PartitionView, out: PathBuf, target: Arc<dyn Target>) -> Self {
        Self {
            view: view.clone(),
            out,
            target,
            from: None,
            until: None,
            rows_per_file: ROWS_PER_FILE,
            bytes_per_file: BYTES_PER_FILE,
            allows_gaps: false,
            columns: None,
            compression: ParquetCompression::default(),
            threads: available_parallelism().map_or(1, usize::from),
        }
    }

    /// Begins here instead of at the log's start; offsets that the log no longer has, or that are exported already, are left out.
    #[must_use]
    pub fn from(mut self, offset: impl Into<Offset>) -> Self {
        self.from = Some(offset.into());
        self
    }

    /// Ends before this offset instead of at the visible end.
    #[must_use]
    pub fn until(mut self, offset: impl Into<Offset>) -> Self {
        self.until = Some(offset.into());
        self
    }

    /// A file ends with so many rows: at least 1, by default 2^24 (128 row groups).
    #[must_use]
    pub fn rows_per_file(mut self, rows: u64) -> Self {
        self.rows_per_file = rows.max(1);
        self
    }

    /// A file ends with so many bytes of keys, values and headers, not compressed: by default 512 MiB.
    #[must_use]
    pub fn bytes_per_file(mut self, bytes: u64) -> Self {
        self.bytes_per_file = bytes;
        self
    }

    /// Whether offsets may be left out that are damaged, or that were deleted from the log before they were exported. Otherwise a run ends
    /// before them. The file behind says in its metadata, and the commit too, what was left out.
    #[must_use]
    pub fn allow_gaps(mut self, allows_gaps: bool) -> Self {
        self.allows_gaps = allows_gaps;
        self
    }

    /// Encodes so many row groups at once, each on a thread and in memory (64 MiB of keys, values and headers at most, or one record that is
    /// larger). By default one a processor; with 1, none but the caller's.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// How the pages of new files are compressed; by default by zstd at level 1. Files of one export may differ.
    #[must_use]
    pub fn compression(mut self, compression: ParquetCompression) -> Self {
        self.compression = compression;
        self
    }

    /// Takes columns out of values that are JSON, beside `_value`. A table that has columns keeps them, also if none are declared for a run;
    /// others may come. What does not fit a column is null there, and counted in the report.
    #[must_use]
    pub fn columns(mut self, columns: TypedColumns) -> Self {
        self.columns = Some(columns);
        self
    }

    /// Where the files are written; by default the file system. Not for an export into an object store: it would go to `storage` instead.
    #[must_use]
    pub fn storage(mut self, storage: Arc<dyn Storage>) -> Self {
        self.target = Arc::new(StorageTarget::new(storage));
        self
    }

    /// The offset up to which the partition is exported, durably: what lies below need not be kept in the log for the export's sake. `None`
    /// before the first file is complete.
    ///
    /// # Errors
    /// [`ExportError`], if the export cannot be read or continued.
    pub fn watermark(&self) -> Result<Option<Offset>, ExportError> {
        let source = Source::of(&self.view);
        if !ExportDirectory::exists(&*self.target, &self.out, &source)? {
            return Ok(None);
        }
        let mut table = DeltaLog::new(self.target.clone(), &table_of(&self.out, &source), &source);
        table.read()?;
        table.watermark()
    }

    /// Exports. `progress` is told of every few thousand rows. A partition without records makes no file and no directory.
    ///
    /// The run ends before a gap, and says so in its report, unless [`allow_gaps`](Self::allow_gaps) leaves it out.
    ///
    /// # Errors
    /// [`ExportError`]: what is complete by then stays, and a later run goes on behind it.
    pub fn run(&self, progress: &mut dyn FnMut(ExportProgress)) -> Result<ExportReport, ExportError> {
        let (earliest, end) = (self.view.log_start_offset(), self.view.end_offset());
        if end == earliest && self.from.is_none_or(|from| from <= end) && !ExportDirectory::exists(&*self.target, &self.out, &Source::of(&self.view))?
        {
            return Ok(ExportReport {
                from: end,
                until: end,
                kept_files: 0,
                files: Vec::new(),
                gaps: Vec::new(),
                unfit: Vec::new(),
                stopped_by: None,
                checkpoint_failures: Vec::new(),
            });
        }
        self.begin()?.run(progress)
    }

    /// Takes the partition's place in the export, for as long as the value lives: the way to export again and again what is new.
    ///
    /// # Errors
    /// [`ExportError`].
    pub fn begin(&self) -> Result<ExportSession, ExportError> {
        let source = Source::of(&self.view);
        let (earliest, latest) = (self.view.log_start_offset(), self.view.end_offset());
        if let Some(requested) = self.from.filter(|from| *from > latest) {
            return Err(ReadError::OffsetOutOfRange { requested, earliest, latest }.into());
        }
        let directory = ExportDirectory::open(self.target.clone(), &self.out, &source)?;
        ExportSession::new(self.clone(), source, directory)
    }

    /// The offset to begin with.
    pub(super) fn start(&self, directory: &ExportDirectory) -> Result<Offset, ExportError> {
        let log_start = self.view.log_start_offset();
        let Some(exported_end) = directory.table.watermark()? else { return Ok(self.from.unwrap_or(log_start).max(log_start)) };
        let exported_from = directory.files().first().map_or(exported_end, |file| Offset::new(file.first));
        if let Some(from) = self.from.map(|from| from.max(log_start))
            && (from < exported_from || from > exported_end.max(log_start))
        {
            return Err(ExportError::NotContinuing { path: directory.path.clone(), from, exported_from, exported_end });
        }
        Ok(exported_end)
    }

    pub(super) fn check_end(&self, directory: &ExportDirectory, exported_end: Offset) -> Result<(), ExportError> {
        if exported_end > self.view.log_end_offset() && directory.is_shared() {
            // Another process may have exported what this one has not seen yet.
            self.view.refresh()?;
        }
        let log_end = self.view.log_end_offset();
        if exported_end > log_end {
            return Err(ExportError::AheadOfLog { path: directory.path.clone(), exported_end, log_end });
        }
        Ok(())
    }

    /// Refuses what the log has other records for: it was cut off below, and went on in a later term.
    pub(super) fn check_last(&self, directory: &ExportDirectory) -> Result<(), ExportError> {
        let last = directory.table.watermark()?.and_then(|watermark| watermark.get().checked_sub(1)).map(Offset::new);
        let Some((offset, exported)) = last.zip(directory.table.last_epoch()) else { return Ok(()) };
        match self.epoch_at(offset)?.filter(|found| *found != exported) {
            Some(found) => Err(ExportError::Diverged { path: directory.path.clone(), offset, exported, found }),
            None => Ok(()),
        }
    }

    /// Term of a record; `None` if it is damaged, compacted away or deleted meanwhile.
    pub(super) fn epoch_at(&self, offset: Offset) -> Result<Option<LeaderEpoch>, ExportError> {
        if offset < self.view.log_start_offset() {
            return Ok(None);
        }
        let mut reader = self.view.with_isolation(ReadIsolation::Written).read_from(offset)?;
        let batch = reader.next_batch().and_then(Result::ok).filter(|batch| batch.base_offset() <= offset);
        Ok(batch.map(|batch| batch.leader_epoch()))
    }

    /// The first record of `from..to` that the log holds.
    pub(super) fn record_between(&self, from: Offset, to: Offset) -> Result<Option<Offset>, ExportError> {
        let from = from.max(self.view.log_start_offset());
        if from >= to {
            return Ok(None);
        }
        for record in self.view.with_isolation(ReadIsolation::Written).read_from(from)? {
            match record {
                Ok(record) => return Ok((record.offset() < to).then_some(record.offset())),
                Err(ReadError::Corrupt { to: end, .. }) if end < to => {}
                Err(ReadError::Corrupt { .. }) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }
}

const ROWS_PER_FILE: u64 = 128 * GROUP_ROWS as u64;
const BYTES_PER_FILE: u64 = 512 << 20;
