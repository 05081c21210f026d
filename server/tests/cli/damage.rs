//! Torn ends and damage: the first costs a line on the standard error, the second the exit code 4, and neither hides anything else.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use serde_json::json;

use crate::sandbox::Sandbox;

/// Three records in three batches.
fn three(sandbox: &Sandbox) -> PathBuf {
    for value in ["first record\n", "second record\n", "third record\n"] {
        sandbox.ok_with(&["append", "data", "logs"], value);
    }
    let files = sandbox.snapshot("data").into_iter().map(|(path, ..)| path);
    let mut segments: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|extension| extension == "log")).collect();
    assert_eq!(segments.len(), 1, "{segments:?}");
    segments.remove(0)
}

fn position_of(segment: &PathBuf, text: &str) -> u64 {
    let bytes = std::fs::read(segment).unwrap();
    bytes.windows(text.len()).position(|window| window == text.as_bytes()).unwrap() as u64
}

fn flip(segment: &PathBuf, position: u64) {
    let file = OpenOptions::new().read(true).write(true).open(segment).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, position).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], position).unwrap();
}

#[test]
fn damage_is_printed_in_its_place_and_is_exit_4() {
    let sandbox = Sandbox::new();
    let segment = three(&sandbox);
    flip(&segment, position_of(&segment, "second record"));
    let before = sandbox.snapshot("data");

    let run = sandbox.run(&["cat", "data", "logs"]).expect(4);
    let lines = crate::sandbox::json_lines(&run.text());
    assert_eq!(lines.len(), 3, "{}", run.text());
    assert_eq!((&lines[0]["value"], &lines[2]["value"]), (&json!("first record"), &json!("third record")));
    assert_eq!((&lines[1]["gap"]["from"], &lines[1]["gap"]["to"]), (&json!(1), &json!(2)));
    assert!(!lines[1]["gap"]["reason"].as_str().unwrap().is_empty());

    let run = sandbox.run(&["cat", "data", "logs", "--output", "raw"]).expect(4).says("offsets 1..2 are damaged");
    assert_eq!(run.stdout, b"first record\nthird record\n");
    sandbox.run(&["cat", "data", "logs", "--from", "2"]).expect(0);
    let run = sandbox.run(&["verify", "data"]).expect(4);
    assert!(run.text().contains("DAMAGED") && run.text().contains("offsets 1..2"), "{}", run.text());
    let report: serde_json::Value = serde_json::from_str(&sandbox.run(&["verify", "data", "--json"]).expect(4).text()).unwrap();
    assert_eq!((&report["ok"], &report["partitions"][0]["damage"][0]["from"]), (&json!(false), &json!(1)));
    let run = sandbox.run(&["export", "data", "logs", "--to", "out", "--allow-gaps"]).expect(4).says("offsets 1..2 are not exported: damaged");
    assert!(run.text().contains("2 rows, offsets 0..=2"), "{}", run.text());
    for _ in 0..2 {
        let run = sandbox.run(&["export", "data", "logs", "--to", "out", "--allow-gaps"]).expect(4).says("offsets 1..2 are not exported: damaged");
        assert!(run.text().contains("nothing new"), "{}", run.text());
    }
    let run = sandbox.run(&["export", "data", "logs", "--to", "again", "--json", "--allow-gaps"]).expect(4);
    let report: serde_json::Value = serde_json::from_str(&run.text()).unwrap();
    assert_eq!((&report["partitions"][0]["files"][0]["dense"], &report["partitions"][0]["gaps"][0]["from"]), (&json!(false), &json!(1)));
    sandbox.run_unread(&["verify", "data"], b"").expect(4);
    assert_eq!(sandbox.snapshot("data"), before, "looking at damage repairs nothing");

    sandbox.ok_with(&["append", "data", "logs"], "fourth record\n");
    let run = sandbox.run(&["export", "data", "logs", "--to", "out", "--allow-gaps"]).expect(4).says("offsets 1..2 are not exported: damaged");
    assert!(run.text().contains("offsets 3..=3"), "{}", run.text());
    let run = sandbox.run(&["cat", "data", "logs", "--output", "raw"]).expect(4);
    assert_eq!(run.stdout, b"first record\nthird record\nfourth record\n", "appending goes on");
}

#[test]
fn an_export_ends_before_damage_unless_it_may_leave_it_out() {
    let sandbox = Sandbox::new();
    let segment = three(&sandbox);
    flip(&segment, position_of(&segment, "second record"));
    for _ in 0..2 {
        let run =
            sandbox.run(&["export", "data", "logs", "--to", "out"]).expect(4).says("logs/0: exported up to offset 1, for 1..2 cannot be: damaged");
        assert!(run.stderr.ends_with("--allow-gaps leaves them out\n"), "{}", run.stderr);
    }
    let run = sandbox.run(&["export", "data", "logs", "--to", "out", "--json"]).expect(4);
    let report: serde_json::Value = serde_json::from_str(&run.text()).unwrap();
    let partition = &report["partitions"][0];
    assert_eq!((&partition["until"], &partition["stopped_by"]["to"], &partition["kept_files"]), (&json!(1), &json!(2), &json!(1)));
    let run = sandbox.run(&["export", "data", "logs", "--to", "out", "--allow-gaps"]).expect(4).says("offsets 1..2 are not exported: damaged");
    assert!(run.text().contains("1 row, offsets 2..=2"), "{}", run.text());
}

/// Wherever the damage lies, and however the files are cut around it, each run tells of it, and of nothing else.
#[test]
fn damage_is_told_by_every_export() {
    for (damaged, value) in ["first record", "second record", "third record"].into_iter().enumerate() {
        for rows in ["1", "2", "100"] {
            let sandbox = Sandbox::new();
            let segment = three(&sandbox);
            flip(&segment, position_of(&segment, value));
            let says = format!("offsets {damaged}..{} are not exported: damaged", damaged + 1);
            for _ in 0..2 {
                let run = sandbox.run(&["export", "data", "logs", "--to", "out", "--rows-per-file", rows, "--allow-gaps"]).expect(4).says(&says);
                assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
            }
        }
    }
    // Records that an export was asked to leave out are no damage.
    let sandbox = Sandbox::new();
    let segment = three(&sandbox);
    flip(&segment, position_of(&segment, "first record"));
    for _ in 0..2 {
        sandbox.run(&["export", "data", "logs", "--to", "out", "--from", "2"]).expect(0);
    }
}

#[test]
fn damage_can_be_refused() {
    let sandbox = Sandbox::new();
    let segment = three(&sandbox);
    // Behind the checkpoint only a read would find it; without a checkpoint the open does.
    flip(&segment, position_of(&segment, "second record"));
    std::fs::remove_file(segment.with_file_name("CHECKPOINT")).unwrap();
    let before = sandbox.snapshot("data/topics");
    let run = sandbox.run_with(&["append", "data", "logs", "--set", "on_damage=refuse"], b"x\n");
    assert_eq!(run.code, Some(4), "{run:?}");
    assert_eq!(sandbox.snapshot("data/topics"), before);
}

#[test]
fn a_torn_end_is_one_line_and_exit_0() {
    let sandbox = Sandbox::new();
    let segment = three(&sandbox);
    let end = std::fs::read(&segment).unwrap().iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1;
    let file = OpenOptions::new().write(true).open(&segment).unwrap();
    file.write_all_at(&[0xa5; 100], end.next_multiple_of(8)).unwrap();

    for command in [&["cat", "data", "logs", "--output", "raw"][..], &["verify", "data"], &["info", "data"]] {
        let run = sandbox.run(command).expect(0).says("logs/0: ");
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
        assert!(run.stderr.contains("torn"), "{}", run.stderr);
    }
    let run = sandbox.run_with(&["append", "data", "logs"], b"fourth record\n").expect(0).says("torn");
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    let run = sandbox.run(&["cat", "data", "logs", "--output", "raw"]).expect(0);
    assert_eq!(run.stdout, b"first record\nsecond record\nthird record\nfourth record\n");
    assert_eq!(run.stderr, "", "repaired once, it is not told again");
}

#[test]
fn a_partition_that_is_gone_is_exit_4_and_hides_no_other() {
    let sandbox = Sandbox::new();
    sandbox.write("input", "a\nb\nc\nd\ne\nf\n");
    sandbox.ok(&["import", "data", "logs", "input", "--partitions", "3"]);
    std::fs::remove_dir_all(sandbox.path("data/topics/default/logs/2")).unwrap();
    let gone = "topic logs had 3 partitions; gone is: 2";
    for verb in ["info", "verify"] {
        let run = sandbox.run(&[verb, "data"]).expect(4).says(gone);
        assert!(run.text().contains("logs"), "{}", run.text());
    }
    let report: serde_json::Value = serde_json::from_str(&sandbox.run(&["verify", "data", "--json"]).expect(4).text()).unwrap();
    assert!(report["ok"] == false && report["partitions"].as_array().unwrap().len() == 2, "{report}");
    sandbox.run(&["cat", "data", "logs"]).expect(4).says(gone);
    sandbox.run(&["cat", "data", "logs", "-p", "2"]).expect(4).says(gone);
    sandbox.ok(&["cat", "data", "logs", "-p", "1"]);
    sandbox.run_with(&["append", "data", "logs"], b"x\n").expect(4).says(gone);
}
