//! What a seek, or the begin of a subscription, came to. Moves nothing.

use tidelog_format::Offset;

use crate::offset::OffsetAndEpoch;

/// Where a subscription stands after a seek, and how that relates to what was asked for.
///
/// ```
/// use tidelog::{OffsetSpec, Record, SeekOutcome, Store, SubscriptionOptions};
///
/// # let dir = tempfile::tempdir()?;
/// let orders = Store::open(dir.path())?.topic("orders")?.partition(0)?;
/// orders.append(Record::new("12 apples"))?;
/// let subscription = orders.subscribe("audit", SubscriptionOptions::new())?;
/// let found = subscription.seek(OffsetSpec::ResetToOffset(1_000.into()))?;
/// assert_eq!((found.offset, found.outcome), (1.into(), SeekOutcome::Clamped { requested: 1_000.into() }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeekResult {
    /// The position: the offset to be read next.
    pub offset: Offset,
    /// Why there.
    pub outcome: SeekOutcome,
    pub(super) committed: Option<OffsetAndEpoch>,
}

impl SeekResult {
    /// What the group had committed, wherever that led, if it was asked for (`RESUME_*`), and if there was something.
    pub fn committed(&self) -> Option<OffsetAndEpoch> {
        self.committed
    }
}

/// How a position relates to what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SeekOutcome {
    /// It is what was asked for.
    Exact,
    /// What was asked for is out of range, and this is the nearest offset that is not.
    Clamped {
        /// The offset asked for.
        requested: Offset,
    },
    /// No record has the time yet: it is waited for at the end.
    NotYet,
    /// The group went on where it had committed.
    Resumed,
    /// The group has no position here, or there is no group: the first readable record, or the end, as asked for.
    NothingCommitted,
    /// What the group had committed is not there any more: the policy chose.
    Reset(Reset),
}

/// A position that was lost, and the one that [`OnOutOfRange`](crate::OnOutOfRange) chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reset {
    /// The position that was lost.
    pub from: Offset,
    /// The position since.
    pub to: Offset,
    /// How it was lost.
    pub cause: ResetCause,
}

/// How a position was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetCause {
    /// The log begins behind it: what lies between was deleted without being read.
    Deleted,
    /// A suffix was cut off that had been read: the same offsets are given to other records.
    CutOff,
}
