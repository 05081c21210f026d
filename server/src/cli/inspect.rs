//! `tidelog inspect`: what a Parquet file says of itself, whoever wrote it. Reads the footer and no row.

use std::fs::File;
use std::path::{Path, PathBuf};

use parquet::basic::{LogicalType, TimeUnit};
use parquet::file::metadata::{ColumnChunkMetaData, FileMetaData, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnDescriptor;
use serde_json::{Map, Value, json};

use crate::exit::{Exit, Failure};
use crate::output::{print_json, print_line, shown};

/// Print what a Parquet file says of itself: columns, metadata, row groups and their offsets.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidelog inspect parquet-out/topic=events/partition=0/*-00000000000000001706.parquet
  tidelog inspect --json FILE | jq .row_groups")]
pub(crate) struct Args {
    /// The file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let metadata = read(&args.file)?;
    if args.json {
        print_json(&value(&metadata))?
    } else {
        print_line(&text(&metadata))?
    }
    Ok(Exit::Done)
}

fn read(path: &Path) -> Result<ParquetMetaData, Failure> {
    let file = File::open(path).map_err(|error| Failure::because(Exit::Failed, format!("opening {}", path.display()), error))?;
    // A directory opens, and has a size that means nothing.
    if file.metadata().is_ok_and(|found| found.is_dir()) {
        return Err(Failure::new(Exit::Failed, format!("{} is a directory, not a Parquet file", path.display())));
    }
    let read = ParquetMetaDataReader::new().parse_and_finish(&file);
    read.map_err(|error| Failure::because(Exit::Failed, format!("{} is no Parquet file that can be read", path.display()), error))
}

fn text(metadata: &ParquetMetaData) -> String {
    let file = metadata.file_metadata();
    let groups = metadata.row_groups();
    let mut lines = vec![
        fact("rows", &file.num_rows().to_string()),
        fact("row_groups", &groups.len().to_string()),
        fact("created_by", file.created_by().unwrap_or("not said")),
    ];
    lines.extend(pairs(file).map(|(key, value)| fact(key, value)));
    lines.push(format!("\n{:<28}{:<34}{:<10}{:>14}{:>14}  ENCODINGS", "COLUMN", "TYPE", "CODEC", "BYTES", "UNPACKED"));
    for (number, column) in file.schema_descr().columns().iter().enumerate() {
        let chunks: Vec<_> = groups.iter().map(|group| group.column(number)).collect();
        // Sizes that lie must not end the program.
        let sum = |bytes: fn(&ColumnChunkMetaData) -> i64| chunks.iter().map(|chunk| bytes(chunk)).fold(0, i64::saturating_add);
        let (stored, unpacked) = (sum(ColumnChunkMetaData::compressed_size), sum(ColumnChunkMetaData::uncompressed_size));
        let (codec, encodings) = chunks.first().map_or_else(Default::default, |chunk| (codec_of(chunk), encodings_of(chunk).join(" ")));
        lines.push(format!(
            "{:<28}{:<34}{codec:<10}{stored:>14}{unpacked:>14}  {encodings}",
            shown(Some(column.path().string().as_bytes()), CHARS_MAX),
            type_of(column)
        ));
    }
    lines.push(format!("\n{:>9}{:>12}{:>14}  {:<42}TIMES", "ROW GROUP", "ROWS", "BYTES", "OFFSETS"));
    for (number, group) in groups.iter().enumerate() {
        let range = |name: &str, show: fn(i64) -> String| {
            range_of(group, name).map_or_else(|| "not said".to_owned(), |(min, max)| format!("{}..={}", show(min), show(max)))
        };
        let (offsets, times) = (range("_offset", |offset| offset.to_string()), range("_ts_ns", crate::output::time));
        lines.push(format!("{number:>9}{:>12}{:>14}  {offsets:<42}{times}", group.num_rows(), group.compressed_size()));
    }
    lines.join("\n")
}

fn value(metadata: &ParquetMetaData) -> Value {
    let file = metadata.file_metadata();
    let column = |column: &ColumnDescriptor| json!({ "name": column.path().string(), "type": type_of(column), "optional": is_optional(column) });
    let chunk = |chunk: &ColumnChunkMetaData| {
        json!({
            "name": chunk.column_path().string(), "codec": codec_of(chunk), "encodings": encodings_of(chunk),
            "bytes": chunk.compressed_size(), "unpacked_bytes": chunk.uncompressed_size(),
        })
    };
    let range = |group: &RowGroupMetaData, name: &str| range_of(group, name).map(|(min, max)| json!([min, max]));
    let group = |group: &RowGroupMetaData| {
        json!({
            "rows": group.num_rows(), "bytes": group.compressed_size(),
            "offsets": range(group, "_offset"), "ts_ns": range(group, "_ts_ns"),
            "columns": group.columns().iter().map(chunk).collect::<Vec<_>>(),
        })
    };
    json!({
        "rows": file.num_rows(), "created_by": file.created_by(),
        "metadata": pairs(file).map(|(key, value)| (key.to_owned(), json!(value))).collect::<Map<_, _>>(),
        "columns": file.schema_descr().columns().iter().map(|found| column(found)).collect::<Vec<_>>(),
        "row_groups": metadata.row_groups().iter().map(group).collect::<Vec<_>>(),
    })
}

/// Whoever wrote the file: what is no text for a terminal is escaped, and what is long is cut.
fn fact(name: &str, value: &str) -> String {
    format!("{:<28}{}", shown(Some(name.as_bytes()), CHARS_MAX), shown(Some(value.as_bytes()), CHARS_MAX))
}

/// The key-value metadata.
fn pairs(file: &FileMetaData) -> impl Iterator<Item = (&str, &str)> {
    file.key_value_metadata().into_iter().flatten().map(|pair| (pair.key.as_str(), pair.value.as_deref().unwrap_or_default()))
}

/// The logical type, or the physical one where there is none; with a question mark where nulls may be.
fn type_of(column: &ColumnDescriptor) -> String {
    let kind = match column.logical_type_ref() {
        Some(LogicalType::Timestamp(found)) => of_time("TIMESTAMP", &found.unit, found.is_adjusted_to_u_t_c),
        Some(LogicalType::Time(found)) => of_time("TIME", &found.unit, found.is_adjusted_to_u_t_c),
        Some(LogicalType::Decimal(found)) => format!("DECIMAL({},{})", found.precision, found.scale),
        Some(LogicalType::Integer(found)) => format!("{}INT{}", if found.is_signed { "" } else { "U" }, found.bit_width),
        Some(LogicalType::String) => "STRING".to_owned(),
        Some(LogicalType::Date) => "DATE".to_owned(),
        Some(LogicalType::Json) => "JSON".to_owned(),
        Some(LogicalType::Uuid) => "UUID".to_owned(),
        _ => column.physical_type().to_string(),
    };
    kind + if is_optional(column) { "?" } else { "" }
}

fn of_time(name: &str, unit: &TimeUnit, is_utc: bool) -> String {
    let unit = match unit {
        TimeUnit::MILLIS => "MILLIS",
        TimeUnit::MICROS => "MICROS",
        TimeUnit::NANOS => "NANOS",
    };
    format!("{name}({unit}{})", if is_utc { ", UTC" } else { "" })
}

fn is_optional(column: &ColumnDescriptor) -> bool {
    column.self_type().is_optional()
}

fn codec_of(chunk: &ColumnChunkMetaData) -> String {
    let codec = format!("{:?}", chunk.compression());
    codec.split('(').next().unwrap_or_default().to_owned()
}

fn encodings_of(chunk: &ColumnChunkMetaData) -> Vec<String> {
    chunk.encodings().map(|encoding| encoding.to_string()).collect()
}

/// The least and the largest value of an integer column, as its statistics say.
fn range_of(group: &RowGroupMetaData, name: &str) -> Option<(i64, i64)> {
    let chunk = group.columns().iter().find(|chunk| chunk.column_path().string() == name)?;
    match chunk.statistics()? {
        Statistics::Int64(found) => Some((*found.min_opt()?, *found.max_opt()?)),
        _ => None,
    }
}

const CHARS_MAX: usize = 200;
