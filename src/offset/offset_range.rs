//! Offsets that follow each other, and the counts that other programs ask for them by. Assigns none.

use std::ops::RangeInclusive;

use thiserror::Error;
use tidelog_format::{OFFSET_MAX, Offset};

/// The offsets of one append, `base..=last`: one at least.
///
/// ```
/// use tidelog::{OffsetRange, OffsetCountError};
///
/// let range = OffsetRange::of(10.into(), 5)?;
/// assert_eq!((range.base(), range.last(), range.count()), (10.into(), 14.into(), 5));
/// assert_eq!(OffsetRange::of(10.into(), 0), Err(OffsetCountError::Empty));
/// assert_eq!(OffsetRange::of(10.into(), -5), Err(OffsetCountError::Negative { found: -5 }));
/// # Ok::<(), OffsetCountError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OffsetRange {
    base: Offset,
    last: Offset,
}

/// A base and a count are no offsets of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OffsetCountError {
    /// A count of zero. Ask for one record at least.
    #[error("0 offsets asked for: an append has one record at least")]
    Empty,
    /// A number below zero where a count or an offset belongs. Mend what sends it.
    #[error("{found} is below zero: counts and offsets are not")]
    Negative {
        /// The number given.
        found: i64,
    },
    /// The last offset would be above the largest there is, `i64::MAX - 1`: the end of a log is `i64::MAX` at most.
    #[error("{count} offsets from {base} on reach past the largest, {}", OFFSET_MAX - 1)]
    Overflow {
        /// The first offset.
        base: Offset,
        /// The count given.
        count: i64,
    },
}

impl OffsetRange {
    /// The `count` offsets from `base` on, as numbers off the wire say it.
    ///
    /// # Errors
    /// [`OffsetCountError`] where there are no such offsets.
    pub fn of(base: Offset, count: i64) -> Result<Self, OffsetCountError> {
        let found = match u64::try_from(count) {
            Ok(0) => return Err(OffsetCountError::Empty),
            Err(_) => return Err(OffsetCountError::Negative { found: count }),
            Ok(found) => found,
        };
        let end = base.checked_add(found).ok_or(OffsetCountError::Overflow { base, count })?;
        Ok(Self { base, last: Offset::new(end.get() - 1) })
    }

    /// As [`of`](Self::of), of a base that is a wire number too.
    ///
    /// # Errors
    /// [`OffsetCountError`] where there are no such offsets.
    pub fn of_wire(base: i64, count: i64) -> Result<Self, OffsetCountError> {
        let base = u64::try_from(base).map_err(|_| OffsetCountError::Negative { found: base })?;
        Self::of(Offset::new(base), count)
    }

    /// What an append was given.
    pub(crate) fn between(base: Offset, last: Offset) -> Self {
        assert!(base <= last, "offsets {base}..={last} of an append");
        Self { base, last }
    }

    /// The first offset.
    pub const fn base(self) -> Offset {
        self.base
    }

    /// The last offset.
    pub const fn last(self) -> Offset {
        self.last
    }

    /// The offset behind the last.
    pub const fn next(self) -> Offset {
        Offset::new(self.last.get() + 1)
    }

    /// How many there are.
    pub const fn count(self) -> u64 {
        self.last.get() - self.base.get() + 1
    }

    /// Whether an offset is one of them.
    pub fn contains(self, offset: impl Into<Offset>) -> bool {
        (self.base..=self.last).contains(&offset.into())
    }

    /// Each of them, as bare numbers.
    pub fn offsets(self) -> RangeInclusive<u64> {
        self.base.get()..=self.last.get()
    }
}
