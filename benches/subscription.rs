//! What a subscription costs: to open, to ask, to send elsewhere, and for each record that it hands out, beside a plain reader of the same log.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, clippy::unwrap_used)] // a bench is its own user of the file system

mod marks;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use marks::bench_dir::{BenchDir, scaled};
use marks::engine::{open, put_batches};
use marks::values::Values;
use tidelog::{Filter, OffsetSpec, OffsetSubscriber, PageLimits, Start, Subscription, SubscriptionOptions};

fn calls(criterion: &mut Criterion) {
    let (dir, values, records) = (BenchDir::new(), Values::new(100), scaled(100_000));
    let partition = open(&dir.path("log"));
    put_batches(&partition, &values, records);
    let earliest = || SubscriptionOptions::new().start(OffsetSpec::ResetToEarliest);
    let mut group = criterion.benchmark_group("subscription");
    group.sample_size(10).measurement_time(Duration::from_secs(2));
    let subscribers = OffsetSubscriber::new();
    group.bench_function("create and close", |bencher| {
        bencher.iter(|| {
            subscribers.create("s", partition.view(), earliest()).unwrap();
            subscribers.close("s").unwrap();
        });
    });
    let subscription = partition.subscribe("s", earliest()).unwrap();
    group.bench_function("offset range of 10", |bencher| bencher.iter(|| black_box(subscription.offset_range(10).unwrap())));
    group.bench_function("lag", |bencher| bencher.iter(|| black_box(subscription.lag().unwrap())));
    let mut offset = 0;
    group.bench_function("seek to offset", |bencher| {
        bencher.iter(|| {
            offset = (offset + 7919) % records as u64;
            black_box(subscription.seek_to_offset(offset).unwrap())
        });
    });
    subscription.seek_to_offset(0).unwrap();
    group.bench_function("advance", |bencher| {
        bencher.iter(|| subscription.advance(1).or_else(|_| subscription.seek_to_offset(0).map(|found| found.offset)).unwrap());
    });
    group.bench_function("poll at the end, without a wait", |bencher| {
        subscription.seek(OffsetSpec::ResetToLatest).unwrap();
        bencher.iter(|| black_box(subscription.poll(Duration::ZERO).unwrap()));
    });
}

fn records(criterion: &mut Criterion) {
    let (dir, values, records) = (BenchDir::new(), Values::new(100), scaled(100_000));
    let partition = open(&dir.path("log"));
    put_batches(&partition, &values, records);
    let mut group = criterion.benchmark_group("subscription/records");
    group.sample_size(10).measurement_time(Duration::from_secs(2)).throughput(Throughput::Elements(records as u64));
    let none = Filter::key("no such");
    let all = |name: &str, subscription: Subscription, group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>| {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                subscription.seek_to_offset(0).unwrap();
                std::iter::from_fn(|| subscription.next_record().unwrap()).count()
            });
        });
    };
    all("one at a time", partition.subscribe("one", SubscriptionOptions::new()).unwrap(), &mut group);
    all("passed by a filter", partition.subscribe("none", SubscriptionOptions::new().filter(none)).unwrap(), &mut group);
    let subscription = partition.subscribe("pages", SubscriptionOptions::new()).unwrap();
    for page in [100, 1000] {
        let limits = PageLimits { records: page, ..PageLimits::default() };
        group.bench_function(format!("pages of {page}"), |bencher| {
            bencher.iter(|| {
                subscription.seek_to_offset(0).unwrap();
                while !black_box(subscription.page_within(limits).unwrap()).at_end {}
            });
        });
    }
    let mut reader = partition.read(Start::Earliest).unwrap();
    group.bench_function("mark: a reader", |bencher| {
        bencher.iter(|| {
            reader.seek(0);
            reader.by_ref().filter(|record| record.is_ok()).count()
        });
    });
}

criterion_group!(benches, calls, records);
criterion_main!(benches);
