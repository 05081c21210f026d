//! A record by its offset, the short way: over unverified headers to its frame, which is then verified whole. Judges no damage: what is not
//! found here is looked for the long way, which says why.

use tidelog_format::{Offset, glance};

use crate::log::segment::Segment;
use crate::log::stored::StoredRecord;

/// The record at `offset`, which the list says is in this segment; `None` if it takes more than a look.
pub(crate) fn find(segment: &Segment, offset: u64) -> Option<StoredRecord> {
    let map = segment.present_map()?;
    let published = map.published();
    if offset >= segment.id.base_offset + u64::from(published.next) {
        return None;
    }
    let (end, salt) = (published.end as usize, segment.header.salt);
    let (mut at, likely) = segment.guess(offset, published)?;
    let bytes = map.bytes(0, end);
    // A header that lies leads to bytes that are not the frame of this offset: salt, position and offset are under its checksum.
    if let Some(seen) = bytes.get(likely..).and_then(glance)
        && seen.base_offset.get() == offset
        && let Some(record) = StoredRecord::find(map, likely, end, salt, Offset::new(offset))
    {
        return Some(record);
    }
    loop {
        let seen = glance(bytes.get(at..)?)?;
        if seen.next_offset.get() > offset {
            return StoredRecord::find(map, at, end, salt, Offset::new(offset));
        }
        at += seen.stored_bytes;
    }
}
