//! Exports one partition: which offsets, in which files. Reads the log and writes beside it; changes not one byte of the store.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::available_parallelism;

use tidelog_format::{LeaderEpoch, Offset};

use crate::config::ReadIsolation;
use crate::error::ReadError;
use crate::export::columns::{BatchPart, Columns};
use crate::export::compaction::{Compaction, Limits};
use crate::export::delta_log::DeltaLog;
use crate::export::encoders::Encoders;
use crate::export::error::ExportError;
use crate::export::export_directory::{ExportDirectory, table_of};
use crate::export::export_file::ExportFile;
use crate::export::footer::{Contents, Extent, Source};
use crate::export::parquet_compression::ParquetCompression;
use crate::export::report::{CompactionReport, ExportGap, ExportProgress, ExportReport, GapReason, Unfit};
use crate::export::schema::{DIFFERENCE_MAX, GROUP_ROWS, schema};
use crate::export::storage_target::StorageTarget;
use crate::export::target::Target;
use crate::export::typed_column::TypedColumns;
use crate::io::{Disk, Storage};
use crate::log::{PartitionView, RecordRef, StoredBatch};

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
    rows_per_file: u64,
    bytes_per_file: u64,
    pub(super) allows_gaps: bool,
    columns: Option<TypedColumns>,
    compression: ParquetCompression,
    threads: usize,
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
        let (encoders, columns) = (Encoders::new(self.threads), Columns::new(&TypedColumns::default()));
        let (export, next, left_out) = (self.clone(), Offset::ZERO, Vec::new());
        let mut session = ExportSession { export, source, directory, encoders, columns, next, left_out, is_behind: true };
        session.catch_up()?;
        Ok(session)
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
    fn check_last(&self, directory: &ExportDirectory) -> Result<(), ExportError> {
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
    /// [`ExportError`]. What was put together by then is.
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
        let Self { export, source, directory, .. } = self;
        let limits = Limits { rows: export.rows_per_file, bytes: export.bytes_per_file };
        let mut report = CompactionReport::default();
        for compaction in Compaction::plan(directory, source, limits)? {
            report.files.push(compaction.run(directory, source, export.compression)?);
            report.removed_files += compaction.members.len();
        }
        report.checkpoint_failures = std::mem::take(&mut directory.checkpoint_failures);
        // Commits of others that were in the way may have moved the watermark.
        self.is_behind = self.directory.is_shared();
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
        let mut run = Run {
            export,
            source,
            directory,
            encoders,
            columns,
            open: None,
            next: from.get(),
            until: until.get(),
            rows: 0,
            bytes: 0,
            left_out: std::mem::take(left_out),
            report: ExportReport {
                from,
                until,
                kept_files,
                files: Vec::new(),
                gaps,
                unfit: Vec::new(),
                stopped_by: None,
                checkpoint_failures: Vec::new(),
            },
            progress,
        };
        run.read()?;
        run.close_file()?;
        (*next, *left_out) = (Offset::new(run.next), run.left_out);
        let checkpoint_failures = std::mem::take(&mut run.directory.checkpoint_failures);
        Ok(ExportReport { checkpoint_failures, ..run.report })
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

/// A run under way.
struct Run<'a> {
    export: &'a ParquetExport,
    source: &'a Source,
    directory: &'a mut ExportDirectory,
    encoders: &'a Encoders,
    /// Rows that are not yet in the open file.
    columns: &'a mut Columns,
    open: Option<Open>,
    /// Everything below is exported, or reported as a gap.
    next: u64,
    until: u64,
    rows: u64,
    bytes: u64,
    /// Gaps behind the last row.
    left_out: Vec<ExportGap>,
    report: ExportReport,
    progress: &'a mut dyn FnMut(ExportProgress),
}

/// The file that rows go to.
struct Open {
    file: ExportFile,
    contents: Contents,
    /// Bytes of keys, values and headers, those in the columns not counted.
    bytes: u64,
}

impl Run<'_> {
    fn read(&mut self) -> Result<(), ExportError> {
        // Files may reach behind what this view shows, if they were exported with another isolation.
        if self.next >= self.until {
            return Ok(());
        }
        let view = self.export.view.clone();
        let log_start = view.log_start_offset();
        if self.next < log_start.get() && !self.gap(self.next, log_start, GapReason::Deleted) {
            return Ok(());
        }
        let mut reader = view.read_from(Offset::new(self.next))?;
        while self.next < self.until {
            match reader.next_batch() {
                None => break,
                Some(Ok(batch)) if self.batch(&batch)? => {}
                Some(Ok(_)) => break,
                Some(Err(ReadError::Corrupt { from, to, reason, path })) => {
                    let reason = GapReason::Damaged(reason);
                    if to == from && self.report.gaps.iter().any(|gap| (gap.from, gap.to, &gap.reason) == (from, to, &reason)) {
                        // A reader that does not get past it would be asked for ever.
                        return Err(ReadError::Corrupt { from, to, reason: reason.to_string(), path }.into());
                    }
                    if !self.gap(from.get(), to, reason) {
                        break;
                    }
                }
                // Retention was faster.
                Some(Err(ReadError::OffsetOutOfRange { requested, earliest, .. })) if requested < earliest => {
                    if !self.gap(self.next, earliest, GapReason::Deleted) {
                        break;
                    }
                    reader = view.read_from(earliest)?;
                }
                Some(Err(error)) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Whether the run may go on.
    fn batch(&mut self, batch: &StoredBatch) -> Result<bool, ExportError> {
        let part = BatchPart { leader_epoch: batch.leader_epoch(), producer_id: batch.producer_id() };
        for record in batch.records() {
            match record {
                Ok(record) if record.offset() < self.next => {}
                Ok(record) if record.offset() >= self.until => break,
                Ok(record) => self.row(&record, part)?,
                Err(error) => {
                    if !self.gap(self.next, batch.next_offset(), GapReason::Damaged(error.to_string())) {
                        return Ok(false);
                    }
                }
            }
        }
        // Offsets of a compacted batch may have no record. What lies behind the end is for the next run.
        self.next = self.next.max(batch.next_offset().get().min(self.until));
        Ok(true)
    }

    fn row(&mut self, record: &RecordRef<'_>, part: BatchPart) -> Result<(), ExportError> {
        let (offset, ts_ns) = (record.offset().get(), record.timestamp().get());
        if self.open.as_ref().is_some_and(|open| self.is_full(open, offset)) {
            self.close_file()?;
        }
        match &mut self.open {
            Some(open) => {
                open.contents.extent.add_row(offset, ts_ns);
                open.contents.leader_epoch = part.leader_epoch;
                open.contents.gaps.append(&mut self.left_out);
            }
            None => {
                let file = ExportFile::create(self.directory, offset, &schema(self.columns.declared()), self.export.compression)?;
                let contents = Contents {
                    extent: Extent::of_row(offset, ts_ns),
                    leader_epoch: part.leader_epoch,
                    gaps: std::mem::take(&mut self.left_out),
                    columns: self.directory.table.declared().clone(),
                    segments: Vec::new(),
                    is_compacted: false,
                };
                self.open = Some(Open { file, contents, bytes: 0 });
            }
        }
        self.columns.push(record, part);
        self.next = offset + 1;
        if self.columns.is_page() {
            self.columns.end_page();
            self.tell();
        }
        if self.columns.is_group() {
            self.hand_on()?;
        }
        Ok(())
    }

    fn is_full(&self, open: &Open, offset: u64) -> bool {
        open.contents.extent.rows >= self.export.rows_per_file
            || open.bytes + self.columns.bytes() as u64 >= self.export.bytes_per_file
            || offset - open.contents.extent.last >= DIFFERENCE_MAX
    }

    /// Gives the file the rows gathered as a row group.
    fn hand_on(&mut self) -> Result<(), ExportError> {
        let Some(open) = self.open.as_mut().filter(|_| self.columns.len() > 0) else { return Ok(()) };
        let (rows, bytes) = (self.columns.len() as u64, self.columns.bytes() as u64);
        open.bytes += bytes;
        self.rows += rows;
        self.bytes += bytes;
        Unfit::add(&mut self.report.unfit, self.columns.take_unfit());
        open.file.write_group(self.columns, self.encoders)
    }

    /// Says how far this is.
    fn tell(&mut self) {
        (self.progress)(ExportProgress {
            from: self.report.from,
            offset: Offset::new(self.next),
            until: self.report.until,
            rows: self.rows + self.columns.len() as u64,
            bytes: self.bytes + self.columns.bytes() as u64,
        });
    }

    fn close_file(&mut self) -> Result<(), ExportError> {
        self.hand_on()?;
        let Some(mut open) = self.open.take() else { return Ok(()) };
        self.tell();
        open.contents.segments = self.segments(&open.contents.extent);
        let name = self.directory.name_of(&open.contents.extent);
        let file = open.file.finish(name, self.source, &open.contents)?;
        self.directory.commit_or_discard(name, file.bytes, &open.contents)?;
        self.report.files.push(file);
        Ok(())
    }

    /// The segment files that the offsets of a file stand in now.
    fn segments(&self, extent: &Extent) -> Vec<String> {
        let list = self.export.view.list();
        let holds = list.entries.iter().filter(|entry| entry.from <= extent.last && entry.to.min(entry.segment.next_offset()) > extent.first);
        holds.map(|entry| entry.segment.id.log_name()).collect()
    }

    /// Leaves offsets out, if that is allowed; whether the run may go on.
    fn gap(&mut self, from: u64, to: Offset, reason: GapReason) -> bool {
        let from = Offset::new(from);
        let gap = ExportGap { from, to: to.min(Offset::new(self.until)).max(from), reason };
        // Damage that held no record leaves nothing out.
        if !self.export.allows_gaps && gap.from < gap.to {
            self.report.until = gap.from;
            self.report.stopped_by = Some(gap);
            return false;
        }
        self.next = self.next.max(gap.to.get());
        self.left_out.push(gap.clone());
        self.report.gaps.push(gap);
        true
    }
}

const ROWS_PER_FILE: u64 = 128 * GROUP_ROWS as u64;
const BYTES_PER_FILE: u64 = 512 << 20;
