//! `tidelog append`: records from the standard input into a topic, acknowledged one by one if asked for. Resumes nothing.

mod acker;

use std::sync::mpsc::SyncSender;

use clap::ValueEnum;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use tidelog::{Partition, RecordBatch, Store, Topic};

use super::parse::ParseArgs;
use super::store::{self, SettingsArgs, TopicArgs, WritePartitionArgs};
use super::write::{RECORD_OVERHEAD_BYTES, item_bytes, record_of, route};
use crate::exit::{Exit, Failure};
use crate::input::{Compression, Format, Item, LineError, ReaderOptions, RecordReader, Source};
use acker::{Acked, Acker, Event, Group};

/// Append records from the standard input.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  echo hello | tidelog append data greetings
  generator | tidelog append data events --format ndjson --key .user --print-acks
  tidelog append data frames --format frames --ack written --sync-policy os < frames.bin

A frame is u32 LE payload length, i64 LE time in ns, payload. With --print-acks, lines of JSON say what is certain:
  {\"event\":\"open\",\"log_start_offset\":N,\"next_offset\":N}    recovery is done
  {\"event\":\"acked\",\"offset\":N,\"crc32\":\"xxxxxxxx\"}          a record, in the order of the input; CRC-32 of its value
  {\"event\":\"error\",\"message\":\"...\"}                       nothing is acknowledged after this; exit code 3
  {\"event\":\"closed\",\"next_offset\":N}                      everything is appended and durable
Topics with several partitions add \"partition\":N to each. An event that cannot be printed is a failure, exit code 1.
A topic that does not exist is made.")]
pub(crate) struct Args {
    #[command(flatten)]
    topic: TopicArgs,
    /// What the bytes mean.
    #[arg(long, default_value = "lines", value_parser = PossibleValuesParser::new(["lines", "ndjson", "frames"]).try_map(|name| Format::from_str(&name, false)))]
    format: Format,
    #[command(flatten)]
    parse: ParseArgs,
    /// What an acknowledgement promises.
    #[arg(long, value_enum, default_value = "durable")]
    ack: AckArg,
    /// Print each acknowledgement as a line of JSON, as soon as it is true.
    #[arg(long)]
    print_acks: bool,
    #[command(flatten)]
    partition: WritePartitionArgs,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// What an acknowledgement promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AckArg {
    /// The record survives the end of the process.
    Written,
    /// The record survives power loss.
    Durable,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    store::check_topic_name(&args.topic.topic)?;
    let options = args.settings.options()?;
    let reader_options = args.parse.reader_options(args.format, b',', options.batch_bytes_limit())?;
    let appended = store::open(&args.topic.dir, options).and_then(|store| append_all(args, store, reader_options));
    match appended {
        Err(failure) if args.print_acks && !matches!(failure, Failure::ClosedPipe) => {
            match acker::print(&Event::Error { message: &failure.to_string() }) {
                Ok(()) => Err(failure.with_exit(Exit::Refused)),
                // Nobody hears the event: the failure keeps its own code.
                Err(_) => Err(failure),
            }
        }
        other => other,
    }
}

fn append_all(args: &Args, store: Store, reader_options: ReaderOptions) -> Result<Exit, Failure> {
    let ends = {
        let topic = store::topic_to_write(&store, &args.topic.topic, args.partition.partitions)?;
        append_to(args, &topic, reader_options)?
    };
    store.close().map_err(|error| store::sync_failure(&args.topic.topic, error))?;
    if args.print_acks {
        for (partition, next_offset) in ends {
            acker::print(&Event::Closed { partition, next_offset })?;
        }
    }
    Ok(Exit::Done)
}

/// Appends everything and makes it durable; returns the ends of the partitions.
fn append_to(args: &Args, topic: &Topic, reader_options: ReaderOptions) -> Result<Vec<(Option<u32>, u64)>, Failure> {
    let lanes = lanes(args, topic)?;
    if args.print_acks {
        for lane in &lanes {
            let (log_start_offset, next_offset) = lane.offsets();
            acker::print(&Event::Open { partition: lane.shown, log_start_offset, next_offset })?;
        }
    }
    let source = Source::stdin(Compression::None).and_then(|source| RecordReader::new(source, reader_options.clone()));
    let mut reader = source.map_err(Failure::input)?;
    let (acker, groups) = Acker::start(args.print_acks)?;
    let active = topic.active_partitions();
    let mut appender =
        Appender { args, topic, lanes, active, order: Vec::new(), records: 0, value_bytes_max: reader_options.value_bytes_max, groups };
    let result = appender.take_all(&mut reader);
    let Appender { lanes, groups, .. } = appender;
    drop(groups);
    acker.finish()?;
    result?;
    for (lane, partition) in lanes.iter().filter_map(|lane| Some((lane, lane.partition.as_ref()?))) {
        partition.flush().map_err(|error| store::sync_failure(&lane.place, error))?;
    }
    Ok(lanes.iter().map(|lane| (lane.shown, lane.offsets().1)).collect())
}

fn lanes(args: &Args, topic: &Topic) -> Result<Vec<Lane>, Failure> {
    let name = &args.topic.topic;
    let shows_partition = topic.partition_count() > 1;
    let lane = |(number, partition)| {
        let shown = shows_partition.then_some(number);
        Lane { number, partition, place: format!("{name}/{number}"), shown, batch: RecordBatch::new() }
    };
    Ok(store::partitions_to_write(topic, args.partition.partition)?.into_iter().map(lane).collect())
}

/// One partition and the records on their way to it.
struct Lane {
    number: u32,
    /// Opened for the first record, if it was never used before.
    partition: Option<Partition>,
    /// What messages call it.
    place: String,
    /// Its number, if it is to be printed.
    shown: Option<u32>,
    batch: RecordBatch,
}

impl Lane {
    /// Where its log starts and ends.
    fn offsets(&self) -> (u64, u64) {
        self.partition.as_ref().map_or((0, 0), |partition| (partition.log_start_offset().get(), partition.log_end_offset().get()))
    }
}

/// A record in a batch that is not appended yet.
struct Waiting {
    lane: usize,
    /// Its number in the batch.
    index: u64,
    crc32: u32,
}

struct Appender<'a> {
    args: &'a Args,
    topic: &'a Topic,
    lanes: Vec<Lane>,
    /// The partitions that take turns.
    active: Vec<u32>,
    /// The records in the batches, in the order of the input.
    order: Vec<Waiting>,
    records: u64,
    value_bytes_max: usize,
    groups: SyncSender<Group>,
}

impl Appender<'_> {
    fn take_all(&mut self, reader: &mut RecordReader) -> Result<(), Failure> {
        loop {
            // Whoever waits for an acknowledgement before the next record must get it: nothing is held back while input is waited for.
            if !reader.is_buffered() || self.is_full() {
                self.append()?;
            }
            let advanced = reader.advance();
            let limit = self.value_bytes_max;
            let error = match advanced {
                Ok(false) => return self.append(),
                Ok(true) if item_bytes(&reader.item()) > limit + RECORD_OVERHEAD_BYTES => reader.refuse(LineError::TooLong { limit }),
                Ok(true) => {
                    self.take(&reader.item())?;
                    continue;
                }
                Err(error) => error,
            };
            self.append()?;
            return Err(Failure::input(error));
        }
    }

    fn take(&mut self, item: &Item<'_>) -> Result<(), Failure> {
        let lane = route(self.topic, self.lanes.len(), &self.active, item.key, self.records);
        let batch = &self.lanes[lane].batch;
        if !batch.is_empty() && batch.bytes() + batch.len() * 8 + item_bytes(item) > self.value_bytes_max + RECORD_OVERHEAD_BYTES {
            self.append()?;
        }
        let Lane { batch, place, .. } = &mut self.lanes[lane];
        batch.push(&record_of(item)).map_err(|error| store::append_failure(place, error))?;
        self.order.push(Waiting { lane, index: batch.len() as u64 - 1, crc32: crc32fast::hash(item.value) });
        self.records += 1;
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.order.len() >= GROUP_RECORDS || self.lanes.iter().any(|lane| lane.batch.bytes() >= GROUP_BYTES)
    }

    /// Appends what is collected, and hands the acknowledgements to whoever waits for them and prints them.
    fn append(&mut self) -> Result<(), Failure> {
        if self.order.is_empty() {
            return Ok(());
        }
        let mut pending = Vec::new();
        let mut bases = Vec::new();
        let mut failure = None;
        for lane in &mut self.lanes {
            // Once one partition has failed, the others get nothing more either.
            let base =
                if lane.batch.is_empty() || failure.is_some() { None } else { Some(append_lane(lane, self.topic, self.args.ack, &mut pending)) };
            bases.push(match base {
                Some(Ok(base)) => Some(base),
                Some(Err(error)) => {
                    failure = Some(error);
                    None
                }
                None => None,
            });
            lane.batch.clear();
        }
        // The acknowledgements go on in the order of the input, up to the first record that was not appended.
        let acked = |waiting: &Waiting| {
            let offset = bases[waiting.lane]? + waiting.index;
            Some(Acked { partition: self.lanes[waiting.lane].shown, offset, crc32: waiting.crc32 })
        };
        let acked = self.order.iter().map_while(acked).collect();
        self.order.clear();
        // Nobody takes it: the acker has failed, and says why when it is finished.
        let is_taken = self.groups.send(Group { pending, acked }).is_ok();
        match failure {
            Some(failure) => Err(failure),
            None if is_taken => Ok(()),
            None => Err(Failure::ClosedPipe),
        }
    }
}

/// Appends one batch; returns its first offset. A durable one is waited for by the acker.
fn append_lane(lane: &mut Lane, topic: &Topic, ack: AckArg, pending: &mut Vec<acker::Pending>) -> Result<u64, Failure> {
    let Lane { number, partition, place, batch, .. } = lane;
    let partition = match partition {
        Some(partition) => partition,
        unused => unused.insert(store::open_partition(topic, *number)?),
    };
    let failed = |error| store::append_failure(place, error);
    match ack {
        AckArg::Written => Ok(partition.append_batch(batch, tidelog::AckLevel::Written).map_err(failed)?.base_offset.get()),
        AckArg::Durable => {
            let ack = partition.append_deferred(batch).map_err(failed)?;
            let base = ack.base_offset().get();
            pending.push(acker::Pending { ack, place: place.clone() });
            Ok(base)
        }
    }
}

const GROUP_RECORDS: usize = 1000;
const GROUP_BYTES: usize = 256 << 10;
