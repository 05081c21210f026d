//! Batches that come back at the offsets that they had: into an empty log from the first on, then each behind the one before it.

use std::sync::Arc;

use tidelog_format::{LeaderEpoch, Offset, Term};

use crate::error::{AppendError, RestoreError};
use crate::log::appender::{Appender, Assigned, NamedSegment, NewSegment};
use crate::log::checkpoint::Slots;
use crate::log::log::Log;
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
        let (end, term, is_empty) = {
            let appender = self.appender.lock();
            (appender.next_offset, appender.epoch, appender.next_offset == self.view.log_start())
        };
        let log_end = Offset::new(end);
        if base < log_end {
            return Err(RestoreError::Behind { base, log_end });
        }
        if epoch < term {
            return Err(RestoreError::EarlierTerm { base, epoch, term });
        }
        if is_empty && (base > log_end || epoch > term) {
            self.begin_at(log_end, base, epoch)?;
        } else if epoch > term {
            self.begin_term(log_end, epoch)?;
        }
        self.leave_out(base)?;
        self.append_at(batch, base)
    }

    fn append_at(self: &Arc<Self>, batch: &Encoded<'_>, base: Offset) -> Result<Assigned, RestoreError> {
        let appender = self.appender.lock();
        if appender.next_offset != base.get() {
            return Err(RestoreError::Behind { base, log_end: Offset::new(appender.next_offset) });
        }
        Ok(self.append_locked(appender, batch)?)
    }

    /// Takes the offsets up to `base`, without records.
    fn leave_out(self: &Arc<Self>, base: Offset) -> Result<(), RestoreError> {
        let from = Offset::new(self.appender.lock().next_offset);
        let missing = base.get().saturating_sub(from.get());
        if missing > HOLE_MAX {
            return Err(RestoreError::HoleTooLarge { from, to: base, limit: HOLE_MAX });
        }
        let mut at = from.get();
        while at < base.get() {
            let offsets = (base.get() - at).min(HOLE_FRAME_MAX);
            let hole = Encoded { parts: FrameParts::of_hole(offsets as u32), blocks: &[], records: &[], packed: &[] };
            at = self.append_at(&hole, Offset::new(at))?.next_offset;
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

    /// Lets an empty log begin at `base`. What it began with before is gone: nothing was ever there.
    fn begin_at(&self, log_end: Offset, base: Offset, epoch: LeaderEpoch) -> Result<(), RestoreError> {
        let mut checkpoint = self.checkpoint.lock();
        let mut appender = self.appender.lock();
        self.check_end(&appender, log_end)?;
        let new = NewSegment { base, prev_end: base, chain: 0, restarted: true, epoch, epoch_start: base, log_start: base, by_recovery: false };
        let seq = appender.next_seq;
        let fresh = self.fresh_tail(&mut appender, new, 0).inspect_err(|_| self.discard_spare(seq)).map_err(AppendError::from)?;
        // Whether the log begins there is unknown when this fails: the next open settles it.
        NamedSegment::give_name_durably(&fresh.active, &*self.view.storage, &self.view.dir)
            .inspect_err(|error| self.poison(&error.to_string()))
            .map_err(AppendError::from)?;
        checkpoint.terms.note(Term { epoch, start: base });
        let round = self.round.lock();
        let seq = fresh.active.id.seq;
        let before = self.view.change(
            |_| Some(seq),
            || {
                let first = LiveSegment { segment: fresh.active.clone(), from: base.get(), to: u64::MAX };
                if let Some(spare) = appender.replace(fresh) {
                    self.discard_spare(spare.seq);
                }
                self.want_spare_again();
                self.view.set_marks(Marks { log_start: base.get(), written_end: base.get(), durable_end: base.get() });
                self.view.change_list(|list| std::mem::replace(&mut list.entries, vec![first]))
            },
        );
        let end = self.end_of(&appender);
        self.mark_durable(end);
        drop(round);
        drop(appender);
        self.view.wake_everybody();
        self.put_checkpoint(&mut checkpoint, end, base.get(), Slots::Both)?;
        before.iter().try_for_each(|entry| self.unlink(&entry.segment)).map_err(AppendError::from)?;
        Ok(())
    }

    /// Whether the log still ends where it did, and can be appended to.
    fn check_end(&self, appender: &Appender, log_end: Offset) -> Result<(), RestoreError> {
        self.check_open(appender)?;
        let now = Offset::new(appender.next_offset);
        if now == log_end { Ok(()) } else { Err(RestoreError::Behind { base: log_end, log_end: now }) }
    }
}

/// A frame's offsets are counted in an `i32`.
const HOLE_FRAME_MAX: u64 = 1 << 30;
/// So that a forged offset does not become a million frames.
const HOLE_MAX: u64 = 1 << 40;
