//! Reads one partition backwards: the index gives a place some way back, the frames from there are read forward and handed out in reverse.

use tidelog_format::Offset;

use crate::error::ReadError;
use crate::log::partition_view::PartitionView;
use crate::log::reader::Reader;
use crate::log::stored::{StoredBatch, StoredRecord};

/// What was read, and the first offset that it was read for: what a batch holds before that is another segment's to answer for.
type Step = (u64, Result<StoredBatch, ReadError>);

/// Batches of one partition, newest first. A damaged range is one [`ReadError::Corrupt`]; then reading goes on before it.
#[derive(Debug, Clone)]
pub struct BackwardBatches {
    view: PartitionView,
    /// Everything at this offset or above was read.
    end: u64,
    /// What was read ahead, in offset order, and cuts at that time: one since then may have taken it away.
    read: Vec<Step>,
    cuts: u64,
    /// Everything at this offset or above was handed out.
    handed: u64,
    failed: bool,
}

impl BackwardBatches {
    pub(crate) fn new(view: PartitionView, end: u64) -> Self {
        Self { end, read: Vec::new(), cuts: view.cuts(), handed: end, failed: false, view }
    }

    /// Forgets what was read ahead if the log was cut since. What is still to come must not have been cut off.
    fn look_again(&mut self) -> Result<(), ReadError> {
        let cuts = self.view.cuts();
        if self.cuts == cuts {
            return Ok(());
        }
        if let Some(at) = self.view.truncated_since(self.cuts).filter(|at| *at < self.handed) {
            return Err(ReadError::Truncated { at: Offset::new(at), next: Offset::new(self.handed) });
        }
        (self.cuts, self.end) = (cuts, self.handed);
        self.read.clear();
        Ok(())
    }

    /// Reads the stretch that the index entry below `end` begins.
    fn read_stretch(&mut self) {
        let log_start = self.view.log_start_offset().get();
        let list = self.view.list();
        // A gap behind a segment, or before the first one, is read as what it is.
        let start = match list.find(self.end - 1).map(|number| &list.entries[number]) {
            None => log_start,
            Some(entry) if self.end > entry.segment.next_offset() => entry.segment.next_offset(),
            Some(entry) => entry.segment.floor(Offset::new(self.end - 1)).offset,
        };
        drop(list); // it would keep the maps of all segments
        let mut reader = Reader::new(self.view.clone(), start.max(log_start));
        while reader.offset() < self.end {
            let from = reader.offset().get();
            match reader.next_batch() {
                Some(item) => self.read.push((from, item)),
                None => break,
            }
        }
        self.end = start.max(log_start);
    }

    fn step(&mut self) -> Option<Step> {
        loop {
            if self.failed {
                return None;
            }
            if let Err(error) = self.look_again() {
                self.failed = true;
                return Some((self.handed, Err(error)));
            }
            if let Some((from, item)) = self.read.pop() {
                match &item {
                    Ok(batch) => self.handed = self.handed.min(batch.base_offset().get()),
                    Err(ReadError::Corrupt { from, .. } | ReadError::CodecNotBuilt { from, .. }) => self.handed = self.handed.min(from.get()),
                    Err(_) => {}
                }
                self.failed = matches!(&item, Err(error) if !matches!(error, ReadError::Corrupt { .. } | ReadError::CodecNotBuilt { .. }));
                return Some((from, item));
            }
            if self.end <= self.view.log_start_offset().get() {
                return None;
            }
            self.read_stretch();
        }
    }
}

impl Iterator for BackwardBatches {
    type Item = Result<StoredBatch, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.step()?.1)
    }
}

/// Records of one partition, newest first. A damaged range is one [`ReadError::Corrupt`]; then reading goes on before it.
#[derive(Debug, Clone)]
pub struct BackwardReader {
    batches: BackwardBatches,
    /// Everything at this offset or above was handed out.
    end: u64,
    records: Vec<StoredRecord>,
}

impl BackwardReader {
    pub(crate) fn new(view: PartitionView, end: u64) -> Self {
        Self { batches: BackwardBatches::new(view, end), end, records: Vec::new() }
    }

    fn open(&mut self, from: u64, batch: &StoredBatch) -> Result<(), ReadError> {
        let log_start = self.batches.view.log_start_offset();
        let (mut at, mut number, mut next) = (0, 0, log_start.max(Offset::new(from)));
        while let Some(record) = batch.record_at(&mut at, &mut number) {
            match record {
                // As forwards, one with a lower offset than those before it is passed by.
                Ok(record) if record.offset() >= next && record.offset() < self.end => {
                    next = Offset::new(record.offset().get() + 1);
                    self.records.push(record);
                }
                Ok(_) => {}
                Err(error) => {
                    let path = self.batches.view.dir().to_owned();
                    return Err(ReadError::Corrupt { from: batch.base_offset(), to: batch.next_offset(), reason: error.to_string(), path });
                }
            }
        }
        Ok(())
    }
}

impl Iterator for BackwardReader {
    type Item = Result<StoredRecord, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.batches.cuts != self.batches.view.cuts() {
                // Of the batch that is handed out, what is left is still to come.
                self.records.clear();
                self.batches.handed = self.end;
            }
            if let Some(record) = self.records.pop() {
                self.end = record.offset().get();
                return Some(Ok(record));
            }
            let (from, batch) = self.batches.step()?;
            let opened = batch.and_then(|batch| self.open(from, &batch));
            if let Err(error) = opened {
                return Some(Err(error));
            }
        }
    }
}
