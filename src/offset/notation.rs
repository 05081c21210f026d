//! From a log to what a store notes about it: checkpoint, counts, rows. Runs behind the appends, and only over what is durable.

use std::ops::Range;

use tidelog_format::{Offset, TimestampNs};

use crate::clock::now;
use crate::config::ReadIsolation;
use crate::error::ReadError;
use crate::log::{PartitionView, StoredBatch};
use crate::offset::error::OffsetStoreError;
use crate::offset::mapping_mode::MappingMode;
use crate::offset::offset_checkpoint::OffsetCheckpoint;
use crate::offset::offset_mapping::OffsetMapping;
use crate::offset::partition_stats::PartitionStats;
use crate::offset::store::OffsetStore;
use crate::topic::PartitionKey;

/// Brings what a store notes about a partition up to the durable end of its log, from where it was left; returns the counts.
///
/// Notes that do not fit the log are made anew from its start: of another partition, of records that were cut off, from the future, or wrong.
/// Killed in the middle, or failed, it goes on at the next call, at most 10,000 records (with rows, 1,000) before where it was. Positions of groups are not touched.
///
/// ```
/// use tidelog::{MappingMode, MemoryOffsetStore, OffsetStore, Record, Store, note_partition};
///
/// # let dir = tempfile::tempdir()?;
/// let orders = Store::open(dir.path())?.topic("orders")?.partition(0)?;
/// orders.append(Record::new("12 apples"))?;
/// let notes = MemoryOffsetStore::new();
/// let counted = note_partition(&notes, orders.key(), orders.view(), MappingMode::Full)?;
/// assert_eq!((counted.record_count, counted.total_bytes), (1, 9));
/// assert_eq!(notes.load_checkpoint(orders.key())?.map(|checkpoint| checkpoint.offset), Some(0.into()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`OffsetStoreError`] of the store, or of reading the log; damaged records count as absent.
pub fn note_partition(
    store: &dyn OffsetStore,
    partition: &PartitionKey,
    view: &PartitionView,
    mode: MappingMode,
) -> Result<PartitionStats, OffsetStoreError> {
    let view = view.with_isolation(ReadIsolation::Written);
    let end = view.durable_end_offset();
    if let Some(stats) = store.partition_stats(partition)?
        && fits(store, partition, &stats, &view, mode)?
    {
        match Notation::behind(store, partition, &view, mode, stats)?.run(end) {
            Err(OffsetStoreError::MappingConflict { .. }) => {}
            other => return other,
        }
    }
    renote_partition(store, partition, &view, mode)
}

/// Forgets what a store notes about a partition, and makes it anew from the log.
///
/// # Errors
/// As [`note_partition`].
pub fn renote_partition(
    store: &dyn OffsetStore,
    partition: &PartitionKey,
    view: &PartitionView,
    mode: MappingMode,
) -> Result<PartitionStats, OffsetStoreError> {
    let view = view.with_isolation(ReadIsolation::Written);
    let end = view.durable_end_offset();
    store.forget(partition)?;
    let none = PartitionStats::empty(now());
    Notation { store, partition, mode, next: view.log_start_offset(), view: &view, stats: none, rows: Vec::new(), unsaved: 0, last_position: None }
        .run(end)
}

/// The records of some offsets as rows, `limit` at most: read from the log, so that they are exact whatever rows a store has.
///
/// # Errors
/// [`ReadError`]; damaged records and offsets without a record are left out, and what is outside of the log is none.
pub fn offset_mappings(view: &PartitionView, offsets: Range<Offset>, limit: usize) -> Result<Vec<OffsetMapping>, ReadError> {
    let (start, end) = (offsets.start.max(view.log_start_offset()), offsets.end.min(view.end_offset()));
    let mut rows = Vec::new();
    if start >= end || limit == 0 {
        return Ok(rows);
    }
    for record in view.read_from(start)? {
        match record {
            Ok(record) if record.offset() >= end => break,
            Ok(record) => {
                let bytes = record.key().map_or(0, <[u8]>::len) + record.value().map_or(0, <[u8]>::len);
                rows.push(OffsetMapping { offset: record.offset(), timestamp: record.timestamp(), bytes: bytes as u64 });
            }
            Err(error) if error.is_damage() => {}
            Err(error) => return Err(error),
        }
        if rows.len() == limit {
            break;
        }
    }
    Ok(rows)
}

/// Whether the counts may be continued: what they say of both ends is what the log says, and the rest of the notes what they say.
fn fits(
    store: &dyn OffsetStore,
    partition: &PartitionKey,
    stats: &PartitionStats,
    view: &PartitionView,
    mode: MappingMode,
) -> Result<bool, OffsetStoreError> {
    // What was noted was durable then. It may not be known to be so any more: after a kill, until the log was synced again.
    let end = view.log_end_offset();
    let time_of = |offset: Offset| match view.get(offset) {
        Ok(record) => Ok(Some(record.timestamp())),
        Err(ReadError::OffsetOutOfRange { .. } | ReadError::Corrupt { .. }) => Ok(None),
        Err(error) => Err(error),
    };
    let (Some(earliest), Some(latest)) = (stats.earliest, stats.latest) else { return Ok(false) };
    let (checkpoint, highest) = (store.load_checkpoint(partition)?, store.highest_offset(partition)?);
    let has_rows = match mode {
        MappingMode::Off => true,
        MappingMode::Sparse => highest.is_some(),
        MappingMode::Full => highest >= Some(latest),
    };
    // Rows are saved before counts, and counts before the checkpoint: a run that ended in between goes on.
    if !has_rows || latest >= end || checkpoint.is_some_and(|noted| noted.offset > latest) {
        return Ok(false);
    }
    if let Some(highest) = highest.filter(|highest| *highest > latest) {
        let row = Offset::new(highest.get())..Offset::new(highest.get().saturating_add(1));
        // What is between is compared when it is made again.
        if highest >= end || offset_mappings(view, row.clone(), 1)? != store.mappings(partition, row, 1)? {
            return Ok(false);
        }
    }
    let is_first = earliest >= view.log_start_offset() && stats.first_record_at.is_some() && time_of(earliest)? == stats.first_record_at;
    Ok(is_first && time_of(latest)? == stats.last_record_at)
}

/// A run over a log.
struct Notation<'a> {
    store: &'a dyn OffsetStore,
    partition: &'a PartitionKey,
    view: &'a PartitionView,
    mode: MappingMode,
    stats: PartitionStats,
    next: Offset,
    rows: Vec<OffsetMapping>,
    /// Records counted since the last save.
    unsaved: u32,
    /// Where the batch before stands in its segment.
    last_position: Option<u64>,
}

impl<'a> Notation<'a> {
    /// One that goes on where counts end.
    fn behind(
        store: &'a dyn OffsetStore,
        partition: &'a PartitionKey,
        view: &'a PartitionView,
        mode: MappingMode,
        stats: PartitionStats,
    ) -> Result<Self, OffsetStoreError> {
        let last_position = match stats.latest {
            Some(latest) => Some(view.locate(latest)?.1.get()),
            None => None,
        };
        Ok(Self { store, partition, view, mode, next: stats.high_water_mark(), stats, rows: Vec::new(), unsaved: 0, last_position })
    }

    fn run(mut self, end: Offset) -> Result<PartitionStats, OffsetStoreError> {
        let mut reader = self.view.read_from(self.next.max(self.view.log_start_offset()))?;
        while reader.offset() < end {
            match reader.next_batch() {
                None => break,
                Some(Ok(batch)) => self.take(&batch, end)?,
                Some(Err(ReadError::Corrupt { .. })) => {}
                Some(Err(error)) => return Err(error.into()),
            }
        }
        self.save()?;
        Ok(self.stats)
    }

    fn take(&mut self, batch: &StoredBatch, end: Offset) -> Result<(), OffsetStoreError> {
        let mut is_row = match self.mode {
            MappingMode::Off => false,
            MappingMode::Sparse => self.is_another_stretch(batch.position().get()),
            MappingMode::Full => true,
        };
        for record in batch.records() {
            // The batch verified: what does not decode in it is left out, as damage is.
            let Ok(record) = record else { break };
            if record.offset() < self.next || record.offset() >= end {
                is_row &= self.mode == MappingMode::Full;
                continue;
            }
            let bytes = (record.key().map_or(0, <[u8]>::len) + record.value().map_or(0, <[u8]>::len)) as u64;
            self.count(record.offset(), record.timestamp(), bytes);
            if is_row {
                self.rows.push(OffsetMapping { offset: record.offset(), timestamp: record.timestamp(), bytes });
                is_row = self.mode == MappingMode::Full;
            }
            self.unsaved += 1;
            if self.rows.len() >= ROWS_AT_ONCE || self.unsaved >= RECORDS_AT_ONCE {
                self.save()?;
            }
        }
        Ok(())
    }

    /// Whether a batch begins in another stretch of its segment than the one before it, or in another segment.
    fn is_another_stretch(&mut self, position: u64) -> bool {
        let last = self.last_position.replace(position);
        last.is_none_or(|last| position < last || position / STRETCH_BYTES != last / STRETCH_BYTES)
    }

    fn count(&mut self, offset: Offset, timestamp: TimestampNs, bytes: u64) {
        self.stats.record_count += 1;
        self.stats.total_bytes = self.stats.total_bytes.saturating_add(bytes);
        if self.stats.earliest.is_none() {
            (self.stats.earliest, self.stats.first_record_at) = (Some(offset), Some(timestamp));
        }
        (self.stats.latest, self.stats.last_record_at) = (Some(offset), Some(timestamp));
        self.next = Offset::new(offset.get() + 1);
    }

    /// Saves what was made since the last time: rows first. Where this ends early, the next run makes the same rows again, and they are there.
    fn save(&mut self) -> Result<(), OffsetStoreError> {
        let saved_at = now();
        if !self.rows.is_empty() {
            self.store.save_mappings(self.partition, &self.rows, saved_at)?;
            self.rows.clear();
        }
        self.stats.counted_at = saved_at;
        self.store.save_stats(self.partition, self.stats)?;
        if let Some(offset) = self.stats.latest {
            self.store.save_checkpoint(self.partition, OffsetCheckpoint { offset, saved_at })?;
        }
        self.unsaved = 0;
        Ok(())
    }
}

const ROWS_AT_ONCE: usize = 1000;
const RECORDS_AT_ONCE: u32 = 10_000;
/// Bytes of log that have one row in a sparse store.
const STRETCH_BYTES: u64 = 4096;
