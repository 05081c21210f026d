//! From bytes to frames, up to the first thing that is not one. Judges no fault by itself: that needs the durable position.

use crate::bytes::all_zero;
use crate::{Attributes, DecodeError, FRAME_ALIGN, Frame, Offset, Position, Seal};

/// Walks the frames of one segment in a slice.
///
/// ```
/// use tidelog_format::{Offset, Position, ScanEnd, Scanner};
///
/// let mut scanner = Scanner::new(&[0; 4096], Position::new(128), 0x5eed, Offset::ZERO, 0);
/// assert!(scanner.next().is_none());
/// assert_eq!(scanner.end(None), ScanEnd::Clean { position: Position::new(128) });
/// ```
#[derive(Debug, Clone)]
pub struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    start: Position,
    salt: u64,
    next_offset: Offset,
    chain: u32,
    fault: Option<Fault>,
    sealed: bool,
}

/// A verified frame and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameAt<'a> {
    /// First byte of the frame.
    pub position: Position,
    /// The frame, body verified.
    pub frame: Frame<'a>,
}

/// The first thing in a scan that is not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The slice ends exactly here, or holds only zeros from here on.
    End,
    /// The frame here does not decode, or its body does not verify.
    Frame(DecodeError),
    /// The frame is right by itself, but not the one that follows.
    Offset {
        /// The next offset.
        expected: Offset,
        /// The frame's base offset.
        found: Offset,
    },
    /// The frame is right by itself, but was written after other frames than these.
    Chain {
        /// The chain so far.
        expected: u32,
        /// The chain that the frame names.
        found: u32,
    },
}

impl Fault {
    /// Whether a newer version wrote the frame, under a valid checksum. It is neither damage nor a torn end: the caller refuses
    /// the log and cuts nothing.
    pub fn is_unsupported(&self) -> bool {
        matches!(self, Self::Frame(error) if error.is_unsupported())
    }
}

/// How a scan ended, once the durable position is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanEnd {
    /// Nothing but zeros, or nothing at all, behind the last frame.
    Clean {
        /// The end of the last frame.
        position: Position,
    },
    /// What a crash may leave: a fault at or behind the durable position. The log ends here.
    Torn {
        /// The end of the last frame.
        position: Position,
        /// What is there instead.
        fault: Fault,
    },
    /// What no crash leaves: a fault before the durable position, or zeros there.
    Corrupt {
        /// The end of the last frame.
        position: Position,
        /// What is there instead.
        fault: Fault,
    },
}

impl<'a> Scanner<'a> {
    /// A scan of `bytes`, which begin at `start` of the segment that `salt` belongs to, where `next_offset` and `chain` are expected.
    pub fn new(bytes: &'a [u8], start: Position, salt: u64, next_offset: Offset, chain: u32) -> Self {
        Self { bytes, at: 0, start, salt, next_offset, chain, fault: None, sealed: false }
    }

    /// The end of the last frame.
    pub fn reached(&self) -> Position {
        Position::new(self.start.get() + self.at as u64)
    }

    /// The offset after the last frame.
    pub fn next_offset(&self) -> Offset {
        self.next_offset
    }

    /// The chain after the last frame.
    pub fn chain_after(&self) -> u32 {
        self.chain
    }

    /// Whether the last frame was a seal: nothing behind it counts.
    pub fn sealed(&self) -> bool {
        self.sealed
    }

    /// What stopped the scan.
    pub fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// How the scan ended: a fault that begins before `durable` is damage, one at or behind it is a torn end.
    /// Meaningful once `next` has returned `None`, and only if the fault is not [unsupported](Fault::is_unsupported).
    pub fn end(&self, durable: Option<Position>) -> ScanEnd {
        let position = self.reached();
        let fault = self.fault.unwrap_or(Fault::End);
        if !self.sealed && durable.is_some_and(|durable| position < durable) {
            ScanEnd::Corrupt { position, fault }
        } else if fault == Fault::End {
            ScanEnd::Clean { position }
        } else {
            ScanEnd::Torn { position, fault }
        }
    }
}

/// The frame at the start of `bytes`, if it is whole, verified, and the one that follows: what a scan does at each step.
/// A caller that holds only part of a file reads more on [`Fault::Frame`] of [`DecodeError::Truncated`] and on [`Fault::End`].
///
/// # Errors
/// The first thing that is wrong.
#[inline(always)]
pub fn next_frame(bytes: &[u8], salt: u64, position: Position, next_offset: Offset, chain: u32) -> Result<Frame<'_>, Fault> {
    let frame = match Frame::decode(bytes, salt, position) {
        Ok(frame) => frame,
        Err(DecodeError::Magic { found: 0, .. } | DecodeError::Truncated { .. }) if all_zero(bytes) => return Err(Fault::End),
        Err(error) => return Err(Fault::Frame(error)),
    };
    if frame.header.base_offset != next_offset {
        return Err(Fault::Offset { expected: next_offset, found: frame.header.base_offset });
    }
    if frame.header.chain != chain {
        return Err(Fault::Chain { expected: chain, found: frame.header.chain });
    }
    verify(&frame).map_err(Fault::Frame)?;
    Ok(frame)
}

#[inline(always)]
fn verify(frame: &Frame<'_>) -> Result<(), DecodeError> {
    // A seal is decoded from a copy: a frame whose address goes nowhere needs no place in memory.
    if frame.header.attributes.contains(Attributes::SEAL) { Seal::decode(&{ *frame }).map(|_| ()) } else { frame.verify_body() }
}

impl<'a> Iterator for Scanner<'a> {
    type Item = FrameAt<'a>;

    fn next(&mut self) -> Option<FrameAt<'a>> {
        if self.fault.is_some() || self.sealed {
            return None;
        }
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        match next_frame(rest, self.salt, self.reached(), self.next_offset, self.chain) {
            Ok(frame) => {
                let found = FrameAt { position: self.reached(), frame };
                self.at += frame.header.stored_bytes();
                self.next_offset = frame.header.next_offset();
                self.chain = frame.chain_after();
                self.sealed = frame.header.attributes.contains(Attributes::SEAL);
                Some(found)
            }
            Err(fault) => {
                self.fault = Some(fault);
                None
            }
        }
    }
}

/// The first whole frame in `bytes` (which begin at `start`, a multiple of 8) at offset `from` or later and below `below`: how a
/// walk goes on after damage. Salt and position are in its checksum, so that a log stored as a message is not taken for one.
pub fn resync<'a>(bytes: &'a [u8], start: Position, salt: u64, from: Offset, below: Offset) -> Option<FrameAt<'a>> {
    (0..bytes.len()).step_by(FRAME_ALIGN).find_map(|at| {
        let position = Position::new(start.get() + at as u64);
        let frame = Frame::decode(&bytes[at..], salt, position).ok()?;
        let fits = frame.header.base_offset >= from && frame.header.next_offset() <= below;
        (fits && verify(&frame).is_ok()).then_some(FrameAt { position, frame })
    })
}
