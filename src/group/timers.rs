//! What is due in groups that nobody just asks: members that expire, rebalances that have waited long enough, positions that nobody wants any more.

use std::time::Duration;

use tidelog_format::TimestampNs;

use crate::group::coordinator::GroupCoordinator;
use crate::group::error::GroupError;
use crate::group::state::GroupState;
use crate::offset::{CommittedOffset, GroupId};

impl GroupCoordinator {
    /// Does what is due in all groups. Requests, and threads that wait for an answer, do so in their own group.
    pub fn tick(&self) {
        for group in self.known_groups() {
            // A group that cannot be read has nobody in it.
            let _ = self.with(&group, |_, _| Ok(()));
        }
    }

    /// Meets the timeouts of all groups, and lets positions expire every 10 minutes, until [`close`](Self::close). A program gives it a thread if it
    /// awaits answers, or looks for them: threads that wait for theirs need none.
    pub fn run_timers(&self) {
        let (clock, timers) = (self.clock(), &self.inner.timers);
        let mut next_clean_up = clock.uptime();
        loop {
            let now = clock.uptime();
            if now >= next_clean_up {
                // The next time is as good: nothing is lost by what stays.
                let _ = self.expire_offsets();
                next_clean_up = now.saturating_add(CLEAN_UP_INTERVAL);
            }
            // Noted anew by what comes while the groups are looked at.
            timers.state.lock().next = None;
            self.tick();
            let mut state = timers.state.lock();
            let next = state.next.map_or(next_clean_up, |next| next.min(next_clean_up));
            if state.is_closed {
                return;
            }
            match clock.until(next) {
                Some(limit) => drop(timers.changed.wait_for(&mut state, limit)),
                None => timers.changed.wait(&mut state),
            }
        }
    }

    /// Ends [`run_timers`](Self::run_timers).
    pub fn close(&self) {
        self.inner.timers.state.lock().is_closed = true;
        self.inner.timers.changed.notify_all();
    }

    /// Forgets positions that have been kept long enough. That is up to what their commit said ([`CommittedOffset::expires_at`]), and where it did not:
    /// for the [retention](crate::group::GroupOptions::offsets_retention), counted from when the last member of their group has gone or they were
    /// committed, whichever is later. Positions of a group that has members are all kept, and so is, unless its commit said otherwise, what groups have
    /// committed that never had any here. A group of which nothing is left is forgotten too. Returns how many positions there were.
    ///
    /// # Errors
    /// [`GroupError::Store`], the first; other groups are seen to all the same. What expired stays forgotten.
    pub fn expire_offsets(&self) -> Result<usize, GroupError> {
        let mut outcome = Ok(0);
        for id in self.inner.offsets.groups()? {
            outcome = match (outcome, self.expire_offsets_of(&id)) {
                (Ok(count), Ok(more)) => Ok(count + more),
                (Err(first), _) | (_, Err(first)) => Err(first),
            };
        }
        outcome
    }

    /// Nobody commits by this coordinator meanwhile.
    fn expire_offsets_of(&self, id: &GroupId) -> Result<usize, GroupError> {
        let offsets = &self.inner.offsets;
        let retention = i64::try_from(self.inner.options.offsets_retention.as_nanos()).unwrap_or(i64::MAX);
        self.with(id, |group, turn| {
            if !group.is_vacant() {
                return Ok(0);
            }
            let is_over = |since: TimestampNs| since.get().saturating_add(retention) <= turn.now.get();
            let is_left = group.generation > 0 && is_over(group.stored.changed_at);
            let is_expired = |position: &CommittedOffset| match position.expires_at {
                Some(expires_at) => expires_at <= turn.now,
                None => is_left && is_over(position.committed_at),
            };
            let positions = offsets.fetch_all(id)?;
            let expired: Vec<_> = positions.iter().filter(|(_, position)| is_expired(position)).map(|(key, _)| key.clone()).collect();
            if is_left && expired.len() == positions.len() {
                group.state = GroupState::Dead;
                return Ok(offsets.delete_group(id)?);
            }
            Ok(offsets.delete(id, &expired)?)
        })
    }
}

const CLEAN_UP_INTERVAL: Duration = Duration::from_secs(10 * 60);
