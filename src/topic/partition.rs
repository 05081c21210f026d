//! A partition that is open for writing, as its users see it. Holds no state of its own.

use std::cell::RefCell;
use std::sync::Arc;

use tidelog_format::{LeaderEpoch, Offset, Producer, TimestampNs};

use crate::config::AckLevel;
use crate::error::{AppendError, CutError, ReadError, RestoreError, SyncError};
use crate::log::{Assigned, BackwardReader, Log, PartitionView, Reader, Record, RecordBatch, RecoveryReport, Scratch, Staging, Start, StoredRecord};
use crate::topic::partition_key::PartitionKey;
use crate::topic::store::StoreInner;

/// A partition: append and read. Cheap to clone; keeps its store open.
#[derive(Debug, Clone)]
pub struct Partition {
    log: Arc<Log>,
    view: PartitionView,
    store: Arc<StoreInner>,
    key: Arc<PartitionKey>,
}

/// What an append was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ack {
    /// Offset of the first record.
    pub base_offset: Offset,
    /// Offset of the last record.
    pub last_offset: Offset,
    /// Time of the append.
    pub append_ts: TimestampNs,
    /// First offset not known durable when the append was acknowledged.
    pub durable_end: Offset,
}

/// Where a batch stood in the log that it is restored from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchPlace {
    /// Offset of its first record. The others have the offsets that follow.
    pub base_offset: Offset,
    /// The term in which it was appended.
    pub leader_epoch: LeaderEpoch,
    /// Who appended it, if that is known.
    pub producer_id: Option<i64>,
}

/// An append that is written and has its offsets, but is not yet known durable. Dropping it changes nothing about that.
#[derive(Debug, Clone)]
#[must_use = "wait for it, or the append is not known durable"]
pub struct PendingAck {
    pub(super) log: Arc<Log>,
    pub(super) assigned: Assigned,
}

impl Partition {
    pub(super) fn new(store: Arc<StoreInner>, key: PartitionKey, number: u32, log: Arc<Log>) -> Self {
        Self { view: PartitionView::of_writer(key.topic.to_string(), number, log.clone()), log, store, key: Arc::new(key) }
    }

    /// What it is known by.
    pub fn key(&self) -> &PartitionKey {
        &self.key
    }

    /// Appends one record, durably: when this returns, it survives power loss.
    ///
    /// # Errors
    /// [`AppendError`].
    pub fn append(&self, record: Record<'_>) -> Result<Ack, AppendError> {
        self.append_with(record, AckLevel::Durable)
    }

    /// Appends one record.
    ///
    /// # Errors
    /// [`AppendError`].
    pub fn append_with(&self, record: Record<'_>, level: AckLevel) -> Result<Ack, AppendError> {
        self.log.prefetch();
        let stage = |batch: &mut RecordBatch, scratch: &mut Scratch| {
            batch.clear();
            batch.push(&record)?;
            self.stage(batch, scratch)
        };
        if level == AckLevel::Durable
            && self.log.syncs_each()
            && let Some(ack) = self.append_staged(stage)?
        {
            return Ok(ack);
        }
        let assigned = BUFFERS.with_borrow_mut(|(batch, scratch)| {
            batch.clear();
            batch.push(&record)?;
            self.append_encoded(batch, scratch)
        })?;
        self.acknowledge(assigned, level)
    }

    /// Appends records together: all of them, or none.
    ///
    /// # Errors
    /// [`AppendError`].
    pub fn append_batch(&self, batch: &RecordBatch, level: AckLevel) -> Result<Ack, AppendError> {
        self.log.prefetch();
        if level == AckLevel::Durable
            && self.log.syncs_each()
            && let Some(ack) = self.append_staged(|_, scratch| self.stage(batch, scratch))?
        {
            return Ok(ack);
        }
        let assigned = BUFFERS.with_borrow_mut(|(_, scratch)| self.append_encoded(batch, scratch))?;
        self.acknowledge(assigned, level)
    }

    /// Appends records together and returns as soon as they are written: wait for durability later, perhaps for many appends at once.
    ///
    /// # Errors
    /// [`AppendError`].
    pub fn append_deferred(&self, batch: &RecordBatch) -> Result<PendingAck, AppendError> {
        self.log.prefetch();
        let assigned = BUFFERS.with_borrow_mut(|(_, scratch)| self.append_encoded(batch, scratch))?;
        self.log.want_sync();
        Ok(PendingAck { log: self.log.clone(), assigned })
    }

    // In line down to the frame: values that are moved as a whole right after their fields were stored stall an append.
    #[inline(always)]
    fn append_encoded(&self, batch: &RecordBatch, scratch: &mut Scratch) -> Result<Assigned, AppendError> {
        let encoded = batch.encode(self.store.compression, scratch)?;
        self.log.append(&encoded)
    }

    /// Has a batch appended by whoever leads the next sync, perhaps this thread. `None` if it must be appended alone.
    #[inline(never)]
    fn append_staged(&self, stage: impl FnOnce(&mut RecordBatch, &mut Scratch) -> Result<Staging, AppendError>) -> Result<Option<Ack>, AppendError> {
        // The buffers are free again before anybody waits: what a leader wakes may use them on this thread.
        let assigned = match BUFFERS.with_borrow_mut(|(batch, scratch)| stage(batch, scratch))? {
            Staging::Staged(staged) => self.log.wait_staged(staged)?,
            Staging::Appended(assigned) => Some(assigned),
        };
        assigned.map(|assigned| self.acknowledge(assigned, AckLevel::Durable)).transpose()
    }

    fn stage(&self, batch: &RecordBatch, scratch: &mut Scratch) -> Result<Staging, AppendError> {
        let encoded = batch.encode(self.store.compression, scratch)?;
        self.log.stage(&encoded)
    }

    #[inline(always)]
    fn acknowledge(&self, assigned: Assigned, level: AckLevel) -> Result<Ack, AppendError> {
        if level == AckLevel::Durable {
            let base_offset = Offset::new(assigned.base_offset);
            self.log.wait_durable(assigned.next_offset).map_err(|source| AppendError::NotDurable { base_offset, source })?;
        }
        Ok(ack(&self.log, assigned))
    }

    /// Brings a batch back to where it stood in the log that it is restored from: the way back from an export, or from another copy.
    /// Batches come in the order of their offsets. An empty partition begins where the first one does; where the log ends below a batch, the
    /// offsets between them have no record. The batch is written when this returns: [`flush`](Self::flush) makes it durable.
    ///
    /// ```
    /// use tidelog::{LeaderEpoch, BatchPlace, Record, RecordBatch, Store};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// let partition = Store::open(dir.path())?.topic("orders")?.partition(0)?;
    /// let mut batch = RecordBatch::new();
    /// batch.push(&Record::new("12 apples"))?;
    /// partition.restore(&batch, BatchPlace { base_offset: 1_000.into(), leader_epoch: LeaderEpoch::new(3), producer_id: None })?;
    /// partition.flush()?;
    /// assert_eq!((partition.log_start_offset(), partition.log_end_offset()), (1_000.into(), 1_001.into()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`RestoreError`].
    pub fn restore(&self, batch: &RecordBatch, place: BatchPlace) -> Result<(), RestoreError> {
        let BatchPlace { base_offset, leader_epoch, producer_id } = place;
        // Its incarnation and sequence are not known any more. Kafka says so by these numbers.
        let producer = producer_id.map(|id| Producer { id, epoch: -1, base_sequence: -1 });
        let mut scratch = Scratch::default();
        let encoded = batch.encode_of(producer, self.store.compression, &mut scratch)?;
        self.log.restore(&encoded, base_offset, leader_epoch)?;
        Ok(())
    }

    /// Bytes of a batch at most.
    pub(crate) fn batch_bytes_max(&self) -> u64 {
        self.log.batch_bytes_max
    }

    /// The term that the next append is of.
    #[cfg(feature = "parquet")]
    pub(crate) fn term(&self) -> LeaderEpoch {
        self.log.term()
    }

    /// Makes everything appended so far durable; returns the durable end.
    ///
    /// # Errors
    /// [`SyncError`].
    pub fn flush(&self) -> Result<Offset, SyncError> {
        self.log.flush()
    }

    /// Returns once everything below `offset` is durable.
    ///
    /// # Errors
    /// [`SyncError::NotAssigned`] if the log ends before it, else as [`flush`](Self::flush).
    pub fn wait_durable(&self, offset: impl Into<Offset>) -> Result<(), SyncError> {
        let (requested, log_end) = (offset.into(), self.log_end_offset());
        if requested > log_end {
            return Err(SyncError::NotAssigned { requested, log_end });
        }
        self.log.wait_durable(requested.get())
    }

    /// Makes `offset` the first readable one. Segments wholly below it are removed; it may lie inside one, or inside a batch.
    ///
    /// # Errors
    /// [`CutError::OutOfRange`] outside of log start..=log end.
    pub fn delete_prefix(&self, offset: impl Into<Offset>) -> Result<(), CutError> {
        self.log.delete_prefix(offset.into().get())
    }

    /// Takes everything at `offset` and above away, for good; the next append gets `offset`. The segment that it lies in is read up to there.
    /// Of a batch that it lies in, the first records stay, with the [note](crate::RecordBatch::set_note) of all of them: one that tells how far
    /// something is should tell as of which offset.
    ///
    /// # Errors
    /// [`CutError::OutOfRange`] outside of log start..=log end; [`CutError::NotKept`] inside a batch that cannot be cut in two; [`CutError::Read`] if
    /// what stays in the segment cannot be read again, for instance because a newer version wrote it.
    pub fn truncate_suffix(&self, offset: impl Into<Offset>) -> Result<(), CutError> {
        self.log.truncate_suffix(offset.into().get())
    }

    /// What opening this partition found and did.
    pub fn recovery_report(&self) -> &RecoveryReport {
        &self.log.report
    }

    /// The read side, to be handed to whoever only reads.
    pub fn view(&self) -> &PartitionView {
        &self.view
    }

    /// See [`PartitionView::log_start_offset`].
    pub fn log_start_offset(&self) -> Offset {
        self.view.log_start_offset()
    }

    /// See [`PartitionView::high_water_mark`].
    pub fn high_water_mark(&self) -> Offset {
        self.view.high_water_mark()
    }

    /// See [`PartitionView::durable_end_offset`].
    pub fn durable_end_offset(&self) -> Offset {
        self.view.durable_end_offset()
    }

    /// See [`PartitionView::log_end_offset`].
    pub fn log_end_offset(&self) -> Offset {
        self.view.log_end_offset()
    }

    /// See [`PartitionView::get`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn get(&self, offset: impl Into<Offset>) -> Result<StoredRecord, ReadError> {
        self.view.get(offset)
    }

    /// See [`PartitionView::read_from`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read_from(&self, offset: impl Into<Offset>) -> Result<Reader, ReadError> {
        self.view.read_from(offset)
    }

    /// See [`PartitionView::read`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read(&self, start: Start) -> Result<Reader, ReadError> {
        self.view.read(start)
    }

    /// See [`PartitionView::read_backwards`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read_backwards(&self, end: impl Into<Offset>) -> Result<BackwardReader, ReadError> {
        self.view.read_backwards(end)
    }
}

impl PendingAck {
    /// Offset of the first record.
    pub fn base_offset(&self) -> Offset {
        Offset::new(self.assigned.base_offset)
    }

    /// Offset of the last record.
    pub fn last_offset(&self) -> Offset {
        Offset::new(self.assigned.next_offset - 1)
    }

    /// Whether the records are known durable already.
    pub fn is_durable(&self) -> bool {
        self.log.is_durable(self.assigned.next_offset)
    }

    /// Waits until the records are durable, as part of whatever sync covers them.
    ///
    /// # Errors
    /// [`SyncError`].
    pub fn wait(self) -> Result<Ack, SyncError> {
        self.log.wait_durable(self.assigned.next_offset)?;
        Ok(self.ack())
    }

    pub(super) fn ack(&self) -> Ack {
        ack(&self.log, self.assigned)
    }
}

#[inline]
fn ack(log: &Log, assigned: Assigned) -> Ack {
    Ack {
        base_offset: Offset::new(assigned.base_offset),
        last_offset: Offset::new(assigned.next_offset - 1),
        append_ts: assigned.append_ts,
        durable_end: Offset::new(log.view.durable_end()),
    }
}

thread_local! {
    static BUFFERS: RefCell<(RecordBatch, Scratch)> = RefCell::default();
}
