//! One frame: what decodes encodes to the same bytes, at one place only.

use super::heal;
use tidelog_format::{Attributes, Frame, Position, RecordSpan, SMALL_FRAME_BYTES_MAX, Seal, Single};

pub fn run(data: &[u8]) {
    let Some((place, bytes)) = data.split_at_checked(12) else { return };
    let salt = u64::from_le_bytes(place[..8].try_into().expect("eight bytes"));
    let position = Position::new(u64::from(u32::from_le_bytes(place[8..].try_into().expect("four bytes"))) * 8);
    check(bytes, salt, position);
    let mut healed = bytes.to_vec();
    heal::frame(&mut healed, salt, position, None);
    check(&healed, salt, position);
}

fn check(bytes: &[u8], salt: u64, position: Position) {
    let (frame, single) = (Frame::decode(bytes, salt, position), Single::decode(bytes, salt, position));
    check_single(frame.ok().filter(|frame| frame.verify_body().is_ok()), single);
    let Ok(frame) = frame else { return };
    heal::check_frame(bytes, &frame, salt, position);
    // One other place may have the same word, once in 2^32 times; not each of three.
    let neighbours = [(salt ^ 1, position), (salt, Position::new(position.get() ^ 8)), (salt ^ 2, Position::new(position.get() ^ 16))];
    assert!(neighbours.iter().any(|&(salt, position)| Frame::decode(bytes, salt, position).is_err()), "a frame is right at one place only");
    let stored = frame.header.stored_bytes();
    assert_eq!(Frame::decode(&bytes[..stored], salt, position), Ok(frame), "nothing behind a frame is part of it");
    assert!(Frame::decode(&bytes[..stored - 1], salt, position).is_err());
    if frame.verify_body().is_err() {
        return;
    }
    if let Ok(seal) = Seal::decode(&frame) {
        let again = seal.encode(position, frame.header.durable_back);
        assert_eq!(again[64..], bytes[64..128], "the body of a seal is what it encodes to");
    }
    let mut at = 0;
    while let Ok(span) = RecordSpan::decode(frame.records, at) {
        assert!(span.end as usize > at && span.end as usize <= frame.records.len());
        at = span.end as usize;
    }
}

/// The short way to a record that is alone in its frame finds what the long way does, and only where there is such a frame.
fn check_single(frame: Option<Frame<'_>>, single: Option<Single<'_>>) {
    let plain = Attributes(0).with(Attributes::HAS_TOMBSTONE);
    let is_plain = |frame: &Frame<'_>| {
        let header = &frame.header;
        plain.contains(header.attributes) && header.record_count == 1 && header.last_offset_delta == 0 && header.frame_len <= SMALL_FRAME_BYTES_MAX
    };
    let Some(frame) = frame.filter(is_plain) else { return assert_eq!(single, None) };
    let span = RecordSpan::decode(frame.records, 0).ok();
    let is_alone = |span: &RecordSpan| span.end as usize == frame.records.len() && span.offset_delta == 0 && span.timestamp_delta_ms == 0;
    let expected = span.filter(is_alone).map(|span| Single {
        offset: frame.header.base_offset,
        timestamp: frame.record_timestamp(0, 0).expect("it is in the header"),
        leader_epoch: frame.header.leader_epoch,
        records: frame.records,
        span,
        stored_bytes: frame.header.stored_bytes(),
    });
    assert_eq!(single, expected);
}
