//! What it costs to open a large partition that was closed cleanly: time, and the most memory the engine takes meanwhile. One GiB times
//! `TIDELOG_BENCH_SCALE`. The aims, 50 ms and 32 MiB, are those of 10 GiB; `TIDELOG_BENCH_STRICT=1` fails if one is missed.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // a bench is its own user of the file system

mod marks;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use marks::bench_dir::{BenchDir, is_strict, scaled};
use marks::counting_allocator::{CountingAllocator, heap_peak_of};
use marks::engine::{open, put_singles};
use marks::values::Values;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn main() -> ExitCode {
    let (dir, values) = (BenchDir::new(), Values::new(VALUE_BYTES));
    // Run as a test, by `cargo test --benches`, it only shows that it runs.
    let records = if std::env::args().any(|argument| argument == "--test") { 10_000 } else { scaled(RECORDS_A_GIB) };
    let path = dir.path("closed");
    let filled = open(&path);
    put_singles(&filled, &values, records);
    let segments = filled.view().info().unwrap().segments;
    drop(filled);
    let mut times: Vec<Duration> = Vec::new();
    let mut peak = 0;
    for _ in 0..ROUNDS {
        let mut took = Duration::ZERO;
        let round = heap_peak_of(|| {
            let start = Instant::now();
            let partition = open(&path);
            took = start.elapsed();
            assert_eq!(partition.log_end_offset().get() as usize, records);
        });
        times.push(took);
        peak = peak.max(round);
    }
    times.sort();
    let median = times[ROUNDS / 2];
    println!("open of {:.2} GiB in {segments} segments, closed cleanly", (records * VALUE_BYTES) as f64 / f64::from(1 << 30));
    println!("time: median {median:.2?}, least {:.2?}, most {:.2?}, aim {TIME_AIM:?}", times[0], times[ROUNDS - 1]);
    println!("heap: at most {:.2} MiB meanwhile, aim {} MiB", peak as f64 / f64::from(1 << 20), HEAP_AIM >> 20);
    let is_missed = median > TIME_AIM || peak > HEAP_AIM;
    if is_missed && is_strict() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

const ROUNDS: usize = 11;
const VALUE_BYTES: usize = 1024;
const RECORDS_A_GIB: usize = 1_048_576;
const TIME_AIM: Duration = Duration::from_millis(50);
const HEAP_AIM: usize = 32 << 20;
