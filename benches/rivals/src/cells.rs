//! What is measured: rows, and for each log what it does for the row. Prints nothing but progress.

use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};

use crate::log::{Entry, Log, Survives};
use crate::logs::LOGS;
use crate::values::{Rng, Values};

/// One question, asked of every log.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    what: What,
    /// Records at scale 1.
    records: usize,
    value_bytes: usize,
}

#[derive(Debug, Clone, Copy)]
enum What {
    /// Appends in batches of so many.
    Append(usize, Survives),
    /// Appends one by one from so many threads.
    Threads(usize),
    Scan,
    Get,
    /// Opens what was closed, and reads the last value where it can be found.
    Reopen,
}

pub(crate) const ROWS: &[Row] = &[
    row("single append, 100 B, survives a kill", What::Append(1, Survives::Kill), 300_000, 100),
    row("single append, 1 KiB, survives a kill", What::Append(1, Survives::Kill), 100_000, 1024),
    row("batches of 100, 100 B, survive a kill", What::Append(100, Survives::Kill), 1_000_000, 100),
    row("batches of 1,000, 100 B, survive a kill", What::Append(1000, Survives::Kill), 1_000_000, 100),
    row("batches of 100, 1 KiB, survive a kill", What::Append(100, Survives::Kill), 200_000, 1024),
    row("durable append, one thread, 100 B", What::Append(1, Survives::PowerLoss), 2000, 100),
    row("durable append, 8 threads, 100 B", What::Threads(8), 8000, 100),
    row("durable append, 64 threads, 100 B", What::Threads(64), 32_000, 100),
    row("scan, 100 B", What::Scan, 1_000_000, 100),
    row("random read by number, 100 B", What::Get, 1_000_000, 100),
    row("reopen after a clean close", What::Reopen, 1_000_000, 100),
];

const fn row(name: &'static str, what: What, records: usize, value_bytes: usize) -> Row {
    Row { name, what, records, value_bytes }
}

pub(crate) fn row_names() -> Vec<&'static str> {
    ROWS.iter().map(|row| row.name).collect()
}

/// Nanoseconds a record, or of the whole where a row has one thing to do: by the clock, and of all threads of the process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) wall: f64,
    pub(crate) cpu: f64,
}

/// A log's answers to a row; none if it cannot do it.
pub(crate) struct Answers {
    pub(crate) row: &'static Row,
    pub(crate) log: &'static Entry,
    pub(crate) samples: Vec<Sample>,
}

/// What is to be measured.
pub(crate) struct Cells {
    cells: Vec<Answers>,
    scale: f64,
}

impl Cells {
    /// All, or those of the rows and logs that are named.
    pub(crate) fn new(wanted: &[String], scale: f64) -> Self {
        let is_wanted = |name: &str, all: Vec<&str>| {
            let named: Vec<&String> = wanted.iter().filter(|wanted| all.contains(&wanted.as_str())).collect();
            named.is_empty() || named.iter().any(|wanted| *wanted == name)
        };
        let is_known = |wanted: &String| row_names().contains(&wanted.as_str()) || crate::logs::names().contains(&wanted.as_str());
        if !wanted.iter().all(is_known) {
            return Self { cells: Vec::new(), scale };
        }
        let rows = ROWS.iter().filter(|row| is_wanted(row.name, row_names()));
        let logs = || LOGS.iter().filter(|log| is_wanted(log.name, crate::logs::names()));
        let cells = rows.flat_map(|row| logs().map(move |log| Answers { row, log, samples: Vec::new() })).collect();
        Self { cells, scale }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    pub(crate) fn run(mut self, rounds: usize) -> Vec<Answers> {
        // Beside the program: the build's disk is never memory, as /tmp may be.
        let program = std::env::current_exe().expect("it has a path");
        let dir = tempfile::tempdir_in(program.parent().expect("it is in a directory")).expect("a directory");
        let mut rng = Rng(7);
        let mut order: Vec<usize> = (0..self.cells.len()).filter(|cell| self.cells[*cell].row.is_for(self.cells[*cell].log)).collect();
        for round in 1..=rounds {
            rng.shuffle(&mut order);
            for (done, cell) in order.iter().enumerate() {
                let Answers { row, log, samples } = &mut self.cells[*cell];
                eprintln!("round {round} of {rounds}, {} of {}: {}, {}", done + 1, order.len(), log.name, row.name);
                std::fs::create_dir(dir.path().join("log")).expect("a directory");
                let bench = Bench { path: dir.path().join("log"), records: row.records_at(self.scale), values: Values::new(row.value_bytes), log };
                samples.push(bench.run(row.what));
                std::fs::remove_dir_all(dir.path().join("log")).expect("it is removed");
            }
        }
        self.cells
    }
}

impl Row {
    fn is_for(&self, log: &Entry) -> bool {
        match self.what {
            What::Append(_, Survives::Kill) => log.kill.is_some(),
            What::Append(_, Survives::PowerLoss) => log.power_loss.is_some(),
            What::Threads(_) => log.share.is_some(),
            What::Get => log.finds,
            What::Scan | What::Reopen => true,
        }
    }

    /// A multiple of what is appended at once, or of the threads.
    fn records_at(&self, scale: f64) -> usize {
        let unit = match self.what {
            What::Append(batch, _) => batch,
            What::Threads(threads) => threads,
            What::Scan | What::Get | What::Reopen => FILL_BATCH,
        };
        ((self.records as f64 * scale) as usize / unit).max(1) * unit
    }

    /// Whether its figure is of the whole rather than of a record.
    pub(crate) fn is_once(&self) -> bool {
        matches!(self.what, What::Reopen)
    }
}

struct Bench {
    path: PathBuf,
    records: usize,
    values: Values,
    log: &'static Entry,
}

impl Bench {
    fn run(&self, what: What) -> Sample {
        match what {
            What::Append(batch, survives) => {
                let mut log = (self.log.open)(&self.path, survives);
                let sample = timed(self.records, || self.append(&mut *log, batch));
                self.check(&mut *log);
                sample
            }
            What::Threads(threads) => self.threads(threads),
            What::Scan => {
                let mut log = self.filled();
                let mut bytes = 0;
                let sample = timed(self.records, || log.scan(&mut |value| bytes += value.len()));
                assert_eq!(bytes, self.records * self.values.value_bytes(), "{} read something else than was written", self.log.name);
                self.check(&mut *log);
                sample
            }
            What::Get => {
                let (mut log, mut rng) = (self.filled(), Rng(5));
                let reads = self.records / 8;
                timed(reads, || {
                    for _ in 0..reads {
                        let number = rng.below(self.records);
                        log.get(number as u64, &mut |value| assert!(value == self.values.get(number), "{} read another record", self.log.name));
                    }
                })
            }
            What::Reopen => {
                drop(self.filled());
                let mut log = None;
                let sample = timed(1, || log = Some((self.log.open)(&self.path, self.weakest())));
                let mut log = log.expect("it was opened");
                if self.log.finds {
                    let last = self.records - 1;
                    log.get(last as u64, &mut |value| assert!(value == self.values.get(last), "{} lost the last record", self.log.name));
                }
                sample
            }
        }
    }

    fn weakest(&self) -> Survives {
        if self.log.kill.is_some() { Survives::Kill } else { Survives::PowerLoss }
    }

    fn filled(&self) -> Box<dyn Log> {
        let mut log = (self.log.open)(&self.path, self.weakest());
        self.append(&mut *log, FILL_BATCH);
        log
    }

    fn append(&self, log: &mut dyn Log, batch: usize) {
        let mut values: Vec<&[u8]> = Vec::with_capacity(batch);
        for first in (0..self.records).step_by(batch) {
            values.clear();
            values.extend((first..first + batch).map(|number| self.values.get(number)));
            log.append(&values);
        }
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
        let each = self.records / threads;
        let sample = timed(self.records, || {
            std::thread::scope(|scope| {
                for thread in 0..threads {
                    let (shared, values) = (&shared, &self.values);
                    scope.spawn(move || (0..each).for_each(|number| shared.append(values.get(thread * each + number))));
                }
            });
        });
        drop(shared);
        let (mut found, mut expected) = (0u64, 0u64);
        reopened(self.log, &self.path).scan(&mut |value| found = found.wrapping_add(sum(value)));
        (0..self.records).for_each(|number| expected = expected.wrapping_add(sum(self.values.get(number))));
        assert_eq!(found, expected, "{} lost a record that it had acknowledged", self.log.name);
        sample
    }
}

fn reopened(log: &Entry, path: &Path) -> Box<dyn Log> {
    (log.open)(path, Survives::PowerLoss)
}

fn sum(value: &[u8]) -> u64 {
    value.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn timed(records: usize, work: impl FnOnce()) -> Sample {
    let (cpu, wall) = (cpu_ns(), Instant::now());
    work();
    let (wall, cpu) = (wall.elapsed().as_nanos() as f64, cpu_ns() - cpu);
    Sample { wall: wall / records as f64, cpu: cpu / records as f64 }
}

/// Records of a batch of a log that is made to be read.
const FILL_BATCH: usize = 1000;

fn cpu_ns() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}
