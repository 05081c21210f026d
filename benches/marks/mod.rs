//! Plain code to measure the engine against: three logs that do the least possible, a bare sync loop. No recovery, no index, no reader.
// Every bench uses a part of this.
#![allow(dead_code)]

pub(crate) mod bench_dir;
pub(crate) mod counting_allocator;
pub(crate) mod engine;
pub(crate) mod map_log;
pub(crate) mod mapped_checksum;
pub(crate) mod resident;
mod slot;
pub(crate) mod synced_writes;
pub(crate) mod values;
pub(crate) mod write_log;

pub(crate) use slot::{load, store, stored_bytes};
