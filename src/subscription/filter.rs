//! Which records a subscription is for. Reads nothing: it is shown one record at a time, borrowed.

use std::fmt;
use std::ops::{Bound, Not, RangeBounds};
use std::sync::Arc;

use tidelog_format::TimestampNs;

use crate::log::RecordRef;

/// A condition on records. Cheap to clone.
///
/// ```
/// use tidelog::Filter;
///
/// let apples = Filter::key_prefix("apple").or(Filter::key("pear")).and(!Filter::has_header("test"));
/// let heavy = Filter::predicate(|record| record.value().is_some_and(|value| value.len() > 1000));
/// # let _ = apples.and(heavy);
/// ```
#[derive(Clone)]
pub struct Filter(Arc<Condition>);

type Predicate = dyn Fn(&RecordRef<'_>) -> bool + Send + Sync;

enum Condition {
    Key(Vec<u8>),
    KeyPrefix(Vec<u8>),
    HasHeader(String),
    Header(String, Option<Vec<u8>>),
    Time(Bound<TimestampNs>, Bound<TimestampNs>),
    Predicate(Box<Predicate>),
    And(Filter, Filter),
    Or(Filter, Filter),
    Not(Filter),
}

impl Filter {
    /// Records with this key. An empty key is not a null one, which no record passes with.
    pub fn key(key: impl AsRef<[u8]>) -> Self {
        Self::of(Condition::Key(key.as_ref().to_owned()))
    }

    /// Records with a key that begins like this. A null key begins like nothing, not even like an empty one.
    pub fn key_prefix(prefix: impl AsRef<[u8]>) -> Self {
        Self::of(Condition::KeyPrefix(prefix.as_ref().to_owned()))
    }

    /// Records with a header of this name, whatever its value.
    pub fn has_header(name: impl Into<String>) -> Self {
        Self::of(Condition::HasHeader(name.into()))
    }

    /// Records with a header of this name and value, among others of the name or not. A null value (`None`) is not an empty one.
    pub fn header(name: impl Into<String>, value: Option<&[u8]>) -> Self {
        Self::of(Condition::Header(name.into(), value.map(<[u8]>::to_owned)))
    }

    /// Records with a time in a range, in whatever order they come.
    ///
    /// ```
    /// use tidelog::{Filter, TimestampNs};
    ///
    /// let until_2001 = Filter::time(..TimestampNs::new(978_307_200_000_000_000));
    /// # let _ = until_2001;
    /// ```
    pub fn time(range: impl RangeBounds<TimestampNs>) -> Self {
        Self::of(Condition::Time(range.start_bound().cloned(), range.end_bound().cloned()))
    }

    /// Records that `keep` says yes to. It may be asked about a record more than once, and must not use the subscription that asks it.
    pub fn predicate(keep: impl Fn(&RecordRef<'_>) -> bool + Send + Sync + 'static) -> Self {
        Self::of(Condition::Predicate(Box::new(keep)))
    }

    /// Records that pass both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self::of(Condition::And(self, other))
    }

    /// Records that pass one of them, or both.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self::of(Condition::Or(self, other))
    }

    /// Whether a record passes.
    pub fn matches(&self, record: &RecordRef<'_>) -> bool {
        match &*self.0 {
            Condition::Key(key) => record.key() == Some(key.as_slice()),
            Condition::KeyPrefix(prefix) => record.key().is_some_and(|key| key.starts_with(prefix)),
            Condition::HasHeader(name) => record.headers().any(|header| header.name == name),
            Condition::Header(name, value) => record.headers().any(|header| header.name == name && header.value == value.as_deref()),
            Condition::Time(from, to) => (*from, *to).contains(&record.timestamp()),
            Condition::Predicate(keep) => keep(record),
            Condition::And(one, other) => one.matches(record) && other.matches(record),
            Condition::Or(one, other) => one.matches(record) || other.matches(record),
            Condition::Not(filter) => !filter.matches(record),
        }
    }

    fn of(condition: Condition) -> Self {
        Self(Arc::new(condition))
    }
}

impl Not for Filter {
    type Output = Self;

    fn not(self) -> Self {
        Self::of(Condition::Not(self))
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Condition::Key(key) => write!(f, "key {:?}", key.escape_ascii().to_string()),
            Condition::KeyPrefix(prefix) => write!(f, "key prefix {:?}", prefix.escape_ascii().to_string()),
            Condition::HasHeader(name) => write!(f, "header {name:?}"),
            Condition::Header(name, None) => write!(f, "header {name:?} = null"),
            Condition::Header(name, Some(value)) => write!(f, "header {name:?} = {:?}", value.escape_ascii().to_string()),
            Condition::Time(from, to) => write!(f, "time {from:?} to {to:?}"),
            Condition::Predicate(_) => f.write_str("predicate"),
            Condition::And(one, other) => write!(f, "({one:?} and {other:?})"),
            Condition::Or(one, other) => write!(f, "({one:?} or {other:?})"),
            Condition::Not(filter) => write!(f, "not {filter:?}"),
        }
    }
}
