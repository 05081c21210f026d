//! `verify --deep`: files that are right by themselves and do not fit each other, and what else lies in a partition.

use serde_json::Value;
use tidelog_format::{IndexBlock, IndexEntry, IndexHeader, encode_index, index_block_at};

use crate::sandbox::Sandbox;

const DIR: &str = "data/topics/default/logs/0";
const INDEX: &str = "data/topics/default/logs/0/00000000000000000000-0000000001.idx";

fn store(sandbox: &Sandbox) {
    let lines: String = (0..5000).map(|number| format!("record {number} of five thousand\n")).collect();
    sandbox.write("input", lines);
    sandbox.ok(&["import", "data", "logs", "input"]);
}

#[test]
fn a_sound_store_is_sound_in_depth() {
    let sandbox = Sandbox::new();
    store(&sandbox);
    let before = sandbox.snapshot("data");
    let text = sandbox.ok(&["verify", "data", "--deep"]);
    assert_eq!((text.lines().count(), text.starts_with("logs/0: ok, 5000 records in 5 batches, ")), (1, true), "{text}");
    let report: Value = serde_json::from_str(&sandbox.ok(&["verify", "data", "--deep", "--json"])).unwrap();
    let partition = &report["partitions"][0];
    assert_eq!((&report["ok"], &partition["records"], &partition["misfits"]), (&true.into(), &5000.into(), &Value::Array(Vec::new())));
    sandbox.run(&["verify", "data", "--deep", "--quick"]).expect(2);
    sandbox.run(&["verify", ".", "--deep"]).expect(3);
    assert_eq!(sandbox.snapshot("data"), before, "a verification changes nothing");
}

/// Its checksums are right: only a comparison with the segment finds it.
#[test]
fn an_index_that_lies_is_found_in_depth_alone() {
    let sandbox = Sandbox::new();
    store(&sandbox);
    let bytes = std::fs::read(sandbox.path(INDEX)).unwrap();
    let header = IndexHeader::decode(&bytes).unwrap();
    let (position, len) = index_block_at(header.entries, 0).unwrap();
    let at = position.get() as usize;
    let mut entries: Vec<IndexEntry> = IndexBlock::decode(&bytes[at..at + len], header.salt, 0).unwrap().entries().collect();
    entries[1].rel_offset += 1;
    sandbox.write(INDEX, encode_index(header, &entries));
    assert_eq!(sandbox.ok(&["verify", "data"]).lines().count(), 1);
    let text = sandbox.ok(&["verify", "data", "--deep"]);
    assert!(text.contains("logs/0: index to be rebuilt: 00000000000000000000-0000000001.idx: an entry says offset"), "{text}");
}

#[test]
fn strays_and_what_was_set_aside_are_listed_and_damage_is_exit_4() {
    let sandbox = Sandbox::new();
    store(&sandbox);
    sandbox.write(&format!("{DIR}/notes.txt"), "mine");
    std::fs::create_dir(sandbox.path(&format!("{DIR}/quarantine"))).unwrap();
    sandbox.write(&format!("{DIR}/quarantine/piece.bin"), "four");
    let text = sandbox.ok(&["verify", "data", "--deep"]);
    assert!(text.contains("logs/0: stray: notes.txt: not a file of a partition"), "{text}");
    assert!(text.contains("logs/0: quarantined: quarantine/piece.bin: 4 bytes"), "{text}");
    let segment = sandbox.path(&format!("{DIR}/00000000000000000000-0000000001.log"));
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[100_000] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let text = sandbox.run(&["verify", "data", "--deep"]).expect(4).text();
    assert_eq!(text.matches("are damaged").count(), 1, "told once: {text}");
}
