//! Rows of several files, gathered into row groups as an export cuts them. Encodes nothing, and keeps the order in which they come.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Int32Type, Int64Type, SchemaRef};
use arrow::error::ArrowError;
use tidelog_format::Header;

use crate::export::columns::{Columns, Row};
use crate::export::schema::{
    BASE_COLUMNS, GROUP_BYTES, GROUP_ROWS, HEADERS, KEY, LEADER_EPOCH, OFFSET, PAGE_BYTES, PAGE_ROWS, PRODUCER_ID, TS_NS, VALUE,
};
use crate::export::typed_column::TypedColumns;

/// The rows of one row group at most.
#[derive(Debug)]
pub(super) struct GatheredRows {
    schema: SchemaRef,
    parts: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
}

/// A row group to be encoded.
#[derive(Debug)]
pub(super) struct GatheredGroup {
    rows: RecordBatch,
    /// Where its pages are.
    pages: Vec<Range<usize>>,
}

impl GatheredRows {
    pub(super) fn new(schema: SchemaRef) -> Self {
        Self { schema, parts: Vec::new(), rows: 0, bytes: 0 }
    }

    /// Adds rows; returns the row groups that are full by them, hardly ever more than one.
    pub(super) fn push(&mut self, mut rows: RecordBatch) -> Result<Vec<GatheredGroup>, ArrowError> {
        let mut full = Vec::new();
        while rows.num_rows() > 0 {
            // The limit of bytes may be passed by as many rows as are decoded at once.
            let fit = rows.slice(0, (GROUP_ROWS - self.rows).min(rows.num_rows()));
            rows = rows.slice(fit.num_rows(), rows.num_rows() - fit.num_rows());
            self.bytes += bytes_of(&fit).sum::<usize>();
            self.rows += fit.num_rows();
            self.parts.push(fit);
            if self.rows == GROUP_ROWS || self.bytes >= GROUP_BYTES {
                full.push(self.take()?);
            }
        }
        Ok(full)
    }

    /// What is left, if anything is.
    pub(super) fn rest(&mut self) -> Result<Option<GatheredGroup>, ArrowError> {
        if self.rows == 0 { Ok(None) } else { self.take().map(Some) }
    }

    fn take(&mut self) -> Result<GatheredGroup, ArrowError> {
        let rows = concat_batches(&self.schema, &self.parts)?;
        self.parts.clear();
        (self.rows, self.bytes) = (0, 0);
        let pages = pages_of(&rows);
        Ok(GatheredGroup { rows, pages })
    }
}

impl GatheredGroup {
    /// The rows as they were gathered once, and the declared columns.
    pub(super) fn columns(&self) -> (Columns, &[ArrayRef]) {
        let numbers = |name: &str| self.rows[name].as_primitive::<Int64Type>();
        let (offsets, ts_ns, producer_ids) = (numbers(OFFSET), numbers(TS_NS), numbers(PRODUCER_ID));
        let (keys, values) = (self.rows[KEY].as_binary::<i32>(), self.rows[VALUE].as_binary::<i32>());
        let leader_epochs = self.rows[LEADER_EPOCH].as_primitive::<Int32Type>();
        let headers = self.rows[HEADERS].as_list::<i32>();
        let parts = headers.values().as_struct();
        let (names, contents) = (parts.column(0).as_string::<i32>(), parts.column(1).as_binary::<i32>());
        let mut columns = Columns::new(&TypedColumns::default());
        for page in &self.pages {
            for row in page.clone() {
                let of_row = headers.value_offsets()[row] as usize..headers.value_offsets()[row + 1] as usize;
                let header = |at| Header { name: names.value(at), value: contents.is_valid(at).then(|| contents.value(at)) };
                columns.push_row(
                    Row {
                        offset: offsets.value(row),
                        ts_ns: ts_ns.value(row),
                        key: keys.is_valid(row).then(|| keys.value(row)),
                        value: values.is_valid(row).then(|| values.value(row)),
                        leader_epoch: leader_epochs.is_valid(row).then(|| leader_epochs.value(row).into()),
                        producer_id: producer_ids.is_valid(row).then(|| producer_ids.value(row)),
                    },
                    of_row.map(header),
                );
            }
            columns.end_page();
        }
        (columns, &self.rows.columns()[BASE_COLUMNS..])
    }
}

/// A page has its rows, or a few MiB.
fn pages_of(rows: &RecordBatch) -> Vec<Range<usize>> {
    let (mut pages, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (row, row_bytes) in bytes_of(rows).enumerate() {
        bytes += row_bytes;
        if (row + 1 - start) == PAGE_ROWS || bytes >= PAGE_BYTES {
            pages.push(start..row + 1);
            (start, bytes) = (row + 1, 0);
        }
    }
    if start < rows.num_rows() {
        pages.push(start..rows.num_rows());
    }
    pages
}

/// Bytes of key, value and headers of each row.
fn bytes_of(rows: &RecordBatch) -> impl Iterator<Item = usize> {
    let (keys, values) = (rows[KEY].as_binary::<i32>(), rows[VALUE].as_binary::<i32>());
    let headers = rows[HEADERS].as_list::<i32>();
    let parts = headers.values().as_struct();
    let (names, contents) = (parts.column(0).as_string::<i32>(), parts.column(1).as_binary::<i32>());
    let of_headers = move |row: usize| {
        let (from, to) = (headers.value_offsets()[row] as usize, headers.value_offsets()[row + 1] as usize);
        let between = |ends: &[i32]| (ends[to] - ends[from]) as usize;
        between(names.value_offsets()) + between(contents.value_offsets()) + (to - from) * size_of::<i64>()
    };
    (0..rows.num_rows()).map(move |row| (keys.value_length(row) + values.value_length(row)) as usize + of_headers(row))
}
