//! Finds the offset that an [`OffsetSpec`] means in a log, and whether a committed one still means what it did. Moves nothing.

use tidelog_format::{LeaderEpoch, Offset, TimestampNs};

use crate::error::ReadError;
use crate::log::{PartitionView, StoredRecord};
use crate::offset::CommittedOffset;
use crate::subscription::error::SubscriptionError;
use crate::subscription::offset_spec::OffsetSpec;
use crate::subscription::options::{GroupPosition, OnOutOfRange};
use crate::subscription::seek_result::{Reset, ResetCause, SeekOutcome, SeekResult};

/// A position in a log as it was after so many cuts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    pub(super) result: SeekResult,
    pub(super) cuts: u64,
    /// Records before the first one with this time are passed by.
    pub(super) waits_for: Option<TimestampNs>,
}

/// Where a spec leads, in a view that is up to date.
///
/// # Errors
/// [`SubscriptionError::OffsetOutOfRange`] and, under [`OnOutOfRange::Error`], [`SubscriptionError::Truncated`]; else as reading.
pub(super) fn resolve(
    view: &PartitionView,
    spec: OffsetSpec,
    group: Option<&GroupPosition>,
    policy: OnOutOfRange,
) -> Result<Target, SubscriptionError> {
    spec.check()?;
    view.refresh()?;
    let cuts = view.cuts();
    let (earliest, latest) = (view.log_start_offset(), view.end_offset());
    let mut waits_for = None;
    let (offset, outcome) = match spec {
        OffsetSpec::ResetToEarliest => (earliest, SeekOutcome::Exact),
        OffsetSpec::ResetToLatest => (latest, SeekOutcome::Exact),
        OffsetSpec::ExactOffset(requested) if requested < earliest || requested > latest => {
            return Err(SubscriptionError::OffsetOutOfRange { requested, earliest, latest });
        }
        OffsetSpec::ExactOffset(requested) => (requested, SeekOutcome::Exact),
        OffsetSpec::ResetToOffset(requested) => {
            let offset = requested.clamp(earliest, latest.max(earliest));
            (offset, if offset == requested { SeekOutcome::Exact } else { SeekOutcome::Clamped { requested } })
        }
        OffsetSpec::ExactTimestamp(timestamp) => match view.offset_for_time(timestamp)? {
            Some(offset) => (offset, SeekOutcome::Exact),
            None => {
                waits_for = Some(timestamp);
                (latest, SeekOutcome::NotYet)
            }
        },
        OffsetSpec::ResumeOrEarliest | OffsetSpec::ResumeOrLatest => {
            let committed = group.map(|group| group.store.fetch(&group.group, &group.partition)).transpose()?.flatten();
            match committed {
                Some(committed) => resume(view, &committed, policy)?,
                None => (if spec == OffsetSpec::ResumeOrEarliest { earliest } else { latest }, SeekOutcome::NothingCommitted),
            }
        }
    };
    Ok(Target { result: SeekResult { offset, outcome }, cuts, waits_for })
}

fn resume(view: &PartitionView, committed: &CommittedOffset, policy: OnOutOfRange) -> Result<(Offset, SeekOutcome), SubscriptionError> {
    match lost(view, committed)? {
        None => Ok((committed.offset, SeekOutcome::Resumed)),
        Some(lost) => {
            let reset = lost.reset(view, committed.offset, policy)?;
            Ok((reset.to, SeekOutcome::Reset(reset)))
        }
    }
}

/// How a position is lost, and where reading would go on so that nothing is left out.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lost {
    Deleted,
    /// The cut, if it is known where it was.
    CutOff(Option<Offset>),
}

impl Lost {
    /// What the policy makes of it.
    pub(super) fn reset(self, view: &PartitionView, from: Offset, policy: OnOutOfRange) -> Result<Reset, SubscriptionError> {
        let (earliest, latest) = (view.log_start_offset(), view.end_offset());
        let (cause, unread) = match self {
            Self::Deleted => (ResetCause::Deleted, earliest),
            Self::CutOff(at) => (ResetCause::CutOff, at.unwrap_or(earliest).max(earliest)),
        };
        match (policy, self) {
            (OnOutOfRange::Earliest, _) => Ok(Reset { from, to: unread, cause }),
            (OnOutOfRange::Latest, _) => Ok(Reset { from, to: latest, cause }),
            (OnOutOfRange::Error, Self::CutOff(Some(at))) => Err(SubscriptionError::Truncated { at, next: from }),
            (OnOutOfRange::Error, _) => Err(SubscriptionError::OffsetOutOfRange { requested: from, earliest, latest }),
        }
    }
}

/// Whether a committed position means other records than it did when it was committed, or none.
fn lost(view: &PartitionView, committed: &CommittedOffset) -> Result<Option<Lost>, ReadError> {
    let next = committed.offset;
    for _ in 0..ATTEMPTS {
        let (earliest, latest) = (view.log_start_offset(), view.end_offset());
        if next < earliest {
            return Ok(Some(Lost::Deleted));
        }
        let cut = match committed.leader_epoch.map(|epoch| cut_behind(view, epoch, next.min(latest))).transpose() {
            Ok(cut) => cut.flatten(),
            Err(ReadError::OffsetOutOfRange { .. } | ReadError::Truncated { .. }) => continue, // the log was cut meanwhile
            Err(error) => return Err(error),
        };
        return Ok(match cut {
            Some(at) => Some(Lost::CutOff(Some(at))),
            None if next > latest => Some(Lost::CutOff(committed.leader_epoch.map(|_| latest))),
            None => None,
        });
    }
    Err(ReadError::Busy { path: view.dir().to_owned() })
}

/// Where the records of terms up to `epoch` end, if those before `below` are not all of such terms: whoever had read up to `below` in that term had
/// read records that were cut off there since. Terms only rise, and each cut raises the term.
fn cut_behind(view: &PartitionView, epoch: LeaderEpoch, below: Offset) -> Result<Option<Offset>, ReadError> {
    match last_before(view, below)? {
        Some(last) if last.leader_epoch() > epoch => {}
        _ => return Ok(None),
    }
    // The first record at or behind `high` is of a later term, and none before `low` is.
    let (mut low, mut high) = (view.log_start_offset().get(), below.get());
    while low < high {
        let middle = low + (high - low) / 2;
        match first_from(view, Offset::new(middle))? {
            Some(record) if record.leader_epoch() <= epoch => low = record.offset().get() + 1,
            _ => high = middle,
        }
    }
    Ok(Some(Offset::new(low)))
}

/// The term of the last record before `below`: what a commit notes.
pub(super) fn term_before(view: &PartitionView, below: Offset) -> Result<Option<LeaderEpoch>, ReadError> {
    Ok(last_before(view, below)?.map(|record| record.leader_epoch()))
}

pub(super) fn last_before(view: &PartitionView, below: Offset) -> Result<Option<StoredRecord>, ReadError> {
    view.read_backwards(below)?.find(|item| !item.as_ref().is_err_and(ReadError::is_damage)).transpose()
}

fn first_from(view: &PartitionView, offset: Offset) -> Result<Option<StoredRecord>, ReadError> {
    view.read_from(offset)?.find(|item| !item.as_ref().is_err_and(ReadError::is_damage)).transpose()
}

pub(super) const ATTEMPTS: u32 = 10;
