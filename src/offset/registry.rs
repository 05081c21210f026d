//! The offset managers of a store, by partition key. Makes no topic, and knows nothing of a partition that the partition does not.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use arc_swap::ArcSwap;
use hashbrown::HashTable;
use parking_lot::Mutex;

use crate::config::AckLevel;
use crate::error::TopicError;
use crate::log::{PartitionView, Record, RecordBatch};
use crate::offset::assign_error::AssignError;
use crate::offset::manager::PartitionOffsetManager;
use crate::offset::marks::{HighWaterMark, Marks};
use crate::offset::offset_range::OffsetRange;
use crate::offset::partition_offset_info::PartitionOffsetInfo;
use crate::topic::{Ack, PartitionKey, Store, TopicName};
use tidelog_format::Offset;

/// Finds the [`PartitionOffsetManager`] of a partition by its key, and opens the partition at the first question: once, however many ask at once.
/// Whoever asks later waits for nobody. Of a partition that was never written to, questions are answered without making it.
///
/// ```
/// use tidelog::{PartitionOffsetRegistry, Record, Store};
///
/// # let dir = tempfile::tempdir()?;
/// let store = Store::open(dir.path())?;
/// let (eu, us) = (store.topic("eu/orders")?.partition_key(0)?, store.topic("us/orders")?.partition_key(0)?);
/// let registry = PartitionOffsetRegistry::new(store);
/// assert_eq!(registry.assign(&eu, Record::new("12 apples"))?, 0);
/// assert_eq!(registry.assign(&us, Record::new("3 pears"))?, 0); // the same range of another topic
/// assert_eq!(registry.metrics().total_offsets, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct PartitionOffsetRegistry {
    store: Store,
    level: AckLevel,
    /// By a part of the key's hash: an opening replaces one of them.
    shards: Box<[ArcSwap<Managers>]>,
    hasher: RandomState,
    /// How often topics were let go of. Held while a map is replaced, not while a partition is opened.
    replacing: Mutex<u64>,
}

/// By the hash of the key, which is looked at once for the shard and its table.
type Managers = HashTable<Entry>;

#[derive(Debug, Clone)]
struct Entry {
    hash: u64,
    key: Arc<PartitionKey>,
    manager: Arc<PartitionOffsetManager>,
}

/// What a registry holds, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct OffsetMetrics {
    /// Partitions that were appended to, or asked for and had been made before.
    pub partition_count: usize,
    /// The sum of their log ends. Not all that were ever assigned: a cut takes some back, and a restored log may begin anywhere.
    pub total_offsets: u64,
}

impl PartitionOffsetRegistry {
    /// Of no partition yet. What is assigned is durable when a call returns.
    pub fn new(store: Store) -> Self {
        Self { store, level: AckLevel::Durable, shards: empty_shards(), hasher: RandomState::new(), replacing: Mutex::new(0) }
    }

    /// The same, with calls that return as soon as this is true of what they assigned.
    pub fn ack_level(self, level: AckLevel) -> Self {
        Self { level, shards: empty_shards(), ..self }
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The manager of a partition: the same one at each call.
    ///
    /// # Errors
    /// [`AssignError::Topic`], [`AssignError::NoPartition`]: the next call tries again.
    pub fn get(&self, key: &PartitionKey) -> Result<Arc<PartitionOffsetManager>, AssignError> {
        let hash = self.hash_of(key);
        match known(&self.shard(hash).load(), hash, key) {
            Some(manager) => Ok(manager.clone()),
            None => self.open(key),
        }
    }

    /// Appends a record to a partition; returns its offset.
    ///
    /// # Errors
    /// [`AssignError`].
    pub fn assign(&self, key: &PartitionKey, record: Record<'_>) -> Result<Offset, AssignError> {
        Ok(self.append(key, record)?.base_offset)
    }

    /// Appends records together to a partition; returns their offsets.
    ///
    /// # Errors
    /// [`AssignError`].
    pub fn assign_batch(&self, key: &PartitionKey, batch: &RecordBatch) -> Result<OffsetRange, AssignError> {
        let ack = self.append_batch(key, batch)?;
        Ok(OffsetRange::between(ack.base_offset, ack.last_offset))
    }

    /// The high water mark of a partition.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn high_water_mark(&self, key: &PartitionKey) -> Result<HighWaterMark, AssignError> {
        self.ask(key, |manager| Ok(manager.high_water_mark()), || Marks::of_empty_log().high_water_mark)
    }

    /// See [`PartitionView::offset_info`](crate::PartitionView::offset_info).
    ///
    /// # Errors
    /// As [`get`](Self::get), and [`AssignError::Read`].
    pub fn info(&self, key: &PartitionKey) -> Result<PartitionOffsetInfo, AssignError> {
        self.ask(key, |manager| Ok(manager.info()?), PartitionOffsetInfo::of_empty_log)
    }

    /// What it holds, in numbers.
    pub fn metrics(&self) -> OffsetMetrics {
        let mut metrics = OffsetMetrics::default();
        for managers in self.shards.iter().map(ArcSwap::load) {
            metrics.partition_count += managers.len();
            let ends = managers.iter().map(|entry| entry.manager.next_offset().offset().get());
            metrics.total_offsets = ends.fold(metrics.total_offsets, u64::saturating_add);
        }
        metrics
    }

    /// Lets go of a topic's partitions; returns how many there were. A topic that is deleted needs none of it: it is not found any more.
    pub fn forget_topic(&self, topic: &TopicName) -> usize {
        let mut forgets = self.replacing.lock();
        *forgets += 1;
        let mut forgotten = 0;
        for shard in &self.shards {
            let mut managers = (**shard.load()).clone();
            let before = managers.len();
            managers.retain(|entry| entry.key.topic != *topic);
            if managers.len() < before {
                forgotten += before - managers.len();
                shard.store(Arc::new(managers));
            }
        }
        forgotten
    }

    pub(super) fn append(&self, key: &PartitionKey, record: Record<'_>) -> Result<Ack, AssignError> {
        self.with(key, |manager| Ok(manager.append(record)?))
    }

    pub(super) fn append_batch(&self, key: &PartitionKey, batch: &RecordBatch) -> Result<Ack, AssignError> {
        self.with(key, |manager| Ok(manager.append_batch(batch)?))
    }

    /// Asks the manager of a partition, without counting its owners.
    #[inline]
    fn with<T>(&self, key: &PartitionKey, ask: impl FnOnce(&PartitionOffsetManager) -> Result<T, AssignError>) -> Result<T, AssignError> {
        let hash = self.hash_of(key);
        match known(&self.shard(hash).load(), hash, key) {
            Some(manager) => ask(manager),
            None => ask(&*self.open(key)?),
        }
    }

    /// The same, but a partition that was never made stays so, and is answered for as an empty log.
    #[inline]
    fn ask<T>(
        &self,
        key: &PartitionKey,
        ask: impl FnOnce(&PartitionOffsetManager) -> Result<T, AssignError>,
        of_empty_log: impl FnOnce() -> T,
    ) -> Result<T, AssignError> {
        let hash = self.hash_of(key);
        match known(&self.shard(hash).load(), hash, key) {
            Some(manager) => ask(manager),
            None if self.is_made(key)? => ask(&*self.open(key)?),
            None => Ok(of_empty_log()),
        }
    }

    /// Whether a partition was made: before anybody was handed it, so that nothing was ever appended to one that was not.
    #[cold]
    fn is_made(&self, key: &PartitionKey) -> Result<bool, AssignError> {
        let topic = self.store.existing_topic(&key.topic.to_string())?;
        let number = topic.partition_of_range(key.range).ok_or_else(|| AssignError::NoPartition { key: key.clone() })?;
        Ok(topic.is_made(number)?)
    }

    /// A partition to be looked at, if there is one of the key.
    pub(super) fn view(&self, key: &PartitionKey) -> Result<Option<PartitionView>, TopicError> {
        let hash = self.hash_of(key);
        if let Some(manager) = known(&self.shard(hash).load(), hash, key) {
            return Ok(Some(manager.partition().view().clone()));
        }
        let topic = self.store.existing_topic(&key.topic.to_string())?;
        topic.partition_of_range(key.range).map(|number| topic.view(number)).transpose()
    }

    /// Two that open a partition at once wait for one recovery in its store, and get what the first of them puts here. What was opened while a
    /// topic was let go of may be of that topic: it is not put here, and whoever comes next opens it again.
    #[cold]
    fn open(&self, key: &PartitionKey) -> Result<Arc<PartitionOffsetManager>, AssignError> {
        let forgets_before = *self.replacing.lock();
        let topic = self.store.existing_topic(&key.topic.to_string())?;
        let number = topic.partition_of_range(key.range).ok_or_else(|| AssignError::NoPartition { key: key.clone() })?;
        let opened = PartitionOffsetManager::new(topic.partition(number)?).ack_level(self.level);
        let forgets = self.replacing.lock();
        let hash = self.hash_of(key);
        let shard = self.shard(hash);
        let managers = shard.load();
        if let Some(manager) = known(&managers, hash, key) {
            return Ok(manager.clone());
        }
        let opened = Arc::new(opened);
        if *forgets == forgets_before {
            let mut managers = (**managers).clone();
            // Of a topic that was deleted, if there is one.
            if let Ok(gone) = managers.find_entry(hash, |entry| *entry.key == *key) {
                gone.remove();
            }
            managers.insert_unique(hash, Entry { hash, key: Arc::new(key.clone()), manager: opened.clone() }, |entry| entry.hash);
            shard.store(Arc::new(managers));
        }
        Ok(opened)
    }

    #[inline]
    fn hash_of(&self, key: &PartitionKey) -> u64 {
        self.hasher.hash_one(key)
    }

    /// By bits that the table itself does not go by: it takes the lowest and the highest.
    #[inline]
    fn shard(&self, hash: u64) -> &ArcSwap<Managers> {
        &self.shards[(hash >> 32) as usize % SHARDS]
    }
}

fn empty_shards() -> Box<[ArcSwap<Managers>]> {
    std::iter::repeat_with(ArcSwap::default).take(SHARDS).collect()
}

/// The manager of a partition that is still there: a topic that was made anew under the name of a deleted one is another.
#[inline]
fn known<'a>(managers: &'a Managers, hash: u64, key: &PartitionKey) -> Option<&'a Arc<PartitionOffsetManager>> {
    let entry = managers.find(hash, |entry| *entry.key == *key)?;
    entry.manager.partition().view().check_there().is_ok().then_some(&entry.manager)
}

const SHARDS: usize = 64;
