//! One thread or process between two steps of another, and calls that fail where it hurts most: cases that broke earlier versions.

use std::fmt;
use std::fs;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidelog::io::fault::{Call, Fault, Faulty, Op};
use tidelog::io::{Access, Disk, Entry, File, FileSystem, Kind, Lock, SegmentMap, SegmentStore, SegmentWindow, SharedWords, Storage};
use tidelog::{AckLevel, Partition, PartitionOffsetRegistry, ReadIsolation, Record, SyncPolicy, Verdict};
use tidelog_format::CHECKPOINT_NAME;

use crate::reading_support::eventually;
use crate::support::{
    Durable, Lab, Oracle, append, assert_same, copy_tree, names, options, partition, partition_dir, ranges, read_all, tempdir, value,
};

type Hook = Box<dyn Fn() + Send + Sync>;

/// A disk that runs something in the next listing of a partition, in the next opening of a segment, or at the end of the next sync of the file
/// system, and may have no map to give.
pub(crate) struct Hooked {
    disk: Arc<dyn Storage>,
    on_list: parking_lot::Mutex<Option<Hook>>,
    pub(crate) on_open_log: parking_lot::Mutex<Option<Hook>>,
    pub(crate) after_sync_all: Arc<parking_lot::Mutex<Option<Hook>>>,
    /// What ends so is on another file system.
    pub(crate) mounted_elsewhere: parking_lot::Mutex<Option<&'static str>>,
    no_store_map: AtomicBool,
}

impl fmt::Debug for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hooked")
    }
}

#[derive(Debug)]
struct HookedFile(Arc<dyn File>, Arc<AtomicBool>);

struct HookedFileSystem(Arc<dyn FileSystem>, Arc<parking_lot::Mutex<Option<Hook>>>, Option<&'static str>);

impl fmt::Debug for HookedFileSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HookedFileSystem")
    }
}

impl FileSystem for HookedFileSystem {
    fn sync(&self) -> io::Result<()> {
        self.0.sync()?;
        let hook = self.1.lock().take();
        if let Some(hook) = hook {
            hook();
        }
        Ok(())
    }
    fn holds(&self, directory: &Path) -> io::Result<bool> {
        Ok(self.2.is_none_or(|elsewhere| !directory.ends_with(elsewhere)) && self.0.holds(directory)?)
    }
}

impl Hooked {
    pub(crate) fn new() -> Arc<Self> {
        Self::over(Disk::new())
    }
    pub(crate) fn over(disk: impl Storage) -> Arc<Self> {
        Arc::new(Self {
            disk: Arc::new(disk),
            on_list: parking_lot::Mutex::new(None),
            on_open_log: parking_lot::Mutex::new(None),
            after_sync_all: Arc::default(),
            mounted_elsewhere: parking_lot::Mutex::new(None),
            no_store_map: AtomicBool::new(false),
        })
    }
    fn wrap(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(HookedFile(file, Arc::new(AtomicBool::new(self.no_store_map.load(Ordering::SeqCst)))))
    }
}

impl Storage for Hooked {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn File>> {
        let hook = if path.extension().is_some_and(|ext| ext == "log") { self.on_open_log.lock().take() } else { None };
        if let Some(hook) = hook {
            hook();
        }
        Ok(self.wrap(self.disk.open(path, access)?))
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(self.wrap(self.disk.create(path)?))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename_new(from, to)
    }
    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.disk.unlink(path)
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let hook = if path.ends_with("t/0") { self.on_list.lock().take() } else { None };
        if let Some(hook) = hook {
            hook();
        }
        self.disk.list(path)
    }
    fn kind(&self, path: &Path) -> io::Result<Option<Kind>> {
        self.disk.kind(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(path)
    }
    fn file_system(&self, directory: &Path) -> io::Result<Arc<dyn FileSystem>> {
        Ok(Arc::new(HookedFileSystem(self.disk.file_system(directory)?, self.after_sync_all.clone(), *self.mounted_elsewhere.lock())))
    }
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        self.disk.lock(path)
    }
    fn is_locked(&self, path: &Path) -> io::Result<bool> {
        self.disk.is_locked(path)
    }
    fn random(&self) -> u64 {
        self.disk.random()
    }
}

impl File for HookedFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.0.read_at(buffer, position)
    }
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        self.0.write_at(bytes, position)
    }
    fn write_vectored_at(&self, pieces: &[IoSlice<'_>], position: u64) -> io::Result<usize> {
        self.0.write_vectored_at(pieces, position)
    }
    fn allocate(&self, position: u64, len: u64) -> io::Result<()> {
        self.0.allocate(position, len)
    }
    fn allocate_ahead(&self, len: u64) -> io::Result<()> {
        self.0.allocate_ahead(len)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
    fn map(&self, len: usize, store: bool) -> io::Result<(SegmentMap, Option<SegmentStore>)> {
        if store && self.1.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        self.0.map(len, store)
    }
    fn map_window(&self, from: usize, len: usize) -> io::Result<SegmentWindow> {
        self.0.map_window(from, len)
    }
    fn map_words(&self, len: usize, store: bool) -> io::Result<SharedWords> {
        self.0.map_words(len, store)
    }
}

/// `unlink_above` takes the list of live segments, then the list of names, with no lock: a segment that is rolled to in between is removed.
#[test]
fn a_roll_beside_a_truncation_is_unlinked() {
    let (dir, disk) = (tempdir(), Hooked::new());
    let store = options().storage(disk.clone()).open(dir.path()).unwrap();
    let log = partition(&store).unwrap();
    let mut oracle = Oracle::new();
    append(&log, &mut oracle, 10, 1000, AckLevel::Durable);
    let other = log.clone();
    // What another thread does between the two looks.
    let done = Arc::new(parking_lot::Mutex::new(None));
    let appender = done.clone();
    *disk.on_list.lock() = Some(Box::new(move || {
        let other = other.clone();
        let thread = std::thread::spawn(move || append(&other, &mut Oracle::new(), 150, 1000, AckLevel::Durable));
        let began = std::time::Instant::now();
        // If the truncation holds it up, it comes later.
        while !thread.is_finished() && began.elapsed() < Duration::from_secs(1) {
            std::thread::sleep(Duration::from_millis(1));
        }
        *appender.lock() = Some(thread);
    }));
    log.truncate_suffix(5).unwrap();
    done.lock().take().unwrap().join().unwrap();
    assert_eq!(log.log_end_offset(), 155);
    assert_eq!(log.durable_end_offset(), 155, "all acknowledged as durable");
    assert_eq!(read_all(log.view()).1, []);
    store.close().unwrap();
    drop(log);
    let store = options().open(dir.path()).unwrap();
    let log = partition(&store).unwrap();
    let report = log.recovery_report();
    assert_eq!(ranges(report), [], "acknowledged records were lost: {:?}", names(&partition_dir(dir.path())));
    assert_eq!(report.next_offset, 155);
}

/// A checkpoint slot whose sync failed (or a kill between its write and its sync) is believed by the next open, which unlinks segments by
/// it without syncing it: a power cut then leaves the old slot and no segments.
#[test]
fn recovery_unlinks_by_a_log_start_that_is_not_durable() {
    let lab = Lab::closed(|partition, oracle| append(partition, oracle, 150, 1000, AckLevel::Durable));
    let checkpoint = lab.dir().join(CHECKPOINT_NAME);
    let on_disk = fs::read(&checkpoint).unwrap();
    let faulty = Faulty::new(Arc::new(Disk::new()));
    let store = options().storage(Arc::new(faulty.clone())).open(lab.tmp.path()).unwrap();
    let log = partition(&store).unwrap();
    let synced_slots = fs::read(&checkpoint).unwrap();
    assert!(on_disk == synced_slots, "a clean open writes no checkpoint");
    faulty.inject(Fault::at(Op::Sync).on_path(CHECKPOINT_NAME).from_then_on());
    assert!(log.delete_prefix(140).is_err(), "never acknowledged");
    assert_eq!(lab.segments().len(), 3, "and nothing was unlinked");
    drop((log, store));
    // The next process. The slot is in the page cache alone.
    let faulty = Faulty::new(Arc::new(Disk::new()));
    faulty.record_calls();
    let store = options().storage(Arc::new(faulty.clone())).open(lab.tmp.path()).unwrap();
    let log = partition(&store).unwrap();
    let calls = faulty.recorded_calls();
    let unlinked = calls.iter().position(|call| call.op == Op::Unlink && call.path.to_string_lossy().ends_with(".log"));
    let synced = calls.iter().position(|call| call.op == Op::Sync && call.path.to_string_lossy().ends_with(CHECKPOINT_NAME));
    let image = tempdir();
    copy_tree(lab.tmp.path(), image.path());
    drop((log, store));
    // Power cut: what was never synced is not there.
    if synced.is_none() {
        fs::write(partition_dir(image.path()).join(CHECKPOINT_NAME), synced_slots).unwrap();
    }
    let store = options().open(image.path()).unwrap();
    let log = partition(&store).unwrap();
    assert_eq!(ranges(log.recovery_report()), [], "a crash without damage is called damage; unlink at call {unlinked:?}, slot synced at {synced:?}");
}

/// No map for the active segment, then one for a reader: the appender panics when it publishes past it.
#[test]
fn a_map_that_was_refused_once_ends_appends_in_a_panic() {
    let (dir, disk) = (tempdir(), Hooked::new());
    let store = options().storage(disk.clone()).open(dir.path()).unwrap();
    store.topic("t").unwrap();
    disk.no_store_map.store(true, Ordering::SeqCst); // vm.max_map_count, for a moment
    let log = partition(&store).unwrap();
    let mut oracle = Oracle::new();
    append(&log, &mut oracle, 3, 100, AckLevel::Durable);
    disk.no_store_map.store(false, Ordering::SeqCst);
    assert_same(&read_all(log.view()).0, &oracle, "before");
    append(&log, &mut oracle, 3, 100, AckLevel::Durable);
    assert_same(&read_all(log.view()).0, &oracle, "after");
}

fn dir_synced(calls: &[Call], part: &str) -> bool {
    calls.iter().any(|call| call.op == Op::SyncDir && call.path.ends_with(part))
}

/// Killed between the rename of a topic and the sync of its parent: the next process finds the topic, and acknowledges records in a
/// directory whose name nobody ever syncs.
#[test]
fn the_name_of_a_topic_is_never_made_durable() {
    let dir = tempdir();
    let faulty = Faulty::new(Arc::new(Disk::new()));
    let store = options().storage(Arc::new(faulty.clone())).open(dir.path()).unwrap();
    faulty.inject(Fault::at(Op::SyncDir).on_path("topics/default").nth(1));
    // The first sync of that path by itself is the one behind the rename: those inside have longer paths. Find it by its error.
    let mut nth = 1;
    while !partition_dir(dir.path()).with_file_name("TOPIC").exists() {
        faulty.heal();
        faulty.inject(Fault::at(Op::SyncDir).on_path("topics/default").nth(nth).from_then_on());
        assert!(store.create_topic("t", 1).is_err());
        nth += 1;
    }
    drop(store);
    let faulty = Faulty::new(Arc::new(Disk::new()));
    faulty.record_calls();
    let store = options().storage(Arc::new(faulty.clone())).open(dir.path()).unwrap();
    let log = partition(&store).unwrap();
    log.append(Record::new("acknowledged as durable")).unwrap();
    let calls = faulty.recorded_calls();
    assert!(dir_synced(&calls, "topics/default"), "the topic's name was never synced: a power cut takes the acknowledged record away");
}

/// Without LIVE (it could not be made, or has no slot left) a committed reader in another process sees what is not durable.
#[test]
fn without_live_committed_readers_see_undurable_records() {
    let dir = tempdir();
    drop(options().open(dir.path()).unwrap());
    fs::create_dir(dir.path().join("LIVE.tmp")).unwrap(); // the page cannot be made; the same with more partitions than slots
    let options = || options().sync_policy(SyncPolicy::Interval(Duration::from_secs(60)));
    let store = options().open(dir.path()).unwrap();
    let log = partition(&store).unwrap();
    append(&log, &mut Oracle::new(), 5, 100, AckLevel::Written);
    assert_eq!(log.high_water_mark(), 0, "nothing is committed");
    let view = options().open_read_only(dir.path()).unwrap().topic("t").unwrap().partition(0).unwrap();
    let seen = view.with_isolation(ReadIsolation::Committed).read_from(0).unwrap().count();
    assert_eq!((view.high_water_mark().get(), seen), (0, 0), "a committed reader beside the writer sees records that a power cut takes away");
}

/// A header that verifies says that offsets below it were given out and durable; the next append gets them again.
#[test]
fn offsets_below_a_verified_durable_claim_are_given_out_again() {
    let lab = Lab::ten_records(Durable::Before(5));
    let segment = &lab.segments()[0];
    let frames = segment.frames();
    // Record 9 was appended after everything before it was acknowledged as durable, and says so.
    segment.rewrite_header(frames[9], |header| header.durable_back = 0);
    // A bad sector over 7 and 8; the body of 9, which was never synced, did not reach the disk.
    segment.edit(|bytes| {
        bytes[frames[7].position as usize..frames[8].end() as usize].fill(0xA5);
        bytes[frames[9].position as usize + 64 + 10..frames[9].end() as usize].fill(0);
    });
    let (_store, log) = lab.open();
    let report = log.recovery_report();
    let next = log.append(Record::new("new")).unwrap().base_offset.get();
    assert!(next >= 9, "offset {next} was durable and is given out again: {report:#?}");
}

/// A read-only open beside `delete_prefix` calls what was deleted damaged.
#[test]
fn a_follower_calls_a_deleted_prefix_damage() {
    let lab = Lab::closed(|partition, oracle| append(partition, oracle, 150, 1000, AckLevel::Durable));
    let (_store, log) = lab.open();
    let disk = Hooked::new();
    let read_only = options().storage(disk.clone()).open_read_only(lab.tmp.path()).unwrap();
    let view = read_only.topic("t").unwrap().partition(0).unwrap();
    assert_eq!(view.damage(), []);
    append(&log, &mut Oracle::new(), 1, 100, AckLevel::Durable);
    log.truncate_suffix(149).unwrap(); // so that the next refresh makes a plan
    let other: Partition = log.clone();
    *disk.on_list.lock() = Some(Box::new(move || {
        let inner: Partition = other.clone();
        inner.delete_prefix(140).unwrap();
    }));
    // The first list is the quick look at newer segments; it decides for a plan, whose list is the next.
    view.refresh().unwrap();
    let findings: Vec<_> = view.findings().into_iter().filter(|finding| finding.verdict == Verdict::Damage).collect();
    assert_eq!((view.damage(), findings), (vec![], vec![]));
}

/// A suffix that begins with damage cannot be cut off.
#[test]
fn truncate_at_damage() {
    let lab = Lab::ten_records(Durable::Everything);
    lab.segments()[0].flip_body(6);
    let (_store, log) = lab.open();
    assert_eq!(ranges(log.recovery_report()), [(6, 7)]);
    log.truncate_suffix(6).unwrap();
    assert_eq!(log.log_end_offset(), 6);
}

/// A truncation forgets the spare: its file stays until the next open, and no spare is made any more.
#[test]
fn spares_pile_up() {
    let dir = tempdir();
    let store = options().segment_bytes(1 << 20).open(dir.path()).unwrap();
    let log = partition(&store).unwrap();
    let spares = || names(&partition_dir(dir.path())).into_iter().filter(|name| name.starts_with("spare-")).count();
    append(&log, &mut Oracle::new(), 600, 1000, AckLevel::Written);
    eventually("a segment is made ahead", || spares() == 1);
    log.truncate_suffix(1).unwrap();
    // The thread that makes them may be in the middle of one.
    eventually("none is left of those before the cut", || spares() == 0);
    append(&log, &mut Oracle::new(), 600, 1000, AckLevel::Written);
    eventually("one is made ahead again", || spares() == 1);
}

/// A seal that fails half way, and cannot be taken back, is damage for the next open although no record is lost.
#[test]
fn half_a_seal() {
    let lab = Lab::closed(|partition, oracle| append(partition, oracle, 1, 100, AckLevel::Durable));
    let faulty = Faulty::new(Arc::new(Disk::new()));
    let store = options().storage(Arc::new(faulty.clone())).open(lab.tmp.path()).unwrap();
    let log = partition(&store).unwrap();
    faulty.inject(Fault::at(Op::Write).on_path(".log").torn(70, 5).nth(1));
    faulty.inject(Fault::at(Op::Write).on_path(".log").nth(2).from_then_on());
    faulty.inject(Fault::at(Op::SetLen).from_then_on()); // killed before
    let mut oracle = Oracle::new();
    let mut acked = 1;
    for _ in 0..100 {
        let offset = log.log_end_offset().get();
        let bytes = value(offset, 1000);
        if log.append_with(Record::new(&bytes), AckLevel::Written).is_ok() {
            oracle.insert(offset, bytes);
            acked = offset + 1;
        }
    }
    // Half a seal is on the disk for good: nothing is promised any more.
    assert!(matches!(log.flush(), Err(tidelog::SyncError::Poisoned { .. })));
    assert!(log.append(Record::new("claims that all before it is durable")).is_err());
    let image = tempdir();
    copy_tree(lab.tmp.path(), image.path());
    drop((log, store));
    let store = options().open(image.path()).unwrap();
    let log = partition(&store).unwrap();
    assert_eq!(ranges(log.recovery_report()), [], "acked {acked}, {} faults", faulty.fired());
}

/// Recovery that dies behind the new tail: the next one unlinks the segments that the first was about to keep in quarantine.
#[test]
fn an_interrupted_recovery_loses_what_it_cut() {
    for nth in 1..400 {
        let lab = Lab::three_segments(Durable::Before(10));
        lab.segments()[0].flip_body(20);
        let lost = lab.segments()[1].bytes();
        let faulty = Faulty::new(Arc::new(Disk::new()));
        faulty.inject(Fault::anywhere().nth(nth).from_then_on());
        if let Ok(store) = options().storage(Arc::new(faulty.clone())).open(lab.tmp.path()) {
            drop(partition(&store));
        }
        let (store, _log) = lab.open();
        let dir = lab.dir();
        let kept = names(&dir)
            .iter()
            .map(|name| dir.join(name))
            .chain(quarantined(&dir))
            .any(|path| path.is_file() && fs::read(&path).is_ok_and(|bytes| bytes.len() >= 1000 && bytes[..1000] == lost[..1000]));
        drop(store);
        assert!(kept, "dying at call {nth}: the segment behind the torn end is neither in the log nor in quarantine");
        if faulty.fired() == 0 {
            return;
        }
    }
}

fn quarantined(dir: &Path) -> Vec<std::path::PathBuf> {
    let quarantine = dir.join("quarantine");
    if quarantine.exists() { names(&quarantine).iter().map(|name| quarantine.join(name)).collect() } else { Vec::new() }
}

/// A time is looked up while the prefix is deleted: the answer is an I/O error.
#[test]
fn a_time_is_looked_up_beside_delete_prefix() {
    let lab = Lab::closed(|partition, oracle| append(partition, oracle, 150, 1000, AckLevel::Durable));
    let disk = Hooked::new();
    let store = options().storage(disk.clone()).open(lab.tmp.path()).unwrap();
    let log = partition(&store).unwrap();
    let other = log.clone();
    *disk.on_open_log.lock() = Some(Box::new(move || other.delete_prefix(140).unwrap()));
    let found = log.view().offset_for_time(tidelog::TimestampNs::new(0)).unwrap();
    assert!(found.is_some_and(|offset| offset == 0 || offset == 140), "{found:?}");
}

/// A registry opens a partition while its topic is let go of: what was opened before is not put back behind it.
#[test]
fn a_topic_that_is_let_go_of_while_it_is_opened_stays_so() {
    let lab = Lab::closed(|partition, oracle| append(partition, oracle, 150, 1000, AckLevel::Durable));
    let disk = Hooked::new();
    let store = options().storage(disk.clone()).open(lab.tmp.path()).unwrap();
    let topic = store.existing_topic("t").unwrap();
    let key = topic.partition_key(0).unwrap();
    let (registry, ran) = (Arc::new(PartitionOffsetRegistry::new(store)), Arc::new(AtomicBool::new(false)));
    let (other, name, has_run) = (registry.clone(), topic.name().clone(), ran.clone());
    *disk.on_list.lock() = Some(Box::new(move || {
        assert_eq!(other.forget_topic(&name), 0);
        has_run.store(true, Ordering::SeqCst);
    }));
    let opened = registry.get(&key).unwrap();
    assert!(ran.load(Ordering::SeqCst), "nothing was let go of while it was opened");
    assert_eq!((registry.metrics().partition_count, opened.next_offset().offset()), (0, 150.into()));
    let kept = registry.get(&key).unwrap();
    assert!(!Arc::ptr_eq(&opened, &kept) && Arc::ptr_eq(&kept, &registry.get(&key).unwrap()));
    assert_eq!(registry.metrics().partition_count, 1);
}

/// Appenders and a cutter side by side; what is there before the close must be there after the next open.
#[test]
fn what_was_there_before_a_close_is_there_after_it() {
    let rounds = std::env::var("TIDELOG_RACE_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(40);
    let mut failures = Vec::new();
    for round in 0..rounds {
        let dir = tempdir();
        let policy = if round % 2 == 0 { SyncPolicy::OsOnly } else { SyncPolicy::Group { max_wait: Duration::ZERO, max_bytes: 4 << 20 } };
        let store = options().sync_policy(policy).open(dir.path()).unwrap();
        let log = partition(&store).unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for thread in 0..3u64 {
                let (log, stop) = (log.clone(), &stop);
                scope.spawn(move || {
                    let mut serial = thread << 32;
                    while !stop.load(Ordering::Relaxed) {
                        serial += 1;
                        let level = if serial % 7 == 0 { AckLevel::Durable } else { AckLevel::Written };
                        log.append_with(Record::new(&value(serial, 3000 + (serial % 5000) as usize)), level).unwrap();
                    }
                });
            }
            let (log, stop) = (log.clone(), &stop);
            scope.spawn(move || {
                for step in 0..60u64 {
                    let (start, end) = (log.log_start_offset().get(), log.log_end_offset().get());
                    if step % 5 == 4 {
                        let _ = log.delete_prefix(start + (end - start) / 3);
                    } else {
                        let _ = log.truncate_suffix(end.saturating_sub(step % 40).max(start));
                    }
                }
                stop.store(true, Ordering::Relaxed);
            });
        });
        let before = (log.log_start_offset(), log.log_end_offset(), read_all(log.view()));
        store.close().unwrap();
        drop(log);
        let store = options().open(dir.path()).unwrap();
        let log = partition(&store).unwrap();
        let after = (log.log_start_offset(), log.log_end_offset(), read_all(log.view()));
        let bad: Vec<_> = log.recovery_report().findings.iter().filter(|finding| finding.verdict != Verdict::Silent).cloned().collect();
        if before != after || !bad.is_empty() {
            failures.push((round, (before.0, before.1), (after.0, after.1), before.2.1.clone(), after.2.1.clone(), bad));
        }
    }
    assert!(failures.is_empty(), "{} of {rounds}: {:#?}", failures.len(), failures.first());
}

/// Read-only opens and refreshes beside a writer that cuts both ends: nothing is damaged.
#[test]
fn followers_beside_cuts_see_no_damage() {
    let rounds = std::env::var("TIDELOG_RACE_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(20);
    let failures = parking_lot::Mutex::new(Vec::new());
    for round in 0..rounds {
        let dir = tempdir();
        let store = options().open(dir.path()).unwrap();
        let log = partition(&store).unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let (writer, stop, failures) = (log.clone(), &stop, &failures);
            scope.spawn(move || {
                for step in 0..150u64 {
                    append(&writer, &mut Oracle::new(), 25, 2000 + (step % 13) as usize * 100, AckLevel::Written);
                    let (start, end) = (writer.log_start_offset().get(), writer.log_end_offset().get());
                    if step % 3 == 2 {
                        writer.delete_prefix(start + (end - start) * 2 / 3).unwrap();
                    } else if step % 3 == 1 {
                        writer.truncate_suffix(end - 7).unwrap();
                    }
                }
                stop.store(true, Ordering::Relaxed);
            });
            for reopen in [true, false] {
                let dir = dir.path();
                scope.spawn(move || {
                    let open = || options().open_read_only(dir).unwrap().topic("t").unwrap().partition(0);
                    let mut view = open();
                    while !stop.load(Ordering::Relaxed) {
                        if reopen || view.is_err() {
                            view = open();
                        }
                        let Ok(view) = &view else { continue };
                        match view.refresh() {
                            Ok(()) => {}
                            // On a busy machine a log may change faster than it can be looked at, and that is said.
                            Err(tidelog::ReadError::Open(error)) if matches!(*error, tidelog::OpenError::Busy { .. }) => continue,
                            Err(error) => {
                                failures.lock().push(format!("{round} refresh: {error}"));
                                continue;
                            }
                        }
                        if !view.damage().is_empty() {
                            failures.lock().push(format!("{round} reopen {reopen}: {:?} {:?}", view.damage(), view.log_start_offset()));
                        }
                        let all = view.with_isolation(ReadIsolation::Written);
                        let mut last = None;
                        let Ok(reader) = all.read_from(all.log_start_offset()) else { continue };
                        for record in reader {
                            match record {
                                Ok(record) => {
                                    if last.is_some_and(|last| record.offset().get() != last + 1) {
                                        failures.lock().push(format!("{round} {:?} behind {last:?}", record.offset()));
                                    }
                                    last = Some(record.offset().get());
                                }
                                Err(tidelog::ReadError::OffsetOutOfRange { .. } | tidelog::ReadError::Truncated { .. }) => break,
                                Err(tidelog::ReadError::Open(error)) if matches!(*error, tidelog::OpenError::Busy { .. }) => break,
                                Err(error) => {
                                    failures.lock().push(format!("{round} reopen {reopen} read: {error}"));
                                    break;
                                }
                            }
                        }
                    }
                });
            }
        });
    }
    let failures = failures.into_inner();
    assert!(failures.is_empty(), "{} failures: {:#?}", failures.len(), &failures[..failures.len().min(6)]);
}
