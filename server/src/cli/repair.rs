//! `tidelog repair`: says what is lost in a store and what would be done about it; with `--apply`, does it. Deletes nothing.

use std::path::PathBuf;

use serde_json::json;
use tidelog::{PartitionRepair, StoreOptions};

use super::store;
use crate::exit::{Exit, Failure};
use crate::output::{Results, counted};

/// Say which offsets of a store are lost and what would be done about it; with --apply, do it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidelog repair data
  tidelog repair data events --json
  tidelog repair data --apply

Without --apply nothing is changed. Nothing brings damaged records back: a repair makes their loss a declared one. Right batches behind
damage go to a new segment that says what is lost before it; what is damaged is copied or moved to quarantine/, and no byte of it is
deleted. Offsets stay what they are, reads of lost ones go on answering with an error, and `tidelog verify` says that they are declared
lost. A damaged catalogue of a topic is written anew from its copy. If that is damaged too, it is made from the partitions, if every one
of them was used; a split whose parts nobody had used is undone by that. It may be killed at any moment and run again. The store must not be open for writing.

Exit codes:
  0  nothing to repair; with --apply, all of it repaired
  1  failed: an I/O error, also that nothing is there; what was done by then is whole, and another run goes on from there
  3  refused: the store is locked, of another version or not a store
  4  something is to be repaired; with --apply, something is left that cannot be")]
pub(crate) struct Args {
    /// The store's directory.
    dir: PathBuf,
    /// Only this topic.
    topic: Option<String>,
    /// Do it.
    #[arg(long)]
    apply: bool,
    /// Print one JSON object: {"applied":false,"partitions":[{..}, ..]}.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let what = args.topic.clone().unwrap_or_else(|| args.dir.display().to_string());
    let repair = StoreOptions::new().plan_repair(&args.dir, args.topic.as_deref()).map_err(|error| store::topic_failure(&what, error))?;
    let partitions = if args.apply { repair.apply().map_err(|error| store::topic_failure(&what, error))? } else { repair.partitions().to_vec() };
    let mut results = Results::default();
    if args.json {
        results.json(&json!({ "applied": args.apply, "partitions": partitions }))?;
    } else {
        for partition in &partitions {
            results.line(&text(partition))?;
        }
        let open = partitions.iter().filter(|partition| !partition.steps.is_empty()).count();
        if partitions.iter().all(PartitionRepair::is_empty) {
            results.line("nothing to repair")?;
        } else if open > 0 && !args.apply {
            let open = counted(open as u64, "partition", "partitions");
            let topic = args.topic.as_ref().map(|topic| format!(" {topic}")).unwrap_or_default();
            results.line(&format!("nothing was changed; {open} to repair: tidelog repair {}{topic} --apply", args.dir.display()))?;
        }
    }
    let is_open = |partition: &PartitionRepair| if args.apply { !partition.left.is_empty() } else { !partition.is_empty() };
    Ok(if partitions.iter().any(is_open) { Exit::Damage } else { Exit::Done })
}

/// A line for each range that is lost, each step, and each thing that is left.
fn text(partition: &PartitionRepair) -> String {
    let place = format!("{}/{}", partition.topic, partition.partition);
    if partition.is_empty() {
        return format!("{place}: ok");
    }
    let mut lines = Vec::new();
    lines.extend(partition.lost.iter().map(|range| format!("{place}: offsets {}..{} are lost: {}", range.from, range.to, range.reason)));
    lines.extend(partition.steps.iter().map(|step| {
        let action = format!("{:?}", step.action).to_lowercase();
        format!("{place}: {action} {}: {}", step.file, step.detail)
    }));
    lines.extend(partition.left.iter().map(|note| format!("{place}: left as it is: {}: {}", note.file, note.detail)));
    lines.join("\n")
}
