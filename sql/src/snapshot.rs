//! A topic as one statement sees it: its partitions, and where each begins and ends. What comes later is not in it.

use std::sync::Arc;

use rusqlite::Result;
use tidelog::{PartitionView, ReadError, Reader, Start, TopicName};

use crate::error::{self, Failure};
use crate::log_tables::Shared;

/// Shared by all cursors of a table that are open at the same time.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) shared: Arc<Shared>,
    name: String,
    /// Of each partition, at its number. One that cannot be had is an error for whoever asks for it.
    windows: Vec<Result<Window, Failure>>,
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
    /// Notes the ends of all partitions, one right after the other, before any of them is read.
    pub(crate) fn take(shared: &Arc<Shared>, topic: &TopicName) -> Result<Self> {
        let name = topic.to_string();
        let topic = shared.source.topic(topic).map_err(|error| error::of_topic(&name, None, &error))?;
        let window = |partition| {
            let view = shared.source.view(&topic, partition).map_err(|error| error::of_topic(&name, Some(partition), &error))?;
            Window::of(view.with_isolation(shared.isolation)).map_err(|error| error::of_read(&name, Some(partition), &error))
        };
        let windows = (0..topic.partition_count()).map(window).collect();
        Ok(Self { shared: shared.clone(), name, windows })
    }

    pub(crate) fn topic(&self) -> &str {
        &self.name
    }

    pub(crate) fn partition_count(&self) -> u32 {
        self.windows.len() as u32
    }

    /// A partition as it was when the statement began.
    pub(crate) fn window(&self, partition: u32) -> Result<Window, Failure> {
        self.windows[partition as usize].clone()
    }
}
