//! The rows of one partition, in either direction, up to the end that the statement sees. Tells what was deleted, cut off or damaged meanwhile.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::Result;
use tidelog::{BackwardReader, Offset, ReadError, Reader, StoredRecord, TimestampNs};

use crate::error::{self, Failure};
use crate::plan::Ranges;
use crate::snapshot::{Snapshot, Window};

#[derive(Debug)]
pub(crate) struct PartitionRows {
    snapshot: Arc<Snapshot>,
    window: Window,
    /// Offsets that are left.
    from: u64,
    to: u64,
    reader: Direction,
}

#[derive(Debug)]
enum Direction {
    /// There is no row.
    Nowhere,
    Forward(Box<Reader>),
    Backward(Box<BackwardReader>),
}

impl PartitionRows {
    pub(crate) fn begin(snapshot: &Arc<Snapshot>, window: Window, ranges: Ranges, is_backward: bool) -> Result<Self> {
        let from = window.start.max(u64::try_from(ranges.index.low).unwrap_or(0));
        // Below zero there is no offset.
        let to = u64::try_from(ranges.index.high).map_or(0, |high| window.end.min(high + 1));
        let mut rows = Self { snapshot: snapshot.clone(), window, from, to, reader: Direction::Nowhere };
        rows.place(ranges.time.low, is_backward).map_err(|error| rows.failure(&error))?;
        Ok(rows)
    }

    /// The next record that may be a row.
    pub(crate) fn next(&mut self) -> Result<Option<StoredRecord>> {
        let read = self.read().and_then(|record| self.window.check().map(|()| record));
        let record = read.map_err(|error| self.failure(&error))?;
        self.snapshot.shared.records_read.fetch_add(record.is_some().into(), Ordering::Relaxed);
        Ok(record)
    }

    /// Stands before the first row.
    fn place(&mut self, least_time: i64, is_backward: bool) -> Result<(), ReadError> {
        if self.from < self.to && least_time > i64::MIN {
            self.from = self.first_in_time(least_time)?;
        }
        if self.from < self.to {
            self.reader = match is_backward {
                true => Direction::Backward(Box::new(self.window.view.read_backwards(self.to)?)),
                false => Direction::Forward(Box::new(self.window.view.read_from(self.from)?)),
            };
        }
        Ok(())
    }

    /// The first offset whose record may be late enough. A seek passes by what is damaged or deleted: there, it is read, which tells of it.
    fn first_in_time(&self, least_time: i64) -> Result<u64, ReadError> {
        let view = &self.window.view;
        let found = view.offset_for_time(TimestampNs::new(least_time))?.map_or(self.to, Offset::get).clamp(self.from, self.to);
        let lost = view.damage().into_iter().filter(|range| range.from < found && range.to > self.from);
        let first_lost = lost.map(|range| range.from.max(self.from)).min();
        let is_deleted = view.log_start_offset() > self.from;
        Ok(if is_deleted { self.from } else { first_lost.unwrap_or(found) })
    }

    fn read(&mut self) -> Result<Option<StoredRecord>, ReadError> {
        if self.from >= self.to {
            return Ok(None);
        }
        let view = &self.window.view;
        let out_of_range = |requested| ReadError::OffsetOutOfRange {
            requested: Offset::new(requested),
            earliest: view.log_start_offset(),
            latest: view.end_offset(),
        };
        match &mut self.reader {
            Direction::Nowhere => Ok(None),
            Direction::Forward(reader) => match reader.next().transpose()? {
                Some(record) => {
                    self.from = record.offset().get() + 1;
                    Ok((self.from <= self.to).then_some(record))
                }
                // The log ends before the statement's end: it was cut off.
                None if reader.offset() < self.to => Err(out_of_range(reader.offset().get())),
                None => Ok(None),
            },
            Direction::Backward(reader) => match reader.next() {
                Some(Ok(record)) => {
                    self.to = record.offset().get();
                    Ok((self.to >= self.from).then_some(record))
                }
                Some(Err(error)) => Err(error),
                // The log begins behind the first row: what was there is deleted.
                None if view.log_start_offset() > self.from => Err(out_of_range(self.from)),
                None => Ok(None),
            },
        }
    }

    fn failure(&self, error: &ReadError) -> Failure {
        error::of_read(self.snapshot.topic(), Some(self.window.view.index()), error)
    }
}
