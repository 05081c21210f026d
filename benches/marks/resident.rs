//! Mark: records in memory that is there already, copied out and checked one after the other. Touches no file.

use super::values::Values;
use super::{load, store, stored_bytes};

/// Records of one length in memory.
pub(crate) struct Resident {
    bytes: Vec<u8>,
    stride: usize,
}

impl Resident {
    /// `records` values, stored.
    pub(crate) fn new(values: &Values, records: usize) -> Self {
        let stride = stored_bytes(values.value_bytes());
        let mut bytes = vec![0; stride * records];
        for (number, slot) in bytes.chunks_exact_mut(stride).enumerate() {
            store(slot, values.get(number));
        }
        Self { bytes, stride }
    }

    /// Copies and checks every record; something that depends on all of them.
    pub(crate) fn scan(&self, value: &mut [u8]) -> u64 {
        self.bytes.chunks_exact(self.stride).map(|slot| u64::from(load(slot, value))).sum()
    }
}
