//! Rows gathered into columns: each key and value is copied once, into buffers that are used again. Knows no file.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::builder::NullBufferBuilder;
use arrow::array::{ArrayRef, BinaryArray, Int32Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray, TimestampMicrosecondArray};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowNativeType, SchemaRef};
use arrow::error::ArrowError;
use tidelog_format::{Header, LeaderEpoch, TimestampNs};

use crate::export::report::Unfit;
use crate::export::row_group_writers::Times;
use crate::export::schema::{GROUP_ROWS, PAGE_ROWS, UTC, header_fields, header_item, schema, times_of};
use crate::export::typed_column::TypedColumns;
use crate::export::typed_values::TypedValues;
use crate::log::RecordRef;

/// The rows of one row group at most.
#[derive(Debug)]
pub(super) struct Columns {
    schema: SchemaRef,
    offsets: Reused<i64>,
    ts_ns: Reused<i64>,
    ts: Reused<i64>,
    keys: Bytes,
    values: Bytes,
    header_ends: Reused<i32>,
    header_names: Bytes,
    header_values: Bytes,
    leader_epochs: Reused<i32>,
    leader_epochs_valid: NullBufferBuilder,
    producer_ids: Reused<i64>,
    producer_ids_valid: NullBufferBuilder,
    typed: TypedValues,
    bytes: usize,
    /// Where pages end, and the bytes before the last end.
    page_ends: Vec<usize>,
    page_bytes: usize,
}

/// The part of a row that its batch gives it.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchPart {
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) producer_id: Option<i64>,
}

impl Columns {
    pub(super) fn new(declared: &TypedColumns) -> Self {
        Self {
            schema: schema(declared),
            typed: TypedValues::new(declared),
            offsets: Reused::new(),
            ts_ns: Reused::new(),
            ts: Reused::new(),
            keys: Bytes::new(),
            values: Bytes::new(),
            header_ends: Reused { vec: vec![0], lent: None },
            header_names: Bytes::new(),
            header_values: Bytes::new(),
            leader_epochs: Reused::new(),
            leader_epochs_valid: NullBufferBuilder::new(PAGE_ROWS),
            producer_ids: Reused::new(),
            producer_ids_valid: NullBufferBuilder::new(PAGE_ROWS),
            bytes: 0,
            page_ends: Vec::new(),
            page_bytes: 0,
        }
    }

    /// Whether a page ends here: it has its rows, or a few MiB.
    pub(super) fn is_page(&self) -> bool {
        self.len().is_multiple_of(PAGE_ROWS) || self.bytes_in_memory() - self.page_bytes >= PAGE_BYTES
    }

    /// Ends a page.
    pub(super) fn end_page(&mut self) {
        self.page_ends.push(self.len());
        self.page_bytes = self.bytes_in_memory();
    }

    /// Whether they are as much as a row group may be.
    pub(super) fn is_group(&self) -> bool {
        self.len() >= GROUP_ROWS || self.bytes_in_memory() >= GROUP_BYTES
    }

    /// How far the times are apart.
    pub(super) fn times(&self) -> Times {
        times_of(&self.ts_ns.vec)
    }

    /// The same columns, without a row.
    pub(super) fn empty(&self) -> Self {
        Self::new(self.typed.declared())
    }

    /// Rows gathered.
    pub(super) fn len(&self) -> usize {
        self.offsets.vec.len()
    }

    /// Bytes of keys, values and headers gathered.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The same, and what is made of them.
    fn bytes_in_memory(&self) -> usize {
        self.bytes + self.typed.bytes()
    }

    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// What the declared columns could not take since this was asked.
    pub(super) fn take_unfit(&mut self) -> Vec<Unfit> {
        self.typed.take_unfit()
    }

    /// Adds a row.
    pub(super) fn push(&mut self, record: &RecordRef<'_>, part: BatchPart) {
        // An offset is at most i64::MAX.
        self.offsets.vec.push(record.offset().get().cast_signed());
        self.ts_ns.vec.push(record.timestamp().get());
        self.ts.vec.push(micros(record.timestamp()));
        self.keys.push(record.key());
        self.values.push(record.value());
        self.typed.push(record.offset().get(), record.value());
        self.bytes += len(record.key()) + len(record.value());
        for Header { name, value } in record.headers() {
            self.header_names.push(Some(name.as_bytes()));
            self.header_values.push(value);
            // Empty headers take space too.
            self.bytes += name.len() + len(value) + size_of::<i64>();
        }
        self.header_ends.vec.push(i32_len(self.header_names.len()));
        let leader_epoch = i32::try_from(part.leader_epoch.get()).ok();
        self.leader_epochs.vec.push(leader_epoch.unwrap_or_default());
        self.leader_epochs_valid.append(leader_epoch.is_some());
        self.producer_ids.vec.push(part.producer_id.unwrap_or_default());
        self.producer_ids_valid.append(part.producer_id.is_some());
    }

    /// Hands the rows to `write`, with the rows of each page, and is empty afterwards.
    pub(super) fn drain<E: From<ArrowError>>(&mut self, write: impl FnOnce(RecordBatch, Vec<Range<usize>>) -> Result<(), E>) -> Result<(), E> {
        let ends = self.page_ends.iter().copied().chain([self.len()]);
        let pages = ends.scan(0, |start, end| Some(std::mem::replace(start, end)..end)).filter(|page| !page.is_empty()).collect();
        let outcome = self.lend().map_err(E::from).and_then(|rows| write(rows, pages));
        self.take_back();
        outcome
    }

    fn lend(&mut self) -> Result<RecordBatch, ArrowError> {
        let ts = TimestampMicrosecondArray::try_new(self.ts.lend_scalars(), None)?.with_timezone(UTC);
        let header_names = StringArray::try_new(self.header_names.lend_ends(), self.header_names.data.lend(), None)?;
        let header_values = self.header_values.lend()?;
        let headers = StructArray::try_new(header_fields(), vec![Arc::new(header_names), header_values], None)?;
        let header_ends = OffsetBuffer::new(self.header_ends.lend_scalars());
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::try_new(self.offsets.lend_scalars(), None)?),
            Arc::new(Int64Array::try_new(self.ts_ns.lend_scalars(), None)?),
            Arc::new(ts),
            self.keys.lend()?,
            self.values.lend()?,
            Arc::new(ListArray::try_new(header_item(), header_ends, Arc::new(headers), None)?),
            Arc::new(Int32Array::try_new(self.leader_epochs.lend_scalars(), self.leader_epochs_valid.finish())?),
            Arc::new(Int64Array::try_new(self.producer_ids.lend_scalars(), self.producer_ids_valid.finish())?),
        ];
        columns.extend(self.typed.take()?);
        RecordBatch::try_new(self.schema.clone(), columns)
    }

    fn take_back(&mut self) {
        for column in [&mut self.offsets, &mut self.ts_ns, &mut self.ts, &mut self.producer_ids] {
            column.take_back();
        }
        for column in [&mut self.keys, &mut self.values, &mut self.header_names, &mut self.header_values] {
            column.take_back();
        }
        self.leader_epochs.take_back();
        self.header_ends.take_back();
        self.header_ends.vec.push(0);
        self.page_ends.clear();
        (self.bytes, self.page_bytes) = (0, 0);
    }
}

fn len(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(0, <[u8]>::len)
}

/// Microseconds, rounded down also before 1970.
fn micros(timestamp: TimestampNs) -> i64 {
    timestamp.get().div_euclid(1000)
}

/// Byte strings of which any may be null.
#[derive(Debug)]
struct Bytes {
    ends: Reused<i32>,
    data: Reused<u8>,
    valid: NullBufferBuilder,
}

impl Bytes {
    fn new() -> Self {
        Self { ends: Reused { vec: vec![0], lent: None }, data: Reused::new(), valid: NullBufferBuilder::new(PAGE_ROWS) }
    }

    fn len(&self) -> usize {
        self.ends.vec.len() - 1
    }

    #[inline]
    fn push(&mut self, bytes: Option<&[u8]>) {
        self.data.vec.extend_from_slice(bytes.unwrap_or_default());
        self.ends.vec.push(i32_len(self.data.vec.len()));
        self.valid.append(bytes.is_some());
    }

    fn lend(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(Arc::new(BinaryArray::try_new(self.lend_ends(), self.data.lend(), self.valid.finish())?))
    }

    fn lend_ends(&mut self) -> OffsetBuffer<i32> {
        OffsetBuffer::new(self.ends.lend_scalars())
    }

    fn take_back(&mut self) {
        self.ends.take_back();
        self.ends.vec.push(0);
        self.data.take_back();
        // Names are lent without their nulls, for there are none.
        self.valid = NullBufferBuilder::new(PAGE_ROWS);
    }
}

/// A vector that is lent out as a buffer and comes back with its capacity.
#[derive(Debug)]
struct Reused<T> {
    vec: Vec<T>,
    lent: Option<Buffer>,
}

impl<T: ArrowNativeType> Reused<T> {
    fn new() -> Self {
        Self { vec: Vec::new(), lent: None }
    }

    fn lend(&mut self) -> Buffer {
        let buffer = Buffer::from_vec(std::mem::take(&mut self.vec));
        self.lent = Some(buffer.clone());
        buffer
    }

    fn lend_scalars(&mut self) -> ScalarBuffer<T> {
        self.lend().into()
    }

    fn take_back(&mut self) {
        // Somebody who still holds the buffer keeps it; then a new one is made.
        if let Some(buffer) = self.lent.take() {
            self.vec = buffer.into_vec().unwrap_or_default();
        }
        self.vec.clear();
    }
}

/// A row group has less than 2 GiB: it ends at [`GROUP_BYTES`], and one record has at most 1 GiB.
fn i32_len(len: usize) -> i32 {
    i32::try_from(len).expect("a batch is at most 1 GiB, and a row group ends at 64 MiB")
}

/// Bytes of keys, values and headers at which a page ends that has not its rows yet.
pub(super) const PAGE_BYTES: usize = 4 << 20;
/// Bytes of keys, values and headers at which a row group ends, however few rows it has.
pub(super) const GROUP_BYTES: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn microseconds_are_rounded_down() {
        for (ns, expected) in [(0, 0), (999, 0), (1000, 1), (-1, -1), (-1000, -1), (-1001, -2), (i64::MIN, i64::MIN / 1000 - 1)] {
            assert_eq!(micros(TimestampNs::new(ns)), expected, "{ns}");
        }
    }
}
