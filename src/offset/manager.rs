//! Assigns the offsets of one partition, by appending to it. Keeps no counter: the log is the only source of offsets.

use tidelog_format::Offset;

use crate::config::AckLevel;
use crate::error::{AppendError, ReadError};
use crate::log::{Record, RecordBatch};
use crate::offset::assign_error::AssignError;
use crate::offset::marks::{HighWaterMark, LogEnd, LogStart, Marks};
use crate::offset::offset_range::OffsetRange;
use crate::offset::partition_offset_info::{FirstTime, PartitionOffsetInfo};
use crate::topic::{Ack, Partition, PartitionKey};

/// The offsets of one partition. Cheap to clone; keeps its store open.
///
/// An offset is assigned by the append of its record, in one step: there is no offset without bytes, and after a crash the next one is the one
/// behind the last record that is there.
///
/// ```
/// use tidelog::{PartitionOffsetManager, Record, RecordBatch, Store};
///
/// # let dir = tempfile::tempdir()?;
/// let offsets = PartitionOffsetManager::new(Store::open(dir.path())?.topic("orders")?.partition(0)?);
/// assert_eq!((offsets.next_offset().offset(), offsets.latest()), (0.into(), None));
/// assert_eq!(offsets.assign(Record::new("12 apples"))?, 0);
/// let mut batch = RecordBatch::new();
/// batch.push(&Record::new("3 pears"))?;
/// batch.push(&Record::new("1 plum"))?;
/// let range = offsets.assign_batch(&batch)?;
/// assert_eq!((range.base(), range.last()), (1.into(), 2.into()));
/// assert_eq!(offsets.high_water_mark().offset(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct PartitionOffsetManager {
    partition: Partition,
    level: AckLevel,
    first: FirstTime,
}

impl PartitionOffsetManager {
    /// The offsets of `partition`. What is assigned is durable when a call returns.
    pub fn new(partition: Partition) -> Self {
        Self { partition, level: AckLevel::Durable, first: FirstTime::default() }
    }

    /// The same partition, with calls that return as soon as this is true of what they assigned.
    pub fn ack_level(self, level: AckLevel) -> Self {
        Self { level, ..self }
    }

    /// The partition.
    pub fn partition(&self) -> &Partition {
        &self.partition
    }

    /// What the partition is known by.
    pub fn key(&self) -> &PartitionKey {
        self.partition.key()
    }

    /// Appends a record; returns its offset.
    ///
    /// # Errors
    /// [`AppendError`]; no offset was assigned, unless it is [`AppendError::NotDurable`].
    pub fn assign(&self, record: Record<'_>) -> Result<Offset, AppendError> {
        Ok(self.append(record)?.base_offset)
    }

    /// Appends records together; returns their offsets, which follow each other.
    ///
    /// # Errors
    /// [`AppendError::Empty`] without a record, else as [`assign`](Self::assign).
    pub fn assign_batch(&self, batch: &RecordBatch) -> Result<OffsetRange, AppendError> {
        let ack = self.append_batch(batch)?;
        Ok(OffsetRange::between(ack.base_offset, ack.last_offset))
    }

    /// As [`assign_batch`](Self::assign_batch), of a batch that came with a count of its records, as wire protocols send it.
    ///
    /// # Errors
    /// [`AssignError::Count`] if there are no so many offsets from the next one on, [`AssignError::CountMismatch`] if the batch has another number
    /// of records: nothing was assigned. Else [`AssignError::Append`].
    pub fn assign_counted(&self, batch: &RecordBatch, count: i64) -> Result<OffsetRange, AssignError> {
        OffsetRange::of(self.next_offset().offset(), count)?;
        let found = batch.len();
        if u64::try_from(count) != Ok(found as u64) {
            return Err(AssignError::CountMismatch { declared: count, found });
        }
        Ok(self.assign_batch(batch)?)
    }

    pub(super) fn append(&self, record: Record<'_>) -> Result<Ack, AppendError> {
        self.partition.append_with(record, self.level)
    }

    pub(super) fn append_batch(&self, batch: &RecordBatch) -> Result<Ack, AppendError> {
        self.partition.append_batch(batch, self.level)
    }

    /// The offset that the next record gets.
    pub fn next_offset(&self) -> LogEnd {
        self.marks().log_end
    }

    /// The first offset that committed readers may not see: what is below it they can rely on. Not above [`next_offset`](Self::next_offset), and
    /// below it while what was appended is not as durable as the store's sync policy wants it.
    pub fn high_water_mark(&self) -> HighWaterMark {
        self.marks().high_water_mark
    }

    /// The first readable offset.
    pub fn earliest(&self) -> LogStart {
        self.marks().log_start
    }

    /// The last visible offset; none if nothing is visible.
    pub fn latest(&self) -> Option<Offset> {
        self.marks().last_visible()
    }

    /// All marks, in the order that they always have.
    pub fn marks(&self) -> Marks {
        self.partition.marks()
    }

    /// See [`PartitionView::offset_info`](crate::PartitionView::offset_info).
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn info(&self) -> Result<PartitionOffsetInfo, ReadError> {
        self.partition.view().offset_info_knowing(Some(&self.first))
    }
}
