//! The offsets of a partition in numbers, with the times of the records that they begin and end with. Looks at two records, not at more.

use tidelog_format::{Offset, TimestampNs};

use crate::config::ReadIsolation;
use crate::error::ReadError;
use crate::log::{PartitionView, StoredRecord};
use crate::offset::marks::{DurableEnd, HighWaterMark, LogEnd, LogStart, Marks};

/// What readers of a partition can see, as of one moment: see [`PartitionView::offset_info`].
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

impl PartitionView {
    /// The offsets that readers can see, and the times that the first and the last of them are of.
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
    /// [`ReadError`] if a record at an end cannot be read for another reason than damage.
    pub fn offset_info(&self) -> Result<PartitionOffsetInfo, ReadError> {
        let (marks, first, last) = self.ends()?;
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
    fn ends(&self) -> Result<(Marks, Option<TimestampNs>, Option<TimestampNs>), ReadError> {
        for _ in 0..ATTEMPTS {
            let marks = self.marks();
            let Some(last) = marks.last_visible() else { return Ok((marks, None, None)) };
            match self.times(marks, last) {
                Ok((first, last)) => return Ok((marks, first, last)),
                // Cut off meanwhile, at one end or the other.
                Err(ReadError::OffsetOutOfRange { .. } | ReadError::Truncated { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(ReadError::Busy { path: self.dir().to_owned() })
    }

    fn times(&self, marks: Marks, last: Offset) -> Result<(Option<TimestampNs>, Option<TimestampNs>), ReadError> {
        let time = |record: StoredRecord| record.timestamp();
        let first = self.first_readable(marks.log_start.offset(), marks.high_water_mark)?;
        let last = match self.get(last) {
            Ok(record) => Some(record),
            // Damaged, or compacted away, or no record at all.
            Err(_) => self.last_readable(marks)?,
        };
        Ok((first.map(time), last.map(time)))
    }

    /// The first record at `from` or above, below the high water mark, that can be read.
    pub(crate) fn first_readable(&self, from: Offset, end: HighWaterMark) -> Result<Option<StoredRecord>, ReadError> {
        if from >= end.offset() {
            return Ok(None);
        }
        if let Ok(record) = self.get(from) {
            return Ok(Some(record));
        }
        for record in self.with_isolation(ReadIsolation::Committed).read_from(from)? {
            match record {
                Ok(record) => return Ok(Some(record).filter(|record| record.offset() < end.offset())),
                Err(error) => pass_damage(error)?,
            }
        }
        Ok(None)
    }

    fn last_readable(&self, marks: Marks) -> Result<Option<StoredRecord>, ReadError> {
        for record in self.with_isolation(ReadIsolation::Committed).read_backwards(marks.high_water_mark.offset())? {
            match record {
                Ok(record) => return Ok(Some(record).filter(|record| record.offset() >= marks.log_start.offset())),
                Err(error) => pass_damage(error)?,
            }
        }
        Ok(None)
    }
}

/// What cannot be read for good is no reason to fail: readers go on behind it.
fn pass_damage(error: ReadError) -> Result<(), ReadError> {
    if matches!(error, ReadError::Corrupt { .. } | ReadError::CodecNotBuilt { .. }) { Ok(()) } else { Err(error) }
}

const ATTEMPTS: u32 = 10;
