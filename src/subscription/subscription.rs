//! One subscriber of a partition: where it is, what it is handed out, and how far behind it is. Keeps no record, and assigns no offset.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};
use tidelog_format::{Offset, TimestampNs};

use crate::log::{PartitionView, Reader};
use crate::subscription::error::{OffsetSpecError, SubscriptionError};
use crate::subscription::offset_spec::OffsetSpec;
use crate::subscription::options::{GroupPosition, SubscriptionOptions};
use crate::subscription::page::RecordRange;
use crate::subscription::progress::{Progress, check_not_cut};
use crate::subscription::resolve::resolve;
use crate::subscription::seek_result::{Reset, SeekResult};
use crate::subscription::subscription_info::SubscriptionInfo;
use crate::topic::Partition;

/// A subscriber's place in one partition. Clones share it, also between threads: each record is handed out to one of them.
///
/// Many subscriptions at one partition share its mapped segments. Records carry their own offsets, which need not be dense.
///
/// ```
/// use std::time::Duration;
/// use tidelog::{OffsetSpec, Record, Store, SubscriptionOptions};
///
/// # let dir = tempfile::tempdir()?;
/// let orders = Store::open(dir.path())?.topic("orders")?.partition(0)?;
/// let subscription = orders.subscribe("audit", SubscriptionOptions::new().start(OffsetSpec::ResetToEarliest))?;
/// orders.append(Record::new("12 apples"))?;
/// let page = subscription.poll(Duration::from_secs(5))?; // woken by the append
/// assert_eq!(page.records[0].value(), Some(&b"12 apples"[..]));
/// assert_eq!((page.next_offset, page.at_end, subscription.lag()?), (1.into(), true, 0));
/// subscription.seek_to_offset(0)?;
/// assert_eq!(subscription.lag()?, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Subscription {
    shared: Arc<Shared>,
}

struct Shared {
    id: String,
    view: PartitionView,
    options: SubscriptionOptions,
    started: SeekResult,
    is_active: AtomicBool,
    /// Seeks, and the close: whoever waits looks again.
    moves: AtomicU64,
    /// How many wait for it, threads and tasks: without any, a seek wakes nobody.
    waiting: AtomicU32,
    progress: Mutex<Progress>,
    /// Held by the commit under way, which comes before `progress`.
    committing: Mutex<()>,
}

impl PartitionView {
    /// Subscribes to this partition, under an id that whoever keeps subscriptions knows it by: 1 to 255 bytes.
    ///
    /// # Errors
    /// [`SubscriptionError`]; nothing is left behind.
    pub fn subscribe(&self, id: &str, options: SubscriptionOptions) -> Result<Subscription, SubscriptionError> {
        Subscription::open(id, self.clone(), options)
    }
}

impl Partition {
    /// See [`PartitionView::subscribe`].
    ///
    /// # Errors
    /// [`SubscriptionError`].
    pub fn subscribe(&self, id: &str, options: SubscriptionOptions) -> Result<Subscription, SubscriptionError> {
        self.view().subscribe(id, options)
    }
}

impl Subscription {
    fn open(id: &str, view: PartitionView, options: SubscriptionOptions) -> Result<Self, SubscriptionError> {
        if id.is_empty() || id.len() > ID_BYTES_MAX {
            return Err(SubscriptionError::InvalidId { id: id.to_owned(), limit: ID_BYTES_MAX });
        }
        options.limits.check()?;
        let target = resolve(&view, options.start, options.group.as_ref(), options.on_out_of_range)?;
        let progress = Mutex::new(Progress::new(&view, &target));
        let (id, is_active, started) = (id.to_owned(), AtomicBool::new(true), target.result);
        let (moves, waiting) = (AtomicU64::new(0), AtomicU32::new(0));
        Ok(Self { shared: Arc::new(Shared { id, view, options, started, is_active, moves, waiting, progress, committing: Mutex::new(()) }) })
    }

    /// The id.
    pub fn id(&self) -> &str {
        &self.shared.id
    }

    /// The partition.
    pub fn view(&self) -> &PartitionView {
        &self.shared.view
    }

    /// The group that it reads for.
    pub fn group(&self) -> Option<&GroupPosition> {
        self.options().group.as_ref()
    }

    pub(super) fn options(&self) -> &SubscriptionOptions {
        &self.shared.options
    }

    /// Seeks and closes so far.
    pub(super) fn moves(&self) -> u64 {
        self.shared.moves.load(Ordering::SeqCst)
    }

    /// Where it began, and why there.
    pub fn started(&self) -> SeekResult {
        self.shared.started
    }

    /// The offset to be read next; of one that was closed, the offset that would have been.
    pub fn position(&self) -> Offset {
        self.shared.progress.lock().position()
    }

    /// Whether it was not closed.
    pub fn is_active(&self) -> bool {
        self.shared.is_active.load(Ordering::Acquire)
    }

    /// How many offsets are visible and not yet read. Those that were deleted unread do not count.
    ///
    /// # Errors
    /// [`SubscriptionError::Closed`]; [`SubscriptionError::Read`] if a read-only view cannot be brought up to date.
    pub fn lag(&self) -> Result<u64, SubscriptionError> {
        self.view().refresh()?;
        Ok(self.lag_at(self.active()?.position()))
    }

    /// Whether everything visible was read.
    ///
    /// # Errors
    /// As [`lag`](Self::lag).
    pub fn is_at_end(&self) -> Result<bool, SubscriptionError> {
        self.view().refresh()?;
        Ok(self.active()?.position() >= self.view().end_offset())
    }

    /// The policy's last choice, if it has ever had to choose.
    pub fn last_reset(&self) -> Option<Reset> {
        self.shared.progress.lock().last_reset
    }

    /// Everything there is to know about it, at one moment, and as its view is: of a read-only one, as it was when somebody last looked.
    pub fn info(&self) -> SubscriptionInfo {
        let progress = self.shared.progress.lock();
        let (position, view, counts) = (progress.position(), self.view(), progress.counts);
        SubscriptionInfo {
            id: self.id().to_owned(),
            topic: view.topic().to_owned(),
            partition: view.index(),
            start: self.options().start,
            started_at: self.started().offset,
            position,
            is_active: self.is_active(),
            lag: self.lag_at(position),
            is_at_end: position >= view.end_offset(),
            records_delivered: counts.delivered,
            records_passed_by: counts.passed_by,
            resets: counts.resets,
        }
    }

    /// Goes on elsewhere. What was asked for is looked for first: if it cannot be had, nothing moves.
    ///
    /// # Errors
    /// [`SubscriptionError`].
    pub fn seek(&self, spec: OffsetSpec) -> Result<SeekResult, SubscriptionError> {
        drop(self.active()?);
        let options = self.options();
        let target = resolve(self.view(), spec, options.group.as_ref(), options.on_out_of_range)?;
        self.active()?.go_to(&target);
        self.disturb();
        Ok(target.result)
    }

    /// Goes on at an offset.
    ///
    /// # Errors
    /// [`SubscriptionError::OffsetOutOfRange`] outside of log start..=end; as [`seek`](Self::seek).
    pub fn seek_to_offset(&self, offset: impl Into<Offset>) -> Result<SeekResult, SubscriptionError> {
        self.seek(OffsetSpec::ExactOffset(offset.into()))
    }

    /// Goes on at the first record, in offset order, with at least this time, or waits for it.
    ///
    /// # Errors
    /// As [`seek`](Self::seek).
    pub fn seek_to_time(&self, timestamp: TimestampNs) -> Result<SeekResult, SubscriptionError> {
        self.seek(OffsetSpec::ExactTimestamp(timestamp))
    }

    /// Passes by so many offsets, whether they have records or not.
    ///
    /// # Errors
    /// [`SubscriptionError::OffsetOutOfRange`] behind the end, and where the position was deleted; [`SubscriptionError::Truncated`] where it was cut
    /// off; [`OffsetSpecError::TooLarge`] behind the end of every log. Nothing moves then.
    pub fn advance(&self, count: u64) -> Result<Offset, SubscriptionError> {
        let mut progress = self.active()?;
        let too_large = OffsetSpecError::TooLarge { found: u64::MAX, limit: tidelog_format::OFFSET_MAX };
        let position = progress.position();
        let requested = position.get().checked_add(count).ok_or(too_large)?;
        let target = resolve(self.view(), OffsetSpec::ExactOffset(Offset::new(requested)), None, self.options().on_out_of_range);
        // After that look at the log: what was cut or deleted before it is told, and what is later is found by the next move.
        check_not_cut(self.view(), progress.followed(), position)?;
        let earliest = self.view().log_start_offset();
        if position < earliest {
            return Err(SubscriptionError::OffsetOutOfRange { requested: position, earliest, latest: self.view().end_offset() });
        }
        let target = target?;
        progress.go_to(&target);
        drop(progress);
        self.disturb();
        Ok(target.result.offset)
    }

    /// The next `count` records from the position on, as a range of offsets; fewer, if there are not so many. Reads the batches that they are in
    /// only where it is not known without that each offset has a record: in segments with gaps, and in the last one of a log that another process
    /// writes. Moves nothing. The filter does not count.
    ///
    /// # Errors
    /// As reading. What is known to be damaged, or found to be, does not count; where it does not look, damage that nobody has found yet does.
    pub fn offset_range(&self, count: u64) -> Result<RecordRange, SubscriptionError> {
        self.view().refresh()?;
        let progress = self.active()?;
        let (position, followed) = (progress.position(), progress.followed());
        drop(progress); // the reading takes its time
        let mut reader = Reader::new(self.view().clone(), position.get());
        reader.go_on_at(position.get(), followed);
        let passed = if count > 0 { reader.pass_dense(count)? } else { 0 };
        let mut range = RecordRange { start: position, end: reader.offset(), count: passed };
        while range.count < count
            && let Some(item) = reader.next_ref()
        {
            match item {
                Ok(record) => {
                    range.start = if range.count == 0 { record.offset() } else { range.start };
                    range.end = Offset::new(record.offset().get() + 1);
                    range.count += 1;
                }
                Err(error) if error.is_damage() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(range)
    }

    /// Ends it: nothing is handed out or committed any more, and whoever waits is told. Closing it again does nothing.
    pub fn close(&self) {
        // Under the lock: what is handed out at this moment is handed out before.
        let progress = self.shared.progress.lock();
        self.shared.is_active.store(false, Ordering::Release);
        drop(progress);
        self.disturb();
        // A commit under way may belong to what another reader of the group takes over now.
        drop(self.begin_commit());
    }

    /// Commits come one after the other, so that none that was called earlier ends later.
    pub(super) fn begin_commit(&self) -> MutexGuard<'_, ()> {
        self.shared.committing.lock()
    }

    fn disturb(&self) {
        self.shared.moves.fetch_add(1, Ordering::SeqCst);
        // Either who is about to wait sees the move, or this sees who waits.
        if self.shared.waiting.load(Ordering::SeqCst) > 0 {
            self.view().wake_waiting();
        }
    }

    /// Somebody is about to wait: before the last look at [`moves`](Self::moves).
    pub(super) fn begin_waiting(&self) {
        self.shared.waiting.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn end_waiting(&self) {
        self.shared.waiting.fetch_sub(1, Ordering::SeqCst);
    }

    /// Its place, if it was not closed.
    pub(super) fn active(&self) -> Result<MutexGuard<'_, Progress>, SubscriptionError> {
        let progress = self.shared.progress.lock();
        if self.is_active() { Ok(progress) } else { Err(SubscriptionError::Closed { id: self.id().to_owned() }) }
    }

    fn lag_at(&self, position: Offset) -> u64 {
        self.view().end_offset().get().saturating_sub(position.max(self.view().log_start_offset()).get())
    }
}

/// Without waiting for whoever is just reading, perhaps for a predicate that shows it.
impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Subscription");
        shown.field("id", &self.id()).field("topic", &self.view().topic()).field("partition", &self.view().index());
        match self.shared.progress.try_lock() {
            Some(progress) => shown.field("position", &progress.position()),
            None => shown.field("position", &format_args!("<in use>")),
        };
        shown.field("is_active", &self.is_active()).finish_non_exhaustive()
    }
}

const ID_BYTES_MAX: usize = 255;
