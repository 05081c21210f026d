//! `tidelog tail`: prints records as they come. Changes not one byte of the store.

use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use tidelog::{ReadError, Reader, StoredRecord};

use super::read::{ReadArgs, check_start, reader_at};
use super::start::From;
use crate::exit::{Exit, Failure};
use crate::output::is_unread;
use crate::thread::spawn;

/// Print the last records of a topic, and new ones as they come.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidelog tail data events                              the last ten records, then whatever comes
  tidelog tail data events --from latest --output raw   new values only
  tidelog tail data events --from latest --count 1      wait for one record

Ends with Ctrl-C, after --count records, or when nobody reads its output any more.")]
pub(crate) struct Args {
    #[command(flatten)]
    read: ReadArgs,
    /// Where to start: an offset, -N for the last N, earliest, latest, a time ago (2h, 15m, 7d, PT1H30M) or an RFC 3339 time.
    #[arg(long, value_name = "WHERE", default_value = "-10", allow_hyphen_values = true)]
    from: From,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let views = args.read.views()?;
    check_start(args.from, &views)?;
    let mut printer = args.read.printer();
    let shows_partition = views.len() > 1;
    let (sender, receiver) = sync_channel(QUEUE_RECORDS);
    for view in &views {
        let reader = reader_at(&args.read, view, args.from)?;
        let (partition, sender) = (view.index(), sender.clone());
        spawn("follow a partition", move || follow(partition, reader, &sender))?;
    }
    drop(sender);
    let mut looked = Instant::now();
    while !printer.is_done() {
        // Records that pass no filter are not printed, and so meet no closed pipe.
        if looked.elapsed() >= LOOK {
            if is_unread() {
                return Err(Failure::ClosedPipe);
            }
            looked = Instant::now();
        }
        // What is there is printed together; before waiting, everything is handed on.
        let next = match receiver.try_recv() {
            Ok(next) => next,
            Err(_) => {
                printer.flush()?;
                match receiver.recv_timeout(LOOK) {
                    Ok(next) => next,
                    Err(RecvTimeoutError::Timeout) => continue,
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
        };
        let (partition, result) = next;
        printer.print(shows_partition.then_some(partition), &args.read.place(partition), result)?;
    }
    printer.flush()?;
    Ok(printer.exit())
}

/// Sends what one partition's reader finds until nobody takes it, or an error ends it.
fn follow(partition: u32, mut reader: Reader, sender: &SyncSender<(u32, Result<StoredRecord, ReadError>)>) {
    loop {
        for result in reader.by_ref() {
            let is_last = matches!(&result, Err(error) if !matches!(error, ReadError::Corrupt { .. }));
            if sender.send((partition, result)).is_err() || is_last {
                return;
            }
        }
        if let Err(error) = reader.wait(WAIT) {
            let _ = sender.send((partition, Err(error)));
            return;
        }
    }
}

const QUEUE_RECORDS: usize = 1024;
const WAIT: Duration = Duration::from_secs(1);
/// How often it is looked whether anybody still reads.
const LOOK: Duration = Duration::from_millis(250);
