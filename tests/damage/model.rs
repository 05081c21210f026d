//! What every offset holds, and what was cut off from it. Knows no disk.

use std::collections::BTreeMap;

use tidelog::{Record, StoredRecord, TimestampNs};

/// The truth about a log.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    pub(crate) log_start: u64,
    /// Number of the record at each offset, from 0 on; `None` where it was lost before.
    pub(crate) records: Vec<Option<u64>>,
    /// Numbers that an offset had before the log was truncated below it.
    pub(crate) truncated: BTreeMap<u64, Vec<u64>>,
}

impl Model {
    pub(crate) fn end(&self) -> u64 {
        self.records.len() as u64
    }

    pub(crate) fn append(&mut self, numbers: &[u64]) {
        self.records.extend(numbers.iter().map(|number| Some(*number)));
    }

    pub(crate) fn truncate(&mut self, offset: u64) {
        for (at, number) in (offset..).zip(self.records.split_off(offset as usize)) {
            self.truncated.entry(at).or_default().extend(number);
        }
    }

    /// These offsets and all above are lost, and given out.
    pub(crate) fn lose_from(&mut self, offset: u64) {
        self.records[offset as usize..].fill(None);
    }

    /// The number of the record at an offset.
    pub(crate) fn number(&self, offset: u64) -> Option<u64> {
        self.records.get(offset as usize).copied().flatten()
    }
}

/// The parts of a record, which follow from its number.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
    timestamp: TimestampNs,
}

impl Parts {
    pub(crate) fn of(number: u64) -> Self {
        let len = match number % LENGTHS {
            0 => 700 + number % 900,
            1 => 0,
            _ => number % 90,
        };
        let value = (0..len).map(|byte| (byte as u8).wrapping_mul(31).wrapping_add(number as u8) | 1);
        let value: Vec<u8> = number.to_le_bytes().into_iter().chain(value).collect();
        let header = |name: u64| (format!("h{name}"), (!name.is_multiple_of(3)).then(|| vec![name as u8; name as usize]));
        Self {
            key: number.is_multiple_of(3).then(|| number.to_be_bytes().to_vec()),
            value: (!number.is_multiple_of(17)).then_some(value),
            headers: (0..number % 7 % 4).map(header).collect(),
            timestamp: time_of(number),
        }
    }

    pub(crate) fn record(&self) -> Record<'_> {
        let record = self.value.as_ref().map_or_else(Record::tombstone, Record::new).timestamp(self.timestamp);
        let record = self.key.as_ref().map_or(record.clone(), |key| record.key(key));
        self.headers.iter().fold(record, |record, (name, value)| record.header(name, value.as_deref()))
    }

    /// Whether a record is that of this number, in all its parts.
    pub(crate) fn is_same(number: u64, found: &StoredRecord) -> bool {
        let headers = found.headers().map(|header| (header.name.to_owned(), header.value.map(<[u8]>::to_vec))).collect();
        let (key, value) = (found.key().map(<[u8]>::to_vec), found.value().map(<[u8]>::to_vec));
        Self::of(number) == Self { key, value, headers, timestamp: found.timestamp() }
    }
}

/// Not in the order of the offsets, and some to the nanosecond.
pub(crate) fn time_of(number: u64) -> TimestampNs {
    let fine = if number.is_multiple_of(2) { number % 1_000_000_000 } else { number % 1000 * 1_000_000 };
    TimestampNs::new(1_700_000_000_000_000_000 + fine as i64)
}

const LENGTHS: u64 = 24;
