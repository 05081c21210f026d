//! What a file says of itself in its footer: which offsets of which partition. Writes and reads footers, never rows.

use std::path::Path;

use parquet::file::metadata::{FooterTail, KeyValue, ParquetMetaData, ParquetMetaDataReader};
use tidelog_format::FORMAT_VERSION;

use crate::error::IoContext;
use crate::export::error::ExportError;
use crate::export::schema::SCHEMA_VERSION;
use crate::io::{Access, Storage, read_exact_at};
use crate::log::PartitionView;

/// Which partition is exported, as files name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// `[namespace/]name`.
    pub(super) topic: String,
    pub(super) partition: u32,
    /// In hexadecimal.
    pub(super) uuid: String,
}

impl Source {
    pub(super) fn of(view: &PartitionView) -> Self {
        let uuid = view.uuid().iter().map(|byte| format!("{byte:02x}")).collect();
        Self { topic: view.topic().to_owned(), partition: view.index(), uuid }
    }
}

/// The rows of a file in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) rows: u64,
    pub(super) min_ts_ns: i64,
    pub(super) max_ts_ns: i64,
}

impl Extent {
    pub(super) fn of_row(offset: u64, ts_ns: i64) -> Self {
        Self { first: offset, last: offset, rows: 1, min_ts_ns: ts_ns, max_ts_ns: ts_ns }
    }

    pub(super) fn add_row(&mut self, offset: u64, ts_ns: i64) {
        self.last = offset;
        self.rows += 1;
        self.min_ts_ns = self.min_ts_ns.min(ts_ns);
        self.max_ts_ns = self.max_ts_ns.max(ts_ns);
    }
}

/// The key-value metadata of a file.
pub(super) fn key_values(source: &Source, extent: &Extent, segments: &[String]) -> Vec<KeyValue> {
    let is_dense = extent.rows == extent.last - extent.first + 1;
    [
        (SCHEMA, SCHEMA_VERSION.to_string()),
        ("format_version", FORMAT_VERSION.to_string()),
        (TOPIC, source.topic.clone()),
        (PARTITION, source.partition.to_string()),
        (UUID, source.uuid.clone()),
        (FIRST, extent.first.to_string()),
        (LAST, extent.last.to_string()),
        ("next_offset", (extent.last + 1).to_string()),
        ("min_ts_ns", extent.min_ts_ns.to_string()),
        ("max_ts_ns", extent.max_ts_ns.to_string()),
        ("source_segments", segments.join(",")),
        (DENSE, is_dense.to_string()),
        ("writer_version", concat!("tidelog ", env!("CARGO_PKG_VERSION")).to_owned()),
    ]
    .into_iter()
    .map(|(name, value)| KeyValue::new(format!("{PREFIX}{name}"), value))
    .collect()
}

/// Checks that a file is complete and of `source`, and holds the offsets `first..=last` that its name says. Returns whether it has a row for
/// each of them.
pub(super) fn check(storage: &dyn Storage, path: &Path, source: &Source, first: u64, last: u64) -> Result<bool, ExportError> {
    let metadata = read(storage, path)?;
    let refused = |reason: String| ExportError::NotOfExport { path: path.to_owned(), reason };
    let value = |name: &str| {
        let found = metadata.file_metadata().key_value_metadata().into_iter().flatten().find(|pair| pair.key.strip_prefix(PREFIX) == Some(name));
        found.and_then(|pair| pair.value.clone()).ok_or_else(|| refused(format!("its metadata has no {PREFIX}{name}")))
    };
    let expect = |name: &str, expected: String| {
        let found = value(name)?;
        if found == expected { Ok(()) } else { Err(refused(format!("{PREFIX}{name} is {found}, not {expected}"))) }
    };
    expect(SCHEMA, SCHEMA_VERSION.to_string())?;
    let found = value(UUID)?;
    if found != source.uuid {
        return Err(ExportError::OtherPartition { path: path.to_owned(), expected: source.uuid.clone(), found });
    }
    expect(TOPIC, source.topic.clone())?;
    expect(PARTITION, source.partition.to_string())?;
    expect(FIRST, first.to_string())?;
    expect(LAST, last.to_string())?;
    Ok(value(DENSE)? == true.to_string())
}

fn read(storage: &dyn Storage, path: &Path) -> Result<ParquetMetaData, ExportError> {
    let refused = |reason: String| ExportError::NotOfExport { path: path.to_owned(), reason };
    let file = storage.open(path, Access::Read).at("open", path)?;
    let len = file.len().at("look at", path)?;
    let mut tail = [0; TAIL_BYTES as usize];
    let tail_at = len.checked_sub(TAIL_BYTES).ok_or_else(|| refused(format!("{len} bytes are no Parquet file")))?;
    read_exact_at(&*file, &mut tail, tail_at).at("read", path)?;
    let footer = FooterTail::try_new(&tail).map_err(|error| refused(error.to_string()))?;
    let footer_at = tail_at.checked_sub(footer.metadata_length() as u64).ok_or_else(|| refused("its footer is longer than the file".to_owned()))?;
    let mut bytes = vec![0; footer.metadata_length()];
    read_exact_at(&*file, &mut bytes, footer_at).at("read", path)?;
    ParquetMetaDataReader::decode_metadata(&bytes).map_err(|error| refused(error.to_string()))
}

const PREFIX: &str = "tidelog.";
const SCHEMA: &str = "schema_version";
const TOPIC: &str = "topic";
const PARTITION: &str = "partition";
const UUID: &str = "partition_uuid";
const FIRST: &str = "first_offset";
const LAST: &str = "last_offset";
const DENSE: &str = "dense";
/// The length of the footer and the magic at the end of a Parquet file.
const TAIL_BYTES: u64 = 8;
