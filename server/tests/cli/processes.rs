//! Several processes on one store, and a store that something else than its writer has touched.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::sandbox::{Sandbox, checked, json_lines};

/// `append` with printed acknowledgements, under way: it holds the store.
struct Writer {
    child: Child,
    events: BufReader<std::process::ChildStdout>,
}

impl Writer {
    fn start(sandbox: &Sandbox, dir: &str) -> Self {
        let arguments = ["append", dir, "logs", "--print-acks", "--segment-bytes", "64KiB"];
        let mut child = sandbox.command(&arguments).stdin(Stdio::piped()).spawn().unwrap();
        let events = BufReader::new(child.stdout.take().unwrap());
        let mut writer = Self { child, events };
        assert!(writer.event().contains("\"open\""));
        writer
    }

    fn event(&mut self) -> String {
        let mut line = String::new();
        self.events.read_line(&mut line).unwrap();
        line
    }

    fn append(&mut self, line: &str) -> String {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
        self.event()
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn close(mut self) {
        drop(self.child.stdin.take());
        checked(self.child.wait_with_output().unwrap()).expect(0);
    }
}

#[test]
fn one_directory_has_one_writer_by_whatever_path() {
    let sandbox = Sandbox::new();
    let writer = Writer::start(&sandbox, "data");
    symlink("data", sandbox.path("link")).unwrap();
    std::fs::create_dir(sandbox.path("beside")).unwrap();
    symlink("../data", sandbox.path("beside/link")).unwrap();
    let absolute = sandbox.path("data");
    for dir in ["data", "./data", "data/.", "data/", "data/../data", "link", "link/.", "beside/link", absolute.to_str().unwrap()] {
        sandbox.run_with(&["append", dir, "logs"], b"x\n").expect(3).says("locked");
    }
    // The file is there for people: the lock is on the directory itself.
    std::fs::remove_file(sandbox.path("data/LOCK")).unwrap();
    sandbox.run_with(&["append", "data", "logs"], b"x\n").expect(3).says("locked");
    std::fs::write(sandbox.path("data/LOCK"), "1\n").unwrap();
    sandbox.run_with(&["append", "link", "logs"], b"x\n").expect(3).says("locked");
    writer.close();
    sandbox.ok_with(&["append", "link", "logs"], "x\n");
    assert_eq!(sandbox.raw("logs"), b"x\n");
}

#[test]
fn the_lock_of_a_killed_writer_is_free() {
    let sandbox = Sandbox::new();
    for round in 0..3 {
        let mut writer = Writer::start(&sandbox, "data");
        assert!(writer.append("x").contains(&format!("\"offset\":{round}")));
        let pid = writer.child.id().to_string();
        writer.kill();
        assert_eq!(std::fs::read_to_string(sandbox.path("data/LOCK")).unwrap().trim(), pid, "what it leaves names a process that is gone");
    }
    assert_eq!(sandbox.raw("logs"), b"x\nx\nx\n");
}

#[test]
fn a_store_that_was_moved_goes_on_where_it_is() {
    let sandbox = Sandbox::new();
    sandbox.ok_with(&["append", "data", "logs"], "1\n");
    std::fs::rename(sandbox.path("data"), sandbox.path("moved")).unwrap();
    sandbox.ok_with(&["append", "moved", "logs"], "2\n");
    assert_eq!(sandbox.ok(&["cat", "moved", "logs", "--output", "raw"]), "1\n2\n");
    sandbox.run(&["verify", "moved"]).expect(0);
    assert!(!sandbox.path("data").exists());
}

/// Under a writer: whatever it still acknowledges is in the moved store, and nobody else writes there while it lives.
#[test]
fn a_store_that_is_moved_under_its_writer_loses_nothing() {
    let sandbox = Sandbox::new();
    let mut writer = Writer::start(&sandbox, "data");
    let line = "x".repeat(10_000);
    assert!(writer.append(&line).contains("\"acked\""));
    std::fs::rename(sandbox.path("data"), sandbox.path("moved")).unwrap();
    sandbox.run_with(&["append", "moved", "logs"], b"x\n").expect(3).says("locked");
    // Over several rolls, if it comes that far: new segments have no place any more.
    let (mut acked, mut last) = (1, String::new());
    for _ in 0..30 {
        last = writer.append(&line);
        if !last.contains("\"acked\"") {
            break;
        }
        acked += 1;
    }
    assert!(last.contains("\"error\"") && last.contains("No such file"), "after {acked} records: {last}");
    writer.kill();
    assert!(!sandbox.path("data").exists());
    let records = json_lines(&sandbox.ok(&["cat", "moved", "logs"]));
    assert!(records.len() >= acked, "{} of {acked}", records.len());
    assert!(records.iter().enumerate().all(|(offset, record)| record["offset"] == offset && record["value"] == *line));
    let appended = sandbox.ok_with(&["append", "moved", "logs", "--print-acks"], "more\n");
    assert!(appended.contains(&format!("\"acked\",\"offset\":{}", records.len())), "{appended}");
}

#[test]
fn strange_files_stay_as_they_are() {
    let sandbox = Sandbox::new();
    sandbox.ok_with(&["append", "data", "logs", "--segment-bytes", "64KiB"], "1\n");
    let partition = "data/topics/default/logs/0";
    let first = "00000000000000000000-0000000001";
    let odd = [
        "data/notes.txt".to_owned(),
        "data/.hidden".to_owned(),
        "data/topics/readme".to_owned(),
        "data/topics/default/logs/0.bak".to_owned(),
        format!("{partition}/{first}.log.bak"),
        format!("{partition}/{first}.LOG"),
        format!("{partition}/0-1.log"),
        format!("{partition}/core"),
        format!("{partition}/META~"),
    ];
    for name in &odd {
        sandbox.write(name, format!("precious {name}"));
    }
    let fifo = sandbox.path(&format!("{partition}/pipe"));
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    symlink("nowhere", sandbox.path(&format!("{partition}/link"))).unwrap();
    std::fs::create_dir(sandbox.path(&format!("{partition}/directory"))).unwrap();
    let metadata = |path: &Path| {
        let found = path.symlink_metadata().unwrap();
        (found.len(), found.modified().unwrap(), found.file_type())
    };
    let strange = ["pipe", "link", "directory"].map(|name| sandbox.path(&format!("{partition}/{name}")));
    let paths: Vec<_> = odd.iter().map(|name| sandbox.path(name)).chain(strange).collect();
    let before: Vec<_> = paths.iter().map(|path| metadata(path)).collect();

    let mut writer = Writer::start(&sandbox, "data");
    let line = "x".repeat(30_000);
    for _ in 0..10 {
        assert!(writer.append(&line).contains("\"acked\""));
    }
    writer.kill();
    sandbox.ok_with(&["append", "data", "logs"], "last\n");
    sandbox.run(&["verify", "data"]).expect(0);
    assert_eq!(json_lines(&sandbox.ok(&["cat", "data", "logs"])).len(), 12);

    assert_eq!(paths.iter().map(|path| metadata(path)).collect::<Vec<_>>(), before);
    for name in &odd {
        assert_eq!(std::fs::read_to_string(sandbox.path(name)).unwrap(), format!("precious {name}"));
    }
}
