//! What a durable append costs when many threads wait for theirs, beside one thread that writes as many records and syncs once.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // a bench is its own user of the file system

mod marks;

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use marks::bench_dir::BenchDir;
use marks::engine::{SINGLE_BYTES, open_durable, remove};
use marks::synced_writes::SyncedWrites;
use marks::values::Values;
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
    }
}

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
