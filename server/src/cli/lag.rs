//! `tidelog lag`: how far groups are behind. Changes not one byte of the store.

use std::collections::HashMap;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidelog::{
    GroupId, LagError, LagReport, LagRow, LogOffsetStore, OffsetStore, OffsetStoreError, PartitionKey, PartitionView, ReadError, ReadOnlyStore,
    TimestampNs, TopicError,
};

use super::read::now_ns;
use super::store;
use crate::exit::{Exit, Failure};
use crate::output::{is_unread, print_json, print_line};

/// Print how far consumer groups are behind, in records and in seconds.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidelog lag data
  tidelog lag data --group billing --json
  tidelog lag data --watch --every 5

lag is the number of offsets from the committed one to the high water mark, lag_seconds the age of the record that
is read next. Offsets that were deleted before they were read are counted as deleted, and not as lag. A position that is
ahead of the high water mark by some offsets is of a log that was cut since. A lag_seconds of null (- in the table): all
that is left is damaged.")]
pub(crate) struct Args {
    /// The store's directory.
    dir: PathBuf,
    /// Only this group; may be given several times.
    #[arg(long = "group", short = 'g', value_name = "NAME")]
    groups: Vec<GroupId>,
    /// Look again and again, until Ctrl-C or until nobody reads the output any more.
    #[arg(long)]
    watch: bool,
    /// Seconds from one look of --watch to the next.
    #[arg(long, value_name = "SECONDS", default_value = "1", requires = "watch", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    every: u64,
    /// Print one JSON object a look: {"lag":[{..}, ..],"without_partition":[{..}, ..]}.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let store = store::open_read_only(&args.dir)?;
    let positions = LogOffsetStore::open_read_only(&store).map_err(positions_failure)?;
    let mut views = Views { store, known: HashMap::new() };
    loop {
        look(args, &positions, &mut views)?;
        if !args.watch {
            return Ok(Exit::Done);
        }
        wait(Duration::from_secs(args.every))?;
        positions.refresh().map_err(positions_failure)?;
    }
}

fn look(args: &Args, positions: &LogOffsetStore, views: &mut Views) -> Result<(), Failure> {
    let all = positions.groups().map_err(positions_failure)?;
    let groups: Vec<GroupId> = if args.groups.is_empty() { all } else { args.groups.clone() };
    let report = LagReport::gather(positions, &groups, |key| views.find(key)).map_err(lag_failure)?;
    let absent = groups
        .iter()
        .find(|group| report.rows.iter().all(|row| row.group != **group) && report.without_partition.iter().all(|(without, _)| without != *group));
    if let Some(absent) = absent.filter(|_| !args.watch) {
        return Err(Failure::new(Exit::Failed, format!("group {absent} has committed nothing")));
    }
    let now = TimestampNs::new(now_ns());
    if args.json { print_json(&as_json(&report, views, now)) } else { print_line(&as_table(&report, views, now)) }
}

/// Whoever reads may go before the next look.
fn wait(every: Duration) -> Result<(), Failure> {
    let began = Instant::now();
    while began.elapsed() < every {
        if is_unread() {
            return Err(Failure::ClosedPipe);
        }
        sleep(LOOK.min(every.saturating_sub(began.elapsed())));
    }
    Ok(())
}

/// The partitions that were asked for, by key.
struct Views {
    store: ReadOnlyStore,
    known: HashMap<PartitionKey, PartitionView>,
}

impl Views {
    /// A partition as it is now, if there is one.
    fn find(&mut self, key: &PartitionKey) -> Result<Option<PartitionView>, TopicError> {
        if let Some(view) = self.known.get(key) {
            match view.refresh() {
                Ok(()) => return Ok(Some(view.clone())),
                // The topic may have been deleted, and made anew: then the name is another one's.
                Err(ReadError::TopicDeleted { .. }) => drop(self.known.remove(key)),
                Err(ReadError::Open(error)) => return Err(TopicError::Open(*error)),
                // What is known of it is as good as ever.
                Err(_) => return Ok(Some(view.clone())),
            }
        }
        let topic = match self.store.topic(&key.topic.to_string()) {
            Err(TopicError::Unknown { .. }) => return Ok(None),
            other => other?,
        };
        let is_it = |number: &u32| topic.partition_key(*number).is_ok_and(|found| found == *key);
        let Some(number) = (0..topic.partition_count()).find(is_it) else { return Ok(None) };
        let view = topic.partition(number)?;
        self.known.insert(key.clone(), view.clone());
        Ok(Some(view))
    }

    fn number(&self, key: &PartitionKey) -> Option<u32> {
        self.known.get(key).map(PartitionView::index)
    }
}

fn as_json(report: &LagReport, views: &Views, now: TimestampNs) -> Value {
    let row = |row: &LagRow| {
        json!({
            "group": row.group.as_str(),
            "topic": row.partition.topic.to_string(),
            "partition": views.number(&row.partition),
            "committed_offset": row.lag.committed_offset.get(),
            "high_water_mark": row.lag.high_water_mark.offset().get(),
            "lag": row.lag.records,
            "lag_seconds": row.lag.age(now).map(|age| age.as_secs_f64()),
            "deleted": row.lag.deleted,
            "ahead": row.lag.ahead,
        })
    };
    let without =
        |(group, key): &(GroupId, PartitionKey)| json!({ "group": group.as_str(), "topic": key.topic.to_string(), "range": key.range.to_string() });
    json!({
        "lag": report.rows.iter().map(row).collect::<Vec<_>>(),
        "without_partition": report.without_partition.iter().map(without).collect::<Vec<_>>(),
    })
}

fn as_table(report: &LagReport, views: &Views, now: TimestampNs) -> String {
    if report.rows.is_empty() && report.without_partition.is_empty() {
        return "no group has committed anything".to_owned();
    }
    let heading = ["GROUP", "TOPIC", "PARTITION", "COMMITTED", "HIGH WATER MARK", "LAG", "LAG SECONDS", "DELETED", "AHEAD"].map(str::to_owned);
    let row = |row: &LagRow| {
        [
            row.group.to_string(),
            row.partition.topic.to_string(),
            views.number(&row.partition).map_or("-".to_owned(), |number| number.to_string()),
            row.lag.committed_offset.to_string(),
            row.lag.high_water_mark.to_string(),
            row.lag.records.to_string(),
            row.lag.age(now).map_or("-".to_owned(), |age| format!("{:.3}", age.as_secs_f64())),
            row.lag.deleted.to_string(),
            row.lag.ahead.to_string(),
        ]
    };
    let rows: Vec<_> = std::iter::once(heading).chain(report.rows.iter().map(row)).collect();
    let widths: [usize; COLUMNS] = std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let mut lines: Vec<String> = rows.iter().map(|row| line(row, &widths)).collect();
    lines.extend(report.without_partition.iter().map(|(group, key)| format!("{group}: there is no partition {key} any more")));
    lines.join("\n")
}

/// Names to the left, numbers to the right.
fn line(row: &[String; COLUMNS], widths: &[usize; COLUMNS]) -> String {
    let cells = row.iter().zip(widths).enumerate();
    let cells = cells.map(|(column, (cell, &width))| if column < NAMES { format!("{cell:<width$}") } else { format!("{cell:>width$}") });
    cells.collect::<Vec<_>>().join("  ")
}

fn lag_failure(error: LagError) -> Failure {
    match error {
        LagError::Store(error) => positions_failure(error),
        LagError::Open { partition, source } => store::topic_failure(&partition.topic.to_string(), source),
        LagError::Read { partition, source } => store::read_failure(&partition.to_string(), source),
        other => Failure::because(Exit::Failed, "lag", other),
    }
}

fn positions_failure(error: OffsetStoreError) -> Failure {
    let exit = match &error {
        OffsetStoreError::Damaged { .. } | OffsetStoreError::Malformed { .. } => Exit::Damage,
        OffsetStoreError::Unsupported { .. } => Exit::Refused,
        _ => Exit::Failed,
    };
    Failure::because(exit, "reading the positions of groups", error)
}

const COLUMNS: usize = 9;
/// Columns of text.
const NAMES: usize = 2;
/// How often it is looked whether anybody still reads.
const LOOK: Duration = Duration::from_millis(250);
