//! Waits of async tasks for acknowledgements: a waker where a thread would sleep. Knows no runtime, and never sleeps but in [`AckLead`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::error::SyncError;
use crate::log::log::Log;
use crate::log::waiters::{Ticket, Waiters};

/// Whether somebody leads the syncs that tasks wait for.
#[derive(Debug, Default)]
pub(super) struct Lead {
    taken: AtomicBool,
}

impl Waiters {
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
