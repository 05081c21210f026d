//! What a file says of itself in its footer: which offsets of which partition. Writes and reads footers, never rows.

use std::path::Path;

use parquet::file::metadata::{FooterTail, KeyValue, ParquetMetaData, ParquetMetaDataReader};
use serde::{Deserialize, Serialize};
use tidelog_format::{FORMAT_VERSION, LeaderEpoch, Offset};

use crate::error::IoContext;
use crate::export::error::ExportError;
use crate::export::report::{ExportGap, GapReason};
use crate::export::schema::SCHEMA_VERSION;
use crate::export::target::Target;
use crate::export::typed_column::TypedColumns;
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

    /// Adds rows in the order of their offsets.
    pub(super) fn add_rows(&mut self, offsets: &[i64], ts_ns: &[i64]) {
        self.last = offsets.last().map_or(self.last, |last| last.cast_unsigned());
        self.rows += offsets.len() as u64;
        self.min_ts_ns = ts_ns.iter().copied().fold(self.min_ts_ns, i64::min);
        self.max_ts_ns = ts_ns.iter().copied().fold(self.max_ts_ns, i64::max);
    }

    pub(super) fn add_row(&mut self, offset: u64, ts_ns: i64) {
        self.last = offset;
        self.rows += 1;
        self.min_ts_ns = self.min_ts_ns.min(ts_ns);
        self.max_ts_ns = self.max_ts_ns.max(ts_ns);
    }
}

/// What a file holds, and what it should hold and cannot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) extent: Extent,
    /// Term of the last row.
    pub(super) leader_epoch: LeaderEpoch,
    /// Offsets before the last row and behind the last row of the file before.
    pub(super) gaps: Vec<ExportGap>,
    /// The declared columns that it has.
    pub(super) columns: TypedColumns,
    /// The segment files of the log that its rows stood in.
    pub(super) segments: Vec<String>,
    /// Whether it was put together of files that were in its place.
    pub(super) is_compacted: bool,
}

/// A gap as it is stored. Without a reason it was deleted from the log.
#[derive(Serialize, Deserialize)]
struct StoredGap {
    from: u64,
    to: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    damaged: Option<String>,
}

/// Gaps as files and commits say them.
pub(super) fn gaps_as_json(gaps: &[ExportGap]) -> String {
    let stored = gaps.iter().map(|gap| {
        let damaged = if let GapReason::Damaged(reason) = &gap.reason { Some(reason.clone()) } else { None };
        StoredGap { from: gap.from.get(), to: gap.to.get(), damaged }
    });
    serde_json::to_string(&stored.collect::<Vec<_>>()).expect("numbers and strings")
}

fn gaps_of_json(json: &str) -> serde_json::Result<Vec<ExportGap>> {
    let stored: Vec<StoredGap> = serde_json::from_str(json)?;
    let gap = |gap: StoredGap| ExportGap {
        from: Offset::new(gap.from),
        to: Offset::new(gap.to),
        reason: gap.damaged.map_or(GapReason::Deleted, GapReason::Damaged),
    };
    Ok(stored.into_iter().map(gap).collect())
}

/// The key-value metadata of a file.
pub(super) fn key_values(source: &Source, contents: &Contents) -> Vec<KeyValue> {
    let Contents { extent, leader_epoch, gaps, columns, segments, is_compacted } = contents;
    let is_dense = extent.rows == extent.last - extent.first + 1;
    let gaps = (!gaps.is_empty()).then(|| (GAPS, gaps_as_json(gaps)));
    [
        (SCHEMA, SCHEMA_VERSION.to_string()),
        ("format_version", FORMAT_VERSION.to_string()),
        (TOPIC, source.topic.clone()),
        (PARTITION, source.partition.to_string()),
        (UUID, source.uuid.clone()),
        (FIRST, extent.first.to_string()),
        (LAST, extent.last.to_string()),
        ("next_offset", (extent.last + 1).to_string()),
        (EPOCH, leader_epoch.to_string()),
        (MIN_TS, extent.min_ts_ns.to_string()),
        (MAX_TS, extent.max_ts_ns.to_string()),
        (SEGMENTS, segments.join(",")),
        ("dense", is_dense.to_string()),
        ("writer_version", concat!("tidelog ", env!("CARGO_PKG_VERSION")).to_owned()),
    ]
    .into_iter()
    .chain(gaps)
    .chain((!columns.is_empty()).then(|| (COLUMNS, columns.to_json())))
    .chain(is_compacted.then(|| (COMPACTED, true.to_string())))
    .map(|(name, value)| KeyValue::new(format!("{PREFIX}{name}"), value))
    .collect()
}

/// Checks that a file is complete and of `source`, and holds the offsets `first..=last` that its name says. Returns what it holds, and its
/// size in bytes.
pub(super) fn check(target: &dyn Target, path: &Path, source: &Source, first: u64, last: u64) -> Result<(Contents, u64), ExportError> {
    let (metadata, bytes) = read(target, path)?;
    let refused = |reason: String| ExportError::NotOfExport { path: path.to_owned(), reason };
    let optional = |name: &str| {
        let found = metadata.file_metadata().key_value_metadata().into_iter().flatten().find(|pair| pair.key.strip_prefix(PREFIX) == Some(name));
        found.and_then(|pair| pair.value.clone())
    };
    let value = |name: &str| optional(name).ok_or_else(|| refused(format!("its metadata has no {PREFIX}{name}")));
    let epoch = value(EPOCH)?.parse().map(LeaderEpoch::new).map_err(|error| refused(format!("{PREFIX}{EPOCH}: {error}")));
    let time = |name: &str| value(name)?.parse().map_err(|error| refused(format!("{PREFIX}{name}: {error}")));
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
    let rows = u64::try_from(metadata.file_metadata().num_rows()).map_err(|error| refused(error.to_string()))?;
    let gaps = optional(GAPS).map_or(Ok(Vec::new()), |json| gaps_of_json(&json).map_err(|error| refused(format!("{PREFIX}{GAPS}: {error}"))))?;
    let extent = Extent { first, last, rows, min_ts_ns: time(MIN_TS)?, max_ts_ns: time(MAX_TS)? };
    let columns = optional(COLUMNS).map_or(Ok(TypedColumns::default()), |json| TypedColumns::from_json(&json)).map_err(refused)?;
    let segments = optional(SEGMENTS).iter().flat_map(|names| names.split(',')).map(str::to_owned).collect();
    let is_compacted = optional(COMPACTED).is_some();
    Ok((Contents { extent, leader_epoch: epoch?, gaps, columns, segments, is_compacted }, bytes))
}

/// The metadata of a file, and its size.
fn read(target: &dyn Target, path: &Path) -> Result<(ParquetMetaData, u64), ExportError> {
    let refused = |reason: String| ExportError::NotOfExport { path: path.to_owned(), reason };
    let file = target.open(path)?;
    let len = file.len().at("look at", path)?;
    let mut tail = [0; TAIL_BYTES as usize];
    let tail_at = len.checked_sub(TAIL_BYTES).ok_or_else(|| refused(format!("{len} bytes are no Parquet file")))?;
    file.read_exact_at(&mut tail, tail_at).at("read", path)?;
    let footer = FooterTail::try_new(&tail).map_err(|error| refused(error.to_string()))?;
    let footer_at = tail_at.checked_sub(footer.metadata_length() as u64).ok_or_else(|| refused("its footer is longer than the file".to_owned()))?;
    let mut bytes = vec![0; footer.metadata_length()];
    file.read_exact_at(&mut bytes, footer_at).at("read", path)?;
    let metadata = ParquetMetaDataReader::decode_metadata(&bytes).map_err(|error| refused(error.to_string()))?;
    Ok((metadata, len))
}

const PREFIX: &str = "tidelog.";
const SCHEMA: &str = "schema_version";
const TOPIC: &str = "topic";
const PARTITION: &str = "partition";
const UUID: &str = "partition_uuid";
const FIRST: &str = "first_offset";
const LAST: &str = "last_offset";
const EPOCH: &str = "last_leader_epoch";
const MIN_TS: &str = "min_ts_ns";
const MAX_TS: &str = "max_ts_ns";
const GAPS: &str = "gaps";
const COLUMNS: &str = "columns";
const SEGMENTS: &str = "source_segments";
const COMPACTED: &str = "compacted";
/// The length of the footer and the magic at the end of a Parquet file.
const TAIL_BYTES: u64 = 8;
