//! Where a subscription begins, with the offset or the time that it takes. Looks at no log.

use tidelog_format::{OFFSET_MAX, Offset, TimestampNs};

use crate::subscription::error::OffsetSpecError;
use crate::subscription::offset_type::OffsetType;

/// Where to begin, or to seek to.
///
/// ```
/// use tidelog::{OffsetSpec, OffsetSpecError};
///
/// // As a server gets it: the type's number, an offset and a time, of which the type says which one counts.
/// assert_eq!(OffsetSpec::from_wire(25, 17, 0)?, OffsetSpec::ExactOffset(17.into()));
/// assert_eq!(OffsetSpec::from_wire(10, 17, -1)?, OffsetSpec::ExactTimestamp((-1).into()));
/// assert_eq!(OffsetSpec::from_wire(30, -7, 0), Err(OffsetSpecError::Negative { found: -7 }));
/// # Ok::<(), OffsetSpecError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OffsetSpec {
    /// The group's committed offset; the first readable record, if it has none, or if there is no group.
    #[default]
    ResumeOrEarliest,
    /// The first readable record.
    ResetToEarliest,
    /// The first record, in offset order, with at least this time. If there is none yet, it is waited for: records with earlier times that come
    /// before it are passed by.
    ExactTimestamp(TimestampNs),
    /// Behind the last visible record: only what comes from now on.
    ResetToLatest,
    /// The group's committed offset; behind the last visible record, if it has none, or if there is no group.
    ResumeOrLatest,
    /// An offset, which must be in range. The end itself is: the next record is waited for.
    ExactOffset(Offset),
    /// An offset, or the nearest one in range.
    ResetToOffset(Offset),
}

impl OffsetSpec {
    /// From the fields of a request.
    ///
    /// # Errors
    /// [`OffsetSpecError::UnknownType`]; [`OffsetSpecError::Negative`], of an offset that the type asks for.
    pub fn from_wire(offset_type: i32, start_offset: i64, start_ts_ns: i64) -> Result<Self, OffsetSpecError> {
        Ok(match OffsetType::try_from(offset_type)? {
            OffsetType::ResumeOrEarliest => Self::ResumeOrEarliest,
            OffsetType::ResetToEarliest => Self::ResetToEarliest,
            OffsetType::ExactTsNs => Self::ExactTimestamp(TimestampNs::new(start_ts_ns)),
            OffsetType::ResetToLatest => Self::ResetToLatest,
            OffsetType::ResumeOrLatest => Self::ResumeOrLatest,
            OffsetType::ExactOffset => Self::ExactOffset(offset_from_wire(start_offset)?),
            OffsetType::ResetToOffset => Self::ResetToOffset(offset_from_wire(start_offset)?),
        })
    }

    /// The type, whose number goes on the wire.
    pub fn offset_type(self) -> OffsetType {
        match self {
            Self::ResumeOrEarliest => OffsetType::ResumeOrEarliest,
            Self::ResetToEarliest => OffsetType::ResetToEarliest,
            Self::ExactTimestamp(_) => OffsetType::ExactTsNs,
            Self::ResetToLatest => OffsetType::ResetToLatest,
            Self::ResumeOrLatest => OffsetType::ResumeOrLatest,
            Self::ExactOffset(_) => OffsetType::ExactOffset,
            Self::ResetToOffset(_) => OffsetType::ResetToOffset,
        }
    }

    /// No log has offsets above the largest one, not even as its end.
    pub(super) fn check(self) -> Result<(), OffsetSpecError> {
        match self {
            Self::ExactOffset(offset) | Self::ResetToOffset(offset) if offset > OFFSET_MAX => {
                Err(OffsetSpecError::TooLarge { found: offset.get(), limit: OFFSET_MAX })
            }
            _ => Ok(()),
        }
    }
}

pub(super) fn offset_from_wire(found: i64) -> Result<Offset, OffsetSpecError> {
    u64::try_from(found).map(Offset::new).map_err(|_| OffsetSpecError::Negative { found })
}
