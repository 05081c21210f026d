//! Parquet's column chunks as bytes, page by page, each page with its checksum. Knows no file, and no record.

mod bits;
mod chunk;
mod delta;
mod dictionary;
mod hybrid;
mod page_buffer;
mod page_compressor;
mod page_header;
mod runs;
mod strings;
mod varint;

pub(super) use chunk::{Chunk, ChunkWriter, PageRows};
pub(super) use delta::encode_deltas;
pub(super) use dictionary::Dictionary;
pub(super) use hybrid::{encode_hybrid, encode_runs, put_levels, width_of};
pub(super) use page_buffer::PageBuffer;
pub(super) use page_compressor::PageCompressor;
pub(super) use runs::Runs;
pub(super) use strings::{PlainStrings, put_plain, put_short};
