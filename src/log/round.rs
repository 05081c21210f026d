//! A sync round of a partition: what it covers, the syncs, and what is told of it once they succeeded. Decides not when.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use parking_lot::MutexGuard;

use crate::error::{IoContext, IoError};
use crate::log::log::{Log, durable_word};
use crate::log::segment::Segment;
use crate::log::write_again::WriteAgain;

/// What the next sync has to do besides the active segment.
#[derive(Debug, Default)]
pub(super) struct Unsynced {
    /// What an open left to be written again, before anything is synced.
    pub(super) again: Vec<WriteAgain>,
    pub(super) sealed: Vec<Arc<Segment>>,
    /// Synced, but not yet cut to their size and indexed.
    pub(super) finished: Vec<Arc<Segment>>,
    /// Segments named so far, and how many of the names are durable.
    pub(super) names: u64,
    pub(super) names_synced: u64,
}

/// What was written before the round began.
#[derive(Debug)]
pub(super) struct Round<'log> {
    log: &'log Log,
    active: Arc<Segment>,
    sealed: Vec<Arc<Segment>>,
    /// Where it ends in the active segment, and in the log.
    position: u64,
    end: u64,
    names: u64,
    has_new_names: bool,
    appended_bytes: u64,
    _round: MutexGuard<'log, ()>,
}

/// A round of a partition that went along with another's sync, over. Dropped, it is told, whatever became of the others.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) log: Arc<Log>,
    /// As from [`Round::settle`].
    pub(super) durable: Option<u64>,
}

impl Drop for Settled {
    fn drop(&mut self) {
        self.log.announce(self.durable);
    }
}

impl Log {
    /// One sync round: sealed segments, the active one, names; then, and only then, the durable end. Joins no sync of other partitions.
    pub(super) fn sync_round(&self) {
        let Some(round) = self.begin_round(self.round.lock()) else { return };
        let outcome = round.prepare().and_then(|()| match &self.shared_sync {
            Some(shared) => shared.sync_alone(|| round.sync_files()),
            None => round.sync_files(),
        });
        let durable = round.settle(&outcome);
        self.announce(durable);
    }

    /// One sync round, perhaps with other partitions.
    pub(super) fn sync_round_shared(&self) {
        let Some(shared) = &self.shared_sync else { return self.sync_round() };
        let Some(round) = self.begin_round(self.round.lock()) else { return };
        // Another partition's sync may have taken this one along meanwhile.
        if round.has_nothing_new() {
            return;
        }
        let mut company = Vec::new();
        let outcome = round.prepare().and_then(|()| {
            // Who waits for this partition alone need not wait for a sync of others too.
            if self.is_wanted.load(Ordering::Relaxed) {
                shared.sync(|| round.sync_files(), &mut company)
            } else {
                shared.sync_alone(|| round.sync_files())
            }
        });
        let durable = round.settle(&outcome);
        self.announce(durable);
        drop(company); // told once no round's lock is held
    }

    /// A round for a sync of the file system that another partition leads; `None` if there is nothing to sync, or somebody is about to.
    pub(super) fn come_along(&self) -> Option<Round<'_>> {
        self.is_wanted.store(false, Ordering::Relaxed); // what is appended from here on may be wanted anew
        let round = self.begin_round(self.round.try_lock()?)?;
        // Much that an open left would hold up the others. What fails here fails again in a round of its own, which tells of it.
        (!round.has_nothing_new() && round.bytes_to_write_again() <= ALONG_BYTES_MAX && round.prepare().is_ok()).then_some(round)
    }

    /// What was appended is to be durable soon: a sync that other partitions wait for may take it along.
    pub(crate) fn want_sync(&self) {
        if let Some(shared) = &self.shared_sync
            && !self.is_wanted.load(Ordering::Relaxed)
            && !self.is_wanted.swap(true, Ordering::Relaxed)
        {
            shared.want(self.this.clone());
        }
    }

    /// Called with the lock: a failure is reported to one sync alone, the next may succeed and prove nothing. `None` if the log is poisoned.
    fn begin_round<'log>(&'log self, round: MutexGuard<'log, ()>) -> Option<Round<'log>> {
        if self.is_poisoned() {
            return None;
        }
        let appended_bytes = self.appended_bytes.load(Ordering::Relaxed);
        // At one moment: each name that is counted is of a segment that is seen, and whatever was sealed before it is to be synced too.
        let (active, sealed, names, has_new_names) = {
            let unsynced = self.unsynced.lock();
            let active = self.view.list().entries.last().map(|entry| entry.segment.clone())?;
            (active, unsynced.sealed.clone(), unsynced.names, unsynced.names > unsynced.names_synced)
        };
        let published = active.published();
        // An append is published before it is written, as others see it.
        let end = (active.id.base_offset + u64::from(published.next)).min(self.view.written_end());
        Some(Round { log: self, active, sealed, position: published.end.into(), end, names, has_new_names, appended_bytes, _round: round })
    }

    /// Wakes who waits for a round. What a waker does may need the round's lock, or another partition's.
    fn announce(&self, durable: Option<u64>) {
        let Some(end) = durable else { return self.wake_everybody() };
        fence(Ordering::SeqCst);
        if self.view.sync_sleepers.load(Ordering::SeqCst) > 0 {
            self.view.wake_readers();
        }
        self.acks.wake(end);
        self.view.sync_waiters.wake(end);
        self.view.wake_other_processes();
    }

    pub(super) fn has_sealed_unsynced(&self) -> bool {
        !self.unsynced.lock().sealed.is_empty()
    }

    pub(super) fn has_unsynced_names(&self) -> bool {
        let unsynced = self.unsynced.lock();
        unsynced.names > unsynced.names_synced
    }
}

impl<'log> Round<'log> {
    fn has_nothing_new(&self) -> bool {
        self.log.view.durable_end() >= self.end && self.sealed.is_empty() && !self.has_new_names
    }

    fn bytes_to_write_again(&self) -> u64 {
        self.log.unsynced.lock().again.iter().map(WriteAgain::len).sum()
    }

    /// Does what a sync has to find done.
    fn prepare(&self) -> Result<(), IoError> {
        // Nobody else writes there, and whoever cuts waits for the round.
        let again = self.log.unsynced.lock().again.clone();
        again.iter().try_for_each(WriteAgain::run)?;
        self.log.unsynced.lock().again.clear();
        // Here too, as a sync of the file system may follow.
        self.segments().for_each(|segment| self.release_pages_of(segment));
        Ok(())
    }

    fn segments(&self) -> impl Iterator<Item = &Arc<Segment>> {
        self.sealed.iter().chain([&self.active])
    }

    /// Takes pages that the sync will write out of the page tables, which it would do one by one.
    fn release_pages_of(&self, segment: &Segment) {
        if !self.log.syncs_each() {
            segment.release_pages();
        }
    }

    fn sync_files(&self) -> Result<(), IoError> {
        for segment in self.segments() {
            self.release_pages_of(segment); // more was stored while another was synced
            segment.writable()?.sync().map_err(|error| IoError::new("sync", &segment.path(), error))?;
        }
        let view = &self.log.view;
        if self.has_new_names { view.storage.sync_dir(&view.dir).at("sync", &view.dir) } else { Ok(()) }
    }

    /// Moves the durable end and returns it, or poisons the log. [`Log::announce`] tells of it, once no round's lock is held.
    #[must_use = "somebody waits to hear of it"]
    pub(super) fn settle(self, outcome: &Result<(), IoError>) -> Option<u64> {
        let Self { log, active, sealed, position, end, names, appended_bytes, .. } = self;
        if let Err(error) = outcome {
            log.set_poison(&error.to_string());
            return None;
        }
        let mut unsynced = log.unsynced.lock();
        unsynced.sealed.retain(|segment| !sealed.iter().any(|synced| Arc::ptr_eq(segment, synced)));
        unsynced.finished.extend(sealed);
        unsynced.names_synced = names;
        drop(unsynced);
        // Monotonic: a newer segment has a higher seq, and positions grow.
        log.durable_word.store(durable_word(active.id.seq, position), Ordering::Release);
        log.synced_bytes.fetch_max(appended_bytes, Ordering::Relaxed);
        log.view.advance_durable(end);
        Some(end)
    }
}

/// What a partition may have to write again before a sync of others: a few milliseconds.
const ALONG_BYTES_MAX: u64 = 1 << 20;
