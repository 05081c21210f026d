//! `tidelog import --from-parquet` of files without offsets: their rows into one partition, in the order of time. Restores no offset.

use std::path::Path;

use serde::Serialize;
use tidelog::export::{ImportError, TimeUnit as Unit, TimedColumns, TimedImport, TimedReport};
use tidelog::{Topic, TopicError};

use super::Args;
use crate::cli::progress::Progress;
use crate::cli::store;
use crate::exit::{Exit, Failure};
use crate::input::TimeUnit;
use crate::output::{Results, counted};

/// Which columns of files without offsets records are made of.
#[derive(Debug, clap::Args)]
pub(super) struct ColumnArgs {
    /// The column that holds the times, of Parquet files without offsets.
    #[arg(long, value_name = "NAME", requires = "from_parquet", help_heading = "Parquet files without offsets")]
    time_column: Option<String>,
    /// What a time column of numbers counts since 1970.
    #[arg(long, value_name = "UNIT", value_enum, requires = "from_parquet", help_heading = "Parquet files without offsets")]
    time_unit: Option<TimeUnit>,
    /// The column that holds the values.
    #[arg(long, value_name = "NAME", requires = "from_parquet", help_heading = "Parquet files without offsets")]
    value_column: Option<String>,
    /// The column that holds the keys.
    #[arg(long, value_name = "NAME", requires = "from_parquet", help_heading = "Parquet files without offsets")]
    key_column: Option<String>,
    /// Make each row a JSON object of all its columns, instead of taking a column for the value.
    #[arg(long, requires = "from_parquet", conflicts_with = "value_column", help_heading = "Parquet files without offsets")]
    rows_as_json: bool,
    /// Memory that rows may take, in MiB: row groups that are not sorted by time are sorted in it.
    #[arg(long, value_name = "MIB", requires = "from_parquet", help_heading = "Parquet files without offsets")]
    memory_mib: Option<u32>,
}

/// What became of the files.
#[derive(Debug, Serialize)]
struct Summary<'a> {
    source: String,
    topic: &'a str,
    partition: u32,
    /// Records appended by this run.
    imported: u64,
    /// Records that runs before this one had appended.
    already_imported: u64,
    /// Records that others appended since the import began.
    of_others: u64,
    /// Bytes of keys, values and headers appended by this run.
    bytes: u64,
    next_offset: u64,
}

impl ColumnArgs {
    /// Whether anything was said that only files without offsets have.
    pub(super) fn are_given(&self) -> bool {
        let Self { time_column, time_unit, value_column, key_column, rows_as_json, memory_mib } = self;
        let names = [time_column, value_column, key_column];
        names.iter().any(|name| name.is_some()) || time_unit.is_some() || *rows_as_json || memory_mib.is_some()
    }

    fn columns(&self) -> TimedColumns {
        let set = |columns: TimedColumns, name: &Option<String>, with: fn(TimedColumns, String) -> TimedColumns| match name {
            Some(name) => with(columns, name.clone()),
            None => columns,
        };
        let columns = set(TimedColumns::new(), &self.time_column, TimedColumns::time);
        let columns = set(columns, &self.value_column, TimedColumns::value);
        let columns = set(columns, &self.key_column, TimedColumns::key);
        let columns = match self.time_unit {
            Some(TimeUnit::S) => columns.unit(Unit::Seconds),
            Some(TimeUnit::Ms) => columns.unit(Unit::Milliseconds),
            Some(TimeUnit::Us) => columns.unit(Unit::Microseconds),
            Some(TimeUnit::Ns) => columns.unit(Unit::Nanoseconds),
            None => columns,
        };
        if self.rows_as_json { columns.rows_as_json() } else { columns }
    }
}

/// Looks at the files; nothing is made or written yet.
pub(super) fn open(args: &Args, from: &Path) -> Result<TimedImport, ImportError> {
    let import = TimedImport::open(from, &args.columns.columns())?;
    let import = match args.columns.memory_mib {
        Some(mib) => import.memory_bytes_max(u64::from(mib) << 20),
        None => import,
    };
    // Wherever the program is started, they are the same files.
    Ok(match from.canonicalize() {
        Ok(path) => import.source(path.to_string_lossy()),
        Err(_) => import,
    })
}

pub(super) fn run(args: &Args, from: &Path, import: TimedImport) -> Result<Exit, Failure> {
    let name = &args.topic.topic;
    let store = store::open(&args.topic.dir, args.settings.options()?)?;
    let topic = store::topic_to_write(&store, name, args.partition.partitions)?;
    let number = number(args, &topic)?;
    let partition = topic.partition(number).map_err(|error: TopicError| store::topic_failure(name, error))?;
    store::tell_findings(partition.view());
    let place = format!("{name}/{number}");
    let bar = Progress::of_records(&place);
    let begun_at = partition.log_end_offset().get();
    let imported = import.append_to(&partition, &mut |progress| bar.set_of(progress.rows, progress.all_rows));
    drop(bar);
    let TimedReport { rows, kept_rows, bytes, other_records, .. } = imported.map_err(|error| {
        let durable = partition.durable_end_offset().get().saturating_sub(begun_at);
        if durable > 0 {
            crate::cli::say(&format!("imported before the error: {}", counted(durable, "record", "records")));
        }
        failure(&place, error)
    })?;
    if other_records > 0 {
        let others = counted(other_records, "record", "records");
        crate::cli::say(&format!("{place}: {others} of others among or behind those that were imported: the whole is not in the order of time"));
    }
    let summary = Summary {
        source: from.display().to_string(),
        topic: name,
        partition: number,
        imported: rows,
        already_imported: kept_rows,
        of_others: other_records,
        bytes,
        next_offset: partition.log_end_offset().get(),
    };
    let mut results = Results::default();
    if args.json { results.json(&summary) } else { results.line(&summary.text(&place)) }?;
    drop(partition);
    store.close().map_err(|error| store::sync_failure(name, error))?;
    Ok(Exit::Done)
}

/// The partition asked for, or the only one: an order in time is that of one partition.
fn number(args: &Args, topic: &Topic) -> Result<u32, Failure> {
    let count = topic.partition_count();
    match args.partition.partition {
        Some(number) if number < count => Ok(number),
        None if count == 1 => Ok(0),
        asked => {
            let has = format!("topic {} has {}", args.topic.topic, counted(count.into(), "partition", "partitions"));
            let what = match asked {
                Some(number) => format!("{has}: there is no partition {number}"),
                None => format!("{has}, and rows without offsets go into one, in the order of time: name it with -p N"),
            };
            Err(Failure::new(Exit::Usage, what))
        }
    }
}

impl Summary<'_> {
    fn text(&self, place: &str) -> String {
        let Self { source, imported, already_imported, next_offset, .. } = self;
        let new = counted(*imported, "record", "records");
        match (imported, already_imported) {
            (0, 0) => format!("{place}: {source} has no rows"),
            (0, _) => format!("{place}: nothing new, {} there already", counted(*already_imported, "record is", "records are")),
            (_, 0) => format!("{place}: imported {new} in the order of time; the next offset is {next_offset}"),
            _ => {
                let there = counted(*already_imported, "was", "were");
                format!("{place}: imported {new} in the order of time, {there} there already; the next offset is {next_offset}")
            }
        }
    }
}

/// A failed import, with its exit code, and what helps.
pub(super) fn failure(place: &str, error: ImportError) -> Failure {
    let what = format!("importing into {place}");
    let help = match &error {
        ImportError::Columns { .. } => "; see --time-column, --time-unit, --value-column, --key-column and --rows-as-json",
        ImportError::Memory { .. } => "; allow more with --memory-mib, or sort the files by time first",
        ImportError::Files { .. } => {
            "; put them together in the order of time first, as DuckDB does: COPY (FROM 'DIR/**/*.parquet' ORDER BY time) TO 'sorted.parquet'"
        }
        ImportError::Late { .. } => "; import it into another topic, or all files into a new one",
        _ => "",
    };
    match error {
        ImportError::Read(error) => store::read_failure(place, error),
        error if error.is_refusal() => Failure::new(Exit::Refused, format!("{what}: {error}{help}")),
        error => Failure::because(Exit::Failed, what, error),
    }
}
