//! Offsets by partition, and what is noted about them beside the log: positions of groups, checkpoints. Never where an offset comes from.

mod assign_error;
mod assigner;
mod committed_offset;
mod error;
mod group_id;
mod lag;
mod lag_report;
mod lag_watch;
mod manager;
mod marks;
mod offset_range;
mod partition_offset_info;
mod registry;
mod store;

pub use assign_error::AssignError;
pub use assigner::{AssignmentResult, OffsetAssigner};
pub use committed_offset::CommittedOffset;
pub use error::OffsetStoreError;
pub use group_id::GroupId;
pub use lag::Lag;
pub use lag_report::{LagError, LagReport, LagRow, LagScope, LagSubject, LagSum};
pub use lag_watch::{LagEvent, LagLimits, LagWatch};
pub use manager::PartitionOffsetManager;
pub use marks::{DurableEnd, HighWaterMark, LastStable, LogEnd, LogStart, Marks};
pub use offset_range::{OffsetRange, OffsetRangeError};
pub use partition_offset_info::PartitionOffsetInfo;
pub use registry::{OffsetMetrics, PartitionOffsetRegistry};
pub use store::{MemoryOffsetStore, OffsetStore};
