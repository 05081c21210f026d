//! Subscriptions as streams (feature `tokio`): woken by appends, seeks and closes, without a thread each; they end as iterators do. Times nothing
//! but hangs.

use std::future::Future;
use std::time::Duration;

use tidelog::{AckLevel, Filter, OffsetSpec, OnOutOfRange, Record, SubscriptionError, SubscriptionOptions, SubscriptionStream};
use tokio::runtime::Builder;
use tokio::time::timeout;

use crate::reading_support::{Home, append_numbered, numbered, small};
use crate::subscription::from;

fn check<T>(test: impl Future<Output = T>) -> T {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { timeout(Duration::from_secs(60), test).await }).expect("it hangs")
}

async fn take(stream: &mut SubscriptionStream, count: usize) -> Vec<u64> {
    let mut found = Vec::new();
    while found.len() < count {
        let record = stream.next().await.unwrap().unwrap();
        assert_eq!(record.value().unwrap(), numbered(record.offset().get()));
        found.push(record.offset().get());
    }
    found
}

/// Two hundred streams of one partition, in the writer's process and beside it: every record reaches every one of them.
#[test]
fn every_append_reaches_every_stream() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    let count = 500;
    check(async {
        let follower = home.read_only();
        let tasks: Vec<_> = (0..200)
            .map(|number| {
                let view = if number % 50 == 0 { follower.clone() } else { partition.view().clone() };
                let mut stream = view.subscribe("s", from(OffsetSpec::ResetToEarliest)).unwrap().stream();
                tokio::spawn(async move { take(&mut stream, count).await })
            })
            .collect();
        tokio::task::spawn_blocking(move || append_numbered(&partition, 0..count as u64)).await.unwrap();
        for task in tasks {
            assert_eq!(task.await.unwrap(), (0..count as u64).collect::<Vec<_>>());
        }
    });
}

#[test]
fn a_close_and_a_seek_reach_a_stream_that_waits() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    append_numbered(&partition, 0..10);
    check(async {
        for view in [partition.view().clone(), home.read_only()] {
            let subscription = view.subscribe("s", from(OffsetSpec::ResetToLatest)).unwrap();
            let mut stream = subscription.stream();
            let waiting = tokio::spawn(async move {
                let found = take(&mut stream, 3).await;
                (found, stream.next().await.is_none(), stream.next().await.is_none())
            });
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert!(!waiting.is_finished());
            subscription.seek_to_offset(7).unwrap();
            while subscription.position() < 10 {
                tokio::task::yield_now().await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert!(!waiting.is_finished());
            subscription.close();
            assert_eq!(waiting.await.unwrap(), (vec![7, 8, 9], true, true));
        }
    });
}

/// Again and again, so that seeks meet the stream at every step of falling asleep.
#[test]
fn no_seek_passes_a_stream_by() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    append_numbered(&partition, 0..1);
    check(async {
        let subscription = partition.subscribe("s", from(OffsetSpec::ResetToLatest)).unwrap();
        let mut stream = subscription.stream();
        let (tell, mut hear) = tokio::sync::mpsc::unbounded_channel();
        let reading = tokio::spawn(async move {
            while let Some(record) = stream.next().await {
                tell.send(record.unwrap().offset().get()).unwrap();
            }
        });
        for _ in 0..3000 {
            subscription.seek_to_offset(0).unwrap();
            assert_eq!(hear.recv().await, Some(0));
        }
        subscription.close();
        reading.await.unwrap();
    });
}

/// Waits for one offset, and is then sent to a lower one that an append makes visible: its old place in the queue would never be reached.
#[test]
fn a_stream_that_waits_is_sent_back_behind_a_cut() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    append_numbered(&partition, 0..100);
    check(async {
        let options = from(OffsetSpec::ResetToLatest).on_out_of_range(OnOutOfRange::Earliest);
        let mut stream = partition.subscribe("s", options).unwrap().stream();
        let waiting = tokio::spawn(async move { take(&mut stream, 5).await });
        tokio::time::sleep(Duration::from_millis(20)).await;
        partition.truncate_suffix(50).unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        append_numbered(&partition, 50..55);
        assert_eq!(waiting.await.unwrap(), (50..55).collect::<Vec<_>>());
    });
}

#[test]
fn a_closed_store_ends_a_stream_after_its_last_record() {
    let home = Home::new();
    let (store, partition) = home.partition(small());
    append_numbered(&partition, 0..10);
    check(async {
        let mut stream = partition.subscribe("s", SubscriptionOptions::new()).unwrap().stream();
        let reading = tokio::spawn(async move { (take(&mut stream, 20).await.len(), stream.next().await.is_none()) });
        append_numbered(&partition, 10..20);
        drop(partition);
        store.close().unwrap();
        assert_eq!(reading.await.unwrap(), (20, true));
    });
}

#[test]
fn an_error_ends_a_stream_and_the_subscription_goes_on() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    append_numbered(&partition, 0..2000);
    check(async {
        let subscription = partition.subscribe("s", from(OffsetSpec::ExactOffset(3.into()))).unwrap();
        partition.delete_prefix(1000).unwrap();
        let mut stream = subscription.stream();
        assert!(matches!(stream.next().await, Some(Err(SubscriptionError::OffsetOutOfRange { .. }))));
        assert!(stream.next().await.is_none());
        subscription.seek(OffsetSpec::ResetToEarliest).unwrap();
        assert_eq!(take(&mut subscription.stream(), 2).await, [1000, 1001]);
    });
}

/// One that has much to pass by gives other tasks of its thread their turn.
#[test]
fn a_stream_that_filters_lets_others_run() {
    let home = Home::new();
    let (_store, partition) = home.partition(small());
    append_numbered(&partition, 0..3000);
    partition.append_with(Record::new("x").key("yes"), AckLevel::Written).unwrap();
    let limits = tidelog::PageLimits { scanned_records: 100, ..tidelog::PageLimits::default() };
    let options = from(OffsetSpec::ResetToEarliest).filter(Filter::key("yes")).limits(limits);
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut stream = partition.subscribe("s", options).unwrap().stream();
        let turns = std::rc::Rc::new(std::cell::Cell::new(0));
        let local = tokio::task::LocalSet::new();
        let counter = turns.clone();
        local.spawn_local(async move {
            loop {
                counter.set(counter.get() + 1);
                tokio::task::yield_now().await;
            }
        });
        let record = local.run_until(stream.next()).await.unwrap().unwrap();
        assert_eq!(record.offset(), 3000);
        assert!(turns.get() >= 10, "{} turns", turns.get());
    });
}
