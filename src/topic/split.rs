//! Repartition: the range of a partition is split, and the old partition stays to be read. Moves no record.

use std::sync::Arc;

use crate::error::TopicError;
use crate::log::{Log, Refusal};
use crate::topic::store::Shared;
use crate::topic::topic_handle::Topic;
use crate::topic::topic_state::TopicState;

impl Topic {
    /// Splits the range of a partition into even parts: see [`split_at`](Self::split_at). Returns the numbers of the new partitions.
    ///
    /// ```
    /// use tidelog::{AppendError, Record, Store};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// let orders = Store::open(dir.path())?.topic("orders")?;
    /// let old = orders.partition(0)?;
    /// old.append(Record::new("12 apples").key("customer-7"))?;
    /// assert_eq!(orders.split(0, 2)?, [1, 2]);
    /// let now = orders.partition_for_key(b"customer-7");
    /// assert_eq!(orders.partitions_of_key(b"customer-7"), [0, now]);
    /// assert!(matches!(old.append(Record::new("more")), Err(AppendError::PartitionSplit)));
    /// assert!(old.get(0).is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`TopicError::SplitParts`] if the range has not so many slots, else as [`split_at`](Self::split_at).
    pub fn split(&self, partition: u32, parts: u32) -> Result<Vec<u32>, TopicError> {
        self.name().check_public()?;
        let at = self.state.look(|layout| layout.even_parts(self.name(), partition, parts))?;
        self.split_at(partition, &at)
    }

    /// Splits the range of a partition at some of its slots, each the first of a new partition. The new ones have the numbers that follow the last
    /// partition's, which are returned, and begin at offset 0; keys of the range go to them from now on. What is in the old partition stays
    /// there, at its offsets, and is made durable first: an append to it that was acknowledged is in it, none is taken after this.
    ///
    /// All at once, also in a crash: one file is replaced.
    ///
    /// # Errors
    /// [`TopicError::NoPartition`], [`TopicError::AlreadySplit`], [`TopicError::SplitAt`], [`TopicError::Internal`], [`TopicError::Sync`],
    /// [`TopicError::Io`]. Nothing is split, and appends go on, unless it was the last sync that failed: then it is not known, and nothing is appended to the partition, nor
    /// to new ones, until the store is opened again.
    pub fn split_at(&self, partition: u32, at: &[u32]) -> Result<Vec<u32>, TopicError> {
        self.name().check_public()?;
        self.store.shared.split(&self.state, partition, at)
    }
}

impl Shared {
    fn split(&self, topic: &TopicState, partition: u32, at: &[u32]) -> Result<Vec<u32>, TopicError> {
        loop {
            let is_made = topic.look(|layout| layout.entry(&topic.name, partition).map(|entry| entry.made))?;
            // Before the right to change, which whoever opens it may be waiting for.
            let log = if is_made { Some(self.log(topic, partition)?) } else { None };
            let _naming = self.naming.lock();
            self.check_open()?;
            let changing = topic.change()?;
            let layout = topic.layout();
            if log.is_none() && layout.entry(&topic.name, partition)?.made {
                continue; // made meanwhile
            }
            let (meta, into) = layout.split(&topic.name, partition, at, &*self.catalog.storage)?;
            let stopped = log.as_ref().map(stop_appends).transpose()?;
            changing.replace(&self.catalog, meta).inspect_err(|_| {
                if let (Some(log), Some(before)) = (&log, stopped.filter(|_| !changing.is_in_doubt())) {
                    log.restore_appends(before);
                }
            })?;
            return Ok(into);
        }
    }
}

/// Nothing is appended from now on, and what was is durable: records of a key in the new partitions come after those in the old one in a crash too.
/// Returns why they were refused before, if they were.
fn stop_appends(log: &Arc<Log>) -> Result<Option<Refusal>, TopicError> {
    let before = log.refuse_appends(Refusal::Split);
    log.flush().inspect_err(|_| log.restore_appends(before))?;
    Ok(before)
}
