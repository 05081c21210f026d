//! An embeddable, append-only, segmented log storage engine with native offsets.
//!
//! A [`Store`] is a directory of topics; a topic has partitions; a partition is a directory of memory-mapped segment files. An offset is
//! assigned inside the append, once, and never changes. An acknowledged record is never lost, never renumbered and never returned wrong;
//! what a crash may legally cost is told apart from damage.
//!
//! ```
//! use tidelog::{AckLevel, Record, RecordBatch, Store};
//!
//! # let dir = tempfile::tempdir()?;
//! # let data = dir.path();
//! let store = Store::open(data)?; // recovers; StoreOptions for the rest
//! let orders = store.topic("orders")?.partition(0)?;
//! let ack = orders.append(Record::new("hello").key("k"))?; // durable unless asked otherwise
//! let mut batch = RecordBatch::new();
//! batch.push(&Record::new("one"))?;
//! batch.push(&Record::new("two"))?;
//! let acks = orders.append_batch(&batch, AckLevel::Durable)?; // base_offset ..= last_offset
//! for record in orders.read_from(ack.base_offset)? {
//!     let record = record?;
//!     println!("{} {:?}", record.offset(), record.value());
//! }
//! # assert_eq!(acks.last_offset, 2);
//! let reader = Store::open_read_only(data)?; // beside a live writer, other process
//! # assert_eq!(reader.topic("orders")?.partition(0)?.log_end_offset(), 3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! It is not a server, not replicated, and not a key-value store: see the program `tidelog` for the first.
//!
//! # Features
//! All off by default, and each only adds: `parquet` (the module `export`), `object_store` (exports into
//! object stores), `tokio` (async append, `Stream` reads), `lz4` and `zstd`
//! (compression a batch), `sqlite` (offsets in a SQLite file), `postgres` (offsets in PostgreSQL), `test-util` (fault injection for tests of programs that embed this).

#![cfg_attr(tidelog_loom, allow(dead_code, unreachable_pub, reason = "loom stands in for parts of it"))]

mod clock;
mod config;
mod error;
#[cfg(feature = "parquet")]
pub mod export;
pub mod group;
pub mod io;
mod log;
mod offset;
mod subscription;
mod topic;

pub use clock::Clock;
pub use config::{AckLevel, OnDamage, ReadIsolation, SyncPolicy, SyncScope};
pub use error::{AppendError, ConfigError, CutError, DamagedRange, IoError, OpenError, ReadError, RestoreError, SyncError, TopicError};
#[cfg(feature = "test-util")]
pub use log::limit_maps;
pub use log::{
    BackwardBatches, BackwardReader, BatchRecords, DeepReport, FileNote, Finding, Found, PartitionInfo, PartitionRepair, PartitionView, Reader,
    Record, RecordBatch, RecordRef, RecoveryReport, RepairAction, RepairStep, Start, StoredBatch, StoredRecord, Unreadable, Verdict, VerifyReport,
};
pub use offset::{AssignError, AssignmentResult, OffsetAssigner, OffsetCountError, OffsetMetrics, OffsetRange};
pub use offset::{
    CommittedOffset, CopyReport, GroupId, GroupMetadata, LogOffsetStore, MappingMode, MemberMetadata, MemoryOffsetStore, OffsetAndEpoch,
    OffsetCheckpoint, OffsetMapping, OffsetStore, OffsetStoreError, PartitionStats, SchemaMigration, copy_positions, note_partition, offset_mappings,
    renote_partition,
};
pub use offset::{DeleteTopicError, delete_topic};
pub use offset::{DurableEnd, HighWaterMark, LastStable, LogEnd, LogStart, Marks};
pub use offset::{Lag, LagError, LagEvent, LagLimits, LagReport, LagRow, LagScope, LagSubject, LagSum, LagWatch};
pub use offset::{PartitionOffsetInfo, PartitionOffsetManager, PartitionOffsetRegistry};
#[cfg(feature = "postgres")]
pub use offset::{PostgresOffsetStore, PostgresPositions};
#[cfg(feature = "sqlite")]
pub use offset::{SqliteOffsetStore, SqlitePositions};
#[cfg(feature = "tokio")]
pub use subscription::SubscriptionStream;
pub use subscription::{
    AvailableOffsets, Filter, GroupPosition, OffsetInfo, OffsetRangeError, OffsetSeeker, OffsetSpec, OffsetSpecError, OffsetSubscriber, OffsetType,
    OnOutOfRange, Page, PageLimits, RecordRange, Reset, ResetCause, SeekOutcome, SeekResult, SubscriberMetrics, Subscription, SubscriptionError,
    SubscriptionInfo, SubscriptionOptions, SubscriptionRecords,
};
pub use tidelog_format::{Codec, DecodeError, Header, HeaderIter, LeaderEpoch, Offset, Position, TimestampNs};
pub use topic::{
    Ack, BatchPlace, Partition, PartitionKey, PendingAck, ReadOnlyStore, ReadOnlyTopic, Repair, RingRange, Store, StoreOptions, Topic, TopicInfo,
    TopicName, TopicOptions, TopicPartition, key_slot, murmur2,
};
#[cfg(feature = "tokio")]
pub use topic::{AckFuture, AppendFuture, RecordStream};

/// Compiles the example in docs/subscriptions.md.
#[cfg(doctest)]
#[doc = include_str!("../docs/subscriptions.md")]
pub struct Subscriptions;

/// Compiles the example in the guide to consumer groups.
#[cfg(doctest)]
#[doc = include_str!("../docs/groups.md")]
pub struct GroupsGuide;

/// Compiles the example in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;

/// Compiles the examples in the guide to offsets.
#[cfg(doctest)]
#[doc = include_str!("../docs/offsets.md")]
pub struct OffsetsGuide;
