//! What a member of a group is known by while it is one. Gives out none.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

/// The id that a coordinator gave a member: 1 to 1,024 bytes of text without control characters. Cheap to clone.
///
/// ```
/// use tidelog::group::MemberId;
///
/// let member: MemberId = "billing-1-4f6c".parse()?;
/// assert_eq!(member.as_str(), "billing-1-4f6c");
/// assert!("".parse::<MemberId>().is_err());
/// # Ok::<(), tidelog::group::MemberIdError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(Arc<str>);

/// The text is no member's id: take the one that the coordinator gave.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{id:?} is no id of a member: {why}")]
pub struct MemberIdError {
    /// The text given.
    pub id: String,
    /// Which rule it breaks.
    pub why: &'static str,
}

impl MemberId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MemberId {
    type Err = MemberIdError;

    fn from_str(text: &str) -> Result<Self, MemberIdError> {
        let why = match text {
            "" => "it is empty",
            _ if text.len() > MEMBER_ID_BYTES_MAX => "it is longer than 1,024 bytes",
            _ if text.chars().any(char::is_control) => "it has a control character in it",
            _ => return Ok(Self(text.into())),
        };
        Err(MemberIdError { id: text.to_owned(), why })
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Room for a client's id and what a coordinator adds to it.
pub(super) const MEMBER_ID_BYTES_MAX: usize = 1024;
