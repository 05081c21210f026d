//! The column that holds the times: what a type counts, and its cells as nanoseconds. An ambiguous one is refused, not guessed at.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Int64Type, TimeUnit as ArrowUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};

/// What the numbers in a column of times count since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeUnit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Microseconds.
    Microseconds,
    /// Nanoseconds.
    Nanoseconds,
}

impl TimeUnit {
    /// How it is written: `s`, `ms`, `us` or `ns`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Milliseconds => "ms",
            Self::Microseconds => "us",
            Self::Nanoseconds => "ns",
        }
    }

    fn nanos(self) -> i64 {
        match self {
            Self::Seconds => 1_000_000_000,
            Self::Milliseconds => 1_000_000,
            Self::Microseconds => 1000,
            Self::Nanoseconds => 1,
        }
    }
}

/// How a column of times is read: the nanoseconds of one step of its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimeStep(i64);

impl TimeStep {
    pub(super) const MICROS: Self = Self(1000);

    /// Of the column `name`, whose unit may have been given. The error says what was expected and what was found.
    pub(super) fn of(name: &str, kind: &DataType, given: Option<TimeUnit>) -> Result<Self, String> {
        let unit = match kind {
            DataType::Int64 => given
                .or_else(|| UNITS.into_iter().find(|unit| name.strip_suffix(unit.name()).is_some_and(|rest| rest.ends_with('_'))))
                .ok_or_else(|| format!("its column {name} is INT64, and its name does not end in _s, _ms, _us or _ns: say what it counts"))?,
            _ if given.is_some() => return Err(format!("its column {name} is {kind}, which says itself what it counts: give no unit")),
            DataType::Timestamp(ArrowUnit::Second, _) => TimeUnit::Seconds,
            DataType::Timestamp(ArrowUnit::Millisecond, _) => TimeUnit::Milliseconds,
            DataType::Timestamp(ArrowUnit::Microsecond, _) => TimeUnit::Microseconds,
            DataType::Timestamp(ArrowUnit::Nanosecond, _) => TimeUnit::Nanoseconds,
            DataType::Date32 => return Ok(Self(86_400 * TimeUnit::Seconds.nanos())),
            other => return Err(format!("its column {name} is {other}, not TIMESTAMP, DATE or INT64")),
        };
        Ok(Self(unit.nanos()))
    }

    /// A number of the column in nanoseconds, if they can hold it.
    pub(super) fn nanos(self, number: i64) -> Option<i64> {
        number.checked_mul(self.0)
    }

    /// The cells of some rows in nanoseconds, or the first row whose cell is none, and what is there.
    pub(super) fn all_nanos(self, cells: &ArrayRef) -> Result<Vec<i64>, (usize, String)> {
        let Some(numbers) = numbers(cells) else { return Err((0, format!("its time is {}, which is not its type", cells.data_type()))) };
        let nanos = |(row, number): (usize, i64)| {
            if cells.is_null(row) {
                return Err((row, "it has no time".to_owned()));
            }
            self.nanos(number).ok_or_else(|| (row, format!("its time, {number}, is not in the years 1677 to 2262, which nanoseconds can hold")))
        };
        numbers.into_iter().enumerate().map(nanos).collect()
    }
}

fn numbers(cells: &ArrayRef) -> Option<Vec<i64>> {
    let numbers = match cells.data_type() {
        DataType::Int64 => cells.as_primitive::<Int64Type>().values(),
        DataType::Timestamp(ArrowUnit::Second, _) => cells.as_primitive::<TimestampSecondType>().values(),
        DataType::Timestamp(ArrowUnit::Millisecond, _) => cells.as_primitive::<TimestampMillisecondType>().values(),
        DataType::Timestamp(ArrowUnit::Microsecond, _) => cells.as_primitive::<TimestampMicrosecondType>().values(),
        DataType::Timestamp(ArrowUnit::Nanosecond, _) => cells.as_primitive::<TimestampNanosecondType>().values(),
        DataType::Date32 => return Some(cells.as_primitive::<Date32Type>().values().iter().map(|day| i64::from(*day)).collect()),
        _ => return None,
    };
    Some(numbers.to_vec())
}

const UNITS: [TimeUnit; 4] = [TimeUnit::Milliseconds, TimeUnit::Microseconds, TimeUnit::Nanoseconds, TimeUnit::Seconds];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_the_unit_of_its_name_or_the_one_given() {
        let step = |name: &str, given| TimeStep::of(name, &DataType::Int64, given).map(|step| step.0);
        assert_eq!(step("_ts_ns", None), Ok(1));
        assert_eq!(step("at_us", None), Ok(1000));
        assert_eq!(step("at_ms", None), Ok(1_000_000));
        assert_eq!(step("at_s", None), Ok(1_000_000_000));
        assert_eq!(step("at_s", Some(TimeUnit::Milliseconds)), Ok(1_000_000));
        for name in ["at", "ms", "hours", "items"] {
            assert!(step(name, None).unwrap_err().contains("say what it counts"), "{name}");
        }
    }

    #[test]
    fn other_types_have_their_own_unit() {
        let step = |kind: DataType, given| TimeStep::of("at_s", &kind, given).map(|step| step.0);
        assert_eq!(step(DataType::Timestamp(ArrowUnit::Millisecond, Some("UTC".into())), None), Ok(1_000_000));
        assert_eq!(step(DataType::Date32, None), Ok(86_400_000_000_000));
        assert!(step(DataType::Date32, Some(TimeUnit::Seconds)).is_err());
        assert!(step(DataType::UInt64, None).unwrap_err().contains("not TIMESTAMP, DATE or INT64"));
    }
}
