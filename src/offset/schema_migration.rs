//! A step between two versions of a SQL store's schema, as who looks at one sees it. Applies none.

use tidelog_format::TimestampNs;

/// A step from one version of a SQL store's schema to the next: whether a store has it, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaMigration {
    /// The version that it leads to.
    pub version: u32,
    /// What it does.
    pub description: &'static str,
    /// When it was applied; not yet, if there is none.
    pub applied_at: Option<TimestampNs>,
}
