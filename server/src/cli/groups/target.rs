//! Where positions are to be moved to, and which offset that is in a partition. Moves none.

use tidelog::{Offset, PartitionView, ReadError, TimestampNs};

use crate::cli::read::now_ns;
use crate::cli::start::{From, FromError};

/// Exactly one of them.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct TargetArgs {
    /// To the first offset that can be read.
    #[arg(long)]
    to_earliest: bool,
    /// To the end: what comes from now on.
    #[arg(long)]
    to_latest: bool,
    /// To an offset; to the nearest that there is, if the log begins behind it or ends before it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    to_offset: Option<u64>,
    /// To the first record of this time or later (RFC 3339); to the end, if there is none.
    #[arg(long, value_name = "TIME", value_parser = time_ns)]
    to_time: Option<i64>,
    /// To the first record of so long ago (90s, 15m, 2h, 7d, or in ISO 8601 P1DT12H) or later; to the end, if there is none.
    #[arg(long, value_name = "DURATION", value_parser = ago_ns)]
    by_duration: Option<i64>,
    /// By so many offsets, forward or (-100) back, within what there is.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    shift_by: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Earliest,
    Latest,
    Offset(Offset),
    Time(TimestampNs),
    ShiftBy(i64),
}

/// An offset in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) offset: Offset,
    /// What was asked for, if there is no such offset.
    pub(super) wanted: Option<i128>,
}

impl TargetArgs {
    pub(super) fn target(&self) -> Target {
        let ago = |ns: i64| Target::Time(TimestampNs::new(now_ns().saturating_sub(ns)));
        let offset = self.to_offset.map(|offset| Target::Offset(offset.into()));
        let time = self.to_time.map(|ns| Target::Time(TimestampNs::new(ns)));
        let named = offset.or(time).or(self.by_duration.map(ago)).or(self.shift_by.map(Target::ShiftBy));
        named.unwrap_or(if self.to_latest { Target::Latest } else { Target::Earliest })
    }
}

impl Target {
    /// The offset in `view` for a position that is `before`; none if there is no position to shift.
    pub(super) fn destination(self, view: &PartitionView, before: Option<Offset>) -> Result<Option<Destination>, ReadError> {
        let marks = view.marks();
        let (earliest, latest) = (marks.log_start.offset(), marks.high_water_mark.offset());
        let within = |wanted: i128| {
            let offset =
                if wanted < earliest.get().into() { earliest } else { u64::try_from(wanted).map_or(latest, |wanted| latest.min(wanted.into())) };
            Destination { offset, wanted: (wanted != offset.get().into()).then_some(wanted) }
        };
        let exactly = |offset| Destination { offset, wanted: None };
        Ok(Some(match self {
            Self::Earliest => exactly(earliest),
            Self::Latest => exactly(latest),
            Self::Offset(offset) => within(offset.get().into()),
            Self::Time(time) => exactly(view.offset_for_time(time)?.map_or(latest, |offset| offset.min(latest))),
            Self::ShiftBy(by) => match before {
                Some(before) => within(i128::from(before.get()) + i128::from(by)),
                None => return Ok(None),
            },
        }))
    }
}

fn time_ns(text: &str) -> Result<i64, String> {
    match text.parse() {
        Ok(From::TimeNs(ns)) => Ok(ns),
        Err(error @ FromError::Time(_)) => Err(error.to_string()),
        _ => Err("expected an RFC 3339 time, as 2024-05-01T00:00:00Z".to_owned()),
    }
}

fn ago_ns(text: &str) -> Result<i64, String> {
    match text.parse() {
        Ok(From::AgoNs(ns)) => Ok(ns),
        Err(error @ (FromError::TooLongAgo | FromError::NoFixedLength | FromError::Duration(_))) => Err(error.to_string()),
        _ => Err("expected a duration, as 90s, 15m, 2h, 7d or P1DT12H".to_owned()),
    }
}
