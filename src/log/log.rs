//! One partition, open for appending: append, sync, roll, checkpoint, close. Reading is the view's business, cutting is `cut`'s.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use tidelog_format::{Checkpoint, IndexHeader, Offset, Position, SegmentHeader, Term, TimestampNs};

use crate::config::{Config, ReadIsolation, SyncPolicy};
use crate::error::{AppendError, IoError, OpenError, SyncError};
use crate::io::{Storage, futex, prefetch};
use crate::log::appender::{Appender, Assigned, NamedSegment, NewSegment, Refusal, Spare, StoreFailure, StoreHow, shrink};
use crate::log::checkpoint::{CheckpointFile, Slots};
use crate::log::keeper::Keeper;
use crate::log::live::LivePage;
use crate::log::maps::{self, MapHolder};
use crate::log::offset_index::write_index;
use crate::log::record_batch::Encoded;
use crate::log::recovery::{RecoverHow, Recovered, RecoveryReport, recover};
use crate::log::round::Unsynced;
use crate::log::segment::{Segment, frames_end};
use crate::log::shared_sync::SharedSync;
use crate::log::stage::{Outcome, STAGED_BYTES_MAX, Stage};
use crate::log::sync::{Commit, GroupCommit, Staged};
use crate::log::view::{LiveSegment, LogView, Marks};
use crate::log::waiters::Waiters;

/// A partition that is open for appending. What each append needs stands first, in few cache lines: with many partitions they come from memory.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Log {
    pub(crate) view: Arc<LogView>,
    pub(crate) batch_bytes_max: u64,
    /// How far everything is durable: low half of the segment's seq, position in units of 8 bytes. Read under the append lock.
    pub(super) durable_word: AtomicU64,
    /// Bytes appended since the open, and those that it left to be synced.
    pub(super) appended_bytes: AtomicU64,
    pub(crate) index_interval: u32,
    /// Whether the keeper has this partition on its list.
    pub(super) queued: AtomicBool,
    spare_wanted: AtomicBool,
    pub(crate) policy: SyncPolicy,
    poison: OnceLock<Arc<str>>,
    pub(super) appender: Mutex<Appender>,
    pub(crate) report: RecoveryReport,
    pub(crate) segment_bytes: u64,
    group: GroupCommit,
    /// Tasks that wait for acknowledgements.
    pub(super) acks: Waiters,
    pub(super) unsynced: Mutex<Unsynced>,
    /// Held through a sync round: a second one must not report what the first has only begun. A cut holds it while it takes back what
    /// rounds reported.
    pub(super) round: Mutex<()>,
    pub(super) checkpoint: Mutex<CheckpointFile>,
    /// What of the appended bytes was synced, and checkpointed.
    pub(super) synced_bytes: AtomicU64,
    pub(super) checkpointed_bytes: AtomicU64,
    /// What the open left to be synced.
    found_bytes: u64,
    pub(super) indexed_position: AtomicU64,
    /// Held while a segment is made ahead.
    making_spare: Mutex<()>,
    /// Held while sealed segments get their indexes.
    finishing: Mutex<()>,
    keeper: Arc<Keeper>,
    /// Of the store, if its file system is synced as a whole.
    pub(super) shared_sync: Option<Arc<SharedSync>>,
    /// Whether it has this partition on its list.
    pub(super) is_wanted: AtomicBool,
    /// For what outlives the call that finds it due.
    pub(super) this: Weak<Self>,
}

/// What became of a batch that is to be durable at once.
#[derive(Debug)]
pub(crate) enum Staging {
    Staged(Staged),
    Appended(Assigned),
}

/// The end of the log at one moment, taken under the append lock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogEnd {
    pub(crate) seq: u64,
    pub(crate) salt: u64,
    pub(crate) position: u64,
    pub(crate) chain: u32,
    pub(crate) next_offset: u64,
    /// In the segment.
    pub(crate) records: u64,
    pub(crate) max_ts: TimestampNs,
    pub(crate) appended_bytes: u64,
}

impl Commit for Log {
    fn store(&self, stage: &mut Stage) {
        if let Err(error) = self.store_staged(stage) {
            stage.fail(error);
        }
        let (sleepers, queued, wants_spare) = {
            let appender = self.appender.lock();
            (self.view.append_sleepers.load(Ordering::Relaxed), self.queued.load(Ordering::Relaxed), appender.wants_spare())
        };
        if sleepers > 0 {
            self.view.wake_readers();
        }
        if queued && !wants_spare {
            return;
        }
        let Some(this) = self.this.upgrade() else { return };
        if !queued {
            this.queue();
        }
        if wants_spare && !self.spare_wanted.swap(true, Ordering::Relaxed) {
            self.keeper.make_spare(this);
        }
    }

    fn end(&self) -> u64 {
        self.view.written_end()
    }

    fn sync(&self) {
        self.sync_round_shared();
    }
}

impl Log {
    /// Recovers the partition in `dir` and opens it. The store's lock is held.
    ///
    /// # Errors
    /// [`OpenError`].
    pub(crate) fn open(
        storage: Arc<dyn Storage>,
        dir: &std::path::Path,
        options: &Config,
        keeper: Arc<Keeper>,
        page: Option<&Arc<LivePage>>,
    ) -> Result<Arc<Self>, OpenError> {
        let recovered = recover(&storage, dir, RecoverHow::of(options))?;
        let Recovered { uuid, appender, list, log_start, next_offset, checkpoint, unsynced, report } = recovered;
        let durable_end = unsynced.as_ref().map_or(next_offset, |unsynced| unsynced.durable_end);
        let view = LogView::of_writer(storage, dir, uuid, options.sync_policy == SyncPolicy::OsOnly, page.and_then(|page| page.slot(uuid)));
        view.set_damage(report.damage.clone());
        view.set_findings(report.findings.clone());
        view.change(
            |seq: &u64| Some(*seq),
            || {
                view.set_list(list);
                view.set_marks(Marks { log_start, written_end: next_offset, durable_end });
                appender.seq()
            },
        );
        let (seq, position) = unsynced.as_ref().map_or((appender.seq(), appender.position), |unsynced| unsynced.durable_at);
        let durable_word = durable_word(seq, position);
        let found_bytes = unsynced.as_ref().map_or(0, |unsynced| unsynced.bytes);
        // Of what is to be synced, the index that is there tells no more than a part.
        let indexed = AtomicU64::new(if unsynced.is_some() { 0 } else { appender.position });
        let unsynced = unsynced.map_or_else(Unsynced::default, |left| Unsynced {
            again: left.again,
            sealed: left.sealed,
            names: left.names,
            ..Unsynced::default()
        });
        let log = Arc::new_cyclic(|this| Self {
            view: Arc::new(view),
            report,
            policy: options.sync_policy,
            segment_bytes: options.segment_bytes,
            index_interval: options.index_interval_bytes,
            batch_bytes_max: options.batch_bytes_max.into(),
            appender: Mutex::new(appender),
            group: GroupCommit::default(),
            acks: Waiters::default(),
            durable_word: AtomicU64::new(durable_word),
            unsynced: Mutex::new(unsynced),
            round: Mutex::new(()),
            checkpoint: Mutex::new(checkpoint),
            poison: OnceLock::new(),
            found_bytes,
            appended_bytes: AtomicU64::new(found_bytes),
            synced_bytes: AtomicU64::new(0),
            checkpointed_bytes: AtomicU64::new(0),
            indexed_position: indexed,
            queued: AtomicBool::new(false),
            spare_wanted: AtomicBool::new(false),
            making_spare: Mutex::new(()),
            finishing: Mutex::new(()),
            shared_sync: keeper.shared_sync().filter(|shared| shared.holds(dir)).cloned(),
            is_wanted: AtomicBool::new(false),
            keeper,
            this: this.clone(),
        });
        let holder: Weak<Self> = Arc::downgrade(&log);
        maps::register(holder);
        if log.owes_checkpoint() {
            log.queue();
        }
        Ok(log)
    }

    /// Asks for what the next append needs first. Of a partition that was not appended to lately it comes from memory, while the batch is encoded.
    #[inline(always)]
    pub(crate) fn prefetch(&self) {
        prefetch(self, APPEND_BYTES);
    }

    /// Appends one batch: written when it returns, not yet durable.
    ///
    /// # Errors
    /// [`AppendError`]; nothing was appended, unless it is [`NotDurable`](AppendError::NotDurable).
    #[inline(always)]
    pub(crate) fn append(self: &Arc<Self>, batch: &Encoded<'_>) -> Result<Assigned, AppendError> {
        self.check_size(batch)?;
        self.append_locked(self.appender.lock(), batch)
    }

    /// The same, under the lock.
    #[inline(always)]
    pub(super) fn append_locked<'log>(
        self: &'log Arc<Self>,
        mut appender: MutexGuard<'log, Appender>,
        batch: &Encoded<'_>,
    ) -> Result<Assigned, AppendError> {
        let (stored, offsets) = (batch.parts.stored_bytes(), batch.parts.offsets);
        let mapped = !self.syncs_each();
        self.view.prefetch();
        appender.prefetch(stored);
        self.check_taken(&appender)?;
        if !appender.has_offsets(offsets) {
            return Err(AppendError::OffsetsExhausted);
        }
        if appender.is_full_for(stored, offsets) {
            appender = self.make_room(appender, stored, offsets)?;
        }
        appender.reserve(stored)?;
        let how = StoreHow { mapped, index_interval: self.index_interval, durable: self.durable_position(&appender), syncs: self.syncs() };
        let assigned = match appender.store(batch, how) {
            Ok(assigned) => assigned,
            Err(failure) => return Err(self.poison_unless_restored(failure, appender.next_offset)),
        };
        self.note_appended(&appender, stored);
        let fill = if mapped { appender.fill_request(stored) } else { None };
        let wants_spare = appender.wants_spare();
        // Both are read under the lock, through which whoever goes to sleep or stops watching passes too.
        let (sleepers, queued) = (self.view.append_sleepers.load(Ordering::Relaxed), self.queued.load(Ordering::Relaxed));
        drop(appender);
        if let Some((ahead, to)) = fill {
            self.keeper.fill(ahead, to);
        }
        if sleepers > 0 {
            self.view.wake_readers();
        }
        if !queued {
            self.queue();
        }
        // Of one that is not watched, the next segment keeps no blocks.
        if wants_spare && !self.spare_wanted.swap(true, Ordering::Relaxed) {
            self.keeper.make_spare(self.clone());
        }
        Ok(assigned)
    }

    /// Others see the end of the log move. Under the append lock.
    #[inline(always)]
    fn note_appended(&self, appender: &Appender, stored: usize) {
        self.view.advance_written(appender.next_offset);
        let appended = self.appended_bytes.load(Ordering::Relaxed) + stored as u64;
        self.appended_bytes.store(appended, Ordering::Relaxed);
    }

    #[inline(always)]
    pub(super) fn check_size(&self, batch: &Encoded<'_>) -> Result<(), AppendError> {
        let body = (batch.records.len() + batch.packed.len()) as u64;
        if body > self.batch_bytes_max { Err(AppendError::TooLarge { bytes: body, limit: self.batch_bytes_max }) } else { Ok(()) }
    }

    /// Whether appends are synced one by one, or in groups: they are written, not stored into the map.
    #[inline(always)]
    pub(crate) fn syncs_each(&self) -> bool {
        matches!(self.policy, SyncPolicy::Group { .. })
    }

    /// Hands a batch that is to be durable at once to whoever leads the next sync; a large one is appended here and now.
    ///
    /// # Errors
    /// [`AppendError`]; nothing was appended, unless it is [`NotDurable`](AppendError::NotDurable).
    pub(crate) fn stage(self: &Arc<Self>, batch: &Encoded<'_>) -> Result<Staging, AppendError> {
        if batch.parts.stored_bytes() > STAGED_BYTES_MAX {
            return self.append(batch).map(Staging::Appended);
        }
        self.check_size(batch)?;
        // Not only once others have been waited for.
        if self.view.is_deleted() {
            return Err(AppendError::TopicDeleted);
        }
        if let Some(reason) = self.poison.get() {
            return Err(AppendError::Poisoned { reason: reason.clone() });
        }
        Ok(Staging::Staged(self.group.stage(batch)))
    }

    /// Leads a sync or waits for one, until the staged batch is durable or the log is poisoned. `None` if the batch is better appended alone,
    /// because one before it failed.
    ///
    /// # Errors
    /// [`AppendError`]; nothing was appended, unless it is [`NotDurable`](AppendError::NotDurable).
    pub(crate) fn wait_staged(&self, staged: Staged) -> Result<Option<Assigned>, AppendError> {
        match self.group.wait_staged(staged, self.max_wait(), self) {
            Outcome::Assigned(assigned) => Ok(Some(assigned)),
            Outcome::Left => Ok(None),
            Outcome::Failed(error) => Err(error),
        }
    }

    fn max_wait(&self) -> Duration {
        if let SyncPolicy::Group { max_wait, .. } = self.policy { max_wait } else { Duration::ZERO }
    }

    fn store_staged(&self, stage: &mut Stage) -> Result<(), AppendError> {
        let mut appender = self.appender.lock();
        self.check_taken(&appender)?;
        while let Some((stored, offsets)) = stage.next() {
            if !appender.has_offsets(offsets) {
                return Err(AppendError::OffsetsExhausted);
            }
            if appender.is_full_for(stored, offsets) {
                appender = self.make_room(appender, stored, offsets)?;
            }
            let base = appender.next_offset;
            let run = stage.take_run(|bytes, offsets| !appender.is_full_for(bytes, offsets) && appender.has_offsets(offsets));
            let bytes = run.bytes.len();
            appender.reserve(bytes)?;
            let how = StoreHow { mapped: false, index_interval: self.index_interval, durable: self.durable_position(&appender), syncs: self.syncs() };
            if let Err(failure) = appender.store_run(run, how) {
                let in_doubt = !failure.restored;
                let error = self.poison_unless_restored(failure, base);
                if in_doubt {
                    stage.doubt(base, &self.poisoned());
                }
                return Err(error);
            }
            self.note_appended(&appender, bytes);
        }
        Ok(())
    }

    /// What is told of a write at `base` that failed: nothing is there, or it is not known what is.
    #[cold]
    fn poison_unless_restored(&self, StoreFailure { error, restored }: StoreFailure, base: u64) -> AppendError {
        if restored {
            return AppendError::Io(error);
        }
        self.poison(&error.to_string());
        AppendError::NotDurable { base_offset: Offset::new(base), source: self.poisoned() }
    }

    #[cold]
    fn queue(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.keeper.watch(self.clone());
        }
    }

    /// Appends are refused from now on: one that returned before is in the log, none is taken after this.
    /// Returns why they were refused before, if they were.
    pub(crate) fn refuse_appends(&self, refusal: Refusal) -> Option<Refusal> {
        self.appender.lock().refusal.replace(refusal)
    }

    /// Appends are taken, or refused, as they were before what was to end them did not come about.
    pub(crate) fn restore_appends(&self, before: Option<Refusal>) {
        self.appender.lock().refusal = before;
    }

    /// Ends the log of a topic whose directory has lost its name. Nothing of it is made durable any more, and nothing is written by its path, where
    /// another partition may soon be.
    pub(crate) fn retire(&self) {
        self.refuse_appends(Refusal::Deleted);
        self.view.set_deleted();
        self.poison("the topic was deleted");
        // Whoever was writing a checkpoint, or making a segment, has ended; whoever comes finds the poison.
        drop(self.checkpoint.lock());
        drop(self.making_spare.lock());
        drop(self.finishing.lock());
        let _ = self.close(); // refused by the poison: only what it holds is given back
    }

    pub(super) fn check_open(&self, appender: &Appender) -> Result<(), AppendError> {
        if let Some(reason) = self.poison.get() {
            return Err(AppendError::Poisoned { reason: reason.clone() });
        }
        if appender.closed { Err(AppendError::Closed) } else { Ok(()) }
    }

    /// The durable position in the active segment, if the durable point is in it.
    #[inline]
    fn durable_position(&self, appender: &Appender) -> Option<u64> {
        let word = self.durable_word.load(Ordering::Acquire);
        (word >> 32 == appender.seq() & u64::from(u32::MAX)).then_some((word & u64::from(u32::MAX)) * 8)
    }

    /// Whether appends are taken.
    #[inline]
    pub(super) fn check_taken(&self, appender: &Appender) -> Result<(), AppendError> {
        match appender.refusal {
            None => self.check_open(appender),
            Some(Refusal::Split) => Err(AppendError::PartitionSplit),
            Some(Refusal::Deleted) => Err(AppendError::TopicDeleted),
        }
    }

    /// Rolls, after waiting for the disk if it is several segments behind: each of them holds a descriptor, and memory that is not clean.
    #[cold]
    fn make_room<'log>(
        &'log self,
        mut appender: MutexGuard<'log, Appender>,
        stored: usize,
        offsets: u32,
    ) -> Result<MutexGuard<'log, Appender>, AppendError> {
        while self.segments_behind() >= SEGMENTS_BEHIND_MAX {
            drop(appender);
            self.sync_round();
            self.finish_sealed();
            appender = self.appender.lock();
            self.check_taken(&appender)?;
            if !appender.has_offsets(offsets) {
                return Err(AppendError::OffsetsExhausted);
            }
        }
        // Another appender may have rolled meanwhile.
        if appender.is_full_for(stored, offsets) {
            let term = Term { epoch: appender.epoch, start: appender.epoch_start };
            self.roll(&mut appender, stored, term)?;
            self.check_taken(&appender)?;
        }
        Ok(appender)
    }

    fn segments_behind(&self) -> usize {
        let unsynced = self.unsynced.lock();
        unsynced.sealed.len() + unsynced.finished.len()
    }

    /// Goes on in a new segment, in `term`.
    pub(super) fn roll(&self, appender: &mut MutexGuard<'_, Appender>, stored: usize, term: Term) -> Result<(), IoError> {
        let capacity = Appender::capacity_for(self.segment_bytes, stored);
        let dir = &self.view.dir;
        let spare = match appender.spare.take() {
            // A spare that was begun before the active segment was made has a lower number: in it, what follows would count as the older.
            Some(spare) if spare.fits(capacity) && spare.seq > appender.seq() => spare,
            unfit => {
                if let Some(spare) = unfit {
                    self.discard_spare(spare.seq);
                }
                let make = |appender: &mut Appender, first_bytes| {
                    appender.next_seq += 1; // also behind one that is left over
                    Spare::make(&*self.view.storage, dir, appender.next_seq - 1, capacity, first_bytes)
                };
                let least = Appender::bytes_for(stored);
                let first_bytes = appender.first_bytes().max(least);
                let made = make(appender, first_bytes).or_else(|_| make(appender, least));
                let made = made.or_else(|error| if appender.give_blocks_back() { make(appender, least) } else { Err(error) });
                // The old segment is cut to its size once it is synced, and the batch may have room then.
                made.or_else(|_| make(appender, 0))?
            }
        };
        let base = Offset::new(appender.next_offset);
        // A segment that nothing was appended to is dead from now on: what its header says of the log before it is said again.
        let (active, is_unused) = (appender.active.header, appender.active.header.base_offset == base);
        let new = NewSegment {
            base,
            prev_end: if is_unused { active.prev_end } else { base },
            chain: appender.chain,
            restarted: is_unused && active.flags & SegmentHeader::CHAIN_RESTARTED != 0,
            epoch: term.epoch,
            epoch_start: term.start,
            log_start: Offset::new(self.view.log_start()),
            by_recovery: false,
        };
        let durable = self.durable_position(appender);
        let next = NamedSegment::prepare(spare, &self.view.storage, dir, self.view.uuid, new)?;
        NamedSegment::give_name(&next.segment, &*self.view.storage, dir).inspect_err(|error| self.settle_name(&next.segment, error))?;
        let (segment, seq) = (next.segment.clone(), next.segment.id.seq);
        self.view.change(
            |()| Some(seq),
            || {
                let rolled = appender.roll(next, durable);
                if let Some(error) = rolled.half_sealed {
                    self.poison(&error.to_string());
                }
                // A sync sees both changed, or neither.
                let mut unsynced = self.unsynced.lock();
                unsynced.sealed.push(rolled.sealed);
                unsynced.names += 1;
                self.view.change_list(|list| {
                    list.end_last_at(base.get());
                    list.entries.push(LiveSegment { segment, from: base.get(), to: u64::MAX });
                });
            },
        );
        self.spare_wanted.store(false, Ordering::Relaxed);
        self.indexed_position.store(0, Ordering::Relaxed);
        Ok(())
    }

    /// After a segment could not be named: without the name the roll may be tried again; with it, or in doubt, what is appended to the old
    /// segment would be dead at the next open.
    fn settle_name(&self, segment: &Segment, error: &IoError) {
        match self.view.storage.kind(&segment.path()) {
            Ok(None) => self.discard_spare(segment.id.seq),
            _ => self.poison(&error.to_string()),
        }
    }

    /// Takes away a segment that was made ahead and never named.
    pub(super) fn discard_spare(&self, seq: u64) {
        // What has that name now is another partition's, or goes with the directory.
        if self.view.is_deleted() {
            return;
        }
        let _ = self.view.storage.unlink(&self.view.dir.join(tidelog_format::SegmentId::spare_name(seq))); // else the next open removes it
    }

    /// After the tail was replaced, the next segment is to be made ahead anew.
    pub(super) fn want_spare_again(&self) {
        self.spare_wanted.store(false, Ordering::Relaxed);
    }

    /// Makes the next segment ahead of the roll. Called off the append lock.
    pub(super) fn make_spare(&self) {
        let _making = self.making_spare.lock();
        let (seq, first_bytes, bytes_soon, is_busy) = {
            let mut appender = self.appender.lock();
            if appender.closed || appender.spare.is_some() || self.poison.get().is_some() {
                return;
            }
            appender.next_seq += 1;
            (appender.next_seq - 1, appender.first_bytes(), appender.bytes_soon(), appender.is_busy())
        };
        let capacity = Appender::capacity_for(self.segment_bytes, 0);
        // A failure shows at the roll, which makes one in line.
        let Ok(mut spare) = Spare::make(&*self.view.storage, &self.view.dir, seq, capacity, first_bytes) else { return };
        spare.allocate_ahead(bytes_soon);
        if is_busy {
            spare.fill();
        }
        let mut appender = self.appender.lock();
        if appender.closed || self.is_poisoned() || appender.spare.is_some() || seq < appender.seq() {
            self.discard_spare(seq);
        } else {
            // Nobody looks after one that is idle by now.
            if !self.queued.load(Ordering::Relaxed) {
                spare.give_blocks_back();
            }
            appender.spare = Some(spare);
        }
    }

    /// Gives blocks back that were reserved ahead: of one that does not go on.
    pub(super) fn give_blocks_back(&self) {
        let mut appender = self.appender.lock();
        if !appender.closed {
            appender.give_blocks_back();
        }
    }

    /// Returns once everything below `end` is durable.
    ///
    /// # Errors
    /// [`SyncError::Poisoned`] if a sync failed, now or before.
    pub(crate) fn wait_durable(&self, end: u64) -> Result<(), SyncError> {
        self.wait_durable_within(end, self.max_wait())
    }

    fn wait_durable_within(&self, end: u64, max_wait: Duration) -> Result<(), SyncError> {
        self.group.wait(end, max_wait, || self.is_durable(end) || self.is_poisoned(), self);
        // Asked in this order: what a cut took away meanwhile was done with, even if the log has grown past it again.
        if self.is_poisoned() && !self.is_durable(end) { Err(self.poisoned()) } else { Ok(()) }
    }

    /// Whether everything below `end`, which was assigned, is durable. What was cut off since then was, before it was cut.
    pub(crate) fn is_durable(&self, end: u64) -> bool {
        self.view.durable_end() >= end || self.view.written_end() < end
    }

    /// Makes everything written so far durable; returns its end.
    ///
    /// # Errors
    /// [`SyncError::Poisoned`].
    pub(crate) fn flush(&self) -> Result<Offset, SyncError> {
        let end = self.view.written_end();
        self.wait_durable_within(end, Duration::ZERO)?;
        Ok(Offset::new(self.view.durable_end()))
    }

    pub(super) fn poisoned(&self) -> SyncError {
        if self.view.is_deleted() {
            return SyncError::TopicDeleted;
        }
        SyncError::Poisoned { reason: self.poison.get().cloned().unwrap_or_else(|| "unknown".into()) }
    }

    /// Sync rounds so far.
    pub(super) fn syncs(&self) -> &AtomicU64 {
        &self.group.rounds
    }

    /// After the first failure of a write-back nothing is promised any more.
    pub(super) fn poison(&self, reason: &str) {
        self.set_poison(reason);
        self.wake_everybody();
    }

    pub(super) fn set_poison(&self, reason: &str) {
        let _ = self.poison.set(reason.into()); // the first reason stays
    }

    pub(super) fn wake_everybody(&self) {
        self.group.wake_all();
        self.acks.wake_all();
        self.view.wake_everybody();
    }

    /// Everything up to `end` was made durable by other means than a sync round.
    pub(super) fn mark_durable(&self, end: LogEnd) {
        self.durable_word.store(durable_word(end.seq, end.position), Ordering::Release);
        let mut unsynced = self.unsynced.lock();
        debug_assert!(unsynced.again.is_empty(), "whoever moves the end has synced what the open left");
        let sealed = std::mem::take(&mut unsynced.sealed);
        unsynced.finished.extend(sealed);
        unsynced.names_synced = unsynced.names;
        drop(unsynced);
        self.indexed_position.store(0, Ordering::Relaxed);
    }

    /// Bytes that recovery would have to scan.
    pub(crate) fn uncheckpointed_bytes(&self) -> u64 {
        self.appended_bytes.load(Ordering::Relaxed).saturating_sub(self.checkpointed_bytes.load(Ordering::Relaxed))
    }

    /// Whether what was there before the open is still to be synced and checkpointed.
    pub(super) fn owes_checkpoint(&self) -> bool {
        self.checkpointed_bytes.load(Ordering::Relaxed) < self.found_bytes
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        self.poison.get().is_some()
    }

    pub(super) fn end(&self) -> LogEnd {
        self.end_of(&self.appender.lock())
    }

    pub(super) fn end_of(&self, appender: &Appender) -> LogEnd {
        LogEnd {
            seq: appender.seq(),
            salt: appender.active.header.salt,
            position: appender.position,
            chain: appender.chain,
            next_offset: appender.next_offset,
            records: appender.sums.records,
            max_ts: appender.sums.max_ts,
            appended_bytes: self.appended_bytes.load(Ordering::Relaxed),
        }
    }

    /// Syncs, then notes in CHECKPOINT how far the log is durable.
    ///
    /// # Errors
    /// [`SyncError`]; a failed checkpoint poisons, because recovery could not tell a crash from damage any more.
    pub(super) fn write_checkpoint(&self) -> Result<(), SyncError> {
        let mut file = self.checkpoint.lock();
        let end = self.end();
        self.wait_durable_within(end.next_offset, Duration::ZERO)?;
        self.put_checkpoint(&mut file, end, self.view.log_start(), Slots::One)
    }

    pub(super) fn put_checkpoint(&self, file: &mut CheckpointFile, end: LogEnd, log_start: u64, slots: Slots) -> Result<(), SyncError> {
        // A segment without a new frame may have been named since the last sync.
        if self.has_unsynced_names() {
            self.sync_round();
        }
        if self.is_poisoned() {
            return Err(self.poisoned());
        }
        file.terms.forget_below(Offset::new(log_start));
        let checkpoint = Checkpoint {
            counter: 0,
            partition_uuid: self.view.uuid,
            log_start: Offset::new(log_start),
            durable_next_offset: Offset::new(end.next_offset),
            active_seq: end.seq,
            active_salt: end.salt,
            tail_pos: Position::new(end.position),
            tail_chain: end.chain,
            max_ts: end.max_ts,
            high_water_mark: Offset::new(end.next_offset),
            terms: file.terms,
        };
        if let Err(error) = file.write(checkpoint, slots) {
            self.poison(&error.to_string());
            return Err(self.poisoned());
        }
        self.checkpointed_bytes.fetch_max(end.appended_bytes, Ordering::Relaxed);
        self.index_active(end);
        Ok(())
    }

    /// Keeps an index of the active segment on disk, a few MiB behind, so that the next open need not walk all of it. Derived: may fail.
    fn index_active(&self, end: LogEnd) {
        let due = self.indexed_position.load(Ordering::Relaxed) + INDEX_EVERY_BYTES;
        if end.position >= due {
            self.write_active_index(end);
        }
    }

    fn write_active_index(&self, end: LogEnd) {
        let segment = {
            let appender = self.appender.lock();
            if appender.seq() != end.seq {
                return;
            }
            appender.active.clone()
        };
        let Some(index) = segment.growing_index() else { return };
        let entries: Vec<_> = index.entries().into_iter().filter(|entry| u64::from(entry.position) < end.position).collect();
        let header = IndexHeader {
            salt: end.salt,
            base_offset: segment.base(),
            seq: end.seq,
            entries: 0,
            covered: Position::new(end.position),
            next_offset: Offset::new(end.next_offset),
            records: end.records,
            max_ts: end.max_ts,
            chain: end.chain,
            sealed: false,
        };
        if write_index(&*self.view.storage, &self.view.dir, segment.id, header, &entries).is_ok() {
            // A roll meanwhile begins to count anew.
            let appender = self.appender.lock();
            if appender.seq() == end.seq {
                self.indexed_position.store(end.position, Ordering::Relaxed);
            }
        }
    }

    /// Cuts sealed, synced segments to their size and writes their indexes. Derived or cosmetic: failures cost space or time.
    pub(super) fn finish_sealed(&self) {
        let _finishing = self.finishing.lock();
        let finished = std::mem::take(&mut self.unsynced.lock().finished);
        // By the path of a topic that is deleted there may be another one's.
        let finished = if self.view.is_deleted() { Vec::new() } else { finished };
        let list = if finished.is_empty() { Arc::default() } else { self.view.list() };
        // What was cut off meanwhile has no name any more.
        for segment in finished.into_iter().filter(|segment| list.entries.iter().any(|entry| Arc::ptr_eq(&entry.segment, segment))) {
            let published = segment.published();
            if let Ok(file) = segment.writable() {
                shrink(&*file, published.end.into(), segment.header.capacity);
            }
            segment.close_writable();
            if let (Some(index), Some(sums), Some(&chain)) = (segment.growing_index(), segment.sums.get(), segment.chain_out.get()) {
                let header = IndexHeader {
                    salt: segment.header.salt,
                    base_offset: segment.base(),
                    seq: segment.id.seq,
                    entries: 0,
                    covered: Position::new(frames_end(published).into()),
                    next_offset: Offset::new(segment.next_offset()),
                    records: sums.records,
                    max_ts: sums.max_ts,
                    chain,
                    sealed: true,
                };
                if write_index(&*self.view.storage, &self.view.dir, segment.id, header, &index.entries()).is_ok() {
                    segment.leave_index_to_file();
                }
            }
        }
    }

    /// Sleeps until a reader finds something there, at most for `limit`, or until nothing more can come.
    pub(crate) fn wait_for(&self, is_there: impl Fn() -> bool, isolation: ReadIsolation, limit: Duration) {
        let view = &self.view;
        let deadline = Instant::now().checked_add(limit);
        let sleepers = if view.sees_appends(isolation) { &view.append_sleepers } else { &view.sync_sleepers };
        sleepers.fetch_add(1, Ordering::SeqCst);
        loop {
            let word = view.wake.load(Ordering::Acquire);
            fence(Ordering::SeqCst);
            // Woken for what it waits for: no need to meet those who append meanwhile.
            if is_there() {
                break;
            }
            // Through the append lock: an append before this is seen below, one after it sees the sleeper.
            let closed = self.appender.lock().closed;
            let left = deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()));
            if is_there() || closed || self.is_poisoned() || left.is_zero() {
                break;
            }
            futex::wait(&view.wake, word, Some(left), false);
        }
        sleepers.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether readers have nothing more to expect. What was written before a close is waited for.
    pub(crate) fn has_ended(&self, isolation: ReadIsolation) -> bool {
        let is_closed = || self.appender.lock().closed;
        let is_visible = || self.view.end(isolation) >= self.view.written_end();
        self.is_poisoned() || (is_closed() && (is_visible() || self.wait_durable(self.view.written_end()).is_err()))
    }

    /// The keeper stops watching, unless something was appended since it looked; whether it did. Then what was reserved ahead is given back.
    pub(super) fn leave_unwatched(&self, appended: u64) -> bool {
        let mut appender = self.appender.lock(); // an append before this is seen here, one after it asks for a new watch
        let unchanged = self.appended_bytes.load(Ordering::Relaxed) == appended;
        self.queued.store(!unchanged, Ordering::Relaxed);
        if unchanged && !appender.closed {
            appender.give_blocks_back();
        }
        unchanged
    }

    /// Makes everything durable, checkpoints, and refuses appends from then on.
    ///
    /// # Errors
    /// [`SyncError`] if something could not be made durable.
    pub(crate) fn close(&self) -> Result<(), SyncError> {
        {
            let mut appender = self.appender.lock();
            if appender.closed {
                return Ok(());
            }
            appender.closed = true;
            appender.stop_filling();
            appender.give_window_back();
            if self.is_poisoned() {
                appender.give_blocks_back();
            } else {
                appender.trim();
            }
            if let Some(spare) = appender.spare.take() {
                self.discard_spare(spare.seq);
            }
        }
        let closed = self.close_files();
        // One that found no poison may be writing again what the open left: until it is over the directory is ours.
        drop(self.round.lock());
        self.wake_everybody();
        closed
    }

    fn close_files(&self) -> Result<(), SyncError> {
        self.flush()?;
        let mut file = self.checkpoint.lock();
        let end = self.end();
        if self.checkpointed_bytes.load(Ordering::Relaxed) < end.appended_bytes || self.has_unsynced_names() {
            self.put_checkpoint(&mut file, end, self.view.log_start(), Slots::One)?;
        }
        if self.indexed_position.load(Ordering::Relaxed) < end.position {
            self.write_active_index(end);
        }
        self.finish_sealed();
        Ok(())
    }
}

impl MapHolder for Log {
    fn give_back(&self, most: usize) -> usize {
        // Who asks may hold the lock of an appender, this one's even.
        let windows = usize::from(self.appender.try_lock().is_some_and(|mut appender| appender.give_window_back()));
        let most = most - windows.min(most);
        let list = self.view.list();
        let closed = list.entries.split_last().map_or(&[][..], |(_, closed)| closed);
        let idle: Vec<_> = closed.iter().filter(|entry| entry.segment.is_idle()).take(most).collect();
        if idle.is_empty() {
            return windows;
        }
        self.view.change_list(|list| {
            for entry in &idle {
                let now = list.find(entry.from).map(|at| &mut list.entries[at]);
                // Else it was cut off meanwhile.
                if let Some(now) = now.filter(|now| Arc::ptr_eq(&now.segment, &entry.segment)) {
                    now.segment = Arc::new(entry.segment.unmapped());
                }
            }
        });
        windows + idle.len()
    }
}

/// Low half of the segment's seq, position in units of 8 bytes.
pub(super) fn durable_word(seq: u64, position: u64) -> u64 {
    (seq << 32) | (position / 8)
}

/// Sealed segments not yet synced and cut to their size.
const SEGMENTS_BEHIND_MAX: usize = 8;
const INDEX_EVERY_BYTES: u64 = 4 << 20;
/// How far the fields of a [`Log`] reach that each append needs.
const APPEND_BYTES: usize = std::mem::offset_of!(Log, appender) + Appender::HOT_BYTES;
