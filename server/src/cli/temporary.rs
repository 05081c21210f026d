//! Ctrl-C and SIGTERM in commands that make something for a while: it is removed before the process ends. Knows no command.

use std::io;
use std::path::PathBuf;
use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::exit::{Exit, Failure};
use crate::thread::spawn;

/// What a command has made and will remove itself, unless a signal comes first.
#[derive(Clone, Default)]
pub(crate) struct Temporary(Arc<Mutex<Made>>);

/// What there is to be removed.
#[derive(Default)]
pub(crate) struct Made {
    /// Killed first: it may write into `tree`.
    pub(crate) child: Option<Arc<Mutex<Child>>>,
    /// Removed with everything in it.
    pub(crate) tree: Option<PathBuf>,
    /// Removed if nothing is in it.
    pub(crate) parent: Option<PathBuf>,
}

impl Temporary {
    /// From now on SIGINT and SIGTERM remove what is made, and end the process with 128 and their number.
    pub(crate) fn watched() -> Result<Self, Failure> {
        let temporary = Self::default();
        let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(|error| Failure::because(Exit::Failed, "waiting for signals", error))?;
        let watched = temporary.clone();
        spawn("wait for signals", move || {
            if let Some(signal) = signals.forever().next() {
                watched.end(signal);
            }
        })?;
        Ok(temporary)
    }

    /// Makes or removes something: a signal comes before or after, not between.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Made) -> T) -> T {
        change(&mut self.lock())
    }

    /// Goes on, unless a signal has come: then this waits for the end of the process.
    pub(crate) fn pass(&self) {
        drop(self.lock());
    }

    /// The lock is never given back: whoever is about to make something, or to tell of an error that the removal causes, waits for it.
    fn end(&self, signal: i32) -> ! {
        let mut made = self.lock();
        if let Some(child) = made.child.take() {
            let mut child = locked(&child);
            // Both fail only if it is gone already.
            let _ = child.kill();
            let _ = child.wait();
        }
        // What was begun before the lock was taken may still make files: it is looked twice.
        for _ in 0..TRIES {
            let is_gone = made.tree.as_ref().is_none_or(|tree| !tree.exists());
            if let Some(tree) = &made.tree {
                let _ = std::fs::remove_dir_all(tree);
            }
            if is_gone {
                break;
            }
            std::thread::sleep(PAUSE);
        }
        if let Some(parent) = &made.parent {
            let _ = std::fs::remove_dir(parent);
        }
        std::process::exit(128 + signal)
    }

    fn lock(&self) -> MutexGuard<'_, Made> {
        locked(&self.0)
    }
}

/// A thread that panicked left nothing half done here.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What `make` makes, and where it lies: to be removed if a signal comes.
pub(crate) fn temporary_dir(
    temporary: &Temporary,
    parent: Option<PathBuf>,
    make: impl FnOnce() -> io::Result<tempfile::TempDir>,
) -> io::Result<tempfile::TempDir> {
    temporary.change(|made| {
        let dir = make()?;
        made.tree = Some(dir.path().to_owned());
        made.parent = parent;
        Ok(dir)
    })
}

const TRIES: u32 = 250;
const PAUSE: Duration = Duration::from_millis(20);
