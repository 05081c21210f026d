//! What `cat` and `tail` share: arguments, where to start, and a stored record as a row. Changes nothing in a store.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use tidelog::{PartitionView, ReadError, Reader, Start, StoredRecord, TimestampNs};

use super::start::From;
use super::store::{self, Isolation, TopicArgs};
use crate::exit::{Exit, Failure};
use crate::output::{Delimiter, Filter, Gap, HeaderFilter, OutputFormat, Row, RowWriter, stdout};

/// Arguments of the commands that print records.
#[derive(Debug, clap::Args)]
pub(crate) struct ReadArgs {
    #[command(flatten)]
    pub(crate) topic: TopicArgs,
    /// Only this partition; otherwise all, in the order of their times.
    #[arg(long, short = 'p', value_name = "N")]
    pub(crate) partition: Option<u32>,
    /// Stop after this many records.
    #[arg(long, short = 'n', value_name = "N")]
    pub(crate) count: Option<u64>,
    /// Only records with this key.
    #[arg(long)]
    key: Option<OsString>,
    /// Only records whose key begins like this.
    #[arg(long, value_name = "PREFIX")]
    key_prefix: Option<OsString>,
    /// Only records with this header, and with this value if one is given. May be repeated: all must be there.
    #[arg(long = "header", value_name = "NAME[=VALUE]")]
    headers: Vec<OsString>,
    /// json: an object a line; raw: each value and the delimiter; table: for people.
    #[arg(long, short = 'o', value_enum, default_value_t)]
    output: OutputFormat,
    /// What follows each value in raw output; knows \n \t \0 \xHH.
    #[arg(long, value_name = "TEXT", default_value = "\\n")]
    delimiter: Delimiter,
    /// Which records are seen.
    #[arg(long, value_enum, default_value_t)]
    isolation: Isolation,
}

impl ReadArgs {
    /// The views asked for.
    pub(crate) fn views(&self) -> Result<Vec<PartitionView>, Failure> {
        let store = store::open_read_only(&self.topic.dir)?;
        let topic = store.topic(&self.topic.topic).map_err(|error| store::topic_failure(&self.topic.topic, error))?;
        let views = store::views(&topic, self.partition)?;
        Ok(views.into_iter().map(|view| view.with_isolation(self.isolation.into())).collect())
    }

    /// Prints rows, those that pass the filters.
    pub(crate) fn printer(&self) -> Printer {
        let bytes = |text: &OsString| text.clone().into_vec();
        let filter = Filter {
            key: self.key.as_ref().map(bytes),
            key_prefix: self.key_prefix.as_ref().map(bytes),
            headers: self.headers.iter().map(|text| HeaderFilter::parse(&bytes(text))).collect(),
        };
        let writer = RowWriter::new(stdout(), self.output, self.delimiter.clone());
        Printer { writer, filter, left: self.count.unwrap_or(u64::MAX), has_damage: false }
    }

    /// What messages call a partition.
    pub(crate) fn place(&self, partition: u32) -> String {
        format!("{}/{partition}", self.topic.topic)
    }
}

/// A reader at the place asked for.
pub(crate) fn reader_at(args: &ReadArgs, view: &PartitionView, from: From) -> Result<Reader, Failure> {
    let start = match from {
        From::Earliest => Start::Earliest,
        From::Latest => Start::Latest,
        From::Offset(offset) => Start::Offset(offset.into()),
        From::Last(count) => Start::Last(count),
        From::TimeNs(ns) => Start::Time(TimestampNs::new(ns)),
        From::AgoNs(ns) => Start::Time(TimestampNs::new(now_ns().saturating_sub(ns))),
    };
    view.read(start).map_err(|error| store::read_failure(&args.place(view.index()), error))
}

/// An offset names a record of one partition only.
pub(crate) fn check_start(from: From, views: &[PartitionView]) -> Result<(), Failure> {
    match from {
        From::Offset(offset) if views.len() > 1 => Err(Failure::new(
            Exit::Usage,
            format!("--from {offset}: an offset belongs to one of the {} partitions; say which with --partition", views.len()),
        )),
        _ => Ok(()),
    }
}

/// Writes records to the standard output.
pub(crate) struct Printer {
    writer: RowWriter<std::io::BufWriter<std::io::StdoutLock<'static>>>,
    filter: Filter,
    left: u64,
    has_damage: bool,
}

impl Printer {
    /// Whether nothing more is wanted.
    pub(crate) fn is_done(&self) -> bool {
        self.left == 0
    }

    /// What the command ends with.
    pub(crate) fn exit(&self) -> Exit {
        if self.has_damage { Exit::Damage } else { Exit::Done }
    }

    /// Prints one result of a reader: a record, or the gap that it found. `partition` is printed if given.
    pub(crate) fn print(&mut self, partition: Option<u32>, place: &str, result: Result<StoredRecord, ReadError>) -> Result<(), Failure> {
        match result {
            Ok(record) => self.record(partition, &record),
            Err(ReadError::Corrupt { from, to, reason, .. }) => {
                self.has_damage = true;
                let gap = Gap { partition, from: from.get(), to: to.get(), reason };
                if !self.writer.gap(&gap).map_err(Failure::output)? {
                    super::say(&format!("{place}: offsets {from}..{to} are damaged: {}", gap.reason));
                }
                Ok(())
            }
            Err(error) => {
                self.flush()?;
                Err(store::read_failure(place, error))
            }
        }
    }

    /// Hands on what was printed.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.writer.flush().map_err(Failure::output)
    }

    fn record(&mut self, partition: Option<u32>, record: &StoredRecord) -> Result<(), Failure> {
        let row = Row {
            partition,
            offset: record.offset().get(),
            ts_ns: record.timestamp().get(),
            key: record.key(),
            value: record.value(),
            headers: record.headers().map(|header| (header.name, header.value)).collect(),
        };
        if self.filter.matches(&row) {
            self.left -= 1;
            self.writer.row(&row).map_err(Failure::output)?;
        }
        Ok(())
    }
}

/// The wall clock.
pub(crate) fn now_ns() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}
