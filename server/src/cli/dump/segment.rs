//! Prints a segment file, or a piece that was cut off one: its header, then its frames. Judges as far as the file itself tells.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use tidelog_format::{
    FILE_HEADER_BYTES, FRAME_ALIGN, FRAME_HEADER_BYTES, FileName, SEAL_BYTES, SEGMENT_BYTES_MAX, SEGMENT_HEADER_BYTES, SegmentHeader, SegmentId,
    decode_seal_at_end, glance,
};

use super::Printer;
use super::frames::{Frames, Next};
use super::small::refused;
use super::structure::{Field, Structure, hex};
use super::window::Window;
use crate::exit::Failure;

type Failed<'a> = &'a dyn Fn(io::Error) -> Failure;

pub(super) fn print(printer: &mut Printer, mut window: Window, name: Option<FileName>, failed: Failed<'_>) -> Result<(), Failure> {
    let len = window.end();
    let sealed_end = sealed_end(&mut window, failed)?;
    window.limit(SEGMENT_BYTES_MAX);
    let bytes = window.from(0, SEGMENT_HEADER_BYTES).map_err(failed)?;
    let (salt, next) = match SegmentHeader::decode(bytes) {
        Ok(header) => {
            print_header(printer, &header, name)?;
            window.limit(header.capacity);
            (Some(header.salt), Some(Next { offset: header.base_offset.get(), chain: Some(header.chain_seed) }))
        }
        Err(error) => {
            let problem = refused(error)?;
            let own = bytes.get(SALT_AT..SALT_AT + 8).map(|bytes| bytes.iter().rev().fold(0, |salt, &byte| salt << 8 | u64::from(byte)));
            if window.first_nonzero(0).map_err(failed)?.is_none() {
                return printer.print(&Structure::at(0, "zeros", len).field("note", "a segment that was never begun"));
            }
            printer.print(&Structure::at(0, "segment header", len.min(FILE_HEADER_BYTES as u64)).problem(problem.clone()))?;
            printer.damaged(format!("segment header: {problem}"));
            let id = if let Some(FileName::Log(id)) = name { Some(id) } else { None };
            (sealed_end.map(|(salt, _)| salt).or(own), id.map(|id| Next { offset: id.base_offset, chain: None }))
        }
    };
    let mut frames = Frames::new(salt.unwrap_or_default(), next);
    frames.print(printer, &mut window, SEGMENT_HEADER_BYTES as u64, failed)?;
    frames.judge(printer, sealed_end.map(|(_, end)| end));
    let excess = len.saturating_sub(window.end());
    if excess > 0 {
        printer.print(&Structure::at(window.end(), "excess", excess).field("note", "behind the capacity: ignored"))?;
    }
    Ok(())
}

/// Salt of the seal at the very end of the file, and where the file ends: it is cut to that size after it was synced.
fn sealed_end(window: &mut Window, failed: Failed<'_>) -> Result<Option<(u64, u64)>, Failure> {
    let len = window.end();
    let tail = window.from(len.saturating_sub(SEAL_BYTES as u64), SEAL_BYTES).map_err(failed)?;
    Ok(decode_seal_at_end(tail, len, None).map(|(seal, _)| (seal.salt, len)))
}

fn print_header(printer: &mut Printer, header: &SegmentHeader, name: Option<FileName>) -> Result<(), Failure> {
    let id = SegmentId { base_offset: header.base_offset.get(), seq: header.seq };
    let misnamed = matches!(name, Some(FileName::Log(named)) if named != id);
    let problem = misnamed.then(|| format!("the header is that of {}", id.log_name()));
    if let Some(problem) = &problem {
        printer.damaged(problem.clone());
    }
    let flag = |flag: u32| header.flags & flag != 0;
    let structure = Structure::at(0, "segment header", SEGMENT_HEADER_BYTES as u64)
        .field("partition_uuid", hex(&header.partition_uuid))
        .field("base_offset", header.base_offset.get())
        .field("prev_end", header.prev_end.get())
        .field("rewrite_end", header.rewrite_end.map(tidelog_format::Offset::get))
        .field("seq", header.seq)
        .field("salt", Field::Bits64(header.salt))
        .field("created", Field::Time(header.created.get()))
        .field("capacity", header.capacity)
        .field("leader_epoch", header.leader_epoch.get())
        .field("epoch_start", header.epoch_start.get())
        .field("log_start", header.log_start.get())
        .field("chain_seed", Field::Bits32(header.chain_seed))
        .field("chain_restarted", flag(SegmentHeader::CHAIN_RESTARTED))
        .field("by_recovery", flag(SegmentHeader::BY_RECOVERY))
        .problem(problem);
    printer.print(&structure)
}

/// What recovery cut off a segment. Checksums hold its salt, so the segment must be near for them to be checked.
pub(super) fn print_piece(printer: &mut Printer, mut window: Window, path: &Path, failed: Failed<'_>) -> Result<(), Failure> {
    let (base, len) = (window.base(), window.end() - window.base());
    let salt = salt_nearby(path);
    let piece = Structure::at(base, "quarantined bytes", len);
    let Some(salt) = salt else {
        printer.print(&piece.field("note", "the segment they were cut off is not beside them: checksums hold its salt, and are not checked"))?;
        return print_glances(printer, &mut window, failed);
    };
    printer.print(&piece.field("salt", Field::Bits64(salt)).field("note", "positions are those in the segment"))?;
    // They are out of the log: nothing in them is a fault of the store.
    Frames::new(salt, None).print(printer, &mut window, base, failed)
}

/// `quarantine/{stem}-{position}.bin` was a part of `{stem}.log`, which is above it, or beside it with a time behind its name.
fn salt_nearby(path: &Path) -> Option<u64> {
    let (stem, _) = path.file_name()?.to_str()?.rsplit_once('-')?;
    let name = format!("{stem}.log");
    let dir = std::path::absolute(path).ok()?.parent()?.to_owned();
    let beside = dir.read_dir().ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let is_it = |path: &PathBuf| path.file_name().and_then(|found| found.to_str()).is_some_and(|found| found.starts_with(&name));
    std::iter::once(dir.parent()?.join(&name)).chain(beside.filter(is_it)).find_map(|path| {
        let file = File::open(path).ok()?;
        let mut window = Window::new(file, 0, SEGMENT_HEADER_BYTES as u64);
        Some(SegmentHeader::decode(window.from(0, SEGMENT_HEADER_BYTES).ok()?).ok()?.salt)
    })
}

fn print_glances(printer: &mut Printer, window: &mut Window, failed: Failed<'_>) -> Result<(), Failure> {
    let mut at = window.base();
    loop {
        let bytes = window.from(at, FRAME_HEADER_BYTES).map_err(failed)?;
        if bytes.len() < FRAME_HEADER_BYTES {
            return Ok(());
        }
        let Some(seen) = glance(bytes) else {
            at += FRAME_ALIGN as u64;
            continue;
        };
        let structure = Structure::at(at, "what looks like a frame", seen.stored_bytes as u64)
            .field("base_offset", seen.base_offset.get())
            .field("next_offset", seen.next_offset.get());
        printer.print(&structure)?;
        at += seen.stored_bytes as u64;
    }
}

/// SPEC.md, "Segment header".
const SALT_AT: usize = 64;
