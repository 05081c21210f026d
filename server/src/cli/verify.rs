//! `tidelog verify`: reads everything in a store and says whether it is sound. Changes not one byte, repairs nothing.

use std::path::PathBuf;

use serde_json::{Value, json};
use tidelog::{PartitionView, VerifyReport};

use super::store;
use crate::exit::{Exit, Failure};
use crate::output::{Results, counted};

/// Read everything in a store and check it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidelog verify data
  tidelog verify data events --json

Every checksum, offset and record is checked, and every index. The exit code is 4 if anything durable is damaged. A bad
index is no damage: it costs time, and the next writer makes it anew. Nor are offsets that a segment declares lost, because an earlier
open found that they are: they are listed, and nothing is left to be done.")]
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
    /// Print one JSON object: {"ok":true,"partitions":[{..}, ..]}.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let store = store::open_read_only(&args.dir)?;
    let (mut reports, mut results, mut is_sound) = (Vec::new(), Results::default(), true);
    for name in store::topics_to_read(&store, &args.dir, args.topic.as_deref())? {
        let topic = store.topic(&name).map_err(|error| store::topic_failure(&name, error))?;
        let (views, some_are_gone) = store::views_that_open(&topic, args.partition)?;
        is_sound &= !some_are_gone;
        for view in views {
            let report = view.verify(!args.quick, &mut |_| {}).map_err(|error| store::read_failure(&format!("{name}/{}", view.index()), error))?;
            if !args.json {
                results.line(&text(&view, &report))?;
            }
            reports.push((view, report));
        }
    }
    is_sound &= reports.iter().all(|(_, report)| report.is_sound());
    if args.json {
        let partitions: Vec<Value> = reports.iter().map(|(view, report)| value(view, report)).collect();
        results.json(&json!({ "ok": is_sound, "partitions": partitions }))?;
    } else if reports.is_empty() {
        results.line("the store has no topics")?;
    }
    Ok(if is_sound { Exit::Done } else { Exit::Damage })
}

fn value(view: &PartitionView, report: &VerifyReport) -> Value {
    let mut value = json!({ "topic": view.topic(), "partition": view.index() });
    if let (Value::Object(all), Ok(Value::Object(facts))) = (&mut value, serde_json::to_value(report)) {
        all.extend(facts);
    }
    value
}

/// One line, and one more for each thing that is wrong.
fn text(view: &PartitionView, report: &VerifyReport) -> String {
    let place = format!("{}/{}", view.topic(), view.index());
    let VerifyReport { records, batches, bytes, damage, bad_indexes, .. } = report;
    let verdict = if report.is_sound() { "ok" } else { "DAMAGED" };
    let (records, batches) = (counted(*records, "record", "records"), counted(*batches, "batch", "batches"));
    let mut lines = vec![format!("{place}: {verdict}, {records} in {batches}, {bytes} bytes")];
    lines.extend(damage.iter().map(|range| {
        let what = if range.declared { "are declared lost" } else { "are damaged" };
        format!("{place}: offsets {}..{} {what}: {}", range.from, range.to, range.reason)
    }));
    lines.extend(bad_indexes.iter().map(|reason| format!("{place}: index to be rebuilt: {reason}")));
    lines.join("\n")
}
