//! Recovery of a tail that no checkpoint covers, as a kill leaves it, beside checksums over the same bytes: one over all of them, and one a
//! frame. They are mapped anew each time as recovery has to read them anew; all from the page cache, interleaved. 192 MiB times
//! `TIDELOG_BENCH_SCALE`; with `TIDELOG_BENCH_STRICT=1` a row under its aim fails.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // a bench is its own user of the file system

mod marks;

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use marks::bench_dir::{BenchDir, is_strict, scaled};
use marks::engine::{put_batches, put_singles};
use marks::mapped_checksum::MappedChecksum;
use marks::values::Values;
use tidelog::{Partition, Store, StoreOptions, SyncPolicy};

fn main() -> ExitCode {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let (dir, rounds) = (BenchDir::new(), if is_test { 1 } else { ROUNDS });
    let records = |usual: usize| if is_test { 1000 } else { scaled(usual) };
    println!(
        "{:<24} {:>7} {:>11} {:>13} {:>7} {:>13} {:>7}  aim",
        "a dirty tail of", "MiB", "recovery", "one checksum", "ratio", "one a frame", "ratio"
    );
    let mut is_missed = false;
    for (name, value_bytes, put, frame_records, usual) in ROWS {
        let (path, values) = (dir.path(name), Values::new(*value_bytes));
        let bytes = leave(&path, |partition| put(partition, &values, records(*usual)));
        let log = log_file(&path);
        let frame_bytes = bytes / (records(*usual) / frame_records);
        let (mut recovery, mut one, mut each) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            recovery.push(seconds(|| drop(Store::open_read_only(&path).unwrap().topic("bench").unwrap().partition(0).unwrap())));
            one.push(seconds(|| _ = black_box(MappedChecksum::new(&log).of(bytes))));
            each.push(seconds(|| _ = black_box(MappedChecksum::new(&log).of_each(bytes, frame_bytes))));
        }
        let ratio = |mark: &[f64]| median(&mut mark.iter().zip(&recovery).map(|(mark, engine)| mark / engine).collect::<Vec<_>>());
        let (to_one, to_each, mib) = (ratio(&one), ratio(&each), bytes as f64 / f64::from(1 << 20));
        let is_under = to_each < AIM;
        is_missed |= is_under;
        println!(
            "{name:<24} {mib:>7.1} {:>8.1} ms {:>10.1} ms {to_one:>6.2}x {:>10.1} ms {to_each:>6.2}x  {AIM:.2}{}",
            median(&mut recovery) * 1e3,
            median(&mut one) * 1e3,
            median(&mut each) * 1e3,
            if is_under { " MISSED" } else { "" }
        );
        std::fs::remove_dir_all(&path).unwrap();
    }
    if is_missed && is_strict() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

type Put = fn(&Partition, &Values, usize);

/// What is appended: bytes of a value, how, records a frame, and how many records.
const ROWS: &[(&str, usize, Put, usize, usize)] = &[
    ("batches of 100 x 1 KiB", 1024, put_batches, 100, 180_000),
    ("batches of 100 x 100 B", 100, put_batches, 100, 1_800_000),
    ("single records of 1 KiB", 1024, put_singles, 1, 170_000),
    ("single records of 100 B", 100, put_singles, 1, 1_100_000),
];

/// Appends without threads, so that nothing is checkpointed, and leaves the store as a kill would. Returns the bytes of log.
fn leave(path: &Path, append: impl FnOnce(&Partition)) -> usize {
    let options = StoreOptions::new().without_threads().sync_policy(SyncPolicy::OsOnly).segment_bytes(SEGMENT_BYTES);
    let store = options.open(path).unwrap();
    let partition = store.topic("bench").unwrap().partition(0).unwrap();
    append(&partition);
    let bytes = partition.view().info().unwrap().bytes as usize;
    let killed = path.with_extension("killed");
    copy(path, &killed);
    drop((partition, store));
    std::fs::remove_dir_all(path).unwrap();
    std::fs::rename(killed, path).unwrap();
    bytes
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &to) } else { _ = std::fs::copy(&path, to).unwrap() }
    }
}

fn log_file(store: &Path) -> PathBuf {
    let partition = std::fs::read_dir(store.join("topics/default/bench/0")).unwrap();
    let mut logs = partition.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    let log = logs.next().unwrap();
    assert!(logs.next().is_none(), "all of the tail is in one file");
    log
}

fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

const ROUNDS: usize = 11;
/// Of the time of one checksum a frame.
const AIM: f64 = 0.5;
const SEGMENT_BYTES: u64 = 256 << 20;
