//! What reading everything in order costs, each byte verified: by batch and by record, beside a copy and a checksum of memory.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // a bench is its own user of the file system

mod marks;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use marks::bench_dir::{BenchDir, scaled};
use marks::engine::{open, put_batches, put_singles};
use marks::resident::Resident;
use marks::values::Values;
use tidelog::Partition;

fn scan(criterion: &mut Criterion) {
    for value_bytes in [100, 1024] {
        let (dir, values) = (BenchDir::new(), Values::new(value_bytes));
        let records = scaled(100_000_000 / value_bytes);
        let (single, batched) = (open(&dir.path("single")), open(&dir.path("batched")));
        put_singles(&single, &values, records);
        put_batches(&batched, &values, records);
        let mut group = criterion.benchmark_group(format!("scan/{value_bytes}"));
        group.throughput(Throughput::Elements(records as u64)).sample_size(10).measurement_time(Duration::from_secs(2));
        for (name, partition) in [("batches of 100", &batched), ("single appends", &single)] {
            group.bench_function(format!("{name}, by batch"), |bencher| bencher.iter(|| assert_eq!(by_batch(partition), records)));
            group.bench_function(format!("{name}, by record"), |bencher| bencher.iter(|| assert_eq!(by_record(partition), records)));
        }
        let (resident, mut value) = (Resident::new(&values, records), vec![0; value_bytes]);
        group.bench_function("mark: memory", |bencher| bencher.iter(|| resident.scan(&mut value)));
    }
}

fn by_batch(partition: &Partition) -> usize {
    let (mut reader, mut seen) = (partition.read_from(0).unwrap(), 0);
    while let Some(batch) = reader.next_batch() {
        for record in batch.unwrap().records() {
            black_box(record.unwrap().value());
            seen += 1;
        }
    }
    seen
}

fn by_record(partition: &Partition) -> usize {
    partition.read_from(0).unwrap().map(|record| black_box(record.unwrap()).value().map_or(0, |_| 1)).sum()
}

criterion_group!(benches, scan);
criterion_main!(benches);
