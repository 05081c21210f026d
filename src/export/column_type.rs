//! The types that a declared column may have: as people write them, as Arrow and as Delta name them. Holds no values.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use serde_json::{Value, json};

/// What the values of a declared column are.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ColumnType {
    /// `bool`: `true` and `false`.
    Bool,
    /// `int32`: a number without a fraction.
    Int32,
    /// `int64`: a number without a fraction.
    Int64,
    /// `float32`: any number that is not too large for it, rounded.
    Float32,
    /// `float64`: any number that is not too large for it, rounded.
    Float64,
    /// `decimal(p,s)`: a number, or one as a string, with at most `p` digits in all (1 to 38) and `s` behind the point.
    Decimal {
        /// Digits in all.
        precision: u8,
        /// Digits behind the point.
        scale: u8,
    },
    /// `string`.
    String,
    /// `binary`: a string of Base64 (RFC 4648, with padding).
    Binary,
    /// `date`: a string `2006-01-02`.
    Date,
    /// `time`: a string `15:04:05.999999`, in microseconds.
    Time,
    /// `timestamp(unit)` and `timestamp(unit, UTC)`, unit one of `ms`, `us`, `ns`: a string as of RFC 3339, without an offset or with one, or
    /// a whole number of units since 1970.
    Timestamp {
        /// How fine it is; what is finer does not fit.
        unit: TimestampUnit,
        /// Whether it is an instant, and not what a clock on a wall shows.
        is_utc: bool,
    },
    /// `list<T>`: an array.
    List(Box<Self>),
    /// `struct<name: T, ...>`: an object. Members that are not named are left out.
    Struct(Vec<(String, Self)>),
}

/// What a timestamp counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampUnit {
    /// `ms`.
    Milliseconds,
    /// `us`.
    Microseconds,
    /// `ns`: Spark does not read it.
    Nanoseconds,
}

/// A text that is no type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no type: expected {expected} at character {at}")]
pub struct TypeError {
    text: String,
    expected: &'static str,
    at: usize,
}

impl ColumnType {
    pub(super) fn arrow(&self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int32 => DataType::Int32,
            Self::Int64 => DataType::Int64,
            Self::Float32 => DataType::Float32,
            Self::Float64 => DataType::Float64,
            Self::Decimal { precision, scale } => DataType::Decimal128(*precision, scale.cast_signed()),
            Self::String => DataType::Utf8,
            Self::Binary => DataType::Binary,
            Self::Date => DataType::Date32,
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::Timestamp { unit, is_utc } => DataType::Timestamp(unit.arrow(), is_utc.then(|| super::schema::UTC.into())),
            Self::List(item) => DataType::List(item.list_item()),
            Self::Struct(_) => DataType::Struct(self.fields()),
        }
    }

    pub(super) fn list_item(&self) -> Arc<Field> {
        Arc::new(Field::new("element", self.arrow(), true))
    }

    /// Of a struct.
    pub(super) fn fields(&self) -> Fields {
        let Self::Struct(fields) = self else { return Fields::empty() };
        fields.iter().map(|(name, kind)| Field::new(name, kind.arrow(), true)).collect()
    }

    /// The type in a Delta schema. `None` if its version has none for it: then the column is in the files alone.
    pub(super) fn delta(&self) -> Option<Value> {
        Some(match self {
            Self::Bool => json!("boolean"),
            Self::Int32 => json!("integer"),
            Self::Int64 => json!("long"),
            Self::Float32 => json!("float"),
            Self::Float64 => json!("double"),
            Self::Decimal { precision, scale } => json!(format!("decimal({precision},{scale})")),
            Self::String => json!("string"),
            Self::Binary => json!("binary"),
            Self::Date => json!("date"),
            Self::Timestamp { unit: TimestampUnit::Milliseconds | TimestampUnit::Microseconds, is_utc: true } => json!("timestamp"),
            Self::Time | Self::Timestamp { .. } => return None,
            Self::List(item) => json!({ "type": "array", "elementType": item.delta()?, "containsNull": true }),
            Self::Struct(fields) => {
                let field = |(name, kind): &(String, Self)| Some(json!({ "name": name, "type": kind.delta()?, "nullable": true, "metadata": {} }));
                json!({ "type": "struct", "fields": fields.iter().map(field).collect::<Option<Vec<_>>>()? })
            }
        })
    }
}

impl TimestampUnit {
    fn arrow(self) -> TimeUnit {
        match self {
            Self::Milliseconds => TimeUnit::Millisecond,
            Self::Microseconds => TimeUnit::Microsecond,
            Self::Nanoseconds => TimeUnit::Nanosecond,
        }
    }

    /// Nanoseconds in one.
    pub(super) fn nanoseconds(self) -> i128 {
        match self {
            Self::Milliseconds => 1_000_000,
            Self::Microseconds => 1_000,
            Self::Nanoseconds => 1,
        }
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("bool"),
            Self::Int32 => f.write_str("int32"),
            Self::Int64 => f.write_str("int64"),
            Self::Float32 => f.write_str("float32"),
            Self::Float64 => f.write_str("float64"),
            Self::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            Self::String => f.write_str("string"),
            Self::Binary => f.write_str("binary"),
            Self::Date => f.write_str("date"),
            Self::Time => f.write_str("time"),
            Self::Timestamp { unit, is_utc } => {
                let unit = match unit {
                    TimestampUnit::Milliseconds => "ms",
                    TimestampUnit::Microseconds => "us",
                    TimestampUnit::Nanoseconds => "ns",
                };
                write!(f, "timestamp({unit}{})", if *is_utc { ", UTC" } else { "" })
            }
            Self::List(item) => write!(f, "list<{item}>"),
            Self::Struct(fields) => {
                f.write_str("struct<")?;
                for (number, (name, kind)) in fields.iter().enumerate() {
                    write!(f, "{}{name}: {kind}", if number == 0 { "" } else { ", " })?;
                }
                f.write_str(">")
            }
        }
    }
}

impl FromStr for ColumnType {
    type Err = TypeError;

    fn from_str(text: &str) -> Result<Self, TypeError> {
        let mut parser = Parser { text, rest: text.trim_start(), depth: 0 };
        let kind = parser.kind()?;
        if parser.rest.is_empty() { Ok(kind) } else { Err(parser.expected("nothing more")) }
    }
}

struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn kind(&mut self) -> Result<ColumnType, TypeError> {
        let before = self.rest;
        let kind = match self.word() {
            "bool" => ColumnType::Bool,
            "int32" => ColumnType::Int32,
            "int64" => ColumnType::Int64,
            "float32" => ColumnType::Float32,
            "float64" => ColumnType::Float64,
            "string" => ColumnType::String,
            "binary" => ColumnType::Binary,
            "date" => ColumnType::Date,
            "time" => ColumnType::Time,
            "decimal" => self.decimal()?,
            "timestamp" => self.timestamp()?,
            "list" => {
                self.take("<", "'<'")?;
                let item = self.nested()?;
                self.take(">", "'>'")?;
                ColumnType::List(Box::new(item))
            }
            "struct" => self.fields()?,
            _ => {
                self.rest = before;
                return Err(self.expected(
                    "bool, int32, int64, float32, float64, decimal(p,s), string, binary, date, time, timestamp(unit), timestamp(unit, UTC), list<T> or struct<name: T>",
                ));
            }
        };
        Ok(kind)
    }

    fn nested(&mut self) -> Result<ColumnType, TypeError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.expected("a type less deep"));
        }
        let kind = self.kind()?;
        self.depth -= 1;
        Ok(kind)
    }

    fn decimal(&mut self) -> Result<ColumnType, TypeError> {
        self.take("(", "'('")?;
        let precision = self.number(1..=DECIMAL_DIGITS_MAX, "1 to 38 digits")?;
        self.take(",", "','")?;
        let scale = self.number(0..=precision, "at most as many digits behind the point as in all")?;
        self.take(")", "')'")?;
        Ok(ColumnType::Decimal { precision, scale })
    }

    fn timestamp(&mut self) -> Result<ColumnType, TypeError> {
        self.take("(", "'('")?;
        let before = self.rest;
        let unit = match self.word() {
            "ms" => TimestampUnit::Milliseconds,
            "us" => TimestampUnit::Microseconds,
            "ns" => TimestampUnit::Nanoseconds,
            _ => {
                self.rest = before;
                return Err(self.expected("ms, us or ns"));
            }
        };
        let is_utc = self.take(",", "','").is_ok();
        if is_utc {
            self.take("UTC", "UTC")?;
        }
        self.take(")", "')'")?;
        Ok(ColumnType::Timestamp { unit, is_utc })
    }

    fn fields(&mut self) -> Result<ColumnType, TypeError> {
        self.take("<", "'<'")?;
        let mut fields: Vec<(String, ColumnType)> = Vec::new();
        loop {
            let before = self.rest;
            let name = self.word();
            if name.is_empty() || fields.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
                self.rest = before;
                return Err(self.expected("a name that no other has"));
            }
            self.take(":", "':'")?;
            fields.push((name.to_owned(), self.nested()?));
            if self.take(",", "','").is_err() {
                break;
            }
        }
        self.take(">", "',' or '>'")?;
        Ok(ColumnType::Struct(fields))
    }

    /// Letters, digits and underscores.
    fn word(&mut self) -> &'a str {
        let end = self.rest.find(|character: char| !(character.is_alphanumeric() || character == '_')).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        word
    }

    fn number(&mut self, within: std::ops::RangeInclusive<u8>, expected: &'static str) -> Result<u8, TypeError> {
        let before = self.rest;
        match self.word().parse() {
            Ok(number) if within.contains(&number) => Ok(number),
            _ => {
                self.rest = before;
                Err(self.expected(expected))
            }
        }
    }

    fn take(&mut self, token: &str, expected: &'static str) -> Result<(), TypeError> {
        let rest = self.rest.strip_prefix(token).ok_or_else(|| self.expected(expected))?;
        self.rest = rest.trim_start();
        Ok(())
    }

    fn expected(&self, expected: &'static str) -> TypeError {
        let before = &self.text[..self.text.len() - self.rest.len()];
        TypeError { text: self.text.to_owned(), expected, at: before.chars().count() + 1 }
    }
}

/// Of an Arrow `Decimal128`, of Parquet and of Delta.
const DECIMAL_DIGITS_MAX: u8 = 38;
const DEPTH_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_as_they_are_written() {
        for text in [
            "bool",
            "int32",
            "int64",
            "float32",
            "float64",
            "decimal(38,0)",
            "decimal(10,2)",
            "string",
            "binary",
            "date",
            "time",
            "timestamp(ms)",
            "timestamp(us, UTC)",
            "timestamp(ns, UTC)",
            "list<int32>",
            "list<list<string>>",
            "struct<a: int32, b_2: list<struct<größe: decimal(5,5)>>>",
        ] {
            assert_eq!(text.parse::<ColumnType>().unwrap().to_string(), text);
        }
        assert_eq!(" decimal ( 4 , 2 ) ".parse::<ColumnType>().unwrap().to_string(), "decimal(4,2)");
        assert_eq!("timestamp(us,UTC)".parse::<ColumnType>().unwrap().to_string(), "timestamp(us, UTC)");
    }

    #[test]
    fn wrong_types_say_what_is_expected_where() {
        for (text, expected, at) in [
            ("", "bool, int32", 1),
            ("int", "bool, int32", 1),
            ("string x", "nothing more", 8),
            ("decimal", "'('", 8),
            ("decimal(39,1)", "1 to 38 digits", 9),
            ("decimal(5,6)", "at most as many", 11),
            ("timestamp(s)", "ms, us or ns", 11),
            ("timestamp(us, CET)", "UTC", 15),
            ("list<", "bool, int32", 6),
            ("list<int32", "'>'", 11),
            ("struct<>", "a name", 8),
            ("struct<a int32>", "':'", 10),
            ("struct<a: int32, A: int32>", "a name that no other has", 18),
            ("struct<a: int32;>", "',' or '>'", 16),
        ] {
            let error = text.parse::<ColumnType>().unwrap_err();
            assert!(error.expected.starts_with(expected) && error.at == at, "{text}: {error}");
        }
        let deep = format!("{}int32{}", "list<".repeat(40), ">".repeat(40));
        assert!(deep.parse::<ColumnType>().unwrap_err().to_string().contains("less deep"));
    }
}
