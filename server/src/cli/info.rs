//! `tidelog info`: facts about the partitions of a store. Changes not one byte of it.

use std::path::PathBuf;

use serde_json::json;

use super::store;
use crate::exit::{Exit, Failure};
use crate::output::Results;

/// Print facts about a store, or about one topic.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidelog info data
  tidelog info data events --json

compression is that of the newest batch: batches before it may have been written with other settings, each with its own.
The exit code is 4 if damage is known that was not declared lost by a repair, or when the store was opened.")]
pub(crate) struct Args {
    /// The store's directory.
    dir: PathBuf,
    /// Only this topic.
    topic: Option<String>,
    /// Only this partition of the topic.
    #[arg(long, short = 'p', value_name = "N", requires = "topic")]
    partition: Option<u32>,
    /// Print one JSON object: {"partitions":[{..}, ..]}.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let store = store::open_read_only(&args.dir)?;
    let (mut partitions, mut damage): (Vec<_>, Vec<Vec<String>>) = Default::default();
    let mut has_damage = false;
    for name in store::topics_to_read(&store, &args.dir, args.topic.as_deref())? {
        let topic = store.topic(&name).map_err(|error| store::topic_failure(&name, error))?;
        let (views, some_are_gone) = store::views_that_open(&topic, args.partition)?;
        has_damage |= some_are_gone;
        for view in views {
            let info = view.info().map_err(|error| store::read_failure(&format!("{name}/{}", view.index()), error))?;
            has_damage |= info.damage.iter().any(|range| !range.declared);
            damage.push(info.damage.iter().map(store::damage).collect());
            partitions.push(serde_json::to_value(&info).map_err(|error| Failure::because(Exit::Failed, "info", error))?);
        }
    }
    if args.json {
        Results::default().json(&json!({ "partitions": partitions }))?;
    } else {
        Results::default().line(&text(&partitions, &damage))?;
    }
    Ok(if has_damage { Exit::Damage } else { Exit::Done })
}

/// A block of lines a partition, `name: value`.
fn text(partitions: &[serde_json::Value], damage: &[Vec<String>]) -> String {
    if partitions.is_empty() {
        return "the store has no topics".to_owned();
    }
    let blocks: Vec<String> = partitions.iter().zip(damage).map(|(partition, damage)| block(partition, damage)).collect();
    blocks.join("\n\n")
}

fn block(partition: &serde_json::Value, damage: &[String]) -> String {
    let lines = partition.as_object().into_iter().flatten().map(|(name, value)| {
        let shown = match (name.as_str(), value) {
            ("first_ts_ns" | "last_ts_ns", value) if value.is_i64() => {
                let ns = value.as_i64().unwrap_or_default();
                format!("{ns} ({})", crate::output::time(ns))
            }
            (_, serde_json::Value::String(text)) => text.clone(),
            ("damage", _) if damage.is_empty() => "none".to_owned(),
            ("damage", _) => damage.join(&format!("\n{:<22} ", "")),
            (_, value) => value.to_string(),
        };
        format!("{name:<22} {shown}")
    });
    lines.collect::<Vec<_>>().join("\n")
}
