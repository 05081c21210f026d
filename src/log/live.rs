//! LIVE: the page in which a writer shows readers in other processes how far its partitions go. Never synced, never evidence.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tidelog_format::{LIVE_HEADER_BYTES, LIVE_NAME, LIVE_SLOT_BYTES, LiveField, LiveHeader, WAKE_POSITION};

use crate::io::atomic::spin_loop;
use crate::io::{Access, Lock, SharedWords, Storage, read_exact_at, write_all_at};
use crate::log::view::Marks;

/// The writer's side.
#[derive(Debug)]
pub(crate) struct LivePage {
    words: SharedWords,
    slots: usize,
    used: AtomicUsize,
    lock: Mutex<Option<Box<dyn Lock>>>,
}

impl LivePage {
    /// Makes a new LIVE in the store directory, locked for the life of the writer. Readers of an older one find it without its lock.
    pub(crate) fn create(storage: &dyn Storage, store_dir: &Path, slots: usize) -> io::Result<Self> {
        let path = store_dir.join(LIVE_NAME);
        let temporary = store_dir.join(format!("{LIVE_NAME}.tmp"));
        match storage.unlink(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = storage.create(&temporary)?;
        let bytes = LIVE_HEADER_BYTES + slots * LIVE_SLOT_BYTES;
        crate::io::allocate_or_zero(&*file, 0, bytes as u64)?;
        let header = LiveHeader { boot_id: crate::io::boot_id().unwrap_or_default(), writer_nonce: storage.random(), writer_pid: std::process::id() };
        write_all_at(&*file, &header.encode(), 0)?;
        let words = file.map_words(bytes, true)?;
        let lock = storage.lock(&temporary)?.ok_or(io::ErrorKind::WouldBlock)?;
        storage.rename(&temporary, &path)?;
        Ok(Self { words, slots, used: AtomicUsize::new(0), lock: Mutex::new(Some(lock)) })
    }

    /// Tells readers in other processes that the writer is gone.
    pub(crate) fn unlock(&self) {
        *self.lock.lock() = None;
    }

    /// A slot for one more partition; `None` when all are taken: its readers then go by the files alone.
    pub(crate) fn slot(self: &Arc<Self>, uuid: [u8; 16]) -> Option<LiveSlot> {
        let number = self.used.fetch_add(1, Ordering::Relaxed);
        if number >= self.slots {
            return None;
        }
        let slot = LiveSlot { page: self.clone(), number };
        // Odd until the first marks are in, and named last.
        slot.store(LiveField::Change, 1);
        slot.store(LiveField::PartitionId, partition_id(uuid));
        Some(slot)
    }
}

/// One partition's line of the page.
#[derive(Debug)]
pub(crate) struct LiveSlot {
    page: Arc<LivePage>,
    number: usize,
}

impl LiveSlot {
    #[inline]
    fn store(&self, field: LiveField, value: u64) {
        self.page.words.store_u64(field.position(self.number), value);
    }

    fn load(&self, field: LiveField) -> u64 {
        self.page.words.load_u64(field.position(self.number))
    }

    #[inline]
    pub(crate) fn set_written(&self, end: u64) {
        self.store(LiveField::WrittenEnd, end);
    }

    #[inline]
    pub(crate) fn set_high_water_mark(&self, end: u64) {
        self.store(LiveField::HighWaterMark, end);
    }

    pub(crate) fn set_log_start(&self, log_start: u64) {
        self.store(LiveField::LogStart, log_start);
    }

    pub(crate) fn set_durable(&self, end: u64) {
        self.store(LiveField::DurableEnd, end);
    }

    pub(crate) fn set_marks(&self, marks: Marks, high_water_mark: u64) {
        self.store(LiveField::LogStart, marks.log_start);
        self.store(LiveField::DurableEnd, marks.durable_end);
        self.store(LiveField::HighWaterMark, high_water_mark);
        self.store(LiveField::WrittenEnd, marks.written_end);
    }

    pub(crate) fn begin_change(&self) {
        let change = self.load(LiveField::Change);
        // Words are stored with Release and loaded with Acquire: who sees one that is stored after this sees this too.
        self.store(LiveField::Change, change | 1);
    }

    pub(crate) fn end_change(&self, active_seq: Option<u64>) {
        if let Some(seq) = active_seq {
            self.store(LiveField::ActiveSeq, seq);
        }
        let change = self.load(LiveField::Change);
        self.store(LiveField::Change, (change | 1) + 1);
    }

    pub(crate) fn wake(&self) {
        self.page.words.u32_at(WAKE_POSITION).fetch_add(1, Ordering::Release);
        self.page.words.wake_u32(WAKE_POSITION);
    }
}

/// A reader's side: the page of a writer that holds its lock. A clone looks at the same page.
#[derive(Debug, Clone)]
pub(crate) struct LiveReader {
    words: SharedWords,
    slot: usize,
    nonce: u64,
    path: PathBuf,
}

/// What a slot says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LiveState {
    pub(crate) change: u64,
    pub(crate) marks: Marks,
    pub(crate) high_water_mark: u64,
}

impl LiveReader {
    /// The live page of the store, if a writer holds its lock, it is from this boot, and it has the partition. Anything odd means: none.
    ///
    /// # Errors
    /// [`io::Error`] if this process has no descriptor or memory for it: there may be a writer all the same.
    pub(crate) fn open(storage: &dyn Storage, store_dir: &Path, uuid: [u8; 16]) -> io::Result<Option<Self>> {
        match Self::try_open(storage, store_dir.join(LIVE_NAME), uuid) {
            Err(error) if !OUT_OF_RESOURCES.contains(&error.raw_os_error().unwrap_or_default()) => Ok(None),
            other => other,
        }
    }

    fn try_open(storage: &dyn Storage, path: PathBuf, uuid: [u8; 16]) -> io::Result<Option<Self>> {
        if !storage.is_locked(&path)? {
            return Ok(None);
        }
        let file = storage.open(&path, Access::Read)?;
        let Some(header) = read_header(&*file) else { return Ok(None) };
        let len = file.len()?.min(LIVE_BYTES_MAX) as usize;
        if header.boot_id != crate::io::boot_id().unwrap_or_default() || len < LIVE_HEADER_BYTES {
            return Ok(None);
        }
        let slots = (len - LIVE_HEADER_BYTES) / LIVE_SLOT_BYTES;
        let words = file.map_words(LIVE_HEADER_BYTES + slots * LIVE_SLOT_BYTES, false)?;
        let id = partition_id(uuid);
        let slot = (0..slots).find(|slot| words.load_u64(LiveField::PartitionId.position(*slot)) == id);
        Ok(slot.map(|slot| Self { words, slot, nonce: header.writer_nonce, path }))
    }

    /// Which opening of the store made the page at `path`, whether or not its writer is still there.
    pub(crate) fn nonce_of(storage: &dyn Storage, path: &Path) -> Option<u64> {
        let file = storage.open(path, Access::Read).ok()?;
        Some(read_header(&*file)?.writer_nonce)
    }

    /// Whether the writer is still there.
    pub(crate) fn is_current(&self, storage: &dyn Storage) -> bool {
        let current = || {
            let file = storage.open(&self.path, Access::Read).ok()?;
            Some(read_header(&*file)?.writer_nonce == self.nonce && storage.is_locked(&self.path).ok()?)
        };
        current().unwrap_or(false)
    }

    /// The slot between two equal even `change`s; `None` while a change goes on.
    pub(crate) fn read(&self) -> Option<LiveState> {
        let load = |field: LiveField| self.words.load_u64(field.position(self.slot));
        for _ in 0..SPINS {
            let change = load(LiveField::Change);
            if change % 2 == 0 {
                // The smaller marks first, so that they are never seen above the larger ones.
                let (log_start, durable_end) = (load(LiveField::LogStart), load(LiveField::DurableEnd));
                let (high_water_mark, written_end) = (load(LiveField::HighWaterMark), load(LiveField::WrittenEnd));
                if load(LiveField::Change) == change {
                    return Some(LiveState {
                        change,
                        marks: Marks { log_start, written_end: written_end.max(durable_end), durable_end },
                        high_water_mark,
                    });
                }
            }
            spin_loop();
        }
        None
    }

    /// Sleeps until the writer's next sync round, at most `limit`, unless something was written since `state`.
    pub(crate) fn wait(&self, state: LiveState, limit: Duration) {
        let wake = self.words.load_u32(WAKE_POSITION);
        if self.read() == Some(state) {
            self.words.wait_u32(WAKE_POSITION, wake, Some(limit));
        }
    }
}

fn read_header(file: &dyn crate::io::File) -> Option<LiveHeader> {
    let mut bytes = [0; LIVE_HEADER_BYTES];
    read_exact_at(file, &mut bytes, 0).ok()?;
    LiveHeader::decode(&bytes).ok()
}

fn partition_id(uuid: [u8; 16]) -> u64 {
    let (first, _) = uuid.split_at(8);
    u64::from_le_bytes(first.try_into().expect("split after eight bytes")).max(1)
}

/// ENOMEM, ENFILE, EMFILE: passing, and of this process.
const OUT_OF_RESOURCES: [i32; 3] = [12, 23, 24];
const SPINS: usize = if cfg!(tidelog_loom) { 2 } else { 1000 };
const LIVE_BYTES_MAX: u64 = 256 << 20;

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::time::Instant;

    use super::*;

    fn marks(end: u64) -> Marks {
        Marks { log_start: end, written_end: end, durable_end: end }
    }

    /// Both sides of one page that belongs to no file.
    fn pair() -> (LiveSlot, LiveReader) {
        let words = SharedWords::anonymous(LIVE_HEADER_BYTES + LIVE_SLOT_BYTES).unwrap();
        let page = Arc::new(LivePage { words: words.clone(), slots: 1, used: AtomicUsize::new(0), lock: Mutex::new(None) });
        let reader = LiveReader { words: words.read_only(), slot: 0, nonce: 0, path: PathBuf::new() };
        (page.slot([7; 16]).unwrap(), reader)
    }

    #[test]
    fn a_change_under_way_is_not_read() {
        let (slot, reader) = pair();
        assert_eq!(reader.read(), None, "before the first marks");
        slot.set_marks(marks(5), 5);
        slot.end_change(Some(1));
        let before = reader.read().unwrap();
        assert_eq!((before.marks, before.high_water_mark), (marks(5), 5));
        slot.begin_change();
        slot.set_log_start(9);
        assert_eq!(reader.read(), None, "between two states");
        slot.set_marks(marks(9), 9);
        slot.end_change(None);
        let after = reader.read().unwrap();
        assert_eq!((after.marks, after.change), (marks(9), before.change + 2));
    }

    /// Marks that belong together, changed as fast as they can be.
    #[test]
    fn marks_of_two_states_are_never_read_together() {
        let (slot, reader) = pair();
        let (stop, began) = (&AtomicBool::new(false), Instant::now());
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for end in (0..).take_while(|_| !stop.load(Ordering::Relaxed) && began.elapsed() < PATIENCE) {
                    slot.begin_change();
                    slot.set_marks(marks(end), end);
                    slot.end_change(None);
                }
            });
            let (mut seen, mut changes) = (0, 0);
            while seen < CHANGES && began.elapsed() < PATIENCE {
                let Some(state) = reader.read() else {
                    std::thread::yield_now();
                    continue;
                };
                assert_eq!((state.marks, state.high_water_mark), (marks(state.marks.log_start), state.marks.log_start));
                assert!(state.change >= changes, "change {} after {changes}", state.change);
                (changes, seen) = (state.change, seen + u32::from(state.change > changes));
            }
            stop.store(true, Ordering::Relaxed);
            assert!(seen > 0, "no change was seen");
        });
    }

    const CHANGES: u32 = if cfg!(miri) { 4 } else { 100_000 };
    const PATIENCE: Duration = Duration::from_secs(3);
}

/// Every order in which two threads can run, and every value that a load can see: `.ci/loom`.
#[cfg(all(test, tidelog_loom))]
mod loom_tests {
    use super::*;

    fn marks(end: u64) -> Marks {
        Marks { log_start: end, written_end: end, durable_end: end }
    }

    fn pair() -> (LiveSlot, LiveReader) {
        let words = SharedWords::anonymous(LIVE_HEADER_BYTES + LIVE_SLOT_BYTES).unwrap();
        let page = Arc::new(LivePage { words: words.clone(), slots: 1, used: AtomicUsize::new(0), lock: Mutex::new(None) });
        let slot = page.slot([7; 16]).unwrap();
        slot.set_marks(marks(1), 1);
        slot.end_change(Some(1));
        (slot, LiveReader { words: words.read_only(), slot: 0, nonce: 0, path: PathBuf::new() })
    }

    fn explore(model: impl Fn() + Sync + Send + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(model);
    }

    #[test]
    fn marks_of_two_changes_are_never_read_together() {
        explore(|| {
            let (slot, reader) = pair();
            let writer = loom::thread::spawn(move || {
                slot.begin_change();
                slot.set_marks(marks(2), 2);
                slot.end_change(Some(2));
            });
            let mut last = 0;
            for _ in 0..2 {
                if let Some(state) = reader.read() {
                    assert_eq!((state.marks, state.high_water_mark), (marks(state.marks.log_start), state.marks.log_start));
                    assert!(state.change >= last);
                    last = state.change;
                }
            }
            writer.join().unwrap();
            assert_eq!(reader.read().unwrap().marks, marks(2));
        });
    }

    /// Marks that move outside of a change, in the order in which the engine moves them.
    #[test]
    fn a_smaller_mark_is_never_read_above_a_larger_one() {
        explore(|| {
            let (slot, reader) = pair();
            let writer = loom::thread::spawn(move || {
                slot.set_written(2);
                slot.set_durable(2);
                slot.set_high_water_mark(2);
                slot.set_log_start(2);
            });
            if let Some(LiveState { marks, high_water_mark, .. }) = reader.read() {
                assert!(marks.log_start <= high_water_mark && high_water_mark <= marks.written_end, "{marks:?} {high_water_mark}");
                assert!(marks.log_start <= marks.durable_end && marks.durable_end <= marks.written_end, "{marks:?}");
            }
            writer.join().unwrap();
        });
    }
}
