//! What it costs to find one record by its offset, and the last ones, beside a look into a map at a computed place.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // a bench is its own user of the file system

mod marks;

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use marks::bench_dir::{BenchDir, scaled};
use marks::engine::{open, put_batches, put_singles};
use marks::map_log::MapLog;
use marks::values::{Rng, Values};

fn lookup(criterion: &mut Criterion) {
    let (dir, values, records) = (BenchDir::new(), Values::new(100), scaled(1_000_000));
    let (single, batched) = (open(&dir.path("single")), open(&dir.path("batched")));
    put_singles(&single, &values, records);
    put_batches(&batched, &values, records);
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

criterion_group!(benches, lookup);
criterion_main!(benches);
