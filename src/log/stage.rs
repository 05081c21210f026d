//! Batches of many callers, one behind the other as they will be written. Assigns nothing and writes nothing.

use tidelog_format::Offset;

use crate::error::{AppendError, SyncError};
use crate::log::appender::Assigned;
use crate::log::record_batch::{Encoded, FrameParts};

/// Frames that wait for whoever writes them all: in the order in which they came, without what the append lock decides.
#[derive(Debug, Default)]
pub(crate) struct Stage {
    frames: Vec<StagedFrame>,
    bytes: Vec<u8>,
    /// Frames and bytes that were handed out so far.
    taken: (usize, usize),
}

/// A staged frame, and what became of it.
#[derive(Debug)]
pub(crate) struct StagedFrame {
    pub(crate) parts: FrameParts,
    pub(crate) outcome: Outcome,
}

/// What became of a frame.
#[derive(Debug, Default)]
pub(crate) enum Outcome {
    /// It was not written, because one before it could not be.
    #[default]
    Left,
    Assigned(Assigned),
    Failed(AppendError),
}

/// Frames that go into one segment with one write.
#[derive(Debug)]
pub(crate) struct Run<'stage> {
    pub(crate) frames: &'stage mut [StagedFrame],
    pub(crate) bytes: &'stage mut [u8],
}

impl Stage {
    /// Adds a frame; returns its number.
    pub(crate) fn push(&mut self, frame: &Encoded<'_>) -> usize {
        self.frames.push(StagedFrame { parts: frame.parts, outcome: Outcome::Left });
        let at = self.bytes.len();
        self.bytes.resize(at + frame.parts.stored_bytes(), 0);
        frame.store(&mut self.bytes[at..]);
        self.frames.len() - 1
    }

    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Why what is left could not be written. One that is alone is told; of several, each may have more luck by itself.
    pub(crate) fn fail(&mut self, error: AppendError) {
        if let [StagedFrame { outcome: outcome @ Outcome::Left, .. }] = &mut self.frames[..] {
            *outcome = Outcome::Failed(error);
        }
    }

    /// Of the frames that were handed out last, from offset `base` on, some may stand on the disk and some may not.
    pub(crate) fn doubt(&mut self, base: u64, source: &SyncError) {
        let mut base = base;
        for frame in self.frames[..self.taken.0].iter_mut().filter(|frame| matches!(frame.outcome, Outcome::Left)) {
            frame.outcome = Outcome::Failed(AppendError::NotDurable { base_offset: Offset::new(base), source: source.clone() });
            base += u64::from(frame.parts.offsets);
        }
    }

    pub(crate) fn take_outcome(&mut self, number: usize) -> Outcome {
        std::mem::take(&mut self.frames[number].outcome)
    }

    /// The next frame: its bytes in the file, and its offsets.
    pub(crate) fn next(&self) -> Option<(usize, u32)> {
        self.frames.get(self.taken.0).map(|frame| (frame.parts.stored_bytes(), frame.parts.offsets))
    }

    /// Takes frames for as long as all of them together, bytes and offsets, fit.
    pub(crate) fn take_run(&mut self, fits: impl Fn(usize, u32) -> bool) -> Run<'_> {
        let (from, at) = self.taken;
        let (mut bytes, mut offsets) = (0, 0u32);
        for frame in &self.frames[from..] {
            let more = bytes + frame.parts.stored_bytes();
            let Some(taken) = offsets.checked_add(frame.parts.offsets).filter(|taken| fits(more, *taken)) else { break };
            (bytes, offsets, self.taken.0) = (more, taken, self.taken.0 + 1);
        }
        self.taken.1 += bytes;
        Run { frames: &mut self.frames[from..self.taken.0], bytes: &mut self.bytes[at..at + bytes] }
    }

    /// Takes all frames out and keeps the memory, but for what a rare burst of large ones took.
    pub(crate) fn clear(&mut self) {
        self.frames.clear();
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES_MAX);
        self.taken = (0, 0);
    }
}

/// Larger batches gain nothing from being written with others.
pub(crate) const STAGED_BYTES_MAX: usize = 64 << 10;
const KEPT_BYTES_MAX: usize = 256 << 10;
