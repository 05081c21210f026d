//! One sync of the file system for partitions that wait at once, one at a time. Decides who goes together; writes nothing.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use crate::error::{IoContext, IoError};
use crate::io::{FileSystem, Storage, futex};
use crate::log::log::Log;
use crate::log::round::Settled;

/// The partitions of a store that are on its file system. Few that wait sync their own files, side by side: the kernel shares a flush of the
/// device between them. Many wait for one sync of the file system, which one of them leads; the rest come with the next.
#[derive(Debug)]
pub(crate) struct SharedSync {
    file_system: Arc<dyn FileSystem>,
    directory: PathBuf,
    state: Mutex<State>,
    /// Partitions that have something to be synced, for which nobody may have come yet.
    wanted: Mutex<Vec<Weak<Log>>>,
}

#[derive(Debug, Default)]
struct State {
    /// Partitions that sync their own files now.
    alone: u32,
    is_running: bool,
    /// Those that wait for the next sync of all, and how many there will be if all whom the last one served come back.
    waiting: u32,
    expected: u32,
    next: Arc<Together>,
    /// Why nothing is believed any more: what failed is told once, and whose it was is not.
    broken: Option<IoError>,
}

/// One sync of the file system.
#[derive(Debug, Default)]
struct Together {
    outcome: OnceLock<Outcome>,
    /// Changes when there is an outcome, and when one of those who wait is to lead.
    word: AtomicU32,
}

#[derive(Debug, Clone)]
enum Outcome {
    Synced,
    /// There were too few: each syncs its own files.
    Alone,
    Failed(IoError),
}

/// A sync under way. Dropped, it is over.
struct Running<'shared> {
    shared: &'shared SharedSync,
    together: Arc<Together>,
    served: u32,
    outcome: Outcome,
}

impl SharedSync {
    /// For the file system that `directory` is on, or will be made on.
    ///
    /// # Errors
    /// [`IoError`] where a sync would not tell what could not be written.
    pub(crate) fn open(storage: &dyn Storage, directory: &Path) -> Result<Self, IoError> {
        let is_there = |path: &&Path| matches!(storage.kind(path), Ok(Some(_)));
        let nearest = directory.ancestors().find(is_there).unwrap_or(Path::new("."));
        let file_system = storage.file_system(nearest).at("sync as a whole the file system of", directory)?;
        Ok(Self { file_system, directory: directory.to_owned(), state: Mutex::default(), wanted: Mutex::default() })
    }

    /// Whether the files of a partition are on it.
    pub(crate) fn holds(&self, directory: &Path) -> bool {
        self.file_system.holds(directory).unwrap_or(false)
    }

    /// A partition has something that is to be durable soon: it comes along with others, whoever waits for it.
    pub(crate) fn want(&self, log: Weak<Log>) {
        self.wanted.lock().push(log);
    }

    /// Makes durable what a partition has written: with its own syncs, `alone`, or with all the others that wait. What others are to be told
    /// of is added to `company`.
    ///
    /// # Errors
    /// [`IoError`], also that of an earlier sync of the file system.
    pub(super) fn sync(&self, alone: impl FnOnce() -> Result<(), IoError>, company: &mut Vec<Settled>) -> Result<(), IoError> {
        let mut state = self.state.lock();
        if self.is_for_all(&state) {
            match self.sync_together(state, company) {
                Outcome::Synced => return Ok(()),
                Outcome::Failed(error) => return Err(error),
                Outcome::Alone => {}
            }
        } else {
            state.alone += 1;
            drop(state);
        }
        let outcome = self.sync_alone(alone);
        self.state.lock().alone -= 1;
        outcome
    }

    /// The same, with its own syncs.
    ///
    /// # Errors
    /// As [`sync`](Self::sync).
    pub(crate) fn sync_alone(&self, alone: impl FnOnce() -> Result<(), IoError>) -> Result<(), IoError> {
        self.check()?;
        alone()
    }

    /// Whether a sync is still believed.
    fn check(&self) -> Result<(), IoError> {
        self.state.lock().broken.clone().map_or(Ok(()), Err)
    }

    /// Whether there may be enough: who leads counts again.
    fn is_for_all(&self, state: &State) -> bool {
        let here = (state.alone + state.waiting + 1) as usize;
        state.is_running || state.expected > 0 || here + self.wanted.lock().len() >= TOGETHER_MIN
    }

    fn sync_together<'shared>(&'shared self, mut state: MutexGuard<'shared, State>, company: &mut Vec<Settled>) -> Outcome {
        let together = state.next.clone();
        state.waiting += 1;
        loop {
            if let Some(outcome) = together.outcome.get() {
                return outcome.clone();
            }
            if state.is_running {
                let seen = together.word.load(Ordering::Relaxed);
                drop(state);
                futex::wait(&together.word, seen, None, false);
            } else {
                self.lead(state, company);
            }
            state = self.state.lock();
        }
    }

    /// Syncs for all that wait, and for those that are wanted.
    fn lead<'shared>(&'shared self, mut state: MutexGuard<'shared, State>, company: &mut Vec<Settled>) {
        state.is_running = true;
        if state.waiting < state.expected {
            drop(state);
            state = self.gather();
        }
        let (together, served) = (std::mem::take(&mut state.next), std::mem::take(&mut state.waiting));
        // Those who sync alone now will join the next.
        let (here, broken) = ((state.alone + served) as usize, state.broken.clone());
        drop(state);
        let unknown = || IoError::new("sync the file system of", &self.directory, std::io::Error::other("the sync did not come to an end"));
        let mut running = Running { shared: self, together, served, outcome: Outcome::Failed(broken.clone().unwrap_or_else(unknown)) };
        if broken.is_some() {
            return;
        }
        let logs: Vec<Arc<Log>> = std::mem::take(&mut *self.wanted.lock()).iter().filter_map(Weak::upgrade).collect();
        let rounds: Vec<_> = logs.iter().filter_map(|log| Some((log, log.come_along()?))).collect();
        if here + rounds.len() < TOGETHER_MIN {
            rounds.into_iter().for_each(|(log, _)| log.want_sync());
            running.outcome = Outcome::Alone;
            return;
        }
        let outcome = self.file_system.sync().at("sync the file system of", &self.directory);
        running.outcome = outcome.clone().map_or_else(Outcome::Failed, |()| Outcome::Synced);
        drop(running);
        company.extend(rounds.into_iter().map(|(log, round)| Settled { log: log.clone(), durable: round.settle(&outcome) }));
    }

    /// Gives the processor to those whom the last sync served, until all are here.
    fn gather(&self) -> MutexGuard<'_, State> {
        let began = Instant::now();
        loop {
            let state = self.state.lock();
            if state.waiting >= state.expected || began.elapsed() > GATHER_MAX {
                return state;
            }
            drop(state);
            std::thread::yield_now();
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.is_running = false;
        state.expected = 0;
        match &self.outcome {
            Outcome::Synced => state.expected = self.served + state.waiting,
            Outcome::Alone => state.alone += self.served,
            Outcome::Failed(error) => _ = state.broken.get_or_insert_with(|| error.clone()),
        }
        let _ = self.together.outcome.set(self.outcome.clone()); // nobody else sets it
        let next = (state.waiting > 0).then(|| state.next.clone());
        for word in [Some(&self.together), next.as_ref()].into_iter().flatten() {
            word.word.fetch_add(1, Ordering::Relaxed);
        }
        drop(state);
        futex::wake_all(&self.together.word, false);
        if let Some(next) = next {
            futex::wake_one(&next.word, false);
        }
    }
}

/// From so many partitions on, one sync of all costs less than one of each, side by side (measured).
const TOGETHER_MIN: usize = 16;
/// As long as those who come back are waited for.
const GATHER_MAX: Duration = Duration::from_micros(75);
