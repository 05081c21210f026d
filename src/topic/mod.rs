//! Names and directories: a store owns topics, a topic owns partitions. Knows no frame.

mod catalog;
mod delete;
mod key_slot;
mod layout;
mod making;
mod name;
mod options;
mod partition;
mod partition_key;
mod read_only;
mod rebuild;
mod repair;
mod ring_range;
mod split;
mod store;
#[cfg(feature = "tokio")]
mod tokio;
mod topic_files;
mod topic_handle;
mod topic_info;
mod topic_options;
mod topic_state;

#[cfg(feature = "tokio")]
pub use self::tokio::{AckFuture, AppendFuture, RecordStream};
pub use key_slot::{key_slot, murmur2};
pub(crate) use name::OFFSETS_TOPIC;
pub use name::TopicName;
pub use options::StoreOptions;
pub use partition::{Ack, BatchPlace, Partition, PendingAck};
pub use partition_key::PartitionKey;
pub use read_only::{ReadOnlyStore, ReadOnlyTopic};
pub use repair::Repair;
pub use ring_range::RingRange;
pub use store::Store;
pub use topic_handle::Topic;
pub use topic_info::{TopicInfo, TopicPartition};
pub use topic_options::TopicOptions;
