//! Which records are shown: by key, by the beginning of the key, by header. All conditions must hold.

use super::Row;

/// Conditions on a record; none means all records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) key_prefix: Option<Vec<u8>>,
    pub(crate) headers: Vec<HeaderFilter>,
}

/// A header that must be there, with this value if one is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeaderFilter {
    name: Vec<u8>,
    value: Option<Vec<u8>>,
}

impl HeaderFilter {
    /// `NAME` or `NAME=VALUE`.
    pub(crate) fn parse(text: &[u8]) -> Self {
        match text.iter().position(|byte| *byte == b'=') {
            Some(at) => Self { name: text[..at].to_vec(), value: Some(text[at + 1..].to_vec()) },
            None => Self { name: text.to_vec(), value: None },
        }
    }
}

impl Filter {
    pub(crate) fn matches(&self, row: &Row<'_>) -> bool {
        let has_header = |wanted: &HeaderFilter| {
            row.headers.iter().any(|(name, value)| name.as_bytes() == wanted.name && (wanted.value.is_none() || wanted.value.as_deref() == *value))
        };
        self.key.as_deref().is_none_or(|key| row.key == Some(key))
            && self.key_prefix.as_deref().is_none_or(|prefix| row.key.is_some_and(|key| key.starts_with(prefix)))
            && self.headers.iter().all(has_header)
    }
}
