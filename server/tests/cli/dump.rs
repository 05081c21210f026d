//! `dump`: every kind of file of a store is told by its bytes or its name, and what is wrong with one is named in its place.

use std::path::PathBuf;

use serde_json::Value;

use crate::sandbox::{Run, Sandbox, json_lines};

const DIR: &str = "data/topics/default/logs/0";
const SEGMENT: &str = "data/topics/default/logs/0/00000000000000000000-0000000001.log";

/// Three batches: one record, three records, one record; with a key each.
fn store(sandbox: &Sandbox) {
    sandbox.ok_with(&["append", "data", "logs"], "first record\n");
    sandbox.write("input", "second record\nthird record\nfourth record\n");
    sandbox.ok(&["import", "data", "logs", "input"]);
    sandbox.ok_with(&["append", "data", "logs"], "fifth record\n");
}

fn structures(run: &Run) -> Vec<Value> {
    json_lines(&run.text())
}

fn named<'a>(structures: &'a [Value], name: &str) -> Vec<&'a Value> {
    structures.iter().filter(|structure| structure["structure"] == name).collect()
}

fn edit(sandbox: &Sandbox, name: &str, edit: impl FnOnce(&mut Vec<u8>)) {
    let path = sandbox.path(name);
    let mut bytes = std::fs::read(&path).unwrap();
    edit(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

fn position_of(sandbox: &Sandbox, text: &str) -> usize {
    let bytes = std::fs::read(sandbox.path(SEGMENT)).unwrap();
    bytes.windows(text.len()).position(|window| window == text.as_bytes()).unwrap()
}

/// What a store of one partition has, closed: each file says what it is and nothing is wrong with it.
#[test]
fn every_file_of_a_store_is_printed() {
    let sandbox = Sandbox::new();
    store(&sandbox);
    let before = sandbox.snapshot("data");
    let mut seen = Vec::new();
    let files: Vec<PathBuf> = before.iter().map(|(path, ..)| path.clone()).filter(|path| path.is_file()).collect();
    for path in files {
        let path = path.to_str().unwrap();
        let run = sandbox.run(&["dump", path, "--json"]).expect(0);
        assert_eq!(run.stderr, "", "{path}");
        let structures = structures(&run);
        assert!(structures.iter().all(|structure| structure.get("problem").is_none()), "{path}: {structures:?}");
        seen.push(structures[0]["structure"].as_str().unwrap().to_owned());
        let run = sandbox.run(&["dump", path]).expect(0);
        assert!(run.text().lines().count() >= structures.len(), "{path}: {}", run.text());
    }
    seen.sort();
    assert_eq!(seen, ["LIVE header", "LOCK", "META", "STORE", "TOPIC", "TOPIC", "checkpoint slot", "index header", "segment header"]);
    assert_eq!(sandbox.snapshot("data"), before, "a dump changes nothing");
}

#[test]
fn a_catalogue_is_printed_with_its_partitions() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["topic", "create", "data", "t", "--partitions", "2"]);
    sandbox.ok(&["topic", "split", "data", "t", "-p", "1"]);
    let path = "data/topics/default/t/TOPIC";
    let printed = structures(&sandbox.run(&["dump", path, "--json"]).expect(0));
    assert_eq!((&printed[0]["structure"], &printed[0]["ring_size"], &printed[0]["partition_count"]), (&"TOPIC".into(), &4096.into(), &4.into()));
    let entries = named(&printed, "partition entry");
    assert_eq!((&entries[1]["position"], &entries[1]["split_into"], &entries[3]["range_start"]), (&168.into(), &"2, 3".into(), &3072.into()));
    edit(&sandbox, path, |bytes| bytes[170] ^= 1);
    sandbox.run(&["dump", path]).expect(4).says("checksum");
}

#[test]
fn a_segment_is_printed_to_its_last_record() {
    let sandbox = Sandbox::new();
    store(&sandbox);
    let structures = structures(&sandbox.run(&["dump", SEGMENT, "--json", "--values"]).expect(0));
    assert_eq!((&structures[0]["structure"], &structures[0]["seq"], &structures[0]["base_offset"]), (&"segment header".into(), &1.into(), &0.into()));
    let batches = named(&structures, "batch");
    let offsets: Vec<_> = batches.iter().map(|batch| (batch["base_offset"].as_u64().unwrap(), batch["records"].as_u64().unwrap())).collect();
    assert_eq!(offsets, [(0, 1), (1, 3), (4, 1)]);
    let mut position = 128;
    for batch in &batches {
        assert_eq!(batch["position"], position);
        position += batch["bytes"].as_u64().unwrap();
    }
    let records = named(&structures, "record");
    let shown: Vec<_> = records.iter().map(|record| (record["offset"].as_u64().unwrap(), record["value"].as_str().unwrap())).collect();
    assert_eq!(shown, [(0, "first record"), (1, "second record"), (2, "third record"), (3, "fourth record"), (4, "fifth record")]);
    assert!(records.iter().all(|record| record["value_bytes"] == record["value"].as_str().unwrap().len()), "{records:?}");
    assert_eq!(records[0]["key_bytes"], Value::Null);
    let text = sandbox.ok(&["dump", SEGMENT]);
    assert!(!text.contains("first record"), "values are not printed unless asked for: {text}");
}

#[test]
fn long_values_are_cut_and_compressed_batches_unpacked() {
    let sandbox = Sandbox::new();
    sandbox.ok_with(&["append", "data", "logs", "--set", "compression=zstd"], format!("{}\n", "x".repeat(500)));
    sandbox.ok_with(&["append", "data", "logs", "--set", "compression=lz4"], format!("{}\n", "y".repeat(500)));
    let structures = structures(&sandbox.run(&["dump", SEGMENT, "--json", "--values"]).expect(0));
    let codecs: Vec<_> = named(&structures, "batch").iter().map(|batch| batch["codec"].as_str().unwrap()).collect();
    assert_eq!(codecs, ["zstd", "lz4"]);
    for (record, letter) in named(&structures, "record").into_iter().zip(["x", "y"]) {
        assert_eq!(record["value"], format!("{}...", letter.repeat(64)));
        assert_eq!(record["value_bytes"], 500);
    }
}

/// A later batch claims that what stands before it was durable: a flipped bit there is damage, and named where it is.
#[test]
fn damage_is_named_in_its_place() {
    let sandbox = Sandbox::new();
    store(&sandbox);
    let position = position_of(&sandbox, "third record");
    edit(&sandbox, SEGMENT, |bytes| bytes[position] ^= 1);
    let run = sandbox.run(&["dump", SEGMENT, "--json"]).expect(4).says("damaged: position ");
    let structures = structures(&run);
    let wrong = named(&structures, "no right frame");
    let from = wrong[0]["position"].as_u64().unwrap() as usize;
    assert!(wrong.len() == 1 && from < position && position < from + wrong[0]["bytes"].as_u64().unwrap() as usize, "{wrong:?}");
    assert!(wrong[0]["problem"].as_str().unwrap().contains("records checksum"), "{wrong:?}");
    let last = named(&structures, "record").pop().unwrap();
    assert_eq!(last["offset"], 4, "what stands behind it is printed");
    let text = sandbox.run(&["dump", SEGMENT]).expect(4).text();
    assert!(text.contains("!! records checksum"), "{text}");
}

#[test]
fn a_torn_end_is_a_line_and_exit_0() {
    let sandbox = Sandbox::new();
    store(&sandbox);
    let position = position_of(&sandbox, "fifth record");
    edit(&sandbox, SEGMENT, |bytes| bytes[position] ^= 1);
    let run = sandbox.run(&["dump", SEGMENT, "--json"]).expect(0).says("a torn end, as far as this file tells");
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    assert_eq!(named(&structures(&run), "record").len(), 4);
    assert_eq!(named(&structures(&run), "no right frame").len(), 1);
}

#[test]
fn frames_of_a_segment_without_its_header_are_printed() {
    let sandbox = Sandbox::new();
    store(&sandbox);
    edit(&sandbox, SEGMENT, |bytes| bytes[9] ^= 0xff);
    let run = sandbox.run(&["dump", SEGMENT, "--json"]).expect(4).says("segment header");
    assert_eq!(named(&structures(&run), "record").len(), 5);
}

#[test]
fn one_bad_slot_is_torn_and_two_are_damage() {
    let sandbox = Sandbox::new();
    store(&sandbox);
    let path = format!("{DIR}/CHECKPOINT");
    edit(&sandbox, &path, |bytes| bytes[40] ^= 1);
    let run = sandbox.run(&["dump", &path, "--json"]).expect(0).says("slot 0 at position 0");
    let slots = structures(&run);
    assert!(slots[0]["problem"].as_str().unwrap().contains("checksum") && slots[1]["newest"] == true, "{slots:?}");
    edit(&sandbox, &path, |bytes| bytes[4096 + 40] ^= 1);
    sandbox.run(&["dump", &path]).expect(4).says("damaged: slot 0");
}

#[test]
fn every_flipped_bit_of_the_small_files_is_found() {
    let sandbox = Sandbox::new();
    store(&sandbox);
    for path in [format!("{DIR}/META"), "data/STORE".to_owned(), format!("{DIR}/00000000000000000000-0000000001.idx")] {
        let whole = std::fs::read(sandbox.path(&path)).unwrap();
        for byte in (0..whole.len()).step_by(5) {
            edit(&sandbox, &path, |bytes| bytes[byte] ^= 0x10);
            let run = sandbox.run(&["dump", &path]);
            assert_eq!(run.code, Some(4), "{path}, byte {byte}: {run:?}");
            std::fs::write(sandbox.path(&path), &whole).unwrap();
        }
    }
}

#[test]
fn quarantined_bytes_and_reports_are_printed() {
    let sandbox = Sandbox::new();
    store(&sandbox);
    let position = position_of(&sandbox, "fifth record");
    edit(&sandbox, SEGMENT, |bytes| bytes[position] ^= 1);
    // Nothing else says that the last record was durable.
    std::fs::remove_file(sandbox.path(&format!("{DIR}/CHECKPOINT"))).unwrap();
    std::fs::remove_file(sandbox.path(&format!("{DIR}/00000000000000000000-0000000001.idx"))).unwrap();
    sandbox.run_with(&["append", "data", "logs"], b"sixth record\n").expect(0);
    let files: Vec<PathBuf> = sandbox.snapshot(DIR).into_iter().map(|(path, ..)| path).collect();
    let ending = |end: &str| files.iter().find(|path| path.to_str().unwrap().ends_with(end)).unwrap().to_str().unwrap().to_owned();
    let run = sandbox.run(&["dump", &ending(".bin"), "--json"]).expect(0);
    let piece = structures(&run);
    assert_eq!((&piece[0]["structure"], &piece[1]["base_offset"]), (&"quarantined bytes".into(), &4.into()), "{piece:?}");
    assert!(piece[2]["problem"].as_str().unwrap().contains("checksum"), "{piece:?}");
    // Of the same place, at another time.
    let again = format!("{}.1700000000000000000", ending(".bin"));
    std::fs::copy(ending(".bin"), &again).unwrap();
    assert_eq!(structures(&sandbox.run(&["dump", &again, "--json"]).expect(0)), piece);
    let run = sandbox.run(&["dump", &ending(".json"), "--json"]).expect(0);
    assert_eq!((&structures(&run)[0]["next_offset"], &structures(&run)[0]["torn_end"]), (&4.into(), &true.into()));
}

/// Holes of a terabyte: what lies behind a capacity is not looked at.
#[test]
fn a_huge_sparse_file_is_no_hang() {
    let sandbox = Sandbox::new();
    store(&sandbox);
    for path in [SEGMENT, "data/LIVE"] {
        std::fs::OpenOptions::new().write(true).open(sandbox.path(path)).unwrap().set_len(1 << 40).unwrap();
        let before = std::time::Instant::now();
        let run = sandbox.run(&["dump", path, "--json"]).expect(0);
        assert!(before.elapsed().as_secs() < 60, "{path}: {:?}", before.elapsed());
        assert_eq!(named(&structures(&run), "excess").len(), usize::from(path == SEGMENT), "{path}");
    }
}

#[test]
fn a_foreign_file_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.write("note", "hello, this is no file of a store");
    sandbox.run(&["dump", "note"]).expect(3).says("expected TIDELOG");
    sandbox.write("empty", "");
    sandbox.run(&["dump", "empty"]).expect(3).says("no file of a store");
    sandbox.run(&["dump", "."]).expect(3).says("not a regular file");
    sandbox.run(&["dump", "gone"]).expect(1).says("No such file");
    // A newer version, under a right checksum.
    store(&sandbox);
    edit(&sandbox, "data/STORE", |bytes| {
        bytes[8] = 2;
        let crc = crc32fast::hash(&bytes[..124]);
        bytes[124..128].copy_from_slice(&crc.to_le_bytes());
    });
    sandbox.run(&["dump", "data/STORE"]).expect(3).says("of a newer version");
}
