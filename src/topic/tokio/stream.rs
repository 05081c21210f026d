//! Records of one partition as a `Stream` that follows the end of the log. Reads as [`Reader`] does, and only waits in another way.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use tokio::task::JoinHandle;

use crate::error::ReadError;
use crate::log::{PartitionView, Reader, Start, StoredRecord, Ticket};
use crate::topic::partition::Partition;
use crate::topic::tokio::spawn_blocking;

impl PartitionView {
    /// Reads from a place on, and then whatever is appended, for as long as the log can grow.
    ///
    /// In the writer's process the stream is woken by the append or the sync that makes a record visible, and needs no thread while it
    /// waits. In another process each waiting stream keeps one thread of the runtime's blocking pool, in waits of a fraction of a second.
    /// Records are read in place: what is not in the page cache is read from the disk by the worker thread that polls.
    ///
    /// ```
    /// use tidelog::{Record, Start, Store};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// let orders = Store::open(dir.path())?.topic("orders")?.partition(0)?;
    /// let mut stream = orders.view().stream(Start::Earliest)?;
    /// orders.append(Record::new("12 apples"))?;
    /// let record = stream.next().await.transpose()?.expect("the log is open");
    /// assert_eq!(record.value(), Some(&b"12 apples"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn stream(&self, start: Start) -> Result<RecordStream, ReadError> {
        Ok(RecordStream { state: State::Reading(Box::new(self.read(start)?)), ticket: None, streak: 0 })
    }
}

impl Partition {
    /// See [`PartitionView::stream`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn stream(&self, start: Start) -> Result<RecordStream, ReadError> {
        self.view().stream(start)
    }
}

/// Records in offset order, the future ones included. From [`PartitionView::stream`].
///
/// Damage is passed by as by [`Reader`]. The stream ends after any other error, and, in the writer's process, once everything is read of a
/// store that was closed or of a partition that was poisoned.
#[derive(Debug)]
#[must_use = "a stream does nothing unless polled"]
pub struct RecordStream {
    state: State,
    ticket: Option<Ticket>,
    /// Records since the last pause.
    streak: u32,
}

#[derive(Debug)]
enum State {
    Reading(Box<Reader>),
    /// Asleep on a thread of its own, for a writer in another process.
    Asleep(JoinHandle<(Box<Reader>, Result<bool, ReadError>)>),
    Ended,
}

impl RecordStream {
    /// The next record: what `StreamExt::next` gives, without that crate.
    pub async fn next(&mut self) -> Option<Result<StoredRecord, ReadError>> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// Waits for the reader to have something to read: `Ready(false)` if it never will.
    fn poll_visible(&mut self, context: &mut Context<'_>) -> Poll<Result<bool, ReadError>> {
        loop {
            match std::mem::replace(&mut self.state, State::Ended) {
                State::Ended => return Poll::Ready(Ok(false)),
                State::Reading(reader) => match reader.view().writer() {
                    Some((log, isolation)) => {
                        let visible = log.poll_end(reader.offset().get(), reader.followed(), isolation, &mut self.ticket, context);
                        self.state = State::Reading(reader);
                        return visible.map(Ok);
                    }
                    None => match spawn_blocking(move || wait(reader)) {
                        Ok(asleep) => self.state = State::Asleep(asleep),
                        Err((reader, outcome)) => return self.settle(reader, outcome, context),
                    },
                },
                State::Asleep(mut asleep) => match Pin::new(&mut asleep).poll(context) {
                    Poll::Pending => {
                        self.state = State::Asleep(asleep);
                        return Poll::Pending;
                    }
                    Poll::Ready(Ok((reader, outcome))) => return self.settle(reader, outcome, context),
                    Poll::Ready(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                    // The runtime shuts down.
                    Poll::Ready(Err(_)) => return Poll::Ready(Ok(false)),
                },
            }
        }
    }

    fn settle(&mut self, reader: Box<Reader>, outcome: Result<bool, ReadError>, context: &mut Context<'_>) -> Poll<Result<bool, ReadError>> {
        match outcome {
            Err(error) => Poll::Ready(Err(error)),
            Ok(visible) => {
                self.state = State::Reading(reader);
                if !visible {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(Ok(true))
            }
        }
    }
}

impl Stream for RecordStream {
    type Item = Result<StoredRecord, ReadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        // Other tasks of the worker get their turn while this one has plenty to read.
        if this.streak == STREAK_MAX {
            this.streak = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            if let State::Reading(reader) = &mut this.state {
                if let Some(item) = reader.next() {
                    this.streak += 1;
                    return Poll::Ready(Some(item));
                }
                if reader.has_failed() {
                    this.state = State::Ended;
                }
            }
            this.streak = 0;
            match ready!(this.poll_visible(context)) {
                Ok(true) => {}
                Ok(false) => {
                    this.state = State::Ended;
                    return Poll::Ready(None);
                }
                Err(error) => {
                    this.state = State::Ended;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}

impl Drop for RecordStream {
    fn drop(&mut self) {
        if let State::Reading(reader) = &self.state
            && let Some((log, isolation)) = reader.view().writer()
        {
            log.forget_reader(isolation, &mut self.ticket);
        }
    }
}

fn wait(mut reader: Box<Reader>) -> (Box<Reader>, Result<bool, ReadError>) {
    let outcome = reader.wait(WAIT_LIMIT);
    (reader, outcome)
}

const STREAK_MAX: u32 = 128;
/// A dropped stream, or a runtime that shuts down, is rid of its thread after this.
const WAIT_LIMIT: Duration = Duration::from_millis(250);
