//! How much a page holds, and how much is looked at for it. Reads nothing.

use crate::subscription::error::SubscriptionError;

/// Limits of one [page](crate::Subscription::page), [poll](crate::Subscription::poll) or search for the next record.
///
/// ```
/// use tidelog::PageLimits;
///
/// let limits = PageLimits { records: 500, ..PageLimits::default() };
/// assert_eq!((limits.records, limits.bytes), (500, 4 << 20));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimits {
    /// Records that a page holds at most: 1 to 10,000, by default 100.
    pub records: u32,
    /// Bytes of keys, values and headers that a page holds at most: 1 to 100 MiB, by default 4 MiB. One record is handed out whatever its size.
    pub bytes: u64,
    /// Records that are looked at, taken or not by the filter: 1 to 10,000,000, by default 100,000.
    pub scanned_records: u32,
    /// Bytes of keys, values and headers of the records that are looked at: 1 to 1 GiB, by default 64 MiB.
    pub scanned_bytes: u64,
}

impl Default for PageLimits {
    fn default() -> Self {
        Self { records: 100, bytes: 4 << 20, scanned_records: 100_000, scanned_bytes: 64 << 20 }
    }
}

impl PageLimits {
    pub(super) fn check(&self) -> Result<(), SubscriptionError> {
        let all = [
            ("records", self.records.into(), RECORDS_MOST),
            ("bytes", self.bytes, BYTES_MOST),
            ("scanned_records", self.scanned_records.into(), SCANNED_RECORDS_MOST),
            ("scanned_bytes", self.scanned_bytes, SCANNED_BYTES_MOST),
        ];
        let wrong = all.into_iter().find(|(_, found, most)| !(1..=*most).contains(found));
        wrong.map_or(Ok(()), |(name, found, most)| Err(SubscriptionError::Limit { name, found, most }))
    }
}

const RECORDS_MOST: u64 = 10_000;
const BYTES_MOST: u64 = 100 << 20;
const SCANNED_RECORDS_MOST: u64 = 10_000_000;
const SCANNED_BYTES_MOST: u64 = 1 << 30;
