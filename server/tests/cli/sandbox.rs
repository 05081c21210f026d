//! A directory of its own for each test, and the program run in it. Every run is checked for panics.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::SystemTime;

use serde_json::Value;

/// Removed, with everything in it, at the end of the test.
pub(crate) struct Sandbox(tempfile::TempDir);

/// What a run left.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_tidelog");

impl Sandbox {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// The program, to be run in the sandbox.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).current_dir(self.0.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs with nothing on the standard input.
    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        self.run_with(arguments, b"")
    }

    /// Runs with `input` on the standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &[u8]) -> Run {
        run_command(self.command(arguments), input)
    }

    /// Runs with `input`, and with a standard output that nobody reads.
    pub(crate) fn run_unread(&self, arguments: &[&str], input: &[u8]) -> Run {
        let mut command = self.command(arguments);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        command.stdout(writer);
        run_command(command, input)
    }

    /// Runs, expects success, returns the standard output.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        self.run(arguments).expect(0).text()
    }

    /// Runs with input and expects success.
    pub(crate) fn ok_with(&self, arguments: &[&str], input: impl AsRef<[u8]>) -> String {
        self.run_with(arguments, input.as_ref()).expect(0).text()
    }

    /// The values of a topic, each behind its newline.
    pub(crate) fn raw(&self, topic: &str) -> Vec<u8> {
        self.run(&["cat", "data", topic, "--output", "raw"]).expect(0).stdout
    }

    /// The records of a topic as JSON.
    pub(crate) fn records(&self, arguments: &[&str]) -> Vec<Value> {
        json_lines(&self.ok(&[&["cat", "data"], arguments].concat()))
    }

    /// Every file and directory below one, with size, CRC-32 and time of change.
    pub(crate) fn snapshot(&self, name: &str) -> Vec<(PathBuf, u64, u32, SystemTime)> {
        let mut files = Vec::new();
        collect(&self.path(name), &mut files);
        files.sort();
        files
    }
}

/// With `TIDELOG_KEEP_FAILED`, what a failed test leaves stays to be looked at.
impl Drop for Sandbox {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("TIDELOG_KEEP_FAILED").is_some() {
            self.0.disable_cleanup(true);
            eprintln!("kept: {}", self.0.path().display());
        }
    }
}

impl Run {
    /// The exit code must be this.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        let shown = String::from_utf8_lossy(&self.stdout[..self.stdout.len().min(2000)]);
        assert_eq!(self.code, Some(code), "stderr: {}\nstdout: {}", self.stderr, shown.escape_debug());
        self
    }

    /// The standard error must be one line that says this.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "expected {text:?} in: {}", self.stderr);
        self
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).unwrap()
    }
}

/// Runs a command with input; whatever it is, it must not panic.
#[track_caller]
pub(crate) fn run_command(mut command: Command, input: &[u8]) -> Run {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        // A program that ends without reading its input closes the pipe: no concern of the test.
        scope.spawn(move || {
            let _ = stdin.write_all(input);
        });
        child.wait_with_output().unwrap()
    });
    checked(output)
}

#[track_caller]
pub(crate) fn checked(output: Output) -> Run {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!stderr.contains("panicked"), "{stderr}");
    Run { code: output.status.code(), stdout: output.stdout, stderr }
}

/// Sends a signal, by the name that `kill` knows, to a run, once `is_under_way` says so; it must end with 128 and the signal's number.
#[track_caller]
pub(crate) fn interrupt(mut command: Command, signal: (&str, i32), is_under_way: impl Fn() -> bool) -> Run {
    let mut child = command.spawn().unwrap();
    while !is_under_way() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it was interrupted");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let sent = Command::new("sh").args(["-c", &format!("kill -{} {}", signal.0, child.id())]).status().unwrap();
    assert!(sent.success());
    checked(child.wait_with_output().unwrap()).expect(128 + signal.1)
}

pub(crate) fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn collect(dir: &Path, files: &mut Vec<(PathBuf, u64, u32, SystemTime)>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.symlink_metadata().unwrap();
        let crc32 = if metadata.is_dir() { 0 } else { crc32fast::hash(&std::fs::read(&path).unwrap()) };
        files.push((path.clone(), metadata.len(), crc32, metadata.modified().unwrap()));
        if metadata.is_dir() {
            collect(&path, files);
        }
    }
}

/// A seeded generator of bytes and numbers: tests are the same every time.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    /// Lines of many lengths with odd bytes in them, about `bytes` in all.
    pub(crate) fn lines(&mut self, bytes: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < bytes {
            let length = if self.below(50) == 0 { self.below(20_000) } else { self.below(200) };
            all.extend((0..length).map(|_| self.below(256) as u8).map(|byte| if byte == b'\n' { b'\r' } else { byte }));
            all.push(b'\n');
        }
        all
    }
}
