//! `tidelog verify`: reads everything in a store and says whether it is sound. Changes not one byte, repairs nothing.

use std::path::PathBuf;

use serde_json::{Value, json};
use tidelog::{DeepReport, FileNote, Offset, PartitionView, ReadError, VerifyReport};

use super::progress::Progress;
use super::store;
use crate::exit::{Exit, Failure};
use crate::output::{Results, counted};

/// Read everything in a store and check it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidelog verify data
  tidelog verify data events --json
  tidelog verify data --deep

Every checksum, offset and record is checked, and every index by itself. With --deep the files are compared with each other too: each
index entry with the batch that it points to, seals with what they sum up, the chain from batch to batch, the checkpoint and META with
the log; and what lies in quarantine, or does not belong there, is listed.

Exit codes:
  0  sound; a bad index or another file that fits no segment costs time, and the next writer makes it anew. So are offsets that were
     declared lost, by a repair or when the store was opened: they are listed, and nothing is left to be done
  1  failed: an I/O error, also that nothing is there
  3  refused: not a store, or of another version
  4  something durable is damaged")]
pub(crate) struct Args {
    /// The store's directory.
    dir: PathBuf,
    /// Only this topic.
    topic: Option<String>,
    /// Only this partition of the topic.
    #[arg(long, short = 'p', value_name = "N", requires = "topic")]
    partition: Option<u32>,
    /// Only check batches, without decoding their records.
    #[arg(long)]
    quick: bool,
    /// Compare the files of each partition with each other too.
    #[arg(long, conflicts_with = "quick")]
    deep: bool,
    /// Print one JSON object: {"ok":true,"partitions":[{..}, ..]}.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let store = store::open_read_only(&args.dir)?;
    let (mut reports, mut results, mut is_sound) = (Vec::new(), Results::default(), true);
    for name in store::topics_to_verify(&store, &args.dir, args.topic.as_deref())? {
        let topic = store.topic(&name).map_err(|error| store::topic_failure(&name, error))?;
        let (views, some_are_gone) = store::views_that_open(&topic, args.partition)?;
        is_sound &= !some_are_gone;
        for view in views {
            let report = check(&view, args).map_err(|error| store::read_failure(&format!("{name}/{}", view.index()), error))?;
            if !args.json {
                results.line(&text(&view, &report))?;
            }
            reports.push((view, report));
        }
    }
    is_sound &= reports.iter().all(|(_, report)| report.verify.is_sound());
    if args.json {
        let partitions: Vec<Value> = reports.iter().map(|(view, report)| value(view, report, args.deep)).collect();
        results.json(&json!({ "ok": is_sound, "partitions": partitions }))?;
    } else if reports.is_empty() {
        results.line("the store has no topics")?;
    }
    Ok(if is_sound { Exit::Done } else { Exit::Damage })
}

/// With `--deep` everything, else what reading alone tells.
fn check(view: &PartitionView, args: &Args) -> Result<DeepReport, ReadError> {
    let progress = Progress::of_records(&format!("{}/{}", view.topic(), view.index()));
    let (start, end) = (view.log_start_offset().get(), view.log_end_offset().get());
    let mut tell = |offset: Offset| progress.set_of(offset.get().saturating_sub(start), end.saturating_sub(start));
    if args.deep {
        return view.verify_deep(&mut tell);
    }
    Ok(DeepReport { verify: view.verify(!args.quick, &mut tell)?, ..DeepReport::default() })
}

fn value(view: &PartitionView, report: &DeepReport, deep: bool) -> Value {
    let mut value = json!({ "topic": view.topic(), "partition": view.index() });
    let facts = if deep { serde_json::to_value(report) } else { serde_json::to_value(&report.verify) };
    if let (Value::Object(all), Ok(Value::Object(facts))) = (&mut value, facts) {
        all.extend(facts);
    }
    value
}

/// One line, and one more for each thing that is wrong.
fn text(view: &PartitionView, report: &DeepReport) -> String {
    let place = format!("{}/{}", view.topic(), view.index());
    let VerifyReport { records, batches, bytes, damage, bad_indexes, .. } = &report.verify;
    let verdict = if report.verify.is_sound() { "ok" } else { "DAMAGED" };
    let (records, batches) = (counted(*records, "record", "records"), counted(*batches, "batch", "batches"));
    let mut lines = vec![format!("{place}: {verdict}, {records} in {batches}, {bytes} bytes")];
    lines.extend(damage.iter().map(|range| format!("{place}: {}", store::damage(range))));
    lines.extend(bad_indexes.iter().map(|reason| format!("{place}: index to be rebuilt: {reason}")));
    let notes = |what: &'static str, notes: &[FileNote]| -> Vec<String> {
        notes.iter().map(|note| format!("{place}: {what}: {}: {}", note.file, note.detail)).collect()
    };
    lines.extend(notes("to be put right", &report.misfits));
    lines.extend(notes("stray", &report.strays));
    lines.extend(notes("quarantined", &report.quarantined));
    lines.join("\n")
}
