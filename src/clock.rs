//! The only place that reads the time. Never waits.

use rustix::time::{ClockId, clock_gettime};
use tidelog_format::TimestampNs;

/// The wall clock, to the kernel's tick (1-4 ms): a quarter of the price of the precise one, paid by every append.
#[inline]
pub(crate) fn coarse_now() -> TimestampNs {
    now_of(ClockId::RealtimeCoarse)
}

/// The wall clock.
pub(crate) fn now() -> TimestampNs {
    now_of(ClockId::Realtime)
}

/// Nanoseconds since some moment of this boot, to the kernel's tick.
#[inline]
pub(crate) fn coarse_uptime_ns() -> u64 {
    now_of(ClockId::MonotonicCoarse).get() as u64
}

fn now_of(clock: ClockId) -> TimestampNs {
    let time = clock_gettime(clock);
    TimestampNs::new(time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec))
}
