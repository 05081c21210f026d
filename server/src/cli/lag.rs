//! `tidelog lag`: how far groups are behind. Changes not one byte of the store.

use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidelog::group::{MemberLagReport, MemberLagRow};
use tidelog::{GroupId, LagError, LagReport, OffsetStore, PartitionKey, TimestampNs};

use super::offsets::place::Place;
use super::read::now_ns;
use super::store;
use super::views::Views;
use crate::exit::{Exit, Failure};
use crate::output::{columns, is_unread, or_dash, print_json, print_line, shown};

/// Print how far consumer groups are behind, in records and in seconds.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidelog lag data
  tidelog lag data --group billing --json
  tidelog lag data --watch --every 5
  tidelog lag data --store sqlite:offsets.db

Positions and members are those that the store itself keeps, or those of the place that --store names, as for tidelog groups: sqlite:FILE, or
postgres:URL where the program is built with its feature postgres. Partitions and their marks are the store's own.

lag is the number of offsets from the committed one to the high water mark, lag_seconds the age of the record that
is read next. Offsets that were deleted before they were read are counted as deleted, and not as lag. A position that is
ahead of the high water mark by some offsets is of a log that was cut since. A lag_seconds of null (- in the table): all
that is left is damaged. A partition that a member was assigned and that nothing was committed in has a lag of null. The
member is the one that the store noted last.")]
pub(crate) struct Args {
    /// The store's directory.
    dir: PathBuf,
    /// Where groups are kept: log, sqlite:FILE or postgres:URL.
    #[arg(long, value_name = "PLACE", default_value = "log")]
    store: Place,
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
    let watched = args.store.open_to_watch(&args.dir)?;
    let mut views = Views::new(store);
    loop {
        look(args, watched.positions(), &mut views)?;
        if !args.watch {
            return Ok(Exit::Done);
        }
        wait(Duration::from_secs(args.every))?;
        watched.refresh()?;
    }
}

fn look(args: &Args, positions: &dyn OffsetStore, views: &mut Views) -> Result<(), Failure> {
    let all = positions.groups().map_err(store::positions_failure)?;
    let groups: Vec<GroupId> = if args.groups.is_empty() { all } else { args.groups.clone() };
    let report = report(positions, &groups, views)?;
    let absent = groups
        .iter()
        .find(|group| report.rows.iter().all(|row| row.group != **group) && report.without_partition.iter().all(|(without, _)| without != *group));
    if let Some(absent) = absent.filter(|_| !args.watch) {
        return Err(Failure::new(Exit::Failed, format!("group {absent} has committed nothing{}", args.store.aside())));
    }
    let now = TimestampNs::new(now_ns());
    if args.json { print_json(&as_json(&report, views, now)) } else { print_line(&as_table(args, &report, views, now)) }
}

/// The lag of groups and their members. `views` knows all partitions of it.
pub(super) fn report(positions: &dyn OffsetStore, groups: &[GroupId], views: &mut Views) -> Result<MemberLagReport, Failure> {
    let report = LagReport::gather(positions, groups, |key| views.find(key)).map_err(lag_failure)?;
    let report = MemberLagReport::gather(report, positions, groups, |partition| views.key(partition)).map_err(lag_failure)?;
    for row in report.rows.iter().filter(|row| row.lag.is_none()) {
        views.find(&row.partition).map_err(|error| store::topic_failure(&row.partition.topic.to_string(), error))?;
    }
    Ok(report)
}

/// The first offset of a partition that readers may not see.
pub(super) fn high_water_mark(row: &MemberLagRow, views: &Views) -> Option<u64> {
    let known = || views.known(&row.partition).map(|view| view.marks().high_water_mark);
    row.lag.map(|lag| lag.high_water_mark).or_else(known).map(|mark| mark.offset().get())
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

fn as_json(report: &MemberLagReport, views: &Views, now: TimestampNs) -> Value {
    let row = |row: &MemberLagRow| {
        let lag = row.lag;
        json!({
            "group": row.group.as_str(),
            "topic": row.partition.topic.to_string(),
            "partition": views.number(&row.partition),
            "committed_offset": lag.map(|lag| lag.committed_offset.get()),
            "high_water_mark": high_water_mark(row, views),
            "lag": lag.map(|lag| lag.records),
            "lag_seconds": lag.and_then(|lag| lag.age(now)).map(|age| age.as_secs_f64()),
            "deleted": lag.map(|lag| lag.deleted),
            "ahead": lag.map(|lag| lag.ahead),
            "member": row.member,
        })
    };
    json!({
        "lag": report.rows.iter().map(row).collect::<Vec<_>>(),
        "without_partition": report.without_partition.iter().map(|(group, key)| without_json(group, key)).collect::<Vec<_>>(),
    })
}

pub(super) fn without_json(group: &GroupId, key: &PartitionKey) -> Value {
    json!({ "group": group.as_str(), "topic": key.topic.to_string(), "range": key.range.to_string() })
}

fn as_table(args: &Args, report: &MemberLagReport, views: &Views, now: TimestampNs) -> String {
    if report.rows.is_empty() && report.without_partition.is_empty() {
        return format!("no group has committed anything{}", args.store.aside());
    }
    let row = |row: &MemberLagRow| {
        let lag = row.lag;
        [
            row.group.to_string(),
            row.partition.topic.to_string(),
            or_dash(views.number(&row.partition)),
            or_dash(lag.map(|lag| lag.committed_offset)),
            or_dash(high_water_mark(row, views)),
            or_dash(lag.map(|lag| lag.records)),
            seconds(lag.and_then(|lag| lag.age(now))),
            or_dash(lag.map(|lag| lag.deleted)),
            or_dash(lag.map(|lag| lag.ahead)),
            or_dash(row.member.as_ref().map(|member| shown(Some(member.as_bytes()), MEMBER_CHARS))),
        ]
    };
    let rows: Vec<_> = std::iter::once(HEADING.map(str::to_owned)).chain(report.rows.iter().map(row)).collect();
    let mut lines = vec![columns(&rows, &["GROUP", "TOPIC", "MEMBER"])];
    lines.extend(report.without_partition.iter().map(|(group, key)| format!("{group}: there is no partition {key} any more")));
    lines.join("\n")
}

pub(super) fn seconds(age: Option<Duration>) -> String {
    or_dash(age.map(|age| format!("{:.3}", age.as_secs_f64())))
}

fn lag_failure(error: LagError) -> Failure {
    match error {
        LagError::Store(error) => store::positions_failure(error),
        LagError::Find { partition, source } => store::topic_failure(&partition, source),
        LagError::Open { partition, source } => store::topic_failure(&partition.topic.to_string(), source),
        LagError::Read { partition, source } => store::read_failure(&partition.to_string(), source),
        other => Failure::because(Exit::Failed, "lag", other),
    }
}

const HEADING: [&str; 10] = ["GROUP", "TOPIC", "PARTITION", "COMMITTED", "HIGH WATER MARK", "LAG", "LAG SECONDS", "DELETED", "AHEAD", "MEMBER"];
/// More is cut from the id of a member in a table.
pub(super) const MEMBER_CHARS: usize = 64;
/// How often it is looked whether anybody still reads.
const LOOK: Duration = Duration::from_millis(250);
