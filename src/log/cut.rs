//! The two cuts: a prefix is deleted, a suffix is truncated. Each is durable before anything is destroyed, and cannot come back.

use std::sync::Arc;

use tidelog_format::{Codec, Offset, SEGMENT_HEADER_BYTES, SegmentHeader, SegmentId, Term, Terms, TimestampNs};

use crate::error::{AppendError, CutError, IoContext, IoError, OpenError, ReadError, SyncError};
use crate::io::{Access, Kind, read_exact_at};
use crate::log::appender::{Appender, NamedSegment, NewSegment, Refusal, ResumeAt, Spare, StoreHow};
use crate::log::checkpoint::Slots;
use crate::log::log::Log;
use crate::log::partition_view::PartitionView;
use crate::log::record_batch::{Record, RecordBatch, Scratch};
use crate::log::segment::{Segment, Sums};
use crate::log::stored::StoredBatch;
use crate::log::view::{LiveSegment, Marks};
use crate::log::walk::{WalkLimit, WalkStart, walk};

impl Log {
    /// Moves the log start to `offset`; whole segments below it are unlinked afterwards.
    pub(crate) fn delete_prefix(&self, offset: u64) -> Result<(), CutError> {
        let mut checkpoint = self.checkpoint.lock();
        // Closed, the store may be another writer's; while this holds the checkpoint's lock, it cannot be closed.
        if self.appender.lock().closed {
            return Err(self.closed().into());
        }
        let (from, to) = (self.view.log_start(), self.view.written_end());
        if offset < from || offset > to {
            return Err(CutError::OutOfRange { requested: Offset::new(offset), from: Offset::new(from), to: Offset::new(to) });
        }
        if offset == from {
            return Ok(());
        }
        let end = self.end();
        self.wait_durable(end.next_offset)?;
        self.put_checkpoint(&mut checkpoint, end, offset, Slots::Both)?;
        let _appender = self.appender.lock(); // a roll tells other processes of a change too
        let dropped: Vec<LiveSegment> = self.view.change(
            |_| None,
            || {
                self.view.set_log_start(offset);
                self.view.change_list(|list| {
                    let keep = list.entries.iter().position(|entry| entry.to > offset).unwrap_or(list.entries.len() - 1);
                    list.entries.drain(..keep).collect()
                })
            },
        );
        dropped.iter().try_for_each(|entry| self.unlink(&entry.segment))?;
        Ok(())
    }

    fn closed(&self) -> SyncError {
        if self.view.is_deleted() { SyncError::TopicDeleted } else { SyncError::Closed }
    }

    pub(super) fn unlink(&self, segment: &Segment) -> Result<(), IoError> {
        for name in [segment.id.log_name(), segment.id.index_name()] {
            let path = self.view.dir.join(name);
            match self.view.storage.unlink(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(IoError::new("remove", &path, error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes everything at `offset` and above away: what is there can never come back, and the offsets are given out anew.
    pub(crate) fn truncate_suffix(self: &Arc<Self>, offset: u64) -> Result<(), CutError> {
        let mut checkpoint = self.checkpoint.lock();
        let mut appender = self.appender.lock();
        let (from, to) = (self.view.log_start(), appender.next_offset);
        if offset < from || offset > to {
            return Err(CutError::OutOfRange { requested: Offset::new(offset), from: Offset::new(from), to: Offset::new(to) });
        }
        if self.is_poisoned() {
            return Err(self.poisoned().into());
        }
        if appender.closed {
            return Err(self.closed().into());
        }
        // Below the end of a partition that was split, offsets are given out no more.
        match appender.refusal {
            None => {}
            Some(Refusal::Split) => return Err(CutError::PartitionSplit),
            Some(Refusal::Deleted) => return Err(SyncError::TopicDeleted.into()),
        }
        if offset == to {
            return Ok(());
        }
        // What stays is durable before the rest goes. Nobody can append meanwhile, which is why this waits for no other that syncs: it may be
        // about to append what others have staged.
        if !self.is_durable(to) {
            self.sync_round();
        }
        if self.is_poisoned() {
            return Err(self.poisoned().into());
        }
        let kept = self.batch_across(offset)?;
        self.check_versions(kept.as_ref().map_or(offset, |kept| kept.base))?;
        let seq = appender.next_seq;
        let fresh = self.cut_tail(&mut appender, offset, kept.as_ref()).inspect_err(|_| {
            self.discard_spare(seq);
        })?;
        let seq = fresh.active.id.seq;
        checkpoint.terms.note(Term { epoch: fresh.epoch, start: fresh.epoch_start });
        // A sync round under way knows the old end: it reports before the ends go back, or it begins after.
        let round = self.round.lock();
        self.view.change(|()| Some(seq), || self.switch_to(&mut appender, fresh));
        let end = self.end_of(&appender);
        self.mark_durable(end);
        drop(round);
        drop(appender);
        self.view.wake_everybody();
        self.put_checkpoint(&mut checkpoint, end, from, Slots::Both)?;
        Ok(self.unlink_above(offset)?)
    }

    /// A seal no longer vouches for a segment that is cut into: the next open walks it up to `offset`, and refuses what a newer version wrote there.
    fn check_versions(&self, offset: u64) -> Result<(), CutError> {
        let list = self.view.list();
        let entry = list.find(offset).map(|number| &list.entries[number]);
        let Some(segment) = entry.filter(|entry| entry.from < offset).map(|entry| &entry.segment) else { return Ok(()) };
        let path = segment.path();
        let file = self.view.storage.open(&path, Access::Read).at("open", &path)?;
        let start = WalkStart::of_segment(segment.id.base_offset, segment.header.chain_seed);
        let position = file.len().at("measure", &path)?.min(segment.header.capacity);
        let limit = WalkLimit { position, offset, terms: &Terms::default(), index_interval: self.index_interval };
        match walk(&*file, &path, segment.header.salt, segment.id.base_offset, start, limit) {
            Ok(_) => Ok(()),
            Err(OpenError::Io(error)) => Err(error.into()),
            Err(error) => Err(ReadError::Open(Box::new(error)).into()),
        }
    }

    /// The batch that begins below `offset` and ends above it.
    fn batch_across(self: &Arc<Self>, offset: u64) -> Result<Option<Kept>, CutError> {
        // Of what a batch holds before that, a rewrite gives account.
        let list = self.view.list();
        let from = list.find(offset).map_or(0, |number| list.entries[number].from);
        if offset == self.view.log_start() || offset == from {
            return Ok(None);
        }
        let all = PartitionView::of_writer(String::new(), 0, self.clone()).with_isolation(crate::config::ReadIsolation::Written);
        match all.read_from(offset)?.next_of_any_kind().transpose() {
            Ok(Some(batch)) if batch.base_offset() < offset && !batch.is_data() => {
                Err(CutError::NotKept { reason: "a control batch is whole or not at all".to_owned() })
            }
            Ok(batch) => {
                Ok(batch.filter(|batch| batch.base_offset() < offset).map(|batch| Kept { base: batch.base_offset().get().max(from), batch }))
            }
            // Nothing to keep can be read there; what is damaged below the cut stays so.
            Err(ReadError::Corrupt { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A new tail that begins where the cut is, or, inside a batch, with what is kept of that batch. Named durably: the commit point.
    fn cut_tail(&self, appender: &mut Appender, offset: u64, across: Option<&Kept>) -> Result<Appender, CutError> {
        let base = across.map_or(offset, |kept| kept.base);
        let epoch = appender.epoch.next();
        let kept = across.map(|kept| records_below(kept, offset)).transpose()?;
        let mut scratch = Scratch::default();
        let encoded = match &kept {
            Some(kept) => Some(kept.encode(Codec::None, &mut scratch).map_err(not_stored)?),
            None => None,
        };
        let stored = encoded.as_ref().map_or(0, |encoded| encoded.parts.stored_bytes());
        let at = Offset::new(base);
        // A segment that began here may have declared the offsets before it lost: that is said again.
        let list = self.view.list();
        let began_here = list.entries.iter().position(|entry| entry.from == base && entry.segment.header.base_offset == at);
        let prev_end = began_here.map_or(at, |number| {
            // Of that gap, what a newer rewrite holds was overruled.
            let answered = number.checked_sub(1).map_or(0, |before| list.entries[before].to);
            list.entries[number].segment.header.prev_end.max(Offset::new(answered)).min(at)
        });
        // The frames that are kept are of the new term, so the term begins where they do.
        let new = NewSegment {
            base: at,
            prev_end,
            chain: 0,
            restarted: true,
            epoch,
            epoch_start: at,
            log_start: Offset::new(self.view.log_start()),
            by_recovery: false,
        };
        let mut fresh = self.fresh_tail(appender, new, stored)?;
        if let Some(encoded) = &encoded {
            let how = StoreHow { mapped: false, index_interval: self.index_interval, durable: None, syncs: self.syncs() };
            fresh.store(encoded, how).map_err(|failure| failure.error)?;
        }
        // Whether the cut is done is unknown when this fails, so nothing may be acknowledged above it any more: the next open settles it.
        NamedSegment::give_name_durably(&fresh.active, &*self.view.storage, &self.view.dir).inspect_err(|error| self.poison(&error.to_string()))?;
        Ok(fresh)
    }

    /// An appender in a new segment, without a name yet, that does not go on from the current one.
    pub(super) fn fresh_tail(&self, appender: &mut Appender, new: NewSegment, stored: usize) -> Result<Appender, IoError> {
        let seq = appender.next_seq;
        appender.next_seq += 1;
        let capacity = Appender::capacity_for(self.segment_bytes, stored);
        let spare = Spare::make(&*self.view.storage, &self.view.dir, seq, capacity, stored as u64 + (64 << 10))?;
        let end = ResumeAt {
            position: SEGMENT_HEADER_BYTES as u64,
            next_offset: new.base.get(),
            chain: new.chain,
            epoch: new.epoch,
            epoch_start: new.epoch_start,
            has_blocks_behind: false,
            allocated: spare.allocated(),
            sums: Sums { records: 0, max_ts: TimestampNs::new(i64::MIN) },
            next_seq: appender.next_seq,
            index_interval: self.index_interval,
        };
        let prepared = NamedSegment::prepare(spare, &self.view.storage, &self.view.dir, self.view.uuid, new)?;
        Ok(Appender::begin(prepared, end))
    }

    fn switch_to(&self, appender: &mut Appender, fresh: Appender) {
        let (base, end) = (fresh.active.id.base_offset, fresh.next_offset);
        let active = LiveSegment { segment: fresh.active.clone(), from: base, to: u64::MAX };
        if let Some(spare) = appender.replace(fresh) {
            self.discard_spare(spare.seq);
        }
        self.want_spare_again();
        let marks = self.view.marks();
        self.view.set_marks(Marks { written_end: end, durable_end: end, ..marks });
        self.view.change_list(|list| {
            list.entries.retain(|entry| entry.from < base);
            list.end_last_at(base);
            list.entries.push(active);
        });
        self.view.forget_damage(end);
        // Behind the list, so that readers that stand in an older segment look for the one that answers now, and find it.
        self.view.note_truncation(end);
    }

    /// Files of which nothing is left, newest first.
    fn unlink_above(&self, offset: u64) -> Result<(), IoError> {
        let appender = self.appender.lock(); // a roll names its segment before it is on the list
        self.unlink_dead(offset, appender.active.header.prev_end)
    }

    /// Files that no reader looks into, of those that begin at `offset` or above; but for those that say that offsets below `said_again` are
    /// lost. Under the append lock.
    pub(super) fn unlink_dead(&self, offset: u64, said_again: Offset) -> Result<(), IoError> {
        let live: Vec<_> = self.view.list().entries.iter().map(|entry| entry.segment.id).collect();
        let mut names = self.view.storage.list(&self.view.dir).at("list", &self.view.dir)?;
        names.sort_by(|a, b| b.name.cmp(&a.name));
        for entry in names {
            if entry.kind != Kind::File {
                continue; // not ours, whatever its name
            }
            let id = match entry.name.to_str().and_then(tidelog_format::FileName::parse) {
                Some(tidelog_format::FileName::Log(id) | tidelog_format::FileName::Index(id)) => id,
                _ => continue,
            };
            if id.base_offset >= offset && !live.contains(&id) && !self.declares_below(id, said_again) {
                let path = self.view.dir.join(&entry.name);
                self.view.storage.unlink(&path).at("remove", &path)?;
            }
        }
        Ok(())
    }

    /// Whether a segment says that offsets below `end` are lost: without it, nothing would.
    fn declares_below(&self, id: SegmentId, end: Offset) -> bool {
        let header = || {
            let mut bytes = [0; SEGMENT_HEADER_BYTES];
            read_exact_at(&*self.view.storage.open(&self.view.dir.join(id.log_name()), Access::Read).ok()?, &mut bytes, 0).ok()?;
            SegmentHeader::decode(&bytes).ok()
        };
        header().is_some_and(|header| header.prev_end < header.base_offset && header.prev_end < end)
    }
}

/// A batch that a cut goes through, and the first of its offsets that stays.
struct Kept {
    base: u64,
    batch: StoredBatch,
}

fn records_below(Kept { base, batch }: &Kept, offset: u64) -> Result<RecordBatch, CutError> {
    let (mut kept, mut next) = (RecordBatch::new(), *base);
    for record in batch.records() {
        let record = record.map_err(|error| crate::error::ReadError::Corrupt {
            from: batch.base_offset(),
            to: batch.next_offset(),
            reason: error.to_string(),
            path: std::path::PathBuf::new(),
        })?;
        if record.offset() >= offset {
            break;
        }
        if record.offset() < *base {
            continue;
        }
        next += u64::from(record.offset() == next);
        let copy = Record { key: record.key(), value: record.value(), headers: record.headers().collect(), timestamp: Some(record.timestamp()) };
        kept.push(&copy).map_err(not_stored)?;
    }
    // Stored anew, records have one offset after the other, and the batch ends with the last of them.
    if next != offset {
        return Err(CutError::NotKept { reason: format!("the batch holds no record at offset {next}: cut at its ends") });
    }
    kept.set_note(batch.note()).map_err(not_stored)?;
    Ok(kept)
}

fn not_stored(error: AppendError) -> CutError {
    match error {
        AppendError::Io(error) => CutError::Io(error),
        other => CutError::NotKept { reason: other.to_string() },
    }
}
