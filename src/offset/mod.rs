//! What is noted about offsets beside the log: positions of groups, checkpoints. Never where an offset comes from.

mod committed_offset;
mod delete_topic;
mod error;
mod group_id;
mod store;

pub use committed_offset::CommittedOffset;
pub use delete_topic::{DeleteTopicError, delete_topic};
pub use error::OffsetStoreError;
pub use group_id::GroupId;
pub use store::{MemoryOffsetStore, OffsetStore};
