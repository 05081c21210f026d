//! `tidelog cat`: prints records. Changes not one byte of the store.

use tidelog::{ReadError, Reader, StoredRecord};

use super::read::{ReadArgs, check_start, reader_at};
use super::start::From;
use crate::exit::{Exit, Failure};

/// Print the records of a topic.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidelog cat data events                                  everything, one JSON object a line
  tidelog cat data events --from -100                      the last 100 records of each partition
  tidelog cat data events -p 0 --from 17 --count 1         one record by its offset
  tidelog cat data events --from 2h --key customer-7       the last two hours of one key
  tidelog cat data events --output raw > events.ndjson     the values alone

Damaged offsets are printed in their place as {\"gap\":{\"from\":N,\"to\":N,\"reason\":\"...\"}}; the exit code is then 4.")]
pub(crate) struct Args {
    #[command(flatten)]
    read: ReadArgs,
    /// Where to start: an offset, -N for the last N, earliest, latest, a time ago (2h, 15m, 7d, PT1H30M) or an RFC 3339 time.
    #[arg(long, value_name = "WHERE", default_value = "earliest", allow_hyphen_values = true)]
    from: From,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let views = args.read.views()?;
    check_start(args.from, &views)?;
    let mut printer = args.read.printer();
    let mut streams = Vec::new();
    for view in &views {
        let reader = reader_at(&args.read, view, args.from)?;
        streams.push(Stream { partition: view.index(), place: args.read.place(view.index()), reader, head: None });
    }
    let shows_partition = streams.len() > 1;
    while !printer.is_done() {
        for stream in &mut streams {
            stream.look();
        }
        let Some(stream) = streams.iter_mut().filter(|stream| stream.head.is_some()).min_by_key(|stream| (stream.time(), stream.partition)) else {
            break;
        };
        if let Some(result) = stream.head.take() {
            printer.print(shows_partition.then_some(stream.partition), &stream.place, result)?;
        }
    }
    printer.flush()?;
    Ok(printer.exit())
}

/// One partition's records, the next one looked at already.
struct Stream {
    partition: u32,
    place: String,
    reader: Reader,
    head: Option<Result<StoredRecord, ReadError>>,
}

impl Stream {
    fn look(&mut self) {
        if self.head.is_none() {
            self.head = self.reader.next();
        }
    }

    /// Gaps and errors come first: they have no time.
    fn time(&self) -> Option<i64> {
        self.head.as_ref().and_then(|head| head.as_ref().ok()).map(|record| record.timestamp().get())
    }
}
