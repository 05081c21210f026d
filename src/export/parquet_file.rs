//! A Parquet file as it is laid out: magic, row groups, page index, footer. Encodes nothing, and knows no rows.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use parquet::errors::ParquetError;
use parquet::file::metadata::page_index::PageIndexBuilder;
use parquet::file::metadata::{ColumnChunkMetaData, FileMetaData, KeyValue, ParquetMetaDataBuilder, ParquetMetaDataWriter, RowGroupMetaData};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::page_index::offset_index::OffsetIndexMetaData;
use parquet::file::writer::{SerializedRowGroupWriter, TrackedWrite};
use parquet::schema::types::SchemaDescPtr;

use crate::export::pages::PageBuffer;
use crate::export::row_group_writers::{RowGroup, TypedWriters};
use crate::export::schema::{CREATED_BY, VALUE_COLUMN, sorting};
use crate::export::target::Draft;

/// A file being written.
pub(super) struct ParquetFile {
    out: TrackedWrite<Sink>,
    sink: Sink,
    schema: SchemaDescPtr,
    groups: Vec<RowGroupMetaData>,
    indexes: Vec<Vec<(Option<ColumnIndexMetaData>, Option<OffsetIndexMetaData>)>>,
}

impl ParquetFile {
    pub(super) fn begin(draft: Box<dyn Draft>, schema: SchemaDescPtr) -> Result<Self, ParquetError> {
        let sink = Sink { shared: Arc::new(Mutex::new(Shared { draft, failure: None })) };
        let mut out = TrackedWrite::new(sink.clone());
        out.write_all(MAGIC)?;
        Ok(Self { out, sink, schema, groups: Vec::new(), indexes: Vec::new() })
    }

    /// Writes a row group; gives back what its values were in.
    pub(super) fn write_group(&mut self, group: RowGroup, typed: Option<&TypedWriters>) -> Result<Vec<Vec<u8>>, ParquetError> {
        let start = self.out.bytes_written();
        let (mut columns, mut indexes, mut buffers) = (Vec::new(), Vec::new(), Vec::new());
        let mut uncompressed = 0;
        for chunk in group.chunks {
            let metadata = chunk.metadata(self.out.bytes_written())?;
            uncompressed += chunk.uncompressed_bytes();
            chunk.parts.iter().try_for_each(|part| self.out.write_all(part.as_slice()))?;
            // Those of the values are large.
            if columns.len() == VALUE_COLUMN {
                buffers.extend(chunk.parts.into_iter().map(PageBuffer::into_vec));
            }
            columns.push(metadata.column);
            indexes.push((metadata.column_index, metadata.offset_index));
        }
        if let Some(typed) = typed {
            let mut written = None;
            let keep = |_: &mut TrackedWrite<Sink>, group: RowGroupMetaData, _, columns, offsets| {
                written = Some((group, columns, offsets));
                Ok(())
            };
            let number = self.groups.len() as i32;
            let mut writer =
                SerializedRowGroupWriter::new(typed.schema.clone(), typed.properties.clone(), &mut self.out, number, Some(Box::new(keep)));
            group.typed.into_iter().try_for_each(|chunk| chunk.append_to_row_group(&mut writer))?;
            writer.close()?;
            let (group, column_indexes, offset_indexes) = written.expect("a row group that was closed");
            uncompressed += group.total_byte_size();
            columns.extend(group.columns().iter().cloned());
            indexes.extend(column_indexes.into_iter().zip(offset_indexes));
        }
        self.groups.push(self.group(columns, group.rows, uncompressed, start)?);
        self.indexes.push(indexes);
        Ok(buffers)
    }

    fn group(&self, columns: Vec<ColumnChunkMetaData>, rows: usize, uncompressed: i64, start: usize) -> Result<RowGroupMetaData, ParquetError> {
        RowGroupMetaData::builder(self.schema.clone())
            .set_column_metadata(columns)
            .set_num_rows(rows as i64)
            .set_total_byte_size(uncompressed)
            .set_sorting_columns(Some(sorting()))
            .set_ordinal(self.groups.len() as i32)
            .set_file_offset(start as i64)
            .build()
    }

    /// Writes the page index and the footer; returns the draft, which has all its bytes.
    pub(super) fn finish(self, key_values: Vec<KeyValue>) -> Result<Box<dyn Draft>, ParquetError> {
        let Self { mut out, sink, schema, groups, indexes } = self;
        let mut page_index = PageIndexBuilder::new(groups.len(), schema.num_columns());
        for (group, columns) in indexes.into_iter().enumerate() {
            for (column, (column_index, offset_index)) in columns.into_iter().enumerate() {
                column_index.into_iter().for_each(|index| page_index.put_column_index(index, group, column));
                offset_index.into_iter().for_each(|index| page_index.put_offset_index(index, group, column));
            }
        }
        let rows = groups.iter().map(RowGroupMetaData::num_rows).sum();
        let file = FileMetaData::new(FILE_VERSION, rows, Some(CREATED_BY.to_owned()), Some(key_values), schema, None);
        let metadata = ParquetMetaDataBuilder::new(file).set_row_groups(groups).set_page_index(Some(Arc::new(page_index.build()))).build();
        out.flush()?;
        // What it writes is flushed when it is dropped, which tells of no failure.
        ParquetMetaDataWriter::new_with_tracked(out, &metadata).finish()?;
        let shared = Arc::into_inner(sink.shared).expect("whoever else wrote is gone");
        let Shared { draft, failure } = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
        failure.map_or(Ok(draft), |failure| Err(failure.into()))
    }
}

/// Where the bytes go. A failure is kept, for whoever writes may pass it over.
#[derive(Clone)]
struct Sink {
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    draft: Box<dyn Draft>,
    failure: Option<io::Error>,
}

impl Sink {
    fn with<T>(&mut self, act: impl FnOnce(&mut dyn Draft) -> io::Result<T>) -> io::Result<T> {
        let Shared { draft, failure } = &mut *self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let done = act(&mut **draft);
        // An interrupted call is made again by whoever made it.
        if let Err(error) = &done
            && error.kind() != io::ErrorKind::Interrupted
        {
            *failure = Some(error.raw_os_error().map_or_else(|| io::Error::new(error.kind(), error.to_string()), io::Error::from_raw_os_error));
        }
        done
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.with(|draft| draft.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.with(|draft| draft.flush())
    }
}

const MAGIC: &[u8] = b"PAR1";
/// As long as no page is of version 2.
const FILE_VERSION: i32 = 1;
