//! Appends whose durability is awaited. The append itself is the one that threads use: a copy into the page cache, done at the call.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::error::{AppendError, SyncError};
use crate::log::{Log, RecordBatch, Ticket};
use crate::topic::partition::{Ack, Partition, PendingAck};
use crate::topic::tokio::spawn_blocking;

impl Partition {
    /// Appends records together; the future is ready when they are durable.
    ///
    /// The append is done by this call, not by the first poll: records have their offsets, in the order of the calls, when it returns.
    /// The future only waits. Dropping it takes nothing back and appends nothing twice; the records become durable with the next sync.
    /// Futures of one partition share syncs, and need one thread of the runtime's blocking pool between them, however many they are.
    /// Outside of a tokio runtime the first one that is polled syncs where it is polled.
    ///
    /// ```
    /// use tidelog::{Record, RecordBatch, Store};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// let orders = Store::open(dir.path())?.topic("orders")?.partition(0)?;
    /// let mut batch = RecordBatch::new();
    /// batch.push(&Record::new("12 apples"))?;
    /// let first = orders.append_async(&batch);
    /// let second = orders.append_async(&batch);
    /// assert_eq!(orders.log_end_offset(), 2); // both are written, in this order
    /// assert_eq!((first.await?.base_offset, second.await?.base_offset), (0.into(), 1.into()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// The task is woken by whoever syncs, in the middle of it: a waker must do no more than schedule, as those of every runtime do.
    ///
    /// # Errors
    /// From the future: [`AppendError`].
    pub fn append_async(&self, batch: &RecordBatch) -> AppendFuture {
        AppendFuture { state: self.append_deferred(batch).map(PendingAck::into_future).map_err(Some) }
    }
}

/// An append that was done, or refused; ready when that is certain. From [`Partition::append_async`].
#[derive(Debug)]
#[must_use = "await it, or the append is not known durable"]
pub struct AppendFuture {
    state: Result<AckFuture, Option<AppendError>>,
}

impl Future for AppendFuture {
    type Output = Result<Ack, AppendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.state {
            Ok(future) => {
                let base_offset = future.pending.base_offset();
                Pin::new(future).poll(context).map_err(|source| AppendError::NotDurable { base_offset, source })
            }
            // A future is not polled again once it was ready; should it be, this is as good an answer as any.
            Err(error) => Poll::Ready(Err(error.take().unwrap_or(AppendError::Closed))),
        }
    }
}

impl IntoFuture for PendingAck {
    type Output = Result<Ack, SyncError>;
    type IntoFuture = AckFuture;

    fn into_future(self) -> AckFuture {
        AckFuture { pending: self, ticket: None }
    }
}

/// Ready when an append is durable: what awaiting a [`PendingAck`] makes of it. Dropping it changes nothing.
#[derive(Debug)]
#[must_use = "await it, or the append is not known durable"]
pub struct AckFuture {
    pending: PendingAck,
    ticket: Option<Ticket>,
}

impl AckFuture {
    fn log(&self) -> &Arc<Log> {
        &self.pending.log
    }
}

impl Future for AckFuture {
    type Output = Result<Ack, SyncError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let end = this.pending.assigned.next_offset;
        if let Poll::Ready(outcome) = this.pending.log.poll_durable(end, &mut this.ticket, context) {
            return Poll::Ready(outcome.map(|()| this.pending.ack()));
        }
        if let Some(lead) = this.log().take_ack_lead() {
            // Nobody waits for the work itself: it wakes whom it serves.
            let _ = spawn_blocking(move || drop(lead));
        }
        Poll::Pending
    }
}

impl Drop for AckFuture {
    fn drop(&mut self) {
        self.pending.log.forget_ack(&mut self.ticket);
    }
}
