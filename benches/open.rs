//! How long an open takes, by how much is in the partition: closed cleanly, with the first record read, and with the store only read. Up to one
//! million records times `TIDELOG_BENCH_SCALE`.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // a bench is its own user of the file system

mod marks;

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use marks::bench_dir::{BenchDir, scaled};
use marks::engine::{open, put_batches};
use marks::values::Values;
use tidelog::Store;

fn open_closed(criterion: &mut Criterion) {
    let (dir, values) = (BenchDir::new(), Values::new(100));
    let mut group = criterion.benchmark_group("open/100");
    group.sample_size(10).measurement_time(Duration::from_secs(1)).warm_up_time(Duration::from_millis(300));
    let mut sizes = [1000, 100_000, 1_000_000].map(scaled).to_vec();
    sizes.dedup();
    for records in sizes {
        let path = dir.path(&records.to_string());
        put_batches(&open(&path), &values, records);
        group.bench_with_input(BenchmarkId::new("to append", records), &records, |bencher, records| {
            bencher.iter_with_large_drop(|| {
                let partition = open(&path);
                assert_eq!(partition.log_end_offset().get() as usize, *records);
                partition
            });
        });
        group.bench_with_input(BenchmarkId::new("to append, and one read", records), &records, |bencher, records| {
            bencher.iter_with_large_drop(|| {
                let partition = open(&path);
                black_box(partition.get(*records as u64 / 2).unwrap().value().unwrap());
                partition
            });
        });
        group.bench_with_input(BenchmarkId::new("to read", records), &records, |bencher, records| {
            bencher.iter_with_large_drop(|| {
                let store = Store::open_read_only(&path).unwrap();
                let partition = store.topic("bench").unwrap().partition(0).unwrap();
                assert_eq!(partition.log_end_offset().get() as usize, *records);
                (partition, store)
            });
        });
    }
}

criterion_group!(benches, open_closed);
criterion_main!(benches);
