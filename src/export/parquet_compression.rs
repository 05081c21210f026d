//! How the pages of a Parquet file are compressed. Compresses nothing itself.

use std::fmt;
use std::str::FromStr;

use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;

/// How the pages of the files that an export writes are compressed.
///
/// ```
/// use tidelog::export::ParquetCompression;
///
/// assert_eq!("zstd:3".parse(), Ok(ParquetCompression::Zstd { level: 3 }));
/// assert_eq!(ParquetCompression::default().to_string(), "zstd:1");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParquetCompression {
    /// As they are: larger files, for less time.
    None,
    /// Zstandard.
    Zstd {
        /// From 1 to 22; others are taken for the nearest of these.
        level: i32,
    },
}

/// A text names no compression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found} is no compression: expected none, zstd or zstd:<level from 1 to 22>")]
pub struct CompressionError {
    found: String,
}

impl ParquetCompression {
    /// The level of Zstandard, if there is one.
    pub(super) fn level(self) -> Option<i32> {
        match self {
            Self::None => None,
            Self::Zstd { level } => Some(level.clamp(LEVEL_MIN, LEVEL_MAX)),
        }
    }

    pub(super) fn codec(self) -> Result<Compression, ParquetError> {
        Ok(match self.level() {
            None => Compression::UNCOMPRESSED,
            Some(level) => Compression::ZSTD(ZstdLevel::try_new(level)?),
        })
    }
}

impl Default for ParquetCompression {
    fn default() -> Self {
        Self::Zstd { level: LEVEL_MIN }
    }
}

/// `none`, or `zstd:` and the level.
impl fmt::Display for ParquetCompression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Zstd { level } => write!(f, "zstd:{level}"),
        }
    }
}

/// Reads what [`Display`](fmt::Display) writes; `zstd` alone is level 1.
impl FromStr for ParquetCompression {
    type Err = CompressionError;

    fn from_str(text: &str) -> Result<Self, CompressionError> {
        let level = |level: &str| level.parse().ok().filter(|level| (LEVEL_MIN..=LEVEL_MAX).contains(level));
        let found = match text {
            "none" => Some(Self::None),
            "zstd" => Some(Self::default()),
            other => other.strip_prefix("zstd:").and_then(level).map(|level| Self::Zstd { level }),
        };
        found.ok_or_else(|| CompressionError { found: text.to_owned() })
    }
}

const LEVEL_MIN: i32 = 1;
const LEVEL_MAX: i32 = 22;
