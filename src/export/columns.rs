//! Rows gathered into columns, in buffers that are used again. Encodes nothing but what needs no more than the row itself.

use std::ops::Range;

use arrow::array::ArrayRef;
use arrow::error::ArrowError;
use tidelog_format::{DecodeError, Header, LeaderEpoch};

use crate::export::pages::{PlainStrings, Runs, put_short};
use crate::export::report::Unfit;
use crate::export::row_group_writers::Times;
use crate::export::schema::{GROUP_BYTES, GROUP_ROWS, PAGE_BYTES, PAGE_ROWS, times_of};
use crate::export::typed_column::TypedColumns;
use crate::export::typed_values::TypedValues;
use crate::log::RecordRef;

/// The rows of one row group at most.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) offsets: Vec<i64>,
    pub(super) ts_ns: Vec<i64>,
    pub(super) keys: Strings,
    pub(super) values: PlainStrings,
    pub(super) headers: Headers,
    pub(super) leader_epochs: Runs<Option<i64>>,
    pub(super) producer_ids: Runs<Option<i64>>,
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

/// A row in the schema's terms.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) offset: i64,
    pub(super) ts_ns: i64,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) leader_epoch: Option<i64>,
    pub(super) producer_id: Option<i64>,
}

impl Columns {
    pub(super) fn new(declared: &TypedColumns) -> Self {
        Self {
            typed: TypedValues::new(declared),
            offsets: Vec::new(),
            ts_ns: Vec::new(),
            keys: Strings::default(),
            values: PlainStrings::new(),
            headers: Headers::default(),
            leader_epochs: Runs::new(),
            producer_ids: Runs::new(),
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
        self.values.end_page();
        self.page_ends.push(self.len());
        self.page_bytes = self.bytes_in_memory();
    }

    /// Whether they are as much as a row group may be.
    pub(super) fn is_group(&self) -> bool {
        self.len() >= GROUP_ROWS || self.bytes_in_memory() >= GROUP_BYTES
    }

    /// How far the times are apart.
    pub(super) fn times(&self) -> Times {
        times_of(&self.ts_ns)
    }

    /// The same columns, without a row.
    pub(super) fn empty(&self) -> Self {
        Self::new(self.typed.declared())
    }

    /// The declared columns.
    pub(super) fn declared(&self) -> &TypedColumns {
        self.typed.declared()
    }

    /// Rows gathered.
    pub(super) fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Bytes of keys, values and headers gathered.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The same, and what is made of them.
    fn bytes_in_memory(&self) -> usize {
        self.bytes + self.typed.bytes()
    }

    /// What the declared columns could not take since this was asked.
    pub(super) fn take_unfit(&mut self) -> Vec<Unfit> {
        self.typed.take_unfit()
    }

    /// What the declared columns took.
    pub(super) fn take_typed(&mut self) -> Result<Vec<ArrayRef>, ArrowError> {
        self.typed.take()
    }

    /// Adds a record, and what the declared columns take of it.
    #[inline]
    pub(super) fn push(&mut self, record: &RecordRef<'_>, part: BatchPart) {
        self.typed.push(record.offset().get(), record.value());
        self.push_record(record);
        self.push_part(part, 1);
    }

    /// How many records of a batch, which take so many bytes in it, are sure to end no page and no group. None where columns are declared: their
    /// values may take more than what they come from.
    pub(super) fn room_for(&self, bytes: usize) -> usize {
        if !self.declared().is_empty() {
            return 0;
        }
        let end = self.bytes.saturating_add(bytes.saturating_mul(COUNTED_MAX));
        if end - self.page_bytes < PAGE_BYTES && end < GROUP_BYTES { PAGE_ROWS - 1 - self.len() % PAGE_ROWS } else { 0 }
    }

    /// Adds records of one batch for which there is [room](Self::room_for), before the first that cannot be read, which is returned.
    #[inline]
    pub(super) fn push_plain<'a>(
        &mut self,
        mut records: impl Iterator<Item = Result<RecordRef<'a>, DecodeError>>,
        part: BatchPart,
    ) -> Result<(), DecodeError> {
        let before = self.len();
        let done = records.try_for_each(|record| record.map(|record| self.push_record(&record)));
        self.push_part(part, self.len() - before);
        done
    }

    /// Adds a row, and nothing to the declared columns.
    #[inline]
    pub(super) fn push_row<'a>(&mut self, row: Row<'_>, headers: impl ExactSizeIterator<Item = Header<'a>>) {
        let Row { offset, ts_ns, key, value, leader_epoch, producer_id } = row;
        self.push_parts(offset, ts_ns, key, value, headers);
        self.leader_epochs.push(leader_epoch);
        self.producer_ids.push(producer_id);
    }

    // In line, for a call costs as much as half of what it does.
    #[inline(always)]
    fn push_record(&mut self, record: &RecordRef<'_>) {
        // An offset is at most i64::MAX.
        self.push_parts(record.offset().get().cast_signed(), record.timestamp().get(), record.key(), record.value(), record.headers());
    }

    #[inline(always)]
    fn push_parts<'a>(
        &mut self,
        offset: i64,
        ts_ns: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl ExactSizeIterator<Item = Header<'a>>,
    ) {
        self.offsets.push(offset);
        self.ts_ns.push(ts_ns);
        self.keys.push(key);
        self.values.push(value);
        self.bytes += len(key) + len(value) + self.headers.push(headers);
    }

    #[inline]
    fn push_part(&mut self, part: BatchPart, rows: usize) {
        self.leader_epochs.extend(i32::try_from(part.leader_epoch.get()).ok().map(i64::from), rows);
        self.producer_ids.extend(part.producer_id, rows);
    }

    /// The rows of each page.
    pub(super) fn pages(&self) -> Vec<Range<usize>> {
        let ends = self.page_ends.iter().copied().chain([self.len()]);
        ends.scan(0, |start, end| Some(std::mem::replace(start, end)..end)).filter(|page| !page.is_empty()).collect()
    }

    /// Forgets the rows. Those of the declared columns and the values have been taken.
    pub(super) fn clear(&mut self) {
        self.offsets.clear();
        self.ts_ns.clear();
        self.keys.clear();
        self.headers.clear();
        self.leader_epochs.clear();
        self.producer_ids.clear();
        self.page_ends.clear();
        (self.bytes, self.page_bytes) = (0, 0);
    }
}

/// Byte strings of which any may be null, one behind the other.
#[derive(Debug, Default)]
pub(super) struct Strings {
    bytes: Vec<u8>,
    /// Of those that are there.
    lens: Vec<u32>,
    /// How many were different in the group before.
    pub(super) different: usize,
    /// Whether each is there.
    pub(super) is_there: Runs<bool>,
}

impl Strings {
    #[inline]
    fn push(&mut self, string: Option<&[u8]>) {
        self.is_there.push(string.is_some());
        if let Some(string) = string {
            put_short(&mut self.bytes, string);
            self.lens.push(u32::try_from(string.len()).expect("a record has at most 1 GiB"));
        }
    }

    /// Those that are there, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.bytes[..];
        self.lens.iter().map(move |&len| {
            let (string, behind) = rest.split_at(len as usize);
            rest = behind;
            string
        })
    }

    fn clear(&mut self) {
        // What one row group of huge keys needed is not kept for those that follow.
        self.bytes.clear();
        self.bytes.shrink_to(GROUP_BYTES / 2);
        self.lens.clear();
        self.is_there.clear();
    }
}

/// The headers of all rows.
#[derive(Debug, Default)]
pub(super) struct Headers {
    /// How many each row has.
    pub(super) counts: Runs<usize>,
    pub(super) names: Strings,
    pub(super) values: Strings,
}

impl Headers {
    /// Adds those of a row; returns their bytes.
    #[inline]
    fn push<'a>(&mut self, headers: impl ExactSizeIterator<Item = Header<'a>>) -> usize {
        if headers.len() == 0 {
            self.counts.push(0);
            return 0;
        }
        let (mut count, mut bytes) = (0, 0);
        for Header { name, value } in headers {
            self.names.push(Some(name.as_bytes()));
            self.values.push(value);
            count += 1;
            // Empty headers take space too.
            bytes += name.len() + len(value) + size_of::<i64>();
        }
        self.counts.push(count);
        bytes
    }

    fn clear(&mut self) {
        self.counts.clear();
        self.names.clear();
        self.values.clear();
    }
}

/// How often a byte of a record is counted at most: an empty header takes two bytes, and is counted as eight.
pub(super) const COUNTED_MAX: usize = 4;

fn len(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(0, <[u8]>::len)
}
