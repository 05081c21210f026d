//! The records of a subscription as a `Stream` that waits for the next one. Reads as [`Subscription::records`] does, and only waits in another way.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::log::{StoredRecord, Ticket};
use crate::subscription::error::SubscriptionError;
use crate::subscription::poll::Waiting;
use crate::subscription::subscription::Subscription;

impl Subscription {
    /// The records from here on, and those to come. Ends when the subscription or, in the writer's process, the store is closed.
    ///
    /// In the writer's process the stream is woken by the append or the sync that makes a record visible, and needs no thread while it waits. In
    /// another process each waiting stream keeps one thread of the runtime's blocking pool, in waits of a fraction of a second.
    ///
    /// ```
    /// use tidelog::{Record, Store, SubscriptionOptions};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// let orders = Store::open(dir.path())?.topic("orders")?.partition(0)?;
    /// let mut stream = orders.subscribe("audit", SubscriptionOptions::new())?.stream();
    /// orders.append(Record::new("12 apples"))?;
    /// let record = stream.next().await.transpose()?.expect("the log is open");
    /// assert_eq!(record.value(), Some(&b"12 apples"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stream(&self) -> SubscriptionStream {
        SubscriptionStream { subscription: self.clone(), state: State::Reading, ticket: None, is_waiting: false, streak: 0 }
    }
}

/// Records in offset order, the future ones included. From [`Subscription::stream`].
///
/// Damage is one error, and then reading goes on behind it; after any other error, and when the subscription or the store is closed, it has ended.
#[derive(Debug)]
#[must_use = "a stream does nothing unless polled"]
pub struct SubscriptionStream {
    subscription: Subscription,
    state: State,
    ticket: Option<Ticket>,
    /// Whether it waits as a task, and is counted.
    is_waiting: bool,
    /// Records since the last pause.
    streak: u32,
}

#[derive(Debug)]
enum State {
    Reading,
    /// Asleep on a thread of its own, for a writer in another process.
    Asleep(JoinHandle<Result<bool, SubscriptionError>>),
    Ended,
}

impl SubscriptionStream {
    /// The next record: what `StreamExt::next` gives, without that crate.
    pub async fn next(&mut self) -> Option<Result<StoredRecord, SubscriptionError>> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// The subscription.
    pub fn subscription(&self) -> &Subscription {
        &self.subscription
    }

    /// Waits until there is something to look at again: `Ready(false)` if there never will be.
    fn poll_visible(&mut self, waiting: Waiting, context: &mut Context<'_>) -> Poll<Result<bool, SubscriptionError>> {
        let Some((log, isolation)) = self.subscription.view().writer() else { return self.fall_asleep(waiting, context) };
        self.subscription.begin_waiting();
        self.is_waiting = true;
        let visible = log.poll_end(waiting.position, waiting.followed, isolation, &mut self.ticket, context);
        let is_there = match visible {
            Poll::Pending if !self.subscription.has_moved(waiting) => return Poll::Pending,
            Poll::Pending => true,
            Poll::Ready(is_there) => is_there,
        };
        self.stop_waiting();
        Poll::Ready(Ok(is_there))
    }

    /// It waits for one offset, and a seek may have gone to a lower one: each wait begins anew.
    fn stop_waiting(&mut self) {
        if let Some((log, isolation)) = self.subscription.view().writer() {
            log.forget_reader(isolation, &mut self.ticket);
        }
        if std::mem::take(&mut self.is_waiting) {
            self.subscription.end_waiting();
        }
    }

    fn fall_asleep(&mut self, waiting: Waiting, context: &mut Context<'_>) -> Poll<Result<bool, SubscriptionError>> {
        let subscription = self.subscription.clone();
        let wait = move || subscription.wait(waiting, WAIT_LIMIT);
        match Handle::try_current() {
            Ok(runtime) => {
                self.state = State::Asleep(runtime.spawn_blocking(wait));
                self.poll_asleep(context)
            }
            Err(_) => match wait() {
                Ok(false) => self.pause(context),
                other => Poll::Ready(other),
            },
        }
    }

    fn poll_asleep(&mut self, context: &mut Context<'_>) -> Poll<Result<bool, SubscriptionError>> {
        let State::Asleep(asleep) = &mut self.state else { return Poll::Ready(Ok(true)) };
        let outcome = ready!(Pin::new(asleep).poll(context));
        self.state = State::Reading;
        match outcome {
            Ok(outcome) => Poll::Ready(outcome.map(|_| true)),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The runtime shuts down.
            Err(_) => Poll::Ready(Ok(false)),
        }
    }

    /// Other tasks of the worker get their turn while this one has plenty to read.
    fn pause<T>(&mut self, context: &Context<'_>) -> Poll<T> {
        self.streak = 0;
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_item(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<StoredRecord, SubscriptionError>>> {
        self.stop_waiting();
        loop {
            let is_awake = match ready!(self.poll_asleep(context)) {
                Ok(is_awake) => is_awake,
                Err(error) if error.is_busy() => return self.pause(context),
                Err(error) => return Poll::Ready(Some(Err(error))),
            };
            if !is_awake {
                return Poll::Ready(None);
            }
            let look = match self.subscription.look_for_one() {
                Ok(look) => look,
                Err(SubscriptionError::Closed { .. }) => return Poll::Ready(None),
                // Whoever waits has the time to look again.
                Err(error) if error.is_busy() => return self.pause(context),
                Err(error) => return Poll::Ready(Some(Err(error))),
            };
            if let Some(record) = look.record {
                return Poll::Ready(Some(Ok(record)));
            }
            self.streak = 0;
            if !look.at_end {
                return self.pause(context);
            }
            match ready!(self.poll_visible(look.waiting, context)) {
                Ok(true) => {}
                Ok(false) => return Poll::Ready(None),
                Err(error) if error.is_busy() => return self.pause(context),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }
}

impl Stream for SubscriptionStream {
    type Item = Result<StoredRecord, SubscriptionError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if matches!(this.state, State::Ended) {
            return Poll::Ready(None);
        }
        if this.streak == STREAK_MAX {
            return this.pause(context);
        }
        let item = ready!(this.poll_item(context));
        this.streak += 1;
        if item.as_ref().is_none_or(|item| item.as_ref().is_err_and(|error| !error.is_damage())) {
            this.state = State::Ended;
        }
        Poll::Ready(item)
    }
}

impl Drop for SubscriptionStream {
    fn drop(&mut self) {
        self.stop_waiting();
    }
}

const STREAK_MAX: u32 = 128;
/// A dropped stream, or a runtime that shuts down, is rid of its thread after this.
const WAIT_LIMIT: Duration = Duration::from_millis(250);
