//! Rows of files without offsets as records: time, key, value and headers of each, or the whole row as JSON. Reads no file, knows no order.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;
use tidelog_format::TimestampNs;

use crate::export::import_rows::{Bytes, Headers};
use crate::export::schema::HEADERS;
use crate::export::timed::file::TimedFile;
use crate::log::Record;

/// Some rows that follow each other in a file.
#[derive(Debug)]
pub(super) struct TimedRows {
    times: Vec<i64>,
    keys: Bytes,
    values: Values,
    headers: Option<Headers>,
    memory_bytes: u64,
}

#[derive(Debug)]
enum Values {
    Cells(Bytes),
    Lines { text: Vec<u8>, ends: Vec<usize> },
}

impl TimedRows {
    /// Takes rows of `file` apart. The error has the row of them that is wrong, and what was expected and found.
    pub(super) fn new(file: &TimedFile, rows: &RecordBatch) -> Result<Self, (usize, String)> {
        let rows = &with_hive(file, rows).map_err(|error| (0, error.to_string()))?;
        let chosen = &file.chosen;
        let column = |name: &str| rows.column_by_name(name).ok_or_else(|| (0, format!("it has no column {name}")));
        let bytes = |name: &String| Bytes::new(name, column(name)?).map_err(|reason| (0, reason));
        let headers = if chosen.headers { Some(Headers::new(column(HEADERS)?).map_err(|reason| (0, reason))?) } else { None };
        let values = match &chosen.value {
            Some(name) => Values::Cells(bytes(name)?),
            None => lines(rows).map_err(|reason| (0, reason))?,
        };
        let keys = chosen.key.as_ref().map_or(Ok(Bytes::Null), bytes)?;
        let times = chosen.step.all_nanos(column(&chosen.time)?)?;
        let mut memory_bytes = times.len() as u64 * 8;
        memory_bytes += match &values {
            // Keys and headers are cells of the same rows.
            Values::Cells(_) => rows.get_array_memory_size(),
            Values::Lines { text, ends } => {
                let cells = chosen.key.iter().map(String::as_str).chain(chosen.headers.then_some(HEADERS));
                let kept = cells.filter_map(|name| rows.column_by_name(name)).map(|array| array.get_array_memory_size());
                text.capacity() + ends.len() * size_of::<usize>() + kept.sum::<usize>()
            }
        } as u64;
        Ok(Self { times, keys, values, headers, memory_bytes })
    }

    pub(super) fn times(&self) -> &[i64] {
        &self.times
    }

    /// What they take.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// The record of a row.
    pub(super) fn record(&self, row: usize) -> Record<'_> {
        let value = match &self.values {
            Values::Cells(cells) => cells.get(row),
            Values::Lines { text, ends } => {
                let from = if row == 0 { 0 } else { ends[row - 1] + 1 };
                Some(&text[from..ends[row]])
            }
        };
        let headers = self.headers.as_ref().map_or_else(Vec::new, |headers| headers.get(row));
        Record { key: self.keys.get(row), value, headers, timestamp: Some(TimestampNs::new(self.times[row])) }
    }
}

/// Rows as JSON, an object a line.
fn lines(rows: &RecordBatch) -> Result<Values, String> {
    let mut text = Vec::new();
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(&mut text);
    writer.write(rows).and_then(|()| writer.finish()).map_err(|error| format!("it cannot be JSON: {error}"))?;
    drop(writer);
    // In JSON, line feeds are escaped.
    let ends: Vec<usize> = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at).collect();
    if ends.len() != rows.num_rows() {
        return Err(format!("{} rows are {} lines of JSON", rows.num_rows(), ends.len()));
    }
    Ok(Values::Lines { text, ends })
}

/// The rows with the columns that the directories of their file are named after.
fn with_hive(file: &TimedFile, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let hive = file.hive.iter().filter(|(name, _)| file.chosen.reads(name));
    let cells = |value: &Option<String>| Arc::new(StringArray::from(vec![value.as_deref(); rows.num_rows()])) as ArrayRef;
    let (mut fields, mut columns) = (rows.schema().fields().to_vec(), rows.columns().to_vec());
    for (name, value) in hive {
        fields.push(Arc::new(Field::new(name, DataType::Utf8, true)));
        columns.push(cells(value));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}
