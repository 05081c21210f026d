//! A record by its offset, the short way: over unverified headers to its frame, which is then verified whole. Judges no damage: what is not
//! found here is looked for the long way, which says why.

use tidelog_format::{Offset, glance};

use crate::io::{Published, SegmentMap};
use crate::log::segment::{Segment, frames_end};
use crate::log::stored::StoredRecord;
use crate::log::view::LogView;

/// Where a frame stands if all frames of its segment are alike, and what it takes to read it there.
struct Likely {
    map: SegmentMap,
    at: usize,
    end: usize,
    salt: u64,
}

/// The record at `offset`, if its segment holds frames all alike.
#[inline(always)]
pub(crate) fn find_even(view: &LogView, offset: u64) -> Option<StoredRecord> {
    let Likely { map, at, end, salt } = view.look(offset, |segment| likely(segment, offset))?;
    if !begins_at(map.bytes(0, end), at, offset) {
        return None;
    }
    // A header that lied has led to bytes that are not the frame of this offset: salt, position and offset are under its checksum.
    StoredRecord::find(map, at, end, salt, Offset::new(offset))
}

/// The record at `offset`, by the index of its segment; `None` if it takes more than a look.
pub(crate) fn find(view: &LogView, offset: u64) -> Option<StoredRecord> {
    let segment = view.entry_of(offset)?.segment;
    let map = segment.present_map()?;
    let published = map.published();
    if offset >= segment.id.base_offset + u64::from(published.next) {
        return None;
    }
    let at = place_of(&segment, map, offset, published)?;
    StoredRecord::find(map.clone(), at, frames_end(published) as usize, segment.header.salt, Offset::new(offset))
}

/// Touches no byte of the segment: a list is held meanwhile.
#[inline(always)]
fn likely(segment: &Segment, offset: u64) -> Option<Likely> {
    let map = segment.present_map()?;
    let published = map.published();
    let at = segment.even_guess(offset, published)?;
    // What follows before the bytes are looked at takes about as long as memory does.
    map.prefetch(at, at + NEAR_BYTES);
    Some(Likely { map: map.clone(), at, end: frames_end(published) as usize, salt: segment.header.salt })
}

/// Where the frame of `offset` stands if every header on the way tells the truth.
#[inline]
fn place_of(segment: &Segment, map: &SegmentMap, offset: u64, published: Published) -> Option<usize> {
    let bytes = map.bytes(0, frames_end(published) as usize);
    if let Some(likely) = segment.even_guess(offset, published) {
        if begins_at(bytes, likely, offset) {
            return Some(likely);
        }
        segment.set_uneven();
    }
    let (mut at, likely) = segment.guess(offset, published)?;
    map.prefetch(likely, likely + NEAR_BYTES);
    if begins_at(bytes, likely, offset) {
        return Some(likely);
    }
    loop {
        let seen = glance(bytes.get(at..)?)?;
        if seen.next_offset.get() > offset {
            return Some(at);
        }
        at += seen.stored_bytes;
    }
}

#[inline]
fn begins_at(bytes: &[u8], at: usize, offset: u64) -> bool {
    bytes.get(at..).and_then(glance).is_some_and(|seen| seen.base_offset.get() == offset)
}

/// A header and what a short record takes, wherever in a cache line it begins.
const NEAR_BYTES: usize = 256;
