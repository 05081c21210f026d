//! What each fuzz target holds any bytes to: one function a target, shared by the fuzzer and by `tests/fuzz`, which replays the corpus.
//! Judges by panicking.
#![allow(dead_code, unreachable_pub, reason = "each user takes its own part")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "these are tests, which clippy.toml does not know")]

pub mod checkpoint;
pub mod consumer_protocol;
pub mod crash;
pub mod directory;
pub mod frame;
pub mod headers;
pub mod image;
pub mod index;
pub mod live;
pub mod mutate;
#[cfg(feature = "parquet")]
pub mod parquet_import;
pub mod record;
pub mod resolve;
pub mod scan;

mod heal;
mod served;
mod statements;
mod stored;

/// What a target does with an input.
pub type Run = fn(&[u8]);

/// By the names of the targets.
pub const TARGETS: &[(&str, Run)] = &[
    ("checkpoint", checkpoint::run),
    ("consumer_protocol", consumer_protocol::run),
    ("crash", crash::run),
    ("frame", frame::run),
    ("headers", headers::run),
    ("image", image::run),
    ("index", index::run),
    ("live", live::run),
    #[cfg(feature = "parquet")]
    ("parquet_import", parquet_import::run),
    ("record", record::run),
    ("resolve", resolve::run),
    ("scan", scan::run),
];
