//! Waits of async tasks on a log: a waker where a thread would sleep. Knows no runtime, and never sleeps but in [`AckLead`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use crate::config::ReadIsolation;
use crate::error::SyncError;
use crate::log::log::Log;
use crate::log::waiters::{Ticket, Waiters};

/// Whether somebody leads the syncs that tasks wait for.
#[derive(Debug, Default)]
pub(super) struct Lead {
    taken: AtomicBool,
    next_number: AtomicU64,
}

impl Waiters {
    /// Adds a task, or gives it a new waker; whether it was added.
    fn put(&self, ticket: &mut Option<Ticket>, target: u64, waker: &Waker) -> bool {
        let ticket = *ticket.get_or_insert_with(|| Ticket { target, number: self.lead.next_number.fetch_add(1, Ordering::Relaxed) });
        let mut tasks = self.tasks.lock();
        let added = tasks.insert(ticket, waker.clone()).is_none();
        self.count.store(tasks.len() as u32, Ordering::Relaxed);
        drop(tasks);
        fence(Ordering::SeqCst); // the pair of the one in `wake`
        added
    }

    /// Forgets a task; whether it was there.
    fn remove(&self, ticket: &mut Option<Ticket>) -> bool {
        let Some(ticket) = ticket.take() else { return false };
        let mut tasks = self.tasks.lock();
        let removed = tasks.remove(&ticket).is_some();
        self.count.store(tasks.len() as u32, Ordering::Relaxed);
        removed
    }

    fn last_target(&self) -> Option<u64> {
        self.tasks.lock().last_key_value().map(|(ticket, _)| ticket.target)
    }
}

impl Log {
    /// Ready once everything below `end` is durable, or never will be. While pending, somebody must hold the [`AckLead`].
    pub(crate) fn poll_durable(&self, end: u64, ticket: &mut Option<Ticket>, context: &Context<'_>) -> Poll<Result<(), SyncError>> {
        if self.durable_outcome(end).is_none() {
            self.acks.put(ticket, end, context.waker());
        }
        match self.durable_outcome(end) {
            Some(outcome) => {
                self.acks.remove(ticket);
                Poll::Ready(outcome)
            }
            None => Poll::Pending,
        }
    }

    fn durable_outcome(&self, end: u64) -> Option<Result<(), SyncError>> {
        if self.is_durable(end) { Some(Ok(())) } else { self.is_poisoned().then(|| Err(self.poisoned())) }
    }

    pub(crate) fn forget_ack(&self, ticket: &mut Option<Ticket>) {
        self.acks.remove(ticket);
    }

    /// The duty to sync for waiting tasks, unless somebody has it.
    pub(crate) fn take_ack_lead(self: &Arc<Self>) -> Option<AckLead> {
        let is_free = !self.acks.lead.taken.swap(true, Ordering::SeqCst);
        is_free.then(|| AckLead { log: self.clone() })
    }

    /// Ready once a reader at `position`, which has followed the first `cuts` cuts, has something to see (`true`), or never will, because the
    /// log is closed or poisoned (`false`).
    pub(crate) fn poll_end(
        &self,
        position: u64,
        cuts: u64,
        isolation: ReadIsolation,
        ticket: &mut Option<Ticket>,
        context: &Context<'_>,
    ) -> Poll<bool> {
        let view = &self.view;
        let is_there = || view.end(isolation) > position || view.truncated_since(cuts).is_some_and(|at| at < position);
        if !is_there() {
            let by_append = view.sees_appends(isolation);
            let waiters = if by_append { &view.append_waiters } else { &view.sync_waiters };
            // Appends look for sleepers alone.
            if waiters.put(ticket, position + 1, context.waker()) && by_append {
                view.append_sleepers.fetch_add(1, Ordering::SeqCst);
            }
        }
        // Through the append lock: an append before this is seen below, one after it sees the task.
        let closed = self.appender.lock().closed;
        let end = view.end(isolation);
        // What was written before the close is still to become visible.
        let has_ended = self.is_poisoned() || (closed && end >= view.written_end());
        let is_there = is_there();
        if !is_there && !has_ended {
            return Poll::Pending;
        }
        self.forget_reader(isolation, ticket);
        Poll::Ready(is_there)
    }

    pub(crate) fn forget_reader(&self, isolation: ReadIsolation, ticket: &mut Option<Ticket>) {
        let view = &self.view;
        if !view.sees_appends(isolation) {
            view.sync_waiters.remove(ticket);
        } else if view.append_waiters.remove(ticket) {
            view.append_sleepers.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Syncs for the tasks that wait for acknowledgements, on the thread where it is dropped: for as long as there are any, up to a limit.
///
/// A drop, so that it happens even where a runtime that shuts down throws the work away.
#[derive(Debug)]
pub(crate) struct AckLead {
    log: Arc<Log>,
}

impl Drop for AckLead {
    fn drop(&mut self) {
        let acks = &self.log.acks;
        let began = Instant::now();
        while began.elapsed() < LEAD_LIMIT {
            let Some(target) = acks.last_target() else { break };
            if self.log.wait_durable(target).is_err() {
                break;
            }
            acks.wake(target);
        }
        acks.lead.taken.store(false, Ordering::SeqCst);
        // Who came after the last look, or is left over, finds the lead free.
        acks.wake_all();
    }
}

/// After this the lead is handed on: a runtime that shuts down does not wait for the tasks of another one.
const LEAD_LIMIT: Duration = Duration::from_millis(100);
