//! Reads the segments that nothing is appended to, round after round and never faster than allowed, so that rot is found before a reader
//! needs what it hit. Repairs nothing, and touches no segment that is appended to.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use tidelog_format::{DecodeError, FRAME_HEADER_BYTES, Frame, Position, SEGMENT_HEADER_BYTES};

use crate::config::ReadIsolation;
use crate::error::{IoContext, IoError};
use crate::io::{Access, read_full_at};
use crate::log::log::Log;
use crate::log::partition_view::PartitionView;
use crate::log::view::LiveSegment;

/// How far a round has come, and how much may be read before it must wait.
#[derive(Debug)]
pub(crate) struct Scrubber {
    bytes_per_second: u64,
    /// Bytes that may be read now; what damage cost is paid back first.
    balance: i64,
    /// Partitions of this round that are still to come.
    waiting: Vec<Arc<Log>>,
    place: Option<Place>,
    buffer: Vec<u8>,
}

/// Where in a partition it stands.
#[derive(Debug)]
struct Place {
    log: Arc<Log>,
    entry: LiveSegment,
    position: u64,
    /// First offset that was not read yet.
    next: u64,
    /// Bytes that the frame there needs.
    needed: usize,
}

impl Scrubber {
    pub(crate) fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second, balance: 0, waiting: Vec::new(), place: None, buffer: Vec::new() }
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.bytes_per_second > 0
    }

    /// Reads what is allowed after `elapsed` more time, of the partitions that `open` lists at the beginning of a round.
    pub(crate) fn run_for(&mut self, elapsed: Duration, open: impl Fn() -> Vec<Arc<Log>>, is_stopped: impl Fn() -> bool) {
        let allowed = u128::from(self.bytes_per_second) * elapsed.as_micros() / 1_000_000;
        self.balance = self.balance.saturating_add(i64::try_from(allowed).unwrap_or(i64::MAX));
        let mut rounds = 0;
        while !is_stopped() {
            if self.place.is_none() && !self.move_on(&open, &mut rounds) {
                // There is nothing to read: what was allowed meanwhile is not saved up.
                self.balance = self.balance.min(0);
                return;
            }
            let Some(place) = &self.place else { return };
            let want = place.needed.max(self.piece_bytes()).min((place.end() - place.position) as usize);
            if self.balance < want as i64 {
                // Nor is more than the next piece costs.
                return;
            }
            self.balance -= want as i64;
            self.read(want);
        }
    }

    /// Small against the rate, so that the reads are spread; not so small that calls cost more than bytes.
    fn piece_bytes(&self) -> usize {
        (self.bytes_per_second / 10).clamp(4 << 10, 256 << 10) as usize
    }

    /// Goes to the next partition that has something to read; whether there is one. A second round begins only after the first has ended.
    fn move_on(&mut self, open: impl Fn() -> Vec<Arc<Log>>, rounds: &mut u32) -> bool {
        loop {
            if let Some(log) = self.waiting.pop() {
                let start = log.view.log_start();
                self.place = Place::at(log, start);
            } else if *rounds < 2 {
                *rounds += 1;
                self.waiting = open();
            } else {
                return false;
            }
            if self.place.is_some() {
                return true;
            }
        }
    }

    /// Reads a piece and goes on behind the frames in it.
    fn read(&mut self, want: usize) {
        let Some(mut place) = self.place.take() else { return };
        let outcome = place.read(want, &mut self.buffer);
        let next = match outcome {
            Ok(Outcome::Whole) if place.position < place.end() => Some(place),
            // A reader judges, and remembers what it found.
            Ok(Outcome::Wrong) => {
                let before = place.position;
                let judged = place.judge();
                self.balance -= judged.as_ref().map_or(0, |place| place.position.saturating_sub(before)) as i64;
                judged
            }
            Ok(Outcome::Whole) => place.leave(None),
            // Gone meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => place.leave(None),
            Err(error) => place.leave(Some(error.to_string())),
        };
        self.place = next;
    }
}

enum Outcome {
    Whole,
    Wrong,
}

impl Place {
    /// The first frame of the segment that holds `offset`, if nothing is appended to it any more, or of one behind.
    fn at(log: Arc<Log>, offset: u64) -> Option<Self> {
        let list = log.view.list();
        let closed = list.entries.split_last().map_or(&[][..], |(_, closed)| closed);
        let entry = closed.iter().find(|entry| entry.to > offset && entry.segment.next_offset() > offset)?.clone();
        let (position, next) = (SEGMENT_HEADER_BYTES as u64, entry.segment.id.base_offset);
        let place = Self { log, entry, position, next, needed: FRAME_HEADER_BYTES };
        (place.position < place.end()).then_some(place)
    }

    fn end(&self) -> u64 {
        self.entry.segment.published().end.into()
    }

    /// Goes on in the next segment.
    fn leave(self, failure: Option<String>) -> Option<Self> {
        self.log.view.note_reading(self.entry.segment.id, failure);
        Self::at(self.log, self.next.max(self.entry.to))
    }

    /// Verifies the frames in the next `want` bytes.
    fn read(&mut self, want: usize, buffer: &mut Vec<u8>) -> Result<Outcome, IoError> {
        let segment = &self.entry.segment;
        let path = segment.path();
        buffer.resize(want, 0);
        let file = segment.storage().open(&path, Access::Read).at("open", &path)?;
        let read = read_full_at(&*file, buffer, self.position).at("read", &path)?;
        let (start, end) = (self.position, self.end());
        loop {
            let at = (self.position - start) as usize;
            let bytes = buffer[..read].get(at..).unwrap_or_default();
            if self.position >= end || self.next >= self.entry.to {
                self.position = end;
                return Ok(Outcome::Whole);
            }
            let frame = match Frame::decode(bytes, segment.header.salt, Position::new(self.position)) {
                Ok(frame) => frame,
                Err(DecodeError::Truncated { needed, .. }) if needed as u64 <= end - self.position && read == want => {
                    // The rest of it comes with the next piece.
                    self.needed = needed;
                    return Ok(Outcome::Whole);
                }
                Err(_) => return Ok(Outcome::Wrong),
            };
            if frame.header.base_offset != self.next || frame.verify_body().is_err() {
                return Ok(Outcome::Wrong);
            }
            self.position += frame.header.stored_bytes() as u64;
            self.next = frame.header.next_offset().get();
            self.needed = FRAME_HEADER_BYTES;
        }
    }

    /// Reads on as a reader does, which notes damage and finds the next right frame.
    fn judge(self) -> Option<Self> {
        let from = self.next.max(self.log.view.log_start());
        let view = PartitionView::of_writer(String::new(), 0, self.log.clone()).with_isolation(ReadIsolation::Written);
        let Ok(mut reader) = view.read_from(from) else { return self.leave(None) }; // deleted meanwhile
        let _ = reader.next_batch(); // what is wrong is noted
        let next = reader.offset().get();
        if next >= self.entry.to || next >= self.entry.segment.next_offset() || next <= self.next {
            return self.leave(None);
        }
        match crate::log::reader::locate(&view, next, self.entry.to) {
            // Never back: what is behind was read.
            Ok(place) if place.position > self.position => Some(Self { position: place.position, next, needed: FRAME_HEADER_BYTES, ..self }),
            Ok(_) => self.leave(None),
            Err(error) => self.leave(Some(error.to_string())),
        }
    }
}
