//! `tidelog groups <dir> reset GROUP`: moves a group's positions in a topic, all that are asked for or none. Moves nothing before all is known.

use std::path::Path;

use serde_json::{Value, json};
use tidelog::{CommittedOffset, GroupId, LeaderEpoch, Offset, OffsetStore, PartitionKey, PartitionView, ReadError, TimestampNs, TopicError};

use super::target::{Destination, Target, TargetArgs};
use super::{check_known, close, open_to_change};
use crate::cli::offsets::place::Place;
use crate::cli::read::now_ns;
use crate::cli::store;
use crate::exit::{Exit, Failure};
use crate::output::{Results, or_dash};

/// Move a group's positions in a topic, in all of its partitions unless some are named: all of them, or none.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidelog groups data reset billing --topic orders --to-earliest --dry-run
  tidelog groups data reset billing --topic orders -p 0 -p 2 --to-offset 1000
  tidelog groups data reset billing --topic orders --to-time 2024-05-01T00:00:00Z
  tidelog groups data reset billing --topic orders --by-duration P1DT12H
  tidelog groups data reset billing --topic orders --shift-by -100
  tidelog groups data reset audit --topic orders --to-latest --create

Where the position goes is printed for each partition: before -> after. As in Kafka's kafka-consumer-groups, an offset that the log does not
have becomes the nearest that it has (which is said), a time after the last record becomes the end, and partitions without a position get
one, but cannot be shifted. A duration is 90s, 15m, 2h or 7d, or as Kafka's tools take it, PT1H30M, P1DT12H or P7D: a day has 24 hours, and
years and months are refused. A partition that is known to be damaged, or found to be when records of a time are looked for, is refused.
The store must not be open for writing, so that no member is at work; --dry-run goes beside a writer.")]
pub(super) struct Args {
    /// The group.
    group: GroupId,
    /// [namespace/]name of the topic.
    #[arg(long, value_name = "TOPIC")]
    topic: String,
    /// Only this partition; may be given several times.
    #[arg(long = "partition", short = 'p', value_name = "N")]
    partitions: Vec<u32>,
    #[command(flatten)]
    target: TargetArgs,
    /// Make the group if there is none, and the tables of the place that --store names: its members begin where this says.
    #[arg(long)]
    create: bool,
    /// Say what would be moved, and move nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object: {"group":"..","topic":"..","dry_run":false,"moves":[{"partition":0,"before":1,"after":2,"wanted":null}, ..]}.
    #[arg(long)]
    json: bool,
}

/// A position that moves.
struct Move {
    partition: u32,
    key: PartitionKey,
    before: Option<CommittedOffset>,
    to: Destination,
    leader_epoch: Option<LeaderEpoch>,
}

pub(super) fn run(dir: &Path, place: &Place, args: &Args) -> Result<Exit, Failure> {
    store::check_topic_name(&args.topic)?;
    let failed = |error| store::topic_failure(&args.topic, error);
    let moves = if args.dry_run {
        let (opened, positions) = (store::open_read_only(dir)?, place.open_to_look(dir)?);
        if !args.create {
            check_known(place, positions.as_deref(), &args.group)?;
        }
        let topic = opened.topic(&args.topic).map_err(failed)?;
        let find = |number| Ok((topic.partition_key(number)?, topic.partition(number)?));
        plan(args, topic.partition_count(), &find, positions.as_deref())?
    } else {
        let (opened, positions) = open_to_change(dir, place)?;
        if !args.create {
            check_known(place, positions.as_deref(), &args.group)?;
        }
        let topic = opened.existing_topic(&args.topic).map_err(failed)?;
        let find = |number| Ok((topic.partition_key(number)?, topic.view(number)?));
        let moves = plan(args, topic.partition_count(), &find, positions.as_deref())?;
        // Not made before it is known that there is something to keep in it.
        let positions = positions.map_or_else(|| place.open_to_write(&|| Ok(opened.clone())), Ok)?;
        let now = TimestampNs::new(now_ns());
        let position = |to: &Move| CommittedOffset { leader_epoch: to.leader_epoch, ..CommittedOffset::new(to.to.offset, now) };
        let after: Vec<_> = moves.iter().map(|to| (to.key.clone(), position(to))).collect();
        positions.commit(&args.group, &after).map_err(store::positions_failure)?;
        drop(topic);
        close(opened)?;
        moves
    };
    print(args, &moves)?;
    Ok(Exit::Done)
}

type Find<'a> = dyn Fn(u32) -> Result<(PartitionKey, PartitionView), TopicError> + 'a;

/// Where each position goes.
fn plan(args: &Args, partition_count: u32, find: &Find<'_>, positions: Option<&dyn OffsetStore>) -> Result<Vec<Move>, Failure> {
    let (target, mut numbers) = (args.target.target(), args.partitions.clone());
    numbers.sort_unstable();
    numbers.dedup();
    if numbers.is_empty() {
        numbers.extend(0..partition_count);
    }
    numbers.into_iter().map(|number| plan_one(args, target, number, find, positions)).collect()
}

fn plan_one(args: &Args, target: Target, number: u32, find: &Find<'_>, positions: Option<&dyn OffsetStore>) -> Result<Move, Failure> {
    let place = format!("{}/{number}", args.topic);
    let (key, view) = find(number).map_err(|error| store::topic_failure(&args.topic, error))?;
    let before = positions.map_or(Ok(None), |positions| positions.fetch(&args.group, &key)).map_err(store::positions_failure)?;
    let unread = |error| store::read_failure(&place, error);
    let to = target.destination(&view, before.as_ref().map(|before| before.offset)).map_err(unread)?;
    let nothing = || Failure::new(Exit::Failed, format!("{place}: group {} has no position to be shifted", args.group));
    let to = to.ok_or_else(nothing)?;
    let leader_epoch = term_before(&view, to.offset).map_err(unread)?;
    // After the log was read, which finds damage.
    if let Some(range) = view.damage().iter().find(|range| !range.declared) {
        return Err(Failure::new(Exit::Damage, format!("{place}: {}", store::damage(range))));
    }
    Ok(Move { partition: number, key, before, to, leader_epoch })
}

/// The term of the last record before a position, by which whoever resumes there is told of a cut.
fn term_before(view: &PartitionView, offset: Offset) -> Result<Option<LeaderEpoch>, ReadError> {
    match view.read_backwards(offset)?.next() {
        // Which is found below.
        Some(Err(error)) if error.is_damage() => Ok(None),
        last => Ok(last.transpose()?.map(|record| record.leader_epoch())),
    }
}

fn print(args: &Args, moves: &[Move]) -> Result<(), Failure> {
    let mut results = Results::default();
    if args.json {
        let moves: Vec<Value> = moves.iter().map(as_json).collect();
        return results.json(&json!({ "group": args.group.as_str(), "topic": args.topic, "dry_run": args.dry_run, "moves": moves }));
    }
    for to in moves {
        let wanted = to.to.wanted.map_or_else(String::new, |wanted| format!(" (there is no offset {wanted})"));
        let before = or_dash(to.before.as_ref().map(|before| before.offset));
        results.line(&format!("{}/{}: {before} -> {}{wanted}", args.topic, to.partition, to.to.offset))?;
    }
    if args.dry_run { results.line("dry run: nothing was moved") } else { Ok(()) }
}

fn as_json(to: &Move) -> Value {
    json!({
        "partition": to.partition,
        "before": to.before.as_ref().map(|before| before.offset.get()),
        "after": to.to.offset.get(),
        "wanted": to.to.wanted.and_then(|wanted| i64::try_from(wanted).ok()),
    })
}
