//! What a subscription is opened with. Opens nothing.

use std::sync::Arc;

use crate::offset::{GroupId, OffsetStore};
use crate::subscription::filter::Filter;
use crate::subscription::offset_spec::OffsetSpec;
use crate::subscription::page_limits::PageLimits;
use crate::topic::PartitionKey;

/// Where a subscription begins, and what it hands out.
///
/// ```
/// use tidelog::{Filter, OffsetSpec, OnOutOfRange, SubscriptionOptions};
///
/// let options = SubscriptionOptions::new()
///     .start(OffsetSpec::ResetToEarliest)
///     .filter(Filter::key("customer 7"))
///     .on_out_of_range(OnOutOfRange::Earliest);
/// # let _ = options;
/// ```
#[derive(Debug, Clone, Default)]
pub struct SubscriptionOptions {
    pub(crate) start: OffsetSpec,
    pub(super) group: Option<GroupPosition>,
    pub(super) on_out_of_range: OnOutOfRange,
    pub(super) filter: Option<Filter>,
    pub(super) limits: PageLimits,
}

/// Where the position of a group in a partition is kept: what `RESUME_*` begins at, and what is committed to.
#[derive(Debug, Clone)]
pub struct GroupPosition {
    /// The group.
    pub group: GroupId,
    /// The partition's key: [`Partition::key`](crate::Partition::key).
    pub partition: PartitionKey,
    /// The store.
    pub store: Arc<dyn OffsetStore>,
}

/// What becomes of a subscription whose position is not there any more: the log begins behind it, or was cut off before it. An offset that was
/// asked for by its number is always an error.
///
/// ```
/// use tidelog::{OnOutOfRange, Record, ResetCause, Store, SubscriptionOptions};
///
/// # let dir = tempfile::tempdir()?;
/// let orders = Store::open(dir.path())?.topic("orders")?.partition(0)?;
/// for _ in 0..10 {
///     orders.append(Record::new("an order"))?;
/// }
/// let subscription = orders.subscribe("audit", SubscriptionOptions::new().on_out_of_range(OnOutOfRange::Earliest))?;
/// orders.delete_prefix(7)?;
/// let page = subscription.page()?;
/// let reset = page.reset.expect("it stood at 0");
/// assert_eq!((reset.from, reset.to, reset.cause), (0.into(), 7.into(), ResetCause::Deleted));
/// assert_eq!(page.records[0].offset(), 7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnOutOfRange {
    /// The caller is told ([`OffsetOutOfRange`](crate::SubscriptionError::OffsetOutOfRange), [`Truncated`](crate::SubscriptionError::Truncated)), at
    /// each call, until it seeks.
    #[default]
    Error,
    /// It goes on at the first readable record that it did not read: after a deletion at the log's start, after a cut where the log was cut off.
    /// Where that is not known, at the log's start.
    Earliest,
    /// It goes on at the end.
    Latest,
}

impl SubscriptionOptions {
    /// Everything from the first readable record on, in pages of 100, without a group.
    pub fn new() -> Self {
        Self::default()
    }

    /// Where to begin; by default [`OffsetSpec::ResumeOrEarliest`].
    #[must_use]
    pub fn start(mut self, start: OffsetSpec) -> Self {
        self.start = start;
        self
    }

    /// The group that it reads for.
    #[must_use]
    pub fn group(mut self, group: GroupPosition) -> Self {
        self.group = Some(group);
        self
    }

    /// What to do when the position is not there any more; by default [`OnOutOfRange::Error`].
    #[must_use]
    pub fn on_out_of_range(mut self, policy: OnOutOfRange) -> Self {
        self.on_out_of_range = policy;
        self
    }

    /// Hands out only the records that pass; the others move the position.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// Limits of a page or a poll.
    #[must_use]
    pub fn limits(mut self, limits: PageLimits) -> Self {
        self.limits = limits;
        self
    }
}
