//! Large batches that were verified a moment ago, and where some of their records stand, so that reads of single records out of them need
//! neither all of their bytes nor all of the records before. One table for the process, of bounded size; whoever reads it decides nothing by it
//! that a full look would decide otherwise, but for bytes that change within [`TRUSTED_FOR_NS`].

use std::ops::Range;
use std::sync::{Arc, LazyLock};

use arc_swap::ArcSwapOption;
use tidelog_format::{Frame, Position, RecordSpan};

use crate::clock::coarse_uptime_ns;

/// Where record `number` of `frame` begins in the record section. The frame stands at `position` of the segment with `salt`, is plain, and holds
/// more than `number` records, one after the other. `None` if it does not verify.
#[inline]
pub(crate) fn record_at(frame: &Frame<'_>, salt: u64, position: Position, number: u32) -> Option<usize> {
    if frame.header.stored_bytes() < LARGE_BYTES {
        frame.verify_body().ok()?;
        return skip_numbered(frame.records, 0, 0..number);
    }
    record_of_large(frame, salt, position, number)
}

fn record_of_large(frame: &Frame<'_>, salt: u64, position: Position, number: u32) -> Option<usize> {
    let address = frame.records.as_ptr().addr();
    let identity = Identity { address, salt, position: position.get(), content: frame.chain_after(), body_crc: frame.header.body_crc };
    let now = coarse_uptime_ns();
    let slots = identity.slots();
    for slot in slots {
        if let Some(seen) = &*slot.load()
            && seen.identity == identity
            && now.saturating_sub(seen.at_ns) < TRUSTED_FOR_NS
        {
            return seen.walk(frame.records, number);
        }
    }
    frame.verify_body().ok()?;
    let seen = Seen::new(identity, now, frame)?;
    let found = seen.walk(frame.records, number);
    let age = |slot: &Slot| slot.load().as_ref().map_or(0, |seen| seen.at_ns);
    // An old entry of this batch is replaced; else the older of two.
    let is_here = |slot: &&&Slot| slot.load().as_ref().is_some_and(|seen| seen.identity == identity);
    let slot = slots.iter().find(is_here).or_else(|| slots.iter().min_by_key(|slot| age(slot)))?;
    slot.store(Some(Arc::new(seen)));
    found
}

/// Passes by records that are numbered as they follow each other. Others are read from the first one on: an offset is of the first that has it.
#[inline]
fn skip_numbered(records: &[u8], from: usize, mut numbers: Range<u32>) -> Option<usize> {
    numbers.try_fold(from, |at, number| RecordSpan::skip_numbered(records, at, number))
}

#[inline]
fn skip(records: &[u8], from: usize, count: u32) -> Option<usize> {
    (0..count).try_fold(from, |at, _| RecordSpan::skip(records, at))
}

/// What tells a batch from any other. The content is the checksum over all of the header and `body_crc` the one over the records; the address is
/// of the map, because a copy of a file has all else alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    address: usize,
    salt: u64,
    position: u64,
    content: u32,
    body_crc: u32,
}

impl Identity {
    fn slots(&self) -> [&'static Slot; 2] {
        static TABLE: LazyLock<Box<[Slot]>> = LazyLock::new(|| (0..SLOTS).map(|_| Slot::default()).collect());
        // Fibonacci hashing: Knuth, TAOCP 3, 6.4. Salts are random, positions are not.
        let hash = (self.salt ^ self.position).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - SLOTS.ilog2());
        [&TABLE[hash as usize], &TABLE[hash as usize ^ 1]]
    }
}

type Slot = ArcSwapOption<Seen>;

#[derive(Debug)]
struct Seen {
    identity: Identity,
    at_ns: u64,
    stride: u32,
    /// Where every `stride`-th record begins, and the end. All are numbered as they follow each other.
    marks: [u32; MARKS + 1],
    /// By mark, whether the records up to the next one are equally long.
    is_even: u64,
}

impl Seen {
    fn new(identity: Identity, at_ns: u64, frame: &Frame<'_>) -> Option<Self> {
        let count = frame.header.record_count;
        let stride = count.div_ceil(MARKS as u32);
        let mut seen = Self { identity, at_ns, stride, marks: [0; MARKS + 1], is_even: 0 };
        let mut at = 0;
        for (mark, first) in (0..count).step_by(stride as usize).enumerate() {
            seen.marks[mark] = u32::try_from(at).ok()?;
            let (begin, mut is_even, mut first_len) = (at, true, 0);
            for number in first..count.min(first + stride) {
                let end = RecordSpan::skip_numbered(frame.records, at, number)?;
                first_len = if number == first { end - begin } else { first_len };
                is_even &= end - at == first_len;
                at = end;
            }
            seen.is_even |= u64::from(is_even && count - first >= stride) << mark;
            seen.marks[mark + 1] = u32::try_from(at).ok()?;
        }
        Some(seen)
    }

    fn walk(&self, records: &[u8], number: u32) -> Option<usize> {
        let (mark, behind) = ((number / self.stride) as usize, number % self.stride);
        let from = *self.marks.get(mark)?;
        if self.is_even >> mark & 1 == 0 {
            return skip(records, from as usize, behind);
        }
        let len = (self.marks.get(mark + 1)? - from) / self.stride;
        Some((from + behind * len) as usize)
    }
}

/// From here on, a look at all of a batch costs more than the table.
const LARGE_BYTES: usize = 4096;
/// As many as `is_even` has bits.
const MARKS: usize = 64;
/// At most 3 MiB, if that many batches are read so.
const SLOTS: usize = 8 << 10;
/// Bytes may change below a map when a page is dropped and read again from a disk that rots; what was right so long ago is taken to be right.
const TRUSTED_FOR_NS: u64 = 1_000_000_000;
