//! How the row groups of a file are encoded. Writes no file.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{Schema, SchemaRef};
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterPropertiesPtr;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::SchemaDescPtr;

use crate::export::columns::Columns;
use crate::export::group_encoder::GroupEncoder;
use crate::export::pages::{Chunk, PageCompressor};
use crate::export::parquet_compression::ParquetCompression;
use crate::export::schema::{BASE_COLUMNS, typed_properties};

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

/// Encodes the row groups of a file.
#[derive(Debug)]
pub(super) struct RowGroupWriters {
    pub(super) schema: SchemaDescPtr,
    pub(super) compression: ParquetCompression,
    pub(super) typed: Option<TypedWriters>,
}

/// Encodes the declared columns.
#[derive(Debug)]
pub(super) struct TypedWriters {
    arrow: SchemaRef,
    factory: ArrowRowGroupWriterFactory,
    pub(super) schema: SchemaDescPtr,
    pub(super) properties: WriterPropertiesPtr,
}

/// A row group, encoded.
#[derive(Debug)]
pub(super) struct RowGroup {
    pub(super) rows: usize,
    pub(super) chunks: Vec<Chunk>,
    pub(super) typed: Vec<ArrowColumnChunk>,
}

impl RowGroupWriters {
    pub(super) fn new(schema: &SchemaRef, compression: ParquetCompression) -> Result<Self, ParquetError> {
        let declared = schema.fields().iter().skip(BASE_COLUMNS).cloned().collect::<Vec<_>>();
        let typed = if declared.is_empty() { None } else { Some(TypedWriters::new(Schema::new(declared).into(), compression)?) };
        Ok(Self { schema: Arc::new(ArrowSchemaConverter::new().convert(schema)?), compression, typed })
    }

    /// Encodes the rows of `columns`, which are empty afterwards, and those of declared columns, as the group of a number.
    pub(super) fn encode(
        &self,
        number: usize,
        columns: &mut Columns,
        declared: &[ArrayRef],
        compressor: &mut PageCompressor,
    ) -> Result<RowGroup, ParquetError> {
        let (rows, pages) = (columns.len(), columns.pages());
        let typed = match &self.typed {
            Some(typed) => typed.encode(number, declared, &pages)?,
            None => Vec::new(),
        };
        let encoder = GroupEncoder { schema: &self.schema, compression: self.compression, compressor };
        Ok(RowGroup { rows, chunks: encoder.encode(columns)?, typed })
    }
}

impl TypedWriters {
    fn new(arrow: SchemaRef, compression: ParquetCompression) -> Result<Self, ParquetError> {
        let schema = Arc::new(ArrowSchemaConverter::new().convert(&arrow)?);
        let properties = Arc::new(typed_properties(compression)?);
        // It is asked for what it was made with, and writes nothing.
        let writer = SerializedFileWriter::new(io::sink(), schema.root_schema_ptr(), properties.clone())?;
        Ok(Self { factory: ArrowRowGroupWriterFactory::new(&writer, arrow.clone()), arrow, schema, properties })
    }

    fn encode(&self, number: usize, declared: &[ArrayRef], pages: &[Range<usize>]) -> Result<Vec<ArrowColumnChunk>, ParquetError> {
        let mut leaf_writers = self.factory.create_column_writers(number)?;
        for page in pages {
            let mut leaf_writers = leaf_writers.iter_mut();
            for (field, column) in self.arrow.fields().iter().zip(declared) {
                for (leaf, writer) in compute_leaves(field, &column.slice(page.start, page.len()))?.iter().zip(&mut leaf_writers) {
                    writer.write(leaf)?;
                }
            }
        }
        leaf_writers.into_iter().map(|writer| writer.close()).collect()
    }
}
