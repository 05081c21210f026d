//! Prints the small files: CHECKPOINT, META, TOPIC, STORE, LIVE, LOCK and recovery reports. Knows no segment.

use std::io;

use serde_json::Value;
use tidelog_format::{
    Checkpoint, DecodeError, FILE_HEADER_BYTES, LIVE_HEADER_BYTES, LIVE_SLOT_BYTES, LiveField, LiveHeader, Meta, SLOT_BYTES, StoreMeta, TopicMeta,
    WAKE_POSITION,
};

use super::Printer;
use super::structure::{Field, Structure, hex};
use super::window::Window;
use crate::exit::{Exit, Failure};

type Failed<'a> = &'a dyn Fn(io::Error) -> Failure;

/// What a decoder refused: of a newer version it is nothing to judge.
pub(super) fn refused(error: DecodeError) -> Result<String, Failure> {
    if error.is_unsupported() { Err(Failure::because(Exit::Refused, "of a newer version", error)) } else { Ok(error.to_string()) }
}

pub(super) fn print_checkpoint(printer: &mut Printer, mut window: Window, failed: Failed<'_>) -> Result<(), Failure> {
    let len = window.end();
    let bytes = window.from(0, 2 * SLOT_BYTES).map_err(failed)?.to_vec();
    let slots: Vec<_> = bytes.chunks(SLOT_BYTES).take(2).map(|slot| (slot, Checkpoint::decode(slot))).collect();
    let newest = slots.iter().filter_map(|(_, slot)| slot.as_ref().ok()).reduce(|best, slot| if slot.is_newer_than(best) { slot } else { best });
    let mut wrong = Vec::new();
    for (number, (slot, decoded)) in slots.iter().enumerate() {
        let (position, size) = ((number * SLOT_BYTES) as u64, slot.len() as u64);
        match decoded {
            Ok(slot) => {
                let in_place = slot.slot_position().get() == position;
                let problem = (!in_place).then(|| format!("counter {} belongs in the other slot", slot.counter));
                printer.print(&checkpoint(slot, position, newest == Some(slot)).problem(problem))?;
            }
            Err(_) if slot.iter().all(|&byte| byte == 0) => printer.print(&Structure::at(position, "slot never written", size))?,
            Err(error) => {
                let problem = refused(*error)?;
                wrong.push(format!("slot {number} at position {position}: {problem}"));
                printer.print(&Structure::at(position, "checkpoint slot", size).problem(problem))?;
            }
        }
    }
    if len != 2 * SLOT_BYTES as u64 {
        wrong.push(format!("{len} bytes instead of {}", 2 * SLOT_BYTES));
    }
    match (newest, wrong.first()) {
        (_, None) => {}
        (Some(_), Some(first)) => printer.torn(format!("{first}; a crash may tear the slot that is written: the other is used")),
        (None, Some(_)) => wrong.into_iter().for_each(|wrong| printer.damaged(wrong)),
    }
    Ok(())
}

fn checkpoint(slot: &Checkpoint, position: u64, is_newest: bool) -> Structure {
    let (current, terms) = (slot.terms.newest(), slot.terms.as_slice());
    let earlier = terms[..terms.len() - 1].iter().map(|term| format!("{} from {}", term.epoch, term.start));
    Structure::at(position, "checkpoint slot", FILE_HEADER_BYTES as u64)
        .field("counter", slot.counter)
        .field("newest", is_newest)
        .field("partition_uuid", hex(&slot.partition_uuid))
        .field("log_start", slot.log_start.get())
        .field("durable_next_offset", slot.durable_next_offset.get())
        .field("active_seq", slot.active_seq)
        .field("active_salt", Field::Bits64(slot.active_salt))
        .field("tail_pos", slot.tail_pos.get())
        .field("tail_chain", Field::Bits32(slot.tail_chain))
        .field("max_ts", Field::Time(slot.max_ts.get()))
        .field("high_water_mark", slot.high_water_mark.get())
        .field("leader_epoch", current.epoch.get())
        .field("epoch_start", current.start.get())
        .field("earlier_terms", earlier.collect::<Vec<_>>().join(", "))
}

pub(super) fn print_meta(printer: &mut Printer, mut window: Window, failed: Failed<'_>) -> Result<(), Failure> {
    let len = window.end();
    let structure = match Meta::decode(window.from(0, SMALL_BYTES).map_err(failed)?) {
        Ok(meta) => Structure::at(0, "META", len)
            .field("uuid", hex(&meta.uuid))
            .field("namespace", meta.namespace)
            .field("topic", meta.topic)
            .field("index", meta.index)
            .field("created", Field::Time(meta.created.get()))
            .field("ring_size", meta.ring_size)
            .field("range_start", meta.range_start)
            .field("range_stop", meta.range_stop)
            .field("compat", Field::Bits32(meta.compat))
            .field("ro_compat", Field::Bits32(meta.ro_compat)),
        Err(error) => whole(printer, "META", len, refused(error)?),
    };
    printer.print(&structure)
}

pub(super) fn print_topic(printer: &mut Printer, mut window: Window, failed: Failed<'_>) -> Result<(), Failure> {
    let len = window.end();
    let topic = match TopicMeta::decode(window.from(0, TOPIC_BYTES).map_err(failed)?) {
        Ok(topic) => topic,
        Err(error) => {
            let whole = whole(printer, "TOPIC", len, refused(error)?);
            return printer.print(&whole);
        }
    };
    let header = Structure::at(0, "TOPIC", FILE_HEADER_BYTES as u64)
        .field("uuid", hex(&topic.uuid))
        .field("created", Field::Time(topic.created.get()))
        .field("ring_size", topic.ring_size)
        .field("partition_count", topic.partitions.len() as u64);
    printer.print(&header)?;
    let bytes = (len - FILE_HEADER_BYTES as u64) / topic.partitions.len().max(1) as u64;
    for (number, entry) in (0..).zip(&topic.partitions) {
        let into = entry.split.clone().map(|into| into.to_string()).collect::<Vec<_>>().join(", ");
        let structure = Structure::at(FILE_HEADER_BYTES as u64 + number * bytes, "partition entry", bytes)
            .field("number", number)
            .field("uuid", hex(&entry.uuid))
            .field("created", Field::Time(entry.created.get()))
            .field("range_start", entry.range_start)
            .field("range_stop", entry.range_stop)
            .field("split_into", into)
            .field("made", entry.made);
        printer.print(&structure)?;
    }
    Ok(())
}

pub(super) fn print_store(printer: &mut Printer, mut window: Window, failed: Failed<'_>) -> Result<(), Failure> {
    let len = window.end();
    let structure = match StoreMeta::decode(window.from(0, SMALL_BYTES).map_err(failed)?) {
        Ok(meta) => Structure::at(0, "STORE", len).field("uuid", hex(&meta.uuid)).field("created", Field::Time(meta.created.get())),
        Err(error) => whole(printer, "STORE", len, refused(error)?),
    };
    printer.print(&structure)
}

fn whole(printer: &mut Printer, name: &'static str, len: u64, problem: String) -> Structure {
    printer.damaged(problem.clone());
    Structure::at(0, name, len).problem(problem)
}

pub(super) fn print_live(printer: &mut Printer, mut window: Window, failed: Failed<'_>) -> Result<(), Failure> {
    let len = window.end();
    let bytes = window.from(0, LIVE_HEADER_BYTES).map_err(failed)?;
    let wake = bytes.get(WAKE_POSITION..WAKE_POSITION + 4).map_or(0, |word| word.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte)));
    let structure = match LiveHeader::decode(bytes) {
        Ok(header) => Structure::at(0, "LIVE header", LIVE_HEADER_BYTES as u64)
            .field("boot_id", hex(&header.boot_id))
            .field("writer_nonce", Field::Bits64(header.writer_nonce))
            .field("writer_pid", header.writer_pid)
            .field("wake", wake),
        Err(error) => whole(printer, "LIVE header", len, refused(error)?),
    };
    printer.print(&structure)?;
    let slots = len.min(LIVE_BYTES_MAX).saturating_sub(LIVE_HEADER_BYTES as u64) / LIVE_SLOT_BYTES as u64;
    for slot in 0..slots {
        let position = LIVE_HEADER_BYTES as u64 + slot * LIVE_SLOT_BYTES as u64;
        let bytes = window.from(position, LIVE_SLOT_BYTES).map_err(failed)?;
        let word = |field: LiveField| {
            let at = field.position(0) - LIVE_HEADER_BYTES;
            bytes.get(at..at + 8).map_or(0, |word| word.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)))
        };
        if word(LiveField::PartitionId) == 0 {
            continue; // not in use
        }
        let structure = Structure::at(position, "LIVE slot", LIVE_SLOT_BYTES as u64)
            .field("slot", slot)
            .field("partition_id", Field::Bits64(word(LiveField::PartitionId)))
            .field("change", word(LiveField::Change))
            .field("log_start", word(LiveField::LogStart))
            .field("active_seq", word(LiveField::ActiveSeq))
            .field("written_end", word(LiveField::WrittenEnd))
            .field("durable_end", word(LiveField::DurableEnd))
            .field("high_water_mark", word(LiveField::HighWaterMark));
        printer.print(&structure)?;
    }
    Ok(())
}

pub(super) fn print_lock(printer: &mut Printer, mut window: Window, failed: Failed<'_>) -> Result<(), Failure> {
    let len = window.end();
    let text = String::from_utf8_lossy(window.from(0, SMALL_BYTES).map_err(failed)?).trim().to_owned();
    printer.print(&Structure::at(0, "LOCK", len).field("process", text))
}

pub(super) fn print_report(printer: &mut Printer, mut window: Window, failed: Failed<'_>) -> Result<(), Failure> {
    let len = window.end();
    let bytes = window.from(0, REPORT_BYTES_MAX).map_err(failed)?;
    let structure = match serde_json::from_slice(bytes) {
        Ok(Value::Object(fields)) => REPORT_FIELDS.iter().fold(Structure::at(0, "recovery report", len), |structure, name| match fields.get(*name) {
            Some(value) => structure.field(name, value.clone()),
            None => structure,
        }),
        Ok(_) => whole(printer, "recovery report", len, "not a JSON object".to_owned()),
        Err(error) => whole(printer, "recovery report", len, error.to_string()),
    };
    printer.print(&structure)
}

const TOPIC_BYTES: usize = 1 << 20;
const SMALL_BYTES: usize = 8192;
/// As much as the engine looks at.
const LIVE_BYTES_MAX: u64 = 256 << 20;
const REPORT_BYTES_MAX: usize = 64 << 20;
const REPORT_FIELDS: [&str; 8] =
    ["log_start_offset", "next_offset", "leader_epoch", "scanned_bytes", "damage", "findings", "quarantined", "torn_end"];
