//! The bench measures every row, says what it found, and leaves nothing behind. What it measures is not judged here.

use super::sandbox::{Sandbox, interrupt};

const SMALL: [&str; 4] = ["--rounds", "1", "--mib", "1"];

#[test]
fn every_row_has_a_ratio_and_nothing_is_left_behind() {
    let sandbox = Sandbox::new();
    let found: serde_json::Value = serde_json::from_str(&sandbox.ok(&[&["bench", "new", "--json"], &SMALL[..]].concat())).unwrap();
    let rows = found["rows"].as_array().unwrap();
    let named: Vec<_> = rows.iter().map(|row| (row["row"].as_str().unwrap(), row["value_bytes"].as_u64().unwrap())).collect();
    for name in ["append, one by one", "append, batches of 100", "durable append", "scan, verified", "point read"] {
        for value_bytes in [100, 1024] {
            assert!(named.contains(&(name, value_bytes)), "no {name} of {value_bytes} bytes in {named:?}");
        }
    }
    assert_eq!(rows.len(), 10);
    assert!(rows.iter().all(|row| row["ratio"].as_f64().unwrap() > 0.0), "{found}");
    assert!(!sandbox.path("new").exists());
}

#[test]
fn what_is_there_already_stays() {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("mine")).unwrap();
    sandbox.write("mine/letter.txt", "dear reader");
    let before = sandbox.snapshot("mine");
    let text = sandbox.ok(&[&["bench", "mine"], &SMALL[..]].concat());
    assert_eq!(text.lines().count(), 11, "{text}");
    assert_eq!(sandbox.snapshot("mine"), before);
    sandbox.run(&["bench", "mine/letter.txt"]).expect(1).says("letter.txt");
    sandbox.run(&["bench", "mine", "--rounds", "0"]).expect(2);
}

/// At several moments: while a store is filled, and between two measurements.
#[test]
fn an_interrupted_bench_leaves_nothing_behind() {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("mine")).unwrap();
    for (round, signal) in [("INT", 2), ("TERM", 15), ("INT", 2), ("TERM", 15)].into_iter().enumerate() {
        for (dir, is_left) in [("mine", true), ("new", false)] {
            let under_way = || std::fs::read_dir(sandbox.path(dir)).is_ok_and(|mut entries| entries.next().is_some());
            let began = std::time::Instant::now();
            let wait = std::time::Duration::from_millis(70 * round as u64);
            interrupt(sandbox.command(&["bench", dir, "--rounds", "1000", "--mib", "4"]), signal, || under_way() && began.elapsed() >= wait);
            assert_eq!(sandbox.path(dir).exists(), is_left, "{dir}");
            assert!(!under_way(), "{dir}: something is left");
        }
    }
}
