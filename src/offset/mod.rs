//! What is noted about offsets beside the log: positions of groups, checkpoints. Never where an offset comes from.

mod committed_offset;
mod copy;
mod error;
mod group_id;
mod mapping_mode;
mod notation;
mod offset_checkpoint;
mod offset_mapping;
mod partition_stats;
mod store;

pub use committed_offset::CommittedOffset;
pub use copy::{CopyReport, copy_positions};
pub use error::OffsetStoreError;
pub use group_id::GroupId;
pub use mapping_mode::MappingMode;
pub use notation::{note_partition, offset_mappings, renote_partition};
pub use offset_checkpoint::OffsetCheckpoint;
pub use offset_mapping::OffsetMapping;
pub use partition_stats::PartitionStats;
#[cfg(feature = "sqlite")]
pub use store::SqliteOffsetStore;
pub use store::{LogOffsetStore, MemoryOffsetStore, OffsetStore};
