//! What is wrong with bytes of the consumer protocol, or with what is to become some. Holds none of them.

use thiserror::Error;

/// Why bytes are no message of the consumer protocol, or why there are none for what was given. Positions are bytes from the message's begin.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConsumerProtocolError {
    /// The message ends before it is complete: it was cut off, or is another one.
    #[error("{what} at byte {position} has {expected} bytes, and {found} are left")]
    Short {
        /// The field.
        what: &'static str,
        /// Where it is.
        position: usize,
        /// Bytes it takes.
        expected: usize,
        /// Bytes there are.
        found: usize,
    },
    /// The message goes on where it has to end: it is another one, or says the wrong version.
    #[error("the message ends at byte {position}, and {found} bytes follow")]
    Trailing {
        /// The end of the message.
        position: usize,
        /// Bytes behind it.
        found: usize,
    },
    /// A number is below zero that cannot be.
    #[error("{what} at byte {position} is {found}, and 0 at least")]
    Negative {
        /// The field.
        what: &'static str,
        /// Where it is.
        position: usize,
        /// The number.
        found: i32,
    },
    /// A name is not UTF-8.
    #[error("{what} at byte {position} is no UTF-8")]
    NotText {
        /// The field.
        what: &'static str,
        /// Where its text begins.
        position: usize,
    },
    /// There is no such version. Later ones than the newest can be read, but not written.
    #[error("there is no version {found} of the consumer protocol, versions are 0 to {supported}")]
    Unsupported {
        /// The version.
        found: i16,
        /// The newest that is known.
        supported: i16,
    },
    /// What is to be written is more than its field holds.
    #[error("{what} is {found}, and {limit} at most")]
    TooLarge {
        /// The field: bytes of a name, items of a list, or the number of a partition.
        what: &'static str,
        /// What was given.
        found: usize,
        /// What the field holds.
        limit: usize,
    },
}
