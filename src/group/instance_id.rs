//! What a static member of a group is known by across restarts. Gives out none.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

/// The name that a static member has chosen for itself (`group.instance.id`): 1 to 249 of the characters `a-z A-Z 0-9 . _ -`, and not `.` or `..`,
/// which is Kafka's rule. Cheap to clone.
///
/// ```
/// use tidelog::group::InstanceId;
///
/// let instance: InstanceId = "billing-1".parse()?;
/// assert_eq!(instance.as_str(), "billing-1");
/// assert!("billing 1".parse::<InstanceId>().is_err());
/// # Ok::<(), tidelog::group::InstanceIdError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(Arc<str>);

/// The text is nothing that a static member may be called: choose another.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{id:?} is no id of an instance: {why}")]
pub struct InstanceIdError {
    /// The text given.
    pub id: String,
    /// Which rule it breaks.
    pub why: &'static str,
}

impl InstanceId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for InstanceId {
    type Err = InstanceIdError;

    fn from_str(text: &str) -> Result<Self, InstanceIdError> {
        let why = match text {
            "" => "it is empty",
            "." | ".." => "\".\" and \"..\" are not allowed",
            _ if text.len() > INSTANCE_ID_BYTES_MAX => "it is longer than 249 bytes",
            _ if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) => {
                "only a-z, A-Z, 0-9, \".\", \"_\" and \"-\" are allowed"
            }
            _ => return Ok(Self(text.into())),
        };
        Err(InstanceIdError { id: text.to_owned(), why })
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const INSTANCE_ID_BYTES_MAX: usize = 249;
