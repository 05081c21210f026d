//! Any bytes in place of a CHECKPOINT: what was never written by a log costs time, and not a record, an offset or another's bytes.

use tidelog::OnDamage;
use tidelog::io::sim::NameModel;
use tidelog_format::{CHECKPOINT_NAME, Checkpoint, FILE_HEADER_BYTES, SLOT_BYTES, TERMS_MAX};

use super::heal;
use super::served::{DIR, Served, files, look, open};
use super::stored::{self, Stored};

/// The first byte says which log it is, whether checksums are made right, and how long the file is; then come both slots.
pub fn run(data: &[u8]) {
    let Some((&how, slots)) = data.split_first() else { return };
    let stored = if how & 1 == 0 { stored::closed() } else { stored::killed() };
    let bytes = file(how, slots, &slots_of(stored));
    let is_true = says_nothing_new(stored, &bytes);
    let mut image = stored.image.clone();
    image.put(format!("{DIR}/{CHECKPOINT_NAME}"), bytes);
    let disk = image.disk(1, NameModel::Strict);
    let seen = look(&disk).map(|view| Served::of(&view));
    assert!(disk.image() == image, "who only looked changed something");
    let (store, partition) = match open(&disk, OnDamage::Isolate) {
        Ok(opened) => opened,
        Err(error) => {
            assert!(!is_true && seen.is_err(), "refused: {error}");
            assert!(files(&disk.image()) == files(&image), "refused with a change: {error}");
            return;
        }
    };
    let served = Served::of(partition.view());
    assert_eq!(seen.expect("it opened"), served, "a reader saw something else than what recovery made");
    if is_true {
        assert_eq!(served, stored.served, "a checkpoint cost more than time");
    }
    // One that lies under a right checksum may hide records, but makes none.
    let mut known = stored.served.rows.iter();
    assert!(served.rows.iter().all(|row| known.any(|known| known == row)), "a record that was never written");
    drop(partition);
    store.close().expect("nothing fails");
    assert_eq!(Served::of(&look(&disk.kill()).expect("it was opened before")), served, "the next open");
}

/// The slots that the log wrote: a fuzzer changes them rather than finding them.
fn slots_of(stored: &Stored) -> [u8; 2 * FILE_HEADER_BYTES] {
    let path = format!("{DIR}/{CHECKPOINT_NAME}");
    let (_, bytes) = stored.image.files().find(|(found, _)| found.as_os_str() == path.as_str()).expect("a log has one");
    let mut slots = [0; 2 * FILE_HEADER_BYTES];
    slots[..FILE_HEADER_BYTES].copy_from_slice(&bytes[..FILE_HEADER_BYTES]);
    slots[FILE_HEADER_BYTES..].copy_from_slice(&bytes[SLOT_BYTES..][..FILE_HEADER_BYTES]);
    slots
}

fn file(how: u8, data: &[u8], written: &[u8; 2 * FILE_HEADER_BYTES]) -> Vec<u8> {
    // As they are, or as what they differ in from those that were written.
    let differs = how & 2 != 0;
    let slots: Vec<u8> = (0..2 * FILE_HEADER_BYTES).map(|at| data.get(at).copied().unwrap_or(0) ^ if differs { written[at] } else { 0 }).collect();
    let mut file = vec![0; 2 * SLOT_BYTES];
    for (number, slot) in slots.chunks(FILE_HEADER_BYTES).enumerate() {
        file[number * SLOT_BYTES..][..slot.len()].copy_from_slice(slot);
    }
    // Earlier terms, behind the first.
    let rest = data.get(2 * FILE_HEADER_BYTES..).unwrap_or_default();
    let rest = &rest[..rest.len().min(16 * (TERMS_MAX - 1))];
    file[FILE_HEADER_BYTES..][..rest.len()].copy_from_slice(rest);
    for (number, slot) in file.chunks_mut(SLOT_BYTES).enumerate() {
        if how >> (2 + number) & 1 == 1 {
            heal::slot(slot);
        }
    }
    match how >> 6 {
        1 => file.truncate(SLOT_BYTES + usize::from(data.len() as u16 % 4096)),
        2 => file.extend_from_slice(&data[..data.len().min(100)]),
        _ => {}
    }
    file
}

/// Whether every slot that can be believed is one that the log wrote, or another partition's.
fn says_nothing_new(stored: &Stored, bytes: &[u8]) -> bool {
    let written: Vec<_> = slots_of(stored).chunks(FILE_HEADER_BYTES).filter_map(|slot| Checkpoint::decode(slot).ok()).collect();
    bytes.chunks(SLOT_BYTES).take(2).all(|slot| match Checkpoint::decode(slot) {
        Ok(slot) => written.contains(&slot) || written.iter().all(|known| known.partition_uuid != slot.partition_uuid),
        Err(error) => !error.is_unsupported(),
    })
}
