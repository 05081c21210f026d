//! What stands before a page. Checks nothing: it is written, never read.

use parquet::basic::Encoding;
use parquet::errors::ParquetError;

use crate::export::pages::varint::put_zigzag;

/// The header of a page, in Thrift's compact protocol, as parquet.thrift defines `PageHeader`.
#[derive(Debug, Clone, Copy)]
pub(super) struct PageHeader {
    pub(super) kind: PageKind,
    /// Values, nulls and empty lists counted.
    pub(super) values: usize,
    pub(super) encoding: Encoding,
    pub(super) uncompressed_bytes: usize,
    pub(super) compressed_bytes: usize,
    /// CRC-32 of the page as it is stored.
    pub(super) crc: u32,
}

/// The kinds of pages that are written here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PageKind {
    /// Version 1.
    Data,
    Dictionary,
}

impl PageHeader {
    /// # Errors
    /// If the page has 2 GiB: its size has 31 bits.
    pub(super) fn encode(&self) -> Result<Vec<u8>, ParquetError> {
        let mut out = Vec::with_capacity(HEADER_BYTES_MAX);
        let kind = if self.kind == PageKind::Data { DATA_PAGE } else { DICTIONARY_PAGE };
        put_i32(&mut out, 1, kind);
        put_i32(&mut out, 1, i32_of(self.uncompressed_bytes)?);
        put_i32(&mut out, 1, i32_of(self.compressed_bytes)?);
        put_i32(&mut out, 1, self.crc.cast_signed());
        // Field 5 is the header of a data page, field 7 that of a dictionary.
        out.push(if self.kind == PageKind::Data { 1 << 4 | STRUCT } else { 3 << 4 | STRUCT });
        put_i32(&mut out, 1, i32_of(self.values)?);
        put_i32(&mut out, 1, self.encoding as i32);
        if self.kind == PageKind::Data {
            put_i32(&mut out, 1, Encoding::RLE as i32); // definition levels
            put_i32(&mut out, 1, Encoding::RLE as i32); // repetition levels
        }
        out.extend([STOP, STOP]);
        Ok(out)
    }
}

/// A field, so many numbers behind the one before it.
fn put_i32(out: &mut Vec<u8>, step: u8, value: i32) {
    out.push(step << 4 | I32);
    put_zigzag(out, value.into());
}

/// A record of very many headers takes more in a page than in the log.
fn i32_of(number: usize) -> Result<i32, ParquetError> {
    i32::try_from(number).map_err(|_| ParquetError::General(format!("a page of {number} bytes or values: Parquet has room for 2147483647")))
}

const STOP: u8 = 0;
const I32: u8 = 5;
const STRUCT: u8 = 12;
const DATA_PAGE: i32 = 0;
const DICTIONARY_PAGE: i32 = 2;
/// Eight fields of at most six bytes, and four bytes more.
const HEADER_BYTES_MAX: usize = 52;
