//! Where a subscription begins, as a number on the wire. Carries no offset and no time: [`OffsetSpec`](super::OffsetSpec) does.

use std::fmt;

use crate::subscription::error::OffsetSpecError;

/// The seven ways to begin, with their numbers on the wire.
///
/// ```
/// use tidelog::OffsetType;
///
/// assert_eq!(OffsetType::try_from(25)?, OffsetType::ExactOffset);
/// assert_eq!(OffsetType::ResumeOrLatest.wire(), 20);
/// assert_eq!(
///     OffsetType::try_from(7).unwrap_err().to_string(),
///     "there is no offset type 7; there are RESUME_OR_EARLIEST 0, RESET_TO_EARLIEST 5, EXACT_TS_NS 10, RESET_TO_LATEST 15, \
///      RESUME_OR_LATEST 20, EXACT_OFFSET 25, RESET_TO_OFFSET 30",
/// );
/// # Ok::<(), tidelog::OffsetSpecError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i32)]
pub enum OffsetType {
    /// The group's committed offset, or else the first readable record.
    ResumeOrEarliest = 0, // on the wire: never renumber
    /// The first readable record.
    ResetToEarliest = 5,
    /// The first record with at least a time.
    ExactTsNs = 10,
    /// Behind the last record.
    ResetToLatest = 15,
    /// The group's committed offset, or else behind the last record.
    ResumeOrLatest = 20,
    /// An offset, which must be in range.
    ExactOffset = 25,
    /// An offset, or the nearest one in range.
    ResetToOffset = 30,
}

impl OffsetType {
    /// All of them, by number.
    pub const ALL: [Self; 7] = [
        Self::ResumeOrEarliest,
        Self::ResetToEarliest,
        Self::ExactTsNs,
        Self::ResetToLatest,
        Self::ResumeOrLatest,
        Self::ExactOffset,
        Self::ResetToOffset,
    ];

    /// The number on the wire.
    pub const fn wire(self) -> i32 {
        self as i32
    }
}

impl TryFrom<i32> for OffsetType {
    type Error = OffsetSpecError;

    fn try_from(found: i32) -> Result<Self, OffsetSpecError> {
        Self::ALL.into_iter().find(|known| known.wire() == found).ok_or(OffsetSpecError::UnknownType { found })
    }
}

impl fmt::Display for OffsetType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ResumeOrEarliest => "RESUME_OR_EARLIEST",
            Self::ResetToEarliest => "RESET_TO_EARLIEST",
            Self::ExactTsNs => "EXACT_TS_NS",
            Self::ResetToLatest => "RESET_TO_LATEST",
            Self::ResumeOrLatest => "RESUME_OR_LATEST",
            Self::ExactOffset => "EXACT_OFFSET",
            Self::ResetToOffset => "RESET_TO_OFFSET",
        })
    }
}
