//! Finds the offset that an [`OffsetSpec`] means in a log, and whether a committed one still means what it did. Moves nothing.

use tidelog_format::{LeaderEpoch, Offset, TimestampNs};

use crate::error::ReadError;
use crate::log::{PartitionView, StoredRecord};
use crate::offset::{CommittedOffset, OffsetAndEpoch};
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
    // Before the view is brought up to date, which then shows the records that the group had read.
    let committed = committed(spec, group)?;
    view.refresh()?;
    let mut cuts = view.cuts();
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
        OffsetSpec::ResumeOrEarliest | OffsetSpec::ResumeOrLatest => match &committed {
            Some(committed) => {
                let resumed;
                (resumed, cuts) = resume(view, committed, policy)?;
                resumed
            }
            None => (if spec == OffsetSpec::ResumeOrEarliest { earliest } else { latest }, SeekOutcome::NothingCommitted),
        },
    };
    let committed = committed.as_ref().map(OffsetAndEpoch::from);
    Ok(Target { result: SeekResult { offset, outcome, committed }, cuts, waits_for })
}

/// What the group committed, if the spec asks for it.
fn committed(spec: OffsetSpec, group: Option<&GroupPosition>) -> Result<Option<CommittedOffset>, SubscriptionError> {
    let resumes = matches!(spec, OffsetSpec::ResumeOrEarliest | OffsetSpec::ResumeOrLatest);
    match group.filter(|_| resumes) {
        Some(group) => Ok(group.store.fetch(&group.group, &group.partition)?),
        None => Ok(None),
    }
}

/// Where a group goes on, in a log as it was after so many cuts.
fn resume(view: &PartitionView, committed: &CommittedOffset, policy: OnOutOfRange) -> Result<((Offset, SeekOutcome), u64), SubscriptionError> {
    let (lost, cuts) = lost(view, committed)?;
    let found = match lost {
        None => (committed.offset, SeekOutcome::Resumed),
        Some(lost) => {
            let reset = lost.reset(view, committed.offset, policy)?;
            (reset.to, SeekOutcome::Reset(reset))
        }
    };
    Ok((found, cuts))
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

/// Whether a committed position means other records than it did when it was committed, or none; and the cuts that this has regard to.
fn lost(view: &PartitionView, committed: &CommittedOffset) -> Result<(Option<Lost>, u64), ReadError> {
    let next = committed.offset;
    for attempt in 0..ATTEMPTS {
        let cuts = view.cuts();
        let (earliest, latest, log_end) = (view.log_start_offset(), view.end_offset(), view.log_end_offset());
        if next < earliest {
            return Ok((Some(Lost::Deleted), cuts));
        }
        let cut = match committed.leader_epoch.map(|epoch| cut_behind(view, epoch, next.min(latest))).transpose() {
            Ok(cut) => cut.flatten(),
            Err(ReadError::OffsetOutOfRange { .. } | ReadError::Truncated { .. }) => continue, // the log was cut meanwhile
            Err(error) => return Err(error),
        };
        let lost = match cut {
            Some(at) => Some(Lost::CutOff(Some(at))),
            // It may be this view that has not heard of what was read elsewhere; what is written is not gone, only not known to be there for good.
            None if next > latest && (attempt == 0 || next <= log_end) => {
                view.refresh()?;
                continue;
            }
            None if next > latest => Some(Lost::CutOff(committed.leader_epoch.map(|_| latest))),
            None => None,
        };
        return Ok((lost, cuts));
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
pub(crate) fn term_before(view: &PartitionView, below: Offset) -> Result<Option<LeaderEpoch>, ReadError> {
    Ok(last_before(view, below)?.map(|record| record.leader_epoch()))
}

pub(super) fn last_before(view: &PartitionView, below: Offset) -> Result<Option<StoredRecord>, ReadError> {
    view.read_backwards(below)?.find(|item| !item.as_ref().is_err_and(ReadError::is_damage)).transpose()
}

fn first_from(view: &PartitionView, offset: Offset) -> Result<Option<StoredRecord>, ReadError> {
    view.read_from(offset)?.find(|item| !item.as_ref().is_err_and(ReadError::is_damage)).transpose()
}

pub(super) const ATTEMPTS: u32 = 10;
