//! The way back: rows of Parquet files become records again, at the offsets that they had. Writes no file of its own.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidelog_format::Offset;

use crate::error::RestoreError;
use crate::export::delta_log::DeltaLog;
use crate::export::export_directory::{EXTENSION, table_of};
use crate::export::footer::Source;
use crate::export::import_error::ImportError;
use crate::export::import_file::ImportFile;
use crate::export::import_rows::RowPlace;
use crate::export::storage_target::StorageTarget;
use crate::export::target::Target;
use crate::io::{Disk, Kind, Storage};
use crate::log::{Record, RecordBatch, StoredRecord};
use crate::topic::{BatchPlace, Partition};

/// Parquet files that are imported, for instance those of an export.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let (exported, data) = (dir.path().join("exported"), dir.path().join("data"));
/// use tidelog::export::{ParquetExport, ParquetImport};
/// use tidelog::{Record, Store};
///
/// let original = Store::open(dir.path().join("original"))?.topic("orders")?.partition(0)?;
/// original.append(Record::new("12 apples").key("customer 7"))?;
/// ParquetExport::new(original.view(), &exported).run(&mut |_| {})?;
///
/// let import = ParquetImport::open(&exported, "orders")?;
/// let partition = Store::open(&data)?.topic("orders")?.partition(0)?;
/// let report = import.restore(0, &partition, &mut |_| {})?;
/// assert_eq!((report.rows, partition.log_end_offset()), (1, 1.into()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ParquetImport {
    target: Arc<dyn Target>,
    path: PathBuf,
    partitions: Vec<ImportPartition>,
}

/// The files of one partition, in the order of their offsets.
#[derive(Debug)]
struct ImportPartition {
    number: u32,
    files: Vec<ImportFile>,
}

/// What an import restored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportReport {
    /// Rows that became records in this run.
    pub rows: u64,
    /// Rows whose records were there already.
    pub kept_rows: u64,
    /// Bytes of keys, values and headers that became records in this run.
    pub bytes: u64,
}

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportProgress {
    /// Rows read so far.
    pub rows: u64,
    /// Rows of all files.
    pub all_rows: u64,
    /// Bytes of keys, values and headers so far.
    pub bytes: u64,
}

impl ParquetImport {
    /// Finds the files of `topic` (`[namespace/]name`) in `path`: an export, the directory of a topic in it, or a directory that holds only
    /// the files of one partition. Where there is a Delta log, it says which files count. Reads their footers.
    ///
    /// # Errors
    /// [`ImportError`].
    pub fn open(path: impl Into<PathBuf>, topic: &str) -> Result<Self, ImportError> {
        Self::open_in(Arc::new(Disk::new()), path, topic)
    }

    /// The same, in another storage.
    ///
    /// # Errors
    /// [`ImportError`].
    pub fn open_in(storage: Arc<dyn Storage>, path: impl Into<PathBuf>, topic: &str) -> Result<Self, ImportError> {
        Self::open_at(Arc::new(StorageTarget::new(storage)), path.into(), topic)
    }

    pub(super) fn open_at(target: Arc<dyn Target>, path: PathBuf, topic: &str) -> Result<Self, ImportError> {
        let expected = table_of(&path, &Source { topic: topic.to_owned(), partition: 0, uuid: String::new() });
        let mut files = files_of_table(&target, &expected)?;
        if files.is_empty() {
            files = files_of_table(&target, &path)?;
        }
        if files.is_empty() {
            files.insert(0, parquet_files(&*target, &path)?);
        }
        if files.values().all(Vec::is_empty) {
            return Err(ImportError::NothingThere { path, topic: topic.to_owned(), expected });
        }
        let partitions = files.iter().map(|(number, paths)| ImportPartition::open(&*target, *number, paths)).collect::<Result<_, _>>()?;
        Ok(Self { target, path, partitions })
    }

    /// The partitions that there are files of, in order.
    pub fn partitions(&self) -> impl Iterator<Item = u32> {
        self.partitions.iter().map(|partition| partition.number)
    }

    /// Rows in the files of all partitions.
    pub fn rows(&self) -> u64 {
        self.partitions.iter().map(ImportPartition::rows).sum()
    }

    /// Restores the rows of the partition `number` into `to`, which is empty or holds what an earlier run restored: offset, time, key, value,
    /// headers, term and producer of each record are those of its row. Batches may be cut elsewhere. Durable when this returns. May be killed
    /// at any moment: the next run goes on behind what is there, after it has compared the last record. `progress` is told of some rows at a time.
    ///
    /// # Errors
    /// [`ImportError`]; what was restored before it stays.
    pub fn restore(&self, number: u32, to: &Partition, progress: &mut dyn FnMut(ImportProgress)) -> Result<ImportReport, ImportError> {
        let found = self.partitions.iter().find(|partition| partition.number == number);
        let from = found.ok_or_else(|| ImportError::NoPartition { path: self.path.clone(), partition: number })?;
        Restoring::begin(from, to)?.run(&*self.target, &self.path, progress)
    }
}

impl ImportPartition {
    fn open(target: &dyn Target, number: u32, paths: &[PathBuf]) -> Result<Self, ImportError> {
        let mut files = paths.iter().map(|path| ImportFile::open(target, path)).collect::<Result<Vec<_>, _>>()?;
        files.retain(|file| file.offsets.is_some());
        files.sort_by_key(|file| file.offsets.as_ref().map(|offsets| *offsets.start()));
        Ok(Self { number, files })
    }

    fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }
}

/// A restore under way.
struct Restoring<'a> {
    from: &'a ImportPartition,
    to: &'a Partition,
    /// The partition's last record when this began, until the row that it came from was compared with it.
    last: Option<StoredRecord>,
    /// Its offset: rows above it are not there, even where the partition ends behind them.
    last_offset: Option<Offset>,
    /// Where the partition ended.
    end: Offset,
    /// Offset of the row before.
    before: Option<Offset>,
    batch: RecordBatch,
    batch_bytes_max: u64,
    /// Where the batch is to stand.
    place: Option<BatchPlace>,
    unsynced_bytes: u64,
    report: ImportReport,
}

impl<'a> Restoring<'a> {
    fn begin(from: &'a ImportPartition, to: &'a Partition) -> Result<Self, ImportError> {
        let end = to.flush()?;
        let last = if to.log_start_offset() < end { to.read_backwards(end)?.next().transpose()? } else { None };
        Ok(Self {
            from,
            to,
            last_offset: last.as_ref().map(StoredRecord::offset),
            last,
            end,
            before: None,
            batch: RecordBatch::new(),
            batch_bytes_max: to.batch_bytes_max().min(BATCH_BYTES),
            place: None,
            unsynced_bytes: 0,
            report: ImportReport::default(),
        })
    }

    fn run(mut self, target: &dyn Target, path: &Path, progress: &mut dyn FnMut(ImportProgress)) -> Result<ImportReport, ImportError> {
        let all_rows = self.from.rows();
        for file in &self.from.files {
            // Of files that end below the last record, nothing is left to restore or to compare.
            let is_below = |offsets: &&RangeInclusive<u64>| self.last_offset.is_some_and(|last| *offsets.end() < last.get());
            if let Some(offsets) = file.offsets.as_ref().filter(is_below) {
                self.check_order(file, Offset::new(*offsets.start()))?;
                (self.before, self.report.kept_rows) = (Some(Offset::new(*offsets.end())), self.report.kept_rows + file.rows);
                continue;
            }
            let mut reading = file.read(target)?;
            while let Some(rows) = reading.next()? {
                for row in 0..rows.len() {
                    let place = rows.place(row).map_err(|reason| file.refused(reason))?;
                    self.take(file, place, &rows.record(row))?;
                }
                let ImportReport { rows, kept_rows, bytes } = self.report;
                progress(ImportProgress { rows: rows + kept_rows, all_rows, bytes });
            }
        }
        if self.last.is_some() {
            let files_end = self.before.map_or(Offset::ZERO, |last| Offset::new(last.get() + 1));
            return Err(ImportError::Ahead { path: path.to_owned(), log_end: self.end, files_end });
        }
        if let Some(file) = self.from.files.last() {
            self.append(file)?;
            self.flush()?;
        }
        Ok(self.report)
    }

    fn check_order(&self, file: &ImportFile, found: Offset) -> Result<(), ImportError> {
        match self.before.filter(|before| found <= *before) {
            Some(before) => Err(ImportError::Order { path: file.path.clone(), before, found }),
            None => Ok(()),
        }
    }

    fn take(&mut self, file: &ImportFile, at: RowPlace, record: &Record<'_>) -> Result<(), ImportError> {
        self.check_order(file, at.offset)?;
        // Which files are left, and where they end, was found by what they say of themselves.
        if let Some(told) = file.offsets.as_ref().filter(|told| !told.contains(&at.offset.get())) {
            let reason = format!("a row has offset {}, and its statistics say {} to {}: they are wrong", at.offset, told.start(), told.end());
            return Err(file.refused(reason));
        }
        let follows = self.before.replace(at.offset).is_some_and(|before| before.get() + 1 == at.offset.get());
        if let Some(last) = self.last.take_if(|last| at.offset >= last.offset())
            && (at.offset != last.offset() || !is_same(&last, at, record))
        {
            return Err(ImportError::Diverged { path: file.path.clone(), offset: last.offset() });
        }
        if at.offset < self.end {
            // A partition that was emptied, or ends in offsets without records, does not have what the files have there.
            if self.last_offset.is_none_or(|last| at.offset > last) {
                return Err(ImportError::Diverged { path: file.path.clone(), offset: at.offset });
            }
            self.report.kept_rows += 1;
            return Ok(());
        }
        let term = at.leader_epoch.or(self.place.map(|place| place.leader_epoch)).unwrap_or_else(|| self.to.term());
        let goes_on = self.place.is_some_and(|place| follows && place.leader_epoch == term && place.producer_id == at.producer_id);
        if !goes_on || !self.has_room(record) {
            self.append(file)?;
        }
        if self.batch.is_empty() {
            self.place = Some(BatchPlace { base_offset: at.offset, leader_epoch: term, producer_id: at.producer_id });
        }
        self.batch.push(record).map_err(|error| failure(file, error.into()))?;
        self.report.rows += 1;
        self.report.bytes += bytes_of(record);
        Ok(())
    }

    /// Whether the batch may grow by a record.
    fn has_room(&self, record: &Record<'_>) -> bool {
        let bytes =
            (self.batch.bytes() + self.batch.len() * NANOS_BYTES) as u64 + bytes_of(record) + RECORD_BYTES * (1 + record.headers.len() as u64);
        self.batch.len() < BATCH_RECORDS && bytes <= self.batch_bytes_max
    }

    /// Restores the batch, if there is one.
    fn append(&mut self, file: &ImportFile) -> Result<(), ImportError> {
        let Some(place) = self.place.filter(|_| !self.batch.is_empty()) else { return Ok(()) };
        self.to.restore(&self.batch, place).map_err(|source| failure(file, source))?;
        self.unsynced_bytes += self.batch.bytes() as u64;
        self.batch.clear();
        if self.unsynced_bytes >= SYNC_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), ImportError> {
        self.to.flush()?;
        self.unsynced_bytes = 0;
        Ok(())
    }
}

fn failure(file: &ImportFile, source: RestoreError) -> ImportError {
    ImportError::Restore { path: file.path.clone(), source }
}

fn is_same(stored: &StoredRecord, at: RowPlace, record: &Record<'_>) -> bool {
    at.leader_epoch.is_none_or(|epoch| epoch == stored.leader_epoch())
        && (stored.key(), stored.value(), Some(stored.timestamp())) == (record.key, record.value, record.timestamp)
        && stored.producer_id() == at.producer_id
        && stored.headers().eq(record.headers.iter().copied())
}

pub(super) fn bytes_of(record: &Record<'_>) -> u64 {
    let len = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let headers = record.headers.iter().map(|header| header.name.len() + len(header.value));
    (len(record.key) + len(record.value) + headers.sum::<usize>()) as u64
}

/// The files of each partition of the table at `table`: those that its Delta log names, or, without one, those in its directories.
fn files_of_table(target: &Arc<dyn Target>, table: &Path) -> Result<BTreeMap<u32, Vec<PathBuf>>, ImportError> {
    let mut files = BTreeMap::<u32, Vec<PathBuf>>::new();
    if let Some(named) = DeltaLog::files_of_all(target.clone(), table)? {
        for path in named {
            let number = path.split_once('/').and_then(|(directory, _)| partition_number(directory));
            let Some(number) = number else {
                let reason = format!("the Delta log names {path}, which is in no directory partition=<N>");
                return Err(ImportError::File { path: table.to_owned(), reason });
            };
            files.entry(number).or_default().push(table.join(&path));
        }
        return Ok(files);
    }
    for (name, kind) in entries(&**target, table)? {
        let Some(number) = partition_number(&name) else { continue };
        let path = table.join(name);
        check_kind(kind, Kind::Directory, &path)?;
        files.insert(number, parquet_files(&**target, &path)?);
    }
    Ok(files)
}

fn partition_number(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("partition=")?;
    digits.parse().ok().filter(|number: &u32| number.to_string() == digits)
}

/// The Parquet files in a directory, those left out that are being written.
fn parquet_files(target: &dyn Target, directory: &Path) -> Result<Vec<PathBuf>, ImportError> {
    let mut paths = Vec::new();
    for (name, kind) in entries(target, directory)? {
        if !name.starts_with('.') && Path::new(&name).extension().is_some_and(|extension| extension == EXTENSION) {
            paths.push(directory.join(name));
            check_kind(kind, Kind::File, &paths[paths.len() - 1])?;
        }
    }
    Ok(paths)
}

/// What is left out in silence is not restored in silence.
fn check_kind(found: Kind, expected: Kind, path: &Path) -> Result<(), ImportError> {
    if found == expected {
        return Ok(());
    }
    let what = if expected == Kind::File { "a regular file" } else { "a directory" };
    Err(ImportError::File { path: path.to_owned(), reason: format!("{what} was expected, and a symlink or something else is there") })
}

/// What is in a directory; nothing in a place that is none.
fn entries(target: &dyn Target, directory: &Path) -> Result<Vec<(String, Kind)>, ImportError> {
    if matches!(target.kind(directory)?, None | Some(Kind::File)) {
        return Ok(Vec::new());
    }
    let entries = target.list(directory)?;
    Ok(entries.into_iter().filter_map(|entry| Some((entry.name.into_string().ok()?, entry.kind))).collect())
}

pub(super) const BATCH_RECORDS: usize = 1000;
pub(super) const BATCH_BYTES: u64 = 256 << 10;
/// What a record, a header, and the nanoseconds of a time take at most beside keys, values and names.
pub(super) const RECORD_BYTES: u64 = 40;
pub(super) const NANOS_BYTES: usize = 4;
/// So that a run that is killed has little to do again, and a disk is not asked for everything at the end.
pub(super) const SYNC_BYTES: u64 = 64 << 20;
