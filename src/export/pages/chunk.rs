//! One column of one row group, encoded: its pages, and what the footer says of them. Knows no file: places are counted from its own beginning.

use parquet::basic::{Encoding, PageType};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, OffsetIndexBuilder, PageEncodingStats};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::page_index::offset_index::OffsetIndexMetaData;
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnDescPtr;
use tidelog_format::crc32;

use crate::export::pages::page_buffer::PageBuffer;
use crate::export::pages::page_compressor::PageCompressor;
use crate::export::pages::page_header::{PageHeader, PageKind};
use crate::export::parquet_compression::ParquetCompression;

/// A column chunk.
#[derive(Debug)]
pub(in crate::export) struct Chunk {
    /// Its bytes, in order.
    pub(in crate::export) parts: Vec<PageBuffer>,
    descriptor: ColumnDescPtr,
    compression: ParquetCompression,
    pages: Vec<PagePlace>,
    values: usize,
    dictionary_bytes: usize,
    compressed_bytes: usize,
    uncompressed_bytes: usize,
    encodings: Vec<PageEncodingStats>,
    statistics: Option<Statistics>,
    column_index: Option<ColumnIndexMetaData>,
    /// Vectors of pages that were compressed.
    spent: Vec<Vec<u8>>,
}

/// What the footer says of a column chunk.
#[derive(Debug)]
pub(in crate::export) struct ChunkMetadata {
    pub(in crate::export) column: ColumnChunkMetaData,
    pub(in crate::export) column_index: Option<ColumnIndexMetaData>,
    pub(in crate::export) offset_index: Option<OffsetIndexMetaData>,
}

#[derive(Debug)]
struct PagePlace {
    start: usize,
    bytes: usize,
    rows: usize,
}

/// How much a page holds.
#[derive(Debug, Clone, Copy)]
pub(in crate::export) struct PageRows {
    pub(in crate::export) rows: usize,
    /// Those of its levels, if it has any.
    pub(in crate::export) values: usize,
}

impl PageRows {
    /// Of a column without lists.
    pub(in crate::export) fn flat(rows: usize) -> Self {
        Self { rows, values: rows }
    }
}

/// A column chunk that is being written.
#[derive(Debug)]
pub(in crate::export) struct ChunkWriter<'a> {
    compressor: &'a mut PageCompressor,
    chunk: Chunk,
}

impl<'a> ChunkWriter<'a> {
    pub(in crate::export) fn new(descriptor: ColumnDescPtr, compression: ParquetCompression, compressor: &'a mut PageCompressor) -> Self {
        let chunk = Chunk {
            parts: Vec::new(),
            descriptor,
            compression,
            pages: Vec::new(),
            values: 0,
            dictionary_bytes: 0,
            compressed_bytes: 0,
            uncompressed_bytes: 0,
            encodings: Vec::new(),
            statistics: None,
            column_index: None,
            spent: Vec::new(),
        };
        Self { compressor, chunk }
    }

    /// Writes the dictionary, before any other page.
    pub(in crate::export) fn dictionary(&mut self, entries: usize, page: PageBuffer) -> Result<(), ParquetError> {
        assert!(self.chunk.parts.is_empty(), "a dictionary is the first page of a chunk");
        self.chunk.dictionary_bytes = self.put(PageKind::Dictionary, entries, Encoding::PLAIN, page)?;
        Ok(())
    }

    /// Writes a page of values behind its encoded levels.
    pub(in crate::export) fn page(&mut self, size: PageRows, encoding: Encoding, mut page: PageBuffer, levels: &[u8]) -> Result<(), ParquetError> {
        page.prepend(levels);
        let start = self.chunk.compressed_bytes;
        let bytes = self.put(PageKind::Data, size.values, encoding, page)?;
        self.chunk.pages.push(PagePlace { start, bytes, rows: size.rows });
        self.chunk.values += size.values;
        Ok(())
    }

    fn put(&mut self, kind: PageKind, values: usize, encoding: Encoding, mut page: PageBuffer) -> Result<usize, ParquetError> {
        let uncompressed_bytes = page.len();
        let compressed = self.compressor.compress(page.as_slice())?;
        let stored = compressed.unwrap_or(page.as_slice());
        let header = PageHeader { kind, values, encoding, uncompressed_bytes, compressed_bytes: stored.len(), crc: crc32(stored) }.encode()?;
        let bytes = header.len() + stored.len();
        let chunk = &mut self.chunk;
        if let Some(compressed) = compressed {
            // One part is enough: what it came from is used again.
            let mut part = chunk.parts.pop().unwrap_or_else(PageBuffer::new);
            part.tail().extend_from_slice(&header);
            part.tail().extend_from_slice(compressed);
            chunk.parts.push(part);
            chunk.spent.push(page.into_vec());
        } else {
            page.prepend(&header);
            chunk.parts.push(page);
        }
        chunk.compressed_bytes += bytes;
        chunk.uncompressed_bytes += header.len() + uncompressed_bytes;
        chunk.count(if kind == PageKind::Data { PageType::DATA_PAGE } else { PageType::DICTIONARY_PAGE }, encoding);
        Ok(bytes)
    }

    /// The chunk, complete.
    pub(in crate::export) fn close(self) -> Chunk {
        self.chunk
    }

    /// The same, with what readers find its pages by.
    pub(in crate::export) fn close_with(mut self, statistics: Statistics, column_index: ColumnIndexMetaData) -> Chunk {
        self.chunk.statistics = Some(statistics);
        self.chunk.column_index = Some(column_index);
        self.chunk
    }
}

impl Chunk {
    fn count(&mut self, page_type: PageType, encoding: Encoding) {
        match self.encodings.iter_mut().find(|stats| stats.page_type == page_type && stats.encoding == encoding) {
            Some(stats) => stats.count += 1,
            None => self.encodings.push(PageEncodingStats { page_type, encoding, count: 1 }),
        }
    }

    /// Vectors whose bytes nobody needs any more.
    pub(in crate::export) fn take_spent(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.spent)
    }

    /// Bytes before they were compressed.
    pub(in crate::export) fn uncompressed_bytes(&self) -> i64 {
        self.uncompressed_bytes as i64
    }

    /// What the footer says of it where it begins at `start` of the file.
    pub(in crate::export) fn metadata(&self, start: usize) -> Result<ChunkMetadata, ParquetError> {
        let mut index = OffsetIndexBuilder::new();
        for page in &self.pages {
            index.append_row_count(page.rows as i64);
            index.append_offset_and_size((start + page.start) as i64, page.bytes as i32);
        }
        let mut encodings = vec![Encoding::RLE];
        for stats in &self.encodings {
            if !encodings.contains(&stats.encoding) {
                encodings.push(stats.encoding);
            }
        }
        let mut column = ColumnChunkMetaData::builder(self.descriptor.clone())
            .set_encodings(encodings)
            .set_compression(self.compression.codec()?)
            .set_num_values(self.values as i64)
            .set_total_compressed_size(self.compressed_bytes as i64)
            .set_total_uncompressed_size(self.uncompressed_bytes as i64)
            .set_data_page_offset((start + self.dictionary_bytes) as i64)
            .set_dictionary_page_offset((self.dictionary_bytes > 0).then_some(start as i64))
            .set_page_encoding_stats(self.encodings.clone());
        if let Some(statistics) = &self.statistics {
            column = column.set_statistics(statistics.clone());
        }
        Ok(ChunkMetadata { column: column.build()?, column_index: self.column_index.clone(), offset_index: Some(index.build()) })
    }
}
