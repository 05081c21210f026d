//! One Parquet file on its way to the disk: written under a name with a dot, named when it is complete and durable. Chooses no rows.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;
use tidelog_format::Offset;

use crate::error::{IoContext, IoError};
use crate::export::columns::Columns;
use crate::export::error::ExportError;
use crate::export::export_directory::{ExportDirectory, FileRange, PARTIAL_SUFFIX};
use crate::export::footer::{Contents, Source, key_values};
use crate::export::report::ExportedFile;
use crate::export::schema::writer_options;
use crate::io::{File, Storage, write_all_at};

/// A file being written. Dropped before [`finish`](Self::finish), it is removed.
#[derive(Debug)]
pub(super) struct ExportFile {
    writer: ArrowWriter<SeamWriter>,
    partial: Partial,
}

/// The file under its first name.
#[derive(Debug)]
struct Partial {
    storage: Arc<dyn Storage>,
    file: Arc<dyn File>,
    path: PathBuf,
    is_named: bool,
}

impl ExportFile {
    pub(super) fn create(directory: &ExportDirectory, first: u64, schema: &SchemaRef) -> Result<Self, ExportError> {
        let path = directory.path.join(format!(".{first:020}{PARTIAL_SUFFIX}"));
        let file = directory.storage.create(&path).at("create", &path)?;
        let partial = Partial { storage: directory.storage.clone(), file: file.clone(), path, is_named: false };
        let sink = SeamWriter { file, position: 0 };
        let writer = writer_options().and_then(|options| ArrowWriter::try_new_with_options(sink, schema.clone(), options));
        Ok(Self { writer: writer.map_err(|error| partial.failure(error))?, partial })
    }

    /// Rows in the row group that is being gathered.
    pub(super) fn group_rows(&self) -> usize {
        self.writer.in_progress_rows()
    }

    /// Takes all rows of `columns`.
    pub(super) fn write(&mut self, columns: &mut Columns) -> Result<(), ExportError> {
        if columns.len() == 0 {
            return Ok(());
        }
        columns.drain(|rows| self.write_rows(&rows)).map_err(|error| self.partial.failure(error))
    }

    fn write_rows(&mut self, rows: &RecordBatch) -> Result<(), ParquetError> {
        self.writer.write(rows)?;
        // Rows of a group wait in memory, encoded, until it is complete.
        if self.writer.in_progress_size() >= GROUP_BYTES {
            self.writer.flush()?;
        }
        Ok(())
    }

    /// Writes the footer, makes the file durable and gives it its name. `segments` are the files that its rows stood in.
    pub(super) fn finish(mut self, source: &Source, contents: &Contents, segments: &[String]) -> Result<ExportedFile, ExportError> {
        let extent = &contents.extent;
        for pair in key_values(source, contents, segments) {
            self.writer.append_key_value_metadata(pair);
        }
        self.writer.finish().map_err(|error| self.partial.failure(error))?;
        self.writer.sync().at("write", &self.partial.path)?;
        let Partial { file, storage, path, .. } = &self.partial;
        let bytes = file.len().at("look at", path)?;
        file.sync().at("sync", path)?;
        let name = FileRange { first: extent.first, last: extent.last }.name();
        let named = path.with_file_name(name);
        storage.rename_new(path, &named).at("name", &named)?;
        let directory = named.parent().unwrap_or(Path::new("."));
        storage.sync_dir(directory).at("sync", directory)?;
        self.partial.is_named = true;
        Ok(ExportedFile { path: named, rows: extent.rows, bytes, first: Offset::new(extent.first), last: Offset::new(extent.last) })
    }
}

impl Partial {
    /// An error of the encoder, or of the file system below it.
    fn failure(&self, error: ParquetError) -> ExportError {
        let path = &self.path;
        match error {
            ParquetError::External(inner) => match inner.downcast::<io::Error>() {
                Ok(error) => IoError::new("write", path, *error).into(),
                Err(other) => ExportError::Encode { path: path.clone(), reason: other.to_string() },
            },
            other => ExportError::Encode { path: path.clone(), reason: other.to_string() },
        }
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.is_named {
            // If this fails, the next run removes it.
            let _ = self.storage.unlink(&self.path);
        }
    }
}

/// Writes to a file of the storage, from its beginning on.
#[derive(Debug)]
struct SeamWriter {
    file: Arc<dyn File>,
    position: u64,
}

impl Write for SeamWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write_all_at(&*self.file, bytes, self.position)?;
        self.position += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Encoded bytes of a row group at which it ends, however few rows it has.
const GROUP_BYTES: usize = 128 << 20;
