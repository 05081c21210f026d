//! Which columns become time, key, value and headers of the records: what was asked for, and what a file has of it. Reads no rows.

use arrow::array::new_empty_array;
use arrow::datatypes::{DataType, Schema};

use crate::export::import_rows::{Bytes, Headers};
use crate::export::schema::{HEADERS, KEY, TS, TS_NS, VALUE};
use crate::export::time_column::{TimeStep, TimeUnit};

/// Which columns of files without offsets become which part of a record. What is not said is found by name: the time is `_ts_ns` or `_ts`, the
/// value `_value` or `value`, the key `_key` or `key` if there is one of bytes or text, and the headers are `_headers` if that is there.
///
/// ```
/// use tidelog::export::{TimeUnit, TimedColumns};
///
/// let columns = TimedColumns::new().time("at").unit(TimeUnit::Milliseconds).key("device").value("line");
/// assert_ne!(columns, TimedColumns::new().time("at").rows_as_json());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TimedColumns {
    time: Option<String>,
    unit: Option<TimeUnit>,
    key: Option<String>,
    value: Value,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Value {
    #[default]
    Usual,
    Column(String),
    Row,
}

/// What a file has of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) time: String,
    pub(super) step: TimeStep,
    pub(super) key: Option<String>,
    /// `None`: each row becomes a JSON object.
    pub(super) value: Option<String>,
    pub(super) headers: bool,
}

impl Chosen {
    /// Whether the column is needed.
    pub(super) fn reads(&self, name: &str) -> bool {
        let is = |column: &Option<String>| column.as_deref() == Some(name);
        self.value.is_none() || self.time == name || is(&self.key) || is(&self.value) || (self.headers && name == HEADERS)
    }
}

impl TimedColumns {
    /// All of them found by their names.
    pub fn new() -> Self {
        Self::default()
    }

    /// The column that holds the times: TIMESTAMP (without a zone: UTC), DATE, or INT64, of which the unit must be known.
    pub fn time(mut self, name: impl Into<String>) -> Self {
        self.time = Some(name.into());
        self
    }

    /// What a time that is INT64 counts. Without it the name of its column says so by its end: `_s`, `_ms`, `_us` or `_ns`.
    pub fn unit(mut self, unit: TimeUnit) -> Self {
        self.unit = Some(unit);
        self
    }

    /// The column that holds the keys, bytes or text. It may be a directory's, as in `region=north/`.
    pub fn key(mut self, name: impl Into<String>) -> Self {
        self.key = Some(name.into());
        self
    }

    /// The column that holds the values, bytes or text.
    pub fn value(mut self, name: impl Into<String>) -> Self {
        self.value = Value::Column(name.into());
        self
    }

    /// Each row becomes a value: a JSON object of all its columns, those that directories are named after included, null where a cell is.
    pub fn rows_as_json(mut self) -> Self {
        self.value = Value::Row;
        self
    }

    /// Finds them in a file. The error says what was expected and what was found.
    pub(super) fn choose(&self, schema: &Schema) -> Result<Chosen, String> {
        let time = match &self.time {
            Some(name) => name.as_str(),
            None => [TS_NS, TS]
                .into_iter()
                .find(|name| schema.index_of(name).is_ok())
                .ok_or_else(|| format!("it has no column {TS_NS} or {TS}: name the one that holds the times, of {}", listed(schema)))?,
        };
        let step = TimeStep::of(time, kind_of(schema, time)?, self.unit)?;
        let key = match &self.key {
            Some(name) => Some(bytes(schema, name)?),
            None => [KEY, "key"].into_iter().find_map(|name| bytes(schema, name).ok()),
        };
        let value = match &self.value {
            Value::Row => None,
            Value::Column(name) => Some(bytes(schema, name)?),
            Value::Usual => Some(self.usual_value(schema)?),
        };
        let headers = schema.field_with_name(HEADERS).ok();
        headers.map(|field| Headers::new(&new_empty_array(field.data_type()))).transpose()?;
        Ok(Chosen { time: time.to_owned(), step, key, value, headers: headers.is_some() })
    }

    fn usual_value(&self, schema: &Schema) -> Result<String, String> {
        let found = [VALUE, "value"].into_iter().find(|name| schema.index_of(name).is_ok());
        let name = found.ok_or_else(|| {
            format!("it has no column {VALUE} or value: name the one that holds the values, of {}, or take whole rows as JSON", listed(schema))
        })?;
        bytes(schema, name).map_err(|reason| format!("{reason}: name another one of {}, or take whole rows as JSON", listed(schema)))
    }

    /// A text that is equal only for columns that make the same records of the same files. Its checksum is persisted: never change it.
    pub(super) fn fingerprint(&self) -> String {
        // The length tells where a name ends, whatever is in it.
        let name = |name: Option<&String>| name.map_or("-".to_owned(), |name| format!("{}:{name}", name.len()));
        let value = match &self.value {
            Value::Usual => "-".to_owned(),
            Value::Column(column) => name(Some(column)),
            Value::Row => "json".to_owned(),
        };
        let unit = self.unit.map_or("-", TimeUnit::name);
        format!("time={} unit={unit} key={} value={value}", name(self.time.as_ref()), name(self.key.as_ref()))
    }
}

/// The name of a column that is there and holds bytes or text.
fn bytes(schema: &Schema, name: &str) -> Result<String, String> {
    Bytes::new(name, &new_empty_array(kind_of(schema, name)?)).map(|_| name.to_owned())
}

fn kind_of<'a>(schema: &'a Schema, name: &str) -> Result<&'a DataType, String> {
    let field = schema.field_with_name(name);
    field.map(arrow::datatypes::Field::data_type).map_err(|_| format!("it has no column {name}, but {}", listed(schema)))
}

/// The names of the columns, not too many of them.
fn listed(schema: &Schema) -> String {
    let mut names: Vec<&str> = schema.fields().iter().take(LISTED_MAX).map(|field| field.name().as_str()).collect();
    if schema.fields().len() > LISTED_MAX {
        names.push("...");
    }
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

const LISTED_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use arrow::datatypes::Field;

    use super::*;

    fn schema(columns: &[(&str, DataType)]) -> Schema {
        Schema::new(columns.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)).collect::<Vec<_>>())
    }

    /// Imports that were begun with these columns are continued by every later version.
    #[test]
    fn the_fingerprint_stays_as_it_is() {
        assert_eq!(TimedColumns::new().fingerprint(), "time=- unit=- key=- value=-");
        let all = TimedColumns::new().time("at").unit(TimeUnit::Microseconds).key("a b").value("-");
        assert_eq!(all.fingerprint(), "time=2:at unit=us key=3:a b value=1:-");
        assert_eq!(TimedColumns::new().rows_as_json().fingerprint(), "time=- unit=- key=- value=json");
    }

    #[test]
    fn columns_are_found_by_their_usual_names() {
        let found = schema(&[("value", DataType::Utf8), ("_ts_ns", DataType::Int64), ("_ts", DataType::Date32), ("key", DataType::Int64)]);
        let chosen = TimedColumns::new().choose(&found).unwrap();
        assert_eq!((chosen.time.as_str(), chosen.value.as_deref(), chosen.key, chosen.headers), ("_ts_ns", Some("value"), None, false));
        let error = TimedColumns::new().key("key").choose(&found).unwrap_err();
        assert_eq!(error, "its column key is Int64, not BINARY or STRING");
    }

    #[test]
    fn what_is_not_there_is_said_with_what_is() {
        let found = schema(&[("at", DataType::Date32), ("value", DataType::Float64)]);
        let error = |columns: TimedColumns| columns.choose(&found).unwrap_err();
        assert_eq!(error(TimedColumns::new()), "it has no column _ts_ns or _ts: name the one that holds the times, of at, value");
        let at = || TimedColumns::new().time("at");
        let other = "its column value is Float64, not BINARY or STRING: name another one of at, value, or take whole rows as JSON";
        assert_eq!(error(at()), other);
        assert_eq!(error(at().value("text")), "it has no column text, but at, value");
        assert!(at().rows_as_json().choose(&found).is_ok());
    }
}
