//! Values of declared columns: out of JSON texts into Arrow arrays. What does not fit is null, and counted. Knows no file.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::builder::{
    BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder, Float64Builder, Int32Builder, Int64Builder, NullBufferBuilder,
    StringBuilder, Time64MicrosecondBuilder, TimestampMicrosecondBuilder, TimestampMillisecondBuilder, TimestampNanosecondBuilder,
};
use arrow::array::{ArrayRef, ListArray, StructArray};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::error::ArrowError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::civil;
use serde_json::value::RawValue;

use crate::export::column_type::{ColumnType, TimestampUnit};
use crate::export::json_path::JsonPath;
use crate::export::report::Unfit;
use crate::export::schema::UTC;
use crate::export::typed_column::TypedColumns;

/// The declared columns of the rows that are being gathered.
#[derive(Debug)]
pub(super) struct TypedValues {
    columns: TypedColumns,
    arrays: Vec<Array>,
    /// By column.
    unfit: Vec<Unfit>,
    not_json: Unfit,
    bytes: usize,
}

impl TypedValues {
    pub(super) fn new(columns: &TypedColumns) -> Self {
        let unfit = columns.iter().map(|column| Unfit { column: Some((column.name.clone(), column.kind.to_string())), values: 0, first: None });
        Self {
            arrays: columns.iter().map(|column| Array::new(&column.kind)).collect(),
            unfit: unfit.collect(),
            not_json: Unfit { column: None, values: 0, first: None },
            columns: columns.clone(),
            bytes: 0,
        }
    }

    pub(super) fn declared(&self) -> &TypedColumns {
        &self.columns
    }

    /// Adds the row of the record at `offset`.
    #[inline]
    pub(super) fn push(&mut self, offset: u64, value: Option<&[u8]>) {
        if !self.columns.is_empty() {
            self.push_cells(offset, value);
        }
    }

    fn push_cells(&mut self, offset: u64, value: Option<&[u8]>) {
        let mut found = vec![None; self.arrays.len()];
        if let Some(value) = value {
            let paths = self.columns.iter().map(|column| Some(&column.path));
            let is_json = std::str::from_utf8(value).is_ok_and(|text| JsonPath::find_all(paths, text, &mut found).is_ok());
            if !is_json {
                found.fill(None);
                self.not_json.note(offset);
            }
        }
        for (((array, column), json), unfit) in self.arrays.iter_mut().zip(self.columns.iter()).zip(found).zip(&mut self.unfit) {
            let mut cells = CELLS_MAX;
            let cell = json.map_or(Some(Cell::Null), |json| cell(&column.kind, json, &mut cells));
            if cell.is_none() {
                unfit.note(offset);
            }
            self.bytes += (CELLS_MAX - cells) * CELL_BYTES;
            array.push(cell.unwrap_or(Cell::Null));
        }
    }

    /// About how many bytes the values gathered take, texts and bytes not counted.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The columns, which are empty afterwards.
    pub(super) fn take(&mut self) -> Result<Vec<ArrayRef>, ArrowError> {
        self.bytes = 0;
        self.arrays.iter_mut().zip(self.columns.iter()).map(|(array, column)| array.take(&column.kind)).collect()
    }

    /// What did not fit since this was asked.
    pub(super) fn take_unfit(&mut self) -> Vec<Unfit> {
        let mut all = Vec::new();
        for unfit in std::iter::once(&mut self.not_json).chain(&mut self.unfit).filter(|unfit| unfit.values > 0) {
            all.push(unfit.clone());
            (unfit.values, unfit.first) = (0, None);
        }
        all
    }
}

/// One value, parsed. Nothing of it is in an array before all of it fits.
#[derive(Debug, Clone, PartialEq)]
enum Cell<'j> {
    Null,
    Bool(bool),
    Int32(i32),
    /// Also times and timestamps, in their unit.
    Int64(i64),
    Float32(f32),
    Float64(f64),
    Decimal(i128),
    Text(Cow<'j, str>),
    Bytes(Vec<u8>),
    List(Vec<Self>),
    Struct(Vec<Self>),
}

/// What `json`, a whole JSON value, is as a value of `kind`. `None` if it does not fit, or takes more than `left` cells, which it is taken off.
fn cell<'j>(kind: &ColumnType, json: &'j str, left: &mut usize) -> Option<Cell<'j>> {
    *left = left.checked_sub(1)?;
    if json == "null" {
        return Some(Cell::Null);
    }
    Some(match kind {
        ColumnType::Bool => Cell::Bool(json.parse().ok()?),
        ColumnType::Int32 => Cell::Int32(i32::try_from(whole(json)?).ok()?),
        ColumnType::Int64 => Cell::Int64(i64::try_from(whole(json)?).ok()?),
        ColumnType::Float32 => Cell::Float32(number(json)?.parse().ok().filter(|value: &f32| value.is_finite())?),
        ColumnType::Float64 => Cell::Float64(number(json)?.parse().ok().filter(|value: &f64| value.is_finite())?),
        ColumnType::Decimal { precision, scale } => {
            let text = text_of(json).unwrap_or(Cow::Borrowed(json));
            Cell::Decimal(scaled(number(&text)?, (*scale).into()).filter(|value| value.unsigned_abs() < 10_u128.pow((*precision).into()))?)
        }
        ColumnType::String => Cell::Text(text_of(json)?),
        ColumnType::Binary => Cell::Bytes(STANDARD.decode(text_of(json)?.as_bytes()).ok()?),
        ColumnType::Date => Cell::Int32(days(&text_of(json)?)?),
        ColumnType::Time => Cell::Int64(microseconds(&text_of(json)?)?),
        ColumnType::Timestamp { unit, is_utc } => {
            let units = match text_of(json) {
                Some(text) => timestamp(&text, *unit, *is_utc)?,
                None => whole(json)?,
            };
            // A number of another unit would be a time that readers cannot show.
            let is_shown = TIMES_SHOWN.contains(&units.checked_mul(unit.nanoseconds())?.div_euclid(NS_PER_S));
            Cell::Int64(i64::try_from(units).ok().filter(|_| is_shown)?)
        }
        ColumnType::List(item) => {
            let items: Vec<&RawValue> = serde_json::from_str(json).ok()?;
            Cell::List(items.into_iter().map(|json| cell(item, json.get(), left)).collect::<Option<_>>()?)
        }
        ColumnType::Struct(fields) => {
            let members: HashMap<Cow<'j, str>, &RawValue> = serde_json::from_str(json).ok()?;
            let mut member = |(name, kind): &(String, ColumnType)| cell(kind, members.get(name.as_str()).map_or("null", |json| json.get()), left);
            Cell::Struct(fields.iter().map(&mut member).collect::<Option<_>>()?)
        }
    })
}

/// The text of a JSON string.
fn text_of(json: &str) -> Option<Cow<'_, str>> {
    match json.strip_prefix('"')?.strip_suffix('"')? {
        plain if !plain.contains('\\') => Some(Cow::Borrowed(plain)),
        _ => serde_json::from_str(json).ok().map(Cow::Owned),
    }
}

/// A number as JSON writes it.
fn number(text: &str) -> Option<&str> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte)) && text.bytes().any(|byte| byte.is_ascii_digit());
    is_number.then_some(text)
}

/// A number without a fraction.
fn whole(json: &str) -> Option<i128> {
    scaled(number(json)?, 0)
}

/// A number times 10 to the power of `scale`, exactly.
fn scaled(text: &str, scale: i64) -> Option<i128> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (text, 0),
    };
    let (is_negative, mantissa) = mantissa.strip_prefix('-').map_or((false, mantissa), |rest| (true, rest));
    let (before, behind) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || before.bytes().chain(behind.bytes()).map(|byte| char::from(byte).to_digit(10));
    if before.is_empty() || !digits().all(|digit| digit.is_some()) {
        return None;
    }
    let all = before.len() + behind.len();
    // Digits from here on must be zeros.
    let kept = i64::try_from(before.len()).ok()?.checked_add(exponent)?.checked_add(scale)?;
    let mut value = 0_i128;
    for (place, digit) in digits().flatten().enumerate() {
        if (place as i64) < kept {
            value = value.checked_mul(10)?.checked_add(digit.into())?;
        } else if digit != 0 {
            return None;
        }
    }
    for _ in all as i64..if value == 0 { 0 } else { kept } {
        value = value.checked_mul(10)?;
    }
    Some(if is_negative { -value } else { value })
}

/// Days since 1970.
fn days(text: &str) -> Option<i32> {
    let date: civil::Date = (text.len() == "2006-01-02".len()).then(|| text.parse().ok())??;
    Some((date - EPOCH).get_days())
}

/// Microseconds since midnight.
fn microseconds(text: &str) -> Option<i64> {
    let time: civil::Time = is_clock(text).then(|| text.parse().ok())??;
    let ns = (time - civil::Time::midnight()).total(jiff::Unit::Nanosecond).ok()? as i64;
    (ns % 1000 == 0).then_some(ns / 1000)
}

/// Units since 1970, exactly.
fn timestamp(text: &str, unit: TimestampUnit, is_utc: bool) -> Option<i128> {
    let (date, rest) = text.split_at_checked("2006-01-02".len())?;
    days(date)?;
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let ns = if is_utc {
        let zone = rest.find(['Z', 'z', '+', '-'])?;
        is_clock(&rest[..zone]).then(|| text.parse::<jiff::Timestamp>().ok())??.as_nanosecond()
    } else {
        // A zone would be lost without a word.
        let time: civil::DateTime = is_clock(rest).then(|| text.parse().ok())??;
        jiff::tz::TimeZone::UTC.to_timestamp(time).ok()?.as_nanosecond()
    };
    (ns % unit.nanoseconds() == 0).then(|| ns / unit.nanoseconds())
}

/// Whether it is what a clock shows, without a zone. A leap second would become the one before.
fn is_clock(text: &str) -> bool {
    let is_leap = text.get(6..8) == Some("60");
    text.as_bytes().get(2) == Some(&b':') && text.bytes().all(|byte| byte.is_ascii_digit() || b":.".contains(&byte)) && !is_leap
}

/// An Arrow array that is being built.
#[derive(Debug)]
enum Array {
    Bool(BooleanBuilder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Decimal(Decimal128Builder),
    Text(StringBuilder),
    Binary(BinaryBuilder),
    Date(Date32Builder),
    Time(Time64MicrosecondBuilder),
    Milliseconds(TimestampMillisecondBuilder),
    Microseconds(TimestampMicrosecondBuilder),
    Nanoseconds(TimestampNanosecondBuilder),
    List { ends: Vec<i32>, valid: NullBufferBuilder, items: Box<Self>, len: i32 },
    Struct { valid: NullBufferBuilder, fields: Vec<Self> },
}

impl Array {
    fn new(kind: &ColumnType) -> Self {
        match kind {
            ColumnType::Bool => Self::Bool(BooleanBuilder::new()),
            ColumnType::Int32 => Self::Int32(Int32Builder::new()),
            ColumnType::Int64 => Self::Int64(Int64Builder::new()),
            ColumnType::Float32 => Self::Float32(Float32Builder::new()),
            ColumnType::Float64 => Self::Float64(Float64Builder::new()),
            ColumnType::Decimal { .. } => Self::Decimal(Decimal128Builder::new().with_data_type(kind.arrow())),
            ColumnType::String => Self::Text(StringBuilder::new()),
            ColumnType::Binary => Self::Binary(BinaryBuilder::new()),
            ColumnType::Date => Self::Date(Date32Builder::new()),
            ColumnType::Time => Self::Time(Time64MicrosecondBuilder::new()),
            ColumnType::Timestamp { unit, is_utc } => {
                let zone = is_utc.then_some(UTC);
                match unit {
                    TimestampUnit::Milliseconds => Self::Milliseconds(TimestampMillisecondBuilder::new().with_timezone_opt(zone)),
                    TimestampUnit::Microseconds => Self::Microseconds(TimestampMicrosecondBuilder::new().with_timezone_opt(zone)),
                    TimestampUnit::Nanoseconds => Self::Nanoseconds(TimestampNanosecondBuilder::new().with_timezone_opt(zone)),
                }
            }
            ColumnType::List(item) => Self::List { ends: vec![0], valid: NullBufferBuilder::new(0), items: Box::new(Self::new(item)), len: 0 },
            ColumnType::Struct(fields) => {
                Self::Struct { valid: NullBufferBuilder::new(0), fields: fields.iter().map(|(_, kind)| Self::new(kind)).collect() }
            }
        }
    }

    fn push(&mut self, cell: Cell<'_>) {
        match (self, cell) {
            (Self::Bool(array), Cell::Bool(value)) => array.append_value(value),
            (Self::Int32(array), Cell::Int32(value)) => array.append_value(value),
            (Self::Int64(array), Cell::Int64(value)) => array.append_value(value),
            (Self::Float32(array), Cell::Float32(value)) => array.append_value(value),
            (Self::Float64(array), Cell::Float64(value)) => array.append_value(value),
            (Self::Decimal(array), Cell::Decimal(value)) => array.append_value(value),
            (Self::Text(array), Cell::Text(value)) => array.append_value(value),
            (Self::Binary(array), Cell::Bytes(value)) => array.append_value(value),
            (Self::Date(array), Cell::Int32(value)) => array.append_value(value),
            (Self::Time(array), Cell::Int64(value)) => array.append_value(value),
            (Self::Milliseconds(array), Cell::Int64(value)) => array.append_value(value),
            (Self::Microseconds(array), Cell::Int64(value)) => array.append_value(value),
            (Self::Nanoseconds(array), Cell::Int64(value)) => array.append_value(value),
            (Self::List { ends, valid, items, len }, Cell::List(cells)) => {
                *len += cells.len() as i32; // rows are handed on at a few MiB, and one record has at most 1 GiB
                cells.into_iter().for_each(|cell| items.push(cell));
                ends.push(*len);
                valid.append_non_null();
            }
            (Self::Struct { valid, fields }, Cell::Struct(cells)) => {
                fields.iter_mut().zip(cells).for_each(|(field, cell)| field.push(cell));
                valid.append_non_null();
            }
            // A cell is of the type that it was parsed for, or null.
            (array, _) => array.push_null(),
        }
    }

    fn push_null(&mut self) {
        match self {
            Self::Bool(array) => array.append_null(),
            Self::Int32(array) => array.append_null(),
            Self::Int64(array) => array.append_null(),
            Self::Float32(array) => array.append_null(),
            Self::Float64(array) => array.append_null(),
            Self::Decimal(array) => array.append_null(),
            Self::Text(array) => array.append_null(),
            Self::Binary(array) => array.append_null(),
            Self::Date(array) => array.append_null(),
            Self::Time(array) => array.append_null(),
            Self::Milliseconds(array) => array.append_null(),
            Self::Microseconds(array) => array.append_null(),
            Self::Nanoseconds(array) => array.append_null(),
            Self::List { ends, valid, len, .. } => {
                ends.push(*len);
                valid.append_null();
            }
            Self::Struct { valid, fields } => {
                fields.iter_mut().for_each(Self::push_null);
                valid.append_null();
            }
        }
    }

    fn take(&mut self, kind: &ColumnType) -> Result<ArrayRef, ArrowError> {
        Ok(match (self, kind) {
            (Self::Bool(array), _) => Arc::new(array.finish()),
            (Self::Int32(array), _) => Arc::new(array.finish()),
            (Self::Int64(array), _) => Arc::new(array.finish()),
            (Self::Float32(array), _) => Arc::new(array.finish()),
            (Self::Float64(array), _) => Arc::new(array.finish()),
            (Self::Decimal(array), _) => Arc::new(array.finish()),
            (Self::Text(array), _) => Arc::new(array.finish()),
            (Self::Binary(array), _) => Arc::new(array.finish()),
            (Self::Date(array), _) => Arc::new(array.finish()),
            (Self::Time(array), _) => Arc::new(array.finish()),
            (Self::Milliseconds(array), _) => Arc::new(array.finish()),
            (Self::Microseconds(array), _) => Arc::new(array.finish()),
            (Self::Nanoseconds(array), _) => Arc::new(array.finish()),
            (Self::List { ends, valid, items, len }, ColumnType::List(item)) => {
                *len = 0;
                let ends = OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(ends, vec![0])));
                Arc::new(ListArray::try_new(item.list_item(), ends, items.take(item)?, valid.finish())?)
            }
            (Self::Struct { valid, fields }, ColumnType::Struct(kinds)) => {
                let len = valid.len();
                let arrays = fields.iter_mut().zip(kinds).map(|(field, (_, kind))| field.take(kind)).collect::<Result<_, _>>()?;
                Arc::new(StructArray::try_new_with_length(kind.fields(), arrays, valid.finish(), len)?)
            }
            (array, _) => return Err(ArrowError::SchemaError(format!("{array:?} is no array of {kind}"))),
        })
    }
}

const EPOCH: civil::Date = civil::date(1970, 1, 1);
const NS_PER_S: i128 = 1_000_000_000;
/// Seconds since 1970 of the years 1 to 9999.
const TIMES_SHOWN: Range<i128> = -62_135_596_800..253_402_300_800;
/// Values of a column that one record may have: a list of structs has many in few bytes.
const CELLS_MAX: usize = 1 << 20;
/// About what one takes, in an array and on the way there.
const CELL_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(kind: &str, json: &str) -> Option<String> {
        cell(&kind.parse().unwrap(), json, &mut 100).map(|cell| format!("{cell:?}"))
    }

    #[test]
    fn what_fits_is_exact() {
        for (kind, json, expected) in [
            ("bool", "true", "Bool(true)"),
            ("int32", "-2147483648", "Int32(-2147483648)"),
            ("int64", "9223372036854775807", "Int64(9223372036854775807)"),
            ("int64", "1.50e2", "Int64(150)"),
            ("int64", "-0.0", "Int64(0)"),
            ("int64", "0e999999", "Int64(0)"),
            ("float32", "0.1", "Float32(0.1)"),
            ("float64", "12", "Float64(12.0)"),
            ("decimal(38,20)", "0.12345678901234567890", "Decimal(12345678901234567890)"),
            ("decimal(5,2)", r#""-1.5""#, "Decimal(-150)"),
            ("decimal(3,0)", "9.99e2", "Decimal(999)"),
            ("string", r#""a\nA""#, r#"Text("a\nA")"#),
            ("string", r#""""#, r#"Text("")"#),
            ("binary", r#""AP8=""#, "Bytes([0, 255])"),
            ("date", r#""1969-12-31""#, "Int32(-1)"),
            ("date", r#""2024-02-29""#, "Int32(19782)"),
            ("time", r#""23:59:59.999999""#, "Int64(86399999999)"),
            ("timestamp(ms, UTC)", r#""1970-01-01T01:00:00.001+01:00""#, "Int64(1)"),
            ("timestamp(ns, UTC)", r#""2018-01-31T01:49:59.65Z""#, "Int64(1517363399650000000)"),
            ("timestamp(us)", r#""1970-01-01T00:00:01""#, "Int64(1000000)"),
            ("timestamp(us, UTC)", "1700000000000000", "Int64(1700000000000000)"),
            ("timestamp(ms)", "253402300799999", "Int64(253402300799999)"),
            ("timestamp(ns)", "-9223372036854775808", "Int64(-9223372036854775808)"),
            ("timestamp(us, UTC)", r#""1970-01-01 00:00:00-00:30""#, "Int64(1800000000)"),
            ("list<int32>", " [1, null,3] ".trim(), "List([Int32(1), Null, Int32(3)])"),
            ("struct<a: int32, b: string>", r#"{"b":"x","c":7}"#, r#"Struct([Null, Text("x")])"#),
            ("list<struct<a: bool>>", "null", "Null"),
        ] {
            assert_eq!(fits(kind, json).as_deref(), Some(expected), "{json} as {kind}");
        }
    }

    #[test]
    fn a_value_that_takes_too_many_cells_does_not_fit() {
        let fits = |items: usize| fits("list<struct<a: int32, b: int32>>", &format!("[{}]", vec!["{}"; items].join(","))).is_some();
        assert_eq!([fits(33), fits(34)], [true, false], "a list, and three for each item");
    }

    #[test]
    fn what_would_not_be_exact_does_not_fit() {
        for (kind, json) in [
            ("bool", "1"),
            ("bool", r#""true""#),
            ("int32", "2147483648"),
            ("int64", "1.5"),
            ("int64", "9223372036854775808"),
            ("int64", "1e40"),
            ("int64", r#""1""#),
            ("float32", "1e39"),
            ("float64", "1e999"),
            ("float64", r#""NaN""#),
            ("decimal(5,2)", "1000"),
            ("decimal(5,2)", "1.001"),
            ("decimal(5,2)", r#""x""#),
            ("decimal(5,2)", r#""""#),
            ("decimal(38,0)", "1e38"),
            ("string", "1"),
            ("string", "{}"),
            ("binary", r#""A""#),
            ("date", r#""2023-02-29""#),
            ("date", r#""2023-02-28T00:00:00""#),
            ("date", "5"),
            ("time", r#""24:00:00""#),
            ("time", r#""00:00:00.0000001""#),
            ("timestamp(ms, UTC)", r#""2018-01-31T01:49:59.6501Z""#),
            ("timestamp(us, UTC)", r#""2018-01-31T01:49:59""#),
            ("timestamp(us)", r#""2018-01-31T01:49:59Z""#),
            ("timestamp(ns)", r#""9999-01-01T00:00:00""#),
            ("timestamp(us)", "1.5"),
            ("timestamp(ms, UTC)", "1700000000000000000"),
            ("timestamp(us, UTC)", "1700000000000000000"),
            ("timestamp(ms, UTC)", "-99999999999999"),
            ("timestamp(us, UTC)", r#""2016-12-31T23:59:60Z""#),
            ("timestamp(us)", r#""2024-01-01T00:00:00[Europe/Berlin]""#),
            ("timestamp(us)", r#""2024-01-01T00:00:00+02:00""#),
            ("timestamp(us)", r#""2024-01-01""#),
            ("time", r#""15:04:05+02:00""#),
            ("time", r#""15:04:05[Europe/Berlin]""#),
            ("time", r#""23:59:60""#),
            ("time", r#""15:04:05Z""#),
            ("list<int32>", r#"[1,"2"]"#),
            ("list<int32>", "{}"),
            ("struct<a: int32>", r#"{"a":"x"}"#),
            ("struct<a: int32>", "[]"),
        ] {
            assert_eq!(fits(kind, json), None, "{json} as {kind}");
        }
    }
}
