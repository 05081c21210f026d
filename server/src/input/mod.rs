//! Takes records out of files and streams: lines, NDJSON, CSV, frames, plain or compressed. Knows no store.

mod csv;
mod decimal;
mod error;
mod frames;
mod ndjson;
mod reader;
mod rejects;
mod rejects_sources;
mod source;
mod timestamp;

pub(crate) use error::{InputError, LineError};
pub(crate) use reader::{Format, Item, Mark, ReaderOptions, RecordReader};
pub(crate) use rejects::{Rejects, RejectsError};
pub(crate) use source::{Compression, Source};
pub(crate) use timestamp::{TimeUnit, parse_rfc3339};
