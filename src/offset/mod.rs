//! What is noted about offsets beside the log: positions of groups, checkpoints. Never where an offset comes from.

mod committed_offset;
mod error;
mod group_id;
mod store;

pub use committed_offset::CommittedOffset;
pub use error::OffsetStoreError;
pub use group_id::GroupId;
pub use store::{MemoryOffsetStore, OffsetStore};
