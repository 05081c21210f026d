//! How a store is opened. Checks settings, opens nothing by itself.

use std::path::Path;
use std::sync::Arc;

use tidelog_format::Codec;

use crate::config::{Config, NAMES, OnDamage, SyncPolicy, SyncScope};
use crate::error::{ConfigError, OpenError, TopicError};
use crate::io::{Disk, Storage};
use crate::topic::read_only::ReadOnlyStore;
use crate::topic::repair::Repair;
use crate::topic::store::Store;

/// Settings of a store, built up and then opened.
///
/// ```
/// use tidelog::{StoreOptions, SyncPolicy};
///
/// # let dir = tempfile::tempdir()?;
/// let store = StoreOptions::new().sync_policy(SyncPolicy::OsOnly).segment_bytes(8 << 20).open(dir.path())?;
/// # drop(store);
/// assert!(StoreOptions::new().segment_bytes(1000).open(dir.path()).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct StoreOptions {
    pub(super) config: Config,
    pub(super) storage: Arc<dyn Storage>,
    pub(super) threads: bool,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { config: Config::default(), storage: Arc::new(Disk::new()), threads: true }
    }
}

impl StoreOptions {
    /// The defaults: durable unless asked otherwise.
    pub fn new() -> Self {
        Self::default()
    }

    /// When written records are made durable. Default [`SyncPolicy::Group`].
    pub fn sync_policy(mut self, policy: SyncPolicy) -> Self {
        self.config.sync_policy = policy;
        self
    }

    /// What one sync covers where several partitions are to be synced. Default [`SyncScope::Partition`].
    pub fn sync_scope(mut self, scope: SyncScope) -> Self {
        self.config.sync_scope = scope;
        self
    }

    /// Size of a segment file: 64 KiB to just below 4 GiB, default 64 MiB. A larger batch gets a segment of its own size.
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.config.segment_bytes = bytes;
        self
    }

    /// Bytes of log an index entry: 512 to 1,048,576, default 2,048. Denser is faster for point reads and costs 16 B of memory an entry.
    pub fn index_interval_bytes(mut self, bytes: u32) -> Self {
        self.config.index_interval_bytes = bytes;
        self
    }

    /// Bytes of the whole store that recovery may have to scan: 1 MiB to 1 TiB, default 256 MiB. When there are more, the partitions with the
    /// most are checkpointed first, however busy they are; what is appended meanwhile comes on top: [`Store::uncheckpointed_bytes`].
    ///
    /// [`Store::uncheckpointed_bytes`]: crate::Store::uncheckpointed_bytes
    pub fn checkpoint_budget_bytes(mut self, bytes: u64) -> Self {
        self.config.checkpoint_budget_bytes = bytes;
        self
    }

    /// Largest encoded batch, and so the largest record: 1 KiB to 1 GiB less 64 KiB, default 64 MiB.
    pub fn batch_bytes_max(mut self, bytes: u32) -> Self {
        self.config.batch_bytes_max = bytes;
        self
    }

    /// What [`batch_bytes_max`](Self::batch_bytes_max) is: a program can tell its user which record is too large before it is appended.
    pub fn batch_bytes_limit(&self) -> u32 {
        self.config.batch_bytes_max
    }

    /// What to do about damaged data. Default [`OnDamage::Isolate`]. A refusal is the partition's: it leaves the partition's files alone.
    pub fn on_damage(mut self, on_damage: OnDamage) -> Self {
        self.config.on_damage = on_damage;
        self
    }

    /// Whether partitions that nobody has asked for are recovered too, by a thread of the store, so that what a crash left is soon durable and
    /// their first use is fast. Else each is recovered at its first use alone. Default yes.
    pub fn background_recovery(mut self, wanted: bool) -> Self {
        self.config.background_recovery = wanted;
        self
    }

    /// Bytes a second that a thread of the store reads, at most, of the segments that nothing is appended to any more, round after round, to find
    /// damage before a reader needs what it hit: 0, the default, is off; at most 1 TiB. Damage is noted as a read would note it: [`PartitionView::damage`],
    /// [`PartitionView::info`] and later reads say it. A segment that cannot be read is passed over till the next round, and `info` names it.
    /// Partitions that nobody has opened are left alone.
    ///
    /// [`PartitionView::damage`]: crate::PartitionView::damage
    /// [`PartitionView::info`]: crate::PartitionView::info
    pub fn scrub(mut self, bytes_per_second: u64) -> Self {
        self.config.scrub_bytes_per_second = bytes_per_second;
        self
    }

    /// How batches are compressed that do not say so themselves. Default not at all.
    pub fn compression(mut self, codec: Codec) -> Self {
        self.config.compression = codec;
        self
    }

    /// The file system. Default [`Disk`].
    pub fn storage(mut self, storage: Arc<dyn Storage>) -> Self {
        self.storage = storage;
        self
    }

    /// Starts no threads: what they would do is done by [`Store::run_background`] alone, so that a test decides when.
    #[cfg(feature = "test-util")]
    pub fn without_threads(mut self) -> Self {
        self.threads = false;
        self
    }

    /// The names that [`set`](Self::set) knows, each with what it takes.
    pub fn names() -> &'static [(&'static str, &'static str)] {
        NAMES
    }

    /// Sets one of the values above by its name.
    ///
    /// # Errors
    /// [`ConfigError`] if there is no such setting or the value is outside its limits.
    pub fn set(mut self, name: &str, value: &str) -> Result<Self, ConfigError> {
        self.config.set(name, value)?;
        Ok(self)
    }

    /// Opens the store in `dir` for writing, and makes it if there is none. Takes its lock.
    ///
    /// # Errors
    /// [`OpenError`]; a refusal changes nothing.
    pub fn open(self, dir: impl AsRef<Path>) -> Result<Store, OpenError> {
        Store::open_with(dir.as_ref(), self, true)
    }

    /// Opens a store for writing that must be there.
    ///
    /// # Errors
    /// [`OpenError::NotFound`], else as [`open`](Self::open).
    pub fn open_existing(self, dir: impl AsRef<Path>) -> Result<Store, OpenError> {
        Store::open_with(dir.as_ref(), self, false)
    }

    /// Opens a store for reading, beside its writer if there is one. Takes no lock and changes not one byte.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_read_only(self, dir: impl AsRef<Path>) -> Result<ReadOnlyStore, OpenError> {
        ReadOnlyStore::open_with(dir.as_ref(), self)
    }

    /// Looks at all partitions of a store that nobody has open, or of one topic, and plans what would be done about their damage. Changes not
    /// one byte; [`Repair::apply`] does it.
    ///
    /// # Errors
    /// [`TopicError`]; [`OpenError::Locked`] while a writer has the store open.
    pub fn plan_repair(self, dir: impl AsRef<Path>, topic: Option<&str>) -> Result<Repair, TopicError> {
        Repair::plan(dir.as_ref(), self, topic)
    }
}
