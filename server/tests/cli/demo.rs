//! The demo holds, in a second or two, and leaves nothing behind: not when it succeeds, not when it fails, not when nobody listens.

use std::process::Stdio;

use super::sandbox::{Sandbox, interrupt, run_command};

#[test]
fn the_demo_holds_and_leaves_nothing_behind() {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("tmp")).unwrap();
    let mut command = sandbox.command(&["demo"]);
    command.env("TMPDIR", sandbox.path("tmp"));
    let text = run_command(command, b"").expect(0).text();
    for step in ["data", "write", "kill", "recover", "check", "by offset", "by time", "export", "read back", "All of it holds"] {
        assert!(text.lines().any(|line| line.starts_with(step)), "no {step:?} in:\n{text}");
    }
    assert_eq!(std::fs::read_dir(sandbox.path("tmp")).unwrap().count(), 0);
}

#[test]
fn the_demo_can_be_looked_at() {
    let sandbox = Sandbox::new();
    let text = sandbox.ok(&["demo", "--keep", "kept"]);
    let acknowledged = text.lines().find(|line| line.starts_with("kill")).and_then(|line| line.split(' ').rev().nth(2)).unwrap();
    let acknowledged: u64 = acknowledged.replace(',', "").parse().unwrap();
    let info: serde_json::Value = serde_json::from_str(&sandbox.ok(&["info", "kept/data", "earthquakes", "--json"])).unwrap();
    assert!(info["partitions"][0]["log_end_offset"].as_u64().unwrap() >= acknowledged, "{info}");
    let exported: Vec<_> = std::fs::read_dir(sandbox.path("kept/parquet/topic=earthquakes/partition=0")).unwrap().collect();
    assert_eq!(exported.len(), 1);
}

#[test]
fn a_directory_that_is_somebody_elses_is_refused_and_not_touched() {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("mine")).unwrap();
    sandbox.write("mine/letter.txt", "dear reader");
    let before = sandbox.snapshot("mine");
    sandbox.run(&["demo", "--keep", "mine"]).expect(3).says("is not empty");
    sandbox.write("file", "a file");
    sandbox.run(&["demo", "--keep", "file"]).expect(1).says("file");
    assert_eq!(sandbox.snapshot("mine"), before);
}

#[test]
fn a_demo_that_fails_says_why_and_leaves_nothing_behind() {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("tmp")).unwrap();
    // The limit on file sizes kills the writer's first segment; who is root is not bound by modes, but by this.
    let program = super::sandbox::PROGRAM;
    let script = format!("ulimit -f 8; exec '{program}' demo");
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &script]).env("TMPDIR", sandbox.path("tmp")).stdout(Stdio::piped()).stderr(Stdio::piped());
    run_command(command, b"").expect(1).says("the demo failed");
    assert_eq!(std::fs::read_dir(sandbox.path("tmp")).unwrap().count(), 0);

    let mut command = sandbox.command(&["demo"]);
    command.env("TMPDIR", sandbox.path("not there"));
    run_command(command, b"").expect(1).says("temporary directory");
}

#[test]
fn a_reader_that_goes_away_ends_the_demo_quietly() {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("tmp")).unwrap();
    let mut child = sandbox.command(&["demo"]).env("TMPDIR", sandbox.path("tmp")).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
    assert_eq!(std::fs::read_dir(sandbox.path("tmp")).unwrap().count(), 0);
}

#[test]
fn an_interrupted_demo_leaves_nothing_behind() {
    for signal in [("INT", 2), ("TERM", 15)] {
        let sandbox = Sandbox::new();
        let tmp = sandbox.path("tmp");
        std::fs::create_dir(&tmp).unwrap();
        let store = || std::fs::read_dir(&tmp).unwrap().next().map(|entry| entry.unwrap().path().join("data"));
        let mut command = sandbox.command(&["demo"]);
        command.env("TMPDIR", &tmp);
        // The writer runs: it has the store's lock, and its id is in the file.
        let lock = || store().and_then(|store| std::fs::read_to_string(store.join("LOCK")).ok()).filter(|text| text.ends_with('\n'));
        let pid = std::cell::OnceCell::new();
        interrupt(command, signal, || lock().is_some_and(|text| pid.set(text.trim().to_owned()).is_ok()));
        assert_eq!(std::fs::read_dir(&tmp).unwrap().count(), 0);
        assert!(!std::path::Path::new("/proc").join(pid.get().unwrap()).exists(), "the writer is left");
    }
}
