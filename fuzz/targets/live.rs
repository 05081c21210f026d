//! Any bytes in place of META, TOPIC, STORE or LIVE: none costs a record, and LIVE, while its writer lives, shows nobody a record that is not there.

use tidelog::io::sim::{NameModel, SimDisk};
use tidelog::io::{Access, Storage};
use tidelog::{OnDamage, OpenError, Record, TopicError};
use tidelog_format::{LIVE_HEADER_BYTES, LIVE_NAME, LIVE_SLOT_BYTES, META_NAME, Meta, STORE_NAME, TOPIC_NAME, TopicMeta};

use super::heal;
use super::served::{DIR, Row, STORE, Served, files, look, open};
use super::stored::{self, Stored};

/// The first byte says what the rest stands in place of, or what it changes in that.
pub fn run(data: &[u8]) {
    let Some((&how, data)) = data.split_first() else { return };
    let stored = if how & 1 == 0 { stored::closed() } else { stored::killed() };
    let (path, magic) = match how >> 1 & 3 {
        0 if how & 32 != 0 => (format!("{}/{TOPIC_NAME}", DIR.trim_end_matches("/0")), b"TIDETOP\n"),
        0 => (format!("{DIR}/{META_NAME}"), b"TIDEMET\n"),
        1 => (format!("{STORE}/{STORE_NAME}"), b"TIDESTO\n"),
        2 => (format!("{STORE}/{LIVE_NAME}"), b"TIDELIV\n"),
        _ => return beside_a_writer(stored, data),
    };
    let written = stored.image.files().find(|(found, _)| found.as_os_str() == path.as_str()).map_or(&[][..], |(_, bytes)| bytes);
    let mut bytes =
        if how & 8 == 0 { data.to_vec() } else { written.iter().enumerate().map(|(at, byte)| byte ^ data.get(at).unwrap_or(&0)).collect() };
    if how & 16 != 0 {
        bytes = heal::file_header(&bytes, magic, magic == b"TIDEMET\n" || magic == b"TIDETOP\n");
    }
    let mut image = stored.image.clone();
    image.put(&path, bytes.clone());
    check(&image.disk(1, NameModel::Strict), stored, &bytes);
}

fn check(disk: &SimDisk, stored: &Stored, bytes: &[u8]) {
    let image = disk.image();
    let seen = look(disk).map(|view| Served::of(&view));
    assert!(disk.image() == image, "who only looked changed something");
    let (store, partition) = match open(disk, OnDamage::Isolate) {
        Ok(opened) => opened,
        Err(TopicError::Open(error @ (OpenError::Unsupported { .. } | OpenError::Misplaced { .. }))) => {
            assert!(files(&disk.image()) == files(&image), "refused with a change: {error}");
            return;
        }
        // The catalogue says how many there are.
        Err(TopicError::PartitionsMissing { .. }) if Meta::decode(bytes).is_ok() || TopicMeta::decode(bytes).is_ok() => return,
        Err(TopicError::RingSize { .. }) if TopicMeta::decode(bytes).is_ok() => return,
        // It costs the writer: keys could go elsewhere.
        Err(TopicError::CatalogDamaged { .. }) => return assert_eq!(seen.expect("it is read"), stored.served, "a reader without a catalogue"),
        Err(error) => panic!("refused: {error}"),
    };
    assert_eq!(seen.expect("it opened"), stored.served, "a reader");
    assert_eq!(Served::of(partition.view()), stored.served, "the writer");
    drop(partition);
    store.close().expect("nothing fails");
    assert_eq!(Served::of(&look(&disk.kill()).expect("it was opened before")), stored.served, "the next open");
}

/// Changes the page of a writer that lives, and looks at the log by it.
fn beside_a_writer(stored: &Stored, data: &[u8]) {
    let disk = stored.image.disk(1, NameModel::Strict);
    let (store, partition) = open(&disk, OnDamage::Isolate).expect("it is whole");
    partition.append(Record::new("beside").key("k")).expect("nothing fails");
    let mut all = stored.served.clone();
    all.rows.push(Row::of(&partition.get(all.end).expect("it was appended")));
    all.end += 1;
    let page = disk.open(format!("{STORE}/{LIVE_NAME}").as_ref(), Access::ReadWrite).expect("a writer has one");
    let mut bytes = [0; LIVE_HEADER_BYTES + LIVE_SLOT_BYTES];
    assert_eq!(page.read_at(&mut bytes, 0).expect("memory can be read"), bytes.len());
    let is_right = data.iter().take(bytes.len()).all(|&byte| byte == 0);
    bytes.iter_mut().zip(data).for_each(|(byte, change)| *byte ^= change);
    let written = page.write_at(&bytes, 0).expect("memory can be written");
    assert_eq!(written, bytes.len());
    match look(&disk) {
        Ok(view) => {
            let (log_start, end) = (view.log_start_offset(), view.log_end_offset());
            assert!(!is_right || (log_start.get(), end.get()) == (all.log_start, all.end), "{log_start}..{end}");
            for record in view.read_from(log_start).expect("the log start is in range").take(200).flatten() {
                assert!(all.rows.contains(&Row::of(&record)), "offset {} was never written like this", record.offset());
            }
        }
        Err(TopicError::Open(OpenError::Busy { .. })) => assert!(!is_right, "nothing changes"),
        Err(error) => panic!("refused: {error}"),
    }
    drop(partition);
    store.close().expect("a page that lies hinders no writer");
    let disk = disk.kill();
    assert_eq!(Served::of(&look(&disk).expect("it is whole")), all, "once the writer is gone");
}
