//! `tidelog import --from-parquet`: restores the partitions of a topic from Parquet files that have offsets. Assigns no offset; those without
//! are for `timed`.

use std::path::Path;

use serde::Serialize;
use tidelog::export::{ImportError, ImportReport, ParquetImport};

use super::{Args, timed};
use crate::cli::progress::Progress;
use crate::cli::store;
use crate::exit::{Exit, Failure};
use crate::output::{Results, counted};

/// What became of one partition.
#[derive(Debug, Serialize)]
struct Summary<'a> {
    source: String,
    topic: &'a str,
    partition: u32,
    /// Records restored by this run.
    imported: u64,
    /// Records that were there already.
    already_imported: u64,
    /// Bytes of keys, values and headers restored by this run.
    bytes: u64,
    next_offset: u64,
}

pub(super) fn run(args: &Args, from: &Path) -> Result<Exit, Failure> {
    let name = &args.topic.topic;
    store::check_topic_name(name)?;
    let options = args.settings.options()?;
    if args.columns.are_given() {
        return timed::run(args, from, timed::open(args, from).map_err(|error| timed::failure(name, error))?);
    }
    let import = match ParquetImport::open(from, name) {
        Ok(import) => import,
        Err(error) => match timed::open(args, from) {
            Ok(import) => return timed::run(args, from, import),
            // It is not about such files.
            Err(ImportError::HaveOffsets { .. } | ImportError::NoFiles { .. }) => return Err(failure(name, error)),
            Err(error) => return Err(timed::failure(name, error)),
        },
    };
    let mut numbers: Vec<u32> = import.partitions().collect();
    if let Some(wanted) = args.partition.partition {
        numbers.retain(|number| *number == wanted);
        if numbers.is_empty() {
            return Err(Failure::new(Exit::Refused, format!("{} has no partition {wanted}", from.display())));
        }
    }
    let store = store::open(&args.topic.dir, options)?;
    let highest = import.partitions().max().unwrap_or_default();
    let is_there = store.existing_topic(name).is_ok();
    let partitions = args.partition.partitions.or((!is_there).then_some(highest.saturating_add(1)));
    let topic = store::topic_to_write(&store, name, partitions)?;
    if let Some(number) = numbers.iter().find(|number| **number >= topic.partition_count()) {
        let count = counted(topic.partition_count().into(), "partition", "partitions");
        return Err(Failure::new(Exit::Usage, format!("topic {name} has {count}: there is no partition {number} to restore")));
    }
    let mut results = Results::default();
    for number in numbers {
        let partition = topic.partition(number).map_err(|error| store::topic_failure(name, error))?;
        let place = format!("{name}/{number}");
        let bar = Progress::of_records(&place);
        let restored = import.restore(number, &partition, &mut |progress| bar.set_of(progress.rows, progress.all_rows));
        drop(bar);
        let ImportReport { rows, kept_rows, bytes, .. } = restored.map_err(|error| failure(&place, error))?;
        let summary = Summary {
            source: from.display().to_string(),
            topic: name,
            partition: number,
            imported: rows,
            already_imported: kept_rows,
            bytes,
            next_offset: partition.log_end_offset().get(),
        };
        if args.json { results.json(&summary) } else { results.line(&summary.text(&place)) }?;
    }
    store.close().map_err(|error| store::sync_failure(name, error))?;
    Ok(Exit::Done)
}

impl Summary<'_> {
    fn text(&self, place: &str) -> String {
        let Self { source, imported, already_imported, next_offset, .. } = self;
        let there = counted(*already_imported, "was", "were");
        match (imported, already_imported) {
            (0, 0) => format!("{place}: {source} has no rows"),
            (0, _) => format!("{place}: nothing new, {} there already", counted(*already_imported, "record is", "records are")),
            (_, 0) => format!("{place}: restored {}; the next offset is {next_offset}", counted(*imported, "record", "records")),
            _ => format!("{place}: restored {}, {there} there already; the next offset is {next_offset}", counted(*imported, "record", "records")),
        }
    }
}

fn failure(place: &str, error: ImportError) -> Failure {
    match error {
        ImportError::Read(error) => store::read_failure(place, error),
        error if error.is_refusal() => Failure::because(Exit::Refused, format!("restoring {place}"), error),
        error => Failure::because(Exit::Failed, format!("restoring {place}"), error),
    }
}
