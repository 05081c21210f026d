//! `tidelog export`: writes the records of a topic to Parquet files. Changes not one byte of the store.

mod place;
#[cfg_attr(not(feature = "s3"), path = "without_s3.rs")]
mod s3;
mod schema_file;
mod side_by_side;

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::thread::{available_parallelism, sleep};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidelog::export::{
    CompactionReport, ExportError, ExportGap, ExportReport, ExportedFile, GapReason, ParquetCompression, ParquetExport, TypedColumns, Unfit,
};
use tidelog::{PartitionView, ReadOnlyTopic, TopicError};

use self::place::Place;
use self::side_by_side::{Job, Outcome, run_all};
use super::progress::Progress;
use super::store::{self, Isolation, TopicArgs};
use crate::exit::{Exit, Failure};
use crate::output::{Results, counted};

/// Write a topic to Parquet files, with the offset of each record.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidelog export data events --to parquet-out              everything, or what is new since the last run
  tidelog export data events --to part -p 0 --from 1000 --until 2000
  tidelog export data events --to parquet-out --schema events.toml   with typed columns beside _value: see tidelog infer
  tidelog export data events --to parquet-out --follow     for ever: what is new, every minute
  tidelog export data events --to parquet-out --compact    makes few files of many small ones first
  tidelog export data events --to s3://bucket/exports      into an object store, by the variables AWS_*; for builds with the feature s3
  duckdb -c \"SELECT _offset, _ts, decode(_value) FROM 'parquet-out/*/partition=*/*.parquet' ORDER BY _offset LIMIT 10\"

The files are <DIR>/topic=<topic>/partition=<N>/<first offset>-<last offset>.parquet; of a topic shop/orders in <DIR>/namespace=shop.
<DIR>/topic=<topic> is a Delta table too: its _delta_log says, in one step, which files count and how far each partition is exported.
Columns: _offset, _ts_ns, _ts, _key, _value, _headers, _leader_epoch, _producer_id. A null key or value is not an empty one.
A later run to the same directory keeps the files that are there and goes on behind them; a run may be killed at any moment.
A run ends before offsets that are damaged (exit code 4) or were deleted before they were exported (exit code 3); what lies below is exported.
With --allow-gaps they are left out and listed, by later runs too. Files of another partition are refused with exit code 3.
In a bucket a file's name has 16 more digits, and nothing is locked: whoever is first to export an offset has it, and the others end with exit code 3.
With --compact, neighbouring files of the same columns are put together while they stay within --rows-per-file and 512 MiB. One commit of the
Delta log puts the new file in their place, and then they are removed: who reads by a path pattern meanwhile may see rows twice, or miss a file.
A partition that cannot be opened, or of which something fails, is told of and left there, and all others are done; the last line counts both.
The exit code is then the highest of those that failed: 1 for an I/O error, 3 for what was refused, 4 for damage. With --follow that ends the
command. A later run exports what is missing.")]
pub(crate) struct Args {
    #[command(flatten)]
    topic: TopicArgs,
    /// Where the files go: a directory, made if it is not there, or s3://BUCKET/PREFIX.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Only this partition; otherwise all.
    #[arg(long, short = 'p', value_name = "N")]
    partition: Option<u32>,
    /// First offset; otherwise the first that there is, or that is not exported yet.
    #[arg(long, value_name = "OFFSET", value_parser = offset())]
    from: Option<u64>,
    /// Offset before which to stop; otherwise the end.
    #[arg(long, value_name = "OFFSET", value_parser = offset())]
    until: Option<u64>,
    /// Which records are exported. Those that are only written may be lost in a crash, after they were exported.
    #[arg(long, value_enum, default_value = "committed")]
    isolation: Isolation,
    /// Rows of a file at most; it also ends at 512 MiB of keys, values and headers.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    rows_per_file: Option<u64>,
    /// How new files are compressed: none, zstd, or zstd:<level from 1 to 22>.
    #[arg(long, value_name = "HOW", default_value = "zstd")]
    compression: ParquetCompression,
    /// Columns to take out of values that are JSON, as `tidelog infer` prints them. A table keeps the columns that it has; others may come.
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// Leave out what is damaged, or was deleted before it was exported, and list it.
    #[arg(long)]
    allow_gaps: bool,
    /// First put small neighbouring files of the export together, and remove them; with --follow, once, before the first round.
    #[arg(long)]
    compact: bool,
    /// Go on for ever: export what is new every --every seconds, as a file a partition at most that has it. Kill it at any moment.
    #[arg(long, conflicts_with = "until")]
    follow: bool,
    /// With --follow: seconds from one round to the next.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "follow", value_parser = clap::value_parser!(u64).range(1..))]
    every: u64,
    /// Print one JSON object: {"rows":N,"bytes":N,"partitions":[{..}, ..],"failures":[{..}, ..]}; with --follow, one a round that did something.
    #[arg(long)]
    json: bool,
}

fn offset() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(..=i64::MAX as u64)
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    if let (Some(from), Some(until)) = (args.from, args.until)
        && from > until
    {
        return Err(Failure::new(Exit::Usage, format!("--from {from} lies behind --until {until}")));
    }
    let to = Place::of(&args.to)?;
    let columns = args.schema.as_deref().map(schema_file::read).transpose()?;
    let store = store::open_read_only(&args.topic.dir)?;
    let name = &args.topic.topic;
    let topic = store.topic(name).map_err(|error| store::topic_failure(name, error))?;
    let numbers = store::partition_numbers(args.partition, topic.partition_count());
    let count = numbers.clone().count();
    if count > 1 && (args.from.is_some() || args.until.is_some()) {
        return Err(Failure::new(Exit::Usage, format!("an offset belongs to one of the {count} partitions; say which with --partition")));
    }
    let (views, failed) = open(&topic, numbers)?;
    // Of partitions that are exported side by side, each has its own.
    let threads = available_parallelism().map_or(1, usize::from).div_ceil(views.len().max(1));
    let (mut jobs, mut begun, mut results) = (Vec::new(), Begun { failed, ..Begun::default() }, Results::default());
    for view in views {
        let export = export_of(args, &to, &view, columns.as_ref(), threads);
        match begin(args, view.clone(), export) {
            Ok((job, report)) => {
                told(args, &view, &report, &mut results)?;
                begun.small_files += report.removed_files as u64;
                begun.files += report.files.len() as u64;
                jobs.push(job);
            }
            Err(failure) => begun.failed.push(Failed::say(view.index(), &failure)),
        }
    }
    if !args.follow {
        return round(args, count, &mut jobs.iter_mut().collect::<Vec<_>>(), begun, &mut results);
    }
    loop {
        let began = Instant::now();
        let mut due = Vec::new();
        for job in &mut jobs {
            match job.view().refresh() {
                Ok(()) if job.has_more() => due.push(job),
                Ok(()) => {}
                Err(error) => {
                    let number = job.view().index();
                    // Of one that is gone a file is missing; the topic, looked at again, says what the matter is, as before an export begins.
                    let failure = match store.topic(name).and_then(|topic| topic.partition(number)) {
                        Err(why) => not_opened(&topic, number, why),
                        Ok(_) => store::read_failure(&name_of(job.view()), error),
                    };
                    begun.failed.push(Failed::say(number, &failure));
                }
            }
        }
        if !due.is_empty() || !begun.failed.is_empty() {
            let exit = round(args, count, &mut due, std::mem::take(&mut begun), &mut results)?;
            if exit != Exit::Done {
                return Ok(exit);
            }
        }
        sleep(Duration::from_secs(args.every).saturating_sub(began.elapsed()));
    }
}

/// What was done before anything is exported.
#[derive(Default)]
struct Begun {
    /// Files that were put together, and those that they became.
    small_files: u64,
    files: u64,
    failed: Vec<Failed>,
}

/// A partition that was not done, or not to its end.
struct Failed {
    partition: u32,
    exit: Exit,
    why: String,
}

impl Failed {
    /// Says it at once: what others have to do may take long.
    fn say(partition: u32, failure: &Failure) -> Self {
        let why = failure.to_string();
        super::say(&why);
        Self { partition, exit: failure.exit(), why }
    }
}

/// The partitions that can be opened; why the others cannot is told.
fn open(topic: &ReadOnlyTopic, numbers: RangeInclusive<u32>) -> Result<(Vec<PartitionView>, Vec<Failed>), Failure> {
    let (mut views, mut failed) = (Vec::new(), Vec::new());
    for number in numbers {
        match store::view(topic, number) {
            Ok(view) => views.push(view),
            Err(error @ TopicError::NoPartition { .. }) => return Err(store::topic_failure(&topic.name().to_string(), error)),
            Err(error) => failed.push(Failed::say(number, &not_opened(topic, number, error))),
        }
    }
    Ok((views, failed))
}

fn not_opened(topic: &ReadOnlyTopic, number: u32, error: TopicError) -> Failure {
    Failure::because(store::topic_exit(&error), format!("exporting {}/{number}", topic.name()), error)
}

/// Takes a partition's place in the export, if it must be kept, and puts its files together.
fn begin(args: &Args, view: PartitionView, export: ParquetExport) -> Result<(Job, CompactionReport), Failure> {
    let failed = |doing: &str, error| failure(doing, &name_of(&view), error);
    let has_files = args.compact && export.watermark().map_err(|error| failed("compacting", error))?.is_some();
    if !args.follow && !has_files {
        return Ok((Job::Once(view, Box::new(export)), CompactionReport::default()));
    }
    let mut session = export.begin().map_err(|error| failed(if has_files { "compacting" } else { "exporting" }, error))?;
    let report = if has_files { session.compact().map_err(|error| failed("compacting", error))? } else { CompactionReport::default() };
    Ok((Job::Session(Box::new(session)), report))
}

/// Exports some of `count` partitions, and says what became of each.
fn round(args: &Args, count: usize, jobs: &mut [&mut Job], begun: Begun, results: &mut Results) -> Result<Exit, Failure> {
    let bar = Progress::of_records(&args.topic.topic);
    let outcomes = run_all(jobs, &bar);
    drop(bar);
    let (mut reports, Begun { small_files, files, mut failed }) = (Vec::new(), begun);
    for (job, outcome) in jobs.iter().zip(outcomes) {
        match said(args, job.view(), outcome) {
            Ok(report) => {
                if !args.json {
                    results.line(&text(job.view(), &report))?;
                }
                reports.push((job.view(), report));
            }
            Err(failure) => failed.push(Failed::say(job.view().index(), &failure)),
        }
    }
    let (rows, bytes) = reports.iter().fold((0, 0), |(rows, bytes), (_, report)| (rows + report.rows(), bytes + report.bytes()));
    if args.json {
        let partitions: Vec<Value> = reports.iter().map(|(view, report)| value(view, report)).collect();
        let failures: Vec<Value> = failed.iter().map(|failed| json!({ "partition": failed.partition, "reason": failed.why })).collect();
        results.json(&json!({ "rows": rows, "bytes": bytes, "partitions": partitions, "failures": failures }))?;
    } else if !args.follow || !failed.is_empty() {
        let new_files: usize = reports.iter().map(|(_, report)| report.files.len()).sum();
        let mut line = format!("{}, {bytes} bytes in {}", counted(rows, "row", "rows"), counted(new_files as u64, "new file", "new files"));
        if files > 0 {
            line += &format!("; {} put together as {}", counted(small_files, "file", "files"), counted(files, "file", "files"));
        }
        if !failed.is_empty() {
            line += &format!("; {} of {} failed", failed.len(), counted(count as u64, "partition", "partitions"));
        }
        results.line(&line)?;
    }
    let exit = exit_of(args, reports.iter().map(|(_, report)| report));
    Ok(failed.iter().map(|failed| failed.exit).fold(exit, Exit::max))
}

fn exit_of<'a>(args: &Args, mut reports: impl Iterator<Item = &'a ExportReport> + Clone) -> Exit {
    let is_stopped = reports.clone().any(|report| report.stopped_by.is_some());
    match (reports.any(ExportReport::has_damage), is_stopped) {
        (true, false) if args.follow => Exit::Done, // it was told, and goes on
        (true, _) => Exit::Damage,
        (false, true) => Exit::Refused,
        (false, false) => Exit::Done,
    }
}

fn export_of(args: &Args, to: &Place, view: &PartitionView, columns: Option<&TypedColumns>, threads: usize) -> ParquetExport {
    let mut export =
        to.export(&view.with_isolation(args.isolation.into())).allow_gaps(args.allow_gaps).threads(threads).compression(args.compression);
    if let Some(from) = args.from {
        export = export.from(from);
    }
    if let Some(until) = args.until {
        export = export.until(until);
    }
    if let Some(rows) = args.rows_per_file {
        export = export.rows_per_file(rows);
    }
    if let Some(columns) = columns {
        export = export.columns(columns.clone());
    }
    export
}

/// Tells which files a compaction made, before anything is exported: what comes after it may fail.
fn told(args: &Args, view: &PartitionView, report: &CompactionReport, results: &mut Results) -> Result<(), Failure> {
    let place = name_of(view);
    for failure in &report.checkpoint_failures {
        super::say(&format!("{place}: {failure}; a later commit tries again"));
    }
    if report.files.is_empty() {
        return Ok(());
    }
    let (old, new) = (counted(report.removed_files as u64, "file", "files"), counted(report.files.len() as u64, "file", "files"));
    let what = format!("{place}: put {old} together as {new}");
    // One object is printed at the end, and it is about what is exported.
    if args.json {
        super::say(&what);
        return Ok(());
    }
    let files = report.files.iter().map(|file| format!("\n{}", line(&place, file)));
    results.line(&format!("{what}{}", files.collect::<String>()))
}

/// Values that are in `_value` alone.
fn about(Unfit { column, values, first, .. }: &Unfit) -> String {
    let first =
        first.map_or_else(String::new, |offset| if *values == 1 { format!(" (offset {offset})") } else { format!(" (first at offset {offset})") });
    let values = counted(*values, "value", "values");
    match column {
        Some((name, kind)) => format!("{values} did not fit column {name}, {kind}{first}: null there, whole in _value"),
        None => format!("{values} not JSON{first}: no column has anything of that, _value has it"),
    }
}

/// Tells what was left out, and why an export ended.
fn said(args: &Args, view: &PartitionView, outcome: Outcome) -> Result<ExportReport, Failure> {
    let place = name_of(view);
    let report = outcome.map_err(|error| failure("exporting", &place, error))?;
    // What is followed is told of once.
    for gap in report.gaps.iter().filter(|gap| !args.follow || gap.from >= report.from) {
        super::say(&format!("{place}: offsets {}..{} are not exported: {}", gap.from, gap.to, gap.reason));
    }
    for unfit in &report.unfit {
        super::say(&format!("{place}: {}", about(unfit)));
    }
    for failure in &report.checkpoint_failures {
        super::say(&format!("{place}: {failure}; a later commit tries again"));
    }
    if let Some(gap) = &report.stopped_by {
        super::say(&format!("{place}: exported up to offset {}, for {}..{} cannot be: {}", gap.from, gap.from, gap.to, gap.reason));
        super::say("--allow-gaps leaves them out");
    }
    Ok(report)
}

fn failure(doing: &str, place: &str, error: ExportError) -> Failure {
    match error {
        ExportError::Read(error) => store::read_failure(place, error),
        error if error.is_refusal() => Failure::because(Exit::Refused, format!("{doing} {place}"), error),
        error => Failure::because(Exit::Failed, format!("{doing} {place}"), error),
    }
}

fn name_of(view: &PartitionView) -> String {
    format!("{}/{}", view.topic(), view.index())
}

/// A line a file; one line if there is none.
fn text(view: &PartitionView, report: &ExportReport) -> String {
    let place = name_of(view);
    if report.files.is_empty() {
        let ExportReport { until, kept_files, .. } = report;
        let why = match *kept_files {
            0 => "no records".to_owned(),
            count => format!("nothing new, {} there already", counted(count as u64, "file is", "files are")),
        };
        return format!("{place}: {why} up to offset {until}: no file");
    }
    report.files.iter().map(|file| line(&place, file)).collect::<Vec<_>>().join("\n")
}

fn line(place: &str, file: &ExportedFile) -> String {
    let ExportedFile { path, rows, bytes, first, last, .. } = file;
    let rows = counted(*rows, "row", "rows");
    format!("{place}: {rows}, offsets {first}..={last}, {bytes} bytes: {}", path.display())
}

fn value(view: &PartitionView, report: &ExportReport) -> Value {
    let file = |file: &ExportedFile| {
        json!({
            "path": shown(&file.path), "rows": file.rows, "bytes": file.bytes,
            "first_offset": file.first.get(), "last_offset": file.last.get(), "dense": file.is_dense(),
        })
    };
    let unfit = |unfit: &Unfit| {
        let column = unfit.column.as_ref().map(|(name, _)| name);
        json!({ "column": column, "values": unfit.values, "first_offset": unfit.first.map(tidelog::Offset::get) })
    };
    let gap = |gap: &ExportGap| {
        let is_damage = matches!(gap.reason, GapReason::Damaged(_));
        json!({ "from": gap.from.get(), "to": gap.to.get(), "damage": is_damage, "reason": gap.reason.to_string() })
    };
    json!({
        "topic": view.topic(), "partition": view.index(),
        "from": report.from.get(), "until": report.until.get(),
        "rows": report.rows(), "bytes": report.bytes(), "kept_files": report.kept_files,
        "files": report.files.iter().map(file).collect::<Vec<_>>(),
        "gaps": report.gaps.iter().map(gap).collect::<Vec<_>>(),
        "unfit": report.unfit.iter().map(unfit).collect::<Vec<_>>(),
        "checkpoint_failures": report.checkpoint_failures.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "stopped_by": report.stopped_by.as_ref().map(gap),
    })
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
