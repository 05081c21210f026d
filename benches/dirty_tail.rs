//! Recovery of a tail that no checkpoint covers, as a kill leaves it, beside one checksum over the same bytes, mapped anew each time as
//! recovery has to read them anew; both from the page cache, interleaved. 192 MiB times `TIDELOG_BENCH_SCALE`; with `TIDELOG_BENCH_STRICT=1` a row under its aim fails.
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
    println!("{:<28} {:>10} {:>12} {:>12} {:>7}   {:<9} aim", "a dirty tail of", "MiB", "recovery", "checksum", "ratio", "min-max");
    let mut is_missed = false;
    for (name, value_bytes, put, usual, aim) in ROWS {
        let (path, values) = (dir.path(name), Values::new(*value_bytes));
        let bytes = leave(&path, |partition| put(partition, &values, records(*usual)));
        let log = log_file(&path);
        let (mut recovery, mut checksum) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            recovery.push(seconds(|| drop(Store::open_read_only(&path).unwrap().topic("bench").unwrap().partition(0).unwrap())));
            checksum.push(seconds(|| _ = black_box(MappedChecksum::new(&log).of(bytes))));
        }
        let mut ratios: Vec<f64> = checksum.iter().zip(&recovery).map(|(mark, engine)| mark / engine).collect();
        let (ratio, recovery, checksum) = (median(&mut ratios), median(&mut recovery), median(&mut checksum));
        let mib = bytes as f64 / f64::from(1 << 20);
        let is_under = aim.is_some_and(|aim| ratio < aim);
        is_missed |= is_under;
        println!(
            "{name:<28} {mib:>10.1} {:>9.1} ms {:>9.1} ms {ratio:>6.2}x   {:.2}-{:.2} {}{}",
            recovery * 1e3,
            checksum * 1e3,
            ratios[0],
            ratios[ratios.len() - 1],
            aim.map_or("-".to_owned(), |aim| format!("{aim:.2}")),
            if is_under { " MISSED" } else { "" }
        );
        std::fs::remove_dir_all(&path).unwrap();
    }
    if is_missed && is_strict() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

type Put = fn(&Partition, &Values, usize);

/// What is appended: bytes of a value, how, how many records, and the least ratio.
const ROWS: &[(&str, usize, Put, usize, Option<f64>)] = &[
    ("batches of 100 x 1 KiB", 1024, put_batches, 180_000, Some(0.5)),
    ("batches of 100 x 100 B", 100, put_batches, 1_800_000, Some(0.5)),
    ("single records of 1 KiB", 1024, put_singles, 170_000, None),
    ("single records of 100 B", 100, put_singles, 1_100_000, None),
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
const SEGMENT_BYTES: u64 = 256 << 20;
