//! Schema version 1 and how its columns are encoded. A change of either the columns or their meaning is a new version.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use parquet::basic::Encoding;
use parquet::errors::ParquetError;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use serde_json::{Value, json};

use crate::export::parquet_compression::ParquetCompression;
use crate::export::row_group_writers::Times;
use crate::export::typed_column::TypedColumns;

/// The version that files carry in their metadata.
pub(super) const SCHEMA_VERSION: u32 = 1;

/// Rows of a row group.
pub(super) const GROUP_ROWS: usize = 131_072;

/// Rows of a page; a range of offsets is read in these portions.
pub(super) const PAGE_ROWS: usize = 4096;

/// Bytes of keys, values and headers at which a page ends that has not its rows yet.
pub(super) const PAGE_BYTES: usize = 4 << 20;

/// Bytes of keys, values and headers at which a row group ends, however few rows it has.
pub(super) const GROUP_BYTES: usize = 64 << 20;

/// The time zone of `_ts`, as readers name it.
pub(super) const UTC: &str = "UTC";

/// The columns, in order: those that every export has, then those that are declared.
pub(super) fn schema(declared: &TypedColumns) -> SchemaRef {
    let mut fields = vec![
        Field::new(OFFSET, DataType::Int64, false),
        Field::new(TS_NS, DataType::Int64, false),
        Field::new(TS, DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())), false),
        Field::new(KEY, DataType::Binary, true),
        Field::new(VALUE, DataType::Binary, true),
        Field::new(HEADERS, DataType::List(header_item()), false),
        Field::new(LEADER_EPOCH, DataType::Int32, true),
        Field::new(PRODUCER_ID, DataType::Int64, true),
    ];
    fields.extend(declared.iter().map(|column| Field::new(&column.name, column.kind.arrow(), true)));
    Arc::new(Schema::new(fields))
}

/// What `_headers` is a list of.
pub(super) fn header_item() -> Arc<Field> {
    Arc::new(Field::new("element", DataType::Struct(header_fields()), false))
}

/// The two parts of a header.
pub(super) fn header_fields() -> Fields {
    Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Binary, true)])
}

/// The columns as a Delta log describes them: those of the files, then the one that the path holds. A declared column of a type that Delta
/// does not have is in the files alone.
pub(super) fn delta_schema(declared: &TypedColumns) -> Value {
    let field = |name: &str, kind: Value, nullable: bool| json!({ "name": name, "type": kind, "nullable": nullable, "metadata": {} });
    let header = json!({ "type": "struct", "fields": [field("key", json!("string"), false), field("value", json!("binary"), true)] });
    let mut columns = vec![
        field(OFFSET, json!("long"), false),
        field(TS_NS, json!("long"), false),
        field(TS, json!("timestamp"), false),
        field(KEY, json!("binary"), true),
        field(VALUE, json!("binary"), true),
        field(HEADERS, json!({ "type": "array", "elementType": header, "containsNull": false }), false),
        field(LEADER_EPOCH, json!("integer"), true),
        field(PRODUCER_ID, json!("long"), true),
    ];
    columns.extend(declared.iter().filter_map(|column| Some(field(&column.name, column.kind.delta()?, true))));
    columns.push(field("partition", json!("integer"), true));
    json!({ "type": "struct", "fields": columns })
}

/// How declared columns are written: their pages end where those of the others do.
pub(super) fn typed_properties(compression: ParquetCompression) -> Result<WriterProperties, ParquetError> {
    Ok(WriterProperties::builder()
        // Data page V2 with DELTA_BINARY_PACKED makes fastparquet return wrong offsets: no page of a file is of it.
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(compression.codec()?)
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_dictionary_enabled(false)
        .set_encoding(Encoding::PLAIN)
        // fastparquet fails on statistics of a column that is all null; nobody looks for a value by its order.
        .set_statistics_enabled(EnabledStatistics::None)
        .build())
}

/// What rows are sorted by.
pub(super) fn sorting() -> Vec<SortingColumn> {
    vec![SortingColumn { column_idx: 0, descending: false, nulls_first: false }]
}

/// How the times of a row group may be encoded: files of 5 M rows at a few milliseconds from each other take a tenth less as differences.
pub(super) fn times_of(ts_ns: &[i64]) -> Times {
    // One that an i64 does not hold is far above the limits as well when it is cut short.
    let differences = ts_ns.windows(2).map(|pair| pair[1].saturating_sub(pair[0]));
    let (min, max) = differences.fold((0, 0), |(min, max), difference| (difference.min(min), difference.max(max)));
    let (min, max) = (i128::from(min), i128::from(max));
    // Rounded down to microseconds, a difference is off by less than one.
    if max - min < i128::from(DIFFERENCE_MAX) {
        Times::VeryNear
    } else if (max - min) / 1000 + 2 < i128::from(DIFFERENCE_MAX) {
        Times::Near
    } else {
        Times::Apart
    }
}

/// A difference of neighbouring offsets from which on they no longer fit one file, and of times from which on they are written as they are:
/// fastparquet unpacks deltas of more than 28 bits wrongly.
pub(super) const DIFFERENCE_MAX: u64 = 1 << 27;

/// Columns that every export has.
pub(super) const BASE_COLUMNS: usize = 8;

/// Where the values are among the columns of a file.
pub(super) const VALUE_COLUMN: usize = 4;

/// What wrote a file, as readers are told it.
pub(super) const CREATED_BY: &str = concat!("tidelog version ", env!("CARGO_PKG_VERSION"));

pub(super) const OFFSET: &str = "_offset";
pub(super) const TS_NS: &str = "_ts_ns";
pub(super) const TS: &str = "_ts";
pub(super) const KEY: &str = "_key";
pub(super) const VALUE: &str = "_value";
pub(super) const HEADERS: &str = "_headers";
pub(super) const LEADER_EPOCH: &str = "_leader_epoch";
pub(super) const PRODUCER_ID: &str = "_producer_id";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_differences_only_where_all_of_them_are_small() {
        let near = DIFFERENCE_MAX.cast_signed() - 1;
        for (ts_ns, expected) in [
            (vec![], Times::VeryNear),
            (vec![i64::MIN], Times::VeryNear),
            (vec![0, near], Times::VeryNear),
            (vec![0, near + 1], Times::Near),
            (vec![0, near / 2, 0, near / 2], Times::VeryNear),
            (vec![0, near, 0], Times::Near),
            (vec![0, (near - 2) * 1000], Times::Near),
            (vec![0, (near + 1) * 1000], Times::Apart),
            (vec![i64::MIN, i64::MAX], Times::Apart),
        ] {
            assert_eq!(times_of(&ts_ns), expected, "{ts_ns:?}");
        }
    }
}
