//! Offsets by partition, and what is noted about them beside the log: positions of groups, checkpoints. Never where an offset comes from.

mod assign_error;
mod assigner;
mod committed_offset;
mod copy;
mod delete_topic;
mod error;
mod group_id;
mod group_metadata;
mod lag;
mod lag_report;
mod lag_watch;
mod manager;
mod mapping_mode;
mod marks;
mod notation;
mod offset_and_epoch;
mod offset_checkpoint;
mod offset_mapping;
mod offset_range;
mod partition_offset_info;
mod partition_stats;
mod registry;
mod schema_migration;
mod store;

pub use assign_error::AssignError;
pub use assigner::{AssignmentResult, OffsetAssigner};
pub use committed_offset::CommittedOffset;
pub use copy::{CopyReport, copy_positions};
pub use delete_topic::{DeleteTopicError, delete_topic};
pub use error::OffsetStoreError;
pub use group_id::GroupId;
pub(crate) use group_metadata::{GROUP_BYTES_MAX, GROUP_NAME_BYTES_MAX};
pub use group_metadata::{GroupMetadata, MemberMetadata};
pub use lag::Lag;
pub use lag_report::{LagError, LagReport, LagRow, LagScope, LagSubject, LagSum};
pub use lag_watch::{LagEvent, LagLimits, LagWatch};
pub use manager::PartitionOffsetManager;
pub use mapping_mode::MappingMode;
pub use marks::{DurableEnd, HighWaterMark, LastStable, LogEnd, LogStart, Marks};
pub use notation::{note_partition, offset_mappings, renote_partition};
pub use offset_and_epoch::OffsetAndEpoch;
pub use offset_checkpoint::OffsetCheckpoint;
pub use offset_mapping::OffsetMapping;
pub use offset_range::{OffsetCountError, OffsetRange};
pub use partition_offset_info::PartitionOffsetInfo;
pub use partition_stats::PartitionStats;
pub use registry::{OffsetMetrics, PartitionOffsetRegistry};
pub use schema_migration::SchemaMigration;
pub use store::{LogOffsetStore, MemoryOffsetStore, OffsetStore};
#[cfg(feature = "postgres")]
pub use store::{PostgresOffsetStore, PostgresPositions};
#[cfg(feature = "sqlite")]
pub use store::{SqliteOffsetStore, SqlitePositions};
