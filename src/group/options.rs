//! What a group coordinator is set up with. Coordinates nothing.

use std::time::Duration;

use crate::clock::Clock;

/// Limits and delays of a [`GroupCoordinator`](crate::group::GroupCoordinator).
///
/// ```
/// use std::time::Duration;
/// use tidelog::group::GroupOptions;
///
/// let options = GroupOptions::new().initial_rebalance_delay(Duration::ZERO).group_size_max(50);
/// # let _ = options;
/// ```
#[derive(Debug, Clone)]
pub struct GroupOptions {
    pub(super) session_timeout_min: Duration,
    pub(super) session_timeout_max: Duration,
    pub(super) initial_rebalance_delay: Duration,
    pub(super) group_size_max: usize,
    pub(super) offsets_retention: Duration,
    pub(super) clock: Clock,
}

impl Default for GroupOptions {
    fn default() -> Self {
        Self {
            session_timeout_min: Duration::from_secs(6),
            session_timeout_max: Duration::from_secs(30 * 60),
            initial_rebalance_delay: Duration::from_secs(3),
            group_size_max: 1_000,
            offsets_retention: Duration::from_secs(7 * 24 * 60 * 60),
            clock: Clock::system(),
        }
    }
}

impl GroupOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The shortest and the longest time without a heartbeat that a member may ask for. Default 6 s to 30 min.
    pub fn session_timeout(mut self, min: Duration, max: Duration) -> Self {
        (self.session_timeout_min, self.session_timeout_max) = (min, max);
        self
    }

    /// How long a group without members waits for others when the first one joins, so that those which start together rebalance once. Each that
    /// comes meanwhile prolongs it, up to the first one's rebalance timeout. Default 3 s.
    pub fn initial_rebalance_delay(mut self, delay: Duration) -> Self {
        self.initial_rebalance_delay = delay;
        self
    }

    /// Members of a group at most. Default 1,000.
    pub fn group_size_max(mut self, members: usize) -> Self {
        self.group_size_max = members;
        self
    }

    /// How long positions are kept that were not committed again, counted from when their group lost its last member. Default 7 days. It is for groups
    /// that have had members, and for commits that did not say themselves until when. Positions are forgotten only by a program that calls
    /// [`run_timers`](crate::group::GroupCoordinator::run_timers) or [`expire_offsets`](crate::group::GroupCoordinator::expire_offsets).
    pub fn offsets_retention(mut self, retention: Duration) -> Self {
        self.offsets_retention = retention;
        self
    }

    /// The clock that timeouts and commits go by. Default the system's.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }
}
