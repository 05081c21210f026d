//! What can be wrong with input, with the place where it is wrong. Decides nothing: the command stops or skips.

use std::io;

use super::decimal::DecimalError;

/// An error of the input, with where it was found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    /// The file cannot be read, or is damaged in its compression: check the file and start again.
    #[error("{name}: reading after byte {position}")]
    Read {
        /// The file, or `standard input`.
        name: String,
        /// Decompressed bytes read before.
        position: u64,
        /// What the system said.
        source: io::Error,
    },
    /// One line or row does not fit: mend it, or let it be kept aside.
    #[error("{name}: line {line}: {reason}")]
    Line {
        /// The file, or `standard input`.
        name: String,
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        reason: LineError,
    },
    /// The frame at this position is wrong, and with it everything behind it.
    #[error("{name}: frame {frame} at byte {position}: {reason}")]
    Frame {
        /// The file, or `standard input`.
        name: String,
        /// Counted from 1.
        frame: u64,
        /// Decompressed bytes before it.
        position: u64,
        /// What is wrong with it.
        reason: LineError,
    },
}

impl InputError {
    /// Whether what follows can still be read: the line may be kept aside and the rest imported.
    pub(crate) fn can_skip(&self) -> bool {
        matches!(self, Self::Line { reason, .. } if !matches!(reason, LineError::RowTooLong { .. } | LineError::OpenQuote | LineError::DuplicateColumn { .. }))
    }
}

/// Why a line, row or frame does not fit.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LineError {
    /// More bytes than a record may have.
    #[error("longer than {limit} bytes, the most that one record may have")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// A CSV row that does not end: most likely a quote that is not closed.
    #[error("a row longer than {limit} bytes; is a quote left open?")]
    RowTooLong {
        /// The limit.
        limit: usize,
    },
    /// Text was expected.
    #[error("not UTF-8 after byte {valid_bytes}")]
    NotUtf8 {
        /// Bytes that are UTF-8.
        valid_bytes: usize,
    },
    /// JSON was expected.
    #[error("not JSON: {0}")]
    NotJson(#[source] tidelog::export::JsonError),
    /// A line without anything is no JSON value.
    #[error("an empty line, where a JSON value was expected")]
    Empty,
    /// `--timestamp` names nothing in this line.
    #[error("no value at {path}, where the timestamp was expected")]
    NoTimestamp {
        /// As it was given.
        path: String,
    },
    /// Text that is no time.
    #[error("{found:?} is not an RFC 3339 time: {reason}")]
    NotRfc3339 {
        /// What stands there, shortened.
        found: String,
        /// What the parser missed.
        reason: String,
    },
    /// A number without a unit says nothing.
    #[error("the timestamp is the number {found}: say what it counts with --timestamp-unit s|ms|us|ns")]
    UnitMissing {
        /// What stands there, shortened.
        found: String,
    },
    /// A number that is no nanosecond of the years 1677 to 2262.
    #[error("{found} is not a usable timestamp: {reason}")]
    Number {
        /// What stands there, shortened.
        found: String,
        /// What is wrong with it.
        reason: DecimalError,
    },
    /// Neither a string nor a number.
    #[error("{found} is neither an RFC 3339 string nor a number, where the timestamp was expected")]
    NotATime {
        /// What stands there, shortened.
        found: String,
    },
    /// A row with more or fewer fields than the header row.
    #[error("{}, where the header row has {expected}", crate::output::counted(*found as u64, "field", "fields"))]
    Ragged {
        /// Fields in the header row.
        expected: usize,
        /// Fields in this row.
        found: usize,
    },
    /// Two columns of one name cannot be one JSON object.
    #[error("the column {name:?} is there twice")]
    DuplicateColumn {
        /// The name.
        name: String,
    },
    /// The file ends inside quotes.
    #[error("the input ends inside a quoted field")]
    OpenQuote,
    /// Fewer bytes than the frame says.
    #[error("the input ends after {found} of {expected} bytes")]
    CutFrame {
        /// Bytes of the frame.
        expected: u64,
        /// Bytes that are there.
        found: u64,
    },
}

impl LineError {
    /// JSON was expected, in a part of the line.
    pub(crate) fn not_json(error: serde_json::Error) -> Self {
        Self::NotJson(error.into())
    }
}

/// The beginning of `text`, enough to recognize it in a message.
pub(crate) fn shorten(text: &str) -> String {
    const SHOWN_CHARS: usize = 40;
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}
