//! Recovery, second half: does what the plan says, in an order in which a crash at any step finds the same input again.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidelog_format::{Checkpoint, Offset, Position, SEGMENT_HEADER_BYTES, SEQ_MAX, SegmentId, Terms, TimestampNs};

use crate::clock::now;
use crate::config::{Config, OnDamage, SyncPolicy};
use crate::error::{DamagedRange, IoContext, IoError, OpenError};
use crate::io::{Access, File, Kind, Published, Storage, read_file, replace_file, write_all_at};
use crate::log::appender::{Appender, NamedSegment, NewSegment, ResumeAt, Spare, published};
use crate::log::checkpoint::{CheckpointFile, Slots};
use crate::log::decision::{Found, Verdict};
use crate::log::files::{PartitionFiles, is_zero, read_files};
use crate::log::offset_index::{GrowingIndex, StoredIndex, write_index};
use crate::log::plan::{Finding, LiveFile, Plan, Tail, plan};
use crate::log::quarantine::{Quarantine, cut_off, remove_old, used_end};
use crate::log::segment::{Segment, Sums};
use crate::log::view::{LiveSegment, SegmentList};
use crate::log::walk::{WalkLimit, WalkStart, walk};
use crate::log::write_again::{WriteAgain, write_again};

/// What an open found and did: a value, and a JSON file beside the log if there was anything to tell.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct RecoveryReport {
    /// First readable offset.
    pub log_start_offset: u64,
    /// Next offset to be assigned.
    pub next_offset: u64,
    /// Term from this open on.
    pub leader_epoch: u32,
    /// Bytes of log that had to be read.
    pub scanned_bytes: u64,
    /// Ranges of durable offsets that cannot be read.
    pub damage: Vec<DamagedRange>,
    /// Everything that was found, with the verdict on it.
    pub findings: Vec<Finding>,
    /// Files and parts of files that were set aside, by name.
    pub quarantined: Vec<String>,
    /// Whether the log ended in something torn that was cut off: what a crash may cost.
    pub torn_end: bool,
}

impl RecoveryReport {
    /// Whether anything was found beyond what an ordinary crash leaves.
    pub fn is_notable(&self) -> bool {
        !self.damage.is_empty() || !self.quarantined.is_empty() || self.findings.iter().any(|finding| finding.verdict != Verdict::Silent)
    }
}

/// A recovered partition, ready to be appended to.
pub(crate) struct Recovered {
    pub(crate) uuid: [u8; 16],
    pub(crate) appender: Appender,
    pub(crate) list: SegmentList,
    pub(crate) log_start: u64,
    pub(crate) next_offset: u64,
    pub(crate) checkpoint: CheckpointFile,
    /// What is left to sync, if anything is.
    pub(crate) unsynced: Option<LeftUnsynced>,
    pub(crate) report: RecoveryReport,
}

/// What was written before the open and is to be synced like what is appended after it.
#[derive(Debug)]
pub(crate) struct LeftUnsynced {
    /// What the first sync begins with.
    pub(crate) again: Vec<WriteAgain>,
    /// Segments before the active one.
    pub(crate) sealed: Vec<Arc<Segment>>,
    /// Their names and that of the active one.
    pub(crate) names: u64,
    pub(crate) bytes: u64,
    /// Below this offset, and before this position in the segment of this number, everything is durable.
    pub(crate) durable_end: u64,
    pub(crate) durable_at: (u64, u64),
}

/// How a partition is opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecoverHow {
    pub(crate) segment_bytes: u64,
    pub(crate) index_interval: u32,
    pub(crate) on_damage: OnDamage,
    /// Whether what a kill left in order is synced by the partition in its own time, not by the open: nobody was promised that it is durable,
    /// and everybody sees it all the same.
    pub(crate) leaves_unsynced: bool,
}

impl RecoverHow {
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            segment_bytes: config.segment_bytes,
            index_interval: config.index_interval_bytes,
            on_damage: config.on_damage,
            leaves_unsynced: config.sync_policy == SyncPolicy::OsOnly,
        }
    }
}

/// Opens the partition in `dir`: plan, then apply. The store's lock is held.
///
/// # Errors
/// [`OpenError`]; a refusal wrote nothing.
pub(crate) fn recover(storage: &Arc<dyn Storage>, dir: &Path, how: RecoverHow) -> Result<Recovered, OpenError> {
    let files = read_files(storage, dir)?;
    if let Some(Err(source)) = files.meta.as_ref().map(|meta| meta.check_writable()) {
        return Err(OpenError::Unsupported { path: dir.join(tidelog_format::META_NAME), source });
    }
    files.check_seq(dir)?;
    let plan = plan(&**storage, dir, &files, how.index_interval, None)?;
    if how.on_damage == OnDamage::Refuse && plan.findings.iter().any(|finding| finding.verdict == Verdict::Damage) {
        return Err(OpenError::Damaged { path: dir.to_owned(), damage: plan.damage });
    }
    let uuid = files.uuid.unwrap_or_else(|| new_uuid(&**storage));
    Apply { storage, dir, how, uuid, files: &files, plan: &plan, quarantined: Vec::new(), torn_end: false }.run()
}

/// A random identity.
pub(crate) fn new_uuid(storage: &dyn Storage) -> [u8; 16] {
    let mut uuid = [0; 16];
    uuid[..8].copy_from_slice(&storage.random().to_le_bytes());
    uuid[8..].copy_from_slice(&storage.random().to_le_bytes());
    uuid
}

/// A partition that a crash left in order, written back and not yet synced.
pub(crate) struct Unproven {
    storage: Arc<dyn Storage>,
    dir: PathBuf,
    how: RecoverHow,
    uuid: [u8; 16],
    files: PartitionFiles,
    plan: Plan,
}

/// How a partition stands after a look that may not open it.
pub(crate) enum Standing {
    /// The next open finds nothing to do.
    Clean,
    /// Written back; it is clean once that is synced, and then its checkpoint.
    Unproven(Box<Unproven>),
    /// It takes a whole recovery.
    Else,
}

/// Writes back what is not known durable in the partition in `dir`, without a sync, if that is all there is to recover. The store's lock is
/// held, and nobody has the partition open.
///
/// # Errors
/// [`OpenError`], as whoever opens it will get.
pub(crate) fn write_back_unsynced(storage: &Arc<dyn Storage>, dir: &Path, how: RecoverHow) -> Result<Standing, OpenError> {
    let files = read_files(storage, dir)?;
    let plan = plan(&**storage, dir, &files, how.index_interval, None)?;
    let (Some(uuid), Some(last)) = (files.uuid, plan.live.last()) else { return Ok(Standing::Else) };
    let apply = Apply { storage, dir, how, uuid, files: &files, plan: &plan, quarantined: Vec::new(), torn_end: false };
    if !apply.is_in_order() {
        return Ok(Standing::Else);
    }
    if apply.nothing_to_prove() && files.unfinished.is_empty() {
        return Ok(Standing::Clean);
    }
    apply.remove_unfinished()?;
    apply.write_back(|_, _| Ok(()))?;
    // As a close leaves it: the next open does not read the zeros behind it.
    let writable = storage.open(&last.segment.path, Access::ReadWrite).at("open", &last.segment.path)?;
    writable.set_len(last.end).at("shrink", &last.segment.path)?;
    Ok(Standing::Unproven(Box::new(Unproven { storage: storage.clone(), dir: dir.to_owned(), how, uuid, files, plan })))
}

impl Unproven {
    /// Notes that everything was synced: in the indexes, which must never reach further than that, and in the checkpoint. The notes
    /// themselves are still to be synced.
    ///
    /// # Errors
    /// [`OpenError`]: then the partition takes a whole recovery.
    pub(crate) fn note(&self) -> Result<(), OpenError> {
        let Self { storage, dir, how, uuid, files, plan } = self;
        let apply = Apply { storage, dir, how: *how, uuid: *uuid, files, plan, quarantined: Vec::new(), torn_end: false };
        apply.write_indexes(plan.live.len())?;
        let Some(last) = plan.live.last() else { return Ok(()) };
        let _ = write_index(&**storage, dir, last.segment.id, index_header(last, false), &all_entries(&**storage, dir, last)); // derived
        CheckpointFile::new(storage.clone(), dir, files.slots.counter, plan.terms).store(apply.checkpoint(TailFacts::of_file(last)))?;
        Ok(())
    }
}

/// Where a log ends, as a checkpoint says it.
#[derive(Debug, Clone, Copy)]
struct TailFacts {
    seq: u64,
    salt: u64,
    position: u64,
    chain: u32,
    max_ts: TimestampNs,
}

impl TailFacts {
    fn of(appender: &Appender) -> Self {
        let (seq, salt) = (appender.active.id.seq, appender.active.header.salt);
        Self { seq, salt, position: appender.position, chain: appender.chain, max_ts: appender.sums.max_ts }
    }

    fn of_file(last: &LiveFile) -> Self {
        let (seq, salt) = (last.segment.id.seq, last.segment.header.salt);
        Self { seq, salt, position: last.end, chain: last.chain, max_ts: last.sums.max_ts }
    }
}

struct Apply<'a> {
    storage: &'a Arc<dyn Storage>,
    dir: &'a Path,
    how: RecoverHow,
    uuid: [u8; 16],
    files: &'a PartitionFiles,
    plan: &'a Plan,
    quarantined: Vec<String>,
    torn_end: bool,
}

impl Apply<'_> {
    fn run(mut self) -> Result<Recovered, OpenError> {
        self.remove_unfinished()?;
        self.clear_the_way()?;
        let plan = self.plan;
        self.correct_headers()?;
        if self.how.leaves_unsynced && self.is_as_appended() {
            return self.leave_unsynced();
        }
        self.write_back(|file, path| file.sync().at("sync", path))?;
        self.cut_torn_seals()?;
        self.write_indexes(plan.live.len())?;
        let fresh = match plan.tail {
            Tail::InPlace => None,
            Tail::New { base, prev_end, chain, restarted } => Some(self.new_tail(base, prev_end, chain, restarted)?),
        };
        // The tail has its room by now, and no name: who is killed here finds the same end again.
        let cut_at = self.keep_torn_end()?;
        if let Some(fresh) = &fresh {
            NamedSegment::give_name_durably(&fresh.segment, &**self.storage, self.dir)?;
        }
        let is_clean = fresh.is_none() && self.nothing_to_prove();
        if !is_clean {
            self.storage.sync_dir(self.dir).at("sync", self.dir)?;
        }
        let mut checkpoint = CheckpointFile::new(self.storage.clone(), self.dir, self.files.slots.counter, plan.terms);
        let (appender, list) = self.open_tail(fresh)?;
        // A log start that was read may be in the cache alone, if the sync of its slot failed; what is unlinked below needs it on the medium.
        let is_settled = self.files.slots.is_settled && plan.superseded.is_empty();
        if !is_clean || !is_settled {
            // A cut or a new term licenses what follows: it must not depend on one slot.
            let slots = if plan.lost || !is_settled { Slots::Both } else { Slots::One };
            checkpoint.write(self.checkpoint(TailFacts::of(&appender)), slots)?;
        }
        if self.files.meta.is_none() {
            self.rebuild_meta()?;
        }
        self.set_aside(cut_at)?;
        self.unlink_superseded()?;
        let recovered = self.recovered(appender, list, checkpoint, None);
        if recovered.report.is_notable() {
            self.write_report(&recovered.report)?;
        }
        Ok(recovered)
    }

    /// Opens a log that a kill left in order as if what is not known durable had just been appended. The first sync writes it again before, through
    /// the descriptors that it syncs, which are opened here: they tell of what fails from now on.
    fn leave_unsynced(mut self) -> Result<Recovered, OpenError> {
        let plan = self.plan;
        let (first, position) = plan.durable;
        // An index must reach no further than what is durable.
        self.write_indexes(first)?;
        let (appender, list) = self.open_tail(None)?;
        let checkpoint = CheckpointFile::new(self.storage.clone(), self.dir, self.files.slots.counter, plan.terms);
        let mut unsynced = LeftUnsynced {
            again: Vec::new(),
            sealed: Vec::new(),
            names: (plan.live.len() - first) as u64,
            bytes: 0,
            durable_end: plan.durable_end,
            durable_at: (plan.live[first].segment.id.seq, position),
        };
        for (number, (file, entry)) in plan.live.iter().zip(&list.entries).enumerate().skip(first) {
            let from = if number == first { position } else { 0 };
            let end = file.stored_end();
            let segment = &entry.segment;
            segment.writable()?;
            unsynced.again.push(WriteAgain { segment: segment.clone(), from, end });
            unsynced.bytes += end.saturating_sub(from);
            if number + 1 < plan.live.len() {
                // Its index is written once it is synced, if it is known here.
                if !file.entries.is_empty() {
                    let _ = segment.chain_out.set(file.chain); // new, so it is empty
                }
                unsynced.sealed.push(segment.clone());
            }
        }
        Ok(self.recovered(appender, list, checkpoint, Some(unsynced)))
    }

    fn recovered(&mut self, appender: Appender, list: SegmentList, checkpoint: CheckpointFile, unsynced: Option<LeftUnsynced>) -> Recovered {
        let plan = self.plan;
        let report = RecoveryReport {
            log_start_offset: plan.log_start,
            next_offset: plan.next_offset,
            leader_epoch: plan.terms.newest().epoch.get(),
            scanned_bytes: plan.scanned_bytes,
            damage: plan.damage.clone(),
            findings: plan.findings.clone(),
            quarantined: std::mem::take(&mut self.quarantined),
            torn_end: self.torn_end,
        };
        Recovered { uuid: self.uuid, appender, list, log_start: plan.log_start, next_offset: plan.next_offset, checkpoint, unsynced, report }
    }

    fn remove_unfinished(&self) -> Result<(), OpenError> {
        for name in &self.files.unfinished {
            self.storage.unlink(&self.dir.join(name)).at("remove", &self.dir.join(name))?;
        }
        Ok(())
    }

    /// Whether a crash cost nothing, and left nothing to put right but what was not synced.
    fn is_in_order(&self) -> bool {
        let (files, plan) = (self.files, self.plan);
        // Of a stray, of a header that was put right and of what is in the way, there is a finding; what is lost is damage, or ends the log.
        let is_silent = plan.findings.iter().all(|finding| finding.verdict == Verdict::Silent) && plan.damage.is_empty();
        let is_all_live = plan.superseded.is_empty() && plan.cut.is_empty() && plan.torn_seals.is_empty();
        let is_writable = files.meta.as_ref().is_some_and(|meta| meta.check_writable().is_ok());
        plan.tail == Tail::InPlace && is_silent && is_all_live && is_writable && files.slots.is_settled
    }

    /// Whether all that is there to do is to sync records, as behind an append.
    fn is_as_appended(&self) -> bool {
        let (files, plan) = (self.files, self.plan);
        let unproven = plan.live.get(plan.durable.0..).and_then(<[_]>::split_last);
        // What is sealed is cut once it is synced, and not looked at again.
        let is_cut = |file: &LiveFile| file.stored_end() == file.segment.len || self.is_long(file);
        let is_sealed = || unproven.is_some_and(|(_, closed)| closed.iter().all(|file| file.sealed && is_cut(file)));
        self.is_in_order() && plan.durable_end < plan.next_offset && files.slots.found.is_empty() && is_sealed()
    }

    /// Takes away what is no regular file but has the name of one that is written anew.
    fn clear_the_way(&mut self) -> Result<(), OpenError> {
        self.files.in_the_way.iter().try_for_each(|name| self.quarantine_file(name))
    }

    /// A header with one wrong bit gets it back: its checksum vouches for all of it.
    fn correct_headers(&self) -> Result<(), OpenError> {
        for segment in &self.files.segments {
            let Some(bytes) = &segment.corrected else { continue };
            let writable = self.storage.open(&segment.path, Access::ReadWrite).at("open", &segment.path)?;
            write_all_at(&*writable, bytes, 0).at("write", &segment.path)?;
            writable.sync().at("sync", &segment.path)?;
        }
        Ok(())
    }

    fn cut_torn_seals(&self) -> Result<(), OpenError> {
        for file in self.plan.live.iter().filter(|file| self.plan.torn_seals.contains(&file.segment.id)) {
            cut_off(&**self.storage, &file.segment, file.end)?;
        }
        Ok(())
    }

    /// Indexes of segments before number `below` that nothing is appended to any more, where they are missing. Derived, so a failure costs time
    /// alone; but where the header is gone, the index is the copy of the salt that later opens go by.
    fn write_indexes(&self, below: usize) -> Result<(), OpenError> {
        let closed = self.plan.live.len() - usize::from(self.plan.tail == Tail::InPlace);
        for file in &self.plan.live[..closed.min(below)] {
            self.cut_to_size(file);
            if file.has_index {
                continue;
            }
            // Its first frame has an entry, if it was walked.
            let entries = if file.entries.is_empty() {
                match self.walk_again(file) {
                    // A frame of a newer version, where a seal vouches for all: whoever reads it hears of it.
                    Err(OpenError::Unsupported { .. }) => continue,
                    walked => walked?,
                }
            } else {
                all_entries(&**self.storage, self.dir, file)
            };
            let written = write_index(&**self.storage, self.dir, file.segment.id, index_header(file, file.sealed), &entries);
            if file.segment.rebuilt {
                let path = self.dir.join(file.segment.id.index_name());
                written.at("write", &path)?;
                self.storage.open(&path, Access::ReadWrite).and_then(|index| index.sync()).at("sync", &path)?;
                self.storage.sync_dir(self.dir).at("sync", self.dir)?;
            }
        }
        Ok(())
    }

    /// Takes away what is allocated behind the seal. A failure costs space alone.
    fn cut_to_size(&self, file: &LiveFile) {
        if self.is_long(file)
            && let Ok(writable) = self.storage.open(&file.segment.path, Access::ReadWrite)
        {
            let _ = writable.set_len(file.stored_end());
        }
    }

    /// Whether a sealed segment was left as long as its writer had allocated it. What is no zero, or longer than any writer makes it, is evidence.
    fn is_long(&self, file: &LiveFile) -> bool {
        let (segment, end) = (&file.segment, file.stored_end());
        let may_be = file.sealed && !segment.rebuilt && (end + 1..=segment.header.capacity).contains(&segment.len);
        may_be && segment.open().and_then(|bytes| is_zero(&*bytes, &segment.path, end, segment.len)).is_ok_and(|is_zero| is_zero)
    }

    /// The entries of a segment that its seal vouched for.
    fn walk_again(&self, file: &LiveFile) -> Result<Vec<tidelog_format::IndexEntry>, OpenError> {
        let segment = &file.segment;
        let start = WalkStart::of_segment(segment.id.base_offset, segment.header.chain_seed);
        let limit = WalkLimit { position: file.end, offset: file.next_offset, terms: &Terms::default(), index_interval: self.how.index_interval };
        Ok(walk(&*segment.open()?, &segment.path, segment.header.salt, segment.id.base_offset, start, limit)?.index)
    }

    /// Whether the checkpoint names exactly what is there.
    fn nothing_to_prove(&self) -> bool {
        let last = self.plan.live.len().checked_sub(1);
        !self.plan.lost && last.is_some_and(|last| self.plan.durable >= (last, self.plan.live[last].end)) && self.files.slots.found.is_empty()
    }

    /// Everything live at or behind the durable point is written again with its own bytes and synced: a sync that failed before the
    /// crash may have left those pages clean, and not on disk.
    fn write_back(&self, sync: impl Fn(&dyn File, &Path) -> Result<(), IoError>) -> Result<(), OpenError> {
        let (first, position) = self.plan.durable;
        for (number, file) in self.plan.live.iter().enumerate().skip(first) {
            let (from, end) = (if number == first { position } else { 0 }, file.stored_end());
            if from >= end {
                continue;
            }
            let path = &file.segment.path;
            let writable = self.storage.open(path, Access::ReadWrite).at("open", path)?;
            write_again(&*writable, path, from, end)?;
            sync(&*writable, path)?;
        }
        Ok(())
    }

    /// A new tail segment, synced. Once it is durably named, everything at `prev_end` or above in older files is dead.
    fn new_tail(&mut self, base: u64, prev_end: u64, chain: u32, restarted: bool) -> Result<NamedSegment, OpenError> {
        let spare = Spare::make(&**self.storage, self.dir, self.files.seq_max + 1, Appender::capacity_for(self.how.segment_bytes, 0), FIRST_BYTES)?;
        let term = self.plan.terms.newest();
        let new = NewSegment {
            base: Offset::new(base),
            prev_end: Offset::new(prev_end),
            chain,
            restarted,
            epoch: term.epoch,
            epoch_start: term.start,
            log_start: Offset::new(self.plan.log_start),
            by_recovery: true,
        };
        Ok(NamedSegment::prepare(spare, self.storage, self.dir, self.uuid, new)?)
    }

    fn open_tail(&mut self, fresh: Option<NamedSegment>) -> Result<(Appender, SegmentList), OpenError> {
        let plan = self.plan;
        let mut list = SegmentList::default();
        let in_place = fresh.is_none();
        let (closed, last) = plan.live.split_at(plan.live.len() - usize::from(in_place));
        for file in closed {
            list.entries.push(LiveSegment {
                segment: Arc::new(open_closed(self.storage, self.dir, file, true)),
                from: file.from,
                // What older segments hold there stays dead, whatever is left of this one.
                to: file.to.min(plan.next_offset),
            });
        }
        let next_seq = self.files.seq_max + 1 + u64::from(!in_place);
        let at = ResumeAt {
            position: SEGMENT_HEADER_BYTES as u64,
            next_offset: plan.next_offset,
            chain: 0,
            epoch: plan.terms.newest().epoch,
            epoch_start: plan.terms.newest().start,
            allocated: 0,
            has_blocks_behind: false,
            sums: Sums { records: 0, max_ts: TimestampNs::new(i64::MIN) },
            next_seq,
            index_interval: self.how.index_interval,
        };
        let appender = match (fresh, last.first()) {
            (Some(fresh), _) => {
                let at = ResumeAt { chain: fresh.segment.header.chain_seed, allocated: fresh.allocated, ..at };
                Appender::begin(fresh, at)
            }
            (None, Some(file)) => self.resume(file, at)?,
            (None, None) => unreachable!("a log without files gets a new tail"),
        };
        let from = last.first().map_or(appender.active.id.base_offset, |file| file.from);
        list.entries.push(LiveSegment { segment: appender.active.clone(), from, to: u64::MAX });
        Ok((appender, list))
    }

    fn resume(&self, file: &LiveFile, at: ResumeAt) -> Result<Appender, OpenError> {
        let path = &file.segment.path;
        let writable = self.storage.open(path, Access::ReadWrite).at("open", path)?;
        let header = file.segment.header;
        // An index of frames that are not there would be believed once others stand in their place.
        let index = StoredIndex::open(&**self.storage, self.dir, file.segment.id, Some(header.salt));
        if index.is_some_and(|index| index.header.covered.get() > file.end) {
            self.remove_index(file.segment.id)?;
        }
        let segment = Segment::new(self.storage.clone(), self.dir, header, published_of(file, file.end, false), true);
        let entries = all_entries(&**self.storage, self.dir, file);
        Ok(Appender::resume(
            segment,
            writable,
            entries,
            ResumeAt {
                position: file.end,
                chain: file.chain,
                allocated: file.end,
                has_blocks_behind: file.segment.len > file.end,
                sums: file.sums,
                ..at
            },
        ))
    }

    fn checkpoint(&self, tail: TailFacts) -> Checkpoint {
        Checkpoint {
            counter: 0,
            partition_uuid: self.uuid,
            log_start: Offset::new(self.plan.log_start),
            durable_next_offset: Offset::new(self.plan.next_offset),
            active_seq: tail.seq,
            active_salt: tail.salt,
            tail_pos: Position::new(tail.position),
            tail_chain: tail.chain,
            max_ts: tail.max_ts,
            high_water_mark: Offset::new(self.plan.next_offset),
            terms: self.plan.terms,
        }
    }

    /// META holds the topic's name and ring range, which segments do not: the directories say the one, the topic's catalogue the other.
    fn rebuild_meta(&self) -> Result<(), OpenError> {
        let name = |path: Option<&Path>| path.and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let index = name(Some(self.dir)).parse().unwrap_or(0);
        let topic_dir = self.dir.parent();
        let (ring_size, (range_start, range_stop)) = self.share_of(index, topic_dir);
        let meta = tidelog_format::Meta {
            compat: 0,
            ro_compat: 0,
            uuid: self.uuid,
            created: now(),
            index,
            ring_size,
            range_start,
            range_stop,
            namespace: name(topic_dir.and_then(Path::parent)),
            topic: name(topic_dir),
        };
        let path = self.dir.join(tidelog_format::META_NAME);
        replace_file(&**self.storage, &path, &meta.encode()).at("write", &path)?;
        Ok(())
    }

    /// Size of the ring, and the share of it that the partition has. Without a catalogue, shares are even.
    fn share_of(&self, index: u32, topic_dir: Option<&Path>) -> (u32, (u32, u32)) {
        let read = |name: &str| tidelog_format::TopicMeta::decode(&read_file(&**self.storage, &topic_dir?.join(name), 1 << 20).ok()?).ok();
        let topic = read(tidelog_format::TOPIC_NAME).or_else(|| read(tidelog_format::TOPIC_COPY_NAME));
        match topic.as_ref().and_then(|topic| Some((topic.ring_size, topic.partitions.get(index as usize)?))) {
            Some((ring_size, entry)) => (ring_size, (entry.range_start, entry.range_stop)),
            None => (crate::log::RING_SIZE, crate::log::ring_range(index, self.sibling_count(topic_dir).max(index + 1))),
        }
    }

    fn sibling_count(&self, topic_dir: Option<&Path>) -> u32 {
        let entries = topic_dir.and_then(|dir| self.storage.list(dir).ok()).unwrap_or_default();
        entries.iter().filter(|entry| entry.kind == Kind::Directory && entry.name.to_str().is_some_and(|name| name.parse::<u32>().is_ok())).count()
            as u32
    }

    /// Copies what stands behind the last live frame, if that is torn, for people to look at. Returns where its file is to be cut.
    fn keep_torn_end(&mut self) -> Result<Option<u64>, OpenError> {
        let Some(last) = self.plan.live.last().filter(|_| self.plan.torn) else { return Ok(None) };
        let (segment, end) = (&last.segment, last.stored_end());
        match self.quarantine().keep(segment, end, segment.len_within()) {
            // It will be dead where it stands, too; only what is allocated behind it is of no use.
            Err(error) if is_full(error.kind()) && error.path.starts_with(self.quarantine().path()) => Ok(Some(used_end(segment, end)?)),
            kept => {
                self.quarantined.extend(kept?);
                Ok(Some(end))
            }
        }
    }

    /// Takes out of the log's way what was torn off and what is none of it, and keeps it for people to look at.
    fn set_aside(&mut self, cut_at: Option<u64>) -> Result<(), OpenError> {
        let plan = self.plan;
        if let (Some(last), Some(cut_at)) = (plan.live.last(), cut_at) {
            cut_off(&**self.storage, &last.segment, cut_at)?;
        }
        for id in &plan.cut {
            self.quarantine_file(&id.log_name())?;
            self.remove_index(*id)?;
        }
        let was_tail = |finding: &Finding| finding.found == Found::HeaderlessTail && plan.cut.iter().any(|id| id.log_name() == finding.file);
        self.torn_end |= plan.torn || plan.findings.iter().any(was_tail);
        for name in &self.files.strays {
            self.quarantine_file(name)?;
        }
        Ok(())
    }

    fn quarantine_file(&mut self, name: &str) -> Result<(), OpenError> {
        if self.quarantine().take(name)? {
            self.quarantined.push(name.to_owned());
        }
        Ok(())
    }

    fn quarantine(&self) -> Quarantine<'_> {
        Quarantine { storage: &**self.storage, dir: self.dir }
    }

    /// Keeps the newest 16 reports. A full disk keeps nobody from opening a log: the report is a value, too.
    fn write_report(&self, report: &RecoveryReport) -> Result<(), OpenError> {
        let (storage, dir) = (&**self.storage, self.dir);
        let path_of = |number: u64| dir.join(format!("recovery-{number:020}.json"));
        let mut kept: Vec<u64> = storage.list(dir).at("list", dir)?.iter().filter_map(|entry| report_number(entry.name.to_str()?)).collect();
        kept.sort_unstable();
        let newest = kept.last().copied();
        if self.leaves_all_there(report) && newest.is_some_and(|newest| says(storage, &path_of(newest), report)) {
            return Ok(());
        }
        // Also behind one of a clock that was ahead.
        let number = (now().get().max(0) as u64).max(newest.map_or(0, |newest| newest + 1)).min(SEQ_MAX);
        let path = path_of(number);
        let bytes = serde_json::to_vec_pretty(report).expect("a report holds only numbers, strings and lists");
        match replace_file(storage, &path, &bytes) {
            Err(error) if is_full(error.kind()) => return Ok(remove_old(storage, &path.with_extension("json.tmp"))?),
            written => written.at("write", &path)?,
        }
        for number in kept.iter().rev().skip(REPORTS_KEPT - 1) {
            remove_old(storage, &path_of(*number))?;
        }
        Ok(())
    }

    /// Whether the next open will find all of it again: what is told each time would push out what is told once.
    fn leaves_all_there(&self, report: &RecoveryReport) -> bool {
        let stays = |finding: &Finding| match finding.verdict {
            Verdict::Repair => finding.found.stays(),
            Verdict::Silent | Verdict::Damage | Verdict::Refuse => true,
        };
        let is_corrected = self.files.segments.iter().any(|segment| segment.corrected.is_some());
        report.quarantined.is_empty() && !is_corrected && report.findings.iter().all(stays)
    }

    fn unlink_superseded(&mut self) -> Result<(), OpenError> {
        // Newest first: a crash in between must not bring an older cut back to life.
        let mut ids = self.plan.superseded.clone();
        ids.sort_by_key(|id| std::cmp::Reverse(id.seq));
        for id in ids {
            if self.was_torn_off(id)? {
                self.quarantine_file(&id.log_name())?;
                self.remove_index(id)?;
                self.torn_end = true;
                continue;
            }
            remove_old(&**self.storage, &self.dir.join(id.log_name()))?;
            self.remove_index(id)?;
        }
        Ok(())
    }

    /// Whether it holds something that was cut off by a recovery which did not live to set it aside.
    fn was_torn_off(&self, id: SegmentId) -> Result<bool, OpenError> {
        let cut_by = |header: &tidelog_format::SegmentHeader| {
            header.flags & tidelog_format::SegmentHeader::BY_RECOVERY != 0 && header.seq > id.seq && header.prev_end <= id.base()
        };
        if !self.files.segments.iter().any(|segment| cut_by(&segment.header)) {
            return Ok(false);
        }
        let segment = self.files.segments.iter().find(|segment| segment.id == id);
        Ok(segment.map_or(Ok(false), |segment| segment.is_unused().map(|is_unused| !is_unused))?)
    }

    fn remove_index(&self, id: SegmentId) -> Result<(), OpenError> {
        Ok(remove_old(&**self.storage, &self.dir.join(id.index_name()))?)
    }
}

/// A segment that nothing is appended to any more.
pub(crate) fn open_closed(storage: &Arc<dyn Storage>, dir: &Path, file: &LiveFile, mapped: bool) -> Segment {
    let header = file.segment.header;
    let end = if file.sealed { file.end + tidelog_format::SEAL_BYTES as u64 } else { file.end };
    let segment = Segment::new(storage.clone(), dir, header, published_of(file, end, file.sealed), mapped);
    let _ = segment.sums.set(file.sums); // new, so it is empty
    segment.set_dense(file.sums.records == file.next_offset - header.base_offset.get());
    if !file.entries.is_empty() {
        segment.set_index(Arc::new(GrowingIndex::new(&all_entries(&**storage, dir, file))));
    }
    segment
}

/// How far a file goes, as its readers see it.
fn published_of(file: &LiveFile, end: u64, sealed: bool) -> Published {
    published(end, file.next_offset - file.segment.header.base_offset.get(), sealed)
}

/// The entries of the index file as far as it was used, then those of the walk behind it.
pub(crate) fn all_entries(storage: &dyn Storage, dir: &Path, file: &LiveFile) -> Vec<tidelog_format::IndexEntry> {
    let stored = StoredIndex::open(storage, dir, file.segment.id, Some(file.segment.header.salt)).and_then(|index| index.load());
    let mut entries: Vec<_> = stored.unwrap_or_default().into_iter().filter(|entry| u64::from(entry.position) < file.indexed).collect();
    entries.extend(&file.entries);
    entries
}

/// What an index file says of a segment.
pub(crate) fn index_header(file: &LiveFile, sealed: bool) -> tidelog_format::IndexHeader {
    tidelog_format::IndexHeader {
        salt: file.segment.header.salt,
        base_offset: file.segment.header.base_offset,
        seq: file.segment.id.seq,
        entries: 0,
        covered: Position::new(file.end),
        next_offset: Offset::new(file.next_offset),
        records: file.sums.records,
        max_ts: file.sums.max_ts,
        chain: file.chain,
        sealed,
    }
}

/// Whether an earlier report tells all that this one does.
fn says(storage: &dyn Storage, path: &Path, report: &RecoveryReport) -> bool {
    let earlier = read_file(storage, path, REPORT_BYTES_MAX).ok().and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
    let told = earlier.as_ref().map(facts_of).unwrap_or_default();
    facts_of(&serde_json::json!(report)).iter().all(|fact| told.contains(fact))
}

/// Damage, and all findings but those that an ordinary crash leaves.
fn facts_of(report: &serde_json::Value) -> Vec<serde_json::Value> {
    let is_notable = |fact: &&serde_json::Value| fact["verdict"] != serde_json::json!(Verdict::Silent);
    ["damage", "findings"].iter().flat_map(|name| report[name].as_array()).flatten().filter(is_notable).cloned().collect()
}

/// Whether there is no room for what would have been written.
fn is_full(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

fn report_number(name: &str) -> Option<u64> {
    match tidelog_format::FileName::parse(name) {
        Some(tidelog_format::FileName::Report(number)) => Some(number),
        _ => None,
    }
}

const REPORTS_KEPT: usize = 16;
const REPORT_BYTES_MAX: u64 = 64 << 20;
const FIRST_BYTES: u64 = 64 << 10;
