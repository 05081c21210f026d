//! Batches that come back at the offsets that they had: into an empty log from the first on, then each behind the one before it.

use std::sync::Arc;

use tidelog_format::{EPOCH_MAX, LeaderEpoch, OFFSET_MAX, Offset, Term, Terms};

use crate::config::ReadIsolation;
use crate::error::{AppendError, IoContext, RestoreError};
use crate::log::appender::{Appender, Assigned, NamedSegment, NewSegment};
use crate::log::checkpoint::Slots;
use crate::log::log::Log;
use crate::log::partition_view::PartitionView;
use crate::log::record_batch::{Encoded, FrameParts};
use crate::log::view::{LiveSegment, Marks};

impl Log {
    /// Appends a batch at `base` and in the term `epoch`: behind offsets without a record, if the log does not end there. Written when it
    /// returns, not yet durable.
    ///
    /// # Errors
    /// [`RestoreError`]; the batch was not appended.
    pub(crate) fn restore(self: &Arc<Self>, batch: &Encoded<'_>, base: Offset, epoch: LeaderEpoch) -> Result<Assigned, RestoreError> {
        self.check_size(batch)?;
        let (log_end, term, is_empty) = {
            let appender = self.appender.lock();
            (Offset::new(appender.next_offset), appender.epoch, appender.next_offset == self.view.log_start())
        };
        if epoch > EPOCH_MAX {
            return Err(RestoreError::Term { epoch, limit: LeaderEpoch::new(EPOCH_MAX) });
        }
        if base.get().saturating_add(batch.parts.offsets.into()) > OFFSET_MAX {
            return Err(AppendError::OffsetsExhausted.into());
        }
        if base < log_end {
            return Err(RestoreError::Behind { base, log_end });
        }
        if !is_empty && base.get() - log_end.get() > HOLE_MAX {
            return Err(RestoreError::HoleTooLarge { from: log_end, to: base, limit: HOLE_MAX });
        }
        if is_empty && (base > log_end || epoch != term) {
            self.start_over(log_end, Term { epoch, start: base })?;
        } else if epoch > term {
            self.begin_term(log_end, epoch)?;
        } else if epoch < term {
            self.check_nothing_above(log_end, epoch, term)?;
            self.start_over(log_end, Term { epoch, start: log_end })?;
        }
        self.leave_out(base, epoch)?;
        self.append_at(batch, base, epoch)
    }

    /// The current term.
    #[cfg(feature = "parquet")]
    pub(crate) fn term(&self) -> LeaderEpoch {
        self.appender.lock().epoch
    }

    fn append_at(self: &Arc<Self>, batch: &Encoded<'_>, base: Offset, epoch: LeaderEpoch) -> Result<Assigned, RestoreError> {
        let appender = self.appender.lock();
        self.check_end(&appender, base)?;
        if appender.epoch != epoch {
            return Err(RestoreError::EarlierTerm { base, epoch, term: appender.epoch });
        }
        Ok(self.append_locked(appender, batch)?)
    }

    /// Takes the offsets up to `base`, without records.
    fn leave_out(self: &Arc<Self>, base: Offset, epoch: LeaderEpoch) -> Result<(), RestoreError> {
        let mut at = self.appender.lock().next_offset;
        while at < base.get() {
            let offsets = (base.get() - at).min(HOLE_FRAME_MAX);
            let hole = Encoded { parts: FrameParts::of_hole(offsets as u32), blocks: &[], records: &[], packed: &[] };
            at = self.append_at(&hole, Offset::new(at), epoch)?.next_offset;
        }
        Ok(())
    }

    /// Goes on in a later term, in a segment of its own: a segment's header tells the term of its frames.
    fn begin_term(&self, log_end: Offset, epoch: LeaderEpoch) -> Result<(), RestoreError> {
        let mut checkpoint = self.checkpoint.lock();
        let mut appender = self.appender.lock();
        self.check_end(&appender, log_end)?;
        // What was appended in a term is durable before the next is named. Nobody can append meanwhile.
        self.sync_round();
        self.check_end(&appender, log_end)?;
        let term = Term { epoch, start: log_end };
        self.roll(&mut appender, 0, term).map_err(AppendError::from)?;
        checkpoint.terms.note(term);
        Ok(())
    }

    /// Whether the current term, and any other above `epoch`, holds nothing: then it was begun by a recovery or a cut, and can be taken back.
    fn check_nothing_above(self: &Arc<Self>, log_end: Offset, epoch: LeaderEpoch, term: LeaderEpoch) -> Result<(), RestoreError> {
        let refused = || RestoreError::EarlierTerm { base: log_end, epoch, term };
        let header = self.appender.lock().active.header;
        // Offsets that are declared lost are declared by that term's segment.
        if header.base_offset != log_end || header.prev_end != log_end {
            return Err(refused());
        }
        let all = PartitionView::of_writer(String::new(), 0, self.clone()).with_isolation(ReadIsolation::Written);
        match all.read_backwards(log_end).and_then(|mut records| records.next().transpose()) {
            Ok(Some(last)) if last.leader_epoch() <= epoch => Ok(()),
            _ => Err(refused()),
        }
    }

    /// Goes on at `term.start` in a fresh segment and in that term: an empty log anywhere, another one where it ends. Nothing is left of terms
    /// above: there is no record of theirs, and a record below `term.start` that is restored in an earlier one would be dead.
    fn start_over(&self, log_end: Offset, term: Term) -> Result<(), RestoreError> {
        let mut checkpoint = self.checkpoint.lock();
        let mut appender = self.appender.lock();
        self.check_end(&appender, log_end)?;
        let is_empty = log_end.get() == self.view.log_start();
        let Term { epoch, start } = term;
        let log_start = if is_empty { start } else { Offset::new(self.view.log_start()) };
        let new = NewSegment { base: start, prev_end: start, chain: 0, restarted: true, epoch, epoch_start: start, log_start, by_recovery: false };
        if !self.is_durable(log_end.get()) {
            self.sync_round();
        }
        self.check_taken(&appender)?;
        let seq = appender.next_seq;
        let fresh = self.fresh_tail(&mut appender, new, 0).inspect_err(|_| self.discard_spare(seq)).map_err(AppendError::from)?;
        // Whether the log goes on there is unknown when this, or what follows, fails: the next open settles it.
        let poisoning = |error: crate::error::IoError| {
            self.poison(&error.to_string());
            AppendError::from(error)
        };
        NamedSegment::give_name_durably(&fresh.active, &*self.view.storage, &self.view.dir).map_err(poisoning)?;
        let mut terms = Terms::new(term);
        if !is_empty {
            checkpoint.terms.as_slice().iter().filter(|known| known.epoch <= epoch).for_each(|known| terms.note(*known));
        }
        checkpoint.terms = terms;
        let round = self.round.lock();
        self.view.change(
            |()| Some(fresh.active.id.seq),
            || {
                let active = LiveSegment { segment: fresh.active.clone(), from: start.get(), to: u64::MAX };
                self.view.set_marks(Marks { log_start: log_start.get(), written_end: start.get(), durable_end: start.get() });
                self.view.change_list(|list| {
                    list.entries.retain(|entry| !is_empty && entry.from < start.get());
                    list.end_last_at(start.get());
                    list.entries.push(active);
                });
            },
        );
        if let Some(spare) = appender.replace(fresh) {
            self.discard_spare(spare.seq);
        }
        self.want_spare_again();
        let end = self.end_of(&appender);
        self.mark_durable(end);
        drop(round);
        self.put_checkpoint(&mut checkpoint, end, log_start.get(), Slots::Both)?;
        // The headers of what was left behind name the terms too, so no frame is stored before they are gone for good.
        let (from, said_again) = if is_empty { (0, Offset::ZERO) } else { (start.get(), start) };
        self.unlink_dead(from, said_again).map_err(poisoning)?;
        self.view.storage.sync_dir(&self.view.dir).at("sync", &self.view.dir).map_err(poisoning)?;
        drop(appender);
        self.view.wake_everybody();
        Ok(())
    }

    /// Whether the log still ends where it did, and can be appended to.
    fn check_end(&self, appender: &Appender, log_end: Offset) -> Result<(), RestoreError> {
        self.check_taken(appender)?;
        let now = Offset::new(appender.next_offset);
        if now == log_end { Ok(()) } else { Err(RestoreError::Behind { base: log_end, log_end: now }) }
    }
}

/// A frame's offsets are counted in an `i32`.
const HOLE_FRAME_MAX: u64 = 1 << 30;
/// So that a forged offset does not become a million frames.
const HOLE_MAX: u64 = 1 << 40;
