//! A place in the log, and what stands there: finds the frame of an offset, steps over frames, measures damage. Hands out only what verifies.

use std::sync::Arc;

use tidelog_format::{Attributes, DecodeError, FRAME_HEADER_BYTES, Frame, FrameHeader, Offset, Position, Single, TimestampNs, resync};

use crate::error::IoError;
use crate::log::segment::{Chunk, Owner, Place, Segment, frames_end};
use crate::log::stored::{SingleAt, StoredBatch, Unreadable};
use crate::log::view::LiveSegment;

/// A place in one live segment.
#[derive(Debug, Clone)]
pub(crate) struct Cursor {
    pub(crate) entry: LiveSegment,
    pub(crate) position: u64,
    chunk: Option<Chunk>,
    want: usize,
}

/// What stands at a cursor.
#[derive(Debug)]
pub(crate) enum Step {
    /// A batch was read.
    Batch,
    /// The end of what the segment holds, for now.
    End,
    /// Not the frame that should be here.
    Bad(String),
    /// A right frame in a codec that is not built in.
    Codec { to: u64, codec: &'static str },
}

/// The header of a frame, verified, and where the next one is.
#[derive(Debug, Clone, Copy)]
struct Passed {
    base_offset: u64,
    next_offset: u64,
    max_ts: TimestampNs,
    end: u64,
}

impl Cursor {
    pub(crate) fn at(entry: LiveSegment, place: Place) -> Self {
        Self { entry, position: place.position, chunk: None, want: WANT_MIN }
    }

    /// The frame that holds `offset`, or the damage that it is lost in: found by the index, then by walking over headers.
    pub(crate) fn seek(entry: LiveSegment, offset: u64) -> Result<Self, IoError> {
        let (first, place) = (entry.segment.first_place(), entry.segment.floor(Offset::new(offset)));
        let (cursor, is_there) = Self::walk_to(entry.clone(), place, offset)?;
        if is_there || place == first {
            return Ok(cursor);
        }
        // Before it is damage that the record is lost in, it may be the index that is wrong.
        Ok(Self::walk_to(entry, first, offset)?.0)
    }

    /// Walks from `place` to the frame of `offset`, or to what is in the way; whether it was found.
    fn walk_to(entry: LiveSegment, place: Place, offset: u64) -> Result<(Self, bool), IoError> {
        let mut cursor = Self::at(entry, place);
        loop {
            match cursor.peek()? {
                Some(passed) if passed.next_offset <= offset => cursor.position = passed.end,
                Some(passed) => return Ok((cursor, passed.base_offset <= offset)),
                None if cursor.pass_damage(offset)? => {}
                None => return Ok((cursor, false)),
            }
        }
    }

    /// The first frame with a time of at least `timestamp`, or the first damage on the way to it.
    pub(crate) fn seek_time(entry: LiveSegment, timestamp: TimestampNs) -> Result<Self, IoError> {
        let place = entry.segment.floor_time(timestamp);
        let mut cursor = Self::at(entry, place);
        while let Some(passed) = cursor.peek()?
            && passed.max_ts < timestamp
        {
            cursor.position = passed.end;
        }
        Ok(cursor)
    }

    /// The base offset of the frame here; `None` at the end and at damage.
    pub(crate) fn offset_here(&mut self) -> Result<Option<u64>, IoError> {
        Ok(self.peek()?.map(|passed| passed.base_offset))
    }

    /// The largest time in the frame here; `None` at the end and at damage.
    pub(crate) fn max_timestamp_here(&mut self) -> Result<Option<TimestampNs>, IoError> {
        Ok(self.peek()?.map(|passed| passed.max_ts))
    }

    /// The header here, if it is right; `None` at the end and at damage.
    fn peek(&mut self) -> Result<Option<Passed>, IoError> {
        let (position, salt) = (self.position, self.entry.segment.header.salt);
        let passed = |frame: &Frame<'_>| Passed {
            base_offset: frame.header.base_offset.get(),
            next_offset: frame.header.next_offset().get(),
            max_ts: if frame.header.record_count == 0 { TimestampNs::new(i64::MIN) } else { frame.header.max_timestamp() },
            end: position + frame.header.stored_bytes() as u64,
        };
        let mut asked = FRAME_HEADER_BYTES;
        loop {
            let Some(bytes) = self.bytes(asked)? else { return Ok(None) };
            match Frame::decode(bytes, salt, Position::new(position)) {
                Ok(frame) => return Ok(Some(passed(&frame))),
                // Header, blocks and body may each take another look.
                Err(DecodeError::Truncated { needed, .. }) if needed > asked => asked = needed,
                Err(_) => return Ok(None),
            }
        }
    }

    /// Reads the frame here into `batch`, which is empty: it must begin at or below `offset` and end above it. Moves behind it.
    pub(crate) fn step(&mut self, offset: u64, batch: &mut Option<StoredBatch>) -> Result<Step, IoError> {
        loop {
            let position = self.position;
            if self.bytes(FRAME_HEADER_BYTES)?.is_none() {
                return Ok(Step::End);
            }
            let mut asked = FRAME_HEADER_BYTES;
            let mut outcome = self.read_here(batch);
            while let Err(Unreadable::Decode(DecodeError::Truncated { needed, .. })) = outcome
                && needed > asked
                && self.bytes(needed)?.is_some_and(|bytes| bytes.len() >= needed)
            {
                asked = needed;
                outcome = self.read_here(batch);
            }
            match outcome {
                Ok(header) if header.attributes.contains(Attributes::NO_OFFSETS) => {
                    self.position = position + header.stored_bytes() as u64;
                    *batch = None;
                }
                Ok(header) => {
                    if let Some(misfit) = self.misfit(offset, header.base_offset.get(), header.next_offset().get()) {
                        *batch = None;
                        return Ok(Step::Bad(misfit));
                    }
                    self.position = position + header.stored_bytes() as u64;
                    return Ok(Step::Batch);
                }
                Err(Unreadable::Codec { codec }) => {
                    let Some(passed) = self.peek()? else { return Ok(Step::Bad("not a frame".to_owned())) };
                    // It takes no offset.
                    if passed.next_offset == passed.base_offset {
                        self.position = passed.end;
                        continue;
                    }
                    if let Some(misfit) = self.misfit(offset, passed.base_offset, passed.next_offset) {
                        return Ok(Step::Bad(misfit));
                    }
                    self.position = passed.end;
                    return Ok(Step::Codec { to: passed.next_offset, codec });
                }
                Err(Unreadable::Decode(error)) => return Ok(Step::Bad(error.to_string())),
                Err(Unreadable::Broken { reason }) => return Ok(Step::Bad(reason)),
            }
        }
    }

    /// The record here, if it is `offset`, alone in its frame, right and at hand; moves behind it then. [`step`](Self::step) reads all others.
    #[inline(always)]
    pub(crate) fn single(&mut self, offset: u64) -> Option<SingleAt> {
        let chunk = self.chunk.as_ref()?;
        let bytes = chunk.from(self.position);
        let single = Single::decode(bytes, self.entry.segment.header.salt, Position::new(self.position))?;
        if single.offset.get() != offset || offset >= self.entry.to || offset >= self.entry.segment.next_offset() {
            return None;
        }
        let from = (self.position - chunk.start) as usize + (single.records.as_ptr().addr() - bytes.as_ptr().addr());
        let position = self.position;
        self.position += single.stored_bytes as u64;
        let Single { offset, timestamp, leader_epoch, records, span, .. } = single;
        Some(SingleAt { offset, timestamp, leader_epoch, span, position, records: (from, from + records.len()) })
    }

    /// What the record section of a record that stands alone stands in.
    #[inline]
    pub(crate) fn owner(&self) -> Option<&Owner> {
        self.chunk.as_ref().map(|chunk| &chunk.owner)
    }

    /// Why a frame that is right by itself is not the one that holds `offset`: no writer stored it here, and what it claims to hold is in others.
    fn misfit(&self, offset: u64, base: u64, next: u64) -> Option<String> {
        if base > offset || next <= offset {
            return Some(format!("offset {base} where {offset} follows"));
        }
        let ends_before = next > self.entry.to.min(self.entry.segment.next_offset());
        ends_before.then(|| format!("a batch up to offset {next}, where the segment ends before"))
    }

    fn read_here<'batch>(&self, batch: &'batch mut Option<StoredBatch>) -> Result<&'batch FrameHeader, Unreadable> {
        let chunk = self.chunk.as_ref().expect("bytes were found here before");
        let at = (self.position - chunk.start) as usize;
        let (end, salt) = ((chunk.end - chunk.start) as usize, self.entry.segment.header.salt);
        StoredBatch::read_into(batch, &chunk.owner, at, end, salt, Position::new(self.position))
    }

    /// At least `min` bytes from here on, fewer where the segment ends; `None` at its end.
    fn bytes(&mut self, min: usize) -> Result<Option<&[u8]>, IoError> {
        let end = self.entry.segment.frames_end();
        if self.position >= end {
            return Ok(None);
        }
        let min = (min as u64).min(end - self.position);
        let held = self.chunk.as_ref().is_some_and(|chunk| chunk.start <= self.position && self.position + min <= chunk.end);
        if !held {
            let want = self.want.max(min as usize);
            self.want = (self.want * 2).min(WANT_MAX);
            let spent = self.chunk.take();
            self.chunk = Some(self.entry.segment.chunk(self.position, want, spent)?);
        }
        Ok(self.chunk.as_ref().map(|chunk| chunk.from(self.position)))
    }

    /// Moves over damage that ends at or before `offset`; whether there was any.
    fn pass_damage(&mut self, offset: u64) -> Result<bool, IoError> {
        let rest = self.entry.segment.frames_end().saturating_sub(self.position) as usize;
        if rest == 0 {
            return Ok(false);
        }
        let (start, salt) = (self.position + 8, self.entry.segment.header.salt);
        let chunk = self.entry.segment.chunk(self.position, rest, None)?;
        let next = resync(chunk.from(start), Position::new(start), salt, self.entry.segment.base(), Offset::new(self.entry.to));
        let Some(next) = next.filter(|next| next.frame.header.base_offset.get() <= offset) else { return Ok(false) };
        self.position = next.position.get();
        self.chunk = Some(chunk);
        Ok(true)
    }

    /// Moves to the next right frame behind damage, below `below`; returns its offset, or `None` if there is none in this segment.
    pub(crate) fn skip_damage(&mut self, offset: u64, below: u64) -> Result<Option<u64>, IoError> {
        let rest = self.entry.segment.frames_end().saturating_sub(self.position) as usize;
        if rest == 0 {
            return Ok(None);
        }
        // What stands here may be right, and the frames before it missing.
        let is_ahead = self.peek()?.is_some_and(|passed| passed.base_offset > offset);
        let (start, salt) = (self.position + if is_ahead { 0 } else { 8 }, self.entry.segment.header.salt);
        let chunk = self.entry.segment.chunk(self.position, rest, None)?;
        let found = resync(chunk.from(start), Position::new(start), salt, Offset::new(offset), Offset::new(below))
            .map(|found| (found.position.get(), found.frame.header.base_offset.get()));
        self.chunk = Some(chunk);
        Ok(found.map(|(position, base)| {
            self.position = position;
            base
        }))
    }

    /// Where the segment says that its offsets end, if that is above `offset` and its frames end here.
    pub(crate) fn claimed_end(&self, offset: u64) -> Option<u64> {
        let published = self.entry.segment.published();
        let claimed = self.entry.segment.id.base_offset + u64::from(published.next);
        (self.position >= u64::from(frames_end(published)) && claimed > offset).then_some(claimed)
    }

    pub(crate) fn segment(&self) -> &Arc<Segment> {
        &self.entry.segment
    }
}

/// First read of a descriptor after a seek, and the largest when reading on.
const WANT_MIN: usize = 8 << 10;
const WANT_MAX: usize = 512 << 10;
