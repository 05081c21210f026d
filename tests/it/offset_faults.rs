//! An offset store that fails, or at which the process dies, in a chosen call. Keeps what it was given before.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use tidelog::{
    CommittedOffset, GroupId, GroupMetadata, MemoryOffsetStore, Offset, OffsetCheckpoint, OffsetMapping, OffsetStore, OffsetStoreError, PartitionKey,
    PartitionStats, TimestampNs, TopicName,
};

/// What becomes of the chosen call.
#[derive(Debug, Clone, Copy)]
pub(crate) enum When {
    /// It and those behind it, so many in all, fail without having done anything.
    Fail(u32),
    /// Nobody is told whether it was done.
    LoseAnswer { is_done: bool },
    /// The process dies before it is done.
    DieBefore,
    /// The process dies when it is done.
    DieBehind,
}

/// A store of memory with a fault in one of the calls that change it.
#[derive(Debug)]
pub(crate) struct Faulty {
    pub(crate) inner: MemoryOffsetStore,
    call: u32,
    when: When,
    calls: AtomicU32,
    /// Calls of `forget`, and rows that were saved.
    pub(crate) forgotten: AtomicU32,
    pub(crate) rows: AtomicU32,
    /// What a group commits behind the first commit of another.
    pub(crate) meanwhile: Mutex<Option<(GroupId, PartitionKey, CommittedOffset)>>,
}

impl Faulty {
    pub(crate) fn new(call: u32, when: When) -> Self {
        Self {
            inner: MemoryOffsetStore::new(),
            call,
            when,
            calls: AtomicU32::new(0),
            forgotten: AtomicU32::new(0),
            rows: AtomicU32::new(0),
            meanwhile: Mutex::new(None),
        }
    }

    /// What is kept in a store, without a fault.
    pub(crate) fn on(inner: MemoryOffsetStore) -> Self {
        Self { inner, ..Self::new(u32::MAX, When::DieBefore) }
    }

    fn change<T>(&self, change: impl FnOnce() -> Result<T, OffsetStoreError>) -> Result<T, OffsetStoreError> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        match self.when {
            When::LoseAnswer { is_done } if call == self.call => {
                if is_done {
                    change()?;
                }
                Err(OffsetStoreError::OutcomeUnknown { action: "commit positions to", place: "the test".to_owned(), reason: "cut".to_owned() })
            }
            When::Fail(calls) if (self.call..self.call + calls).contains(&call) => Err(OffsetStoreError::ReadOnly),
            When::DieBefore if call == self.call => panic!("the process dies here"),
            When::DieBehind if call == self.call => {
                change()?;
                panic!("the process dies here")
            }
            _ => change(),
        }
    }
}

impl OffsetStore for Faulty {
    fn commit(&self, group: &GroupId, positions: &[(PartitionKey, CommittedOffset)]) -> Result<(), OffsetStoreError> {
        self.change(|| self.inner.commit(group, positions))
    }

    fn fetch(&self, group: &GroupId, partition: &PartitionKey) -> Result<Option<CommittedOffset>, OffsetStoreError> {
        let found = self.inner.fetch(group, partition)?;
        let mut meanwhile = self.meanwhile.lock().unwrap();
        // Behind the read that verifies it.
        if let Some((of, key, position)) = meanwhile.take_if(|(of, key, _)| (&*of, &*key) == (group, partition) && found.is_some()) {
            self.inner.commit(&of, &[(key, position)])?;
        }
        Ok(found)
    }

    fn fetch_all(&self, group: &GroupId) -> Result<Vec<(PartitionKey, CommittedOffset)>, OffsetStoreError> {
        self.inner.fetch_all(group)
    }

    fn groups(&self) -> Result<Vec<GroupId>, OffsetStoreError> {
        self.inner.groups()
    }

    fn delete(&self, group: &GroupId, partitions: &[PartitionKey]) -> Result<usize, OffsetStoreError> {
        self.change(|| self.inner.delete(group, partitions))
    }

    fn delete_group(&self, group: &GroupId) -> Result<usize, OffsetStoreError> {
        self.change(|| self.inner.delete_group(group))
    }

    fn save_group(&self, group: &GroupId, metadata: &GroupMetadata) -> Result<bool, OffsetStoreError> {
        self.change(|| self.inner.save_group(group, metadata))
    }

    fn load_group(&self, group: &GroupId) -> Result<Option<GroupMetadata>, OffsetStoreError> {
        self.inner.load_group(group)
    }

    fn delete_topic(&self, topic: &TopicName) -> Result<usize, OffsetStoreError> {
        self.change(|| self.inner.delete_topic(topic))
    }

    fn save_checkpoint(&self, partition: &PartitionKey, checkpoint: OffsetCheckpoint) -> Result<bool, OffsetStoreError> {
        self.change(|| self.inner.save_checkpoint(partition, checkpoint))
    }

    fn load_checkpoint(&self, partition: &PartitionKey) -> Result<Option<OffsetCheckpoint>, OffsetStoreError> {
        self.inner.load_checkpoint(partition)
    }

    fn save_mappings(&self, partition: &PartitionKey, rows: &[OffsetMapping], saved_at: TimestampNs) -> Result<(), OffsetStoreError> {
        self.rows.fetch_add(rows.len() as u32, Ordering::Relaxed);
        self.change(|| self.inner.save_mappings(partition, rows, saved_at))
    }

    fn mappings(&self, partition: &PartitionKey, offsets: Range<Offset>, limit: usize) -> Result<Vec<OffsetMapping>, OffsetStoreError> {
        self.inner.mappings(partition, offsets, limit)
    }

    fn highest_offset(&self, partition: &PartitionKey) -> Result<Option<Offset>, OffsetStoreError> {
        self.inner.highest_offset(partition)
    }

    fn save_stats(&self, partition: &PartitionKey, stats: PartitionStats) -> Result<(), OffsetStoreError> {
        self.change(|| self.inner.save_stats(partition, stats))
    }

    fn partition_stats(&self, partition: &PartitionKey) -> Result<Option<PartitionStats>, OffsetStoreError> {
        self.inner.partition_stats(partition)
    }

    fn partitions(&self) -> Result<Vec<PartitionKey>, OffsetStoreError> {
        self.inner.partitions()
    }

    fn forget(&self, partition: &PartitionKey) -> Result<(), OffsetStoreError> {
        self.forgotten.fetch_add(1, Ordering::Relaxed);
        self.inner.forget(partition)
    }

    fn clean_up(&self, now: TimestampNs) -> Result<usize, OffsetStoreError> {
        self.change(|| self.inner.clean_up(now))
    }

    fn clean_up_mappings(&self, saved_before: TimestampNs) -> Result<usize, OffsetStoreError> {
        self.change(|| self.inner.clean_up_mappings(saved_before))
    }
}
