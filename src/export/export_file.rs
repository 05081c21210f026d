//! One Parquet file on its way to the disk: written under a name with a dot, named when it is complete and durable. Chooses no rows.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use arrow::datatypes::SchemaRef;
use parquet::errors::ParquetError;
use parquet::file::writer::SerializedFileWriter;
use tidelog_format::Offset;

use crate::error::{IoContext, IoError};
use crate::export::columns::Columns;
use crate::export::encoders::{EncodedGroup, Encoders};
use crate::export::error::ExportError;
use crate::export::export_directory::{ExportDirectory, FileRange, PARTIAL_SUFFIX};
use crate::export::footer::{Contents, Source, key_values};
use crate::export::parquet_compression::ParquetCompression;
use crate::export::report::ExportedFile;
use crate::export::row_group_writers::RowGroupWriters;
use crate::io::{File, Storage, write_all_at};

/// A file being written. Dropped before [`finish`](Self::finish), it is removed.
pub(super) struct ExportFile {
    writer: SerializedFileWriter<SeamWriter>,
    groups: Arc<RowGroupWriters>,
    /// Row groups that are being encoded, in their order.
    under_way: VecDeque<Receiver<EncodedGroup>>,
    group_count: usize,
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
    pub(super) fn create(directory: &ExportDirectory, first: u64, schema: &SchemaRef, compression: ParquetCompression) -> Result<Self, ExportError> {
        let path = directory.path.join(format!(".{first:020}{PARTIAL_SUFFIX}"));
        let file = directory.storage.create(&path).at("create", &path)?;
        let partial = Partial { storage: directory.storage.clone(), file: file.clone(), path, is_named: false };
        let sink = SeamWriter { file, position: 0 };
        let opened = RowGroupWriters::new(schema, compression).and_then(|groups| Ok((groups.for_file(sink)?, groups)));
        let (writer, groups) = opened.map_err(|error| partial.failure(error))?;
        Ok(Self { writer, groups: Arc::new(groups), under_way: VecDeque::new(), group_count: 0, partial })
    }

    /// Takes all rows of `columns` as a row group, and puts columns in their place that are empty.
    pub(super) fn write_group(&mut self, columns: &mut Columns, encoders: &Encoders) -> Result<(), ExportError> {
        // At most as many row groups are in memory as there are threads, and the one that is being gathered.
        let empty = if self.under_way.len() >= encoders.count() { self.write_next()? } else { None };
        let full = std::mem::replace(columns, empty.unwrap_or_else(|| columns.empty()));
        self.under_way.push_back(encoders.encode(full, &self.groups, self.group_count));
        self.group_count += 1;
        Ok(())
    }

    /// Writes the row group that comes next, once it is encoded; its columns are empty.
    fn write_next(&mut self) -> Result<Option<Columns>, ExportError> {
        let Some(next) = self.under_way.pop_front() else { return Ok(None) };
        let lost = || ExportError::Encode { path: self.partial.path.clone(), reason: "the thread that encodes it has ended".to_owned() };
        let EncodedGroup { columns, chunks } = next.recv().map_err(|_| lost())?;
        let written = chunks.and_then(|chunks| {
            let mut group = self.writer.next_row_group()?;
            chunks.into_iter().try_for_each(|chunk| chunk.append_to_row_group(&mut group))?;
            group.close()
        });
        written.map_err(|error| self.partial.failure(error))?;
        Ok(Some(columns))
    }

    /// Writes the footer, makes the file durable and gives it its name. `segments` are the files that its rows stood in.
    pub(super) fn finish(mut self, source: &Source, contents: &Contents, segments: &[String]) -> Result<ExportedFile, ExportError> {
        while self.write_next()?.is_some() {}
        let extent = &contents.extent;
        for pair in key_values(source, contents, segments) {
            self.writer.append_key_value_metadata(pair);
        }
        self.writer.finish().map_err(|error| self.partial.failure(error))?;
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
