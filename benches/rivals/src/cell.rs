//! One cell: what a log does for a row, in the process that runs it. Reads back what was written before the figure counts.

use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};

use crate::log::{Entry, Log, Survives};
use crate::logs::LOGS;
use crate::rows::{FILL_BATCH, ROWS, What};
use crate::sample::Sample;
use crate::values::{Rng, Values};

/// Measures a row of a log, both by their names, in an empty directory.
///
/// # Panics
/// If there is none of the name, if a call fails, or if another value is read than was written.
pub(crate) fn measure(row: &str, log: &str, path: &Path, scale: f64) -> Sample {
    let row = ROWS.iter().find(|other| other.name == row).expect("there is such a row");
    let log = LOGS.iter().find(|other| other.name == log).expect("there is such a log");
    let bench = Bench { path: path.to_owned(), records: row.records_at(scale), values: Values::new(row.value_bytes), log };
    bench.run(row.what)
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

fn cpu_ns() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}
