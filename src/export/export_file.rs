//! One Parquet file on its way to its place: it gets its name when it is complete and durable. Chooses no rows.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use arrow::datatypes::SchemaRef;
use parquet::errors::ParquetError;
use tidelog_format::Offset;

use crate::error::IoError;
use crate::export::columns::Columns;
use crate::export::encoders::{EncodedGroup, Encoders};
use crate::export::error::ExportError;
use crate::export::export_directory::{ExportDirectory, FileName};
use crate::export::footer::{Contents, Source, key_values};
use crate::export::gathered_rows::GatheredGroup;
use crate::export::pages::PageCompressor;
use crate::export::parquet_compression::ParquetCompression;
use crate::export::parquet_file::ParquetFile;
use crate::export::report::ExportedFile;
use crate::export::row_group_writers::{RowGroup, RowGroupWriters};

/// A file being written. Dropped before [`finish`](Self::finish), it is removed.
pub(super) struct ExportFile {
    file: ParquetFile,
    groups: Arc<RowGroupWriters>,
    /// Row groups that are being encoded, in their order.
    under_way: VecDeque<Receiver<EncodedGroup>>,
    group_count: usize,
    /// The directory that it is for.
    directory: PathBuf,
    /// What errors name.
    path: PathBuf,
}

impl ExportFile {
    pub(super) fn create(directory: &ExportDirectory, first: u64, schema: &SchemaRef, compression: ParquetCompression) -> Result<Self, ExportError> {
        let draft = directory.target.begin(&directory.path, first)?;
        let path = draft.path().to_owned();
        let opened = RowGroupWriters::new(schema, compression).and_then(|groups| Ok((ParquetFile::begin(draft, groups.schema.clone())?, groups)));
        let (file, groups) = opened.map_err(|error| failure(&path, error))?;
        Ok(Self { file, groups: Arc::new(groups), under_way: VecDeque::new(), group_count: 0, directory: directory.path.clone(), path })
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
        let lost = || ExportError::Encode { path: self.path.clone(), reason: "the thread that encodes it has ended".to_owned() };
        let EncodedGroup { mut columns, group } = next.recv().map_err(|_| lost())?;
        self.write(group)?.into_iter().for_each(|buffer| columns.values.reuse(buffer));
        Ok(Some(columns))
    }

    /// Encodes and writes a row group that was one before, or several.
    pub(super) fn write_rows(&mut self, gathered: &GatheredGroup, compressor: &mut PageCompressor) -> Result<(), ExportError> {
        let (mut columns, declared) = gathered.columns();
        let group = self.groups.encode(self.group_count, &mut columns, declared, compressor);
        self.group_count += 1;
        self.write(group).map(|_| ())
    }

    fn write(&mut self, group: Result<RowGroup, ParquetError>) -> Result<Vec<Vec<u8>>, ExportError> {
        group.and_then(|group| self.file.write_group(group, self.groups.typed.as_ref())).map_err(|error| failure(&self.path, error))
    }

    /// Writes the footer, makes the file durable and gives it its name.
    pub(super) fn finish(mut self, name: FileName, source: &Source, contents: &Contents) -> Result<ExportedFile, ExportError> {
        while self.write_next()?.is_some() {}
        let extent = &contents.extent;
        let mut draft = self.file.finish(key_values(source, contents)).map_err(|error| failure(&self.path, error))?;
        let name = name.to_string();
        let bytes = draft.finish(&name)?;
        Ok(ExportedFile {
            path: self.directory.join(name),
            rows: extent.rows,
            bytes,
            first: Offset::new(extent.first),
            last: Offset::new(extent.last),
        })
    }
}

/// An error of the encoder, or of the place below it.
fn failure(path: &Path, error: ParquetError) -> ExportError {
    let path = path.to_owned();
    match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(error) => IoError::new("write", &path, *error).into(),
            Err(other) => ExportError::Encode { path, reason: other.to_string() },
        },
        other => ExportError::Encode { path, reason: other.to_string() },
    }
}
