//! What the log must be: every record by its offset, and what a cut may legally leave of it. Knows no disk.

use std::collections::BTreeSet;

use tidelog::{Record, StoredRecord};

/// What is known of a log while an operation is under way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    /// Whether the topic was made for good.
    pub(crate) is_made: bool,
    pub(crate) log_start: u64,
    /// Number of the record at each offset, from 0 on.
    pub(crate) records: Vec<u64>,
    /// Where batches end.
    pub(crate) ends: BTreeSet<u64>,
    /// Everything below was acknowledged as durable, or shown as such.
    pub(crate) durable: u64,
    /// The log start to be, and the end to be, of a cut that is under way.
    pub(crate) deleting: Option<u64>,
    pub(crate) truncating: Option<u64>,
    /// A batch behind the end whose write failed and could not be taken back: it may be there after the next open.
    pub(crate) doubted: Vec<u64>,
}

impl Model {
    pub(crate) fn end(&self) -> u64 {
        self.records.len() as u64
    }

    /// Records that are written together.
    pub(crate) fn append(&mut self, numbers: &[u64]) {
        self.records.extend(numbers);
        self.ends.insert(self.end());
    }

    pub(crate) fn set_durable(&mut self, end: u64) {
        assert!(end <= self.end(), "{end} durable of {}", self.end());
        self.durable = self.durable.max(end);
    }

    pub(crate) fn delete_prefix(&mut self, offset: u64) {
        self.deleting = None;
        self.log_start = offset;
        self.durable = self.durable.max(offset);
    }

    pub(crate) fn truncate(&mut self, offset: u64) {
        self.truncating = None;
        self.records.truncate(offset as usize);
        self.ends.retain(|end| *end <= offset);
        self.ends.insert(offset);
        self.durable = self.durable.min(offset);
    }

    /// What was found after a cut is what the log is from then on; what was durable stays so, whatever recovery knows of it.
    pub(crate) fn settle(&mut self, log_start: u64, end: u64, durable: u64) {
        if self.deleting == Some(log_start) {
            self.delete_prefix(log_start);
        }
        let doubted = std::mem::take(&mut self.doubted);
        if end > self.end() {
            self.append(&doubted);
        }
        self.truncate(end);
        self.set_durable(durable);
        (self.deleting, self.is_made) = (None, true);
    }

    /// Whether a cut may leave a log of these bounds.
    pub(crate) fn check_bounds(&self, log_start: u64, end: u64) -> Result<(), String> {
        if log_start != self.log_start && Some(log_start) != self.deleting {
            return Err(format!("log start {log_start}, expected {} or {:?}", self.log_start, self.deleting));
        }
        let is_cut = Some(end) == self.truncating;
        let is_prefix = end >= self.durable && (end == 0 || self.ends.contains(&end));
        let is_doubted = end > self.end() && end == self.end() + self.doubted.len() as u64;
        if end < log_start || !(is_doubted || end <= self.end() && (is_cut || is_prefix)) {
            return Err(format!("the log ends at {end}: durable {}, written {}, truncating {:?}", self.durable, self.end(), self.truncating));
        }
        Ok(())
    }

    /// Whether a record is the one of its offset.
    pub(crate) fn check_record(&self, found: &StoredRecord) -> Result<(), String> {
        let offset = found.offset().get();
        let doubted = || self.doubted.get(offset.checked_sub(self.end())? as usize);
        let number = *self.records.get(offset as usize).or_else(doubted).ok_or_else(|| format!("offset {offset} of {}", self.end()))?;
        let parts = Parts::of(number);
        let same = found.key() == parts.key.as_deref() && found.value() == Some(&parts.value[..]);
        if same {
            Ok(())
        } else {
            Err(format!("offset {offset} is not record {number}: {:?}", found.value().map(|value| &value[..value.len().min(16)])))
        }
    }
}

/// The parts of a record, which follow from its number.
pub(crate) struct Parts {
    key: Option<Vec<u8>>,
    value: Vec<u8>,
}

impl Parts {
    pub(crate) fn of(number: u64) -> Self {
        let len = match number % 16 {
            0 => 9_000 + number % 4_000,
            1 | 2 => 1_000 + number % 3_000,
            _ => number % 300,
        };
        let mut value = number.to_le_bytes().to_vec();
        value.extend((0..len).map(|byte| (byte as u8).wrapping_mul(31).wrapping_add(number as u8) | 1));
        Self { key: number.is_multiple_of(3).then(|| number.to_be_bytes().to_vec()), value }
    }

    pub(crate) fn record(&self) -> Record<'_> {
        let record = Record::new(&self.value);
        match &self.key {
            Some(key) => record.key(key),
            None => record,
        }
    }
}
