//! Partitions of a store by what positions of groups call them, found once and then followed. Changes not one byte.

use std::collections::HashMap;

use tidelog::group::TopicPartition;
use tidelog::{PartitionKey, PartitionView, ReadError, ReadOnlyStore, TopicError};

/// The partitions that were asked for, by key.
pub(super) struct Views {
    store: ReadOnlyStore,
    known: HashMap<PartitionKey, PartitionView>,
}

impl Views {
    pub(super) fn new(store: ReadOnlyStore) -> Self {
        Self { store, known: HashMap::new() }
    }

    /// A partition as it is now, if there is one.
    pub(super) fn find(&mut self, key: &PartitionKey) -> Result<Option<PartitionView>, TopicError> {
        if let Some(view) = self.known.get(key) {
            match view.refresh() {
                Ok(()) => return Ok(Some(view.clone())),
                // The topic may have been deleted, and made anew: then the name is another one's.
                Err(ReadError::TopicDeleted { .. }) => drop(self.known.remove(key)),
                Err(ReadError::Open(error)) => return Err(TopicError::Open(*error)),
                // What is known of it is as good as ever.
                Err(_) => return Ok(Some(view.clone())),
            }
        }
        let topic = match self.store.topic(&key.topic.to_string()) {
            Err(TopicError::Unknown { .. }) => return Ok(None),
            other => other?,
        };
        let is_it = |number: &u32| topic.partition_key(*number).is_ok_and(|found| found == *key);
        let Some(number) = (0..topic.partition_count()).find(is_it) else { return Ok(None) };
        let view = topic.partition(number)?;
        self.known.insert(key.clone(), view.clone());
        Ok(Some(view))
    }

    /// The partition that has a number in a topic, if there is one.
    pub(super) fn key(&self, partition: &TopicPartition) -> Result<Option<PartitionKey>, TopicError> {
        match self.store.topic(&partition.topic.to_string()) {
            Ok(topic) if partition.partition < topic.partition_count() => topic.partition_key(partition.partition).map(Some),
            Ok(_) | Err(TopicError::Unknown { .. } | TopicError::Internal { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A partition that was found before.
    pub(super) fn known(&self, key: &PartitionKey) -> Option<&PartitionView> {
        self.known.get(key)
    }

    pub(super) fn number(&self, key: &PartitionKey) -> Option<u32> {
        self.known.get(key).map(PartitionView::index)
    }
}
