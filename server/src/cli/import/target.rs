//! One partition that an import writes to: its batch in work, and what it has of the source already. Reads no source.

use tidelog::{AckLevel, Partition, RecordBatch, Topic};

use super::note::{Note, SourceId};
use crate::cli::store;
use crate::cli::write::{item_bytes, record_of};
use crate::exit::Failure;
use crate::input::{Item, Mark};

/// A partition and the batch that is collected for it.
pub(super) struct Target {
    pub(super) number: u32,
    /// Opened for the first batch, if it was never used before.
    pub(super) partition: Option<Partition>,
    /// What messages call it.
    pub(super) place: String,
    /// How far the source in work was imported before this run.
    pub(super) note: Option<Note>,
    /// Where the log was cut off before the end of what the note says: how many records of the source, the first ones of this partition, are
    /// still to be passed by.
    kept: Option<u64>,
    /// Records of the source in work that this partition has, those in the batch included.
    records: u64,
    run_base: u64,
    batch: RecordBatch,
}

/// What is the same for all partitions at a commit.
pub(super) struct Commit<'a> {
    /// `None` for a source that cannot be resumed.
    pub(super) source: Option<&'a SourceId>,
    pub(super) mark: Mark,
    pub(super) settings_crc: u32,
    pub(super) records: u64,
}

impl Target {
    pub(super) fn new(number: u32, partition: Option<Partition>, place: String) -> Self {
        Self { number, partition, place, note: None, kept: None, records: 0, run_base: 0, batch: RecordBatch::new() }
    }

    /// Begins a source, of which a note says how much is here, but for some of those records, which were cut off since.
    pub(super) fn begin(&mut self, found: Option<(Note, u64)>) {
        let (note, cut_off) = found.unzip();
        let cut_off = cut_off.unwrap_or(0);
        self.records = note.as_ref().map_or(0, |note| note.partition_records - cut_off);
        self.kept = (cut_off > 0).then_some(self.records);
        self.run_base = self.log_end();
        self.note = note;
    }

    /// The note, if everything is here that it says.
    pub(super) fn whole_note(&self) -> Option<&Note> {
        self.note.as_ref().filter(|_| self.kept.is_none())
    }

    /// Passes by the next record of the source for this partition, which starts at `position`, if it is here already; whether it did.
    pub(super) fn passes_by(&mut self, position: u64) -> bool {
        match &mut self.kept {
            None => self.note.as_ref().is_some_and(|note| position < note.mark.position),
            Some(0) => false,
            Some(kept) => {
                *kept -= 1;
                true
            }
        }
    }

    /// Whether the batch can take `item` without passing `batch_bytes_max`.
    pub(super) fn has_room(&self, item: &Item<'_>, batch_bytes_max: usize) -> bool {
        // A batch's nanoseconds take at most as much again as the overhead counted for each record.
        self.batch.is_empty() || self.batch.bytes() + self.batch.len() * 8 + item_bytes(item) <= batch_bytes_max
    }

    /// Whether the batch should be committed before it grows further.
    pub(super) fn is_full(&self) -> bool {
        self.batch.len() >= BATCH_RECORDS || self.batch.bytes() >= BATCH_BYTES
    }

    /// Adds a record to the batch.
    pub(super) fn push(&mut self, item: &Item<'_>) -> Result<(), Failure> {
        self.batch.push(&record_of(item)).map_err(|error| store::append_failure(&self.place, error))?;
        self.records += 1;
        Ok(())
    }

    /// Appends the batch, if there is one, together with how far the source was read. Returns how many records that were.
    pub(super) fn commit(&mut self, topic: &Topic, commit: &Commit<'_>) -> Result<u64, Failure> {
        if self.batch.is_empty() {
            return Ok(0);
        }
        let count = self.batch.len() as u64;
        let partition = match &mut self.partition {
            Some(partition) => partition,
            unused => {
                let partition = unused.insert(store::open_partition(topic, self.number)?);
                self.run_base = partition.log_end_offset().get();
                partition
            }
        };
        let end = partition.log_end_offset().get() + count;
        let note = commit.source.map(|source| {
            let note = Note {
                mark: commit.mark,
                settings_crc: commit.settings_crc,
                records: commit.records,
                partition_records: self.records,
                run_base: self.run_base,
                end,
                source: source.clone(),
            };
            note.encode()
        });
        let appended = self.batch.set_note(note.as_deref()).and_then(|()| partition.append_batch(&self.batch, AckLevel::Written));
        let appended = appended.map_err(|error| store::append_failure(&self.place, error))?;
        // Nobody else appends to it: the store is locked. And if it were so, the next run would refuse the note.
        debug_assert_eq!(appended.last_offset.get() + 1, end, "{}: a batch does not end where its note says", self.place);
        self.batch.clear();
        Ok(count)
    }

    /// The offset that is appended next.
    fn log_end(&self) -> u64 {
        self.partition.as_ref().map_or(0, |partition| partition.log_end_offset().get())
    }

    /// Makes everything appended durable.
    pub(super) fn flush(&self) -> Result<(), Failure> {
        let flushed = self.partition.as_ref().map_or(Ok(()), |partition| partition.flush().map(drop));
        flushed.map_err(|error| store::sync_failure(&self.place, error))
    }
}

const BATCH_RECORDS: usize = 1000;
const BATCH_BYTES: usize = 512 << 10;
