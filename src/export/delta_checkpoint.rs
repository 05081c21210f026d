//! A checkpoint of a Delta log: the actions that a table comes to, as rows of a Parquet file. Knows bytes, and neither names nor a file system.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, StructArray};
use arrow::datatypes::{DataType, Schema};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::arrow::arrow_writer::{ArrowWriter, ArrowWriterOptions};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::export::delta_action::Action;
use crate::export::delta_rows::{array_of, checkpoint_fields, value_at};

/// Which columns are read: others may be there, and are not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// What one who commits must know: files by their paths alone.
    Brief,
    /// All that a checkpoint says.
    Whole,
}

/// Hands each row of a checkpoint, or of one of its parts, to `take`. A row with none of the columns is an action without a field.
///
/// # Errors
/// What is wrong with the bytes, or what `take` says. What was handed over before it is of no use.
pub(super) fn decode<A: DeserializeOwned>(bytes: Bytes, depth: Depth, mut take: impl FnMut(A) -> Result<(), String>) -> Result<(), String> {
    // The decoder panics at some files that are malformed: that is no reason for a program to end. Nothing that it left is used again.
    let decoded = catch_unwind(AssertUnwindSafe(|| {
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes, options).map_err(|error| error.to_string())?;
        let mask = ProjectionMask::columns(builder.parquet_schema(), depth.columns());
        let reader = builder.with_projection(mask).with_batch_size(ROWS).build().map_err(|error| error.to_string())?;
        for rows in reader {
            let rows = StructArray::from(rows.map_err(|error| error.to_string())?);
            for row in 0..rows.len() {
                let action = value_at(&rows, row)?.unwrap_or_default();
                take(serde_json::from_value(action).map_err(|error| error.to_string())?)?;
            }
        }
        Ok(())
    }));
    decoded.unwrap_or_else(|_| Err("it is malformed: its decoder panics".to_owned()))
}

impl Depth {
    fn columns(self) -> impl Iterator<Item = &'static str> {
        let of_files: &[&str] = match self {
            Self::Brief => &["add.path", "remove.path"],
            Self::Whole => &[
                "add.path",
                "add.partitionValues",
                "add.size",
                "add.modificationTime",
                "add.dataChange",
                "add.stats",
                "add.tags",
                "remove.path",
                "remove.deletionTimestamp",
                "remove.dataChange",
                "remove.extendedFileMetadata",
                "remove.partitionValues",
                "remove.size",
            ],
        };
        OF_TABLE.iter().chain(of_files).copied()
    }
}

/// A checkpoint being encoded. Rows are encoded some thousand at a time.
pub(super) struct CheckpointWriter {
    writer: ArrowWriter<Vec<u8>>,
    rows: Vec<Value>,
    action_count: u64,
    add_count: u64,
}

/// A whole checkpoint.
#[derive(Debug)]
pub(super) struct EncodedCheckpoint {
    pub(super) bytes: Vec<u8>,
    pub(super) action_count: u64,
    pub(super) add_count: u64,
}

impl CheckpointWriter {
    pub(super) fn new() -> Result<Self, ParquetError> {
        let properties = WriterProperties::builder()
            .set_writer_version(WriterVersion::PARQUET_1_0)
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
            .set_statistics_enabled(EnabledStatistics::None)
            .build();
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), Arc::new(Schema::new(checkpoint_fields())), options)?;
        Ok(Self { writer, rows: Vec::new(), action_count: 0, add_count: 0 })
    }

    /// Adds a row.
    pub(super) fn push(&mut self, action: &Action) -> Result<(), ParquetError> {
        self.action_count += 1;
        self.add_count += u64::from(action.add.is_some());
        self.rows.push(serde_json::to_value(action).map_err(|error| ParquetError::External(Box::new(error)))?);
        if self.rows.len() < ROWS { Ok(()) } else { self.write() }
    }

    fn write(&mut self) -> Result<(), ParquetError> {
        let cells: Vec<Option<&Value>> = self.rows.iter().map(Some).collect();
        let columns = array_of(&DataType::Struct(checkpoint_fields()), &cells)?;
        self.writer.write(&RecordBatch::from(columns.as_struct().clone()))?;
        self.rows.clear();
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<EncodedCheckpoint, ParquetError> {
        self.write()?;
        Ok(EncodedCheckpoint { bytes: self.writer.into_inner()?, action_count: self.action_count, add_count: self.add_count })
    }
}

/// What is read of a table, whatever is read of its files.
const OF_TABLE: [&str; 15] = [
    "protocol.minReaderVersion",
    "protocol.minWriterVersion",
    "protocol.readerFeatures",
    "protocol.writerFeatures",
    "metaData.id",
    "metaData.name",
    "metaData.description",
    "metaData.format",
    "metaData.schemaString",
    "metaData.partitionColumns",
    "metaData.createdTime",
    "metaData.configuration",
    "txn.appId",
    "txn.version",
    "txn.lastUpdated",
];
/// Rows that are decoded or encoded at once.
const ROWS: usize = 4096;
