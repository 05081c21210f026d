//! An offset, and the term that it stands behind. Says nothing about when it was committed, or by whom.

use std::fmt;

use tidelog_format::{LeaderEpoch, Offset};

use crate::offset::committed_offset::CommittedOffset;

/// What tells one position of a group from another: after a cut, the same offset stands behind other records, and these are of a higher term.
///
/// ```
/// use tidelog::{CommittedOffset, OffsetAndEpoch, TimestampNs};
///
/// let committed = CommittedOffset::new(7, TimestampNs::new(0));
/// assert_eq!(OffsetAndEpoch::from(&committed), OffsetAndEpoch { offset: 7.into(), leader_epoch: None });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetAndEpoch {
    /// The next one to read.
    pub offset: Offset,
    /// The term of the last record below it, if it is known.
    pub leader_epoch: Option<LeaderEpoch>,
}

impl From<&CommittedOffset> for OffsetAndEpoch {
    fn from(committed: &CommittedOffset) -> Self {
        Self { offset: committed.offset, leader_epoch: committed.leader_epoch }
    }
}

impl fmt::Display for OffsetAndEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.leader_epoch {
            Some(epoch) => write!(f, "{} of term {}", self.offset, epoch.get()),
            None => write!(f, "{}", self.offset),
        }
    }
}
