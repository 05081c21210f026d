//! What it costs to find one record: by its offset, by its time, and the last ones, beside a look into a map at a computed place.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // a bench is its own user of the file system

mod marks;

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use marks::bench_dir::{BenchDir, scaled};
use marks::engine::{BATCH, open};
use marks::map_log::MapLog;
use marks::values::{Rng, Values};
use tidelog::{AckLevel, Partition, Record, RecordBatch, TimestampNs};

fn lookup(criterion: &mut Criterion) {
    let (dir, values, records) = (BenchDir::new(), Values::new(100), scaled(1_000_000));
    let (single, batched) = (fill(&dir, "single", &values, records, 1), fill(&dir, "batched", &values, records, BATCH));
    let mut group = criterion.benchmark_group("lookup/100");
    group.sample_size(10).measurement_time(Duration::from_secs(2));
    for (name, partition) in [("single appends", &single), ("batches of 100", &batched)] {
        let mut rng = Rng(5);
        group.bench_function(format!("{name}, by offset"), |bencher| {
            bencher.iter(|| {
                let record = partition.get(rng.below(records) as u64).unwrap();
                rng.0 ^= u64::from(record.value().unwrap()[99]);
            });
        });
        group.bench_function(format!("{name}, by time"), |bencher| {
            bencher.iter(|| {
                let number = rng.below(records);
                let found = partition.view().offset_for_time(time(number)).unwrap().unwrap();
                assert_eq!(found.get() as usize, number);
            });
        });
        group.bench_function(format!("{name}, the last 10"), |bencher| {
            bencher.iter(|| assert_eq!(partition.read_backwards(records as u64).unwrap().take(10).filter(|record| record.is_ok()).count(), 10));
        });
    }
    let (mut map, mut rng, mut value) = (MapLog::create(&dir.path("map"), records, 100), Rng(5), [0; 100]);
    (0..records).for_each(|number| map.append(values.get(number)));
    group.bench_function("mark: map, by number", |bencher| {
        bencher.iter(|| rng.0 ^= u64::from(map.read(rng.below(records), &mut value)));
    });
}

/// Records a millisecond apart.
fn fill(dir: &BenchDir, name: &str, values: &Values, records: usize, batch_records: usize) -> Partition {
    let (partition, mut batch) = (open(&dir.path(name)), RecordBatch::new());
    for number in 0..records {
        batch.push(&Record::new(values.get(number)).timestamp(time(number))).unwrap();
        if batch.len() == batch_records {
            partition.append_batch(&batch, AckLevel::Written).unwrap();
            batch.clear();
        }
    }
    partition
}

fn time(number: usize) -> TimestampNs {
    TimestampNs::new(1_700_000_000_000_000_000 + number as i64 * 1_000_000)
}

criterion_group!(benches, lookup);
criterion_main!(benches);
