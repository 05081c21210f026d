//! Waits for what a reader may see next: a waker where a thread would sleep. Never sleeps.

use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use crate::config::ReadIsolation;
use crate::log::log::Log;
use crate::log::waiters::Ticket;

impl Log {
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
