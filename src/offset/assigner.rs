//! Assigns offsets by partition key, and says all that there is to say of each assignment. Holds no state of its own.

use std::sync::Arc;

use tidelog_format::{Offset, TimestampNs};

use crate::log::{Record, RecordBatch};
use crate::offset::assign_error::AssignError;
use crate::offset::marks::HighWaterMark;
use crate::offset::registry::PartitionOffsetRegistry;
use crate::topic::{Ack, PartitionKey};

/// Assigns offsets in the partitions of a registry.
///
/// ```
/// use std::sync::Arc;
/// use tidelog::{OffsetAssigner, PartitionOffsetRegistry, Record, Store};
///
/// # let dir = tempfile::tempdir()?;
/// let store = Store::open(dir.path())?;
/// let orders = store.topic("orders")?.partition_key(0)?;
/// let assigner = OffsetAssigner::new(Arc::new(PartitionOffsetRegistry::new(store)));
/// let assigned = assigner.assign_single_offset(&orders, Record::new("12 apples"))?;
/// assert_eq!((assigned.base_offset, assigned.last_offset, assigned.count), (0.into(), 0.into(), 1));
/// assert!(assigned.is_durable());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct OffsetAssigner {
    registry: Arc<PartitionOffsetRegistry>,
}

/// What an append was given, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct AssignmentResult<'a> {
    /// The partition.
    pub partition: &'a PartitionKey,
    /// Offset of the first record.
    pub base_offset: Offset,
    /// Offset of the last record.
    pub last_offset: Offset,
    /// Records: their offsets follow each other.
    pub count: u64,
    /// Time of the append, which records without a time of their own have too.
    pub timestamp: TimestampNs,
    /// First offset not known durable when the call returned.
    pub durable_end: Offset,
}

impl AssignmentResult<'_> {
    /// Whether the records were known durable when the call returned.
    pub fn is_durable(&self) -> bool {
        self.last_offset < self.durable_end
    }
}

impl OffsetAssigner {
    /// Assigns in the partitions of `registry`.
    pub fn new(registry: Arc<PartitionOffsetRegistry>) -> Self {
        Self { registry }
    }

    /// The registry.
    pub fn registry(&self) -> &Arc<PartitionOffsetRegistry> {
        &self.registry
    }

    /// Appends one record.
    ///
    /// # Errors
    /// [`AssignError`].
    pub fn assign_single_offset<'a>(&self, partition: &'a PartitionKey, record: Record<'_>) -> Result<AssignmentResult<'a>, AssignError> {
        Ok(result(partition, self.registry.append(partition, record)?))
    }

    /// Appends records together.
    ///
    /// # Errors
    /// [`AssignError`].
    pub fn assign_batch_offsets<'a>(&self, partition: &'a PartitionKey, batch: &RecordBatch) -> Result<AssignmentResult<'a>, AssignError> {
        Ok(result(partition, self.registry.append_batch(partition, batch)?))
    }

    /// See [`PartitionOffsetRegistry::high_water_mark`].
    ///
    /// # Errors
    /// [`AssignError`].
    pub fn high_water_mark(&self, partition: &PartitionKey) -> Result<HighWaterMark, AssignError> {
        self.registry.high_water_mark(partition)
    }
}

fn result(partition: &PartitionKey, ack: Ack) -> AssignmentResult<'_> {
    let Ack { base_offset, last_offset, append_ts, durable_end } = ack;
    AssignmentResult { partition, base_offset, last_offset, count: last_offset.get() - base_offset.get() + 1, timestamp: append_ts, durable_end }
}
