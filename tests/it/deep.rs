//! The deep verification: files that are right by themselves and do not fit each other.

use std::fs;

use tidelog::{AckLevel, DeepReport};
use tidelog_format::{CHECKPOINT_NAME, IndexBlock, IndexEntry, IndexHeader, META_NAME, Meta, encode_index, index_block_at};

use crate::support::{Lab, TOPIC, append, fingerprint, options};

fn closed() -> Lab {
    Lab::closed(|partition, oracle| append(partition, oracle, 150, 1000, AckLevel::Durable))
}

fn deep(lab: &Lab) -> DeepReport {
    let before = fingerprint(lab.tmp.path());
    let view = options().open_read_only(lab.tmp.path()).unwrap().topic(TOPIC).unwrap().partition(0).unwrap();
    let report = view.verify_deep(&mut |_| {}).unwrap();
    assert!(before == fingerprint(lab.tmp.path()), "a verification changed something");
    report
}

/// Reads an index, changes it and writes it with right checksums.
fn forge(lab: &Lab, number: usize, change: impl FnOnce(&mut IndexHeader, &mut Vec<IndexEntry>)) {
    let path = lab.segments()[number].index_path();
    let bytes = fs::read(&path).unwrap();
    let mut header = IndexHeader::decode(&bytes).unwrap();
    let mut entries = Vec::new();
    for block in 0.. {
        let Some((position, len)) = index_block_at(header.entries, block) else { break };
        let at = position.get() as usize;
        entries.extend(IndexBlock::decode(&bytes[at..at + len], header.salt, block).unwrap().entries());
    }
    change(&mut header, &mut entries);
    fs::write(path, encode_index(header, &entries)).unwrap();
}

#[test]
fn a_sound_log_is_sound() {
    for lab in [
        closed(),
        Lab::killed(|partition, oracle| append(partition, oracle, 150, 1000, AckLevel::Durable)),
        Lab::closed(|partition, oracle| {
            append(partition, oracle, 150, 1000, AckLevel::Durable);
            partition.truncate_suffix(30).unwrap();
            oracle.split_off(&30);
            append(partition, oracle, 100, 500, AckLevel::Durable);
            partition.delete_prefix(10).unwrap();
        }),
    ] {
        let mut report = deep(&lab);
        // Of a killed writer: the next open removes it.
        report.strays.retain(|stray| !stray.file.starts_with("spare-"));
        assert!(report.verify.is_sound() && report.verify.records > 0, "{report:#?}");
        assert_eq!(report, DeepReport { verify: report.verify.clone(), ..DeepReport::default() });
        assert_eq!(report.verify.bad_indexes, [""; 0]);
    }
}

#[test]
fn beside_its_writer_a_log_is_sound() {
    let mut lab = closed();
    let (_store, partition) = lab.open();
    append(&partition, &mut lab.oracle, 60, 1000, AckLevel::Written);
    let report = partition.view().verify_deep(&mut |_| {}).unwrap();
    assert!(report.verify.is_sound() && report.verify.records == 210 && report.misfits.is_empty(), "{report:#?}");
    let beside = options().open_read_only(lab.tmp.path()).unwrap().topic(TOPIC).unwrap().partition(0).unwrap();
    let report = beside.verify_deep(&mut |_| {}).unwrap();
    assert!(report.verify.is_sound() && report.misfits.is_empty() && report.verify.bad_indexes.is_empty(), "{report:#?}");
}

#[test]
fn an_index_that_lies_is_found() {
    type Lie = fn(&mut IndexHeader, &mut Vec<IndexEntry>);
    let lies: [Lie; 5] = [
        |_, entries| entries[2].position += 8,
        |_, entries| entries[2].rel_offset += 1,
        |_, entries| entries[2].max_ts_before = tidelog_format::TimestampNs::new(7),
        |header, _| header.records += 1,
        |header, _| header.chain ^= 1,
    ];
    for (number, lie) in lies.into_iter().enumerate() {
        let lab = closed();
        forge(&lab, 1, lie);
        let report = deep(&lab);
        assert_eq!(report.verify.bad_indexes.len(), 1, "lie {number}: {report:#?}");
        assert!(report.verify.bad_indexes[0].starts_with(&lab.segments()[1].id().index_name()), "{report:#?}");
        assert!(report.verify.is_sound(), "an index costs time alone");
    }
}

#[test]
fn a_checkpoint_and_a_meta_that_do_not_fit_are_found() {
    let lab = closed();
    let slots: Vec<_> =
        lab.slots().into_iter().map(|slot| slot.map(|slot| tidelog_format::Checkpoint { tail_chain: !slot.tail_chain, ..slot })).collect();
    lab.write_slots(&slots);
    let report = deep(&lab);
    assert!(report.misfits.iter().any(|note| note.file == CHECKPOINT_NAME && note.detail.contains("chain")), "{report:#?}");

    let lab = closed();
    let path = lab.dir().join(META_NAME);
    let meta = Meta::decode(&fs::read(&path).unwrap()).unwrap();
    fs::write(&path, Meta { topic: "other".to_owned(), ..meta }.encode()).unwrap();
    let report = deep(&lab);
    assert!(report.misfits.iter().any(|note| note.file == META_NAME && note.detail == "it is of topic other"), "{report:#?}");
}

/// A chain that breaks inside a segment stands in no reader's way: every frame is right by itself.
#[test]
fn a_broken_chain_is_damage() {
    let lab = closed();
    let segment = &lab.segments()[0];
    let spot = segment.frame_of(20);
    segment.rewrite_header(spot, |header| header.chain ^= 1);
    let report = deep(&lab);
    assert!(report.verify.damage.iter().any(|range| range.from == 20 && range.reason.contains("chain")), "{report:#?}");
}

#[test]
fn what_does_not_belong_there_and_what_was_set_aside_is_listed() {
    let lab = closed();
    fs::write(lab.dir().join("notes.txt"), "mine").unwrap();
    fs::copy(&lab.segments()[0].path, lab.dir().join("00000000000000000500-0000000099.log")).unwrap();
    fs::create_dir(lab.dir().join("quarantine")).unwrap();
    fs::write(lab.dir().join("quarantine/something.bin"), "four").unwrap();
    let report = deep(&lab);
    let strays: Vec<&str> = report.strays.iter().map(|note| note.file.as_str()).collect();
    assert_eq!(strays, ["00000000000000000500-0000000099.log", "notes.txt"]);
    assert_eq!((report.quarantined[0].file.as_str(), report.quarantined[0].detail.as_str()), ("quarantine/something.bin", "4 bytes"));
    assert!(report.verify.is_sound());
}
