//! A subscription in numbers. Moves nothing.

use tidelog_format::Offset;

use crate::subscription::offset_spec::OffsetSpec;

/// What a subscription is, and what it has done so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionInfo {
    /// Its id.
    pub id: String,
    /// The topic, `namespace/name`, without the namespace if it is the default one.
    pub topic: String,
    /// Number of the partition in the topic.
    pub partition: u32,
    /// Where it was to begin.
    pub start: OffsetSpec,
    /// Where it began.
    pub started_at: Offset,
    /// The offset to be read next.
    pub position: Offset,
    /// Whether it was not closed.
    pub is_active: bool,
    /// Offsets that are visible and not yet read.
    pub lag: u64,
    /// Whether everything visible was read.
    pub is_at_end: bool,
    /// Records handed out; one that was sought again counts again.
    pub records_delivered: u64,
    /// Records that the filter did not let through.
    pub records_passed_by: u64,
    /// How often the position was lost, and the policy chose another.
    pub resets: u64,
}
