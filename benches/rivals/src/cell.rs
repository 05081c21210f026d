//! One cell: what a log does for a row, in the process that runs it. Reads back what was written before the figure counts.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::fs::{major, minor};
use rustix::process::{Signal, getpid, kill_process};
use rustix::time::{ClockId, clock_gettime};

use crate::cells::MARK;
use crate::log::{Entry, Log, Opens, Survives};
use crate::logs::LOGS;
use crate::plain::values::{Rng, Values};
use crate::rows::{End, Opened, ROWS, Row, What};
use crate::sample::Sample;

/// Writes what another process is to measure, and ends as the row says.
///
/// # Panics
/// If there is none of the name, or a call fails.
pub(crate) fn fill(row: &str, log: &str, path: &Path, scale: f64) {
    let (row, log) = (row_named(row), log_named(log));
    let filled = Bench::new(row, log, path, scale).filled();
    if row.filled_by() == Some(End::Killed) {
        kill_process(getpid(), Signal::KILL).expect("it ends");
    }
    drop(filled);
}

/// Measures a row of a log, both by their names, in a directory that is empty or was filled for it.
///
/// # Panics
/// If there is none of the name, if a call fails, or if another value is read than was written.
pub(crate) fn measure(row: &str, log: &str, path: &Path, scale: f64) -> Sample {
    let row = row_named(row);
    let before = device_bytes(path);
    let sample = if log == MARK {
        let mark = row.mark.expect("the row has a mark");
        mark.measure(path, &Values::new(row.value_bytes), row.records_at(scale))
    } else {
        Bench::new(row, log_named(log), path, scale).run(row.what)
    };
    if !row.syncs() {
        return sample;
    }
    let written = device_bytes(path).zip(before).map(|(after, before)| (after - before) as f64 / row.records_at(scale) as f64);
    sample.with_device_bytes(written)
}

fn row_named(name: &str) -> &'static Row {
    ROWS.iter().find(|row| row.name == name).expect("there is such a row")
}

fn log_named(name: &str) -> &'static Entry {
    LOGS.iter().find(|log| log.name == name).expect("there is such a log")
}

struct Bench {
    path: PathBuf,
    records: usize,
    values: Values,
    /// Records at once, where it is filled to be read.
    fill_batch: usize,
    log: &'static Entry,
}

impl Bench {
    fn new(row: &Row, log: &'static Entry, path: &Path, scale: f64) -> Self {
        Self { path: path.to_owned(), records: row.records_at(scale), values: Values::new(row.value_bytes), fill_batch: row.fill_batch(), log }
    }

    fn run(&self, what: What) -> Sample {
        match what {
            What::Append(batch, survives) => {
                let (mut log, mut waits) = ((self.log.open)(&self.path, survives), Vec::with_capacity(self.records));
                let sample = if survives == Survives::Kill {
                    timed(self.records, || self.append(&mut *log, batch, |log, values| log.append(values)))
                } else {
                    timed(self.records, || self.append(&mut *log, batch, |log, values| waits.push(waited(|| log.append(values)))))
                };
                self.check(&mut *log);
                if waits.is_empty() { sample } else { sample.with_latencies(waits) }
            }
            What::Threads(threads) => self.threads(threads),
            What::Outstanding(count) => {
                let (mut log, mut waits) = ((self.log.open)(&self.path, Survives::PowerLoss), Vec::with_capacity(self.records));
                let sample = timed(self.records, || {
                    self.append(&mut *log, count, |log, values| {
                        let waited = waited(|| log.append_outstanding(values));
                        waits.extend([waited].repeat(values.len()));
                    });
                });
                self.check(&mut *log);
                sample.with_latencies(waits)
            }
            What::Scan(_) => {
                let mut log = self.filled();
                let mut bytes = 0;
                let sample = timed(self.records, || log.scan(&mut |value| bytes += value.len()));
                assert_eq!(bytes, self.records * self.values.value_bytes(), "{} read something else than was written", self.log.name);
                self.check(&mut *log);
                sample
            }
            What::Get(Opened::Before, _) => self.get(&mut *self.filled()),
            What::Get(Opened::Now, _) => self.get(&mut *(self.log.open)(&self.path, self.weakest())),
            What::Reopen(_) => {
                let mut log = None;
                let sample = timed(1, || log = Some((self.log.open)(&self.path, self.weakest())));
                self.check(&mut *log.expect("it was opened"));
                sample
            }
            What::Footprint => self.footprint(),
        }
    }

    fn weakest(&self) -> Survives {
        if self.log.kill.is_some() { Survives::Kill } else { Survives::PowerLoss }
    }

    fn filled(&self) -> Box<dyn Log> {
        let mut log = (self.log.open)(&self.path, self.weakest());
        self.append(&mut *log, self.fill_batch, |log, values| log.append(values));
        log
    }

    fn append(&self, log: &mut dyn Log, batch: usize, mut append: impl FnMut(&mut dyn Log, &[&[u8]])) {
        let mut values: Vec<&[u8]> = Vec::with_capacity(batch);
        for first in (0..self.records).step_by(batch) {
            values.clear();
            values.extend((first..first + batch).map(|number| self.values.get(number)));
            append(log, &values);
        }
    }

    fn get(&self, log: &mut dyn Log) -> Sample {
        let (mut rng, reads) = (Rng(5), self.records / 8);
        timed(reads, || {
            for _ in 0..reads {
                let number = rng.below(self.records);
                log.get(number as u64, &mut |value| assert!(value == self.values.get(number), "{} read another record", self.log.name));
            }
        })
    }

    /// What was written is what is read, and all of it.
    fn check(&self, log: &mut dyn Log) {
        let mut number = 0;
        log.scan(&mut |value| {
            assert!(value == self.values.get(number), "{}: record {number} is another", self.log.name);
            number += 1;
        });
        assert_eq!(number, self.records, "{} lost records, or has more", self.log.name);
    }

    /// Every value is there, in whatever order.
    fn threads(&self, threads: usize) -> Sample {
        let shared = (self.log.share.expect("it is for it"))(&self.path);
        let (each, mut waits) = (self.records / threads, Vec::with_capacity(self.records));
        let sample = timed(self.records, || {
            std::thread::scope(|scope| {
                let append = |thread| {
                    let (shared, values) = (&shared, &self.values);
                    move || (0..each).map(|number| waited(|| shared.append(values.get(thread * each + number)))).collect::<Vec<u64>>()
                };
                let running: Vec<_> = (0..threads).map(|thread| scope.spawn(append(thread))).collect();
                running.into_iter().for_each(|thread| waits.extend(thread.join().expect("it appends")));
            });
        });
        drop(shared);
        let (mut found, mut expected) = (0u64, 0u64);
        (self.log.open)(&self.path, Survives::PowerLoss).scan(&mut |value| found = found.wrapping_add(sum(value)));
        (0..self.records).for_each(|number| expected = expected.wrapping_add(sum(self.values.get(number))));
        assert_eq!(found, expected, "{} lost a record that it had acknowledged", self.log.name);
        sample.with_latencies(waits)
    }

    fn footprint(&self) -> Sample {
        let before = memory_bytes();
        let mut log = self.filled();
        let memory = memory_bytes().saturating_sub(before);
        self.check(&mut *log);
        drop(log);
        if self.log.opens(End::Closed) != Opens::Lost {
            self.check(&mut *(self.log.open)(&self.path, self.weakest()));
        }
        Sample(vec![disk_bytes(&self.path) as f64 / self.records as f64, memory as f64])
    }
}

fn sum(value: &[u8]) -> u64 {
    value.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

pub(crate) fn timed(records: usize, work: impl FnOnce()) -> Sample {
    let (cpu, wall) = (cpu_ns(), Instant::now());
    work();
    let (wall, cpu) = (wall.elapsed().as_nanos() as f64, cpu_ns() - cpu);
    Sample(vec![wall / records as f64, cpu / records as f64])
}

fn waited(work: impl FnOnce()) -> u64 {
    let start = Instant::now();
    work();
    start.elapsed().as_nanos() as u64
}

fn cpu_ns() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// What of the process's memory is of no file: heaps of whatever language, with what their allocators keep. Maps of the log's files are not in it.
fn memory_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("the kernel says");
    let kib = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).and_then(|rest| rest.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.trim().parse::<usize>().ok()).expect("in its usual form") * 1024
}

/// Bytes that the device under `path` was told to write, by whomever; none where the kernel counts none.
fn device_bytes(path: &Path) -> Option<u64> {
    let device = std::fs::metadata(path).ok()?.dev();
    let counters = std::fs::read_to_string(format!("/sys/dev/block/{}:{}/stat", major(device), minor(device))).ok()?;
    let sectors: u64 = counters.split_whitespace().nth(6)?.parse().ok()?;
    Some(sectors * BLOCK_BYTES)
}

/// Blocks that files hold: what is reserved counts, holes do not.
fn disk_bytes(path: &Path) -> u64 {
    let entries = std::fs::read_dir(path).expect("a directory").map(|entry| entry.expect("it is read"));
    let of = |entry: std::fs::DirEntry| {
        let metadata = entry.metadata().expect("it is there");
        if metadata.is_dir() { disk_bytes(&entry.path()) } else { metadata.blocks() * BLOCK_BYTES }
    };
    entries.map(of).sum()
}

const BLOCK_BYTES: u64 = 512;
