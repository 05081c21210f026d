//! Why bytes are not what they should be. Names no file: the caller knows which one it read.

use std::fmt;

/// Why a decoder refused its bytes: what was expected and what was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The slice ends before the structure does. With more bytes of the same file the answer may change.
    Truncated {
        /// Bytes that the structure needs, from its first one on.
        needed: usize,
        /// Bytes that were there.
        found: usize,
    },
    /// The structure does not begin with its magic number: it is something else.
    Magic {
        /// The magic number, little-endian.
        expected: u64,
        /// What stands in its place.
        found: u64,
    },
    /// A checksum does not match: the bytes are not those that were written.
    Checksum {
        /// Which part of the structure.
        what: &'static str,
        /// The stored checksum.
        expected: u32,
        /// The checksum of the bytes found.
        found: u32,
    },
    /// Written by a newer version, under a valid checksum. Use a newer tidelog.
    Version {
        /// The version found.
        found: u16,
        /// The newest version that this program reads.
        supported: u16,
    },
    /// Written with features that this version does not know, under a valid checksum. Use a newer tidelog.
    Incompatible {
        /// The unknown feature bits.
        bits: u32,
    },
    /// A field holds a value that no writer stores.
    Field {
        /// The field.
        what: &'static str,
        /// The value, as stored.
        found: u64,
    },
    /// Bytes are left over after the last field.
    Trailing {
        /// How many.
        bytes: usize,
    },
    /// Padding is not zero.
    Pad,
}

impl DecodeError {
    /// Whether this is a valid structure of a newer version, to be refused rather than treated as damage.
    pub fn is_unsupported(&self) -> bool {
        matches!(self, Self::Version { .. } | Self::Incompatible { .. })
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { needed, found } => write!(f, "needs {needed} bytes, {found} are there"),
            Self::Magic { expected, found } => write!(f, "magic number {found:#x} instead of {expected:#x}"),
            Self::Checksum { what, expected, found } => write!(f, "{what} checksum {found:08x} instead of the stored {expected:08x}"),
            Self::Version { found, supported } => write!(f, "format version {found}; this program reads up to {supported}"),
            Self::Incompatible { bits } => write!(f, "unknown feature bits {bits:#x}"),
            Self::Field { what, found } => write!(f, "field {what} holds the impossible value {found}"),
            Self::Trailing { bytes } => write!(f, "{bytes} bytes left over after the last field"),
            Self::Pad => write!(f, "padding is not zero"),
        }
    }
}

impl std::error::Error for DecodeError {}
