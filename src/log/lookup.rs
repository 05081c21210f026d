//! A record by its offset, the short way: over unverified headers to its frame, which is then verified whole. Judges no damage: what is not
//! found here is looked for the long way, which says why.

use std::hint::black_box;

use tidelog_format::{Offset, glance};

use crate::io::Published;
use crate::log::segment::Segment;
use crate::log::stored::StoredRecord;

/// The record at `offset`, which the list says is in this segment; `None` if it takes more than a look.
#[inline]
pub(crate) fn find(segment: &Segment, offset: u64) -> Option<StoredRecord> {
    let map = segment.present_map()?;
    let published = map.published();
    if offset >= segment.id.base_offset + u64::from(published.next) {
        return None;
    }
    let end = published.end as usize;
    let at = place_of(segment, map.bytes(0, end), offset, published)?;
    // A header that lied has led to bytes that are not the frame of this offset: salt, position and offset are under its checksum.
    StoredRecord::find(map, at, end, segment.header.salt, Offset::new(offset))
}

/// Where the frame of `offset` stands if every header on the way tells the truth.
#[inline]
fn place_of(segment: &Segment, bytes: &[u8], offset: u64, published: Published) -> Option<usize> {
    if let Some(likely) = segment.even_guess(offset, published) {
        if begins_at(bytes, likely, offset) {
            return Some(likely);
        }
        segment.set_uneven();
    }
    let (mut at, likely) = segment.guess(offset, published)?;
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
    // Asked for at once, so that the memory behind the header is under way while the header is looked at.
    black_box((bytes.get(at + 64).copied(), bytes.get(at + 128).copied()));
    bytes.get(at..).and_then(glance).is_some_and(|seen| seen.base_offset.get() == offset)
}
