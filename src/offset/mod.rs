//! What is noted about offsets beside the log: positions of groups, checkpoints. Never where an offset comes from.

mod committed_offset;
mod error;
mod group_id;
mod marks;
mod store;

pub use committed_offset::CommittedOffset;
pub use error::OffsetStoreError;
pub use group_id::GroupId;
pub use marks::{DurableEnd, HighWaterMark, LastStable, LogEnd, LogStart, Marks};
pub use store::{MemoryOffsetStore, OffsetStore};
