//! An append-only, segmented log storage engine with native offsets.
pub mod io;
