//! A partition's place in an export, kept from run to run. Reads no record by itself.

use tidelog_format::Offset;

use crate::export::columns::Columns;
use crate::export::compaction::{Compaction, Limits};
use crate::export::encoders::Encoders;
use crate::export::error::ExportError;
use crate::export::export_directory::ExportDirectory;
use crate::export::export_run::Run;
use crate::export::footer::Source;
use crate::export::parquet_export::ParquetExport;
use crate::export::report::{CompactionReport, ExportGap, ExportProgress, ExportReport};
use crate::export::typed_column::TypedColumns;
use crate::log::PartitionView;

/// An export that nobody else can continue while this lives. It is done run by run; dropped, another may go on.
///
/// ```
/// use tidelog::export::ParquetExport;
/// use tidelog::{Record, Store};
///
/// # let (data, out) = (tempfile::tempdir()?, tempfile::tempdir()?);
/// let store = Store::open(data.path())?;
/// let orders = store.topic("orders")?.partition(0)?;
/// let mut session = ParquetExport::new(orders.view(), out.path()).begin()?;
/// for order in ["one", "two"] {
///     orders.append(Record::new(order))?;
///     assert_eq!(session.run(&mut |_| {})?.rows(), 1); // every minute, say
/// }
/// assert_eq!(session.watermark(), Some(2.into()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ExportSession {
    export: ParquetExport,
    source: Source,
    directory: ExportDirectory,
    encoders: Encoders,
    columns: Columns,
    /// Where the next run begins.
    next: Offset,
    /// Gaps behind the last row, which the next file will tell of.
    left_out: Vec<ExportGap>,
    /// Whether it is not known what is exported: a run has failed.
    is_behind: bool,
}

impl ExportSession {
    /// Of an export whose place was taken.
    pub(super) fn new(export: ParquetExport, source: Source, directory: ExportDirectory) -> Result<Self, ExportError> {
        let (encoders, columns) = (Encoders::new(export.threads), Columns::new(&TypedColumns::default()));
        let mut session = Self { export, source, directory, encoders, columns, next: Offset::ZERO, left_out: Vec::new(), is_behind: true };
        session.catch_up()?;
        Ok(session)
    }

    /// Exports what the view shows now and is not exported yet. After an error, the next run finds out first what is there.
    ///
    /// # Errors
    /// [`ExportError`]. What was complete by then is committed, or will be by the next run.
    pub fn run(&mut self, progress: &mut dyn FnMut(ExportProgress)) -> Result<ExportReport, ExportError> {
        self.find_place()?;
        self.is_behind = true;
        let report = self.run_on(progress)?;
        self.is_behind = false;
        Ok(report)
    }

    /// Puts small files together: neighbours of the same columns, as long as they stay within [`rows_per_file`](ParquetExport::rows_per_file) and
    /// their sizes within [`bytes_per_file`](ParquetExport::bytes_per_file). One commit puts the new file in their place, and then they are removed;
    /// killed at any moment, a later run or compaction removes what was left. The watermark stays where it is.
    ///
    /// Whoever finds files by their paths may see rows twice, or files vanish, while this runs; by the Delta log each row is there once, and readers
    /// that opened the table before lose the files that were put together.
    ///
    /// # Errors
    /// [`ExportError`]; in an object store [`ExportError::Fenced`] if another process has put some of the files together meanwhile. What was put
    /// together by then is.
    ///
    /// ```
    /// use tidelog::export::ParquetExport;
    /// use tidelog::{Record, Store};
    ///
    /// # let (data, out) = (tempfile::tempdir()?, tempfile::tempdir()?);
    /// let store = Store::open(data.path())?;
    /// let orders = store.topic("orders")?.partition(0)?;
    /// let mut session = ParquetExport::new(orders.view(), out.path()).begin()?;
    /// for order in ["one", "two", "three"] {
    ///     orders.append(Record::new(order))?;
    ///     session.run(&mut |_| {})?;
    /// }
    /// let report = session.compact()?;
    /// assert_eq!((report.files.len(), report.files[0].rows, report.removed_files), (1, 3, 3));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn compact(&mut self) -> Result<CompactionReport, ExportError> {
        // Where nothing is locked, others may have put files together, and removed them.
        self.is_behind |= self.directory.is_shared();
        self.find_place()?;
        self.is_behind = true;
        let report = self.put_together().map_err(|error| self.directory.or_fenced(error))?;
        // Commits of others that were in the way may have moved the watermark.
        self.is_behind = self.directory.is_shared();
        Ok(report)
    }

    fn put_together(&mut self) -> Result<CompactionReport, ExportError> {
        let Self { export, source, directory, .. } = self;
        let limits = Limits { rows: export.rows_per_file, bytes: export.bytes_per_file };
        let mut report = CompactionReport::default();
        for compaction in Compaction::plan(directory, source, limits)? {
            report.files.push(compaction.run(directory, source, export.compression)?);
            report.removed_files += compaction.members.len();
        }
        report.checkpoint_failures = std::mem::take(&mut directory.checkpoint_failures);
        Ok(report)
    }

    /// Takes over what others have committed, or after an error what is there.
    fn find_place(&mut self) -> Result<(), ExportError> {
        if !std::mem::replace(&mut self.is_behind, true) {
            let before = self.directory.table.watermark()?;
            let has_more = self.directory.table.catch_up()?;
            // Where nothing is locked, another may have exported the partition, or the table is another one now.
            if self.directory.table.watermark()? == before {
                if has_more {
                    self.columns = Columns::new(self.directory.table.declared());
                }
                self.is_behind = false;
                return Ok(());
            }
        }
        self.catch_up()
    }

    /// Finds out what is exported, from what is there.
    fn catch_up(&mut self) -> Result<(), ExportError> {
        let Self { export, source, directory, columns, next, left_out, is_behind, .. } = self;
        directory.read(source)?;
        if let Some(declared) = &export.columns {
            directory.table.declare(declared)?;
        }
        export.adopt(directory)?;
        (*next, *columns) = (export.start(directory)?, Columns::new(directory.table.declared()));
        left_out.clear();
        *is_behind = false;
        Ok(())
    }

    fn run_on(&mut self, progress: &mut dyn FnMut(ExportProgress)) -> Result<ExportReport, ExportError> {
        let Self { export, source, directory, encoders, columns, next, left_out, .. } = self;
        export.check_end(directory, *next)?;
        export.check_last(directory)?;
        let (from, end) = (*next, export.view.end_offset());
        let until = export.until.unwrap_or(end).min(end).max(from);
        let (kept_files, gaps) = (directory.files().len(), directory.gaps.clone());
        let report =
            ExportReport { from, until, kept_files, files: Vec::new(), gaps, unfit: Vec::new(), stopped_by: None, checkpoint_failures: Vec::new() };
        let left_out_before = std::mem::take(left_out);
        let run = Run {
            export,
            source,
            directory,
            encoders,
            columns,
            open: None,
            left_out: left_out_before,
            next: from.get(),
            until: until.get(),
            rows: 0,
            bytes: 0,
            report,
            progress,
        };
        let done = run.finish()?;
        (*next, *left_out) = (Offset::new(done.next), done.left_out);
        let checkpoint_failures = std::mem::take(&mut directory.checkpoint_failures);
        Ok(ExportReport { checkpoint_failures, ..done.report })
    }

    /// The offset up to which the partition is exported; `None` before the first file is complete.
    pub fn watermark(&self) -> Option<Offset> {
        self.directory.table.watermark().ok().flatten()
    }

    /// Whether the view shows records that a run would export.
    pub fn has_more(&self) -> bool {
        self.export.view.end_offset() > self.next && self.export.until.is_none_or(|until| until > self.next)
    }

    /// The partition that is exported.
    pub fn view(&self) -> &PartitionView {
        &self.export.view
    }
}
