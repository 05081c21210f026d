//! Questions about the offsets of a partition, for whoever wants to seek in it. Moves no subscription.

use std::ops::RangeInclusive;

use tidelog_format::{Offset, TimestampNs};

use crate::config::ReadIsolation;
use crate::error::ReadError;
use crate::log::PartitionView;
use crate::offset::Marks;
use crate::subscription::error::OffsetRangeError;
use crate::subscription::resolve::{ATTEMPTS, last_before};

/// Answers which offsets of a partition there are, and where times are.
///
/// ```
/// use tidelog::{OffsetRangeError, OffsetSeeker, Record, Store, TimestampNs};
///
/// # let dir = tempfile::tempdir()?;
/// let orders = Store::open(dir.path())?.topic("orders")?.partition(0)?;
/// for second in 0..10 {
///     orders.append(Record::new("an order").timestamp(TimestampNs::new(second * 1_000_000_000)))?;
/// }
/// orders.delete_prefix(4)?;
/// let seeker = OffsetSeeker::new(orders.view().clone());
/// let available = seeker.available_offset_range()?;
/// assert_eq!((available.earliest, available.latest, available.high_water_mark), (4.into(), Some(9.into()), 10.into()));
/// assert_eq!(seeker.seek_to_timestamp(TimestampNs::new(6_500_000_000))?, Some(7.into()));
/// assert_eq!(seeker.validate_offset_range(4, 9)?, 4.into()..=9.into());
/// assert!(matches!(seeker.validate_offset_range(2, 9), Err(OffsetRangeError::StartDeleted { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct OffsetSeeker {
    view: PartitionView,
}

/// The offsets that readers may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AvailableOffsets {
    /// First readable offset: the log start.
    pub earliest: Offset,
    /// Offset of the last readable record; none, if there is no record.
    pub latest: Option<Offset>,
    /// First offset that committed readers may not see.
    pub high_water_mark: Offset,
    /// First offset that readers of this view may not see: the high water mark, or the log end with [`ReadIsolation::Written`].
    pub end: Offset,
}

/// What is known of one offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetInfo {
    /// The offset.
    pub offset: Offset,
    /// The time of its record, if it has one that can be read.
    pub timestamp: Option<TimestampNs>,
}

impl OffsetInfo {
    /// Whether the offset has a record that can be read.
    pub fn exists(&self) -> bool {
        self.timestamp.is_some()
    }
}

impl OffsetSeeker {
    /// Answers for this partition, as this view shows it.
    pub fn new(view: PartitionView) -> Self {
        Self { view }
    }

    /// A range of offsets, first and last included, as a request has it: all of them readable as the view shows it
    /// now, or an error that says which end is wrong.
    ///
    /// # Errors
    /// [`OffsetRangeError`].
    pub fn validate_offset_range(&self, start: i64, end: i64) -> Result<RangeInclusive<Offset>, OffsetRangeError> {
        let first = u64::try_from(start).map(Offset::new).map_err(|_| OffsetRangeError::NegativeStart { start })?;
        let last = u64::try_from(end).ok().filter(|_| end >= start).map(Offset::new).ok_or(OffsetRangeError::Reversed { start, end })?;
        self.view.refresh()?;
        let (log_start, visible_end) = self.ends(self.view.marks());
        if first < log_start {
            return Err(OffsetRangeError::StartDeleted { start: first, log_start });
        }
        if first >= visible_end {
            return Err(OffsetRangeError::StartBeyondEnd { start: first, visible_end });
        }
        if last >= visible_end {
            return Err(OffsetRangeError::EndBeyondEnd { end: last, visible_end });
        }
        Ok(first..=last)
    }

    /// The offsets that readers may have now.
    ///
    /// # Errors
    /// [`ReadError`] if the last record cannot be looked for.
    pub fn available_offset_range(&self) -> Result<AvailableOffsets, ReadError> {
        for _ in 0..ATTEMPTS {
            self.view.refresh()?;
            let cuts = self.view.cuts();
            let marks = self.view.marks();
            let (earliest, end) = self.ends(marks);
            let last = match last_before(&self.view, end) {
                Ok(last) => last.map(|record| record.offset()),
                Err(ReadError::OffsetOutOfRange { .. } | ReadError::Truncated { .. }) => continue, // the log was cut meanwhile
                Err(error) if self.view.changed_under(&error)? => continue,
                Err(error) => return Err(error),
            };
            // Of one moment: the end may have risen since, and nothing else. A cut lowers the end first, and is counted before the log grows again.
            let has_kept_its_end = self.view.end_offset() >= end;
            if has_kept_its_end && self.view.cuts() == cuts && self.view.log_start_offset() == earliest {
                let high_water_mark = marks.high_water_mark.offset();
                return Ok(AvailableOffsets { earliest, latest: last, high_water_mark, end });
            }
        }
        Err(ReadError::Busy { path: self.view.dir().to_owned() })
    }

    /// What readers of the view may see, as it shows it: from the first offset to before the second.
    fn ends(&self, marks: Marks) -> (Offset, Offset) {
        let end = match self.view.isolation() {
            ReadIsolation::Written => marks.log_end.offset(),
            ReadIsolation::Committed => marks.high_water_mark.offset(),
        };
        (marks.log_start.offset(), end)
    }

    /// The first offset whose record has at least this time; exact, whatever order the times are in.
    ///
    /// # Errors
    /// [`ReadError::Io`]. Damaged records count as absent.
    pub fn seek_to_timestamp(&self, timestamp: TimestampNs) -> Result<Option<Offset>, ReadError> {
        self.view.refresh()?;
        self.view.offset_for_time(timestamp)
    }

    /// What is known of an offset: also one that has no record.
    ///
    /// # Errors
    /// [`ReadError::Corrupt`] if its record is damaged; else as reading.
    pub fn offset_info(&self, offset: impl Into<Offset>) -> Result<OffsetInfo, ReadError> {
        let offset = offset.into();
        self.view.refresh()?;
        match self.view.get(offset) {
            Ok(record) => Ok(OffsetInfo { offset, timestamp: Some(record.timestamp()) }),
            Err(ReadError::OffsetOutOfRange { .. }) => Ok(OffsetInfo { offset, timestamp: None }),
            Err(error) => Err(error),
        }
    }
}
