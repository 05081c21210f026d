//! A partition directory of any bytes, as in `directory.rs`: it is refused untouched, or it opens, and then it serves the same to whoever only
//! looks, to its writer, and to the writer after that.

use std::path::Path;

use tidelog::io::sim::{NameModel, SimDisk};
use tidelog::{AckLevel, AppendError, CutError, Found, OnDamage, OpenError, Partition, ReadError, Record, Store, TopicError};
use tidelog_format::{FileName, SEQ_MAX};

use super::directory::Directory;
use super::served::{Row, Served, files, look, open};
use super::{statements, stored};

pub fn run(data: &[u8]) {
    let Some(directory) = Directory::decode(data) else { return };
    let image = directory.image(stored::empty());
    if image.files().any(|(path, _)| is_among_last(path)) {
        return; // recovery makes segments until the next open is refused
    }
    let agrees = statements::agree(&image);
    let disk = image.disk(1, if directory.how[0] & 1 == 0 { NameModel::Strict } else { NameModel::Journal });
    let seen = look(&disk).map(|view| {
        let served = Served::of(&view);
        if agrees {
            served.check_other_ways(&view);
        }
        let _ = view.verify(true, &mut |_| ()).expect("nothing fails");
        let _ = view.info();
        served
    });
    assert!(disk.image() == image, "who only looked changed something");
    let Some((disk, store, partition)) = open_for_writing(&disk) else { return };
    let mut served = Served::of(partition.view());
    match &seen {
        Ok(seen) => assert_eq!(seen, &served, "a reader saw something else than what recovery made"),
        Err(error) => panic!("recovered, but a reader was refused: {error}"),
    }
    if agrees {
        served.check_other_ways(partition.view());
    }
    let report = partition.recovery_report();
    assert_eq!((report.log_start_offset, report.next_offset), (served.log_start, served.end));
    let is_by_chain = report.findings.iter().any(|finding| finding.found == Found::ChainMismatch);
    let promise = if !agrees {
        Promise::Own
    } else if is_by_chain {
        Promise::Back
    } else {
        Promise::All
    };
    let mut own = Vec::new();
    if served.end < OFFSETS_LEFT {
        append(&partition, &mut served, &mut own);
        cut(directory.how[1], &partition, &mut served, &mut own, promise);
    }
    let disk = next_process(directory.how[0], disk, store, partition);
    reopen(&disk, &mut served, &mut own, promise);
}

/// What later opens are held to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Promise {
    /// They serve what the first one did.
    All,
    /// Records may come back: see `come_back`.
    Back,
    /// The frames of a segment contradict each other, and which of them fit depends on where the walk begins and ends: what was appended since is
    /// there, and no offset is given out twice.
    Own,
}

/// The partition as `Refuse` opens it, or, where that refuses damage, as `Isolate` does.
fn open_for_writing(disk: &SimDisk) -> Option<(SimDisk, Store, Partition)> {
    let before = disk.image();
    for on_damage in [OnDamage::Refuse, OnDamage::Isolate] {
        let disk = disk.kill();
        match open(&disk, on_damage) {
            Ok((store, partition)) => return Some((disk, store, partition)),
            Err(error) => {
                assert!(files(&disk.image()) == files(&before), "refused with a change: {error}");
                let error = match error {
                    TopicError::Open(error) => error,
                    // META makes it one of several partitions.
                    TopicError::PartitionsMissing { .. } => return None,
                    error => panic!("neither opened nor refused: {error}"),
                };
                assert!(error.is_refusal(), "an error, where no call failed: {error}");
                let is_damage = matches!(error, OpenError::Damaged { .. });
                assert!(!is_damage || on_damage == OnDamage::Refuse, "damage is isolated: {error}");
                if !is_damage {
                    return None;
                }
            }
        }
    }
    unreachable!("damage is isolated")
}

fn append(partition: &Partition, served: &mut Served, own: &mut Vec<Row>) {
    for number in 0..3_u8 {
        let value = vec![number; 3000 * usize::from(number)];
        match partition.append_with(Record::new(&value).key(&[number]), if number == 1 { AckLevel::Written } else { AckLevel::Durable }) {
            Ok(ack) => {
                assert_eq!(ack.base_offset, served.end, "the next offset");
                let record = partition.get(ack.base_offset).expect("it was appended");
                assert_eq!((record.key(), record.value()), (Some(&[number][..]), Some(&value[..])));
                served.rows.push(Row::of(&record));
                own.push(Row::of(&record));
                served.end += 1;
            }
            Err(AppendError::OffsetsExhausted) => return,
            Err(error) => panic!("an append was refused: {error}"),
        }
    }
    assert_eq!(&Served::of(partition.view()), served, "behind the appends");
}

fn cut(how: u8, partition: &Partition, served: &mut Served, own: &mut Vec<Row>, promise: Promise) {
    let at = served.log_start + (u128::from(served.end - served.log_start) * u128::from(how >> 2) / 64) as u64;
    match how & 3 {
        1 => {
            partition.delete_prefix(at).expect("nothing fails");
            served.log_start = at;
        }
        2 => match partition.truncate_suffix(at) {
            Ok(()) => served.end = at,
            // Of a batch that nobody can read, or that has holes, no part is kept.
            Err(CutError::Read(ReadError::CodecNotBuilt { .. } | ReadError::Corrupt { .. }) | CutError::NotKept { .. }) => {}
            // Behind a frame of a newer version, which the next open would refuse.
            Err(CutError::Read(ReadError::Open(error))) if matches!(*error, OpenError::Unsupported { .. }) => {}
            Err(error) => panic!("a cut was refused: {error}"),
        },
        _ => return,
    }
    let (from, to) = (served.log_start, served.end);
    for rows in [&mut served.rows, &mut *own] {
        rows.retain(|row| from <= row.offset && row.offset < to);
    }
    served.lost = served.lost.iter().map(|&(lost, end)| (lost.max(from), end.min(to))).filter(|(lost, end)| lost < end).collect();
    let seen = Served::of(partition.view());
    if promise == Promise::Own {
        keep_own(&seen, served, own);
    }
    assert_eq!(&seen, served, "behind a cut");
}

/// The process ends in one of three ways; what was durable is there.
fn next_process(how: u8, disk: SimDisk, store: Store, partition: Partition) -> SimDisk {
    match how >> 1 & 3 {
        0 => {
            drop(partition);
            store.close().expect("nothing fails");
            disk.kill()
        }
        1 => {
            partition.flush().expect("nothing fails");
            disk.power_cut().disk(2, NameModel::Strict)
        }
        2 => {
            store.run_background();
            disk.kill()
        }
        _ => disk.kill(),
    }
}

fn reopen(disk: &SimDisk, served: &mut Served, own: &mut Vec<Row>, promise: Promise) {
    for opening in ["second", "third"] {
        let disk = disk.kill();
        let seen = Served::of(&look(&disk).expect("it was opened before"));
        match promise {
            Promise::All => {}
            Promise::Back => come_back(&seen, served),
            Promise::Own => keep_own(&seen, served, own),
        }
        assert_eq!(&seen, served, "a reader before the {opening} open");
        let (store, partition) = open(&disk, OnDamage::Isolate).expect("it was opened before");
        assert_eq!(&Served::of(partition.view()), served, "at the {opening} open");
        if served.end < OFFSETS_LEFT {
            append(&partition, served, own);
        }
        drop((partition, store));
    }
}

fn keep_own(seen: &Served, served: &mut Served, own: &[Row]) {
    assert_eq!((seen.log_start, seen.end), (served.log_start, served.end), "both ends");
    assert!(own.iter().all(|row| seen.rows.contains(row)), "an append is gone");
    *served = seen.clone();
}

/// What may change between two opens (docs/reliability.md, "What is left"): records that are right but for their chain come back once a seal
/// or an index vouches for their segment.
fn come_back(seen: &Served, served: &mut Served) {
    let was_lost = |row: &Row| served.lost.iter().any(|&(from, to)| from <= row.offset && row.offset < to);
    let (back, kept): (Vec<_>, Vec<_>) = seen.rows.iter().cloned().partition(was_lost);
    if !back.is_empty() && kept == served.rows {
        (served.rows, served.lost) = (seen.rows.clone(), seen.lost.clone());
    }
}

/// Whether it has one of the last numbers that a segment may have for its log to be opened.
fn is_among_last(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| FileName::parse(name.to_str()?));
    matches!(name, Some(FileName::Log(id)) if (SEQ_REFUSED - 100..SEQ_REFUSED).contains(&id.seq))
}

/// Above, an append may find no offset.
const OFFSETS_LEFT: u64 = i64::MAX as u64 - 100;
/// From here on, a log is refused: SPEC.md, "Sequence numbers and resolve".
const SEQ_REFUSED: u64 = SEQ_MAX - (1 << 32) + 1;
