//! The rows of a file that an export has written, in the columns that it was written from, some thousand at a time. Knows no records.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use crate::error::{IoContext, IoError};
use crate::export::error::ExportError;
use crate::export::import_file::SeamReader;
use crate::export::target::{ReadAt, Target};

/// A file being read, a row group after the other.
pub(super) struct FileRows {
    path: PathBuf,
    file: Arc<WatchedFile>,
    input: SeamReader,
    metadata: ArrowReaderMetadata,
    next_group: usize,
    group: Option<ParquetRecordBatchReader>,
}

impl FileRows {
    /// Opens the file at `path`, which has the columns of `schema`.
    pub(super) fn open(target: &dyn Target, path: &Path, schema: &SchemaRef) -> Result<Self, ExportError> {
        let file = Arc::new(WatchedFile { file: target.open(path)?, failure: Mutex::new(None) });
        let input = SeamReader::new(file.clone()).at("look at", path)?;
        let options = ArrowReaderOptions::new().with_schema(schema.clone());
        let metadata = guarded(&file, path, || ArrowReaderMetadata::load(&input, options).map_err(|error| error.to_string()))?;
        Ok(Self { path: path.to_owned(), file, input, metadata, next_group: 0, group: None })
    }

    /// The next rows, or `None` behind the last.
    pub(super) fn next(&mut self) -> Result<Option<RecordBatch>, ExportError> {
        let Self { path, file, input, metadata, next_group, group } = self;
        guarded(file, path, || {
            loop {
                if let Some(rows) = group.as_mut().and_then(Iterator::next) {
                    return rows.map(Some).map_err(|error| error.to_string());
                }
                let Some(next) = metadata.metadata().row_groups().get(*next_group) else { return Ok(None) };
                let bytes_a_row = next.total_byte_size() / next.num_rows().max(1);
                let rows = (PORTION_BYTES / bytes_a_row.max(1)).clamp(1, ROWS_MAX);
                let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(input.clone(), metadata.clone());
                let builder = builder.with_row_groups(vec![*next_group]).with_batch_size(rows as usize);
                *group = Some(builder.build().map_err(|error| error.to_string())?);
                *next_group += 1;
            }
        })
    }
}

/// The decoder keeps no error of the file system as it was, and panics at some files that are malformed.
fn guarded<T>(file: &WatchedFile, path: &Path, decode: impl FnOnce() -> Result<T, String>) -> Result<T, ExportError> {
    let decoded = catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_| Err("it is malformed: its decoder panics".to_owned()));
    decoded.map_err(|reason| match file.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(failure) => IoError::new("read", path, failure).into(),
        None => ExportError::NotOfExport { path: path.to_owned(), reason },
    })
}

/// A file that remembers why it could not be read.
#[derive(Debug)]
struct WatchedFile {
    file: Arc<dyn ReadAt>,
    failure: Mutex<Option<io::Error>>,
}

impl WatchedFile {
    fn watch<T>(&self, read: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &read {
            let again = error.raw_os_error().map_or_else(|| io::Error::new(error.kind(), error.to_string()), io::Error::from_raw_os_error);
            *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(again);
        }
        read
    }
}

impl ReadAt for WatchedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.watch(self.file.read_at(buffer, position))
    }

    fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        self.watch(self.file.read_exact_at(buffer, position))
    }
}

/// Rows decoded at once: so many bytes on the average, and at most a page of an export.
const PORTION_BYTES: i64 = 8 << 20;
const ROWS_MAX: i64 = 4096;
