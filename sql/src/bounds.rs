//! What a comparison says of an integer column, as a range. Never leaves out a value for which SQLite's comparison holds; it may let others in.

use rusqlite::types::ValueRef;

/// Integers from `low` to `high`, both included; none where `low` is above `high`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) low: i64,
    pub(crate) high: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Bounds {
    pub(crate) const ALL: Self = Self { low: i64::MIN, high: i64::MAX };
    pub(crate) const NONE: Self = Self { low: i64::MAX, high: i64::MIN };

    pub(crate) fn is_empty(self) -> bool {
        self.low > self.high
    }

    pub(crate) fn contains(self, value: i64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    /// How many integers there are.
    pub(crate) fn len(self) -> f64 {
        if self.is_empty() { 0.0 } else { self.high as f64 - self.low as f64 + 1.0 }
    }

    /// Those for which the comparison with `value` holds as well.
    pub(crate) fn and(self, comparison: Comparison, value: ValueRef<'_>) -> Self {
        let other = match value {
            // No comparison with it holds.
            ValueRef::Null => Self::NONE,
            ValueRef::Integer(value) => of_integer(comparison, value),
            ValueRef::Real(value) => of_real(comparison, value),
            // A text that is a number is compared as one, and others are above all numbers: left to SQLite.
            ValueRef::Text(_) | ValueRef::Blob(_) => Self::ALL,
        };
        Self { low: self.low.max(other.low), high: self.high.min(other.high) }
    }
}

fn of_integer(comparison: Comparison, value: i64) -> Bounds {
    let from = |low: Option<i64>| low.map_or(Bounds::NONE, |low| Bounds { low, ..Bounds::ALL });
    let to = |high: Option<i64>| high.map_or(Bounds::NONE, |high| Bounds { high, ..Bounds::ALL });
    match comparison {
        Comparison::Equal => Bounds { low: value, high: value },
        Comparison::Less => to(value.checked_sub(1)),
        Comparison::LessOrEqual => to(Some(value)),
        Comparison::Greater => from(value.checked_add(1)),
        Comparison::GreaterOrEqual => from(Some(value)),
    }
}

/// Casts saturate: a number beyond the integers is taken for the last of them. One that is whole counts as if it were equal.
fn of_real(comparison: Comparison, value: f64) -> Bounds {
    let (low, high) = (value.ceil() as i64, value.floor() as i64);
    match comparison {
        Comparison::Equal => Bounds { low, high },
        Comparison::Less | Comparison::LessOrEqual => Bounds { high, ..Bounds::ALL },
        Comparison::Greater | Comparison::GreaterOrEqual => Bounds { low, ..Bounds::ALL },
    }
}
