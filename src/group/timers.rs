//! What is due in groups that nobody just asks: members that expire, rebalances that have waited long enough, positions that nobody wants any more.

use std::time::Duration;

use tidelog_format::TimestampNs;

use crate::group::coordinator::GroupCoordinator;
use crate::group::error::GroupError;
use crate::group::state::GroupState;
use crate::offset::CommittedOffset;

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

    /// Forgets positions that have been kept long enough: of groups without members, those that were not committed again for the
    /// [retention](crate::group::GroupOptions::offsets_retention) since the last member has gone, or whose commit said until when. A group of which nothing is
    /// left is forgotten too. Returns how many positions there were.
    ///
    /// # Errors
    /// [`GroupError::Store`]. What expired before it stays forgotten.
    pub fn expire_offsets(&self) -> Result<usize, GroupError> {
        let (offsets, now) = (&self.inner.offsets, self.clock().now());
        let retention = i64::try_from(self.inner.options.offsets_retention.as_nanos()).unwrap_or(i64::MAX);
        let is_over = |since: TimestampNs| since.get().saturating_add(retention) <= now.get();
        let mut count = 0;
        for id in offsets.groups()? {
            count += self.with(&id, |group, _| {
                if !group.is_vacant() {
                    return Ok(0);
                }
                let was_used = group.generation > 0;
                let is_expired = |position: &CommittedOffset| match position.expires_at {
                    Some(expires_at) => expires_at <= now,
                    None => is_over(position.committed_at) && (!was_used || is_over(group.stored.changed_at)),
                };
                let positions = offsets.fetch_all(&id)?;
                let expired: Vec<_> = positions.iter().filter(|(_, position)| is_expired(position)).map(|(key, _)| key.clone()).collect();
                let is_last = expired.len() == positions.len() && (!was_used || is_over(group.stored.changed_at));
                if is_last {
                    offsets.delete_group(&id)?;
                    group.state = GroupState::Dead;
                    return Ok(expired.len());
                }
                Ok(offsets.delete(&id, &expired)?)
            })?;
        }
        Ok(count)
    }
}

const CLEAN_UP_INTERVAL: Duration = Duration::from_secs(10 * 60);
