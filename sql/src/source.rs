//! The store behind the tables, written by this process or by another one. Keeps partitions open between statements; reads no record.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tidelog::{PartitionView, ReadError, ReadOnlyStore, ReadOnlyTopic, Store, Topic, TopicError, TopicName};

#[derive(Debug, Clone)]
pub(crate) enum Source {
    Reader { store: ReadOnlyStore, views: Arc<Mutex<HashMap<(TopicName, u32), PartitionView>>> },
    Writer(Store),
}

/// A topic as it was when it was asked for.
#[derive(Debug)]
pub(crate) enum SourceTopic {
    Reader(Box<ReadOnlyTopic>),
    Writer(Topic),
}

impl Source {
    pub(crate) fn reader(store: ReadOnlyStore) -> Self {
        Self::Reader { store, views: Arc::default() }
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
            Self::Reader { store, .. } => Ok(SourceTopic::Reader(Box::new(store.topic(&name.to_string())?))),
            Self::Writer(store) => Ok(SourceTopic::Writer(store.existing_topic(&name.to_string())?)),
        }
    }

    /// A partition as it is now.
    pub(crate) fn view(&self, topic: &SourceTopic, number: u32) -> Result<PartitionView, TopicError> {
        match (self, topic) {
            (_, SourceTopic::Writer(topic)) => topic.view(number),
            (Self::Writer(_), SourceTopic::Reader(topic)) => topic.partition(number),
            (Self::Reader { views, .. }, SourceTopic::Reader(topic)) => {
                let key = (topic.name().clone(), number);
                let known = views.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
                match known.map(|view| view.refresh().map(|()| view)) {
                    Some(Ok(view)) => return Ok(view),
                    Some(Err(ReadError::Open(error))) => return Err(TopicError::Open(*error)),
                    // The topic may have been deleted, and made anew: then what is known is another one's.
                    Some(Err(_)) | None => {}
                }
                let view = topic.partition(number)?;
                views.lock().unwrap_or_else(PoisonError::into_inner).insert(key, view.clone());
                Ok(view)
            }
        }
    }
}

impl SourceTopic {
    pub(crate) fn partition_count(&self) -> u32 {
        match self {
            Self::Reader(topic) => topic.partition_count(),
            Self::Writer(topic) => topic.partition_count(),
        }
    }
}
