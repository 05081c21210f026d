//! What a durable append costs when many threads wait for theirs, beside one thread that writes as many records and syncs once, and beside plain
//! code of as many threads: the last to come writes for all, syncs and wakes them.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // a bench is its own user of the file system

mod marks;

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use marks::bench_dir::BenchDir;
use marks::engine::{SINGLE_BYTES, open_durable, remove};
use marks::synced_writes::SyncedWrites;
use marks::values::Values;
use rustix::thread::futex;
use rustix::time::Timespec;
use tidelog::{Partition, Record};

fn group_commit(criterion: &mut Criterion) {
    let (dir, values) = (BenchDir::new(), Values::new(100));
    let mut group = criterion.benchmark_group("group commit/100");
    group.throughput(Throughput::Elements(1)).sample_size(10).measurement_time(Duration::from_secs(1)).warm_up_time(Duration::from_millis(500));
    for threads in [2, 8, 64] {
        group.bench_with_input(BenchmarkId::new("threads", threads), &threads, |bencher, threads| {
            bencher.iter_custom(|records| {
                let path = dir.path("engine");
                let partition = open_durable(&path);
                let took = append(&partition, &values, records as usize, *threads);
                remove(partition, &path, records as usize);
                took
            });
        });
        group.bench_with_input(BenchmarkId::new("mark: one thread writes, one sync for", threads), &threads, |bencher, threads| {
            bencher.iter_custom(|records| {
                let path = dir.path("synced");
                let mut log = SyncedWrites::create(&path, records * SINGLE_BYTES as u64);
                let start = Instant::now();
                for number in 1..=records {
                    log.write(&[7; SINGLE_BYTES]);
                    if number % *threads as u64 == 0 || number == records {
                        log.sync();
                    }
                }
                let took = start.elapsed();
                std::fs::remove_file(&path).unwrap();
                took
            });
        });
        group.bench_with_input(BenchmarkId::new("mark: the last to come syncs, of threads", threads), &threads, |bencher, threads| {
            bencher.iter_custom(|records| {
                let path = dir.path("gathered");
                let rounds = records.div_ceil(*threads as u64);
                let took = append_gathered(&path, rounds, *threads);
                std::fs::remove_file(&path).unwrap();
                took.mul_f64(records as f64 / (rounds * *threads as u64) as f64)
            });
        });
    }
}

/// A record a round of each thread, of which nothing is handed over: no log can gather more, and this one has nothing else to do. Its file is full already.
fn append_gathered(path: &Path, rounds: u64, threads: usize) -> Duration {
    let log = Mutex::new(SyncedWrites::filled(path, rounds * (threads * SINGLE_BYTES) as u64));
    let (arrived, done) = (AtomicU32::new(0), AtomicU32::new(0));
    let start = Instant::now();
    let append = || {
        let round = done.load(Ordering::Acquire);
        if arrived.fetch_add(1, Ordering::AcqRel) + 1 < threads as u32 {
            while done.load(Ordering::Acquire) == round {
                let _ = futex::wait(&done, futex::Flags::PRIVATE, round, Some(&PATIENCE)); // or it is over already
                assert!(!log.is_poisoned(), "the last to come could not append");
            }
            return;
        }
        arrived.store(0, Ordering::Release);
        log.lock().unwrap().append(&vec![7; threads * SINGLE_BYTES]);
        done.fetch_add(1, Ordering::Release);
        futex::wake(&done, futex::Flags::PRIVATE, i32::MAX as u32).unwrap();
    };
    std::thread::scope(|scope| {
        (0..threads).for_each(|_| _ = scope.spawn(|| (0..rounds).for_each(|_| append())));
    });
    start.elapsed()
}

/// How long to sleep before looking whether there is still somebody to wait for.
const PATIENCE: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

fn append(partition: &Partition, values: &Values, records: usize, threads: usize) -> Duration {
    let start = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                for number in (thread..records).step_by(threads) {
                    let ack = partition.append(Record::new(values.get(number))).unwrap();
                    assert!(ack.durable_end > ack.last_offset);
                }
            });
        }
    });
    start.elapsed()
}

criterion_group!(benches, group_commit);
criterion_main!(benches);
