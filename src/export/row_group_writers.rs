//! How the columns of a row group are encoded, which depends on its times. Encodes nothing itself.

use std::io;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::TypePtr;

use crate::export::parquet_compression::ParquetCompression;
use crate::export::schema::writer_properties;

/// How far the times of neighbouring rows are apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Times {
    /// Too far for differences.
    Apart,
    /// Near enough in microseconds.
    Near,
    /// Near enough in nanoseconds too.
    VeryNear,
}

/// Makes the writers of each row group of a file.
#[derive(Debug)]
pub(super) struct RowGroupWriters {
    /// By [`Times`].
    by_times: [ArrowRowGroupWriterFactory; 3],
    root: TypePtr,
    properties: Arc<WriterProperties>,
}

impl RowGroupWriters {
    pub(super) fn new(schema: &SchemaRef, compression: ParquetCompression) -> Result<Self, ParquetError> {
        let root = ArrowSchemaConverter::new().convert(schema)?.root_schema_ptr();
        let factory = |times: Times| {
            // It is asked for what it was made with, and writes nothing.
            let writer = SerializedFileWriter::new(io::sink(), root.clone(), Arc::new(writer_properties(times, compression)?))?;
            Ok::<_, ParquetError>(ArrowRowGroupWriterFactory::new(&writer, schema.clone()))
        };
        let by_times = [factory(Times::Apart)?, factory(Times::Near)?, factory(Times::VeryNear)?];
        Ok(Self { by_times, root: root.clone(), properties: Arc::new(writer_properties(Times::Apart, compression)?) })
    }

    /// The writer of a file of such row groups.
    pub(super) fn for_file<W: io::Write + Send>(&self, sink: W) -> Result<SerializedFileWriter<W>, ParquetError> {
        SerializedFileWriter::new(sink, self.root.clone(), self.properties.clone())
    }

    /// A writer a leaf column.
    pub(super) fn for_group(&self, number: usize, times: Times) -> Result<Vec<ArrowColumnWriter>, ParquetError> {
        self.by_times[times as usize].create_column_writers(number)
    }
}
