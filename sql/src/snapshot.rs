//! A topic as one statement sees it: its partitions, and where each begins and ends. What comes later is not in it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Result;
use tidelog::{PartitionView, ReadError, Reader, Start, TopicName};

use crate::error;
use crate::log_tables::Shared;
use crate::source::SourceTopic;

/// Shared by all cursors of a table that are open at the same time.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) shared: Arc<Shared>,
    name: String,
    topic: SourceTopic,
    windows: Mutex<BTreeMap<u32, Window>>,
}

/// The offsets of a partition that are rows.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    pub(crate) view: PartitionView,
    pub(crate) start: u64,
    /// Exclusive. The log ends between two batches.
    pub(crate) end: u64,
    /// Stands at the end, and never reads: it knows whether the log was cut below it.
    guard: Reader,
}

impl Window {
    fn of(view: PartitionView) -> Result<Self, ReadError> {
        let guard = view.read(Start::Latest)?;
        let end = guard.offset().get();
        Ok(Self { start: view.log_start_offset().get().min(end), end, guard, view })
    }

    /// Whether the log below the end is what it was.
    pub(crate) fn check(&self) -> Result<(), ReadError> {
        self.guard.check_uncut()
    }
}

impl Snapshot {
    pub(crate) fn take(shared: &Arc<Shared>, topic: &TopicName) -> Result<Self> {
        let name = topic.to_string();
        let topic = shared.source.topic(topic).map_err(|error| error::of_topic(&name, &error))?;
        Ok(Self { shared: shared.clone(), name, topic, windows: Mutex::default() })
    }

    pub(crate) fn topic(&self) -> &str {
        &self.name
    }

    pub(crate) fn partition_count(&self) -> u32 {
        self.topic.partition_count()
    }

    /// A partition, which ends where it did when it was first asked for.
    pub(crate) fn window(&self, partition: u32) -> Result<Window> {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(window) = windows.get(&partition) {
            return Ok(window.clone());
        }
        let view = self.shared.source.view(&self.topic, partition).map_err(|error| error::of_topic(&self.name, &error))?;
        let window = Window::of(view.with_isolation(self.shared.isolation));
        let window = window.map_err(|error| error::of_read(&self.name, Some(partition), &error))?;
        windows.insert(partition, window.clone());
        Ok(window)
    }
}
