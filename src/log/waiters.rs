//! Tasks that wait for an end of the log to reach an offset, beside the threads that sleep for it. Moves no end, polls nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::task::Waker;

use parking_lot::Mutex;

/// Wakers by the offset that they wait for. Whoever moves the end calls [`wake`](Self::wake) after it.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    /// Length of `tasks`, so that nobody takes the lock for nothing.
    pub(super) count: AtomicU32,
    pub(super) tasks: Mutex<BTreeMap<Ticket, Waker>>,
    next_number: AtomicU64,
    #[cfg(feature = "tokio")]
    pub(super) lead: super::tasks::Lead,
}

/// One task's place: by offset, then by who came first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket {
    pub(super) target: u64,
    pub(super) number: u64,
}

impl Waiters {
    /// Adds a task, or gives it a new waker; whether it was added.
    pub(super) fn put(&self, ticket: &mut Option<Ticket>, target: u64, waker: &Waker) -> bool {
        let ticket = *ticket.get_or_insert_with(|| Ticket { target, number: self.next_number.fetch_add(1, Ordering::Relaxed) });
        let mut tasks = self.tasks.lock();
        let added = tasks.insert(ticket, waker.clone()).is_none();
        self.count.store(tasks.len() as u32, Ordering::Relaxed);
        drop(tasks);
        fence(Ordering::SeqCst); // the pair of the one in `wake`
        added
    }

    /// Forgets a task; whether it was there.
    pub(super) fn remove(&self, ticket: &mut Option<Ticket>) -> bool {
        let Some(ticket) = ticket.take() else { return false };
        let mut tasks = self.tasks.lock();
        let removed = tasks.remove(&ticket).is_some();
        self.count.store(tasks.len() as u32, Ordering::Relaxed);
        removed
    }

    /// Wakes the tasks that wait for `end` or less; returns how many.
    pub(crate) fn wake(&self, end: u64) -> u32 {
        // Either the task that is being added sees the end that was stored before this, or this sees the task.
        fence(Ordering::SeqCst);
        if self.count.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        let reached = {
            let mut tasks = self.tasks.lock();
            let waiting = end.checked_add(1).map_or_else(BTreeMap::new, |target| tasks.split_off(&Ticket { target, number: 0 }));
            let reached = std::mem::replace(&mut *tasks, waiting);
            self.count.store(tasks.len() as u32, Ordering::Relaxed);
            reached
        };
        let woken = reached.len() as u32;
        reached.into_values().for_each(Waker::wake);
        woken
    }

    /// Wakes them all, to look again.
    pub(crate) fn wake_all(&self) -> u32 {
        self.wake(u64::MAX)
    }
}
