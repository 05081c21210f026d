//! `tidelog demo`: kills a writer in mid-write and shows that nothing it acknowledged is lost, changed or renumbered. Needs no input, no
//! network and no other program; leaves nothing behind.

mod events;
mod read_back;
mod writer;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tidelog::export::ParquetExport;
use tidelog::{Partition, ReadIsolation, RecoveryReport, Start, StoreOptions, StoredRecord};

use super::store;
use super::temporary::{Made, Temporary, temporary_dir};
use crate::exit::{Exit, Failure};
use crate::output::{print_line, time};
use events::Events;
use read_back::Sums;
use writer::{Acked, Killed};

/// Kill a writer in mid-write, recover, and check everything: a proof on this machine, in seconds.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidelog demo
  tidelog demo --keep demo-data

It appends real earthquakes (USGS, public domain, compiled in) in a process of its own, kills that process with SIGKILL, recovers, checks
every acknowledged record, reads by offset and by time, exports to Parquet and reads that back. Any mismatch is exit code 1.")]
pub(crate) struct Args {
    /// A new or empty directory to work in, and to keep; otherwise a temporary one that is removed.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let began = Instant::now();
    let place = Place::make(args.keep.as_deref())?;
    let shown = show(&place);
    // Removed before anything is said of it, and also after a failure.
    let left = place.leave();
    shown?;
    let left = left?;
    print_line(&format!("\nAll of it holds. {} ms; {left}", began.elapsed().as_millis()))?;
    Ok(Exit::Done)
}

fn show(place: &Place) -> Result<(), Failure> {
    let data = place.path.join(STORE);
    let events = Events::compiled_in()?;
    say("data", &format!("{} earthquakes of one week ({}), fed over and over", grouped(events.len()), events::CREDIT))?;

    let killed = writer::append_and_kill(&data, &place.temporary)?;
    say("write", &format!("process {}: tidelog append --ack durable --print-acks", killed.pid))?;
    say(
        "kill",
        &format!("SIGKILL in mid-write, after {} ms and {} acknowledged records", killed.wrote_for.as_millis(), grouped(killed.acked.len())),
    )?;

    let began = Instant::now();
    let opened = StoreOptions::new().open_existing(&data).map_err(|error| store::opening(&data, error))?;
    let topic = opened.existing_topic(TOPIC).map_err(|error| store::topic_failure(TOPIC, error))?;
    let partition = topic.partition(0).map_err(|error| store::topic_failure(TOPIC, error))?;
    say("recover", &recovered(partition.recovery_report(), began.elapsed()))?;

    check_acknowledged(&partition, &events, &killed)?;
    read_by_offset(&partition, &events, &killed.acked)?;
    read_by_time(&partition, &events)?;
    export(&partition, &place.path.join(PARQUET))?;
    drop((partition, topic));
    opened.close().map_err(|error| store::sync_failure(TOPIC, error))
}

fn recovered(report: &RecoveryReport, took: Duration) -> String {
    let end = if report.torn_end { "a torn end was cut off" } else { "no torn end this time" };
    format!("opened in {:.1} ms: offsets {}..{}, {end}", took.as_secs_f64() * 1e3, report.log_start_offset, grouped(report.next_offset))
}

/// Every record of the log is the event that was fed at its place, and every acknowledged one is there under its offset and checksum.
fn check_acknowledged(partition: &Partition, events: &Events, killed: &Killed) -> Result<(), Failure> {
    let mut acked = killed.acked.iter().peekable();
    let mut next = 0;
    for record in partition.view().with_isolation(ReadIsolation::Written).read(Start::Earliest).map_err(reading)? {
        let record = record.map_err(reading)?;
        let (offset, value) = (record.offset().get(), record.value().unwrap_or_default());
        expect(offset == next, || format!("offset {offset} follows on {next}"))?;
        let event = events.at(offset);
        expect(value == event.line, || format!("offset {offset} does not hold what was appended there"))?;
        expect(record.timestamp() == event.time, || format!("offset {offset} has the time {}", time(record.timestamp().get())))?;
        if let Some(Acked { crc32, .. }) = acked.next_if(|acked| acked.offset == offset) {
            let found = crc32fast::hash(value);
            expect(*crc32 == found, || format!("offset {offset} was acknowledged with the checksum {crc32:08x} and has {found:08x}"))?;
        }
        next += 1;
    }
    expect(acked.peek().is_none(), || {
        format!("acknowledged records are missing, the first is offset {}", acked.peek().map_or(0, |acked| acked.offset))
    })?;
    let (count, more) = (grouped(killed.acked.len()), next - killed.acked.len() as u64);
    say("check", &format!("{count} of {count} acknowledged records found, offset, CRC-32 and bytes as acknowledged"))?;
    if more > 0 {
        say("", &format!("{} more were written and not yet acknowledged: whole as well", grouped(more)))?;
    }
    Ok(())
}

fn read_by_offset(partition: &Partition, events: &Events, acked: &[Acked]) -> Result<(), Failure> {
    let Some(last) = acked.last() else { return Err(mismatch("nothing was acknowledged")) };
    let began = Instant::now();
    let record = partition.get(last.offset).map_err(reading)?;
    let took = began.elapsed();
    expect(record.value() == Some(events.at(last.offset).line), || format!("offset {} holds another event", last.offset))?;
    say("by offset", &format!("{} in {:.0} us: {}", grouped(last.offset), took.as_secs_f64() * 1e6, described(&record)?))
}

/// The times go back to the first week's morning with every round of the data: the answer is exact all the same.
fn read_by_time(partition: &Partition, events: &Events) -> Result<(), Failure> {
    let wanted = events.middle_of_the_week();
    let Some(expected) = events.first_at_or_after(wanted).filter(|offset| *offset < partition.log_end_offset().get()) else {
        return Err(mismatch("the kill came before half of the week was written"));
    };
    let began = Instant::now();
    let found = partition.read(Start::Time(wanted)).map_err(reading)?.next().transpose().map_err(reading)?;
    let took = began.elapsed();
    let Some(record) = found else { return Err(mismatch("no event is found by its time")) };
    expect(record.offset() == expected, || format!("the first event from {} on is {expected}, not {}", time(wanted.get()), record.offset()))?;
    say(
        "by time",
        &format!("first from {} on in {:.0} us: {}, {}", time(wanted.get()), took.as_secs_f64() * 1e6, record.offset(), described(&record)?),
    )
}

fn export(partition: &Partition, out: &Path) -> Result<(), Failure> {
    let began = Instant::now();
    let report = ParquetExport::new(partition.view(), out).run(&mut |_| {}).map_err(|error| Failure::because(Exit::Failed, "export", error))?;
    let took = began.elapsed().as_millis();
    let kib = report.bytes() >> 10;
    say("export", &format!("{} rows to {} Parquet file, {} KiB, {took} ms", grouped(report.rows()), report.files.len(), grouped(kib)))?;

    let mut read = Sums::default();
    for file in &report.files {
        read.add(&file.path)?;
    }
    // Offsets from 0 on without a gap, so both figures follow from the end of the log alone.
    let rows = partition.log_end_offset().get();
    let sum = u128::from(rows) * u128::from(rows.saturating_sub(1)) / 2;
    expect(read.rows == rows, || format!("the Parquet files have {} rows, the log {rows} records", read.rows))?;
    expect(read.offsets == sum, || format!("the sum of the offsets in the Parquet files is {}, not {sum}", read.offsets))?;
    say("read back", &format!("{} rows, sum of offsets {}: as in the log", grouped(read.rows), grouped(read.offsets)))
}

fn described(record: &StoredRecord) -> Result<String, Failure> {
    let event: serde_json::Value =
        serde_json::from_slice(record.value().unwrap_or_default()).map_err(|error| Failure::because(Exit::Failed, "an event is no JSON", error))?;
    Ok(format!("M {} {}", event["mag"], event["place"].as_str().unwrap_or_default()))
}

/// Where the demo works: a directory of its own.
struct Place {
    path: PathBuf,
    dir: Option<tempfile::TempDir>,
    temporary: Temporary,
}

impl Place {
    fn make(keep: Option<&Path>) -> Result<Self, Failure> {
        let temporary = Temporary::watched()?;
        let Some(path) = keep else {
            let failed = |error| Failure::because(Exit::Failed, "making a temporary directory", error);
            let dir = temporary_dir(&temporary, None, || tempfile::Builder::new().prefix("tidelog-demo-").tempdir()).map_err(failed)?;
            return Ok(Self { path: dir.path().to_owned(), dir: Some(dir), temporary });
        };
        let failed = |error| Failure::because(Exit::Failed, format!("making {}", path.display()), error);
        std::fs::create_dir_all(path).map_err(failed)?;
        if std::fs::read_dir(path).map_err(failed)?.next().is_some() {
            return Err(Failure::new(Exit::Refused, format!("{} is not empty: the demo needs a directory of its own", path.display())));
        }
        Ok(Self { path: path.to_owned(), dir: None, temporary })
    }

    /// Removes what is temporary; says what is left.
    fn leave(self) -> Result<String, Failure> {
        let Some(dir) = self.dir else {
            let path = self.path.display();
            return Ok(format!("look at it:\n  tidelog info {path}/{STORE}\n  tidelog cat {path}/{STORE} {TOPIC} --from -5 --output table"));
        };
        let removed = self.temporary.change(|made| {
            *made = Made::default();
            dir.close()
        });
        removed.map_err(|error| Failure::because(Exit::Failed, format!("removing {}", self.path.display()), error))?;
        Ok("the temporary directory is removed.".to_owned())
    }
}

/// One step with its figures.
fn say(step: &str, what: &str) -> Result<(), Failure> {
    print_line(&format!("{step:<10} {what}"))
}

fn expect(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(mismatch(otherwise())) }
}

fn mismatch(what: impl Into<String>) -> Failure {
    Failure::new(Exit::Failed, format!("the demo failed: {}", what.into()))
}

fn reading(error: tidelog::ReadError) -> Failure {
    // Damage in a log that was only killed is the demo's failure, not a finding.
    store::read_failure(TOPIC, error).with_exit(Exit::Failed)
}

/// `1234567` as `1,234,567`.
fn grouped(number: impl ToString) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

const STORE: &str = "data";
const PARQUET: &str = "parquet";
const TOPIC: &str = "earthquakes";
