//! A topic as its writer holds it: the catalogue in memory, changed in step with the file. Opens no partition.

use std::io;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, MutexGuard};
use tidelog_format::{TOPIC_COPY_NAME, TOPIC_NAME, TopicMeta};

use crate::error::{IoError, TopicError};
use crate::io::{read_file, replace_file};
use crate::topic::catalog::Catalog;
use crate::topic::layout::Layout;
use crate::topic::name::TopicName;
use crate::topic::topic_files::CATALOG_BYTES_MAX;

/// What all handles of a topic share.
#[derive(Debug)]
pub(super) struct TopicState {
    pub(super) name: TopicName,
    layout: ArcSwap<Layout>,
    /// Held while the catalogue is changed. Whoever holds the slot of a partition may take it, not the other way round.
    changing: Mutex<()>,
    is_deleted: AtomicBool,
    /// Why what the file says is not known to be durable: nothing may build on it.
    failure: OnceLock<IoError>,
}

/// The right to change the catalogue.
pub(super) struct Changing<'a> {
    topic: &'a TopicState,
    _guard: MutexGuard<'a, ()>,
}

impl TopicState {
    pub(super) fn new(name: TopicName, layout: Layout) -> Self {
        let (layout, changing) = (ArcSwap::from_pointee(layout), Mutex::default());
        Self { name, layout, changing, is_deleted: AtomicBool::new(false), failure: OnceLock::new() }
    }

    pub(super) fn layout(&self) -> Arc<Layout> {
        self.layout.load_full()
    }

    /// As [`layout`](Self::layout), for a look: nothing may wait meanwhile.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Layout) -> T) -> T {
        look(&self.layout.load())
    }

    pub(super) fn check_there(&self) -> Result<(), TopicError> {
        if self.is_deleted.load(Ordering::Acquire) { Err(TopicError::Deleted { topic: self.name.to_string() }) } else { Ok(()) }
    }

    pub(super) fn set_deleted(&self, is_deleted: bool) {
        self.is_deleted.store(is_deleted, Ordering::Release);
    }

    /// Waits for whoever is changing the catalogue.
    pub(super) fn change(&self) -> Result<Changing<'_>, TopicError> {
        let _guard = self.changing.lock();
        self.check_there()?;
        match self.failure.get() {
            Some(failure) => Err(failure.clone().into()),
            None => Ok(Changing { topic: self, _guard }),
        }
    }

    /// Waits for whoever is changing the catalogue of a topic that is deleted: nobody begins any more.
    pub(super) fn wait_unchanging(&self) {
        drop(self.changing.lock());
    }
}

impl Changing<'_> {
    /// Makes the directory of a partition, and notes that it is made.
    ///
    /// In this order: the directory, whole and durably named; then the note, durably; then, and only then, the partition is handed out. A crash in
    /// between leaves a directory without a note, in which nothing can have been acknowledged: it is taken for what it is, and noted at the
    /// next use. The other way round it would leave a note without a directory, which cannot be told from a partition that was lost.
    pub(super) fn make_partition(&self, catalog: &Catalog, number: u32, segment_bytes: u64) -> Result<(), TopicError> {
        let layout = self.topic.layout();
        if layout.entry(&self.topic.name, number)?.made {
            return Ok(());
        }
        catalog.make_partition(&self.topic.name, &layout, number, segment_bytes).inspect_err(|error| self.note_failure(catalog, error))?;
        let mut meta = layout.meta.clone();
        meta.partitions[number as usize].made = true;
        self.replace(catalog, meta)
    }

    /// After the name of a partition could not be made durable, a later sync that succeeds proves nothing.
    fn note_failure(&self, catalog: &Catalog, error: &TopicError) {
        if let TopicError::Io(error) = error
            && error.action == "sync"
            && error.path == catalog.topic_dir(&self.topic.name)
        {
            let _ = self.topic.failure.set(error.clone()); // the first one stays
        }
    }

    /// Gives the topic another catalogue: the file first, then what is looked up in memory. After an error the old one holds; if it is not known
    /// which of them a crash would leave, nothing is changed any more until the topic is opened again.
    pub(super) fn replace(&self, catalog: &Catalog, meta: TopicMeta) -> Result<(), TopicError> {
        let topic_dir = catalog.topic_dir(&self.topic.name);
        let bytes = meta.encode();
        // The copy first: see `write_catalog`.
        for (number, path) in [TOPIC_COPY_NAME, TOPIC_NAME].map(|name| topic_dir.join(name)).iter().enumerate() {
            let Err(error) = replace_file(&*catalog.storage, path, &bytes) else { continue };
            let is_done = match read_file(&*catalog.storage, path, CATALOG_BYTES_MAX) {
                Ok(found) => found == bytes,
                Err(unread) => unread.kind() != io::ErrorKind::NotFound,
            };
            let error = IoError::new("write", path, error);
            if is_done {
                // It has its name, and the sync of that failed.
                let _ = self.topic.failure.set(error.clone()); // nobody else is changing it
            } else if number > 0 {
                // The copy is ahead: it should not be when the catalogue is damaged one day. Else the next change, or open, puts that right.
                let _ = replace_file(&*catalog.storage, &topic_dir.join(TOPIC_COPY_NAME), &self.topic.layout().meta.encode());
            }
            return Err(error.into());
        }
        self.topic.layout.store(Arc::new(Layout::new(meta)));
        Ok(())
    }

    /// Whether the last change may have been done although it failed.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.topic.failure.get().is_some()
    }
}
