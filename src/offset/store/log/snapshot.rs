//! Snapshots of an offset log: everything that is known, appended again, so that the prefix before it can go. Reads none by itself.

use parking_lot::RwLockWriteGuard;
use tidelog_format::Offset;

use crate::error::CutError;
use crate::log::{Record, RecordBatch};
use crate::offset::error::OffsetStoreError;
use crate::offset::store::log::encoding::Entry;
use crate::offset::store::log::{LogOffsetStore, read_on, value_of};
use crate::topic::Partition;

impl LogOffsetStore {
    /// A snapshot, if it is time and nobody writes one. That it fails takes nothing from anybody: the changes are durable.
    pub(super) fn snapshot_if_grown(&self) {
        let Some(_one_at_a_time) = self.snapshotting.try_lock() else { return };
        let is_grown = {
            let state = self.state.read();
            state.changes_bytes > self.limit(&state)
        };
        if is_grown && self.replace_prefix().is_err() {
            self.state.write().changes_bytes = 0; // the next attempt is as far away as this one was
        }
    }

    /// Appends a snapshot, and deletes what is before it as soon as the log itself says that it is complete and durable.
    pub(super) fn replace_prefix(&self) -> Result<(), OffsetStoreError> {
        let partition = self.writer()?;
        let begin = self.append_snapshot(partition)?;
        partition.flush()?;
        let snapshot = self.catch_up(partition)?.snapshot;
        // Somebody else may have appended in between, which makes a snapshot worthless.
        if snapshot == Some(begin) { self.delete_before(snapshot) } else { Ok(()) }
    }

    /// Appends all that is known; returns where that begins.
    fn append_snapshot(&self, partition: &Partition) -> Result<u64, OffsetStoreError> {
        let mut state = self.state.write();
        // No change of this store comes in between: they are appended under this lock.
        let mut awaited = self.awaited.lock();
        partition.flush()?;
        for (offset, outcome) in read_on(&mut state, partition.view(), || partition.durable_end_offset())? {
            awaited.entry(offset).and_modify(|waiting| *waiting = Some(outcome));
        }
        let state = RwLockWriteGuard::downgrade(state);
        let begin = Offset::new(state.next);
        let bytes_max = (partition.batch_bytes_max() as usize / 2).min(BATCH_BYTES);
        let mut snapshot = Snapshot { partition, batch: RecordBatch::new(), bytes_max };
        snapshot.push(&Entry::Begin)?;
        let mut records = 0;
        for change in state.notes.changes(bytes_max / 2) {
            snapshot.push(&Entry::Snapshot(change))?;
            records += 1;
        }
        snapshot.push(&Entry::End { begin, records })?;
        snapshot.append()?;
        Ok(begin.get())
    }

    /// Deletes what is before a complete, durable snapshot.
    pub(super) fn delete_before(&self, snapshot: Option<u64>) -> Result<(), OffsetStoreError> {
        let partition = self.writer()?;
        match snapshot {
            Some(begin) if partition.log_start_offset() < begin => match partition.delete_prefix(begin) {
                // Somebody else did, behind a newer one.
                Err(CutError::OutOfRange { .. }) if partition.log_start_offset() >= begin => Ok(()),
                other => Ok(other?),
            },
            _ => Ok(()),
        }
    }
}

/// A snapshot that is being appended, some records a batch.
struct Snapshot<'a> {
    partition: &'a Partition,
    batch: RecordBatch,
    bytes_max: usize,
}

impl Snapshot<'_> {
    fn push(&mut self, entry: &Entry) -> Result<(), OffsetStoreError> {
        let value = value_of(entry)?;
        if !self.batch.is_empty() && self.batch.bytes() + value.len() > self.bytes_max {
            self.append()?;
        }
        Ok(self.batch.push(&Record::new(&value))?)
    }

    fn append(&mut self) -> Result<(), OffsetStoreError> {
        // Durable with the whole of it.
        drop(self.partition.append_deferred(&self.batch)?);
        self.batch.clear();
        Ok(())
    }
}

const BATCH_BYTES: usize = 256 << 10;
