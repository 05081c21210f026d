//! Parquet files without offsets, as a partition: their rows in the order of their times, each once. Knows no export.

mod append;
mod columns;
mod file;
mod files;
mod import;
mod merge;
mod note;
mod plan;
mod resume;
mod rows;

pub use columns::TimedColumns;
pub use import::{TimedImport, TimedProgress, TimedReport};
