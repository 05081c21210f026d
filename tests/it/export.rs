//! Parquet files of a partition, read back by the parquet crate: rows, encodings, metadata, and what a later run makes of earlier files.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Encoding};
use parquet::column::page::Page;
use parquet::file::metadata::{ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::json;
use tempfile::TempDir;
use tidelog::export::{ExportError, ExportReport, GapReason, ParquetCompression, ParquetExport};
use tidelog::io::fault::{EIO, Fault, Faulty, Op};
use tidelog::io::sim::{NameModel, SimDisk};
use tidelog::io::{Disk, Storage};
use tidelog::{
    AckLevel, Partition, PartitionView, ReadError, ReadIsolation, Record, RecordBatch, Start, Store, StoreOptions, SyncPolicy, TimestampNs,
};
use tidelog_format::{Frame, FrameHeader, Position, RecordSpan};

use crate::support::{Lab, append_batch};

#[test]
fn rows_come_back_as_they_were_appended() {
    let fixture = Fixture::new();
    let rows = fixture.append_odd(0..500);
    let report = fixture.export();
    assert_eq!((report.rows(), report.files.len(), report.kept_files, report.gaps.len()), (500, 1, 0, 0));
    let file = &report.files[0];
    assert_eq!((file.first.get(), file.last.get(), file.is_dense()), (0, 499, true));
    assert_eq!(file.bytes, fs::metadata(&file.path).unwrap().len());
    assert_eq!(file.path, fixture.out().join("topic=odd/partition=0/00000000000000000000-00000000000000000499.parquet"));
    assert_eq!(read(&file.path), rows);
}

#[test]
fn a_file_is_encoded_as_its_readers_need_it() {
    let fixture = Fixture::new();
    fixture.append_odd(0..140_000);
    let path = &fixture.export().files[0].path;
    let metadata = metadata(path);
    let rows: Vec<i64> = metadata.row_groups().iter().map(|group| group.num_rows()).collect();
    assert_eq!(rows, [131_072, 140_000 - 131_072]);
    for group in metadata.row_groups() {
        let sorting = group.sorting_columns().unwrap();
        assert_eq!((sorting.len(), sorting[0].column_idx, sorting[0].descending), (1, 0, false));
        for column in group.columns() {
            let name = column.column_path().string();
            assert!(matches!(column.compression(), Compression::ZSTD(_)), "{name} is {:?}", column.compression());
            let has_statistics = ["_offset", "_ts_ns", "_ts"].contains(&name.as_str());
            assert_eq!(column.statistics().is_some(), has_statistics, "statistics of {name}");
            assert_eq!(column.column_index_offset().is_some(), has_statistics, "column index of {name}");
            assert!(column.offset_index_offset().is_some(), "offset index of {name}");
            let encodings: Vec<Encoding> = column.encodings().filter(|encoding| *encoding != Encoding::RLE).collect();
            let expected = match name.as_str() {
                "_offset" => vec![Encoding::DELTA_BINARY_PACKED],
                // A column of nothing but nulls needs no dictionary.
                "_ts_ns" | "_ts" | "_value" | "_headers.list.element.value" | "_producer_id" => vec![Encoding::PLAIN],
                _ => vec![Encoding::PLAIN, Encoding::RLE_DICTIONARY],
            };
            assert!(encodings.iter().all(|encoding| expected.contains(encoding)), "{name} is {encodings:?}, not {expected:?}");
            assert_eq!(has_dictionary(column), expected.len() == 2, "dictionary of {name}");
        }
    }
    let index = metadata.page_index_for_row_group(0);
    let firsts: Vec<i64> = index.page_locations(0).unwrap().iter().map(|page| page.first_row_index).collect();
    assert_eq!(firsts, (0..32).map(|page| page * 4096).collect::<Vec<_>>(), "pages of _offset");
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    let page = reader.get_row_group(0).unwrap().get_column_page_reader(0).unwrap().next().unwrap().unwrap();
    assert!(matches!(page, Page::DataPage { .. }), "data pages are of version 1");
}

#[test]
fn files_are_compressed_as_was_asked() {
    let fixture = Fixture::new();
    let rows = fixture.append_odd(0..3000);
    let export = |how: &str| {
        let out = fixture.dir.path().join(how);
        let report = ParquetExport::new(fixture.partition().view(), &out).compression(how.parse().unwrap()).run(&mut |_| {}).unwrap();
        let path = &report.files[0].path;
        assert_eq!(read(path), rows, "{how}");
        (metadata(path).row_group(0).column(4).compression(), report.bytes())
    };
    let (none, zstd, strong) = (export("none"), export("zstd"), export("zstd:19"));
    assert_eq!(none.0, Compression::UNCOMPRESSED);
    assert!(matches!(zstd.0, Compression::ZSTD(_)) && matches!(strong.0, Compression::ZSTD(_)), "{zstd:?} {strong:?}");
    assert!(strong.1 < zstd.1 && zstd.1 < none.1, "{strong:?} {zstd:?} {none:?}");
    for wrong in ["", "lz4", "zstd:0", "zstd:23", "zstd:fast", "none:1"] {
        let error = wrong.parse::<ParquetCompression>().unwrap_err();
        assert_eq!(error.to_string(), format!("{wrong} is no compression: expected none, zstd or zstd:<level from 1 to 22>"));
    }
}

#[test]
fn times_that_are_near_are_differences() {
    let fixture = Fixture::new();
    let mut rows = Vec::new();
    // Milliseconds, seconds and minutes apart, forwards and back; a row group each.
    for (group, step) in [7_000_000, 7_000_000_000, 600_000_000_000_i64].into_iter().enumerate() {
        let numbers = (0..131_072_i64).map(|number| START_NS + number * step - number % 3 * step * 2);
        rows.extend(numbers.enumerate().map(|(number, ts_ns)| ((group * 131_072 + number) as i64, ts_ns)));
    }
    for chunk in rows.chunks(10_000) {
        fixture.append(chunk.iter().map(|(_, ts_ns)| Record::new("").timestamp(TimestampNs::new(*ts_ns))));
    }
    for threads in [1, 3] {
        let out = fixture.dir.path().join(format!("with {threads}"));
        let report = ParquetExport::new(fixture.partition().view(), out).threads(threads).run(&mut |_| {}).unwrap();
        let metadata = metadata(&report.files[0].path);
        let is_delta = |group: usize, column: usize| {
            let encodings: Vec<Encoding> = metadata.row_group(group).column(column).encodings().collect();
            assert!(encodings.contains(&Encoding::DELTA_BINARY_PACKED) != encodings.contains(&Encoding::PLAIN), "{encodings:?}");
            encodings.contains(&Encoding::DELTA_BINARY_PACKED)
        };
        assert_eq!([0, 1, 2].map(|group| (is_delta(group, 1), is_delta(group, 2))), [(true, true), (false, true), (false, false)]);
        let found: Vec<(i64, i64)> = read(&report.files[0].path).iter().map(|row| (row.offset, row.ts_ns)).collect();
        assert!(found == rows, "with {threads} threads");
    }
}

#[test]
fn the_footer_says_what_the_file_holds() {
    let fixture = Fixture::new();
    fixture.append_odd(0..300);
    let path = &fixture.export().files[0].path;
    let found = key_values(path);
    let view = fixture.partition();
    let segment = view.view().locate(0).unwrap().0.file_name().unwrap().to_str().unwrap().to_owned();
    let times: Vec<i64> = (0..300).map(|number| odd(number).ts_ns).collect();
    let uuid: String = view.view().uuid().iter().map(|byte| format!("{byte:02x}")).collect();
    for (name, expected) in [
        ("schema_version", "1".to_owned()),
        ("format_version", "1".to_owned()),
        ("topic", "odd".to_owned()),
        ("partition", "0".to_owned()),
        ("partition_uuid", uuid),
        ("first_offset", "0".to_owned()),
        ("last_offset", "299".to_owned()),
        ("next_offset", "300".to_owned()),
        ("last_leader_epoch", "0".to_owned()),
        ("min_ts_ns", times.iter().min().unwrap().to_string()),
        ("max_ts_ns", times.iter().max().unwrap().to_string()),
        ("source_segments", segment),
        ("dense", "true".to_owned()),
        ("writer_version", format!("tidelog {}", env!("CARGO_PKG_VERSION"))),
    ] {
        assert_eq!(found.get(&format!("tidelog.{name}")), Some(&expected), "{name}");
    }
}

#[test]
fn a_later_run_goes_on_behind_the_files_that_are_there() {
    let fixture = Fixture::new();
    let mut rows = fixture.append_odd(0..10);
    let first = fixture.export();
    rows.extend(fixture.append_odd(10..25));
    let leftover = first.files[0].path.with_file_name(".00000000000000000010.parquet.partial");
    fs::write(&leftover, "PAR1 but not for long").unwrap();
    let second = fixture.export();
    assert_eq!((second.from.get(), second.until.get(), second.kept_files, second.rows()), (10, 25, 1, 15));
    assert!(!leftover.exists(), "what a killed run left is removed");
    let third = fixture.export();
    assert_eq!((third.from.get(), third.until.get(), third.kept_files, third.files.len()), (25, 25, 2, 0));
    assert_eq!(fixture.names(), [name(0, 9), name(10, 24)]);
    assert_eq!(fixture.read_all(), rows);
}

/// D8: files are named by the offsets in them, so that neither exports nor records of one second take each other's place.
#[test]
fn d8_exports_of_one_second_have_files_of_their_own() {
    let fixture = Fixture::new();
    let values = |count: u64| (0..count).map(|number| number.to_string().into_bytes()).collect::<Vec<_>>();
    for (offset, value) in (0..).zip(values(5)) {
        fixture.append([Record::new(&value).timestamp(TimestampNs::new(START_NS))].into_iter());
        assert_eq!(fixture.export().until.get(), offset + 1);
    }
    assert_eq!(fixture.names(), (0..5).map(|offset| name(offset, offset)).collect::<Vec<_>>());
    let rows = fixture.read_all();
    assert!(rows.iter().all(|row| row.ts_ns == START_NS));
    assert_eq!(rows.into_iter().map(|row| row.value.unwrap()).collect::<Vec<_>>(), values(5));
}

/// D10: what was exported stays in the log, and is read from there alone: each record once and in order, whichever way the reader came.
#[test]
fn d10_after_an_export_nothing_is_read_twice() {
    let fixture = Fixture::new();
    fixture.append_odd(0..100);
    fixture.export();
    fixture.append_odd(100..150);
    fixture.export();
    fixture.append_odd(150..160);
    let partition = fixture.partition();
    let beside = Store::open_read_only(fixture.dir.path().join("data")).unwrap().topic("odd").unwrap().partition(0).unwrap();
    for view in [partition.view(), &beside] {
        let read = |start: Start| view.read(start).unwrap().map(|record| record.unwrap().offset().get()).collect::<Vec<_>>();
        assert_eq!(read(Start::Earliest), (0..160).collect::<Vec<_>>());
        assert_eq!(read(Start::Offset(90.into())), (90..160).collect::<Vec<_>>());
        assert_eq!(read(Start::Time(TimestampNs::new(i64::MIN))), (0..160).collect::<Vec<_>>());
    }
    partition.delete_prefix(120).unwrap();
    let left: Vec<u64> = partition.read(Start::Earliest).unwrap().map(|record| record.unwrap().offset().get()).collect();
    assert_eq!(left, (120..160).collect::<Vec<_>>(), "what was deleted does not come back out of a file");
}

#[test]
fn large_partitions_become_a_few_files() {
    let fixture = Fixture::new();
    let rows = fixture.append_odd(0..10_000);
    let report = fixture.exporter().rows_per_file(4_000).run(&mut |_| {}).unwrap();
    assert_eq!(report.files.iter().map(|file| file.rows).collect::<Vec<_>>(), [4_000, 4_000, 2_000]);
    assert_eq!(fixture.names(), [name(0, 3_999), name(4_000, 7_999), name(8_000, 9_999)]);
    assert_eq!(fixture.read_all(), rows);

    let fixture = Fixture::new();
    let value = vec![b'v'; 1000];
    fixture.append((0..100).map(|_| Record::new(&value)));
    let report = fixture.exporter().bytes_per_file(30_000).run(&mut |_| {}).unwrap();
    assert_eq!(report.files.iter().map(|file| file.rows).collect::<Vec<_>>(), [30, 30, 30, 10]);
}

#[test]
fn large_values_are_handed_on_before_a_page_is_full() {
    let fixture = Fixture::new();
    let values: Vec<Vec<u8>> = (0..40u8).map(|number| vec![number; 400_000]).collect();
    fixture.append(values.iter().map(Record::new));
    let mut calls = Vec::new();
    let report = fixture.exporter().run(&mut |progress| calls.push((progress.rows, progress.bytes))).unwrap();
    assert_eq!(calls, [(11, 4_400_000), (22, 8_800_000), (33, 13_200_000), (40, 16_000_000)]);
    let found: Vec<Vec<u8>> = read(&report.files[0].path).into_iter().map(|row| row.value.unwrap()).collect();
    assert!(found == values);
}

#[test]
fn an_empty_partition_makes_nothing() {
    let fixture = Fixture::new();
    let report = fixture.export();
    assert_eq!((report.files.len(), report.rows(), report.until.get()), (0, 0, 0));
    assert!(!fixture.out().exists());
}

#[test]
fn damage_is_left_out_and_reported() {
    let fixture = Fixture::new();
    let rows = fixture.append_odd(0..300);
    let (dir, view) = fixture.damage_batch_of(100);
    let out = dir.path().join("exported");
    let stopped = ParquetExport::new(&view, &out).run(&mut |_| {}).unwrap();
    assert!(stopped.has_damage() && stopped.gaps.is_empty());
    let before = stopped.stopped_by.clone().unwrap();
    assert_eq!((before.from.get(), before.to.get(), stopped.until.get()), (100, 150, 100));
    assert_eq!((stopped.files.len(), stopped.rows()), (1, 100), "everything below is exported");
    let export = ParquetExport::new(&view, &out).allow_gaps(true);
    assert_eq!(export.watermark().unwrap().unwrap().get(), 100);
    let report = export.run(&mut |_| {}).unwrap();
    assert!(report.has_damage() && report.stopped_by.is_none());
    assert_eq!(report.gaps.iter().map(|gap| (gap.from.get(), gap.to.get())).collect::<Vec<_>>(), [(100, 150)]);
    assert!(matches!(&report.gaps[0].reason, GapReason::Damaged(reason) if !reason.is_empty()));
    let file = &report.files[0];
    assert_eq!((report.files.len(), file.first.get(), file.rows), (1, 150, 150));
    assert_eq!(read(&file.path), rows[150..]);
    let gaps = &key_values(&file.path)["tidelog.gaps"];
    assert!(gaps.starts_with(r#"[{"from":100,"to":150,"damaged":"#), "{gaps}");
    let again = export.run(&mut |_| {}).unwrap();
    assert_eq!((again.kept_files, again.files.len(), again.rows()), (2, 0, 0));
    assert_eq!(again.gaps, report.gaps, "every run tells of it");

    let all = ParquetExport::new(&view, dir.path().join("in one")).allow_gaps(true).run(&mut |_| {}).unwrap();
    let file = &all.files[0];
    assert_eq!((all.files.len(), file.rows, file.is_dense(), &all.gaps), (1, 250, false, &report.gaps));
    let said = key_values(&file.path);
    assert_eq!((&said["tidelog.dense"], &said["tidelog.gaps"]), (&"false".to_owned(), gaps));
    assert_eq!(read(&file.path), [&rows[..100], &rows[150..]].concat());
}

/// A batch with a right checksum and a record without a length: what stands before that is exported.
#[test]
fn a_record_that_cannot_be_read_ends_its_batch() {
    let lab = Lab::closed(|partition, oracle| (0..3).for_each(|_| append_batch(partition, oracle, 3, 100, AckLevel::Durable)));
    let segment = &lab.segments()[0];
    let spot = segment.frame_of(3);
    let (at, mut body_crc) = (spot.position as usize, 0);
    segment.edit(|bytes| {
        let frame = Frame::decode(&bytes[at..], segment.header.salt, Position::new(spot.position)).unwrap();
        let records = at + (frame.records.as_ptr().addr() - bytes[at..].as_ptr().addr());
        let end = records + frame.records.len();
        let second = RecordSpan::skip(&bytes[..end], records).unwrap();
        bytes[second] = 1; // a length of -1
        body_crc = FrameHeader::body_crc_of(spot.frame_len as usize, &bytes[records..end]);
    });
    segment.rewrite_header(spot, |header| header.body_crc = body_crc);
    let (_store, partition) = lab.open();
    let out = tempfile::tempdir().unwrap();
    let report = ParquetExport::new(partition.view(), out.path()).allow_gaps(true).run(&mut |_| {}).unwrap();
    assert_eq!(report.gaps.iter().map(|gap| (gap.from.get(), gap.to.get())).collect::<Vec<_>>(), [(4, 6)]);
    let offsets: Vec<_> = read(&report.files[0].path).into_iter().map(|row| row.offset).collect();
    assert_eq!((report.files.len(), offsets), (1, vec![0, 1, 2, 3, 6, 7, 8]));
}

#[test]
fn a_gap_between_files_is_no_missing_file() {
    let fixture = Fixture::new();
    let rows = fixture.append_odd(0..200);
    let (dir, view) = fixture.damage_batch_of(100);
    let export = ParquetExport::new(&view, dir.path().join("exported")).rows_per_file(100).allow_gaps(true);
    let report = export.run(&mut |_| {}).unwrap();
    assert_eq!(report.files.iter().map(|file| (file.first.get(), file.last.get())).collect::<Vec<_>>(), [(0, 99), (150, 199)]);
    assert_eq!(read(&report.files[1].path), rows[150..]);
    assert_eq!(export.run(&mut |_| {}).unwrap().kept_files, 2);
}

#[test]
fn deleted_offsets_are_reported_once_something_was_exported() {
    let fixture = Fixture::new();
    fixture.append_odd(0..100);
    fixture.partition().delete_prefix(20).unwrap();
    let first = fixture.export();
    assert_eq!((first.from.get(), first.gaps.len(), first.rows()), (20, 0, 80));
    fixture.append_odd(100..200);
    fixture.partition().delete_prefix(150).unwrap();
    let stopped = fixture.export();
    assert_eq!((stopped.files.len(), stopped.has_damage()), (0, false));
    let before = stopped.stopped_by.unwrap();
    assert_eq!((before.from.get(), before.to.get(), before.reason), (100, 150, GapReason::Deleted));
    let second = fixture.exporter().allow_gaps(true).run(&mut |_| {}).unwrap();
    assert_eq!((second.from.get(), second.rows(), second.has_damage()), (100, 50, false));
    assert_eq!((second.gaps[0].from.get(), second.gaps[0].to.get(), &second.gaps[0].reason), (100, 150, &GapReason::Deleted));
    assert_eq!(fixture.names(), [name(20, 99), name(150, 199)]);
    assert_eq!(fixture.export().files.len(), 0, "offsets that nobody has any more are no missing file");
}

#[test]
fn only_committed_records_are_exported_unless_asked() {
    let options = StoreOptions::new().sync_policy(SyncPolicy::Interval(Duration::from_secs(60)));
    let fixture = Fixture::with(options);
    fixture.append_odd(0..10);
    let partition = fixture.partition();
    partition.append_with(Record::new("not yet durable"), AckLevel::Written).unwrap();
    let end = partition.view().high_water_mark().get();
    assert_eq!(fixture.export().until.get(), end);
    let written = partition.view().with_isolation(ReadIsolation::Written);
    let report = ParquetExport::new(&written, fixture.out()).run(&mut |_| {}).unwrap();
    assert_eq!((end, report.until.get(), report.rows()), (10, 11, 1));
    assert_eq!(fixture.export().files.len(), 0, "files that reach behind the high water mark are there, and nothing is to be done");
}

#[test]
fn a_range_is_exported_alone() {
    let fixture = Fixture::new();
    let rows = fixture.append_odd(0..200);
    let report = fixture.exporter().from(60).until(130).run(&mut |_| {}).unwrap();
    assert_eq!((report.from.get(), report.until.get(), report.rows()), (60, 130, 70));
    assert_eq!(read(&report.files[0].path), rows[60..130]);
    assert_eq!(fixture.exporter().until(130).run(&mut |_| {}).unwrap().files.len(), 0);
    assert_eq!(fixture.exporter().from(100).until(150).run(&mut |_| {}).unwrap().rows(), 20, "what is there is not exported twice");
    let error = fixture.exporter().from(201).run(&mut |_| {}).unwrap_err();
    assert!(matches!(error, ExportError::Read(ReadError::OffsetOutOfRange { .. })), "{error}");
    for from in [59, 151] {
        let error = fixture.exporter().from(from).run(&mut |_| {}).unwrap_err();
        assert!(matches!(error, ExportError::NotContinuing { .. }), "{error}");
    }
    assert_eq!(fixture.export().rows(), 50);
    assert_eq!(fixture.names(), [name(60, 129), name(130, 149), name(150, 199)]);
}

#[test]
fn files_that_do_not_fit_are_refused() {
    let fixture = Fixture::new();
    fixture.append_odd(0..30);
    fixture.exporter().rows_per_file(10).run(&mut |_| {}).unwrap();
    let home = fixture.home();
    let refused = |expected: &str| {
        let error = fixture.exporter().run(&mut |_| {}).unwrap_err();
        assert!(error.is_refusal() && error.to_string().contains(expected), "expected {expected:?} in: {error}");
    };

    let middle = fs::read(home.join(name(10, 19))).unwrap();
    fs::remove_file(home.join(name(10, 19))).unwrap();
    refused("00000000000000000010-00000000000000000019.parquet is missing: the Delta log names it");
    fs::write(home.join(name(10, 19)), &middle[..middle.len() - 1]).unwrap();
    refused("is no file of this export");
    fs::write(home.join(name(10, 19)), "").unwrap();
    refused("0 bytes are no Parquet file");
    fs::write(home.join(name(10, 19)), &middle).unwrap();
    fs::copy(home.join(name(10, 19)), home.join(name(30, 39))).unwrap();
    refused("tidelog.first_offset is 10, not 30");
    fs::remove_file(home.join(name(30, 39))).unwrap();
    fs::write(home.join("part-0.parquet"), &middle).unwrap();
    refused("its name is not that of two offsets");
    fs::remove_file(home.join("part-0.parquet")).unwrap();
    fs::write(home.join("_SUCCESS"), "").unwrap();
    assert_eq!(fixture.export().kept_files, 3, "other files are nobody's concern");

    // 5..=14 is a real file, but of another run.
    let elsewhere = fixture.dir.path().join("elsewhere");
    let other = ParquetExport::new(fixture.partition().view(), &elsewhere).from(5).until(15).run(&mut |_| {}).unwrap();
    fs::copy(&other.files[0].path, home.join(name(5, 14))).unwrap();
    refused("overlap");
}

#[test]
fn the_files_of_another_partition_are_refused() {
    let fixture = Fixture::new();
    fixture.append_odd(0..10);
    let other = Fixture::new();
    other.append_odd(0..10);
    fixture.export();
    let error = ParquetExport::new(other.partition().view(), fixture.out()).run(&mut |_| {}).unwrap_err();
    assert!(matches!(error, ExportError::OtherPartition { .. }) && error.is_refusal(), "{error}");
    let error = ParquetExport::new(fixture.partition().view(), other.dir.path().join("data")).run(&mut |_| {}).unwrap_err();
    assert!(matches!(error, ExportError::IntoStore { .. }), "{error}");
}

#[test]
fn files_that_are_ahead_of_the_log_are_refused() {
    let fixture = Fixture::new();
    fixture.append_odd(0..100);
    fixture.export();
    fixture.partition().truncate_suffix(50).unwrap();
    let error = fixture.exporter().run(&mut |_| {}).unwrap_err();
    assert!(matches!(&error, ExportError::AheadOfLog { exported_end, log_end, .. } if (exported_end.get(), log_end.get()) == (100, 50)), "{error}");
}

#[test]
fn records_that_took_the_place_of_exported_ones_are_refused() {
    let fixture = Fixture::new();
    fixture.append_odd(0..100);
    fixture.export();
    fixture.partition().truncate_suffix(50).unwrap();
    fixture.append_odd(50..150);
    let error = fixture.exporter().run(&mut |_| {}).unwrap_err();
    assert!(matches!(&error, ExportError::Diverged { offset, .. } if offset.get() == 99) && error.is_refusal(), "{error}");
    fixture.partition().delete_prefix(120).unwrap();
    let report = fixture.exporter().allow_gaps(true).run(&mut |_| {}).unwrap();
    assert_eq!((report.from.get(), report.rows()), (100, 30), "nothing of it is left that could be compared");
}

#[test]
fn a_session_exports_again_and_again() {
    let fixture = Fixture::new();
    let mut session = fixture.exporter().allow_gaps(true).begin().unwrap();
    assert_eq!((session.has_more(), session.watermark()), (false, None));
    assert!(matches!(fixture.exporter().begin(), Err(ExportError::Locked { .. })));
    let mut rows = fixture.append_odd(0..10);
    assert!(session.has_more());
    assert_eq!(session.run(&mut |_| {}).unwrap().rows(), 10);
    // What was cut off before it was exported never was.
    rows.extend_from_slice(&fixture.append_odd(10..20)[..5]);
    fixture.partition().truncate_suffix(15).unwrap();
    assert_eq!(session.run(&mut |_| {}).unwrap().rows(), 5);
    // A gap is told of once, and by the file behind it.
    fixture.append_odd(15..40);
    fixture.partition().delete_prefix(40).unwrap();
    assert_eq!(session.run(&mut |_| {}).unwrap().gaps.len(), 1);
    assert_eq!((session.has_more(), session.watermark().unwrap().get()), (false, 15));
    assert_eq!(session.run(&mut |_| {}).unwrap().gaps.len(), 0);
    rows.extend(fixture.append_odd(40..45));
    let report = session.run(&mut |_| {}).unwrap();
    let said = key_values(&report.files[0].path);
    assert_eq!((said["tidelog.gaps"].as_str(), said["tidelog.last_leader_epoch"].as_str()), (r#"[{"from":15,"to":40}]"#, "1"));
    assert_eq!(session.watermark().unwrap().get(), 45);
    drop(session);
    assert_eq!(fixture.export().gaps.len(), 1);
    assert_eq!(fixture.read_all(), rows);
}

#[test]
fn one_export_at_a_time() {
    let fixture = Fixture::new();
    fixture.append_odd(0..10);
    fixture.export();
    let lock = Disk::new().lock(&fixture.home()).unwrap().unwrap();
    assert!(matches!(fixture.exporter().run(&mut |_| {}), Err(ExportError::Locked { .. })));
    drop(lock);
    fixture.export();
}

#[test]
fn a_namespace_is_part_of_the_topic_in_the_path() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("data")).unwrap();
    let partition = store.topic("shop/orders").unwrap().partition(0).unwrap();
    partition.append(Record::new("x")).unwrap();
    let report = ParquetExport::new(partition.view(), dir.path().join("out")).run(&mut |_| {}).unwrap();
    let path = &report.files[0].path;
    assert_eq!(path.parent().unwrap(), dir.path().join("out/namespace=shop/topic=orders/partition=0"));
    assert_eq!(key_values(path)["tidelog.topic"], "shop/orders");
}

#[test]
fn a_file_has_its_name_only_when_it_is_durable() {
    let fixture = Fixture::new();
    fixture.append_odd(0..10);
    let storage = Faulty::new(Arc::new(Disk::new()));
    storage.record_calls();
    fixture.exporter().storage(Arc::new(storage.clone())).run(&mut |_| {}).unwrap();
    let calls = storage.recorded_calls();
    let named: Vec<usize> = (0..calls.len()).filter(|&call| calls[call].op == Op::RenameNew).collect();
    let names: Vec<&Path> = named.iter().map(|&call| calls[call].to.as_deref().unwrap()).collect();
    assert_eq!(names, [fixture.home().join(name(0, 9)), fixture.commit(0)], "first the file, then the commit");
    assert_eq!(storage.count(Op::Rename), 0, "nothing is replaced");
    for at in named {
        let (partial, directory) = (&calls[at].path, calls[at].path.parent().unwrap());
        assert!(partial.file_name().unwrap().to_str().unwrap().starts_with('.'));
        let is_of = |call: &tidelog::io::fault::Call, op| call.op == op && call.path == *partial;
        let written = calls.iter().rposition(|call| is_of(call, Op::Write)).unwrap();
        let synced = calls.iter().rposition(|call| is_of(call, Op::Sync)).unwrap();
        assert!(written < synced && synced < at, "durable before it has its name");
        assert!((calls[at + 1].op, calls[at + 1].path.as_path()) == (Op::SyncDir, directory), "and then its name");
    }
}

/// Whatever call fails, the next run leaves every row in exactly one file.
#[test]
fn a_run_that_fails_anywhere_is_made_good_by_the_next() {
    let mut nth = 0;
    loop {
        nth += 1;
        let fixture = Fixture::new();
        let rows = fixture.append_odd(0..30);
        let storage = Faulty::new(Arc::new(Disk::new()));
        storage.inject(Fault::anywhere().nth(nth).error(EIO));
        let export = fixture.exporter().rows_per_file(10).storage(Arc::new(storage.clone()));
        let outcome = export.run(&mut |_| {});
        if storage.fired() == 0 {
            outcome.unwrap();
            break;
        }
        if let Err(error) = outcome {
            assert!(matches!(error, ExportError::Io(_)), "call {nth}: {error}");
        }
        storage.heal();
        export.run(&mut |_| {}).unwrap();
        assert_eq!(fixture.read_all(), rows, "call {nth}");
        assert_eq!(fixture.names(), [name(0, 9), name(10, 19), name(20, 29)], "call {nth}");
    }
    assert!(nth > 20, "only {nth} calls");
}

/// Killed after any call, the next run commits what was complete, and each row once.
#[test]
fn a_run_that_is_killed_anywhere_is_continued() {
    let mut nth = 0;
    let mut adopted = 0;
    loop {
        nth += 1;
        let fixture = Fixture::new();
        let rows = fixture.append_odd(0..30);
        let storage = Faulty::new(Arc::new(Disk::new()));
        storage.inject(Fault::anywhere().nth(nth).error(EIO).from_then_on());
        let export = fixture.exporter().rows_per_file(10).storage(Arc::new(storage.clone()));
        let outcome = export.run(&mut |_| {});
        if storage.fired() == 0 {
            outcome.unwrap();
            break;
        }
        outcome.unwrap_err();
        let (committed, complete) = (fixture.table(), fixture.complete_names());
        let watermark = committed.iter().map(|(_, rows)| rows).sum::<u64>();
        assert_eq!(fixture.exporter().watermark().unwrap().map_or(0, |offset| offset.get()), watermark, "call {nth}");
        adopted += complete.len() - committed.len();
        let report = fixture.exporter().rows_per_file(10).run(&mut |_| {}).unwrap();
        assert_eq!(report.kept_files, complete.len(), "call {nth}");
        assert_eq!(fixture.read_all(), rows, "call {nth}");
        assert_eq!(fixture.table(), [(name(0, 9), 10), (name(10, 19), 10), (name(20, 29), 10)], "call {nth}");
    }
    assert!(nth > 20 && adopted > 0, "only {nth} calls, {adopted} files were complete and not committed");
}

/// Wherever power fails, in the first run and in the one that makes it good, the files that the Delta log names hold each row once.
#[test]
fn a_run_that_loses_power_anywhere_is_continued() {
    let fixture = Fixture::new();
    let rows = fixture.append_odd(0..30);
    let export = |disk: &SimDisk, nth: u64| {
        let storage = Faulty::new(Arc::new(disk.clone()));
        storage.inject(Fault::anywhere().nth(nth).error(EIO).from_then_on());
        let export = ParquetExport::new(fixture.partition().view(), "/out").rows_per_file(10).storage(Arc::new(storage.clone()));
        let outcome = export.run(&mut |_| {});
        assert!(outcome.is_ok() || storage.fired() > 0, "call {nth}: {outcome:?}");
        storage.fired() > 0
    };
    for names in [NameModel::Strict, NameModel::Journal] {
        let mut nth = 1;
        loop {
            let disk = SimDisk::new(nth, names);
            let is_cut = export(&disk, nth);
            let mut disk = disk.power_cut().disk(nth + 1000, names);
            for again in [7, 19, 31] {
                export(&disk, again);
                disk = disk.power_cut().disk(nth + again, names);
            }
            export(&disk, u64::MAX);
            let image = disk.power_cut();
            let files: HashMap<&Path, &[u8]> = image.files().collect();
            let table = Path::new("/out/topic=odd");
            let mut found = Vec::new();
            for version in 0.. {
                let Some(commit) = files.get(table.join(format!("_delta_log/{version:020}.json")).as_path()) else { break };
                for line in commit.split(|&byte| byte == b'\n').filter(|line| line.starts_with(b"{\"add\"")) {
                    let action: serde_json::Value = serde_json::from_slice(line).unwrap();
                    let path = table.join(action["add"]["path"].as_str().unwrap());
                    found.extend(read_bytes(Bytes::copy_from_slice(files[path.as_path()])));
                }
            }
            assert_eq!(found, rows, "{names:?}, call {nth}");
            let complete = files.keys().filter(|path| path.extension().is_some_and(|extension| extension == "parquet")).count();
            assert_eq!(complete, 3, "{names:?}, call {nth}");
            if !is_cut {
                break;
            }
            nth += 1;
        }
        assert!(nth > 40, "only {nth} calls");
    }
}

#[test]
fn the_delta_log_says_what_is_exported() {
    let fixture = Fixture::new();
    assert_eq!(fixture.exporter().watermark().unwrap(), None);
    fixture.append_odd(0..10);
    fixture.export();
    fixture.append_odd(10..25);
    fixture.export();
    assert_eq!(fixture.exporter().watermark().unwrap().unwrap().get(), 25);
    let first = fixture.actions(0);
    assert_eq!(first.iter().map(|(kind, _)| kind.as_str()).collect::<Vec<_>>(), ["commitInfo", "protocol", "metaData", "add", "txn", "txn", "txn"]);
    assert_eq!(first[1].1, json!({ "minReaderVersion": 1, "minWriterVersion": 2 }));
    assert_eq!((&first[2].1["partitionColumns"], &first[2].1["name"]), (&json!(["partition"]), &json!("odd")));
    let second = fixture.actions(1);
    assert_eq!(second.iter().map(|(kind, _)| kind.as_str()).collect::<Vec<_>>(), ["commitInfo", "add", "txn", "txn", "txn"]);
    let add = &second[1].1;
    let file = fixture.home().join(name(10, 24));
    assert_eq!(add["path"], json!(format!("partition=0/{}", name(10, 24))));
    assert_eq!((&add["partitionValues"], &add["size"]), (&json!({ "partition": "0" }), &json!(fs::metadata(file).unwrap().len())));
    assert_eq!(add["stats"], json!(r#"{"numRecords":15}"#), "more would make deltalake leave out files that it must not");
    assert_eq!((&second[2].1["appId"], &second[2].1["version"]), (&json!("tidelog:odd/0"), &json!(25)));
    assert_eq!(fixture.txn(1, "tidelog:odd/0#last_leader_epoch"), Some(json!(0)));
}

/// Killed, continued, and then the power fails: what the run in between took over from the killed one was made durable.
#[test]
fn what_a_killed_run_left_is_made_durable_by_the_next() {
    let fixture = Fixture::new();
    let rows = fixture.append_odd(0..30);
    let export = |disk: &SimDisk, nth: u64| {
        let storage = Faulty::new(Arc::new(disk.clone()));
        storage.inject(Fault::anywhere().nth(nth).error(EIO).from_then_on());
        let export = ParquetExport::new(fixture.partition().view(), "/out/of").rows_per_file(10).storage(Arc::new(storage.clone()));
        (export.run(&mut |_| {}), storage.fired() > 0)
    };
    for names in [NameModel::Strict, NameModel::Journal] {
        // Which of the names that are not durable the power takes is drawn anew each time.
        for (nth, seed) in (1..).flat_map(|nth| (0..3).map(move |seed| (nth, seed))) {
            let disk = SimDisk::new(1000 * seed + nth, names);
            let (_, is_killed) = export(&disk, nth);
            if !is_killed {
                break;
            }
            let disk = disk.kill();
            export(&disk, u64::MAX).0.unwrap();
            let disk = disk.power_cut().disk(nth, names);
            let watermark = ParquetExport::new(fixture.partition().view(), "/out/of").storage(Arc::new(disk.clone())).watermark();
            assert_eq!(watermark.unwrap(), Some(30.into()), "{names:?}, call {nth}: the log may have been deleted up to there");
            let (report, _) = export(&disk, u64::MAX);
            let report = report.unwrap_or_else(|error| panic!("{names:?}, call {nth}: {error}"));
            assert_eq!((report.kept_files, report.rows()), (3, 0), "{names:?}, call {nth}: nothing is to be done again");
            let image = disk.image();
            let files = image.files().filter(|(path, _)| path.extension().is_some_and(|extension| extension == "parquet"));
            let found: Vec<Row> = files.flat_map(|(_, bytes)| read_bytes(Bytes::copy_from_slice(bytes))).collect();
            assert_eq!(found, rows, "{names:?}, call {nth}");
        }
    }
}

/// A session in which a run failed finds out what is there before it goes on, wherever that was.
#[test]
fn a_session_goes_on_after_a_run_that_failed() {
    for nth in 1.. {
        let fixture = Fixture::new();
        let mut rows = fixture.append_odd(0..20);
        let storage = Faulty::new(Arc::new(Disk::new()));
        let export = fixture.exporter().rows_per_file(10).allow_gaps(true).storage(Arc::new(storage.clone()));
        let mut session = export.begin().unwrap();
        storage.inject(Fault::anywhere().nth(nth).error(EIO));
        let outcome = session.run(&mut |_| {});
        if storage.fired() == 0 {
            outcome.unwrap();
            assert!(nth > 20, "only {nth} calls");
            break;
        }
        storage.heal();
        // The log goes on, and what is exported may be deleted.
        fixture.partition().delete_prefix(session.watermark().map_or(0, |watermark| watermark.get() / 2)).unwrap();
        rows.extend(fixture.append_odd(20..25));
        session.run(&mut |_| {}).unwrap();
        assert_eq!(session.watermark().unwrap().get(), 25);
        assert_eq!(fixture.read_all(), rows, "call {nth}");
        assert_eq!(fixture.table().iter().map(|(_, rows)| rows).sum::<u64>(), 25, "call {nth}");
        drop(session);
        assert_eq!(fixture.exporter().run(&mut |_| {}).unwrap().rows(), 0, "call {nth}");
    }
}

/// Whoever does not see the lock may commit the very file that another is about to commit: then it is committed.
#[test]
fn a_file_that_another_process_committed_stays() {
    let fixture = Fixture::new();
    fixture.append_odd(0..10);
    let commit = fixture.commit(0);
    let mut is_first = true;
    let report = fixture
        .exporter()
        .run(&mut |_| {
            if std::mem::take(&mut is_first) {
                // As this process would, but for the size, which nobody looks at here.
                let path = format!("partition=0/{}", name(0, 9));
                let add =
                    json!({ "add": { "path": path, "partitionValues": { "partition": "0" }, "size": 1, "modificationTime": 1, "dataChange": true } });
                let txn = json!({ "txn": { "appId": "tidelog:odd/0", "version": 10 } });
                fs::create_dir_all(commit.parent().unwrap()).unwrap();
                fs::write(&commit, format!("{add}\n{txn}\n")).unwrap();
            }
        })
        .unwrap();
    assert_eq!((report.rows(), fixture.names()), (10, vec![name(0, 9)]));
}

/// A session that does not know what another process has exported since commits none of it again.
#[test]
fn a_session_that_was_overtaken_is_fenced() {
    let fixture = Fixture::new();
    let mut rows = fixture.append_odd(0..10);
    let mut session = fixture.exporter().begin().unwrap();
    session.run(&mut |_| {}).unwrap();
    rows.extend_from_slice(&fixture.append_odd(10..20)[5..]);
    let other = json!({ "txn": { "appId": "tidelog:odd/0", "version": 15 } }).to_string();
    let error = session.run(&mut |_| fs::write(fixture.commit(1), &other).unwrap()).unwrap_err();
    assert!(matches!(&error, ExportError::Fenced { watermark, .. } if watermark.get() == 15), "{error}");
    assert_eq!(fixture.names(), [name(0, 9)]);
    assert_eq!(session.run(&mut |_| {}).unwrap().from.get(), 15);
    assert_eq!(fixture.read_all(), rows);
}

/// Others may put files together: who and what is exported is known all the same.
#[test]
fn a_table_whose_files_others_put_together_goes_on() {
    let fixture = Fixture::new();
    fixture.append_odd(0..10);
    fixture.export();
    let home = fixture.home();
    fs::rename(home.join(name(0, 9)), home.join("part-0.zstd.parquet")).unwrap();
    let part = json!({ "path": "partition=0/part-0.zstd.parquet", "partitionValues": { "partition": "0" }, "size": 1, "modificationTime": 1, "dataChange": false });
    let remove = json!({ "path": format!("partition=0/{}", name(0, 9)), "dataChange": false });
    fs::write(fixture.commit(1), format!("{}\n{}\n", json!({ "remove": remove }), json!({ "add": part }))).unwrap();
    fixture.append_odd(10..20);
    assert_eq!(fixture.export().from.get(), 10);
    assert_eq!(fixture.names(), [name(10, 19), "part-0.zstd.parquet".to_owned()]);

    let other = Fixture::new();
    other.append_odd(0..40);
    let error = ParquetExport::new(other.partition().view(), fixture.out()).run(&mut |_| {}).unwrap_err();
    assert!(matches!(error, ExportError::OtherPartition { .. }), "{error}");
    fixture.append_odd(20..30);
    fixture.partition().truncate_suffix(5).unwrap();
    fixture.append_odd(5..40);
    let error = fixture.exporter().run(&mut |_| {}).unwrap_err();
    assert!(matches!(error, ExportError::Diverged { .. }), "{error}");

    let fixture = Fixture::new();
    fixture.append_odd(0..10);
    fixture.export();
    let away = fixture.dir.path().join("away");
    let again = ParquetExport::new(fixture.partition().view(), &away).from(3).until(7).run(&mut |_| {}).unwrap();
    fs::remove_file(fixture.home().join(name(0, 9))).unwrap();
    fs::write(fixture.commit(1), format!("{}\n", json!({ "remove": remove }))).unwrap();
    fs::copy(&again.files[0].path, fixture.home().join(name(3, 6))).unwrap();
    let error = fixture.exporter().run(&mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("what it holds is exported already, up to offset 10"), "{error}");
}

#[test]
fn a_race_for_a_commit_is_tried_again_and_a_lost_partition_is_not() {
    let fixture = Fixture::new();
    fixture.append_odd(0..10);
    fixture.export();
    fixture.append_odd(10..20);
    // Another partition's exporter is first, after this one has read the log.
    let mut calls = 0;
    let other = format!("{}\n", json!({ "txn": { "appId": "tidelog:odd/1", "version": 7 } }));
    let commit_first = |other: &str, calls: &mut u32, version| {
        *calls += 1;
        if *calls == 1 {
            fs::write(fixture.commit(version), other).unwrap();
        }
    };
    let report = fixture.exporter().run(&mut |_| commit_first(&other, &mut calls, 1)).unwrap();
    assert_eq!((report.rows(), calls), (10, 1));
    assert_eq!(fixture.txn(2, "tidelog:odd/0"), Some(json!(20)));

    fixture.append_odd(20..30);
    let mut calls = 0;
    let other = format!("{}\n", json!({ "txn": { "appId": "tidelog:odd/0", "version": 25 } }));
    let error = fixture.exporter().run(&mut |_| commit_first(&other, &mut calls, 3)).unwrap_err();
    assert!(matches!(&error, ExportError::Fenced { watermark, .. } if watermark.get() == 25), "{error}");
    assert_eq!(fixture.names(), [name(0, 9), name(10, 19)], "the file of the one that lost is gone");
    assert_eq!(fixture.export().rows(), 5);
}

#[test]
fn a_delta_log_that_cannot_be_continued_is_refused() {
    let fixture = Fixture::new();
    for to in [10, 20, 30] {
        fixture.append_odd(to - 10..to);
        fixture.export();
    }
    let good = fs::read_to_string(fixture.commit(1)).unwrap();
    let refused = |expected: &str| {
        let before = fixture.names();
        for error in [fixture.exporter().run(&mut |_| {}).unwrap_err(), fixture.exporter().watermark().unwrap_err()] {
            assert!(matches!(error, ExportError::Table { .. }) && error.is_refusal(), "{error}");
            assert!(error.to_string().contains(expected), "expected {expected:?} in: {error}");
        }
        assert_eq!(fixture.names(), before);
    };
    fs::remove_file(fixture.commit(1)).unwrap();
    refused("commit 1 is missing");
    for (content, expected) in [
        ("{\"add\":", "EOF while parsing"),
        ("{\"protocol\":{\"minReaderVersion\":3,\"minWriterVersion\":7}}", "reader version 3 and writer version 7"),
        ("{\"txn\":{\"appId\":\"tidelog:odd/0\",\"version\":-1}}", "offset -1 is next"),
    ] {
        let is_last_word = content.contains("txn");
        fs::write(fixture.commit(if is_last_word { 3 } else { 1 }), content).unwrap();
        if is_last_word {
            fs::write(fixture.commit(1), &good).unwrap();
        }
        refused(expected);
    }
    let other_columns =
        good + r#"{"metaData":{"id":"x","format":{"provider":"parquet"},"schemaString":"{}","partitionColumns":[],"configuration":{}}}"#;
    fs::write(fixture.commit(3), other_columns).unwrap();
    refused("its columns are not those of this export");
    fs::remove_file(fixture.commit(3)).unwrap();
    assert_eq!(fixture.export().kept_files, 3);
}

pub(crate) struct Fixture {
    pub(crate) dir: TempDir,
    store: Store,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with(StoreOptions::new())
    }

    fn with(options: StoreOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = options.open(dir.path().join("data")).unwrap();
        store.topic("odd").unwrap();
        Self { dir, store }
    }

    pub(crate) fn partition(&self) -> Partition {
        self.store.topic("odd").unwrap().partition(0).unwrap()
    }

    pub(crate) fn append<'a>(&self, records: impl Iterator<Item = Record<'a>>) {
        let mut batch = RecordBatch::new();
        for record in records {
            batch.push(&record).unwrap();
        }
        self.partition().append_batch(&batch, AckLevel::Durable).unwrap();
    }

    /// Appends odd records in batches of 50, and returns the rows they are to become.
    pub(crate) fn append_odd(&self, numbers: std::ops::Range<u64>) -> Vec<Row> {
        let rows: Vec<Row> = numbers.map(odd).collect();
        let partition = self.partition();
        let mut batch = RecordBatch::new();
        for chunk in rows.chunks(50) {
            batch.clear();
            for row in chunk {
                let mut record = row.value.as_ref().map_or_else(Record::tombstone, Record::new).timestamp(TimestampNs::new(row.ts_ns));
                if let Some(key) = &row.key {
                    record = record.key(key);
                }
                for (name, value) in &row.headers {
                    record = record.header(name, value.as_deref());
                }
                batch.push(&record).unwrap();
            }
            partition.append_batch(&batch, AckLevel::Written).unwrap();
        }
        partition.flush().unwrap();
        rows
    }

    fn out(&self) -> PathBuf {
        self.dir.path().join("a/new/place")
    }

    fn home(&self) -> PathBuf {
        self.out().join("topic=odd/partition=0")
    }

    fn exporter(&self) -> ParquetExport {
        ParquetExport::new(self.partition().view(), self.out())
    }

    fn export(&self) -> ExportReport {
        self.exporter().run(&mut |_| {}).unwrap()
    }

    /// Every name in the partition's directory.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.home())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "_SUCCESS")
            .collect();
        names.sort();
        names
    }

    /// The names of files that are complete, whether they are committed or not.
    fn complete_names(&self) -> Vec<String> {
        if !self.home().exists() {
            return Vec::new();
        }
        self.names().into_iter().filter(|name| !name.starts_with('.')).collect()
    }

    fn commit(&self, version: u64) -> PathBuf {
        self.out().join(format!("topic=odd/_delta_log/{version:020}.json"))
    }

    /// The actions of a commit, by kind.
    fn actions(&self, version: u64) -> Vec<(String, serde_json::Value)> {
        let commit = fs::read_to_string(self.commit(version)).unwrap();
        let action = |line| serde_json::from_str::<serde_json::Map<_, _>>(line).unwrap().into_iter().next().unwrap();
        commit.lines().map(action).collect()
    }

    /// What a commit says of an application.
    fn txn(&self, version: u64, app_id: &str) -> Option<serde_json::Value> {
        self.actions(version).into_iter().find(|(kind, txn)| kind == "txn" && txn["appId"] == app_id).map(|(_, txn)| txn["version"].clone())
    }

    /// The files that the Delta log names, and their rows.
    fn table(&self) -> Vec<(String, u64)> {
        let mut files = Vec::new();
        for version in (0..).take_while(|&version| self.commit(version).exists()) {
            for (_, add) in self.actions(version).into_iter().filter(|(kind, _)| kind == "add") {
                let stats: serde_json::Value = serde_json::from_str(add["stats"].as_str().unwrap()).unwrap();
                let path = add["path"].as_str().unwrap();
                files.push((path.strip_prefix("partition=0/").unwrap().to_owned(), stats["numRecords"].as_u64().unwrap()));
            }
        }
        files
    }

    fn read_all(&self) -> Vec<Row> {
        self.names().iter().flat_map(|name| read(&self.home().join(name))).collect()
    }

    /// Closes the store, flips a bit in the batch that holds `offset`, and opens it to be read.
    fn damage_batch_of(self, offset: u64) -> (TempDir, PartitionView) {
        let (segment, position) = self.partition().view().locate(offset).unwrap();
        self.store.close().unwrap();
        let mut bytes = fs::read(&segment).unwrap();
        bytes[position.get() as usize + 200] ^= 1;
        fs::write(&segment, bytes).unwrap();
        let store = Store::open_read_only(self.dir.path().join("data")).unwrap();
        (self.dir, store.topic("odd").unwrap().partition(0).unwrap())
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) offset: i64,
    ts_ns: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

/// The record at an offset: nulls, empty bytes, bytes that are no text, times out of order and before 1970, headers of every kind.
fn odd(number: u64) -> Row {
    let header = |name: &str, value: Option<&[u8]>| (name.to_owned(), value.map(<[u8]>::to_vec));
    let offset = number.cast_signed();
    let (ts_ns, key, value, headers): (i64, Option<&[u8]>, Option<&[u8]>, Vec<_>) = match number % 7 {
        0 => (START_NS + offset, None, Some(b"plain"), vec![]),
        1 => (START_NS - offset * 1_000_000_000, Some(b""), None, vec![]),
        2 => (-1 - offset, Some(b"\xff\xfe\0"), Some(b""), vec![header("one", Some(b"1"))]),
        3 => (START_NS, Some(b"key"), Some(b"\x80\x81"), vec![header("a", Some(b"1")), header("b", None), header("a", Some(b""))]),
        4 => (START_NS, None, None, vec![header("", Some(b"\xff")), header("имя", None)]),
        5 => (i64::from(i32::MAX) * 1_000, Some("ключ".as_bytes()), Some(&[7; 300]), vec![]),
        _ => (999, Some(b"k"), Some(b"v"), vec![header("long", Some(&[b'h'; 200]))]),
    };
    Row { offset, ts_ns, key: key.map(<[u8]>::to_vec), value: value.map(<[u8]>::to_vec), headers }
}

fn read(path: &Path) -> Vec<Row> {
    read_bytes(fs::read(path).unwrap().into())
}

pub(crate) fn read_bytes(file: Bytes) -> Vec<Row> {
    let mut rows = Vec::new();
    for batch in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
        let batch = batch.unwrap();
        let names: Vec<_> = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(names, ["_offset", "_ts_ns", "_ts", "_key", "_value", "_headers", "_leader_epoch", "_producer_id"]);
        let (offsets, nanos) = (batch.column(0).as_primitive::<Int64Type>(), batch.column(1).as_primitive::<Int64Type>());
        let micros = batch.column(2).as_primitive::<TimestampMicrosecondType>();
        assert_eq!(micros.timezone(), Some("UTC"));
        let (keys, values) = (batch.column(3).as_binary::<i32>(), batch.column(4).as_binary::<i32>());
        let headers = batch.column(5).as_list::<i32>();
        let leader_epochs = batch.column(6).as_primitive::<Int32Type>();
        assert_eq!(batch.column(7).null_count(), batch.num_rows(), "no producer has an identity yet");
        assert_eq!((batch.column(1).null_count(), headers.null_count()), (0, 0));
        for i in 0..batch.num_rows() {
            assert_eq!(micros.value(i), nanos.value(i).div_euclid(1000));
            assert!(leader_epochs.is_valid(i));
            let bytes = |column: &arrow::array::BinaryArray| column.is_valid(i).then(|| column.value(i).to_vec());
            let found = headers.value(i);
            let parts = found.as_struct();
            let (names, contents) = (parts.column(0).as_string::<i32>(), parts.column(1).as_binary::<i32>());
            let headers = (0..parts.len()).map(|j| (names.value(j).to_owned(), contents.is_valid(j).then(|| contents.value(j).to_vec())));
            rows.push(Row { offset: offsets.value(i), ts_ns: nanos.value(i), key: bytes(keys), value: bytes(values), headers: headers.collect() });
        }
    }
    rows
}

fn metadata(path: &Path) -> ParquetMetaData {
    let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
    reader.parse_and_finish(&File::open(path).unwrap()).unwrap()
}

fn key_values(path: &Path) -> HashMap<String, String> {
    let metadata = metadata(path);
    let pairs = metadata.file_metadata().key_value_metadata().unwrap();
    pairs.iter().map(|pair| (pair.key.clone(), pair.value.clone().unwrap())).collect()
}

fn has_dictionary(column: &ColumnChunkMetaData) -> bool {
    column.dictionary_page_offset().is_some()
}

fn name(first: u64, last: u64) -> String {
    format!("{first:020}-{last:020}.parquet")
}

/// 2024-01-01T00:00:00.123456789Z
const START_NS: i64 = 1_704_067_200_123_456_789;
