//! `repair`: says what is lost and changes nothing, then does it, and the loss is a known one from then on.

use std::path::PathBuf;

use serde_json::Value;

use crate::sandbox::Sandbox;

const DIR: &str = "data/topics/default/logs/0";

/// A hundred records in several segments, closed; the record of one offset is damaged.
fn damaged(sandbox: &Sandbox, offsets: &[u64]) {
    let lines: String = (0..100).map(|number| format!("record {number:03} {}\n", "x".repeat(3000))).collect();
    sandbox.ok_with(&["append", "data", "logs", "--segment-bytes", "64KiB", "--set", "sync_policy=os"], lines);
    let paths = sandbox.snapshot(DIR).into_iter().map(|(path, ..)| path);
    let segments: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|extension| extension == "log")).collect();
    assert!(segments.len() > 3, "{segments:?}");
    for path in segments {
        let mut bytes = std::fs::read(&path).unwrap();
        for offset in offsets {
            let text = format!("record {offset:03} ");
            if let Some(at) = bytes.windows(text.len()).position(|window| window == text.as_bytes()) {
                bytes[at + 100] ^= 1;
            }
        }
        std::fs::write(&path, bytes).unwrap();
    }
}

/// Ranges that `cat` prints as gaps, and how many records.
fn read(sandbox: &Sandbox) -> (Vec<(u64, u64)>, usize) {
    let run = sandbox.run(&["cat", "data", "logs"]);
    let lines = crate::sandbox::json_lines(&run.text());
    let gaps: Vec<_> = lines.iter().filter_map(|line| Some((line["gap"]["from"].as_u64()?, line["gap"]["to"].as_u64()?))).collect();
    let count = lines.len() - gaps.len();
    (gaps, count)
}

#[test]
fn damage_is_declared_and_nothing_else_changes() {
    let sandbox = Sandbox::new();
    damaged(&sandbox, &[7, 50]);
    let gaps = read(&sandbox).0;
    assert!(gaps.len() == 2 && gaps[0].0 <= 7 && 7 < gaps[0].1, "{gaps:?}");
    let before = sandbox.snapshot("data");

    let run = sandbox.run(&["repair", "data"]).expect(4);
    for (from, to) in &gaps {
        assert!(run.text().contains(&format!("logs/0: offsets {from}..{to} are lost: ")), "{}", run.text());
    }
    assert!(run.text().contains("nothing was changed; 1 partition to repair: tidelog repair data --apply"), "{}", run.text());
    let planned: Value = serde_json::from_str(&sandbox.run(&["repair", "data", "logs", "--json"]).expect(4).text()).unwrap();
    assert_eq!((&planned["applied"], &planned["partitions"][0]["lost"][0]["from"]), (&false.into(), &gaps[0].0.into()));
    assert!(planned["partitions"][0]["steps"].as_array().unwrap().iter().any(|step| step["action"] == "declare"), "{planned}");
    assert_eq!(sandbox.snapshot("data"), before, "a plan changes nothing");

    let applied: Value = serde_json::from_str(&sandbox.ok(&["repair", "data", "--apply", "--json"])).unwrap();
    assert_eq!(applied["partitions"][0]["lost"], planned["partitions"][0]["lost"]);
    let after = read(&sandbox);
    assert_eq!((&after.0, after.1 as u64), (&gaps, 100 - gaps.iter().map(|(from, to)| to - from).sum::<u64>()));
    sandbox.run(&["cat", "data", "logs"]).expect(4);
    let text = sandbox.run(&["verify", "data", "--deep"]).expect(0).text();
    for (from, to) in &gaps {
        assert!(text.contains(&format!("logs/0: offsets {from}..{to} are declared lost: lost in an earlier recovery")), "{text}");
    }
    assert!(text.contains("quarantined: quarantine/"), "{text}");
    // It is known, and nothing is left to be done about it.
    let (from, to) = gaps[0];
    let told = format!("offsets {from}..{to} are declared lost: lost in an earlier recovery");
    let info = sandbox.run(&["info", "data"]).expect(0).text();
    assert!(info.contains(&format!("damage                 {told}\n")), "{info}");
    sandbox.run_with(&["append", "data", "logs"], b"").expect(0).says(&told);
    assert_eq!(sandbox.ok(&["repair", "data", "--apply"]), "nothing to repair\n");
    assert!(sandbox.ok(&["repair", "data"]).ends_with("nothing to repair\n"));
    // Nor is it a reason to refuse.
    sandbox.ok_with(&["append", "data", "logs", "--set", "on_damage=refuse"], "one more\n");
    assert_eq!(read(&sandbox).1, after.1 + 1);
}

/// Each new segment is what `dump` knows, and what was set aside too.
#[test]
fn what_a_repair_leaves_can_be_dumped() {
    // Of the first record too: then the segment itself is set aside.
    for offset in [0, 7] {
        check_dumps(offset);
    }
}

fn check_dumps(offset: u64) {
    let sandbox = Sandbox::new();
    damaged(&sandbox, &[offset]);
    sandbox.ok(&["repair", "data", "--apply"]);
    let files: Vec<PathBuf> = sandbox.snapshot(DIR).into_iter().map(|(path, ..)| path).filter(|path| path.is_file()).collect();
    let mut pieces = 0;
    for path in files {
        let run = sandbox.run(&["dump", path.to_str().unwrap()]);
        // The old segment still holds what was damaged behind what is read of it.
        assert!(matches!(run.code, Some(0 | 4)), "{}: {run:?}", path.display());
        assert!(!run.text().contains("are not checked"), "{}: its segment was not found", path.display());
        pieces += usize::from(run.text().contains("quarantined bytes"));
    }
    assert_eq!(pieces, 1);
}

#[test]
fn a_partition_that_is_gone_is_left_and_told() {
    let sandbox = Sandbox::new();
    sandbox.write("input", "a\nb\nc\nd\n");
    sandbox.ok(&["import", "data", "logs", "input", "--partitions", "3"]);
    std::fs::remove_dir_all(sandbox.path("data/topics/default/logs/1")).unwrap();
    for arguments in [&["repair", "data"][..], &["repair", "data", "--apply"]] {
        let run = sandbox.run(arguments).expect(4);
        assert!(run.text().contains("logs/1: left as it is: .: the directory of the partition is gone"), "{}", run.text());
    }
}

#[test]
fn a_sound_store_a_foreign_directory_and_an_open_store() {
    let sandbox = Sandbox::new();
    sandbox.ok_with(&["append", "data", "logs"], "one\n");
    assert_eq!(sandbox.ok(&["repair", "data"]), "logs/0: ok\nnothing to repair\n");
    sandbox.run(&["repair", "data", "other"]).expect(1).says("there is no topic other");
    sandbox.run(&["repair", "."]).expect(3).says("not a tidelog store");
    let mut writer = sandbox.command(&["append", "data", "logs", "--print-acks"]).stdin(std::process::Stdio::piped()).spawn().unwrap();
    let mut stdin = writer.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, b"two\n").unwrap();
    let mut line = [0; 1];
    std::io::Read::read_exact(writer.stdout.as_mut().unwrap(), &mut line).unwrap();
    for arguments in [&["repair", "data"][..], &["repair", "data", "--apply"]] {
        sandbox.run(arguments).expect(3).says("locked by another writer");
    }
    drop(stdin);
    assert!(writer.wait().unwrap().success());
}
