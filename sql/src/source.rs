//! The store behind the tables, written by this process or by another one. Keeps partitions open between statements; reads no record.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidelog::{PartitionView, ReadOnlyStore, ReadOnlyTopic, Store, Topic, TopicError, TopicName};

#[derive(Debug, Clone)]
pub(crate) enum Source {
    Reader { store: ReadOnlyStore, views: Views },
    Writer(Store),
}

/// Partitions that are open.
#[derive(Debug, Clone, Default)]
pub(crate) struct Views(Arc<Mutex<HashMap<(TopicName, u32), PartitionView>>>);

/// A topic as it was when it was asked for.
#[derive(Debug)]
pub(crate) enum SourceTopic {
    Reader {
        topic: Box<ReadOnlyTopic>,
        /// The identity of each partition, in hexadecimal; none is known of a topic without a catalogue.
        uuids: Vec<String>,
    },
    Writer(Topic),
}

impl Source {
    pub(crate) fn reader(store: ReadOnlyStore) -> Self {
        Self::Reader { store, views: Views::default() }
    }

    /// All of them but the engine's own.
    pub(crate) fn topics(&self) -> Result<Vec<TopicName>, TopicError> {
        match self {
            Self::Reader { store, .. } => store.topics(),
            Self::Writer(store) => store.topics(),
        }
    }

    pub(crate) fn topic(&self, name: &TopicName) -> Result<SourceTopic, TopicError> {
        match self {
            Self::Reader { store, views } => {
                // What is open of a topic that is no more would keep its files.
                let topic = store.topic(&name.to_string()).inspect_err(|_| views.locked().retain(|(of, _), _| of != name))?;
                let partitions = topic.describe().map_or_else(|_| Vec::new(), |info| info.partitions);
                Ok(SourceTopic::Reader { topic: Box::new(topic), uuids: partitions.into_iter().map(|partition| partition.uuid).collect() })
            }
            Self::Writer(store) => Ok(SourceTopic::Writer(store.existing_topic(&name.to_string())?)),
        }
    }

    /// A partition as it is now.
    pub(crate) fn view(&self, topic: &SourceTopic, number: u32) -> Result<PartitionView, TopicError> {
        match (self, topic) {
            (_, SourceTopic::Writer(topic)) => topic.view(number),
            (Self::Writer(_), SourceTopic::Reader { topic, .. }) => topic.partition(number),
            (Self::Reader { views, .. }, SourceTopic::Reader { topic, uuids }) => {
                let key = (topic.name().clone(), number);
                let known = views.locked().get(&key).cloned();
                // The topic may have been deleted, and made anew: then what is known is another one's.
                let known = known.filter(|view| uuids.get(number as usize).is_none_or(|uuid| *uuid == hexadecimal(view.uuid())));
                if let Some(view) = known.filter(|view| view.refresh().is_ok()) {
                    return Ok(view);
                }
                views.locked().remove(&key);
                let view = topic.partition(number)?;
                views.locked().insert(key, view.clone());
                Ok(view)
            }
        }
    }
}

impl Views {
    fn locked(&self) -> MutexGuard<'_, HashMap<(TopicName, u32), PartitionView>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SourceTopic {
    pub(crate) fn partition_count(&self) -> u32 {
        match self {
            Self::Reader { topic, .. } => topic.partition_count(),
            Self::Writer(topic) => topic.partition_count(),
        }
    }
}

fn hexadecimal(uuid: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(uuid))
}
