//! Parquet out of a partition, in files that readers nobody here wrote can read, with the offset in every row; and the way back.
//!
//! # Files
//! `<out>/topic=<topic>/partition=<number>/<first offset>-<last offset>.parquet`, the offsets with 20 digits, so that names sort. A topic
//! outside of the namespace `default` is in `namespace=<namespace>/topic=<name>`. A file gets its name when it is complete and
//! durable; until then it has one that starts with a dot. In an object store names are a little longer, and nothing is locked: that is the
//! feature `object_store`, and the module `objects`.
//!
//! # The Delta log
//! `<out>/topic=<topic>` is a table of the [Delta protocol](https://github.com/delta-io/delta/blob/master/PROTOCOL.md) too, of reader version
//! 1 and writer version 2, with `partition` as its partition column. Its `_delta_log` is the truth on what is exported: one commit makes a file
//! part of the table and the offset behind it the watermark (`txn` of `tidelog:<topic>/<partition>`; two more tell the partition's uuid and the
//! term of the last row, whatever becomes of the files), so that a run that is killed at any moment is continued without a row twice or left
//! out. A file that was complete and not yet committed is committed by the next run.
//!
//! Behind every 100th commit, or as the table's `delta.checkpointInterval` says, a checkpoint is written: it stands for all commits up to it, so that
//! neither this program nor any reader has to read them. Those of others are read too, in one file or in parts, and so is a log whose commits
//! before a checkpoint were deleted. Nothing here deletes a commit or a checkpoint. Where `delta.checkpoint.writeStatsAsStruct` is true, or
//! `delta.checkpoint.writeStatsAsJson` false, checkpoints are left to those who set that.
//!
//! # Columns: schema version 1
//! | column | type |
//! |---|---|
//! | `_offset` | INT64, required |
//! | `_ts_ns` | INT64, required: nanoseconds since 1970 |
//! | `_ts` | TIMESTAMP(MICROS, UTC), required: the same time, rounded down |
//! | `_key`, `_value` | BINARY, optional: null is not empty |
//! | `_headers` | LIST of STRUCT of `key` STRING, required, and `value` BINARY, optional: in order, duplicates kept |
//! | `_leader_epoch` | INT32, optional |
//! | `_producer_id` | INT64, optional |
//!
//! Small files can be put together ([`ExportSession::compact`]): one commit takes them out of the table and puts the file in that has their rows, and
//! then they are removed.
//!
//! The footer's key-value metadata has, each under `tidelog.`: `schema_version`, `format_version`, `topic`, `partition`, `partition_uuid`,
//! `first_offset`, `last_offset`, `next_offset`, `last_leader_epoch`, `min_ts_ns`, `max_ts_ns`, `source_segments`, `dense` (every offset from the first to the
//! last has a row), `writer_version`, and, if offsets were left out, `gaps`: a JSON list of `from`, `to` and, unless they were deleted, `damaged`;
//! `columns`, if there are typed ones; `compacted`, if the file was put together of others.
//!
//! # Files without offsets
//! [`TimedImport`] appends the rows of Parquet files that others wrote to one partition, in the order of their times: any number of runs, each
//! row once.

mod adoption;
mod column_type;
mod columns;
mod compaction;
mod delta_action;
mod delta_changes;
mod delta_checkpoint;
mod delta_config;
mod delta_log;
mod delta_names;
mod delta_rows;
mod encoders;
mod error;
mod export_directory;
mod export_file;
mod export_run;
mod export_session;
mod file_rows;
mod footer;
mod gathered_rows;
mod group_encoder;
mod import_error;
mod import_file;
mod import_rows;
mod json_path;
mod log_files;
#[cfg(feature = "object_store")]
pub mod objects;
mod pages;
mod parquet_compression;
mod parquet_export;
mod parquet_file;
mod parquet_import;
mod report;
mod row_group_writers;
mod schema;
mod storage_target;
mod target;
mod time_column;
mod timed;
mod typed_column;
mod typed_values;

pub use column_type::{ColumnType, TimestampUnit, TypeError};
pub use error::ExportError;
pub use export_session::ExportSession;
pub use import_error::ImportError;
pub use json_path::{JsonError, JsonPath, PathError};
pub use parquet_compression::{CompressionError, ParquetCompression};
pub use parquet_export::ParquetExport;
pub use parquet_import::{ImportProgress, ImportReport, ParquetImport};
pub use report::{CheckpointFailure, CompactionReport, ExportGap, ExportProgress, ExportReport, ExportedFile, GapReason, Unfit};
pub use time_column::TimeUnit;
pub use timed::{TimedColumns, TimedImport, TimedProgress, TimedReport};
pub use typed_column::{ColumnError, TypedColumn, TypedColumns};
