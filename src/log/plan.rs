//! Recovery, first half: what a partition's files mean. A pure read, shared by writers, readers and verify. Changes not one byte.

use std::path::Path;

use tidelog_format::{
    CHECKPOINT_NAME, Checkpoint, Frame, IndexHeader, LeaderEpoch, LiveRange, Offset, Position, SEAL_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader,
    SegmentId, Span, Term, Terms, TimestampNs, decode_seal_at_end, resolve,
};

use crate::error::{DamagedRange, IoContext, OpenError};
use crate::io::{Storage, read_full_at};
use crate::log::decision::{Found, Verdict, decide};
use crate::log::files::{PartitionFiles, SegmentFile};
use crate::log::offset_index::StoredIndex;
use crate::log::segment::Sums;
use crate::log::walk::{SEGMENT_OFFSETS_MAX, WalkLimit, WalkStart, Walked, frame_before, walk};

/// What a partition is, and what recovery would do to it.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) log_start: u64,
    pub(crate) next_offset: u64,
    /// The log's terms, with the one that what was lost begins.
    pub(crate) terms: Terms,
    /// Segments that hold live frames, in offset order.
    pub(crate) live: Vec<LiveFile>,
    pub(crate) damage: Vec<DamagedRange>,
    pub(crate) tail: Tail,
    pub(crate) findings: Vec<Finding>,
    /// Segments that hold nothing live: superseded or below the log start.
    pub(crate) superseded: Vec<SegmentId>,
    /// Segments behind a torn end.
    pub(crate) cut: Vec<SegmentId>,
    /// Segments that are whole but for their seal, which a crash tore: it must not be taken for damage once it counts as durable.
    pub(crate) torn_seals: Vec<SegmentId>,
    /// Whether the log ends in something torn that is cut off.
    pub(crate) torn: bool,
    /// Whether offsets were cut off or lost in this opening.
    pub(crate) lost: bool,
    /// Everything live at or behind this is not known durable: index into `live`, position.
    pub(crate) durable: (usize, u64),
    /// Everything below this is known durable: at most what is before that.
    pub(crate) durable_end: u64,
    pub(crate) scanned_bytes: u64,
}

/// A segment that holds live frames.
#[derive(Debug)]
pub(crate) struct LiveFile {
    pub(crate) segment: SegmentFile,
    /// First live offset in it.
    pub(crate) from: u64,
    /// First offset that a newer file answers for; `u64::MAX` for the tail.
    pub(crate) to: u64,
    /// End of the last live frame, without a seal behind it.
    pub(crate) end: u64,
    pub(crate) next_offset: u64,
    pub(crate) chain: u32,
    pub(crate) sums: Sums,
    pub(crate) sealed: bool,
    /// Position up to which the index file can be used, and entries for what is behind.
    pub(crate) indexed: u64,
    pub(crate) entries: Vec<tidelog_format::IndexEntry>,
    /// Whether there is an index file for all of it.
    pub(crate) has_index: bool,
}

impl LiveFile {
    /// End of what is stored of it, with its seal.
    pub(crate) fn stored_end(&self) -> u64 {
        self.segment.len.min(self.end + if self.sealed { SEAL_BYTES as u64 } else { 0 })
    }
}

/// Where appending goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Behind the last frame of the last live file.
    InPlace,
    /// In a new segment. What is at `prev_end` or above in older files is dead from then on.
    New { base: u64, prev_end: u64, chain: u32, restarted: bool },
}

/// One thing found, and what is done about it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// What was found.
    pub found: Found,
    /// What is done about it.
    pub verdict: Verdict,
    /// The file.
    pub file: String,
    /// Details for people.
    pub detail: String,
}

/// How far a writer in another process says its log goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LiveEnds {
    pub(crate) log_start: u64,
    pub(crate) written_end: u64,
}

/// Reads what the partition in `dir` is. With `ends`, a live writer vouches for everything below them; without, the files must speak for themselves.
///
/// # Errors
/// [`OpenError::Io`], [`OpenError::Unsupported`]; damage is part of the plan.
pub(crate) fn plan(
    storage: &dyn Storage,
    dir: &Path,
    files: &PartitionFiles,
    index_interval: u32,
    ends: Option<LiveEnds>,
) -> Result<Plan, OpenError> {
    let spans: Vec<Span> = files.segments.iter().map(|segment| Span::from(&segment.header)).collect();
    let resolution = resolve(&spans);
    let log_start = ends.map_or_else(|| newest_log_start(files), |ends| Ok(ends.log_start))?;
    let mut judge = Judge::new(storage, dir, files, ends, index_interval, log_start);
    judge.note_files();
    let (below, live): (Vec<LiveRange>, Vec<LiveRange>) = resolution.live.iter().partition(|range| range.to.get() <= log_start && !range.is_open());
    let mut superseded: Vec<SegmentId> = resolution.dead.iter().map(|&file| files.segments[file].id).collect();
    for id in &superseded {
        judge.note(Found::Overlap, true, id.log_name(), "newer segments answer for all of it".to_owned());
    }
    for range in &below {
        let id = files.segments[range.file].id;
        judge.note(Found::BelowLogStart, true, id.log_name(), format!("holds nothing from offset {log_start} on"));
        superseded.push(id);
    }
    judge.read_live(&live)?;
    judge.find_durable();
    judge.gaps = joined(resolution.gaps.iter().map(|(from, to)| (from.get(), to.get())));
    judge.judge()?;
    superseded.extend(judge.judge_headerless());
    let mut plan = judge.finish();
    // A file may answer for offsets on both sides of a rewrite.
    let is_live = |id: &SegmentId| plan.live.iter().any(|file| file.segment.id == *id);
    superseded.retain(|id| !is_live(id));
    plan.cut.retain(|id| !is_live(id));
    plan.superseded = superseded;
    Ok(plan)
}

/// Ranges in order; those that touch are one, whichever segments declare them.
pub(crate) fn joined(ranges: impl IntoIterator<Item = (u64, u64)>) -> Vec<(u64, u64)> {
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for (from, to) in ranges {
        match joined.last_mut() {
            Some(last) if last.1 >= from => last.1 = last.1.max(to),
            _ => joined.push((from, to)),
        }
    }
    joined
}

/// It only ever grows, so the highest valid evidence is the newest.
fn newest_log_start(files: &PartitionFiles) -> Result<u64, OpenError> {
    let headers = files.segments.iter().filter(|segment| !segment.rebuilt).map(|segment| segment.header.log_start.get()).max();
    let mut log_start = files.slots.log_start.max(headers).unwrap_or(0);
    if files.slots.newest.is_none() {
        for segment in &files.segments {
            if let Some((seal, _)) = decode_seal_at_end(&segment.tail()?, segment.len, Some(segment.header.salt)) {
                log_start = log_start.max(seal.log_start.get());
            }
        }
    }
    Ok(log_start)
}

/// A checkpoint older than a cut must not claim what the cut took away: the header of the new tail says where that was.
pub(super) fn before_newer_cuts(mut slot: Checkpoint, files: &PartitionFiles) -> Checkpoint {
    let newer = files.segments.iter().filter(|segment| !segment.rebuilt && segment.header.leader_epoch > slot.terms.newest().epoch);
    if let Some(cut) = newer.map(|segment| segment.header.epoch_start).min() {
        slot.durable_next_offset = slot.durable_next_offset.min(cut);
    }
    slot
}

/// The terms that the newest slot and the segments know of, a live writer's too.
fn known_terms(files: &PartitionFiles, log_start: u64) -> Terms {
    let mut terms = files.slots.newest.map(|slot| slot.terms).unwrap_or_default();
    for segment in files.segments.iter().filter(|segment| !segment.rebuilt) {
        terms.note(Term { epoch: segment.header.leader_epoch, start: segment.header.epoch_start });
    }
    terms.forget_below(Offset::new(log_start));
    terms
}

struct Judge<'a> {
    storage: &'a dyn Storage,
    dir: &'a Path,
    files: &'a PartitionFiles,
    slot: Option<Checkpoint>,
    /// Of the newest slot and of all headers.
    terms: Terms,
    /// The highest term of a frame.
    epoch: LeaderEpoch,
    ends: Option<LiveEnds>,
    index_interval: u32,
    log_start: u64,
    live: Vec<LiveFile>,
    /// What was walked of each live file; `None` for those whose seal or index was taken at its word.
    walked: Vec<Option<Walked>>,
    durable: (usize, u64),
    /// Offset of the frame that says so, if it is a frame.
    claimant: u64,
    gaps: Vec<(u64, u64)>,
    damage: Vec<DamagedRange>,
    findings: Vec<Finding>,
    cut: Vec<SegmentId>,
    torn_seals: Vec<SegmentId>,
    torn: bool,
    lost: bool,
    scanned_bytes: u64,
    /// Next offset expected, and where the log broke off if it did.
    expected: u64,
    broken: Option<((usize, u64), Found, String)>,
}

impl<'a> Judge<'a> {
    fn new(storage: &'a dyn Storage, dir: &'a Path, files: &'a PartitionFiles, ends: Option<LiveEnds>, index_interval: u32, log_start: u64) -> Self {
        let slot = if ends.is_some() { None } else { files.slots.newest.map(|slot| before_newer_cuts(slot, files)) };
        Self {
            storage,
            dir,
            files,
            slot,
            terms: known_terms(files, log_start),
            epoch: LeaderEpoch::new(0),
            ends,
            index_interval,
            log_start,
            live: Vec::new(),
            walked: Vec::new(),
            durable: (0, 0),
            claimant: 0,
            gaps: Vec::new(),
            damage: Vec::new(),
            findings: Vec::new(),
            cut: Vec::new(),
            torn_seals: Vec::new(),
            torn: false,
            lost: false,
            scanned_bytes: 0,
            expected: log_start,
            broken: None,
        }
    }

    fn note(&mut self, found: Found, before_durable: bool, file: String, detail: String) -> Verdict {
        let verdict = decide(found, before_durable);
        self.findings.push(Finding { found, verdict, file, detail });
        verdict
    }

    fn note_files(&mut self) {
        for (found, file) in &self.files.found {
            self.note(*found, true, file.clone(), found.of_a_file().to_owned());
        }
        for name in &self.files.unfinished {
            self.note(Found::Unfinished, true, name.clone(), "not finished when its process ended".to_owned());
        }
    }

    /// Segments without a header, once it is known where offsets are missing. Returns those that hold nothing at all.
    fn judge_headerless(&mut self) -> Vec<SegmentId> {
        let (files, end) = (self.files, self.expected);
        let highest = files.segments.iter().map(|segment| segment.id.seq).max().unwrap_or(0);
        let mut empty = Vec::new();
        for headerless in &files.headerless {
            let (id, name) = (headerless.id, headerless.id.log_name());
            let is_lost = |from: u64, to: u64| from <= id.base_offset && id.base_offset < to;
            let named = self.slot.is_some_and(|slot| slot.active_seq == id.seq);
            if self.damage.iter().any(|range| is_lost(range.from, range.to)) || self.gaps.iter().any(|&(from, to)| is_lost(from, to)) {
                continue; // its bytes stay where they are
            }
            if named {
                self.note(Found::HeaderlessTail, true, name, "no header, but the checkpoint names it".to_owned());
                continue;
            }
            if self.torn && id.base_offset >= end {
                // Behind the end of the log, which was judged.
            } else if id.seq > highest {
                self.note(Found::HeaderlessTail, false, name, "no header".to_owned());
            } else {
                self.note(Found::StrayFile, false, name, "no header, and every offset that it could hold is elsewhere".to_owned());
            }
            if headerless.is_empty { empty.push(id) } else { self.cut.push(id) }
        }
        empty
    }

    /// Reads every live file as far as it must be: O(1) where a seal or index vouches for what a checkpoint covers, else frame by frame.
    fn read_live(&mut self, ranges: &[LiveRange]) -> Result<(), OpenError> {
        let first_walked = self.first_walked(ranges);
        for (number, range) in ranges.iter().enumerate() {
            let segment = self.files.segments[range.file].clone();
            let (from, to) = (range.from.get(), range.to.get());
            let mut index = StoredIndex::open(self.storage, self.dir, segment.id, Some(segment.header.salt))
                .filter(|index| index.header.covered.get() <= segment.len);
            if index.is_none() && (number < first_walked || self.files.indexes.contains(&segment.id)) {
                self.note(Found::IndexUnusable, true, segment.id.index_name(), "missing, damaged or of another segment".to_owned());
            }
            if number < first_walked
                && let Some((file, epoch)) = trusted(&segment, from, to, index.as_ref(), &self.terms)?
            {
                self.epoch = self.epoch.max(epoch);
                self.live.push(file);
                self.walked.push(None);
                continue;
            }
            if let Some(found) = &index
                && !ends_there(&segment, found)?
            {
                self.note(Found::IndexUnusable, true, segment.id.index_name(), "it ends where no frame does".to_owned());
                index = None;
            }
            let start = self.walk_start(&segment, to, index.as_ref());
            let walked = walk(&*segment.open()?, &segment.path, segment.header.salt, segment.id.base_offset, start, self.limit(&segment, to))?;
            self.scanned_bytes += walked.scanned_bytes;
            self.epoch = self.epoch.max(LeaderEpoch::new(walked.epoch));
            let last = walked.runs.last().copied().expect("a walk begins with a run");
            let sums = Sums { records: last.records, max_ts: last.max_ts };
            let sealed = walked.seal.is_some();
            let end = if sealed { last.end - tidelog_format::SEAL_BYTES as u64 } else { last.end };
            let entries = walked.index.clone();
            let has_index = index.is_some_and(|index| is_said_by(&index.header, end, last.next_offset, last.chain));
            self.live.push(LiveFile {
                segment,
                from,
                to,
                end,
                next_offset: last.next_offset,
                chain: last.chain,
                sums,
                sealed,
                indexed: start.position,
                entries,
                has_index,
            });
            self.walked.push(Some(walked));
        }
        Ok(())
    }

    /// The first live file that has to be walked: the one that the checkpoint's tail is in.
    fn first_walked(&self, ranges: &[LiveRange]) -> usize {
        if self.ends.is_some() {
            return ranges.len().saturating_sub(1);
        }
        let Some(slot) = self.slot else { return 0 };
        let exact = ranges.iter().position(|range| self.is_slots(range));
        exact.unwrap_or_else(|| ranges.iter().rposition(|range| range.from <= slot.durable_next_offset).unwrap_or(0))
    }

    fn is_slots(&self, range: &LiveRange) -> bool {
        let header = &self.files.segments[range.file].header;
        self.slot.is_some_and(|slot| slot.active_seq == header.seq && slot.active_salt == header.salt)
    }

    fn walk_start(&self, segment: &SegmentFile, to: u64, index: Option<&StoredIndex>) -> WalkStart {
        // An index may reach further than the checkpoint, where nothing was verified since the crash, or than a cut: then it is not used.
        let slot = self.slot.filter(|slot| slot.active_seq == segment.header.seq && slot.active_salt == segment.header.salt);
        let verified = if self.ends.is_some() { Some(u64::MAX) } else { slot.map(|slot| slot.tail_pos.get()) };
        let usable = index
            .map(|index| index.header)
            .filter(|header| verified.is_some_and(|verified| header.covered.get() <= verified) && header.next_offset.get() <= to)
            .filter(|header| !self.terms.cut_into(segment.header.base_offset, header.next_offset, segment.header.leader_epoch));
        usable.map_or_else(
            || WalkStart {
                position: SEGMENT_HEADER_BYTES as u64,
                next_offset: segment.id.base_offset,
                chain: segment.header.chain_seed,
                records: 0,
                max_ts: TimestampNs::new(i64::MIN),
            },
            |header| WalkStart {
                position: header.covered.get(),
                next_offset: header.next_offset.get(),
                chain: header.chain,
                records: header.records,
                max_ts: header.max_ts,
            },
        )
    }

    fn limit(&self, segment: &SegmentFile, to: u64) -> WalkLimit<'_> {
        let offset = self.ends.map_or(to, |ends| to.min(ends.written_end));
        WalkLimit { position: segment.len_within(), offset, terms: &self.terms, index_interval: self.index_interval }
    }

    /// The durable point: the furthest that a checkpoint slot or any live frame says was synced.
    fn find_durable(&mut self) {
        if self.ends.is_some() {
            self.durable = (self.live.len(), 0);
            return;
        }
        if let Some(slot) = self.slot {
            let exact = self.live.iter().position(|file| slot.active_seq == file.segment.header.seq && slot.active_salt == file.segment.header.salt);
            self.durable = match exact {
                Some(number) => (number, slot.tail_pos.get()),
                // Its segment is gone, or dead: everything below the offset it names was durable all the same.
                None => (self.live.iter().position(|file| file.from >= slot.durable_next_offset.get()).unwrap_or(self.live.len()), 0),
            };
        }
        let claims = self.walked.iter().enumerate().filter_map(|(number, walked)| Some((number, walked.as_ref()?.claim?)));
        let Some((number, (position, offset))) = claims.max().filter(|&(number, (position, _))| (number, position) > self.durable) else { return };
        if self.slot.is_some() {
            self.note(Found::CheckpointOld, true, CHECKPOINT_NAME.to_owned(), "frames say that more was durable".to_owned());
        }
        (self.durable, self.claimant) = ((number, position), offset);
    }

    fn judge(&mut self) -> Result<(), OpenError> {
        if let Some(first) = self.live.first()
            && first.from > self.log_start
        {
            let (from, file) = (first.from, first.segment.id.log_name());
            if self.slot.is_none() && self.ends.is_none() {
                // Nobody says that there ever was more: the prefix was deleted, and what knew of it is gone.
                self.note(Found::HeadMissing, false, file, format!("no checkpoint; the log starts with its first segment, at {from}"));
                self.log_start = from;
            } else if !self.is_declared(self.log_start, from) {
                self.note(Found::HeadMissing, true, file, format!("offsets {}..{from} are missing", self.log_start));
                self.lose(self.log_start, from, "the first segment is missing");
            } else {
                self.note(Found::DeclaredGap, true, file, format!("offsets {}..{from} were lost before", self.log_start));
                self.known(self.log_start, from);
            }
        }
        self.expected = self.live.first().map_or(self.log_start, |file| file.from);
        for number in 0..self.live.len() {
            if number > 0 && !self.judge_link(number)? {
                self.end_before(number);
                break;
            }
            if !self.judge_file(number) {
                self.end_before(number + 1);
                break;
            }
        }
        Ok(())
    }

    /// Whether the log goes on from the file before into this one.
    fn judge_link(&mut self, number: usize) -> Result<bool, OpenError> {
        let (from, name) = (self.live[number].from, self.live[number].segment.id.log_name());
        let broken = self.broken.take();
        if self.expected == from && broken.is_none() {
            if let Some(detail) = self.foreign_history(number) {
                // Every offset is there, but this segment was written behind other records than these.
                if self.note(Found::ChainMismatch, (number - 1, self.live[number - 1].end) < self.durable, name, detail.clone()) != Verdict::Damage {
                    return Ok(false);
                }
                self.lose(from, from, &detail);
                return Ok(true);
            }
            if !self.live[number - 1].sealed {
                self.judge_seal(number)?;
            }
            return Ok(true);
        }
        if self.is_declared(self.expected, from) {
            self.note(Found::DeclaredGap, true, name, format!("offsets {}..{from} were lost before", self.expected));
            self.known(self.expected, from);
            self.expected = from;
            return Ok(true);
        }
        let end = (number - 1, self.live[number - 1].end);
        let (at, found, detail) = broken.unwrap_or((end, Found::SegmentMissing, format!("offsets {}..{from} are in no segment", self.expected)));
        if self.note(found, at < self.durable, name, detail.clone()) == Verdict::Damage {
            self.lose(self.expected, from, &detail);
            self.expected = from;
            return Ok(true);
        }
        Ok(false)
    }

    /// A segment that ends without a seal where the next one, a rolled one, begins: it was not written, or it is damaged.
    fn judge_seal(&mut self, number: usize) -> Result<(), OpenError> {
        let (before, next) = (&self.live[number - 1], &self.live[number].segment.header);
        let (segment, end, from) = (&before.segment, before.end, self.live[number].from);
        let (header, id, name) = (&segment.header, segment.id, segment.id.log_name());
        // A living writer names the next segment first and seals then.
        let rolled =
            self.ends.is_none() && next.flags & SegmentHeader::CHAIN_RESTARTED == 0 && next.leader_epoch == header.leader_epoch && !segment.rebuilt;
        let at = (number - 1, end);
        let mut bytes = [0; SEAL_BYTES];
        let read = if rolled { read_full_at(&*segment.open()?, &mut bytes, end).at("read", &segment.path)? } else { 0 };
        let is_seal = match Frame::decode(&bytes[..read], header.salt, Position::new(end)) {
            Ok(frame) => frame.verify_body().is_ok(),
            Err(source) if source.is_unsupported() => return Err(OpenError::Unsupported { path: segment.path.clone(), source }),
            Err(_) => false,
        };
        if is_seal || bytes.iter().all(|&byte| byte == 0) {
            self.note(Found::UnsealedRunsToNext, true, name, "no seal; the next segment begins where it ends".to_owned());
        } else if at >= self.durable {
            self.note(Found::UnsealedRunsToNext, false, name, "its seal is torn".to_owned());
            self.torn_seals.push(id);
        } else {
            let detail = format!("position {end}: no seal; all records before it are there");
            self.note(Found::BadFrameThenNothing, true, name, detail.clone());
            self.lose(from, from, &detail);
        }
        Ok(())
    }

    /// What is wrong if the chain that a segment begins with is not the one that the segment before ends with.
    fn foreign_history(&self, number: usize) -> Option<String> {
        let (before, header) = (&self.live[number - 1], &self.live[number].segment.header);
        let restarted = header.flags & SegmentHeader::CHAIN_RESTARTED != 0 || self.live[number].from != header.base_offset.get();
        let (expected, found) = (before.chain, header.chain_seed);
        (!restarted && expected != found)
            .then(|| format!("the segment was written behind chain {found:08x}, the one before it ends with {expected:08x}"))
    }

    /// Whether the log goes on behind this file; cuts the file at a torn end.
    fn judge_file(&mut self, number: usize) -> bool {
        let Some(walked) = self.walked[number].take() else {
            let file = &self.live[number];
            self.expected = file.next_offset.min(file.to).max(file.from);
            return true;
        };
        let name = self.live[number].segment.id.log_name();
        let from = self.live[number].from;
        for (bad_number, bad) in walked.bad.iter().enumerate() {
            let (run, next) = (walked.runs[bad_number], walked.runs.get(bad_number + 1));
            // A rewrite answers for all that could be lost here.
            if next.is_some_and(|next| next.offset <= from) {
                continue;
            }
            let found = match (bad.fault, next) {
                (tidelog_format::Fault::Frame(tidelog_format::DecodeError::Pad), _) => Found::NonZeroPad,
                (tidelog_format::Fault::Chain { .. }, _) => Found::ChainMismatch,
                (_, Some(_)) => Found::BadFrameThenValid,
                (_, None) => Found::BadFrameThenNothing,
            };
            let detail = format!("position {}: {}", bad.position, describe(&bad.fault));
            let at = (number, bad.position);
            if decide(found, at < self.durable) != Verdict::Damage {
                self.note(found, false, name.clone(), detail);
                self.cut_file(number, &run);
                return false;
            }
            match next {
                Some(next) => {
                    self.note(found, true, name.clone(), detail.clone());
                    self.lose(run.next_offset.max(from), next.offset, &detail);
                }
                None => self.broken = Some((at, found, detail)),
            }
        }
        self.expected = self.live[number].next_offset.max(from);
        let is_last = number + 1 == self.live.len();
        if is_last && !self.live[number].sealed && self.broken.is_none() {
            self.judge_end(number, name);
        }
        true
    }

    /// The zeros behind the last frame of the last file.
    fn judge_end(&mut self, number: usize, name: String) {
        let end = self.live[number].end;
        if self.ends.is_some() {
            return;
        }
        if (number, end) < self.durable {
            let detail = format!("position {end}: zeros, durable up to position {}", self.durable.1);
            self.broken = Some(((number, end), Found::ZerosToEnd, detail));
        } else if end == SEGMENT_HEADER_BYTES as u64 {
            self.note(Found::HeaderOnly, false, name, "nothing was appended to it yet".to_owned());
        } else {
            self.note(Found::ZerosToEnd, false, name, format!("the log ends at position {end}"));
        }
    }

    /// Ends the file behind `run`: what follows is torn.
    fn cut_file(&mut self, number: usize, run: &crate::log::walk::Run) {
        let file = &mut self.live[number];
        (file.end, file.next_offset, file.chain, file.sealed) = (run.end, run.next_offset, run.chain, false);
        file.sums = Sums { records: run.records, max_ts: run.max_ts };
        file.entries.truncate(run.index_len);
        file.has_index = false;
        self.expected = run.next_offset.max(file.from);
        self.torn = true;
    }

    /// The log ends before this file: it and everything behind it is dead.
    fn end_before(&mut self, number: usize) {
        self.torn = true;
        self.cut.extend(self.live.drain(number..).map(|file| file.segment.id));
        self.walked.truncate(number);
    }

    fn is_declared(&self, from: u64, to: u64) -> bool {
        from < to && self.gaps.iter().any(|&(gap_from, gap_to)| gap_from <= from && gap_to >= to)
    }

    fn known(&mut self, from: u64, to: u64) {
        self.damage.push(DamagedRange { from, to, reason: "lost in an earlier recovery".to_owned(), declared: true });
    }

    fn lose(&mut self, from: u64, to: u64, reason: &str) {
        self.damage.push(DamagedRange { from, to, reason: reason.to_owned(), declared: false });
        self.lost |= from < to;
    }

    fn finish(mut self) -> Plan {
        let log_start = self.log_start;
        let durable_next = self.slot.map_or(0, |slot| slot.durable_next_offset.get());
        // What is lost before the durable point was given out up to the frame that knew of it.
        let claimant = if self.broken.is_some() { self.claimant } else { 0 };
        let next_offset = self.expected.max(durable_next).max(claimant).max(log_start);
        let gap_end = self.broken.is_some() || next_offset > self.expected;
        if let Some((at, found, detail)) = self.broken.take() {
            let file = self.live[at.0].segment.id.log_name();
            self.note(found, true, file, detail.clone());
            self.lose(self.expected, next_offset, &detail);
        } else if next_offset > self.expected && self.expected >= log_start {
            let detail = format!("the log ends at offset {}, the checkpoint says that {durable_next} was durable", self.expected);
            self.note(Found::EndsBeforeCheckpoint, true, "CHECKPOINT".to_owned(), detail.clone());
            self.lose(self.expected, next_offset, &detail);
        }
        self.lost |= self.torn;
        // A checkpoint that is gone or older may not know the term that was last written in.
        if self.epoch > self.terms.newest().epoch {
            self.terms.note(Term { epoch: self.epoch, start: Offset::new(next_offset) });
        }
        let tail = self.tail(next_offset, gap_end);
        // Where appending goes on behind the last frame, nothing was cut off.
        if self.lost && tail != Tail::InPlace {
            let epoch = self.terms.newest().epoch.next();
            self.terms.note(Term { epoch, start: Offset::new(next_offset) });
        }
        let nothing_unproven = (self.live.len(), 0);
        Plan {
            log_start,
            next_offset,
            terms: self.terms,
            durable: self.durable.min(nothing_unproven),
            durable_end: durable_next.clamp(log_start, next_offset),
            live: self.live,
            damage: self.damage,
            tail,
            findings: self.findings,
            superseded: Vec::new(),
            cut: self.cut,
            torn_seals: self.torn_seals,
            torn: self.torn,
            lost: self.lost,
            scanned_bytes: self.scanned_bytes,
        }
    }

    fn tail(&self, next_offset: u64, gap_end: bool) -> Tail {
        let Some(last) = self.live.last() else {
            return Tail::New { base: next_offset, prev_end: self.expected.min(next_offset), chain: 0, restarted: true };
        };
        // A capacity that was never this small leaves no room for the seal.
        let has_room = last.end + SEAL_BYTES as u64 <= last.segment.header.capacity;
        let is_tail = !last.sealed && !last.segment.rebuilt && last.segment.header.rewrite_end.is_none() && last.to == u64::MAX;
        // Where a rewrite holds the offsets before, the frames may end below them.
        let goes_on = last.next_offset == next_offset;
        let in_place = !gap_end && !self.torn && is_tail && has_room && goes_on;
        if in_place {
            return Tail::InPlace;
        }
        // A segment without a frame is dead from now on: what its header says of the log before it is said again.
        let header = &last.segment.header;
        let is_blank = last.next_offset == header.base_offset.get();
        let is_unused = !last.segment.rebuilt && is_blank && last.from == header.base_offset.get();
        // Of the gap before it, what a newer rewrite holds was overruled.
        let answered = self.live.len().checked_sub(2).map_or(0, |before| self.live[before].to);
        let prev_end = self.expected.min(next_offset).min(if is_unused { header.prev_end.get().max(answered) } else { u64::MAX });
        // A header that was put together knows no chain before its first frame.
        let restarted = next_offset != self.expected || !goes_on || is_blank && header.flags & SegmentHeader::CHAIN_RESTARTED != 0;
        Tail::New { base: next_offset, prev_end, chain: if restarted { 0 } else { last.chain }, restarted }
    }
}

/// A file that its seal or index vouches for, up to exactly where the next file takes over.
fn trusted(
    segment: &SegmentFile,
    from: u64,
    to: u64,
    index: Option<&StoredIndex>,
    terms: &Terms,
) -> Result<Option<(LiveFile, LeaderEpoch)>, OpenError> {
    let header: &SegmentHeader = &segment.header;
    let fits = |next: Offset| next.get().saturating_sub(segment.id.base_offset) <= SEGMENT_OFFSETS_MAX;
    if let Some((seal, position)) = decode_seal_at_end(&segment.tail()?, segment.len, Some(header.salt))
        && seal.base_offset == header.base_offset
        && seal.next_offset.get() <= to
        && fits(seal.next_offset)
        && !terms.cut_into(header.base_offset, seal.next_offset, seal.last_epoch)
    {
        // Of two that do not say the same, neither is taken at its word.
        if index.is_some_and(|index| !is_said_by(&index.header, position.get(), seal.next_offset.get(), seal.chain_out)) {
            return Ok(None);
        }
        let sums = Sums { records: seal.records, max_ts: seal.max_ts };
        let (end, next_offset) = (position.get(), seal.next_offset.get());
        let file = LiveFile {
            segment: segment.clone(),
            from,
            to,
            end,
            next_offset,
            chain: seal.chain_out,
            sums,
            sealed: true,
            indexed: end,
            entries: Vec::new(),
            has_index: index.is_some(),
        };
        return Ok(Some((file, seal.last_epoch)));
    }
    let covers = |covered: &IndexHeader| {
        covered.next_offset.get() == to
            && fits(covered.next_offset)
            && !segment.rebuilt
            && !terms.cut_into(header.base_offset, covered.next_offset, header.leader_epoch)
    };
    let Some(index) = index.filter(|index| covers(&index.header)) else { return Ok(None) };
    if !ends_there(segment, index)? {
        return Ok(None);
    }
    let covered = index.header;
    let sums = Sums { records: covered.records, max_ts: covered.max_ts };
    let end = covered.covered.get();
    let file = LiveFile {
        segment: segment.clone(),
        from,
        to,
        end,
        next_offset: to,
        chain: covered.chain,
        sums,
        sealed: false,
        indexed: end,
        entries: Vec::new(),
        has_index: true,
    };
    Ok(Some((file, header.leader_epoch)))
}

/// Whether an index tells of a segment whose frames end like this.
fn is_said_by(index: &IndexHeader, end: u64, next_offset: u64, chain: u32) -> bool {
    (index.covered.get(), index.next_offset.get(), index.chain) == (end, next_offset, chain)
}

/// Whether a frame ends where an index says that all do, as it says: what else it says of a segment is taken at its word.
fn ends_there(segment: &SegmentFile, index: &StoredIndex) -> Result<bool, OpenError> {
    let (said, first) = (&index.header, SEGMENT_HEADER_BYTES as u64);
    if said.covered.get() == first {
        return Ok(said.next_offset == said.base_offset);
    }
    let start = match index.floor(u32::MAX) {
        Some(last) => last.position.into(),
        None if said.entries == 0 => first,
        None => return Ok(false),
    };
    let found = frame_before(&*segment.open()?, &segment.path, segment.header.salt, start, said.covered.get())?;
    Ok(found == Some((said.next_offset.get(), said.chain)))
}

pub(crate) fn describe(fault: &tidelog_format::Fault) -> String {
    match fault {
        tidelog_format::Fault::End => "zeros in front of other bytes".to_owned(),
        tidelog_format::Fault::Frame(error) => error.to_string(),
        tidelog_format::Fault::Offset { expected, found } => format!("offset {found} where {expected} follows"),
        tidelog_format::Fault::Chain { expected, found } => format!("written after other frames: chain {found:08x} instead of {expected:08x}"),
        _ => "not a frame".to_owned(),
    }
}
