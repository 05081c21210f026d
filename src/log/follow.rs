//! Follows a partition that another process may be writing: reads its files and its LIVE page. Takes no lock, writes nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tidelog_format::{LIVE_NAME, LOCK_NAME, META_NAME, Meta};

use crate::error::{IoContext, OpenError, ReadError};
use crate::io::{Storage, read_file};
use crate::log::appender::published;
use crate::log::checkpoint::read_slots;
use crate::log::files::{META_BYTES_MAX, read_files};
use crate::log::live::{LiveReader, LiveState};
use crate::log::offset_index::GrowingIndex;
use crate::log::plan::{LiveEnds, LiveFile, Plan, before_newer_cuts, plan};
use crate::log::recovery::{all_entries, open_closed};
use crate::log::segment::Segment;
use crate::log::tail::{Tail, TailEnd};
use crate::log::view::{LiveSegment, LogView, Marks, SegmentList};

/// Keeps a read-only view in step with the files and with the writer, if there is one.
#[derive(Debug)]
pub(crate) struct Follower {
    storage: Arc<dyn Storage>,
    store_dir: PathBuf,
    dir: PathBuf,
    index_interval: u32,
    catalog: AskCatalog,
    state: Mutex<FollowState>,
}

/// Says, of a partition of this identity whose directory is not there, what the catalogue of its topic says.
pub(crate) type AskCatalog = fn(&Arc<dyn Storage>, &Path, [u8; 16]) -> Result<Absent, OpenError>;

/// Why a partition has no directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absent {
    /// Nothing was ever appended to it: its log is empty.
    Unmade,
    /// It has one, or should have.
    Made,
    /// Its topic is no more, or another one has its name.
    Deleted,
}

#[derive(Debug, Default)]
struct FollowState {
    live: Option<LiveReader>,
    /// What the view was built from.
    seen: Option<LiveState>,
    /// Where it goes on.
    tail: Option<Box<Tail>>,
    /// Whether its directory was still to be made when it was looked for.
    is_unmade: bool,
    checkpoint_counter: u64,
    /// Without a writer: what would be different had one been there since the view was built.
    traces: Option<Traces>,
}

#[derive(Debug, PartialEq, Eq)]
struct Traces {
    counter: u64,
    writer: Option<Vec<u8>>,
    page: Option<u64>,
}

impl Follower {
    /// Opens the partition in `dir` of the store in `store_dir`; `uuid` is its identity, as far as it is known without a directory.
    ///
    /// # Errors
    /// [`OpenError::Busy`] if a writer changed it again and again, else as recovery.
    pub(crate) fn open(
        storage: Arc<dyn Storage>,
        (store_dir, dir): (&Path, &Path),
        index_interval: u32,
        uuid: [u8; 16],
        catalog: AskCatalog,
    ) -> Result<(Arc<LogView>, Self), OpenError> {
        let (store_dir, state) = (store_dir.to_owned(), Mutex::default());
        let follower = Self { storage: storage.clone(), store_dir, dir: dir.to_owned(), index_interval, catalog, state };
        let is_there = storage.kind(dir).at("look at", dir)?.is_some();
        let uuid = if is_there { follower.found(uuid)? } else { uuid };
        let view = Arc::new(LogView::of_follower(storage, dir, uuid));
        follower.refresh(&view)?;
        Ok((view, follower))
    }

    /// The identity of what is in the directory, which may be of a topic that was made anew since `expected` was known.
    fn found(&self, expected: [u8; 16]) -> Result<[u8; 16], OpenError> {
        let Some(found) = read_files(&self.storage, &self.dir)?.uuid else { return Ok([0; 16]) };
        let is_other = found != expected && expected != [0; 16];
        // Without a catalogue, or with one that says so, it has only changed places, which is told elsewhere.
        if is_other && (self.catalog)(&self.storage, &self.dir, expected)? == Absent::Deleted {
            return Err(OpenError::TopicDeleted { path: self.dir.clone() });
        }
        Ok(found)
    }

    /// Whether nothing was ever appended to the partition, as of the last look: there is no file to be read.
    pub(crate) fn is_unmade(&self) -> bool {
        self.state.lock().is_unmade
    }

    /// Brings the view up to date.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) fn refresh(&self, view: &LogView) -> Result<(), OpenError> {
        let mut state = self.state.lock();
        let mut last = None;
        for attempt in 0..ATTEMPTS {
            match self.try_refresh(&mut state, view) {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                // A file that went away while it was read is a change, not a failure.
                Err(OpenError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => last = Some(OpenError::Io(error)),
                Err(error) => {
                    if matches!(error, OpenError::TopicDeleted { .. }) {
                        view.set_deleted();
                    }
                    return Err(error);
                }
            }
            std::thread::sleep(Duration::from_millis(1 << attempt.min(5)));
        }
        Err(last.filter(|_| self.storage.kind(&self.dir).is_ok_and(|kind| kind.is_none())).unwrap_or(OpenError::Busy { path: self.dir.clone() }))
    }

    /// One attempt; `false` if the log changed meanwhile.
    fn try_refresh(&self, state: &mut FollowState, view: &LogView) -> Result<bool, OpenError> {
        if state.live.as_ref().is_some_and(|live| !live.is_current(&*self.storage)) {
            *state = FollowState::default();
        }
        if state.live.is_none() {
            // First: whoever made the directory since has put the partition on a page that is looked for below.
            state.is_unmade = self.is_absent(view)?;
            if state.is_unmade {
                return Ok(true);
            }
            state.live = self.live_page(view.uuid)?;
            (state.seen, state.tail) = (None, None);
        }
        match state.live.clone() {
            Some(live) => self.refresh_live(state, &live, view),
            None => self.refresh_from_files(state, view),
        }
    }

    /// Whether there is no directory because none was needed yet.
    fn is_absent(&self, view: &LogView) -> Result<bool, OpenError> {
        let is_there = || Ok::<_, OpenError>(self.storage.kind(&self.dir).at("look at", &self.dir)?.is_some());
        if is_there()? {
            return Ok(false);
        }
        match (self.catalog)(&self.storage, &self.dir, view.uuid)? {
            Absent::Unmade => Ok(true),
            Absent::Deleted => Err(OpenError::TopicDeleted { path: self.dir.clone() }),
            // Perhaps made between the two looks; else lost.
            Absent::Made => Ok(false),
        }
    }

    /// Whether the directory is still this partition's.
    fn check_place(&self, view: &LogView) -> Result<(), OpenError> {
        if self.is_absent(view)? {
            return Err(OpenError::TopicDeleted { path: self.dir.clone() });
        }
        // One that cannot be read is rebuilt, and says nothing here.
        let meta = read_file(&*self.storage, &self.dir.join(META_NAME), META_BYTES_MAX).ok().and_then(|bytes| Meta::decode(&bytes).ok());
        self.check_identity(meta.map(|meta| meta.uuid), view)
    }

    /// A topic that was deleted may have been made anew: what has its place is not this partition.
    fn check_identity(&self, uuid: Option<[u8; 16]>, view: &LogView) -> Result<(), OpenError> {
        let is_other = uuid.is_some_and(|uuid| uuid != view.uuid && view.uuid != [0; 16]);
        if is_other { Err(OpenError::TopicDeleted { path: self.dir.clone() }) } else { Ok(()) }
    }

    fn live_page(&self, uuid: [u8; 16]) -> Result<Option<LiveReader>, OpenError> {
        Ok(LiveReader::open(&*self.storage, &self.store_dir, uuid).at("open", &self.store_dir.join(LIVE_NAME))?)
    }

    fn refresh_live(&self, state: &mut FollowState, live: &LiveReader, view: &LogView) -> Result<bool, OpenError> {
        state.traces = None;
        let Some(now) = live.read() else { return Ok(false) };
        if state.seen == Some(now) {
            return Ok(true);
        }
        if state.seen.is_some_and(|seen| seen.change != now.change) {
            self.check_place(view)?;
        }
        if self.grow(state, now, view)? {
            state.seen = Some(now);
            return Ok(true);
        }
        (state.seen, state.tail) = (None, None);
        let ends = LiveEnds { log_start: now.marks.log_start, written_end: now.marks.written_end };
        let mut files = read_files(&self.storage, &self.dir)?;
        self.check_identity(files.uuid, view)?;
        // Made since `now`.
        files.segments.retain(|segment| segment.id.base_offset <= ends.written_end);
        let plan = plan(&*self.storage, &self.dir, &files, self.index_interval, Some(ends))?;
        if plan.next_offset != now.marks.written_end {
            return Ok(false);
        }
        let (mut list, mut tail) = self.segments(&plan)?;
        let Some(after) = live.read() else { return Ok(false) };
        // The segments are those of `now` if nothing changed while they were read. A writer that rolls faster than that is caught up with,
        // but what seems damaged may have been deleted.
        if after.change != now.change && (!plan.damage.is_empty() || !self.catch_up(tail.as_mut(), after, &mut list)?) {
            return Ok(false);
        }
        let shown = if after.change == now.change { now } else { after };
        self.show(view, list, &plan, shown.marks, shown.high_water_mark);
        (state.seen, state.tail) = (Some(shown), tail.map(Box::new));
        Ok(true)
    }

    fn catch_up(&self, tail: Option<&mut Tail>, now: LiveState, list: &mut SegmentList) -> Result<bool, OpenError> {
        let Some(tail) = tail else { return Ok(false) };
        if !tail.grow_over_rolls(now.marks.written_end, &self.storage, list)? {
            return Ok(false);
        }
        let last = list.entries.len() - 1;
        let keep = list.entries.iter().position(|entry| entry.to > now.marks.log_start).unwrap_or(last);
        list.entries.drain(..keep);
        Ok(true)
    }

    /// Takes in what was appended since the view was made: the usual case, which costs what is new. `false` if it takes a plan.
    fn grow(&self, state: &mut FollowState, now: LiveState, view: &LogView) -> Result<bool, OpenError> {
        let (Some(seen), Some(tail)) = (state.seen, &mut state.tail) else { return Ok(false) };
        if seen.change == now.change {
            if !tail.grow(now.marks.written_end)? {
                return Ok(false);
            }
        } else {
            let mut list = (*view.list()).clone();
            if !self.catch_up(Some(&mut **tail), now, &mut list)? {
                return Ok(false);
            }
            view.set_list(list);
        }
        view.set_told_marks(now.marks, now.high_water_mark);
        Ok(true)
    }

    fn refresh_from_files(&self, state: &mut FollowState, view: &LogView) -> Result<bool, OpenError> {
        let traces = self.traces()?;
        if state.traces.is_some() && traces == state.traces {
            return Ok(true);
        }
        // Slots are read before the list, and the list before the frames: a log only grows past what was read.
        let files = read_files(&self.storage, &self.dir)?;
        self.check_identity(files.uuid, view)?;
        let plan = plan(&*self.storage, &self.dir, &files, self.index_interval, None)?;
        let live_now = self.live_page(view.uuid)?;
        let again = read_slots(&*self.storage, &self.dir, files.uuid)?;
        if live_now.is_some() || again.counter != files.slots.counter {
            return Ok(false);
        }
        let end = plan.next_offset;
        // Without a page of its own, what a writer has not yet checkpointed is not known to be durable. Without a writer it is shown all the same:
        // the next one makes it durable before it appends, or, under `OsOnly`, shows it as not more durable than what it appends.
        let durable_end = files.slots.newest.map(|slot| before_newer_cuts(slot, &files).durable_next_offset.get());
        let durable_end = durable_end.map_or(plan.log_start, |durable_end| durable_end.clamp(plan.log_start, end));
        let high_water_mark = if self.storage.is_locked(&self.store_dir).unwrap_or(true) { durable_end } else { end };
        let (list, _) = self.segments(&plan)?;
        self.show(view, list, &plan, Marks { log_start: plan.log_start, written_end: end, durable_end }, high_water_mark);
        state.checkpoint_counter = files.slots.counter;
        state.traces = traces;
        Ok(true)
    }

    /// What a writer that comes, works and goes cannot leave as it was; `None` while one is there.
    fn traces(&self) -> Result<Option<Traces>, OpenError> {
        let is_locked = |path: &Path| self.storage.is_locked(path).unwrap_or(false);
        let page = self.store_dir.join(LIVE_NAME);
        let traces = Traces {
            counter: read_slots(&*self.storage, &self.dir, None)?.counter,
            writer: read_file(&*self.storage, &self.store_dir.join(LOCK_NAME), 64).ok(),
            page: LiveReader::nonce_of(&*self.storage, &page),
        };
        Ok((!is_locked(&self.store_dir) && !is_locked(&page)).then_some(traces))
    }

    /// Whether somebody has the store open for writing.
    pub(crate) fn has_writer(&self) -> bool {
        self.storage.is_locked(&self.store_dir).unwrap_or(true)
    }

    /// The segments of a plan, and the last of them as one that may grow.
    fn segments(&self, plan: &Plan) -> Result<(SegmentList, Option<Tail>), OpenError> {
        let mut list = SegmentList::default();
        let mut tail = None;
        for file in &plan.live {
            let grows = file.to == u64::MAX && !file.sealed;
            let segment = Arc::new(if grows { self.open_growing(file) } else { open_closed(&self.storage, &self.dir, file, false) });
            if grows {
                let end = TailEnd { position: file.end, next_offset: file.next_offset, chain: file.chain, sums: file.sums };
                tail = Some(Tail::new(segment.clone(), file.segment.open()?, end, self.index_interval));
            }
            list.entries.push(LiveSegment { segment, from: file.from, to: file.to });
        }
        Ok((list, tail))
    }

    fn show(&self, view: &LogView, list: SegmentList, plan: &Plan, marks: Marks, high_water_mark: u64) {
        let truncated = truncated_at(&view.list(), view.written_end(), &list, marks.log_start);
        view.change_shown(|| {
            view.set_list(list);
            view.set_damage(plan.damage.clone());
            view.set_findings(plan.findings.clone());
            view.set_told_marks(marks, high_water_mark);
            truncated.map_or_else(|| view.note_cut(), |at| view.note_truncation(at));
        });
    }

    /// As a closed segment, but for its sums, which are not known before it is sealed.
    fn open_growing(&self, file: &LiveFile) -> Segment {
        let header = file.segment.header;
        let published = published(file.end, file.next_offset - header.base_offset.get(), false);
        let segment = Segment::new(self.storage.clone(), &self.dir, header, published, false);
        if !file.entries.is_empty() {
            segment.set_index(Arc::new(GrowingIndex::new(&all_entries(&*self.storage, &self.dir, file))));
        }
        segment
    }

    /// After a read failed: whether the log changed since the view was made. Then the view is up to date again.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) fn refresh_if_changed(&self, view: &LogView, error: &ReadError) -> Result<bool, OpenError> {
        let changed = {
            let state = self.state.lock();
            match (&state.live, state.seen) {
                (Some(live), Some(seen)) => !live.is_current(&*self.storage) || live.read().is_none_or(|now| now.change != seen.change),
                _ => {
                    let slots = read_slots(&*self.storage, &self.dir, Some(view.uuid))?;
                    slots.counter != state.checkpoint_counter || self.live_page(view.uuid)?.is_some()
                }
            }
        };
        if changed || matches!(error, ReadError::Io(io) if io.kind() == std::io::ErrorKind::NotFound) {
            self.refresh(view)?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Waits until `is_there`, at most for `limit`: asleep on the writer's page, or, without a writer, looking for one every 100 ms.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) fn wait(&self, view: &LogView, limit: Duration, is_there: impl Fn() -> bool) -> Result<(), OpenError> {
        let deadline = Instant::now().checked_add(limit);
        let left = || deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()));
        let mut pause = PAUSE_MIN;
        loop {
            self.refresh(view)?;
            if is_there() || left().is_zero() {
                return Ok(());
            }
            let writer = {
                let state = self.state.lock();
                state.live.clone().zip(state.seen)
            };
            // Not under the lock: others read meanwhile.
            match writer {
                Some((live, seen)) => live.wait(seen, left().min(pause)),
                // A writer may have come and gone meanwhile, and whoever waits may have been told to end it: both are looked for again.
                None => std::thread::sleep(left().min(pause)),
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}

/// Where the log was cut off since `old` was read up to `end`: the first offset above the log start that a segment does not answer for any more,
/// but one of another number does. Only a repair makes a second segment of one number, which goes on where the first is damaged; offsets that none
/// answers for any more are lost, not cut off.
fn truncated_at(old: &SegmentList, end: u64, new: &SegmentList, log_start: u64) -> Option<u64> {
    old.entries.iter().find_map(|entry| {
        let (mut at, to) = (entry.from.max(log_start), entry.to.min(end));
        while at < to {
            let behind = new.entries.iter().find(|other| other.to > at)?;
            let (now, before) = (&behind.segment, &entry.segment);
            if now.id.seq != before.id.seq {
                // Its term began where the log was cut, which may have been deleted since.
                let is_later = now.header.leader_epoch > before.header.leader_epoch;
                let cut = if is_later { now.header.epoch_start.get() } else { u64::MAX };
                return (behind.from < to).then_some(cut.min(at.max(behind.from)));
            }
            at = behind.to;
        }
        None
    })
}

const ATTEMPTS: u32 = 10;
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(100);
