//! The feature `tokio`: many appends in flight, dropped futures, failures that reach everyone, streams that follow. Times nothing but hangs.

use std::future::{Future, poll_fn};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use tidelog::io::Disk;
use tidelog::io::fault::{Fault, Faulty, Op};
use tidelog::{
    AckLevel, AppendError, Partition, ReadError, ReadIsolation, Record, RecordBatch, RecordStream, Start, Store, StoreOptions, StoredRecord,
    SyncError, SyncPolicy,
};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

#[test]
fn ten_thousand_appends_in_flight_need_few_threads_and_few_syncs() {
    const APPENDS: u64 = 10_000;
    let (_dir, faulty, partition) = partition(SyncPolicy::default());
    faulty.reset_counts();
    check(async {
        let tasks: Vec<_> = (0..APPENDS).map(|number| tokio::spawn(partition.append_async(&batch(&number.to_string())))).collect();
        let mut threads = 0;
        for (number, task) in (0..).zip(tasks) {
            let ack = task.await.unwrap().unwrap();
            assert_eq!((ack.base_offset, ack.last_offset), (number.into(), number.into()));
            assert!(ack.durable_end > ack.last_offset, "{ack:?}");
            threads = threads.max(threads_now());
        }
        // The workers, one leader, the store's two, and those of tests that run beside this one.
        assert!(threads < 200, "{threads} threads");
    });
    assert!((1..APPENDS / 10).contains(&faulty.syncs()), "{} syncs", faulty.syncs());
    assert_eq!(values(&partition), numbers(0..APPENDS));
}

#[test]
fn a_dropped_future_neither_loses_nor_doubles_its_records() {
    const APPENDS: u64 = 1_000;
    let (dir, _faulty, partition) = partition(SyncPolicy::default());
    check(async {
        for number in 0..APPENDS {
            let mut future = partition.append_async(&batch(&number.to_string()));
            match number % 4 {
                0 => {} // dropped before it was ever polled
                1 => drop(poll_once(&mut future).await.map(Result::unwrap)),
                2 => drop(timeout(Duration::from_micros(number), future).await.ok()),
                _ => assert_eq!(future.await.unwrap().base_offset, number),
            }
        }
    });
    drop(partition);
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(values(&store.topic("t").unwrap().partition(0).unwrap()), numbers(0..APPENDS));
}

#[test]
fn a_failed_sync_reaches_every_waiter() {
    let (_dir, faulty, partition) = partition(SyncPolicy::default());
    faulty.inject(Fault::at(Op::Sync).from_then_on());
    check(async {
        let mut stream = partition.stream(Start::Latest).unwrap();
        let tasks: Vec<_> = (0..1_000).map(|number: u32| tokio::spawn(partition.append_async(&batch(&number.to_string())))).collect();
        let mut not_durable = 0;
        for task in tasks {
            match task.await.unwrap() {
                Err(AppendError::NotDurable { source: SyncError::Poisoned { .. }, .. }) => not_durable += 1,
                Err(AppendError::Poisoned { .. }) => {} // appended after the failure, and so refused
                other => panic!("{other:?}"),
            }
        }
        assert!(not_durable > 0);
        assert!(matches!(partition.append_async(&batch("late")).await, Err(AppendError::Poisoned { .. })));
        assert!(stream.next().await.is_none(), "nothing was committed, and nothing can be");
    });
}

#[test]
fn an_append_that_is_refused_says_so_when_awaited() {
    let (_dir, _faulty, partition) = partition(SyncPolicy::default());
    check(async {
        assert!(matches!(partition.append_async(&RecordBatch::new()).await, Err(AppendError::Empty)));
    });
    assert_eq!(partition.log_end_offset(), 0);
}

#[test]
fn a_deferred_append_can_be_awaited() {
    let (_dir, _faulty, partition) = partition(SyncPolicy::OsOnly);
    check(async {
        let pending = partition.append_deferred(&batch("a")).unwrap();
        assert!(!pending.is_durable());
        let ack = pending.await.unwrap();
        assert_eq!((ack.base_offset, ack.durable_end), (0.into(), 1.into()));
    });
}

#[test]
fn an_append_that_was_cut_off_meanwhile_is_not_waited_for_forever() {
    let (_dir, _faulty, partition) = partition(SyncPolicy::OsOnly);
    let future = partition.append_async(&batch("a"));
    let pending = partition.append_deferred(&batch("b")).unwrap();
    // The cut makes everything durable before it takes it away.
    partition.truncate_suffix(0).unwrap();
    check(async { assert_eq!(future.await.unwrap().base_offset, 0) });
    assert_eq!(pending.wait().unwrap().base_offset, 1);
}

#[test]
fn a_runtime_that_shuts_down_leaves_nobody_waiting() {
    // Under this policy nobody syncs but for a waiter.
    let (_dir, _faulty, partition) = partition(SyncPolicy::OsOnly);
    let first = Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
    let (release, released) = std::sync::mpsc::channel::<()>();
    first.spawn_blocking(move || released.recv());
    // Takes the lead, which is queued behind the blocked thread for good.
    let mut led = partition.append_async(&batch("a"));
    assert!(first.block_on(poll_once(&mut led)).is_pending());

    let second = runtime();
    let waiting = second.spawn(partition.append_async(&batch("b")));
    std::thread::sleep(Duration::from_millis(50));
    assert!(!waiting.is_finished(), "somebody else synced: this test shows nothing");
    first.shutdown_background();
    drop(release);
    let ack = second.block_on(async { timeout(HANG, waiting).await.expect("the lead was lost") }).unwrap().unwrap();
    assert_eq!(ack.base_offset, 1);
    assert_eq!(second.block_on(led).unwrap().base_offset, 0);
}

#[test]
fn without_a_runtime_an_append_and_a_stream_work_too() {
    let (dir, _faulty, partition) = partition(SyncPolicy::OsOnly);
    assert_eq!(block_on(partition.append_async(&batch("a"))).unwrap().base_offset, 0);
    let view = Store::open_read_only(dir.path()).unwrap().topic("t").unwrap().partition(0).unwrap();
    let mut stream = view.stream(Start::Earliest).unwrap();
    assert_eq!(block_on(next(&mut stream)), "a");
    let writer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300)); // longer than one wait of the stream
        partition.append(Record::new("b")).unwrap();
        partition
    });
    assert_eq!(block_on(next(&mut stream)), "b");
    writer.join().unwrap();
}

#[test]
fn a_stream_gives_what_is_there_and_then_what_comes() {
    let (_dir, _faulty, partition) = partition(SyncPolicy::default());
    append_written(&partition, 0..1_000);
    partition.flush().unwrap();
    check(async {
        let streams = (0..4).map(|_| partition.stream(Start::Earliest).unwrap());
        let readers: Vec<_> = streams.map(|stream| tokio::spawn(take(stream, 3_000))).collect();
        let writer = {
            let partition = partition.clone();
            tokio::task::spawn_blocking(move || append_durable(&partition, 1_000..3_000))
        };
        for reader in readers {
            assert_eq!(reader.await.unwrap(), numbers(0..3_000));
        }
        writer.await.unwrap();
    });
}

#[test]
fn a_waiting_stream_is_not_polled_until_something_comes() {
    let (_dir, _faulty, partition) = partition(SyncPolicy::default());
    let polls = Arc::new(AtomicUsize::new(0));
    check(async {
        for isolation in [ReadIsolation::Committed, ReadIsolation::Written] {
            let mut stream = partition.view().with_isolation(isolation).stream(Start::Latest).unwrap();
            polls.store(0, Ordering::SeqCst);
            let counter = polls.clone();
            let reader = tokio::spawn(async move {
                poll_fn(|context| {
                    counter.fetch_add(1, Ordering::SeqCst);
                    let mut next = std::pin::pin!(stream.next());
                    next.as_mut().poll(context)
                })
                .await
            });
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert!(polls.load(Ordering::SeqCst) <= 1, "{} polls of an idle stream", polls.load(Ordering::SeqCst));
            let ack = partition.append_async(&batch("x")).await.unwrap();
            assert_eq!(reader.await.unwrap().unwrap().unwrap().offset(), ack.base_offset);
            // The first poll, that for the append, and at most one more for a sync that came between.
            assert!(polls.load(Ordering::SeqCst) <= 3);
        }
    });
}

#[test]
fn a_stream_shows_what_its_isolation_allows() {
    let (_dir, _faulty, partition) = partition(SyncPolicy::Interval(Duration::from_secs(60)));
    check(async {
        let mut written = partition.view().with_isolation(ReadIsolation::Written).stream(Start::Earliest).unwrap();
        let mut committed = partition.stream(Start::Earliest).unwrap();
        let waiting = tokio::spawn(async move { (next(&mut written).await, written) });
        tokio::task::yield_now().await;
        append_written(&partition, 0..1);
        assert_eq!(waiting.await.unwrap().0, "0");
        assert!(poll_once(&mut std::pin::pin!(committed.next())).await.is_pending(), "it is not durable yet");
        let waiting = tokio::spawn(async move { next(&mut committed).await });
        tokio::task::yield_now().await;
        partition.flush().unwrap();
        assert_eq!(waiting.await.unwrap(), "0");
    });
}

#[test]
fn a_stream_beside_the_writer_follows_it() {
    let (dir, _faulty, partition) = partition(SyncPolicy::default());
    let view = Store::open_read_only(dir.path()).unwrap().topic("t").unwrap().partition(0).unwrap();
    check(async {
        let reader = tokio::spawn(take(view.stream(Start::Earliest).unwrap(), 300));
        for number in 0..300 {
            partition.append_async(&batch(&number.to_string())).await.unwrap();
            if number % 100 == 0 {
                tokio::time::sleep(Duration::from_millis(300)).await; // longer than one wait of the stream
            }
        }
        assert_eq!(reader.await.unwrap(), numbers(0..300));
        // A waiting stream does not keep the runtime from ending.
        tokio::spawn(take(view.stream(Start::Latest).unwrap(), 1));
    });
}

#[test]
fn a_stream_ends_once_all_is_read_of_a_closed_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = StoreOptions::new().sync_policy(SyncPolicy::Interval(Duration::from_secs(60))).open(dir.path()).unwrap();
    let partition = store.topic("t").unwrap().partition(0).unwrap();
    check(async {
        let mut stream = partition.stream(Start::Earliest).unwrap();
        assert!(poll_once(&mut std::pin::pin!(stream.next())).await.is_pending());
        let reader = tokio::spawn(async move {
            let mut found = Vec::new();
            while let Some(record) = stream.next().await {
                found.push(text(&record.unwrap()));
            }
            found
        });
        append_written(&partition, 0..500);
        store.close().unwrap();
        assert_eq!(reader.await.unwrap(), numbers(0..500));
    });
}

#[test]
fn a_stream_whose_next_offset_was_deleted_says_so_and_ends() {
    let (_dir, _faulty, partition) = partition(SyncPolicy::default());
    append_durable(&partition, 0..10);
    check(async {
        let mut stream = partition.stream(Start::Earliest).unwrap();
        partition.delete_prefix(5).unwrap();
        assert!(matches!(stream.next().await, Some(Err(ReadError::OffsetOutOfRange { .. }))));
        assert!(stream.next().await.is_none());
    });
}

#[test]
fn a_stream_with_plenty_to_read_lets_other_tasks_run() {
    let (_dir, _faulty, partition) = partition(SyncPolicy::default());
    append_written(&partition, 0..2_000);
    partition.flush().unwrap();
    let turns = Arc::new(AtomicUsize::new(0));
    Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
        let counter = turns.clone();
        tokio::spawn(async move {
            loop {
                counter.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
            }
        });
        assert_eq!(take(partition.stream(Start::Earliest).unwrap(), 2_000).await.len(), 2_000);
    });
    assert!(turns.load(Ordering::SeqCst) >= 10, "{turns:?} turns");
}

/// Runs it on a runtime of two workers; a hang fails.
fn check(future: impl Future<Output = ()>) {
    runtime().block_on(async { timeout(HANG, future).await.expect("hangs") });
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap()
}

fn partition(policy: SyncPolicy) -> (tempfile::TempDir, Faulty, Partition) {
    let dir = tempfile::tempdir().unwrap();
    let faulty = Faulty::new(Arc::new(Disk::new()));
    let partition = open(dir.path(), &faulty, policy);
    (dir, faulty, partition)
}

fn open(dir: &Path, faulty: &Faulty, policy: SyncPolicy) -> Partition {
    let store = StoreOptions::new().sync_policy(policy).storage(Arc::new(faulty.clone())).open(dir).unwrap();
    store.topic("t").unwrap().partition(0).unwrap()
}

fn batch(value: &str) -> RecordBatch {
    let mut batch = RecordBatch::new();
    batch.push(&Record::new(value)).unwrap();
    batch
}

fn append_written(partition: &Partition, range: std::ops::Range<u64>) {
    for number in range {
        partition.append_with(Record::new(&number.to_string()), AckLevel::Written).unwrap();
    }
}

fn append_durable(partition: &Partition, range: std::ops::Range<u64>) {
    for number in range {
        partition.append(Record::new(&number.to_string())).unwrap();
    }
}

fn numbers(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

fn values(partition: &Partition) -> Vec<String> {
    partition.read(Start::Earliest).unwrap().map(|record| text(&record.unwrap())).collect()
}

fn text(record: &StoredRecord) -> String {
    String::from_utf8(record.value().unwrap().to_vec()).unwrap()
}

async fn next(stream: &mut RecordStream) -> String {
    text(&stream.next().await.unwrap().unwrap())
}

async fn take(mut stream: RecordStream, count: usize) -> Vec<String> {
    let mut found = Vec::with_capacity(count);
    while found.len() < count {
        found.push(next(&mut stream).await);
    }
    found
}

async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_fn(|context| Poll::Ready(Pin::new(&mut *future).poll(context))).await
}

/// The smallest executor there is.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        std::thread::park_timeout(HANG);
    }
}

fn threads_now() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

const HANG: Duration = Duration::from_secs(30);
