//! Rows as they come out of a file: columns found by name, cells as records have them. Reads no file.

use arrow::array::{
    Array, ArrayRef, BinaryArray, FixedSizeBinaryArray, Int32Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray,
};
use tidelog_format::{Header, LeaderEpoch, Offset, TimestampNs};

use crate::export::schema::{HEADERS, KEY, LEADER_EPOCH, OFFSET, PRODUCER_ID, TS, TS_NS, VALUE};
use crate::log::Record;

/// The columns that are read, if they are there.
pub(super) const COLUMNS: [&str; 8] = [OFFSET, TS_NS, TS, KEY, VALUE, HEADERS, LEADER_EPOCH, PRODUCER_ID];

/// Some rows of a file.
#[derive(Debug)]
pub(super) struct ImportRows {
    len: usize,
    offsets: Int64Array,
    times: Times,
    keys: Bytes,
    values: Bytes,
    headers: Option<Headers>,
    leader_epochs: Option<Int32Array>,
    producer_ids: Option<Int64Array>,
}

#[derive(Debug)]
enum Times {
    Nanos(Int64Array),
    Micros(TimestampMicrosecondArray),
}

/// Cells of bytes or text.
#[derive(Debug)]
pub(super) enum Bytes {
    Null,
    Binary(BinaryArray),
    Fixed(FixedSizeBinaryArray),
    Text(StringArray),
}

/// Cells of headers.
#[derive(Debug)]
pub(super) struct Headers {
    lists: ListArray,
    names: StringArray,
    values: Bytes,
}

/// What a row has beside its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RowPlace {
    pub(super) offset: Offset,
    pub(super) leader_epoch: Option<LeaderEpoch>,
    pub(super) producer_id: Option<i64>,
}

impl ImportRows {
    /// Finds the columns. The error says what was expected and what was found.
    pub(super) fn new(rows: &RecordBatch) -> Result<Self, String> {
        let times = match column::<Int64Array>(rows, TS_NS)? {
            Some(nanos) => Times::Nanos(nanos),
            None => Times::Micros(column(rows, TS)?.ok_or_else(|| format!("it has neither a column {TS_NS} nor {TS}"))?),
        };
        let rows = Self {
            len: rows.num_rows(),
            offsets: column(rows, OFFSET)?.ok_or_else(|| format!("it has no column {OFFSET}"))?,
            times,
            keys: rows.column_by_name(KEY).map_or(Ok(Bytes::Null), |array| Bytes::new(KEY, array))?,
            values: rows.column_by_name(VALUE).map_or(Ok(Bytes::Null), |array| Bytes::new(VALUE, array))?,
            headers: rows.column_by_name(HEADERS).map(Headers::new).transpose()?,
            leader_epochs: column(rows, LEADER_EPOCH)?,
            producer_ids: column(rows, PRODUCER_ID)?,
        };
        let has_null = |array: &dyn Array| array.null_count() > 0;
        let times: &dyn Array = match &rows.times {
            Times::Nanos(nanos) => nanos,
            Times::Micros(micros) => micros,
        };
        if has_null(&rows.offsets) || has_null(times) {
            return Err("a row has no offset, or no time".to_owned());
        }
        if let Times::Micros(micros) = &rows.times
            && let Some(far) = micros.values().iter().find(|micros| micros.checked_mul(1000).is_none())
        {
            return Err(format!("a time of {far} us does not fit into nanoseconds"));
        }
        Ok(rows)
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The place of a row. The error says what is wrong with it.
    pub(super) fn place(&self, row: usize) -> Result<RowPlace, String> {
        let offset = self.offsets.value(row);
        let epoch = self.leader_epochs.as_ref().filter(|epochs| epochs.is_valid(row)).map(|epochs| epochs.value(row));
        let producer_id = self.producer_ids.as_ref().filter(|ids| ids.is_valid(row)).map(|ids| ids.value(row));
        let offset = u64::try_from(offset).map_err(|_| format!("a row has offset {offset}"))?;
        let epoch = epoch.map(|epoch| u32::try_from(epoch).map_err(|_| format!("offset {offset} is of term {epoch}"))).transpose()?;
        Ok(RowPlace { offset: Offset::new(offset), leader_epoch: epoch.map(LeaderEpoch::new), producer_id })
    }

    /// The record of a row.
    pub(super) fn record(&self, row: usize) -> Record<'_> {
        let timestamp = match &self.times {
            Times::Nanos(nanos) => nanos.value(row),
            Times::Micros(micros) => micros.value(row) * 1000, // it was looked at before
        };
        Record {
            key: self.keys.get(row),
            value: self.values.get(row),
            headers: self.headers.as_ref().map_or_else(Vec::new, |headers| headers.get(row)),
            timestamp: Some(TimestampNs::new(timestamp)),
        }
    }
}

impl Bytes {
    /// The cells of a column. The error says what was expected and what was found.
    pub(super) fn new(name: &str, array: &ArrayRef) -> Result<Self, String> {
        let any = array.as_any();
        if let Some(binary) = any.downcast_ref::<BinaryArray>() {
            return Ok(Self::Binary(binary.clone()));
        }
        if let Some(fixed) = any.downcast_ref::<FixedSizeBinaryArray>() {
            return Ok(Self::Fixed(fixed.clone()));
        }
        let text = any.downcast_ref::<StringArray>().cloned();
        text.map(Self::Text).ok_or_else(|| format!("its column {name} is {}, not BINARY or STRING", array.data_type()))
    }

    pub(super) fn get(&self, row: usize) -> Option<&[u8]> {
        match self {
            Self::Binary(binary) if binary.is_valid(row) => Some(binary.value(row)),
            Self::Fixed(fixed) if fixed.is_valid(row) => Some(fixed.value(row)),
            Self::Text(text) if text.is_valid(row) => Some(text.value(row).as_bytes()),
            _ => None,
        }
    }
}

impl Headers {
    /// The cells of a column. The error says what was expected and what was found.
    pub(super) fn new(array: &ArrayRef) -> Result<Self, String> {
        let found = || format!("its column {HEADERS} is {}, not LIST of STRUCT of key STRING and value BINARY", array.data_type());
        let lists = array.as_any().downcast_ref::<ListArray>().ok_or_else(found)?;
        let pairs = lists.values().as_any().downcast_ref::<StructArray>().ok_or_else(found)?;
        let names = pairs.column_by_name("key").and_then(|names| names.as_any().downcast_ref::<StringArray>()).ok_or_else(found)?;
        let values = Bytes::new(HEADERS, pairs.column_by_name("value").ok_or_else(found)?)?;
        if pairs.null_count() > 0 || names.null_count() > 0 {
            return Err("a header has no key".to_owned());
        }
        Ok(Self { lists: lists.clone(), names: names.clone(), values })
    }

    pub(super) fn get(&self, row: usize) -> Vec<Header<'_>> {
        if self.lists.is_null(row) {
            return Vec::new();
        }
        let ends = self.lists.value_offsets();
        (ends[row] as usize..ends[row + 1] as usize).map(|at| Header { name: self.names.value(at), value: self.values.get(at) }).collect()
    }
}

/// A column of one type, if there is one of that name.
fn column<A: Array + Clone + 'static>(rows: &RecordBatch, name: &str) -> Result<Option<A>, String> {
    let Some(array) = rows.column_by_name(name) else { return Ok(None) };
    let found = array.as_any().downcast_ref::<A>().cloned();
    found.map(Some).ok_or_else(|| format!("its column {name} is {}, which is not its type", array.data_type()))
}
