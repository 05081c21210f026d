//! Walks the frames of one segment file from a known point to its end, past damage if need be. Judges nothing: that needs all segments.

use std::path::Path;

use tidelog_format::{
    Attributes, DecodeError, FRAME_ALIGN, Fault, Frame, FrameHeader, IndexEntry, Offset, Position, SEGMENT_HEADER_BYTES, Seal, Terms, TimestampNs,
    all_zero, next_frame,
};

use crate::error::{IoContext, IoError, OpenError};
use crate::io::{File, read_full_at};

/// Where a walk begins, and what is known of the frames before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WalkStart {
    pub(crate) position: u64,
    pub(crate) next_offset: u64,
    pub(crate) chain: u32,
    pub(crate) records: u64,
    pub(crate) max_ts: TimestampNs,
}

impl WalkStart {
    /// At the first frame of a segment.
    pub(crate) fn of_segment(base_offset: u64, chain_seed: u32) -> Self {
        let max_ts = TimestampNs::new(i64::MIN);
        Self { position: SEGMENT_HEADER_BYTES as u64, next_offset: base_offset, chain: chain_seed, records: 0, max_ts }
    }
}

/// What a walk must not go beyond.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WalkLimit<'a> {
    /// Nothing at or behind this position of the file is read.
    pub(crate) position: u64,
    /// Frames at this offset or above are dead.
    pub(crate) offset: u64,
    /// Frames that a later term begins at or below are dead.
    pub(crate) terms: &'a Terms,
    pub(crate) index_interval: u32,
}

/// Consecutive verified frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) position: u64,
    pub(crate) end: u64,
    pub(crate) offset: u64,
    pub(crate) next_offset: u64,
    pub(crate) chain: u32,
    pub(crate) max_ts: TimestampNs,
    pub(crate) records: u64,
    pub(crate) index_len: usize,
}

/// Something that is not a frame where one could be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadSpot {
    pub(crate) position: u64,
    pub(crate) fault: Fault,
}

/// What was found, in file order: run, bad spot, run, ... A bad spot at the end has nothing valid behind it.
#[derive(Debug, Clone)]
pub(crate) struct Walked {
    pub(crate) runs: Vec<Run>,
    pub(crate) bad: Vec<BadSpot>,
    /// Only zeros, or nothing, behind the last run.
    pub(crate) clean_end: bool,
    pub(crate) seal: Option<Seal>,
    /// The furthest position of this segment that a frame claims to be durable, and the offset of that frame.
    pub(crate) claim: Option<(u64, u64)>,
    pub(crate) index: Vec<IndexEntry>,
    /// Term of the newest frame.
    pub(crate) epoch: u32,
    pub(crate) scanned_bytes: u64,
}

/// Walks one file.
///
/// # Errors
/// [`OpenError::Io`] if reading fails, [`OpenError::Unsupported`] at a frame of a newer version. Damage is no error here.
pub(crate) fn walk(file: &dyn File, path: &Path, salt: u64, base: u64, start: WalkStart, limit: WalkLimit<'_>) -> Result<Walked, OpenError> {
    let mut window = Window::new(file, path, limit.position);
    let run = Run {
        position: start.position,
        end: start.position,
        offset: start.next_offset,
        next_offset: start.next_offset,
        chain: start.chain,
        max_ts: start.max_ts,
        records: start.records,
        index_len: 0,
    };
    let mut walked =
        Walked { runs: vec![run], bad: Vec::new(), clean_end: false, seal: None, claim: None, index: Vec::new(), epoch: 0, scanned_bytes: 0 };
    let mut index_due = start.position;
    loop {
        // Field by field: a copy of what was just stored waits for the stores.
        let &Run { end, next_offset, chain, .. } = walked.last_run();
        let position = Position::new(end);
        let fault = match next_frame(window.from(end, 1)?, salt, position, Offset::new(next_offset), chain) {
            Ok(frame) if dead(&frame.header, limit) => {
                walked.clean_end = true;
                break;
            }
            Ok(frame) if is_out_of_reach(&frame.header, base) => {
                Fault::Offset { expected: Offset::new(next_offset), found: frame.header.next_offset() }
            }
            Ok(frame) => {
                walked.add(&frame, position, base, &mut index_due, limit.index_interval);
                if frame.header.attributes.contains(Attributes::SEAL) {
                    walked.seal = Seal::decode(&{ frame }).ok();
                    walked.clean_end = true;
                    break;
                }
                continue;
            }
            Err(fault) => fault,
        };
        match fault {
            Fault::Frame(DecodeError::Truncated { needed, .. }) if window.extend(end, needed)? => {}
            Fault::End if window.is_zero_from(end)? => {
                walked.clean_end = true;
                break;
            }
            // A newer file answers for what follows: whatever stands here is dead, torn or not.
            _ if next_offset >= limit.offset => {
                walked.clean_end = true;
                break;
            }
            fault => {
                walked.bad.push(BadSpot { position: end, fault });
                // It meets a frame of a newer version there too.
                let before = *walked.last_run();
                let Some(run) = walked.resync(&mut window, (salt, base), before, limit)? else { break };
                walked.runs.push(run);
                index_due = run.position;
            }
        }
    }
    walked.scanned_bytes = window.read_bytes;
    Ok(walked)
}

/// The next offset and the chain behind the frame that ends at `end`, if one does: found over the headers of those from `start` on, whatever
/// offsets they hold.
pub(crate) fn frame_before(file: &dyn File, path: &Path, salt: u64, start: u64, end: u64) -> Result<Option<(u64, u32)>, IoError> {
    let mut found = None;
    let is_reached = each_frame(file, path, salt, (start, end), |frame| {
        found = Some((frame.header.next_offset().get(), frame.chain_after()));
        true
    })?;
    Ok(found.filter(|_| is_reached))
}

/// Whether frames that are right, each linked to the one before it, fill the file from `start` to `end`, whatever offsets they hold.
pub(crate) fn are_whole(file: &dyn File, path: &Path, salt: u64, start: u64, end: u64) -> Result<bool, IoError> {
    let mut chain = None;
    each_frame(file, path, salt, (start, end), |frame| {
        let is_linked = chain.replace(frame.chain_after()).is_none_or(|before| before == frame.header.chain);
        is_linked && frame.verify_body().is_ok()
    })
}

/// Looks at the frames from `start` to `end`, by right headers, until a look says no; whether they end there.
fn each_frame(file: &dyn File, path: &Path, salt: u64, (start, end): (u64, u64), mut look: impl FnMut(&Frame<'_>) -> bool) -> Result<bool, IoError> {
    let mut window = Window::new(file, path, end);
    let mut at = start;
    while at < end {
        let needed = match Frame::decode(window.from(at, 1)?, salt, Position::new(at)) {
            Ok(frame) if look(&frame) => {
                at += frame.header.stored_bytes() as u64;
                continue;
            }
            Err(DecodeError::Truncated { needed, .. }) => needed,
            _ => return Ok(false),
        };
        if !window.extend(at, needed)? {
            return Ok(false);
        }
    }
    Ok(at == end)
}

/// Offsets that are this far behind the first of their segment have no place in its published word, and no writer stores them there.
fn is_out_of_reach(header: &FrameHeader, base: u64) -> bool {
    header.next_offset().get().saturating_sub(base) > SEGMENT_OFFSETS_MAX
}

#[inline]
fn dead(header: &FrameHeader, limit: WalkLimit<'_>) -> bool {
    header.next_offset() > limit.offset
        || (limit.terms.is_dead(header.leader_epoch, header.base_offset) && !header.attributes.contains(Attributes::NO_OFFSETS))
}

impl Walked {
    fn last_run(&self) -> &Run {
        self.runs.last().expect("a walk begins with a run")
    }

    fn add(&mut self, frame: &Frame<'_>, position: Position, base: u64, index_due: &mut u64, interval: u32) {
        let header = &frame.header;
        let run = self.runs.last_mut().expect("a walk begins with a run");
        // A lookup never begins at the seal, and an index is believed if a frame ends where it does behind its last entry.
        if position >= *index_due
            && !header.attributes.contains(Attributes::SEAL)
            && let (Ok(rel_offset), Ok(at)) = (u32::try_from(header.base_offset.get() - base), u32::try_from(position.get()))
        {
            self.index.push(IndexEntry { rel_offset, position: at, max_ts_before: run.max_ts });
            *index_due = position.get() + u64::from(interval);
        }
        run.end = position.get() + header.stored_bytes() as u64;
        run.next_offset = header.next_offset().get();
        run.chain = frame.chain_after();
        if header.record_count > 0 {
            run.max_ts = run.max_ts.max(header.max_ts);
        }
        run.records += u64::from(header.data_records());
        run.index_len = self.index.len();
        self.epoch = self.epoch.max(header.leader_epoch.get());
        self.note_claim(header, position);
    }

    fn note_claim(&mut self, header: &FrameHeader, position: Position) {
        let Some(durable) = header.durable_position(position) else { return };
        let claim = (durable.get(), header.base_offset.get());
        if self.claim.is_none_or(|furthest| claim > furthest) {
            self.claim = Some(claim);
        }
    }

    /// What the bytes at a place behind a bad spot are worth.
    fn witness(&mut self, bytes: &[u8], (salt, base): (u64, u64), at: u64, before: Run, limit: WalkLimit<'_>) -> Witness {
        let position = Position::new(at);
        let frame = match Frame::decode(bytes, salt, position) {
            Ok(frame) => frame,
            Err(DecodeError::Truncated { needed, .. }) => return Witness::Needs(needed),
            Err(source) if source.is_unsupported() => return Witness::Unsupported(source),
            Err(_) => return Witness::None,
        };
        let header = frame.header;
        if dead(&header, limit) || is_out_of_reach(&header, base) {
            return Witness::None;
        }
        self.note_claim(&header, position);
        // At the bad spot itself, a frame is no witness for offsets that it does not leave open.
        let is_in_the_way = at == before.end && header.base_offset == before.next_offset;
        if header.base_offset < before.next_offset || is_in_the_way || frame.verify_body().is_err() {
            return Witness::None;
        }
        let offset = header.base_offset.get();
        let (max_ts, records, index_len) = (before.max_ts, before.records, self.index.len());
        Witness::Run(Run { position: at, end: at, offset, next_offset: offset, chain: header.chain, max_ts, records, index_len })
    }

    /// Looks for the next whole frame behind a bad spot; `known` are the salt and the first offset of the segment. Frames whose header verifies
    /// count as witnesses even if their body does not.
    fn resync(&mut self, window: &mut Window<'_>, known: (u64, u64), before: Run, limit: WalkLimit<'_>) -> Result<Option<Run>, OpenError> {
        let mut at = before.end;
        loop {
            let bytes = window.from(at, FRAME_ALIGN)?;
            let words = bytes.len() / FRAME_ALIGN;
            if words == 0 {
                return Ok(None);
            }
            // Magic first: it is all that most positions need.
            let Some(skip) = (0..words).find(|word| bytes[word * FRAME_ALIGN..].starts_with(&tidelog_format::FRAME_MAGIC.to_le_bytes())) else {
                at += (words * FRAME_ALIGN) as u64;
                continue;
            };
            at += (skip * FRAME_ALIGN) as u64;
            match self.witness(&bytes[skip * FRAME_ALIGN..], known, at, before, limit) {
                Witness::Run(run) => return Ok(Some(run)),
                // What it holds is not lost: nothing may be done about the damage before it either.
                Witness::Unsupported(source) => return Err(OpenError::Unsupported { path: window.path.to_owned(), source }),
                Witness::Needs(needed) if window.extend(at, needed)? => continue,
                Witness::Needs(_) | Witness::None => {}
            }
            at += FRAME_ALIGN as u64;
        }
    }
}

enum Witness {
    Run(Run),
    Needs(usize),
    /// A frame of a newer version.
    Unsupported(DecodeError),
    None,
}

/// A sliding stretch of a file in memory, so that a walk of a large file needs little of it.
struct Window<'a> {
    file: &'a dyn File,
    path: &'a Path,
    limit: u64,
    start: u64,
    bytes: Vec<u8>,
    read_bytes: u64,
}

impl<'a> Window<'a> {
    fn new(file: &'a dyn File, path: &'a Path, limit: u64) -> Self {
        Self { file, path, limit, start: 0, bytes: Vec::new(), read_bytes: 0 }
    }

    /// The bytes held from `position` on, at least `min` of them unless the file ends.
    fn from(&mut self, position: u64, min: usize) -> Result<&[u8], IoError> {
        if self.slice(position).get(..min).is_none() {
            self.fill(position, WINDOW_BYTES)?;
        }
        Ok(self.slice(position))
    }

    /// Makes at least `needed` bytes from `position` on available; whether there are more now than before.
    fn extend(&mut self, position: u64, needed: usize) -> Result<bool, IoError> {
        let before = self.slice(position).len();
        if needed <= before {
            return Ok(false);
        }
        // A length that lies must not become an allocation: never more than the file holds.
        self.fill(position, needed.max(WINDOW_BYTES))?;
        Ok(self.slice(position).len() > before)
    }

    /// Whether nothing but zeros stands from `position` to the limit.
    fn is_zero_from(&mut self, position: u64) -> Result<bool, IoError> {
        let mut at = position;
        loop {
            let bytes = self.from(at, 1)?;
            if bytes.is_empty() {
                return Ok(true);
            }
            if !all_zero(bytes) {
                return Ok(false);
            }
            at += bytes.len() as u64;
        }
    }

    fn slice(&self, position: u64) -> &[u8] {
        position.checked_sub(self.start).and_then(|at| self.bytes.get(at as usize..)).unwrap_or_default()
    }

    fn fill(&mut self, position: u64, want: usize) -> Result<(), IoError> {
        let want = self.limit.saturating_sub(position).min(want as u64) as usize;
        let kept = self.slice(position).len().min(want);
        let at = self.bytes.len() - self.slice(position).len();
        self.bytes.copy_within(at..at + kept, 0);
        self.bytes.resize(want, 0);
        let read = read_full_at(self.file, &mut self.bytes[kept..], position + kept as u64).at("read", self.path)?;
        self.bytes.truncate(kept + read);
        self.start = position;
        self.read_bytes += read as u64;
        Ok(())
    }
}

/// A writer begins another segment before.
pub(crate) const SEGMENT_OFFSETS_MAX: u64 = u32::MAX as u64;
const WINDOW_BYTES: usize = 1 << 20;
