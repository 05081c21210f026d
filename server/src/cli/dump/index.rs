//! Prints an index file: its header, its blocks, its entries. Looks at no segment.

use std::io;

use tidelog_format::{FILE_HEADER_BYTES, FileName, IndexBlock, IndexEntry, IndexHeader, TimestampNs, index_block_at, index_bytes};

use super::Printer;
use super::small::refused;
use super::structure::{Field, Structure};
use super::window::Window;
use crate::exit::Failure;

pub(super) fn print(printer: &mut Printer, mut window: Window, name: Option<FileName>, failed: &dyn Fn(io::Error) -> Failure) -> Result<(), Failure> {
    let len = window.end();
    let header = match IndexHeader::decode(window.from(0, FILE_HEADER_BYTES).map_err(failed)?) {
        Ok(header) => header,
        Err(error) => {
            let problem = refused(error)?;
            printer.damaged(format!("header: {problem}; it costs time, no record: the next writer makes it anew"));
            return printer.print(&Structure::at(0, "index header", len).problem(problem));
        }
    };
    let problem = misfit(&header, name, len);
    printer.print(&described(&header).problem(problem.clone()))?;
    if let Some(problem) = problem {
        printer.damaged(problem);
    }
    let mut before = None;
    for number in 0.. {
        let Some((position, size)) = index_block_at(header.entries, number).filter(|(position, _)| position.get() < len) else { break };
        let bytes = window.from(position.get(), size).map_err(failed)?;
        let block = Structure::at(position.get(), "index block", size as u64).field("number", number);
        match IndexBlock::decode(&bytes[..bytes.len().min(size)], header.salt, number) {
            Ok(block_of) => {
                printer.print(&block.field("entries", block_of.len()))?;
                let entries: Vec<IndexEntry> = block_of.entries().collect();
                print_entries(printer, &header, position.get(), &entries, &mut before)?;
            }
            Err(error) => {
                printer.damaged(format!("block {number} at position {position}: {error}"));
                printer.print(&block.problem(error.to_string()))?;
            }
        }
    }
    Ok(())
}

fn misfit(header: &IndexHeader, name: Option<FileName>, len: u64) -> Option<String> {
    let expected = index_bytes(header.entries as usize) as u64;
    if len != expected {
        return Some(format!("{len} bytes, where {} entries take {expected}", header.entries));
    }
    match name {
        Some(FileName::Index(id)) if id.seq != header.seq || id.base() != header.base_offset => {
            Some(format!("the header is of segment {} from offset {}, the name of another", header.seq, header.base_offset))
        }
        _ => None,
    }
}

fn described(header: &IndexHeader) -> Structure {
    Structure::at(0, "index header", FILE_HEADER_BYTES as u64)
        .field("seq", header.seq)
        .field("salt", Field::Bits64(header.salt))
        .field("base_offset", header.base_offset.get())
        .field("next_offset", header.next_offset.get())
        .field("entries", header.entries)
        .field("covered", header.covered.get())
        .field("records", header.records)
        .field("max_ts", Field::Time(header.max_ts.get()))
        .field("chain", Field::Bits32(header.chain))
        .field("sealed", header.sealed)
}

/// Entries grow in offset and position, and do not fall in time.
fn print_entries(
    printer: &mut Printer,
    header: &IndexHeader,
    block: u64,
    entries: &[IndexEntry],
    before: &mut Option<IndexEntry>,
) -> Result<(), Failure> {
    for (number, entry) in entries.iter().enumerate() {
        let position = block + (number * ENTRY_BYTES) as u64;
        let (beyond, fell) = (u64::from(entry.position) >= header.covered.get(), before.is_some_and(|before| !grows(&before, entry)));
        let problem = match (beyond, fell) {
            (true, _) => Some("points behind what the index covers"),
            (_, true) => Some("does not grow from the entry before"),
            _ => None,
        };
        if let Some(problem) = problem {
            printer.damaged(format!("entry at position {position}: {problem}"));
        }
        let structure = Structure::at(position, "entry", ENTRY_BYTES as u64)
            .field("offset", header.base_offset.get() + u64::from(entry.rel_offset))
            .field("frame_position", entry.position)
            .field("max_ts_before", Field::Time(entry.max_ts_before.get()))
            .problem(problem.map(str::to_owned));
        printer.print(&structure)?;
        *before = Some(*entry);
    }
    Ok(())
}

fn grows(before: &IndexEntry, entry: &IndexEntry) -> bool {
    let time = |entry: &IndexEntry| -> TimestampNs { entry.max_ts_before };
    before.rel_offset <= entry.rel_offset && before.position < entry.position && time(before) <= time(entry)
}

const ENTRY_BYTES: usize = tidelog_format::INDEX_ENTRY_BYTES;
