//! The end of a log that another process appends to: takes in what is new since the last look, over rolls. Anything odd is left to a plan.

use std::path::Path;
use std::sync::Arc;

use tidelog_format::{
    Attributes, DecodeError, Fault, FileName, IndexEntry, Offset, Position, SEGMENT_HEADER_BYTES, SegmentHeader, SegmentId, TimestampNs, next_frame,
};

use crate::error::{IoContext, IoError};
use crate::io::{Access, File, Storage, read_full_at};
use crate::log::appender::published;
use crate::log::offset_index::{GrowingIndex, StoredIndex};
use crate::log::segment::{Segment, Sums};
use crate::log::view::{LiveSegment, SegmentList};

/// The segment that grows, and how far its frames were verified.
#[derive(Debug)]
pub(crate) struct Tail {
    segment: Arc<Segment>,
    file: Arc<dyn File>,
    end: TailEnd,
    index: TailIndex,
    buffer: Vec<u8>,
}

/// Behind the last frame that was verified.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TailEnd {
    pub(crate) position: u64,
    pub(crate) next_offset: u64,
    pub(crate) chain: u32,
    pub(crate) sums: Sums,
}

/// Entries for what the writer has not indexed on disk.
#[derive(Debug)]
struct TailIndex {
    interval: u32,
    /// Made when the segment first grows under this reader.
    growing: Option<Arc<GrowingIndex>>,
    due: u64,
}

impl Tail {
    pub(crate) fn new(segment: Arc<Segment>, file: Arc<dyn File>, end: TailEnd, index_interval: u32) -> Self {
        let index = TailIndex { interval: index_interval, growing: None, due: 0 };
        Self { segment, file, end, index, buffer: Vec::new() }
    }

    /// Takes in the frames below `written_end`; `false` if what stands there is not the plain continuation of what was there.
    ///
    /// # Errors
    /// [`IoError`] if the file cannot be read.
    pub(crate) fn grow(&mut self, written_end: u64) -> Result<bool, IoError> {
        Ok(self.advance(written_end, false)? == Advance::Reached)
    }

    /// As [`grow`](Self::grow), when the writer has rolled or moved its log start meanwhile. The new segments are added to `list`.
    ///
    /// # Errors
    /// [`IoError`] if the files cannot be read.
    pub(crate) fn grow_over_rolls(&mut self, written_end: u64, storage: &Arc<dyn Storage>, list: &mut SegmentList) -> Result<bool, IoError> {
        let dir = self.segment.dir().to_owned();
        let Some(newer) = newer_segments(&**storage, &dir, &self.segment)? else { return Ok(false) };
        for (header, file) in newer {
            // A segment made after the end that was asked for.
            if header.base_offset.get() > written_end {
                break;
            }
            if self.advance(header.base_offset.get(), true)? != Advance::Sealed || !self.is_continued_by(&header) {
                return Ok(false);
            }
            let base = header.base_offset.get();
            let fresh = Segment::new(storage.clone(), &dir, header, published(SEGMENT_HEADER_BYTES as u64, 0, false), false);
            let sums = Sums { records: 0, max_ts: TimestampNs::new(i64::MIN) };
            let end = TailEnd { position: SEGMENT_HEADER_BYTES as u64, next_offset: base, chain: header.chain_seed, sums };
            let buffer = std::mem::take(&mut self.buffer);
            *self = Self { buffer, ..Self::new(Arc::new(fresh), file, end, self.index.interval) };
            if let Some(last) = list.entries.last_mut() {
                last.to = base;
            }
            list.entries.push(LiveSegment { segment: self.segment.clone(), from: base, to: u64::MAX });
        }
        self.grow(written_end)
    }

    fn is_continued_by(&self, header: &SegmentHeader) -> bool {
        header.base_offset.get() == self.end.next_offset
            && header.prev_end == header.base_offset
            && header.rewrite_end.is_none()
            && header.chain_seed == self.end.chain
            && header.leader_epoch == self.segment.header.leader_epoch
            && header.partition_uuid == self.segment.header.partition_uuid
    }

    /// Verifies frames up to `offset`, and, with `seal`, the seal behind them, and publishes them to readers.
    fn advance(&mut self, offset: u64, seal: bool) -> Result<Advance, IoError> {
        let (mut end, mut at, mut held, mut want) = (self.end, 0, 0, READ_MIN);
        let (mut entries, mut due) = (Vec::new(), self.index_due());
        let base = self.segment.id.base_offset;
        let outcome = loop {
            if end.next_offset >= offset && !seal {
                break if end.next_offset == offset { Advance::Reached } else { Advance::Odd };
            }
            let (position, next) = (Position::new(end.position), Offset::new(end.next_offset));
            let (stored, header, chain) = match next_frame(&self.buffer[at..held], self.segment.header.salt, position, next, end.chain) {
                Ok(frame) => (frame.header.stored_bytes(), frame.header, frame.chain_after()),
                Err(fault) => {
                    let Some(needed) = more_needed(&fault, held - at) else { break Advance::Odd };
                    let before = held - at;
                    (at, held) = (0, self.fill(end.position, needed.max(want))?);
                    want = (want * 2).min(READ_MAX);
                    if held <= before {
                        break Advance::Odd;
                    }
                    continue;
                }
            };
            if end.position >= due {
                entries.push(IndexEntry {
                    rel_offset: (end.next_offset - base) as u32,
                    position: end.position as u32,
                    max_ts_before: end.sums.max_ts,
                });
                due = end.position + u64::from(self.index.interval);
            }
            at += stored;
            end.position += stored as u64;
            (end.next_offset, end.chain) = (header.next_offset().get(), chain);
            if header.record_count > 0 {
                end.sums.max_ts = end.sums.max_ts.max(header.max_timestamp());
            }
            end.sums.records += u64::from(header.data_records());
            if header.attributes.contains(Attributes::SEAL) {
                break if seal && end.next_offset == offset { Advance::Sealed } else { Advance::Odd };
            }
        };
        if outcome != Advance::Odd {
            self.publish(end, outcome == Advance::Sealed, &entries, due);
        }
        Ok(outcome)
    }

    fn publish(&mut self, end: TailEnd, sealed: bool, entries: &[IndexEntry], due: u64) {
        self.segment.set_published(published(end.position, end.next_offset - self.segment.id.base_offset, sealed));
        // After the end, so that a lookup finds no entry that lies behind it.
        if let Some(index) = &self.index.growing {
            entries.iter().for_each(|entry| index.push(*entry));
        }
        if sealed {
            let _ = self.segment.sums.set(end.sums); // sealed once
            self.segment.set_dense(end.sums.records == end.next_offset - self.segment.id.base_offset);
        }
        (self.end, self.index.due) = (end, due);
    }

    /// Where the next index entry is due; makes the index that grows, with what the writer's own has.
    fn index_due(&mut self) -> u64 {
        if self.index.growing.is_none() {
            let stored = StoredIndex::open(&**self.segment.storage(), self.segment.dir(), self.segment.id, Some(self.segment.header.salt));
            let known = self.segment.growing_index().map(|index| index.entries()).or_else(|| stored?.load()).unwrap_or_default();
            let known: Vec<_> = known.into_iter().filter(|entry| u64::from(entry.position) < self.end.position).collect();
            let growing = Arc::new(GrowingIndex::new(&known));
            self.segment.set_index(growing.clone());
            self.index.growing = Some(growing);
            self.index.due = known.last().map_or(0, |last| u64::from(last.position) + u64::from(self.index.interval));
        }
        self.index.due
    }

    fn fill(&mut self, position: u64, want: usize) -> Result<usize, IoError> {
        if self.buffer.len() < want {
            self.buffer.resize(want, 0);
        }
        read_full_at(&*self.file, &mut self.buffer[..want], position).at("read", &self.segment.path())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Advance {
    Reached,
    Sealed,
    Odd,
}

/// How many bytes it takes to judge what stands here; `None` if more would not help.
fn more_needed(fault: &Fault, held: usize) -> Option<usize> {
    match fault {
        Fault::End if held == 0 => Some(1),
        Fault::Frame(DecodeError::Truncated { needed, .. }) if *needed > held => Some(*needed),
        _ => None,
    }
}

/// The segments behind `last`, in order; `None` if one of them is not a mere roll.
#[expect(clippy::type_complexity, reason = "a header and its file, nothing more")]
fn newer_segments(storage: &dyn Storage, dir: &Path, last: &Segment) -> Result<Option<Vec<(SegmentHeader, Arc<dyn File>)>>, IoError> {
    let names = storage.list(dir).at("list", dir)?;
    let mut ids: Vec<SegmentId> = names.iter().filter_map(|entry| log_id(entry.name.to_str()?)).filter(|id| id.seq > last.id.seq).collect();
    ids.sort_by_key(|id| id.seq);
    let mut newer = Vec::with_capacity(ids.len());
    for id in ids {
        let path = dir.join(id.log_name());
        let file = match storage.open(&path, Access::Read) {
            // Dropped since it was listed.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.at("open", &path)?,
        };
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        let read = read_full_at(&*file, &mut bytes, 0).at("read", &path)?;
        let Ok(header) = SegmentHeader::decode(&bytes[..read]) else { return Ok(None) };
        if header.seq != id.seq || header.base_offset != id.base() || header.leader_epoch != last.header.leader_epoch {
            return Ok(None);
        }
        newer.push((header, file));
    }
    Ok(Some(newer))
}

fn log_id(name: &str) -> Option<SegmentId> {
    match FileName::parse(name) {
        Some(FileName::Log(id)) => Some(id),
        _ => None,
    }
}

/// The first read of a look, and the largest when there is a lot to take in.
const READ_MIN: usize = 4 << 10;
const READ_MAX: usize = 256 << 10;
