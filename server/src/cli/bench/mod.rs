//! `tidelog bench`: what appends, scans and point reads cost on this machine, beside plain code that does the least possible. Works in a
//! directory of its own, which it removes; touches no store.

mod engine;
mod marks;

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::json;

use super::progress::Progress;
use super::temporary::{Made, Temporary, temporary_dir};
use crate::exit::{Exit, Failure};
use crate::output::{print_json, print_line};

/// Measure appends, scans and point reads here, beside plain code.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidelog bench /mnt/disk
  tidelog bench . --rounds 7 --json

A ratio of 1 means as many records a second as the mark: plain code on the same disk in the same run, without recovery, index or readers.
Written appends survive the end of the process, durable ones power loss. Everything is made in a directory of its own under DIR and
removed at the end. Read the ratios, not the rates: those are of this machine and this minute.")]
pub(crate) struct Args {
    /// A directory on the disk to be measured; made, and removed again, if it is not there.
    dir: PathBuf,
    /// How often each thing is measured; medians are shown.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// MiB of values that each measurement appends or scans.
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=2048))]
    mib: u32,
    /// Print one JSON object: {"rounds":N,"rows":[{..}, ..]}.
    #[arg(long)]
    json: bool,
}

/// What is measured with values of one size.
struct Task<'a> {
    dir: &'a Path,
    value: Vec<u8>,
    records: usize,
    durable_records: usize,
    reads: usize,
}

/// Nanoseconds a record.
type Measure = fn(&Task<'_>) -> Result<f64, Failure>;

struct Row {
    name: &'static str,
    engine: Measure,
    mark_name: &'static str,
    mark: Measure,
}

const ROWS: [Row; 5] = [
    Row { name: "append, one by one", engine: engine::append_singles, mark_name: "stores into a map", mark: marks::map_append },
    Row { name: "append, batches of 100", engine: engine::append_batches, mark_name: "write, 64 KiB buffer", mark: marks::write_append },
    Row { name: "durable append", engine: engine::append_durable, mark_name: "write and fdatasync", mark: marks::synced_writes },
    Row { name: "scan, verified", engine: engine::scan, mark_name: "copy and checksum", mark: marks::scan },
    Row { name: "point read", engine: engine::point_reads, mark_name: "read from a map", mark: marks::map_reads },
];

struct Measured {
    value_bytes: usize,
    row: &'static Row,
    engine_ns: f64,
    mark_ns: f64,
    ratio: f64,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let place = Place::make(&args.dir)?;
    let measured = measure(args, &place);
    // Removed before anything is said, and also after a failure.
    let left = place.leave(&args.dir);
    let measured = measured?;
    left?;
    if args.json {
        let rows: Vec<_> = measured.iter().map(Measured::value).collect();
        print_json(&json!({ "rounds": args.rounds, "rows": rows }))?;
    } else {
        print_line(&format!(
            "{:<24} {:>6} {:>12} {:>10}  {:<22} {:>12} {:>10} {:>7}",
            "", "value", "records/s", "ns", "mark", "records/s", "ns", "ratio"
        ))?;
        for result in &measured {
            print_line(&result.text())?;
        }
    }
    Ok(Exit::Done)
}

fn measure(args: &Args, place: &Place) -> Result<Vec<Measured>, Failure> {
    let progress = Progress::of_records("bench");
    let (mut done, all) = (0, u64::from(args.rounds) * (ROWS.len() * VALUE_BYTES.len()) as u64);
    let mut measured = Vec::new();
    for value_bytes in VALUE_BYTES {
        let records = ((args.mib as usize) << 20) / value_bytes;
        let value: Vec<u8> = (0..value_bytes).map(|at| (at * 31 % 251) as u8).collect();
        let task = Task { dir: place.work.path(), value, records, durable_records: DURABLE_RECORDS, reads: (records / 4).min(READS_MAX) };
        for row in &ROWS {
            let (mut engine, mut mark) = (Vec::new(), Vec::new());
            for round in 0..args.rounds {
                place.temporary.pass();
                // In turns, so that neither always comes first.
                if round % 2 == 0 {
                    mark.push((row.mark)(&task)?);
                    engine.push((row.engine)(&task)?);
                } else {
                    engine.push((row.engine)(&task)?);
                    mark.push((row.mark)(&task)?);
                }
                done += 1;
                progress.set_of(done, all);
            }
            let ratios = engine.iter().zip(&mark).map(|(engine, mark)| mark / engine).collect();
            measured.push(Measured { value_bytes, row, engine_ns: median(engine), mark_ns: median(mark), ratio: median(ratios) });
        }
    }
    Ok(measured)
}

impl Measured {
    fn value(&self) -> serde_json::Value {
        json!({
            "row": self.row.name,
            "value_bytes": self.value_bytes,
            "ns_per_record": self.engine_ns.round(),
            "mark": self.row.mark_name,
            "mark_ns_per_record": self.mark_ns.round(),
            "ratio": (self.ratio * 1000.0).round() / 1000.0,
        })
    }

    fn text(&self) -> String {
        let Self { value_bytes, row, engine_ns, mark_ns, ratio } = self;
        let (engine_rate, mark_rate) = (1e9 / engine_ns, 1e9 / mark_ns);
        format!(
            "{:<24} {value_bytes:>6} {engine_rate:>12.0} {engine_ns:>10.0}  {:<22} {mark_rate:>12.0} {mark_ns:>10.0} {ratio:>6.2}x",
            row.name, row.mark_name
        )
    }
}

/// A directory of our own on the disk that is measured.
struct Place {
    work: tempfile::TempDir,
    made: bool,
    temporary: Temporary,
}

impl Place {
    fn make(dir: &Path) -> Result<Self, Failure> {
        let failure = |error| Failure::because(Exit::Failed, format!("making a directory in {}", dir.display()), error);
        let (made, temporary) = (!dir.exists(), Temporary::watched()?);
        let make = || {
            std::fs::create_dir_all(dir)?;
            tempfile::Builder::new().prefix("tidelog-bench-").tempdir_in(dir)
        };
        let work = temporary_dir(&temporary, made.then(|| dir.to_owned()), make).map_err(failure)?;
        Ok(Self { work, made, temporary })
    }

    fn leave(self, dir: &Path) -> Result<(), Failure> {
        let failure = |error| Failure::because(Exit::Failed, format!("cleaning up in {}", dir.display()), error);
        let Self { work, made, temporary } = self;
        temporary.change(|left| {
            *left = Made::default();
            work.close().map_err(failure)?;
            if made { std::fs::remove_dir(dir).map_err(failure) } else { Ok(()) }
        })
    }
}

/// Runs `work` and returns nanoseconds a record.
fn timed<E>(records: usize, work: impl FnOnce() -> Result<(), E>) -> Result<f64, E> {
    let began = Instant::now();
    work()?;
    Ok(began.elapsed().as_nanos() as f64 / records.max(1) as f64)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Numbers below `bound` in no order, the same each time.
fn scattered(bound: usize) -> impl FnMut(u64) -> usize {
    let mut state = 7u64;
    move |seen| {
        // What was read last decides what is read next: no read begins before the one before it is done.
        state = (state ^ seen).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_add(0x2545_f491_4f6c_dd1d);
        ((u128::from(state) * bound as u128) >> 64) as usize
    }
}

const VALUE_BYTES: [usize; 2] = [100, 1024];
const DURABLE_RECORDS: usize = 500;
const READS_MAX: usize = 200_000;
const BATCH: usize = 100;
