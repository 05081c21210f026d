//! How much memory the engine allocates: for the index of a partition, by its records, while it is appended to, after an open, and after random
//! reads; and for each of `TIDELOG_BENCH_PARTITIONS` partitions, 100 unless set, that hold one record. Counted in the allocator, not timed. Up to
//! four million records times `TIDELOG_BENCH_SCALE`. The aim is 4 MiB for four million; `TIDELOG_BENCH_STRICT=1` fails if it is missed.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // a bench is its own user of the file system

mod marks;

use std::path::Path;
use std::process::ExitCode;

use marks::bench_dir::{BenchDir, is_strict, partitions_max, scaled};
use marks::counting_allocator::{CountingAllocator, heap_held};
use marks::engine::{options, put_batches, put_singles};
use marks::values::{Rng, Values};
use tidelog::{AckLevel, Partition, Record};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn main() -> ExitCode {
    let (dir, values) = (BenchDir::new(), Values::new(100));
    // Run as a test, by `cargo test --benches`, it only shows that it runs.
    let is_test = std::env::args().any(|argument| argument == "--test");
    let most = if is_test { 10_000 } else { scaled(4_000_000) };
    println!("{:<16} {:>10} {:>18} {:>14} {:>20}", "KiB allocated", "records", "while appending", "after an open", "after random reads");
    let mut is_missed = false;
    // What is allocated once a process is not the partition's.
    index(&dir.path("engine"), &values, 1000, put_singles);
    for (name, put) in [("single appends", put_singles as Put), ("batches of 100", put_batches)] {
        for records in [most / 10, most] {
            let held = index(&dir.path("engine"), &values, records, put);
            println!("{name:<16} {records:>10} {:>18.1} {:>14.1} {:>20.1}", kib(held[0]), kib(held[1]), kib(held[2]));
            is_missed |= held.into_iter().any(|bytes| bytes > AIM_BYTES);
        }
    }
    let partitions = if is_test { 10 } else { partitions_max().min(TOPIC_PARTITIONS_MAX) };
    let each = kib(near_empty(&dir.path("many"), partitions)) / partitions as f64;
    println!("{each:.1} KiB for each of {partitions} partitions that hold one record");
    if is_missed && is_strict() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

type Put = fn(&Partition, &Values, usize);

/// What is held while it is appended to, after an open, and after random reads.
fn index(path: &Path, values: &Values, records: usize, put: Put) -> [usize; 3] {
    let mut held = [0; 3];
    let before = heap_held();
    {
        let store = options().open(path).unwrap();
        let partition = store.topic("bench").unwrap().partition(0).unwrap();
        put(&partition, values, records);
        held[0] = heap_held().saturating_sub(before);
    }
    let before = heap_held();
    let store = options().open(path).unwrap();
    let partition = store.topic("bench").unwrap().partition(0).unwrap();
    assert_eq!(partition.log_end_offset().get() as usize, records);
    held[1] = heap_held().saturating_sub(before);
    let mut rng = Rng(5);
    for _ in 0..READS {
        assert!(partition.get(rng.below(records) as u64).unwrap().value().is_some());
    }
    held[2] = heap_held().saturating_sub(before);
    drop((partition, store));
    std::fs::remove_dir_all(path).unwrap();
    held
}

/// What is held of all together.
fn near_empty(path: &Path, count: usize) -> usize {
    let store = options().open(path).unwrap();
    let topic = store.create_topic("bench", count as u32).unwrap();
    let before = heap_held();
    let partitions: Vec<Partition> = (0..count as u32).map(|number| topic.partition(number).unwrap()).collect();
    for partition in &partitions {
        partition.append_with(Record::new("x"), AckLevel::Written).unwrap();
    }
    heap_held().saturating_sub(before)
}

fn kib(bytes: usize) -> f64 {
    bytes as f64 / 1024.0
}

const TOPIC_PARTITIONS_MAX: usize = 4096;
const READS: usize = 20_000;
const AIM_BYTES: usize = 4 << 20;
