//! The times of a frame's records, from its header, their deltas and the packed nanoseconds. Reads no record.

use tidelog_format::{Attributes, FrameHeader, NanosBlock, TimestampNs, unpack_nano};

/// How the times of a frame's records are found. What does not depend on the record is worked out once.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RecordTimes<'a> {
    /// All have this one.
    One(TimestampNs),
    /// They are whole milliseconds behind this one.
    Behind(TimestampNs),
    /// They are milliseconds, counted from here.
    Millis(i64),
    /// They are packed nanoseconds into milliseconds counted from here.
    Nanos(i64, &'a NanosBlock, &'a [u8]),
}

impl<'a> RecordTimes<'a> {
    /// Those of a frame with these packed nanoseconds, if it has any.
    #[inline]
    pub(crate) fn new(header: &FrameHeader, packed: Option<(&'a NanosBlock, &'a [u8])>) -> Self {
        if header.attributes.contains(Attributes::LOG_APPEND_TIME) {
            return Self::One(max_timestamp(header));
        }
        match packed {
            _ if header.attributes.contains(Attributes::TS_MILLIS) => Self::Millis(header.base_ts.get()),
            None => Self::Behind(header.base_ts),
            Some((nanos, bytes)) => Self::Nanos(header.base_ts.millis(), nanos, bytes),
        }
    }

    /// The time of record `number`, so many milliseconds behind the first.
    #[inline]
    pub(crate) fn at(&self, delta_ms: i64, number: u32) -> TimestampNs {
        match *self {
            Self::One(timestamp) => timestamp,
            Self::Behind(base) => behind(base, delta_ms),
            Self::Millis(base) => TimestampNs::from_parts(base.saturating_add(delta_ms), 0),
            Self::Nanos(base, nanos, bytes) => TimestampNs::from_parts(base.saturating_add(delta_ms), unpack_nano(nanos, bytes, number).unwrap_or(0)),
        }
    }
}

#[inline]
fn behind(base: TimestampNs, delta_ms: i64) -> TimestampNs {
    let nanos = delta_ms.checked_mul(NANOS_PER_MILLI).and_then(|delta| delta.checked_add(base.get()));
    // Where the delta alone is too large, the sum need not be.
    nanos.map_or_else(|| TimestampNs::from_parts(base.millis().saturating_add(delta_ms), base.sub_millis()), TimestampNs::new)
}

/// Highest time of a record in a frame, in nanoseconds whatever the header holds.
pub(crate) fn max_timestamp(header: &FrameHeader) -> TimestampNs {
    if header.attributes.contains(Attributes::TS_MILLIS) { TimestampNs::from_parts(header.max_ts.get(), 0) } else { header.max_ts }
}

const NANOS_PER_MILLI: i64 = 1_000_000;
