//! The only place that reads the time. Never waits.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
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

/// The time that consumer groups go by: the system's, or one that stands still until it is [advanced](Self::advance), so that a test waits for
/// nothing. Clones are one clock.
///
/// ```
/// use std::time::Duration;
/// use tidelog::{Clock, TimestampNs};
///
/// let clock = Clock::manual(TimestampNs::new(7));
/// clock.advance(Duration::from_secs(30));
/// assert_eq!((clock.now(), clock.uptime()), (TimestampNs::new(30_000_000_007), Duration::from_secs(30)));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Clock(Option<Arc<Manual>>);

struct Manual {
    start: TimestampNs,
    uptime: Mutex<Duration>,
    /// Told of each advance, until they say that they are gone.
    told: Mutex<Vec<Told>>,
}

type Told = Arc<dyn Fn() -> bool + Send + Sync>;

impl fmt::Debug for Manual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manual").field("start", &self.start).field("uptime", &*self.uptime.lock()).finish_non_exhaustive()
    }
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that stands still at a time.
    pub fn manual(start: TimestampNs) -> Self {
        Self(Some(Arc::new(Manual { start, uptime: Mutex::default(), told: Mutex::default() })))
    }

    /// Moves a manual clock on, and does what is due by then before it returns. The system's clock moves by itself.
    pub fn advance(&self, by: Duration) {
        if let Some(manual) = &self.0 {
            *manual.uptime.lock() += by;
            // Not held while they are told: they may look at the clock, others may begin to listen, and another advance has to tell them too.
            let told = manual.told.lock().clone();
            for gone in told.iter().filter(|tell| !tell()) {
                manual.told.lock().retain(|tell| !Arc::ptr_eq(tell, gone));
            }
        }
    }

    /// The time of day.
    pub fn now(&self) -> TimestampNs {
        match &self.0 {
            Some(manual) => TimestampNs::new(manual.start.get().saturating_add(manual.uptime.lock().as_nanos() as i64)),
            None => now(),
        }
    }

    /// Time since some moment before: it never goes back.
    pub fn uptime(&self) -> Duration {
        match &self.0 {
            Some(manual) => *manual.uptime.lock(),
            None => Duration::from_nanos(now_of(ClockId::Monotonic).get() as u64),
        }
    }

    /// How long a thread may sleep that has something to do at `uptime`; for ever, by a clock that tells.
    pub(crate) fn until(&self, uptime: Duration) -> Option<Duration> {
        self.0.is_none().then(|| uptime.saturating_sub(self.uptime()))
    }

    /// Has `tell` called whenever a manual clock is advanced, for as long as it answers `true`.
    pub(crate) fn on_advance(&self, tell: impl Fn() -> bool + Send + Sync + 'static) {
        if let Some(manual) = &self.0 {
            manual.told.lock().push(Arc::new(tell));
        }
    }
}

fn now_of(clock: ClockId) -> TimestampNs {
    let time = clock_gettime(clock);
    TimestampNs::new(time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec))
}
