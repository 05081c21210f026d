//! One partition: append, read, recover, cut. Knows no topics, groups, SQL or sockets.

mod ahead;
mod appender;
mod backward;
mod checkpoint;
mod codec;
mod cursor;
mod cut;
mod decision;
mod deep;
mod files;
mod follow;
mod keeper;
mod live;
#[expect(clippy::module_inception, reason = "the file is named after the type that it holds")]
mod log;
mod lookup;
mod maps;
mod offset_index;
mod partition_view;
mod plan;
mod poll_end;
mod quarantine;
mod reader;
mod record_batch;
mod record_times;
mod recover_many;
mod recovery;
mod repair;
mod restore;
mod round;
mod scrub;
mod seen;
mod segment;
mod shared_sync;
mod stage;
mod stored;
mod surgery;
mod sync;
mod tail;
#[cfg(feature = "tokio")]
mod tasks;
mod verify;
mod view;
mod waiters;
mod walk;
mod write_again;

pub use backward::{BackwardBatches, BackwardReader};
pub use decision::{Found, Verdict};
pub use deep::{DeepReport, FileNote};
pub use partition_view::{PartitionInfo, PartitionView, Start};
pub use plan::Finding;
pub use reader::Reader;
pub use record_batch::{Record, RecordBatch};
pub use recovery::RecoveryReport;
pub use repair::{PartitionRepair, RepairAction, RepairStep};
pub use stored::{BatchRecords, RecordRef, StoredBatch, StoredRecord, Unreadable};
pub use verify::VerifyReport;

pub(crate) use appender::{Assigned, NamedSegment, NewSegment, Refusal, Spare};
pub(crate) use checkpoint::CheckpointFile;
pub(crate) use follow::{Absent, Follower};
pub(crate) use keeper::{Keeper, KeeperThreads};
pub(crate) use live::LivePage;
pub(crate) use log::{Log, Staging};
#[cfg(feature = "test-util")]
pub use maps::limit_maps;
pub(crate) use reader::Pick;
pub(crate) use record_batch::Scratch;
pub(crate) use recover_many::recover_many;
pub(crate) use recovery::{RecoverHow, new_uuid};
pub(crate) use repair::plan_repair;
pub(crate) use scrub::Scrubber;
pub(crate) use shared_sync::SharedSync;
pub(crate) use surgery::repair;
pub(crate) use waiters::Ticket;

/// Slots of a topic's key-hash ring.
pub(crate) const RING_SIZE: u32 = 4096;

/// The share of the ring that partition `index` of `count` has: first slot, first slot after it.
pub(crate) fn ring_range(index: u32, count: u32) -> (u32, u32) {
    let at = |number: u32| (u64::from(number) * u64::from(RING_SIZE) / u64::from(count.max(1))) as u32;
    (at(index), at(index + 1))
}
