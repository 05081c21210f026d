//! The offsets of a partition in numbers, with the times of the records that they begin and end with. Looks at two records, not at more.

use std::sync::Arc;

use parking_lot::Mutex;
use tidelog_format::{Offset, TimestampNs};

use crate::config::ReadIsolation;
use crate::error::ReadError;
use crate::log::PartitionView;
use crate::offset::marks::{DurableEnd, HighWaterMark, LogEnd, LogStart, Marks};

/// What readers of a partition can see: see [`PartitionView::offset_info`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionOffsetInfo {
    /// First readable offset; in an empty partition, the one that its next record gets.
    pub earliest: LogStart,
    /// Last visible offset; none if nothing is visible.
    pub latest: Option<Offset>,
    /// First offset that committed readers may not see.
    pub high_water_mark: HighWaterMark,
    /// First offset not known durable.
    pub durable_end: DurableEnd,
    /// Next offset to be assigned.
    pub next: LogEnd,
    /// Offsets from the earliest to the latest. Those of records that compaction removed, or that are damaged, count too.
    pub record_count: u64,
    /// Time of the first visible record that can be read.
    pub first_timestamp: Option<TimestampNs>,
    /// Time of the last visible record that can be read. Times are the producers' own: it may lie before the first.
    pub last_timestamp: Option<TimestampNs>,
}

impl PartitionOffsetInfo {
    /// Of a log that nothing was ever appended to.
    pub(super) fn of_empty_log() -> Self {
        let Marks { log_start, high_water_mark, durable_end, log_end, .. } = Marks::of_empty_log();
        Self {
            earliest: log_start,
            latest: None,
            high_water_mark,
            durable_end,
            next: log_end,
            record_count: 0,
            first_timestamp: None,
            last_timestamp: None,
        }
    }
}

/// The time of the first record that can be read, once it was read: it stays what it is until the log start moves, or a suffix is cut off.
#[derive(Debug, Clone, Default)]
pub(super) struct FirstTime(Arc<Mutex<Option<(Since, TimestampNs)>>>);

/// What there is to be read in a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NextRecord {
    /// A record of this time.
    Of(TimestampNs),
    /// What is there is damaged.
    Damaged,
    /// Nothing is there.
    None,
}

impl NextRecord {
    pub(super) fn time(self) -> Option<TimestampNs> {
        if let Self::Of(time) = self { Some(time) } else { None }
    }
}

/// Cuts that there had been, and the log start.
type Since = (u64, LogStart);

impl FirstTime {
    /// None too while somebody else looks: nobody waits.
    fn of(&self, since: Since) -> Option<TimestampNs> {
        (*self.0.try_lock()?).filter(|(of, _)| *of == since).map(|(_, time)| time)
    }

    fn learn(&self, since: Since, time: Option<TimestampNs>) {
        if let (Some(time), Some(mut known)) = (time, self.0.try_lock()) {
            *known = Some((since, time));
        }
    }
}

impl PartitionView {
    /// The offsets that readers can see, and the times that the first and the last of them are of. A view of another process's store is
    /// [refreshed](Self::refresh) first.
    ///
    /// ```
    /// use tidelog::{Record, Store, TimestampNs};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// let orders = Store::open(dir.path())?.topic("orders")?.partition(0)?;
    /// orders.append(Record::new("12 apples").timestamp(TimestampNs::new(1_000)))?;
    /// let info = orders.view().offset_info()?;
    /// assert_eq!((info.earliest.offset(), info.latest, info.record_count), (0.into(), Some(0.into()), 1));
    /// assert_eq!(info.last_timestamp, Some(TimestampNs::new(1_000)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ReadError`] if the view cannot be brought up to date, or if a record at an end cannot be read for another reason than damage.
    pub fn offset_info(&self) -> Result<PartitionOffsetInfo, ReadError> {
        self.offset_info_knowing(None)
    }

    /// The same, by whoever asks again and again: a log start moves seldom.
    pub(super) fn offset_info_knowing(&self, known: Option<&FirstTime>) -> Result<PartitionOffsetInfo, ReadError> {
        let (marks, first, last) = self.ends(known)?;
        Ok(PartitionOffsetInfo {
            earliest: marks.log_start,
            latest: marks.last_visible(),
            high_water_mark: marks.high_water_mark,
            durable_end: marks.durable_end,
            next: marks.log_end,
            record_count: marks.visible(),
            first_timestamp: first,
            last_timestamp: last,
        })
    }

    /// The marks, and the times of the first and the last record between them.
    fn ends(&self, known: Option<&FirstTime>) -> Result<(Marks, Option<TimestampNs>, Option<TimestampNs>), ReadError> {
        for _ in 0..ATTEMPTS {
            self.refresh()?;
            let marks = self.marks();
            let Some(last) = marks.last_visible() else { return Ok((marks, None, None)) };
            match self.times(marks, last, known) {
                Ok((first, last)) => return Ok((marks, first, last)),
                // Cut off meanwhile, at one end or the other.
                Err(ReadError::OffsetOutOfRange { .. } | ReadError::Truncated { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(ReadError::Busy { path: self.dir().to_owned() })
    }

    fn times(&self, marks: Marks, last: Offset, known: Option<&FirstTime>) -> Result<(Option<TimestampNs>, Option<TimestampNs>), ReadError> {
        let since = (self.cuts(), marks.log_start);
        let first = match known.and_then(|known| known.of(since)) {
            Some(time) => Some(time),
            None => {
                let time = self.next_record(marks.log_start.offset(), marks.high_water_mark)?.time();
                // A cut meanwhile may have put another record there.
                if let Some(known) = known.filter(|_| self.cuts() == since.0) {
                    known.learn(since, time);
                }
                time
            }
        };
        // Where it fails, the record is damaged, or compacted away, or none.
        let last = if let Some(time) = self.time_of(last) { Some(time) } else { self.last_time(marks)? };
        Ok((first, last))
    }

    /// The first record at `from` or above, below the high water mark, that can be read.
    pub(super) fn next_record(&self, from: Offset, end: HighWaterMark) -> Result<NextRecord, ReadError> {
        if from >= end.offset() {
            return Ok(NextRecord::None);
        }
        match self.time_of(from) {
            Some(time) => Ok(NextRecord::Of(time)),
            None => self.next_record_behind(from, end),
        }
    }

    /// Takes the time alone: a record is dear to move.
    #[inline]
    fn time_of(&self, offset: Offset) -> Option<TimestampNs> {
        self.get(offset).ok().map(|record| record.timestamp())
    }

    #[cold]
    fn next_record_behind(&self, from: Offset, end: HighWaterMark) -> Result<NextRecord, ReadError> {
        let mut none = NextRecord::None;
        for record in self.with_isolation(ReadIsolation::Committed).read_from(from)? {
            match record {
                Ok(record) if record.offset() < end.offset() => return Ok(NextRecord::Of(record.timestamp())),
                Ok(_) => break,
                Err(error) if error.is_damage() => {}
                Err(error) => return Err(error),
            }
            none = NextRecord::Damaged;
        }
        Ok(none)
    }

    #[cold]
    fn last_time(&self, marks: Marks) -> Result<Option<TimestampNs>, ReadError> {
        for record in self.with_isolation(ReadIsolation::Committed).read_backwards(marks.high_water_mark.offset())? {
            match record {
                Ok(record) => return Ok((record.offset() >= marks.log_start.offset()).then(|| record.timestamp())),
                Err(error) if error.is_damage() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

const ATTEMPTS: u32 = 10;
