//! How far a position is behind what can be read: in records, and in time by what is stored. Knows no group, and reads no clock.

use std::time::Duration;

use tidelog_format::{Offset, TimestampNs};

use crate::error::ReadError;
use crate::log::PartitionView;
use crate::offset::marks::{HighWaterMark, Marks};
use crate::offset::partition_offset_info::NextRecord;

/// How far a position is behind in a partition: see [`PartitionView::lag`].
///
/// - **Records** are counted by offsets, from the position to the high water mark: what readers may not see yet is nobody's lag. Where the log was
///   deleted past the position they are counted from the log start, which is where reading goes on, and what was lost to the deletion is told apart as
///   [`deleted`](Self::deleted). Offsets without a record, which compaction leaves, count too. A position past the high water mark is
///   [`ahead`](Self::ahead) of it: the log was cut or replaced since, or it is the position of another log, and whoever reads on from there misses
///   what is appended before it.
/// - **Time** is the age of the record that is read next, by the time stored with it: how late whatever is done with it will be. It is exact and takes
///   one read, and it grows while nothing is read, also in a partition that nobody writes to any more. The distance between two records' times would
///   stand still there, and an interpolation is right only where records come at an even pace. Where producers give times out of order an older
///   record may stand behind; one with a time yet to come has the age zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lag {
    /// The position: the next offset to read.
    pub committed_offset: Offset,
    /// First offset that was not visible when this was asked.
    pub high_water_mark: HighWaterMark,
    /// Offsets that are still to be read.
    pub records: u64,
    /// Offsets that were deleted before they were read: they never will be.
    pub deleted: u64,
    /// Offsets from the high water mark to a position past it, where nobody can have read anything.
    pub ahead: u64,
    /// Time of the record that is read next; none if there is none, be it that the offsets that are left have no records, or if all that is left
    /// is damaged.
    pub next_timestamp: Option<TimestampNs>,
    /// Whether something is left, and all of it is damaged: nobody can tell how old it is.
    pub is_unreadable: bool,
}

impl Lag {
    /// Whether everything visible was read, and nothing else: a position past the high water mark is none of a reader that has caught up.
    pub fn is_caught_up(&self) -> bool {
        self.records == 0 && self.ahead == 0
    }

    /// The age of the record that is read next; zero if there is none left to read, none if all that is left is damaged.
    pub fn age(&self, now: TimestampNs) -> Option<Duration> {
        age(self.is_unreadable, self.next_timestamp, now)
    }
}

impl Marks {
    /// Offsets that a reader at `position` has still to read, and those that were deleted before it came to them. Reads no record.
    pub fn behind(&self, position: Offset) -> (u64, u64) {
        let log_start = self.log_start.offset();
        let records = self.high_water_mark.offset().get().saturating_sub(position.max(log_start).get());
        (records, log_start.get().saturating_sub(position.get()))
    }

    /// Offsets from the high water mark to a `position` past it; zero for one that is not.
    pub fn ahead(&self, position: Offset) -> u64 {
        position.get().saturating_sub(self.high_water_mark.offset().get())
    }
}

impl PartitionView {
    /// How far `position`, the next offset to be read, is behind. A view of another process's store is [refreshed](Self::refresh) first.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidelog::{Record, Store, TimestampNs};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// let orders = Store::open(dir.path())?.topic("orders")?.partition(0)?;
    /// for seconds in 1..=4 {
    ///     orders.append(Record::new("12 apples").timestamp(TimestampNs::new(seconds * 1_000_000_000)))?;
    /// }
    /// let lag = orders.view().lag(1.into())?; // the first was read
    /// let now = TimestampNs::new(60_000_000_000);
    /// assert_eq!((lag.records, lag.age(now)), (3, Some(Duration::from_secs(58))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ReadError`] if the view cannot be brought up to date, or if the next record cannot be read for another reason than damage.
    pub fn lag(&self, position: Offset) -> Result<Lag, ReadError> {
        for _ in 0..ATTEMPTS {
            // What a writer did since would not be anybody's lag.
            self.refresh()?;
            let marks = self.marks();
            let high_water_mark = marks.high_water_mark;
            let ((records, deleted), ahead) = (marks.behind(position), marks.ahead(position));
            match self.next_record(position.max(marks.log_start.offset()), high_water_mark) {
                Ok(next) => {
                    return Ok(Lag {
                        committed_offset: position,
                        high_water_mark,
                        records,
                        deleted,
                        ahead,
                        next_timestamp: next.time(),
                        is_unreadable: next == NextRecord::Damaged,
                    });
                }
                // Cut off meanwhile, at one end or the other.
                Err(ReadError::OffsetOutOfRange { .. } | ReadError::Truncated { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(ReadError::Busy { path: self.dir().to_owned() })
    }
}

pub(super) fn age(is_unreadable: bool, next_timestamp: Option<TimestampNs>, now: TimestampNs) -> Option<Duration> {
    let Some(next) = next_timestamp else { return (!is_unreadable).then_some(Duration::ZERO) };
    let nanos = i128::from(now.get()) - i128::from(next.get());
    Some(Duration::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX)))
}

const ATTEMPTS: u32 = 10;
