//! `tidelog offsets <dir> list`: what a place says of groups. Changes not one byte of a log.

use std::path::Path;

use serde_json::{Value, json};
use tidelog::{CommittedOffset, GroupId, PartitionKey};

use super::place::Place;
use crate::exit::{Exit, Failure};
use crate::output::{Results, shown, time};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where they are: log, sqlite:FILE or postgres:URL.
    #[arg(long, value_name = "PLACE", default_value = "log")]
    store: Place,
    /// Only this group.
    #[arg(long)]
    group: Option<GroupId>,
    /// Print one JSON object: {"positions":[{"group":..,"partition":..,"offset":..}, ..]}.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(dir: &Path, args: &Args) -> Result<Exit, Failure> {
    let store = args.store.open_to_read(dir)?;
    let read = |error| args.store.failure("reading", error);
    let groups = match &args.group {
        Some(group) => vec![group.clone()],
        None => store.groups().map_err(read)?,
    };
    let mut all = Vec::new();
    for group in groups {
        all.extend(store.fetch_all(&group).map_err(read)?.into_iter().map(|(partition, position)| (group.clone(), partition, position)));
    }
    let mut results = Results::default();
    if args.json {
        results.json(&json!({ "positions": all.iter().map(as_json).collect::<Vec<_>>() }))?;
        return Ok(Exit::Done);
    }
    if all.is_empty() {
        results.line("no group has a position")?;
    }
    for (group, partition, position) in &all {
        let note = if position.metadata.is_empty() { String::new() } else { format!("  {}", shown(Some(position.metadata.as_bytes()), NOTE_CHARS)) };
        let group = shown(Some(group.as_str().as_bytes()), GROUP_CHARS);
        results.line(&format!("{group}  {partition}  {}  {}{note}", position.offset, time(position.committed_at.get())))?;
    }
    Ok(Exit::Done)
}

fn as_json((group, partition, position): &(GroupId, PartitionKey, CommittedOffset)) -> Value {
    json!({
        "group": group.as_str(),
        "partition": partition.to_string(),
        "offset": position.offset.get(),
        "leader_epoch": position.leader_epoch.map(|epoch| epoch.get()),
        "metadata": position.metadata,
        "committed_at_ns": position.committed_at.get(),
        "expires_at_ns": position.expires_at.map(|at| at.get()),
    })
}

const GROUP_CHARS: usize = 255;
const NOTE_CHARS: usize = 80;
