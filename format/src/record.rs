//! One record inside a batch: Kafka's record format v2, byte for byte. Knows no batch, no absolute offset, no absolute time.

use crate::DecodeError;
use crate::varint::{get_varint, put_varint, varint_len};

/// A named value beside a record's value. Order and duplicates are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// The name, UTF-8 as Kafka wants it.
    pub name: &'a str,
    /// The value; `None` is not empty.
    pub value: Option<&'a [u8]>,
}

/// A record as it stands in a batch, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordView<'a> {
    /// Where it stands.
    pub span: RecordSpan,
    bytes: &'a [u8],
}

impl<'a> RecordView<'a> {
    /// Reads the record at `at` of an uncompressed record array.
    ///
    /// # Errors
    /// [`DecodeError`] if it reaches past `bytes`, has leftover bytes, or a negative length.
    #[inline]
    pub fn decode(bytes: &'a [u8], at: usize) -> Result<Self, DecodeError> {
        Ok(Self { span: RecordSpan::decode(bytes, at)?, bytes })
    }

    /// The key; `None` is not empty.
    #[inline]
    pub fn key(&self) -> Option<&'a [u8]> {
        self.span.key(self.bytes)
    }

    /// The value; `None` is not empty (a tombstone).
    #[inline]
    pub fn value(&self) -> Option<&'a [u8]> {
        self.span.value(self.bytes)
    }

    /// The headers, in order.
    #[inline]
    pub fn headers(&self) -> HeaderIter<'a> {
        self.span.headers(self.bytes)
    }
}

/// Where the parts of a record stand in its record array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordSpan {
    /// First byte after the record.
    pub end: u32,
    /// Milliseconds after the batch's base time.
    pub timestamp_delta_ms: i64,
    /// Records after the batch's base offset.
    pub offset_delta: u32,
    key_at: u32,
    key_len: i32,
    value_at: u32,
    value_len: i32,
    headers_at: u32,
    header_count: u32,
}

impl RecordSpan {
    /// Reads the layout of the record at `at`.
    ///
    /// # Errors
    /// [`DecodeError`] if it reaches past `bytes`, has leftover bytes, or a negative length.
    // In line, so that the small fields stay in registers: moved as a whole right after they were stored, they stall a scan.
    #[inline(always)]
    pub fn decode(bytes: &[u8], at: usize) -> Result<Self, DecodeError> {
        if let Some(span) = Self::decode_short(bytes, at) {
            return Ok(span);
        }
        // Field by field, for the same reason.
        let Self { end, timestamp_delta_ms, offset_delta, key_at, key_len, value_at, value_len, headers_at, header_count } =
            Self::decode_any(bytes, at)?;
        Ok(Self { end, timestamp_delta_ms, offset_delta, key_at, key_len, value_at, value_len, headers_at, header_count })
    }

    /// As [`decode`](Self::decode), of a record as most are: with a value, and no number before it negative or of more than two bytes.
    /// 16 bytes must follow where it begins, and where its key ends, be they of others.
    #[inline(always)]
    fn decode_short(bytes: &[u8], at: usize) -> Option<Self> {
        let head: &Head = bytes.get(at..)?.first_chunk()?;
        let (len, body) = short_varint(head, 0)?;
        let (timestamp_delta_ms, next) = short_varint(head, body + 1)?; // the attributes byte is unused in v2
        let (offset_delta, next) = short_varint(head, next)?;
        let (key_len, key_at, value_at, value_len);
        if head[next % HEAD_BYTES] == NULL_BYTE {
            let (len, past) = short_varint(head, next + 1)?;
            (key_len, key_at, value_at, value_len) = (-1, at + next + 1, at + past, len);
        } else {
            let (len, next) = short_varint(head, next)?;
            (key_len, key_at) = (len as i32, at + next);
            let next = key_at + len as usize;
            let (len, past) = short_varint(bytes.get(next..)?.first_chunk()?, 0)?;
            (value_at, value_len) = (next + past, len);
        }
        let (end, after) = (at + body + len as usize, value_at + value_len as usize);
        let has_no_headers = after + 1 == end && *bytes.get(after)? == 0;
        let (header_count, headers_at) = if has_no_headers { (0, end) } else { count_headers(bytes.get(..end)?, after)? };
        Some(Self {
            end: u32::try_from(end).ok()?,
            timestamp_delta_ms: timestamp_delta_ms.into(),
            offset_delta,
            key_at: key_at as u32,
            key_len,
            value_at: value_at as u32,
            value_len: value_len as i32,
            headers_at: headers_at as u32,
            header_count,
        })
    }

    #[inline(never)]
    fn decode_any(bytes: &[u8], at: usize) -> Result<Self, DecodeError> {
        let (len, body) = get_varint(bytes, at)?;
        let end = usize::try_from(len).ok().and_then(|len| body.checked_add(len));
        let end = end.ok_or(DecodeError::Field { what: "record length", found: len.cast_unsigned() })?;
        let short = u32::try_from(end).ok().filter(|_| end <= bytes.len());
        let short = short.ok_or(DecodeError::Truncated { needed: end, found: bytes.len() })?;
        let record = &bytes[..end];
        let (timestamp_delta_ms, next) = get_varint(record, body + 1)?; // the attributes byte is unused in v2
        let (offset_delta, next) = get_varint(record, next)?;
        // Kafka holds it in an i32.
        let offset_delta = i32::try_from(offset_delta)
            .ok()
            .and_then(|delta| u32::try_from(delta).ok())
            .ok_or(DecodeError::Field { what: "offset delta", found: offset_delta.cast_unsigned() })?;
        let (key_at, key_len, next) = get_bytes(record, next)?;
        let (value_at, value_len, next) = get_bytes(record, next)?;
        let (header_count, next) = get_varint(record, next)?;
        let header_count =
            u32::try_from(header_count).map_err(|_| DecodeError::Field { what: "header count", found: header_count.cast_unsigned() })?;
        let after = if header_count == 0 { next } else { skip_headers(record, next, header_count)? };
        if after != end {
            return Err(DecodeError::Trailing { bytes: end - after });
        }
        let headers_at = next as u32;
        Ok(Self { end: short, timestamp_delta_ms, offset_delta, key_at, key_len, value_at, value_len, headers_at, header_count })
    }

    /// The record in `bytes`, the array that this layout was read from.
    #[inline]
    pub fn view(self, bytes: &[u8]) -> RecordView<'_> {
        RecordView { span: self, bytes }
    }

    /// First byte after the record at `at`, by its length alone; `None` past the end of `bytes`.
    #[inline]
    pub fn skip(bytes: &[u8], at: usize) -> Option<usize> {
        let (len, body) = get_varint(bytes, at).ok()?;
        body.checked_add(usize::try_from(len).ok()?).filter(|&end| end <= bytes.len())
    }

    /// As [`skip`](Self::skip), if the record has this offset delta.
    #[inline]
    pub fn skip_numbered(bytes: &[u8], at: usize, offset_delta: u32) -> Option<usize> {
        let (_, body) = get_varint(bytes, at).ok()?;
        let (_, after_time) = get_varint(bytes, body + 1).ok()?; // behind the attributes
        let (found, _) = get_varint(bytes, after_time).ok()?;
        if found == i64::from(offset_delta) { Self::skip(bytes, at) } else { None }
    }

    /// The key in `bytes`, the array that this layout was read from.
    #[inline]
    pub fn key<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        part(bytes, self.key_at, self.key_len)
    }

    /// The value in `bytes`, the array that this layout was read from.
    #[inline]
    pub fn value<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        part(bytes, self.value_at, self.value_len)
    }

    /// The headers in `bytes`, the array that this layout was read from.
    pub fn headers<'a>(&self, bytes: &'a [u8]) -> HeaderIter<'a> {
        HeaderIter { bytes: bytes.get(..self.end as usize).unwrap_or_default(), at: self.headers_at as usize, left: self.header_count }
    }
}

/// The headers of one record, in order.
#[derive(Debug, Clone)]
pub struct HeaderIter<'a> {
    bytes: &'a [u8],
    at: usize,
    left: u32,
}

impl<'a> Iterator for HeaderIter<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        self.left = self.left.checked_sub(1)?;
        let (header, next) = get_header(self.bytes, self.at).ok()?;
        self.at = next;
        Some(header)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for HeaderIter<'_> {}

/// Bytes that [`encode_record`] stores for these parts.
#[inline]
pub fn record_len(timestamp_delta_ms: i64, offset_delta: u32, key: Option<&[u8]>, value: Option<&[u8]>, headers: &[Header<'_>]) -> usize {
    let body = body_len(timestamp_delta_ms, offset_delta, key, value, headers);
    varint_len(body as i64) + body
}

/// Stores one record at `at` of `out` and returns the position after it.
///
/// # Panics
/// If `out` is too short: size it with [`record_len`].
#[inline]
pub fn encode_record(
    out: &mut [u8],
    at: usize,
    timestamp_delta_ms: i64,
    offset_delta: u32,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[Header<'_>],
) -> usize {
    let at = put_varint(out, at, body_len(timestamp_delta_ms, offset_delta, key, value, headers) as i64);
    out[at] = 0;
    let at = put_varint(out, at + 1, timestamp_delta_ms);
    let at = put_varint(out, at, offset_delta.into());
    let at = put_bytes(out, at, key);
    let at = put_bytes(out, at, value);
    let mut at = put_varint(out, at, headers.len() as i64);
    for header in headers {
        at = put_bytes(out, at, Some(header.name.as_bytes()));
        at = put_bytes(out, at, header.value);
    }
    at
}

/// Appends one record to `out`: the bytes of [`encode_record`], whose place need not be zeroed first.
///
/// # Errors
/// The bytes that `out` would have, if they are more than `limit`; then it stays as it is.
#[inline]
pub fn append_record(
    out: &mut Vec<u8>,
    limit: usize,
    timestamp_delta_ms: i64,
    offset_delta: u32,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[Header<'_>],
) -> Result<(), usize> {
    let body = body_len(timestamp_delta_ms, offset_delta, key, value, headers);
    let end = out.len() + varint_len(body as i64) + body;
    if end > limit {
        return Err(end);
    }
    out.reserve(end - out.len());
    // Small fields are collected: each piece that goes to `out` has a price of its own.
    let mut fields = [0; FIELDS_BYTES_MAX];
    let at = put_varint(&mut fields, 0, body as i64) + 1; // the attributes byte is zero
    let at = put_varint(&mut fields, at, timestamp_delta_ms);
    let mut at = put_varint(&mut fields, at, offset_delta.into());
    for part in [key, value] {
        at = put_varint(&mut fields, at, part.map_or(NULL, |part| part.len() as i64));
        if let Some(part) = part {
            out.extend_from_slice(&fields[..at]);
            out.extend_from_slice(part);
            at = 0;
        }
    }
    at = put_varint(&mut fields, at, headers.len() as i64);
    out.extend_from_slice(&fields[..at]);
    if !headers.is_empty() {
        append_headers(out, headers);
    }
    Ok(())
}

fn append_headers(out: &mut Vec<u8>, headers: &[Header<'_>]) {
    for header in headers {
        for part in [Some(header.name.as_bytes()), header.value] {
            let mut len = [0; VARINT_BYTES_MAX];
            let at = put_varint(&mut len, 0, part.map_or(NULL, |part| part.len() as i64));
            out.extend_from_slice(&len[..at]);
            out.extend_from_slice(part.unwrap_or_default());
        }
    }
}

/// The number of whole records in `bytes` and the highest offset delta, checked one by one.
///
/// # Errors
/// [`DecodeError`] of the first record that does not fit.
pub fn count_records(bytes: &[u8]) -> Result<(u32, Option<u32>), DecodeError> {
    let (mut at, mut count, mut highest) = (0, 0, None);
    while at < bytes.len() {
        let span = RecordSpan::decode(bytes, at)?;
        at = span.end as usize;
        highest = Some(span.offset_delta).max(highest);
        count += 1;
    }
    Ok((count, highest))
}

#[inline]
fn body_len(timestamp_delta_ms: i64, offset_delta: u32, key: Option<&[u8]>, value: Option<&[u8]>, headers: &[Header<'_>]) -> usize {
    let headers_len: usize = headers.iter().map(|header| bytes_len(Some(header.name.as_bytes())) + bytes_len(header.value)).sum();
    1 + varint_len(timestamp_delta_ms)
        + varint_len(offset_delta.into())
        + bytes_len(key)
        + bytes_len(value)
        + varint_len(headers.len() as i64)
        + headers_len
}

#[inline]
fn bytes_len(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| varint_len(bytes.len() as i64) + bytes.len())
}

#[inline]
fn put_bytes(out: &mut [u8], at: usize, bytes: Option<&[u8]>) -> usize {
    let Some(bytes) = bytes else { return put_varint(out, at, NULL) };
    let at = put_varint(out, at, bytes.len() as i64);
    out[at..at + bytes.len()].copy_from_slice(bytes);
    at + bytes.len()
}

#[inline(always)]
fn get_bytes(bytes: &[u8], at: usize) -> Result<(u32, i32, usize), DecodeError> {
    let (len, at) = get_varint(bytes, at)?;
    if len == NULL {
        return Ok((at as u32, -1, at));
    }
    let short = i32::try_from(len).ok().filter(|&len| len >= 0);
    let short = short.ok_or(DecodeError::Field { what: "length", found: len.cast_unsigned() })?;
    let end = at + short as usize;
    if end > bytes.len() {
        return Err(DecodeError::Truncated { needed: end, found: bytes.len() });
    }
    Ok((at as u32, short, end))
}

/// The number of headers that is at `at`, and where they begin, if the record ends with the last of them.
#[inline(never)]
fn count_headers(record: &[u8], at: usize) -> Option<(u32, usize)> {
    let (count, next) = get_varint(record, at).ok()?;
    let count = u32::try_from(count).ok()?;
    (skip_headers(record, next, count).ok()? == record.len()).then_some((count, next))
}

fn skip_headers(record: &[u8], at: usize, count: u32) -> Result<usize, DecodeError> {
    (0..count).try_fold(at, |at, _| get_header(record, at).map(|(_, next)| next))
}

fn get_header(bytes: &[u8], at: usize) -> Result<(Header<'_>, usize), DecodeError> {
    let (name_at, name_len, next) = get_bytes(bytes, at)?;
    let name = part(bytes, name_at, name_len).and_then(|name| std::str::from_utf8(name).ok());
    let name = name.ok_or(DecodeError::Field { what: "header name", found: at as u64 })?;
    let (value_at, value_len, next) = get_bytes(bytes, next)?;
    Ok((Header { name, value: part(bytes, value_at, value_len) }, next))
}

#[inline]
fn part(bytes: &[u8], at: u32, len: i32) -> Option<&[u8]> {
    let len = usize::try_from(len).ok()?;
    bytes.get(at as usize..at as usize + len)
}

/// The number at `at` of a head, if it is not negative and takes at most two bytes, and the position after it.
#[inline(always)]
fn short_varint(head: &Head, at: usize) -> Option<(u32, usize)> {
    let (low, high) = (u32::from(head[at % HEAD_BYTES]), u32::from(head[(at + 1) % HEAD_BYTES]));
    match low & (MORE | SIGN) {
        0 => Some((low >> 1, at + 1)),
        MORE if high & MORE == 0 => Some(((low & !MORE | high << 7) >> 1, at + 2)),
        _ => None,
    }
}

/// The first bytes of a record.
type Head = [u8; HEAD_BYTES];

/// Up to the length of the value a short record without a key has ten: the next power of two, so that a position needs no check.
const HEAD_BYTES: usize = 16;
/// Of a byte of a varint: another follows. Of the first: the number is negative.
const MORE: u32 = 0x80;
const SIGN: u32 = 1;
/// The varint of [`NULL`].
const NULL_BYTE: u8 = 1;
const NULL: i64 = -1;
const VARINT_BYTES_MAX: usize = 10;
/// Length, attributes, two deltas, two lengths, number of headers.
const FIELDS_BYTES_MAX: usize = 7 * VARINT_BYTES_MAX;
