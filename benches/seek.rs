//! What it costs to find a record and read it: by offset, by time with the index, and by time without one, as a log that knows times alone has to:
//! by halving over the records where times rise, and by reading from the start where they do not. Ten million records of 100 B times
//! `TIDELOG_BENCH_SCALE`, in batches of 100; prints the table of docs/offsets.md.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // a bench is its own user of the file system

mod marks;

use std::path::Path;
use std::time::{Duration, Instant};

use marks::bench_dir::{BenchDir, scaled};
use marks::engine::{BATCH, open};
use marks::values::{Rng, Values};
use tidelog::{AckLevel, Offset, Partition, PartitionView, Record, RecordBatch, Start, StoredRecord, TimestampNs};

fn main() {
    // Run as a test, by `cargo test --benches`, it only shows that it runs.
    let is_test = std::env::args().any(|argument| argument == "--test");
    let (records, rounds) = if is_test { (10_000, 1) } else { (scaled(10_000_000), ROUNDS) };
    let (dir, values) = (BenchDir::new(), Values::new(100));
    let rising = Log::fill(&dir.path("rising"), &values, records, 1);
    let mixed = Log::fill(&dir.path("mixed"), &values, records, OUT_OF_ORDER);
    let rows = [
        Row::new("by offset", &rising, SEEKS, by_offset),
        Row::new("by time, with the index", &rising, SEEKS, by_time),
        Row::new("by time, without it: halving over the records", &rising, SEEKS, by_halving),
        Row::new("by time, without it: reading from the start", &rising, SEEKS_FROM_START, by_reading),
        Row::new("by time, with the index, times out of order", &mixed, SEEKS, by_time),
        Row::new("by time, without it, times out of order: reading from the start", &mixed, SEEKS_FROM_START, by_reading),
    ];
    let mut rng = Rng(5);
    let samples: Vec<Vec<Figures>> = (0..rounds).map(|_| rows.iter().map(|row| row.run(&mut rng)).collect()).collect();
    println!("{records} records; the medians of {rounds} rounds\n");
    println!("| a seek, and the record read | seeks | median | 99 of 100 within |\n|---|--:|--:|--:|");
    for (at, row) in rows.iter().enumerate() {
        let middle = |figure: fn(&Figures) -> Duration| median(samples.iter().map(|round| figure(&round[at])).collect());
        println!(
            "| {} | {} | {} | {} |",
            row.name,
            row.seeks * rounds,
            shown(middle(|figures| figures.median)),
            shown(middle(|figures| figures.most))
        );
    }
}

/// A log, and what its times are.
struct Log {
    view: PartitionView,
    _partition: Partition,
    /// The highest time up to each record: the first that is late enough is where this first is.
    latest: Vec<i64>,
}

impl Log {
    /// Each record may come up to `late` records after its time.
    fn fill(path: &Path, values: &Values, records: usize, late: usize) -> Self {
        let (partition, mut batch, mut rng, mut latest) = (open(path), RecordBatch::new(), Rng(3), Vec::with_capacity(records));
        for number in 0..records {
            let time = START_NS + (number - rng.below(late).min(number)) as i64 * STEP_NS;
            latest.push(latest.last().map_or(time, |before: &i64| time.max(*before)));
            batch.push(&Record::new(values.get(number)).timestamp(TimestampNs::new(time))).unwrap();
            if batch.len() == BATCH {
                partition.append_batch(&batch, AckLevel::Written).unwrap();
                batch.clear();
            }
        }
        assert_eq!(partition.log_end_offset().get() as usize, records);
        Self { view: partition.view().clone(), _partition: partition, latest }
    }
}

/// Finds the record that has an offset, or the first one that is of a time or later.
type Seek = fn(&Log, Offset, TimestampNs) -> StoredRecord;

fn by_offset(log: &Log, offset: Offset, _: TimestampNs) -> StoredRecord {
    log.view.read_from(offset).unwrap().next().unwrap().unwrap()
}

fn by_time(log: &Log, _: Offset, time: TimestampNs) -> StoredRecord {
    log.view.read(Start::Time(time)).unwrap().next().unwrap().unwrap()
}

fn by_halving(log: &Log, _: Offset, time: TimestampNs) -> StoredRecord {
    let (mut low, mut high) = (0, log.latest.len() as u64 - 1);
    while low < high {
        let middle = low + (high - low) / 2;
        if log.view.get(middle).unwrap().timestamp() < time { low = middle + 1 } else { high = middle }
    }
    log.view.get(low).unwrap()
}

fn by_reading(log: &Log, _: Offset, time: TimestampNs) -> StoredRecord {
    let mut reader = log.view.read(Start::Earliest).unwrap();
    while let Some(batch) = reader.next_batch() {
        let found = batch.unwrap().records().map(Result::unwrap).find(|record| record.timestamp() >= time).map(|record| record.offset());
        if let Some(offset) = found {
            return log.view.get(offset).unwrap();
        }
    }
    panic!("no record is of {time:?} or later")
}

/// A way to seek, in one of the logs.
struct Row<'a> {
    name: &'static str,
    log: &'a Log,
    seeks: usize,
    seek: Seek,
}

struct Figures {
    median: Duration,
    most: Duration,
}

impl<'a> Row<'a> {
    fn new(name: &'static str, log: &'a Log, seeks: usize, seek: Seek) -> Self {
        Self { name, log, seeks, seek }
    }

    /// Seeks to random places, and checks what is found there.
    fn run(&self, rng: &mut Rng) -> Figures {
        let mut took = Vec::with_capacity(self.seeks);
        for _ in 0..self.seeks {
            let time = self.log.latest[rng.below(self.log.latest.len())];
            let expected = Offset::new(self.log.latest.partition_point(|latest| *latest < time) as u64);
            let start = Instant::now();
            let record = (self.seek)(self.log, expected, TimestampNs::new(time));
            took.push(start.elapsed());
            assert_eq!(record.offset(), expected, "{}", self.name);
        }
        took.sort();
        Figures { median: took[took.len() / 2], most: took[took.len() * 99 / 100] }
    }
}

fn median(mut figures: Vec<Duration>) -> Duration {
    figures.sort();
    figures[figures.len() / 2]
}

fn shown(took: Duration) -> String {
    let micros = took.as_secs_f64() * 1e6;
    if micros < 1000.0 { format!("{micros:.1} us") } else { format!("{:.0} ms", micros / 1000.0) }
}

const START_NS: i64 = 1_700_000_000_000_000_000;
const STEP_NS: i64 = 1_000_000;
/// Records.
const OUT_OF_ORDER: usize = 1000;
const SEEKS: usize = 1000;
/// Each of them reads half of the log.
const SEEKS_FROM_START: usize = 200;
const ROUNDS: usize = 5;
