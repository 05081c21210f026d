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
            return Self::One(header.max_timestamp());
        }
        match packed {
            _ if header.attributes.contains(Attributes::TS_MILLIS) => Self::Millis(header.base_ts.get()),
            None => Self::Behind(header.base_ts),
            Some((nanos, bytes)) => Self::Nanos(header.base_ts.millis(), nanos, bytes),
        }
    }

    /// The time of record `number`, so many milliseconds behind the first.
    #[inline(always)]
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

const NANOS_PER_MILLI: i64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// In 128 bits, where nothing overflows before the end.
    fn expected(base_ms: i64, nanos: i64, delta_ms: i64) -> i64 {
        let exact = (i128::from(base_ms) + i128::from(delta_ms)) * i128::from(NANOS_PER_MILLI) + i128::from(nanos);
        exact.clamp(i64::MIN.into(), i64::MAX.into()) as i64
    }

    #[test]
    fn times_are_exact_and_stop_at_the_ends() {
        let edges =
            [i64::MIN, i64::MIN + 1, i64::MIN / NANOS_PER_MILLI, -1_000_001, -1, 0, 1, 999_999, i64::MAX / NANOS_PER_MILLI, i64::MAX - 1, i64::MAX];
        let near = |edge: i64| (-3..=3).map(move |step| edge.saturating_add(step));
        for base in edges.into_iter().flat_map(near) {
            for delta_ms in edges.into_iter().flat_map(near) {
                let (ms, nanos) = (base.div_euclid(NANOS_PER_MILLI), base.rem_euclid(NANOS_PER_MILLI));
                let at = |times: RecordTimes<'_>| times.at(delta_ms, 0).get();
                assert_eq!(at(RecordTimes::Behind(TimestampNs::new(base))), expected(ms, nanos, delta_ms), "{base} ns and {delta_ms} ms");
                assert_eq!(at(RecordTimes::Millis(base)), expected(base, 0, delta_ms), "{base} ms and {delta_ms} ms");
                let (block, packed) = (NanosBlock { width: 1, min: 7, crc: 0 }, [1]);
                assert_eq!(at(RecordTimes::Nanos(ms, &block, &packed)), expected(ms, 8, delta_ms), "{ms} ms, {delta_ms} ms and 8 ns");
            }
        }
    }
}
