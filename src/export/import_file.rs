//! One Parquet file that is imported: read through its place, a few thousand rows at a time. Restores nothing.

use std::fmt::Display;
use std::io::{self, BufReader, Read};
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::statistics::Statistics;

use crate::error::{IoContext, IoError};
use crate::export::import_error::ImportError;
use crate::export::import_rows::{COLUMNS, ImportRows};
use crate::export::schema::OFFSET;
use crate::export::target::{ReadAt, Target};

/// A file, and what its footer says of it. The footer itself is read again when it is needed: an export may have very many files.
#[derive(Debug)]
pub(super) struct ImportFile {
    pub(super) path: PathBuf,
    pub(super) rows: u64,
    /// Least and largest offset; none in an empty file.
    pub(super) offsets: Option<RangeInclusive<u64>>,
}

impl ImportFile {
    /// Reads the footer of the file at `path`.
    pub(super) fn open(target: &dyn Target, path: &Path) -> Result<Self, ImportError> {
        let input = SeamReader::open(target, path)?;
        guarded(path, || {
            let metadata = load(&input, path)?;
            let footer = metadata.metadata();
            let rows = u64::try_from(footer.file_metadata().num_rows()).map_err(|_| refused(path, "it counts less than no row"))?;
            let mut file = Self { path: path.to_owned(), rows, offsets: None };
            file.offsets = file.offsets_of_groups(footer.row_groups())?;
            Ok(file)
        })
    }

    fn offsets_of_groups(&self, groups: &[RowGroupMetaData]) -> Result<Option<RangeInclusive<u64>>, ImportError> {
        let groups = groups.iter().filter(|group| group.num_rows() > 0);
        let mut offsets: Option<RangeInclusive<u64>> = None;
        for group in groups {
            let (low, high) = self.offsets_of(group)?.into_inner();
            let (from, to) = offsets.map_or((low, high), |before| (low.min(*before.start()), high.max(*before.end())));
            offsets = Some(from..=to);
        }
        Ok(offsets)
    }

    fn offsets_of(&self, group: &RowGroupMetaData) -> Result<RangeInclusive<u64>, ImportError> {
        let column = group.columns().iter().find(|column| column.column_path().string() == OFFSET);
        let column = column.ok_or_else(|| self.refused(format!("it has no column {OFFSET}")))?;
        let Some(Statistics::Int64(statistics)) = column.statistics() else {
            return Err(self.refused(format!("its column {OFFSET} has no least and largest value, or is not INT64")));
        };
        let offset = |value: Option<&i64>| value.and_then(|value| u64::try_from(*value).ok());
        let ends = offset(statistics.min_opt()).zip(offset(statistics.max_opt()));
        ends.map(|(min, max)| min..=max)
            .ok_or_else(|| self.refused(format!("its column {OFFSET} has offsets below 0, or no least and largest value")))
    }

    /// Its rows, in the order in which they stand.
    pub(super) fn read(&self, target: &dyn Target) -> Result<Reading<'_>, ImportError> {
        let input = SeamReader::open(target, &self.path)?;
        let metadata = load(&input, &self.path)?;
        Ok(Reading { file: self, input, metadata, next_group: 0, group: None })
    }

    pub(super) fn refused(&self, reason: impl Display) -> ImportError {
        refused(&self.path, reason)
    }
}

/// A file being read.
pub(super) struct Reading<'file> {
    file: &'file ImportFile,
    input: SeamReader,
    metadata: ArrowReaderMetadata,
    next_group: usize,
    /// The row group that is being read: rows of two of them are never in memory at once.
    group: Option<ParquetRecordBatchReader>,
}

impl Reading<'_> {
    /// The next rows, or `None` behind the last.
    pub(super) fn next(&mut self) -> Result<Option<ImportRows>, ImportError> {
        guarded(&self.file.path, || self.decode())
    }

    fn decode(&mut self) -> Result<Option<ImportRows>, ImportError> {
        loop {
            if let Some(rows) = self.group.as_mut().and_then(Iterator::next) {
                let rows = rows.map_err(|error| self.input.failure(&self.file.path, error.into()))?;
                return ImportRows::new(&rows).map(Some).map_err(|reason| self.file.refused(reason));
            }
            if !self.open_group()? {
                return Ok(None);
            }
        }
    }

    /// Whether there is another row group.
    fn open_group(&mut self) -> Result<bool, ImportError> {
        let Some(group) = self.metadata.metadata().row_groups().get(self.next_group) else { return Ok(false) };
        let bytes_a_row = group.total_byte_size() / group.num_rows().max(1);
        let rows = (PORTION_BYTES / bytes_a_row.max(1)).clamp(1, ROWS_MAX);
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.input.clone(), self.metadata.clone());
        let mask = ProjectionMask::columns(builder.parquet_schema(), COLUMNS);
        let builder = builder.with_projection(mask).with_row_groups(vec![self.next_group]).with_batch_size(rows as usize);
        self.group = Some(builder.build().map_err(|error| failure(&self.file.path, error))?);
        self.next_group += 1;
        Ok(true)
    }
}

/// The decoder panics at some files that are malformed: that is no reason for a program to end. Nothing that it left is used again.
pub(super) fn guarded<T>(path: &Path, decode: impl FnOnce() -> Result<T, ImportError>) -> Result<T, ImportError> {
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_| Err(refused(path, "it is malformed: its decoder panics")))
}

/// The footer. What another writer noted of its Arrow types does not matter: columns are taken as the file stores them.
pub(super) fn load(input: &SeamReader, path: &Path) -> Result<ArrowReaderMetadata, ImportError> {
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    ArrowReaderMetadata::load(input, options).map_err(|error| failure(path, error))
}

pub(super) fn refused(path: &Path, reason: impl Display) -> ImportError {
    ImportError::File { path: path.to_owned(), reason: reason.to_string() }
}

/// An error of the decoder, or of the file system below it.
pub(super) fn failure(path: &Path, error: ParquetError) -> ImportError {
    match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(error) => IoError::new("read", path, *error).into(),
            Err(other) => refused(path, other),
        },
        other => refused(path, other),
    }
}

/// A file of the target as the decoder reads it.
#[derive(Debug, Clone)]
pub(super) struct SeamReader {
    file: Arc<dyn ReadAt>,
    len: u64,
    /// Why the file could not be read: the decoder of rows keeps only the text of it.
    failed: Arc<Mutex<Option<io::Error>>>,
}

impl SeamReader {
    pub(super) fn open(target: &dyn Target, path: &Path) -> Result<Self, ImportError> {
        Ok(Self::new(target.open(path)?).at("look at", path)?)
    }

    pub(super) fn new(file: Arc<dyn ReadAt>) -> io::Result<Self> {
        Ok(Self { len: file.len()?, file, failed: Arc::default() })
    }

    /// An error of the decoder of rows, or of the file system below it.
    pub(super) fn failure(&self, path: &Path, error: ParquetError) -> ImportError {
        match self.failed.lock().take() {
            Some(error) => IoError::new("read", path, error).into(),
            None => failure(path, error),
        }
    }

    fn note(failed: &Mutex<Option<io::Error>>, error: &io::Error) {
        *failed.lock() = Some(error.raw_os_error().map_or_else(|| io::Error::new(error.kind(), error.to_string()), io::Error::from_raw_os_error));
    }
}

impl Length for SeamReader {
    fn len(&self) -> u64 {
        self.len
    }
}

impl ChunkReader for SeamReader {
    type T = BufReader<SeamCursor>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(BufReader::new(SeamCursor { file: self.file.clone(), position: start, failed: self.failed.clone() }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        // Before memory is asked for: a length that is forged is not in the file.
        if start.checked_add(length as u64).is_none_or(|end| end > self.len) {
            return Err(ParquetError::EOF(format!("{length} bytes from {start} on, in a file of {}", self.len)));
        }
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, start).map_err(|error| {
            Self::note(&self.failed, &error);
            ParquetError::External(Box::new(error))
        })?;
        Ok(bytes.into())
    }
}

/// Reads on from a position.
#[derive(Debug)]
pub(super) struct SeamCursor {
    file: Arc<dyn ReadAt>,
    position: u64,
    failed: Arc<Mutex<Option<io::Error>>>,
}

impl Read for SeamCursor {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.position).inspect_err(|error| SeamReader::note(&self.failed, error))?;
        self.position += read as u64;
        Ok(read)
    }
}

/// Rows decoded at once: so many bytes on the average, and at most a page of an export.
const PORTION_BYTES: i64 = 8 << 20;
const ROWS_MAX: i64 = 4096;
