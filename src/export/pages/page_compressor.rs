//! Compresses pages, one after the other, with what the one before needed. Knows no page's meaning.

use std::fmt;
use std::io;

use zstd::bulk::Compressor;
use zstd::zstd_safe::compress_bound;

use crate::export::parquet_compression::ParquetCompression;
use crate::export::schema::PAGE_BYTES;

/// Compresses as a file wants it.
pub(in crate::export) struct PageCompressor {
    codec: Option<Compressor<'static>>,
    compressed: Vec<u8>,
}

impl PageCompressor {
    pub(in crate::export) fn new(compression: ParquetCompression) -> io::Result<Self> {
        let codec = compression.level().map(Compressor::new).transpose()?;
        Ok(Self { codec, compressed: Vec::new() })
    }

    /// The page as it is stored, or nothing if that is as it is.
    pub(super) fn compress(&mut self, page: &[u8]) -> io::Result<Option<&[u8]>> {
        let Some(codec) = &mut self.codec else { return Ok(None) };
        // One huge page leaves nothing behind.
        self.compressed.clear();
        self.compressed.shrink_to(2 * PAGE_BYTES);
        self.compressed.reserve(compress_bound(page.len()));
        codec.compress_to_buffer(page, &mut self.compressed)?;
        Ok(Some(&self.compressed))
    }
}

impl fmt::Debug for PageCompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageCompressor").field("compresses", &self.codec.is_some()).finish_non_exhaustive()
    }
}
