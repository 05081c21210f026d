//! Records, varints and packed nanoseconds: what decodes has the same values after it was encoded again.

use tidelog_format::{
    NanosBlock, RecordView, count_records, crc32, encode_record, get_varint, pack_nanos, packed_bytes, put_varint, record_len, unpack_nano,
    varint_len,
};

pub fn run(data: &[u8]) {
    for at in 0..data.len().min(512) {
        check_record(data, at);
        check_varint(data, at);
    }
    if let Ok((count, highest)) = count_records(data) {
        assert!((count == 0) == data.is_empty() && (count == 0) == highest.is_none());
    }
    check_nanos(data);
}

fn check_record(bytes: &[u8], at: usize) {
    let Ok(record) = RecordView::decode(bytes, at) else { return };
    let span = record.span;
    assert!(span.end as usize > at && span.end as usize <= bytes.len());
    let headers: Vec<_> = record.headers().collect();
    assert_eq!(headers.len(), record.headers().len());
    let (delta, key, value) = (span.timestamp_delta_ms, record.key(), record.value());
    let len = record_len(delta, span.offset_delta, key, value, &headers);
    assert!(len <= span.end as usize - at, "the shortest form is written");
    let mut again = vec![0; len];
    assert_eq!(encode_record(&mut again, 0, delta, span.offset_delta, key, value, &headers), len);
    let found = RecordView::decode(&again, 0).expect("what was encoded decodes");
    assert_eq!((found.span.timestamp_delta_ms, found.span.offset_delta, found.span.end as usize), (delta, span.offset_delta, len));
    assert_eq!((found.key(), found.value()), (key, value));
    assert!(found.headers().eq(headers));
}

fn check_varint(bytes: &[u8], at: usize) {
    let Ok((value, end)) = get_varint(bytes, at) else { return };
    let len = varint_len(value);
    assert!(len <= end - at && end - at <= 10);
    let mut again = [0; 10];
    assert_eq!(put_varint(&mut again, 0, value), len);
    assert_eq!(get_varint(&again, 0), Ok((value, len)));
}

fn check_nanos(data: &[u8]) {
    let values: Vec<u32> = data.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]) % 1_000_000).collect();
    let mut packed = Vec::new();
    if let Some(block) = pack_nanos(&values, &mut packed) {
        assert_eq!((packed.len(), block.crc), (packed_bytes(block.width, values.len() as u32), crc32(&packed)));
        assert!(values.iter().enumerate().all(|(index, &value)| unpack_nano(&block, &packed, index as u32) == Some(value)));
    }
    if let Some((&[width, a, b, c, d, index, ..], packed)) = data.split_at_checked(8) {
        let block = NanosBlock { width, min: u32::from_le_bytes([a, b, c, d]), crc: 0 };
        assert!(unpack_nano(&block, packed, index.into()).is_none_or(|value| value < 1_000_000));
    }
}
