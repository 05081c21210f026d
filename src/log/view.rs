//! What readers see of one partition: its segments, its four marks, what is known to be damaged. Appends nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tidelog_format::{Offset, SegmentId};

use crate::config::ReadIsolation;
use crate::error::DamagedRange;
use crate::io::{Storage, prefetch};
use crate::log::live::LiveSlot;
use crate::log::plan::Finding;
use crate::log::segment::Segment;
use crate::log::waiters::Waiters;

/// The state of a partition that readers share with its writer, or with whoever follows a writer in another process.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct LogView {
    // What each append needs stands first: see `prefetch`.
    written_end: AtomicU64,
    /// Readers asleep in this process until the next append, and until the next sync.
    pub(crate) append_sleepers: AtomicU32,
    pub(crate) sync_sleepers: AtomicU32,
    /// Where the high water mark comes from.
    mark: HighWaterMark,
    /// Where other processes learn of the marks.
    live: Option<LiveSlot>,
    list: ArcSwap<SegmentList>,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) dir: PathBuf,
    pub(crate) uuid: [u8; 16],
    /// Held from the look at a list to the change of it.
    changing: Mutex<()>,
    log_start: AtomicU64,
    durable_end: AtomicU64,
    /// Bumped when a mark moves and somebody sleeps.
    pub(crate) wake: AtomicU32,
    /// Reading tasks that an append wakes, and those that a sync wakes.
    pub(super) append_waiters: Waiters,
    pub(super) sync_waiters: Waiters,
    /// Counts suffixes cut off and lists made anew: a cursor, or an error, from before one may be of what is gone.
    cuts: AtomicU64,
    /// Whether another state of the log is being put in the place of the one that is shown.
    is_changing: AtomicBool,
    /// Where suffixes were cut off: later ones behind, and each above those before it.
    truncations: Mutex<Vec<Truncation>>,
    damage: Mutex<Vec<DamagedRange>>,
    findings: Mutex<Vec<Finding>>,
    /// Segment files that the scrub could not read, and why.
    unreadable: Mutex<BTreeMap<SegmentId, String>>,
    /// Whether there is any damage: readers look at the list only then.
    is_damaged: AtomicBool,
    /// Whether the topic was deleted: whatever of it is still mapped, nobody is shown it.
    is_deleted: AtomicBool,
}

#[derive(Debug, Clone, Copy)]
struct Truncation {
    /// Number of the cut.
    cut: u64,
    at: u64,
}

#[derive(Debug)]
enum HighWaterMark {
    WrittenEnd,
    DurableEnd,
    /// A writer in another process says.
    Told(AtomicU64),
}

/// The live segments of a partition, by offset.
#[derive(Debug, Clone, Default)]
pub(crate) struct SegmentList {
    pub(crate) entries: Vec<LiveSegment>,
}

/// A segment and the offsets that it answers for.
#[derive(Debug, Clone)]
pub(crate) struct LiveSegment {
    pub(crate) segment: Arc<Segment>,
    pub(crate) from: u64,
    /// First offset that a later segment answers for; `u64::MAX` for the last.
    pub(crate) to: u64,
}

impl SegmentList {
    /// The segment that answers for `offset`, by number.
    pub(crate) fn find(&self, offset: u64) -> Option<usize> {
        self.entries.partition_point(|entry| entry.from <= offset).checked_sub(1)
    }

    /// Another segment answers from there on.
    pub(crate) fn end_last_at(&mut self, offset: u64) {
        if let Some(last) = self.entries.last_mut() {
            last.to = offset;
        }
    }

    /// First offset of the next segment behind `offset`.
    pub(crate) fn next_from(&self, offset: u64) -> Option<u64> {
        self.entries.get(self.entries.partition_point(|entry| entry.from <= offset)).map(|entry| entry.from)
    }
}

/// The marks of a partition at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Marks {
    pub(crate) log_start: u64,
    pub(crate) written_end: u64,
    pub(crate) durable_end: u64,
}

impl LogView {
    pub(crate) fn of_writer(storage: Arc<dyn Storage>, dir: &Path, uuid: [u8; 16], follows_written: bool, live: Option<LiveSlot>) -> Self {
        Self::new(storage, dir, uuid, if follows_written { HighWaterMark::WrittenEnd } else { HighWaterMark::DurableEnd }, live)
    }

    pub(crate) fn of_follower(storage: Arc<dyn Storage>, dir: &Path, uuid: [u8; 16]) -> Self {
        Self::new(storage, dir, uuid, HighWaterMark::Told(AtomicU64::new(0)), None)
    }

    fn new(storage: Arc<dyn Storage>, dir: &Path, uuid: [u8; 16], mark: HighWaterMark, live: Option<LiveSlot>) -> Self {
        Self {
            storage,
            dir: dir.to_owned(),
            uuid,
            list: ArcSwap::default(),
            changing: Mutex::new(()),
            log_start: AtomicU64::new(0),
            written_end: AtomicU64::new(0),
            durable_end: AtomicU64::new(0),
            mark,
            wake: AtomicU32::new(0),
            append_sleepers: AtomicU32::new(0),
            sync_sleepers: AtomicU32::new(0),
            append_waiters: Waiters::default(),
            sync_waiters: Waiters::default(),
            cuts: AtomicU64::new(0),
            is_changing: AtomicBool::new(false),
            truncations: Mutex::default(),
            damage: Mutex::default(),
            findings: Mutex::default(),
            unreadable: Mutex::default(),
            is_damaged: AtomicBool::new(false),
            is_deleted: AtomicBool::new(false),
            live,
        }
    }

    /// Asks for what an append changes.
    #[inline(always)]
    pub(crate) fn prefetch(&self) {
        prefetch(self, std::mem::offset_of!(Self, storage));
    }

    #[inline]
    pub(crate) fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::Acquire)
    }

    pub(crate) fn note_cut(&self) {
        self.cuts.fetch_add(1, Ordering::AcqRel);
    }

    /// Shows another state of the log in the place of the one before, step by step: readers take in again what they read meanwhile.
    pub(crate) fn change_shown(&self, change: impl FnOnce()) {
        self.is_changing.store(true, Ordering::Release);
        self.note_cut();
        change();
        self.is_changing.store(false, Ordering::Release);
    }

    /// Whether what was read until now is of one state: to be asked behind the read, with the cuts that were counted before it.
    #[inline]
    pub(crate) fn is_as_of(&self, cuts: u64) -> bool {
        !self.is_changing.load(Ordering::Acquire) && self.cuts() == cuts
    }

    /// As [`note_cut`](Self::note_cut), of everything at `at` and above: those offsets are given out anew.
    pub(crate) fn note_truncation(&self, at: u64) {
        let mut truncations = self.truncations.lock();
        // Cuts before this one, there or above, tell nobody more than it does.
        truncations.retain(|truncation| truncation.at < at);
        if truncations.len() == TRUNCATIONS_KEPT {
            let oldest = truncations.remove(0);
            truncations[0].at = oldest.at; // who comes from before it is told more than was cut off
        }
        truncations.push(Truncation { cut: self.cuts.fetch_add(1, Ordering::AcqRel) + 1, at });
    }

    /// The lowest offset that was cut off since there were `cuts`.
    pub(crate) fn truncated_since(&self, cuts: u64) -> Option<u64> {
        self.truncations.lock().iter().find(|truncation| truncation.cut > cuts).map(|truncation| truncation.at)
    }

    pub(crate) fn list(&self) -> Arc<SegmentList> {
        self.list.load_full()
    }

    /// The segment that answers for `offset`. Who reads it holds no list, which would keep the maps of all others.
    #[inline]
    pub(crate) fn entry_of(&self, offset: u64) -> Option<LiveSegment> {
        let list = self.list.load();
        let entry = &list.entries[list.find(offset)?];
        (offset < entry.to).then(|| entry.clone())
    }

    /// Looks at the segment that answers for `offset`, without counting its owners. The list stays meanwhile, with all maps of it: nothing may wait
    /// for a disk.
    #[inline]
    pub(crate) fn look<T>(&self, offset: u64, look: impl FnOnce(&Segment) -> Option<T>) -> Option<T> {
        let list = self.list.load();
        let entry = &list.entries[list.find(offset)?];
        if offset < entry.to { look(&entry.segment) } else { None }
    }

    /// Up to which offset, `to` at most, each one from `begin` on is known to have a record, without looking for it. The end of the log was read
    /// before, and `to` is not behind it.
    pub(crate) fn dense_up_to(&self, begin: u64, to: u64) -> u64 {
        let list = self.list.load();
        let (first, mut up_to) = (list.find(begin).unwrap_or(list.entries.len()), begin);
        for LiveSegment { segment, from, to: below } in &list.entries[first..] {
            if up_to < *from || up_to >= *below || !segment.is_dense() {
                break;
            }
            up_to = segment.next_offset().clamp(up_to, to.min(*below).max(up_to));
        }
        up_to
    }

    pub(crate) fn set_list(&self, list: SegmentList) {
        self.change_list(|old| *old = list);
    }

    /// Changes the list: one change at a time, while readers go on in the one before.
    pub(crate) fn change_list<T>(&self, change: impl FnOnce(&mut SegmentList) -> T) -> T {
        let _changing = self.changing.lock();
        let mut list = (*self.list()).clone();
        let outcome = change(&mut list);
        self.list.store(Arc::new(list));
        outcome
    }

    #[inline]
    pub(crate) fn log_start(&self) -> u64 {
        self.log_start.load(Ordering::Acquire)
    }

    #[inline]
    pub(crate) fn written_end(&self) -> u64 {
        self.written_end.load(Ordering::Acquire)
    }

    #[inline]
    pub(crate) fn durable_end(&self) -> u64 {
        self.durable_end.load(Ordering::Acquire)
    }

    #[inline]
    pub(crate) fn high_water_mark(&self) -> u64 {
        match &self.mark {
            HighWaterMark::WrittenEnd => self.written_end(),
            HighWaterMark::DurableEnd => self.durable_end(),
            HighWaterMark::Told(told) => told.load(Ordering::Acquire),
        }
    }

    /// First offset that a reader may not see.
    #[inline]
    pub(crate) fn end(&self, isolation: ReadIsolation) -> u64 {
        match isolation {
            ReadIsolation::Written => self.written_end(),
            ReadIsolation::Committed => self.high_water_mark(),
        }
    }

    /// Whether an append alone, without a sync, shows a reader something new.
    pub(crate) fn sees_appends(&self, isolation: ReadIsolation) -> bool {
        matches!(self.mark, HighWaterMark::WrittenEnd) || isolation == ReadIsolation::Written
    }

    /// One append: the hot path's only store besides the published word.
    #[inline]
    pub(crate) fn advance_written(&self, end: u64) {
        self.written_end.store(end, Ordering::Release);
        if let Some(live) = &self.live {
            live.set_written(end);
            if matches!(self.mark, HighWaterMark::WrittenEnd) {
                live.set_high_water_mark(end);
            }
        }
    }

    pub(crate) fn advance_durable(&self, end: u64) {
        if self.durable_end.fetch_max(end, Ordering::AcqRel) < end
            && let Some(live) = &self.live
        {
            live.set_durable(end);
            // Else it moves with the appends, which go on meanwhile: what is known here may be less than what they told.
            if matches!(self.mark, HighWaterMark::DurableEnd) {
                live.set_high_water_mark(end);
            }
        }
    }

    /// Moves the log start alone: the ends go on moving meanwhile.
    pub(crate) fn set_log_start(&self, log_start: u64) {
        self.log_start.store(log_start, Ordering::Release);
        if let Some(live) = &self.live {
            live.set_log_start(log_start);
        }
    }

    /// Sets all marks: at open, at cuts, and when following a writer in another process.
    pub(crate) fn set_marks(&self, marks: Marks) {
        self.store_marks(marks, None);
        if let Some(live) = &self.live {
            live.set_marks(marks, self.high_water_mark());
        }
    }

    /// Sets all marks as a writer in another process, or a plan, tells them.
    pub(crate) fn set_told_marks(&self, marks: Marks, high_water_mark: u64) {
        self.store_marks(marks, Some(high_water_mark));
    }

    /// The larger first where they rise and last where they fall: at no moment does a mark stand above one that bounds it.
    fn store_marks(&self, marks: Marks, high_water_mark: Option<u64>) {
        let falls = marks.written_end < self.written_end();
        if !falls {
            self.written_end.store(marks.written_end, Ordering::Release);
        }
        if let (HighWaterMark::Told(told), Some(high_water_mark)) = (&self.mark, high_water_mark) {
            told.store(high_water_mark, Ordering::Release);
        }
        self.durable_end.store(marks.durable_end, Ordering::Release);
        if falls {
            self.written_end.store(marks.written_end, Ordering::Release);
        }
        self.log_start.store(marks.log_start, Ordering::Release);
    }

    pub(crate) fn marks(&self) -> Marks {
        // The end that is larger is read last, so that durable <= written holds in the answer.
        let (log_start, durable_end) = (self.log_start(), self.durable_end());
        Marks { log_start, durable_end, written_end: self.written_end() }
    }

    /// The marks and the high water mark: log start <= high water mark <= written end, and durable end <= written end. Each is as it was at some
    /// time meanwhile; no suffix was cut off between.
    pub(crate) fn marks_now(&self) -> (Marks, u64) {
        loop {
            let cuts = self.cuts();
            // Each is read before those that bound it, which meanwhile only rise, but for a suffix cut off.
            let (log_start, durable_end) = (self.log_start(), self.durable_end());
            let high_water_mark = if matches!(self.mark, HighWaterMark::DurableEnd) { durable_end } else { self.high_water_mark() };
            let written_end = self.written_end();
            // The cut is counted before anything is appended behind it: until then, everything up to the lower end is durable.
            if cuts == self.cuts() {
                let durable_end = durable_end.min(written_end);
                return (Marks { log_start, written_end, durable_end }, high_water_mark.min(written_end));
            }
        }
    }

    /// Runs a change of segments or log start; readers in other processes see either the state before or the one after.
    pub(crate) fn change<T>(&self, active_seq: impl Fn(&T) -> Option<u64>, change: impl FnOnce() -> T) -> T {
        let Some(live) = &self.live else { return change() };
        live.begin_change();
        let result = change();
        live.end_change(active_seq(&result));
        result
    }

    /// Wakes every reader that waits for something new.
    pub(crate) fn wake_readers(&self) {
        self.wake.fetch_add(1, Ordering::Release);
        crate::io::futex::wake_all(&self.wake, false);
        let woken = self.append_waiters.wake(self.written_end());
        self.append_sleepers.fetch_sub(woken, Ordering::SeqCst);
    }

    /// Wakes every reading task: nothing more will come.
    pub(crate) fn wake_reading_tasks(&self) {
        let woken = self.append_waiters.wake_all();
        self.append_sleepers.fetch_sub(woken, Ordering::SeqCst);
        self.sync_waiters.wake_all();
    }

    /// Wakes whoever waits to read, whatever for.
    pub(crate) fn wake_everybody(&self) {
        self.wake_readers();
        self.wake_reading_tasks();
    }

    /// The topic is no more: readers here are told so, and those in other processes look again.
    pub(crate) fn set_deleted(&self) {
        self.is_deleted.store(true, Ordering::Release);
        self.change(|()| None, || ());
        self.wake_everybody();
        self.wake_other_processes();
    }

    #[inline]
    pub(crate) fn is_deleted(&self) -> bool {
        self.is_deleted.load(Ordering::Acquire)
    }

    /// Wakes readers in other processes, once a sync round.
    pub(crate) fn wake_other_processes(&self) {
        if let Some(live) = &self.live {
            live.wake();
        }
    }

    pub(crate) fn damage(&self) -> Vec<DamagedRange> {
        self.damage.lock().clone()
    }

    pub(crate) fn set_damage(&self, damage: Vec<DamagedRange>) {
        self.is_damaged.store(!damage.is_empty(), Ordering::Release);
        *self.damage.lock() = damage;
    }

    pub(crate) fn findings(&self) -> Vec<Finding> {
        self.findings.lock().clone()
    }

    pub(crate) fn set_findings(&self, findings: Vec<Finding>) {
        *self.findings.lock() = findings;
    }

    /// Notes how the reading of all of a segment went, the last time.
    pub(crate) fn note_reading(&self, id: SegmentId, failure: Option<String>) {
        let mut unreadable = self.unreadable.lock();
        match failure {
            Some(failure) => drop(unreadable.insert(id, failure)),
            None => drop(unreadable.remove(&id)),
        }
    }

    /// Live segments that could not be read, and why.
    pub(crate) fn unreadable(&self) -> Vec<(SegmentId, String)> {
        let list = self.list();
        let is_live = |id: &SegmentId| list.entries.iter().any(|entry| entry.segment.id == *id);
        self.unreadable.lock().iter().filter(|(id, _)| is_live(id)).map(|(id, failure)| (*id, failure.clone())).collect()
    }

    /// Forgets damage at `from` and above: those offsets were cut off, and are given out anew.
    pub(crate) fn forget_damage(&self, from: u64) {
        let mut damage = self.damage.lock();
        damage.retain(|range| range.from < from);
        if let Some(last) = damage.last_mut() {
            last.to = last.to.min(from);
        }
        self.is_damaged.store(!damage.is_empty(), Ordering::Release);
    }

    /// Remembers damage that a read found.
    pub(crate) fn note_damage(&self, from: Offset, to: Offset, reason: &str) {
        let mut damage = self.damage.lock();
        let (from, to) = (from.get(), to.get());
        if damage.len() < DAMAGE_KEPT && damage.iter().all(|known| known.to <= from || to <= known.from) {
            damage.push(DamagedRange { from, to, reason: reason.to_owned(), declared: false });
            damage.sort_by_key(|range| range.from);
            self.is_damaged.store(true, Ordering::Release);
        }
    }

    /// Whether any damage is known.
    #[inline]
    pub(crate) fn is_damaged(&self) -> bool {
        self.is_damaged.load(Ordering::Acquire)
    }

    /// The known damage that `offset` lies in: also where a frame verifies by itself, but is not the one that was written there.
    #[inline]
    pub(crate) fn damage_at(&self, offset: u64) -> Option<DamagedRange> {
        if !self.is_damaged() {
            return None;
        }
        self.damage.lock().iter().find(|range| range.from <= offset && offset < range.to).cloned()
    }

    /// Why a range that no segment holds is missing.
    pub(crate) fn reason_for(&self, from: u64) -> String {
        self.damage
            .lock()
            .iter()
            .find(|range| range.from <= from && from < range.to)
            .map_or_else(|| "no segment holds them".to_owned(), |range| range.reason.clone())
    }
}

const DAMAGE_KEPT: usize = 10_000;
const TRUNCATIONS_KEPT: usize = 1000;
