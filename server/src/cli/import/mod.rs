//! `tidelog import`: takes files into a topic, each record once, however often it is interrupted. Follows nothing.

mod from_parquet;
mod importer;
mod note;
mod resume;
mod target;
mod timed;

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::parse::ParseArgs;
use super::store::{self, SettingsArgs, TopicArgs, WritePartitionArgs};
use crate::exit::{Exit, Failure};
use crate::input::{Compression, Format, Rejects, RejectsError};
use crate::output::{Results, counted};
use importer::Importer;

/// Take files, or the standard input, into a topic.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidelog import data logs app.log app.log.1.gz
  tidelog import data events events.ndjson --format ndjson --key .user.id --timestamp .at
  tidelog import data events old.ndjson.zst --format ndjson --timestamp .ts --timestamp-unit ms
  tidelog import data quakes quakes.csv --format csv --timestamp .time --partitions 4 --key .place
  tidelog import data events bad.ndjson --format ndjson --on-error skip --rejects rejected.ndjson
  zcat big.gz | tidelog import data logs
  tidelog import copy events --from-parquet parquet-out    what tidelog export wrote, record for record
  tidelog import data readings --from-parquet lake --time-column at --key-column device --rows-as-json

An import that was interrupted goes on where it was when it is started again: how far it came is committed with the
records. A finished file adds nothing. A file that has grown is continued; if it was imported without a newline at its
end, then only if what follows begins with one: otherwise its last line has changed. A file that was changed is refused
(exit 3). What was cut off at the end of a partition (truncate_suffix) is imported again. That, and what partitions were
at different places of, is refused where the file is not read as the records that it was read as before (exit 3): give the
same batch_bytes_max again. A file whose last records here were deleted (delete_prefix) is imported again from its start:
what was known of it went with them. The standard input cannot be resumed. A topic that does not exist is made.

--from-parquet restores partitions: each record gets the offset, time, key, value, headers, term and producer of its row.
DIR is an export, the directory of a topic in it, or one that holds the Parquet files of one partition and nothing else.
Files need the columns _offset and _ts_ns (or _ts); the other columns of an export may be there, any more are left alone.
A partition must be empty, or hold what an earlier run restored, and is refused otherwise (exit 3). A topic that is made has
the partitions that there are files of; where those of the highest numbers were empty, say how many there were: --partitions N.

Where the files in DIR (of any depth, or one file) have no column _offset, their rows are appended to one partition in the
order of time: rows of one time in the order of their files' paths. The time is the column _ts_ns or _ts, or --time-column:
TIMESTAMP (UTC, if it has no zone), DATE, or INT64 whose name ends in _s, _ms, _us or _ns, or has --time-unit. The value is
_value or value, or --value-column: bytes or text; or --rows-as-json. The key is _key or key, if there is one of bytes or
text, or --key-column, which may be in the names of directories (device=7/); headers are _headers. A row without a time is
refused, and named, before anything is appended. Interrupted, the import goes on with the next row when it is started
again. Files whose rows come behind those that were imported may be added, and are continued; a file that was begun and
has changed or is gone, and a new one that comes before what was imported, are refused (exit 3).")]
pub(crate) struct Args {
    #[command(flatten)]
    topic: TopicArgs,
    /// Files, plain or packed with gzip or zstd; without any, or for -, the standard input.
    files: Vec<PathBuf>,
    /// Import the Parquet files in DIR, instead of lines: restored if they have offsets, or put in the order of time.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["files", "format", "key", "timestamp", "separator", "compression", "on_error", "rejects"])]
    from_parquet: Option<PathBuf>,
    #[command(flatten)]
    columns: timed::ColumnArgs,
    /// What the bytes mean.
    #[arg(long, value_enum, default_value = "lines")]
    format: Format,
    #[command(flatten)]
    parse: ParseArgs,
    /// What separates the fields of a CSV row.
    #[arg(long, value_name = "CHAR", default_value = ",", value_parser = separator)]
    separator: u8,
    /// How the files are packed; auto looks at their first bytes.
    #[arg(long, value_enum, default_value_t)]
    compression: Compression,
    #[command(flatten)]
    partition: WritePartitionArgs,
    /// What to do about a line that does not fit.
    #[arg(long, value_enum, default_value = "stop", requires_if("skip", "rejects"))]
    on_error: OnError,
    /// Where lines that do not fit are kept, with --on-error skip; FILE.sources says which of them are of which source.
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// Print what was done as JSON, a line for each source.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// What to do about a line that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum OnError {
    /// Import what is before it and say where it is.
    Stop,
    /// Keep it aside and go on.
    Skip,
}

/// What became of one source.
#[derive(Debug, Serialize)]
struct Summary {
    source: String,
    topic: String,
    /// Records appended by this run.
    imported: u64,
    /// Records that runs before this one had appended.
    already_imported: u64,
    /// Lines kept aside by this run.
    rejected: u64,
    /// Decompressed bytes of the source.
    bytes: u64,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    if let Some(from) = &args.from_parquet {
        return from_parquet::run(args, from);
    }
    if args.rejects.is_some() && args.on_error == OnError::Stop {
        return Err(Failure::new(Exit::Usage, "--rejects keeps lines aside: add --on-error skip"));
    }
    store::check_topic_name(&args.topic.topic)?;
    let stdin = [PathBuf::from("-")];
    let files = if args.files.is_empty() { &stdin[..] } else { &args.files };
    files.iter().try_for_each(|file| check_file(file))?;
    let options = args.settings.options()?;
    let reader_options = args.parse.reader_options(args.format, args.separator, options.batch_bytes_limit())?;
    let rejects = args.rejects.as_deref().map(|path| open_rejects(path, files)).transpose()?;
    let store = store::open(&args.topic.dir, options)?;
    let topic = store::topic_to_write(&store, &args.topic.topic, args.partition.partitions)?;
    let mut importer = Importer::new(args, &topic, reader_options, rejects)?;
    let mut results = Results::default();
    for file in files {
        let summary = importer.import(file)?;
        if args.json { results.json(&summary) } else { results.line(&summary.text(args.rejects.as_deref())) }?;
    }
    drop(importer);
    store.close().map_err(|error| store::sync_failure(&args.topic.topic, error))?;
    Ok(Exit::Done)
}

impl Summary {
    fn text(&self, rejects: Option<&Path>) -> String {
        let Self { source, topic, imported, already_imported, rejected, .. } = self;
        let new = counted(*imported, "record", "records");
        let mut text = match (imported, already_imported) {
            (0, 1) => format!("{source}: nothing new, its one record is in {topic} already"),
            (0, 1..) => format!("{source}: nothing new, all {already_imported} records are in {topic} already"),
            (_, 0) => format!("{source}: imported {new} into {topic}"),
            _ => format!("{source}: imported {new} into {topic}; {} there already", counted(*already_imported, "was", "were")),
        };
        if let (1.., Some(rejects)) = (rejected, rejects) {
            text.push_str(&format!("; {} kept aside in {}", counted(*rejected, "line", "lines"), rejects.display()));
        }
        text
    }
}

/// Finds what is missing before a store is made for it.
fn check_file(path: &Path) -> Result<(), Failure> {
    if path.as_os_str() == "-" {
        return Ok(());
    }
    let metadata = path.metadata().map_err(|error| Failure::because(Exit::Failed, path.display().to_string(), error))?;
    if metadata.is_dir() {
        return Err(Failure::new(Exit::Failed, format!("{}: a directory, where a file was expected", path.display())));
    }
    Ok(())
}

/// Opens the file for the lines kept aside, unless it is an input or a store's: those are never written to.
fn open_rejects(path: &Path, files: &[PathBuf]) -> Result<Rejects, Failure> {
    if let Some(store) = store::store_around(path) {
        let what = format!("--rejects {} is in the store {}: name a file outside of it", path.display(), store.display());
        return Err(Failure::new(Exit::Usage, what));
    }
    let stdin = Path::new("/dev/stdin");
    for written in Rejects::paths(path) {
        let Ok(metadata) = written.metadata() else { continue };
        if !metadata.is_file() {
            return Err(rejects_failure(&written, RejectsError::NotAFile));
        }
        let is_same = |file: &Metadata| (file.dev(), file.ino()) == (metadata.dev(), metadata.ino());
        let is_input = |file: &&PathBuf| if file.as_os_str() == "-" { stdin } else { file }.metadata().is_ok_and(|file| is_same(&file));
        if let Some(input) = files.iter().find(is_input) {
            let input = if input.as_os_str() == "-" { "the standard input".to_owned() } else { format!("the input {}", input.display()) };
            return Err(Failure::new(Exit::Usage, format!("--rejects {}: {} is {input}", path.display(), written.display())));
        }
    }
    Rejects::open(path).map_err(|error| rejects_failure(path, error))
}

fn rejects_failure(path: &Path, error: RejectsError) -> Failure {
    let exit = match error {
        RejectsError::NotAFile => Exit::Usage,
        RejectsError::Locked => Exit::Refused,
        RejectsError::Io(_) => Exit::Failed,
    };
    Failure::because(exit, format!("--rejects {}", path.display()), error)
}

fn separator(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [b'\\', b't'] => Ok(b'\t'),
        [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => Ok(*byte),
        _ => Err("expected one ASCII character, or \\t".to_owned()),
    }
}
