//! Prints the frames of a segment one after the other, past what is none, and remembers what they say of each other. Opens no file.

use std::io;

use tidelog::{RecordRef, StoredBatch, Unreadable};
use tidelog_format::{Attributes, DecodeError, FRAME_ALIGN, FRAME_HEADER_BYTES, FRAME_MAGIC, Frame, NO_CLAIM, Position, Seal};

use super::Printer;
use super::small::refused;
use super::structure::{Field, Structure};
use super::window::Window;
use crate::exit::Failure;
use crate::output::shown;

type Failed<'a> = &'a dyn Fn(io::Error) -> Failure;

/// What must come next, as far as it is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Next {
    pub(super) offset: u64,
    pub(super) chain: Option<u32>,
}

/// A walk over frames.
pub(super) struct Frames {
    salt: u64,
    next: Option<Next>,
    /// The furthest position that a frame says was durable.
    claimed: u64,
    faults: Vec<(u64, String)>,
    /// Offset behind the last right frame.
    reached: u64,
    /// Where the last right frame ends.
    end: u64,
}

/// What stands at a position.
enum Found {
    /// Zeros to the end, or the end.
    Nothing,
    Frame {
        stored: u64,
        is_seal: bool,
    },
    Fault(String),
}

impl Frames {
    pub(super) fn new(salt: u64, next: Option<Next>) -> Self {
        Self { salt, next, claimed: 0, faults: Vec::new(), reached: next.map_or(0, |next| next.offset), end: 0 }
    }

    /// Prints everything from `at` to the end of the window.
    pub(super) fn print(&mut self, printer: &mut Printer, window: &mut Window, mut at: u64, failed: Failed<'_>) -> Result<(), Failure> {
        self.end = at;
        loop {
            match self.print_one(printer, window, at, failed)? {
                Found::Nothing => break,
                Found::Frame { stored, is_seal } => {
                    at += stored;
                    self.end = at;
                    if is_seal {
                        break;
                    }
                }
                Found::Fault(problem) => {
                    let to = self.next_frame(window, at + FRAME_ALIGN as u64, failed)?;
                    self.faults.push((at, format!("position {at}: {problem}")));
                    let bytes = to.unwrap_or(window.end()) - at;
                    printer.print(&Structure::at(at, "no right frame", bytes).problem(problem))?;
                    let Some(to) = to else { return Ok(()) };
                    at = to;
                    self.next = None;
                }
            }
        }
        self.print_rest(printer, window, at, failed)
    }

    fn print_rest(&mut self, printer: &mut Printer, window: &mut Window, at: u64, failed: Failed<'_>) -> Result<(), Failure> {
        let bytes = window.end().saturating_sub(at);
        if bytes == 0 {
            return Ok(());
        }
        let structure = match window.first_nonzero(at).map_err(failed)? {
            None => Structure::at(at, "zeros", bytes),
            Some(_) => Structure::at(at, "excess", bytes).field("note", "behind the seal: ignored"),
        };
        printer.print(&structure)
    }

    fn print_one(&mut self, printer: &mut Printer, window: &mut Window, at: u64, failed: Failed<'_>) -> Result<Found, Failure> {
        let (salt, position) = (self.salt, Position::new(at));
        let mut needed = FRAME_HEADER_BYTES;
        let frame = loop {
            let bytes = window.from(at, needed).map_err(failed)?;
            match Frame::decode(bytes, salt, position) {
                Err(DecodeError::Truncated { needed: more, .. }) if more > needed && bytes.len() >= needed => needed = more,
                Ok(_) => break Frame::decode(bytes, salt, position).map(|frame| (frame.header.stored_bytes(), frame.header.base_offset)),
                Err(error) => break Err(error),
            }
        };
        let stored = match frame {
            Ok((stored, _)) => stored,
            Err(_) if window.first_nonzero(at).map_err(failed)?.is_none() => return Ok(Found::Nothing),
            Err(error) => return Ok(Found::Fault(refused(error)?)),
        };
        let bytes = window.from(at, stored).map_err(failed)?[..stored].to_vec();
        let Ok(frame) = Frame::decode(&bytes, salt, position) else { return Ok(Found::Fault("it changes while it is read".to_owned())) };
        self.note_claim(&frame, position);
        let is_seal = frame.header.attributes.contains(Attributes::SEAL);
        let problem = self.misfit(&frame).or_else(|| {
            let checked = if is_seal { Seal::decode(&frame).map(drop) } else { frame.verify_body() };
            checked.err().map(|error| error.to_string())
        });
        printer.print(&described(&frame, position))?;
        if let Some(problem) = problem {
            return Ok(Found::Fault(problem));
        }
        if is_seal && let Ok(seal) = Seal::decode(&frame) {
            printer.print(&sealed(&seal, at))?;
        }
        if frame.header.record_count > 0 {
            self.print_records(printer, &bytes, at)?;
        }
        self.reached = frame.header.next_offset().get();
        self.next = Some(Next { offset: self.reached, chain: Some(frame.chain_after()) });
        Ok(Found::Frame { stored: stored as u64, is_seal })
    }

    fn note_claim(&mut self, frame: &Frame<'_>, position: Position) {
        self.claimed = self.claimed.max(frame.header.durable_position(position).map_or(0, Position::get));
    }

    /// What makes a frame, right by itself, not the one that follows.
    fn misfit(&self, frame: &Frame<'_>) -> Option<String> {
        let (offset, chain) = (frame.header.base_offset.get(), frame.header.chain);
        let Some(next) = self.next else {
            return (offset < self.reached).then(|| format!("offset {offset}, behind a frame that ends at {}", self.reached));
        };
        if offset != next.offset {
            return Some(format!("offset {offset} where {} follows", next.offset));
        }
        let expected = next.chain.filter(|expected| *expected != chain)?;
        Some(format!("written after other frames: chain {chain:08x} instead of {expected:08x}"))
    }

    fn print_records(&self, printer: &mut Printer, bytes: &[u8], at: u64) -> Result<(), Failure> {
        let batch = match StoredBatch::from_bytes(bytes, self.salt, Position::new(at)) {
            Ok(batch) => batch,
            Err(error) => {
                // A codec that is not built in hides records; the batch itself verified.
                if !matches!(error, Unreadable::Codec { .. }) {
                    printer.damaged(format!("position {at}: {error}"));
                }
                return printer.print(&Structure::unplaced("records", 0).problem(error.to_string()));
            }
        };
        for record in batch.records() {
            match record {
                Ok(record) => printer.print(&described_record(&record, printer.values))?,
                Err(error) => {
                    printer.damaged(format!("position {at}: a record: {error}"));
                    printer.print(&Structure::unplaced("record", 0).problem(error.to_string()))?;
                }
            }
        }
        Ok(())
    }

    /// The next whole frame from `at` on. What only its header vouches for counts as a witness of what was durable.
    fn next_frame(&mut self, window: &mut Window, mut at: u64, failed: Failed<'_>) -> Result<Option<u64>, Failure> {
        loop {
            let bytes = window.from(at, FRAME_ALIGN).map_err(failed)?;
            if bytes.len() < FRAME_ALIGN {
                return Ok(None);
            }
            let words = bytes.len() / FRAME_ALIGN;
            let Some(skip) = (0..words).find(|word| bytes[word * FRAME_ALIGN..].starts_with(&FRAME_MAGIC.to_le_bytes())) else {
                at += (words * FRAME_ALIGN) as u64;
                continue;
            };
            at += (skip * FRAME_ALIGN) as u64;
            let position = Position::new(at);
            let mut asked = FRAME_HEADER_BYTES;
            while let Err(DecodeError::Truncated { needed, .. }) = Frame::decode(window.from(at, asked).map_err(failed)?, self.salt, position)
                && needed > asked
            {
                asked = needed;
            }
            let bytes = window.from(at, asked).map_err(failed)?;
            if let Ok(frame) = Frame::decode(bytes, self.salt, position) {
                let is_whole = frame.verify_body().is_ok();
                self.claimed = self.claimed.max(frame.header.durable_position(position).map_or(0, Position::get));
                if is_whole {
                    return Ok(Some(at));
                }
            }
            at += FRAME_ALIGN as u64;
        }
    }

    /// Says of each fault what it is. `sealed_end`: the file ends with its seal, so it was synced whole.
    pub(super) fn judge(&self, printer: &mut Printer, sealed_end: Option<u64>) {
        let durable = self.claimed.max(sealed_end.unwrap_or(0));
        for (position, fault) in &self.faults {
            if *position < durable {
                printer.damaged(fault.clone());
            } else {
                printer.torn(format!("{fault}: a torn end, as far as this file tells; nothing in it says that this was durable"));
            }
        }
        if self.faults.is_empty() && self.end < durable {
            printer.damaged(format!("position {}: the frames end, durable up to position {durable}", self.end));
        }
    }
}

fn described(frame: &Frame<'_>, position: Position) -> Structure {
    let (header, attributes) = (&frame.header, frame.header.attributes);
    let name = match () {
        () if attributes.contains(Attributes::SEAL) => "seal frame",
        () if attributes.contains(Attributes::PAD) => "pad",
        () if attributes.contains(Attributes::NO_OFFSETS) => "blank",
        () => "batch",
    };
    let time = |ts: tidelog_format::TimestampNs| {
        if attributes.contains(Attributes::TS_MILLIS) { Field::from(ts.get()) } else { Field::Time(ts.get()) }
    };
    let claim = match header.durable_position(position) {
        Some(durable) => Field::from(durable.get()),
        None if header.durable_back == NO_CLAIM => Field::from(()),
        None => Field::from("before the beginning of the file"),
    };
    let codec = attributes.codec().map_or_else(|error| error.to_string(), |codec| format!("{codec:?}").to_lowercase());
    let structure = Structure::at(position.get(), name, header.stored_bytes() as u64)
        .field("base_offset", header.base_offset.get())
        .field("next_offset", header.next_offset().get())
        .field("records", header.record_count)
        .field("frame_len", header.frame_len)
        .field("base_ts", time(header.base_ts))
        .field("max_ts", time(header.max_ts))
        .field("attributes", Field::Bits32(attributes.0))
        .field("codec", codec)
        .field("leader_epoch", header.leader_epoch.get())
        .field("chain", Field::Bits32(header.chain))
        .field("durable_to", claim);
    // In a small frame the one checksum covers the body too.
    let structure = if header.is_small() { structure } else { structure.field("body_crc", Field::Bits32(header.body_crc)) };
    with_blocks(structure, frame)
}

fn with_blocks(mut structure: Structure, frame: &Frame<'_>) -> Structure {
    if let Some(producer) = frame.blocks.producer {
        structure =
            structure.field("producer_id", producer.id).field("producer_epoch", producer.epoch).field("base_sequence", producer.base_sequence);
    }
    if let Some(replication) = frame.blocks.replication {
        structure = structure.field("log_index", replication.log_index).field("leader_node", replication.leader_node).field("kind", replication.kind);
    }
    if let Some(nanos) = frame.blocks.nanos {
        structure = structure.field("nanos_width", nanos.width).field("nanos_min", nanos.min).field("nanos_crc", Field::Bits32(nanos.crc));
    }
    match frame.blocks.note {
        Some(note) => structure.field("note_bytes", note.len()),
        None => structure,
    }
}

fn sealed(seal: &Seal, position: u64) -> Structure {
    Structure::at(position + FRAME_HEADER_BYTES as u64, "seal", (tidelog_format::SEAL_BYTES - FRAME_HEADER_BYTES) as u64)
        .field("salt", Field::Bits64(seal.salt))
        .field("base_offset", seal.base_offset.get())
        .field("next_offset", seal.next_offset.get())
        .field("records", seal.records)
        .field("max_ts", Field::Time(seal.max_ts.get()))
        .field("log_start", seal.log_start.get())
        .field("first_epoch", seal.first_epoch.get())
        .field("last_epoch", seal.last_epoch.get())
        .field("chain_out", Field::Bits32(seal.chain_out))
}

fn described_record(record: &RecordRef<'_>, with_values: bool) -> Structure {
    let len = |bytes: Option<&[u8]>| bytes.map(<[u8]>::len);
    let bytes = len(record.key()).unwrap_or(0) + len(record.value()).unwrap_or(0);
    let structure = Structure::unplaced("record", bytes as u64)
        .field("offset", record.offset().get())
        .field("timestamp", Field::Time(record.timestamp().get()))
        .field("key_bytes", len(record.key()))
        .field("value_bytes", len(record.value()))
        .field("headers", record.headers().count());
    if !with_values {
        return structure;
    }
    structure.field("key", shown(record.key(), VALUE_CHARS)).field("value", shown(record.value(), VALUE_CHARS))
}

const VALUE_CHARS: usize = 64;
