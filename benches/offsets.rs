//! What assigning offsets costs, and asking about them: the benchmarks of SeaweedMQ's plan by their names, each with storage behind it: values of
//! 100 B in files, written and not synced. Then a table beside what that plan's code takes, which stores nothing where it says so.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // a bench is its own user of the file system

mod marks;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group};
use marks::bench_dir::{BenchDir, scaled};
use marks::counting_allocator::{CountingAllocator, heap_held};
use marks::engine::options;
use marks::values::Values;
use rustix::time::{ClockId, clock_gettime};
use tidelog::{
    AckLevel, AssignmentResult, Offset, OffsetAssigner, OffsetSpec, OffsetSubscriber, PartitionKey, PartitionOffsetManager, PartitionOffsetRegistry,
    PartitionView, Record, RecordBatch, SubscriptionOptions,
};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// A store with one partition, seen in every way that a benchmark asks.
struct Bed {
    key: PartitionKey,
    registry: Arc<PartitionOffsetRegistry>,
    assigner: OffsetAssigner,
    manager: Arc<PartitionOffsetManager>,
}

impl Bed {
    fn new(path: &Path) -> Self {
        let store = options().open(path).unwrap();
        let key = store.topic("bench").unwrap().partition_key(0).unwrap();
        let registry = Arc::new(PartitionOffsetRegistry::new(store).ack_level(AckLevel::Written));
        let manager = registry.get(&key).unwrap();
        Self { key, assigner: OffsetAssigner::new(registry.clone()), registry, manager }
    }

    fn publish(&self, value: &[u8]) -> AssignmentResult<'_> {
        self.assigner.assign_single_offset(&self.key, Record::new(value).key("key")).unwrap()
    }

    fn publish_batch(&self, batch: &mut RecordBatch, values: &Values, first: usize, count: usize) -> AssignmentResult<'_> {
        fill(batch, values, first, count);
        self.assigner.assign_batch_offsets(&self.key, batch).unwrap()
    }
}

fn fill(batch: &mut RecordBatch, values: &Values, first: usize, count: usize) {
    batch.clear();
    (first..first + count).for_each(|number| batch.push(&Record::new(values.get(number)).key("key")).unwrap());
}

/// Takes what came of an operation, which therefore has to come of it.
fn sink<T>(value: T) {
    let _ = black_box(value);
}

/// Runs a benchmark, and keeps what it took for the table.
struct Runner<'a> {
    criterion: &'a mut Criterion,
    dir: BenchDir,
}

impl Runner<'_> {
    /// `work` does so many operations.
    fn run(&mut self, group: &str, name: &str, mut work: impl FnMut(u64) -> Took) {
        let mut group_of = self.criterion.benchmark_group(group);
        group_of.sample_size(50).measurement_time(Duration::from_millis(500)).warm_up_time(Duration::from_millis(200));
        let row = format!("{group}/{name}");
        group_of.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| {
                let took = work(iterations);
                let each = |took: Duration| took.as_nanos() as f64 / iterations as f64;
                let sample = Sample { iterations, wall: each(took.wall), cpu: took.cpu.map(each) };
                FIGURES.lock().unwrap().entry(row.clone()).or_default().push(sample);
                took.wall
            });
        });
    }

    /// Each operation asks about a store that is there.
    fn asks(&mut self, group: &str, name: &str, work: impl Fn() + Sync) {
        self.run(group, name, |iterations| in_threads(1, iterations, |_| work()));
    }

    /// Each operation appends, in a store that is made anew before it holds so much that the disk would have to keep up.
    fn appends(&mut self, group: &str, name: &str, threads: usize, work: impl Fn(&Bed, usize) + Sync) {
        let path = self.dir.path("store");
        let mut bed = Some(Bed::new(&path));
        self.run(group, name, |iterations| {
            if bed.as_ref().is_none_or(|bed| bed.manager.next_offset().offset() > RECORDS_MAX) {
                remove(bed.take(), &path);
            }
            let bed = bed.get_or_insert_with(|| Bed::new(&path));
            in_threads(threads, iterations, |number| work(bed, number))
        });
        remove(bed, &path);
    }
}

fn remove(bed: Option<Bed>, path: &Path) {
    drop(bed);
    std::fs::remove_dir_all(path).unwrap();
}

/// What operations took: on the clock, and, of a thread alone, on its CPU, which others on the machine change little.
struct Took {
    wall: Duration,
    cpu: Option<Duration>,
}

/// How long it takes threads together to do `iterations` operations.
fn in_threads(threads: usize, iterations: u64, work: impl Fn(usize) + Sync) -> Took {
    let (start, cpu) = (Instant::now(), cpu_time());
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (from, to) = (iterations as usize * thread / threads, iterations as usize * (thread + 1) / threads);
            let work = &work;
            let run = move || (from..to).for_each(work);
            // The last part in this thread: one alone starts none.
            if thread + 1 == threads { run() } else { drop(scope.spawn(run)) }
        }
    });
    Took { wall: start.elapsed(), cpu: (threads == 1).then(|| cpu_time() - cpu) }
}

/// Time that this thread has been on a CPU.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn assignment(runner: &mut Runner<'_>, values: &Values) {
    let counter = AtomicU64::new(0);
    let count = |_| sink(counter.fetch_add(1, Ordering::Relaxed));
    runner.run("mark: bare counter", "one thread", |iterations| in_threads(1, iterations, count));
    runner.run("mark: bare counter", "parallel", |iterations| in_threads(threads(), iterations, count));
    let assign = |bed: &Bed, number| sink(bed.manager.assign(Record::new(values.get(number))).unwrap());
    runner.appends("BenchmarkOffsetAssignment", "parallel", threads(), assign);
    runner.appends("BenchmarkOffsetAssignment", "one thread", 1, assign);
    for count in [1, 10, 100, 1000] {
        let mut batch = RecordBatch::new();
        fill(&mut batch, values, 0, count);
        let assign = |bed: &Bed, _| sink(bed.manager.assign_batch(&batch).unwrap());
        runner.appends("BenchmarkBatchOffsetAssignment", &format!("BatchSize{count}"), 1, assign);
    }
}

fn integration(runner: &mut Runner<'_>, values: &Values) {
    let group = "BenchmarkSMQOffsetIntegration";
    runner.appends(group, "PublishRecord", 1, |bed, number| sink(bed.publish(values.get(number))));
    for count in [1, 10, 100] {
        let batch = Mutex::new(RecordBatch::new());
        let publish = |bed: &Bed, number| sink(bed.publish_batch(&mut batch.lock().unwrap(), values, number, count));
        runner.appends(group, &format!("PublishRecordBatch/BatchSize{count}"), 1, publish);
    }
    let bed = asked(runner, values);
    runner.asks(group, "GetHighWaterMark", || sink(bed.registry.high_water_mark(&bed.key)));
    runner.asks(group, "GetPartitionOffsetInfo", || sink(bed.registry.info(&bed.key)));
    let (view, from) = (bed.manager.partition().view(), Offset::new(10));
    runner.asks("BenchmarkOffsetSubscription", "GetLag", || sink(view.lag(from)));
    runner.asks("BenchmarkOffsetSubscription", "GetLag, records alone", || sink(view.marks().behind(from)));
    subscription(runner, view);
}

/// As the plan takes it, at a partition of some thousand records, seeking to each of them in turn.
fn subscription(runner: &mut Runner<'_>, view: &PartitionView) {
    let (group, subscribers) = ("BenchmarkOffsetSubscription", OffsetSubscriber::new());
    let earliest = || SubscriptionOptions::new().start(OffsetSpec::ResetToEarliest);
    runner.asks(group, "CreateSubscription", || {
        sink(subscribers.create("one", view, earliest()).unwrap());
        subscribers.close("one").unwrap();
    });
    let (reader, end) = (view.subscribe("all", earliest()).unwrap(), view.end_offset().get());
    runner.asks(group, "GetOffsetRange", || sink(reader.offset_range(10).unwrap()));
    runner.asks(group, "AdvanceOffset", || sink(reader.advance(1).or_else(|_| reader.seek_to_offset(0).map(|found| found.offset)).unwrap()));
    let next = AtomicU64::new(0);
    runner.asks(group, "SeekToOffset", || sink(reader.seek_to_offset(next.fetch_add(1, Ordering::Relaxed) % end).unwrap()));
}

/// A partition of some thousand records.
fn asked(runner: &Runner<'_>, values: &Values) -> Bed {
    let bed = Bed::new(&runner.dir.path("asked"));
    (0..scaled(10_000)).for_each(|number| sink(bed.publish(values.get(number))));
    bed
}

fn concurrent(runner: &mut Runner<'_>, values: &Values) {
    let group = "BenchmarkConcurrentOperations";
    let publish = |bed: &Bed, number| sink(bed.publish(values.get(number)));
    let read = |bed: &Bed| sink(bed.registry.high_water_mark(&bed.key));
    runner.appends(group, "ConcurrentPublish", threads(), publish);
    runner.appends(group, "ConcurrentRead", threads(), |bed, _| read(bed));
    runner.appends(group, "ConcurrentMixed", threads(), |bed, number| if number % 10 == 0 { publish(bed, number) } else { read(bed) });
}

/// Time as the plan takes it, and then what its claim is about: bytes held for a partition, and for an offset.
fn memory(runner: &mut Runner<'_>, values: &Values) {
    runner.appends("BenchmarkMemoryUsage", "InMemoryStorage", 1, |bed, number| {
        sink(bed.registry.assign(&bed.key, Record::new(values.get(number))).unwrap());
    });
    let path = runner.dir.path("memory");
    let store = options().open(&path).unwrap();
    let topic = store.create_topic("many", MANY).unwrap();
    let keys: Vec<_> = (0..MANY).map(|number| topic.partition_key(number).unwrap()).collect();
    let registry = PartitionOffsetRegistry::new(store).ack_level(AckLevel::Written);
    let before = heap_held();
    keys.iter().for_each(|key| sink(registry.assign(key, Record::new(values.get(0)))));
    let (opened, records) = (heap_held().saturating_sub(before), scaled(1_000_000));
    (0..records).for_each(|number| sink(registry.assign(&keys[0], Record::new(values.get(number)))));
    let grown = heap_held().saturating_sub(before).saturating_sub(opened);
    println!(
        "memory: {} B for a partition of {MANY} that hold a record, {:.2} B for an offset\n",
        opened / MANY as usize,
        grown as f64 / records as f64
    );
}

fn offsets(criterion: &mut Criterion) {
    let (values, mut runner) = (Values::new(100), Runner { criterion, dir: BenchDir::new() });
    assignment(&mut runner, &values);
    integration(&mut runner, &values);
    concurrent(&mut runner, &values);
    memory(&mut runner, &values);
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

criterion_group!(benches, offsets);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
    // Run as a test, it only shows that it runs: figures of so little are none.
    if !std::env::args().any(|argument| argument == "--test") {
        print_table();
    }
}

/// Nanoseconds of an operation, the mean of so many.
struct Sample {
    iterations: u64,
    wall: f64,
    cpu: Option<f64>,
}

static FIGURES: Mutex<BTreeMap<String, Vec<Sample>>> = Mutex::new(BTreeMap::new());

/// The best and the median on the clock, and the median on the CPU, without the shortest samples, of which the warm-up is made.
fn figures(samples: &[Sample]) -> (f64, f64, Option<f64>) {
    let most = samples.iter().map(|sample| sample.iterations).max().unwrap_or(0);
    let long: Vec<&Sample> = samples.iter().filter(|sample| sample.iterations >= most / 20).collect();
    let sorted = |mut each: Vec<f64>| {
        each.sort_by(f64::total_cmp);
        each
    };
    let (wall, cpu) = (sorted(long.iter().map(|sample| sample.wall).collect()), sorted(long.iter().filter_map(|sample| sample.cpu).collect()));
    (wall[0], wall[wall.len() / 2], cpu.get(cpu.len() / 2).copied())
}

/// Rows, what the first commit of the plan takes, what its code of August 2026 takes, and what of that is stored.
const REFERENCE: [(&str, Option<u32>, Option<u32>); 24] = [
    ("BenchmarkOffsetAssignment/parallel", Some(3_056), Some(17)),
    ("BenchmarkOffsetAssignment/one thread", None, None),
    ("BenchmarkBatchOffsetAssignment/BatchSize1", Some(3_169), Some(27)),
    ("BenchmarkBatchOffsetAssignment/BatchSize10", Some(3_020), Some(27)),
    ("BenchmarkBatchOffsetAssignment/BatchSize100", Some(3_038), Some(27)),
    ("BenchmarkBatchOffsetAssignment/BatchSize1000", Some(3_113), Some(27)),
    ("BenchmarkSMQOffsetIntegration/PublishRecord", Some(4_345), Some(1_189)),
    ("BenchmarkSMQOffsetIntegration/PublishRecordBatch/BatchSize1", Some(4_521), Some(2_394)),
    ("BenchmarkSMQOffsetIntegration/PublishRecordBatch/BatchSize10", Some(16_249), Some(2_641)),
    ("BenchmarkSMQOffsetIntegration/PublishRecordBatch/BatchSize100", Some(102_904), Some(23_610)),
    ("BenchmarkSMQOffsetIntegration/GetHighWaterMark", Some(307), Some(398)),
    ("BenchmarkSMQOffsetIntegration/GetPartitionOffsetInfo", Some(380), Some(413)),
    ("BenchmarkOffsetSubscription/GetLag", Some(421), Some(573)),
    ("BenchmarkOffsetSubscription/GetLag, records alone", Some(421), Some(573)),
    ("BenchmarkOffsetSubscription/CreateSubscription", Some(354), Some(227)),
    ("BenchmarkOffsetSubscription/GetOffsetRange", Some(387), Some(403)),
    ("BenchmarkOffsetSubscription/AdvanceOffset", Some(1), Some(2)),
    ("BenchmarkOffsetSubscription/SeekToOffset", Some(440), Some(518)),
    ("BenchmarkConcurrentOperations/ConcurrentPublish", Some(3_311), Some(1_493)),
    ("BenchmarkConcurrentOperations/ConcurrentRead", Some(340), Some(694)),
    ("BenchmarkConcurrentOperations/ConcurrentMixed", Some(594), Some(817)),
    ("BenchmarkMemoryUsage/InMemoryStorage", Some(2_662), Some(25)),
    ("mark: bare counter/one thread", None, None),
    ("mark: bare counter/parallel", None, None),
];

fn print_table() {
    let all = FIGURES.lock().unwrap();
    println!(
        "| ns an operation | tidelog, best | median | median, on the CPU | SeaweedMQ's first commit | SeaweedMQ 4.44 |\n|---|--:|--:|--:|--:|--:|"
    );
    let shown = |figure: Option<u32>| figure.map_or("-".to_owned(), |figure| figure.to_string());
    for (row, first, last) in REFERENCE {
        // Rows that were filtered out are not there.
        if let Some(samples) = all.get(row) {
            let (best, median, cpu) = figures(samples);
            let cpu = cpu.map_or("-".to_owned(), |cpu| format!("{cpu:.0}"));
            println!("| {row} | {best:.0} | {median:.0} | {cpu} | {} | {} |", shown(first), shown(last));
        }
    }
    println!(
        "\nSeaweedMQ's figures are of an earlier run of its code on 2 cores (Go 1.19), the best of three: nothing is stored in any of them: an assignment"
    );
    println!(
        "is a counter, a batch is a count, a publish leaves its record out. Here an assignment writes its record of 100 B, and a batch all of its records."
    );
}

const RECORDS_MAX: u64 = 300_000;
/// Partitions whose memory is counted.
const MANY: u32 = 100;
