//! The record section against bytes derived by hand from Kafka's documentation of record format v2, not from this crate.

use tidelog_format::*;

use crate::support::{Rec, encode_records};

/// length, attributes, timestampDelta, offsetDelta, keyLength, key, valueLen, value, headers. Every number but the attributes is a
/// zigzag varint: 0 is 00, -1 is 01, 1 is 02, 64 is 80 01.
#[rustfmt::skip]
const FIRST: &[u8] = &[
    0x2a, // 21 bytes follow
    0x00, // attributes
    0x00, // timestamp delta 0
    0x00, // offset delta 0
    0x02, b'k',
    0x0a, b'h', b'e', b'l', b'l', b'o',
    0x06, // 3 headers
    0x02, b'a', 0x02, b'1',
    0x02, b'b', 0x01, // null
    0x00, 0x00, // no name, empty value
];

#[rustfmt::skip]
const SECOND: &[u8] = &[
    0x0e, // 7 bytes follow
    0x00, // attributes
    0xcf, 0x0f, // timestamp delta -1000
    0x02, // offset delta 1
    0x01, // null key
    0x01, // null value
    0x00, // no headers
];

/// The value of 70 bytes and an empty list of headers come behind.
#[rustfmt::skip]
const THIRD: &[u8] = &[
    0x9c, 0x01, // 78 bytes follow
    0x00, // attributes
    0x80, 0x01, // timestamp delta 64
    0x04, // offset delta 2
    0x00, // empty key
    0x8c, 0x01, // value of 70 bytes
];

fn kafka_array() -> Vec<u8> {
    [FIRST, SECOND, THIRD, &[b'x'; 70], &[0x00]].concat()
}

#[test]
fn records_are_stored_as_kafka_has_them() {
    let header = |name, value| Header { name, value };
    let headers = vec![header("a", Some(&b"1"[..])), header("b", None), header("", Some(b""))];
    let base = 1_700_000_000_000_000_000;
    let records = [
        Rec { ts: base, key: Some(b"k"), value: Some(b"hello"), headers },
        Rec { ts: base - 1_000_000_000, key: None, value: None, headers: vec![] },
        Rec { ts: base + 64_000_000, key: Some(b""), value: Some(&[b'x'; 70]), headers: vec![] },
    ];
    let (bytes, packed, nanos) = encode_records(&records);
    assert_eq!(bytes, kafka_array());
    assert_eq!((packed, nanos), (vec![], None), "whole milliseconds apart: nothing beside Kafka's records");
}

#[test]
fn kafkas_records_are_read() {
    let bytes = kafka_array();
    let first = RecordView::decode(&bytes, 0).unwrap();
    assert_eq!((first.span.timestamp_delta_ms, first.span.offset_delta, first.span.end), (0, 0, 22));
    assert_eq!((first.key(), first.value()), (Some(&b"k"[..]), Some(&b"hello"[..])));
    let headers: Vec<_> = first.headers().map(|header| (header.name, header.value)).collect();
    assert_eq!(headers, [("a", Some(&b"1"[..])), ("b", None), ("", Some(b""))]);
    let second = RecordView::decode(&bytes, 22).unwrap();
    assert_eq!((second.span.timestamp_delta_ms, second.span.offset_delta, second.span.end), (-1000, 1, 30));
    assert_eq!((second.key(), second.value(), second.headers().count()), (None, None, 0));
    let third = RecordView::decode(&bytes, 30).unwrap();
    assert_eq!((third.span.timestamp_delta_ms, third.span.offset_delta, third.span.end as usize), (64, 2, bytes.len()));
    assert_eq!((third.key(), third.value()), (Some(&b""[..]), Some(&[b'x'; 70][..])));
    assert_eq!(count_records(&bytes), Ok((3, Some(2))));
}

/// Other writers may fill the attributes byte and use longer varints than needed; both are read and stored as they are.
#[test]
fn what_kafka_ignores_is_ignored() {
    let bytes = [0x12, 0xff, 0x80, 0x00, 0x00, 0x01, 0x81, 0x00, 0x00, 0x00];
    let record = RecordView::decode(&bytes, 0);
    assert_eq!(record.map(|record| (record.key(), record.value())), Err(DecodeError::Trailing { bytes: 1 }));
    let record = RecordView::decode(&[0x10, 0xff, 0x80, 0x00, 0x00, 0x01, 0x81, 0x00, 0x00], 0).unwrap();
    assert_eq!((record.span.timestamp_delta_ms, record.key(), record.value(), record.headers().count()), (0, None, None, 0));
}
