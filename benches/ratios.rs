//! The engine beside plain code doing the least possible, interleaved in one run: a table of medians and ratios. Judges only if asked to:
//! with `TIDELOG_BENCH_STRICT=1` a row under its aim fails. `TIDELOG_BENCH_SCALE` sizes everything. Needs a release build to mean anything.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // a bench is its own user of the file system

mod marks;

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use marks::bench_dir::{BenchDir, is_strict, scaled};
use marks::engine::{SINGLE_BYTES, open, open_durable, put_batches, put_singles, remove};
use marks::map_log::MapLog;
use marks::resident::Resident;
use marks::synced_writes::SyncedWrites;
use marks::values::{Rng, Values};
use marks::write_log::WriteLog;
use rustix::time::{ClockId, clock_gettime};
use tidelog::{Partition, Record};

fn main() -> ExitCode {
    // Run as a test, by `cargo test --benches`, it only shows that it runs.
    let rounds = if std::env::args().any(|argument| argument == "--test") { 1 } else { rounds() };
    let only: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let fixture = Fixture::new();
    let cells: Vec<usize> = (0..CELLS.len()).filter(|cell| only.is_empty() || only.iter().any(|only| is_asked_for(only, *cell))).collect();
    let mut samples = vec![Vec::new(); CELLS.len()];
    let mut rng = Rng(7);
    for round in 0..rounds {
        let mut order = cells.clone();
        rng.shuffle(&mut order);
        for cell in order {
            back_memory();
            samples[cell].push((CELLS[cell].run)(&fixture));
        }
        eprintln!("round {} of {rounds}", round + 1);
    }
    let missed = print_table(&samples);
    if missed > 0 && is_strict() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// One thing to time.
struct Cell {
    name: &'static str,
    run: fn(&Fixture) -> Sample,
}

/// One question: the engine's cell, the mark's, and the least ratio of their rates.
struct Row {
    name: &'static str,
    engine: &'static str,
    mark: &'static str,
    aim: Option<f64>,
}

/// Nanoseconds a record: by the clock, and of all threads of the process.
#[derive(Debug, Clone, Copy)]
struct Sample {
    wall: f64,
    cpu: f64,
}

const CELLS: &[Cell] = &[
    Cell { name: "map", run: map_append },
    Cell { name: "write 1 KiB", run: write_append_1k },
    Cell { name: "write", run: write_append },
    Cell { name: "fdatasync loop", run: synced_writes },
    Cell { name: "memory", run: resident_scan },
    Cell { name: "memory read 1 KiB", run: memory_read },
    Cell { name: "map read", run: map_read },
    Cell { name: "single", run: |fixture| append_single(fixture) },
    Cell { name: "batch", run: |fixture| append_batches(fixture, &fixture.small, scaled(2_000_000)) },
    Cell { name: "batch 1 KiB", run: |fixture| append_batches(fixture, &fixture.large, scaled(250_000)) },
    Cell { name: "batch, pages there", run: append_batches_in_bursts },
    Cell { name: "durable", run: append_durable },
    Cell { name: "scan batches", run: |fixture| scan_batches(fixture.batched()) },
    Cell { name: "scan iterator", run: |fixture| scan_iterator(fixture.batched()) },
    Cell { name: "scan 1 KiB", run: |fixture| scan_batches(fixture.kib()) },
    Cell { name: "scan singles", run: |fixture| scan_batches(fixture.single()) },
    Cell { name: "iterate singles", run: |fixture| scan_iterator(fixture.single()) },
    Cell { name: "borrow singles", run: |fixture| scan_borrowed(fixture.single()) },
    Cell { name: "get", run: |fixture| get(fixture.single(), fixture.records) },
    Cell { name: "get batched", run: |fixture| get(fixture.batched(), fixture.records) },
];

const ROWS: &[Row] = &[
    Row { name: "single append, written", engine: "single", mark: "map", aim: Some(0.7) },
    Row { name: "batches of 100, written", engine: "batch", mark: "map", aim: Some(1.5) },
    Row { name: "batches of 100 x 1 KiB", engine: "batch 1 KiB", mark: "write 1 KiB", aim: Some(0.8) },
    Row { name: "batches of 100, written", engine: "batch", mark: "write", aim: None },
    Row { name: "batches of 100, pages there", engine: "batch, pages there", mark: "memory", aim: Some(0.5) },
    Row { name: "durable append, one thread", engine: "durable", mark: "fdatasync loop", aim: Some(0.85) },
    Row { name: "scan by batch, batches of 100", engine: "scan batches", mark: "memory", aim: Some(1.0) },
    Row { name: "scan by record, batches of 100", engine: "scan iterator", mark: "memory", aim: Some(1.0) },
    Row { name: "scan by batch, 100 x 1 KiB", engine: "scan 1 KiB", mark: "memory read 1 KiB", aim: Some(0.5) },
    Row { name: "scan by batch, single appends", engine: "scan singles", mark: "memory", aim: None },
    Row { name: "scan by record, single appends", engine: "iterate singles", mark: "memory", aim: None },
    Row { name: "scan borrowed, single appends", engine: "borrow singles", mark: "memory", aim: None },
    Row { name: "random read, single appends", engine: "get", mark: "map read", aim: Some(0.5) },
    Row { name: "random read, batches of 100", engine: "get batched", mark: "map read", aim: None },
];

/// What the cells read, each written when it is first asked for.
struct Fixture {
    dir: BenchDir,
    small: Values,
    large: Values,
    records: usize,
    resident: OnceLock<Resident>,
    map: OnceLock<MapLog>,
    single: OnceLock<Partition>,
    batched: OnceLock<Partition>,
    kib: OnceLock<Partition>,
}

impl Fixture {
    fn new() -> Self {
        let (resident, map, single, batched, kib) = (OnceLock::new(), OnceLock::new(), OnceLock::new(), OnceLock::new(), OnceLock::new());
        let (small, large) = (Values::new(100), Values::new(1024));
        Self { dir: BenchDir::new(), small, large, records: scaled(4_000_000), resident, map, single, batched, kib }
    }

    fn resident(&self) -> &Resident {
        self.resident.get_or_init(|| Resident::new(&self.small, self.records))
    }

    fn map(&self) -> &MapLog {
        self.map.get_or_init(|| {
            let mut map = MapLog::create(&self.dir.path("map read"), self.records, self.small.value_bytes());
            (0..self.records).for_each(|number| map.append(self.small.get(number)));
            map
        })
    }

    /// One record a frame.
    fn single(&self) -> &Partition {
        self.single.get_or_init(|| {
            let partition = open(&self.dir.path("single"));
            put_singles(&partition, &self.small, self.records);
            partition.flush().unwrap();
            partition
        })
    }

    /// A hundred records a frame.
    fn batched(&self) -> &Partition {
        self.batched.get_or_init(|| {
            let partition = open(&self.dir.path("batched"));
            put_batches(&partition, &self.small, self.records);
            partition.flush().unwrap();
            partition
        })
    }

    /// A hundred records of 1 KiB a frame.
    fn kib(&self) -> &Partition {
        self.kib.get_or_init(|| {
            let partition = open(&self.dir.path("kib"));
            put_batches(&partition, &self.large, scaled(400_000));
            partition.flush().unwrap();
            partition
        })
    }
}

fn map_append(fixture: &Fixture) -> Sample {
    let path = fixture.dir.path("map");
    let records = scaled(2_000_000);
    let mut log = MapLog::create(&path, records, fixture.small.value_bytes());
    let sample = timed(records, || (0..records).for_each(|number| log.append(fixture.small.get(number))));
    std::fs::remove_file(&path).unwrap();
    sample
}

fn write_append(fixture: &Fixture) -> Sample {
    write_values(fixture, &fixture.small, scaled(2_000_000))
}

fn write_append_1k(fixture: &Fixture) -> Sample {
    write_values(fixture, &fixture.large, scaled(250_000))
}

fn write_values(fixture: &Fixture, values: &Values, records: usize) -> Sample {
    let path = fixture.dir.path("write");
    let mut log = WriteLog::create(&path);
    let sample = timed(records, || {
        (0..records).for_each(|number| log.append(values.get(number)));
        log.flush();
    });
    std::fs::remove_file(&path).unwrap();
    sample
}

/// The same number of bytes as a single append of the engine.
fn synced_writes(fixture: &Fixture) -> Sample {
    let path = fixture.dir.path("synced");
    let records = scaled(3_000);
    let mut log = SyncedWrites::create(&path, (records * SINGLE_BYTES) as u64);
    let bytes = [7; SINGLE_BYTES];
    let sample = timed(records, || (0..records).for_each(|_| log.append(&bytes)));
    std::fs::remove_file(&path).unwrap();
    sample
}

fn resident_scan(fixture: &Fixture) -> Sample {
    let (resident, mut value) = (fixture.resident(), [0; 128]);
    timed(fixture.records, || _ = black_box(resident.scan(&mut value)))
}

/// Reads memory that no cache holds, a word at a time, and does nothing else with it.
fn memory_read(_: &Fixture) -> Sample {
    let records = scaled(400_000);
    let words = black_box(vec![1u64; records * 1024 / 8]);
    timed(records, || {
        let mut sums = [0u64; 8];
        for chunk in words.chunks_exact(sums.len()) {
            sums.iter_mut().zip(chunk).for_each(|(sum, word)| *sum = sum.wrapping_add(*word));
        }
        black_box(sums);
    })
}

/// Each read begins when the one before it is done, as for a caller who looks at what it reads; the engine's likewise.
fn map_read(fixture: &Fixture) -> Sample {
    let (map, mut rng, mut value) = (fixture.map(), Rng(5), [0; 128]);
    let reads = fixture.records / 8;
    timed(reads, || (0..reads).for_each(|_| rng.0 ^= u64::from(map.read(rng.below(fixture.records), &mut value))))
}

fn append_single(fixture: &Fixture) -> Sample {
    let path = fixture.dir.path("engine");
    let records = scaled(1_000_000);
    let partition = open(&path);
    let sample = timed(records, || put_singles(&partition, &fixture.small, records));
    remove(partition, &path, records);
    sample
}

fn append_batches(fixture: &Fixture, values: &Values, records: usize) -> Sample {
    let path = fixture.dir.path("engine");
    let partition = open(&path);
    let sample = timed(records, || put_batches(&partition, values, records));
    remove(partition, &path, records);
    sample
}

/// With pauses, in which whoever makes pages present ahead catches up: it is not in the time, but in that of the processors.
fn append_batches_in_bursts(fixture: &Fixture) -> Sample {
    let path = fixture.dir.path("engine");
    let (partition, bursts) = (open(&path), scaled(400_000) / 1000);
    let (cpu, mut wall) = (cpu_ns(), 0.0);
    for _ in 0..bursts {
        wall += timed(BURST, || put_batches(&partition, &fixture.small, BURST)).wall;
        std::thread::sleep(Duration::from_millis(5));
    }
    let cpu = (cpu_ns() - cpu) / (bursts * BURST) as f64;
    remove(partition, &path, bursts * BURST);
    Sample { wall: wall / bursts as f64, cpu }
}

fn append_durable(fixture: &Fixture) -> Sample {
    let path = fixture.dir.path("engine");
    let records = scaled(3_000);
    let partition = open_durable(&path);
    let sample = timed(records, || {
        for number in 0..records {
            let ack = partition.append(Record::new(fixture.small.get(number))).unwrap();
            assert!(ack.durable_end > ack.last_offset);
        }
    });
    remove(partition, &path, records);
    sample
}

fn scan_batches(partition: &Partition) -> Sample {
    let records = partition.log_end_offset().get() as usize;
    let mut seen = 0;
    let sample = timed(records, || {
        let mut reader = partition.read_from(0).unwrap();
        while let Some(batch) = reader.next_batch() {
            for record in batch.unwrap().records() {
                black_box(record.unwrap().value());
                seen += 1;
            }
        }
    });
    assert_eq!(seen, records);
    sample
}

fn scan_iterator(partition: &Partition) -> Sample {
    let records = partition.log_end_offset().get() as usize;
    let mut seen = 0;
    let sample = timed(records, || {
        for record in partition.read_from(0).unwrap() {
            black_box(record.unwrap().value());
            seen += 1;
        }
    });
    assert_eq!(seen, records);
    sample
}

fn scan_borrowed(partition: &Partition) -> Sample {
    let records = partition.log_end_offset().get() as usize;
    let mut seen = 0;
    let sample = timed(records, || {
        let mut reader = partition.read_from(0).unwrap();
        while let Some(record) = reader.next_ref() {
            black_box(record.unwrap().value());
            seen += 1;
        }
    });
    assert_eq!(seen, records);
    sample
}

fn get(partition: &Partition, records: usize) -> Sample {
    let (mut rng, mut value) = (Rng(5), [0; 128]);
    let reads = records / 8;
    timed(reads, || {
        for _ in 0..reads {
            let record = partition.get(rng.below(records) as u64).unwrap();
            let found = record.value().unwrap();
            value[..found.len()].copy_from_slice(found);
            rng.0 ^= u64::from(value[found.len() - 1]);
        }
    })
}

/// Makes free memory that the system can hand out at once. The host of a virtual machine takes free pages away, and to get one back costs
/// ten times what is measured here: whoever came first would pay for it.
fn back_memory() {
    drop(black_box(vec![1u8; scaled(512_000) << 10]));
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

fn rounds() -> usize {
    std::env::var("TIDELOG_BENCH_ROUNDS").map_or(7, |text| text.parse().expect("TIDELOG_BENCH_ROUNDS is a number"))
}

fn number_of(name: &str) -> usize {
    CELLS.iter().position(|cell| cell.name == name).expect("a row names a cell")
}

/// By the name of a row, or, to profile one thing alone, of a cell.
fn is_asked_for(only: &str, cell: usize) -> bool {
    CELLS[cell].name == only || ROWS.iter().any(|row| row.name == only && (number_of(row.engine) == cell || number_of(row.mark) == cell))
}

/// Prints a line a row; how many are under their aim.
fn print_table(samples: &[Vec<Sample>]) -> usize {
    println!(
        "{:<32} {:>10} {:>8}  {:<16} {:>10} {:>8} {:>7} {:>13} {:>6}",
        "row", "ns/record", "cpu", "mark", "ns/record", "cpu", "ratio", "min-max", "aim"
    );
    let mut missed = 0;
    for row in ROWS {
        let (engine, mark) = (&samples[number_of(row.engine)], &samples[number_of(row.mark)]);
        if engine.is_empty() || mark.is_empty() {
            continue;
        }
        // Of the same round: what slows the machine for a while slows both.
        let ratios: Vec<f64> = engine.iter().zip(mark).map(|(engine, mark)| mark.wall / engine.wall).collect();
        let (ratio, least, most) = spread(&ratios);
        let of = |samples: &[Sample], field: fn(&Sample) -> f64| spread(&samples.iter().map(field).collect::<Vec<_>>()).0;
        let is_missed = row.aim.is_some_and(|aim| ratio < aim);
        missed += usize::from(is_missed);
        println!(
            "{:<32} {:>10.1} {:>8.1}  {:<16} {:>10.1} {:>8.1} {:>6.2}x {:>13} {:>6} {}",
            row.name,
            of(engine, |sample| sample.wall),
            of(engine, |sample| sample.cpu),
            row.mark,
            of(mark, |sample| sample.wall),
            of(mark, |sample| sample.cpu),
            ratio,
            format!("{least:.2}-{most:.2}"),
            row.aim.map_or_else(|| "-".to_owned(), |aim| format!("{aim:.2}")),
            if is_missed { "MISSED" } else { "" }
        );
    }
    missed
}

/// Median, least and most.
fn spread(values: &[f64]) -> (f64, f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    (sorted[sorted.len() / 2], sorted[0], sorted[sorted.len() - 1])
}

/// Records between two pauses, a third of a MiB: less than what is made present ahead.
const BURST: usize = 3_000;
