//! `tidelog topic`: makes, lists, describes, splits and deletes topics. Reads and appends no record.

use std::path::{Path, PathBuf};

use serde_json::json;
use tidelog::{DeleteTopicError, RingRange, Store, StoreOptions, TopicInfo, TopicOptions, TopicPartition};

use super::store::{self, TopicArgs};
use crate::exit::{Exit, Failure};
use crate::output::{Results, aligned, counted, time};

/// Make, list, describe, split and delete topics.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidelog topic create data orders --partitions 4
  tidelog topic create data skewed --range 0-64 --range 64-4096
  tidelog topic list data
  tidelog topic describe data orders
  tidelog topic split data orders --partition 0 --parts 2
  tidelog topic delete data orders

A key belongs to one of 4,096 slots: its murmur2 hash, as Kafka's clients compute it, modulo 4096. A partition has a range of slots, and the
ranges of a topic's partitions tile the ring. That is not Kafka's partitioning, which is the hash modulo the number of partitions.")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Create(CreateArgs),
    List(ListArgs),
    Describe(DescribeArgs),
    Split(SplitArgs),
    Delete(DeleteArgs),
}

/// Make a topic. The store is made too, if there is none.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidelog topic create data orders
  tidelog topic create data shop/orders --partitions 16 --json
  tidelog topic create data skewed --range 0-64 --range 64-4096

A partition gets a directory when it is first written to; until then it is read as an empty log.")]
struct CreateArgs {
    #[command(flatten)]
    topic: TopicArgs,
    /// Partitions, with ranges as even as they come. One unless said otherwise.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    partitions: Option<u32>,
    /// The slots of one partition, the second number exclusive; once for each. Together they tile the 4,096 slots.
    #[arg(long = "range", value_name = "START-STOP", value_parser = slots, conflicts_with = "partitions")]
    ranges: Vec<RingRange>,
    /// Print the topic as `describe --json` does.
    #[arg(long)]
    json: bool,
}

/// List the topics of a store.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidelog topic list data
  tidelog topic list data --json")]
struct ListArgs {
    /// The store's directory.
    dir: PathBuf,
    /// Print one JSON object: {"topics":[{..}, ..]}.
    #[arg(long)]
    json: bool,
}

/// Print what a topic's catalogue says of its partitions.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidelog topic describe data orders
  tidelog topic describe data orders --json

A partition that was split takes no appends; the keys of its range go to those that it was split into. What is in it stays readable.")]
struct DescribeArgs {
    #[command(flatten)]
    topic: TopicArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Split the range of a partition: keys go to new partitions from now on, and the old one stays readable.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidelog topic split data orders --partition 0
  tidelog topic split data orders --partition 0 --parts 4
  tidelog topic split data orders --partition 0 --at 512,1024

It cannot be undone. The store must not be open for writing.")]
struct SplitArgs {
    #[command(flatten)]
    topic: TopicArgs,
    /// The partition.
    #[arg(long, short = 'p', value_name = "N")]
    partition: u32,
    /// Into so many parts, as even as they come.
    #[arg(long, value_name = "N", default_value_t = 2, conflicts_with = "at")]
    parts: u32,
    /// Into parts that begin at these slots, and one that begins where the partition does.
    #[arg(long, value_name = "SLOT", value_delimiter = ',')]
    at: Vec<u32>,
    /// Print one JSON object: {"topic":"..","partition":0,"into":[1,2]}.
    #[arg(long)]
    json: bool,
}

/// Delete a topic with all its records, and the positions of groups in it that the store keeps.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidelog topic delete data orders
  tidelog topic delete data shop/orders --json

It cannot be undone. The store must not be open for writing; readers are told that the topic was deleted. Positions that groups keep elsewhere
(sqlite) stay; `tidelog offsets .. rebuild` lists those of a topic that is not there.")]
struct DeleteArgs {
    #[command(flatten)]
    topic: TopicArgs,
    /// Print one JSON object: {"deleted":"..","positions":0}.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    match &args.command {
        Command::Create(args) => create(args),
        Command::List(args) => list(args),
        Command::Describe(args) => describe(args),
        Command::Split(args) => split(args),
        Command::Delete(args) => delete(args),
    }
}

fn create(args: &CreateArgs) -> Result<Exit, Failure> {
    let name = &args.topic.topic;
    store::check_topic_name(name)?;
    let options = match args.partitions {
        None if !args.ranges.is_empty() => TopicOptions::new().ranges(args.ranges.iter().copied()),
        partitions => TopicOptions::new().partitions(partitions.unwrap_or(1)),
    };
    let opened = store::open(&args.topic.dir, quiet())?;
    let info = store::make_topic(&opened, name, options)?.describe();
    close(opened, name)?;
    if args.json {
        return print(&info);
    }
    let count = counted(info.partitions.len() as u64, "partition", "partitions");
    Results::default().line(&format!("{}: made, with {count}", info.topic))?;
    Ok(Exit::Done)
}

fn list(args: &ListArgs) -> Result<Exit, Failure> {
    let opened = store::open_read_only(&args.dir)?;
    let (mut topics, mut exit) = (Vec::new(), Exit::Done);
    for name in store::topics_to_read(&opened, &args.dir, None)? {
        match opened.topic(&name).and_then(|topic| topic.describe()).map_err(|error| store::topic_failure(&name, error)) {
            Ok(info) => topics.push(info),
            Err(failure) if failure.exit() == Exit::Damage => {
                super::say(&failure.to_string());
                exit = Exit::Damage;
            }
            Err(failure) => return Err(failure),
        }
    }
    let mut results = Results::default();
    if args.json {
        results.json(&json!({ "topics": topics }))?;
    } else {
        let row = |topic: &TopicInfo| {
            let active = topic.partitions.iter().filter(|partition| partition.is_active()).count();
            [topic.topic.clone(), active.to_string(), (topic.partitions.len() - active).to_string(), time(topic.created_ts_ns), topic.uuid.clone()]
        };
        let rows = std::iter::once(["TOPIC", "ACTIVE", "SPLIT", "CREATED", "UUID"].map(str::to_owned)).chain(topics.iter().map(row));
        results.line(&aligned(&rows.collect::<Vec<_>>()))?;
    }
    Ok(exit)
}

fn describe(args: &DescribeArgs) -> Result<Exit, Failure> {
    let name = &args.topic.topic;
    let topic = store::open_read_only(&args.topic.dir)?.topic(name);
    let topic = topic.map_err(|error| store::topic_failure(name, error))?;
    let info = topic.describe().map_err(|error| store::topic_failure(name, error))?;
    if args.json {
        return print(&info);
    }
    let row = |partition: &TopicPartition| {
        let into: Vec<String> = partition.split_into.iter().map(u32::to_string).collect();
        let state = if into.is_empty() { "active".to_owned() } else { format!("split into {}", into.join(", ")) };
        let used = if topic.missing_partitions().contains(&partition.partition) {
            "gone"
        } else if partition.made {
            "yes"
        } else {
            "no"
        };
        [partition.partition.to_string(), format!("{}..{}", partition.range_start, partition.range_stop), used.to_owned(), state]
    };
    let rows: Vec<_> = std::iter::once(["PARTITION", "SLOTS", "USED", "STATE"].map(str::to_owned)).chain(info.partitions.iter().map(row)).collect();
    let head = format!("topic      {}\nuuid       {}\ncreated    {}\nring_size  {}", info.topic, info.uuid, time(info.created_ts_ns), info.ring_size);
    Results::default().line(&format!("{head}\n\n{}", aligned(&rows)))?;
    Ok(if topic.missing_partitions().is_empty() { Exit::Done } else { Exit::Damage })
}

fn split(args: &SplitArgs) -> Result<Exit, Failure> {
    let (name, number) = (&args.topic.topic, args.partition);
    let failed = |error| store::topic_failure(name, error);
    let opened = open_existing(&args.topic.dir)?;
    let topic = opened.existing_topic(name).map_err(failed)?;
    let split = if args.at.is_empty() { topic.split(number, args.parts) } else { topic.split_at(number, &args.at) };
    let into = split.map_err(failed)?;
    let info = topic.describe();
    drop(topic);
    close(opened, name)?;
    let mut results = Results::default();
    if args.json {
        results.json(&json!({ "topic": info.topic, "partition": number, "into": into }))?;
    } else {
        let part = |new: &u32| {
            let partition = &info.partitions[*new as usize];
            format!("{new} ({}..{})", partition.range_start, partition.range_stop)
        };
        results.line(&format!("{}/{number}: split into {}", info.topic, into.iter().map(part).collect::<Vec<_>>().join(", ")))?;
    }
    Ok(Exit::Done)
}

fn delete(args: &DeleteArgs) -> Result<Exit, Failure> {
    let name = &args.topic.topic;
    let opened = open_existing(&args.topic.dir)?;
    let deleted = match store::positions(&opened)? {
        Some(positions) => tidelog::delete_topic(&opened, &positions, name),
        None => opened.delete_topic(name).map(|()| 0).map_err(DeleteTopicError::Topic),
    };
    let positions = deleted.map_err(|error| match error {
        DeleteTopicError::Positions(error) => store::positions_failure(error),
        DeleteTopicError::Topic(error) => store::topic_failure(name, error),
        error => Failure::because(Exit::Failed, format!("topic {name}"), error),
    })?;
    close(opened, name)?;
    let mut results = Results::default();
    if args.json {
        results.json(&json!({ "deleted": name, "positions": positions }))?
    } else {
        let with = if positions > 0 { format!(", with {} of groups", counted(positions as u64, "position", "positions")) } else { String::new() };
        results.line(&format!("{name}: deleted{with}"))?
    }
    Ok(Exit::Done)
}

/// Nothing is appended: what a crash left in partitions is for whoever opens them.
fn quiet() -> StoreOptions {
    StoreOptions::new().background_recovery(false)
}

fn open_existing(dir: &Path) -> Result<Store, Failure> {
    quiet().open_existing(dir).map_err(|error| store::opening(dir, error))
}

fn close(opened: Store, name: &str) -> Result<(), Failure> {
    opened.close().map_err(|error| store::sync_failure(name, error))
}

fn print(info: &TopicInfo) -> Result<Exit, Failure> {
    let value = serde_json::to_value(info).map_err(|error| Failure::because(Exit::Failed, "topic", error))?;
    Results::default().json(&value)?;
    Ok(Exit::Done)
}

fn slots(text: &str) -> Result<RingRange, String> {
    let (start, stop) = text.split_once('-').ok_or("expected START-STOP")?;
    let number = |text: &str| text.parse::<u32>().map_err(|error| error.to_string());
    RingRange::new(RING_SIZE, number(start)?, number(stop)?).map_err(|error| error.to_string())
}

const RING_SIZE: u32 = 4096;
