//! The columns that every export has, as column chunks: which encoding each one gets. Writes no file.

use std::collections::HashMap;
use std::iter::repeat_n;
use std::ops::Range;

use parquet::basic::{BoundaryOrder, Encoding, Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnIndexBuilder;
use parquet::file::statistics::Statistics;
use parquet::schema::types::SchemaDescPtr;

use crate::export::columns::{Columns, Headers, Strings};
use crate::export::pages::{
    Chunk, ChunkWriter, Dictionary, PageBuffer, PageCompressor, PageRows, Runs, encode_deltas, encode_hybrid, encode_runs, put_levels, put_plain,
    width_of,
};
use crate::export::parquet_compression::ParquetCompression;
use crate::export::row_group_writers::Times;
use crate::export::schema::VALUE_COLUMN;

/// Encodes the rows of one group, column after column.
pub(super) struct GroupEncoder<'a> {
    pub(super) schema: &'a SchemaDescPtr,
    pub(super) compression: ParquetCompression,
    pub(super) compressor: &'a mut PageCompressor,
}

impl GroupEncoder<'_> {
    /// The chunks, in the order of the schema. The columns are empty afterwards.
    pub(super) fn encode(mut self, columns: &mut Columns) -> Result<Vec<Chunk>, ParquetError> {
        let (pages, times) = (columns.pages(), columns.times());
        let ts: Vec<i64> = columns.ts_ns.iter().copied().map(micros).collect();
        let mut chunks = vec![
            self.numbers(0, &pages, &columns.offsets, true)?,
            self.numbers(1, &pages, &columns.ts_ns, times == Times::VeryNear)?,
            self.numbers(2, &pages, &ts, times != Times::Apart)?,
            self.keys(3, &pages, &mut columns.keys)?,
        ];
        chunks.push(self.values(VALUE_COLUMN, columns)?);
        chunks.extend([
            self.header_names(5, &pages, &columns.headers)?,
            self.header_values(6, &pages, &columns.headers)?,
            self.few(7, &pages, &columns.leader_epochs, |number, page| page.extend_from_slice(&(number as i32).to_le_bytes()))?,
            self.few(8, &pages, &columns.producer_ids, |number, page| page.extend_from_slice(&number.to_le_bytes()))?,
        ]);
        columns.clear();
        Ok(chunks)
    }

    fn writer(&mut self, column: usize) -> ChunkWriter<'_> {
        ChunkWriter::new(self.schema.column(column), self.compression, self.compressor)
    }

    /// Numbers that readers look for: with statistics.
    fn numbers(&mut self, column: usize, pages: &[Range<usize>], numbers: &[i64], as_deltas: bool) -> Result<Chunk, ParquetError> {
        let mut writer = self.writer(column);
        let (mut index, mut bounds) = (ColumnIndexBuilder::new(Type::INT64), Vec::with_capacity(pages.len()));
        for page in pages {
            let numbers = &numbers[page.clone()];
            let (min, max) = bounds_of(numbers.iter().map(|number| (*number, *number)));
            index.append(false, min.to_le_bytes().to_vec(), max.to_le_bytes().to_vec(), 0, None);
            bounds.push((min, max));
            let mut buffer = PageBuffer::new();
            let encoding = if as_deltas {
                encode_deltas(numbers, buffer.tail());
                Encoding::DELTA_BINARY_PACKED
            } else {
                numbers.iter().for_each(|number| buffer.tail().extend_from_slice(&number.to_le_bytes()));
                Encoding::PLAIN
            };
            writer.page(PageRows::flat(page.len()), encoding, buffer, &[])?;
        }
        index.set_boundary_order(order_of(&bounds));
        let (min, max) = bounds_of(bounds.into_iter());
        Ok(writer.close_with(Statistics::int64(Some(min), Some(max), None, Some(0), false), index.build()?))
    }

    fn keys(&mut self, column: usize, pages: &[Range<usize>], keys: &mut Strings) -> Result<Chunk, ParquetError> {
        let mut writer = self.writer(column);
        let is_there: Vec<Runs<bool>> = keys.is_there.portions(pages.iter().map(Range::len)).collect();
        let mut strings = StringPages::begin(keys, is_there.iter().map(count_of), &mut writer)?;
        for (page, is_there) in pages.iter().zip(&is_there) {
            let (buffer, encoding) = strings.next(count_of(is_there));
            writer.page(PageRows::flat(page.len()), encoding, buffer, &levels_of(&is_there.map(u32::from), OPTIONAL))?;
        }
        let different = strings.different;
        drop(strings);
        keys.different = different;
        Ok(writer.close())
    }

    fn values(&mut self, column: usize, columns: &mut Columns) -> Result<Chunk, ParquetError> {
        let mut writer = self.writer(column);
        for page in columns.values.take_pages() {
            let levels = levels_of(&page.is_there.map(u32::from), OPTIONAL);
            writer.page(PageRows::flat(page.is_there.len()), Encoding::PLAIN, page.buffer, &levels)?;
        }
        let mut chunk = writer.close();
        chunk.take_spent().into_iter().for_each(|spent| columns.values.reuse(spent));
        Ok(chunk)
    }

    fn header_names(&mut self, column: usize, pages: &[Range<usize>], headers: &Headers) -> Result<Chunk, ParquetError> {
        let mut writer = self.writer(column);
        let lists: Vec<Runs<usize>> = headers.counts.portions(pages.iter().map(Range::len)).collect();
        let elements = |lists: &Runs<usize>| lists.iter().map(|(count, lists)| count * lists).sum();
        let mut strings = StringPages::begin(&headers.names, lists.iter().map(elements), &mut writer)?;
        for (page, lists) in pages.iter().zip(&lists) {
            let (buffer, encoding) = strings.next(elements(lists));
            let (repeated, there) = list_levels(lists);
            let levels = [levels_of(&repeated, REPEATED), levels_of(&there, REPEATED)].concat();
            writer.page(PageRows { rows: page.len(), values: there.len() }, encoding, buffer, &levels)?;
        }
        Ok(writer.close())
    }

    fn header_values(&mut self, column: usize, pages: &[Range<usize>], headers: &Headers) -> Result<Chunk, ParquetError> {
        let mut writer = self.writer(column);
        let mut is_there = headers.values.is_there.iter().flat_map(|(is_there, count)| repeat_n(is_there, count));
        let mut values = headers.values.iter();
        for (page, lists) in pages.iter().zip(headers.counts.portions(pages.iter().map(Range::len))) {
            let (repeated, elements) = list_levels(&lists);
            let (mut there, mut buffer) = (Runs::new(), PageBuffer::new());
            for (level, count) in elements.iter() {
                if level == 0 {
                    there.extend(level, count);
                    continue;
                }
                for is_there in is_there.by_ref().take(count) {
                    there.push(if is_there { REPEATED_OPTIONAL } else { REPEATED });
                    if is_there && let Some(value) = values.next() {
                        put_plain(buffer.tail(), value);
                    }
                }
            }
            let levels = [levels_of(&repeated, REPEATED), levels_of(&there, REPEATED_OPTIONAL)].concat();
            writer.page(PageRows { rows: page.len(), values: there.len() }, Encoding::PLAIN, buffer, &levels)?;
        }
        Ok(writer.close())
    }

    /// Numbers of which few are different, and any may be none.
    fn few(
        &mut self,
        column: usize,
        pages: &[Range<usize>],
        numbers: &Runs<Option<i64>>,
        put: impl Fn(i64, &mut Vec<u8>),
    ) -> Result<Chunk, ParquetError> {
        let mut writer = self.writer(column);
        let (mut places, mut dictionary) = (HashMap::new(), PageBuffer::new());
        for number in numbers.iter().filter_map(|(number, _)| number) {
            let next = places.len() as u32;
            places.entry(number).or_insert_with(|| {
                put(number, dictionary.tail());
                next
            });
        }
        let entries = places.len();
        if entries > 0 {
            writer.dictionary(entries, dictionary)?;
        }
        for (page, numbers) in pages.iter().zip(numbers.portions(pages.iter().map(Range::len))) {
            let mut in_page = Runs::new();
            numbers.iter().filter_map(|(number, count)| Some((places[&number?], count))).for_each(|(place, count)| in_page.extend(place, count));
            let (mut buffer, encoding) = begin_places(entries);
            if in_page.len() > 0 {
                encode_runs(&in_page, width_of_places(entries), buffer.tail());
            }
            let is_there = numbers.map(|number| u32::from(number.is_some()));
            writer.page(PageRows::flat(page.len()), encoding, buffer, &levels_of(&is_there, OPTIONAL))?;
        }
        Ok(writer.close())
    }
}

/// The pages of a column of byte strings, which go by a dictionary until that is too large.
struct StringPages<'a> {
    /// The strings of pages that go by none.
    strings: Box<dyn Iterator<Item = &'a [u8]> + 'a>,
    places: Vec<u32>,
    next_place: usize,
    /// Entries of the dictionary at the end of each page that goes by it.
    entries: std::vec::IntoIter<usize>,
    /// Entries of the dictionary.
    different: usize,
}

impl<'a> StringPages<'a> {
    /// Writes the dictionary of pages with so many strings each.
    fn begin(strings: &'a Strings, pages: impl Iterator<Item = usize>, writer: &mut ChunkWriter<'_>) -> Result<Self, ParquetError> {
        let (mut dictionary, mut places, mut entries) = (Dictionary::with_capacity(strings.different), Vec::new(), Vec::new());
        let mut rest = strings.iter();
        for page in pages {
            if dictionary.bytes() > DICTIONARY_BYTES_MAX {
                break;
            }
            places.extend(rest.by_ref().take(page).map(|string| dictionary.place_of(string)));
            entries.push(dictionary.len());
        }
        let different = dictionary.len();
        if different > 0 {
            writer.dictionary(different, dictionary.into_page())?;
        }
        Ok(Self { strings: Box::new(rest), places, next_place: 0, entries: entries.into_iter(), different })
    }

    /// The next page, of so many strings.
    fn next(&mut self, len: usize) -> (PageBuffer, Encoding) {
        let Some(entries) = self.entries.next() else {
            let mut buffer = PageBuffer::new();
            self.strings.by_ref().take(len).for_each(|string| put_plain(buffer.tail(), string));
            return (buffer, Encoding::PLAIN);
        };
        // Before the first entry there is none in a page.
        let entries = entries.max(self.different.min(1));
        let (mut buffer, encoding) = begin_places(entries);
        if len > 0 {
            encode_hybrid(&self.places[self.next_place..][..len], width_of_places(entries), buffer.tail());
            self.next_place += len;
        }
        (buffer, encoding)
    }
}

/// A page of places in a dictionary of so many entries. A chunk that holds nothing has no dictionary, and then neither has the page anything.
fn begin_places(entries: usize) -> (PageBuffer, Encoding) {
    let mut buffer = PageBuffer::new();
    if entries == 0 {
        return (buffer, Encoding::PLAIN);
    }
    buffer.tail().push(width_of_places(entries) as u8);
    (buffer, Encoding::RLE_DICTIONARY)
}

/// Bits of a place. Readers exist that do not know numbers of no bits.
fn width_of_places(entries: usize) -> u32 {
    width_of(entries - 1).max(1)
}

fn levels_of(levels: &Runs<u32>, max: u32) -> Vec<u8> {
    let mut encoded = Vec::new();
    put_levels(levels, max, &mut encoded);
    encoded
}

/// How many are there.
fn count_of(is_there: &Runs<bool>) -> usize {
    is_there.iter().filter_map(|(is_there, count)| is_there.then_some(count)).sum()
}

/// The levels of repetition and of definition of lists with so many elements each.
fn list_levels(lists: &Runs<usize>) -> (Runs<u32>, Runs<u32>) {
    let (mut repeated, mut there) = (Runs::new(), Runs::new());
    for (elements, count) in lists.iter() {
        if elements <= 1 {
            repeated.extend(0, count);
        } else {
            (0..count).for_each(|_| {
                repeated.push(0);
                repeated.extend(REPEATED, elements - 1);
            });
        }
        there.extend(if elements > 0 { REPEATED } else { 0 }, count * elements.max(1));
    }
    (repeated, there)
}

/// The least and the greatest.
fn bounds_of(bounds: impl Iterator<Item = (i64, i64)>) -> (i64, i64) {
    bounds.fold((i64::MAX, i64::MIN), |(min, max), (least, most)| (min.min(least), max.max(most)))
}

/// How the bounds of pages follow each other.
fn order_of(bounds: &[(i64, i64)]) -> BoundaryOrder {
    if bounds.is_sorted_by(|before, after| before.0 <= after.0 && before.1 <= after.1) {
        BoundaryOrder::ASCENDING
    } else if bounds.is_sorted_by(|before, after| before.0 >= after.0 && before.1 >= after.1) {
        BoundaryOrder::DESCENDING
    } else {
        BoundaryOrder::UNORDERED
    }
}

/// Microseconds, rounded down also before 1970.
fn micros(ts_ns: i64) -> i64 {
    ts_ns.div_euclid(1000)
}

/// The highest level of a column that may be null, of a list's elements, and of what may be null in these.
const OPTIONAL: u32 = 1;
const REPEATED: u32 = 1;
const REPEATED_OPTIONAL: u32 = 2;
/// Bytes of a dictionary behind which no page goes by it any more: what the parquet crate and parquet-java take.
const DICTIONARY_BYTES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn microseconds_are_rounded_down() {
        for (ns, expected) in [(0, 0), (999, 0), (1000, 1), (-1, -1), (-1000, -1), (-1001, -2), (i64::MIN, i64::MIN / 1000 - 1)] {
            assert_eq!(micros(ns), expected, "{ns}");
        }
    }
}
