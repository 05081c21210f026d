//! What an offset store can answer instead.

use thiserror::Error;

/// Why an offset store did not do what it was asked. Nothing of it was done.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum OffsetStoreError {
    /// The text is not what a group may be called.
    #[error("{name:?} is no group: {why}")]
    InvalidGroup {
        /// The text given.
        name: String,
        /// Which rule it breaks.
        why: &'static str,
    },
    /// The note to a position is longer than it may be.
    #[error("the metadata of a position has {found} bytes, and {limit} at most")]
    MetadataTooLarge {
        /// Bytes given.
        found: usize,
        /// Bytes at most.
        limit: usize,
    },
}
