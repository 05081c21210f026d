//! One sync of the file system for many partitions that nobody has come to sync yet. Decides who goes along; writes nothing.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;

use crate::error::{IoContext, IoError};
use crate::io::{FileSystem, Storage};
use crate::log::log::Log;
use crate::log::round::Settled;

/// The partitions of a store that are on its file system. Whoever syncs one that is wanted takes the others along that are, if there are enough.
///
/// Threads that each wait for a partition of their own sync its files side by side: the kernel shares flushes of the device between them.
#[derive(Debug)]
pub(crate) struct SharedSync {
    file_system: Arc<dyn FileSystem>,
    directory: PathBuf,
    /// Partitions that have something to be synced, for which nobody may have come yet.
    wanted: Mutex<Vec<Weak<Log>>>,
    /// Held by who gathers the others and syncs them: a second one would wait for what is written meanwhile.
    running: Mutex<()>,
    /// Why nothing is believed any more: what failed is told once, and whose it was is not.
    broken: OnceLock<IoError>,
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
        Ok(Self { file_system, directory: directory.to_owned(), wanted: Mutex::default(), running: Mutex::default(), broken: OnceLock::new() })
    }

    /// Whether the files of a partition are on it.
    pub(crate) fn holds(&self, directory: &Path) -> bool {
        self.file_system.holds(directory).unwrap_or(false)
    }

    /// A partition has something that is to be durable soon.
    pub(crate) fn want(&self, log: Weak<Log>) {
        self.wanted.lock().push(log);
    }

    /// Makes durable what a partition has written that is wanted: with its own syncs, `alone`, or, if enough others are wanted, with theirs. What
    /// those are to be told of is added to `company`.
    ///
    /// # Errors
    /// [`IoError`], also that of an earlier sync of the file system.
    pub(super) fn sync(&self, alone: impl FnOnce() -> Result<(), IoError>, company: &mut Vec<Settled>) -> Result<(), IoError> {
        self.check()?;
        let Some(running) = self.running.try_lock() else { return self.sync_alone(alone) };
        let logs = self.take_wanted();
        let rounds: Vec<_> = logs.iter().filter_map(|log| Some((log, log.come_along()?))).collect();
        if rounds.len() < ALONG_MIN {
            rounds.into_iter().for_each(|(log, _)| log.want_sync());
            drop(running);
            return self.sync_alone(alone);
        }
        let outcome = self.file_system.sync().at("sync the file system of", &self.directory);
        if let Err(error) = &outcome {
            let _ = self.broken.set(error.clone()); // nobody else sets it
        }
        company.extend(rounds.into_iter().map(|(log, round)| Settled { log: log.clone(), durable: round.settle(&outcome) }));
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
        self.broken.get().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// Those that are wanted, if there may be enough.
    fn take_wanted(&self) -> Vec<Arc<Log>> {
        let mut wanted = self.wanted.lock();
        let taken = if wanted.len() < ALONG_MIN { Vec::new() } else { std::mem::take(&mut *wanted) };
        drop(wanted);
        taken.iter().filter_map(Weak::upgrade).collect()
    }
}

/// From so many others on, one sync of all costs less than one of each, one after another (`benches/durable_partitions.rs`).
const ALONG_MIN: usize = 4;
