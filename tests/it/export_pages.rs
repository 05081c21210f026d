//! The pages of an export at their edges: dictionaries that become too large, runs, nulls and lists at the borders of pages, times too far apart.
//! What a file holds is judged by the parquet crate, which reads it and its checksums.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Encoding, PageType};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataReader};
use proptest::prelude::*;
use tempfile::TempDir;
use tidelog::export::{ParquetCompression, ParquetExport, ParquetImport, TypedColumn, TypedColumns};
use tidelog::{AckLevel, Record, RecordBatch};

use crate::reading_support::Random;
use crate::restore::{Row, options, restore, rows_of};

/// How a column goes on for some rows.
#[derive(Debug, Clone, Copy)]
enum Stretch {
    Nothing,
    Empty,
    /// One of so many.
    Of(u64),
    /// Each its own, and long.
    New,
}

impl Stretch {
    fn bytes(self, random: &mut Random, row: u64) -> Option<Vec<u8>> {
        match self {
            Self::Nothing => None,
            Self::Empty => Some(Vec::new()),
            Self::Of(count) => Some(format!("k{}", random.below(count)).into_bytes()),
            Self::New => Some([row.to_le_bytes().as_slice(), &[7; 150]].concat()),
        }
    }
}

fn stretch() -> impl Strategy<Value = Stretch> {
    prop_oneof![
        Just(Stretch::Nothing),
        Just(Stretch::Empty),
        Just(Stretch::Of(1)),
        Just(Stretch::Of(2)),
        Just(Stretch::Of(3)),
        Just(Stretch::Of(300)),
        Just(Stretch::Of(70_000)),
        Just(Stretch::New)
    ]
}

/// Rows of stretches: their length, keys, values, headers a row, and how far times are apart.
fn rows(stretches: &[(u64, Stretch, Stretch, u64, u64)]) -> Vec<Row> {
    let mut random = Random::new(stretches.len() as u64);
    let (mut rows, mut ts_ns) = (Vec::new(), 1_700_000_000_000_000_000i64);
    for (number, &(len, key, value, headers, apart)) in stretches.iter().enumerate() {
        for _ in 0..len {
            let offset = rows.len() as u64;
            ts_ns = ts_ns.wrapping_add(random.below(apart).cast_signed());
            let mut header = |_| (format!("h{}", random.below(5)), key.bytes(&mut random, offset));
            let headers = (0..headers).map(&mut header).collect();
            let producer = (number % 3 > 0).then_some(number as i64 % 5);
            let (key, value) = (key.bytes(&mut random, offset), value.bytes(&mut random, offset));
            rows.push(Row { offset, ts_ns, key, value, headers, term: number as u32 / 4, producer });
        }
    }
    rows
}

/// Exports rows, reads them back and compares them; returns the metadata of the file.
fn check(rows: &[Row], compression: ParquetCompression) -> (TempDir, PathBuf, ParquetMetaData) {
    let dir = tempfile::tempdir().unwrap();
    let partition = |name: &str| options().open(dir.path().join(name)).unwrap().topic("t").unwrap().partition(0).unwrap();
    let original = partition("original");
    restore(&original, rows, 500).unwrap();
    let out = dir.path().join("out");
    let report = ParquetExport::new(original.view(), &out).compression(compression).run(&mut |_| {}).unwrap();
    let copy = partition("copy");
    ParquetImport::open(&out, "t").unwrap().restore(0, &copy, &mut |_| {}).unwrap();
    let found = rows_of(&copy);
    assert_eq!(found.len(), rows.len());
    for (found, row) in found.iter().zip(rows) {
        assert_eq!(found, row);
    }
    let path = report.files[0].path.clone();
    let metadata = metadata(&path);
    (dir, path, metadata)
}

fn metadata(path: &Path) -> ParquetMetaData {
    let options = ParquetMetaDataOptions::new().with_encoding_stats_as_mask(false);
    let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required).with_metadata_options(Some(options));
    reader.parse_and_finish(&File::open(path).unwrap()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(0x71DE), ..ProptestConfig::default() })]

    #[test]
    fn stretches_of_any_kind_come_back(
        stretches in proptest::collection::vec((1u64..900, stretch(), stretch(), 0u64..4, prop_oneof![Just(1u64), Just(1_000), Just(1 << 40), Just(1 << 62)]), 1..16),
        compressed: bool,
    ) {
        check(&rows(&stretches), if compressed { ParquetCompression::default() } else { ParquetCompression::None });
    }
}

#[test]
fn offsets_too_far_apart_for_a_file_begin_another() {
    const FAR: u64 = 1 << 27;
    let dir = tempfile::tempdir().unwrap();
    let mut rows = rows(&[(900, Stretch::Of(3), Stretch::Of(300), 0, 1)]);
    for row in &mut rows[300..] {
        row.offset += if row.offset < 600 { FAR - 2 } else { 2 * FAR };
    }
    let original = options().open(dir.path().join("original")).unwrap().topic("t").unwrap().partition(0).unwrap();
    restore(&original, &rows, 100).unwrap();
    let report = ParquetExport::new(original.view(), dir.path().join("out")).run(&mut |_| {}).unwrap();
    let files: Vec<_> = report.files.iter().map(|file| (file.first.get(), file.last.get(), file.rows)).collect();
    assert_eq!(files, [(0, FAR + 597, 600), (2 * FAR + 600, 2 * FAR + 899, 300)]);
}

#[test]
fn pages_of_declared_columns_end_where_others_do() {
    let dir = tempfile::tempdir().unwrap();
    let partition = options().open(dir.path().join("data")).unwrap().topic("t").unwrap().partition(0).unwrap();
    let values: Vec<String> = (0..9000).map(|number| format!(r#"{{"n":{number}}}"#)).collect();
    for values in values.chunks(1000) {
        let mut batch = RecordBatch::new();
        values.iter().for_each(|value| batch.push(&Record::new(value)).unwrap());
        partition.append_batch(&batch, AckLevel::Durable).unwrap();
    }
    let n = TypedColumn::new("n", ".n".parse().unwrap(), "int64".parse().unwrap());
    let export = ParquetExport::new(partition.view(), dir.path().join("out")).columns(TypedColumns::new([n]).unwrap());
    let report = export.run(&mut |_| {}).unwrap();
    assert_eq!((report.rows(), report.unfit.len()), (9000, 0));
    let metadata = metadata(&report.files[0].path);
    let pages =
        metadata.page_index().unwrap().offset_index(0, 0).unwrap().page_locations().iter().map(|page| page.first_row_index).collect::<Vec<_>>();
    assert_eq!(pages, [0, 4096, 8192]);
}

#[test]
fn a_dictionary_that_becomes_too_large_is_given_up_at_a_page() {
    let pages_of_keys = |stretches: &[_], compression| {
        let (_dir, _, metadata) = check(&rows(stretches), compression);
        let stats = metadata.row_group(0).column(3).page_encoding_stats().unwrap().to_vec();
        stats.iter().map(|stats| (stats.page_type, stats.encoding, stats.count)).collect::<Vec<_>>()
    };
    let dictionary = (PageType::DICTIONARY_PAGE, Encoding::PLAIN, 1);
    // 6,000 keys of 158 B are less than 1 MiB; the 8,192 of two pages are more.
    let few = [(6000, Stretch::New, Stretch::Empty, 1, 1), (9000, Stretch::Of(3), Stretch::Nothing, 0, 1)];
    assert_eq!(pages_of_keys(&few, ParquetCompression::None), [dictionary, (PageType::DATA_PAGE, Encoding::RLE_DICTIONARY, 4)]);
    let many = [(13_000, Stretch::New, Stretch::Empty, 1, 1)];
    let expected = [dictionary, (PageType::DATA_PAGE, Encoding::RLE_DICTIONARY, 2), (PageType::DATA_PAGE, Encoding::PLAIN, 2)];
    assert_eq!(pages_of_keys(&many, ParquetCompression::default()), expected);
}

/// Each page has a checksum, which readers check that are asked to: one bit anywhere in a page is found.
#[test]
fn a_flipped_bit_in_a_page_is_found() {
    for compression in [ParquetCompression::None, ParquetCompression::default()] {
        let stretches = [(5000, Stretch::Of(300), Stretch::New, 2, 1000)];
        let (_dir, path, metadata) = check(&rows(&stretches), compression);
        let bytes = fs::read(&path).unwrap();
        let index = metadata.page_index_for_row_group(0);
        let mut flipped = 0;
        for column in 0..metadata.row_group(0).num_columns() {
            for page in index.page_locations(column).unwrap() {
                // Behind the header, which is short.
                let end = page.offset as usize + page.compressed_page_size as usize;
                let begin = page.offset as usize + HEADER_BYTES_MAX.min(page.compressed_page_size as usize - 1);
                for at in [begin, (begin + end) / 2, end - 1] {
                    let mut bytes = bytes.clone();
                    bytes[at] ^= 4;
                    assert!(!is_readable(bytes.into()), "{compression}: column {column}, a bit at {at} of a page {page:?}");
                    flipped += 1;
                }
            }
        }
        assert!(flipped >= 50, "{flipped}");
        assert!(is_readable(bytes.into()));
    }
}

fn is_readable(bytes: Bytes) -> bool {
    ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap().all(|rows| rows.is_ok())
}

/// More than the header of a page has.
const HEADER_BYTES_MAX: usize = 52;
