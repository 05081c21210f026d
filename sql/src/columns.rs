//! The columns of a table, and what a record is in each. Knows no statement.

use std::ffi::{CStr, c_int};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rusqlite::Result;
use rusqlite::types::Value;
use rusqlite::vtab::Context;
use tidelog::{Header, StoredRecord};

/// In the order of [`DECLARATION`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    Time,
    Key,
    Value,
    Headers,
    Index,
    Partition,
}

/// What SQLite is told of a table. A row is known by partition and offset: neither alone is of one row, so that there is no `rowid`.
pub(crate) const DECLARATION: &CStr = c"create table t(_ts_ns INTEGER not null, _key BLOB, _value BLOB, _headers TEXT not null, \
    _index INTEGER hidden not null, _partition INTEGER hidden not null, primary key (_partition, _index)) without rowid";

impl Column {
    /// The column with this number.
    pub(crate) fn of(number: c_int) -> Option<Self> {
        let all = [Self::Time, Self::Key, Self::Value, Self::Headers, Self::Index, Self::Partition];
        all.into_iter().find(|column| *column as c_int == number)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Time => "_ts_ns",
            Self::Key => "_key",
            Self::Value => "_value",
            Self::Headers => "_headers",
            Self::Index => "_index",
            Self::Partition => "_partition",
        }
    }

    /// Hands SQLite what a record has here.
    pub(crate) fn tell(self, context: &mut Context, partition: u32, record: &StoredRecord) -> Result<()> {
        match self {
            Self::Time => context.set_result(record.timestamp().get()),
            Self::Key => context.set_result(record.key()),
            Self::Value => context.set_result(record.value()),
            Self::Headers => context.set_result(headers(record.headers())),
            // An offset is at most 2^63 - 2.
            Self::Index => context.set_result(Value::Integer(record.offset().get() as i64)),
            Self::Partition => context.set_result(partition),
        }
    }
}

/// The headers as `tidelog cat` prints them: a JSON array, in order, of all of them.
fn headers<'a>(headers: impl Iterator<Item = Header<'a>>) -> String {
    let objects: Vec<String> = headers.map(|header| format!("{{\"name\":{},{}}}", quoted(header.name), value(header.value))).collect();
    format!("[{}]", objects.join(","))
}

fn value(value: Option<&[u8]>) -> String {
    match value.map(std::str::from_utf8) {
        None => "\"value\":null".to_owned(),
        Some(Ok(text)) => format!("\"value\":{}", quoted(text)),
        Some(Err(_)) => format!("\"value_base64\":\"{}\"", STANDARD.encode(value.unwrap_or_default())),
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
