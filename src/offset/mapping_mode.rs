//! How many rows are kept that point into a log. Keeps none.

use std::str::FromStr;

use crate::error::ConfigError;

/// Which records have an [`OffsetMapping`](crate::OffsetMapping) in a store. Whatever it is, ranges of offsets are answered from the log: rows
/// are for who reads the store without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum MappingMode {
    /// None.
    #[default]
    Off,
    /// The first of a batch, about every 4 KiB of log.
    Sparse,
    /// Each.
    Full,
}

impl FromStr for MappingMode {
    type Err = ConfigError;

    /// `off`, `sparse` or `full`.
    fn from_str(text: &str) -> Result<Self, ConfigError> {
        match text {
            "off" => Ok(Self::Off),
            "sparse" => Ok(Self::Sparse),
            "full" => Ok(Self::Full),
            _ => Err(ConfigError::BadValue { name: "mappings", found: text.to_owned(), expected: "off, sparse or full".to_owned() }),
        }
    }
}
