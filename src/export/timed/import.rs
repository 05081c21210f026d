//! Parquet files without offsets, appended in the order of their times by any number of runs, each row once. Restores no offset.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::export::import_error::ImportError;
use crate::export::storage_target::StorageTarget;
use crate::export::target::Target;
use crate::export::timed::append::Appending;
use crate::export::timed::columns::TimedColumns;
use crate::export::timed::file::{Look, TimedFile};
use crate::export::timed::files::find;
use crate::export::timed::merge::Merge;
use crate::export::timed::note::SourceId;
use crate::export::timed::plan::Plan;
use crate::export::timed::resume::{Resumed, Sought};
use crate::io::{Disk, Storage};
use crate::topic::Partition;

/// Parquet files without offsets, as other tools write them: their rows become records of one partition, in the order of their times.
///
/// ```
/// use std::sync::Arc;
///
/// use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
/// use tidelog::Store;
/// use tidelog::export::{TimedColumns, TimedImport};
///
/// # let dir = tempfile::tempdir()?;
/// # let (files, data) = (dir.path().join("files"), dir.path().join("data"));
/// # std::fs::create_dir(&files)?;
/// # for (name, times, texts) in [("a.parquet", [1000, 3000], ["one", "three"]), ("b.parquet", [2000, 4000], ["two", "four"])] {
/// #     let (at, line): (ArrayRef, ArrayRef) = (Arc::new(Int64Array::from(times.to_vec())), Arc::new(StringArray::from(texts.to_vec())));
/// #     let rows = RecordBatch::try_from_iter([("at_ms", at), ("line", line)])?;
/// #     let mut writer = parquet::arrow::ArrowWriter::try_new(std::fs::File::create(files.join(name))?, rows.schema(), None)?;
/// #     writer.write(&rows)?;
/// #     writer.close()?;
/// # }
/// let import = TimedImport::open(&files, &TimedColumns::new().time("at_ms").value("line"))?;
/// let partition = Store::open(&data)?.topic("lines")?.partition(0)?;
/// assert_eq!(import.append_to(&partition, &mut |_| {})?.rows, 4);
/// assert_eq!(import.append_to(&partition, &mut |_| {})?.rows, 0, "all of them are there");
/// assert_eq!(partition.get(1)?.value(), Some(&b"two"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TimedImport {
    target: Arc<dyn Target>,
    path: PathBuf,
    source: String,
    settings_crc: u32,
    /// Those that have rows, in the order of their first times; those that begin at once in the order of their names.
    files: Vec<TimedFile>,
    memory_bytes_max: u64,
}

/// What an import did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimedReport {
    /// Rows that became records in this run.
    pub rows: u64,
    /// Rows that had become records before.
    pub kept_rows: u64,
    /// Bytes of keys, values and headers that became records in this run.
    pub bytes: u64,
    /// Records that others appended since the first row was.
    pub other_records: u64,
}

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimedProgress {
    /// Rows that are records.
    pub rows: u64,
    /// Rows of all files.
    pub all_rows: u64,
    /// Bytes of keys, values and headers that became records in this run.
    pub bytes: u64,
}

impl TimedImport {
    /// Finds the files at `path`, which is a file or a directory of any depth, and reads their footers. Where there is a Delta log, it says which
    /// files count; names that begin with `.` or `_` are passed over. Times that no statistics tell of are read.
    ///
    /// # Errors
    /// [`ImportError`]: [`HaveOffsets`](ImportError::HaveOffsets) if all files have them, and [`Mixed`](ImportError::Mixed) if some do.
    pub fn open(path: impl Into<PathBuf>, columns: &TimedColumns) -> Result<Self, ImportError> {
        Self::open_in(Arc::new(Disk::new()), path, columns)
    }

    /// The same, in another storage.
    ///
    /// # Errors
    /// [`ImportError`].
    pub fn open_in(storage: Arc<dyn Storage>, path: impl Into<PathBuf>, columns: &TimedColumns) -> Result<Self, ImportError> {
        let path = path.into();
        let target: Arc<dyn Target> = Arc::new(StorageTarget::new(storage));
        let (mut files, mut with_offsets) = (Vec::new(), None);
        for found in find(&target, &path)? {
            let at = found.path.clone();
            match TimedFile::look(&*target, found, columns)? {
                Look::WithOffsets => with_offsets = with_offsets.or(Some(at)),
                Look::Without(file) => files.push((at, *file)),
            }
        }
        match (with_offsets, files.first()) {
            (Some(_), None) => return Err(ImportError::HaveOffsets { path }),
            (Some(with), Some((without, _))) => return Err(ImportError::Mixed { with, without: without.clone() }),
            (None, _) => {}
        }
        let mut files = files.into_iter().map(|(_, file)| file).collect::<Result<Vec<_>, _>>()?;
        files.retain(|file| file.rows > 0);
        files.sort_by(|one, other| (one.first_time(), &one.name).cmp(&(other.first_time(), &other.name)));
        let settings_crc = crc32fast::hash(columns.fingerprint().as_bytes());
        let source = path.to_string_lossy().into_owned();
        Ok(Self { target, path, source, settings_crc, files, memory_bytes_max: MEMORY_BYTES_MAX })
    }

    /// What a partition remembers these files by, so that changed ones are told from others: their path as it was given, unless this names another.
    pub fn source(mut self, source: impl Into<String>) -> Self {
        self.source = source.into();
        self
    }

    /// How much memory rows may take, in bytes: 1 GiB unless said otherwise. A row group that is sorted by time takes little; one that is not
    /// takes as much as it is uncompressed, and so does each other one whose times lie over its own.
    pub fn memory_bytes_max(mut self, bytes: u64) -> Self {
        self.memory_bytes_max = bytes;
        self
    }

    /// Where the files are.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Rows in all files.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }

    /// Appends the rows that the partition does not have yet, in the order of their times; rows of one time in the order of their files' paths, and
    /// then as they stand in the file. Offsets are assigned as in any append. Durable when this returns.
    ///
    /// Which files were begun and which row was the last is stored with each batch: a run that is killed at any moment is continued by the next one,
    /// with no row twice and none left out. Files that were begun must stay as they are; others may come as long as their rows come behind
    /// what was appended. What others append to the partition is not counted as rows, and told. A partition whose last rows were cut off gets them
    /// again; one of which all rows were deleted begins anew. `progress` is told of each batch.
    ///
    /// # Errors
    /// [`ImportError`]; what comes before it is appended, durably if that can be, and stays. What the files' footers and times show is refused before anything is appended.
    pub fn append_to(&self, to: &Partition, progress: &mut dyn FnMut(TimedProgress)) -> Result<TimedReport, ImportError> {
        to.flush()?;
        // What is appended from here on is not this import's: also while it looks at its files.
        let end = to.log_end_offset();
        let source = SourceId::new(&self.source);
        let sought = Sought { path: &self.path, files: &self.files, source, settings_crc: self.settings_crc };
        let resumed = sought.find(to)?;
        let last = resumed.as_ref().and_then(|resumed| resumed.last.as_ref());
        let plan = Plan::new(&*self.target, &self.files, last, self.memory_bytes_max)?;
        let rows = resumed.as_ref().map_or(0, Resumed::rows);
        if plan.kept_rows != rows {
            return Err(ImportError::Rows { path: self.path.clone(), rows, found: plan.kept_rows });
        }
        let mut appending = Appending::new(to, &self.files, source, self.settings_crc, end, resumed);
        let merge = Merge::new(&*self.target, &self.files, plan, self.memory_bytes_max);
        match merge.run(&mut |place, record| appending.take(place, record, progress)) {
            Ok(()) => appending.finish(progress),
            Err(error) => {
                appending.stop(progress);
                Err(error)
            }
        }
    }
}

const MEMORY_BYTES_MAX: u64 = 1 << 30;
