//! A topic that is open for writing: its partitions, and which of them a key belongs to. Changes no catalogue.

use std::sync::Arc;

use crate::error::TopicError;
use crate::log::{Follower, PartitionView};
use crate::topic::key_slot::key_slot;
use crate::topic::layout::Layout;
use crate::topic::name::TopicName;
use crate::topic::partition::Partition;
use crate::topic::partition_key::PartitionKey;
use crate::topic::ring_range::RingRange;
use crate::topic::store::StoreInner;
use crate::topic::topic_files::why_absent;
use crate::topic::topic_info::TopicInfo;
use crate::topic::topic_state::TopicState;

/// A topic. Cheap to clone; keeps its store open.
#[derive(Debug, Clone)]
pub struct Topic {
    pub(super) store: Arc<StoreInner>,
    pub(super) state: Arc<TopicState>,
}

impl Topic {
    pub(super) fn new(store: Arc<StoreInner>, state: Arc<TopicState>) -> Self {
        Self { store, state }
    }

    /// Its name.
    pub fn name(&self) -> &TopicName {
        &self.state.name
    }

    /// Its identity: a topic that is made anew under the name has another one.
    pub fn uuid(&self) -> [u8; 16] {
        self.state.look(|layout| layout.meta.uuid)
    }

    /// Partitions it has, numbered from 0: active ones, and those that were [split](Self::split).
    pub fn partition_count(&self) -> u32 {
        self.state.look(Layout::count)
    }

    /// The partitions that keys belong to, by range.
    pub fn active_partitions(&self) -> Vec<u32> {
        self.state.look(Layout::active)
    }

    /// Everything that the catalogue says.
    pub fn describe(&self) -> TopicInfo {
        self.state.look(|layout| layout.info(self.name()))
    }

    /// A partition, to be appended to: recovered if this is the first time that it is asked for, and made, with its directory, if it is the
    /// first time ever. One that was split is opened too, and takes no appends.
    ///
    /// # Errors
    /// [`TopicError::NoPartition`], [`TopicError::Open`], [`TopicError::PartitionsMissing`], [`TopicError::Deleted`], [`TopicError::Io`];
    /// [`TopicError::Internal`] for a topic of the engine itself, of which there are [views](Self::view) alone.
    pub fn partition(&self, number: u32) -> Result<Partition, TopicError> {
        self.name().check_public()?;
        self.partition_to_write(number)
    }

    /// As [`partition`](Self::partition), also of the engine's own topics.
    pub(super) fn partition_to_write(&self, number: u32) -> Result<Partition, TopicError> {
        let log = self.store.log(&self.state, number)?;
        Ok(Partition::new(self.store.clone(), self.partition_key(number)?, number, log))
    }

    /// A partition, to be read alone: one that was never written to is an empty log, and stays without a directory. Once it is made, the view
    /// shows what comes as a read-only open does, after a [`refresh`](PartitionView::refresh) or a wait.
    ///
    /// # Errors
    /// As [`partition`](Self::partition).
    pub fn view(&self, number: u32) -> Result<PartitionView, TopicError> {
        self.state.check_there()?;
        let (uuid, is_made) = self.state.look(|layout| layout.entry(self.name(), number).map(|entry| (entry.uuid, entry.made)))?;
        if is_made {
            return Ok(self.partition_to_write(number)?.view().clone());
        }
        let catalog = &self.store.shared.catalog;
        let dir = catalog.partition_dir(self.name(), number);
        let (view, follower) = Follower::open(catalog.storage.clone(), (&catalog.dir, &dir), self.store.index_interval(), uuid, why_absent)?;
        Ok(PartitionView::of_follower(self.name().to_string(), number, view, follower))
    }

    /// Whether a partition was made: used for writing at some time, with a directory since.
    pub(crate) fn is_made(&self, number: u32) -> Result<bool, TopicError> {
        self.state.look(|layout| layout.entry(self.name(), number).map(|entry| entry.made))
    }

    /// What a partition is known by.
    ///
    /// # Errors
    /// [`TopicError::NoPartition`].
    pub fn partition_key(&self, number: u32) -> Result<PartitionKey, TopicError> {
        let range = self.state.look(|layout| layout.range(self.name(), number))?;
        Ok(PartitionKey { topic: self.name().clone(), range })
    }

    /// The partition of exactly this range, active or split: the other way round than [`partition_key`](Self::partition_key).
    pub fn partition_of_range(&self, range: RingRange) -> Option<u32> {
        self.state.look(|layout| layout.of_range(range))
    }

    /// The active partition whose range holds the key's [slot](crate::key_slot).
    pub fn partition_for_key(&self, key: &[u8]) -> u32 {
        self.state.look(|layout| layout.for_slot(key_slot(key)))
    }

    /// The partitions that records of a key are in: those that were split first, each before what it was split into, and the active one last.
    pub fn partitions_of_key(&self, key: &[u8]) -> Vec<u32> {
        let slot = key_slot(key);
        self.state.look(|layout| RingRange::new(layout.meta.ring_size, slot, slot + 1).map(|range| layout.in_range(range))).unwrap_or_default()
    }

    /// The partitions that records of the keys of a range are in, in part or as a whole: those that were split before what they were split into.
    pub fn partitions_in(&self, range: RingRange) -> Vec<u32> {
        self.state.look(|layout| layout.in_range(range))
    }
}
