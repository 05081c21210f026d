//! What an append costs when it goes round robin over many partitions of one store, as a curve over their number, single and in batches of 100,
//! these beside plain writes of as many values into as many files. Up to 100 partitions, as each is made with syncs, or `TIDELOG_BENCH_PARTITIONS`: 10,000 is
//! the whole curve. `TIDELOG_BENCH_CHECKPOINT_BUDGET` sets how much may wait for checkpoints, which cost most where it is used up. Ends with a
//! drawing of the curve, in Mermaid, of the medians.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // a bench is its own user of the file system

mod marks;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use marks::bench_dir::{BenchDir, partitions_max};
use marks::engine::{BATCH, options};
use marks::values::Values;
use tidelog::{AckLevel, Partition, Record, RecordBatch, Store};

fn partitions(criterion: &mut Criterion) {
    let (dir, values) = (BenchDir::new(), Values::new(100));
    let mut group = criterion.benchmark_group("partitions/100");
    group.sample_size(SAMPLES).warm_up_time(Duration::from_millis(300));
    let mut curves = MODES.map(|mode| (mode, Vec::new()));
    for count in [1, 10, 100, 1000, 10_000].into_iter().filter(|count| *count <= partitions_max()) {
        let path = dir.path("engine");
        let (store, partitions) = open(&path, count);
        let [single, batches, mark] = &mut curves;
        let before = records_of(&partitions);
        let singles = measure(&mut group, single, count, |turn| {
            partitions[turn % count].append_with(Record::new(values.get(turn)), AckLevel::Written).unwrap();
        });
        let mut batch = RecordBatch::new();
        let batched = measure(&mut group, batches, count, |turn| {
            batch.clear();
            (0..BATCH).for_each(|more| batch.push(&Record::new(values.get(turn + more))).unwrap());
            partitions[turn % count].append_batch(&batch, AckLevel::Written).unwrap();
        });
        assert_eq!(records_of(&partitions) - before, singles + batched * BATCH);
        drop((partitions, store));
        std::fs::remove_dir_all(&path).unwrap();

        let path = dir.path("mark");
        std::fs::create_dir(&path).unwrap();
        let files: Vec<_> = (0..count).map(|number| File::create_new(path.join(number.to_string())).unwrap()).collect();
        let mut bytes = Vec::new();
        measure(&mut group, mark, count, |turn| {
            bytes.clear();
            (0..BATCH).for_each(|more| bytes.extend_from_slice(values.get(turn + more)));
            files[turn % count].write_all_at(&bytes, (turn / count * bytes.len()) as u64).unwrap();
        });
        drop(files);
        std::fs::remove_dir_all(&path).unwrap();
    }
    draw(&curves);
}

/// Takes turns, on over all rounds, as the first append to a page costs more than the next ones; notes the median rate and returns how many it took.
fn measure(group: &mut BenchmarkGroup<'_, WallTime>, curve: &mut Curve, count: usize, mut take_turn: impl FnMut(usize)) -> usize {
    let ((name, batch_records), points) = curve;
    let (mut rates, mut next) = (Vec::new(), 0);
    // Each partition gets some pages full, and all together less than the disk is behind with.
    group.measurement_time(Duration::from_secs(if count >= 1000 && *batch_records == 1 { 5 } else { 1 }));
    group.throughput(Throughput::Elements(*batch_records as u64));
    group.bench_with_input(BenchmarkId::new(*name, count), &count, |bencher, _| {
        bencher.iter_custom(|turns| {
            let start = Instant::now();
            for _ in 0..turns {
                take_turn(next);
                next += 1;
            }
            let elapsed = start.elapsed();
            rates.push(turns as f64 * *batch_records as f64 / elapsed.as_secs_f64() / 1e6);
            elapsed
        });
    });
    // Without those of the warm-up.
    rates.drain(..rates.len().saturating_sub(SAMPLES));
    rates.sort_by(f64::total_cmp);
    // None if it was not asked for.
    points.extend(rates.get(rates.len() / 2).map(|rate| (count, *rate)));
    next
}

/// The curves as a Mermaid chart, which has no legend.
fn draw(curves: &[Curve]) {
    let list = |figures: Vec<String>| figures.join(", ");
    let names = curves.iter().enumerate().map(|(number, ((name, _), _))| format!("{name} ({})", number + 1)).collect();
    println!("xychart-beta\n    title \"Round robin over partitions: {}\"", list(names));
    println!("    x-axis \"partitions\" [{}]", list(curves[0].1.iter().map(|(count, _)| count.to_string()).collect()));
    println!("    y-axis \"million records of 100 B a second\"");
    for (_, points) in curves {
        println!("    line [{}]", list(points.iter().map(|(_, rate)| format!("{rate:.2}")).collect()));
    }
}

fn records_of(partitions: &[Partition]) -> usize {
    partitions.iter().map(|partition| partition.log_end_offset().get() as usize).sum()
}

/// As many as a topic takes in each.
fn open(path: &Path, count: usize) -> (Store, Vec<Partition>) {
    let options = match std::env::var("TIDELOG_BENCH_CHECKPOINT_BUDGET") {
        Ok(budget) => options().set("checkpoint_budget_bytes", &budget).unwrap(),
        Err(_) => options(),
    };
    let store = options.open(path).unwrap();
    let mut partitions = Vec::with_capacity(count);
    while partitions.len() < count {
        let in_topic = (count - partitions.len()).min(TOPIC_PARTITIONS_MAX) as u32;
        let topic = store.create_topic(&format!("bench{}", partitions.len()), in_topic).unwrap();
        partitions.extend((0..in_topic).map(|number| topic.partition(number).unwrap()));
    }
    (store, partitions)
}

criterion_group!(benches, partitions);
criterion_main!(benches);

/// Of a figure.
const SAMPLES: usize = 10;
const TOPIC_PARTITIONS_MAX: usize = 4096;
/// Records a turn. The mark is plain code: values collected, and written to a file of each partition's own.
const MODES: [Mode; 3] = [("single", 1), ("batches of 100", BATCH), ("plain writes of 100", BATCH)];
type Mode = (&'static str, usize);
/// Partitions, and million records a second.
type Curve = (Mode, Vec<(usize, f64)>);
