//! Many threads on one partition: a model check of writers and readers, and the races that were found by reading the code.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use tidelog::io::{Access, Disk, Entry, File, FileSystem, Kind, Lock, Storage};
use tidelog::{AckLevel, Partition, PartitionView, ReadIsolation, Record, RecordBatch, Start, StoreOptions, SyncPolicy};

use crate::reading_support::{Home, Random, append_numbered, check_numbered, copy, eventually, read_only, size};

/// Value of the `number`th record of a writer.
fn value(writer: u64, number: u64) -> Vec<u8> {
    let mut value = [writer.to_le_bytes(), number.to_le_bytes()].concat();
    value.extend((0..number % 300).map(|byte| (byte ^ number ^ writer) as u8));
    value
}

/// Appends in all ways; returns what was acknowledged where.
fn write(partition: &Partition, writer: u64, stop: &AtomicBool) -> BTreeMap<u64, Vec<u8>> {
    let (mut acked, mut number, mut random) = (BTreeMap::new(), 0, Random::new(writer));
    let mut batch = RecordBatch::new();
    while !stop.load(Ordering::Relaxed) {
        let count = [1, 1, 1, 7, 40][random.below(5) as usize];
        let level = if random.below(4) == 0 { AckLevel::Durable } else { AckLevel::Written };
        let values: Vec<_> = (number..number + count).map(|number| value(writer, number)).collect();
        let ack = if count == 1 {
            partition.append_with(Record::new(&values[0]), level).unwrap()
        } else {
            batch.clear();
            values.iter().for_each(|value| batch.push(&Record::new(value)).unwrap());
            if random.below(2) == 0 {
                partition.append_deferred(&batch).unwrap().wait().unwrap()
            } else {
                partition.append_batch(&batch, level).unwrap()
            }
        };
        assert_eq!(ack.last_offset.get() - ack.base_offset.get() + 1, count);
        assert!(level == AckLevel::Written || ack.durable_end > ack.last_offset);
        assert!(partition.log_end_offset() > ack.last_offset);
        acked.extend((ack.base_offset.get()..).zip(values));
        number += count;
    }
    acked
}

/// Follows from the start; returns what was seen, dense and in order.
fn follow(view: &PartitionView, stop: &AtomicBool, end: &AtomicU64) -> Vec<Vec<u8>> {
    let mut seen = Vec::new();
    let mut reader = view.read(Start::Earliest).unwrap();
    loop {
        match reader.next() {
            Some(record) => {
                let record = record.unwrap();
                assert_eq!(record.offset().get(), seen.len() as u64);
                assert!(record.offset() < view.end_offset());
                seen.push(record.value().unwrap().to_vec());
            }
            None if stop.load(Ordering::Acquire) && seen.len() as u64 == end.load(Ordering::Acquire) => return seen,
            None => drop(reader.wait(Duration::from_millis(50)).unwrap()),
        }
    }
}

/// Jumps about: point reads, the last few, backwards.
fn jump(view: &PartitionView, stop: &AtomicBool) -> BTreeMap<u64, Vec<u8>> {
    let (mut seen, mut random) = (BTreeMap::new(), Random::new(99));
    while !stop.load(Ordering::Relaxed) {
        let end = view.end_offset().get();
        if end == 0 {
            continue;
        }
        let offset = random.below(end);
        let record = view.get(offset).unwrap();
        assert_eq!(record.offset().get(), offset);
        seen.insert(offset, record.value().unwrap().to_vec());
        for (record, offset) in view.read_backwards(end).unwrap().take(20).zip((0..end).rev()) {
            assert_eq!(record.unwrap().offset().get(), offset);
        }
        for (record, offset) in view.read_from(end - 1).unwrap().take(3).zip(end - 1..) {
            assert_eq!(record.unwrap().offset().get(), offset);
        }
    }
    seen
}

/// The marks never contradict each other, and none goes back.
fn sample_marks(partition: &Partition, stop: &AtomicBool) -> u64 {
    let mut last = [0; 3];
    let mut samples = 0;
    while !stop.load(Ordering::Relaxed) {
        // Smaller ones first: all grow meanwhile.
        let marks = [partition.durable_end_offset(), partition.high_water_mark(), partition.log_end_offset()].map(|mark| mark.get());
        assert!(partition.log_start_offset().get() <= marks[0] && marks[0] <= marks[1] && marks[1] <= marks[2], "{marks:?}");
        assert!(last.iter().zip(&marks).all(|(last, mark)| last <= mark), "{last:?} then {marks:?}");
        last = marks;
        samples += 1;
    }
    samples
}

fn check_model(policy: SyncPolicy, seconds: u64) {
    let home = Home::new();
    let (store, partition) = home.partition(StoreOptions::new().sync_policy(policy).segment_bytes(1 << 20));
    let (stop_writers, stop, end) = (AtomicBool::new(false), AtomicBool::new(false), AtomicU64::new(u64::MAX));
    let written = partition.view().with_isolation(ReadIsolation::Written);
    let other_process = home.read_only().with_isolation(ReadIsolation::Written);
    std::thread::scope(|scope| {
        let (partition, stop_writers, stop, end, written, other_process) = (&partition, &stop_writers, &stop, &end, &written, &other_process);
        let writers: Vec<_> = (0..4).map(|writer| scope.spawn(move || write(partition, writer, stop_writers))).collect();
        let followers = [partition.view(), written, other_process].map(|view| scope.spawn(move || follow(view, stop, end)));
        let jumper = scope.spawn(|| jump(partition.view(), stop));
        let sampler = scope.spawn(|| sample_marks(partition, stop));
        std::thread::sleep(Duration::from_secs(seconds));
        stop_writers.store(true, Ordering::Relaxed);
        let mut acked = BTreeMap::new();
        for writer in writers {
            for (offset, value) in writer.join().unwrap() {
                assert!(acked.insert(offset, value).is_none(), "offset {offset} was given out twice");
            }
        }
        partition.flush().unwrap();
        let count = acked.len() as u64;
        assert_eq!((count, acked.keys().next_back().map_or(0, |last| last + 1)), (partition.log_end_offset().get(), count));
        end.store(count, Ordering::Release);
        stop.store(true, Ordering::Release);
        for follower in followers {
            assert!(follower.join().unwrap().iter().eq(acked.values()));
        }
        assert!(jumper.join().unwrap().iter().all(|(offset, value)| acked[offset] == *value));
        assert!(sampler.join().unwrap() > 100);
        // And after the next open.
        let twin = copy(home.path());
        assert!(read_only(twin.path()).read_from(0).unwrap().map(|record| record.unwrap().value().unwrap().to_vec()).eq(acked.into_values()));
    });
    drop((partition, written));
    store.close().unwrap();
}

#[test]
fn four_writers_and_four_readers_agree_under_group() {
    check_model(SyncPolicy::default(), size("TIDELOG_MODEL_S", 2));
}

#[test]
fn four_writers_and_four_readers_agree_under_os_only() {
    check_model(SyncPolicy::OsOnly, size("TIDELOG_MODEL_S", 1));
}

/// Holds the creation of files back on the thread that works ahead, until told to go on.
#[derive(Debug)]
struct HeldBack {
    disk: Disk,
    /// Whether creation is held back, and how many creations have been let through on that thread.
    gate: Mutex<(bool, u64)>,
    opened: Condvar,
}

impl HeldBack {
    fn new() -> Arc<Self> {
        Arc::new(Self { disk: Disk::new(), gate: Mutex::new((true, 0)), opened: Condvar::new() })
    }

    fn let_go(&self) {
        self.gate.lock().unwrap().0 = false;
        self.opened.notify_all();
    }
}

impl Storage for HeldBack {
    fn create(&self, path: &Path) -> std::io::Result<Arc<dyn File>> {
        if std::thread::current().name() == Some("tidelog-ahead") {
            let mut gate = self.opened.wait_while(self.gate.lock().unwrap(), |gate| gate.0).unwrap();
            gate.1 += 1;
        }
        self.disk.create(path)
    }
    fn open(&self, path: &Path, access: Access) -> std::io::Result<Arc<dyn File>> {
        self.disk.open(path, access)
    }
    fn rename(&self, from: &Path, to: &Path) -> std::io::Result<()> {
        self.disk.rename(from, to)
    }
    fn rename_new(&self, from: &Path, to: &Path) -> std::io::Result<()> {
        self.disk.rename_new(from, to)
    }
    fn unlink(&self, path: &Path) -> std::io::Result<()> {
        self.disk.unlink(path)
    }
    fn create_dir(&self, path: &Path) -> std::io::Result<()> {
        self.disk.create_dir(path)
    }
    fn remove_dir(&self, path: &Path) -> std::io::Result<()> {
        self.disk.remove_dir(path)
    }
    fn list(&self, path: &Path) -> std::io::Result<Vec<Entry>> {
        self.disk.list(path)
    }
    fn kind(&self, path: &Path) -> std::io::Result<Option<Kind>> {
        self.disk.kind(path)
    }
    fn sync_dir(&self, path: &Path) -> std::io::Result<()> {
        self.disk.sync_dir(path)
    }
    fn file_system(&self, directory: &Path) -> std::io::Result<Arc<dyn FileSystem>> {
        self.disk.file_system(directory)
    }
    fn lock(&self, path: &Path) -> std::io::Result<Option<Box<dyn Lock>>> {
        self.disk.lock(path)
    }
    fn is_locked(&self, path: &Path) -> std::io::Result<bool> {
        self.disk.is_locked(path)
    }
    fn random(&self) -> u64 {
        self.disk.random()
    }
}

/// A segment made ahead is ready only after the roll that it was for. Its number is lower than that of the segment which that roll made in
/// line: used for the next roll, it would count as the older of the two at the next open, and all that is in it as cut off.
#[test]
fn a_segment_made_ahead_too_late_is_not_used() {
    let home = Home::new();
    let held_back = HeldBack::new();
    let options = StoreOptions::new().sync_policy(SyncPolicy::OsOnly).segment_bytes(1 << 20).storage(held_back.clone());
    let (_store, partition) = home.partition(options);
    let mut end = 0;
    let mut append_mib = |mib: f64| {
        let start = end;
        end += (mib * 8000.0) as u64; // about 130 B each
        append_numbered(&partition, start..end);
        end
    };
    append_mib(1.5); // one roll, while the spare that was asked for at half of the first segment is held back
    held_back.let_go();
    eventually("the spare", || held_back.gate.lock().unwrap().1 > 0);
    std::thread::sleep(Duration::from_millis(100));
    let end = append_mib(3.0);
    assert_eq!(check_numbered(partition.view(), 0), end);
    assert_eq!(check_numbered(&read_only(copy(home.path()).path()), 0), end);
}

/// A wait ends when there is something to see, not whenever anything happens.
#[test]
fn a_committed_reader_sleeps_through_what_it_may_not_see() {
    let home = Home::new();
    let (_store, partition) = home.partition(StoreOptions::new().sync_policy(SyncPolicy::Interval(Duration::from_millis(400))));
    let mut reader = partition.read(Start::Latest).unwrap();
    let mut written = partition.view().with_isolation(ReadIsolation::Written).read(Start::Latest).unwrap();
    let waiting = std::thread::spawn(move || (reader.wait(Duration::from_secs(10)).unwrap(), Instant::now()));
    let waiting_for_written = std::thread::spawn(move || (written.wait(Duration::from_secs(10)).unwrap(), Instant::now()));
    std::thread::sleep(Duration::from_millis(100));
    let appended = Instant::now();
    partition.append_with(Record::new("x"), AckLevel::Written).unwrap();
    let (seen, at) = waiting_for_written.join().unwrap();
    assert!(seen && at - appended < Duration::from_millis(150), "{:?}", at - appended);
    let (seen, _) = waiting.join().unwrap();
    assert!(seen && partition.high_water_mark().get() == 1);
}
