//! A store that is only looked at, beside its writer or without one. Takes no lock, changes not one byte.

use std::path::Path;
use std::sync::Arc;

use crate::error::{OpenError, TopicError};
use crate::log::{Follower, PartitionView};
use crate::topic::catalog::Catalog;
use crate::topic::key_slot::key_slot;
use crate::topic::name::TopicName;
use crate::topic::options::StoreOptions;
use crate::topic::partition_key::PartitionKey;
use crate::topic::topic_files::{TopicFiles, why_absent};
use crate::topic::topic_info::TopicInfo;

/// A store that is open for reading alone. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ReadOnlyStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    catalog: Catalog,
    index_interval: u32,
}

/// A topic that is open for reading alone. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ReadOnlyTopic {
    store: Arc<Inner>,
    name: TopicName,
    files: TopicFiles,
}

impl ReadOnlyStore {
    pub(super) fn open_with(dir: &Path, options: StoreOptions) -> Result<Self, OpenError> {
        options.config.check()?;
        let catalog = Catalog { storage: options.storage, dir: dir.to_owned() };
        catalog.check()?;
        Ok(Self { inner: Arc::new(Inner { catalog, index_interval: options.config.index_interval_bytes }) })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.inner.catalog.dir
    }

    /// The topics, by name, without [internal ones](TopicName::is_internal).
    ///
    /// # Errors
    /// [`TopicError::Io`].
    pub fn topics(&self) -> Result<Vec<TopicName>, TopicError> {
        Ok(self.all_topics()?.into_iter().filter(|topic| !topic.is_internal()).collect())
    }

    /// All topics, by name, with [internal ones](TopicName::is_internal).
    ///
    /// # Errors
    /// [`TopicError::Io`].
    pub fn all_topics(&self) -> Result<Vec<TopicName>, TopicError> {
        Ok(self.inner.catalog.topics()?)
    }

    /// A topic that must be there.
    ///
    /// # Errors
    /// [`TopicError::Unknown`], which names topics like it.
    pub fn topic(&self, name: &str) -> Result<ReadOnlyTopic, TopicError> {
        let name: TopicName = name.parse()?;
        let files = self.inner.catalog.topic_files(&name)?;
        Ok(ReadOnlyTopic { store: self.inner.clone(), name, files })
    }
}

impl ReadOnlyTopic {
    /// Its name.
    pub fn name(&self) -> &TopicName {
        &self.name
    }

    /// Partitions it has, numbered from 0: active ones, and those that were split.
    pub fn partition_count(&self) -> u32 {
        self.files.layout.count()
    }

    /// Partitions whose directories are gone.
    pub fn missing_partitions(&self) -> &[u32] {
        &self.files.missing
    }

    /// Everything that the catalogue says, as it was when the topic was asked for.
    ///
    /// # Errors
    /// [`TopicError::CatalogDamaged`].
    pub fn describe(&self) -> Result<TopicInfo, TopicError> {
        match &self.files.damage {
            Some(damage) => Err(damage.clone()),
            None => Ok(self.files.layout.info(&self.name)),
        }
    }

    /// What is wrong with the catalogue, also where its copy stands in for it.
    pub fn catalog_damage(&self) -> Option<&TopicError> {
        self.files.damage.as_ref().or(self.files.spoiled.as_ref())
    }

    /// What a partition is known by.
    ///
    /// # Errors
    /// [`TopicError::NoPartition`], [`TopicError::CatalogDamaged`].
    pub fn partition_key(&self, number: u32) -> Result<PartitionKey, TopicError> {
        match &self.files.damage {
            Some(damage) => Err(damage.clone()),
            None => Ok(PartitionKey { topic: self.name.clone(), range: self.files.layout.range(&self.name, number)? }),
        }
    }

    /// The active partition whose range held the key's [slot](crate::key_slot) when the topic was asked for.
    ///
    /// # Errors
    /// [`TopicError::CatalogDamaged`].
    pub fn partition_for_key(&self, key: &[u8]) -> Result<u32, TopicError> {
        match &self.files.damage {
            Some(damage) => Err(damage.clone()),
            None => Ok(self.files.layout.for_slot(key_slot(key))),
        }
    }

    /// A partition, as it is now: what a live writer shows, or, without one, exactly what recovery would keep. One that was never written to is an
    /// empty log.
    ///
    /// # Errors
    /// [`TopicError::NoPartition`], [`TopicError::PartitionsMissing`] if it is one of them, [`TopicError::Open`].
    pub fn partition(&self, number: u32) -> Result<PartitionView, TopicError> {
        self.files.check(&self.name, number)?;
        let catalog = &self.store.catalog;
        let dir = catalog.partition_dir(&self.name, number);
        let uuid = self.files.layout.entry(&self.name, number)?.uuid;
        let (view, follower) = Follower::open(catalog.storage.clone(), (&catalog.dir, &dir), self.store.index_interval, uuid, why_absent)?;
        Ok(PartitionView::of_follower(self.name.to_string(), number, view, follower))
    }
}
