//! How long the slowest durable appends take while others write: one thread writes 100 MB a second, another makes single appends durable, one after
//! the other, for ten seconds times `TIDELOG_BENCH_SCALE`. Beside plain code in the same shape: a file that is written, and one that is written and
//! synced in turns. Says how much was written beside.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // a bench is its own user of the file system

mod marks;

use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use marks::bench_dir::{BenchDir, scaled};
use marks::engine::{BATCH, SINGLE_BYTES};
use marks::synced_writes::SyncedWrites;
use marks::values::Values;
use tidelog::{AckLevel, Partition, Record, RecordBatch, Store};

fn main() {
    let (dir, values) = (BenchDir::new(), Values::new(1024));
    println!("{:<36} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}", "durable appends of 100 B", "appends", "p50", "p99", "p99.9", "slowest", "beside");
    print_row("alone", &by_engine(&dir, &values, |_| {}));
    print_row("beside 100 MB/s to another partition", &by_engine(&dir, &values, |store| fill(&partition(store, 1), &values)));
    print_row("beside 100 MB/s to the same", &by_engine(&dir, &values, |store| fill(&partition(store, 0), &values)));
    print_row("plain files, beside 100 MB/s", &by_plain_files(&dir, &values));
}

fn partition(store: &Store, number: u32) -> Partition {
    store.create_topic("bench", 2).or_else(|_| store.topic("bench")).unwrap().partition(number).unwrap()
}

/// Without end, until [`is_over`].
fn fill(partition: &Partition, values: &Values) {
    let mut batch = RecordBatch::new();
    (0..BATCH).for_each(|number| batch.push(&Record::new(values.get(number))).unwrap());
    at_full_rate(|| _ = partition.append_batch(&batch, AckLevel::Written).unwrap());
}

fn by_engine(dir: &BenchDir, values: &Values, beside: impl Fn(&Store) + Sync) -> Vec<Duration> {
    let path = dir.path("engine");
    let store = Store::open(&path).unwrap();
    let (log, value) = (partition(&store, 0), &values.get(0)[..100]);
    let took = timed(|| assert!(log.append(Record::new(value)).is_ok_and(|ack| ack.durable_end > ack.last_offset)), || beside(&store));
    drop((log, store));
    std::fs::remove_dir_all(&path).unwrap();
    took
}

fn by_plain_files(dir: &BenchDir, values: &Values) -> Vec<Duration> {
    let (synced_path, written_path) = (dir.path("synced"), dir.path("written"));
    let mut synced = SyncedWrites::create(&synced_path, 256 << 20);
    let batch: Vec<u8> = (0..BATCH).flat_map(|number| values.get(number).to_vec()).collect();
    let beside = || {
        let mut written = File::create_new(&written_path).unwrap();
        at_full_rate(|| written.write_all(&batch).unwrap());
    };
    let took = timed(|| synced.append(&[7; SINGLE_BYTES]), beside);
    std::fs::remove_file(&synced_path).unwrap();
    std::fs::remove_file(&written_path).unwrap();
    took
}

static IS_OVER: AtomicBool = AtomicBool::new(false);
static WRITTEN: AtomicU64 = AtomicU64::new(0);

/// Dropped, also by a panic, what goes on beside ends.
struct Over;

impl Drop for Over {
    fn drop(&mut self) {
        IS_OVER.store(true, Ordering::Relaxed);
    }
}

/// Each append's time, while `beside` runs in a thread of its own.
fn timed(mut append: impl FnMut(), beside: impl FnOnce() + Send) -> Vec<Duration> {
    IS_OVER.store(false, Ordering::Relaxed);
    WRITTEN.store(0, Ordering::Relaxed);
    // As a test, it only shows that it runs.
    let ms = if std::env::args().any(|argument| argument == "--test") { 200 } else { scaled(10_000) as u64 };
    let end = Instant::now() + Duration::from_millis(ms);
    let mut took = Vec::new();
    std::thread::scope(|scope| {
        let over = Over;
        scope.spawn(beside);
        while Instant::now() < end {
            let start = Instant::now();
            append();
            took.push(start.elapsed());
        }
        drop(over);
    });
    took.sort_unstable();
    took
}

/// A batch a millisecond, of a hundred times 1 KiB.
fn at_full_rate(mut write: impl FnMut()) {
    let mut due = Instant::now();
    while !IS_OVER.load(Ordering::Relaxed) {
        write();
        WRITTEN.fetch_add(BATCH as u64 * 1024, Ordering::Relaxed);
        due += Duration::from_millis(1);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

fn print_row(name: &str, took: &[Duration]) {
    let at = |per_mille: usize| format!("{:.2} ms", took[(took.len() - 1) * per_mille / 1000].as_secs_f64() * 1e3);
    let beside = WRITTEN.load(Ordering::Relaxed) / 1_000_000;
    println!("{name:<36} {:>9} {:>9} {:>9} {:>9} {:>9} {beside:>6} MB", took.len(), at(500), at(990), at(999), at(1000));
}
