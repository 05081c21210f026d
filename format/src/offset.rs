//! The numbers that must not be mixed up: offsets are logical, positions are bytes in a file. No arithmetic beyond what is always right.

use std::fmt;

/// The largest offset and the largest end of a log: `i64::MAX`, because Kafka and SQL hold both in an `i64`. The last record
/// that a log can take is therefore the one before it.
pub const OFFSET_MAX: u64 = i64::MAX as u64;

/// The largest term of a writer: `i32::MAX`, because Kafka holds it in an `i32`.
pub const EPOCH_MAX: u32 = i32::MAX as u32;
/// The largest `seq` of a segment and number of a report. The next one can always be computed.
pub const SEQ_MAX: u64 = i64::MAX as u64;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name($inner);

        impl $name {
            /// Wraps the bare number.
            pub const fn new(value: $inner) -> Self {
                Self(value)
            }

            /// The bare number.
            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl From<$inner> for $name {
            fn from(value: $inner) -> Self {
                Self(value)
            }
        }

        impl From<$name> for $inner {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl PartialEq<$inner> for $name {
            fn eq(&self, other: &$inner) -> bool {
                self.0 == *other
            }
        }

        impl PartialOrd<$inner> for $name {
            fn partial_cmp(&self, other: &$inner) -> Option<std::cmp::Ordering> {
                self.0.partial_cmp(other)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// The number of a record in its partition, assigned once and never changed. At most [`OFFSET_MAX`].
    Offset(u64)
}
number! {
    /// A byte in a file.
    Position(u64)
}
number! {
    /// The term of a partition's writer. Raised by each open or cut that took anything away, and by a restore of what was appended in a later one. At most [`EPOCH_MAX`].
    LeaderEpoch(u32)
}
number! {
    /// Nanoseconds since 1970-01-01T00:00:00Z, without leap seconds.
    TimestampNs(i64)
}

impl Offset {
    /// The first offset of every partition.
    pub const ZERO: Self = Self(0);

    /// The offset `count` records further on, `None` past [`OFFSET_MAX`].
    pub const fn checked_add(self, count: u64) -> Option<Self> {
        match self.0.checked_add(count) {
            Some(sum) if sum <= OFFSET_MAX => Some(Self(sum)),
            _ => None,
        }
    }
}

impl LeaderEpoch {
    /// The term behind this one. There is none behind [`EPOCH_MAX`]: it goes on.
    pub const fn next(self) -> Self {
        Self(if self.0 < EPOCH_MAX { self.0 + 1 } else { EPOCH_MAX })
    }
}

const NANOS_PER_MILLI: i64 = 1_000_000;

impl TimestampNs {
    /// Whole milliseconds, rounded down: what Kafka holds.
    #[inline]
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(NANOS_PER_MILLI)
    }

    /// The nanoseconds past [`millis`](Self::millis): 0..1,000,000.
    #[inline]
    pub const fn sub_millis(self) -> u32 {
        self.0.rem_euclid(NANOS_PER_MILLI) as u32
    }

    /// The time `millis` milliseconds and `sub_millis` nanoseconds; saturates at the ends of `i64`.
    #[inline]
    pub const fn from_parts(millis: i64, sub_millis: u32) -> Self {
        if let Some(start) = millis.checked_mul(NANOS_PER_MILLI)
            && let Some(nanos) = start.checked_add(sub_millis as i64)
        {
            return Self(nanos);
        }
        // In 128 bits, because the lowest millisecond of an i64 begins below i64::MIN.
        let nanos = millis as i128 * NANOS_PER_MILLI as i128 + sub_millis as i128;
        if nanos >= i64::MAX as i128 {
            Self(i64::MAX)
        } else if nanos <= i64::MIN as i128 {
            Self(i64::MIN)
        } else {
            Self(nanos as i64)
        }
    }
}
