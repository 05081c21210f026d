//! Plumbing of the tests of appending and reading: stores in temporary directories, a small random generator, child processes. Tests nothing.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tidelog::io::Disk;
use tidelog::io::fault::Faulty;
use tidelog::{AckLevel, Partition, PartitionView, Record, RecordBatch, Store, StoreOptions, SyncPolicy, TimestampNs};

/// A store and the directory it is in, removed at the end.
pub(crate) struct Home {
    pub(crate) dir: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The only partition of the topic `t`.
    pub(crate) fn partition(&self, options: StoreOptions) -> (Store, Partition) {
        let store = options.open(self.path()).unwrap();
        let partition = store.topic("t").unwrap().partition(0).unwrap();
        (store, partition)
    }

    pub(crate) fn read_only(&self) -> PartitionView {
        read_only(self.path())
    }

    pub(crate) fn partition_dir(&self) -> PathBuf {
        self.path().join("topics/default/t/0")
    }
}

pub(crate) fn read_only(path: &Path) -> PartitionView {
    Store::open_read_only(path).unwrap().topic("t").unwrap().partition(0).unwrap()
}

/// Written appends that never wait for a disk, in segments small enough to roll often.
pub(crate) fn small() -> StoreOptions {
    StoreOptions::new().sync_policy(SyncPolicy::OsOnly).segment_bytes(64 << 10)
}

pub(crate) fn faulty() -> (Faulty, StoreOptions) {
    let faulty = Faulty::new(Arc::new(Disk::new()));
    (faulty.clone(), StoreOptions::new().storage(Arc::new(faulty)))
}

pub(crate) fn ts(ns: i64) -> TimestampNs {
    TimestampNs::new(ns)
}

/// Appends values that say which record they are.
pub(crate) fn append_numbered(partition: &Partition, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let ack = partition.append_with(Record::new(&numbered(number)), AckLevel::Written).unwrap();
        assert_eq!(ack.base_offset.get(), number);
    }
}

/// The value of record `number`: its number, and bytes that depend on it.
pub(crate) fn numbered(number: u64) -> Vec<u8> {
    let mut value = number.to_le_bytes().to_vec();
    value.extend((0..number % 97).map(|byte| (byte * 7 + number) as u8));
    value
}

/// All records are the numbered ones of their offsets, dense from `from`; returns the offset behind the last.
pub(crate) fn check_numbered(view: &PartitionView, from: u64) -> u64 {
    let mut next = from;
    for record in view.read_from(from).unwrap() {
        let record = record.unwrap();
        assert_eq!(record.offset().get(), next);
        assert_eq!(record.value().unwrap(), numbered(next));
        next += 1;
    }
    next
}

pub(crate) fn batch(values: &[&str]) -> RecordBatch {
    let mut batch = RecordBatch::new();
    values.iter().for_each(|value| batch.push(&Record::new(*value)).unwrap());
    batch
}

/// A small generator of numbers that repeats from its seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// A number from the environment, for tests that also run at full size.
pub(crate) fn size(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().map_or(usual, |text| text.parse().unwrap())
}

/// Looks again and again until `is_there`, for at most 10 s.
pub(crate) fn eventually(what: &str, mut is_there: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_there() {
        assert!(Instant::now() < deadline, "not within 10 s: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// This test binary, started again to run one test in another process; killed when dropped.
pub(crate) struct Other {
    pub(crate) child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Other {
    /// Starts the test `name`, which does its part only when it finds `TIDELOG_OTHER` set: to the directory.
    pub(crate) fn start(name: &str, dir: &Path, how: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture", "--test-threads=1"])
            .env("TIDELOG_OTHER", dir)
            .env("TIDELOG_OTHER_HOW", how)
            .stdout(Stdio::piped())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The rest of the next line that begins with `word`.
    pub(crate) fn hear(&mut self, word: &str) -> String {
        loop {
            let line = self.lines.next().unwrap_or_else(|| panic!("the other process ended before {word:?}")).unwrap();
            // The harness prints the name of the test in front of the first line, without a newline.
            if let Some(at) = line.find(&format!("@{word}")) {
                return line[at + word.len() + 1..].trim().to_owned();
            }
        }
    }

    /// What it said of `word` and was not heard yet: to be asked of one that has ended.
    pub(crate) fn last_words(&mut self, word: &str) -> Vec<String> {
        let word = format!("@{word} ");
        self.lines.by_ref().filter_map(|line| Some(line.unwrap().split_once(&word)?.1.trim().to_owned())).collect()
    }

    pub(crate) fn say(&mut self, line: &str) {
        use std::io::Write;
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// In the other process: the directory and what to do; `None` in the test run itself.
pub(crate) fn other() -> Option<(PathBuf, String)> {
    Some((std::env::var_os("TIDELOG_OTHER")?.into(), std::env::var("TIDELOG_OTHER_HOW").unwrap_or_default()))
}

/// In the other process: a line for the one that started it.
pub(crate) fn tell(word: &str, rest: impl std::fmt::Display) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    writeln!(out, "@{word} {rest}").unwrap();
    out.flush().unwrap();
}

/// Time that this process has spent on a CPU.
pub(crate) fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/schedstat");
    // Of the whole process: the sum over its threads.
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let sum: u64 = threads
        .filter_map(|thread| std::fs::read_to_string(thread.unwrap().path().join("schedstat")).ok())
        .filter_map(|text| text.split(' ').next()?.parse::<u64>().ok())
        .sum();
    assert!(stat.is_ok() && sum > 0, "the kernel keeps no schedstat");
    Duration::from_nanos(sum)
}

/// Every file below a directory with its size and content.
pub(crate) fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { dirs.push(path) } else { found.push((path.clone(), std::fs::read(&path).unwrap())) }
        }
    }
    found.sort();
    found
}

/// A copy of a store, as it is on disk now.
pub(crate) fn copy(dir: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    for (path, bytes) in contents(dir) {
        let target = to.path().join(path.strip_prefix(dir).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::write(target, bytes).unwrap();
    }
    to
}
