//! Follows a partition that another process may be writing: reads its files and its LIVE page. Takes no lock, writes nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::error::{OpenError, ReadError};
use crate::io::Storage;
use crate::log::files::{PartitionFiles, read_files};
use crate::log::live::{LiveReader, LiveState};
use crate::log::plan::{LiveEnds, Plan, plan};
use crate::log::recovery::{all_entries, open_closed};
use crate::log::segment::Index;
use crate::log::view::{LiveSegment, LogView, Marks, SegmentList};

/// Keeps a read-only view in step with the files and with the writer, if there is one.
#[derive(Debug)]
pub(crate) struct Follower {
    storage: Arc<dyn Storage>,
    store_dir: PathBuf,
    dir: PathBuf,
    index_interval: u32,
    state: Mutex<FollowState>,
}

#[derive(Debug, Default)]
struct FollowState {
    live: Option<LiveReader>,
    /// What the view was built from.
    seen: Option<LiveState>,
    checkpoint_counter: u64,
}

impl Follower {
    /// Opens the partition in `dir` of the store in `store_dir`.
    ///
    /// # Errors
    /// [`OpenError::Busy`] if a writer changed it again and again, else as recovery.
    pub(crate) fn open(storage: Arc<dyn Storage>, store_dir: &Path, dir: &Path, index_interval: u32) -> Result<(Arc<LogView>, Self), OpenError> {
        let follower =
            Self { storage: storage.clone(), store_dir: store_dir.to_owned(), dir: dir.to_owned(), index_interval, state: Mutex::default() };
        let files = read_files(&*storage, dir)?;
        let view = Arc::new(LogView::of_follower(storage, dir, files.uuid.unwrap_or_default()));
        follower.refresh(&view)?;
        Ok((view, follower))
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
                Err(error) => return Err(error),
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
            state.live = LiveReader::open(&*self.storage, &self.store_dir, view.uuid);
            state.seen = None;
        }
        match state.live.take() {
            Some(live) => {
                let refreshed = self.refresh_live(state, &live, view);
                state.live = Some(live);
                refreshed
            }
            None => self.refresh_from_files(state, view),
        }
    }

    fn refresh_live(&self, state: &mut FollowState, live: &LiveReader, view: &LogView) -> Result<bool, OpenError> {
        let Some(now) = live.read() else { return Ok(false) };
        if state.seen == Some(now) {
            return Ok(true);
        }
        let ends = LiveEnds { log_start: now.marks.log_start, written_end: now.marks.written_end };
        let files = read_files(&*self.storage, &self.dir)?;
        let plan = plan(&*self.storage, &self.dir, &files, self.index_interval, Some(ends))?;
        let complete = plan.next_offset == now.marks.written_end;
        // The segments are those of `now` only if nothing changed while they were read.
        if live.read().is_none_or(|after| after.change != now.change) || !complete {
            return Ok(false);
        }
        self.show(view, &files, &plan, now.marks, now.high_water_mark);
        state.seen = Some(now);
        Ok(true)
    }

    fn refresh_from_files(&self, state: &mut FollowState, view: &LogView) -> Result<bool, OpenError> {
        // Slots are read before the list, and the list before the frames: a log only grows past what was read.
        let files = read_files(&*self.storage, &self.dir)?;
        let plan = plan(&*self.storage, &self.dir, &files, self.index_interval, None)?;
        let live_now = LiveReader::open(&*self.storage, &self.store_dir, view.uuid);
        let again = crate::log::checkpoint::read_slots(&*self.storage, &self.dir, files.uuid)?;
        if live_now.is_some() || again.counter != files.slots.counter {
            return Ok(false);
        }
        let end = plan.next_offset;
        self.show(view, &files, &plan, Marks { log_start: plan.log_start, written_end: end, durable_end: end }, end);
        state.checkpoint_counter = files.slots.counter;
        Ok(true)
    }

    fn show(&self, view: &LogView, _files: &PartitionFiles, plan: &Plan, marks: Marks, high_water_mark: u64) {
        let mut list = SegmentList::default();
        for file in &plan.live {
            let segment = open_closed(&self.storage, &self.dir, file, false);
            if file.indexed > tidelog_format::SEGMENT_HEADER_BYTES as u64 && !file.entries.is_empty() {
                segment.set_index(Index::Growing(Arc::new(crate::log::offset_index::GrowingIndex::new(&all_entries(
                    &*self.storage,
                    &self.dir,
                    file,
                )))));
            }
            list.entries.push(LiveSegment { segment: Arc::new(segment), from: file.from, to: file.to });
        }
        view.set_list(list);
        view.set_damage(plan.damage.clone());
        view.set_findings(plan.findings.clone());
        view.set_told_marks(marks, high_water_mark);
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
                    let slots = crate::log::checkpoint::read_slots(&*self.storage, &self.dir, Some(view.uuid))?;
                    slots.counter != state.checkpoint_counter || LiveReader::open(&*self.storage, &self.store_dir, view.uuid).is_some()
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
        let deadline = Instant::now() + limit;
        let mut pause = PAUSE_MIN;
        loop {
            self.refresh(view)?;
            let left = deadline.saturating_duration_since(Instant::now());
            if is_there() || left.is_zero() {
                return Ok(());
            }
            self.sleep_until_change(left.min(pause), deadline);
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Without a writer nothing changes but by one coming: a probe of its lock is all that an idle reader costs.
    fn sleep_until_change(&self, pause: Duration, deadline: Instant) {
        let state = self.state.lock();
        if let (Some(live), Some(seen)) = (&state.live, state.seen) {
            live.wait(seen, pause);
            return;
        }
        drop(state);
        let page = self.store_dir.join(tidelog_format::LIVE_NAME);
        loop {
            std::thread::sleep(pause.min(deadline.saturating_duration_since(Instant::now())));
            if Instant::now() >= deadline || self.storage.is_locked(&page).unwrap_or(false) {
                return;
            }
        }
    }
}

const ATTEMPTS: u32 = 10;
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(100);
