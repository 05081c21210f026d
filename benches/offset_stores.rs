//! What the offset store in SQLite costs: the SQL benchmarks of SeaweedMQ's plan by their names, each beside a bare loop over one prepared statement,
//! on a database with the same tables and pragmas, with as many changes to a transaction. Rounds of both alternate, so that both meet the same load.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // a bench is its own user of the file system

mod marks;

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use marks::bench_dir::{BenchDir, scaled};
use marks::engine::options;
use rusqlite::{CachedStatement, Connection, params};
use rustix::time::{ClockId, clock_gettime};
use tidelog::{
    AckLevel, MemoryOffsetStore, OffsetCheckpoint, OffsetMapping, OffsetStore, PartitionKey, PartitionOffsetRegistry, PartitionStats, Record,
    RingRange, SqliteOffsetStore, TimestampNs,
};

fn main() {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let dir = BenchDir::new();
    let mut table = Table { rounds: if is_test { 1 } else { ROUNDS }, rows: Vec::new() };
    let (ours, bare) = (Side::new(&dir.path("ours.db")), Side::new(&dir.path("bare.db")));
    saves(&mut table, &ours, &bare);
    loads(&mut table, &ours, &bare);
    assignments(&mut table, &dir);
    // Figures of so little are none.
    if !is_test {
        table.print();
    }
}

/// A database with its tables, opened by the store and without it.
struct Side {
    store: SqliteOffsetStore,
    raw: Connection,
    key: PartitionKey,
    text: String,
}

impl Side {
    fn new(file: &Path) -> Self {
        let store = SqliteOffsetStore::open(file).unwrap();
        let key = PartitionKey { topic: "bench".parse().unwrap(), range: RingRange::new(4096, 0, 1024).unwrap() };
        Self { store, raw: bare(file), text: key.to_string(), key }
    }

    fn statement(&self, sql: &str) -> CachedStatement<'_> {
        self.raw.prepare_cached(sql).unwrap()
    }
}

/// A connection with the pragmas of the store.
fn bare(file: &Path) -> Connection {
    let raw = Connection::open(file).unwrap();
    for (name, value) in
        [("journal_mode", "WAL"), ("synchronous", "EXTRA"), ("cache_size", "10000"), ("foreign_keys", "ON"), ("temp_store", "MEMORY")]
    {
        raw.pragma_update(None, name, value).unwrap();
    }
    raw
}

fn saves(table: &mut Table, ours: &Side, bare: &Side) {
    let count = scaled(4_000);
    let checkpoint = |offset: usize| OffsetCheckpoint { offset: (offset as u64).into(), saved_at: TimestampNs::new(1) };
    let (mut next, mut bare_next) = (0, 0);
    // Keys that are there already: the bare loop makes none either.
    let mut batch: Vec<_> = (0..BATCH).map(|offset| (ours.key.clone(), checkpoint(offset))).collect();
    let save = || {
        for _ in 0..count / BATCH {
            batch.iter_mut().zip(next..).for_each(|((_, saved), offset)| *saved = checkpoint(offset));
            assert_eq!(ours.store.save_checkpoints(&batch).unwrap(), BATCH);
            next += BATCH;
        }
    };
    let save_bare = || {
        for _ in 0..count / BATCH {
            bare.raw.execute_batch("BEGIN IMMEDIATE").unwrap();
            let mut statement = bare.statement(SAVE_CHECKPOINT);
            for offset in bare_next..bare_next + BATCH {
                statement.execute(params![bare.text, 4096, 0, 1024, 0, offset as i64, 1]).unwrap();
            }
            bare.raw.execute_batch("COMMIT").unwrap();
            bare_next += BATCH;
        }
    };
    table.run("BenchmarkSQLOffsetStorage/SaveCheckpoint", &format!("{BATCH} to a sync"), Some(65_540), count, save, save_bare);

    let row = |offset: usize| OffsetMapping { offset: (offset as u64).into(), timestamp: TimestampNs::new(offset as i64), bytes: 100 };
    let (mut next, mut bare_next) = (0, 0);
    let save = || {
        for _ in 0..count / BATCH {
            let batch: Vec<_> = (next..next + BATCH).map(row).collect();
            ours.store.save_mappings(&ours.key, &batch, TimestampNs::new(1)).unwrap();
            next += BATCH;
        }
    };
    let save_bare = || {
        for _ in 0..count / BATCH {
            bare.raw.execute_batch("BEGIN IMMEDIATE").unwrap();
            let mut statement = bare.statement(SAVE_MAPPING);
            for offset in bare_next..bare_next + BATCH {
                statement.execute(params![bare.text, offset as i64, offset as i64, 100, 1]).unwrap();
            }
            bare.raw.execute_batch("COMMIT").unwrap();
            bare_next += BATCH;
        }
    };
    table.run("BenchmarkSQLOffsetStorage/SaveOffsetMapping", &format!("{BATCH} to a sync"), Some(125_868), count, save, save_bare);

    let stats = PartitionStats { record_count: 7, total_bytes: 700, latest: Some(6.into()), ..PartitionStats::empty(TimestampNs::new(1)) };
    [ours, bare].iter().for_each(|side| side.store.save_stats(&side.key, stats).unwrap());
}

fn loads(table: &mut Table, ours: &Side, bare: &Side) {
    let count = scaled(4_000);
    let (key, store) = (&ours.key, &ours.store);
    let mut statement = bare.statement("SELECT checkpoint_offset, updated_at FROM partition_offset_checkpoints WHERE partition_key = ?1");
    let load = || (0..count).for_each(|_| sink(store.load_checkpoint(key).unwrap().unwrap()));
    let load_bare =
        || (0..count).for_each(|_| sink(statement.query_row([&bare.text], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))).unwrap()));
    table.run("BenchmarkSQLOffsetStorage/LoadCheckpoint", "", Some(11_723), count, load, load_bare);

    let mut statement = bare.statement("SELECT MAX(kafka_offset) FROM offset_mappings WHERE partition_key = ?1");
    let load = || (0..count).for_each(|_| sink(store.highest_offset(key).unwrap().unwrap()));
    let load_bare = || (0..count).for_each(|_| sink(statement.query_row([&bare.text], |row| row.get::<_, i64>(0)).unwrap()));
    table.run("BenchmarkSQLOffsetStorage/GetHighestOffset", "", Some(15_102), count, load, load_bare);

    let mut statement = bare.statement(
        "SELECT kafka_offset, smq_timestamp, message_size FROM offset_mappings
         WHERE partition_key = ?1 AND kafka_offset >= ?2 AND kafka_offset < ?3 ORDER BY kafka_offset LIMIT ?4",
    );
    for (name, rows, theirs) in [("LoadOffsetMappings", 1000, None), ("GetOffsetMappingsByRange", 101, Some(224_229))] {
        let count = (count / rows).max(10);
        let read = || (0..count).for_each(|_| assert_eq!(store.mappings(key, 0.into()..(rows as u64).into(), rows).unwrap().len(), rows));
        let read_bare = || {
            for _ in 0..count {
                let found = statement.query_map(params![bare.text, 0, rows as i64, rows as i64], |row| {
                    Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
                });
                assert_eq!(found.unwrap().collect::<Result<Vec<_>, _>>().unwrap().len(), rows);
            }
        };
        table.run(&format!("BenchmarkSQLOffsetStorage/{name}"), &format!("{rows} rows"), theirs, count, read, read_bare);
    }

    let mut statement = bare.statement(
        "SELECT record_count, total_size, earliest_offset, latest_offset, first_record_at, last_record_at, last_activity_at
         FROM partition_metadata WHERE partition_key = ?1",
    );
    let load = || (0..count).for_each(|_| sink(store.partition_stats(key).unwrap().unwrap()));
    let load_bare = || {
        for _ in 0..count {
            let all = |row: &rusqlite::Row<'_>| (0..7).map(|column| row.get::<_, Option<i64>>(column)).collect::<Result<Vec<_>, _>>();
            sink(statement.query_row([&bare.text], all).unwrap());
        }
    };
    table.run("BenchmarkSQLOffsetStorage/GetPartitionStats", "", Some(820_000), count, load, load_bare);
}

/// As the plan's code has it: an offset is assigned, and each hundredth is noted as a checkpoint. Here the assignment appends a record.
fn assignments(table: &mut Table, dir: &BenchDir) {
    let count = scaled(4_000);
    let registry = PartitionOffsetRegistry::new(options().open(dir.path("store")).unwrap()).ack_level(AckLevel::Written);
    let assign = |store: &dyn OffsetStore, key: &PartitionKey| {
        for _ in 0..count {
            let offset = registry.assign(key, Record::new(&[7; 100])).unwrap();
            if offset.get().is_multiple_of(NOTE_EVERY) {
                store.save_checkpoint(key, OffsetCheckpoint { offset, saved_at: TimestampNs::new(1) }).unwrap();
            }
        }
    };
    let topic = registry.store().create_topic("bench", 4).unwrap();
    let key = |number: u32| topic.partition_key(number).unwrap();
    let append = |key: &PartitionKey| (0..count).for_each(|_| sink(registry.assign(key, Record::new(&[7; 100])).unwrap()));
    let memory = MemoryOffsetStore::new();
    table.run("BenchmarkInMemoryVsSQL/InMemory", "beside appends alone", Some(2_972), count, || assign(&memory, &key(0)), || append(&key(1)));

    let (ours, bare) = (Side::new(&dir.path("assigned.db")), Side::new(&dir.path("assigned-bare.db")));
    let assign_bare = || {
        let key = key(3);
        let mut statement = bare.statement(SAVE_CHECKPOINT);
        for _ in 0..count {
            let offset = registry.assign(&key, Record::new(&[7; 100])).unwrap().get();
            if offset.is_multiple_of(NOTE_EVERY) {
                statement.execute(params![bare.text, 4096, 0, 1024, 0, offset as i64, 1]).unwrap();
            }
        }
    };
    table.run("BenchmarkInMemoryVsSQL/SQL", &format!("a sync every {NOTE_EVERY}"), Some(30_364), count, || assign(&ours.store, &key(2)), assign_bare);
}

/// Takes what came of an operation, which therefore has to come of it.
fn sink<T>(value: T) {
    let _ = black_box(value);
}

struct Table {
    rounds: usize,
    rows: Vec<Row>,
}

struct Row {
    name: String,
    how: String,
    ours: Took,
    bare: Took,
    /// How much faster than the bare loop, each round by itself.
    ratio: Took,
    theirs: Option<u32>,
}

/// Nanoseconds of an operation: on the clock, and on the CPU, which others on the machine change little, and which leaves out waits for the disk.
#[derive(Clone, Copy)]
struct Took {
    wall: f64,
    cpu: f64,
}

impl Table {
    /// Rounds of both sides, `count` operations each, after one that does not count.
    fn run(&mut self, name: &str, how: &str, theirs: Option<u32>, count: usize, mut ours: impl FnMut(), mut bare: impl FnMut()) {
        let mut rounds = Vec::new();
        for round in 0..=self.rounds {
            // Which is first alternates, too.
            let (a, b) = if round % 2 == 0 {
                let a = timed(&mut ours, count);
                (a, timed(&mut bare, count))
            } else {
                let b = timed(&mut bare, count);
                (timed(&mut ours, count), b)
            };
            rounds.push((a, b));
        }
        let all = |of: &dyn Fn(&(Took, Took)) -> Took| {
            let each: Vec<Took> = rounds.iter().skip(1).map(of).collect();
            Took { wall: median(each.iter().map(|took| took.wall).collect()), cpu: median(each.iter().map(|took| took.cpu).collect()) }
        };
        let ratio = all(&|(ours, bare)| Took { wall: bare.wall / ours.wall, cpu: bare.cpu / ours.cpu });
        let (ours, bare) = (all(&|round| round.0), all(&|round| round.1));
        self.rows.push(Row { name: name.to_owned(), how: how.to_owned(), ours, bare, ratio, theirs });
    }

    fn print(&self) {
        println!(
            "| medians of {} rounds: on the clock / on the CPU | | tidelog | bare loop | speed to the bare loop | SeaweedMQ's plan | speed to it |\n\
             |---|---|--:|--:|--:|--:|--:|",
            self.rounds
        );
        for Row { name, how, ours, bare, ratio, theirs } in &self.rows {
            let (plan, speed) =
                theirs.map_or_else(|| ("-".to_owned(), "-".to_owned()), |ns| (rate(ns.into()), format!("{:.1}x", f64::from(ns) / ours.wall)));
            let (ours, bare) = [ours, bare].map(|took| format!("{} / {}", rate(took.wall), rate(took.cpu))).into();
            println!("| {name} | {how} | {ours} | {bare} | {:.2}x / {:.2}x | {plan} | {speed} |", ratio.wall, ratio.cpu);
        }
        println!("\nRatios are medians of those of each round. GetPartitionStats of the plan counts all rows of its key, and reads one here.");
        println!("The plan's code was measured earlier, on 2 cores (Go 1.19), the best of three; its saves were not synced (synchronous = NORMAL).");
    }
}

fn timed(work: &mut impl FnMut(), count: usize) -> Took {
    let (start, cpu) = (Instant::now(), cpu_time());
    work();
    let each = |took: Duration| took.as_nanos() as f64 / count as f64;
    Took { wall: each(start.elapsed()), cpu: each(cpu_time() - cpu) }
}

/// Time that this thread has been on a CPU.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn rate(ns: f64) -> String {
    format!("{:.1} K/s", 1e6 / ns)
}

const SAVE_CHECKPOINT: &str = "INSERT INTO partition_offset_checkpoints
    (partition_key, ring_size, range_start, range_stop, unix_time_ns, checkpoint_offset, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
    ON CONFLICT (partition_key) DO UPDATE SET checkpoint_offset = excluded.checkpoint_offset, updated_at = excluded.updated_at
    WHERE excluded.checkpoint_offset > checkpoint_offset";
const SAVE_MAPPING: &str = "INSERT INTO offset_mappings (partition_key, kafka_offset, smq_timestamp, message_size, created_at)
    VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (partition_key, kafka_offset) DO NOTHING";
const ROUNDS: usize = 25;
/// Saves to a transaction, and so to a sync.
const BATCH: usize = 1000;
/// Assignments to a checkpoint, as in the plan's code.
const NOTE_EVERY: u64 = 100;
