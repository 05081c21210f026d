//! A wait for records of one subscription among several, with a waker where a thread would sleep for one. Never sleeps.

use std::task::{Context, Poll, Waker};

use crate::log::Ticket;
use crate::subscription::error::SubscriptionError;
use crate::subscription::page::Page;
use crate::subscription::progress::Budget;
use crate::subscription::subscription::Subscription;

/// A subscription with nothing to read: its waker is called once there is, for as long as this is held.
pub(crate) struct Awaited {
    subscription: Subscription,
    ticket: Option<Ticket>,
    /// Nothing more can come, and nobody is called.
    pub(crate) has_ended: bool,
}

impl Subscription {
    /// The next page, if there is one; else `waker` is called when it is worth to look again.
    pub(crate) fn page_or_wake(&self, waker: &Waker) -> Result<Result<Page, Awaited>, SubscriptionError> {
        let limits = self.options().limits;
        let mut awaited = Awaited { subscription: self.clone(), ticket: None, has_ended: false };
        self.begin_waiting();
        loop {
            let (page, waiting) = self.look(&limits, &mut Budget::of(&limits))?;
            if !page.records.is_empty() || page.reset.is_some() {
                return Ok(Ok(page));
            }
            if !page.at_end {
                // The filter lets little through: whoever waits may have something else to do in between.
                waker.wake_by_ref();
                return Ok(Err(awaited));
            }
            let Some((log, isolation)) = self.view().writer() else { return Ok(Err(awaited)) };
            match log.poll_end(waiting.position, waiting.followed, isolation, &mut awaited.ticket, &Context::from_waker(waker)) {
                Poll::Ready(true) => {}
                // The ticket is for the offset that it stood at.
                Poll::Pending if self.has_moved(waiting) => log.forget_reader(isolation, &mut awaited.ticket),
                Poll::Pending => return Ok(Err(awaited)),
                Poll::Ready(false) => {
                    awaited.has_ended = true;
                    return Ok(Err(awaited));
                }
            }
        }
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        if let Some((log, isolation)) = self.subscription.view().writer() {
            log.forget_reader(isolation, &mut self.ticket);
        }
        self.subscription.end_waiting();
    }
}
