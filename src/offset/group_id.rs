//! What a consumer group may be called.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::offset::error::OffsetStoreError;

/// The name of a consumer group: 1 to 255 bytes of text without control characters. Cheap to clone.
///
/// ```
/// use tidelog::GroupId;
///
/// let group: GroupId = "billing".parse()?;
/// assert_eq!(group.as_str(), "billing");
/// assert!("".parse::<GroupId>().is_err());
/// # Ok::<(), tidelog::OffsetStoreError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(Arc<str>);

impl GroupId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for GroupId {
    type Err = OffsetStoreError;

    fn from_str(text: &str) -> Result<Self, OffsetStoreError> {
        let why = match text {
            "" => "it is empty",
            _ if text.len() > GROUP_BYTES_MAX => "it is longer than 255 bytes",
            _ if text.chars().any(char::is_control) => "it has a control character in it",
            _ => return Ok(Self(text.into())),
        };
        Err(OffsetStoreError::InvalidGroup { name: text.to_owned(), why })
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const GROUP_BYTES_MAX: usize = 255;
